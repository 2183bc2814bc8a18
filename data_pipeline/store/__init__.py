"""The task store: tasks, their executions, and the steps of each; history is kept."""

from data_pipeline.store.rows import Execution, RecordedEvent, StepState, Task
from data_pipeline.store.store import Store

__all__ = ["Execution", "RecordedEvent", "StepState", "Store", "Task"]
