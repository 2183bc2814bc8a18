"""Rows and plans of PostgreSQL."""

from __future__ import annotations

import re
from typing import Final

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from data_pipeline.database.driver import TableSql, raw_connection
from data_pipeline.database.schema import Column

_COMPARABLE: Final = re.compile(
    r"(varchar|char|text|smallint|integer|bigint|numeric|real|double precision|date|timestamp|timestamptz|time)\b[^\[]*"
)
"""Types that have a least and a greatest value."""


class PostgresReader:
    """Samples are pages of the table, and estimates are those of the planner."""

    def is_comparable(self, column: Column) -> bool:
        return _COMPARABLE.fullmatch(column.type_sql) is not None

    def text_of(self, sql: str) -> str:
        return f"CAST({sql} AS TEXT)"

    def estimated_rows(self, connection: Connection, source: TableSql) -> int:
        statement = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)"
        parameterized = connection.execution_options(no_parameters=False)
        return int(parameterized.exec_driver_sql(statement, (source.place,)).scalar() or 0)

    def sample(self, connection: Connection, source: TableSql, *, rows: int, row_count: int) -> str | None:  # noqa: ARG002
        percent = min(100.0, 100 * rows / row_count)
        sampled = f"{source.place} TABLESAMPLE SYSTEM ({percent:.6f}) REPEATABLE (7)"
        return f"SELECT * FROM (SELECT {source.columns} FROM {sampled} LIMIT {rows}) AS sampled"

    def explain(self, connection: Connection, sql: str) -> None:
        connection.exec_driver_sql(f"EXPLAIN {sql}").fetchall()

    def compile(self, connection: Connection, text: str) -> None:
        """Prepare the text as one statement, by the protocol and not by a statement of SQL."""
        raw = raw_connection(connection)
        assert isinstance(raw, psycopg.Connection)
        result = raw.pgconn.prepare(b"", text.encode(raw.info.encoding))
        if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
            failure = psycopg.errors.error_from_result(result, raw.info.encoding)
            raise DBAPIError.instance(text, None, failure, psycopg.Error)

    def readable_modules(self, connection: Connection) -> frozenset[str]:  # noqa: ARG002 - there are none
        return frozenset()
