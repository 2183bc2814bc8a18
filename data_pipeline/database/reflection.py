"""Read tables: many at once, and one by one if that fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from data_pipeline.database.connection import BusinessDatabase
from data_pipeline.database.faults import reason_of
from data_pipeline.database.schema import SharedObject, Table
from data_pipeline.errors import DatabaseUnavailable
from data_pipeline.tasks.table_list import TableName

AT_ONCE: Final = 200
"""The number of tables that one round of queries reads."""


def read_table(database: BusinessDatabase, name: TableName) -> Table:
    """Return everything about one table. Raises DatabaseUnavailable if it cannot be read."""
    tables, failures = read_tables(database, [name])
    if failures:
        raise DatabaseUnavailable(f"{database.label}: {name} cannot be read: {failures[str(name)]}.")
    return tables[0]


def read_tables(database: BusinessDatabase, names: Sequence[TableName]) -> tuple[list[Table], dict[str, str]]:
    """Return everything about existing tables, in this order, and the reason for each one that cannot be read."""
    tables: dict[TableName, Table] = {}
    failures: dict[str, str] = {}
    for schema in dict.fromkeys(name.schema for name in names):
        of_schema = [name for name in names if name.schema == schema]
        for start in range(0, len(of_schema), AT_ONCE):
            part = of_schema[start : start + AT_ONCE]
            try:
                tables |= _read(database, part)
            except (SQLAlchemyError, KeyError):
                # One that cannot be read, such as a view on a missing table, fails all of them.
                for name in part:
                    try:
                        tables |= _read(database, [name])
                    except SQLAlchemyError as error:
                        failures[str(name)] = reason_of(error)
                    except KeyError:
                        failures[str(name)] = "it is gone, or this user may not see it"
    return [tables[name] for name in names if name in tables], failures


def read_prelude(database: BusinessDatabase, tables: Sequence[Table]) -> list[SharedObject]:
    """Return the objects that must exist before these tables can be created. Raises DatabaseUnavailable."""
    if not tables:
        return []
    try:
        with database.connect() as connection:
            return database.driver.catalogue.shared_objects(connection, tables)
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(f"{database.label}: its types cannot be read: {reason_of(error)}.") from None


def _read(database: BusinessDatabase, names: Sequence[TableName]) -> dict[TableName, Table]:
    """Return tables of one schema. Raises KeyError if one is missing, SQLAlchemyError."""
    with database.connect() as connection:
        return database.driver.catalogue.read_tables(connection, names)
