"""The difficulty of a query by the rule of the Spider benchmark. Pure.

    component 1   WHERE, GROUP BY, ORDER BY and LIMIT, 1 each; every table after the first; every OR; every LIKE
    component 2   queries in conditions of ON, WHERE and HAVING; the other half of UNION, INTERSECT or EXCEPT
    others        1 each for more than one: aggregate, output, condition in WHERE, column in GROUP BY

    easy      component 1 <= 1, component 2 = 0, others = 0
    medium    component 2 = 0, and component 1 <= 1 with others <= 2, or component 1 = 2 with others <= 1
    hard      component 2 = 0, and component 1 <= 2 with others > 2, or component 1 = 3 with others <= 2,
              or component 2 = 1 with component 1 <= 1 and others = 0
    extra     everything else
    beyond    a window function or a WITH, which Spider does not have

Source: `eval_hardness` in evaluation.py with the parser process_sql.py, github.com/taoyds/spider. Papers report its
levels, so its quirks are kept:

- Only the first SELECT is counted. Queries inside it are one each, whatever they hold, and one in FROM is a table.
  ORDER BY and LIMIT after a UNION belong to the last SELECT.
- An aggregate counts where it is a whole output, and in ORDER BY; in HAVING it does not. A condition with NOT in WHERE
  or HAVING counts as an aggregate, and so does every AND and OR in HAVING.
- The conditions after an OR that follows a comparison with a column (`a = b OR c = 1`) are ignored up to the next AND.
- HAVING, DISTINCT, OFFSET and the kind of a join do not count.

Syntax that Spider cannot parse is counted accordingly: parentheses around conditions, IS NULL (its NOT does not count),
EXISTS (a condition with a query), outputs with names, joins of any kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from sqlglot import exp

from data_pipeline.tasks.parameters import Difficulty

_AGGREGATES: Final = (exp.Max, exp.Min, exp.Count, exp.Sum, exp.Avg)
_LIKES: Final = (exp.Like, exp.ILike)


@dataclass(frozen=True)
class _Condition:
    """One condition with the connective before it; None before the first."""

    word: Literal["and", "or"] | None
    is_negated: bool
    node: exp.Expr


def difficulty_of(expression: exp.Expr) -> Difficulty:
    """Return the difficulty of a query."""
    if expression.find(exp.With, exp.Window) is not None:
        return "beyond"
    first, has_other_half = _first_select(expression)
    ons, where, having = _conditions_of_joins(first), _clause(first, "where"), _clause(first, "having")
    conditions = [*ons, *where, *having]
    component_1 = (
        sum(first.args.get(name) is not None for name in ("where", "group", "order", "limit"))
        + max(0, _table_count(first) - 1)
        + sum(condition.word == "or" for condition in conditions)
        + sum(isinstance(condition.node, _LIKES) for condition in conditions)
    )
    component_2 = has_other_half + sum(_query_count(condition.node) for condition in conditions)
    aggregates = (
        sum(isinstance(output.unalias(), _AGGREGATES) for output in first.expressions)
        + sum(_aggregate_count(ordered.this) for ordered in _items(first, "order"))
        + sum(condition.is_negated for condition in [*where, *having])
        + sum(condition.word is not None for condition in having)
    )
    others = sum(count > 1 for count in (aggregates, len(first.expressions), len(where), len(_items(first, "group"))))
    return _level(component_1, component_2, others)


def _level(component_1: int, component_2: int, others: int) -> Difficulty:
    if component_2 == 0:
        if component_1 <= 1 and others == 0:
            return "easy"
        if (component_1 <= 1 and others <= 2) or (component_1 <= 2 and others < 2):
            return "medium"
        if (component_1 <= 2 and others > 2) or (component_1 == 3 and others <= 2):
            return "hard"
        return "extra"
    return "hard" if component_2 == 1 and component_1 <= 1 and others == 0 else "extra"


def _first_select(expression: exp.Expr) -> tuple[exp.Expr, bool]:
    """Return the leftmost SELECT, and True if it is part of a UNION, INTERSECT or EXCEPT."""
    has_other_half = False
    while isinstance(expression, exp.SetOperation | exp.Subquery):
        has_other_half |= isinstance(expression, exp.SetOperation)
        expression = expression.this
    return expression, has_other_half


def _items(select: exp.Expr, clause: str) -> list[exp.Expr]:
    found = select.args.get(clause)
    return found.expressions if found is not None else []


def _clause(select: exp.Expr, clause: str) -> list[_Condition]:
    found = select.args.get(clause)
    return _read(found.this) if found is not None else []


def _conditions_of_joins(select: exp.Expr) -> list[_Condition]:
    return [
        condition
        for join in select.args.get("joins") or ()
        if join.args.get("on") is not None
        for condition in _read(join.args["on"])
    ]


def _read(node: exp.Expr) -> list[_Condition]:
    """Return the conditions that Spider's parser would find, in their order."""
    found: list[_Condition] = []
    is_swallowing = False
    for condition in _conditions(node, word=None, is_negated=False):
        is_swallowing = is_swallowing and condition.word == "or"
        if not is_swallowing:
            found.append(condition)
            is_swallowing = isinstance(_value(condition.node), exp.Column | exp.Binary)
    return found


def _conditions(node: exp.Expr, word: Literal["and", "or"] | None, *, is_negated: bool) -> Iterator[_Condition]:
    if isinstance(node, exp.Paren | exp.Escape):
        yield from _conditions(node.this, word, is_negated=is_negated)
    elif isinstance(node, exp.Not):
        yield from _conditions(node.this, word, is_negated=not isinstance(node.this, exp.Is))
    elif isinstance(node, exp.And | exp.Or):
        yield from _conditions(node.this, word, is_negated=is_negated)
        own: Literal["and", "or"] = "and" if isinstance(node, exp.And) else "or"
        yield from _conditions(node.expression, own, is_negated=is_negated)
    else:
        yield _Condition(word, is_negated, node)


def _value(condition: exp.Expr) -> exp.Expr | None:
    """Return the right side of a condition, the last one of BETWEEN."""
    value = condition.args.get("high") if isinstance(condition, exp.Between) else condition.args.get("expression")
    return value if isinstance(value, exp.Expr) else None


def _table_count(select: exp.Expr) -> int:
    """Return the number of tables and queries in FROM, also in parentheses."""
    from_ = select.args.get("from_")
    sources = [from_] if from_ is not None else []
    count, waiting = 0, [source.this for source in [*sources, *(select.args.get("joins") or ())]]
    while waiting:
        source = waiting.pop()
        waiting += [join.this for join in source.args.get("joins") or ()]
        if isinstance(source, exp.Subquery) and isinstance(source.this, exp.Table):
            waiting.append(source.this)
        else:
            count += 1
    return count


def _query_count(condition: exp.Expr) -> int:
    """Return the number of queries in a condition, without those nested in them."""
    count, waiting = 0, [condition]
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.Select | exp.SetOperation):
            count += 1
        else:
            waiting += node.iter_expressions()
    return count


def _aggregate_count(ordering: exp.Expr) -> int:
    """Return the number of aggregates that one item of ORDER BY combines by its outermost operators."""
    while isinstance(ordering, exp.Paren):
        ordering = ordering.this
    operands = [ordering.this, ordering.expression] if isinstance(ordering, exp.Binary) else [ordering]
    return sum(isinstance(operand, _AGGREGATES) for operand in operands)
