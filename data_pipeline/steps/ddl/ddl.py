"""Write a table as a `.ddl` file that loads. Pure.

Identifiers are quoted where the dialect requires it; text from the database can end neither a comment nor a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data_pipeline.database.driver import Dialect, InlineKey
from data_pipeline.database.drivers import grammar_of
from data_pipeline.database.schema import Column, ForeignKey, Key, Rule, SharedObject, Table
from data_pipeline.semantics.wording import Comment, Suggestion, column_comments, one_line, table_comment
from data_pipeline.tasks.table_list import TableName


@dataclass(frozen=True)
class Surroundings:
    """The other tables in a table's files: the loaded ones in their order, and those that refer to this one.

    `rules` are those of any table that can be created as soon as this one is loaded, and not before.
    """

    own_place: int
    places: Mapping[TableName, int]
    referring: Sequence[tuple[TableName, ForeignKey]]
    rules: Sequence[Rule] = ()


def surroundings_of(tables: Sequence[Table]) -> dict[TableName, Surroundings]:
    """Return the surroundings of tables in loading order; a view that reads a table that does not load has no place."""
    places: dict[TableName, int] = {}
    for number, table in enumerate(tables):
        if all(source in places for source in table.sources):
            places[table.name] = number
    referring: dict[TableName, list[tuple[TableName, ForeignKey]]] = {table.name: [] for table in tables}
    for table in tables:
        for key in table.foreign_keys:
            if key.target in referring:
                referring[key.target].append((table.name, key))
    rules: dict[TableName, list[Rule]] = {table.name: [] for table in tables}
    for table in tables:
        for rule in table.rules:
            needed = (table.name, *rule.needs)
            if all(name in places for name in needed):
                rules[max(needed, key=places.__getitem__)].append(rule)
    return {
        table.name: Surroundings(number, places, referring[table.name], rules[table.name])
        for number, table in enumerate(tables)
    }


def ddl_of(
    table: Table, around: Surroundings, dialect: Dialect, language: str, suggestion: Suggestion | None = None
) -> str:
    """The `.ddl` file: two comment lines, the table or view, its indexes, keys and rules that had to wait for it."""
    writer = _Writer(dialect, language, suggestion or Suggestion())
    meaning = table_comment(table, suggestion or Suggestion())
    said = one_line(meaning.marked(language))
    if language == "zh":  # the words of the older system, where the Chinese name is the comment
        lines = [f"-- 中文名: {one_line(meaning.text)}", f"-- 描述: {said}"]
    else:
        name = str(table.name) if grammar_of(dialect).ddl.has_schemas else table.name.name
        lines = [f"-- Table: {one_line(name)}", f"-- Description: {said}"]
    if table.kind == "table":
        lines += writer.table(table, around)
        lines += [_ended(index.definition) for index in table.indexes]
        lines += writer.late_keys(around)
    else:
        lines += writer.view(table, around)
    lines += writer.rules(table, around)
    return "\n".join(lines) + "\n"


def prelude_of(objects: Sequence[SharedObject], language: str) -> str:
    """Return the file that loads before all others: schemas, extensions, types, functions and sequences."""
    purpose = "各表共用的类型、函数与序列，最先执行" if language == "zh" else "Shared by the tables: it loads first"
    statements = [line for one in objects for line in (f"-- {one.kind}: {one_line(one.name)}", f"{one.statement};")]
    return "\n".join([f"-- {purpose}", *statements]) + "\n"


def _ended(statement: str) -> str:
    """Return a statement with its semicolon, which must not be part of a comment at its end."""
    statement = statement.rstrip()
    return f"{statement}\n;" if "--" in statement.rpartition("\n")[2] else f"{statement};"


class _Writer:
    def __init__(self, dialect: Dialect, language: str, suggestion: Suggestion) -> None:
        self.quoted = grammar_of(dialect).quoted
        self._forms = grammar_of(dialect).ddl
        self._language = language
        self._suggestion = suggestion

    def place(self, name: TableName) -> str:
        if name.schema is None or not self._forms.has_schemas:
            return self.quoted(name.name)
        return f"{self.quoted(name.schema)}.{self.quoted(name.name)}"

    def columns(self, names: Sequence[str]) -> str:
        return "(" + ", ".join(map(self.quoted, names)) + ")"

    def view(self, table: Table, around: Surroundings) -> list[str]:
        """The statement with its indexes; as comments where the view reads what is not listed, and could not load."""
        statement = self._forms.create_view(table, self.place(table.name))
        lines = [_ended(statement), *(_ended(index.definition) for index in table.indexes)]
        unlisted = [name for name in table.sources if name not in around.places]
        return self._not_loading(lines, unlisted) if unlisted else lines

    def rules(self, table: Table, around: Surroundings) -> list[str]:
        """Return the rules that can be created now, and as comments those of this table that cannot be created."""
        lines = [_ended(rule.statement.rstrip().rstrip(";")) for rule in around.rules]
        for rule in table.rules:
            unlisted = [name for name in (table.name, *rule.needs) if name not in around.places]
            if unlisted:
                lines += self._not_loading([rule.statement], unlisted)
        return lines

    def _not_loading(self, statements: Sequence[str], unlisted: Sequence[TableName]) -> list[str]:
        """Return statements as comments, below the names that they need and that do not load."""
        names = ", ".join(one_line(self.place(name)) for name in unlisted)
        return [f"-- not listed: {names}", *(f"-- {line}" for part in statements for line in part.splitlines())]

    def table(self, table: Table, around: Surroundings) -> list[str]:
        """Return the statement with a comment after each comma."""
        parts: list[tuple[str, str | None]] = []
        inline_key = self._forms.inline_key(table)
        comments = column_comments(table, self._suggestion)
        for column in table.columns:
            parts.append((self._column(table, column, inline_key), self._said(comments[column.name])))
        if table.primary_key.columns and inline_key is None:
            parts.append((self._primary_key(table), None))
        parts += [(self._key("unique", unique), None) for unique in table.unique_keys]
        parts += [(self._named(check.name) + check.definition, None) for check in table.checks]
        remarks = []
        for key in table.foreign_keys:
            if key.target not in around.places:
                remarks.append(f"-- not listed: {one_line(self.foreign_key(key))}")
            elif not self._forms.adds_keys_later or around.places[key.target] <= around.own_place:
                parts.append((self.foreign_key(key), None))
        # Where the text is all that is kept, the table's own comment belongs after the bracket.
        said = self._said(table_comment(table, self._suggestion)) if self._forms.keeps_comments else None
        own = f" -- {one_line(said)}" if said else ""
        lines = [f"create table {self.place(table.name)} ({own}"]
        for number, (part, comment) in enumerate(parts, start=1):
            comma = "," if number < len(parts) else ""
            lines.append(f"  {part}{comma}" + (f" -- {one_line(comment)}" if comment else ""))
        return [*lines, f") {self._forms.options(table)}".rstrip() + ";", *remarks]

    def late_keys(self, around: Surroundings) -> list[str]:
        """Return the keys of tables that were loaded before, if they could not be part of their tables."""
        if not self._forms.adds_keys_later:
            return []
        waiting = [(name, key) for name, key in around.referring if around.places[name] < around.own_place]
        return [f"alter table {self.place(name)} add {self.foreign_key(key)};" for name, key in waiting]

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

    def _column(self, table: Table, column: Column, inline_key: InlineKey | None) -> str:
        type_sql = column.type_sql
        default = column.default_sql
        if column.name in table.numbered_by_default:
            type_sql, default = self._forms.sequence_type(type_sql), None
        text = f"{self.quoted(column.name)} {type_sql}".rstrip()
        if inline_key is not None and column.name == inline_key.column:
            return f"{text}{'' if column.is_nullable else ' not null'} {inline_key.words}"
        if column.identity is not None:
            text += f" generated {column.identity} as identity"
        if column.generated_sql is not None:
            text += f" generated always as ({column.generated_sql}) {self._forms.generated_storage(column)}"
        if default is not None:
            text += f" default {self._forms.default(default)}"
        return text + ("" if column.is_nullable else " not null")

    def _key(self, words: str, key: Key) -> str:
        return self._named(key.name) + (key.definition or f"{words} {self.columns(key.columns)}")

    def _primary_key(self, table: Table) -> str:
        if not table.descending:
            return self._key("primary key", table.primary_key)
        columns = [self.quoted(name) + " desc" * (name in table.descending) for name in table.primary_key.columns]
        return self._named(table.primary_key.name) + f"primary key ({', '.join(columns)})"

    def _said(self, comment: Comment) -> str | None:
        """Return a comment that says more than the name."""
        return None if comment.origin == "name" else comment.marked(self._language)

    def _named(self, name: str | None) -> str:
        return f"constraint {self.quoted(name)} " if name else ""
