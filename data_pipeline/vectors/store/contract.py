"""The interface of a vector store, with the values of its methods.

An item is one piece of training data. Its id is the hash of its content, so that loading it again changes nothing.
Several tasks may hold the same item, and it is deleted when the last of them drops it. Its vector depends only on it.

A load first stages its items, which no search sees, and then commits: after one transaction, the task holds exactly
these items. If the process is killed before the commit, everything is as before; after it, the load is complete.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from data_pipeline.errors import EmbedderMismatch
from data_pipeline.vectors.embedding.contract import EmbedderIdentity, Passage

if TYPE_CHECKING:
    from data_pipeline.vectors.embedding.contract import Embedder, Vector

Kind = Literal["ddl", "documentation", "sql"]
KINDS: Final[tuple[Kind, ...]] = ("ddl", "documentation", "sql")


@dataclass(frozen=True)
class Item:
    """A piece of training data about a database, whose name has no secrets.

    `content` is the text, or for a pair a JSON object with `question` and `sql`.
    """

    kind: Kind
    database: str
    content: str

    @property
    def id(self) -> str:
        """The SHA-256 of database, kind and normalized content, in hex."""
        identity = json.dumps([self.database, self.kind, normalised(self.content)], ensure_ascii=False)
        return hashlib.sha256(identity.encode()).hexdigest()

    @property
    def passage(self) -> Passage:
        """The texts that are embedded."""
        if self.kind != "sql":
            return Passage(self.content)
        pair = json.loads(self.content)
        return Passage(pair["question"], pair["sql"])


def pair_content(question: str, sql: str) -> str:
    """Return the content of the item of a pair."""
    return json.dumps({"question": question, "sql": sql}, ensure_ascii=False)


def normalised(content: str) -> str:
    """Normalize a content to compare it: NFC, one kind of line break, no blanks at the ends of lines."""
    lines = re.split(r"\r\n?|\n", unicodedata.normalize("NFC", content))
    return "\n".join(line.rstrip() for line in lines).strip()


@dataclass(frozen=True)
class Holding:
    """The relation of a task to an item that it holds: the file that contains the item, and details."""

    item_id: str
    file: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Load:
    """All items that a task holds after a commit. `replaces_all` drops the items of all other tasks, too."""

    task_id: str
    run_id: str
    holdings: Sequence[Holding]
    replaces_all: bool = False


@dataclass(frozen=True)
class Loaded:
    """The changes of a commit: the number of items that the task newly holds, that it dropped, that were deleted."""

    added: int
    dropped: int
    removed: int


@dataclass(frozen=True)
class Question:
    """A question to search for, with filters; None is no filter."""

    text: str
    limit: int = 5
    kinds: Sequence[Kind] | None = None
    task_id: str | None = None
    database: str | None = None


@dataclass(frozen=True)
class Found:
    """An item with its score, at most 1, and the tasks that hold it."""

    item: Item
    score: float
    holders: list[tuple[str, Holding]]


@dataclass(frozen=True)
class StoredItem:
    """An item with its vector (float32) and all tasks that hold it, for a backup."""

    item: Item
    vector: Vector
    holders: Sequence[tuple[str, Holding]]


@dataclass(frozen=True)
class StoreContent:
    """The number of items by kind, and the number of tasks that hold items."""

    items: Mapping[str, int]
    task_count: int

    @property
    def total(self) -> int:
        """The number of all items."""
        return sum(self.items.values())


class VectorStore(Protocol):
    """A store of items with vectors. Methods block. Callable from any thread.

    Each method is one transaction. All raise StoreUnavailable if the database cannot be used.
    """

    @property
    def embedder(self) -> Embedder:
        """The embedder of the vectors."""

    @property
    def label(self) -> str:
        """The URL without secrets."""

    def missing(self, ids: Sequence[str]) -> list[str]:
        """Return the ids of missing items, which are neither staged nor held, in the order of `ids`."""

    def stage(self, task_id: str, items: Sequence[Item], vectors: Vector) -> None:
        """Store items for a load of a task that commits later. Existing items are not replaced."""

    def claim(self, task_id: str, ids: Sequence[str]) -> list[str]:
        """Return the ids of missing items; stage the others, so that they are not deleted if other tasks drop them."""

    def commit(self, load: Load) -> Loaded:
        """Have a task hold exactly these items, and delete the items that no task holds any more.

        If the load of a killed run is committed again, items that other tasks loaded meanwhile stay. Raises
        ItemsMissing; then nothing is changed.
        """

    def content(self) -> StoreContent:
        """Count the items that tasks hold."""

    def holdings(self, task_id: str) -> list[Holding]:
        """Return the holdings of a task, in the order of the ids."""

    def held_by(self, task_id: str) -> list[tuple[Item, Holding]]:
        """Return the items of a task, in the order of their ids."""

    def search(self, question: Question) -> list[Found]:
        """Return the nearest items that tasks hold, best first. Raises EmbeddingFailed."""

    def dump(self) -> Iterator[StoredItem]:
        """Yield all items that tasks hold, in the order of the ids, as they are at one moment."""

    def replace_with(self, items: Iterable[StoredItem]) -> StoreContent:
        """Replace all items, in one transaction at the end. If the iteration of `items` raises, nothing is changed."""

    def close(self) -> None:
        """Close all connections."""


def check_identity(what: str, made_by: EmbedderIdentity, configured: EmbedderIdentity) -> None:
    """Check that existing vectors are of the configured embedder. Raises EmbedderMismatch."""
    if made_by != configured:
        raise EmbedderMismatch(what, str(made_by), str(configured))
