"""The interface of an embedder, which turns texts into vectors. The same text always has the same vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # it takes a tenth of a second to import, and most commands do not need it
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]
    """One vector, or a matrix with a vector in each row."""

    Counts = NDArray[np.int64]
    """The number of items with a value other than zero, for each dimension."""


@dataclass(frozen=True)
class EmbedderIdentity:
    """The identity of the embedder of a store's vectors. Vectors of different embedders must never be compared."""

    name: str
    version: int
    dimension: int

    def __str__(self) -> str:
        return f"{self.name}, version {self.version}, {self.dimension} dimensions"


@dataclass(frozen=True)
class Passage:
    """A text to find, with the SQL of a pair. The text has more weight, because people search by words."""

    text: str
    sql: str = ""


@dataclass(frozen=True)
class Corpus:
    """The frequencies in a whole store, for the weights of dimensions: `size` is the number of all items."""

    size: int
    frequencies: Counts


class Embedder(Protocol):
    """Computes vectors of length one; the vector of an empty text is zero. Blocks. Callable from any thread."""

    @property
    def identity(self) -> EmbedderIdentity:
        """The identity that is stored with the vectors."""

    @property
    def waits(self) -> bool:
        """True if the embedder mostly waits for a server, False if it computes."""

    def embed(self, passages: Sequence[Passage]) -> Vector:
        """Return a row for each passage, which depends only on the passage. Raises EmbeddingFailed."""

    def embed_question(self, question: str, corpus: Corpus) -> Vector:
        """Return a vector; its product with that of a passage is the score, at most one. Raises EmbeddingFailed."""

    def close(self) -> None:
        """Close the connections, if there are any."""
