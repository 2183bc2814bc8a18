"""The backups of a task: list, show, download, verify, restore, delete."""

from __future__ import annotations

import os
from typing import Annotated

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.responses import StreamingResponse

from data_pipeline.service.answers import REFUSALS, success
from data_pipeline.service.backup_answers import RestoreAnswer
from data_pipeline.service.downloads import FILE_ANSWER, ZIP_ANSWER, send_file, send_zip
from data_pipeline.service.models import BackupSearchRequest, NoteRequest, PruneRequest, RestoreRequest, VerifyRequest
from data_pipeline.service.routes.tasks import PREFIX, RunsDep, TaskId, path_of_task
from data_pipeline.tasks.backup.archive import archive_name, open_backed_up_file, stream_archive
from data_pipeline.tasks.backup.catalogue import find_backup, list_backups
from data_pipeline.tasks.backup.delete import delete_backup as delete
from data_pipeline.tasks.backup.delete import plan_deletion, plan_prune, prune
from data_pipeline.tasks.backup.note import set_note
from data_pipeline.tasks.backup.pruning import PruneReport, policy_of
from data_pipeline.tasks.backup.restore import preview_restore, restore
from data_pipeline.tasks.backup.search import SearchReport, find_text
from data_pipeline.tasks.backup.verify import verify, verify_and_record
from data_pipeline.tasks.ids import new_work_id
from data_pipeline.tasks.workspace import open_workspace
from data_pipeline.use_cases.disk import door
from data_pipeline.vectors.backup_statistics import count_backups

router = APIRouter(prefix=PREFIX, tags=["backups"], responses=REFUSALS)


@router.get("/backups/statistics", summary="Get backup statistics")
def backup_statistics(
    request: Request,
    runs: RunsDep,
    task_id: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_]{1,64}$", description="Only this task.")] = None,
) -> Response:
    """Return number, size and age of the backups of files and of vectors, for each task and in total."""
    if task_id is not None:
        path_of_task(runs, task_id)
    counted = count_backups(runs.settings.training_data_path, task_id=task_id)
    count = counted.files.backup_count + counted.vectors.backup_count
    return success(request, f"{count} backups.", counted.summary())


@router.post("/backups/search", summary="Find backups that contain a text")
def search_backups(request: Request, body: BackupSearchRequest, runs: RunsDep) -> Response:
    """Find backups of files and of vectors that contain a text, in all tasks or one.

    Use it to find the backups to delete after a correction of personal data. The response and the log do not repeat
    the text. `is_complete` is false if a file could not be searched.
    """
    if body.task_id is not None and not os.path.isdir(path_of_task(runs, body.task_id)):
        return success(request, "The task has no backups yet.", SearchReport((), 0, 0, ()).summary())
    report = find_text(runs.settings.training_data_path, body.text, task_id=body.task_id)
    return success(request, f"{len(report.matches)} backups contain the text.", report.summary())


@router.get("/tasks/{task_id}/backups", summary="List backups of a task")
def backups(request: Request, task_id: TaskId, runs: RunsDep) -> Response:
    """Return the counts of each backup. Request a single backup for the names of its files."""
    path = path_of_task(runs, task_id)
    listed = [backup.summary() for backup in list_backups(path)] if os.path.isdir(path) else []
    return success(request, f"{len(listed)} backups.", {"task_id": task_id, "backups": listed, "total": len(listed)})


@router.get("/tasks/{task_id}/backups/{backup}", summary="Get a backup with its files")
def one_backup(request: Request, task_id: TaskId, backup: str, runs: RunsDep) -> Response:
    """Return the files of a backup, its record, and the files that could not be moved."""
    return success(request, f"The backup {backup}.", find_backup(path_of_task(runs, task_id), backup).details())


@router.get(
    "/tasks/{task_id}/backups/{backup}/files/{file_name}",
    summary="Download a file of a backup",
    response_class=StreamingResponse,
    responses=FILE_ANSWER,
)
def download_file(task_id: TaskId, backup: str, file_name: str, runs: RunsDep) -> StreamingResponse:
    """Return the file without the envelope, by its name in the backup's list of files. Links are not followed."""
    return send_file(open_backed_up_file(path_of_task(runs, task_id), backup, file_name), file_name)


@router.get(
    "/tasks/{task_id}/backups/{backup}/archive",
    summary="Download a backup as a zip",
    response_class=StreamingResponse,
    responses=ZIP_ANSWER,
)
def download_archive(task_id: TaskId, backup: str, runs: RunsDep) -> StreamingResponse:
    """Return all files of a backup and a list of its entries as a zip, created while it is sent.

    The connection closes before the end of the zip if a file cannot be read or the backup changes meanwhile.
    """
    return send_zip(stream_archive(path_of_task(runs, task_id), backup), archive_name(task_id, backup))


@router.patch("/tasks/{task_id}/backups/{backup}", summary="Set the note of a backup")
def note_backup(request: Request, task_id: TaskId, backup: str, body: NoteRequest, runs: RunsDep) -> Response:
    """Replace the note of a backup; null deletes it."""
    path = path_of_task(runs, task_id)
    find_backup(path, backup)
    with open_workspace(
        path, task_id, label=f"note on {backup}", timeout_seconds=0, door=door(runs.settings)
    ) as workspace:
        work_id = new_work_id("note")
        noted = set_note(workspace, backup, body.note, work_id=work_id)
    return success(request, f"The note of {backup} is {'set' if noted.note else 'deleted'}.", noted.summary())


@router.post(
    "/tasks/{task_id}/backups/{backup}/restore",
    summary="Restore a backup",
    responses={200: {"model": RestoreAnswer}},
)
def restore_backup(
    request: Request,
    task_id: TaskId,
    backup: str,
    runs: RunsDep,
    body: Annotated[RestoreRequest | None, Body()] = None,
) -> Response:
    """Restore a backup. The current files first move into a new backup, so a restore can be undone by another one.

    With `dry_run`, nothing changes, and the response lists the changes file by file, compared by content.
    """
    wanted = body or RestoreRequest()
    path = path_of_task(runs, task_id)
    find_backup(path, backup)
    if wanted.dry_run:
        return success(request, "Nothing was changed.", preview_restore(path, backup, wanted.files).summary())
    runs.check_idle(task_id)
    with open_workspace(
        path, task_id, label=f"restore of {backup}", timeout_seconds=0, door=door(runs.settings)
    ) as workspace:
        restore_id = new_work_id("restore")
        report = restore(workspace, backup, restore_id=restore_id, chosen=wanted.files)
    return success(request, f"The backup {backup} is restored.", report.summary())


@router.post("/tasks/{task_id}/backups/{backup}/verify", summary="Verify a backup")
def verify_backup(
    request: Request,
    task_id: TaskId,
    backup: str,
    runs: RunsDep,
    body: Annotated[VerifyRequest | None, Body()] = None,
) -> Response:
    """Compare a backup with its record and with the SHA-256 checksums of its files, if they are recorded."""
    path = path_of_task(runs, task_id)
    if body is not None and body.record_checksums:
        work_id = new_work_id("checksums")
        report = verify_and_record(path, task_id, backup, work_id=work_id, door=door(runs.settings))
    else:
        report = verify(path, backup)
    return success(request, f"The backup {backup} is {report.state}.", report.summary())


@router.post("/tasks/{task_id}/prune-backups", summary="Prune backups")
def prune_backups(
    request: Request, task_id: TaskId, runs: RunsDep, body: Annotated[PruneRequest | None, Body()] = None
) -> Response:
    """Delete the backups that no rule keeps. Without rules, the rules of the settings apply.

    If no rule is configured either, nothing is deleted. The newest backup is always kept.
    `dry_run` only shows what would be deleted, and why.
    """
    wanted = body or PruneRequest()
    path = path_of_task(runs, task_id)
    policy = policy_of(wanted.rules, runs.settings.retention)
    if not os.path.isdir(path):
        nothing = PruneReport(str(policy), is_dry_run=wanted.dry_run, backups=())
        return success(request, "The task has no backups yet.", nothing.summary())
    if wanted.dry_run:
        return success(request, "Nothing was changed.", plan_prune(path, policy, is_forced=wanted.force).summary())
    runs.check_idle(task_id)
    with open_workspace(
        path, task_id, label="pruning of backups", timeout_seconds=0, door=door(runs.settings)
    ) as workspace:
        report = prune(workspace, policy, is_forced=wanted.force)
    runs.metrics.backups_deleted("files", "request", len(report.deleted))
    return success(request, f"{len(report.deleted)} backups are deleted.", report.summary())


@router.delete("/tasks/{task_id}/backups/{backup}", summary="Delete a backup")
def delete_backup(
    request: Request,
    task_id: TaskId,
    backup: str,
    runs: RunsDep,
    *,
    force: Annotated[
        bool, Query(description="Also delete the newest backup, and one with failures or an unknown outcome.")
    ] = False,
    dry_run: Annotated[bool, Query(description="Only show what would be deleted.")] = False,
) -> Response:
    """Delete a backup. The newest backup, and one with failures or an unknown outcome, need `force`."""
    path = path_of_task(runs, task_id)
    planned = plan_deletion(path, [backup], is_forced=force)
    if dry_run:
        return success(request, "Nothing was changed.", planned.summary())
    runs.check_idle(task_id)
    with open_workspace(
        path, task_id, label=f"deletion of {backup}", timeout_seconds=0, door=door(runs.settings)
    ) as workspace:
        report = delete(workspace, backup, is_forced=force)
    runs.metrics.backups_deleted("files", "request", len(report.deleted))
    return success(request, f"The backup {backup} is deleted.", report.summary())
