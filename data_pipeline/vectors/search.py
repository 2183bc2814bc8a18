"""The vector store that a process keeps open, and the results of a search as JSON."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from data_pipeline.config.vector_place import VectorPlace
from data_pipeline.vectors.store.contract import Found, Item, Load

if TYPE_CHECKING:  # numpy takes a tenth of a second to import, and most commands do not need it
    from data_pipeline.vectors.store.contract import VectorStore


class SharedVectorStore:
    """The vector store of a process, opened at its first use. Its vectors stay in memory for later questions."""

    def __init__(self, place: VectorPlace) -> None:
        self._place = place
        self._opening = threading.Lock()
        self._opened: VectorStore | None = None

    def get(self) -> VectorStore:
        """Return the store. Raises StoreUnavailable, EmbedderMismatch; the next call tries again."""
        from data_pipeline.vectors.store.opening import open_vector_store  # noqa: PLC0415 - numpy

        with self._opening:
            if self._opened is None:
                self._opened = open_vector_store(self._place)
            return self._opened

    def drop(self, task_id: str) -> None:
        """Remove the items of a task. A missing store is not created. Raises as `get`."""
        from data_pipeline.vectors.store.opening import look_at_vector_store  # noqa: PLC0415 - numpy

        if look_at_vector_store(self._place) is not None:
            self.get().commit(Load(task_id, "deletion", ()))

    def close(self) -> None:
        """Close all connections."""
        with self._opening:
            if self._opened is not None:
                self._opened.close()
                self._opened = None


def found_summary(found: Found) -> dict[str, Any]:
    """Return a found item as JSON: score, kind, content, provenance. A pair has its question and its SQL."""
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
    """Return the content of an item as JSON: `content`, and `question` and `sql` of a pair, else null."""
    pair = json.loads(item.content) if item.kind == "sql" else {}
    return {"content": item.content, "question": pair.get("question"), "sql": pair.get("sql")}
