"""The gates that a pair must pass before it is published.

In this order:

    reads only      one query of nodes and functions that only compute (database/query_gate.py)
    new             no pair that was accepted says the same, or nearly
    no personal data        neither columns nor literals
    resolves        the database knows its names: EXPLAIN
    runs            within the limits of time and rows
    not empty       it has a row, and not only nulls or a count of nothing
    not trivial     without any one of its conditions, its HAVING, LIMIT, DISTINCT the result is another one
    decided         what it sorts by decides which rows come, and in which order

Results are compared, not query plans, because a condition may be true of every row without looking so.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from sqlglot import exp

from data_pipeline.database.connection import BusinessDatabase
from data_pipeline.database.execution import QueryLimits, QueryRows, execute_query, explain_query
from data_pipeline.database.query_gate import Query, check_query, rewritten
from data_pipeline.errors import QueryFailed, QueryRefused
from data_pipeline.semantics.shapes import looks_personal
from data_pipeline.semantics.telling import TellingValues
from data_pipeline.steps.qa.sql.forms import Duplicates
from data_pipeline.tasks.table_list import TableName

ROWS_COMPARED: Final = 1_000
ROWS_ENOUGH: Final = (10, 100)
_SMALL: Final = re.compile("[a-z]+")
REMEMBERED_RESULTS: Final = 512
"""Maximum number of cached results of queries without their conditions; many pairs share one."""


@dataclass(frozen=True)
class Accepted:
    """An accepted pair: its question, its SQL, its tree, and the number of its rows, at most 1 000."""

    question: str
    sql: str
    query: Query = field(repr=False)
    row_count: int = 0


@dataclass(frozen=True)
class Rejected:
    """A rejected pair: `reason` is one word for counts, `detail` is for a person or a model."""

    reason: str
    detail: str = ""


class Gates:
    """The gates of one run.

    `personal` are the masked columns of every table, in lower case; `hidden` are their values, `told` those values that
    identify people inside other texts.

    Methods block; call them from one thread at a time.
    """

    def __init__(
        self,
        database: BusinessDatabase,
        limits: QueryLimits,
        *,
        personal: Mapping[TableName, frozenset[str]],
        told: TellingValues | None = None,
        hidden: frozenset[str] = frozenset(),
        default_schema: str | None = None,
    ) -> None:
        self._database = database
        self._dialect = database.dialect_name
        self._limits = replace(limits, rows=ROWS_COMPARED)
        self._personal = {
            (name.schema or default_schema or "", name.name.lower()): columns for name, columns in personal.items()
        }
        self._default_schema = default_schema or ""
        self._hidden = hidden
        self._told = told or TellingValues(())
        self._run: Callable[[Query, int], QueryRows] = lru_cache(REMEMBERED_RESULTS)(self._execute)
        self.accepted = Duplicates()

    def judge(
        self, question: str, sql: str, *, may_count_nothing: bool = False, most_per_group: int | None = None
    ) -> Accepted | Rejected:
        """Judge a pair without recording it. Raises DatabaseUnavailable.

        `may_count_nothing`: the question is about a table without rows. `most_per_group`: the number of rows that the
        question wants of each group, which all columns but the last identify.
        """
        try:
            query = check_query(sql, self._dialect)
        except QueryRefused as error:
            return Rejected(error.kind, error.reason)
        duplicate = self.accepted.why_duplicate(question, query.expression)
        if duplicate is not None:  # cheap, so before the database is queried
            return Rejected(duplicate)
        if self._is_personal(query):
            return Rejected("personal_data")
        try:
            explain_query(self._database, query, self._limits)
            found = self._execute(query)
            problem = _why_empty(found, may_count_nothing=may_count_nothing)
            problem = problem or self._why_trivial(query, found) or self._why_undecided(query)
            problem = problem or _why_too_many(found, most_per_group)
        except QueryFailed as error:
            return Rejected(error.kind, error.reason)
        return problem or Accepted(question, sql, query, len(found.rows))

    def add(self, pair: Accepted) -> None:
        """Record a published pair, so that no other pair says the same."""
        self.accepted.add(pair.question, pair.query.expression)

    def tells_person(self, text: str) -> bool:
        """True if a sentence contains a masked value, or words like one; words in lower case are not names."""
        words = [word.strip(".,;:?!()\"'") for word in text.split()]
        named = " ".join(word for word in words if not _SMALL.fullmatch(word))
        return self._told.are_in(named) or any(map(looks_personal, words))

    def _execute(self, query: Query, rows: int = ROWS_COMPARED) -> QueryRows:
        return execute_query(self._database, query, replace(self._limits, rows=rows))

    # No personal data.

    def _is_personal(self, query: Query) -> bool:
        for name in query.tables:
            hidden = self._personal.get((name.schema or self._default_schema, name.name.lower()), frozenset())
            if hidden and any(_uses(query.expression, column) for column in hidden):
                return True
            if hidden and any(_is_of_all_columns(star) for star in query.expression.find_all(exp.Star)):
                return True
        texts = [literal.name for literal in query.expression.find_all(exp.Literal) if literal.is_string]
        return any(text in self._hidden or self._told.are_in(text) or looks_personal(text) for text in texts)

    # Not trivial.

    def _why_trivial(self, query: Query, found: QueryRows) -> Rejected | None:
        # A variant with more rows is cut, so it differs; there are few limits, so that many pairs share a result.
        enough = next((rows for rows in ROWS_ENOUGH if rows > len(found.rows)), ROWS_COMPARED)
        for detail, variant in self._without_a_part(query):
            if _same(found, self._run(variant, enough)):
                return Rejected("trivial", f"{detail} changes nothing")
        select = _outer_select(query.expression)
        if select is not None and not select.args.get("group") and found.rows == ((1,),):
            counted = select.expressions[0].unalias() if len(select.expressions) == 1 else None
            if isinstance(counted, exp.Count) and isinstance(counted.this, exp.Distinct):
                return Rejected("trivial", "there is one value only")
        if select is not None and select.args.get("group"):
            if len(found.rows) == 1 and not select.args.get("limit") and not select.args.get("having"):
                return Rejected("trivial", "there is one group only")
            for number, output in enumerate(select.expressions):
                if isinstance(output.unalias(), exp.Count) and all(row[number] == 1 for row in found.rows):
                    return Rejected("trivial", "every group has one row")
        return None

    def _without_a_part(self, query: Query) -> Iterator[tuple[str, Query]]:
        """Yield the query without one condition, without its HAVING ..., each with the name of the missing part."""
        tree = query.expression
        for place, select in enumerate(tree.find_all(exp.Select)):
            if select.parent_select is not None and not isinstance(select.parent, exp.CTE | exp.SetOperation):
                continue
            where = select.args.get("where")
            narrowing: exp.Expr | None = where.this if where is not None else None
            parts = (
                list(narrowing.flatten()) if isinstance(narrowing, exp.Connector) else [narrowing] if narrowing else []
            )
            together = exp.or_ if isinstance(narrowing, exp.Or) else exp.and_
            # A condition that only keeps rows without a name out need not change anything.
            told = [number for number, part in enumerate(parts) if not _is_not_null(part)]
            for number in told or range(len(parts)):
                others = [part.copy() for other, part in enumerate(parts) if other != number]
                kept = exp.Where(this=together(*others)) if others else None
                yield f"the condition {parts[number].sql()[:80]}", self._changed(query, place, "where", kept)
            for part in ("having", "limit", "distinct"):
                if select.args.get(part):
                    yield part.upper(), self._changed(query, place, part, None)
        if isinstance(tree, exp.SetOperation) and tree.args.get("distinct", True):
            left = tree.left.copy()
            if isinstance(left, exp.Select):
                yield "the second query", rewritten(query, left.distinct(copy=False))

    def _changed(self, query: Query, place: int, part: str, value: exp.Expr | None) -> Query:
        tree = query.expression.copy()
        select = list(tree.find_all(exp.Select))[place]
        select.set(part, value)
        return rewritten(query, tree)

    # Decided.

    def _why_undecided(self, query: Query) -> Rejected | None:
        """Return the reason if different rows are equal in the sort columns, so that their order is random."""
        select = query.expression
        order = select.args.get("order")
        if not isinstance(select, exp.Select) or order is None:
            limit = select.args.get("limit")
            return Rejected("undecided", "LIMIT without ORDER BY") if limit is not None else None
        limit = _number_of(select.args.get("limit"))
        if limit is None and select.args.get("limit") is not None:
            return Rejected("undecided", "its LIMIT is no whole number")
        aliases = {output.alias: output.this for output in select.expressions if isinstance(output, exp.Alias)}
        tree = select.copy()
        keys = []
        for ordered in order.expressions:
            by = ordered.this
            is_alias = isinstance(by, exp.Column) and not by.table and by.name in aliases
            keys.append((aliases[by.name] if is_alias else by).copy())
        if tree.args.get("distinct") or any(isinstance(key, exp.Literal) for key in keys):
            return None  # the sort columns are in the result
        tree.select(*(exp.alias_(key, f"sort_key_{number}") for number, key in enumerate(keys)), copy=False)
        if limit is not None:
            tree.set("limit", exp.Limit(expression=exp.Literal.number(limit + 1)))
        rows = self._execute(rewritten(query, tree)).rows
        width = len(select.expressions)
        if limit is not None and len(rows) > limit and rows[limit - 1][width] == rows[limit][width]:
            return Rejected("tie", f"row {limit} and row {limit + 1} are equal in what is sorted by")
        shown = rows if limit is None else rows[:limit]
        for row, following in itertools.pairwise(shown):
            if row[width:] == following[width:] and row[:width] != following[:width]:
                return Rejected("tie", "rows are equal in what is sorted by")
        return None


def _why_empty(found: QueryRows, *, may_count_nothing: bool) -> Rejected | None:
    if not found.rows or all(value is None for row in found.rows for value in row):
        return Rejected("empty", "it gives no row, or only nulls")
    # A value may be a list, which is not hashable.
    if len(found.rows) == 1 and all(value in (0, None) for value in found.rows[0]) and not may_count_nothing:
        return Rejected("empty", "it counts nothing")
    return None


def _why_too_many(found: QueryRows, most_per_group: int | None) -> Rejected | None:
    if most_per_group is None:
        return None
    groups = Counter(row[:-1] for row in found.rows)
    if max(groups.values()) > most_per_group:
        return Rejected("tie", "rows of one group are equal in what is sorted by")
    return None


def _same(found: QueryRows, other: QueryRows) -> bool:
    """True if both results have the same rows and the same truncation."""
    if found.is_cut != other.is_cut or len(found.rows) != len(other.rows):
        return False
    return _counted(found.rows) == _counted(other.rows)


def _counted(rows: Sequence[tuple[Any, ...]]) -> Counter[str]:
    return Counter(map(repr, rows))


def _uses(tree: exp.Expr, column: str) -> bool:
    return any(node.name.lower() == column for node in tree.find_all(exp.Column))


def _is_of_all_columns(star: exp.Star) -> bool:
    return not isinstance(star.parent, exp.Count)


def _is_not_null(condition: exp.Expr) -> bool:
    if isinstance(condition, exp.Not):
        return isinstance(condition.this, exp.Is)
    return isinstance(condition, exp.Is) and isinstance(condition.expression, exp.Not)


def _outer_select(tree: exp.Expr) -> exp.Select | None:
    return tree if isinstance(tree, exp.Select) else None


def _number_of(limit: exp.Expr | None) -> int | None:
    if limit is None:
        return None
    count = limit.args.get("count") if isinstance(limit, exp.Fetch) else limit.expression
    return int(count.name) if isinstance(count, exp.Literal) and count.name.isdecimal() else None
