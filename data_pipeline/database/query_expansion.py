"""How large does a query become inside of a database? Opens nothing.

Databases put what a subquery or a WITH computes in the place of its name: in `SELECT x || x FROM (SELECT y || y AS x
...)` every level doubles the text, and twenty-five of them take gigabytes before the first row is looked for, while no
limit of time is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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
        return max(_of_query(query.left, given, outer), _of_query(query.right, given, outer))
    if not isinstance(query, exp.Select):
        return 1
    sources = dict(_sources(query, given, outer))
    widest = max(sources.values(), default=0)
    own = (part for name, parts in query.args.items() if name not in ("with_", "from_", "joins", "laterals")
           for part in (parts if isinstance(parts, list) else [parts]) if isinstance(part, exp.Expr))  # fmt: skip
    on = (join.args["on"] for join in query.args.get("joins") or () if join.args.get("on") is not None)
    seen = max(widest, outer)
    longest = max((_of_expression(part, sources, seen, given) for part in (*own, *on)), default=1)
    return max(longest, widest)


def _with_named(query: exp.Expr, given: Mapping[str, int], outer: int) -> Mapping[str, int]:
    """What can be read by a name here; a WITH that reads itself is written out once."""
    with_ = query.args.get("with_")
    known = dict(given)
    for cte in with_.expressions if with_ is not None else ():
        known[cte.alias.lower()] = _of_query(cte.this, known, outer)
    return known


def _sources(select: exp.Select, given: Mapping[str, int], outer: int) -> Iterator[tuple[str, int]]:
    """What a SELECT reads from, by the names that its columns may have before them."""
    from_ = select.args.get("from_")
    for item in [*([from_] if from_ is not None else []), *(select.args.get("joins") or ())]:
        source = item.this
        if isinstance(source, exp.Subquery):
            yield source.alias.lower(), _of_query(source, given, outer)
        elif isinstance(source, exp.Table) and not source.db:
            yield (source.alias or source.name).lower(), given.get(source.name.lower(), 0)


def _of_expression(part: exp.Expr, sources: Mapping[str, int], seen: int, given: Mapping[str, int]) -> int:
    """The nodes of an expression, of its columns those that they stand for; queries in it see all that it sees."""
    if isinstance(part, (exp.Select, exp.SetOperation, exp.Subquery)):
        return _of_query(part, given, seen)
    if isinstance(part, exp.Column):
        return 1 + sources.get(part.table.lower(), seen)
    return 1 + sum(_of_expression(child, sources, seen, given) for child in part.iter_expressions())
