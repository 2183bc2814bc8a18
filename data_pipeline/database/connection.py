"""Open business databases; nothing that is done through such a connection can change one.

The driver builds the read-only wall anew for each transaction. Nothing is set for a session, because behind a pooler
such as pgbouncer the server's session belongs to the next client as soon as a transaction ends.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from data_pipeline.config.database_urls import label_of, parse_url
from data_pipeline.database.driver import STATEMENT_SECONDS, Dialect, Driver
from data_pipeline.database.drivers import dialect_of, driver_of
from data_pipeline.database.faults import reason_of
from data_pipeline.errors import DatabaseUnavailable


class BusinessDatabase:
    """An open business database, created by `open_database`.

    `label` is its URL for messages, without a password. Leaving a `with` block closes its connections.
    """

    def __init__(self, engine: Engine, driver: Driver, label: str) -> None:
        self.engine = engine
        self.driver = driver
        self.label = label

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.engine.dispose()

    @property
    def dialect_name(self) -> Dialect:
        """The name of its driver."""
        return self.driver.grammar.name

    def connect(self, *, statement_seconds: float | None = None) -> Connection:
        """Return a connection in a transaction that only reads.

        A server ends each statement after `statement_seconds`; by default after the limit given to `open_database`.
        Raises DatabaseUnavailable.
        """
        try:
            connection = self.engine.connect()
            try:
                if statement_seconds is not None:
                    connection = connection.execution_options(**{STATEMENT_SECONDS: statement_seconds})
                connection.begin()
            except BaseException:
                connection.close()
                raise
        except SQLAlchemyError as error:
            raise DatabaseUnavailable(f"{self.label} cannot be opened: {reason_of(error)}.") from None
        return connection


def open_database(url: str, *, statement_timeout_seconds: float = 30.0) -> BusinessDatabase:
    """Open a business database and check that it can be read; a server ends each statement after the timeout.

    Raises InvalidInput for a URL that names no database, DatabaseUnavailable if the database cannot be opened or read.
    """
    parsed = parse_url(url)
    driver = driver_of(dialect_of(parsed))
    engine = driver.connector.create_engine(parsed, statement_seconds=statement_timeout_seconds)
    database = BusinessDatabase(engine, driver, label_of(url))
    try:
        with database.connect() as connection:
            connection.exec_driver_sql(driver.connector.probe)
    except SQLAlchemyError as error:
        engine.dispose()
        raise DatabaseUnavailable(f"{database.label} cannot be read: {reason_of(error)}.") from None
    except DatabaseUnavailable:
        engine.dispose()
        raise
    return database


def database_name(url: str) -> str:
    """Return the name of the database in a URL; of a file, its name without the suffix. Raises InvalidInput."""
    parsed = parse_url(url)
    return driver_of(dialect_of(parsed)).connector.database_name(parsed)
