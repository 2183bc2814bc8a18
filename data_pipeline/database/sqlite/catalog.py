"""What SQLite says of many tables at once, where SQLAlchemy's inspection leaves something out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlglot
from sqlalchemy import Connection
from sqlglot import exp
from sqlglot.errors import SqlglotError

from data_pipeline.database.schema import Index
from data_pipeline.database.sqlite.text import TableText, read_table_text

_NAMED: Final = "(SELECT value FROM json_each(?))"


@dataclass
class SqliteTable:
    """One table or view: its kind, its text, its indexes, its columns' types as declared.

    `unique_keys` are columns, in the order in which the keys were made; `foreign_keys` are columns, target, its columns
    and actions, in that order, too; `descending` are columns of the primary key that run downwards.
    """

    kind: str
    created_sql: str
    text: TableText
    types: dict[str, str] = field(default_factory=dict)
    indexes: list[Index] = field(default_factory=list)
    unique_keys: list[tuple[str, ...]] = field(default_factory=list)
    foreign_keys: list[tuple[tuple[str, ...], str, tuple[str, ...], dict[str, str]]] = field(default_factory=list)
    descending: set[str] = field(default_factory=set)
    sources: tuple[str, ...] = ()


def read_sqlite_catalog(connection: Connection, names: Sequence[str]) -> dict[str, SqliteTable]:
    """The catalog's entries of these tables and views."""
    asked = (json.dumps(list(names)),)

    def rows(statement: str) -> Sequence[Any]:
        return connection.exec_driver_sql(statement.replace("NAMED", _NAMED), asked).all()

    found = {}
    # A trigger may have the name of its table.
    statement = "SELECT name, type, sql FROM sqlite_master WHERE name IN NAMED AND type IN ('table', 'view')"
    for name, kind, sql in rows(statement):
        text = read_table_text(sql or "") if kind == "table" else TableText()
        found[name] = SqliteTable(kind, sql or "", text)
    if any(table.kind == "view" for table in found.values()):
        all_names = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
        known = {name.lower(): name for name in connection.exec_driver_sql(all_names).scalars()}
        for name, table in found.items():
            if table.kind == "view":
                table.sources = tuple(_tables_in(table.created_sql, known, but=name))
    # Types as they were declared: to SQLite, INT and INTEGER are not the same in a primary key.
    for name, column, type_sql in rows(
        "SELECT asked.value, columns.name, columns.type FROM NAMED AS asked, pragma_table_xinfo(asked.value) AS columns"
    ):
        found[name].types[column] = type_sql
    for name, index, sql in rows(
        "SELECT tbl_name, name, sql FROM sqlite_master"
        " WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN NAMED ORDER BY tbl_name, name"
    ):
        found[name].indexes.append(Index(index, sql))
    # SQLAlchemy looks for UNIQUE in the text, and not behind every type.
    unique: dict[tuple[str, str], list[str]] = {}
    for name, index, column in rows(
        "SELECT asked.value, own.name, part.name FROM NAMED AS asked, pragma_index_list(asked.value) AS own,"
        " pragma_index_info(own.name) AS part WHERE own.origin = 'u' ORDER BY asked.value, own.seq DESC, part.seqno"
    ):
        unique.setdefault((name, index), []).append(column)
    for (name, _), parts_of_key in unique.items():
        found[name].unique_keys.append(tuple(parts_of_key))
    keys: dict[tuple[str, int], list[Any]] = {}
    for row in rows(
        'SELECT asked.value, key.id, key.seq, key."table", key."from", key."to", key.on_delete, key.on_update'
        " FROM NAMED AS asked, pragma_foreign_key_list(asked.value) AS key"
        " ORDER BY asked.value, key.id DESC, key.seq"  # the last one has number 0
    ):
        keys.setdefault((row[0], row[1]), []).append(row)
    referred = sorted({parts[0][3] for parts in keys.values() if parts[0][5] is None})
    primary: dict[str, list[str]] = {}
    statement = "SELECT asked.value, columns.name FROM NAMED AS asked, pragma_table_info(asked.value) AS columns"
    for name, column in connection.exec_driver_sql(
        f"{statement} WHERE columns.pk ORDER BY asked.value, columns.pk".replace("NAMED", _NAMED),
        (json.dumps(referred),),
    ):
        primary.setdefault(name, []).append(column)
    for (name, _), parts in keys.items():
        actions = {"ondelete": parts[0].on_delete, "onupdate": parts[0].on_update}
        target = parts[0][3]
        columns_there = tuple(primary.get(target, ())) if parts[0][5] is None else tuple(part[5] for part in parts)
        found[name].foreign_keys.append(
            (tuple(part[4] for part in parts), target, columns_there,
             {key: act for key, act in actions.items() if act != "NO ACTION"})
        )  # fmt: skip
    # Which columns of a key run downwards only its index knows.
    for name, column in rows(
        "SELECT asked.value, part.name FROM NAMED AS asked, pragma_index_list(asked.value) AS own,"
        " pragma_index_xinfo(own.name) AS part WHERE own.origin = 'pk' AND part.key AND part.desc"
    ):
        found[name].descending.add(column)
    return found


def _tables_in(view_sql: str, known: Mapping[str, str], *, but: str) -> Iterable[str]:
    """What a view reads, as the database spells it; nothing where its text is beyond the parser."""
    try:
        parsed = sqlglot.parse_one(view_sql, read="sqlite")
    except SqlglotError:
        return []
    named = dict.fromkeys(table.name.lower() for table in parsed.find_all(exp.Table))
    return [known[name] for name in named if name in known and known[name] != but]
