"""Backups of the vector store: make one, list them, bring one back."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from data_pipeline import task_directory
from data_pipeline.api.simple_workflow import new_run_id
from data_pipeline.foreground import door
from data_pipeline.service.answers import REFUSALS, success
from data_pipeline.service.models import VectorBackupRequest, VectorRestoreRequest
from data_pipeline.service.routes.tasks import PREFIX, RunsDep
from data_pipeline.vector_backup.catalogue import ListedBackup, backups_in, place_named, place_of_task, places
from data_pipeline.vector_backup.keeping import keep_backup
from data_pipeline.vector_backup.restore import restore_backup

TABLE: Final = "vector_items"
"""What answers call the one table that a backup holds: items, vectors and who holds them belong together."""

router = APIRouter(prefix=f"{PREFIX}/vector", tags=["vectors"], responses=REFUSALS)


@router.post("/backup", summary="Back the vector store up")
def back_up(request: Request, body: VectorBackupRequest, runs: RunsDep) -> Response:
    """Into the folder of a task, or into that of no task: everything that the store holds, with its vectors."""
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
            backup_id=new_run_id(datetime.now(UTC)).replace("run", "vectors"),
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
        "The vector store is backed up." if tables else "Nothing was asked for.",
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


@router.get("/restore/list", summary="Every backup of the vector store")
def backups(
    request: Request,
    runs: RunsDep,
    global_only: bool = False,  # noqa: FBT001, FBT002 - a parameter of the query
    task_id: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_]{1,64}$")] = None,
) -> Response:
    """By folder: that of no task, and those of tasks. What is damaged says so."""
    started = datetime.now(UTC)
    if task_id is not None:
        runs.store.task(task_id)
    found = places(runs.settings.training_data_path, task_id=task_id, global_only=global_only)
    locations = []
    for place in found:
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


@router.post("/restore", summary="Bring a backup of the vector store back")
def restore(request: Request, body: VectorRestoreRequest, runs: RunsDep) -> Response:
    """Verified as a whole, then in one transaction in the place of everything; a damaged backup changes nothing."""
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
