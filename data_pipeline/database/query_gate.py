"""Decide if a text is one query that only reads, and write the query that runs. Opens nothing.

Text -> syntax tree -> every node and every function is on a list of harmless ones -> text, written anew from the tree.
Only that text runs, so it contains nothing that a comment, an escape or a quirk of the parser could hide. The read-only
transaction and its time limit are the walls behind this one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from data_pipeline.database.driver import Dialect, GateFacts
from data_pipeline.database.drivers import grammar_of
from data_pipeline.database.query_expansion import expanded_nodes
from data_pipeline.errors import QueryRefused
from data_pipeline.tasks.table_list import TableName

LENGTH_LIMIT: Final = 20_000
"""In characters; a query that answers a question is rarely longer than a thousand."""

EXPANDED_LIMIT: Final = 200_000
"""In nodes. A database needs one or two hundred bytes for each; an expression that people write has some tens."""

QUERIES: Final = (exp.Select, exp.Union, exp.Intersect, exp.Except, exp.Subquery)

NODES: Final = frozenset(
    {
        # the shape of a query
        exp.Select, exp.Union, exp.Intersect, exp.Except, exp.Subquery, exp.With, exp.CTE, exp.From, exp.Join,
        exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Offset, exp.Fetch, exp.Distinct,
        exp.Table, exp.TableAlias, exp.Alias, exp.Column, exp.Identifier, exp.Star, exp.Values, exp.Tuple, exp.Lateral,
        exp.Rollup, exp.Cube, exp.GroupingSets,
        # windows
        exp.Window, exp.WindowSpec, exp.Filter, exp.WithinGroup,
        # values
        exp.Literal, exp.Null, exp.Boolean, exp.Paren, exp.DataType, exp.DataTypeParam, exp.Interval, exp.Var,
        exp.JSONPath, exp.JSONPathRoot, exp.JSONPathKey, exp.JSONPathSubscript,
        # operators
        exp.And, exp.Or, exp.Not, exp.Neg, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.DPipe,
        exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Between,
        exp.In, exp.Any, exp.All, exp.Exists, exp.Like, exp.ILike, exp.SimilarTo, exp.RegexpLike, exp.RegexpILike,
        exp.Glob, exp.Escape, exp.Collate, exp.BitwiseAnd, exp.BitwiseOr, exp.JSONExtract, exp.JSONExtractScalar,
        exp.AtTimeZone,
        # functions that only compute, and whose results are not much longer than their arguments
        exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Greatest, exp.Least, exp.Cast, exp.TryCast, exp.Array,
        exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance,
        exp.VariancePop, exp.Corr, exp.PercentileCont, exp.PercentileDisc, exp.Mode, exp.GroupConcat, exp.ArrayAgg,
        exp.LogicalAnd, exp.LogicalOr, exp.Grouping,
        exp.RowNumber, exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist, exp.Ntile, exp.Lag, exp.Lead,
        exp.FirstValue, exp.LastValue, exp.NthValue,
        exp.Abs, exp.Round, exp.Ceil, exp.Floor, exp.Sign, exp.Sqrt, exp.Pow, exp.Exp, exp.Ln, exp.Log, exp.Trunc,
        exp.Length, exp.Lower, exp.Upper, exp.Trim, exp.Substring, exp.Left, exp.Right, exp.StrPosition, exp.Reverse,
        exp.Concat, exp.Initcap, exp.SplitPart,
        exp.CurrentDate, exp.CurrentTimestamp, exp.CurrentTime, exp.Extract, exp.DateTrunc, exp.TimestampTrunc,
        exp.TimeToStr, exp.TsOrDsToTimestamp, exp.TsOrDsToDate, exp.Date, exp.Year, exp.Month, exp.Day, exp.StrToDate,
        exp.Typeof, exp.JSONBExtract, exp.JSONBExtractScalar, exp.Unicode, exp.Median, exp.JustifyDays,
        exp.RegrSlope, exp.RegrCount, exp.WidthBucket, exp.Bracket, exp.Slice,
        # functions whose results may be longer, within the limits of _check_growth
        exp.Replace, exp.RegexpReplace, exp.Translate, exp.Pad, exp.Format, exp.ConcatWs,
    }
)  # fmt: skip
"""Exact classes; a subclass may do more."""

LONGEST_PADDING: Final = 1_000
LONGEST_REPLACEMENT: Final = 100
_WIDE_FORMAT: Final = re.compile(r"%[^%a-zA-Z]*(\*|\d{4})")

# The parser keeps text that it cannot read as it is, and warns. The gate refuses such text.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Query:
    """One query that may be run: its text, its tree, and the tables that it reads, in their order in the text."""

    sql: str
    dialect: Dialect
    tables: tuple[TableName, ...]
    expression: exp.Expr = field(repr=False, compare=False)


def check_query(text: str, dialect: Dialect) -> Query:
    """Return the one query of a text. Raises QueryRefused with the part that is not allowed."""
    query = _check(text, dialect)
    is_as_written = text.strip().removesuffix(";") == query.sql  # the same text would give the same tree again
    if not is_as_written and _check(query.sql, dialect).sql != query.sql:
        raise QueryRefused("ambiguous", "it could be read in two ways: write it in a simpler way")
    return query


def rewritten(query: Query, expression: exp.Expr) -> Query:
    """Return a query for a tree that has only parts of a checked query, left out or repeated.

    The tree belongs to the new query; the caller must not change it.
    """
    sql = expression.sql(dialect=grammar_of(query.dialect).gate.parser, comments=False, copy=False)
    return Query(sql, query.dialect, query.tables, expression)


def _check(text: str, dialect: Dialect) -> Query:
    if len(text) > LENGTH_LIMIT:
        raise QueryRefused("too_long", f"it is longer than {LENGTH_LIMIT} characters")
    if "\0" in text:
        raise QueryRefused("syntax", "it contains a NUL character")
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise QueryRefused("syntax", "it contains half a character (an unpaired surrogate)")
    facts = grammar_of(dialect).gate
    try:
        parsed = [item for item in sqlglot.parse(text, read=facts.parser) if not isinstance(item, exp.Semicolon | None)]
        if len(parsed) != 1:
            raise QueryRefused("statements", f"it is {len(parsed)} statements, not one")
        expression = parsed[0]
        if type(expression) not in QUERIES:
            raise QueryRefused(
                "not_a_query", f"{expression.key.upper()} is not a query: it must begin with SELECT or WITH"
            )
        for node in expression.walk():
            _check_node(node, facts)
        if expanded_nodes(expression) > EXPANDED_LIMIT:
            raise QueryRefused("too_deep", "its size doubles from each level of subqueries to the next: use fewer")
        sql = expression.sql(dialect=facts.parser, comments=False)
    except SqlglotError as error:
        raise QueryRefused("syntax", f"it is not valid SQL: {_first_line(error)}") from None
    except RecursionError:
        raise QueryRefused("too_deep", "it is nested too deeply") from None
    return Query(sql, dialect, tuple(dict.fromkeys(_tables(expression))), expression)


def _check_node(node: exp.Expr, facts: GateFacts) -> None:
    if isinstance(node, exp.Anonymous):
        name = str(node.this).lower()
        if name not in facts.named_functions or isinstance(node.parent, exp.Dot | exp.Table):
            raise QueryRefused(
                "function", f"the function {name[:60]} is not on the list of functions that only compute"
            )
    elif isinstance(node, exp.Dot):
        raise QueryRefused("function", "functions of a schema and parts of composite values cannot be used")
    elif type(node) not in NODES and type(node) not in facts.nodes:
        kind = "function" if isinstance(node, exp.Func) else "not_allowed"
        raise QueryRefused(kind, f"{node.key.upper()} is not on the list of syntax that only reads")
    if not facts.limits_values:
        _check_growth(node)
    if isinstance(node, exp.Table):
        _check_table(node, facts)
    elif isinstance(node, exp.Star) and isinstance(node.parent, exp.Column) and not node.parent.table:
        raise QueryRefused("syntax", "a star must follow SELECT, or a table and a dot")


def _check_growth(node: exp.Expr) -> None:
    """Refuse functions that can multiply the length of a text, up to a gigabyte in a database without a limit.

    A function that lengthens a text must do so by a constant, and only once.
    """
    if isinstance(node, exp.Pad):
        length = node.expression
        if not (isinstance(length, exp.Literal) and length.is_int and int(length.name) <= LONGEST_PADDING):
            raise QueryRefused("function", f"the length of a padding must be a number of at most {LONGEST_PADDING}")
    elif isinstance(node, exp.Format):
        if not (isinstance(node.this, exp.Literal) and node.this.is_string) or _WIDE_FORMAT.search(node.this.name):
            raise QueryRefused("function", "a format must be a text in quotes, with widths of at most three digits")
    elif isinstance(node, (exp.Replace, exp.RegexpReplace)):
        new = node.args.get("replacement")
        if new is not None and not (
            isinstance(new, exp.Literal) and new.is_string and len(new.name) <= LONGEST_REPLACEMENT
        ):
            raise QueryRefused(
                "function", f"a replacement must be a text in quotes of at most {LONGEST_REPLACEMENT} characters"
            )
        if _lengthens(node) and any(
            _lengthens(inner) for inner in node.find_all(exp.Replace, exp.RegexpReplace) if inner is not node
        ):
            raise QueryRefused("function", "a replacement inside another one must not lengthen the text")


def _lengthens(node: exp.Expr) -> bool:
    """True if a replacement can be longer than the replaced text; a pattern may match an empty text."""
    new = node.args.get("replacement")
    old = len(node.expression.name) if isinstance(node, exp.Replace) and isinstance(node.expression, exp.Literal) else 0
    return new is not None and len(new.name) > old


def _check_table(table: exp.Table, facts: GateFacts) -> None:
    if not isinstance(table.this, exp.Identifier):
        raise QueryRefused("function", "a function cannot be used as a table")
    schema, name = table.db.lower(), table.name.lower()
    if table.catalog:
        raise QueryRefused("table", "a table of another database cannot be read")
    if facts.system_schemas.fullmatch(schema) or facts.system_tables.fullmatch(name):
        raise QueryRefused("table", f"{table.name[:60]!a} belongs to the database system")


def _tables(expression: exp.Expr) -> Iterator[TableName]:
    """Yield the tables that are read; a name that a WITH defines is not a table."""
    for table in expression.find_all(exp.Table):
        if table.db or not _is_defined(table):
            yield TableName(table.db or None, table.name)


def _is_defined(table: exp.Table) -> bool:
    """True if a WITH around it defines this name.

    A query of the WITH itself sees only earlier names: in `WITH t AS (SELECT a FROM t)` the second `t` is a table.
    """
    within: exp.Expr = table
    while within.parent is not None:
        node = within.parent
        with_ = node if isinstance(node, exp.With) else node.args.get("with_")
        if with_ is not None and with_ is not within:
            is_inside = with_ is node and not with_.args.get("recursive")
            visible = with_.expressions[: within.index] if is_inside else with_.expressions
            if any(_name_of(cte.args["alias"].this) == _name_of(table.this) for cte in visible):
                return True
        within = node
    return False


def _name_of(identifier: exp.Expr) -> str:
    return identifier.name if identifier.args.get("quoted") else identifier.name.lower()


def _first_line(error: SqlglotError) -> str:
    return str(error).splitlines()[0][:200]
