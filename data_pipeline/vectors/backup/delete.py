"""Delete backups of the vector store: single ones by name, or all of a folder that a retention policy does not keep.

Each is deleted in a transaction of its own, items and manifest together: if the process is killed, a backup is complete
or deleted. A backup that is being restored stays, even by force, because the restore holds a lock on its items.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from data_pipeline.config.retention import RetentionPolicy
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.backup.batches import Deletion, carry_out, carry_out_one
from data_pipeline.tasks.backup.pruning import Now, PruneReport, StoredBackup, plan_by_name, plan_by_policy
from data_pipeline.tasks.workspace import Workspace
from data_pipeline.vectors.backup.catalogue import BackupPlace, ListedBackup, backups_in, find_backup
from data_pipeline.vectors.backup.in_use import kept_from_restores, why_locked

LOGGER = logging.getLogger("data_pipeline.backup")

BATCH_SIZE: Final = 1
"""Each deletion is a transaction, because a restore of the backup, maybe of gigabytes, waits until its end."""

NEWEST_WHOLE: Final = "it is the newest backup without damage"


def plan_prune(
    place: BackupPlace, policy: RetentionPolicy, *, is_forced: bool = False, now: Now = lambda: datetime.now(UTC)
) -> PruneReport:
    """Return the report of a dry run of pruning a folder. Changes nothing, needs no lock.

    The newest backup and the newest undamaged backup are kept. Otherwise all remaining backups could be damaged.
    Raises DirectoryUnusable.
    """
    listed = backups_in(place)
    whole = next((backup.timestamp for backup in listed if backup.problem is None), None)
    backups = []
    for number, backup in enumerate(listed):
        stored = _stored(place, backup)
        is_last_resort = number > 0 and backup.timestamp == whole
        backups.append(stored._replace(lock=stored.lock or NEWEST_WHOLE) if is_last_resort else stored)
    return plan_by_policy(backups, policy, now=now(), is_forced=is_forced)


def prune(
    workspace: Workspace,
    place: BackupPlace,
    policy: RetentionPolicy,
    *,
    is_forced: bool = False,
    now: Now = lambda: datetime.now(UTC),
    log: logging.Logger = LOGGER,
) -> PruneReport:
    """Delete the backups of a folder that the policy does not keep, the oldest first; `workspace` is its lock.

    A backup that cannot be deleted is reported, and the others go on. Each deletion is a line in `log`. Raises
    DirectoryUnusable.
    """
    planned = plan_prune(place, policy, is_forced=is_forced, now=now)
    return carry_out(planned, _deletion_in(workspace, place, log))


def plan_deletion(place: BackupPlace, timestamps: Sequence[str], *, is_forced: bool = False) -> PruneReport:
    """Return the report of a dry run of deleting these backups. Changes nothing.

    Raises NotFound, DirectoryUnusable, and BackupProtected for one that is being restored and, unless forced, for the
    newest backup and for one that is damaged.
    """
    chosen = [_stored(place, find_backup(place, timestamp)) for timestamp in dict.fromkeys(timestamps)]
    newest = None if is_forced else next((backup.timestamp for backup in backups_in(place)), None)
    return plan_by_name(chosen, newest, is_forced=is_forced)


def delete_backups(
    workspace: Workspace, place: BackupPlace, timestamps: Sequence[str], *, is_forced: bool = False
) -> PruneReport:
    """Delete backups by name; all of them are checked before the first one is deleted.

    Raises as `plan_deletion`; a backup that then cannot be deleted is reported, and the others go on.
    """
    planned = plan_deletion(place, timestamps, is_forced=is_forced)
    return carry_out(planned, _deletion_in(workspace, place, LOGGER))


def delete_backup(workspace: Workspace, place: BackupPlace, timestamp: str, *, is_forced: bool = False) -> PruneReport:
    """Delete one backup. Raises as `plan_deletion`, and DeletionFailed, RecoveryNeeded, OutcomeUnsettled."""
    planned = plan_deletion(place, [timestamp], is_forced=is_forced)
    return carry_out_one(planned, _deletion_in(workspace, place, LOGGER))


def _stored(place: BackupPlace, backup: ListedBackup) -> StoredBackup:
    """Return a backup for a plan. As for other backups, its files do not include the record."""
    return StoredBackup(
        backup.timestamp,
        backup.sorted_by,
        backup.file_count,
        backup.items_size_bytes,
        guard=backup.problem,
        lock=why_locked(place, backup.timestamp),
    )


def _deletion_in(workspace: Workspace, place: BackupPlace, log: logging.Logger) -> Deletion:
    def commit(timestamps: Sequence[str]) -> None:
        (timestamp,) = timestamps
        files = {task_directory.vector_items_name(timestamp), task_directory.vector_manifest_name(timestamp)}
        with kept_from_restores(place, timestamp):
            names = sorted(files & set(workspace.folder_names(place.folder)))
            workspace.delete({place.folder: names}, label=f"the deletion of {place.relative_path}, {timestamp}")

    return Deletion(commit, BATCH_SIZE, f"Vector backup {place.relative_path},", log)
