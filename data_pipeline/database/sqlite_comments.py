"""Comments in SQLite's own text of a table: what people write beside columns, as the database has no place for it.

CREATE TABLE orders ( -- one order                     of the table
  id INTEGER PRIMARY KEY, -- its number                of the column before it on this line
  -- in euros
  total NUMERIC                                        of the column after it, where it stands on a line of its own
)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_TOKEN: Final = re.compile(
    r"""--(?P<line>[^\n]*)|/\*(?P<block>.*?)(?:\*/|\Z)"""
    r"""|(?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|'(?:[^']|'')*')"""
    r"""|(?P<word>\w+)|(?P<end>\n)|(?P<space>[^\S\n]+)|(?P<sign>.)""",
    re.DOTALL,
)
_CONSTRAINTS: Final = frozenset({"constraint", "primary", "foreign", "unique", "check"})


@dataclass
class TableComments:
    """The comments of one table: its own, and those of its columns by name."""

    table: str | None = None
    columns: dict[str, str] = field(default_factory=dict)


def comments_in(created_sql: str) -> TableComments:
    """The comments in a CREATE TABLE statement as SQLite keeps it."""
    found = TableComments()
    own: list[str] = []
    waiting: list[str] = []  # comments of lines of their own
    column: str | None = None  # the definition that a comment on this line belongs to
    is_new, is_line_empty, depth = True, False, 0
    for kind, text in _tokens(created_sql):
        if kind == "comment":
            if depth == 0 or (depth == 1 and column is None and not is_line_empty and not found.columns):
                own.append(text)
            elif is_line_empty:
                waiting.append(text)
            elif column is not None:
                found.columns[column] = " ".join(filter(None, [found.columns.get(column), text]))
            continue
        if kind == "end":
            is_line_empty = True
            continue
        is_line_empty = False
        if text == "(":
            depth += 1
        elif text == ")":
            depth -= 1
        elif text == "," and depth == 1:
            is_new = True
        elif is_new and depth == 1:
            is_new = False
            is_constraint = kind == "word" and text.lower() in _CONSTRAINTS
            column = None if is_constraint else _unquoted(text)
            if column is not None:
                found.columns[column] = " ".join(waiting)
            waiting = []
    found.table = " ".join(own) or None
    found.columns = {name: comment for name, comment in found.columns.items() if comment}
    return found


def _tokens(sql: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup
        assert kind is not None
        if kind in ("line", "block"):
            yield "comment", " ".join(match[kind].split())
        elif kind != "space":
            yield kind, match[kind]


def _unquoted(name: str) -> str:
    if name[0] == "[":
        return name[1:-1]
    if name[0] in "\"`'":
        return name[1:-1].replace(name[0] * 2, name[0])
    return name
