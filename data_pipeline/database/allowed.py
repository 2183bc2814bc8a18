"""Which business databases requests may name: compared by what a URL leads to, not by its text. Opens nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable

from sqlalchemy.engine import URL

from data_pipeline.database.connection import parse_url
from data_pipeline.errors import InvalidInput

DEFAULT_PORT = 5432
SAFE_OPTIONS = frozenset({"sslmode", "connect_timeout", "application_name"})
"""Options that do not lead elsewhere; `host`, `hostaddr`, `port`, `dbname`, `service` do."""


def check_allowed(url: str, allowed: Iterable[str]) -> None:
    """See that a URL leads to one of the allowed databases. Raises InvalidInput, which names none of them."""
    if _target(parse_url(url)) not in {_target(parse_url(other)) for other in allowed}:
        raise InvalidInput(
            "db_connection",
            "this server may not open that database: name one of DATA_PIPELINE_DATABASES__<NAME>, "
            "or have its URL put into DATA_PIPELINE_ALLOWED_DATABASES",
        )


def _target(url: URL) -> tuple[str, str, int, str]:
    """Driver, host, port, database or resolved path."""
    if url.get_backend_name() == "sqlite":
        if url.query:
            raise InvalidInput("db_connection", "a SQLite URL has no options here")
        return "sqlite", "", 0, os.path.realpath(str(url.database))
    others = sorted(set(url.query) - SAFE_OPTIONS)
    if others:
        raise InvalidInput("db_connection", f"the URL has options that may lead elsewhere: {', '.join(others)[:80]!a}")
    return "postgresql", (url.host or "localhost").lower(), url.port or DEFAULT_PORT, str(url.database)
