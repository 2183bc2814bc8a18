"""Read the URLs of databases: check them, compare their targets, and show them without secrets. Opens nothing.

SQLAlchemy parses them. It is imported for the first URL, because every command reads settings and few have a URL.
A system that business databases may have is a row of `_SYSTEMS` here and a folder of `data_pipeline.database`.
"""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from data_pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


@dataclass(frozen=True)
class _System:
    """How the URLs of one database system are read.

    `names` are those that may be before `://`; `driver` replaces them, if it is not None. A system without a default
    `port` keeps each database in a file. `safe_options` lead to no other database; for PostgreSQL `host`, `hostaddr`,
    `port`, `dbname` and `service` do.
    """

    title: str
    names: tuple[str, ...]
    driver: str | None = None
    port: int | None = None
    safe_options: frozenset[str] = frozenset()

    @property
    def is_file(self) -> bool:
        """True if each database is a file."""
        return self.port is None


_SYSTEMS: Final = {
    "sqlite": _System("SQLite", ("sqlite", "sqlite+pysqlite")),
    "postgresql": _System(
        "PostgreSQL",
        ("postgres", "postgresql", "postgresql+psycopg"),
        driver="postgresql+psycopg",
        port=5432,
        safe_options=frozenset({"sslmode", "connect_timeout", "application_name"}),
    ),
}
"""By SQLAlchemy's name of the backend."""


def parse_url(url: str) -> URL:
    """Return the parts of a supported URL, with the driver that is used here.

    Raises InvalidInput, whose message does not contain the URL.
    """
    parsed = split(url)
    if parsed is None:
        raise InvalidInput("db_connection", "must be a URL such as sqlite:///file.sqlite or postgresql://...")
    backend, system = next(
        ((backend, system) for backend, system in _SYSTEMS.items() if parsed.drivername in system.names), ("", None)
    )
    if system is None:
        supported = " or ".join(_SYSTEMS)
        raise InvalidInput("db_connection", f"{parsed.drivername[:40]!a} is not supported: use {supported}")
    path = str(parsed.database or "")
    if system.is_file and (path in ("", ":memory:") or path.startswith("file:") or "\0" in path or parsed.host):
        raise InvalidInput("db_connection", f"the URL must have the path of a {system.title} file ({backend}:///path)")
    if not path:
        raise InvalidInput("db_connection", "the URL has no name of a database")
    return parsed if system.driver is None else parsed.set(drivername=system.driver)


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
    """Return the target of a URL: backend, host, port, and database or resolved path.

    Raises InvalidInput if the URL has options that may lead to another target.
    """
    parsed, backend, system = _parsed(url)
    if system.is_file and parsed.query:
        raise InvalidInput("db_connection", f"a {system.title} URL must not have options")
    unsafe = sorted(set(parsed.query) - system.safe_options)
    if unsafe:
        raise InvalidInput(
            "db_connection", f"the URL has options that may change its target: {', '.join(unsafe)[:80]!a}"
        )
    if system.port is None:
        return backend, "", 0, os.path.realpath(str(parsed.database))
    return backend, (parsed.host or "localhost").lower(), parsed.port or system.port, str(parsed.database)


def anchored(url: str) -> str:
    """Return a URL with the path of a file made absolute, so that it has the same target in every directory."""
    parsed, _, system = _parsed(url)
    if not system.is_file:
        return url
    return parsed.set(database=os.path.abspath(str(parsed.database))).render_as_string(hide_password=False)


def source_of(url: str) -> str:
    """Return the target of a URL without user, password and options; of a file, its name. Raises InvalidInput."""
    parsed, backend, system = _parsed(url)
    if system.is_file:
        return f"{backend}:{os.path.basename(str(parsed.database))}"
    return f"{backend}:{parsed.host or 'localhost'}:{parsed.port or system.port}/{parsed.database}"


def _parsed(url: str) -> tuple[URL, str, _System]:
    parsed = parse_url(url)
    backend = parsed.get_backend_name()
    return parsed, backend, _SYSTEMS[backend]


def masked(url: str) -> str:
    """Return a URL without its password, and without its query, which may contain one, too."""
    parsed = split(url)
    if parsed is None:
        return "***"  # whatever it is, it may be a secret
    return parsed.set(query={}).render_as_string(hide_password=True)


def label_of(url: str) -> str:
    """Return a URL as `masked` does, for messages: of a file, only its name, because its directory may be private.

    The name of a configured database is returned as it is.
    """
    if "://" not in url:
        return url
    shown = masked(url)
    backend = shown.partition(":")[0].partition("+")[0]
    system = _SYSTEMS.get(backend)
    return f"{backend}:{shown.rpartition('/')[2]}" if system is not None and system.is_file else shown
