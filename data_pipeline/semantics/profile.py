"""Profile the rows of a table, at a cost that does not grow with the table.

Two queries a table: one of aggregates over at most `SAMPLE_ROWS` rows, and one of a few whole rows. A larger table is
sampled, from places all over it if the database can seek, and the profile reports this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from data_pipeline.database.connection import BusinessDatabase
from data_pipeline.database.execution import QueryLimits, limited_connection, rows_within
from data_pipeline.database.faults import MASK
from data_pipeline.database.sampling import SAMPLE_ROWS, TableSource
from data_pipeline.database.schema import Column, Table
from data_pipeline.semantics.personal import ColumnSigns, Privacy, judge_privacy
from data_pipeline.semantics.personal_words import PersonalKind
from data_pipeline.semantics.shapes import holds_personal_number
from data_pipeline.semantics.telling import (
    LOOKED_AT_CHARACTERS,
    TELLING_KINDS,
    TellingValues,
    as_text,
    personal_by_neighbours,
    personal_elsewhere,
)

LOOKED_AT_ROWS: Final = 200
"""The number of whole rows that are fetched: enough to recognize a personal column by its values."""

TELLING_LIMIT: Final = 100
"""In characters; longer texts of personal columns are not names."""

WHOLE_KINDS: Final[frozenset[PersonalKind]] = frozenset({"address", "secret"})
"""Kinds whose values are searched for as whole texts, because streets and passwords consist of common words."""

WHOLE_CHARACTERS: Final = 6

VALUES_KEPT: Final = 200_000
"""The number of values of all tables that are searched for: about 30 MB of memory."""

SAMPLES: Final = 5
ENUM_LIMIT: Final = 20
ENUM_ROWS: Final = 20
"""The minimum number of rows for an enumeration, because a few rows are alike by chance."""

SHOWN_CHARACTERS: Final = 60

_OF_WORDS: Final = re.compile(r"[^\[]*(CHAR|TEXT|BOOL)[^\[]*", re.IGNORECASE)


@dataclass(frozen=True)
class ColumnProfile:
    """The values of a column in the examined rows; those of a personal column are masked, its counts are not.

    `distinct_count` is exact for these rows. `enum_values` are all values of a column that has few values, at least
    two, and repeats them in enough rows.
    """

    name: str
    null_count: int
    distinct_count: int
    minimum: str | None
    maximum: str | None
    samples: tuple[str, ...]
    enum_values: tuple[str, ...]
    personal: Privacy | None
    is_masked: bool


@dataclass(frozen=True)
class TableProfile:
    """The profile of a table: `row_count` is exact, or an estimate if `is_sampled`; `looked_at` rows were examined."""

    row_count: int
    looked_at: int
    is_sampled: bool
    columns: tuple[ColumnProfile, ...]


@dataclass(frozen=True)
class TableRows:
    """Whole rows of a table, the same ones at each call, and the kind of personal data of each column.

    `row_count` as in a profile. `told` are values that identify people: nothing that is shown may contain one.
    """

    row_count: int
    rows: Sequence[tuple[Any, ...]] = field(repr=False)
    personal: Sequence[Privacy | None]
    told: frozenset[str] = field(repr=False)


def look_at_rows(
    database: BusinessDatabase, table: Table, limits: QueryLimits, known: TellingValues | None = None
) -> TableRows:
    """Return rows of a table or view, at most `limits.rows` and at most `limits.result_bytes`.

    `known` are values of all tables that identify people; columns that repeat them are personal, too.

    Raises QueryFailed if that takes too long, DatabaseUnavailable.
    """
    with limited_connection(database, limits) as connection:
        source = TableSource(database, connection, table)
        row_count, is_sampled = source.size()
        rows = source.sampled(row_count) if is_sampled else source.all_rows() + source.in_order()
        fetched = rows_within(connection, f"{rows} LIMIT {limits.rows}", limits)[1]
    personal = _personal_columns(table, fetched[:LOOKED_AT_ROWS], known)
    return TableRows(row_count, fetched, personal, _telling(personal, fetched))


@dataclass(frozen=True)
class TableSecrets:
    """Values of one table that identify people, and that no file may contain; `whole` only as whole texts."""

    telling: frozenset[str] = field(default=frozenset(), repr=False)
    whole: frozenset[str] = field(default=frozenset(), repr=False)


def secrets_of(database: BusinessDatabase, table: Table, limits: QueryLimits) -> TableSecrets:
    """Return the values of a table's personal columns, of at most `SAMPLE_ROWS` rows.

    Raises QueryFailed if that takes too long, DatabaseUnavailable.
    """
    looked_at = look_at_rows(database, table, replace(limits, rows=LOOKED_AT_ROWS))
    kinds = {number: kind.kind for number, kind in enumerate(looked_at.personal) if kind is not None}
    numbers = [number for number, kind in kinds.items() if kind in TELLING_KINDS | WHOLE_KINDS]
    if not numbers:
        return TableSecrets()
    rows: Iterable[Sequence[Any]] = [[row[number] for number in numbers] for row in looked_at.rows]
    if len(looked_at.rows) == LOOKED_AT_ROWS:
        with limited_connection(database, limits) as connection:
            source = TableSource(
                database, connection, replace(table, columns=tuple(table.columns[number] for number in numbers))
            )
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
    """Return the values of many tables, ready to be searched for: at most `VALUES_KEPT`, of the first tables."""
    telling: set[str] = set()
    whole: set[str] = set()
    for table in secrets:
        room = VALUES_KEPT - len(telling) - len(whole)
        telling.update(sorted(table.telling)[: max(0, room)])
        whole.update(sorted(table.whole)[: max(0, room - len(table.telling))])
    return TellingValues(telling, whole)


def profile_table(
    database: BusinessDatabase,
    table: Table,
    limits: QueryLimits,
    *,
    masks_personal_data: bool = True,
    known: TellingValues | None = None,
) -> TableProfile:
    """Profile a table or view; `known` are values of all tables that identify people.

    Raises QueryFailed if that takes too long, DatabaseUnavailable.
    """
    with limited_connection(database, limits) as connection:
        source = TableSource(database, connection, table)
        row_count, is_sampled = source.size()
        rows = source.sampled(row_count) if is_sampled else source.all_rows()
        counts = connection.exec_driver_sql(source.aggregates(rows)).one()
        looked_at = int(counts[0])
        few = replace(limits, rows=LOOKED_AT_ROWS)
        fetched = rows_within(connection, f"{rows} LIMIT {LOOKED_AT_ROWS}", few)[1] if looked_at else []
        known = known or TellingValues(())
        personal = _personal_columns(table, fetched, known)
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
                    value
                    for (value,) in connection.exec_driver_sql(source.distinct_values(rows, column.name, ENUM_LIMIT))
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


def _personal_columns(table: Table, rows: Sequence[Any], known: TellingValues | None = None) -> list[Privacy | None]:
    """Return the verdict on each masked column: by its name or values, or because it repeats those of another one."""
    personal: list[Privacy | None] = []
    beside = tuple(column.name for column in table.columns)
    referring = {column for key in table.foreign_keys for column in key.columns}
    for number, column in enumerate(table.columns):
        values = [row[number] for row in rows if row[number] is not None]
        verdict = judge_privacy(
            ColumnSigns(
                table.name.name,
                column.name,
                column.type_sql,
                column.comment,
                table.comment,
                values,
                len({str(value) for value in values}),
                len(values),
                is_key=(column.name,) == table.primary_key.columns,
                is_foreign_key=column.name in referring,
                beside=beside,
            )
        )
        personal.append(verdict if verdict.is_masked else None)
    telling = [number for number, kind in enumerate(personal) if kind is not None and kind.kind in TELLING_KINDS]
    if telling:
        values_beside = [tuple(row[number] for number in telling) for row in rows]
        for number, kind in enumerate(personal):
            if kind is None:
                personal[number] = personal_by_neighbours([row[number] for row in rows], values_beside)
    if known is not None:
        for number, kind in enumerate(personal):
            if kind is None and table.columns[number].name not in referring:
                personal[number] = personal_elsewhere([row[number] for row in rows], known)
    return personal


def _telling(personal: Sequence[Privacy | None], rows: Sequence[Any]) -> frozenset[str]:
    """Return the values that identify people: nothing that is shown may contain one."""
    numbers = [number for number, kind in enumerate(personal) if kind is not None and kind.kind in TELLING_KINDS]
    values = {text for row in rows for number in numbers if (text := as_text(row[number])) is not None}
    return frozenset(value for value in values if len(value) <= TELLING_LIMIT)


def _has_few(column: Column, non_null: int, distinct: int) -> bool:
    """True if a column of words repeats a few of them, so that they are likely to be all of its values."""
    return _OF_WORDS.fullmatch(column.type_sql) is not None and 0 < distinct <= ENUM_LIMIT and non_null >= 5 * distinct


def _secret_texts(*sought: TellingValues) -> Callable[[Any], bool]:
    """Return a function that is True for a value that identifies a person."""

    def is_secret(value: Any) -> bool:
        text = as_text(value)
        return text is not None and (
            any(values.are_in(text) for values in sought) or holds_personal_number(text[:LOOKED_AT_CHARACTERS])
        )

    return is_secret


def _first_distinct(values: Iterable[Any], is_secret: Callable[[Any], bool]) -> Iterable[str]:
    """Return a few examples, none of which identifies a person."""
    samples: dict[str, None] = {}
    for value in values:
        shown = _shown(value)
        if shown not in samples and not is_secret(value):
            samples[shown] = None
            if len(samples) == SAMPLES:
                break
    return samples


def _is_told(end: Any) -> bool:
    """True if an end is words: it may be from a row that was not examined, and could be a person's name."""
    return isinstance(end, str) and any(sign.isalpha() for sign in end)


def _shown(value: Any) -> str:
    """Return a value on one line, shortened if it is long; of bytes, their number."""
    if isinstance(value, (bytes, memoryview)):
        return f"({len(value)} bytes)"
    text = " ".join(str(value).split())
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
