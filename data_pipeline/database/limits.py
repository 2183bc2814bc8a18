"""The limits of one query, and the way to stop queries from another thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from data_pipeline.errors import QueryFailed


class Cancellation:
    """Stop queries from any thread: running queries at once, and later queries before they begin.

    One object belongs to one caller, who may run queries on several connections at the same time. `set` cannot be
    undone: make a new object for new queries.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._running: set[Callable[[], None]] = set()

    @property
    def is_set(self) -> bool:
        """True after `set`: queries must stop."""
        return self._is_set

    def set(self) -> None:
        """Stop all queries, and return once every server that runs one has received the request."""
        with self._lock:  # held until then, because a late request could reach a later statement of the same connection
            self._is_set = True
            for stop in self._running:
                stop()

    @contextlib.contextmanager
    def stopping_by(self, stop: Callable[[], None]) -> Iterator[None]:
        """Run the block; `set` calls `stop` from another thread while it lasts. `stop` must raise nothing.

        Raises QueryFailed ("cancelled") if `set` was called before.
        """
        with self._lock:
            if self._is_set:
                raise QueryFailed("cancelled", "it was cancelled")
            self._running.add(stop)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(stop)


@dataclass(frozen=True)
class QueryLimits:
    """Limits of one query, and the object that can stop it.

    `seconds`: of the whole transaction in SQLite, of each statement on a server. `rows`: rows to return.
    `result_bytes`: memory of this process for all rows. `value_bytes`: length of one value, where the database can
    limit it (SQLite).
    """

    seconds: float = 10.0
    rows: int = 1_000
    result_bytes: int = 16 * 1024 * 1024
    value_bytes: int = 1024 * 1024
    cancellation: Cancellation = field(default_factory=Cancellation)
