"""Measure the values that prove keys and references: sampled rows, whole-table uniqueness, look-ups.

The cost of a table is bounded: one sample of its rows, one query per key that only a large table leaves open, and one
look-up per key that other tables may refer to. Children are sampled; parents are always searched as a whole.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from data_pipeline.database.connection import BusinessDatabase
from data_pipeline.database.execution import limited_connection, rows_within
from data_pipeline.database.faults import reason_of
from data_pipeline.database.limits import QueryLimits
from data_pipeline.database.sampling import TableSource
from data_pipeline.database.schema import Column, Table
from data_pipeline.errors import DatabaseUnavailable, QueryFailed
from data_pipeline.tasks.table_list import TableName

Family = Literal["number", "text", "uuid", "date", "any"]
"""Types whose values can be compared with each other; SQLite's untyped columns compare with any."""

ROWS_SAMPLED: Final = 10_000
CELLS_SAMPLED: Final = 200_000
"""Maximum number of values in memory while a table is measured: wider tables are sampled in fewer rows."""

COLUMNS_MEASURED: Final = 150
"""Maximum number of columns of a table that are measured, the first ones."""

VALUES_A_COLUMN: Final = 200
VALUES_KEPT: Final = 400_000
"""Maximum number of values that are kept of all tables, some 40 MB; a large schema keeps fewer of each column."""

FEWEST_VALUES: Final = 20
LONGEST_VALUE: Final = 100
VALUES_A_QUERY: Final = 500

_FAMILIES: Final[tuple[tuple[re.Pattern[str], Family], ...]] = (
    (re.compile(r"(unsigned )?(big|small|tiny|medium)?(int|integer|serial)\d?(\(\d+\))?( unsigned)?", re.IGNORECASE),
     "number"),
    (re.compile(r"(numeric|decimal|number)(\(\d+(, ?\d+)?\))?", re.IGNORECASE), "number"),
    (re.compile(r"(real|float\d?|double( precision)?)(\(.*\))?", re.IGNORECASE), "number"),
    (re.compile(r"(n?(var)?char2?|long(var)?char|character( varying)?|n?(tiny|medium|long)?text|bpchar|citext)"
                r"(\(.*\))?( collate .*)?", re.IGNORECASE), "text"),
    (re.compile(r"uuid|uniqueidentifier", re.IGNORECASE), "uuid"),
    (re.compile(r"date|datetime|timestamp(tz)?(\(\d\))?", re.IGNORECASE), "date"),
    (re.compile(r""), "any"),
)  # fmt: skip


def family_of(column: Column) -> Family | None:
    """Return what the values of a column can be compared with; None if its type makes no key."""
    type_sql = column.type_sql.strip()
    return next((family for pattern, family in _FAMILIES if pattern.fullmatch(type_sql)), None)


@dataclass(frozen=True)
class ColumnValues:
    """The values of a column in the sampled rows, and over the whole table once it was measured.

    `values` are a few different ones to look up elsewhere; `minimum` and `maximum` belong to whole numbers only.
    """

    name: str
    family: Family
    non_null: int
    distinct: int
    is_unique: bool
    is_whole_number: bool
    has_fractions: bool
    mean_length: float
    minimum: int | None
    maximum: int | None
    values: tuple[Any, ...]


@dataclass(frozen=True)
class TableValues:
    """A table in the sampled rows; `is_whole` says that these are all rows, so that `is_unique` is proved."""

    name: TableName
    row_count: int
    is_whole: bool
    columns: dict[str, ColumnValues]
    unique_sets: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class KeyExtent:
    """A key over its whole table: number of rows, and its least and greatest whole number."""

    is_unique: bool
    row_count: int
    minimum: int | None
    maximum: int | None


class SampledRows:
    """The sampled rows of one table while it is measured."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
        self._places = {column.name: place for place, column in enumerate(columns)}
        self._rows = rows

    def is_unique(self, columns: Sequence[str]) -> bool:
        """Return True if no two sampled rows agree in these columns and none of them is NULL."""
        places = [self._places[column] for column in columns]
        seen: set[tuple[Hashable, ...]] = set()
        for row in self._rows:
            value = tuple(row[place] for place in places)
            if None in value or value in seen:
                return False
            seen.add(value)
        return True


UniqueSets = Callable[[TableValues, SampledRows], Sequence[tuple[str, ...]]]
"""Chooses sets of columns that are unique together, while the rows are at hand."""


def values_a_column(column_count: int) -> int:
    """Return how many values of each column are kept, so that memory does not grow with the schema."""
    return max(FEWEST_VALUES, min(VALUES_A_COLUMN, VALUES_KEPT // max(1, column_count)))


def sample_table(
    database: BusinessDatabase, table: Table, limits: QueryLimits, *, kept: int, unique_sets: UniqueSets
) -> TableValues:
    """Sample the rows of a table and describe its columns that can be keys.

    Raises QueryFailed if that takes too long, DatabaseUnavailable.
    """
    columns = [column for column in table.columns if family_of(column) is not None][:COLUMNS_MEASURED]
    if not columns:
        return TableValues(table.name, 0, is_whole=False, columns={})
    most = min(ROWS_SAMPLED, max(500, CELLS_SAMPLED // len(columns)))
    with limited_connection(database, limits) as connection:
        source = TableSource(database, connection, replace(table, columns=tuple(columns)))
        row_count, is_large = source.size()
        sql = source.sampled(row_count) if is_large else source.all_rows()
        fetched = rows_within(connection, f"{sql} LIMIT {most}", replace(limits, rows=most))[1]
    rows = [tuple(map(normal_value, row)) for row in fetched]
    measured = {
        column.name: _column_values(column, [row[place] for row in rows], kept) for place, column in enumerate(columns)
    }
    found = TableValues(table.name, row_count, not is_large and len(rows) == row_count, measured)
    return replace(found, unique_sets=tuple(unique_sets(found, SampledRows(columns, rows))))


def measure_key(
    database: BusinessDatabase, table: Table, columns: Sequence[str], limits: QueryLimits
) -> KeyExtent | None:
    """Measure a key over the whole table; None if that takes longer than the limit.

    A unique index proves a key without counting. Raises QueryFailed if it is cancelled, DatabaseUnavailable.
    """
    family = next((family_of(column) for column in table.columns if column.name == columns[0]), None)
    is_number = family == "number" and len(columns) == 1
    try:
        with limited_connection(database, limits) as connection:
            quoted = [_quoted(column) for column in columns]
            place = _place(table.name)
            ends = f"min({quoted[0]}), max({quoted[0]})" if is_number else "NULL, NULL"
            if has_unique_index(table, columns):
                row_count, is_unique = TableSource(database, connection, table).size()[0], True
                least, most = connection.exec_driver_sql(f"SELECT {ends} FROM {place}").one()
            elif len(columns) == 1:
                counted = f"SELECT count(*), count(DISTINCT {quoted[0]}), {ends} FROM {place}"
                row_count, distinct, least, most = connection.exec_driver_sql(counted).one()
                is_unique = distinct == row_count
            else:
                different = f"SELECT DISTINCT {', '.join(quoted)} FROM {place}"
                present = " AND ".join(f"{column} IS NOT NULL" for column in quoted)
                counted = (
                    f"SELECT (SELECT count(*) FROM {place}), (SELECT count(*) FROM ({different} WHERE {present}) AS d)"
                )
                row_count, distinct = connection.exec_driver_sql(counted).one()
                is_unique, least, most = distinct == row_count, None, None
    except QueryFailed as error:
        if error.kind == "cancelled":
            raise
        return None
    return KeyExtent(is_unique, int(row_count), _whole_number(least), _whole_number(most))


def look_up(
    database: BusinessDatabase, table: TableName, columns: Sequence[str], values: Sequence[Any], limits: QueryLimits
) -> set[Any] | None:
    """Return those of the values that the whole table has; None if that takes longer than the limit.

    For several columns the values are tuples. Raises QueryFailed if it is cancelled, DatabaseUnavailable.
    """
    found: set[Any] = set()
    try:
        with limited_connection(database, limits) as connection:
            sent = connection.execution_options(no_parameters=False)
            for start in range(0, len(values), VALUES_A_QUERY):
                part = values[start : start + VALUES_A_QUERY]
                statement, parameters = _look_up_sql(database, connection, table, columns, part)
                rows = sent.exec_driver_sql(statement, parameters)
                found.update(
                    normal_value(row[0]) if len(columns) == 1 else tuple(map(normal_value, row)) for row in rows
                )
    except QueryFailed as error:
        if error.kind == "cancelled":
            raise
        return None
    return found


def sample_tuples(
    database: BusinessDatabase, table: Table, columns: Sequence[str], limits: QueryLimits, *, kept: int
) -> list[tuple[Any, ...]]:
    """Return different tuples of several columns, without those that hold a NULL; none if that takes too long.

    Raises QueryFailed if it is cancelled, DatabaseUnavailable.
    """
    by_name = {column.name: column for column in table.columns}
    try:
        with limited_connection(database, limits) as connection:
            source = TableSource(database, connection, replace(table, columns=tuple(by_name[name] for name in columns)))
            row_count, is_large = source.size()
            sql = source.sampled(row_count) if is_large else source.all_rows()
            rows = rows_within(connection, f"{sql} LIMIT {ROWS_SAMPLED}", replace(limits, rows=ROWS_SAMPLED))[1]
    except QueryFailed as error:
        if error.kind == "cancelled":
            raise
        return []
    tuples = dict.fromkeys(tuple(map(normal_value, row)) for row in rows)
    return _spread([value for value in tuples if None not in value], kept)


def inheriting_tables(database: BusinessDatabase) -> frozenset[TableName]:
    """Return the tables whose rows belong to another table: partitions and children by INHERITS.

    Raises DatabaseUnavailable.
    """
    try:
        with database.connect() as connection:
            return database.driver.catalogue.inheriting_relations(connection)
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(f"{database.label}: its partitions cannot be listed: {reason_of(error)}.") from None


def has_unique_index(table: Table, columns: Sequence[str]) -> bool:
    """Return True if a declared key or a unique index without a condition covers just these columns."""
    wanted = set(columns)
    if any(set(key.columns) == wanted for key in (table.primary_key, *table.unique_keys)):
        return True
    for index in table.indexes:
        spelled = re.fullmatch(r"CREATE UNIQUE INDEX .*\(([^()]*)\)", " ".join(index.definition.split()), re.IGNORECASE)
        if spelled is not None and {part.strip().strip('"`[]') for part in spelled[1].split(",")} == wanted:
            return True
    return False


def normal_value(value: Any) -> Any:
    """Return one value for all that databases compare as equal: 7, 7.0 and Decimal(7); texts without padding."""
    match value:
        case bool() | int() | None:
            return value
        case float() | Decimal():
            return int(value) if math.isfinite(value) and value == int(value) else value
        case str():
            return value.rstrip(" ")
        case uuid.UUID():
            return str(value)
        case datetime() | date():
            return str(value)
        case _ if isinstance(value, Hashable):
            return value
        case _:
            return repr(value)


def _column_values(column: Column, values: Sequence[Any], kept: int) -> ColumnValues:
    family = family_of(column)
    assert family is not None
    present = [value for value in values if value is not None]
    distinct = dict.fromkeys(present)
    numbers = [value for value in distinct if isinstance(value, int)]
    is_whole_number = bool(numbers) and len(numbers) == len(distinct)
    lookable = [value for value in distinct if not isinstance(value, str) or len(value) <= LONGEST_VALUE]
    lengths = [len(str(value)) for value in lookable[:200]]
    return ColumnValues(
        column.name,
        family,
        len(present),
        len(distinct),
        bool(values) and len(distinct) == len(values),
        is_whole_number,
        any(isinstance(value, (float, Decimal)) for value in distinct),
        sum(lengths) / len(lengths) if lengths else 0.0,
        min(numbers) if is_whole_number else None,
        max(numbers) if is_whole_number else None,
        tuple(_spread(lookable, kept)),
    )


def _spread(values: Sequence[Any], most: int) -> list[Any]:
    """Return a maximum number of the values, at equal steps."""
    if len(values) <= most:
        return list(values)
    return [values[len(values) * place // most] for place in range(most)]


def _look_up_sql(
    database: BusinessDatabase, connection: Connection, table: TableName, columns: Sequence[str], values: Sequence[Any]
) -> tuple[str, tuple[Any, ...]]:
    has_question_marks = connection.dialect.paramstyle == "qmark"
    sign = "?" if has_question_marks else "%s"
    names, place = [_quoted(column) for column in columns], _place(table)
    if not has_question_marks:  # a percent sign in a name is no placeholder
        names, place = [name.replace("%", "%%") for name in names], place.replace("%", "%%")
    wanted = ", ".join(names)
    if len(columns) == 1:
        signs = ", ".join([sign] * len(values))
        return f"SELECT DISTINCT {wanted} FROM {place} WHERE {wanted} IN ({signs})", tuple(values)
    # A list of rows has types of its own: dates and UUIDs are texts in it.
    compared = [
        database.driver.reader.text_of(name) if isinstance(part, str) else name
        for name, part in zip(names, values[0], strict=True)
    ]
    rows = ", ".join([f"({', '.join([sign] * len(columns))})"] * len(values))
    parameters = tuple(part for value in values for part in value)
    return f"SELECT DISTINCT {wanted} FROM {place} WHERE ({', '.join(compared)}) IN (VALUES {rows})", parameters


def _quoted(name: str) -> str:
    """Return an identifier in the quotes that both databases take."""
    return '"' + name.replace('"', '""') + '"'


def _place(name: TableName) -> str:
    return ".".join(_quoted(part) for part in name if part is not None)


def _whole_number(value: Any) -> int | None:
    value = normal_value(value)
    return value if isinstance(value, int) else None
