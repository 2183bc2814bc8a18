"""Words for people: text of a database on one line, made harmless, with where it came from. Text in, text out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from data_pipeline.database.schema import Table

Origin = Literal["database", "model", "name"]

_MARKS: Final[dict[str, dict[Origin, str]]] = {
    "en": {"database": "", "model": " (by a model)", "name": " (by its name)"},
    "zh": {"database": "", "model": "（据模型）", "name": "（据名称）"},
}


@dataclass(frozen=True)
class Comment:
    """What something means, and who says so: the database, a language model, or the words of its name."""

    text: str
    origin: Origin

    def marked(self, language: str) -> str:
        """The text with its origin; the database's own goes without saying."""
        return self.text + _MARKS[language][self.origin]


@dataclass(frozen=True)
class Suggestion:
    """What a language model says of a table and of its columns by name; nothing where it was not asked."""

    table: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


def table_comment(table: Table, suggestion: Suggestion) -> Comment:
    """The best that is known of a table."""
    return _best(table.comment, suggestion.table, table.name.name)


def column_comments(table: Table, suggestion: Suggestion) -> dict[str, Comment]:
    """The best that is known of every column."""
    return {
        column.name: _best(column.comment, suggestion.columns.get(column.name), column.name) for column in table.columns
    }


def words_of(identifier: str) -> str:
    """The words of an identifier: `orderItems`, `order_items`, `ORDER ITEMS` -> `order items`."""
    split = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3 \2", identifier)
    return " ".join(re.split(r"[\W_]+", split)).strip().lower() or identifier


def one_line(text: str) -> str:
    """Text without anything that ends a line anywhere."""
    return " ".join(re.split(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+", text)).strip()


def listed_value(text: str) -> str:
    """A value as it stands among others: in quotes where it holds what separates them."""
    if not any(sign in text for sign in ',、"'):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def escaped(text: str) -> str:
    """Text on one line of Markdown, its own marks made harmless."""
    return re.sub(r"([\\`*<>\[\]|#])", r"\\\1", one_line(text))


def _best(own: str | None, suggested: str | None, name: str) -> Comment:
    if own:
        return Comment(own, "database")
    if suggested:
        return Comment(suggested, "model")
    return Comment(words_of(name), "name")
