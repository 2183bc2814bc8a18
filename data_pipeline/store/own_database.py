"""How a database of our own is opened: a SQLite file that only its owner reads, or PostgreSQL. Its writers queue."""

from __future__ import annotations

import os
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

BUSY_TIMEOUT_SECONDS: Final = 30.0
CONNECT_TIMEOUT_SECONDS: Final = 10


def make_engine(url: URL) -> Engine:
    """An engine; a SQLite file that is missing is made, readable for its owner alone. Raises OSError."""
    if url.get_backend_name() == "postgresql":
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS})
    assert url.database is not None
    path = os.path.abspath(url.database)
    if not os.path.exists(path):
        from data_pipeline.tasks.workspace import create_private_file  # the journal, which other opens do without

        create_private_file(path)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # or the driver begins transactions itself, too late and not for DDL
    for setting in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE: a transaction that reads first and then writes would fail at once where another one writes.
    is_reading = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")
