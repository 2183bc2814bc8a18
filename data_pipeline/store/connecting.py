"""Open the database of the task store, SQLite or PostgreSQL, and bring it to the newest version.

Alembic is imported only to migrate, because most commands find a store that has the newest version.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from dataclasses import dataclass
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, func, inspect, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from data_pipeline.config.database_urls import masked, split
from data_pipeline.errors import StoreUnavailable
from data_pipeline.store.own_database import make_engine
from data_pipeline.store.tables import EXECUTIONS, NEWEST_VERSION, TASKS, VERSIONS

MIGRATION_LOCK = int.from_bytes(hashlib.sha256(b"data_pipeline.store migrations").digest()[:7])
"""The key of PostgreSQL's advisory lock under which one process migrates and the others wait."""


@dataclass(frozen=True)
class StoreState:
    """A store as it lies there: the version of its tables and the newest one; counts only where these are the same."""

    revision: str | None
    newest: str
    task_count: int = 0
    unfinished_count: int = 0


def look_at_store(url: str) -> StoreState | None:
    """How a store is, None where there is none yet; makes and migrates nothing. Raises StoreUnavailable."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        path = os.path.abspath(str(parsed.database))
        if not os.path.exists(path):
            return None
        uri = f"file:{quote(path)}?mode=ro"
        engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(uri, uri=True), poolclass=NullPool)
    else:
        engine = make_engine(parsed)
    try:
        with engine.connect() as connection:
            revision = _version_of(connection)
            if revision is None and not inspect(connection).has_table(TASKS.name):
                return None
            if revision != NEWEST_VERSION:
                return StoreState(revision, NEWEST_VERSION)
            tasks = connection.execute(select(func.count()).select_from(TASKS)).scalar_one()
            unfinished = select(func.count()).where(EXECUTIONS.c.status.in_(("queued", "in_progress")))
            return StoreState(revision, NEWEST_VERSION, tasks, connection.execute(unfinished).scalar_one())
    except SQLAlchemyError as error:
        raise _unavailable(url, error) from None  # the driver's error may hold the password
    finally:
        engine.dispose()


def open_engine(url: str) -> Engine:
    """An engine for the store, migrated; several processes may open a new store at once. Raises StoreUnavailable."""
    try:
        engine = make_engine(_parsed(url))
    except OSError as error:
        raise StoreUnavailable(f"The task store {masked(url)} cannot be made: {error}.") from error
    try:
        with engine.connect().execution_options(reads_only=True) as connection:
            is_newest = _version_of(connection) == NEWEST_VERSION
        if not is_newest:
            _migrate(engine, masked(url))
    except StoreUnavailable:
        engine.dispose()
        raise
    except SQLAlchemyError as error:
        engine.dispose()
        raise _unavailable(url, error) from None  # the driver's error may hold the password
    return engine


def _unavailable(url: str, error: SQLAlchemyError) -> StoreUnavailable:
    reason = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()[0]
    return StoreUnavailable(
        f"The task store {masked(url)} cannot be opened: {reason}. Mend DATA_PIPELINE_DATABASE_URL or the database."
    )


def _parsed(url: str) -> URL:
    parsed = split(url)
    if parsed is None:
        raise StoreUnavailable("DATA_PIPELINE_DATABASE_URL is not a URL (sqlite:///… or postgresql://…).")
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    raise StoreUnavailable(f"The task store is a SQLite file or PostgreSQL, not {masked(url)}.")


def _version_of(connection: Connection) -> str | None:
    """Return the version of the tables, None in a database without any."""
    if not inspect(connection).has_table(VERSIONS.name):
        return None
    return connection.execute(select(VERSIONS.c.version_num)).scalar()


def _migrate(engine: Engine, shown_url: str) -> None:
    """Make or migrate the tables. Another process may have done it, so Alembic looks again, under the lock."""
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", "data_pipeline.store:migrations")
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise StoreUnavailable(
            f"The task store {shown_url} was made by a newer version of this program ({error}). Use that one."
        ) from error
