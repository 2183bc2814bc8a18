"""How large does a query become inside of a database? Opens nothing.

Databases put what a subquery or a WITH computes in the place of its name: in `SELECT x || x FROM (SELECT y || y AS x
...)` every level doubles the text, and twenty-five of them take gigabytes before the first row is looked for, while no
limit of time is asked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from sqlglot import exp


def expanded_nodes(query: exp.Expr) -> int:
    """How many nodes the longest expression of a query has once all that it reads by name is written out.

    An upper bound: a column is as long as the longest one of what it may come from.
    """
    return _of_query(query, {}, 0)


def _of_query(query: exp.Expr, given: Mapping[str, int], outer: int) -> int:
    """`given`: what can be read by a name; `outer`: the longest column of the queries around this one."""
    given = _with_named(query, given, outer)
    if isinstance(query, exp.Subquery):
        return _of_query(query.this, given, outer)
    if isinstance(query, exp.SetOperation):
        return _of_operands(query, given, outer)
    if not isinstance(query, exp.Select):
        return 1
    sources = _sources(query, given, outer)
    widest = max(sources.values(), default=0)
    own = (part for name, parts in query.args.items() if name not in ("with_", "from_", "joins", "laterals")
           for part in (parts if isinstance(parts, list) else [parts]) if isinstance(part, exp.Expr))  # fmt: skip
    on = (join.args["on"] for join in query.args.get("joins") or () if join.args.get("on") is not None)
    seen = max(widest, outer)
    longest = max((_of_expression(part, sources, seen, given) for part in (*own, *on)), default=1)
    return max(longest, widest)


def _of_operands(query: exp.SetOperation, given: Mapping[str, int], outer: int) -> int:
    """A chain of a thousand UNIONs is long and not deep: it is walked, as calls would go too deep."""
    longest, left = _of_query(query.right, given, outer), query.left
    while isinstance(left, exp.SetOperation) and left.args.get("with_") is None:
        longest = max(longest, _of_query(left.right, given, outer))
        left = left.left
    return max(longest, _of_query(left, given, outer))


def _with_named(query: exp.Expr, given: Mapping[str, int], outer: int) -> Mapping[str, int]:
    """What can be read by a name here; a WITH that reads itself is written out once."""
    with_ = query.args.get("with_")
    known = dict(given)
    for cte in with_.expressions if with_ is not None else ():
        known[cte.alias.lower()] = _of_query(cte.this, known, outer)
    return known


def _sources(select: exp.Select, given: Mapping[str, int], outer: int) -> dict[str, int]:
    """How long the columns are of what a SELECT reads from, by the names that may stand before them."""
    from_ = select.args.get("from_")
    waiting = deque([*([from_] if from_ is not None else []), *(select.args.get("joins") or ())])
    found: dict[str, int] = {}
    while waiting:
        source = waiting.popleft().this
        waiting.extendleft(reversed(source.args.get("joins") or ()))
        name = source.alias_or_name.lower()
        if isinstance(source, exp.Lateral):  # it sees what stands before it
            found[name] = _of_query(source.this, given, max(outer, *found.values(), 0))
        elif isinstance(source, exp.Values):
            found[name] = _of_expression(source, {}, outer, given)
        elif isinstance(source, exp.Subquery):
            if isinstance(source.this, (exp.Table, exp.Subquery)):  # no query, but parentheses around what is joined
                waiting.appendleft(source)
            else:
                found[name] = _of_query(source.this, given, outer)
        elif isinstance(source, exp.Table) and not source.db:
            found[name] = given.get(source.name.lower(), 0)
    return found


def _of_expression(part: exp.Expr, sources: Mapping[str, int], seen: int, given: Mapping[str, int]) -> int:
    """The nodes of an expression, of its columns those that they stand for; queries in it see all that it sees."""
    size, waiting = 0, [part]  # walked: a chain of a thousand ANDs is long and not deep
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
