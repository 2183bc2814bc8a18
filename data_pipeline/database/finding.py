"""List the tables of a database, and resolve the names of a table list."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from data_pipeline.database.connection import BusinessDatabase
from data_pipeline.database.faults import reason_of
from data_pipeline.errors import DatabaseUnavailable
from data_pipeline.tasks.table_list import TableName


def resolve_tables(
    database: BusinessDatabase, names: Sequence[TableName]
) -> tuple[tuple[TableName, ...], dict[str, str]]:
    """Return the listed tables in the spelling of the database, each once, and the reason for each missing one.

    Raises DatabaseUnavailable.
    """
    try:
        with database.connect() as connection:
            return _resolve(database, connection, names)
    except SQLAlchemyError as error:
        raise _not_listed(database, error) from None


def list_tables(database: BusinessDatabase, schemas: Sequence[str] | None = None) -> list[TableName]:
    """Return the tables and views of some schemas (by default of all), sorted by name.

    System tables, and tables that are storage of other tables, are left out. Raises DatabaseUnavailable.
    """
    catalogue = database.driver.catalogue
    try:
        with database.connect() as connection:
            existing = catalogue.schemas(connection)
            wanted = existing if schemas is None else [_schema_of(database, name) for name in schemas]
            spelled = dict.fromkeys(filter(None, (_spelled(name, existing) for name in wanted)))
            internal = catalogue.internal_relations(connection)
            return sorted(
                TableName(schema, name)
                for schema in spelled
                for name in catalogue.relations(connection, schema)
                if name not in internal
            )
    except SQLAlchemyError as error:
        raise _not_listed(database, error) from None


def _resolve(
    database: BusinessDatabase, connection: Connection, names: Sequence[TableName]
) -> tuple[tuple[TableName, ...], dict[str, str]]:
    catalogue = database.driver.catalogue
    relations: dict[str, list[str]] = {}
    tables: dict[TableName, None] = {}
    missing: dict[str, str] = {}
    schemas = catalogue.schemas(connection)
    for name in names:
        schema = _spelled(_schema_of(database, name.schema), schemas)
        if schema is None:
            missing[str(name)] = f"there is no schema {name.schema!a}"
            continue
        if schema not in relations:
            relations[schema] = catalogue.relations(connection, schema)
        table = _spelled(name.name, relations[schema])
        if table is None:
            near = difflib.get_close_matches(name.name, relations[schema], n=3)
            missing[str(name)] = "there is no such table" + (f"; near: {', '.join(near)}" if near else "")
        else:
            tables[TableName(schema, table)] = None
    return tuple(tables), missing


def _schema_of(database: BusinessDatabase, name: str | None) -> str:
    """Return the schema that a list means: `public`, or none, is the default schema of every database."""
    return database.driver.grammar.default_schema if name is None or name.lower() == "public" else name


def _spelled(name: str, names: Sequence[str]) -> str | None:
    """Return the name itself if it exists, else the only one that differs by case alone."""
    if name in names:
        return name
    alike = [candidate for candidate in names if candidate.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


def _not_listed(database: BusinessDatabase, error: SQLAlchemyError) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"{database.label}: its tables cannot be listed: {reason_of(error)}.")
