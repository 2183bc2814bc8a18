"""Give a SQLite connection the clock that DBOS expects of SQLite 3.42 or newer.

On Python 3.12 or newer, DBOS writes `unixepoch('subsec')` into column defaults and statements. SQLite
before 3.42 does not know `subsec`, and Debian 12 has 3.40: the result is NULL there, and no row can be inserted.
docs/decisions/0035 has the alternatives.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Final

KNOWN_MODIFIERS: Final = ("subsec", "subsecond")


def add_subsecond_clock(connection: sqlite3.Connection) -> bool:
    """Register `unixepoch(modifier)` on a connection whose own one has no milliseconds; return True if it was needed.

    The Python version does not matter: a database whose tables a newer Python created has the expression in its
    defaults, and another Python may open it later.
    """
    if _has_subsecond_clock(connection):
        return False
    # A column default may call a function that is not marked as harmless only in a trusted schema. Only this program
    # writes the schema, and a SQLite that is compiled with SQLITE_TRUSTED_SCHEMA=0 would refuse the default.
    connection.execute("PRAGMA trusted_schema = ON")
    connection.create_function("unixepoch", 1, _unixepoch)
    return True


def _has_subsecond_clock(connection: sqlite3.Connection) -> bool:
    try:
        (now,) = connection.execute("SELECT unixepoch('subsec')").fetchone()
    except sqlite3.OperationalError:  # SQLite before 3.38 has no such function
        return False
    return now is not None


def _unixepoch(modifier: object) -> float:
    """Return the seconds since 1970 with milliseconds, as SQLite 3.42 does. Other uses are errors."""
    if modifier not in KNOWN_MODIFIERS:
        raise ValueError(f"unixepoch({modifier!r}) is not available here")
    return time.time_ns() // 1_000_000 / 1000
