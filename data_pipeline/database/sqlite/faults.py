"""Errors of SQLite, which have texts and hardly any codes."""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from data_pipeline.database.faults import Fault, masked_reason

_KINDS: Final = (
    ("no such table", "unknown_table"),
    ("no such column", "unknown_column"),
    ("ambiguous column name", "ambiguous_column"),
    ("no such function", "unknown_function"),
    ("near ", "syntax"),
    ("interrupted", "timeout"),
    ("string or blob too big", "too_large"),
)
_UNAVAILABLE: Final = ("database is locked", "disk I/O error", "database disk image", "unable to open")


class SqliteFaults:
    """Classify an error by the beginning of its message."""

    def fault(self, error: SQLAlchemyError) -> Fault:
        original = getattr(error, "orig", None)
        message = str(original or type(error).__name__)
        kind = next((kind for start, kind in _KINDS if message.startswith(start)), "failed")
        is_unavailable = isinstance(error, DBAPIError) and message.startswith(_UNAVAILABLE)
        return Fault(kind, masked_reason(message, error), is_unavailable)
