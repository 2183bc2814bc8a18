"""Which business databases requests may name: compared by what a URL leads to, not by its text. Opens nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable

from data_pipeline.database.connection import parse_url
from data_pipeline.errors import InvalidInput, NotAllowed

DEFAULT_PORT = 5432
SAFE_OPTIONS = frozenset({"sslmode", "connect_timeout", "application_name"})
"""Options that do not lead elsewhere; `host`, `hostaddr`, `port`, `dbname`, `service` do."""


def check_allowed(url: str, allowed: Iterable[str]) -> None:
    """See that a URL leads to one of the allowed databases. Raises NotAllowed, which names none of them."""
    try:
        is_allowed = _target(url) in {_target(other) for other in allowed}
    except InvalidInput as error:
        raise NotAllowed(str(error)) from None
    if not is_allowed:
        raise NotAllowed(
            "This server may not open that database: name one of DATA_PIPELINE_DATABASES__<NAME>, "
            "or have its URL put into DATA_PIPELINE_ALLOWED_DATABASES."
        )


def _target(url: str) -> tuple[str, str, int, str]:
    """Driver, host, port, database or resolved path."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.query:
            raise InvalidInput("db_connection", "a SQLite URL has no options here")
        return "sqlite", "", 0, os.path.realpath(str(parsed.database))
    others = sorted(set(parsed.query) - SAFE_OPTIONS)
    if others:
        raise InvalidInput("db_connection", f"the URL has options that may lead elsewhere: {', '.join(others)[:80]!a}")
    return "postgresql", (parsed.host or "localhost").lower(), parsed.port or DEFAULT_PORT, str(parsed.database)
