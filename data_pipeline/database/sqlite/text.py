"""What only SQLite's own text of a table says: comments, collations, expressions, options. Opens nothing.

CREATE TABLE orders ( -- one order                     a comment of the table
  id INTEGER PRIMARY KEY, -- its number                of the column before it on this line
  -- in euros
  total NUMERIC,                                       of the column after it, where it stands on a line of its own
  code TEXT COLLATE NOCASE,                            a collation
  half NUMERIC AS (total / 2),                         what a column follows from
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
"""What a constraint's name belongs to, if that is no foreign key."""

_OPTIONS: Final = {"ROWID": 0, "STRICT": 0, "AUTOINCREMENT": 1}
"""Words and how many brackets are open where they are options."""


@dataclass
class TableText:
    """One table's comment, its columns' comments, collations and expressions by name.

    `checks` are conditions, each with its name where it has one; `references` are foreign keys in their order, each
    with its name and with what says when it is checked; `options` are words of `_OPTIONS`.
    """

    comment: str | None = None
    comments: dict[str, str] = field(default_factory=dict)
    collations: dict[str, str] = field(default_factory=dict)
    generated: dict[str, str] = field(default_factory=dict)
    checks: list[tuple[str | None, str]] = field(default_factory=list)
    references: list[tuple[str | None, dict[str, str]]] = field(default_factory=list)
    options: set[str] = field(default_factory=set)


def read_table_text(created_sql: str) -> TableText:  # noqa: PLR0912, PLR0915 - a small machine, one branch a token
    """What a CREATE TABLE statement says, as SQLite keeps it."""
    found = TableText()
    own: list[str] = []
    waiting: list[str] = []  # comments of lines of their own
    column: str | None = None  # the definition that a comment on this line belongs to
    is_new, is_line_empty, depth, before, opened_by = True, False, 0, "", ""
    name: str | None = None  # of the constraint that begins
    key_name: str | None = None  # the same, if that may be a foreign key
    bracket: list[str] | None = None  # what stands in the one after AS or CHECK, without its comments
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
    """An expression on one line of its own, where a comment would swallow what comes after it."""
    return "".join(" " if kind in ("comment", "end") else text for kind, text in _tokens(sql)).strip()


def _follow_references(found: TableText, kind: str, text: str, before: str, name: str | None) -> str | None:
    """Keep what a token outside of brackets says of a foreign key; the name of the constraint that it may belong to."""
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
