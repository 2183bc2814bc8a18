"""Move every file of the task directory into `file_bak_<time>/` before a complete run, in one transaction.

Directories, and `table_list.txt` by exactly this name, are not moved. A file that cannot be moved is reported, and
copied if it can be read. The run continues in any case. A report states that files are in their places only if that is
known: if the disk did not confirm the end of a backup, it is recovered at once, and `unknown` until that succeeds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from data_pipeline.errors import OutcomeUnsettled, RecoveryNeeded
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.backup.catalogue import read_record
from data_pipeline.tasks.backup.record import BackupRecord, FailedFile, Statistics, largest_size
from data_pipeline.tasks.backup.report import NOTHING, BackupReport
from data_pipeline.tasks.workspace import Workspace
from journal import Identity, JournalError, NewDirectory, Outcome, Transaction, TransactionFailed, printable

KEPT_NOTE = "This backup was undone, but some of its files were changed meanwhile and had to stay here."

IN_PLACE = "every file is in its place"


@dataclass(frozen=True)
class BackupFacts:
    """The facts of a record that are known before its outcome. The name of the directory is `instant` in local time."""

    task_id: str
    run_id: str | None
    instant: datetime
    restored: str | None = None

    def record(self, directory: str, transaction: str, **outcome: Any) -> BackupRecord:
        """Return the record of a backup in this directory, by this transaction."""
        return BackupRecord(
            backup_time=self.instant.replace(tzinfo=None).isoformat(timespec="microseconds"),
            backup_directory=directory,
            moved_files=outcome.pop("moved_files", ()),
            task_id=self.task_id,
            run_id=self.run_id,
            backup_time_utc=self.instant.astimezone(UTC).isoformat(timespec="microseconds"),
            transaction=transaction,
            restored=self.restored,
            **outcome,
        )


def back_up(
    workspace: Workspace,
    *,
    run_id: str,
    now: Callable[[], datetime] = lambda: datetime.now(UTC).astimezone(),
    progress: Callable[[int, int], None] | None = None,
) -> BackupReport:
    """Move the files of earlier runs away. Errors of the disk are in the report.

    A backup that this run created before it was killed is found by `run_id` and reported again.
    """
    started = now()
    try:
        record = _record_of_run(workspace, run_id)
        if record is not None:
            return _report("already_backed_up", record, started, now())
        if workspace.needs_recovery is not None:
            return _not_begun(workspace, run_id, started, now())
        files = files_to_move(workspace)
        if not files:
            return BackupReport(state="nothing_to_back_up", started_at=started, ended_at=now())
        return _move(workspace, files, BackupFacts(workspace.task_id, run_id, started), now, progress)
    except TransactionFailed as error:
        where = IN_PLACE if not error.conflicts else "some files are not in their place"
        return _failed(f"{where}: {error}", started, now())
    except (RecoveryNeeded, JournalError, OSError) as error:
        return _failed(f"it was not begun: {error}", started, now())


def settle(workspace: Workspace, report: BackupReport, now: Callable[[], datetime]) -> BackupReport:
    """Recover an unknown backup again, and return the report of its outcome; return `report` if that fails.

    Call this before any other change of the task directory, because files may still move until then.
    """
    if report.state != "unknown" or report.transaction is None:
        return report
    if workspace.needs_recovery is not None:
        workspace.try_recovery()
    recovered = workspace.report_of(report.transaction)
    if workspace.needs_recovery is not None or recovered is None:
        return report
    if recovered.action == "finished":
        return _found(workspace, report, now())
    where = IN_PLACE if not recovered.conflicts else "some files are not in their place"
    undone = "; ".join([f"{where}: recovery undid the backup", *recovered.conflicts])
    return _failed(undone, report.started_at, now())


def disabled(now: datetime) -> BackupReport:
    """Return the report of a run whose settings disable backups."""
    return BackupReport(state="disabled", started_at=now, ended_at=now)


@dataclass(frozen=True)
class DeclaredBackup:
    """A backup within a transaction."""

    directory: NewDirectory
    facts: BackupFacts
    _records: list[BackupRecord] = field(default_factory=list)

    @property
    def record(self) -> BackupRecord:
        """The record that the committed transaction has written."""
        return self._records[-1]

    def encode(self, outcome: Outcome) -> bytes:
        """Return the bytes of the record, by the outcome of the transaction."""
        self._records.append(self._make_record(outcome))
        return self.record.encoded()

    def _make_record(self, outcome: Outcome) -> BackupRecord:
        moved: list[str] = []
        failed: list[FailedFile] = []
        for source, destination, failure in outcome.results():
            name = destination.removeprefix(f"{self.directory.name}/")
            if name == destination:
                continue  # another part of the transaction
            if source is None:
                continue  # the record is not a file of the task
            if failure is not None:
                failed.append(FailedFile(file=printable(source), **asdict(failure)))
            else:
                moved.append(source)
        statistics = Statistics(
            files=len(moved),
            bytes=outcome.moved_bytes(self.directory),
            seconds=round(outcome.seconds, 6),
            retries=outcome.retries,
        )
        return self.facts.record(
            self.directory.name,
            outcome.transaction,
            moved_files=tuple(sorted(map(printable, moved))),
            failed_files=tuple(sorted(failed, key=lambda item: item.file)),
            statistics=statistics,
        )


def declare_backup(transaction: Transaction, files: Mapping[str, Identity], facts: BackupFacts) -> DeclaredBackup:
    """Declare, in a transaction, that files of the task directory move into a new backup with its record."""
    directory = transaction.make_directory(task_directory.backup_name(facts.instant), next_free=True)
    for name, identity in files.items():
        transaction.move(name, directory, copy_on_failure=True, seen=identity)
    declared = DeclaredBackup(directory, facts)
    transaction.create(
        directory,
        task_directory.record_name(files),
        declared.encode,
        if_kept=lambda transaction_id, name: facts.record(name, transaction_id, note=KEPT_NOTE).encoded().decode(),
        size_bytes=largest_size(files),
    )
    return declared


def files_to_move(workspace: Workspace) -> dict[str, Identity]:
    """Return the entries that a backup moves: all but directories and `table_list.txt`, by exactly this name."""
    return {
        name: identity
        for name, identity in workspace.directory.scan()
        if identity.type != "directory" and name != task_directory.TABLE_LIST
    }


def _move(
    workspace: Workspace,
    files: Mapping[str, Identity],
    facts: BackupFacts,
    now: Callable[[], datetime],
    progress: Callable[[int, int], None] | None,
) -> BackupReport:
    transaction = workspace.directory.transaction(f"backup of run {facts.run_id}", on_error="continue")
    declared = declare_backup(transaction, files, facts)

    def have_left() -> bool:
        return _committed_record(workspace, declared.directory.name, transaction.id) is not None

    def unknown(error: str | None = None) -> BackupReport:
        return _unknown(declared.directory.name, transaction.id, error, facts.instant, now())

    try:
        outcome = workspace.commit(
            transaction, what=f"the backup of run {facts.run_id}", took_effect=have_left, progress=progress
        )
    except OutcomeUnsettled as error:
        return unknown(str(error))
    if outcome is None:  # recovery found it committed
        return _found(workspace, unknown(), now())
    return _report("backed_up", declared.record, facts.instant, now())


def _not_begun(workspace: Workspace, run_id: str, started: datetime, ended: datetime) -> BackupReport:
    """Return the report if an earlier transaction is unfinished. If it is the backup of this run, it is unknown."""
    record = next(_records_of_run(workspace, run_id), None)
    reason = f"{workspace.needs_recovery} Then run: data-pipeline recover"
    if record is None:
        return _failed(f"it was not begun: {reason}", started, ended)
    error = str(OutcomeUnsettled(f"the backup of run {run_id}", reason))
    return _unknown(record.backup_directory, record.transaction, error, started, ended)


def _found(workspace: Workspace, report: BackupReport, ended: datetime) -> BackupReport:
    """Return the report of a backup that recovery found committed, by its record."""
    record = _committed_record(workspace, report.directory or "", report.transaction or "")
    if record is None:
        reason = f"{report.directory} is complete, but its record cannot be read."
        return report.model_copy(update={"ended_at": ended, "error": printable(reason)})
    return _report("backed_up", record, report.started_at, ended)


def _committed_record(workspace: Workspace, directory: str, transaction: str) -> BackupRecord | None:
    """Return the record that a committed transaction wrote into its backup directory."""
    record = read_record(os.path.join(workspace.path, directory), containing=transaction)
    return record if record is not None and record.transaction == transaction and record.is_of_commit else None


def _report(
    state: Literal["backed_up", "already_backed_up"], record: BackupRecord, started: datetime, ended: datetime
) -> BackupReport:
    return BackupReport(
        state=state,
        directory=record.backup_directory,
        moved_count=len(record.moved_files),
        moved_files=record.moved_files,
        failed_files=record.failed_files,
        statistics=record.statistics or NOTHING,
        started_at=started,
        ended_at=ended,
    )


def _failed(error: str, started: datetime, ended: datetime) -> BackupReport:
    return BackupReport(state="failed", started_at=started, ended_at=ended, error=printable(error))


def _unknown(
    directory: str, transaction: str | None, error: str | None, started: datetime, ended: datetime
) -> BackupReport:
    return BackupReport(
        state="unknown",
        directory=directory,
        started_at=started,
        ended_at=ended,
        error=None if error is None else printable(error),
        transaction=transaction,
    )


def _record_of_run(workspace: Workspace, run_id: str) -> BackupRecord | None:
    """Return the record of the backup that this run created before it was killed, if it is known to be committed.

    It is not if its journal still exists, hot or set aside, or if recovery wrote the record.
    """
    for record in _records_of_run(workspace, run_id):
        if record.transaction is not None and not workspace.has_journal(record.transaction):
            return record
    return None


def _records_of_run(workspace: Workspace, run_id: str) -> Iterator[BackupRecord]:
    for name, identity in workspace.directory.scan():
        if identity.type == "directory" and task_directory.is_backup_name(name):
            record = read_record(os.path.join(workspace.path, name), containing=run_id)
            if record is not None and record.run_id == run_id and record.is_of_commit:
                yield record
