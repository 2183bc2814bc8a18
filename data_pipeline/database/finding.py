"""Which tables a database has, and which of them a list means."""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Inspector, inspect
from sqlalchemy.exc import SQLAlchemyError

from data_pipeline.database.connection import BusinessDatabase, reason_of
from data_pipeline.errors import DatabaseUnavailable
from data_pipeline.tasks.table_list import TableName

TABLE_LIST_SINCE: Final = (3, 37)
"""The first SQLite that says which tables are whose contents; on older ones all are listed."""

SYSTEM_SCHEMAS: Final = ("information_schema", "pg_catalog")
DEFAULT_SCHEMA: Final = {"sqlite": "main", "postgresql": "public"}


def resolve_tables(
    database: BusinessDatabase, names: Sequence[TableName]
) -> tuple[tuple[TableName, ...], dict[str, str]]:
    """The listed tables as the database spells them, each once; and why each other one was not found.

    Raises DatabaseUnavailable.
    """
    try:
        with database.connect() as connection:
            return _resolve(inspect(connection), DEFAULT_SCHEMA[database.dialect_name], names)
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(f"{database.label}: its tables cannot be listed: {reason_of(error)}.") from None


def list_tables(database: BusinessDatabase, schemas: Sequence[str] | None = None) -> list[TableName]:
    """The tables and views of these schemas, by name (none: of all).

    Left out are system tables, and those in which SQLite's virtual tables keep their contents.
    """
    try:
        with database.connect() as connection:
            inspector = inspect(connection)
            known = [name for name in inspector.get_schema_names() if name not in SYSTEM_SCHEMAS]
            default = DEFAULT_SCHEMA[database.dialect_name]
            asked = known if schemas is None else [default if name.lower() == "public" else name for name in schemas]
            spelled = dict.fromkeys(filter(None, (_spelled(name, known) for name in asked)))
            shadows: set[str] = set()
            if database.dialect_name == "sqlite" and sqlite3.sqlite_version_info >= TABLE_LIST_SINCE:
                kept = "SELECT name FROM pragma_table_list WHERE type = 'shadow'"
                shadows = set(connection.exec_driver_sql(kept).scalars())
            return sorted(
                TableName(schema, name)
                for schema in spelled
                for name in _names(inspector, schema)
                if name not in shadows
            )
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(f"{database.label}: its tables cannot be listed: {reason_of(error)}.") from None


def _resolve(
    inspector: Inspector, default: str, names: Sequence[TableName]
) -> tuple[tuple[TableName, ...], dict[str, str]]:
    known: dict[str, list[str]] = {}
    found: dict[TableName, None] = {}
    missing: dict[str, str] = {}
    schemas = inspector.get_schema_names()
    for name in names:
        wanted = default if name.schema is None or name.schema.lower() == "public" else name.schema
        schema = _spelled(wanted, schemas)
        if schema is None or schema in SYSTEM_SCHEMAS:
            missing[str(name)] = f"there is no schema {name.schema!a}"
            continue
        if schema not in known:
            known[schema] = _names(inspector, schema)
        table = _spelled(name.name, known[schema])
        if table is None:
            near = difflib.get_close_matches(name.name, known[schema], n=3)
            missing[str(name)] = "there is no such table" + (f"; near: {', '.join(near)}" if near else "")
        else:
            found[TableName(schema, table)] = None
    return tuple(found), missing


def _names(inspector: Inspector, schema: str) -> list[str]:
    names = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
    if inspector.dialect.name == "postgresql":
        names += inspector.get_materialized_view_names(schema)
    return [name for name in names if not name.startswith("sqlite_")]


def _spelled(name: str, known: Sequence[str]) -> str | None:
    """The name as it is, else the only one that differs by case alone."""
    if name in known:
        return name
    alike = [other for other in known if other.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None
