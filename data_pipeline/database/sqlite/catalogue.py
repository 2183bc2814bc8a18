"""The schema of a SQLite file, of its own catalogue, its own text of each table, and SQLAlchemy's inspection."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Inspector, inspect
from sqlalchemy.exc import SAWarning

from data_pipeline.database.columns import columns_of, inspected_columns
from data_pipeline.database.schema import Check, ForeignKey, Key, SharedObject, Table
from data_pipeline.database.sqlite.entries import SqliteTable, read_entries
from data_pipeline.database.sqlite.text import without_comments
from data_pipeline.tasks.table_list import TableName

TABLE_LIST_SINCE: Final = (3, 37)
"""The first SQLite with a list of shadow tables; older ones list them as tables."""

# Indexes are read from sqlite_master. SQLAlchemy leaves these out and warns.
warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index", SAWarning)


class SqliteCatalogue:
    """One schema, `main`, without shared objects."""

    def schemas(self, connection: Connection) -> list[str]:
        return inspect(connection).get_schema_names()

    def relations(self, connection: Connection, schema: str) -> list[str]:
        inspector = inspect(connection)
        names = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
        return [name for name in names if not name.startswith("sqlite_")]

    def internal_relations(self, connection: Connection) -> frozenset[str]:
        """Return the tables in which virtual tables keep their contents."""
        if sqlite3.sqlite_version_info < TABLE_LIST_SINCE:
            return frozenset()
        shadows = "SELECT name FROM pragma_table_list WHERE type = 'shadow'"
        return frozenset(connection.exec_driver_sql(shadows).scalars())

    def inheriting_relations(self, connection: Connection) -> frozenset[TableName]:  # noqa: ARG002 - there are none
        return frozenset()

    def read_tables(self, connection: Connection, names: Sequence[TableName]) -> dict[TableName, Table]:
        inspector = inspect(connection)
        columns = inspected_columns(inspector, names)
        entries = read_entries(connection, [name.name for name in names])
        return {name: _table(inspector, name, entries[name.name], columns[name.name]) for name in names}

    def shared_objects(self, connection: Connection, tables: Sequence[Table]) -> list[SharedObject]:  # noqa: ARG002
        return []


def _table(inspector: Inspector, name: TableName, entry: SqliteTable, inspected: Sequence[Any]) -> Table:
    types = {
        column: type_sql + (f" collate {entry.text.collations[column]}" if column in entry.text.collations else "")
        for column, type_sql in entry.types.items()
    }
    columns = columns_of(inspected, types, comments=entry.text.comments, generated=entry.text.generated)
    if entry.created_sql.lower().startswith("create virtual table"):
        return Table(name, "virtual table", None, columns, Key(None, ()), view_sql=entry.created_sql)
    columns = tuple(
        column if column.default_sql is None else replace(column, default_sql=without_comments(column.default_sql))
        for column in columns
    )
    if entry.kind == "view":
        sources = tuple(TableName(name.schema, source) for source in entry.sources)
        return Table(name, "view", None, columns, Key(None, ()), view_sql=entry.created_sql, sources=sources)
    key = inspector.get_pk_constraint(name.name, name.schema)
    unique_names = {
        tuple(item["column_names"]): _declared_name(item)
        for item in inspector.get_unique_constraints(name.name, name.schema)
    }
    return Table(
        name,
        "table",
        entry.text.comment,
        columns,
        Key(key.get("name"), tuple(key["constrained_columns"])),
        descending=frozenset(entry.descending),
        foreign_keys=tuple(_foreign_keys(entry)),
        unique_keys=tuple(Key(unique_names.get(columns), columns) for columns in entry.unique_keys),
        indexes=tuple(entry.indexes),
        checks=tuple(Check(check_name, f"check ({sql})") for check_name, sql in entry.text.checks),
        options=frozenset(entry.text.options),
    )


def _foreign_keys(entry: SqliteTable) -> Iterable[ForeignKey]:
    """Yield the keys of the catalogue. Names and times of checks are from the text, if it has as many keys."""
    references = entry.text.references
    if len(references) != len(entry.foreign_keys):
        references = [(None, {})] * len(entry.foreign_keys)
    for (columns, target, target_columns, actions), (name, times) in zip(entry.foreign_keys, references, strict=True):
        yield ForeignKey(
            name, columns, TableName("main", target), target_columns, tuple(sorted({**actions, **times}.items()))
        )


def _declared_name(item: Any) -> str | None:
    name = item.get("name")
    return None if name is None or str(name).startswith("sqlite_autoindex") else str(name)
