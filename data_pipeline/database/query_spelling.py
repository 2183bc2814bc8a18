"""Compare a text, in the spelling of its author, with the query that the gate wrote from its tree. Opens nothing.

The gate's text is the one that runs. A text that is kept in a file must mean the same to the database, so its tokens
must be those of the gate's text. Only the form may differ: case, AS, INNER, brackets of names, `::`, and names of
functions that are the same function in this database. Only the database can decide if it accepts the text at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from sqlglot import Token, TokenType
from sqlglot.errors import SqlglotError

from data_pipeline.database.driver import Grammar
from data_pipeline.database.drivers import grammar_of
from data_pipeline.database.query_gate import Query

_FORM: Final = frozenset(
    {
        TokenType.ALIAS, TokenType.COMMA, TokenType.SEMICOLON, TokenType.INNER, TokenType.OUTER, TokenType.ASC,
        TokenType.FROM, TokenType.FOR, TokenType.OFFSET,
    }
)  # fmt: skip
"""Tokens that the parser always or never writes, or exchanges for each other."""

_TYPES_OF_LITERALS: Final = frozenset({TokenType.DATE, TokenType.TIME, TokenType.TIMESTAMP, TokenType.TIMESTAMPTZ})
_UNIT_BEFORE: Final = re.compile(r"(?:\binterval|\bdate_trunc ?\() ?$", re.IGNORECASE)


def is_as_written(text: str, query: Query) -> bool:
    """True if a text is exactly the query that runs, apart from spaces and semicolons around it."""
    return text.strip().rstrip("; \t\r\n") == query.sql


def is_same_query(text: str, query: Query) -> bool:
    """True if a text that the gate accepted differs from the query that runs in form only."""
    grammar = grammar_of(query.dialect)
    if not grammar.spelling.is_read_alike(text):
        return False
    try:
        return _meaning(text, grammar) == _meaning(query.sql, grammar)
    except SqlglotError:
        return False


def _meaning(text: str, grammar: Grammar) -> Counter[str]:
    """Return the tokens without their order, because the parser moves only tokens whose order has no meaning."""
    tokens = grammar.sqlglot().tokenize(text)
    return Counter(word for place in range(len(tokens)) for word in _words(tokens, place, grammar))


def _words(tokens: Sequence[Token], place: int, grammar: Grammar) -> tuple[str, ...]:
    token = tokens[place]
    before = tokens[place - 1] if place else None
    after = tokens[place + 1] if place + 1 < len(tokens) else None
    kind, text = token.token_type, token.text
    if kind in _FORM:
        return ()
    if kind is TokenType.DCOLON:
        return "cast", "L_PAREN", "R_PAREN"
    if kind is TokenType.STRING:
        ahead = " ".join(token.text for token in tokens[max(0, place - 2) : place])
        unit = text.upper() if _UNIT_BEFORE.search(ahead) else text
        # DATE '2020-01-01' is CAST('2020-01-01' AS DATE).
        is_typed = before is not None and before.token_type in _TYPES_OF_LITERALS
        return (f"'{unit}'", *(("cast", "L_PAREN", "R_PAREN") if is_typed else ()))
    if kind is TokenType.NUMBER:
        return (text,)
    if kind is TokenType.IDENTIFIER:
        return (text.lower() if grammar.ignores_case else f'"{text}"',)
    if kind in grammar.spelling.same_tokens:
        return grammar.spelling.same_tokens[kind]
    if kind is TokenType.VAR or text.isidentifier():
        name = text.lower()
        is_called = after is not None and after.token_type is TokenType.L_PAREN
        if name in ("first", "last") and before is not None and before.text.upper() == "NULLS":
            return ()  # the parser leaves the default out
        if name == "nulls" and after is not None and after.text.upper() in ("FIRST", "LAST"):
            return ()
        same = grammar.spelling.same_functions.get(name) if is_called else None
        return same or ((name,) if kind is TokenType.VAR else (kind.name,))
    return (kind.name,)
