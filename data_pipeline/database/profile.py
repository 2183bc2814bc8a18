"""What the rows of a table look like, at a cost that does not grow with the table.

Two queries a table: one of aggregates over at most `SAMPLE_ROWS` rows, one of a few rows as they are. A larger table is
sampled, from places all over it where the database can seek, and the profile says so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.sql.compiler import IdentifierPreparer

from data_pipeline.database.connection import BusinessDatabase
from data_pipeline.database.execution import QueryLimits, limited_connection
from data_pipeline.database.personal_data import (
    MASK,
    TELLING_KINDS,
    Personal,
    personal_by_name,
    personal_by_neighbours,
    personal_by_values,
    repeats_any,
)
from data_pipeline.database.schema import Column, Table
from data_pipeline.table_list import TableName

SAMPLE_ROWS: Final = 10_000
LOOKED_AT_ROWS: Final = 200
"""How many rows are fetched as they are: enough to know a personal column by its values."""

PLACES: Final = 20
"""From how many places of a large SQLite table rows are taken."""

TELLING_LIMIT: Final = 100
"""Longer texts of personal columns are no names."""

SAMPLES: Final = 5
ENUM_LIMIT: Final = 20
SHOWN_CHARACTERS: Final = 60

_COMPARABLE: Final = re.compile(
    r"(varchar|char|text|smallint|integer|bigint|numeric|real|double precision|date|timestamp|timestamptz|time)\b[^\[]*"
)
"""Types of PostgreSQL that have a least and a greatest value; SQLite compares everything."""

_OF_WORDS: Final = re.compile(r"[^\[]*(CHAR|TEXT|BOOL)[^\[]*", re.IGNORECASE)


@dataclass(frozen=True)
class ColumnProfile:
    """A column's values in the rows that were looked at; of a personal column only counts, its values are masked.

    `distinct_count` is exact for these rows. `enum_values` are all values of a column that has few and repeats them.
    """

    name: str
    null_count: int
    distinct_count: int
    minimum: str | None
    maximum: str | None
    samples: tuple[str, ...]
    enum_values: tuple[str, ...]
    personal: Personal | None
    is_masked: bool


@dataclass(frozen=True)
class TableProfile:
    """`row_count` is exact, or an estimate where `is_sampled`; `looked_at` is how many rows the columns tell of."""

    row_count: int
    looked_at: int
    is_sampled: bool
    columns: tuple[ColumnProfile, ...]


@dataclass(frozen=True)
class TableRows:
    """Rows of a table as they are, the same ones each time, with what is personal about each column.

    `row_count` as in a profile. `told` are values by which people can be known: nothing that is shown may hold one.
    """

    row_count: int
    rows: Sequence[tuple[Any, ...]] = field(repr=False)
    personal: Sequence[Personal | None]
    told: frozenset[str] = field(repr=False)


def look_at_rows(database: BusinessDatabase, table: Table, limits: QueryLimits) -> TableRows:
    """At most `limits.rows` rows of a table or view. Raises QueryFailed where it takes long, DatabaseUnavailable."""
    with limited_connection(database, limits) as connection:
        source = _Source(connection, table)
        row_count, is_sampled = source.size()
        rows = source.sampled(row_count) if is_sampled else source.all_rows() + source.in_order()
        fetched = [tuple(row) for row in connection.exec_driver_sql(f"{rows} LIMIT {limits.rows}")]
    personal = _personal_columns(table, fetched[:LOOKED_AT_ROWS])
    return TableRows(row_count, fetched, personal, _telling(personal, fetched))


def profile_table(
    database: BusinessDatabase, table: Table, limits: QueryLimits, *, masks_personal_data: bool = True
) -> TableProfile:
    """Look at the rows of a table or view. Raises QueryFailed where that takes too long, DatabaseUnavailable."""
    with limited_connection(database, limits) as connection:
        source = _Source(connection, table)
        row_count, is_sampled = source.size()
        rows = source.sampled(row_count) if is_sampled else source.all_rows()
        counts = connection.exec_driver_sql(source.aggregates(rows)).one()
        looked_at = int(counts[0])
        fetched = connection.exec_driver_sql(f"{rows} LIMIT {LOOKED_AT_ROWS}").fetchall() if looked_at else []
        personal = _personal_columns(table, fetched)
        told = _telling(personal, fetched) if masks_personal_data else frozenset()
        columns = []
        for number, column in enumerate(table.columns):
            values = [row[number] for row in fetched if row[number] is not None]
            non_null, distinct, *ends_found = counts[1 + 4 * number : 5 + 4 * number]
            least, most = (None if isinstance(end, bytes) else end for end in ends_found)
            is_masked = personal[number] is not None and masks_personal_data
            enum_values: Sequence[str] = ()
            if not is_masked and _has_few(column, int(non_null), int(distinct)):
                found = connection.exec_driver_sql(source.distinct_values(rows, column.name))
                enum_values = [_shown(value) for (value,) in found]
            is_hidden = is_masked or (bool(told) and not enum_values and (_is_told(least) or _is_told(most)))
            ends = [None if end is None else MASK if is_hidden else _shown(end) for end in (least, most)]
            columns.append(
                ColumnProfile(
                    column.name,
                    looked_at - int(non_null),
                    int(distinct),
                    ends[0],
                    ends[1],
                    (MASK,) if is_masked and values else tuple(_first_distinct(values, told)),
                    tuple(enum_values),
                    personal[number],
                    is_masked,
                )
            )
    return TableProfile(row_count, looked_at, is_sampled, tuple(columns))


def _personal_columns(table: Table, rows: Sequence[Any]) -> list[Personal | None]:
    """Which columns are personal: by themselves, or because they repeat what those hold."""
    found = []
    for number, column in enumerate(table.columns):
        values = [row[number] for row in rows if row[number] is not None]
        found.append(personal_by_name(column.name, table.name.name, column.comment) or personal_by_values(values))
    telling = [number for number, one in enumerate(found) if one is not None and one.kind in TELLING_KINDS]
    if telling:
        beside = [tuple(row[number] for number in telling) for row in rows]
        for number, one in enumerate(found):
            if one is None:
                found[number] = personal_by_neighbours([row[number] for row in rows], beside)
    return found


def _telling(personal: Sequence[Personal | None], rows: Sequence[Any]) -> frozenset[str]:
    """Values by which people can be known: nothing that is shown may hold one."""
    numbers = [number for number, one in enumerate(personal) if one is not None and one.kind in TELLING_KINDS]
    found = {row[number] for row in rows for number in numbers if isinstance(row[number], str)}
    return frozenset(value for value in found if len(value) <= TELLING_LIMIT)


class _Source:
    """The rows of one table, as SQL; every identifier is quoted by the dialect."""

    def __init__(self, connection: Connection, table: Table) -> None:
        self._connection = connection
        self._table = table
        self._is_sqlite = connection.dialect.name == "sqlite"
        self._quote = IdentifierPreparer.quote_identifier.__get__(connection.dialect.identifier_preparer)
        self._name = self._place(table.name)
        self._columns = ", ".join(self._quote(column.name) for column in table.columns)

    def size(self) -> tuple[int, bool]:
        """How many rows there are, and whether that is an estimate: counting stops above the sample's size."""
        few = f"SELECT count(*) FROM (SELECT 1 FROM {self._name} LIMIT {SAMPLE_ROWS + 1}) AS few"
        count = int(self._connection.exec_driver_sql(few).scalar_one())
        if count <= SAMPLE_ROWS:
            return count, False
        return max(count, self._estimate()), True

    def all_rows(self) -> str:
        return f"SELECT {self._columns} FROM {self._name}"

    def in_order(self) -> str:
        """By the key; without one by all columns as text, so that the same rows come first each time."""
        key = self._table.primary_key.columns
        by = [self._quote(name) for name in key] or [
            f"CAST({self._quote(column.name)} AS TEXT)" for column in self._table.columns
        ]
        return f" ORDER BY {', '.join(by)}"

    def sampled(self, row_count: int) -> str:
        """About as many rows as a sample has, from all over the table where it can be sought."""
        if self._table.kind == "view":
            return f"SELECT * FROM (SELECT {self._columns} FROM {self._name} LIMIT {SAMPLE_ROWS}) AS sampled"
        if not self._is_sqlite:
            percent = min(100.0, 100 * SAMPLE_ROWS / row_count)
            where = f"{self._name} TABLESAMPLE SYSTEM ({percent:.6f}) REPEATABLE (7)"
            return f"SELECT * FROM (SELECT {self._columns} FROM {where} LIMIT {SAMPLE_ROWS}) AS sampled"
        if not self._has_rowid():
            return f"SELECT * FROM (SELECT {self._columns} FROM {self._name} LIMIT {SAMPLE_ROWS}) AS sampled"
        least, most = self._connection.exec_driver_sql(f"SELECT min(rowid), max(rowid) FROM {self._name}").one()
        starts = sorted({least + (most - least) * place // PLACES for place in range(PLACES)})
        # An end for each part keeps rows from being taken twice where numbers are dense in one place only.
        parts = [
            f"SELECT * FROM (SELECT {self._columns} FROM {self._name} WHERE rowid >= {start} AND rowid < {end}"
            f" LIMIT {SAMPLE_ROWS // PLACES})"
            for start, end in zip(starts, [*starts[1:], most + 1], strict=True)
        ]
        return f"SELECT * FROM ({' UNION ALL '.join(parts)}) AS sampled"

    def aggregates(self, rows: str) -> str:
        """The number of rows; of each column how many are not null, how many differ, the least and the greatest."""
        wanted = ["count(*)"]
        for column in self._table.columns:
            name = self._quote(column.name)
            is_plain = self._is_sqlite or _COMPARABLE.fullmatch(column.type_sql) is not None
            compared = name if is_plain else f"CAST({name} AS TEXT)"
            ends = (f"min({name})", f"max({name})") if is_plain else ("NULL", "NULL")
            wanted += [f"count({name})", f"count(DISTINCT {compared})", *ends]
        return f"SELECT {', '.join(wanted)} FROM ({rows}) AS looked_at"

    def distinct_values(self, rows: str, column: str) -> str:
        name = self._quote(column)
        return (
            f"SELECT {name} FROM ({rows}) AS looked_at WHERE {name} IS NOT NULL GROUP BY {name} ORDER BY {name}"
            f" LIMIT {ENUM_LIMIT}"
        )

    def _estimate(self) -> int:
        if self._table.kind == "view" or (self._is_sqlite and not self._has_rowid()):
            return 0
        if self._is_sqlite:
            least, most = self._connection.exec_driver_sql(f"SELECT min(rowid), max(rowid) FROM {self._name}").one()
            return int(most) - int(least) + 1
        statement = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)"
        parameterized = self._connection.execution_options(no_parameters=False)
        return int(parameterized.exec_driver_sql(statement, (self._name,)).scalar() or 0)

    def _has_rowid(self) -> bool:
        return "ROWID" not in self._table.options and not any(
            column.name.lower() == "rowid" for column in self._table.columns
        )

    def _place(self, name: TableName) -> str:
        quoted = self._quote(name.name)
        return quoted if name.schema is None else f"{self._quote(name.schema)}.{quoted}"


def _has_few(column: Column, non_null: int, distinct: int) -> bool:
    """Whether a column of words repeats a few of them: then they are all it can be."""
    return _OF_WORDS.fullmatch(column.type_sql) is not None and 0 < distinct <= ENUM_LIMIT and non_null >= 5 * distinct


def _first_distinct(values: Iterable[Any], told: Collection[str]) -> Iterable[str]:
    """A few examples; none that holds what tells a person."""
    found: dict[str, None] = {}
    for value in values:
        shown = _shown(value)
        if shown not in found and not repeats_any(str(value), told):
            found[shown] = None
            if len(found) == SAMPLES:
                break
    return found


def _is_told(end: Any) -> bool:
    """Whether an end is words: it comes from a row that nobody may have looked at, and could name somebody."""
    return isinstance(end, str) and any(sign.isalpha() for sign in end)


def _shown(value: Any) -> str:
    """A value on one line, cut where it is long; bytes as their number."""
    if isinstance(value, (bytes, memoryview)):
        return f"({len(value)} bytes)"
    text = " ".join(str(value).split())
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
