"""What the engine has recorded of a run, for tests: no command or request needs it."""

from __future__ import annotations

from data_pipeline.runs.engine import Engine, _workflow_id


def durable_calls(engine: Engine, task_id: str, run_id: str) -> list[str]:
    """Return the names of a run's recorded calls, in the order of their positions."""
    return [step["function_name"] for step in engine._steps(_workflow_id(task_id, run_id))]
