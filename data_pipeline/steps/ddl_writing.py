"""A table as a `.ddl` file that loads, and as a page for people. Text in, text out.

Every identifier is quoted where its dialect asks for it; text from the database can end neither a comment nor a line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite

from data_pipeline.database.schema import Column, ForeignKey, Table, is_autoincrement
from data_pipeline.table_list import TableName

DIALECTS: Final[dict[str, Dialect]] = {
    "sqlite": sqlite.dialect(),
    "postgresql": postgresql.dialect(),  # type: ignore[no-untyped-call]
}
_SERIAL: Final = {"SMALLINT": "SMALLSERIAL", "INTEGER": "SERIAL", "BIGINT": "BIGSERIAL"}


@dataclass(frozen=True)
class Surroundings:
    """What a table's files say of other tables: which are listed, which load before it, which refer to it."""

    listed: Collection[TableName]
    loaded_before: Collection[TableName]
    referring: Sequence[tuple[TableName, ForeignKey]]
    added_later: Sequence[tuple[TableName, ForeignKey]] = ()


def surroundings_of(tables: Sequence[Table]) -> dict[TableName, Surroundings]:
    """For tables in loading order: a key to a table that comes later is added in that table's file."""
    listed = {table.name for table in tables}
    position = {table.name: number for number, table in enumerate(tables)}
    keys = [(table.name, key) for table in tables for key in table.foreign_keys if key.target in listed]
    return {
        table.name: Surroundings(
            listed,
            {other.name for other in tables[: position[table.name]]},
            [(name, key) for name, key in keys if key.target == table.name],
            [(name, key) for name, key in keys if key.target == table.name and position[name] < position[table.name]],
        )
        for table in tables
    }


def ddl_of(table: Table, around: Surroundings, dialect_name: str, language: str) -> str:
    """The `.ddl` file: two comment lines, the table or view, its indexes, keys that had to wait for it."""
    writer = _Writer(dialect_name)
    title, purpose = ("中文名", "描述") if language == "zh" else ("Table", "Description")
    lines = [f"-- {title}: {one_line(describe(table))}", f"-- {purpose}: {one_line(table.comment or describe(table))}"]
    if table.kind == "view":
        lines.append(writer.view(table))
    else:
        lines += writer.table(table, around)
        lines += [f"{index.definition};" for index in table.indexes]
        lines += writer.late_keys(around)
    return "\n".join(lines) + "\n"


def detail_of(table: Table, around: Surroundings, language: str) -> str:
    """The `_detail.md` page: purpose, fields, keys, relations in both directions."""
    is_zh = language == "zh"
    name = escaped(str(table.name))
    lines = [f"## {name}（{escaped(describe(table))}）" if is_zh else f"## {name} ({escaped(describe(table))})"]
    if table.comment:
        lines += [escaped(table.comment)]
    lines += ["字段列表：" if is_zh else "Fields:"]
    lines += [
        f"- {escaped(column.name)} ({escaped(column.type_sql or 'any')}) - {_meaning(column)}"
        for column in table.columns
    ]
    notes = _notes(table, around, is_zh=is_zh)
    if notes:
        lines += ["字段补充说明：" if is_zh else "Notes:", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def describe(table: Table) -> str:
    """A table's comment, else the words of its name."""
    return table.comment or words_of(table.name.name)


def words_of(identifier: str) -> str:
    """The words of an identifier: `orderItems`, `order_items`, `ORDER ITEMS` -> `order items`."""
    split = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3 \2", identifier)
    return " ".join(re.split(r"[\W_]+", split)).strip().lower() or identifier


def one_line(text: str) -> str:
    """Text without anything that ends a line anywhere."""
    return " ".join(re.split(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+", text)).strip()


def escaped(text: str) -> str:
    """Text on one line of Markdown, its own marks made harmless."""
    return re.sub(r"([\\`*<>\[\]|#])", r"\\\1", one_line(text))


def _meaning(column: Column) -> str:
    return escaped(column.comment or words_of(column.name))


def _notes(table: Table, around: Surroundings, *, is_zh: bool) -> list[str]:
    def listed(names: Sequence[str]) -> str:
        return ", ".join(map(escaped, names))

    notes = []
    if table.primary_key.columns:
        primary = listed(table.primary_key.columns)
        notes.append(f"{primary} 为主键" if is_zh else f"{primary}: primary key")
    for unique in table.unique_keys:
        notes.append(f"{listed(unique.columns)} 唯一" if is_zh else f"{listed(unique.columns)}: unique")
    for key in table.foreign_keys:
        target = f"{escaped(str(key.target))} ({listed(key.target_columns)})"
        notes.append(f"{listed(key.columns)} 引用 {target}" if is_zh else f"{listed(key.columns)} refers to {target}")
    for name, key in around.referring:
        source = f"{escaped(str(name))} ({listed(key.columns)})"
        notes.append(f"被 {source} 引用" if is_zh else f"{source} refers to {listed(key.target_columns)} here")
    for column in table.columns:
        if not column.is_nullable and column.name not in table.primary_key.columns:
            notes.append(f"{escaped(column.name)} 非空" if is_zh else f"{escaped(column.name)}: never null")
    return notes


class _Writer:
    def __init__(self, dialect_name: str) -> None:
        self._is_sqlite = dialect_name == "sqlite"
        self._preparer = DIALECTS[dialect_name].identifier_preparer

    def quoted(self, name: str) -> str:
        return str(self._preparer.quote(name))

    def place(self, name: TableName) -> str:
        if self._is_sqlite or name.schema is None:
            return self.quoted(name.name)
        return f"{self.quoted(name.schema)}.{self.quoted(name.name)}"

    def columns(self, names: Sequence[str]) -> str:
        return "(" + ", ".join(map(self.quoted, names)) + ")"

    def view(self, table: Table) -> str:
        sql = (table.view_sql or "").strip().rstrip(";")
        # SQLite keeps the whole statement, PostgreSQL the query alone.
        return f"{sql};" if self._is_sqlite else f"create view {self.place(table.name)} as\n{sql};"

    def table(self, table: Table, around: Surroundings) -> list[str]:
        """The statement, a comment after each comma."""
        parts: list[tuple[str, str | None]] = []
        rowid = self._numbering_column(table)
        for column in table.columns:
            parts.append((self._column(table, column, rowid), column.comment))
        if table.primary_key.columns and rowid is None:
            parts.append(
                (self._named(table.primary_key.name) + f"primary key {self.columns(table.primary_key.columns)}", None)
            )
        for unique in table.unique_keys:
            parts.append((self._named(unique.name) + f"unique {self.columns(unique.columns)}", None))
        for check in table.checks:
            parts.append((self._named(check.name) + f"check ({check.sql})", None))
        remarks = []
        for key in table.foreign_keys:
            if key.target not in around.listed:
                remarks.append(f"-- not listed: {one_line(self.foreign_key(key))}")
            elif self._is_sqlite or key.target == table.name or key.target in around.loaded_before:
                parts.append((self.foreign_key(key), None))
        # SQLite keeps the text: a comment after the bracket is the only place for the table's own.
        own = f" -- {one_line(table.comment)}" if self._is_sqlite and table.comment else ""
        lines = [f"create table {self.place(table.name)} ({own}"]
        for number, (part, comment) in enumerate(parts, start=1):
            comma = "," if number < len(parts) else ""
            lines.append(f"  {part}{comma}" + (f" -- {one_line(comment)}" if comment else ""))
        end = ")" + (" WITHOUT ROWID" if self._is_without_rowid(table) else "") + ";"
        return [*lines, end, *remarks]

    def late_keys(self, around: Surroundings) -> list[str]:
        """Keys of tables that were loaded before; SQLite lets them stand there, and cannot add them later."""
        if self._is_sqlite:
            return []
        return [f"alter table {self.place(name)} add {self.foreign_key(key)};" for name, key in around.added_later]

    def foreign_key(self, key: ForeignKey) -> str:
        text = f"foreign key {self.columns(key.columns)} references {self.place(key.target)}"
        if key.target_columns:
            text += f" {self.columns(key.target_columns)}"
        options = dict(key.options)
        for option, words in {"match": "match", "ondelete": "on delete", "onupdate": "on update"}.items():
            if option in options:
                text += f" {words} {options[option]}"
        if "deferrable" in options:
            text += " deferrable"
        if "initially" in options:
            text += f" initially {options['initially']}"
        return self._named(key.name) + text

    def _column(self, table: Table, column: Column, rowid: str | None) -> str:
        type_sql = column.type_sql
        default = column.default_sql
        if default is not None and default.startswith("nextval(") and type_sql in _SERIAL:
            type_sql, default = _SERIAL[type_sql], None  # its sequence comes with the type
        text = f"{self.quoted(column.name)} {type_sql}".rstrip()
        if column.name == rowid:
            text += "" if column.is_nullable else " not null"
            return f"{text} primary key" + (" autoincrement" if is_autoincrement(table) else "")
        if column.identity is not None:
            text += f" generated {column.identity} as identity"
        if column.generated_sql is not None:
            stored = "stored" if column.is_stored or not self._is_sqlite else "virtual"
            text += f" generated always as ({column.generated_sql}) {stored}"
        if default is not None:
            text += f" default {self._default(default)}"
        return text + ("" if column.is_nullable else " not null")

    def _default(self, sql: str) -> str:
        is_plain = re.fullmatch(r"[-+]?[\w.]+|'(?:[^']|'')*'|\(.*\)|\"[^\"]*\"", sql, re.DOTALL)
        return f"({sql})" if self._is_sqlite and not is_plain else sql

    def _numbering_column(self, table: Table) -> str | None:
        """SQLite's INTEGER PRIMARY KEY, which must stand in the column itself to mean the row's number."""
        if not self._is_sqlite or len(table.primary_key.columns) != 1 or self._is_without_rowid(table):
            return None
        (name,) = table.primary_key.columns
        return next(
            (name for column in table.columns if column.name == name and column.type_sql.upper() == "INTEGER"), None
        )

    def _is_without_rowid(self, table: Table) -> bool:
        return table.created_sql is not None and bool(
            re.search(r"\)[^()]*\bWITHOUT\s+ROWID\b[^()]*$", table.created_sql, re.IGNORECASE)
        )

    def _named(self, name: str | None) -> str:
        return f"constraint {self.quoted(name)} " if name else ""
