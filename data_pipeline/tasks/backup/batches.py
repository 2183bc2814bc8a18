"""Delete backups of any kind by a plan, some in one transaction. Each deletion is a line in the log.

A backup that cannot be deleted is reported. The others, also those of its transaction, are deleted nevertheless.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from data_pipeline.errors import DeletionFailed, OutcomeUnsettled, PipelineError
from data_pipeline.tasks.backup.pruning import Action, PrunedBackup, PruneReport

Progress = Callable[[int, int], None]


class Deletion(NamedTuple):
    """How the backups of a place are deleted; `title` comes before their names in the log."""

    commit: Callable[[Sequence[str]], None]
    """Deletes the backups of these names in one transaction. Raises PipelineError, DeletionFailed if it was undone."""

    batch_size: int
    title: str
    log: logging.Logger


def carry_out(planned: PruneReport, deletion: Deletion, progress: Progress = lambda _done, _total: None) -> PruneReport:
    """Delete the backups of a plan, the oldest first, and return the report."""
    leaving = planned.deleted[::-1]
    ended: dict[str, PrunedBackup] = {}
    for start in range(0, len(leaving), deletion.batch_size):
        progress(start, len(leaving))
        batch = _try_to_delete(leaving[start : start + deletion.batch_size], planned.policy, deletion)
        ended |= {backup.backup: backup for backup in batch}
    progress(len(leaving), len(leaving))
    backups = tuple(ended.get(backup.backup, backup) for backup in planned.backups)
    return PruneReport(planned.policy, is_dry_run=False, backups=backups)


def carry_out_one(planned: PruneReport, deletion: Deletion) -> PruneReport:
    """Delete the only backup of a plan. Raises as `deletion.commit` does."""
    (backup,) = planned.backups
    try:
        _delete([backup], planned.policy, deletion)
    except PipelineError as error:
        _log_failure(backup, error, deletion)
        raise
    return replace(planned, is_dry_run=False)


def _try_to_delete(batch: Sequence[PrunedBackup], policy: str, deletion: Deletion) -> Sequence[PrunedBackup]:
    """Delete backups in one transaction or, if that was undone, each in a transaction of its own."""
    try:
        _delete(batch, policy, deletion)
    except PipelineError as error:
        if isinstance(error, DeletionFailed) and len(batch) > 1:
            deletion.log.warning(
                "%s %s and %d others are tried one by one, because together they could not be deleted: %s",
                deletion.title, batch[0].backup, len(batch) - 1, error,
            )  # fmt: skip
            return [ended for backup in batch for ended in _try_to_delete([backup], policy, deletion)]
        action: Action = "unknown" if isinstance(error, OutcomeUnsettled) else "failed"
        for backup in batch:
            _log_failure(backup, error, deletion)
        return [replace(backup, action=action, error=str(error)) for backup in batch]
    return batch


def _delete(batch: Sequence[PrunedBackup], policy: str, deletion: Deletion) -> None:
    deletion.commit([backup.backup for backup in batch])
    for backup in batch:
        reasons = "; ".join(backup.reasons)
        deletion.log.info(
            "%s %s was deleted (%s): %d files, %d bytes",
            deletion.title, backup.backup, f"{policy}: {reasons}" if policy else reasons,
            backup.file_count, backup.size_bytes,
        )  # fmt: skip


def _log_failure(backup: PrunedBackup, error: PipelineError, deletion: Deletion) -> None:
    """Log the message alone, without a traceback: it is for people."""
    outcome = "may still be there" if isinstance(error, OutcomeUnsettled) else "was not deleted"
    deletion.log.error("%s %s %s: %s", deletion.title, backup.backup, outcome, error)
