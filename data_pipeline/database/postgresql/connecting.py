"""Connections to PostgreSQL that can only read, through a pooler, too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from data_pipeline.database.driver import STATEMENT_SECONDS, raw_connection
from data_pipeline.database.limits import QueryLimits

CONNECT_TIMEOUT_SECONDS: Final = 10
CANCEL_TIMEOUT_SECONDS: Final = 5


class PostgresConnector:
    """Read-only transactions with a statement timeout, one statement in a text; the server cancels."""

    probe = "SELECT 1"

    def create_engine(self, url: URL, *, statement_seconds: float) -> Engine:
        engine = create_engine(
            url,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "application_name": "data_pipeline",
                # A prepared statement belongs to a session of the server, which a pooler gives to another client.
                "prepare_threshold": None,
                "cursor_factory": _OneStatementCursor,
            },
            execution_options={STATEMENT_SECONDS: statement_seconds},
        )
        # Before SQLAlchemy's own listener, which queries the database for a type.
        event.listen(engine, "connect", _only_read, insert=True)
        event.listen(engine, "begin", _begin)
        return engine

    @contextlib.contextmanager
    def guard(self, connection: Connection, limits: QueryLimits) -> Iterator[None]:
        raw = raw_connection(connection)
        assert isinstance(raw, psycopg.Connection)

        def stop() -> None:
            with contextlib.suppress(psycopg.Error):  # the statement has ended, or its server has
                raw.cancel_safe(timeout=CANCEL_TIMEOUT_SECONDS)

        with limits.cancellation.stopping_by(stop):
            yield

    def database_name(self, url: URL) -> str:
        return url.database or ""


def _only_read(connection: psycopg.Connection[Any], _: Any) -> None:
    connection.read_only = True  # the driver begins every transaction with BEGIN READ ONLY; the session is unchanged


def _begin(connection: Connection) -> None:
    # A SELECT and not SET LOCAL, because it takes the transaction's first snapshot. After that PostgreSQL refuses to
    # make the transaction READ WRITE, for a statement as for a function that calls set_config.
    # By default cursors are planned for their first rows only.
    milliseconds = max(1, int(connection.get_execution_options()[STATEMENT_SECONDS] * 1000))
    connection.exec_driver_sql(
        f"SELECT set_config('statement_timeout', '{milliseconds}', true), "
        "set_config('cursor_tuple_fraction', '1', true)"
    )


class _OneStatementCursor(psycopg.Cursor[Any]):
    """Send every text by the extended protocol, in which the server accepts one statement at a time.

    The simple protocol accepts many: `COMMIT; DROP TABLE t` would end the transaction, and its wall with it.
    """

    def _execute_send(self, query: Any, *, force_extended: bool = True, binary: bool | None = None) -> None:  # noqa: ARG002
        super()._execute_send(query, force_extended=True, binary=binary)
