"""Connections to a SQLite file that can only read it, and no other file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import QueuePool

from data_pipeline.database.driver import raw_connection
from data_pipeline.database.limits import QueryLimits
from data_pipeline.errors import DatabaseUnavailable
from data_pipeline.tasks.workspace import printable

STEPS_BETWEEN_CHECKS: Final = 10_000
"""Steps of SQLite's virtual machine between two checks of the clock: about a tenth of a millisecond."""


class SqliteConnector:
    """`mode=ro`, `PRAGMA query_only`, no ATTACH; limits of time and length are enforced here, as there is no server."""

    probe = "SELECT count(*) FROM sqlite_master"

    def create_engine(self, url: URL, *, statement_seconds: float) -> Engine:  # noqa: ARG002 - `guard` limits the time
        path = os.path.abspath(str(url.database))
        if not os.path.isfile(path):
            raise DatabaseUnavailable(
                f"There is no SQLite file {printable(os.path.basename(path))} where the URL says."
            )
        # mode=ro never creates a file. The path is quoted so that nothing in it can end it and add another mode. The
        # module is called directly because SQLAlchemy would remove the quotes again.
        uri = f"file:{quote(path)}?mode=ro"
        engine = create_engine(
            "sqlite://", creator=lambda: sqlite3.connect(uri, uri=True, check_same_thread=False), poolclass=QueuePool
        )
        event.listen(engine, "connect", _refuse_attaching)
        event.listen(engine, "begin", _begin)
        return engine

    @contextlib.contextmanager
    def guard(self, connection: Connection, limits: QueryLimits) -> Iterator[None]:
        raw = raw_connection(connection)
        assert isinstance(raw, sqlite3.Connection)
        deadline = time.monotonic() + limits.seconds
        cancellation = limits.cancellation

        def is_over() -> bool:
            return time.monotonic() > deadline or cancellation.is_set

        length_before = raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.value_bytes)
        raw.set_progress_handler(is_over, STEPS_BETWEEN_CHECKS)
        try:
            yield
        finally:
            raw.set_progress_handler(None, 0)
            raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, length_before)

    def database_name(self, url: URL) -> str:
        """Return the name of the file without its suffix."""
        return os.path.splitext(os.path.basename(url.database or ""))[0]


def _refuse_attaching(connection: Any, _: Any) -> None:
    # `mode=ro` is a property of one file: an attached file would be opened for writing, and created if missing.
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)


def _begin(connection: Connection) -> None:
    # The pool gives a connection to one caller after another, and a PRAGMA stays. So it is set for each of them.
    connection.exec_driver_sql("PRAGMA query_only = ON")
