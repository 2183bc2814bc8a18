"""What a table is, as plain values; types, constraints and indexes are spelled by the database. Opens nothing."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from data_pipeline.tasks.table_list import TableName


@dataclass(frozen=True)
class Column:
    """A column; `identity` is how PostgreSQL numbers rows, `generated_sql` how the value follows from others.

    `labels` are all values of an enumerated type.
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
    """Columns that refer to those of another table."""

    name: str | None
    columns: tuple[str, ...]
    target: TableName
    target_columns: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Index:
    """An index that no key makes by itself, with the database's own statement."""

    name: str
    definition: str


@dataclass(frozen=True)
class Key:
    """A primary or unique key; `definition` is PostgreSQL's own text of it, with all that the columns do not say."""

    name: str | None
    columns: tuple[str, ...]
    definition: str | None = None


@dataclass(frozen=True)
class Check:
    """A condition that every row meets, or PostgreSQL's exclusion of rows by each other: the text after its name."""

    name: str | None
    definition: str


@dataclass(frozen=True)
class Rule:
    """A rewrite rule of PostgreSQL: the statements that create it, and the other tables and views named in them."""

    name: str
    statement: str
    needs: tuple[TableName, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table or a view as the database has it.

    `sources` are what a view reads; `view_sql` is also what makes one of SQLite's virtual tables. `numbered_by_default`
    are columns whose sequence PostgreSQL makes with the type `serial`. `options` are what SQLite says of a table after
    its bracket: WITHOUT ROWID, STRICT, and AUTOINCREMENT; `descending` are columns of its primary key, downwards.
    `rules` are PostgreSQL's rewrite rules, without the one that makes a view.
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
    """What tables of PostgreSQL need before they can be made: `statement` makes it."""

    kind: str
    name: str
    statement: str


def in_loading_order(tables: Iterable[Table]) -> list[Table]:
    """What a table refers to, and what a view reads, before it; views last; a cycle is broken by name.

    The tables that a rule names come first, too, so that the rule stands in its own table's file. They are not waited
    for where they refer to that table: keys come before rules.
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
        # Views wait for tables that wait for each other.
        name = heapq.heappop(free)[1] if free and free[0][0] <= _place(first)[0] else first.name
        if name not in waiting:
            continue  # it broke a cycle
        ordered.append(waiting.pop(name))
        for follower in followers[name]:
            missing[follower.name] -= 1
            if not missing[follower.name]:
                heapq.heappush(free, _place(follower))
    return ordered


def _needed_before(table: Table, tables: Mapping[TableName, Table]) -> set[TableName]:
    named = [tables[name] for rule in table.rules for name in rule.needs if name in tables]
    by_rules = {other.name for other in named if other.kind == "table" and table.name not in _targets(other)}
    return ({*table.sources, *_targets(table), *by_rules} & tables.keys()) - {table.name}


def _targets(table: Table) -> set[TableName]:
    return {key.target for key in table.foreign_keys}


def _place(table: Table) -> tuple[bool, TableName]:
    return table.kind != "table", table.name
