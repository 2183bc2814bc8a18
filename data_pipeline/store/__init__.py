"""The task store: tasks, their executions, and the steps of each; history is kept."""

from data_pipeline.store.rows import (
    Execution,
    ListedTask,
    RecordedEvent,
    RunStatus,
    SortColumn,
    StepState,
    Task,
    TaskQuery,
)
from data_pipeline.store.store import Store

__all__ = [
    "Execution",
    "ListedTask",
    "RecordedEvent",
    "RunStatus",
    "SortColumn",
    "StepState",
    "Store",
    "Task",
    "TaskQuery",
]
