"""The SQL of PostgreSQL. Opens nothing."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy.dialects import postgresql
from sqlglot import TokenType, exp
from sqlglot.dialects import Postgres

from data_pipeline.database.driver import GateFacts, Grammar, InlineKey, SpellingFacts
from data_pipeline.database.schema import Column, Table

_SERIAL: Final = {"smallint": "smallserial", "integer": "serial", "bigint": "bigserial"}


class _PostgresDdl:
    has_schemas = True
    adds_keys_later = True
    keeps_comments = False

    def create_view(self, table: Table, place: str) -> str:
        """Write the statement around the query, which is all that the catalogue has."""
        return f"create {table.kind} {place} as\n{(table.view_sql or '').strip().rstrip(';')}"

    def default(self, sql: str) -> str:
        return sql

    def generated_storage(self, column: Column) -> str:  # noqa: ARG002 - all are stored
        return "stored"

    def sequence_type(self, type_sql: str) -> str:
        return _SERIAL[type_sql]

    def inline_key(self, table: Table) -> InlineKey | None:  # noqa: ARG002 - a key is a constraint
        return None

    def options(self, table: Table) -> str:  # noqa: ARG002 - none are read
        return ""


class _PostgresQueries:
    nulls_are_least = False
    divides_by_zero = False

    def year(self, column: exp.Expr) -> exp.Expr:
        return exp.Extract(this=exp.Var(this="YEAR"), expression=column)

    def month(self, column: exp.Expr) -> exp.Expr:
        return exp.TimeToStr(this=column, format=exp.Literal.string("%Y-%m"))

    def year_literal(self, year: int) -> exp.Expr:
        return exp.Literal.number(str(year))


GRAMMAR: Final = Grammar(
    name="postgresql",
    title="PostgreSQL",
    sqlglot=Postgres,
    default_schema="public",
    ignores_case=False,
    identifiers=postgresql.dialect().identifier_preparer,  # type: ignore[no-untyped-call]
    reserved_words=frozenset(postgresql.base.RESERVED_WORDS),
    plain_name=re.compile("[a-z_][a-z0-9_]*"),
    often_mistaken_for=("mysql", "sqlite", "tsql", "bigquery"),
    gate=GateFacts(
        parser=Postgres,
        named_functions=frozenset({"age", "date_part", "make_date", "char_length", "bool_and", "bool_or", "every"}),
        limits_values=False,
        system_schemas=re.compile(r"information_schema|pg_.*", re.DOTALL),
        # A query that was written for SQLite is refused for the same reason in both databases.
        system_tables=re.compile(r"(pg_|sqlite_|pragma_).*", re.DOTALL),
        nodes=frozenset({exp.LimitOptions}),
    ),
    spelling=SpellingFacts(
        same_functions={
            "substr": ("substring",),
            "ceiling": ("ceil",),
            "pow": ("power",),
            "char_length": ("length",),
            "character_length": ("length",),
            "stddev": ("stddev_samp",),
            "variance": ("var_samp",),
            "strpos": ("position", "IN"),
        },
        same_tokens={TokenType.CURRENT_TIMESTAMP: ("now", "L_PAREN", "R_PAREN")},
        is_read_alike=lambda _: True,
    ),
    ddl=_PostgresDdl(),
    queries=_PostgresQueries(),
)
