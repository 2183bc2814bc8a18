"""Read the entries of many tables in SQLite's catalogue, where SQLAlchemy's inspection is incomplete."""

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
    """One table or view: its kind, its text, its indexes, and the declared types of its columns.

    Keys are in the order in which they were created: `unique_keys` are their columns; `foreign_keys` are columns,
    target, columns of the target, and actions. `descending` are the descending columns of the primary key.
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


def read_entries(connection: Connection, names: Sequence[str]) -> dict[str, SqliteTable]:
    """Return the entries of these tables and views by name; a missing one is left out."""
    wanted = (json.dumps(list(names)),)

    def rows(statement: str) -> Sequence[Any]:
        return connection.exec_driver_sql(statement.replace("NAMED", _NAMED), wanted).all()

    entries: dict[str, SqliteTable] = {}
    # A trigger may have the name of its table.
    statement = "SELECT name, type, sql FROM sqlite_master WHERE name IN NAMED AND type IN ('table', 'view')"
    for name, kind, sql in rows(statement):
        text = read_table_text(sql or "") if kind == "table" else TableText()
        entries[name] = SqliteTable(kind, sql or "", text)
    if any(table.kind == "view" for table in entries.values()):
        all_names = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
        spelled = {name.lower(): name for name in connection.exec_driver_sql(all_names).scalars()}
        for name, table in entries.items():
            if table.kind == "view":
                table.sources = tuple(_tables_in(table.created_sql, spelled, but=name))
    # Types as they were declared, because INT and INTEGER differ in a primary key.
    for name, column, type_sql in rows(
        "SELECT wanted.value, columns.name, columns.type"
        " FROM NAMED AS wanted, pragma_table_xinfo(wanted.value) AS columns"
    ):
        entries[name].types[column] = type_sql
    for name, index, sql in rows(
        "SELECT tbl_name, name, sql FROM sqlite_master"
        " WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN NAMED ORDER BY tbl_name, name"
    ):
        entries[name].indexes.append(Index(index, sql))
    # SQLAlchemy searches the text for UNIQUE, and misses it after some types.
    unique: dict[tuple[str, str], list[str]] = {}
    for name, index, column in rows(
        "SELECT wanted.value, own.name, part.name FROM NAMED AS wanted, pragma_index_list(wanted.value) AS own,"
        " pragma_index_info(own.name) AS part WHERE own.origin = 'u' ORDER BY wanted.value, own.seq DESC, part.seqno"
    ):
        unique.setdefault((name, index), []).append(column)
    for (name, _), key_columns in unique.items():
        entries[name].unique_keys.append(tuple(key_columns))
    keys: dict[tuple[str, int], list[Any]] = {}
    for row in rows(
        'SELECT wanted.value, key.id, key.seq, key."table", key."from", key."to", key.on_delete, key.on_update'
        " FROM NAMED AS wanted, pragma_foreign_key_list(wanted.value) AS key"
        " ORDER BY wanted.value, key.id DESC, key.seq"  # numbered from the last one
    ):
        keys.setdefault((row[0], row[1]), []).append(row)
    referred = sorted({parts[0][3] for parts in keys.values() if parts[0][5] is None})
    primary: dict[str, list[str]] = {}
    statement = "SELECT wanted.value, columns.name FROM NAMED AS wanted, pragma_table_info(wanted.value) AS columns"
    for name, column in connection.exec_driver_sql(
        f"{statement} WHERE columns.pk ORDER BY wanted.value, columns.pk".replace("NAMED", _NAMED),
        (json.dumps(referred),),
    ):
        primary.setdefault(name, []).append(column)
    for (name, _), parts in keys.items():
        actions = {"ondelete": parts[0].on_delete, "onupdate": parts[0].on_update}
        target = parts[0][3]
        target_columns = tuple(primary.get(target, ())) if parts[0][5] is None else tuple(part[5] for part in parts)
        entries[name].foreign_keys.append(
            (tuple(part[4] for part in parts), target, target_columns,
             {key: act for key, act in actions.items() if act != "NO ACTION"})
        )  # fmt: skip
    # Only the index of a key records which columns are descending.
    for name, column in rows(
        "SELECT wanted.value, part.name FROM NAMED AS wanted, pragma_index_list(wanted.value) AS own,"
        " pragma_index_xinfo(own.name) AS part WHERE own.origin = 'pk' AND part.key AND part.desc"
    ):
        entries[name].descending.add(column)
    return entries


def _tables_in(view_sql: str, spelled: Mapping[str, str], *, but: str) -> Iterable[str]:
    """Return the tables that a view reads, in the spelling of the database; none if its text cannot be parsed."""
    try:
        parsed = sqlglot.parse_one(view_sql, read="sqlite")
    except SqlglotError:
        return []
    names = dict.fromkeys(table.name.lower() for table in parsed.find_all(exp.Table))
    return [spelled[name] for name in names if name in spelled and spelled[name] != but]
