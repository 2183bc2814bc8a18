"""The tables of the task store. `migrations/` creates exactly these."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

from data_pipeline.tasks.statuses import RUN_STATUSES, STEP_STATUSES

METADATA = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
        "ix": "%(table_name)s_%(column_0_N_name)s_ix",
        "uq": "%(table_name)s_%(column_0_name)s_uq",
        "ck": "%(table_name)s_%(constraint_name)s_ck",
    }
)

NEWEST_VERSION = "0004"
"""The version after the newest migration. It is here so that comparing versions does not need Alembic."""

VERSIONS = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""Alembic's table, which it creates itself."""


class UtcTime(TypeDecorator[datetime]):
    """Aware times in Python, naive UTC in the database, because SQLite has no time zones."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC)


def _check_in(column: str, values: Iterable[str]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


TASKS = Table(
    "data_pipeline_tasks",
    METADATA,
    Column("task_id", String(64), primary_key=True),
    Column("task_name", String(255)),
    Column("status", String(20), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("completed_at", UtcTime),
    Column("error_message", Text),
    Column("created_by", String(50), nullable=False),
    Column("created_type", String(20), nullable=False),
    Column("db_name", String(255)),
    _check_in("status", RUN_STATUSES),
    Index(None, "created_at"),
    Index(None, "status", "created_at"),
)

EXECUTIONS = Table(
    "data_pipeline_executions",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=True),  # the order of runs: clocks may jump
    Column("execution_id", String(100), nullable=False, unique=True),
    Column("task_id", String(64), ForeignKey(TASKS.c.task_id, ondelete="CASCADE"), nullable=False),
    Column("mode", String(10), nullable=False),
    Column("status", String(20), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("completed_at", UtcTime),
    Column("error_message", Text),
    Column("backup", JSON(none_as_null=True)),
    Column("result", JSON(none_as_null=True)),
    _check_in("mode", ("complete", "step")),
    _check_in("status", RUN_STATUSES),
    Index(None, "task_id", "sequence"),
    sqlite_autoincrement=True,
)

STEPS = Table(
    "data_pipeline_execution_steps",
    METADATA,
    Column(
        "execution_id",
        String(100),
        ForeignKey(EXECUTIONS.c.execution_id, ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("step_name", String(50), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("status", String(20), nullable=False),
    Column("started_at", UtcTime),
    Column("completed_at", UtcTime),
    Column("error_message", Text),
    Column("result", JSON(none_as_null=True)),
    _check_in("status", STEP_STATUSES),
)

MODEL_ANSWERS = Table(
    "data_pipeline_model_answers",
    METADATA,
    Column("key", String(64), primary_key=True),  # SHA-256 of everything that the answer depends on
    Column("answer", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

RUN_OPTIONS = Table(
    "data_pipeline_run_options",
    METADATA,
    Column("execution_id", String(100), primary_key=True),  # stored before the run: no foreign key
    Column("options", JSON, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

EVENTS = Table(
    "data_pipeline_events",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=True),  # never reused: streams continue after it
    Column("execution_id", String(100), ForeignKey(EXECUTIONS.c.execution_id, ondelete="CASCADE"), nullable=False),
    Column("occurred_at", UtcTime, nullable=False),
    Column("phase", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("name", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Index(None, "execution_id", "sequence"),
    sqlite_autoincrement=True,
)
