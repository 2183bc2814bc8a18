"""An error as a driver reports it: its kind, and a reason without any value of a row. Opens nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

MASK: Final = "***"
"""The text that replaces a value which must not be shown."""

_QUOTES: Final = (('"', '"'), ("'", "'"), ("«", "»"), ("»", "«"), ("„", "[“”]"), ("“", "”"), ("\u2018", "\u2019"))
"""The quotes around values, in the languages of servers' messages."""


@dataclass(frozen=True)
class Fault:
    """An error of a query.

    `kind` is one word for counts: `unknown_table`, `unknown_column`, `ambiguous_column`, `unknown_function`, `syntax`,
    `timeout`, `too_large`, else `failed`. `is_unavailable`: the database is at fault, not the query, so the same query
    may succeed later. `reason` is one human-readable line, without values of rows.
    """

    kind: str
    reason: str
    is_unavailable: bool = False


def reason_of(error: SQLAlchemyError) -> str:
    """Return the first line of the driver's own message, without the statement and its values."""
    original = getattr(error, "orig", None)
    return str(original or type(error).__name__).strip().splitlines()[0]


def masked_reason(message: str, error: SQLAlchemyError) -> str:
    """Return the first line of a message, in which quoted text that is not part of the statement is masked.

    Such text is a value of a row, and could be a person's name.
    """
    statement = getattr(error, "statement", None) or ""
    for opened, closed in _QUOTES:
        quoted = re.search(f"{opened}(.*){closed}", message, re.DOTALL)
        if quoted is not None and quoted[1] not in statement:
            message = f"{message[: quoted.start(1)]}{MASK}{message[quoted.end(1) :]}"
    return first_line(message, error)


def first_line(message: str, error: SQLAlchemyError) -> str:
    """Return the first line of a message, or the error's class if the message is empty."""
    return next(iter(message.strip().splitlines()), type(getattr(error, "orig", None)).__name__)
