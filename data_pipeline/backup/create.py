"""Before a complete run: every file of the task directory moves into `file_bak_<time>/`, as one transaction.

Not moved: directories, and `table_list.txt` by exactly this name. What cannot be moved is copied if it can be read, and
reported; whatever happens, the run goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from data_pipeline import task_directory
from data_pipeline.backup.catalogue import read_record
from data_pipeline.backup.record import BackupRecord, FailedFile, Statistics, largest_size
from data_pipeline.workspace import Workspace
from journal import Identity, JournalError, NewDirectory, Outcome, Transaction, printable

NOTHING = Statistics(files=0, bytes=0, seconds=0.0, retries=0)
KEPT_NOTE = "This backup was undone, but some of its files were changed meanwhile and had to stay here."

State = Literal["disabled", "nothing_to_back_up", "backed_up", "already_backed_up", "failed"]


@dataclass(frozen=True)
class BackupFacts:
    """What a record says besides the outcome; `instant` is local and aware, and names the directory too."""

    task_id: str
    run_id: str | None
    instant: datetime
    restored: str | None = None

    def record(self, directory: str, transaction: str, **found: Any) -> BackupRecord:
        """The record of a backup in this directory, by this transaction."""
        return BackupRecord(
            backup_time=self.instant.replace(tzinfo=None).isoformat(timespec="microseconds"),
            backup_directory=directory,
            moved_files=found.pop("moved_files", ()),
            task_id=self.task_id,
            run_id=self.run_id,
            backup_time_utc=self.instant.astimezone(UTC).isoformat(timespec="microseconds"),
            transaction=transaction,
            restored=self.restored,
            **found,
        )


@dataclass(frozen=True)
class BackupReport:
    """What became of a run's backup; `error` only where it failed as a whole, and then every file is in its place.

    Times are local and aware. `moved_files` are printable names, in the order of the alphabet.
    """

    state: State
    started_at: datetime
    ended_at: datetime
    directory: str | None = None
    moved_files: tuple[str, ...] = ()
    failed_files: tuple[FailedFile, ...] = ()
    statistics: Statistics = NOTHING
    error: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether no file of an earlier run is left in its place."""
        return self.state not in ("disabled", "failed") and not self.failed_files

    def summary(self) -> dict[str, Any]:
        """For results and answers: counts, and the failed files by name, but never thousands of moved ones."""
        return {
            "state": self.state,
            "directory": self.directory,
            "moved_count": len(self.moved_files),
            "failed_files": [failed.model_dump() for failed in self.failed_files],
            "statistics": self.statistics.model_dump(),
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "error": self.error,
        }


def back_up(
    workspace: Workspace,
    *,
    run_id: str,
    now: Callable[[], datetime] = lambda: datetime.now(UTC).astimezone(),
    progress: Callable[[int, int], None] | None = None,
) -> BackupReport:
    """Move the files of earlier runs away; never raises for what the disk refuses.

    A backup that this run made before it was killed is found by `run_id` and reported again.
    """
    started = now()
    try:
        found = _made_by(workspace, run_id)
        if found is not None:
            return _report("already_backed_up", found, started, now())
        files = files_to_move(workspace)
        if not files:
            return BackupReport("nothing_to_back_up", started, now())
        return _move(workspace, files, BackupFacts(workspace.task_id, run_id, started), now, progress)
    except (JournalError, OSError) as error:
        return BackupReport("failed", started, now(), error=printable(str(error)))


def disabled(now: datetime) -> BackupReport:
    """The report of a run whose settings say: no backup."""
    return BackupReport("disabled", now, now)


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
        """Write the record of what the transaction has done of this backup."""
        self._records.append(self._make_record(outcome))
        return self.record.encoded()

    def _make_record(self, outcome: Outcome) -> BackupRecord:
        moved: list[str] = []
        failed: list[FailedFile] = []
        for source, destination, failure in outcome.results():
            name = destination.removeprefix(f"{self.directory.name}/")
            if name == destination:
                continue  # of another part of the transaction
            if failure is not None:
                failed.append(FailedFile(file=printable(source or name), **asdict(failure)))
            elif source is not None:
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
    """What a backup takes: every entry but directories and `table_list.txt`, exactly so called."""
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
    transaction.commit(progress)
    return _report("backed_up", declared.record, facts.instant, now())


def _report(state: State, record: BackupRecord, started: datetime, ended: datetime) -> BackupReport:
    return BackupReport(
        state,
        started,
        ended,
        directory=record.backup_directory,
        moved_files=record.moved_files,
        failed_files=record.failed_files,
        statistics=record.statistics or NOTHING,
    )


def _made_by(workspace: Workspace, run_id: str) -> BackupRecord | None:
    """The record of the backup that this run made before it was killed."""
    for name, identity in workspace.directory.scan():
        if identity.type == "directory" and task_directory.is_backup_name(name):
            record = read_record(os.path.join(workspace.path, name), containing=run_id)
            if record is not None and record.run_id == run_id:
                return record
    return None
