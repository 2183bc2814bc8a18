"""Repair failing queries by rules; each gives a new text, which must pass the gates like any other. Pure.

a text around the query      code fences, a sentence before it
another database's dialect   transpiled to this one's
a table or column            a similar name, another case, or of another table of the query
"text" in double quotes      a text literal if no column has this name
a column of two tables       that the query itself compares as equal
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from data_pipeline.database.driver import Dialect
from data_pipeline.database.drivers import grammar_of
from data_pipeline.database.schema import Table

ROUNDS: Final = 3
"""Maximum number of faults of one query that are repaired one after the other."""

NEAR: Final = 0.75
"""Minimum similarity of two names by difflib; two letters of four may have changed places."""

_TYPED_DIVISION: Final = True
"""In both databases, 7 / 2 is 3."""

_FENCE: Final = re.compile(r"```(?:\w+)?\s*\n(.*?)```", re.DOTALL)
_START: Final = re.compile(r"\b(?:SELECT|WITH)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Repair:
    """A repaired text that may be right, and the change."""

    sql: str
    done: str


@dataclass(frozen=True)
class _Names:
    """The names for queries: columns by table, both as the database spells them, and the schemas to qualify with."""

    tables: Mapping[str, Sequence[str]]
    schemas: Mapping[str, str]

    @classmethod
    def of(cls, tables: Sequence[Table]) -> Self:
        """Return the names of tables; a name in two schemas is ambiguous and is not guessed."""
        uses = Counter(table.name.name for table in tables)
        clear = [table for table in tables if uses[table.name.name] == 1]
        return cls(
            {table.name.name: [column.name for column in table.columns] for table in clear},
            {
                table.name.name: table.name.schema
                for table in clear
                if table.name.schema not in (None, "public", "main")
            },
        )

    def table(self, name: str) -> str | None:
        return _nearest(name, self.tables)

    def column(self, name: str, tables: Iterable[str]) -> str | None:
        return _nearest(name, [column for table in tables for column in self.tables[table]])


@dataclass
class _Scope:
    """The tables of one SELECT by alias; `is_open` if it also reads from a subquery or WITH."""

    tables: dict[str, str] = field(default_factory=dict)
    is_open: bool = False


def repairs_of(sql: str, fault: str, dialect: Dialect, tables: Sequence[Table]) -> list[Repair]:
    """Return replacements of a text that failed with this kind of fault, the most likely first."""
    names = _Names.of(tables)
    tree = _parsed(sql, dialect)
    tried = {sql} if tree is None else {sql, _written(tree, dialect)}
    found = []
    for repair in _candidates(sql, fault, dialect, names):
        if repair is not None and repair.sql not in tried:
            tried.add(repair.sql)
            found.append(repair)
    return found


def _candidates(sql: str, fault: str, dialect: Dialect, names: _Names) -> Iterator[Repair | None]:
    if "```" in sql or fault == "syntax":
        yield _unwrapped(sql)
    match fault:
        case "unknown_table" | "unknown_column":
            yield _renamed(sql, dialect, names)
            yield from _translated(sql, dialect)
        case "ambiguous_column":
            yield _qualified(sql, dialect, names)
        case "syntax" | "function" | "not_allowed" | "unknown_function":
            yield from _translated(sql, dialect)


def _unwrapped(sql: str) -> Repair | None:
    fenced = _FENCE.search(sql)
    inner = fenced[1] if fenced else sql
    start = _START.search(inner)
    if start is None:
        return None
    return Repair(inner[start.start() :].strip().rstrip("`; \n") + ";", "the text around the query was removed")


def _translated(sql: str, dialect: Dialect) -> Iterator[Repair]:
    """The text as other databases read it; divisions stay as they stand, also where those answer NULL or a fraction."""
    for other in grammar_of(dialect).often_mistaken_for:
        if "||" in sql and not sqlglot.Dialect.get_or_raise(other).DPIPE_IS_STRING_CONCAT:
            continue  # there it is OR
        try:
            (parsed,) = sqlglot.parse(sql, read=other)
            if parsed is not None:
                for division in parsed.find_all(exp.Div):
                    division.set("typed", _TYPED_DIVISION)
                    division.set("safe", grammar_of(dialect).queries.divides_by_zero)
                yield Repair(_written(parsed, dialect), f"it was read as {other}, and written anew")
        except (SqlglotError, ValueError, RecursionError):
            continue


def _renamed(sql: str, dialect: Dialect, names: _Names) -> Repair | None:
    tree = _parsed(sql, dialect)
    if tree is None:
        return None
    done: list[str] = []
    given = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        found = names.table(table.name) if table.name.lower() not in given else None
        if found is None:
            continue
        spelled = _identifier(found, dialect)
        schema = names.schemas.get(found) if not table.db else None
        if found == table.name and table.this.quoted >= spelled.quoted and schema is None:
            continue
        done.append(f"{table.name} -> {found}")
        if schema is not None:
            table.set("db", _identifier(schema, dialect))
        for column in tree.find_all(exp.Column):
            if column.table.lower() == table.name.lower() and not table.alias:
                column.set("table", spelled.copy())
        table.set("this", spelled)
    for column in list(tree.find_all(exp.Column)):
        change = _column_change(column, dialect, names, tree)
        if change is not None:
            done.append(change)
    return Repair(_written(tree, dialect), ", ".join(dict.fromkeys(done))) if done else None


def _column_change(column: exp.Column, dialect: Dialect, names: _Names, tree: exp.Expr) -> str | None:
    """Repair one column in place; return the change, None if there is none."""
    scope = _scope_of(column, names)
    name = column.name
    if column.table:
        own = scope.tables.get(column.table.lower())
        if own is None or _has(names.tables[own], name, column, dialect):
            return None
        holders = [alias for alias, table in scope.tables.items() if _has(names.tables[table], name, column, dialect)]
        if len(holders) == 1:
            column.set("table", _identifier(holders[0], dialect))
            return f"{name} is of {scope.tables[holders[0]]}"
        near = {alias: found for alias, table in scope.tables.items() if (found := names.column(name, [table]))}
        alias = column.table.lower() if column.table.lower() in near else next(iter(near), None)
        if alias is None or (alias != column.table.lower() and len(near) > 1):
            return None
        column.set("this", _identifier(near[alias], dialect))
        column.set("table", _identifier(alias, dialect))
        return f"{name} -> {near[alias]} of {scope.tables[alias]}"
    if any(_has(names.tables[table], name, column, dialect) for table in scope.tables.values()):
        return None
    if scope.is_open or name.lower() in _aliases(tree):
        return None
    found = names.column(name, scope.tables.values())
    if found is not None:
        column.set("this", _identifier(found, dialect))
        return f"{name} -> {found}"
    if isinstance(column.this, exp.Identifier) and column.this.quoted:
        column.replace(exp.Literal.string(name))
        return f'"{name}" is a text'
    return None


def _qualified(sql: str, dialect: Dialect, names: _Names) -> Repair | None:
    """Return a choice between columns that the query joins two tables by, because either is right."""
    tree = _parsed(sql, dialect)
    if tree is None:
        return None
    done: list[str] = []
    for column in list(tree.find_all(exp.Column)):
        if column.table:
            continue
        scope = _scope_of(column, names)
        holders = [
            alias for alias, table in scope.tables.items() if _has(names.tables[table], column.name, column, dialect)
        ]
        if len(holders) > 1 and _are_joined(column, holders):
            column.set("table", _identifier(holders[0], dialect))
            done.append(f"{column.name} is of {scope.tables[holders[0]]}")
    return Repair(_written(tree, dialect), ", ".join(dict.fromkeys(done))) if done else None


def _are_joined(column: exp.Column, holders: Sequence[str]) -> bool:
    select = column.find_ancestor(exp.Select)
    joined: set[str] = set()
    for equal in select.find_all(exp.EQ) if select is not None else ():
        left, right = equal.left, equal.right
        if (
            isinstance(left, exp.Column)
            and isinstance(right, exp.Column)
            and left.name.lower() == right.name.lower() == column.name.lower()
        ):
            joined |= {left.table.lower(), right.table.lower()}
    return set(holders) <= joined


def _scope_of(column: exp.Column, names: _Names) -> _Scope:
    """Return the sources of the SELECT around a column, and of the outer ones, which inner queries see."""
    scope = _Scope()
    select = column.find_ancestor(exp.Select)
    while select is not None:
        from_ = select.args.get("from_")
        sources = [from_.this] if from_ is not None else []
        sources += [join.this for join in select.args.get("joins") or []]
        for source in sources:
            if isinstance(source, exp.Table) and source.name in names.tables:
                scope.tables.setdefault((source.alias or source.name).lower(), source.name)
            elif isinstance(source, exp.Table) and (spelled := _folded(source.name, names.tables)) is not None:
                scope.tables.setdefault((source.alias or source.name).lower(), spelled)
            else:
                scope.is_open = True
        select = select.find_ancestor(exp.Select)
    return scope


def _identifier(name: str, dialect: Dialect) -> exp.Identifier:
    return exp.Identifier(this=name, quoted=grammar_of(dialect).needs_quotes(name))


def _has(columns: Sequence[str], name: str, column: exp.Column, dialect: Dialect) -> bool:
    """True if the database finds a column of this name."""
    is_quoted = isinstance(column.this, exp.Identifier) and column.this.quoted
    return grammar_of(dialect).finds(columns, name, is_quoted=is_quoted)


def _aliases(tree: exp.Expr) -> set[str]:
    return {alias.alias.lower() for alias in tree.find_all(exp.Alias)}


def _folded(name: str, known: Iterable[str]) -> str | None:
    return next((other for other in known if other.lower() == name.lower()), None)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one known name that is equal, equal in another case, equal in other words, or similar."""
    choices = list(dict.fromkeys(known))
    if name in choices:
        return name
    for same in (str.lower, _letters):
        alike = [other for other in choices if same(other) == same(name)]
        if alike:
            return alike[0] if len(alike) == 1 else None
    by_letters = {_letters(other): other for other in choices}
    near = difflib.get_close_matches(_letters(name), by_letters, n=2, cutoff=NEAR)
    if not near:
        return None
    ratios = [difflib.SequenceMatcher(None, one, _letters(name)).ratio() for one in near]
    is_clear = len(near) == 1 or ratios[0] > ratios[1]
    return by_letters[near[0]] if is_clear else None


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _written(tree: exp.Expr, dialect: Dialect) -> str:
    return tree.sql(dialect=grammar_of(dialect).sqlglot, comments=False) + ";"


def _parsed(sql: str, dialect: Dialect) -> exp.Expr | None:
    try:
        (tree,) = sqlglot.parse(sql, read=grammar_of(dialect).sqlglot)
    except (SqlglotError, ValueError, RecursionError):
        return None
    return tree
