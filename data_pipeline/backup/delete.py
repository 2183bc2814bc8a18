"""Delete backups: single ones by name, or all that a retention policy does not keep.

Each backup goes in a transaction of its own, together with its note and its checksums: killed at any moment, a backup
is whole or gone. A backup that is being restored cannot be deleted, because both hold the lock of the task directory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import ValidationError

from data_pipeline import task_directory
from data_pipeline.backup.catalogue import Backup, find_backup, list_backups
from data_pipeline.errors import BackupProtected, InvalidInput, OutcomeUnsettled, PipelineError
from data_pipeline.retention import NEWEST, Candidate, RetentionPolicy, Verdict, decide
from data_pipeline.workspace import Workspace, unsettled_transactions

LOGGER = logging.getLogger("data_pipeline.backup")

NAMED: Final = "it was named"

Action = Literal["keep", "delete", "failed", "unknown"]
Now = Callable[[], datetime]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PrunedBackup:
    """A backup with its verdict and the outcome; `error` is the reason of a failed deletion.

    `unknown`: the deletion was written, and recovery will tell whether it took effect.
    """

    backup: str
    action: Action
    reasons: tuple[str, ...]
    made_at: datetime
    file_count: int
    size_bytes: int
    error: str | None = None

    def summary(self) -> dict[str, Any]:
        """Return the fields for answers."""
        return {**vars(self), "reasons": list(self.reasons), "made_at": self.made_at.isoformat()}


@dataclass(frozen=True)
class PruneReport:
    """The verdict on each backup of a task, and the outcome of its deletion, newest first."""

    policy: str
    is_dry_run: bool
    backups: tuple[PrunedBackup, ...]

    @property
    def deleted(self) -> list[PrunedBackup]:
        """The backups that are gone, or would be."""
        return [backup for backup in self.backups if backup.action == "delete"]

    @property
    def errors(self) -> list[str]:
        """Why backups that the policy does not keep are still there, or may be."""
        return [f"{backup.backup}: {backup.error}" for backup in self.backups if backup.error is not None]

    def run_summary(self) -> dict[str, Any]:
        """Return the part of a run's result: the names of the deleted backups, the number of the kept ones."""
        return {
            "policy": self.policy,
            "deleted": [backup.backup for backup in self.deleted],
            "deleted_bytes": sum(backup.size_bytes for backup in self.deleted),
            "kept_count": len(self.backups) - len(self.deleted),
            "errors": self.errors,
        }

    def summary(self) -> dict[str, Any]:
        """Return counts and every backup with its reasons, for answers."""
        kept = [backup for backup in self.backups if backup.action != "delete"]
        return {
            "policy": self.policy,
            "dry_run": self.is_dry_run,
            "deleted_count": len(self.deleted),
            "deleted_bytes": sum(backup.size_bytes for backup in self.deleted),
            "kept_count": len(kept),
            "kept_bytes": sum(backup.size_bytes for backup in kept),
            "backups": [backup.summary() for backup in self.backups],
        }


def guard_of(backup: Backup, unsettled: frozenset[str]) -> str | None:
    """Return why a backup must not be deleted without force, None where it may be.

    `unsettled` are the transactions of the directory whose journals are still there.
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


def policy_of(rules: Mapping[str, object], default: RetentionPolicy) -> RetentionPolicy:
    """Return the policy of a request: its rules, or the default where it has none. Raises InvalidInput."""
    try:
        policy = RetentionPolicy.model_validate(rules)
    except ValidationError as error:
        problems = (f"{fault['loc'][0]}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors())
        raise InvalidInput("policy", *problems) from None
    return default if policy.is_empty else policy


def plan_prune(
    path: str, policy: RetentionPolicy, *, is_forced: bool = False, now: Now = lambda: datetime.now(UTC)
) -> PruneReport:
    """Return what pruning the task directory at `path` would do. Changes nothing, needs no lock.

    Raises DirectoryUnusable.
    """
    found, verdicts = _judge(path, policy, is_forced=is_forced, now=now)
    return PruneReport(str(policy), is_dry_run=True, backups=tuple(_planned(found, verdict) for verdict in verdicts))


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
    found, verdicts = _judge(workspace.path, policy, is_forced=is_forced, now=now)
    leaving = [verdict for verdict in reversed(verdicts) if not verdict.is_kept]
    ended: dict[str, PrunedBackup] = {}
    for number, verdict in enumerate(leaving):
        progress(number, len(leaving))
        planned = _planned(found, verdict)
        ended[planned.backup] = _try_to_delete(workspace, planned, f"{policy}: {'; '.join(verdict.reasons)}", log)
    progress(len(leaving), len(leaving))
    pruned = (ended.get(verdict.candidate.name) or _planned(found, verdict) for verdict in verdicts)
    return PruneReport(str(policy), is_dry_run=False, backups=tuple(pruned))


def plan_deletion(path: str, names: Sequence[str], *, is_forced: bool = False) -> list[Backup]:
    """Return the backups to delete. Changes nothing.

    Raises NotFound, DirectoryUnusable, and BackupProtected for the newest backup and for one with failures or an
    unknown outcome, unless forced.
    """
    chosen = [find_backup(path, name) for name in dict.fromkeys(names)]
    if is_forced:
        return chosen
    newest = list_backups(path)[0].name
    unsettled = unsettled_transactions(path)
    for backup in chosen:
        reason = NEWEST if backup.name == newest else guard_of(backup, unsettled)
        if reason is not None:
            raise BackupProtected(backup.name, reason, can_force=True)
    return chosen


def delete_backups(workspace: Workspace, names: Sequence[str], *, is_forced: bool = False) -> PruneReport:
    """Delete backups by name; all of them are checked before the first one goes.

    Raises as `plan_deletion`; a backup that then cannot be deleted is reported, and the others go on.
    """
    chosen = plan_deletion(workspace.path, names, is_forced=is_forced)
    deleted = [_try_to_delete(workspace, _described(backup, "delete", (NAMED,)), NAMED, LOGGER) for backup in chosen]
    return PruneReport("", is_dry_run=False, backups=tuple(deleted))


def delete_backup(workspace: Workspace, name: str, *, is_forced: bool = False) -> PruneReport:
    """Delete one backup. Raises as `plan_deletion`, and DeletionFailed, RecoveryNeeded, OutcomeUnsettled."""
    (backup,) = plan_deletion(workspace.path, [name], is_forced=is_forced)
    planned = _described(backup, "delete", (NAMED,))
    _delete(workspace, planned, NAMED, LOGGER)
    return PruneReport("", is_dry_run=False, backups=(planned,))


def describe_deletion(backups: Iterable[Backup]) -> PruneReport:
    """Return the report of a dry run that would delete these backups."""
    planned = (_described(backup, "delete", (NAMED,)) for backup in backups)
    return PruneReport("", is_dry_run=True, backups=tuple(planned))


def _judge(path: str, policy: RetentionPolicy, *, is_forced: bool, now: Now) -> tuple[dict[str, Backup], list[Verdict]]:
    unsettled = unsettled_transactions(path)
    found = {backup.name: backup for backup in list_backups(path)}
    candidates = [
        # In local time, whose days people count.
        Candidate(backup.name, backup.made_at.astimezone(), backup.size_bytes, guard_of(backup, unsettled))
        for backup in found.values()
    ]
    return found, decide(policy, candidates, now=now(), is_forced=is_forced)


def _planned(found: dict[str, Backup], verdict: Verdict) -> PrunedBackup:
    action: Action = "keep" if verdict.is_kept else "delete"
    return _described(found[verdict.candidate.name], action, verdict.reasons)


def _described(backup: Backup, action: Action, reasons: tuple[str, ...]) -> PrunedBackup:
    return PrunedBackup(backup.name, action, reasons, backup.made_at, len(backup.files), backup.size_bytes)


def _try_to_delete(workspace: Workspace, planned: PrunedBackup, reason: str, log: logging.Logger) -> PrunedBackup:
    try:
        _delete(workspace, planned, reason, log)
    except PipelineError as error:
        action: Action = "unknown" if isinstance(error, OutcomeUnsettled) else "failed"
        return replace(planned, action=action, error=str(error))
    return planned


def _delete(workspace: Workspace, planned: PrunedBackup, reason: str, log: logging.Logger) -> None:
    backup = planned.backup
    try:
        manifests = set(workspace.folder_names(task_directory.BACKUP_MANIFESTS)) & {
            task_directory.backup_note_name(backup),
            task_directory.backup_checksums_name(backup),
        }
        names = {None: [backup]} | ({task_directory.BACKUP_MANIFESTS: sorted(manifests)} if manifests else {})
        workspace.delete(names, label=f"the deletion of {backup}")
    except PipelineError as error:
        # Without a traceback: the message is for people.
        log.error("Task %s: backup %s was not deleted: %s", workspace.task_id, backup, error)  # noqa: TRY400
        raise
    log.info(
        "Task %s: backup %s was deleted (%s): %d files, %d bytes",
        workspace.task_id, backup, reason, planned.file_count, planned.size_bytes,
    )  # fmt: skip
