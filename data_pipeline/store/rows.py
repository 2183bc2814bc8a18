"""The values that the store returns. All times are aware and in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from data_pipeline.events import Event
from data_pipeline.tasks.statuses import RunStatus, StepStatus


@dataclass(frozen=True)
class Task:
    """A task. `parameters` are never printed, because they may have the secret `db_connection`."""

    task_id: str
    task_name: str | None
    status: RunStatus
    parameters: dict[str, Any] = field(repr=False)
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None
    created_by: str
    created_type: str
    db_name: str | None


@dataclass(frozen=True)
class StepState:
    """A step of an execution, or `pending` without one."""

    execution_id: str | None
    step_name: str
    position: int
    status: StepStatus
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error_message: str | None = None
    result: dict[str, Any] | None = None


@dataclass(frozen=True)
class Execution:
    """A run of a task. `backup` is the report of its backup, `result` its whole result after its end."""

    execution_id: str
    task_id: str
    mode: Literal["complete", "step"]
    status: RunStatus
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None
    backup: dict[str, Any] | None
    result: dict[str, Any] | None
    steps: tuple[StepState, ...]

    @property
    def has_ended(self) -> bool:
        """True if the run has ended."""
        return self.status in ("completed", "failed", "cancelled")


@dataclass(frozen=True)
class Overview:
    """A task with the newest state of each step, and its newest run."""

    task: Task
    steps: tuple[StepState, ...]
    execution: Execution | None


@dataclass(frozen=True)
class RecordedEvent:
    """An event of a run. `sequence` increases, and is never reused."""

    sequence: int
    occurred_at: datetime
    event: Event


SortColumn = Literal["created_at", "started_at", "completed_at", "task_name", "status"]
StepSummary = Literal["pending", "running", "failed", "partial_completed", "all_completed"]


@dataclass(frozen=True)
class TaskQuery:
    """A filter of tasks and their order. None is no filter. A part of a name matches, in upper or lower case."""

    status: RunStatus | None = None
    task_name: str | None = None
    created_by: str | None = None
    db_name: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    started_from: datetime | None = None
    started_to: datetime | None = None
    completed_from: datetime | None = None
    completed_to: datetime | None = None
    sort_by: SortColumn = "created_at"
    is_descending: bool = True


@dataclass(frozen=True)
class ListedTask:
    """A task in a list, with the summary of its steps."""

    task: Task
    steps: StepSummary


def summary_of_steps(states: Sequence[StepStatus], total: int) -> StepSummary:
    """Summarize the newest states of the steps of a task in one word. A complete run has `total` steps."""
    if "failed" in states or "cancelled" in states:
        return "failed"
    if "running" in states:
        return "running"
    completed = states.count("completed")
    if completed:
        return "all_completed" if completed >= total else "partial_completed"
    return "pending"
