"""The schema of a PostgreSQL database, of its own catalogue and SQLAlchemy's inspection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, cast

from sqlalchemy import Connection, inspect

from data_pipeline.database.columns import asked_for, columns_of, inspected_columns
from data_pipeline.database.postgresql.entries import PostgresTable, read_entries
from data_pipeline.database.postgresql.grammar import GRAMMAR
from data_pipeline.database.postgresql.shared import read_shared_objects
from data_pipeline.database.schema import ForeignKey, SharedObject, Table
from data_pipeline.tasks.table_list import TableName

_INHERITING: Final = (
    "SELECT n.nspname, c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
)


class PostgresCatalogue:
    """The catalogue spells types, keys, checks, indexes and rules; SQLAlchemy reads the rest."""

    def schemas(self, connection: Connection) -> list[str]:
        names = inspect(connection).get_schema_names()
        return [name for name in names if not GRAMMAR.gate.system_schemas.fullmatch(name)]

    def relations(self, connection: Connection, schema: str) -> list[str]:
        inspector = inspect(connection)
        return [
            *inspector.get_table_names(schema),
            *inspector.get_view_names(schema),
            *inspector.get_materialized_view_names(schema),
        ]

    def internal_relations(self, connection: Connection) -> frozenset[str]:  # noqa: ARG002 - in schemas of the system
        return frozenset()

    def inheriting_relations(self, connection: Connection) -> frozenset[TableName]:
        return frozenset(TableName(*row) for row in connection.exec_driver_sql(_INHERITING))

    def read_tables(self, connection: Connection, names: Sequence[TableName]) -> dict[TableName, Table]:
        _use_one_search_path(connection)
        inspector = inspect(connection)
        wanted = asked_for(names)
        columns = inspected_columns(inspector, names)
        keys = {key[1]: found for key, found in inspector.get_multi_foreign_keys(**wanted).items()}
        comments = {key[1]: found["text"] for key, found in inspector.get_multi_table_comment(**wanted).items()}
        entries = read_entries(connection, names[0].schema or GRAMMAR.default_schema, [name.name for name in names])
        return {
            name: _table(name, entries[name.name], columns[name.name], keys.get(name.name, []), comments.get(name.name))
            for name in names
        }

    def shared_objects(self, connection: Connection, tables: Sequence[Table]) -> list[SharedObject]:
        _use_one_search_path(connection)
        return read_shared_objects(connection, tables)


def _use_one_search_path(connection: Connection) -> None:
    """Make the server spell names in the same way for every user; it leaves out schemas of the search path."""
    connection.exec_driver_sql("SET LOCAL search_path = public")


def _table(
    name: TableName, entry: PostgresTable, inspected: Sequence[Any], keys: Sequence[Any], comment: str | None
) -> Table:
    return Table(
        name,
        cast(Literal["table", "view", "materialized view"], entry.kind),
        comment,
        columns_of(inspected, entry.types, labels=entry.labels),
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


def _foreign_keys(inspected: Sequence[Any]) -> Iterable[ForeignKey]:
    for item in inspected:
        yield ForeignKey(
            item.get("name"),
            tuple(item["constrained_columns"]),
            TableName(item["referred_schema"] or GRAMMAR.default_schema, item["referred_table"]),
            tuple(item["referred_columns"]),
            tuple(sorted((option, str(value)) for option, value in item.get("options", {}).items() if value)),
        )
