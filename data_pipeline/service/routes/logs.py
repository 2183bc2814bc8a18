"""The log of a task: its last entries, or the entries that match a query."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from data_pipeline.service.answers import REFUSALS, success
from data_pipeline.service.models import LogQueryRequest
from data_pipeline.service.pages import page_of
from data_pipeline.service.routes.tasks import PREFIX, RunsDep, TaskId, path_of_task
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.files import read_log
from data_pipeline.tasks.log_reading import Level, LogQuery, select_entries
from data_pipeline.use_cases.task_json import formatted_size, log_entry

router = APIRouter(prefix=PREFIX, tags=["logs"], responses=REFUSALS)


@router.get("/tasks/{task_id}/logs", summary="Get the last log entries of a task")
def logs(
    request: Request,
    task_id: TaskId,
    runs: RunsDep,
    limit: Annotated[int, Query(ge=1, description="Maximum number of entries; at most 1000.")] = 100,
    level: Level | None = None,
) -> Response:
    """Return the last entries, oldest first, optionally only those of one level."""
    entries = [entry for entry in read_log(path_of_task(runs, task_id)) if level is None or entry.level == level]
    last = entries[-min(limit, 1000) :]
    return success(
        request,
        f"{len(last)} entries.",
        {
            "task_id": task_id,
            "logs": [log_entry(entry) for entry in last],
            "total": len(last),
            "source": "file",
            "log_file": task_directory.LOG,
        },
    )


@router.post("/tasks/{task_id}/logs/query", summary="Search the log of a task")
def query_logs(request: Request, task_id: TaskId, runs: RunsDep, body: LogQueryRequest) -> Response:
    """Search by level, time, keyword, logger and step; the result is sorted and paginated."""
    started = datetime.now().astimezone()
    entries = read_log(path_of_task(runs, task_id))
    wanted = LogQuery(
        level=body.level,
        begin=_local(body.start_time),
        end=_local(body.end_time),
        keyword=body.keyword,
        logger=body.logger_name,
        step=body.step_name,
        sort_by=body.sort_by,
        is_descending=body.sort_order == "desc",
    )
    matching = select_entries(entries, wanted)
    begin = (body.page - 1) * body.page_size
    path = os.path.join(path_of_task(runs, task_id), task_directory.LOG)
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    return success(
        request,
        f"{len(matching)} entries.",
        {
            "task_id": task_id,
            "logs": [
                {**log_entry(entry), "step": entry.step, "line_number": entry.line_number}
                for entry in matching[begin : begin + body.page_size]
            ],
            "pagination": page_of(body.page, body.page_size, len(matching)),
            "log_file_info": {
                "exists": os.path.isfile(path),
                "file_path": f"{task_id}/{task_directory.LOG}",
                "file_size": size,
                "file_size_formatted": formatted_size(size),
                "total_entries": len(entries),
            },
            "query_time": (datetime.now().astimezone() - started).total_seconds(),
        },
    )


def _local(time: datetime | None) -> datetime | None:
    """Convert a time to the form in the log: local, without a zone."""
    return time if time is None or time.tzinfo is None else time.astimezone().replace(tzinfo=None)
