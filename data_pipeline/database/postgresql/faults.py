"""Errors of PostgreSQL, by class and SQLSTATE."""

from __future__ import annotations

from typing import Final

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from data_pipeline.database.faults import Fault, first_line, masked_reason

_KINDS: Final = (
    (psycopg.errors.UndefinedTable, "unknown_table"),
    (psycopg.errors.UndefinedColumn, "unknown_column"),
    (psycopg.errors.AmbiguousColumn, "ambiguous_column"),
    (psycopg.errors.UndefinedFunction, "unknown_function"),
    (psycopg.errors.SyntaxError, "syntax"),
    (psycopg.errors.QueryCanceled, "timeout"),
    (psycopg.errors.ProgramLimitExceeded, "too_large"),
)
_UNAVAILABLE: Final = frozenset({"08", "53", "57", "58", "XX"})
"""The classes of SQLSTATE: connection, resources, operator intervention, system, internal."""

_FUNCTION: Final = "P0"
"""The class of errors that functions of the database raise."""

_TOO_LONG_A_VALUE: Final = "invalid memory alloc request size"
"""The message about a value longer than 1 GB, which has the SQLSTATE of an internal error."""


class PostgresFaults:
    """Classify an error by its class; its message may be in any language."""

    def fault(self, error: SQLAlchemyError) -> Fault:
        original = getattr(error, "orig", None)
        if not isinstance(original, psycopg.Error):
            return Fault("failed", masked_reason(str(original or type(error).__name__), error))
        state = original.sqlstate or "08"  # without one the connection is gone
        if state[:2] == _FUNCTION:
            return Fault("failed", "a function of the database refused it")  # its message may hold any value
        message = original.diag.message_primary or type(original).__name__
        # A ProgrammingError quotes the query alone.
        about_query = isinstance(original, psycopg.ProgrammingError)
        reason = first_line(message, error) if about_query else masked_reason(message, error)
        if message.startswith(_TOO_LONG_A_VALUE):
            return Fault("too_large", reason)
        kind = next((kind for class_, kind in _KINDS if isinstance(original, class_)), "failed")
        is_unavailable = state[:2] in _UNAVAILABLE and not isinstance(original, psycopg.errors.QueryCanceled)
        return Fault(kind, reason, is_unavailable)
