"""The only way to a business database: SQLite or PostgreSQL, and nothing that is done through it can change it.

The wall is built here, once for each transaction. Nothing is set for a session: behind a pooler such as pgbouncer
the server's session belongs to the next client as soon as a transaction ends.
"""

from __future__ import annotations

import os
import sqlite3
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from data_pipeline.config.database_urls import label_of, parse_url
from data_pipeline.errors import DatabaseUnavailable
from data_pipeline.tasks.workspace import printable

CONNECT_TIMEOUT_SECONDS: Final = 10
_STATEMENT_SECONDS: Final = "statement_seconds"
"""The execution option that holds the time limit of a transaction's statements."""


class BusinessDatabase:
    """An open business database, made by `open_database`; `label` is its URL as people may see it."""

    def __init__(self, engine: Engine, label: str) -> None:
        self.engine = engine
        self.label = label

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.engine.dispose()

    @property
    def dialect_name(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    def connect(self, *, statement_seconds: float | None = None) -> Connection:
        """Return a connection in a transaction that only reads.

        No statement takes longer than `statement_seconds`, or than the limit given to `open_database` (PostgreSQL).
        Raises DatabaseUnavailable.
        """
        try:
            connection = self.engine.connect()
            try:
                if statement_seconds is not None:
                    connection = connection.execution_options(**{_STATEMENT_SECONDS: statement_seconds})
                connection.begin()
            except BaseException:
                connection.close()
                raise
        except SQLAlchemyError as error:
            raise DatabaseUnavailable(f"{self.label} cannot be opened: {reason_of(error)}.") from None
        return connection


def open_database(url: str, *, statement_timeout_seconds: float = 30.0) -> BusinessDatabase:
    """Open a business database and see that it answers; no statement takes longer than the limit (PostgreSQL).

    Raises InvalidInput for a URL that names none, DatabaseUnavailable when it cannot be opened.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = _sqlite(parsed)
    else:
        engine = _postgresql(parsed, statement_timeout_seconds)
    database = BusinessDatabase(engine, label_of(url))
    try:
        with database.connect() as connection:
            connection.exec_driver_sql(
                "SELECT count(*) FROM sqlite_master" if parsed.get_backend_name() == "sqlite" else "SELECT 1"
            )
    except SQLAlchemyError as error:
        engine.dispose()
        raise DatabaseUnavailable(f"{database.label} cannot be read: {reason_of(error)}.") from None
    except DatabaseUnavailable:
        engine.dispose()
        raise
    return database


def database_name(url: str) -> str:
    """The database's name in a URL; of a SQLite file its name without the suffix. Raises InvalidInput."""
    parsed = parse_url(url)
    name = parsed.database or ""
    return os.path.splitext(os.path.basename(name))[0] if parsed.get_backend_name() == "sqlite" else name


def reason_of(error: SQLAlchemyError) -> str:
    """The driver's own first line; the statement and its values stay out of it."""
    original = getattr(error, "orig", None)
    return str(original or type(error).__name__).strip().splitlines()[0]


def _sqlite(url: URL) -> Engine:
    path = os.path.abspath(str(url.database))
    if not os.path.isfile(path):
        raise DatabaseUnavailable(f"There is no SQLite file {printable(os.path.basename(path))} where the URL says.")
    # mode=ro never makes a file. The path is quoted, so that nothing in it can end it and add another mode; the driver
    # is called directly, as SQLAlchemy would take the quotes off again.
    uri = f"file:{quote(path)}?mode=ro"
    engine = create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(uri, uri=True, check_same_thread=False), poolclass=QueuePool
    )
    event.listen(engine, "connect", _refuse_attaching)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _refuse_attaching(connection: Any, _: Any) -> None:
    # `mode=ro` is a property of one file: an attached one would be opened for writing, and created if missing.
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)


def _begin_sqlite(connection: Connection) -> None:
    # The pool hands a connection to one caller after another, and a PRAGMA stays: set it for each of them.
    connection.exec_driver_sql("PRAGMA query_only = ON")


def _postgresql(url: URL, statement_timeout_seconds: float) -> Engine:
    engine = create_engine(
        url,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": "data_pipeline",
            # A prepared statement belongs to a session of the server, which a pooler gives to another client.
            "prepare_threshold": None,
            "cursor_factory": _OneStatementCursor,
        },
        execution_options={_STATEMENT_SECONDS: statement_timeout_seconds},
    )
    # Before SQLAlchemy's own listener: it asks the database for a type.
    event.listen(engine, "connect", _only_read, insert=True)
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def _only_read(connection: psycopg.Connection[Any], _: Any) -> None:
    connection.read_only = True  # the driver begins every transaction with BEGIN READ ONLY; the session stays as it is


def _begin_postgresql(connection: Connection) -> None:
    # A SELECT, and not SET LOCAL: it takes the transaction's first snapshot, after which PostgreSQL refuses to make
    # the transaction READ WRITE, whoever asks for it: a statement, or a function that calls set_config.
    # Cursors are planned for their first rows, unless told that all of them are wanted.
    milliseconds = max(1, int(connection.get_execution_options()[_STATEMENT_SECONDS] * 1000))
    connection.exec_driver_sql(
        f"SELECT set_config('statement_timeout', '{milliseconds}', true), "
        "set_config('cursor_tuple_fraction', '1', true)"
    )


class _OneStatementCursor(psycopg.Cursor[Any]):
    """Send every text by the extended protocol, in which the server takes one statement at a time.

    The simple protocol takes many: `COMMIT; DROP TABLE t` would end the transaction, and its wall with it.
    """

    def _execute_send(self, query: Any, *, force_extended: bool = True, binary: bool | None = None) -> None:  # noqa: ARG002
        super()._execute_send(query, force_extended=True, binary=binary)
