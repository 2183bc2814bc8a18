"""Tables as plain values; types, constraints and indexes are in the spelling of the database. Opens nothing."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from data_pipeline.tasks.table_list import TableName


@dataclass(frozen=True)
class Column:
    """A column.

    `identity`: rows are numbered by the standard's GENERATED … AS IDENTITY. `generated_sql`: the expression of a
    generated column, which is stored or virtual. `labels`: all values of an enumerated type.
    """

    name: str
    type_sql: str
    is_nullable: bool
    default_sql: str | None = None
    comment: str | None = None
    identity: Literal["always", "by default"] | None = None
    generated_sql: str | None = None
    is_stored: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key; `options` are `match`, `ondelete`, `onupdate`, `deferrable` and `initially`, as far as given."""

    name: str | None
    columns: tuple[str, ...]
    target: TableName
    target_columns: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Index:
    """An index that no key creates by itself, with the database's own statement."""

    name: str
    definition: str


@dataclass(frozen=True)
class Key:
    """A primary or unique key; `definition` is the database's own text, if the columns alone do not define the key."""

    name: str | None
    columns: tuple[str, ...]
    definition: str | None = None


@dataclass(frozen=True)
class Check:
    """A condition on every row, or an exclusion of rows by each other; `definition` is the text after its name."""

    name: str | None
    definition: str


@dataclass(frozen=True)
class Rule:
    """A rewrite rule (PostgreSQL): the statements that create it, and the other tables and views named in them."""

    name: str
    statement: str
    needs: tuple[TableName, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table or a view as the database has it.

    `view_sql` creates a view or virtual table, in the form that the catalogue has; `sources` are the tables that a view
    reads. `numbered_by_default` are columns whose type creates their sequence. `options` are words of the driver's own
    for options of the table. `descending` are the descending columns of the primary key. `rules` are rewrite rules,
    without the one that defines a view.
    """

    name: TableName
    kind: Literal["table", "view", "materialized view", "virtual table"]
    comment: str | None
    columns: tuple[Column, ...]
    primary_key: Key
    foreign_keys: tuple[ForeignKey, ...] = ()
    unique_keys: tuple[Key, ...] = ()
    indexes: tuple[Index, ...] = ()
    checks: tuple[Check, ...] = ()
    view_sql: str | None = None
    sources: tuple[TableName, ...] = ()
    numbered_by_default: frozenset[str] = frozenset()
    options: frozenset[str] = frozenset()
    descending: frozenset[str] = frozenset()
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class SharedObject:
    """An object that must exist before tables can be created, such as a type; `statement` creates it."""

    kind: str
    name: str
    statement: str


def in_loading_order(tables: Iterable[Table]) -> list[Table]:
    """Return tables so that each follows the tables to which it refers or which it reads; views are last.

    A cycle is broken by name. The tables that a rule names are earlier, too, so that the rule is in the file of its own
    table; unless they refer to that table, because keys are more important than rules.
    """
    waiting = {table.name: table for table in sorted(tables, key=_place)}
    followers: dict[TableName, list[Table]] = {name: [] for name in waiting}
    missing: dict[TableName, int] = {}
    for table in waiting.values():
        needed = _needed_before(table, waiting)
        missing[table.name] = len(needed)
        for name in needed:
            followers[name].append(table)
    free = [_place(table) for table in waiting.values() if not missing[table.name]]
    ordered: list[Table] = []
    while waiting:
        first = next(iter(waiting.values()))
        # Views wait until tables that wait for each other are taken.
        name = heapq.heappop(free)[1] if free and free[0][0] <= _place(first)[0] else first.name
        if name not in waiting:
            continue  # it was taken before, to break a cycle
        ordered.append(waiting.pop(name))
        for follower in followers[name]:
            missing[follower.name] -= 1
            if not missing[follower.name]:
                heapq.heappush(free, _place(follower))
    return ordered


def _needed_before(table: Table, tables: Mapping[TableName, Table]) -> set[TableName]:
    named = [tables[name] for rule in table.rules for name in rule.needs if name in tables]
    by_rules = {needed.name for needed in named if needed.kind == "table" and table.name not in _targets(needed)}
    return ({*table.sources, *_targets(table), *by_rules} & tables.keys()) - {table.name}


def _targets(table: Table) -> set[TableName]:
    return {key.target for key in table.foreign_keys}


def _place(table: Table) -> tuple[bool, TableName]:
    return table.kind != "table", table.name
