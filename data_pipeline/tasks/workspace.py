"""Lock a task's directory, recover it, stage files, and publish them. With `backup/` the only importer of `journal`.

The files of a run are staged in `work-<run>/` beside the task directory, and one transaction publishes them: readers
see all of them or none. The files of a request are staged in `temporary-<request>/`, which is removed with the request.
A published file may replace a file of the same name, which the same transaction moves to `kept-<run>/`. It is compared
only there, where no other process can change it: a file that an earlier run published and that is unchanged is
removed, any other file stays.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Self

from data_pipeline.errors import (
    DeletionFailed,
    DirectoryUnusable,
    OutcomeUnsettled,
    PipelineError,
    PublishFailed,
    RecoveryNeeded,
    TaskBusy,
)
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.staging import StagedFile
from journal import (
    DIRECTORY,
    DirectoryBusy,
    DirectoryMissing,
    FileLock,
    Filesystem,
    Folder,
    JournalError,
    JournalReport,
    LocalFilesystem,
    Lock,
    LockedDirectory,
    NeedsAttention,
    NewDirectory,
    Outcome,
    OutcomeUnknown,
    RollbackIncomplete,
    StateUnusable,
    Transaction,
    TransactionFailed,
    inspect_all,
    lock_directory,
)

# Names of the journal for the rest of this package, which must not import it.
from journal import Inspection as Inspection  # noqa: PLC0414
from journal import RecoveryReport as RecoveryReport  # noqa: PLC0414
from journal import RetryLimits as RetryLimits  # noqa: PLC0414
from journal import printable as printable  # noqa: PLC0414
from journal import state_directory_of as state_directory_of  # noqa: PLC0414
from journal.filesystem import Directory

WEAKER_GUARANTEE = (
    "the file system has no hard links that share an inode number: files are moved by renames alone, so that a power "
    "loss may lose one that was being moved"
)

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""Every time between these has a local time in every time zone."""

WORK_PREFIX = "work-"
TEMPORARY_PREFIX = "temporary-"
KEPT_PREFIX = "kept-"


@dataclass(frozen=True)
class Published:
    """The result of a publication: the published files, and the replaced files that no run had published.

    `kept` are paths relative to `kept_path`, the folder with these files; it is None if there are none.
    """

    files: tuple[StagedFile, ...]
    kept: tuple[str, ...] = ()
    kept_path: str | None = None


@dataclass(frozen=True)
class Door:
    """The access to the disk. Tests replace the disk, the lock or the waiting."""

    filesystem: Filesystem | None = None
    lock_factory: Callable[..., Lock] = FileLock
    retry: RetryLimits | None = None


class Workspace:
    """A locked task directory, opened by `open_workspace`. Leaving `with` releases the lock.

    `notes` are the results of recoveries, for the log. `needs_recovery` is why no transaction may begin, None
    if one may. `recovered` are the reports of all recoveries under this lock, `set_aside` the messages about the
    journals that an operator must inspect.
    """

    def __init__(self, task_id: str, directory: LockedDirectory, disk: Filesystem | None = None) -> None:
        self.task_id = task_id
        self.directory = directory
        self._disk = disk
        self.notes: list[str] = [f"Weaker guarantee: {WEAKER_GUARANTEE}."] if directory.goes_by_names else []
        self.needs_recovery: str | None = None
        self.recovered: list[RecoveryReport] = []
        self.set_aside: list[str] = []
        self.try_recovery()
        if self.needs_recovery is None:
            self._sweep(TEMPORARY_PREFIX)  # this process holds the lock, so their requests are dead

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.directory.release()

    @property
    def path(self) -> str:
        """The task directory."""
        return self.directory.path

    def read(self, name: str) -> bytes | None:
        """Return a file of the task directory, None if it is missing. Raises DirectoryUnusable if it cannot be read."""
        try:
            return read_file(os.path.join(self.path, name))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DirectoryUnusable(f"{printable(self.path)}: {name} cannot be read ({error}).") from error

    def names(self, folder: str | None = None) -> list[str]:
        """Return the names of all regular files of the task directory, or of a folder in it.

        A missing folder has none. Raises DirectoryUnusable.
        """
        return [name for name, kind in self._entries(folder).items() if kind == "file"]

    def folder_names(self, folder: str | None) -> list[str]:
        """Return the names of all entries of a folder of the task directory, of the directory itself for None.

        A missing folder has none. Raises DirectoryUnusable.
        """
        return list(self._entries(folder))

    def _entries(self, folder: str | None) -> dict[str, str]:
        """Return the names of all entries of a folder, sorted, with their types."""
        try:
            return dict(sorted((name, identity.type) for name, identity in self.directory.scan(_folder(folder))))
        except FileNotFoundError:
            return {}
        except OSError as error:
            where = printable(self.path if folder is None else os.path.join(self.path, folder))
            raise DirectoryUnusable(f"{where} cannot be read ({error}).") from error

    def has(self, name: str) -> bool:
        """Return whether the task directory has an entry of this name."""
        return os.path.lexists(os.path.join(self.path, name))

    def work_folder(self, run_id: str) -> WorkFolder:
        """Return the folder of the staged files of a run. A resumed run gets the same one. Raises DirectoryUnusable."""
        return self._make_work_folder(f"{WORK_PREFIX}{run_id}")

    def _make_work_folder(self, name: str) -> WorkFolder:
        try:
            return WorkFolder(self.directory, self.directory.make_state_folder(name))
        except OSError as error:
            raise DirectoryUnusable(f"{printable(self.directory.state_path)} cannot be written ({error}).") from error

    @contextlib.contextmanager
    def temporary_folder(self, name: str) -> Iterator[WorkFolder]:
        """Create a folder for the files of one request, and remove it at the end. Raises DirectoryUnusable.

        It stays if the outcome of a transaction on its files is unknown, and after an interrupt. Then the next owner of
        the lock removes it.
        """
        work = self._make_work_folder(f"{TEMPORARY_PREFIX}{name}")
        try:
            yield work
        except OutcomeUnsettled:
            raise
        except PublishFailed as error:
            self.discard(work)
            raise PublishFailed(error.reason, None) from error
        except Exception:
            self.discard(work)
            raise
        else:
            self.discard(work)

    def commit(
        self,
        transaction: Transaction,
        *,
        what: str,
        took_effect: Callable[[], bool],
        progress: Callable[[int, int], None] | None = None,
    ) -> Outcome | None:
        """Commit a transaction. If it ends without a known outcome, recover at once, under this lock.

        Returns None if recovery found that it took effect. `took_effect` inspects the disk if recovery has no report of
        the transaction. `what` names the change in errors. Raises RecoveryNeeded (nothing was begun), TransactionFailed
        (it was undone, except for its `conflicts`), OutcomeUnsettled.
        """
        if self.needs_recovery is not None:
            self.try_recovery()
        if self.needs_recovery is not None:
            raise RecoveryNeeded(f"{self.needs_recovery} Then run: data-pipeline recover")
        try:
            outcome = transaction.commit(progress)
            self.notes += [*_leftover_notes(outcome.leftovers), *outcome.notes]
            return outcome
        except (RollbackIncomplete, OutcomeUnknown, NeedsAttention, OSError) as error:
            if isinstance(error, NeedsAttention):
                self.set_aside.append(str(error))
            self.try_recovery()
            if not self._has_taken_effect(transaction, what, str(error), took_effect):
                raise TransactionFailed(what, _cause_of(error), self._conflicts_of(transaction.id)) from error
        return None

    def report_of(self, transaction: str) -> JournalReport | None:
        """Return the report of the recovery of a transaction under this lock, None if it was not recovered."""
        journals = (journal for report in self.recovered for journal in report.journals)
        return next((journal for journal in journals if journal.transaction == transaction), None)

    def has_journal(self, transaction: str) -> bool:
        """Return whether the state directory has a journal of this transaction, hot or set aside. Raises OSError."""
        return any(name.startswith(f"{transaction}.") for name, _ in self.directory.scan(Folder("state")))

    def publish(
        self,
        work: WorkFolder,
        files: Sequence[StagedFile],
        *,
        label: str,
        run_id: str,
        ours: Mapping[str, Collection[str]] | None = None,
    ) -> Published:
        """Publish files, all or none. Files of the same names, and of `ours` without a new file, are moved away.

        `ours` are the names of the files that an earlier run published, each with the SHA-256 of every content that it
        may have. Such files are removed; any other file that is moved away stays in a kept folder. Raises PublishFailed
        (the task directory is as before, except for the files that the message names, and the new files stay in the
        work folder), RecoveryNeeded if an earlier transaction is unfinished, OutcomeUnsettled if this one is.
        """
        ours = ours or {}
        names = {file.name for file in files}
        try:
            present = {name for name, _ in self.directory.scan()}
            leaving = sorted((names | ours.keys()) & present)
            transaction = self.directory.transaction(label)
            kept = None
            if leaving:
                root = Folder("state")
                kept = transaction.make_directory(f"{KEPT_PREFIX}{run_id}", root=root, next_free=True)
            for name in leaving:
                if name not in names:
                    assert kept is not None
                    transaction.move(name, kept)
            for file in files:
                if file.name in present:
                    transaction.publish(file.name, source=work.folder, replaced=kept)
                else:  # if another process takes the name now, the move fails, and its file stays
                    transaction.move(file.name, DIRECTORY, source=work.folder)
            self._commit_files(transaction, work, files, label)
        except (JournalError, OSError) as error:
            raise PublishFailed(str(error), work.path) from error
        if kept is None:
            return Published(tuple(files))
        return self._remove_if_ours(kept.folder, tuple(files), ours, leaving)

    def put_aside(self, work: WorkFolder, files: Sequence[StagedFile], folder: str, *, label: str) -> None:
        """Move files into a folder of the task directory, all or none. Create the folder if missing; replace no file.

        Raises PublishFailed (the files stay in the work folder), RecoveryNeeded, OutcomeUnsettled.
        """
        try:
            transaction = self.directory.transaction(label)
            destination = self._make_folder(transaction, folder)
            for file in files:
                transaction.move(file.name, destination, source=work.folder)
            self._commit_files(transaction, work, files, label)
        except (JournalError, OSError) as error:
            raise PublishFailed(str(error), work.path) from error

    def put_into(self, folder: str, name: str, content: bytes, *, label: str, work_id: str) -> None:
        """Write a file into a folder of the task directory, or replace it. Create the folder if missing.

        A crash leaves the old file or the new one, because it is one transaction. `work_id` is a name for the temporary
        folder. Raises PublishFailed (nothing is changed), RecoveryNeeded, OutcomeUnsettled, DirectoryUnusable.
        """
        with self.temporary_folder(work_id) as work:
            file = work.write(name, content)
            try:
                transaction = self.directory.transaction(label)
                destination = self._make_folder(transaction, folder)
                if isinstance(destination, Folder) and name in (entry for entry, _ in self.directory.scan(destination)):
                    transaction.publish(name, source=work.folder, destination=destination)
                else:
                    transaction.move(name, destination, source=work.folder)
                self._commit_files(transaction, work, [file], label)
            except (JournalError, OSError) as error:
                raise PublishFailed(str(error), None) from error

    def _make_folder(self, transaction: Transaction, folder: str) -> Folder | NewDirectory:
        """Return a folder of the task directory, which the transaction creates if it is missing. Raises OSError."""
        types = {name: identity.type for name, identity in self.directory.scan()}
        if folder not in types:
            return transaction.make_directory(folder)
        if types[folder] != "directory":
            raise OSError(errno.ENOTDIR, "not a directory", folder)
        return _folder(folder)

    def delete(self, names: Mapping[str | None, Collection[str]], *, label: str) -> None:
        """Delete entries of the task directory (key None) and of folders in it, also whole directories.

        It is one transaction: a crash before its commit leaves all of them, a crash after it none. Raises
        DeletionFailed (nothing is deleted, except for the conflicts that the message names), RecoveryNeeded,
        OutcomeUnsettled.
        """
        try:
            transaction = self.directory.transaction(label)
            for folder, entries in names.items():
                for name in entries:
                    transaction.delete(name, source=_folder(folder))

            def have_left() -> bool:
                return all(self._lacks(folder, entries) for folder, entries in names.items())

            self.commit(transaction, what=label, took_effect=have_left)
        except (JournalError, OSError) as error:
            raise DeletionFailed(label, printable(str(error))) from error

    def _lacks(self, folder: str | None, names: Collection[str]) -> bool:
        try:
            return set(names).isdisjoint(name for name, _ in self.directory.scan(_folder(folder)))
        except FileNotFoundError:
            return True

    def put(self, name: str, content: bytes, *, label: str, run_id: str) -> Published:
        """Publish a file of a user; a file of the same name with another content is kept. Raises as `publish`."""
        if self.read(name) == content:
            return Published(())
        with self.temporary_folder(run_id) as work:
            return self.publish(work, [work.write(name, content)], label=label, run_id=run_id)

    def remove(self) -> tuple[int, int]:
        """Delete the task directory with all its content; return the number of files, and their bytes.

        One transaction deletes the content: killed before its end, the process leaves everything; after it, nothing.
        Then the empty directory is removed. The file of the lock stays, because it must never be deleted. Raises
        RecoveryNeeded, OutcomeUnsettled, DirectoryUnusable.
        """
        files, size_bytes = _count_files(self.path)
        try:
            names = [name for name, _ in self.directory.scan() if name != task_directory.JOURNAL]
            if names:
                self.delete({None: names}, label=f"the deletion of {printable(self.path)}")
        except (DeletionFailed, OSError) as error:
            raise DirectoryUnusable(f"{printable(self.path)} cannot be deleted ({error}).") from error
        self._sweep(WORK_PREFIX, KEPT_PREFIX, TEMPORARY_PREFIX)
        if self._has_state_inside():
            return files, size_bytes  # a mount point with its own lock: only an operator can unmount it
        try:
            parent, name = os.path.split(self.path)
            with _opened(parent, self._disk) as (disk, directory):
                disk.remove_directory(directory, name)
        except OSError as error:
            raise DirectoryUnusable(
                f"The content of {printable(self.path)} was deleted, but the directory cannot be removed ({error})."
            ) from error
        return files, size_bytes

    def discard(self, work: WorkFolder) -> None:
        """Remove a work folder. If that fails, it is removed later, because no result depends on it."""
        with contextlib.suppress(OSError):
            self.directory.remove_state_folder(work.folder)

    def sweep_work(self) -> None:
        """Remove the work folders of all runs, after a complete run that succeeded: no other run needs its folder."""
        self._sweep(WORK_PREFIX)

    def try_recovery(self) -> None:
        """Recover unfinished transactions. If that fails, only new transactions are refused; `notes` has the reason."""
        while True:
            try:
                report = self.directory.recover()
            except NeedsAttention as error:  # it was set aside: continue with the others
                self.set_aside.append(str(error))
                self.notes.append(str(error))
            except (RollbackIncomplete, OutcomeUnknown) as error:
                self.needs_recovery = str(error)
                self.notes.append(self.needs_recovery)
                return
            else:
                self.needs_recovery = None
                self.recovered.append(report)
                self.notes += recovery_notes(report)
                return

    def _has_taken_effect(
        self, transaction: Transaction, what: str, reason: str, took_effect: Callable[[], bool]
    ) -> bool:
        """Return True if recovery finished a transaction, False if it undid it. Raises OutcomeUnsettled if neither."""
        if self.needs_recovery is not None:
            raise OutcomeUnsettled(what, self.needs_recovery)
        report = self.report_of(transaction.id)
        if report is not None:
            return report.action == "finished"
        try:
            if self.has_journal(transaction.id):  # set aside as damaged: nothing of it was recovered
                raise OutcomeUnsettled(what, reason, is_damaged=True)
            return took_effect()
        except OSError as error:
            raise OutcomeUnsettled(what, f"{reason} ({error})") from error

    def _conflicts_of(self, transaction: str) -> tuple[str, ...]:
        report = self.report_of(transaction)
        return () if report is None else report.conflicts

    def _commit_files(
        self, transaction: Transaction, work: WorkFolder, files: Sequence[StagedFile], label: str
    ) -> None:
        """Commit a transaction that moves files out of a work folder, all or none."""
        names = {file.name for file in files}

        def have_left() -> bool:
            return names.isdisjoint(name for name, _ in self.directory.scan(work.folder))

        try:
            self.commit(transaction, what=f"{label} (files of {work.path})", took_effect=have_left)
        except RecoveryNeeded as error:
            where = f"; its files are in {work.path}" if work.folder.path.startswith(WORK_PREFIX) else ""
            raise RecoveryNeeded(f"Not begun: {label}{where}. {error}") from error

    def _has_state_inside(self) -> bool:
        """Return whether the state of the journal is below the task directory, as in a mount point."""
        return os.path.commonpath([self.path, self.directory.state_path]) == self.path

    def _sweep(self, *prefixes: str) -> None:
        """Remove folders of the state directory. A folder that cannot be removed stays until the next sweep."""
        with contextlib.suppress(OSError):
            for name, identity in list(self.directory.scan(Folder("state"))):
                if identity.type == "directory" and name.startswith(prefixes):
                    with contextlib.suppress(OSError):
                        self.directory.remove_state_folder(Folder("state", name))

    def _remove_if_ours(
        self, folder: Folder, files: tuple[StagedFile, ...], ours: Mapping[str, Collection[str]], moved: Sequence[str]
    ) -> Published:
        """Remove a kept folder if all its files are ours. A file that cannot be read or removed is kept."""
        path = self.directory.path_of(folder)
        names = sorted(moved)
        try:
            names = sorted(name for name, _ in self.directory.scan(folder))
            if all(_sha256(os.path.join(path, name)) in ours.get(name, ()) for name in names):
                self.directory.remove_state_folder(folder)
                return Published(files)
        except OSError as error:
            self.notes.append(f"{printable(path)} cannot be inspected or removed ({error}); it is kept.")
        return Published(files, kept=tuple(map(printable, names)), kept_path=printable(path))


class WorkFolder:
    """A folder of staged files, a `Staging`; `Workspace` publishes them."""

    def __init__(self, directory: LockedDirectory, folder: Folder) -> None:
        self.folder = folder
        self._directory = directory

    @property
    def path(self) -> str:
        """The printable path."""
        return printable(self._directory.path_of(self.folder))

    def write(self, name: str, content: str | bytes) -> StagedFile:
        """Write a file, or replace the one of an earlier attempt. Raises DirectoryUnusable."""
        return self.write_chunks(name, [content.encode() if isinstance(content, str) else content])

    def write_chunks(self, name: str, chunks: Iterable[bytes]) -> StagedFile:
        """Write a file that need not fit into memory. If the iteration raises, no file is left."""
        digest, size_bytes = hashlib.sha256(), 0

        def counted() -> Iterator[bytes]:
            nonlocal size_bytes
            for chunk in chunks:
                digest.update(chunk)
                size_bytes += len(chunk)
                yield chunk

        try:
            self._directory.write(self.folder, name, counted(), replace=True)
        except OSError as error:
            raise DirectoryUnusable(f"{self.path}/{printable(name)} cannot be written ({error}).") from error
        return StagedFile(name, digest.hexdigest(), size_bytes)

    def copy(self, name: str, new_name: str) -> StagedFile:
        """Stage a copy of a regular file of the task directory under a new name. Raises DirectoryUnusable."""
        try:
            self._directory.copy(DIRECTORY, name, self.folder, new_name)
            path = os.path.join(self._directory.path_of(self.folder), new_name)
            sha256 = _sha256(path)
            if sha256 is None:
                raise OSError(errno.EINVAL, "not a regular file", name)
            return StagedFile(new_name, sha256, os.path.getsize(path))
        except OSError as error:
            raise DirectoryUnusable(f"{printable(name)} cannot be copied ({error}).") from error

    def has(self, file: StagedFile) -> bool:
        """Return whether this very file is here: a power failure may have followed the record of it."""
        return _sha256(os.path.join(self._directory.path_of(self.folder), file.name)) == file.sha256


def open_workspace(
    path: str, task_id: str, *, label: str, timeout_seconds: float, door: Door | None = None
) -> Workspace:
    """Lock a task's directory, at `path`, and recover the unfinished transactions in it.

    Raises TaskBusy if another process holds it for longer than `timeout_seconds`, and DirectoryUnusable, also for a
    directory that is a symbolic link.
    """
    door = door or Door()
    check_not_link(path)
    with _translating_errors(task_id, path):
        directory = lock_directory(
            path,
            label=label,
            timeout_seconds=timeout_seconds,
            recover_first=False,
            retry=door.retry,
            filesystem=door.filesystem,
            lock_factory=door.lock_factory,
        )
    try:
        with _translating_errors(task_id, path):
            return Workspace(task_id, directory, door.filesystem)
    except BaseException:
        with contextlib.suppress(OSError):  # the other error has the cause
            directory.release()
        raise


def check_not_link(path: str) -> None:
    """Check that a task directory is not a symbolic link: it would lead to files that belong to no task.

    The folder of all task directories may be one. Raises DirectoryUnusable.
    """
    if os.path.islink(path):
        raise DirectoryUnusable(
            f"{printable(path)} is a symbolic link, and a task directory must be a directory: replace the link by the "
            "directory itself. To keep all tasks elsewhere, set DATA_PIPELINE_TRAINING_DATA."
        )


def time_of(seconds: float) -> datetime:
    """Return a time of the disk, in seconds since 1970, in UTC; one before 1900 or after 9000 becomes that limit.

    A broken clock or an archive can set any time, and no listing may fail because of one file.
    """
    return datetime.fromtimestamp(min(max(seconds, EARLIEST.timestamp()), LATEST.timestamp()), UTC)


def read_file(path: str) -> bytes:
    """Return the bytes of a regular file. Raises OSError for any other kind of file, without waiting for a FIFO."""
    with open(path, "rb", opener=_open_without_waiting) as file:
        _check_regular(file, path)
        return file.read()


def open_regular_file(path: str) -> IO[bytes]:
    """Open a regular file for reading; not through a link. Raises OSError for any other kind of file."""
    return _opened_regular(path, _open_itself)


def open_for_lock(path: str) -> IO[bytes]:
    """Open a regular file to lock it exclusively, which NFS allows only with the right to write. Writes nothing.

    A file that may not be written is opened for reading, which is enough on other file systems. Raises OSError.
    """
    return _opened_regular(path, _open_for_lock)


def task_directories(training_data: str) -> list[str]:
    """Return the ids of all tasks that have a directory, sorted. Raises DirectoryUnusable."""
    try:
        names = sorted(os.listdir(training_data)) if os.path.isdir(training_data) else []
    except OSError as error:
        raise DirectoryUnusable(f"{printable(training_data)} cannot be read ({error.strerror}).") from error
    return [
        name
        for name in names
        if name != task_directory.VECTOR_BACKUPS
        and task_directory.is_task_id(name)
        and task_directory.is_task_directory(os.path.join(training_data, name))
    ]


def make_directories(path: str, filesystem: Filesystem | None = None) -> None:
    """Create a directory with its missing parents. An existing one is not changed. Raises OSError."""
    if os.path.isdir(path):
        return
    parent, name = os.path.split(os.path.abspath(path))
    make_directories(parent, filesystem)
    with _opened(parent, filesystem) as (disk, directory), contextlib.suppress(FileExistsError):
        disk.make_directory(directory, name, is_private=False)
    if not os.path.isdir(path):
        raise NotADirectoryError(f"{printable(path)} is not a directory")


def create_private_file(path: str, content: bytes = b"") -> None:
    """Create a file that only its owner can read, with its missing parents. An existing one stays. Raises OSError."""
    parent, name = os.path.split(os.path.abspath(path))
    make_directories(parent)
    with _opened(parent, None) as (disk, directory), contextlib.suppress(FileExistsError):
        disk.create(directory, name, [content])


def inspect_tasks(training_data: str) -> dict[str, Inspection]:
    """Inspect all task directories that were ever locked. Changes nothing. Raises DirectoryUnusable."""
    with _translating_errors("", training_data):
        return inspect_all(training_data)


def recover_tasks(training_data: str) -> dict[str, RecoveryReport | PipelineError]:
    """Recover all task directories whose lock is free; return a report or an error for each.

    Raises DirectoryUnusable if `training_data` cannot be read.
    """
    try:
        names = list(inspect_all(training_data))
    except OSError as error:
        raise DirectoryUnusable(f"{printable(training_data)} cannot be read ({error}).") from error
    return {name: _recover_task(os.path.join(training_data, name), name) for name in names}


def _recover_task(path: str, task_id: str) -> RecoveryReport | PipelineError:
    try:
        with open_workspace(path, task_id, label="recovery", timeout_seconds=0) as workspace:
            if workspace.set_aside or workspace.needs_recovery is not None:
                return RecoveryNeeded(" ".join([*workspace.set_aside, workspace.needs_recovery or ""]).strip())
            return workspace.recovered[-1]
    except PipelineError as error:
        return error


def try_to_move(path: str, task_id: str) -> None:
    """Check, under a task's lock, that its files can be moved. Raises TaskBusy, DirectoryUnusable with the reason."""
    check_not_link(path)
    with _translating_errors(task_id, path):
        lock_directory(path, label="doctor", timeout_seconds=0, recover_first=False).release()


def unsettled_transactions(path: str) -> frozenset[str]:
    """Return the ids of the transactions of a task directory that have a journal, hot or set aside.

    Needs no lock, changes nothing. Raises DirectoryUnusable.
    """
    state = state_directory_of(path)
    try:
        names = os.listdir(state)
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise DirectoryUnusable(f"{printable(state)} cannot be read ({error.strerror}).") from error
    return frozenset(name.partition(".")[0] for name in names if not name.startswith("."))


def _folder(name: str | None) -> Folder:
    return DIRECTORY if name is None else Folder("directory", name)


def recovery_notes(report: RecoveryReport) -> list[str]:
    """Return the results of a recovery, one sentence each; none if there was nothing to recover."""
    notes = []
    for journal in report.journals:
        notes.append(
            f"An interrupted transaction ({journal.label}, {journal.since}) was recovered: {journal.action}, "
            f"{journal.moved_back} files moved back, {journal.dropped} second names dropped."
        )
        notes += journal.conflicts
        if journal.set_aside is not None:
            notes.append(f"Its journal is kept for an operator: {journal.set_aside}")
    return notes + _leftover_notes(report.leftovers)


def _leftover_notes(leftovers: Iterable[str]) -> list[str]:
    return [f"Cannot be removed now, will be tried again: {leftover}" for leftover in leftovers]


@contextlib.contextmanager
def _opened(path: str, filesystem: Filesystem | None) -> Iterator[tuple[Filesystem, Directory]]:
    disk = filesystem or LocalFilesystem()
    directory = disk.open_directory(path)
    try:
        yield disk, directory
    finally:
        disk.close(directory)


@contextlib.contextmanager
def _translating_errors(task_id: str, path: str) -> Iterator[None]:
    try:
        yield
    except JournalError as error:
        raise _translate(task_id, error) from error
    except OSError as error:
        raise DirectoryUnusable(
            f"{printable(path)} cannot be locked ({error}). Correct its permissions, or repair the disk."
        ) from error


def _cause_of(error: JournalError | OSError) -> str:
    """Return the cause of a failure without the advice to recover, because that has happened."""
    if isinstance(error, RollbackIncomplete):
        return "; ".join(error.errors)
    return str(error.__cause__ or error)


def _translate(task_id: str, error: JournalError) -> PipelineError:
    """Return the error of a task for an error of the journal."""
    match error:
        case DirectoryBusy():
            return TaskBusy(task_id, error.waited_seconds, str(error.holder) if error.holder else None)
        case DirectoryMissing() | StateUnusable():
            return DirectoryUnusable(str(error))
    return RecoveryNeeded(str(error))


def _opened_regular(path: str, opener: Callable[[str, int], int]) -> IO[bytes]:
    file = open(path, "rb", opener=opener)  # noqa: SIM115 - the caller closes it
    try:
        _check_regular(file, path)
    except OSError:
        file.close()
        raise
    return file


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _open_itself(path: str, flags: int) -> int:
    return _open_without_waiting(path, flags | getattr(os, "O_NOFOLLOW", 0))


def _open_for_lock(path: str, flags: int) -> int:
    try:
        return _open_itself(path, flags & ~os.O_RDONLY | os.O_RDWR)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return _open_itself(path, flags)


def _check_regular(file: IO[bytes], path: str) -> None:
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)


def _count_files(path: str) -> tuple[int, int]:
    """Return the number of files below a directory, and their bytes."""
    count = size_bytes = 0
    for folder, folders, names in os.walk(path):
        if folder == path and task_directory.JOURNAL in folders:
            folders.remove(task_directory.JOURNAL)  # a mount point contains its journal
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size_bytes += os.lstat(os.path.join(folder, name)).st_size
                count += 1
    return count, size_bytes


def _sha256(path: str) -> str | None:
    """Return the SHA-256 of a regular file; None for others and for unreadable files, which are then kept."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
