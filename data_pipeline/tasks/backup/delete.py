"""Delete backups: single ones by name, or all that a retention policy does not keep.

A backup is deleted in one transaction with its note and its checksums, so a crash leaves it complete or deleted. Up to
twenty backups share a transaction and its syncs. A backup that is being restored cannot be deleted, because both hold
the lock of the task directory.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from data_pipeline.config.retention import RetentionPolicy
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.backup.batches import Deletion, Progress, carry_out, carry_out_one
from data_pipeline.tasks.backup.catalogue import Backup, find_backup, list_backups
from data_pipeline.tasks.backup.pruning import Now, PruneReport, StoredBackup, plan_by_name, plan_by_policy
from data_pipeline.tasks.workspace import Workspace, unsettled_transactions

LOGGER = logging.getLogger("data_pipeline.backup")

BATCH_SIZE: Final = 20
"""Number of backups in a transaction. With three names each, they are few enough to be found without a scan."""

MANIFEST_NAMES: Final = (task_directory.backup_note_name, task_directory.backup_checksums_name)


def guard_of(backup: Backup, unsettled: frozenset[str]) -> str | None:
    """Return the reason why a backup must not be deleted without force, None if it may be.

    `unsettled` are the transactions of the directory that still have a journal.
    """
    record = backup.record
    if record is None:
        return f"its record is {backup.record_state}, so that its outcome is unknown"
    if record.failed_files:
        return f"{len(record.failed_files)} files could not be moved into it"
    is_ours = record.transaction is not None  # older systems wrote no statistics
    if record.note is not None or (is_ours and not record.is_of_commit) or record.transaction in unsettled:
        return "its outcome is unknown"
    return None


def plan_prune(
    path: str, policy: RetentionPolicy, *, is_forced: bool = False, now: Now = lambda: datetime.now(UTC)
) -> PruneReport:
    """Return the report of a dry run of pruning the task directory at `path`. Changes nothing, needs no lock.

    Raises DirectoryUnusable.
    """
    unsettled = unsettled_transactions(path)
    backups = [_stored(backup, unsettled) for backup in list_backups(path)]
    return plan_by_policy(backups, policy, now=now(), is_forced=is_forced)


def prune(
    workspace: Workspace,
    policy: RetentionPolicy,
    *,
    is_forced: bool = False,
    now: Now = lambda: datetime.now(UTC),
    progress: Progress = lambda _done, _total: None,
    log: logging.Logger = LOGGER,
) -> PruneReport:
    """Delete the backups that the policy does not keep, the oldest first. Raises DirectoryUnusable.

    A backup that cannot be deleted is reported, and the others go on. Each deletion is a line in `log`.
    """
    planned = plan_prune(workspace.path, policy, is_forced=is_forced, now=now)
    return carry_out(planned, _deletion_in(workspace, log), progress)


def plan_deletion(path: str, names: Sequence[str], *, is_forced: bool = False) -> PruneReport:
    """Return the report of a dry run of deleting these backups. Changes nothing.

    Raises NotFound, DirectoryUnusable, and BackupProtected for the newest backup and for one with failures or an
    unknown outcome, unless forced.
    """
    chosen = [find_backup(path, name) for name in dict.fromkeys(names)]
    newest = None if is_forced else list_backups(path)[0].name
    unsettled = frozenset[str]() if is_forced else unsettled_transactions(path)
    return plan_by_name([_stored(backup, unsettled) for backup in chosen], newest, is_forced=is_forced)


def delete_backups(workspace: Workspace, names: Sequence[str], *, is_forced: bool = False) -> PruneReport:
    """Delete backups by name; all of them are checked before the first one is deleted.

    Raises as `plan_deletion`; a backup that then cannot be deleted is reported, and the others go on.
    """
    planned = plan_deletion(workspace.path, names, is_forced=is_forced)
    return carry_out(planned, _deletion_in(workspace, LOGGER))


def delete_backup(workspace: Workspace, name: str, *, is_forced: bool = False) -> PruneReport:
    """Delete one backup. Raises as `plan_deletion`, and DeletionFailed, RecoveryNeeded, OutcomeUnsettled."""
    planned = plan_deletion(workspace.path, [name], is_forced=is_forced)
    return carry_out_one(planned, _deletion_in(workspace, LOGGER))


def _stored(backup: Backup, unsettled: frozenset[str]) -> StoredBackup:
    guard = guard_of(backup, unsettled)
    return StoredBackup(backup.name, backup.made_at, len(backup.files), backup.size_bytes, guard)


def _deletion_in(workspace: Workspace, log: logging.Logger) -> Deletion:
    def commit(backups: Sequence[str]) -> None:
        about = {name_of(backup) for backup in backups for name_of in MANIFEST_NAMES}
        manifests = sorted(about.intersection(workspace.folder_names(task_directory.BACKUP_MANIFESTS)))
        names = {None: backups} | ({task_directory.BACKUP_MANIFESTS: manifests} if manifests else {})
        what = backups[0] if len(backups) == 1 else f"{len(backups)} backups, {backups[0]} to {backups[-1]}"
        workspace.delete(names, label=f"the deletion of {what}")

    return Deletion(commit, BATCH_SIZE, f"Task {workspace.task_id}: backup", log)
