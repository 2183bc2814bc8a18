"""What the rows of a table look like, at a cost that does not grow with the table.

Two queries a table: one of aggregates over at most `SAMPLE_ROWS` rows, one of a few rows as they are. A larger table is
sampled, from places all over it where the database can seek, and the profile says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.sql.compiler import IdentifierPreparer

from data_pipeline.database.connection import BusinessDatabase
from data_pipeline.database.execution import QueryLimits, limited_connection, rows_within
from data_pipeline.database.personal_data import (
    LOOKED_AT_CHARACTERS,
    MASK,
    TELLING_KINDS,
    Personal,
    PersonalKind,
    TellingValues,
    as_text,
    holds_a_number_of_somebody,
    personal_by_name,
    personal_by_neighbours,
    personal_by_values,
    personal_elsewhere,
)
from data_pipeline.database.schema import Column, Table
from data_pipeline.tasks.table_list import TableName

SAMPLE_ROWS: Final = 10_000
LOOKED_AT_ROWS: Final = 200
"""How many rows are fetched as they are: enough to know a personal column by its values."""

PLACES: Final = 20
"""From how many places of a large SQLite table rows are taken."""

TELLING_LIMIT: Final = 100
"""Longer texts of personal columns are no names."""

WHOLE_KINDS: Final[frozenset[PersonalKind]] = frozenset({"address", "secret"})
"""Kinds whose values are looked for as whole texts: streets and passwords are made of common words."""

WHOLE_CHARACTERS: Final = 6

VALUES_KEPT: Final = 200_000
"""How many values of all tables are looked for: some 30 MB of memory."""

SAMPLES: Final = 5
ENUM_LIMIT: Final = 20
ENUM_ROWS: Final = 20
"""Fewer rows than that show no enumeration: a few rows look alike by chance."""

SHOWN_CHARACTERS: Final = 60

_COMPARABLE: Final = re.compile(
    r"(varchar|char|text|smallint|integer|bigint|numeric|real|double precision|date|timestamp|timestamptz|time)\b[^\[]*"
)
"""Types of PostgreSQL that have a least and a greatest value; SQLite compares everything."""

_OF_WORDS: Final = re.compile(r"[^\[]*(CHAR|TEXT|BOOL)[^\[]*", re.IGNORECASE)


@dataclass(frozen=True)
class ColumnProfile:
    """A column's values in the rows that were looked at; of a personal column only counts, its values are masked.

    `distinct_count` is exact for these rows. `enum_values` are all values of a column that has few, two at least, and
    repeats them in enough rows.
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
    """At most `limits.rows` rows of a table or view, and no more than `limits.result_bytes` of them.

    Raises QueryFailed where that takes too long, DatabaseUnavailable.
    """
    with limited_connection(database, limits) as connection:
        source = _Source(connection, table)
        row_count, is_sampled = source.size()
        rows = source.sampled(row_count) if is_sampled else source.all_rows() + source.in_order()
        fetched = rows_within(connection, f"{rows} LIMIT {limits.rows}", limits)[1]
    personal = _personal_columns(table, fetched[:LOOKED_AT_ROWS])
    return TableRows(row_count, fetched, personal, _telling(personal, fetched))


@dataclass(frozen=True)
class TableSecrets:
    """What no file may repeat of one table: values by which people can be known; `whole` count as whole texts only."""

    telling: frozenset[str] = field(default=frozenset(), repr=False)
    whole: frozenset[str] = field(default=frozenset(), repr=False)


def secrets_of(database: BusinessDatabase, table: Table, limits: QueryLimits) -> TableSecrets:
    """The values of a table's personal columns, of at most `SAMPLE_ROWS` rows.

    Raises QueryFailed where that takes too long, DatabaseUnavailable.
    """
    looked_at = look_at_rows(database, table, replace(limits, rows=LOOKED_AT_ROWS))
    kinds = {number: one.kind for number, one in enumerate(looked_at.personal) if one is not None}
    numbers = [number for number, kind in kinds.items() if kind in TELLING_KINDS | WHOLE_KINDS]
    if not numbers:
        return TableSecrets()
    rows: Iterable[Sequence[Any]] = [[row[number] for number in numbers] for row in looked_at.rows]
    if len(looked_at.rows) == LOOKED_AT_ROWS:
        with limited_connection(database, limits) as connection:
            source = _Source(connection, replace(table, columns=tuple(table.columns[number] for number in numbers)))
            is_sampled = looked_at.row_count > SAMPLE_ROWS
            sql = source.sampled(looked_at.row_count) if is_sampled else source.all_rows()
            rows = rows_within(connection, f"{sql} LIMIT {SAMPLE_ROWS}", replace(limits, rows=SAMPLE_ROWS))[1]
    telling, whole = set(), set()
    for row in rows:
        for number, text in zip(numbers, map(as_text, row), strict=True):
            if text is None or len(text) > TELLING_LIMIT:
                continue
            if kinds[number] in TELLING_KINDS:
                telling.add(text)
            elif len(text) >= WHOLE_CHARACTERS:
                whole.add(text)
    return TableSecrets(frozenset(telling), frozenset(whole))


def known_values(secrets: Iterable[TableSecrets]) -> TellingValues:
    """The values of many tables, ready to be looked for: at most `VALUES_KEPT`, those of the first tables."""
    telling: set[str] = set()
    whole: set[str] = set()
    for one in secrets:
        room = VALUES_KEPT - len(telling) - len(whole)
        telling.update(sorted(one.telling)[: max(0, room)])
        whole.update(sorted(one.whole)[: max(0, room - len(one.telling))])
    return TellingValues(telling, whole)


def profile_table(
    database: BusinessDatabase,
    table: Table,
    limits: QueryLimits,
    *,
    masks_personal_data: bool = True,
    known: TellingValues | None = None,
) -> TableProfile:
    """Look at the rows of a table or view; `known` are values of all tables by which people can be known.

    Raises QueryFailed where that takes too long, DatabaseUnavailable.
    """
    with limited_connection(database, limits) as connection:
        source = _Source(connection, table)
        row_count, is_sampled = source.size()
        rows = source.sampled(row_count) if is_sampled else source.all_rows()
        counts = connection.exec_driver_sql(source.aggregates(rows)).one()
        looked_at = int(counts[0])
        few = replace(limits, rows=LOOKED_AT_ROWS)
        fetched = rows_within(connection, f"{rows} LIMIT {LOOKED_AT_ROWS}", few)[1] if looked_at else []
        known = known or TellingValues(())
        personal = [
            one or personal_elsewhere([row[number] for row in fetched], known)
            for number, one in enumerate(_personal_columns(table, fetched))
        ]
        told = _telling(personal, fetched) if masks_personal_data else frozenset()
        is_secret = _secret_texts(TellingValues(told), known) if masks_personal_data else lambda _: False
        columns = []
        for number, column in enumerate(table.columns):
            values = [row[number] for row in fetched if row[number] is not None]
            non_null, distinct, *ends_found = counts[1 + 4 * number : 5 + 4 * number]
            least, most = (None if isinstance(end, bytes) else end for end in ends_found)
            is_masked = personal[number] is not None and masks_personal_data
            all_values: Sequence[Any] = ()
            if not is_masked and _has_few(column, int(non_null), int(distinct)):
                all_values = [
                    value for (value,) in connection.exec_driver_sql(source.distinct_values(rows, column.name))
                ]
            is_enum = len(all_values) > 1 and int(non_null) >= ENUM_ROWS and not any(map(is_secret, all_values))
            is_unseen = bool(told) and not all_values and (_is_told(least) or _is_told(most))
            is_hidden = is_masked or is_unseen or is_secret(least) or is_secret(most)
            ends = [None if end is None else MASK if is_hidden else _shown(end) for end in (least, most)]
            columns.append(
                ColumnProfile(
                    column.name,
                    looked_at - int(non_null),
                    int(distinct),
                    ends[0],
                    ends[1],
                    (MASK,) if is_masked and values else tuple(_first_distinct(values, is_secret)),
                    tuple(map(_shown, all_values)) if is_enum else (),
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
    found = {text for row in rows for number in numbers if (text := as_text(row[number])) is not None}
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


def _secret_texts(*sought: TellingValues) -> Callable[[Any], bool]:
    """Whether a value holds what tells a person."""

    def is_secret(value: Any) -> bool:
        text = as_text(value)
        return text is not None and (
            any(values.are_in(text) for values in sought) or holds_a_number_of_somebody(text[:LOOKED_AT_CHARACTERS])
        )

    return is_secret


def _first_distinct(values: Iterable[Any], is_secret: Callable[[Any], bool]) -> Iterable[str]:
    """A few examples; none that holds what tells a person."""
    found: dict[str, None] = {}
    for value in values:
        shown = _shown(value)
        if shown not in found and not is_secret(value):
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
