"""Looks at a database's tables and says what questions can be about: the only part of the generator that reads rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from data_pipeline.database.connection import BusinessDatabase
from data_pipeline.database.execution import QueryLimits
from data_pipeline.database.schema import Column, Table
from data_pipeline.errors import QueryFailed
from data_pipeline.semantics.column_case import ColumnSeen, RoleVerdict
from data_pipeline.semantics.column_roles import judge_role
from data_pipeline.semantics.facts import ColumnFacts, Link, Role, TableFacts
from data_pipeline.semantics.profile import look_at_rows
from data_pipeline.semantics.roles import Seen, frequent, has_time, is_number, role_of, value_of
from data_pipeline.semantics.telling import TellingValues
from data_pipeline.semantics.value_labels import labels_of_comment
from data_pipeline.tasks.table_list import TableName

ROWS_LOOKED_AT: Final = 10_000
JUDGED_VALUES: Final = 1_000
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
        is_summed = False
        if role == "measure":
            meaning = _meaning(table, column, seen, is_unique=len(set(map(str, values))) == len(found.rows) > 1)
            is_summed = meaning.role == "measure_additive"
            if not meaning.role.startswith("measure"):
                role = "category" if meaning.role in ("category", "ordinal", "flag") else "code"
        columns.append(
            _column(table.name, column, role, seen, told, is_unique=column.name in unique, is_summed=is_summed)
        )
    told_values = found.told if masks_personal_data else frozenset()
    return Observed(_facts_of(table, found.row_count, columns), told=told_values, hidden=frozenset(hidden))


def _meaning(table: Table, column: Column, seen: Seen, *, is_unique: bool) -> RoleVerdict:
    """Return what the semantic rules say of a column: they decide what is a measure, and what is summed."""
    values = seen.values
    return judge_role(
        ColumnSeen(
            table.name.name,
            column.name,
            column.type_sql,
            column.comment,
            values[:JUDGED_VALUES],
            seen.null_count,
            len(values) + seen.null_count,
            len(set(map(str, values))),
            is_unique=is_unique,
            labels=labels_of_comment(column.comment, values[:JUDGED_VALUES]),
            beside=tuple(one.name for one in table.columns),
        ),
        datetime.now(UTC).replace(tzinfo=None),
    )


def _column(
    table: TableName,
    column: Column,
    role: Role,
    seen: Seen,
    told: TellingValues,
    *,
    is_unique: bool,
    is_summed: bool,
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
        is_additive=number and is_summed,
    )


def with_links(
    tables: Sequence[TableFacts], links: Iterable[Link], unsure: Collection[tuple[TableName, str]] = ()
) -> list[TableFacts]:
    """Return the tables with the columns of links marked as references, also those that no key declares.

    `unsure` are columns that probably refer to a table: they are neither joined nor calculated with.
    """
    referring: dict[TableName, set[str]] = {}
    for link in links:
        referring.setdefault(link.child, set()).update(link.child_columns)
    marked = []
    for table in tables:
        own = referring.get(table.name, set())
        columns = tuple(
            replace(column, role="reference")
            if column.name in own and column.is_usable
            else replace(column, role="code", is_additive=False)
            if column.role == "measure" and (table.name, column.name) in unsure
            else column
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
