"""Create a backup of the vector store outside of a run, in the folder of a task or of no task, under its lock."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from data_pipeline.errors import DirectoryUnusable, NotFound
from data_pipeline.tasks.workspace import Door, make_directories, printable
from data_pipeline.vectors.backup.catalogue import open_place, place_of_task
from data_pipeline.vectors.backup.create import VectorBackup, write_backup
from data_pipeline.vectors.store.contract import VectorStore


def keep_backup(
    store: VectorStore,
    training_data: str,
    task_id: str | None,
    *,
    backup_id: str,
    timeout_seconds: float = 0.0,
    door: Door | None = None,
) -> VectorBackup:
    """Create a backup: both files appear at once, or none. `backup_id` is a name for the temporary folder.

    Raises NotFound for a task without a directory, TaskBusy, DirectoryUnusable, PublishFailed, RecoveryNeeded,
    OutcomeUnsettled, StoreUnavailable.
    """
    place = place_of_task(training_data, task_id)
    path = place.locked_path
    try:
        if task_id is None:
            make_directories(path)
        elif not os.path.lexists(path):
            raise NotFound("directory of task", task_id, "Run the task first.")
    except OSError as error:
        raise DirectoryUnusable(f"{printable(path)} cannot be created ({error}). Correct its permissions.") from error
    label = "backup of the vector store"
    workspace = open_place(place, label=label, timeout_seconds=timeout_seconds, door=door)
    with workspace, workspace.temporary_folder(backup_id) as work:
        now = datetime.now(UTC).astimezone()
        taken = workspace.folder_names(place.folder)
        backup = write_backup(store, work, now=now, task_id=task_id, taken=taken)
        if place.folder is None:
            workspace.publish(work, backup.files, label=label, run_id=backup_id)
        else:
            workspace.put_aside(work, backup.files, place.folder, label=label)
    return backup
