"""Restore a backup: move the current files into a new backup, then copies of the old files into the task directory.

Both happen in one transaction, completely or not at all. The backup is not changed, so a restore can be undone by
restoring the backup that it created. A dry run takes no lock, because it would then have to recover, which changes
files.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from data_pipeline.errors import DirectoryUnusable, InvalidInput, NotFound, RestoreFailed
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.backup.catalogue import Backup, find_backup
from data_pipeline.tasks.backup.changes import ACTIONS, FileChange, Progress, find_changes
from data_pipeline.tasks.backup.create import BackupFacts, declare_backup
from data_pipeline.tasks.workspace import WorkFolder, Workspace
from journal import (
    DIRECTORY,
    Folder,
    Identity,
    JournalError,
    TransactionFailed,
    inspect_directory,
    printable,
)

NOT_LOCKED = "The task was not locked: changes in its directory before the restore are not in this answer."


@dataclass(frozen=True)
class RestoreReport:
    """The result of a restore, or of its dry run (`is_dry_run`). Names are those of the system.

    `replaced` are the current files that moved into `safety_backup`, which is None if there were none. `skipped` are
    the entries of the backup that are not restored, with the reason. A dry run has the `changes` of each name, and
    `notes` on events that may still change them.
    """

    backup: str
    restored: tuple[str, ...]
    replaced: tuple[str, ...]
    skipped: dict[str, str]
    is_dry_run: bool = True
    safety_backup: str | None = None
    changes: tuple[FileChange, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int] | None:
        """The number of changes of each kind; None without changes."""
        if self.changes is None:
            return None
        counted = Counter(change.action for change in self.changes)
        return {action: counted[action] for action in ACTIONS}

    def summary(self) -> dict[str, Any]:
        """Return the fields for answers, with printable names."""
        return {
            "backup": self.backup,
            "dry_run": self.is_dry_run,
            "restored": [printable(name) for name in self.restored],
            "replaced": [printable(name) for name in self.replaced],
            "skipped": {printable(name): reason for name, reason in self.skipped.items()},
            "safety_backup": self.safety_backup,
            "counts": self.counts,
            "changes": None if self.changes is None else [change.summary() for change in self.changes],
            "notes": list(self.notes),
        }


def plan_restore(
    backup: Backup, current: Collection[str], directories: Collection[str], chosen: Sequence[str] | None
) -> RestoreReport:
    """Plan the restore into a task directory with these current files and directories.

    `chosen` names single files. None means all; then every current file is moved away, as before a complete run. Raises
    NotFound for a chosen file that is not in the backup, InvalidInput if a directory has the name of a restored file or
    if no file can be restored, DirectoryUnusable if the record cannot be distinguished from the files.
    """
    entries = {file.name: file for file in backup.files}
    skipped: dict[str, str] = {}
    if chosen is None:
        names = [name for name in entries if name not in backup.doubtful]
        skipped |= dict.fromkeys(backup.doubtful, _why_doubtful(backup))
    else:
        names = list(dict.fromkeys(chosen))
        for name in names:
            if name not in entries:
                raise NotFound("file", name, f"`data-pipeline backups show` lists those of {backup.name}.")
    if backup.record_error is not None and (chosen is None or set(names) & set(backup.doubtful)):
        raise DirectoryUnusable(
            f"{backup.name}: {backup.record_error}, so the record cannot be distinguished from the files. "
            "Correct the permissions or repair the disk, or name the files to restore."
        )
    restored = [name for name in names if entries[name].is_restorable]
    if not restored:
        raise InvalidInput("backup", f"{backup.name} does not contain a file that can be restored")
    skipped |= {name: f"it is a {entries[name].kind} entry" for name in names if not entries[name].is_restorable}
    taken = sorted(set(restored) & set(directories))
    if taken:
        raise InvalidInput("backup", *(f"{printable(name)} is a directory now: rename it first" for name in taken))
    leaving = set(restored) if chosen is not None else set(restored) | set(current) - {task_directory.TABLE_LIST}
    return RestoreReport(
        backup=backup.name,
        restored=tuple(sorted(restored)),
        replaced=tuple(sorted(leaving & set(current))),
        skipped=skipped,
    )


def preview_restore(
    path: str,
    name: str,
    chosen: Sequence[str] | None = None,
    *,
    progress: Progress = lambda _done, _total: None,
) -> RestoreReport:
    """Return the report of a dry run of a restore into the task directory at `path`. Changes nothing, takes no lock.

    Reads the files that may be the same; `progress` counts their bytes. Raises as `restore` does before it begins.
    """
    planned = _plan(path, name, chosen)
    changes = find_changes(
        os.path.join(path, name), path, restored=planned.restored, leaving=planned.replaced, progress=progress
    )
    return replace(planned, changes=tuple(changes), notes=(NOT_LOCKED, *_what_comes_first(path)))


def _what_comes_first(path: str) -> Iterator[str]:
    """Yield notes on the events that must end before a restore can begin."""
    try:
        inspection = inspect_directory(path)
    except JournalError as error:
        yield f"It is unknown whether the task is in use: {printable(str(error))}"
        return
    if inspection.condition == "busy":
        yield f"The task is in use by {inspection.held_by or 'another process'}: a restore is refused until that ends."
    elif inspection.condition != "clean":
        yield "A change of its files was interrupted, and recovery comes first: run `data-pipeline recover`."


def _plan(path: str, name: str, chosen: Sequence[str] | None) -> RestoreReport:
    backup = find_backup(path, name)
    try:
        with os.scandir(path) as entries:
            is_directory = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    except OSError as error:
        raise DirectoryUnusable(f"{printable(path)} cannot be read ({error.strerror}).") from error
    return plan_restore(
        backup,
        {entry for entry in is_directory if not is_directory[entry]},
        {entry for entry in is_directory if is_directory[entry]},
        chosen,
    )


def restore(
    workspace: Workspace,
    name: str,
    *,
    restore_id: str,
    chosen: Sequence[str] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC).astimezone(),
    progress: Callable[[int, int], None] | None = None,
) -> RestoreReport:
    """Restore a backup, or single files of it, under the workspace's lock.

    Raises NotFound, InvalidInput, DirectoryUnusable, RecoveryNeeded and RestoreFailed. Then everything is as before,
    except for the files that a RestoreFailed names. Raises OutcomeUnsettled if the outcome is unknown until recovery.
    """
    report = _plan(workspace.path, name, chosen)
    facts = BackupFacts(workspace.task_id, None, now(), restored=name)
    with workspace.temporary_folder(restore_id) as work:
        try:
            return _restore(workspace, report, work, facts, progress)
        except TransactionFailed as error:
            state = "everything is as before" if not error.conflicts else "some files are not as before"
            raise RestoreFailed(f"{name} was not restored, {state}: {printable(str(error))}") from error
        except (JournalError, OSError) as error:  # before the transaction began: an unknown outcome is another error
            raise RestoreFailed(f"{name} was not restored, everything is as before: {printable(str(error))}") from error


def _restore(
    workspace: Workspace,
    report: RestoreReport,
    work: WorkFolder,
    facts: BackupFacts,
    progress: Callable[[int, int], None] | None,
) -> RestoreReport:
    directory = workspace.directory
    for file in report.restored:
        directory.copy(Folder("directory", report.backup), file, work.folder, file)
    transaction = directory.transaction(f"restore of {report.backup}")
    safety_backup = None
    if report.replaced:
        present = _identities(workspace, report.replaced)
        safety_backup = declare_backup(transaction, present, facts)
    for file in report.restored:
        transaction.move(file, DIRECTORY, source=work.folder)
    waiting = set(report.restored)

    def have_left() -> bool:
        return waiting.isdisjoint(entry for entry, _ in directory.scan(work.folder))

    workspace.commit(transaction, what=f"the restore of {report.backup}", took_effect=have_left, progress=progress)
    return replace(report, is_dry_run=False, safety_backup=safety_backup.directory.name if safety_backup else None)


def _why_doubtful(backup: Backup) -> str:
    if len(backup.doubtful) == 1:
        return "it is the broken record of this backup"
    return "it may be the record of this backup, which is broken: name it to restore it"


def _identities(workspace: Workspace, names: Sequence[str]) -> dict[str, Identity]:
    wanted = set(names)
    return {name: identity for name, identity in workspace.directory.scan() if name in wanted}
