"""The vector store in one SQLite file: searched exactly, by one product with all vectors, which are kept in memory.

The file has a number that grows with every visible change. A search that finds another number than the one its vectors
were read at reads them anew: so many processes may load and search, and nobody tells anybody.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sqlalchemy import Connection, Engine, select

from data_pipeline.embedding.contract import Corpus, Embedder
from data_pipeline.vector_store.contract import KINDS, Question
from data_pipeline.vector_store.relational import RelationalVectorStore
from data_pipeline.vector_store.tables import counts_from_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from data_pipeline.embedding.contract import Vector

_HELD: Final = """
SELECT number, kind, database_name, vector FROM vector_items
WHERE EXISTS (SELECT 1 FROM vector_holdings WHERE item_number = number) ORDER BY number
"""
_HELD_COUNT: Final = """
SELECT count(*) FROM vector_items WHERE EXISTS (SELECT 1 FROM vector_holdings WHERE item_number = number)
"""


PAGE_BYTES: Final = 32_768
"""A page of the file holds seven vectors: all of them are read in two thirds of the time that SQLite's 4 096 take."""


def use_large_pages(connection: Any, _: Any) -> None:
    """Before the first table of a new file is made; of one that is there nothing changes."""
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")


@dataclass(frozen=True)
class _Matrix:
    """All that is held at one generation: a row a vector, and beside it what searches are limited by."""

    generation: int
    corpus: Corpus
    numbers: NDArray[np.int64]
    kinds: NDArray[np.int8]
    databases: NDArray[np.int32]
    database_names: dict[str, int]
    vectors: Vector


class SqliteVectorStore(RelationalVectorStore):
    """A `VectorStore`; made by `open_vector_store`."""

    def __init__(self, engine: Engine, embedder: Embedder, label: str) -> None:
        super().__init__(engine, embedder, label)
        self._reading_in = threading.Lock()
        self._matrix: _Matrix | None = None

    def _nearest(self, connection: Connection, question: Question, vector: Vector | None) -> list[tuple[int, float]]:
        matrix = self._current(connection)
        if vector is None:
            vector = self._embedder.embed_question(question.text, matrix.corpus)
        scores = matrix.vectors @ vector
        is_wanted = self._is_wanted(connection, matrix, question)
        if is_wanted is not None:
            scores = np.where(is_wanted, scores, -np.inf)
        best = _best(scores, question.limit)
        return [(int(matrix.numbers[row]), float(scores[row])) for row in best if np.isfinite(scores[row])]

    def _is_wanted(self, connection: Connection, matrix: _Matrix, question: Question) -> NDArray[np.bool_] | None:
        """Which rows a question is about; None for all."""
        is_wanted = np.ones(len(matrix.numbers), np.bool_)
        if question.kinds is None and question.database is None and question.task_id is None:
            return None
        if question.kinds is not None:
            is_wanted &= np.isin(matrix.kinds, [KINDS.index(kind) for kind in question.kinds])
        if question.database is not None:
            is_wanted &= matrix.databases == matrix.database_names.get(question.database, -1)
        if question.task_id is not None:
            holdings = self._tables.holdings
            mine = select(holdings.c.item_number).where(holdings.c.task_id == question.task_id)
            numbers = np.fromiter(connection.execute(mine).scalars(), np.int64)
            is_wanted &= np.isin(matrix.numbers, numbers)
        return is_wanted

    def _current(self, connection: Connection) -> _Matrix:
        """The vectors as this connection's transaction sees them."""
        generation = connection.execute(self._generation).scalar_one()
        matrix = self._matrix
        if matrix is not None and matrix.generation == generation:
            return matrix
        with self._reading_in:
            matrix = self._matrix
            if matrix is None or matrix.generation != generation:
                self._matrix = None  # not both in memory
                matrix = self._read(connection, generation)
                self._matrix = matrix
        return matrix

    def _read(self, connection: Connection, generation: int) -> _Matrix:
        """By the driver itself: it gives 100 000 rows in half the time."""
        driver: Any = connection.connection.driver_connection
        (count,) = driver.execute(_HELD_COUNT).fetchone()
        numbers, kinds = np.empty(count, np.int64), np.empty(count, np.int8)
        databases, names = np.empty(count, np.int32), dict[str, int]()
        vectors = np.empty((count, self._embedder.identity.dimension), np.float32)
        for row, (number, kind, database, vector) in enumerate(driver.execute(_HELD)):
            numbers[row] = number
            kinds[row] = KINDS.index(kind)
            databases[row] = names.setdefault(database, len(names))
            vectors[row] = np.frombuffer(vector, "<f4")
        size, frequencies = driver.execute("SELECT item_count, frequencies FROM vector_store").fetchone()
        corpus = Corpus(size, counts_from_bytes(frequencies))
        return _Matrix(generation, corpus, numbers, kinds, databases, names, vectors)


def _best(scores: Vector, limit: int) -> NDArray[np.int64]:
    """The rows with the highest scores, best first."""
    nearest = np.argpartition(scores, -limit)[-limit:] if len(scores) > limit else np.arange(len(scores))
    best: NDArray[np.int64] = nearest[np.argsort(-scores[nearest], kind="stable")]
    return best
