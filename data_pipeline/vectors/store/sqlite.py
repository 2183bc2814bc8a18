"""The vector store in one SQLite file: searched exactly, in memory.

A search in a small store takes no longer than SQLAlchemy's way to three statements: its own go to the driver.
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
"""A page of the file holds seven vectors: all of them are read in two thirds of the time that SQLite's 4 096 take."""


def use_large_pages(connection: Any) -> None:
    """Set the page size of a new file. A file that has tables keeps its own."""
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")


class SqliteVectorStore(RelationalVectorStore):
    """A `VectorStore`; made by `open_vector_store`."""

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
    """The connection of sqlite3, in the same transaction."""
    return connection.connection.driver_connection
