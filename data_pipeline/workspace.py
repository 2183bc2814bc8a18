"""One task's directory in use: lock, recover, stage, publish. With `backup/` the only importer of `journal`.

What a run makes waits in `work-<run>/` beside the task directory and is published by one transaction: readers see all
of it or none. A file that stands in the way goes to `kept-<run>/` in the same transaction. Only then, where nobody can
touch it any more, it is looked at: what an earlier run published and nobody changed since is removed, all else stays.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, NamedTuple, Self

from data_pipeline.errors import DirectoryUnusable, PipelineError, PublishFailed, RecoveryNeeded, TaskBusy
from journal import (
    DIRECTORY,
    DirectoryBusy,
    DirectoryMissing,
    FileLock,
    Filesystem,
    Folder,
    JournalError,
    LocalFilesystem,
    Lock,
    LockedDirectory,
    NeedsAttention,
    OutcomeUnknown,
    RollbackIncomplete,
    StateUnusable,
    inspect_all,
    lock_directory,
    recover_all,
)

# What the rest of this package needs of the journal, without importing it.
from journal import Inspection as Inspection  # noqa: PLC0414
from journal import RecoveryReport as RecoveryReport  # noqa: PLC0414
from journal import RetryLimits as RetryLimits  # noqa: PLC0414
from journal import printable as printable  # noqa: PLC0414
from journal.filesystem import Directory

WORK_PREFIX = "work-"
KEPT_PREFIX = "kept-"


class StagedFile(NamedTuple):
    """A file that waits in the work folder: its final name, its SHA-256 in hex, its size."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Published:
    """What a publication did: the files now in place, and those that stood in the way and were not ours to remove.

    `kept` are paths relative to `kept_path`, the folder that holds them; None when nothing had to be kept.
    """

    files: tuple[StagedFile, ...]
    kept: tuple[str, ...] = ()
    kept_path: str | None = None


@dataclass(frozen=True)
class Door:
    """How the disk is reached; tests put another disk, lock or sleep in its place."""

    filesystem: Filesystem | None = None
    lock_factory: Callable[..., Lock] = FileLock
    retry: RetryLimits | None = None


class Workspace:
    """A task directory under its lock, made by `open_workspace`; leaving `with` gives the lock back.

    `notes` say what recovery found, for the log. `needs_recovery` is why no transaction may begin, None when one may.
    """

    def __init__(self, task_id: str, directory: LockedDirectory, disk: Filesystem | None = None) -> None:
        self.task_id = task_id
        self.directory = directory
        self._disk = disk
        self.notes: list[str] = []
        self.needs_recovery: str | None = None
        self._recover()

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
        """A file of the task directory, None when there is none. Raises DirectoryUnusable when it cannot be read."""
        try:
            return read_file(os.path.join(self.path, name))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DirectoryUnusable(f"{printable(self.path)}: {name} cannot be read ({error}).") from error

    def names(self, folder: str | None = None) -> list[str]:
        """The names of all regular files of the task directory, or of a folder in it. Raises DirectoryUnusable."""
        place = DIRECTORY if folder is None else Folder("directory", folder)
        try:
            return sorted(name for name, identity in self.directory.scan(place) if identity.type == "file")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DirectoryUnusable(f"{printable(self.path)} cannot be read ({error}).") from error

    def has(self, name: str) -> bool:
        """Whether anything in the task directory has this name."""
        return os.path.lexists(os.path.join(self.path, name))

    def work_folder(self, run_id: str) -> WorkFolder:
        """The folder where a run's files wait; a resumed run finds what it made before. Raises DirectoryUnusable."""
        try:
            return WorkFolder(self.directory, self.directory.make_state_folder(f"{WORK_PREFIX}{run_id}"))
        except OSError as error:
            raise DirectoryUnusable(f"{printable(self.directory.state_path)} cannot be written ({error}).") from error

    def publish(
        self,
        work: WorkFolder,
        files: Sequence[StagedFile],
        *,
        label: str,
        run_id: str,
        ours: Mapping[str, Collection[str]] | None = None,
    ) -> Published:
        """Put files in their places, all or none; what stands there, and what of `ours` is not among them, leaves.

        `ours` are the names of what an earlier run published, with every SHA-256 that it may have: so they are
        removed; anything else that has to leave stays in a kept folder. Raises PublishFailed (the task directory is
        as before, the files stay in the work folder), RecoveryNeeded when an earlier transaction is only half undone.
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
                else:  # whoever takes the name in this moment keeps it: the move fails
                    transaction.move(file.name, DIRECTORY, source=work.folder)
            transaction.commit()
        except (RollbackIncomplete, OutcomeUnknown) as error:
            raise RecoveryNeeded(
                f"The outputs were made but not published. They are in {work.path}. "
                f"{error} Then run: data-pipeline recover"
            ) from error
        except (JournalError, OSError) as error:
            raise PublishFailed(str(error), work.path) from error
        if kept is None:
            return Published(tuple(files))
        return self._look_at_kept(kept.folder, tuple(files), ours)

    def put_aside(self, work: WorkFolder, files: Sequence[StagedFile], folder: str, *, label: str) -> None:
        """Move files into a folder of the task directory, made where it is missing; all or none, and none is replaced.

        Raises PublishFailed (the files stay in the work folder), RecoveryNeeded.
        """
        try:
            present = {name: identity.type for name, identity in self.directory.scan()}
            if present.get(folder, "directory") != "directory":
                raise OSError(errno.ENOTDIR, "not a directory", folder)
            transaction = self.directory.transaction(label)
            destination = Folder("directory", folder) if folder in present else transaction.make_directory(folder)
            for file in files:
                transaction.move(file.name, destination, source=work.folder)
            transaction.commit()
        except (RollbackIncomplete, OutcomeUnknown) as error:
            raise RecoveryNeeded(f"The files are in {work.path}. {error} Then run: data-pipeline recover") from error
        except (JournalError, OSError) as error:
            raise PublishFailed(str(error), work.path) from error

    def put(self, name: str, content: bytes, *, label: str, run_id: str) -> Published:
        """Publish one file that a person gave; another content under its name is kept. Raises as `publish` does."""
        if self.read(name) == content:
            return Published(())
        work = self.work_folder(run_id)
        published = self.publish(work, [work.write(name, content)], label=label, run_id=run_id)
        self.forget(work)
        return published

    def remove(self) -> tuple[int, int]:
        """Remove the task directory with all that is in it; how many files, and their bytes.

        What it holds leaves in one transaction: killed before its end, everything is there; after it, nothing. Then
        the empty directory goes. The lock stays, as its file must never be deleted. Raises RecoveryNeeded,
        DirectoryUnusable.
        """
        files, size_bytes = _count_files(self.path)
        try:
            transaction = self.directory.transaction("delete the task")
            names = [name for name, _ in self.directory.scan()]
            for name in names:
                transaction.delete(name)
            if names:
                transaction.commit()
            for name, identity in self.directory.scan(Folder("state")):
                if identity.type == "directory" and name.startswith((WORK_PREFIX, KEPT_PREFIX)):
                    self.directory.remove_state_folder(Folder("state", name))
            parent, own = os.path.split(self.path)
            with _opened(parent, self._disk) as (disk, directory):
                disk.remove_directory(directory, own)
        except (RollbackIncomplete, OutcomeUnknown) as error:
            raise RecoveryNeeded(f"The task was not deleted. {error} Then run: data-pipeline recover") from error
        except (JournalError, OSError) as error:
            raise DirectoryUnusable(f"{printable(self.path)} cannot be deleted ({error}).") from error
        return files, size_bytes

    def forget(self, work: WorkFolder) -> None:
        """Remove a run's work folder."""
        self.directory.remove_state_folder(work.folder)

    def sweep_work(self) -> None:
        """Remove the work folders of all runs: a complete run has succeeded, so nobody misses what others left."""
        for name, identity in self.directory.scan(Folder("state")):
            if identity.type == "directory" and name.startswith(WORK_PREFIX):
                self.directory.remove_state_folder(Folder("state", name))

    def _look_at_kept(
        self, folder: Folder, files: tuple[StagedFile, ...], ours: Mapping[str, Collection[str]]
    ) -> Published:
        path = self.directory.path_of(folder)
        names = sorted(name for name, _ in self.directory.scan(folder))
        if all(_sha256(os.path.join(path, name)) in ours.get(name, ()) for name in names):
            self.directory.remove_state_folder(folder)
            return Published(files)
        return Published(files, kept=tuple(map(printable, names)), kept_path=printable(path))

    def _recover(self) -> None:
        """Recover what dead runs left; what cannot be is noted, and stands in the way of transactions only."""
        while True:
            try:
                self.notes += recovery_notes(self.directory.recover())
                return
            except NeedsAttention as error:  # it was set aside: go on with the rest
                self.notes.append(str(error))
            except (RollbackIncomplete, OutcomeUnknown) as error:
                self.needs_recovery = str(error)
                self.notes.append(self.needs_recovery)
                return


class WorkFolder:
    """The files of one run that are not published yet."""

    def __init__(self, directory: LockedDirectory, folder: Folder) -> None:
        self.folder = folder
        self._directory = directory

    @property
    def path(self) -> str:
        """Where it is."""
        return printable(self._directory.path_of(self.folder))

    def write(self, name: str, content: str | bytes) -> StagedFile:
        """Write a file, in place of one that an earlier attempt left. Raises DirectoryUnusable."""
        return self.write_chunks(name, [content.encode() if isinstance(content, str) else content])

    def write_chunks(self, name: str, chunks: Iterable[bytes]) -> StagedFile:
        """As `write`, for a file that need not fit into memory; what the chunks raise leaves no file."""
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
        """Copy a regular file of the task directory, to be published under a new name. Raises DirectoryUnusable."""
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
        """Whether this very file waits here: the power may have failed since it was recorded."""
        return _sha256(os.path.join(self._directory.path_of(self.folder), file.name)) == file.sha256


def open_workspace(
    path: str, task_id: str, *, label: str, timeout_seconds: float, door: Door | None = None
) -> Workspace:
    """Lock a task's directory, at `path`, and recover what a dead run left in it.

    Raises TaskBusy when somebody holds it for longer than `timeout_seconds`, DirectoryUnusable.
    """
    door = door or Door()
    with _in_our_words(task_id):
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
        return Workspace(task_id, directory, door.filesystem)
    except BaseException:
        directory.release()
        raise


def read_file(path: str) -> bytes:
    """A regular file's bytes; never waits for a FIFO. Raises OSError for anything else."""
    with open(path, "rb", opener=_open_without_waiting) as file:
        _check_regular(file, path)
        return file.read()


def open_regular_file(path: str) -> IO[bytes]:
    """A regular file, open for reading; not through a link. Raises OSError for anything else."""
    file = open(path, "rb", opener=_open_itself)  # noqa: SIM115 - the caller closes it
    try:
        _check_regular(file, path)
    except OSError:
        file.close()
        raise
    return file


def make_directories(path: str, filesystem: Filesystem | None = None) -> None:
    """Make a directory with those above it that are missing; an existing one is left as it is. Raises OSError."""
    if os.path.isdir(path):
        return
    parent, name = os.path.split(os.path.abspath(path))
    make_directories(parent, filesystem)
    with _opened(parent, filesystem) as (disk, directory), contextlib.suppress(FileExistsError):
        disk.make_directory(directory, name, is_private=False)
    if not os.path.isdir(path):
        raise NotADirectoryError(f"{printable(path)} is not a directory")


def create_private_file(path: str, content: bytes = b"") -> None:
    """Make a file that only its owner may read; an existing one is left as it is. Raises OSError."""
    parent, name = os.path.split(os.path.abspath(path))
    make_directories(parent)
    with _opened(parent, None) as (disk, directory), contextlib.suppress(FileExistsError):
        disk.create(directory, name, [content])


def inspect_tasks(training_data: str) -> dict[str, Inspection]:
    """How every directory under a root is that was ever locked; changes nothing. Raises DirectoryUnusable."""
    with _in_our_words(""):  # it says nothing of a task
        return inspect_all(training_data)


def recover_tasks(training_data: str) -> dict[str, RecoveryReport | PipelineError]:
    """Recover every task directory under a root whose lock is free; a report or the error for each task.

    Raises DirectoryUnusable when the place of the state directories cannot be read.
    """
    with _in_our_words(""):  # it says nothing of a task
        recovered = recover_all(training_data)
    results: dict[str, RecoveryReport | PipelineError] = {}
    for name, result in recovered.items():
        results[name] = result if isinstance(result, RecoveryReport) else _in_words(name, result)
    return results


def recovery_notes(report: RecoveryReport) -> list[str]:
    """What a recovery did, a line each; nothing when there was nothing to do."""
    notes = []
    for journal in report.journals:
        notes.append(
            f"An interrupted transaction ({journal.label}, {journal.since}) was recovered: {journal.action}, "
            f"{journal.moved_back} files moved back, {journal.dropped} second names dropped."
        )
        notes += journal.conflicts
        if journal.set_aside is not None:
            notes.append(f"Its journal is kept for a person to read: {journal.set_aside}")
    return notes + [f"Could not be removed, will be tried again: {leftover}" for leftover in report.leftovers]


@contextlib.contextmanager
def _opened(path: str, filesystem: Filesystem | None) -> Iterator[tuple[Filesystem, Directory]]:
    disk = filesystem or LocalFilesystem()
    directory = disk.open_directory(path)
    try:
        yield disk, directory
    finally:
        disk.close(directory)


@contextlib.contextmanager
def _in_our_words(task_id: str) -> Iterator[None]:
    try:
        yield
    except JournalError as error:
        raise _in_words(task_id, error) from error


def _in_words(task_id: str, error: JournalError) -> PipelineError:
    """What an error of the journal means for a task."""
    match error:
        case DirectoryBusy():
            return TaskBusy(task_id, error.waited_seconds, str(error.holder) if error.holder else None)
        case DirectoryMissing() | StateUnusable():
            return DirectoryUnusable(str(error))
    return RecoveryNeeded(str(error))


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _open_itself(path: str, flags: int) -> int:
    return _open_without_waiting(path, flags | getattr(os, "O_NOFOLLOW", 0))


def _check_regular(file: IO[bytes], path: str) -> None:
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)


def _count_files(path: str) -> tuple[int, int]:
    """How many files lie below a directory, and their bytes."""
    count = size_bytes = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size_bytes += os.lstat(os.path.join(folder, name)).st_size
                count += 1
    return count, size_bytes


def _sha256(path: str) -> str | None:
    """A regular file's SHA-256; None for anything else, and for what cannot be read: that is kept."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
