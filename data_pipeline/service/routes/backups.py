"""The backups of a task: list them, show one, bring one back."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from data_pipeline.api.simple_workflow import new_run_id
from data_pipeline.backup.catalogue import find_backup, list_backups
from data_pipeline.backup.restore import preview_restore, restore
from data_pipeline.foreground import door
from data_pipeline.service.answers import REFUSALS, success
from data_pipeline.service.models import RestoreRequest
from data_pipeline.service.routes.tasks import PREFIX, RunsDep, TaskId, path_of_task
from data_pipeline.workspace import open_workspace

router = APIRouter(prefix=PREFIX, tags=["backups"], responses=REFUSALS)


@router.get("/tasks/{task_id}/backups", summary="Every backup of a task, newest first")
def backups(request: Request, task_id: TaskId, runs: RunsDep) -> Response:
    """Counts only; one of them has the names."""
    path = path_of_task(runs, task_id)
    found = [backup.summary() for backup in list_backups(path)] if os.path.isdir(path) else []
    return success(request, f"{len(found)} backups.", {"task_id": task_id, "backups": found, "total": len(found)})


@router.get("/tasks/{task_id}/backups/{backup}", summary="One backup with its files")
def one_backup(request: Request, task_id: TaskId, backup: str, runs: RunsDep) -> Response:
    """Its files, its record, and what could not be moved."""
    return success(request, f"The backup {backup}.", find_backup(path_of_task(runs, task_id), backup).details())


@router.post("/tasks/{task_id}/backups/{backup}/restore", summary="Bring a backup back")
def restore_backup(
    request: Request,
    task_id: TaskId,
    backup: str,
    runs: RunsDep,
    body: Annotated[RestoreRequest | None, Body()] = None,
) -> Response:
    """The current files first go into a new backup, so a restore is undone by another one."""
    wanted = body or RestoreRequest()
    path = path_of_task(runs, task_id)
    find_backup(path, backup)
    if wanted.dry_run:
        return success(request, "Nothing was changed.", preview_restore(path, backup, wanted.files).summary())
    runs.check_idle(task_id)
    with open_workspace(
        path, task_id, label=f"restore of {backup}", timeout_seconds=0, door=door(runs.settings)
    ) as workspace:
        restore_id = new_run_id(datetime.now(UTC)).replace("run", "restore")
        report = restore(workspace, backup, restore_id=restore_id, chosen=wanted.files)
    return success(request, f"The backup {backup} is restored.", report.summary())
