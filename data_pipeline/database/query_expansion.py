"""Measure the size that a query has inside of a database. Opens nothing.

Databases replace the names of subqueries, and of queries of a WITH, by their expressions. In `SELECT x || x FROM
(SELECT y || y AS x ...)` every level doubles the text, and twenty-five levels take gigabytes before the first row is
read. The time limit is not checked during that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from sqlglot import exp


def expanded_nodes(query: exp.Expr) -> int:
    """Return the number of nodes of a query's longest expression after all names are replaced by their expressions.

    This is an upper bound: a column is as long as the longest column from which it may come.
    """
    return _of_query(query, {}, 0)


def _of_query(query: exp.Expr, given: Mapping[str, int], outer: int) -> int:
    """Measure a query. `given`: sizes by name; `outer`: the longest column of the queries around this one."""
    given = _with_named(query, given, outer)
    if isinstance(query, exp.Subquery):
        return _of_query(query.this, given, outer)
    if isinstance(query, exp.SetOperation):
        return _of_operands(query, given, outer)
    if not isinstance(query, exp.Select):
        return 1
    sources = _sources(query, given, outer)
    widest = max(sources.values(), default=0)
    inner = (part for name, parts in query.args.items() if name not in ("with_", "from_", "joins", "laterals")
           for part in (parts if isinstance(parts, list) else [parts]) if isinstance(part, exp.Expr))  # fmt: skip
    on = (join.args["on"] for join in query.args.get("joins") or () if join.args.get("on") is not None)
    seen = max(widest, outer)
    longest = max((_of_expression(part, sources, seen, given) for part in (*inner, *on)), default=1)
    return max(longest, widest)


def _of_operands(query: exp.SetOperation, given: Mapping[str, int], outer: int) -> int:
    """Measure a chain of UNIONs in a loop, because a call for each of a thousand would be too deep."""
    longest, left = _of_query(query.right, given, outer), query.left
    while isinstance(left, exp.SetOperation) and left.args.get("with_") is None:
        longest = max(longest, _of_query(left.right, given, outer))
        left = left.left
    return max(longest, _of_query(left, given, outer))


def _with_named(query: exp.Expr, given: Mapping[str, int], outer: int) -> Mapping[str, int]:
    """Return the sizes of all queries that have a name here; a WITH that reads itself is expanded once."""
    with_ = query.args.get("with_")
    sizes = dict(given)
    for cte in with_.expressions if with_ is not None else ():
        sizes[cte.alias.lower()] = _of_query(cte.this, sizes, outer)
    return sizes


def _sources(select: exp.Select, given: Mapping[str, int], outer: int) -> dict[str, int]:
    """Return the longest column of each source of a SELECT, by the name that qualifies its columns."""
    from_ = select.args.get("from_")
    waiting = deque([*([from_] if from_ is not None else []), *(select.args.get("joins") or ())])
    sizes: dict[str, int] = {}
    while waiting:
        source = waiting.popleft().this
        waiting.extendleft(reversed(source.args.get("joins") or ()))
        name = source.alias_or_name.lower()
        if isinstance(source, exp.Lateral):  # it reads the sources before it
            sizes[name] = _of_query(source.this, given, max(outer, *sizes.values(), 0))
        elif isinstance(source, exp.Values):
            sizes[name] = _of_expression(source, {}, outer, given)
        elif isinstance(source, exp.Subquery):
            if isinstance(source.this, (exp.Table, exp.Subquery)):  # not a query, but parentheses around joined tables
                waiting.appendleft(source)
            else:
                sizes[name] = _of_query(source.this, given, outer)
        elif isinstance(source, exp.Table) and not source.db:
            sizes[name] = given.get(source.name.lower(), 0)
    return sizes


def _of_expression(part: exp.Expr, sources: Mapping[str, int], seen: int, given: Mapping[str, int]) -> int:
    """Count the nodes of an expression and of the expressions behind its columns. `seen`: the longest visible one."""
    size, waiting = 0, [part]  # a loop, because of chains of a thousand ANDs
    while waiting:
        node = waiting.pop()
        if isinstance(node, (exp.Select, exp.SetOperation, exp.Subquery)):
            size += _of_query(node, given, seen)
        elif isinstance(node, exp.Column):
            size += 1 + sources.get(node.table.lower(), seen)
        else:
            size += 1
            waiting.extend(node.iter_expressions())
    return size
