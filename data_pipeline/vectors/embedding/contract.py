"""What an embedder is: it turns texts into vectors of one length, the same ones every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # a tenth of a second to import, which most commands need not pay
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]
    """One vector, or one a row."""

    Counts = NDArray[np.int64]
    """For each dimension how many items have something there."""


@dataclass(frozen=True)
class EmbedderIdentity:
    """Which embedder made a store's vectors: vectors of different ones must never meet."""

    name: str
    version: int
    dimension: int

    def __str__(self) -> str:
        return f"{self.name}, version {self.version}, {self.dimension} dimensions"


@dataclass(frozen=True)
class Passage:
    """A text to be found, with the query that goes with it, if one does: what people say counts for more."""

    text: str
    sql: str = ""


@dataclass(frozen=True)
class Corpus:
    """What the whole of a store says about the weight of a dimension: the number of items, and those that have it."""

    size: int
    frequencies: Counts


class Embedder(Protocol):
    """Makes vectors of length one; a text in which there is nothing gets zeros. Blocks; callable from any thread."""

    @property
    def identity(self) -> EmbedderIdentity:
        """What is stored beside the vectors."""

    @property
    def waits(self) -> bool:
        """Whether it mostly waits for a server, rather than computes."""

    def embed(self, passages: Sequence[Passage]) -> Vector:
        """A row for each passage; it depends on nothing but the passage. Raises EmbeddingFailed."""

    def embed_question(self, question: str, corpus: Corpus) -> Vector:
        """One vector: its product with a passage's is their score, at most one. Raises EmbeddingFailed."""

    def close(self) -> None:
        """Give connections back, where there are any."""
