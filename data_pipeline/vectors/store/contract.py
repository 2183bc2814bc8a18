"""What a vector store is, and the values that go in and come out.

An item is one piece of training data. Its id follows from what it says, so that loading it again changes nothing.
Several tasks may hold the same item; it goes when the last of them has dropped it. Its vector depends on it alone.

A load stages its items first, where no search sees them, and then commits: one transaction makes the task hold exactly
those items. Killed before the commit, everything is as before; after it, all of it is there.
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
    """A piece of training data about a database, which is named without secrets.

    `content` is the text; of a pair it is a JSON object with `question` and `sql`.
    """

    kind: Kind
    database: str
    content: str

    @property
    def id(self) -> str:
        """SHA-256, in hex, of everything it says."""
        said = json.dumps([self.database, self.kind, normalised(self.content)], ensure_ascii=False)
        return hashlib.sha256(said.encode()).hexdigest()

    @property
    def passage(self) -> Passage:
        """What of it is turned into a vector."""
        if self.kind != "sql":
            return Passage(self.content)
        pair = json.loads(self.content)
        return Passage(pair["question"], pair["sql"])


def pair_content(question: str, sql: str) -> str:
    """The content of an item that is a pair."""
    return json.dumps({"question": question, "sql": sql}, ensure_ascii=False)


def normalised(content: str) -> str:
    """A text by which equal contents are known: NFC, one kind of line end, nothing at the ends of lines."""
    lines = re.split(r"\r\n?|\n", unicodedata.normalize("NFC", content))
    return "\n".join(line.rstrip() for line in lines).strip()


@dataclass(frozen=True)
class Holding:
    """That a task holds an item: the file that it stands in, and what else is known of it there."""

    item_id: str
    file: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Load:
    """What a task is to hold from now on; `replaces_all` lets every other task's items go in the same moment."""

    task_id: str
    run_id: str
    holdings: Sequence[Holding]
    replaces_all: bool = False


@dataclass(frozen=True)
class Loaded:
    """What a commit changed: items that the task did not hold before, that it dropped, that left the store."""

    added: int
    dropped: int
    removed: int


@dataclass(frozen=True)
class Question:
    """What is looked for, and where: None stands for anywhere."""

    text: str
    limit: int = 5
    kinds: Sequence[Kind] | None = None
    task_id: str | None = None
    database: str | None = None


@dataclass(frozen=True)
class Found:
    """An item with its score, at most 1, and the tasks that hold it with the files it stands in."""

    item: Item
    score: float
    holders: list[tuple[str, Holding]]


@dataclass(frozen=True)
class StoredItem:
    """An item with its vector (float32) and everybody who holds it, as a backup keeps it."""

    item: Item
    vector: Vector
    holders: Sequence[tuple[str, Holding]]


@dataclass(frozen=True)
class StoreContent:
    """How much there is: items by kind, tasks that hold some."""

    items: Mapping[str, int]
    task_count: int

    @property
    def total(self) -> int:
        """All items."""
        return sum(self.items.values())


class VectorStore(Protocol):
    """Methods block, and may be called from any thread; each that changes something is one transaction.

    All raise StoreUnavailable where the database does not answer.
    """

    @property
    def embedder(self) -> Embedder:
        """Who makes its vectors."""

    @property
    def label(self) -> str:
        """Its URL as people may see it."""

    def missing(self, ids: Sequence[str]) -> list[str]:
        """Which of these items are not there, staged or held, in their order."""

    def stage(self, task_id: str, items: Sequence[Item], vectors: Vector) -> None:
        """Put items in, for a load of the task that is going to commit; what is there stays as it is."""

    def claim(self, task_id: str, ids: Sequence[str]) -> list[str]:
        """Which of these items are not there; the others are staged, so that they stay, whoever drops them."""

    def commit(self, load: Load) -> Loaded:
        """Make a task hold exactly these items; what nobody holds any more leaves.

        A load that commits again, as its run was killed in between, does no harm to items that came meanwhile.
        Raises ItemsMissing, and then nothing is changed.
        """

    def content(self) -> StoreContent:
        """How much there is that anybody holds."""

    def holdings(self, task_id: str) -> list[Holding]:
        """What a task holds, in the order of the ids."""

    def held_by(self, task_id: str) -> list[tuple[Item, Holding]]:
        """The items that a task holds, in the order of their ids."""

    def search(self, question: Question) -> list[Found]:
        """The nearest items that somebody holds, best first. Raises EmbeddingFailed."""

    def dump(self) -> Iterator[StoredItem]:
        """Every item that somebody holds, in the order of the ids, all of one moment."""

    def replace_with(self, items: Iterable[StoredItem]) -> StoreContent:
        """Put these in the place of everything, in one transaction at the end; what `items` raises changes nothing."""

    def close(self) -> None:
        """Give the connections back."""


def check_identity(what: str, made_by: EmbedderIdentity, configured: EmbedderIdentity) -> None:
    """See that vectors of two embedders do not meet. Raises EmbedderMismatch."""
    if made_by != configured:
        raise EmbedderMismatch(what, str(made_by), str(configured))
