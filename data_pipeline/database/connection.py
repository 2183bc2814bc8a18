"""The only way to a business database: SQLite or PostgreSQL, and nothing that is done through it can change it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from data_pipeline.database_urls import label_of, parse_url
from data_pipeline.errors import DatabaseUnavailable
from data_pipeline.workspace import printable

CONNECT_TIMEOUT_SECONDS: Final = 10


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

    def connect(self) -> Connection:
        """A connection that only reads. Raises DatabaseUnavailable."""
        try:
            return self.engine.connect()
        except SQLAlchemyError as error:
            raise DatabaseUnavailable(f"{self.label} cannot be opened: {reason_of(error)}.") from None


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
    event.listen(engine, "connect", _each_connection("PRAGMA query_only = ON"))
    return engine


def _postgresql(url: URL, statement_timeout_seconds: float) -> Engine:
    engine = create_engine(
        url, connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS, "application_name": "data_pipeline"}
    )
    listen = _each_connection(
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        f"SET statement_timeout = {int(statement_timeout_seconds * 1000)}",
    )
    event.listen(engine, "connect", listen)
    return engine


def _each_connection(*statements: str) -> Callable[[Any, Any], None]:
    def prepare(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()
        connection.commit()

    return prepare
