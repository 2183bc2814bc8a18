"""Is a text, as somebody spelled it, the query that the gate wrote anew from its tree? Opens nothing.

The gate's text is what runs. A text that stays in a file must mean the same to the database: its tokens must be those
of the gate's text, but for form: case, AS, INNER, brackets of names, `::`, and names of functions that are one and the
same in this database. Whether the database takes the text at all, only the database can say.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from sqlglot import Token, TokenType
from sqlglot.dialects import Postgres, SQLite
from sqlglot.errors import SqlglotError

from data_pipeline.database.query_gate import Dialect, Query

_READS: Final = {"sqlite": SQLite, "postgresql": Postgres}

_FORM: Final = frozenset(
    {
        TokenType.ALIAS, TokenType.COMMA, TokenType.SEMICOLON, TokenType.INNER, TokenType.OUTER, TokenType.ASC,
        TokenType.FROM, TokenType.FOR, TokenType.OFFSET,
    }
)  # fmt: skip
"""What the parser writes always or never, or one for the other."""

_SAME_FUNCTIONS: Final[Mapping[Dialect, Mapping[str, tuple[str, ...]]]] = {
    "sqlite": {"ifnull": ("coalesce",), "substr": ("substring",)},
    "postgresql": {
        "substr": ("substring",),
        "ceiling": ("ceil",),
        "pow": ("power",),
        "char_length": ("length",),
        "character_length": ("length",),
        "stddev": ("stddev_samp",),
        "variance": ("var_samp",),
        "strpos": ("position", "IN"),
    },
}
_TYPES_OF_LITERALS: Final = frozenset({TokenType.DATE, TokenType.TIME, TokenType.TIMESTAMP, TokenType.TIMESTAMPTZ})
_UNIT_BEFORE: Final = re.compile(r"(?:\binterval|\bdate_trunc ?\() ?$", re.IGNORECASE)
_START: Final = re.compile(
    r"(?:[ \t\n\f\r(]|(?>--[^\n]*\n)|(?>/\*.*?\*/))*(?:SELECT|WITH)\b", re.IGNORECASE | re.DOTALL
)
"""How a query begins to SQLite; what is in one piece here cannot be read in another way."""


def is_as_written(text: str, query: Query) -> bool:
    """Whether a text is the very one that runs, but for what stands around it."""
    return text.strip().rstrip("; \t\r\n") == query.sql


def is_same_query(text: str, query: Query) -> bool:
    """Whether a text that the gate let through differs from what runs in form only."""
    if not _is_read_alike(text, query.dialect):
        return False
    try:
        return _meaning(text, query.dialect) == _meaning(query.sql, query.dialect)
    except SqlglotError:
        return False


def _is_read_alike(text: str, dialect: Dialect) -> bool:
    """Whether the database ends its comments where the parser does, and begins with a query after them."""
    if dialect == "postgresql":
        return True
    has_comment = "--" in text or "/*" in text
    is_plain = "\r" not in text and re.search(r"/\*(?:(?!\*/).)*/\*", text, re.DOTALL) is None
    return _START.match(text) is not None and (not has_comment or is_plain)


def _meaning(text: str, dialect: Dialect) -> Counter[str]:
    """The tokens, whatever their order: the parser moves only what it takes for the same."""
    tokens = _READS[dialect]().tokenize(text)
    return Counter(word for place in range(len(tokens)) for word in _words(tokens, place, dialect))


def _words(tokens: Sequence[Token], place: int, dialect: Dialect) -> tuple[str, ...]:
    token = tokens[place]
    before = tokens[place - 1] if place else None
    after = tokens[place + 1] if place + 1 < len(tokens) else None
    kind, text = token.token_type, token.text
    if kind in _FORM:
        return ()
    if kind is TokenType.DCOLON:
        return "cast", "L_PAREN", "R_PAREN"
    if kind is TokenType.STRING:
        ahead = " ".join(one.text for one in tokens[max(0, place - 2) : place])
        unit = text.upper() if _UNIT_BEFORE.search(ahead) else text
        # DATE '2020-01-01' is CAST('2020-01-01' AS DATE).
        is_typed = before is not None and before.token_type in _TYPES_OF_LITERALS
        return (f"'{unit}'", *(("cast", "L_PAREN", "R_PAREN") if is_typed else ()))
    if kind is TokenType.NUMBER:
        return (text,)
    if kind is TokenType.IDENTIFIER:
        return (text.lower() if dialect == "sqlite" else f'"{text}"',)
    if kind is TokenType.CURRENT_TIMESTAMP and dialect == "postgresql":
        return "now", "L_PAREN", "R_PAREN"
    if kind is TokenType.VAR or text.isidentifier():
        name = text.lower()
        is_called = after is not None and after.token_type is TokenType.L_PAREN
        if name in ("first", "last") and before is not None and before.text.upper() == "NULLS":
            return ()  # the parser leaves out what is so anyway
        if name == "nulls" and after is not None and after.text.upper() in ("FIRST", "LAST"):
            return ()
        same = _SAME_FUNCTIONS[dialect].get(name) if is_called else None
        return same or ((name,) if kind is TokenType.VAR else (kind.name,))
    return (kind.name,)
