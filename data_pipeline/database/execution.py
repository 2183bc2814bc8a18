"""Run queries that the gate accepted: read-only, within limits of time, rows and bytes, until they are cancelled.

Rows are fetched a few at a time: as many as are likely to fit into the rest of the limit. The database decides how long
one row is. SQLite limits values to `value_bytes`; PostgreSQL has its own limit of 1 GB only.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlglot import exp

from data_pipeline.database.connection import BusinessDatabase
from data_pipeline.database.faults import reason_of
from data_pipeline.database.limits import Cancellation, QueryLimits
from data_pipeline.database.query_gate import Query
from data_pipeline.errors import DatabaseUnavailable, QueryFailed

__all__ = [
    "Cancellation",
    "QueryLimits",
    "QueryRows",
    "compile_query",
    "execute_query",
    "explain_query",
    "limited_connection",
    "rows_within",
]

ROWS_AT_ONCE: Final = 64
"""The maximum number of rows in one fetch."""


@dataclass(frozen=True)
class QueryRows:
    """The result of a query, with at most the rows of the limit; `is_cut` is True if there were more."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    is_cut: bool
    seconds: float


def explain_query(database: BusinessDatabase, query: Query, limits: QueryLimits) -> None:
    """Check that all names of a query resolve, without running it. Raises QueryFailed, DatabaseUnavailable."""
    with limited_connection(database, limits) as connection:
        _check_tables(database, connection, query)
        database.driver.reader.explain(connection, query.sql)


def compile_query(database: BusinessDatabase, text: str, limits: QueryLimits) -> None:
    """Check that the database compiles a text as it is, without running it. Raises QueryFailed, DatabaseUnavailable.

    The text must be one for which `is_same_query` returned True.
    """
    with limited_connection(database, limits) as connection:
        database.driver.reader.compile(connection, text)


def execute_query(database: BusinessDatabase, query: Query, limits: QueryLimits) -> QueryRows:
    """Run a query. Raises QueryFailed, DatabaseUnavailable."""
    began = time.monotonic()
    with limited_connection(database, limits) as connection:
        _check_tables(database, connection, query)
        columns, rows, is_whole = rows_within(connection, query.sql, replace(limits, rows=limits.rows + 1))
    if not is_whole:
        megabytes = limits.result_bytes / 1024 / 1024
        raise QueryFailed("too_large", f"its result is larger than {megabytes:g} MB")
    seconds = time.monotonic() - began
    return QueryRows(columns, tuple(rows[: limits.rows]), is_cut=len(rows) > limits.rows, seconds=seconds)


def _check_tables(database: BusinessDatabase, connection: Connection, query: Query) -> None:
    """Raise QueryFailed if a query reads a module of the database by its bare name, like a table."""
    modules = database.driver.reader.readable_modules(connection)
    if not modules:
        return
    # A name that a WITH defines counts as well: elsewhere in the query it may be the module.
    for table in query.expression.find_all(exp.Table):
        if table.name.lower() in modules:
            raise QueryFailed("unknown_table", f"no such table: {table.name[:60]}")


def rows_within(
    connection: Connection, sql: str, limits: QueryLimits
) -> tuple[tuple[str, ...], list[tuple[Any, ...]], bool]:
    """Return the columns and the first rows of a query on a limited connection, and False if bytes cut the rows."""
    # Without streaming, PostgreSQL would send the whole table. A named cursor sends a block of rows at a time.
    result = connection.execution_options(stream_results=True, max_row_buffer=ROWS_AT_ONCE).exec_driver_sql(sql)
    columns = tuple(result.keys())
    rows: list[tuple[Any, ...]] = []
    size, wanted = 0, 1
    while len(rows) < limits.rows:
        part = [tuple(row) for row in result.fetchmany(wanted)]
        size += sum(map(_size_bytes, part))
        if size > limits.result_bytes:
            break
        rows += part
        if len(part) < wanted:
            break
        likely = (limits.result_bytes - size) * len(rows) // size  # if they are as long as the rows before
        wanted = max(1, min(ROWS_AT_ONCE, limits.rows - len(rows), likely))
    result.close()
    return columns, rows, size <= limits.result_bytes


def _size_bytes(value: Any) -> int:
    """Return the memory of a value and of everything in it."""
    inner: Sequence[Any] = [*value, *value.values()] if isinstance(value, dict) else value
    shallow = sum(map(sys.getsizeof, inner)) + sys.getsizeof(value)
    nested = [item for item in inner if isinstance(item, (tuple, list, dict))]
    return shallow + sum(_size_bytes(item) - sys.getsizeof(item) for item in nested)


@contextlib.contextmanager
def limited_connection(database: BusinessDatabase, limits: QueryLimits) -> Iterator[Connection]:
    """Give a connection whose statements end within the limits, and roll its transaction back.

    Errors of the database in the block become QueryFailed, or DatabaseUnavailable if the query is not at fault.
    """
    if limits.cancellation.is_set:
        raise QueryFailed("cancelled", "it was cancelled")
    with database.connect(statement_seconds=limits.seconds) as connection:
        try:
            with database.driver.connector.guard(connection, limits):
                # A percent sign in a query is not a placeholder.
                yield connection.execution_options(no_parameters=True)
        except SQLAlchemyError as error:
            if limits.cancellation.is_set:
                raise QueryFailed("cancelled", "it was cancelled") from None
            fault = database.driver.faults.fault(error)
            if fault.is_unavailable:
                raise DatabaseUnavailable(f"{database.label} does not answer: {reason_of(error)}.") from None
            is_timeout = fault.kind == "timeout"
            reason = f"it took longer than {limits.seconds:g} s" if is_timeout else fault.reason
            raise QueryFailed(fault.kind, reason) from None
        finally:
            with contextlib.suppress(SQLAlchemyError):  # the connection is broken: the pool opens another one
                connection.rollback()
