"""Open the task store, and migrate it to the newest version.

Alembic is imported only to migrate, because most commands find a store that has the newest version.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection, func, inspect, select

from data_pipeline.errors import StoreUnavailable
from data_pipeline.store.own_database import DatabaseRole, OwnDatabase
from data_pipeline.store.tables import EXECUTIONS, NEWEST_VERSION, TASKS, VERSIONS

TASK_STORE = DatabaseRole("task store", "DATA_PIPELINE_DATABASE_URL")

MIGRATION_LOCK = int.from_bytes(hashlib.sha256(b"data_pipeline.store migrations").digest()[:7])
"""The key of PostgreSQL's advisory lock. One process migrates while it holds the lock, and the others wait."""


@dataclass(frozen=True)
class StoreState:
    """The version of the tables of a store, and the newest one. The counts are 0 if the versions differ."""

    revision: str | None
    newest: str
    task_count: int = 0
    unfinished_count: int = 0


def look_at_store(url: str) -> StoreState | None:
    """Return the state of a store, None if it does not exist. Changes nothing. Raises StoreUnavailable."""
    existing = OwnDatabase.open_existing(url, TASK_STORE)
    if existing is None:
        return None
    with existing.closing() as database, database.reading() as connection:
        revision = _version_of(connection)
        if revision is None and not inspect(connection).has_table(TASKS.name):
            return None
        if revision != NEWEST_VERSION:
            return StoreState(revision, NEWEST_VERSION)
        tasks = connection.execute(select(func.count()).select_from(TASKS)).scalar_one()
        unfinished = select(func.count()).where(EXECUTIONS.c.status.in_(("queued", "in_progress")))
        return StoreState(revision, NEWEST_VERSION, tasks, connection.execute(unfinished).scalar_one())


def open_store_database(url: str) -> OwnDatabase:
    """Open the database of a store and migrate it. Several processes may create it at once. Raises StoreUnavailable."""
    database = OwnDatabase.open(url, TASK_STORE)
    with database.closing_on_error():
        with database.reading() as connection:
            is_newest = _version_of(connection) == NEWEST_VERSION
        if not is_newest:
            _migrate(database)
    return database


def _version_of(connection: Connection) -> str | None:
    """Return the version of the tables, None in a database without any."""
    if not inspect(connection).has_table(VERSIONS.name):
        return None
    return connection.execute(select(VERSIONS.c.version_num)).scalar()


def _migrate(database: OwnDatabase) -> None:
    """Create or migrate the tables. Alembic compares the version again, because another process may have migrated."""
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", "data_pipeline.store:migrations")
    try:
        with database.writing(lock_key=MIGRATION_LOCK) as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise StoreUnavailable(
            f"The task store {database.label} was created by a newer version of this program ({error}). Use that one."
        ) from error
