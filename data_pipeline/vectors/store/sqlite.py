"""The vector store in a SQLite file: searched exactly, in memory.

The statements of a search go directly to the driver, because SQLAlchemy would double the time of a search in a small
store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection

from data_pipeline.vectors.store.contract import Question
from data_pipeline.vectors.store.matrix import HeldVector
from data_pipeline.vectors.store.relational import RelationalVectorStore
from data_pipeline.vectors.store.tables import from_bytes

if TYPE_CHECKING:
    from data_pipeline.vectors.embedding.contract import Vector

_GENERATION: Final = "SELECT generation FROM vector_store"
_HELD: Final = """
SELECT number, kind, database_name, vector FROM vector_items
WHERE EXISTS (SELECT 1 FROM vector_holdings WHERE item_number = number) ORDER BY number
"""
_ROWS: Final = """
SELECT number, id, kind, database_name, content, task_id, file, details
FROM vector_items JOIN vector_holdings ON item_number = number
WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number, task_id
"""

PAGE_BYTES: Final = 32_768
"""The page size, for seven vectors. Reading all vectors takes two thirds of the time with SQLite's default, 4,096."""


def use_large_pages(connection: Any) -> None:
    """Set the page size of a new file. A file that has tables keeps its own."""
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")


class SqliteVectorStore(RelationalVectorStore):
    """A `VectorStore`, opened by `open_vector_store`."""

    def _nearest(self, connection: Connection, question: Question, vector: Vector | None) -> list[tuple[int, float]]:
        (generation,) = _driver(connection).execute(_GENERATION).fetchone()
        return self._in_memory(connection, generation, question, vector)

    def _held(self, connection: Connection) -> Iterator[HeldVector]:
        for number, kind, database, vector in _driver(connection).execute(_HELD):
            yield number, kind, database, from_bytes(vector)

    def _rows(self, connection: Connection, numbers: list[int]) -> Iterator[tuple[Any, ...]]:
        for *row, details in _driver(connection).execute(_ROWS, (json.dumps(numbers),)):
            yield (*row, json.loads(details))


def _driver(connection: Connection) -> Any:
    """Return the connection of the driver, which is in the same transaction."""
    return connection.connection.driver_connection
