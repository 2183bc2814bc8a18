"""Lists, queries and deletion of several tasks."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from data_pipeline.errors import PipelineError
from data_pipeline.service.answers import REFUSALS, success
from data_pipeline.service.models import DeleteRequest, TaskQueryRequest
from data_pipeline.service.pages import page_of
from data_pipeline.service.routes.tasks import PREFIX, RunsDep
from data_pipeline.store import ListedTask, RunStatus, TaskQuery
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.step_names import STEP_NAMES
from data_pipeline.use_cases.runs import Runs
from data_pipeline.use_cases.task_json import formatted_size, listed_task

router = APIRouter(prefix=PREFIX, tags=["tasks"], responses=REFUSALS)


@router.get("/tasks", summary="List tasks")
def list_tasks(
    request: Request,
    runs: RunsDep,
    limit: Annotated[int, Query(ge=1, description="Maximum number of tasks, newest first; at most 100.")] = 50,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
    status: RunStatus | None = None,
) -> Response:
    """Return tasks, newest first; `total` is the number of all matching tasks."""
    limit = min(limit, 100)
    page, total = runs.store.tasks(TaskQuery(status=status), all_steps=STEP_NAMES, limit=limit, offset=offset)
    tasks = [_listed(runs, listed) for listed in page]
    return success(request, f"{total} tasks.", {"tasks": tasks, "total": total, "limit": limit, "offset": offset})


@router.post("/tasks/query", summary="Search tasks")
def query_tasks(request: Request, body: TaskQueryRequest, runs: RunsDep) -> Response:
    """Search by state, names and times; the result is sorted and paginated."""
    started = time.perf_counter()
    wanted = TaskQuery(
        status=body.status,
        task_name=body.task_name,
        created_by=body.created_by,
        db_name=body.db_name,
        created_from=body.created_time_start,
        created_to=body.created_time_end,
        started_from=body.started_time_start,
        started_to=body.started_time_end,
        completed_from=body.completed_time_start,
        completed_to=body.completed_time_end,
        sort_by=body.sort_by,
        is_descending=body.sort_order == "desc",
    )
    page, total = runs.store.tasks(
        wanted, all_steps=STEP_NAMES, limit=body.page_size, offset=(body.page - 1) * body.page_size
    )
    filters = body.model_dump(exclude={"page", "page_size", "sort_by", "sort_order"}, exclude_none=True)
    return success(
        request,
        f"{total} tasks.",
        {
            "tasks": [_listed(runs, listed) for listed in page],
            "pagination": page_of(body.page, body.page_size, total),
            "filters_applied": filters,
            "sort_applied": {"sort_by": body.sort_by, "sort_order": body.sort_order},
            "query_time": round(time.perf_counter() - started, 6),
        },
    )


@router.delete("/tasks", summary="Delete tasks")
def delete_tasks(request: Request, body: DeleteRequest, runs: RunsDep) -> Response:
    """Delete task directories with all backups and, on request, the tasks' history. A running task is not deleted."""
    deleted: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for task_id in dict.fromkeys(body.task_ids):
        try:
            task_directory.check_task_id(task_id)
            deleted.append(_deleted(runs, task_id, with_history=body.delete_database_records))
        except PipelineError as error:
            failed.append({"task_id": task_id, "error": str(error), "error_type": type(error).__name__})
            if not body.continue_on_error:
                break
    summary = {
        "total_requested": len(dict.fromkeys(body.task_ids)),
        "successfully_deleted": len(deleted),
        "failed": len(failed),
    }
    return success(
        request,
        f"{len(deleted)} tasks deleted, {len(failed)} not.",
        {"deleted_tasks": deleted, "failed_tasks": failed, "summary": summary, "deleted_at": datetime.now(UTC)},
    )


def _deleted(runs: Runs, task_id: str, *, with_history: bool) -> dict[str, Any]:
    done = runs.delete_task(task_id, with_history=with_history)
    return {
        "success": True,
        "task_id": task_id,
        "directory_deleted": done.had_directory,
        "database_records_deleted": with_history,
        "deleted_files_count": done.file_count,
        "deleted_size": formatted_size(done.size_bytes),
        "deleted_at": datetime.now(UTC),
        "operation_message": f"{done.file_count} files deleted" + (", and the history" if with_history else ""),
    }


def _listed(runs: Runs, listed: ListedTask) -> dict[str, Any]:
    path = task_directory.path_of(runs.settings.training_data_path, listed.task.task_id)
    return listed_task(listed, has_directory=task_directory.is_task_directory(path))
