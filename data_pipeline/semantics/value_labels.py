"""The meaning of a column's codes: labels from its comment, and listed values from CHECK constraints. Pure.

状态（0正常 1停用）        ->  0: 正常, 1: 停用
0 = open, 1 = closed      ->  0: open, 1: closed
CHECK (kind IN ('A','B'))  ->  A, B
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import sqlglot
from sqlglot import exp

from data_pipeline.database.driver import Dialect
from data_pipeline.database.drivers import grammar_of

FITTING_SHARE: Final = 0.8
"""Share of the values seen that a comment must list: "1-20 characters" lists none."""

LABEL_CHARACTERS: Final = 40
LABEL_LIMIT: Final = 200
COMMENT_CHARACTERS: Final = 2_000
"""The part of a comment that is read."""

_CODE: Final = r"-?\d{1,6}|[A-Za-z][A-Za-z_]{0,15}\d{0,3}"
_CHINESE: Final = re.compile(
    rf"(?<![A-Za-z\d.])['\"\u201c\u2018]?({_CODE})['\"\u201d\u2019]?"
    r"\s*[-=:：、.—_）)>→ ]*\s*([一-鿿][一-鿿A-Za-z（）()+·]*)"
)
_ENGLISH: Final = re.compile(
    rf"(?<![\w.-])['\"]?({_CODE})['\"]?\s*(?:=>|->|→|==?|:|\)|\s-\s|-(?=[A-Za-z]))\s*['\"]?"
    rf"([A-Za-z][^=;,|\n]*?)['\"]?\s*(?=$|[;,|\n/)\]]|\s['\"]?(?:{_CODE})['\"]?\s*(?:=|:|->|→|\s-\s))"
)
_SPACED: Final = re.compile(r"(?:^|[,;]\s*)([A-Z\d]{1,4}) ([a-z][^,;]*)")
_SPACED_LIST: Final = re.compile(r"[A-Z\d]{1,4} [a-z][^,;]*([,;]\s*[A-Z\d]{1,4} [a-z][^,;]*)+")
"""`CV civil, CR criminal`: codes in capitals or digits, parted from their labels by a blank."""

_CHINESE_SIGN: Final = re.compile(r"[一-鿿]")


def labels_of_comment(comment: str | None, values: Iterable[object] = ()) -> dict[str, str]:
    """Return what a comment says of codes, in its order; empty if it lists fewer than two, or not the `values` seen."""
    if not comment:
        return {}
    comment = comment[:COMMENT_CHARACTERS]
    is_chinese = _CHINESE_SIGN.search(comment) is not None
    labels: dict[str, str] = {}
    for code, label in (_CHINESE if is_chinese else _ENGLISH).findall(comment)[:LABEL_LIMIT]:
        plain = label.strip(" .()（）")
        if not plain or len(plain) > LABEL_CHARACTERS or labels.get(code, plain) != plain:
            return {}
        labels[code] = plain
    if len(labels) < 2:
        labels = dict(_SPACED.findall(comment)) if _SPACED_LIST.fullmatch(comment.strip()) else {}
    if len(labels) < 2:
        return {}
    return labels if _lists(labels, values) else {}


def listed_values(check: str, column: str, dialect: Dialect) -> tuple[str, ...]:
    """Return the values to which a CHECK limits a column: `status IN ('new', 'paid')`; empty if it lists none.

    Nulls may be allowed beside them, and other conditions may hold, too.
    """
    text = re.sub(r"^\s*CHECK\s*", "", check, flags=re.IGNORECASE)
    try:
        condition = sqlglot.parse_one(text, read=grammar_of(dialect).sqlglot)
    except sqlglot.errors.SqlglotError:
        return ()
    for part in condition.unnest().flatten() if isinstance(condition.unnest(), exp.And) else [condition.unnest()]:
        found = [_limited_to(one.unnest(), column) for one in _alternatives(part.unnest(), column)]
        if len(found) == 1 and found[0]:
            return found[0]
    return ()


def _alternatives(condition: exp.Expr, column: str) -> list[exp.Expr]:
    """Return the sides of an OR except `column IS NULL`."""
    sides = list(condition.flatten()) if isinstance(condition, exp.Or) else [condition]
    return [
        side
        for side in sides
        if not (isinstance(side.unnest(), exp.Is) and _is_column(side.unnest().this, column) and side.find(exp.Null))
    ]


def _limited_to(condition: exp.Expr, column: str) -> tuple[str, ...]:
    values: Sequence[exp.Expr] = ()
    if isinstance(condition, exp.In) and _is_column(condition.this, column):
        values = condition.expressions
    elif (
        isinstance(condition, exp.EQ)
        and _is_column(condition.this, column)
        and isinstance(condition.expression, exp.Any)
    ):
        array = condition.expression.find(exp.Array)
        values = array.expressions if array is not None else ()
    literals = [value.find(exp.Literal) for value in values]
    return tuple(literal.name for literal in literals if literal is not None) if all(literals) else ()


def _is_column(side: exp.Expr, column: str) -> bool:
    """True if a side is the column, in brackets or cast, and nothing else."""
    while isinstance(side, (exp.Paren, exp.Cast)):
        side = side.this
    return isinstance(side, exp.Column) and side.name.lower() == column.lower()


def _lists(labels: Mapping[str, str], values: Iterable[object]) -> bool:
    seen = [_plain(value) for value in values]
    if not seen:
        return True
    return sum(1 for value in seen if value in labels) >= FITTING_SHARE * len(seen)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    text = str(value).strip()
    return text.removesuffix(".0") if isinstance(value, float) else text


def missing_labels(labels: Mapping[str, str], values: Sequence[object]) -> list[str]:
    """Return the values seen that have no label, each once, in their order."""
    return list(dict.fromkeys(plain for plain in map(_plain, values) if plain not in labels))
