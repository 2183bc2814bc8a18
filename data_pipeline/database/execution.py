"""Run a query that the gate let through: read-only, limited in time, rows and bytes, stopped when it is cancelled.

Rows are fetched a few at a time, as many as are likely to fit into what is left of the limit. One row is as long as
its database makes it: SQLite's values are limited, PostgreSQL's are not, but for its own limit of 1 GB.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlglot import exp

from data_pipeline.database.connection import BusinessDatabase, reason_of
from data_pipeline.database.personal_data import MASK
from data_pipeline.database.query_gate import Query
from data_pipeline.errors import DatabaseUnavailable, QueryFailed

STEPS_BETWEEN_LOOKS: Final = 10_000
"""How many steps of SQLite's machine go by between two looks at the clock: about a tenth of a millisecond."""

ROWS_AT_ONCE: Final = 64
"""How many rows are fetched at once, at most."""

_SQLITE_FAULTS: Final = (
    ("no such table", "unknown_table"),
    ("no such column", "unknown_column"),
    ("ambiguous column name", "ambiguous_column"),
    ("no such function", "unknown_function"),
    ("near ", "syntax"),
    ("interrupted", "timeout"),
    ("string or blob too big", "too_large"),
)
_POSTGRESQL_FAULTS: Final = (
    (psycopg.errors.UndefinedTable, "unknown_table"),
    (psycopg.errors.UndefinedColumn, "unknown_column"),
    (psycopg.errors.AmbiguousColumn, "ambiguous_column"),
    (psycopg.errors.UndefinedFunction, "unknown_function"),
    (psycopg.errors.SyntaxError, "syntax"),
    (psycopg.errors.QueryCanceled, "timeout"),
    (psycopg.errors.ProgramLimitExceeded, "too_large"),
)
_TOO_LONG_A_VALUE: Final = "invalid memory alloc request size"
"""How PostgreSQL says, with the state of a defect of its own, that a value would be longer than 1 GB."""


_QUOTES: Final = (('"', '"'), ("'", "'"), ("«", "»"), ("»", "«"), ("„", "[“”]"), ("“", "”"), ("\u2018", "\u2019"))
"""How PostgreSQL quotes values, in the languages that it speaks."""

_MODULES: Final = "data_pipeline.modules"

_UNAVAILABLE: Final = frozenset({"08", "53", "57", "58", "XX"})
"""PostgreSQL's classes of errors: connection, resources, operator intervention, system, internal."""

_SQLITE_UNAVAILABLE: Final = ("database is locked", "disk I/O error", "database disk image", "unable to open")


class Cancellation:
    """Stops queries from any thread: those that run, at once, and those that would begin."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._running: set[psycopg.Connection[Any]] = set()

    @property
    def is_set(self) -> bool:
        """Whether queries are to stop."""
        return self._is_set

    def set(self) -> None:
        """Stop them."""
        with self._lock:  # held until the server has been asked: the request must not reach a later statement
            self._is_set = True
            for raw in self._running:  # SQLite looks by itself
                with contextlib.suppress(psycopg.Error):  # it has ended, or its server has
                    raw.cancel_safe(timeout=5)

    @contextlib.contextmanager
    def of(self, raw: psycopg.Connection[Any]) -> Iterator[None]:
        """While a connection runs statements. Raises QueryFailed where they were to stop before."""
        with self._lock:
            if self._is_set:
                raise QueryFailed("cancelled", "it was cancelled")
            self._running.add(raw)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(raw)


@dataclass(frozen=True)
class QueryLimits:
    """What one query may cost, and who may stop it.

    `result_bytes` is memory of this process, over all rows; `value_bytes` is how long a value may become in SQLite.
    """

    seconds: float = 10.0
    rows: int = 1_000
    result_bytes: int = 16 * 1024 * 1024
    value_bytes: int = 1024 * 1024
    cancellation: Cancellation = field(default_factory=Cancellation)


@dataclass(frozen=True)
class QueryRows:
    """What a query gave: at most the rows of the limit; `is_cut` says that there were more."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    is_cut: bool
    seconds: float


def explain_query(database: BusinessDatabase, query: Query, limits: QueryLimits) -> None:
    """See that all names of a query resolve, without running it. Raises QueryFailed, DatabaseUnavailable."""
    verb = "EXPLAIN QUERY PLAN" if database.dialect_name == "sqlite" else "EXPLAIN"
    with limited_connection(database, limits) as connection:
        _check_tables(connection, query)
        connection.exec_driver_sql(f"{verb} {query.sql}").fetchall()


def compile_query(database: BusinessDatabase, text: str, limits: QueryLimits) -> None:
    """See that the database takes a text as it is, without running it. Raises QueryFailed, DatabaseUnavailable.

    The text is one that `is_same_query`: to SQLite it begins with SELECT or WITH, so that after EXPLAIN it is only
    compiled (a PRAGMA would act); its module takes one statement. PostgreSQL prepares one statement by its protocol.
    """
    with limited_connection(database, limits) as connection:
        if database.dialect_name == "sqlite":
            connection.exec_driver_sql(f"EXPLAIN {text}").close()
            return
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        result = raw.pgconn.prepare(b"", text.encode(raw.info.encoding))
        if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
            failure = psycopg.errors.error_from_result(result, raw.info.encoding)
            raise DBAPIError.instance(text, None, failure, psycopg.Error)


def execute_query(database: BusinessDatabase, query: Query, limits: QueryLimits) -> QueryRows:
    """Run a query. Raises QueryFailed, DatabaseUnavailable."""
    began = time.monotonic()
    with limited_connection(database, limits) as connection:
        _check_tables(connection, query)
        columns, found, is_whole = rows_within(connection, query.sql, replace(limits, rows=limits.rows + 1))
    if not is_whole:
        megabytes = limits.result_bytes / 1024 / 1024
        raise QueryFailed("too_large", f"its result is larger than {megabytes:g} MB")
    seconds = time.monotonic() - began
    return QueryRows(columns, tuple(found[: limits.rows]), is_cut=len(found) > limits.rows, seconds=seconds)


def _check_tables(connection: Connection, query: Query) -> None:
    """Raises QueryFailed for a table that is none of the database's: SQLite reads some modules by their bare names."""
    if query.dialect != "sqlite" or connection.dialect.name != "sqlite":
        return
    modules = connection.info.get(_MODULES)
    if modules is None:
        own = "SELECT lower(name) FROM sqlite_master"
        statement = f"SELECT lower(name) FROM pragma_module_list WHERE lower(name) NOT IN ({own})"  # noqa: S608
        modules = connection.info[_MODULES] = frozenset(connection.exec_driver_sql(statement).scalars())
    # A name that a WITH gives counts as well: elsewhere in the query it may be the module.
    for table in query.expression.find_all(exp.Table):
        if table.name.lower() in modules:
            raise QueryFailed("unknown_table", f"no such table: {table.name[:60]}")


def rows_within(
    connection: Connection, sql: str, limits: QueryLimits
) -> tuple[tuple[str, ...], list[tuple[Any, ...]], bool]:
    """The columns and first rows of a query on a limited connection; False where the others take too many bytes."""
    # Without it PostgreSQL would send the whole table: a named cursor sends a block of rows at a time.
    result = connection.execution_options(stream_results=True, max_row_buffer=ROWS_AT_ONCE).exec_driver_sql(sql)
    columns = tuple(result.keys())
    found: list[tuple[Any, ...]] = []
    size, wanted = 0, 1
    while len(found) < limits.rows:
        part = [tuple(row) for row in result.fetchmany(wanted)]
        size += sum(map(_size_bytes, part))
        if size > limits.result_bytes:
            break
        found += part
        if len(part) < wanted:
            break
        likely = (limits.result_bytes - size) * len(found) // size  # as long as those before
        wanted = max(1, min(ROWS_AT_ONCE, limits.rows - len(found), likely))
    result.close()
    return columns, found, size <= limits.result_bytes


def _size_bytes(value: Any) -> int:
    """How much memory a value takes, with what is in it."""
    inner: Sequence[Any] = [*value, *value.values()] if isinstance(value, dict) else value
    own = sum(map(sys.getsizeof, inner)) + sys.getsizeof(value)
    return own + sum(_size_bytes(one) - sys.getsizeof(one) for one in inner if isinstance(one, (tuple, list, dict)))


@contextlib.contextmanager
def limited_connection(database: BusinessDatabase, limits: QueryLimits) -> Iterator[Connection]:
    """A connection whose statements end in time. What goes wrong in it is a QueryFailed."""
    if limits.cancellation.is_set:
        raise QueryFailed("cancelled", "it was cancelled")
    guard = _guarded_sqlite if database.dialect_name == "sqlite" else _guarded_postgresql
    with database.connect(statement_seconds=limits.seconds) as connection:
        try:
            with guard(connection, limits):
                # A percent sign in a query is no placeholder.
                yield connection.execution_options(no_parameters=True)
        except SQLAlchemyError as error:
            if limits.cancellation.is_set:
                raise QueryFailed("cancelled", "it was cancelled") from None
            if _is_unavailable(error):
                raise DatabaseUnavailable(f"{database.label} does not answer: {reason_of(error)}.") from None
            kind = _kind(error)
            reason = f"it took longer than {limits.seconds:g} s" if kind == "timeout" else _reason(error)
            raise QueryFailed(kind, reason) from None
        finally:
            with contextlib.suppress(SQLAlchemyError):  # it broke: the pool makes another one
                connection.rollback()


@contextlib.contextmanager
def _guarded_sqlite(connection: Connection, limits: QueryLimits) -> Iterator[None]:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    deadline = time.monotonic() + limits.seconds
    cancellation = limits.cancellation

    def is_over() -> bool:
        return time.monotonic() > deadline or cancellation.is_set

    length_before = raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.value_bytes)
    raw.set_progress_handler(is_over, STEPS_BETWEEN_LOOKS)
    try:
        yield
    finally:
        raw.set_progress_handler(None, 0)
        raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, length_before)  # the pool's next caller has limits of its own


@contextlib.contextmanager
def _guarded_postgresql(connection: Connection, limits: QueryLimits) -> Iterator[None]:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    with limits.cancellation.of(raw):
        yield


def _is_unavailable(error: SQLAlchemyError) -> bool:
    """Whether the database is at fault, and not the query: it is busy, stopped, out of room or broken."""
    original = getattr(error, "orig", None)
    if isinstance(original, psycopg.Error):
        state = original.sqlstate or "08"  # none came: the connection is gone
        if _is_too_long(original):
            return False
        return state[:2] in _UNAVAILABLE and not isinstance(original, psycopg.errors.QueryCanceled)
    return isinstance(error, DBAPIError) and str(original).startswith(_SQLITE_UNAVAILABLE)


def _is_too_long(error: BaseException | None) -> bool:
    return isinstance(error, psycopg.Error) and (error.diag.message_primary or "").startswith(_TOO_LONG_A_VALUE)


def _reason(error: SQLAlchemyError) -> str:
    """The database's own words, without a value of a row: it could be anybody's name."""
    original = getattr(error, "orig", None)
    if isinstance(original, psycopg.Error):
        if (original.sqlstate or "")[:2] == "P0":
            return "a function of the database refused it"  # its words are its own, and may hold anything
        said = original.diag.message_primary or type(original).__name__
    else:
        said = str(original or type(error).__name__)
    statement = getattr(error, "statement", None) or ""
    if not isinstance(original, psycopg.ProgrammingError):  # that speaks of the query alone
        for opened, closed in _QUOTES:
            quoted = re.search(f"{opened}(.*){closed}", said, re.DOTALL)
            if quoted is not None and quoted[1] not in statement:
                said = f"{said[: quoted.start(1)]}{MASK}{said[quoted.end(1) :]}"
    return next(iter(said.strip().splitlines()), type(original).__name__)


def _kind(error: SQLAlchemyError) -> str:
    original = getattr(error, "orig", None)
    for class_, kind in _POSTGRESQL_FAULTS:
        if isinstance(original, class_):
            return kind
    if _is_too_long(original):
        return "too_large"
    text = str(original)
    return next((kind for fault, kind in _SQLITE_FAULTS if text.startswith(fault)), "failed")
