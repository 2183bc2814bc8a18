"""What a table is: read by SQLAlchemy's inspection, kept as plain values, types spelled by the database's dialect."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Any, Literal

from sqlalchemy import Connection, Inspector, inspect
from sqlalchemy.exc import SAWarning, SQLAlchemyError

from data_pipeline.database.connection import BusinessDatabase, reason_of
from data_pipeline.database.sqlite_comments import comments_in
from data_pipeline.errors import DatabaseUnavailable
from data_pipeline.table_list import TableName

# They are read from sqlite_master here; SQLAlchemy leaves them out, and says so.
warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index", SAWarning)

SYSTEM_SCHEMAS = ("information_schema", "pg_catalog")
DEFAULT_SCHEMA = {"sqlite": "main", "postgresql": "public"}


@dataclass(frozen=True)
class Column:
    """A column; `identity` is how PostgreSQL numbers rows, `generated_sql` how the value follows from others."""

    name: str
    type_sql: str
    is_nullable: bool
    default_sql: str | None = None
    comment: str | None = None
    identity: Literal["always", "by default"] | None = None
    generated_sql: str | None = None
    is_stored: bool = False


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
    """A primary or unique key."""

    name: str | None
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """A condition that every row meets."""

    name: str | None
    sql: str


@dataclass(frozen=True)
class Table:
    """A table or a view as the database has it; `created_sql` is SQLite's own statement."""

    name: TableName
    kind: Literal["table", "view"]
    comment: str | None
    columns: tuple[Column, ...]
    primary_key: Key
    foreign_keys: tuple[ForeignKey, ...] = ()
    unique_keys: tuple[Key, ...] = ()
    indexes: tuple[Index, ...] = ()
    checks: tuple[Check, ...] = ()
    view_sql: str | None = None
    created_sql: str | None = None


def resolve_tables(
    database: BusinessDatabase, names: Sequence[TableName]
) -> tuple[tuple[TableName, ...], dict[str, str]]:
    """The listed tables as the database spells them, each once; and why each other one was not found."""
    with database.connect() as connection:
        inspector = inspect(connection)
        default = DEFAULT_SCHEMA[database.dialect_name]
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
                known[schema] = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
            table = _spelled(name.name, known[schema])
            if table is None or table.startswith("sqlite_"):
                near = difflib.get_close_matches(name.name, known[schema], n=3)
                missing[str(name)] = "there is no such table" + (f"; near: {', '.join(near)}" if near else "")
            else:
                found[TableName(schema, table)] = None
    return tuple(found), missing


def list_tables(database: BusinessDatabase, schemas: Sequence[str]) -> list[TableName]:
    """The tables and views of these schemas, by name; system tables are left out, unknown schemas have none."""
    try:
        with database.connect() as connection:
            inspector = inspect(connection)
            known = inspector.get_schema_names()
            default = DEFAULT_SCHEMA[database.dialect_name]
            found = []
            for wanted in schemas:
                schema = _spelled(default if wanted.lower() == "public" else wanted, known)
                if schema is None or schema in SYSTEM_SCHEMAS:
                    continue
                names = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
                found += [TableName(schema, name) for name in names if not name.startswith("sqlite_")]
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(f"{database.label}: its tables cannot be listed: {reason_of(error)}.") from None
    return sorted(dict.fromkeys(found))


def read_table(database: BusinessDatabase, name: TableName) -> Table:
    """Everything about one table. Raises DatabaseUnavailable when it cannot be read."""
    try:
        with database.connect() as connection:
            return _read(connection, inspect(connection), name)
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(f"{database.label}: {name} cannot be read: {reason_of(error)}.") from None


def in_loading_order(tables: Iterable[Table]) -> list[Table]:
    """Referenced tables before those that refer to them, views last; a cycle is broken by name."""
    waiting = {table.name: table for table in sorted(tables, key=lambda table: (table.kind == "view", table.name))}
    ordered: list[Table] = []
    while waiting:
        free = [
            table
            for table in waiting.values()
            if table.kind == "table"
            and not any(key.target in waiting and key.target != table.name for key in table.foreign_keys)
        ]
        ordered += [waiting.pop(table.name) for table in free or [next(iter(waiting.values()))]]
    return ordered


def _spelled(name: str, known: Sequence[str]) -> str | None:
    """The name as it is, else the only one that differs by case alone."""
    if name in known:
        return name
    alike = [other for other in known if other.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


def _read(connection: Connection, inspector: Inspector, name: TableName) -> Table:
    schema, table = name
    if table in inspector.get_view_names(schema):
        return Table(
            name,
            "view",
            _comment(inspector, name),
            _columns(connection, inspector, name),
            Key(None, ()),
            view_sql=inspector.get_view_definition(table, schema),
        )
    created_sql = _sqlite_statement(connection, name) if connection.dialect.name == "sqlite" else None
    written = comments_in(created_sql or "")
    key = inspector.get_pk_constraint(table, schema)
    uniques = tuple(
        Key(_own_name(item), tuple(item["column_names"])) for item in inspector.get_unique_constraints(table, schema)
    )
    return Table(
        name,
        "table",
        _comment(inspector, name) or written.table,
        _columns(connection, inspector, name, written.columns),
        Key(key.get("name"), tuple(key["constrained_columns"])),
        foreign_keys=tuple(_foreign_keys(connection, inspector, name)),
        unique_keys=uniques,
        indexes=tuple(_indexes(connection, inspector, name)),
        checks=tuple(
            Check(_own_name(item), str(item["sqltext"])) for item in inspector.get_check_constraints(table, schema)
        ),
        created_sql=created_sql,
    )


def _foreign_keys(connection: Connection, inspector: Inspector, name: TableName) -> Iterable[ForeignKey]:
    actions = _sqlite_actions(connection, name) if connection.dialect.name == "sqlite" else {}
    for item in inspector.get_foreign_keys(name.name, name.schema):
        columns = tuple(item["constrained_columns"])
        options = {**item.get("options", {}), **actions.get((columns, item["referred_table"]), {})}
        yield ForeignKey(
            _own_name(item),
            columns,
            TableName(item["referred_schema"] or inspector.default_schema_name, item["referred_table"]),
            tuple(item["referred_columns"]),
            tuple(sorted((option, str(value)) for option, value in options.items() if value)),
        )


def _sqlite_actions(connection: Connection, name: TableName) -> dict[tuple[tuple[str, ...], str], dict[str, str]]:
    """ON DELETE and ON UPDATE by columns and target: SQLAlchemy sees only those of table constraints."""
    rows = connection.exec_driver_sql("SELECT * FROM pragma_foreign_key_list(?) ORDER BY id, seq", (name.name,)).all()
    actions = {}
    for _, group in groupby(rows, key=lambda row: row.id):
        key = list(group)
        spelled = {"ondelete": key[0].on_delete, "onupdate": key[0].on_update}
        columns = tuple(row[3] for row in key)  # "from" is no attribute's name
        actions[columns, key[0].table] = {option: act for option, act in spelled.items() if act != "NO ACTION"}
    return actions


def _own_name(item: Any) -> str | None:
    name = item.get("name")
    return None if name is None or str(name).startswith("sqlite_autoindex") else str(name)


def _comment(inspector: Inspector, name: TableName) -> str | None:
    try:
        return inspector.get_table_comment(name.name, name.schema)["text"]
    except NotImplementedError:
        return None  # SQLite has none but those in its own text of the table


def _columns(
    connection: Connection, inspector: Inspector, name: TableName, written: Mapping[str, str] = MappingProxyType({})
) -> tuple[Column, ...]:
    columns = []
    declared = _sqlite_types(connection, name) if connection.dialect.name == "sqlite" else {}
    for item in inspector.get_columns(name.name, name.schema):
        identity = item.get("identity")
        computed = item.get("computed")
        columns.append(
            Column(
                item["name"],
                declared[item["name"]] if declared else item["type"].compile(connection.dialect),
                item["nullable"],
                None if computed or identity else item["default"],
                item.get("comment") or written.get(item["name"]),
                None if identity is None else "always" if identity.get("always") else "by default",
                computed["sqltext"] if computed else None,
                bool(computed and computed.get("persisted")),
            )
        )
    return tuple(columns)


def _sqlite_types(connection: Connection, name: TableName) -> dict[str, str]:
    """Types as they were declared: to SQLite, INT and INTEGER are not the same in a primary key."""
    rows = connection.exec_driver_sql("SELECT name, type FROM pragma_table_xinfo(?)", (name.name,))
    return {row.name: row.type for row in rows}


def _indexes(connection: Connection, inspector: Inspector, name: TableName) -> Iterable[Index]:
    if connection.dialect.name == "sqlite":
        statement = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL"
        found = connection.exec_driver_sql(f"{statement} ORDER BY name", (name.name,)).all()
        return [Index(index, definition) for index, definition in found]
    own = {
        item["name"] for item in inspector.get_indexes(name.name, name.schema) if "duplicates_constraint" not in item
    }
    statement = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %s AND tablename = %s"
    found = connection.exec_driver_sql(f"{statement} ORDER BY indexname", (name.schema, name.name)).all()
    return [Index(index, definition) for index, definition in found if index in own]


def _sqlite_statement(connection: Connection, name: TableName) -> str | None:
    found = connection.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (name.name,)
    ).scalar()
    return None if found is None else str(found)


def is_autoincrement(table: Table) -> bool:
    """Whether SQLite never uses a number of this table again."""
    return (
        table.created_sql is not None and re.search(r"\bAUTOINCREMENT\b", table.created_sql, re.IGNORECASE) is not None
    )
