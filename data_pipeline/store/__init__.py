"""The task store: tasks, with the history of their executions and steps."""

from data_pipeline.store.connecting import StoreState, look_at_store
from data_pipeline.store.rows import (
    Execution,
    ListedTask,
    Overview,
    RecordedEvent,
    SortColumn,
    StepState,
    Task,
    TaskQuery,
)
from data_pipeline.store.store import Store
from data_pipeline.tasks.statuses import RunStatus

__all__ = [
    "Execution",
    "ListedTask",
    "Overview",
    "RecordedEvent",
    "RunStatus",
    "SortColumn",
    "StepState",
    "Store",
    "StoreState",
    "Task",
    "TaskQuery",
    "look_at_store",
]
