"""Looks at a database's tables and says what questions can be about: the only part of the generator that reads rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from data_pipeline.database.connection import BusinessDatabase
from data_pipeline.database.execution import QueryLimits
from data_pipeline.database.schema import Column, Table
from data_pipeline.errors import QueryFailed
from data_pipeline.semantics.facts import ColumnFacts, Link, Role, TableFacts
from data_pipeline.semantics.profile import look_at_rows
from data_pipeline.semantics.roles import Seen, frequent, has_time, is_additive, is_number, role_of, value_of
from data_pipeline.semantics.telling import TellingValues
from data_pipeline.tasks.table_list import TableName

ROWS_LOOKED_AT: Final = 10_000
VALUES_KEPT: Final = 24
"""Of each column: as many literals as its questions need, whatever the size of the schema."""

ORDERED_KEPT: Final = 41
"""An odd number: the middle one is the median."""


@dataclass(frozen=True)
class Observed:
    """A table, and why its rows could not be looked at where that is so.

    `hidden` are all values of masked columns, `told` those that tell people.
    """

    table: TableFacts
    problem: str | None = None
    told: frozenset[str] = field(default=frozenset(), repr=False)
    hidden: frozenset[str] = field(default=frozenset(), repr=False)


def observe(
    database: BusinessDatabase,
    table: Table,
    limits: QueryLimits,
    *,
    masks_personal_data: bool,
    known: TellingValues | None = None,
) -> Observed:
    """Return the facts of one table for questions; `known` are values of all tables that identify people.

    Raises DatabaseUnavailable.
    """
    try:
        found = look_at_rows(database, table, replace(limits, rows=ROWS_LOOKED_AT), known)
    except QueryFailed as error:
        return Observed(_facts_of(table, 0, ()), error.reason)
    told = TellingValues(found.told if masks_personal_data else ())
    references = {column for key in table.foreign_keys for column in key.columns}
    unique = {key.columns[0] for key in (table.primary_key, *table.unique_keys) if len(key.columns) == 1}
    hidden: set[str] = set()
    columns = []
    for number, column in enumerate(table.columns):
        values = [row[number] for row in found.rows if row[number] is not None]
        seen = Seen(values, len(found.rows) - len(values))
        if masks_personal_data and found.personal[number] is not None:
            columns.append(ColumnFacts(table.name, column.name, "personal", comment=column.comment))
            hidden.update(map(str, values))
            continue
        try:
            role = role_of(
                column,
                seen,
                is_key=(column.name,) == table.primary_key.columns,
                is_unique=column.name in unique or len(set(values)) == len(found.rows) > 1,
                is_reference=column.name in references,
            )
        except TypeError:  # lists and dictionaries are no members of sets
            role = "odd"
        columns.append(_column(table.name, column, role, seen, told, is_unique=column.name in unique))
    told_values = found.told if masks_personal_data else frozenset()
    return Observed(_facts_of(table, found.row_count, columns), told=told_values, hidden=frozenset(hidden))


def _column(
    table: TableName, column: Column, role: Role, seen: Seen, told: TellingValues, *, is_unique: bool
) -> ColumnFacts:
    plain = ColumnFacts(table, column.name, role, comment=column.comment, is_unique=is_unique)
    if role in ("blank", "odd"):
        return plain
    number = is_number(seen.values)
    ranked = frequent(seen.values, 3 * VALUES_KEPT)
    shown = [(value, count) for value, count in ranked if value.kind != "text" or not told.are_in(value.text)]
    ordered = sorted(set(seen.values)) if number or role == "moment" else []
    return replace(
        plain,
        is_number=number,
        has_time=role == "moment" and has_time(seen.values),
        null_count=seen.null_count,
        values=tuple(shown[:VALUES_KEPT]),
        ordered=tuple(value_of(value) for value in _spread(ordered, ORDERED_KEPT)),
        is_additive=number and role == "measure" and is_additive(column.name),
    )


def with_links(tables: Sequence[TableFacts], links: Iterable[Link]) -> list[TableFacts]:
    """The tables, columns of links marked as references: also those that no key declares."""
    referring: dict[TableName, set[str]] = {}
    for link in links:
        referring.setdefault(link.child, set()).update(link.child_columns)
    marked = []
    for table in tables:
        own = referring.get(table.name, set())
        columns = tuple(
            replace(column, role="reference") if column.name in own and column.is_usable else column
            for column in table.columns
        )
        marked.append(replace(table, columns=columns, label=_label(columns)))
    return marked


def declared_links(tables: Sequence[Table], facts: Mapping[TableName, TableFacts]) -> list[Link]:
    """The foreign keys between these tables, as links."""
    links = []
    for table in tables:
        known = facts[table.name].by_name
        for key in table.foreign_keys:
            if key.target in facts and len(key.columns) == len(key.target_columns):
                has_orphans = any(known[column].null_count for column in key.columns)
                links.append(
                    Link(
                        link_id(table.name, key.columns, key.target),
                        table.name,
                        key.columns,
                        key.target,
                        key.target_columns,
                        has_orphans,
                    )
                )
    return links


def link_id(child: TableName, columns: Sequence[str], parent: TableName) -> str:
    """How plans call a link."""
    return f"{child}({','.join(columns)})->{parent}"


def _facts_of(table: Table, row_count: int, columns: Sequence[ColumnFacts]) -> TableFacts:
    columns = tuple(columns) or tuple(ColumnFacts(table.name, column.name, "blank") for column in table.columns)
    return TableFacts(
        table.name,
        row_count,
        columns,
        table.primary_key.columns,
        _label(columns),
        is_view=table.kind != "table",
        comment=table.comment,
    )


def _label(columns: Sequence[ColumnFacts]) -> str | None:
    """The column that names rows: one called so first, the one that repeats least of those."""
    labels = [column for column in columns if column.role == "label"]
    return max(labels, key=_distinctness).name if labels else None


def _distinctness(column: ColumnFacts) -> tuple[bool, bool, int]:
    most = max((count for _, count in column.values), default=1)
    return column.is_unique, most == 1, len(column.values)


def _spread(values: Sequence[Any], most: int) -> Sequence[Any]:
    """At most so many of sorted values, from the least to the greatest at equal steps."""
    if len(values) <= most:
        return values
    return [values[(len(values) - 1) * place // (most - 1)] for place in range(most)]
