"""The registry of drivers: each is the folder of its dialect, with `grammar.py` (GRAMMAR) and `driver.py` (DRIVER).

A folder is imported when its dialect is asked for, so the client of a system that is not used may be missing.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final, cast, get_args

from sqlalchemy.engine import URL

from data_pipeline.database.driver import Dialect, Driver, Grammar

DIALECTS: Final[tuple[Dialect, ...]] = get_args(Dialect)


@cache
def grammar_of(dialect: Dialect) -> Grammar:
    """Return the SQL of a dialect, without its driver."""
    return cast(Grammar, import_module(f"{__package__}.{dialect}.grammar").GRAMMAR)


@cache
def driver_of(dialect: Dialect) -> Driver:
    """Return the driver of a dialect."""
    return cast(Driver, import_module(f"{__package__}.{dialect}.driver").DRIVER)


def dialect_of(url: URL) -> Dialect:
    """Return the dialect of a URL that `parse_url` has accepted."""
    return DIALECTS[DIALECTS.index(cast(Dialect, url.get_backend_name()))]
