"""The protocol of database drivers: everything that differs between database systems, and nothing else.

A driver has two halves. `Grammar` is pure: values and functions about the system's SQL, usable without a connection.
`Driver` adds the parts that act: `Connector` (connections that only read), `Catalogue` (schema), `Reader` (rows and
plans) and `FaultReader` (errors). Code outside the driver folders asks these objects and never compares the name of a
dialect; `drivers.py` finds them by that name. docs/drivers.md explains how to add a driver.

All objects are stateless and shared by all threads. A method that gets a connection leaves its transaction open and
changes nothing in it, except where its docstring says otherwise. SQLAlchemyError passes through every method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from re import Pattern
from typing import Any, Final, Literal, Protocol

import sqlglot
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.compiler import IdentifierPreparer
from sqlglot import TokenType, exp

from data_pipeline.database.faults import Fault
from data_pipeline.database.limits import QueryLimits
from data_pipeline.database.schema import Column, SharedObject, Table
from data_pipeline.tasks.table_list import TableName

Dialect = Literal["postgresql", "sqlite"]
"""The names of the driver folders, which are SQLAlchemy's names of the backends."""

STATEMENT_SECONDS: Final = "statement_seconds"
"""The execution option of a connection that holds the time limit of its statements, in seconds."""


@dataclass(frozen=True)
class GateFacts:
    """What the query gate accepts in this dialect, in addition to the list that all dialects share.

    parser: the sqlglot dialect that reads a query and writes the text that runs. It must write every identifier so that
        the database can take it for nothing but an identifier.
    named_functions: functions for which sqlglot has no class, in lower case. Each must only compute: no side effect, no
        access to files, network, settings or other sessions, and a result not much longer than its arguments.
    nodes: classes of syntax nodes that only this dialect may use, under the same conditions.
    limits_values: True if the database enforces `QueryLimits.value_bytes`. Otherwise the gate refuses functions that
        can multiply the length of a text.
    system_schemas, system_tables: patterns of names, in lower case, that no query may read.
    """

    parser: type[sqlglot.Dialect]
    named_functions: frozenset[str]
    limits_values: bool
    system_schemas: Pattern[str]
    system_tables: Pattern[str]
    nodes: frozenset[type[exp.Expr]] = frozenset()


@dataclass(frozen=True)
class SpellingFacts:
    """What two spellings of one query may differ in; see `query_spelling.py`.

    same_functions: functions with the words that the parser writes for them: `{"substr": ("substring",)}`. Both must
        be one function in this database, for all arguments.
    same_tokens: the same for keywords: `{TokenType.CURRENT_TIMESTAMP: ("now", "L_PAREN", "R_PAREN")}`.
    is_read_alike: return True if the database finds the same comments, and the same first word, in a text as sqlglot
        does. A text for which it returns False is replaced by the text that runs.
    """

    same_functions: Mapping[str, tuple[str, ...]]
    same_tokens: Mapping[TokenType, tuple[str, ...]]
    is_read_alike: Callable[[str], bool]


@dataclass(frozen=True)
class InlineKey:
    """A primary key that must be part of its column's definition: `words` follow the type and NOT NULL."""

    column: str
    words: str


class DdlForms(Protocol):
    """How CREATE statements are written. Text in, text out; names that are passed in are quoted already.

    has_schemas: True if names in statements include the schema.
    adds_keys_later: True if ALTER TABLE can add a foreign key, so that tables that refer to each other can be loaded.
        Otherwise foreign keys to tables that are loaded later stay in CREATE TABLE.
    keeps_comments: True if the database stores the text of a statement with its comments, so that a comment of the
        table is written inside of the brackets.
    """

    has_schemas: bool
    adds_keys_later: bool
    keeps_comments: bool

    def create_view(self, table: Table, place: str) -> str:
        """Return the statement that creates a view (of any kind) or virtual table, without a semicolon."""
        ...

    def default(self, sql: str) -> str:
        """Return the expression of a column's default as it must be written after DEFAULT."""
        ...

    def generated_storage(self, column: Column) -> str:
        """Return `stored` or `virtual` for a generated column."""
        ...

    def sequence_type(self, type_sql: str) -> str:
        """Return the type that creates its own sequence, for a type of a column in `Table.numbered_by_default`."""
        ...

    def inline_key(self, table: Table) -> InlineKey | None:
        """Return the primary key if it must be in the column's definition, None if it is a constraint of the table."""
        ...

    def options(self, table: Table) -> str:
        """Return the words between the last bracket of CREATE TABLE and the semicolon; empty if there are none."""
        ...


class QueryForms(Protocol):
    """How the question generator writes what each database spells in its own way. Returned trees are new.

    nulls_are_least: True if NULL is first in ascending order unless the query says otherwise.
    divides_by_zero: True if a division by zero is NULL and no error.
    """

    nulls_are_least: bool
    divides_by_zero: bool

    def year(self, column: exp.Expr) -> exp.Expr:
        """Return the year of a date or timestamp, of a type that `year_literal` is compared with."""
        ...

    def month(self, column: exp.Expr) -> exp.Expr:
        """Return year and month of a date or timestamp as a text like 2024-03."""
        ...

    def year_literal(self, year: int) -> exp.Expr:
        """Return a year as a literal that equals a value of `year`."""
        ...


@dataclass(frozen=True)
class Grammar:
    """The SQL of one database system, without a connection.

    name: the dialect. title: its name for people and prompts.
    sqlglot: sqlglot's dialect, which reads and writes queries where the gate's parser is not needed.
    default_schema: the schema of names without one; task lists may call it `public` in every database.
    ignores_case: True if names are compared without regard to case, quoted or not. False if names without quotes are
        folded to lower case and names in quotes are exact.
    identifiers: SQLAlchemy's preparer of this dialect, which quotes names.
    reserved_words: words that are no names without quotes, in lower case.
    plain_name: the form of a name that means itself without quotes.
    often_mistaken_for: sqlglot's names of dialects in which a failing query may be written instead, most likely first.
    """

    name: Dialect
    title: str
    sqlglot: type[sqlglot.Dialect]
    default_schema: str
    ignores_case: bool
    identifiers: IdentifierPreparer = field(repr=False)
    reserved_words: frozenset[str] = field(repr=False)
    plain_name: Pattern[str]
    often_mistaken_for: tuple[str, ...]
    gate: GateFacts
    spelling: SpellingFacts
    ddl: DdlForms
    queries: QueryForms

    def quoted(self, name: str) -> str:
        """Return a name as DDL writes it: in quotes only where it needs them."""
        return str(self.identifiers.quote(name))

    def needs_quotes(self, name: str) -> bool:
        """True if a name in a query means itself only in quotes."""
        folded = name.lower() if self.ignores_case else name
        return self.quoted(folded) != folded

    def finds(self, names: Sequence[str], written: str, *, is_quoted: bool) -> bool:
        """True if a query that names a column as `written` finds one of `names`, which are spelled by the database."""
        if self.ignores_case:
            return any(name.lower() == written.lower() for name in names)
        return (written if is_quoted else written.lower()) in names


class Connector(Protocol):
    """Open connections that can only read, and keep queries within their limits.

    probe: a statement that fails if the database cannot be read. It runs once after the database is opened.
    """

    probe: str

    def create_engine(self, url: URL, *, statement_seconds: float) -> Engine:
        """Return an engine each of whose transactions can only read.

        The wall is built when a transaction begins and ends with it, because the session may belong to a pooler. It
        must hold against any text that is executed on the connection: writes, several statements in one text, a switch
        to read-write mode, and access to other databases, files or programs.

        url: parsed by `parse_url`, so the dialect is this driver's.
        statement_seconds: limit of each statement, where the server has one. A connection with the execution option
            `STATEMENT_SECONDS` has that limit instead.

        Raises DatabaseUnavailable if it is clear without a connection that there is none, such as a missing file.
        Opens no connection and creates no file.
        """
        ...

    def guard(self, connection: Connection, limits: QueryLimits) -> AbstractContextManager[None]:
        """Return a block in which `limits.cancellation` stops the connection's statement at once.

        Where the server has no limit of time, or of the length of a value, the block enforces those of `limits`.
        A statement that is stopped raises an error that `FaultReader.fault` reads as `timeout`. After the block the
        connection has its earlier limits, because the pool gives it to other callers.

        Raises QueryFailed ("cancelled") if the cancellation is already set.
        """
        ...

    def database_name(self, url: URL) -> str:
        """Return the name of the database for people and files. Opens nothing."""
        ...


class Catalogue(Protocol):
    """Read the schema of a database, in bulk: a constant number of queries for any number of tables."""

    def schemas(self, connection: Connection) -> list[str]:
        """Return the names of all schemas that hold tables of users, in the spelling of the database."""
        ...

    def relations(self, connection: Connection, schema: str) -> list[str]:
        """Return the names of all tables and views (of any kind) of a schema, without system tables."""
        ...

    def internal_relations(self, connection: Connection) -> frozenset[str]:
        """Return names in `relations` that are storage of other tables: they can be named, but are not listed."""
        ...

    def inheriting_relations(self, connection: Connection) -> frozenset[TableName]:
        """Return the tables whose rows belong to another table too: partitions and children by inheritance."""
        ...

    def read_tables(self, connection: Connection, names: Sequence[TableName]) -> dict[TableName, Table]:
        """Return everything about tables and views of one schema.

        names: at least one, all of the same schema, in the spelling of the database.

        Types, defaults, checks, keys and indexes are in the spelling of the database, so that they can be executed by
        it. The text must not depend on the session's settings, such as a search path. The order of each part is the
        same at every call.

        Raises KeyError if one is missing or hidden from this user. One table that cannot be read may fail all: the
        caller then reads them one by one. May change settings of the transaction.
        """
        ...

    def shared_objects(self, connection: Connection, tables: Sequence[Table]) -> list[SharedObject]:
        """Return what must exist before these tables can be created (types, sequences ...), in loading order.

        Empty where the database has none. May change settings of the transaction.
        """
        ...


@dataclass(frozen=True)
class TableSql:
    """A table with the text of its name, and of its columns with commas; every identifier is in quotes."""

    table: Table
    place: str
    columns: str


class Reader(Protocol):
    """Read rows at a bounded cost, and have queries checked without running them.

    Statements are texts in which a percent sign means itself (`no_parameters`).
    """

    def is_comparable(self, column: Column) -> bool:
        """True if min, max and DISTINCT can be computed of a column. Otherwise its text is compared, without ends."""
        ...

    def text_of(self, sql: str) -> str:
        """Return the expression that is the text of a value of any type."""
        ...

    def estimated_rows(self, connection: Connection, source: TableSql) -> int:
        """Return about how many rows a large table has, at a cost that does not grow with it; 0 if unknown."""
        ...

    def sample(self, connection: Connection, source: TableSql, *, rows: int, row_count: int) -> str | None:
        """Return a query of about `rows` rows, and at most as many, from all over a table of about `row_count`.

        The query has the columns of `source`, in their order. Its cost must not grow with the table, and it returns the
        same rows as long as the table is the same. None if the table cannot be sampled: the first rows are taken.
        """
        ...

    def explain(self, connection: Connection, sql: str) -> None:
        """Have the database plan a query that the gate wrote, without running it."""
        ...

    def compile(self, connection: Connection, text: str) -> None:
        """Have the database compile a text exactly as it is, as one statement, without running it.

        text: the gate read it as one query, but did not write it. It must not act, whatever is in it.
        """
        ...

    def readable_modules(self, connection: Connection) -> frozenset[str]:
        """Return names, in lower case, that a query can read like a table although they are none. They are refused."""
        ...


class FaultReader(Protocol):
    """Classify errors of this driver."""

    def fault(self, error: SQLAlchemyError) -> Fault:
        """Return the kind of an error and a reason without values of rows. Never raises."""
        ...


@dataclass(frozen=True)
class Driver:
    """One database system.

    waits: True if queries are answered by another process, so that several threads may wait for it at the same time.
    """

    grammar: Grammar
    connector: Connector
    catalogue: Catalogue
    reader: Reader
    faults: FaultReader
    waits: bool


def raw_connection(connection: Connection) -> Any:
    """Return the connection of the database module below SQLAlchemy."""
    return connection.connection.driver_connection
