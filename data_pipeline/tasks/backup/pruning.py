"""Plan the deletion of backups of any kind, by a retention policy or by name, and report it. Pure.

The caller lists the backups; `batches` carries out a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from pydantic import ValidationError

from data_pipeline.config.retention import NEWEST, Candidate, RetentionPolicy, decide
from data_pipeline.errors import BackupProtected, InvalidInput

NAMED: Final = "it was named"

Action = Literal["keep", "delete", "failed", "unknown"]
Now = Callable[[], datetime]


class StoredBackup(NamedTuple):
    """A backup as far as its deletion concerns it; `guard` and `lock` are those of `retention.Candidate`."""

    name: str
    made_at: datetime
    file_count: int
    size_bytes: int
    guard: str | None = None
    lock: str | None = None


@dataclass(frozen=True)
class PrunedBackup:
    """A backup with its verdict and the outcome; `error` is the reason of a failed deletion.

    `unknown`: it is unknown until recovery whether the deletion took effect.
    """

    backup: str
    action: Action
    reasons: tuple[str, ...]
    made_at: datetime
    file_count: int
    size_bytes: int
    error: str | None = None

    @classmethod
    def of(cls, backup: StoredBackup, action: Action, reasons: tuple[str, ...]) -> PrunedBackup:
        """Return the verdict on a backup."""
        return cls(backup.name, action, reasons, backup.made_at, backup.file_count, backup.size_bytes)

    def summary(self) -> dict[str, Any]:
        """Return the fields for answers."""
        return {**vars(self), "reasons": list(self.reasons), "made_at": self.made_at.isoformat()}


@dataclass(frozen=True)
class PruneReport:
    """The verdict on each backup of a place, and the outcome of its deletion, newest first."""

    policy: str
    is_dry_run: bool
    backups: tuple[PrunedBackup, ...]

    @property
    def deleted(self) -> list[PrunedBackup]:
        """The backups that were deleted, or would be."""
        return [backup for backup in self.backups if backup.action == "delete"]

    @property
    def errors(self) -> list[str]:
        """The errors of backups that were not deleted, or may not be."""
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


def policy_of(rules: Mapping[str, object], default: RetentionPolicy) -> RetentionPolicy:
    """Return the policy of a request: its rules, or the default if it has none. Raises InvalidInput."""
    try:
        policy = RetentionPolicy.model_validate(rules)
    except ValidationError as error:
        problems = (f"{fault['loc'][0]}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors())
        raise InvalidInput("policy", *problems) from None
    return default if policy.is_empty else policy


def plan_by_policy(
    backups: Iterable[StoredBackup], policy: RetentionPolicy, *, now: datetime, is_forced: bool
) -> PruneReport:
    """Return the report of a dry run of pruning these backups."""
    by_name = {backup.name: backup for backup in backups}
    candidates = [
        # In local time, whose days people count.
        Candidate(backup.name, backup.made_at.astimezone(), backup.size_bytes, backup.guard, backup.lock)
        for backup in by_name.values()
    ]
    planned = tuple(
        PrunedBackup.of(by_name[verdict.candidate.name], "keep" if verdict.is_kept else "delete", verdict.reasons)
        for verdict in decide(policy, candidates, now=now, is_forced=is_forced)
    )
    return PruneReport(str(policy), is_dry_run=True, backups=planned)


def plan_by_name(chosen: Iterable[StoredBackup], newest: str | None, *, is_forced: bool) -> PruneReport:
    """Return the report of a dry run that deletes these backups; `newest` is the name of the newest one of all.

    Raises BackupProtected for one with a lock and, unless forced, for the newest one and for one with a guard.
    """
    backups = tuple(chosen)
    for backup in backups:
        if backup.lock is not None:
            raise BackupProtected(backup.name, backup.lock, can_force=False)
        reason = NEWEST if backup.name == newest else backup.guard
        if reason is not None and not is_forced:
            raise BackupProtected(backup.name, reason, can_force=True)
    planned = tuple(PrunedBackup.of(backup, "delete", (NAMED,)) for backup in backups)
    return PruneReport("", is_dry_run=True, backups=planned)
