"""Open the application's own databases: the task store, the vector store and the records of the engine.

Each is a SQLite file that only its owner can read, or a PostgreSQL database. All three are opened, read and written by
`OwnDatabase`, so that they have the same settings, the same transactions and the same errors.

A transaction on SQLite begins in one of three ways. `reading()` takes a snapshot and no lock. `writing()` takes the
write lock at once: a transaction that reads first and then writes would fail immediately while another one writes,
instead of waiting for it. Code that begins transactions itself, as the library of the engine does, gets the write lock
from the driver before its first change, for the same reason.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from data_pipeline.config.database_urls import masked, parse_url
from data_pipeline.errors import InvalidInput, StoreUnavailable

BUSY_TIMEOUT_SECONDS: Final = 30.0
CONNECT_TIMEOUT_SECONDS: Final = 10
POOL_SIZE: Final = 5

Prepare = Callable[[Any], object]
"""Prepares a new connection of the driver, before its settings and its first transaction."""


class DatabaseRole(NamedTuple):
    """The role of a database, for error messages: its name, the setting with its URL, and the URL without secrets."""

    name: str
    setting: str
    label_of: Callable[[str], str] = masked


class OwnDatabase:
    """A database of the application, opened by `open` or `open_existing`. Callable from any thread.

    `engine` is for libraries that need one, and for the few statements that are in no transaction.
    """

    def __init__(self, engine: Engine, role: DatabaseRole, label: str) -> None:
        self.engine = engine
        self.label = label
        self._role = role

    @classmethod
    def open(cls, url: str, role: DatabaseRole, *, prepare: Prepare | None = None, pool_size: int = POOL_SIZE) -> Self:
        """Open a database; create the SQLite file, readable only for its owner, if it is missing.

        `prepare` is called with each new connection. Threads share `pool_size` connections, and up to twice as many
        more while these are in use. Raises StoreUnavailable.
        """
        parsed, label = _parse(url, role), role.label_of(url)
        sizes = {"pool_size": pool_size, "max_overflow": 2 * pool_size}
        if _is_sqlite(parsed):
            _create_missing_file(parsed, role, label)
            engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, **sizes)
        else:
            engine = _postgresql_engine(parsed, **sizes)
        if prepare is not None:
            event.listen(engine, "connect", lambda connection, _: prepare(connection))
        if _is_sqlite(parsed):
            event.listen(engine, "connect", _configure_sqlite)
        return cls(_with_transactions(engine), role, label)

    @classmethod
    def open_existing(cls, url: str, role: DatabaseRole) -> Self | None:
        """Open a database to read it; None if the SQLite file is missing. Creates nothing. Raises StoreUnavailable."""
        parsed = _parse(url, role)
        if not _is_sqlite(parsed):
            engine = _postgresql_engine(parsed)
        else:
            path = _path_of(parsed)
            if not os.path.exists(path):
                return None
            uri = f"file:{quote(path)}?mode=ro"
            engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(uri, uri=True), poolclass=NullPool)
        return cls(_with_transactions(engine), role, role.label_of(url))

    @property
    def is_sqlite(self) -> bool:
        """True for a SQLite file, False for PostgreSQL."""
        return self.engine.dialect.name == "sqlite"

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection whose statements all see the database as it is at one moment."""
        options = {"begin": "BEGIN"} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self.engine.connect().execution_options(**options) as connection:
            connection.begin()  # so that statements which go to the driver directly see the same moment, too
            yield connection

    @contextlib.contextmanager
    def writing(self, *, lock_key: int | None = None) -> Iterator[Connection]:
        """Open a transaction that may change the database; commit it at the end. Writers of SQLite are serialized.

        `lock_key` serializes the transactions of all processes that have the same key on PostgreSQL, too.
        """
        with self.engine.connect() as connection, write_transaction(connection):
            if lock_key is not None and not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key})
            yield connection

    @contextlib.contextmanager
    def translating_errors(self) -> Iterator[None]:
        """Raise StoreUnavailable, with the first line of the driver's message, for every error of the database."""
        try:
            yield
        except (SQLAlchemyError, self.engine.dialect.loaded_dbapi.Error) as error:
            cause = getattr(error, "orig", None) if isinstance(error, SQLAlchemyError) else error
            reason = str(cause or type(error).__name__).strip().splitlines()[0]
            raise StoreUnavailable(
                f"The {self._role.name} {self.label} cannot be used: {reason}. Correct {self._role.setting}, or repair "
                "the database."
            ) from None  # the error of SQLAlchemy may have the password

    @contextlib.contextmanager
    def closing_on_error(self) -> Iterator[None]:
        """Close the database if its first use fails. Raises as `translating_errors`."""
        try:
            with self.translating_errors():
                yield
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def closing(self) -> Iterator[Self]:
        """Close the database at the end. Raises as `translating_errors`."""
        try:
            with self.translating_errors():
                yield self
        finally:
            self.close()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def read_transaction(connection: Connection) -> contextlib.AbstractContextManager[object]:
    """Begin a transaction on SQLite that takes no write lock. It may change temporary tables."""
    return connection.execution_options(begin="BEGIN").begin()


def write_transaction(connection: Connection) -> contextlib.AbstractContextManager[object]:
    """Begin a transaction that may change the database; leaving `with` commits it, an error undoes it."""
    return connection.execution_options(begin="BEGIN IMMEDIATE").begin()


def _parse(url: str, role: DatabaseRole) -> URL:
    try:
        return parse_url(url)
    except InvalidInput as error:
        raise StoreUnavailable(f"{role.setting}: {'; '.join(error.problems)}.") from None  # the value may be a secret


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _path_of(url: URL) -> str:
    return os.path.abspath(str(url.database))


def _create_missing_file(url: URL, role: DatabaseRole, label: str) -> None:
    path = _path_of(url)
    if os.path.exists(path):
        return
    from data_pipeline.tasks.workspace import create_private_file  # the journal, which is not imported for old files

    try:
        create_private_file(path)
    except OSError as error:
        raise StoreUnavailable(
            f"The {role.name} {label} cannot be created: {error}. Correct {role.setting}, or the permissions."
        ) from error


def _postgresql_engine(url: URL, **options: Any) -> Engine:
    return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS}, **options)


def _configure_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = "IMMEDIATE"  # for transactions that `_begin_sqlite` does not begin
    for setting in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")


def _with_transactions(engine: Engine) -> Engine:
    if engine.dialect.name == "sqlite":
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _begin_sqlite(connection: Connection) -> None:
    # The driver begins no transaction before a SELECT or a CREATE TABLE, so the statement is explicit.
    statement = connection.get_execution_options().get("begin")
    if statement is not None:
        connection.exec_driver_sql(statement)
