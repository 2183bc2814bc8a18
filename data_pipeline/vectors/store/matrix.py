"""Search all vectors that tasks hold, exactly, in memory, by one matrix product.

A store has a number, its generation, that increases with every visible change. A search reads the vectors again if the
generation has changed. So many processes can load and search without notifying each other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data_pipeline.vectors.store.contract import KINDS, Question

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from data_pipeline.vectors.embedding.contract import Corpus, Vector

HeldVector = tuple[int, str, str, "Vector"]
"""The number of an item, its kind, its database, its vector."""


@dataclass(frozen=True)
class Matrix:
    """All vectors at one generation, one per row, with the columns that searches filter by."""

    generation: int
    corpus: Corpus
    numbers: NDArray[np.int64]
    kinds: NDArray[np.int8]
    databases: NDArray[np.int32]
    database_names: dict[str, int]
    vectors: Vector

    def nearest(self, vector: Vector, question: Question, of_task: NDArray[np.int64]) -> list[tuple[int, float]]:
        """Return the numbers of the nearest items with their scores, best first. `of_task` are those of a task."""
        scores = self.vectors @ vector
        if question.kinds is not None or question.database is not None or question.task_id is not None:
            scores = np.where(self._is_wanted(question, of_task), scores, -np.inf)
        best = _best(scores, question.limit)
        pairs = zip(self.numbers[best].tolist(), scores[best].tolist(), strict=True)
        return [(number, score) for number, score in pairs if score > -np.inf]

    def _is_wanted(self, question: Question, of_task: NDArray[np.int64]) -> NDArray[np.bool_]:
        is_wanted = np.ones(len(self.numbers), np.bool_)
        if question.kinds is not None:
            is_wanted &= np.isin(self.kinds, [KINDS.index(kind) for kind in question.kinds])
        if question.database is not None:
            is_wanted &= self.databases == self.database_names.get(question.database, -1)
        if question.task_id is not None:
            is_wanted &= np.isin(self.numbers, of_task)
        return is_wanted


def matrix_of(generation: int, corpus: Corpus, count: int, dimension: int, held: Iterable[HeldVector]) -> Matrix:
    """Build the matrix of `count` vectors."""
    numbers, kinds = np.empty(count, np.int64), np.empty(count, np.int8)
    databases, names = np.empty(count, np.int32), dict[str, int]()
    vectors = np.empty((count, dimension), np.float32)
    for row, (number, kind, database, vector) in enumerate(held):
        numbers[row] = number
        kinds[row] = KINDS.index(kind)
        databases[row] = names.setdefault(database, len(names))
        vectors[row] = vector
    return Matrix(generation, corpus, numbers, kinds, databases, names, vectors)


class CachedMatrix:
    """A cache of the matrix of the newest generation. Callable from any thread."""

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._matrix: Matrix | None = None

    def at(self, generation: int, read: Callable[[], Matrix]) -> Matrix:
        """Return the matrix of a generation; call `read` if it is not cached."""
        matrix = self._matrix
        if matrix is not None and matrix.generation == generation:
            return matrix
        with self._reading:
            matrix = self._matrix
            if matrix is None or matrix.generation != generation:
                self._matrix = None  # so that two are never in memory
                matrix = read()
                self._matrix = matrix
        return matrix

    def clear(self) -> None:
        """Free the memory."""
        self._matrix = None


def _best(scores: Vector, limit: int) -> NDArray[np.int64]:
    """Return the rows with the highest scores, best first."""
    nearest = np.argpartition(scores, -limit)[-limit:] if len(scores) > limit else np.arange(len(scores))
    best: NDArray[np.int64] = nearest[np.argsort(-scores[nearest], kind="stable")]
    return best
