"""Backups of the vector store: create, list, restore, verify, delete."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Path, Query, Request, Response

from data_pipeline.service.answers import REFUSALS, success
from data_pipeline.service.models import VectorBackupRequest, VectorPruneRequest, VectorRestoreRequest
from data_pipeline.service.routes.tasks import PREFIX, RunsDep
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.backup.pruning import policy_of
from data_pipeline.tasks.ids import new_work_id
from data_pipeline.use_cases.disk import door
from data_pipeline.use_cases.runs import Runs
from data_pipeline.vectors.backup.catalogue import (
    BackupPlace,
    ListedBackup,
    backups_in,
    open_place,
    place_named,
    place_of_task,
    places,
)
from data_pipeline.vectors.backup.delete import delete_backup as delete
from data_pipeline.vectors.backup.delete import plan_deletion, plan_prune, prune
from data_pipeline.vectors.backup.keeping import keep_backup
from data_pipeline.vectors.backup.restore import restore_backup
from data_pipeline.vectors.backup.verify import verify

TABLE: Final = "vector_items"
"""The name in responses of the only table of a backup, because items, vectors and their tasks belong together."""

OfTask = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_]{1,64}$")]
Timestamp = Annotated[str, Path(pattern=r"^[0-9]{8}_[0-9]{6}$")]

router = APIRouter(prefix=f"{PREFIX}/vector", tags=["vectors"], responses=REFUSALS)


@router.post("/backup", summary="Back up the vector store")
def back_up(request: Request, body: VectorBackupRequest, runs: RunsDep) -> Response:
    """Back up the whole vector store into the folder of a task, or into the folder of no task."""
    started = time.perf_counter()
    if body.task_id is not None:
        runs.store.task(body.task_id)
        runs.check_idle(body.task_id)
    tables: dict[str, Any] = {}
    timestamp = None
    if body.backup_vector_tables:
        backup = keep_backup(
            runs.vectors.get(),
            runs.settings.training_data_path,
            body.task_id,
            backup_id=new_work_id("vectors"),
            door=door(runs.settings),
        )
        timestamp = backup.manifest.timestamp
        tables[TABLE] = {
            "success": True,
            "row_count": backup.manifest.item_count,
            "file_size": backup.manifest.size_bytes,
            "backup_file": backup.manifest.items_file,
            "manifest_file": task_directory.vector_manifest_name(timestamp),
            "sha256": backup.manifest.sha256,
            "duration": round(time.perf_counter() - started, 6),
        }
    return success(
        request,
        "The vector store is backed up." if tables else "No backup was requested.",
        {
            "backup_performed": bool(tables),
            "truncate_performed": False,
            "tables_backed_up": tables,
            "truncate_results": {},
            "errors": [],
            "backup_directory": place_of_task(runs.settings.training_data_path, body.task_id).relative_path,
            "backup_timestamp": timestamp,
            "duration": round(time.perf_counter() - started, 6),
        },
    )


@router.get("/restore/list", summary="List backups of the vector store")
def backups(
    request: Request,
    runs: RunsDep,
    global_only: bool = False,  # noqa: FBT001, FBT002 - a parameter of the query
    task_id: OfTask = None,
) -> Response:
    """List the backups by folder: the folder of no task, and those of tasks. `problem` describes damage."""
    started = datetime.now(UTC)
    if task_id is not None:
        runs.store.task(task_id)
    folders = places(runs.settings.training_data_path, task_id=task_id, global_only=global_only)
    locations = []
    for place in folders:
        listed = [_listed(backup) for backup in backups_in(place)]
        if listed:
            named = {"task_id": place.task_id} if place.task_id is not None else {}
            locations.append({"type": place.type, "relative_path": place.relative_path, **named, "backups": listed})
    in_tasks = sum(len(location["backups"]) for location in locations if location["type"] == "task")
    total = sum(len(location["backups"]) for location in locations)
    return success(
        request,
        f"{total} backups.",
        {
            "backup_locations": locations,
            "summary": {
                "total_locations": len(locations),
                "total_backup_sets": total,
                "global_backups": total - in_tasks,
                "task_backups": in_tasks,
                "scan_time": started.isoformat(),
            },
        },
    )


def _listed(backup: ListedBackup) -> dict[str, Any]:
    return {
        "timestamp": backup.timestamp,
        "collection_file": task_directory.vector_manifest_name(backup.timestamp),
        "embedding_file": task_directory.vector_items_name(backup.timestamp),
        "collection_size": backup.manifest_size_bytes,
        "embedding_size": backup.items_size_bytes,
        "backup_date": backup.made_at,
        "has_log": False,
        "log_file": None,
        "item_count": backup.manifest.item_count if backup.manifest else None,
        "embedder": str(backup.manifest.embedder.identity) if backup.manifest else None,
        "problem": backup.problem,
    }


@router.post("/restore", summary="Restore a backup of the vector store")
def restore(request: Request, body: VectorRestoreRequest, runs: RunsDep) -> Response:
    """Verify the backup, then replace the store's content in one transaction. A damaged backup changes nothing."""
    started = time.perf_counter()
    place = place_named(runs.settings.training_data_path, body.backup_path)
    timestamp = task_directory.check_vector_timestamp(body.timestamp)
    done = restore_backup(runs.vectors.get(), place, timestamp)
    return success(
        request,
        f"{done.content.total} items are restored.",
        {
            "restore_performed": True,
            "truncate_performed": True,
            "backup_info": {
                "backup_path": place.relative_path,
                "timestamp": timestamp,
                "created_at": done.manifest.created_at,
                "embedder": str(done.manifest.embedder.identity),
                "sha256": done.manifest.sha256,
            },
            "truncate_results": {TABLE: {"success": True}},
            "restore_results": {
                TABLE: {
                    "success": True,
                    "source_file": done.manifest.items_file,
                    "rows_restored": done.content.total,
                    "file_size": done.manifest.size_bytes,
                    "duration": round(done.seconds, 6),
                }
            },
            "errors": [],
            "duration": round(time.perf_counter() - started, 6),
        },
    )


@router.post("/backups/{timestamp}/verify", summary="Verify a backup of the vector store")
def verify_backup(request: Request, timestamp: Timestamp, runs: RunsDep, task_id: OfTask = None) -> Response:
    """Compare a backup with its manifest, as a restore does: size, SHA-256, each item. `task_id` names the folder."""
    report = verify(_place(runs, task_id), timestamp)
    return success(request, f"The backup {timestamp} is {report.state}.", report.summary())


@router.post("/prune-backups", summary="Prune backups of the vector store")
def prune_backups(
    request: Request, runs: RunsDep, body: Annotated[VectorPruneRequest | None, Body()] = None
) -> Response:
    """Delete the backups of a folder that no rule keeps. Without rules, the rules of the settings apply.

    If no rule is configured either, nothing is deleted. The newest backup of the folder, the newest undamaged one and
    a backup that is being restored are always kept. `dry_run` only shows what would be deleted, and why.
    """
    wanted = body or VectorPruneRequest()
    place = _place(runs, wanted.task_id)
    policy = policy_of(wanted.rules, runs.settings.vector_retention)
    planned = plan_prune(place, policy, is_forced=wanted.force)
    if wanted.dry_run:
        return success(request, "Nothing was changed.", planned.summary())
    if not planned.backups:
        return success(request, "There are no backups yet.", {**planned.summary(), "dry_run": False})
    _check_idle(runs, place)
    with open_place(place, label="pruning of vector backups", door=door(runs.settings)) as workspace:
        report = prune(workspace, place, policy, is_forced=wanted.force)
    runs.metrics.backups_deleted("vectors", "request", len(report.deleted))
    return success(request, f"{len(report.deleted)} backups are deleted.", report.summary())


@router.delete("/backups/{timestamp}", summary="Delete a backup of the vector store")
def delete_backup(
    request: Request,
    timestamp: Timestamp,
    runs: RunsDep,
    *,
    task_id: OfTask = None,
    force: Annotated[bool, Query(description="Also delete the newest backup, and one that is damaged.")] = False,
    dry_run: Annotated[bool, Query(description="Only show what would be deleted.")] = False,
) -> Response:
    """Delete a backup. The newest one, and a damaged one, need `force`. A backup that is being restored is kept."""
    place = _place(runs, task_id)
    planned = plan_deletion(place, [timestamp], is_forced=force)
    if dry_run:
        return success(request, "Nothing was changed.", planned.summary())
    _check_idle(runs, place)
    with open_place(place, label=f"deletion of vector backup {timestamp}", door=door(runs.settings)) as workspace:
        report = delete(workspace, place, timestamp, is_forced=force)
    runs.metrics.backups_deleted("vectors", "request", len(report.deleted))
    return success(request, f"The backup {timestamp} is deleted.", report.summary())


def _place(runs: Runs, task_id: str | None) -> BackupPlace:
    """Return the folder of a task, or of no task. Raises NotFound for an unknown task."""
    if task_id is not None:
        runs.store.task(task_id)
    return place_of_task(runs.settings.training_data_path, task_id)


def _check_idle(runs: Runs, place: BackupPlace) -> None:
    if place.task_id is not None:
        runs.check_idle(place.task_id)
