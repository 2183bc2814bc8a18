"""Read the parts of a table that only SQLite's own text has, such as comments and collations. Opens nothing.

CREATE TABLE orders ( -- one order                     a comment of the table
  id INTEGER PRIMARY KEY, -- its number                of the column before it on this line
  -- in euros
  total NUMERIC,                                       of the column after it, if it is on a line of its own
  code TEXT COLLATE NOCASE,                            a collation
  half NUMERIC AS (total / 2),                         the expression of a generated column
  CHECK (total > 0)                                    a condition
) STRICT                                               an option
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
_ENDS_A_NAME: Final = frozenset({"NOT", "NULL", "PRIMARY", "UNIQUE", "CHECK", "DEFAULT", "COLLATE", "GENERATED", "AS"})
"""Words after which the name of a constraint is not that of a foreign key."""

_OPTIONS: Final = {"ROWID": 0, "STRICT": 0, "AUTOINCREMENT": 1}
"""Words that are options, each with the number of brackets that are open there."""


@dataclass
class TableText:
    """The comment of a table, and the comments, collations and expressions of its columns by name.

    `checks` are names and conditions; `references` are the foreign keys in their order, each with its name and the
    options that decide when it is checked; `options` are words of `_OPTIONS`.
    """

    comment: str | None = None
    comments: dict[str, str] = field(default_factory=dict)
    collations: dict[str, str] = field(default_factory=dict)
    generated: dict[str, str] = field(default_factory=dict)
    checks: list[tuple[str | None, str]] = field(default_factory=list)
    references: list[tuple[str | None, dict[str, str]]] = field(default_factory=list)
    options: set[str] = field(default_factory=set)


def read_table_text(created_sql: str) -> TableText:  # noqa: PLR0912, PLR0915 - a small machine, one branch a token
    """Return the parts of a CREATE TABLE statement, as SQLite keeps it."""
    found = TableText()
    own: list[str] = []  # comments of the table
    waiting: list[str] = []  # comments of lines of their own
    column: str | None = None  # the definition that a comment on this line belongs to
    is_new, is_line_empty, depth, before, opened_by = True, False, 0, "", ""
    name: str | None = None  # of the constraint that begins
    key_name: str | None = None  # the same, if the constraint may be a foreign key
    bracket: list[str] | None = None  # the text in the bracket after AS or CHECK, without comments
    for kind, text in _tokens(created_sql):
        if bracket is not None:
            bracket.append(" " if kind == "comment" else text)
        if kind == "space":
            continue
        if kind == "comment":
            if depth == 0 or (depth == 1 and column is None and not is_line_empty and not found.comments):
                own.append(text)
            elif is_line_empty:
                waiting.append(text)
            elif column is not None:
                found.comments[column] = " ".join(filter(None, [found.comments.get(column), text]))
            continue
        if kind == "end":
            is_line_empty = True
            continue
        is_line_empty = False
        if text == "(":
            depth += 1
            if depth == 2 and before in ("AS", "CHECK"):
                opened_by, bracket = before, []
        elif text == ")":
            depth -= 1
            if depth == 1 and bracket is not None:
                _keep(found, opened_by, column, name, "".join(bracket[:-1]).strip())
                bracket = None
        elif text == "," and depth == 1:
            is_new = True
        elif is_new and depth == 1:
            is_new = False
            is_constraint = kind == "word" and text.lower() in _CONSTRAINTS
            column = None if is_constraint else _unquoted(text)
            if column is not None:
                found.comments[column] = " ".join(waiting)
            waiting = []
        elif before == "COLLATE" and depth == 1 and column is not None:
            found.collations[column] = _unquoted(text)
        elif kind == "word" and found.comments and _OPTIONS.get(text.upper()) == depth:
            found.options.add(text.upper())
        if depth == 1:
            key_name = _follow_references(found, kind, text, before, key_name)
        if bracket is None and text.upper() != "CHECK":
            name = _unquoted(text) if before == "CONSTRAINT" else None
        before = text.upper()
    found.comment = " ".join(own) or None
    found.comments = {name: comment for name, comment in found.comments.items() if comment}
    return found


def without_comments(sql: str) -> str:
    """Return an expression on one line, without comments, which would hide the text after them."""
    return "".join(" " if kind in ("comment", "end") else text for kind, text in _tokens(sql)).strip()


def _follow_references(found: TableText, kind: str, text: str, before: str, name: str | None) -> str | None:
    """Record what a token outside of brackets adds to a foreign key; return the constraint's name if it may be one."""
    word = text.upper() if kind == "word" else ""
    if before == "CONSTRAINT":
        return _unquoted(text)
    if word == "REFERENCES":
        found.references.append((name, {}))
        return None
    if found.references:
        options = found.references[-1][1]
        if word == "DEFERRABLE" and before != "NOT":
            options["deferrable"] = "True"
        elif before == "INITIALLY" and options:
            options["initially"] = word
    return None if text == "," or word in _ENDS_A_NAME else name


def _keep(found: TableText, opened_by: str, column: str | None, name: str | None, sql: str) -> None:
    if opened_by == "CHECK":
        found.checks.append((name, sql))
    elif column is not None:
        found.generated[column] = sql


def _tokens(sql: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup
        assert kind is not None
        if kind in ("line", "block"):
            yield "comment", " ".join(match[kind].split())
        else:
            yield kind, match[kind]


def _unquoted(name: str) -> str:
    if name[0] == "[":
        return name[1:-1]
    if name[0] in "\"`'":
        return name[1:-1].replace(name[0] * 2, name[0])
    return name
