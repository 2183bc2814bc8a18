"""Open the database of the task store, SQLite or PostgreSQL, and bring it to the newest version."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from dataclasses import dataclass
from urllib.parse import quote

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Engine, create_engine, func, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from data_pipeline.config.database_urls import masked
from data_pipeline.errors import StoreUnavailable
from data_pipeline.store.own_database import make_engine
from data_pipeline.store.tables import EXECUTIONS, TASKS

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
    newest = ScriptDirectory.from_config(_alembic()).get_current_head()
    assert newest is not None
    try:
        with engine.connect() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
            if revision is None and not inspect(connection).has_table(TASKS.name):
                return None
            if revision != newest:
                return StoreState(revision, newest)
            tasks = connection.execute(select(func.count()).select_from(TASKS)).scalar_one()
            unfinished = select(func.count()).where(EXECUTIONS.c.status.in_(("queued", "in_progress")))
            return StoreState(revision, newest, tasks, connection.execute(unfinished).scalar_one())
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
        _migrate(engine)
    except CommandError as error:
        engine.dispose()
        raise StoreUnavailable(
            f"The task store {masked(url)} was made by a newer version of this program ({error}). Use that one."
        ) from error
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
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreUnavailable("DATA_PIPELINE_DATABASE_URL is not a URL (sqlite:///… or postgresql://…).") from None
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    raise StoreUnavailable(f"The task store is a SQLite file or PostgreSQL, not {masked(url)}.")


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", "data_pipeline.store:migrations")
    return config


def _migrate(engine: Engine) -> None:
    config = _alembic()
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
