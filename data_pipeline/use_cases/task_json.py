"""Tasks, runs, files and log entries as JSON, for answers of the API and for `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data_pipeline.config.database_urls import label_of
from data_pipeline.tasks.results import StepOutcome

if TYPE_CHECKING:  # a list of tasks does not need the journal, and a list of files not the store
    from data_pipeline.store import Execution, ListedTask, Overview, StepState
    from data_pipeline.tasks.files import TaskFile
    from data_pipeline.tasks.log_reading import LogEntry


def listed_task(listed: ListedTask, *, has_directory: bool) -> dict[str, Any]:
    """Return the JSON of a task in a list."""
    task = listed.task
    return {
        "task_id": task.task_id,
        "task_name": task.task_name,
        "status": task.status,
        "step_status": listed.steps,
        "created_at": task.created_at,
        "started_at": task.started_at,
        "completed_at": task.completed_at,
        "created_by": task.created_by,
        "db_name": task.db_name,
        "business_context": task.parameters.get("business_context", ""),
        "directory_exists": has_directory,
        "updated_at": task.updated_at,
    }


def task_status(overview: Overview) -> dict[str, Any]:
    """Return the JSON of a task: its status, its steps, its newest run with its backup, but no secret."""
    task, newest = overview.task, overview.execution
    return {
        "task_id": task.task_id,
        "task_name": task.task_name,
        "status": task.status,
        "step_status": {step.step_name: step.status for step in overview.steps},
        "created_at": task.created_at,
        "started_at": task.started_at,
        "completed_at": task.completed_at,
        "parameters": {**task.parameters, "db_connection": label_of(task.parameters["db_connection"])},
        "result": newest.result if newest else None,
        "error_message": task.error_message,
        "current_step": _current_step(newest),
        "total_steps": len(overview.steps),
        "steps": [_step(step) for step in overview.steps],
        "execution": run_summary(newest) if newest else None,
    }


def run_summary(execution: Execution) -> dict[str, Any]:
    """Return the JSON of a run with its backup, without its result."""
    return {
        "execution_id": execution.execution_id,
        "execution_mode": execution.mode,
        "status": execution.status,
        "created_at": execution.created_at,
        "started_at": execution.started_at,
        "completed_at": execution.completed_at,
        "error_message": execution.error_message,
        "backup": execution.backup,
        "steps": [_step(step) for step in execution.steps],
    }


def task_file(file: TaskFile) -> dict[str, Any]:
    """Return the JSON of a file of a task."""
    return {
        "file_name": file.name,
        "file_type": file.type,
        **size_of(file.size_bytes),
        "created_at": file.created_at,
        "modified_at": file.modified_at,
        "is_readable": file.is_readable,
    }


def log_entry(entry: LogEntry) -> dict[str, Any]:
    """Return the JSON of an entry of a task's log."""
    return {"timestamp": entry.timestamp, "level": entry.level, "logger": entry.logger, "message": entry.message}


def size_of(size_bytes: int) -> dict[str, Any]:
    """Return the fields with a file's size, for programs and for people."""
    return {"file_size": size_bytes, "file_size_formatted": formatted_size(size_bytes)}


def formatted_size(size_bytes: int) -> str:
    """Return a size for people."""
    size, unit = float(size_bytes), "B"
    for larger in ("KB", "MB", "GB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _current_step(execution: Execution | None) -> dict[str, Any] | None:
    running = next((step for step in execution.steps if step.status == "running"), None) if execution else None
    if running is None:
        return None
    return {
        "execution_id": running.execution_id,
        "step": running.step_name,
        "status": running.status,
        "started_at": running.started_at,
    }


def _step(step: StepState) -> dict[str, Any]:
    """Return the JSON of a step; its result tells completed, partial and skipped steps apart."""
    outcome = StepOutcome.read(step.result) or StepOutcome()
    return {
        "step_name": step.step_name,
        "step_status": step.status,
        "result_status": outcome.status,
        "reason": outcome.reason,
        "started_at": step.started_at,
        "completed_at": step.completed_at,
        "error_message": step.error_message,
    }
