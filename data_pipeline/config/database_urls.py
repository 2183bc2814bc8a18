"""Parse, compare and mask database URLs. Opens nothing.

SQLAlchemy parses them. It is imported with the first URL, because every command loads settings, and few have a URL.
"""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, Final

from data_pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

DEFAULT_PORT: Final = 5432
SAFE_OPTIONS: Final = frozenset({"sslmode", "connect_timeout", "application_name"})
"""Options that do not change the target. `host`, `hostaddr`, `port`, `dbname` and `service` do."""


def parse_url(url: str) -> URL:
    """Parse a URL of SQLite or PostgreSQL, and set the driver. Raises InvalidInput; the message has no secret."""
    parsed = split(url)
    if parsed is None:
        raise InvalidInput("db_connection", "must be a URL such as sqlite:///file.sqlite or postgresql://...")
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        if not parsed.database:
            raise InvalidInput("db_connection", "the URL has no name of a database")
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        path = parsed.database
        if path in (None, "", ":memory:") or str(path).startswith("file:") or "\0" in str(path) or parsed.host:
            raise InvalidInput("db_connection", "the URL must have the path of a SQLite file (sqlite:///path)")
        return parsed
    raise InvalidInput("db_connection", f"{parsed.drivername[:40]!a} is not supported: use sqlite or postgresql")


def split(url: str) -> URL | None:
    """Return the parts of a URL of any database, None for a text that is not a URL."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        return None


def url_of_file(path: str) -> str:
    """Return the URL of a SQLite file; characters of its path that mean something in a URL are quoted."""
    from sqlalchemy.engine import URL

    return URL.create("sqlite", database=path).render_as_string()


def target_of(url: str) -> tuple[str, str, int, str]:
    """Return the target of a URL: driver, host, port, database or resolved path. Raises InvalidInput if unsure."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.query:
            raise InvalidInput("db_connection", "a SQLite URL must not have options")
        return "sqlite", "", 0, os.path.realpath(str(parsed.database))
    unsafe = sorted(set(parsed.query) - SAFE_OPTIONS)
    if unsafe:
        options = ", ".join(unsafe)
        raise InvalidInput("db_connection", f"the URL has options that may change its target: {options[:80]!a}")
    return "postgresql", (parsed.host or "localhost").lower(), parsed.port or DEFAULT_PORT, str(parsed.database)


def anchored(url: str) -> str:
    """Return the URL with an absolute path of a SQLite file, which is the same in every working directory."""
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        return url
    return parsed.set(database=os.path.abspath(str(parsed.database))).render_as_string(hide_password=False)


def source_of(url: str) -> str:
    """Return the target of a URL without user, password and options; a file by its name alone. Raises InvalidInput."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return f"sqlite:{os.path.basename(str(parsed.database))}"
    return f"postgresql:{parsed.host or 'localhost'}:{parsed.port or DEFAULT_PORT}/{parsed.database}"


def masked(url: str) -> str:
    """Return a URL without its password, and without its query, which may contain one, too."""
    parsed = split(url)
    if parsed is None:
        return "***"  # the text may be a secret
    return parsed.set(query={}).render_as_string(hide_password=True)


def label_of(url: str) -> str:
    """Return a URL for messages, as `masked`, but a file by its name alone: clients must not see paths of the server.

    The name of a configured database is returned unchanged.
    """
    if "://" not in url:
        return url
    shown = masked(url)
    return f"sqlite:{shown.rpartition('/')[2]}" if shown.startswith("sqlite") else shown
