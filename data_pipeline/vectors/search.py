"""What is found in the vector store, for answers and for `--json`; and the store that a process keeps open."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from data_pipeline.config.vector_place import VectorPlace
from data_pipeline.vectors.store.contract import Found, Item, Load

if TYPE_CHECKING:  # numpy takes a tenth of a second to import, which most commands need not pay
    from data_pipeline.vectors.store.contract import VectorStore


class SharedVectorStore:
    """A process's vector store, opened when somebody first asks; its vectors stay in memory for the next question."""

    def __init__(self, place: VectorPlace) -> None:
        self._place = place
        self._opening = threading.Lock()
        self._opened: VectorStore | None = None

    def get(self) -> VectorStore:
        """The store. Raises StoreUnavailable, EmbedderMismatch; then the next call tries again."""
        from data_pipeline.vectors.store.opening import open_vector_store  # noqa: PLC0415 - numpy

        with self._opening:
            if self._opened is None:
                self._opened = open_vector_store(self._place)
            return self._opened

    def drop(self, task_id: str) -> None:
        """Let a task hold nothing any more; makes no store where there is none. Raises as `get` does."""
        from data_pipeline.vectors.store.opening import look_at_vector_store  # noqa: PLC0415 - numpy

        if look_at_vector_store(self._place) is not None:
            self.get().commit(Load(task_id, "deletion", ()))

    def close(self) -> None:
        """Give the connections back."""
        with self._opening:
            if self._opened is not None:
                self._opened.close()
                self._opened = None


def found_summary(found: Found) -> dict[str, Any]:
    """An item that was found: score, kind, content, where it comes from. A pair has its question and its SQL."""
    return {
        "id": found.item.id,
        "score": round(found.score, 6),
        "kind": found.item.kind,
        "database": found.item.database,
        **content_of(found.item),
        "provenance": [
            {"task_id": task_id, "file": holding.file, "details": dict(holding.details)}
            for task_id, holding in found.holders
        ],
    }


def content_of(item: Item) -> dict[str, Any]:
    """What an item says: `content`, and for a pair `question` and `sql`, else null."""
    pair = json.loads(item.content) if item.kind == "sql" else {}
    return {"content": item.content, "question": pair.get("question"), "sql": pair.get("sql")}
