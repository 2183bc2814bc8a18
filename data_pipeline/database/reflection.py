"""Reads tables: many at once by SQLAlchemy's inspection and the database's own catalog, one by one where that fails."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, cast

from sqlalchemy import Connection, Inspector, inspect
from sqlalchemy.engine.reflection import ObjectKind, ObjectScope
from sqlalchemy.exc import SAWarning, SQLAlchemyError

from data_pipeline.database.connection import BusinessDatabase, reason_of
from data_pipeline.database.postgresql.catalog import PostgresTable, read_postgresql_catalog
from data_pipeline.database.postgresql.shared import read_shared_objects
from data_pipeline.database.schema import Check, Column, ForeignKey, Key, SharedObject, Table
from data_pipeline.database.sqlite.catalog import SqliteTable, read_sqlite_catalog
from data_pipeline.database.sqlite.text import without_comments
from data_pipeline.errors import DatabaseUnavailable
from data_pipeline.tasks.table_list import TableName

# They are read from sqlite_master here; SQLAlchemy leaves them out, and says so.
warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index", SAWarning)
# Types are spelled by the database here.
warnings.filterwarnings("ignore", "Did not recognize type", SAWarning)

AT_ONCE: Final = 200
"""How many tables one round of queries reads."""


def read_table(database: BusinessDatabase, name: TableName) -> Table:
    """Everything about one table. Raises DatabaseUnavailable when it cannot be read."""
    tables, failures = read_tables(database, [name])
    if failures:
        raise DatabaseUnavailable(f"{database.label}: {name} cannot be read: {failures[str(name)]}.")
    return tables[0]


def read_tables(database: BusinessDatabase, names: Sequence[TableName]) -> tuple[list[Table], dict[str, str]]:
    """Everything about tables that are there, in this order; and why each other one could not be read."""
    read: dict[TableName, Table] = {}
    failures: dict[str, str] = {}
    for schema in dict.fromkeys(name.schema for name in names):
        of_schema = [name for name in names if name.schema == schema]
        for start in range(0, len(of_schema), AT_ONCE):
            part = of_schema[start : start + AT_ONCE]
            try:
                read |= _read(database, part)
            except (SQLAlchemyError, KeyError):
                # One that cannot be read hides the others: a view on a table that is gone.
                for name in part:
                    try:
                        read |= _read(database, [name])
                    except SQLAlchemyError as error:
                        failures[str(name)] = reason_of(error)
                    except KeyError:
                        failures[str(name)] = "it is gone, or this user may not see it"
    return [read[name] for name in names if name in read], failures


def read_prelude(database: BusinessDatabase, tables: Sequence[Table]) -> list[SharedObject]:
    """What must be made before these tables can be: nothing in SQLite. Raises DatabaseUnavailable."""
    if database.dialect_name == "sqlite" or not tables:
        return []
    try:
        with database.connect() as connection:
            _spell_alike(connection)
            return read_shared_objects(connection, tables)
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(f"{database.label}: its types cannot be read: {reason_of(error)}.") from None


def _read(database: BusinessDatabase, names: Sequence[TableName]) -> dict[TableName, Table]:
    """Tables of one schema. Raises KeyError where one is missing, SQLAlchemyError."""
    with database.connect() as connection:
        _spell_alike(connection)
        inspector = inspect(connection)
        tables = [name.name for name in names]
        asked: dict[str, Any] = {
            "schema": names[0].schema,
            "filter_names": tables,
            "kind": ObjectKind.ANY,
            "scope": ObjectScope.ANY,
        }
        columns = {key[1]: found for key, found in inspector.get_multi_columns(**asked).items()}
        if connection.dialect.name == "sqlite":
            catalog = read_sqlite_catalog(connection, tables)
            return {name: _sqlite_table(inspector, name, catalog[name.name], columns[name.name]) for name in names}
        keys = {key[1]: found for key, found in inspector.get_multi_foreign_keys(**asked).items()}
        comments = {key[1]: found["text"] for key, found in inspector.get_multi_table_comment(**asked).items()}
        entries = read_postgresql_catalog(connection, names[0].schema or "public", tables)
        return {
            name: _postgresql_table(
                name,
                entries[name.name],
                columns[name.name],
                keys.get(name.name, []),
                comments.get(name.name),
            )
            for name in names
        }


def _spell_alike(connection: Connection) -> None:
    """PostgreSQL leaves out schemas that a user's own search path makes needless; files must load for everybody."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL search_path = public")


def _sqlite_table(inspector: Inspector, name: TableName, entry: SqliteTable, columns: Sequence[Any]) -> Table:
    types = {
        column: type_sql + (f" collate {entry.text.collations[column]}" if column in entry.text.collations else "")
        for column, type_sql in entry.types.items()
    }
    described = tuple(_columns(columns, types, entry.text.comments, {}, entry.text.generated))
    if entry.created_sql.lower().startswith("create virtual table"):
        return Table(name, "virtual table", None, described, Key(None, ()), view_sql=entry.created_sql)
    described = tuple(
        column if column.default_sql is None else replace(column, default_sql=without_comments(column.default_sql))
        for column in described
    )
    if entry.kind == "view":
        sources = tuple(TableName(name.schema, source) for source in entry.sources)
        return Table(name, "view", None, described, Key(None, ()), view_sql=entry.created_sql, sources=sources)
    key = inspector.get_pk_constraint(name.name, name.schema)
    own_names = {
        tuple(item["column_names"]): _own_name(item)
        for item in inspector.get_unique_constraints(name.name, name.schema)
    }
    return Table(
        name,
        "table",
        entry.text.comment,
        described,
        Key(key.get("name"), tuple(key["constrained_columns"])),
        descending=frozenset(entry.descending),
        foreign_keys=tuple(_sqlite_foreign_keys(entry)),
        unique_keys=tuple(Key(own_names.get(columns), columns) for columns in entry.unique_keys),
        indexes=tuple(entry.indexes),
        checks=tuple(Check(own, f"check ({sql})") for own, sql in entry.text.checks),
        options=frozenset(entry.text.options),
    )


def _sqlite_foreign_keys(entry: SqliteTable) -> Iterable[ForeignKey]:
    """What the database lists, with names and times of checks from the text, where that has as many of them."""
    said = entry.text.references
    if len(said) != len(entry.foreign_keys):
        said = [(None, {})] * len(entry.foreign_keys)
    for (columns, target, columns_there, actions), (own, times) in zip(entry.foreign_keys, said, strict=True):
        yield ForeignKey(
            own, columns, TableName("main", target), columns_there, tuple(sorted({**actions, **times}.items()))
        )


def _postgresql_table(
    name: TableName,
    entry: PostgresTable,
    columns: Sequence[Any],
    keys: Sequence[Any],
    comment: str | None,
) -> Table:
    return Table(
        name,
        cast(Literal["table", "view", "materialized view"], entry.kind),
        comment,
        tuple(_columns(columns, entry.types, {}, entry.labels, {})),
        entry.primary_key,
        foreign_keys=tuple(_foreign_keys(keys)),
        unique_keys=tuple(entry.unique_keys),
        indexes=tuple(entry.indexes),
        checks=tuple(entry.checks),
        view_sql=entry.view_sql,
        sources=tuple(entry.sources),
        numbered_by_default=frozenset(entry.numbered),
        rules=tuple(entry.rules),
    )


def _columns(
    found: Sequence[Any],
    types: Mapping[str, str],
    written: Mapping[str, str],
    labels: Mapping[str, tuple[str, ...]],
    expressions: Mapping[str, str],
) -> Iterable[Column]:
    for item in found:
        identity = item.get("identity")
        computed = item.get("computed")
        yield Column(
            item["name"],
            types[item["name"]],
            item["nullable"],
            None if computed or identity else item["default"],
            item.get("comment") or written.get(item["name"]),
            None if identity is None else "always" if identity.get("always") else "by default",
            expressions.get(item["name"], computed["sqltext"]) if computed else None,
            bool(computed and computed.get("persisted")),
            labels.get(item["name"], ()),
        )


def _foreign_keys(found: Sequence[Any]) -> Iterable[ForeignKey]:
    for item in found:
        yield ForeignKey(
            _own_name(item),
            tuple(item["constrained_columns"]),
            TableName(item["referred_schema"] or "public", item["referred_table"]),
            tuple(item["referred_columns"]),
            tuple(sorted((option, str(value)) for option, value in item.get("options", {}).items() if value)),
        )


def _own_name(item: Any) -> str | None:
    name = item.get("name")
    return None if name is None or str(name).startswith("sqlite_autoindex") else str(name)
