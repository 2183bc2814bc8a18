"""The SQL of SQLite. Opens nothing."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from sqlalchemy.dialects import sqlite
from sqlglot import exp
from sqlglot.dialects import SQLite

from data_pipeline.database.driver import GateFacts, Grammar, InlineKey, SpellingFacts
from data_pipeline.database.schema import Column, Table

_START: Final = re.compile(
    r"(?:[ \t\n\f\r(]|(?>--[^\n]*\n)|(?>/\*.*?\*/))*(?:SELECT|WITH)\b", re.IGNORECASE | re.DOTALL
)
"""The beginning of a query. What is one piece here cannot be read in another way."""

_PLAIN_DEFAULT: Final = re.compile(r"[-+]?[\w.]+|'(?:[^']|'')*'|\"[^\"]*\"", re.DOTALL)
_OPTIONS: Final = {"ROWID": "without rowid", "STRICT": "strict"}


class _BacktickedSqlite(SQLite):  # type: ignore[misc]
    """SQLite with identifiers in backticks: in double quotes, a name that is no column is a text and not an error."""

    class Tokenizer(SQLite.Tokenizer):  # type: ignore[misc]
        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ["`", '"', ("[", "]")]


class _SqliteDdl:
    has_schemas = False
    adds_keys_later = False
    keeps_comments = True

    def create_view(self, table: Table, place: str) -> str:  # noqa: ARG002 - the catalogue has the whole statement
        return (table.view_sql or "").strip().rstrip(";")

    def default(self, sql: str) -> str:
        return sql if _PLAIN_DEFAULT.fullmatch(sql) else f"({sql})"

    def generated_storage(self, column: Column) -> str:
        return "stored" if column.is_stored else "virtual"

    def sequence_type(self, type_sql: str) -> str:
        return type_sql

    def inline_key(self, table: Table) -> InlineKey | None:
        """Return an INTEGER PRIMARY KEY, which is the number of the row only if it is part of the column."""
        if len(table.primary_key.columns) != 1 or "ROWID" in table.options:
            return None
        (name,) = table.primary_key.columns
        if not any(column.name == name and column.type_sql.upper() == "INTEGER" for column in table.columns):
            return None
        if name in table.descending:
            return InlineKey(name, "primary key desc")  # SQLite's own exception: this one is not the row's number
        return InlineKey(name, "primary key" + " autoincrement" * ("AUTOINCREMENT" in table.options))

    def options(self, table: Table) -> str:
        return ", ".join(_OPTIONS[option] for option in sorted(table.options & _OPTIONS.keys()))


class _SqliteQueries:
    nulls_are_least = True
    divides_by_zero = True

    def year(self, column: exp.Expr) -> exp.Expr:
        return _formatted("%Y", column)

    def month(self, column: exp.Expr) -> exp.Expr:
        return _formatted("%Y-%m", column)

    def year_literal(self, year: int) -> exp.Expr:
        return exp.Literal.string(str(year))


def _formatted(pattern: str, column: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this="STRFTIME", expressions=[exp.Literal.string(pattern), column])


def _is_read_alike(text: str) -> bool:
    """True if the text begins with a query, and its comments end where the parser ends them."""
    has_comment = "--" in text or "/*" in text
    is_plain = "\r" not in text and re.search(r"/\*(?:(?!\*/).)*/\*", text, re.DOTALL) is None
    return _START.match(text) is not None and (not has_comment or is_plain)


GRAMMAR: Final = Grammar(
    name="sqlite",
    title="SQLite",
    sqlglot=SQLite,
    default_schema="main",
    ignores_case=True,
    identifiers=sqlite.dialect().identifier_preparer,
    reserved_words=frozenset(sqlite.base.SQLiteIdentifierPreparer.reserved_words),
    plain_name=re.compile(r"[A-Za-z_]\w*", re.ASCII),
    often_mistaken_for=("postgres", "mysql", "tsql", "bigquery"),
    gate=GateFacts(
        parser=_BacktickedSqlite,
        named_functions=frozenset(
            {
                "date", "time", "datetime", "julianday", "unixepoch", "strftime", "total", "ifnull", "instr", "quote",
                "printf",
            }
        ),
        limits_values=True,
        # A query that was written for PostgreSQL is refused for the same reason in both databases.
        system_schemas=re.compile(r"information_schema|pg_.*", re.DOTALL),
        system_tables=re.compile(r"(sqlite_|pragma_|pg_).*", re.DOTALL),
    ),
    spelling=SpellingFacts(
        same_functions={"ifnull": ("coalesce",), "substr": ("substring",)},
        same_tokens={},
        is_read_alike=_is_read_alike,
    ),
    ddl=_SqliteDdl(),
    queries=_SqliteQueries(),
)  # fmt: skip
