"""Find the tables, columns and links of an untrusted query in its syntax tree. Pure.

PostgreSQL accepts more than columns as a column: `customer` and `customer.to_json` are the whole row with its personal
columns, and `customer AS c (x, y)` renames columns. A query is accepted only if every name is a plain one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope

from data_pipeline.database.query_gate import Query
from data_pipeline.semantics.facts import Facts, TableFacts
from data_pipeline.steps.qa.choose.selection import Feature
from data_pipeline.steps.qa.sql.forms import clauses_of
from data_pipeline.tasks.table_list import TableName


class NotReadable(ValueError):
    """A name of a query that is not a column of a listed table; the message has the name and the remedy."""


@dataclass(frozen=True)
class QueryParts:
    """The tables of a query in their order, their columns, and links."""

    tables: tuple[TableName, ...]
    columns: frozenset[tuple[TableName, str]]
    links: frozenset[str]
    clauses: frozenset[str] = field(repr=False)

    @property
    def features(self) -> frozenset[Feature]:
        """The features for the coverage."""
        return frozenset(
            [
                *(("table", table) for table in self.tables),
                *(("column", column) for column in self.columns),
                *(("link", link) for link in self.links),
                *(("clause", clause) for clause in self.clauses),
            ]
        )


class QueryReader:
    """Analyses queries over the listed tables."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._default_schema = facts.default_schema
        self._by_name = {self._key(table.name): table for table in facts.tables}

    def parts(self, query: Query) -> QueryParts:
        """Return the parts of a query. Raises NotReadable."""
        tables = tuple(dict.fromkeys(self.table(name).name for name in query.tables))
        if not tables:
            raise NotReadable("it reads no table")
        try:
            scopes = traverse_scope(query.expression)
        except SqlglotError:
            raise NotReadable("two of its tables have one name: give each its own") from None
        found = _Columns(self)
        for scope in scopes:
            found.read(scope)
        links = frozenset(_links(query.expression, found.of, self._facts))
        return QueryParts(tables, frozenset(found.of.values()), links, clauses_of(query.expression))

    def table(self, name: TableName) -> TableFacts:
        """Return a listed table by its name in a query. Raises NotReadable."""
        table = self._by_name.get(self._key(name))
        if table is None:
            raise NotReadable(f"the table {str(name)[:80]} is not among those that there are")
        return table

    def _key(self, name: TableName) -> tuple[str, str]:
        return (name.schema or self._default_schema or "").lower(), name.name.lower()


class _Columns:
    """Finds the table of each column of a tree; `of` has it by the identity of the node."""

    def __init__(self, reader: QueryReader) -> None:
        self._reader = reader
        self.of: dict[int, tuple[TableName, str]] = {}

    def read(self, scope: Scope) -> None:
        """Resolve every column of one SELECT. Raises NotReadable."""
        for source in scope.sources.values():
            alias = source.args.get("alias") if isinstance(source, exp.Table) else None
            if alias is not None and alias.args.get("columns"):
                raise NotReadable(f"{alias.name[:80]} gives columns of a table other names")
        for column in scope.find_all(exp.Column):  # `scope.columns` has no columns of HAVING
            if not isinstance(column.this, exp.Star):
                place = self._qualified(column, scope) if column.table else self._unqualified(column, scope)
                if place is not None:
                    self.of[id(column)] = place

    def _qualified(self, column: exp.Column, scope: Scope) -> tuple[TableName, str] | None:
        source = next(filter(None, (_source(one, column.table) for one in _around(scope))), None)
        if source is None:
            raise NotReadable(f"nothing in it is called {column.table[:80]}")
        if not isinstance(source, exp.Table):
            return None
        table = self._table(source)
        name = _column_of(table, column.name)
        if name is None:
            raise NotReadable(f"{table.name} has no column {column.name[:80]}")
        return table.name, name

    def _unqualified(self, column: exp.Column, scope: Scope) -> tuple[TableName, str] | None:
        for one in _around(scope):
            found = [
                (table.name, name)
                for source in one.sources.values()
                if isinstance(source, exp.Table)
                and (name := _column_of(table := self._table(source), column.name)) is not None
            ]
            if found:
                return found[0] if len(found) == 1 else None
        if any(_source(one, column.name) is not None for one in _around(scope)):
            raise NotReadable(f"{column.name[:80]} stands for a whole row: name the columns")
        return None

    def _table(self, source: exp.Table) -> TableFacts:
        return self._reader.table(TableName(source.db or None, source.name))


def _around(scope: Scope) -> Iterator[Scope]:
    """Yield a SELECT and those around it, from the inside out."""
    one: Scope | None = scope
    while one is not None:
        yield one
        one = one.parent


def _source(scope: Scope, name: str) -> exp.Expr | Scope | None:
    """Return the source of this name in a SELECT, in any case."""
    return next((source for own, source in scope.sources.items() if own.lower() == name.lower()), None)


def _column_of(table: TableFacts, name: str) -> str | None:
    """Return the name of a column as the table has it."""
    if name in table.by_name:
        return name
    return next((column.name for column in table.columns if column.name.lower() == name.lower()), None)


def _links(tree: exp.Expr, of: dict[int, tuple[TableName, str]], facts: Facts) -> Iterator[str]:
    """Return the links of the query's joins: those of which every pair of columns is compared."""
    compared = set()
    for equal in tree.find_all(exp.EQ):
        left, right = of.get(id(equal.left)), of.get(id(equal.right))
        if left is not None and right is not None:
            compared |= {(left, right), (right, left)}
    for link in facts.links:
        pairs = zip(link.child_columns, link.parent_columns, strict=True)
        if all(((link.child, child), (link.parent, parent)) in compared for child, parent in pairs):
            yield link.id
