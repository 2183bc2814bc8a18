"""A directory under its lock: recover what an earlier owner left, then run transactions in it.

with lock_directory("training_data/task_1", label="run 7") as directory:
    transaction = directory.transaction("backup", on_error="continue")
    backup = transaction.make_directory("file_bak_20250121_094400", next_free=True)
    for name, identity in directory.scan():
        if identity.type != "directory":
            transaction.move(name, backup, seen=identity)
    outcome = transaction.commit()
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from journal import names
from journal.errors import DirectoryMissing, InvalidOperation, JournalError, StateUnusable
from journal.filesystem import NO_HARD_LINK, Directory, Filesystem, LocalFilesystem, is_mount_point
from journal.lock import FileLock, Lock
from journal.names_only import NamesOnly
from journal.records import DIRECTORY, Folder, Identity, Policy, is_name
from journal.recovery import RecoveryReport, recover
from journal.retry import RetryLimits, Rounds
from journal.transaction import Outcome, Transaction

LockFactory = Callable[[Filesystem, Directory, str], Lock]


def state_directory_of(path: str) -> str:
    """Return the default state directory of a directory: beside it, so that the directory itself stays clean.

    It is inside, as `.journal`, where the directory is a mount point: no file could be moved to the outside. Once
    there, it is used for good.
    """
    real_path = real_path_of(path)
    inside = os.path.join(real_path, names.STATE_ROOT)
    if os.path.lexists(os.path.join(inside, names.LOCK)) or is_mount_point(real_path):
        return inside
    parent, name = os.path.split(real_path)
    return os.path.join(parent, names.STATE_ROOT, name)


def real_path_of(path: str | os.PathLike[str]) -> str:
    """Resolve the links that lead to a directory, but not the directory itself, which may not be one."""
    spelled = os.fspath(path)
    parent, name = os.path.split(spelled.rstrip(os.sep))
    if name in ("", os.curdir, os.pardir):
        return os.path.realpath(spelled)
    return os.path.join(os.path.realpath(parent or os.curdir), name)


def lock_directory(
    path: str | os.PathLike[str],
    *,
    label: str,
    timeout_seconds: float = 60.0,
    state_directory: str | os.PathLike[str] | None = None,
    recover_first: bool = True,
    retry: RetryLimits | None = None,
    filesystem: Filesystem | None = None,
    lock_factory: LockFactory = FileLock,
    sleep: Callable[[float], None] = time.sleep,
) -> LockedDirectory:
    """Lock a directory, waiting at most `timeout_seconds` (0: ask once), and recover what a dead owner left.

    `label` tells others what the lock is held for. Raises DirectoryBusy, DirectoryMissing, StateUnusable, and what
    recovery raises; then the lock is free again. With `recover_first=False` a hot journal stays until `recover` is
    called or a transaction begins.
    """
    real_path = real_path_of(path)
    state_path = state_directory_of(real_path) if state_directory is None else os.path.realpath(state_directory)
    locked = LockedDirectory(
        real_path, state_path, label, filesystem or LocalFilesystem(), retry or RetryLimits(), lock_factory, sleep
    )
    locked._acquire(timeout_seconds)
    if recover_first:
        try:
            locked.recover()
        except BaseException:
            locked.release()
            raise
    return locked


class LockedDirectory:
    """A directory whose lock this process holds; made by `lock_directory`, released by `release` or `with`.

    `recovered` is the report of the last recovery. Its transactions run one at a time, also from several threads.
    """

    def __init__(
        self,
        path: str,
        state_path: str,
        label: str,
        filesystem: Filesystem,
        retry: RetryLimits,
        lock_factory: LockFactory,
        sleep: Callable[[float], None],
    ) -> None:
        if not os.path.basename(path) or os.path.basename(path) == names.STATE_ROOT:
            raise InvalidOperation(f"{path} has no place for a state directory beside it.")
        self.path = path
        self.state_path = state_path
        self.recovered = RecoveryReport()
        self._filesystem = filesystem
        self._retry = retry
        self._sleep = sleep
        self._state = open_state(filesystem, path, state_path)
        self._lock = lock_factory(filesystem, self._state, label)
        self._one_at_a_time = threading.Lock()

    @property
    def goes_by_names(self) -> bool:
        """Whether the file system has no hard links with one inode number: then entries are only renamed.

        The guarantee is weaker there: a power loss may lose a file if the file system's rename is not atomic.
        """
        return isinstance(self._filesystem, NamesOnly)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give the lock back; calling it again does nothing."""
        if self._state.fd is not None or self._lock.is_held:
            try:
                self._lock.release()
            finally:
                self._filesystem.close(self._state)

    def recover(self) -> RecoveryReport:
        """Finish or undo what a dead owner left; see `journal.recovery.recover` for what it raises."""
        self._check_held()
        with self._one_at_a_time:
            self.recovered = recover(self._filesystem, self.path, self._state, self._rounds())
        return self.recovered

    def transaction(self, label: str, *, on_error: Policy = "rollback") -> Transaction:
        """Begin a transaction; nothing happens before its `commit`, which does not lock again."""
        self._check_held()
        return _LockedTransaction(self, label, on_error)

    def scan(self, folder: Folder = DIRECTORY) -> Iterator[tuple[str, Identity]]:
        """Every entry of a folder with its identity, in the order the file system gives."""
        directory = self._open(folder)
        try:
            yield from self._filesystem.scan(directory)
        finally:
            self._filesystem.close(directory)

    def make_state_folder(self, name: str) -> Folder:
        """A folder in the state directory for files to be published later; an existing one is taken as it is."""
        self._check_held()
        if not is_name(name) or names.owner_of(name) or names.journal_of(name):
            raise InvalidOperation(f"{name!r} cannot be a folder of the state directory.")
        try:
            self._filesystem.make_directory(self._state, name, is_private=True)
        except FileExistsError:
            self._filesystem.close(self._filesystem.open_subdirectory(self._state, name))
        return Folder("state", name)

    def remove_state_folder(self, folder: Folder) -> None:
        """Remove a folder of the state directory with all that is in it."""
        self._check_held()
        if folder.root != "state" or not folder.path:
            raise InvalidOperation("Only folders of the state directory are removed without a transaction.")
        self._filesystem.remove_tree(self._state, folder.path)

    def write(self, folder: Folder, name: str, chunks: Iterable[bytes], *, replace: bool = False) -> None:
        """Write a new file into a state folder, to be published later; a failed write leaves nothing.

        `replace` first removes one of this name that an earlier attempt left there.
        """

        def create(target: Directory) -> None:
            if replace:
                self._filesystem.unlink(target, name)
            self._filesystem.create(target, name, chunks)

        self._stage(folder, name, create)

    def copy(self, source: Folder, source_name: str, folder: Folder, name: str) -> None:
        """Copy a regular file, mode and times too, or a symbolic link into a state folder, to be published later."""
        origin = self._open(source)
        try:
            self._stage(folder, name, lambda target: self._filesystem.copy(origin, source_name, target, name))
        finally:
            self._filesystem.close(origin)

    def path_of(self, folder: Folder) -> str:
        """A folder's path."""
        return os.path.join(self.path if folder.root == "directory" else self.state_path, folder.path)

    def _stage(self, folder: Folder, name: str, write: Callable[[Directory], None]) -> None:
        self._check_held()
        if folder.root != "state" or not folder.path or not is_name(name):
            raise InvalidOperation(f"{name!r}: files are written into folders of the state directory, then published.")
        target = self._open(folder)
        try:
            try:
                write(target)
            except FileExistsError:
                raise
            except BaseException:
                self._filesystem.unlink(target, name)
                raise
        finally:
            self._filesystem.close(target)

    def _open(self, folder: Folder) -> Directory:
        directory = self._filesystem.open_directory(self.path if folder.root == "directory" else self.state_path)
        for part in folder.path.split("/") if folder.path else ():
            parent, directory = directory, self._filesystem.open_subdirectory(directory, part)
            self._filesystem.close(parent)
        return directory

    def _acquire(self, timeout_seconds: float) -> None:
        try:
            self._lock.acquire(timeout_seconds)
        except BaseException:
            self._filesystem.close(self._state)
            raise
        try:
            self._filesystem = make_ready(self._filesystem, self.path, self._state)
        except BaseException:
            self.release()
            raise

    def _check_held(self) -> None:
        if not self._lock.is_held:
            raise InvalidOperation(
                f"{self.path} is not locked by this process: lock it first (a fork does not hold it)"
            )

    def _rounds(self) -> Rounds:
        return Rounds(self._retry, sleep=self._sleep)


class _LockedTransaction(Transaction):
    """A transaction that checks the lock and waits for its turn."""

    def __init__(self, locked: LockedDirectory, label: str, on_error: Policy) -> None:
        super().__init__(
            locked._filesystem,
            locked.path,
            locked._state,
            label=label,
            on_error=on_error,
            limits=locked._retry,
            sleep=locked._sleep,
        )
        self._locked = locked

    def commit(self, progress: Callable[[int, int], None] | None = None) -> Outcome:
        self._locked._check_held()
        with self._locked._one_at_a_time:
            return super().commit(progress)


def open_state(filesystem: Filesystem, path: str, state_path: str) -> Directory:
    """Open a state directory, making it and its lock file when they are missing.

    Raises DirectoryMissing when there is neither the directory nor a state directory of it.
    """
    try:
        return filesystem.open_directory(state_path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StateUnusable(state_path, f"it cannot be opened ({error}).") from error
    try:
        filesystem.close(filesystem.open_directory(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DirectoryMissing(path) from error
    except OSError as error:
        raise StateUnusable(state_path, f"its directory {path} cannot be opened ({error}).") from error
    try:
        return _make_state(filesystem, path, state_path)
    except OSError as error:
        raise StateUnusable(state_path, f"it cannot be made ({error}).") from error


def _make_state(filesystem: Filesystem, path: str, state_path: str) -> Directory:
    root_path, name = os.path.split(state_path)
    if root_path == path:
        return _make_inside(filesystem, path, name)
    base = filesystem.open_directory(os.path.dirname(root_path))
    try:
        root = _make_or_open(filesystem, base, os.path.basename(root_path))
        try:
            return _make_or_open(filesystem, root, name)
        finally:
            filesystem.close(root)
    finally:
        filesystem.close(base)


def _make_inside(filesystem: Filesystem, path: str, name: str) -> Directory:
    directory = filesystem.open_directory(path)
    try:
        return _make_or_open(filesystem, directory, name)
    finally:
        filesystem.close(directory)


def _make_or_open(filesystem: Filesystem, parent: Directory, name: str) -> Directory:
    try:
        filesystem.make_directory(parent, name, is_private=True)
    except FileExistsError:
        pass  # another process was faster, or the state root serves other directories already
    return filesystem.open_subdirectory(parent, name)


class Ready(BaseModel):
    """The content of `ready`: what was found out about the file system, and in which area of the disk that holds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    area: str
    has_links: bool


def make_ready(filesystem: Filesystem, path: str, state: Directory) -> Filesystem:
    """Return the door through which transactions in the directory go, having looked once what the disk can do.

    The first time, the way to the state directory is made durable (3 syncs). The look is repeated when the directory
    is in another area of the disk: a home may have been mounted elsewhere, or copied to another file system.
    Raises DirectoryMissing, StateUnusable.
    """
    try:
        directory = filesystem.open_directory(path)
    except FileNotFoundError:
        return door_of(filesystem, state)  # renamed or removed since; a recovery may still be due
    except NotADirectoryError as error:
        raise DirectoryMissing(path) from error
    except OSError as error:
        raise StateUnusable(state.path, f"its directory {path} cannot be opened ({error}).") from error
    try:
        area = filesystem.mount(directory)
        if filesystem.mount(state) != area:
            raise StateUnusable(
                state.path, "it is not on the same mount as the directory, or in another project's quota."
            )
        ready = read_ready(filesystem, state)
        if ready is None or ready.area != area:
            ready = _find_out(filesystem, state, area)
        return filesystem if ready.has_links else NamesOnly(filesystem)
    except OSError as error:
        raise StateUnusable(state.path, f"its file system refuses what a journal needs ({error}).") from error
    finally:
        filesystem.close(directory)


def door_of(filesystem: Filesystem, state: Directory) -> Filesystem:
    """The door through which the last owner went; changes nothing."""
    ready = read_ready(filesystem, state)
    return NamesOnly(filesystem) if ready is not None and not ready.has_links else filesystem


def read_ready(filesystem: Filesystem, state: Directory) -> Ready | None:
    """What is known about the file system; None before the first look, and in what an older version left."""
    try:
        return Ready.model_validate_json(filesystem.read(state, names.READY))
    except (OSError, ValidationError):
        return None


def _find_out(filesystem: Filesystem, state: Directory, area: str) -> Ready:
    if filesystem.look(state, names.PROBE) is None:
        filesystem.create(state, names.PROBE, [])
    if filesystem.look(state, names.READY) is None:
        _sync_upwards(filesystem, state)
    ready = Ready(area=area, has_links=_has_links(filesystem, state))
    if not ready.has_links:  # among such file systems are some that cannot do what a journal needs at all
        filesystem.write_at(state, names.PROBE, 0, b"probe", truncate=False)
        filesystem.write_at(state, names.PROBE, len(b"probe"), b"", truncate=True)
    filesystem.remove_tree(state, names.READY)  # whatever it is
    filesystem.create(state, names.READY, [ready.model_dump_json().encode() + b"\n"])
    return ready


def _has_links(filesystem: Filesystem, state: Directory) -> bool:
    """Whether two links to one file have one inode number: only then does a number identify a file.

    On sshfs, mergerfs and unionfs-fuse each link has a number of its own, and on file systems without hard links
    (exfat, vfat) the number of a file changes while it is not in use.
    """
    filesystem.unlink(state, names.PROBE_LINK)
    try:
        filesystem.link(state, names.PROBE, state, names.PROBE_LINK)
    except OSError as error:
        if error.errno not in NO_HARD_LINK:
            raise
        return False
    first, second = (filesystem.look(state, name) for name in (names.PROBE, names.PROBE_LINK))
    filesystem.unlink(state, names.PROBE_LINK)
    return first is not None and second is not None and first.is_same(second)


def _sync_upwards(filesystem: Filesystem, state: Directory) -> None:
    filesystem.sync_directory(state)
    root_path = os.path.dirname(state.path)
    for above in (root_path, os.path.dirname(root_path)):
        directory = filesystem.open_directory(above)
        try:
            filesystem.sync_directory(directory)
        finally:
            filesystem.close(directory)


def recover_all(
    root: str | os.PathLike[str],
    *,
    label: str = "recovery",
    filesystem: Filesystem | None = None,
    retry: RetryLimits | None = None,
) -> dict[str, RecoveryReport | JournalError]:
    """Recover every directory under `root` whose lock is free; returns a report or the error for each name.

    A busy one is left to its owner: its entry is DirectoryBusy. Raises StateUnusable when `.journal` cannot be read.
    """
    disk = filesystem or LocalFilesystem()
    real_root = os.path.realpath(root)
    results: dict[str, RecoveryReport | JournalError] = {}
    for name in list_states(disk, real_root):
        try:
            path = os.path.join(real_root, name)
            with lock_directory(path, label=label, timeout_seconds=0, filesystem=disk, retry=retry) as locked:
                results[name] = locked.recovered
        except JournalError as error:
            results[name] = error
    return results


def list_states(filesystem: Filesystem, root: str) -> list[str]:
    """List the names of the directories under `root` that have a state directory, beside them or inside.

    Raises StateUnusable.
    """
    beside = os.path.join(root, names.STATE_ROOT)
    lock = os.path.join(names.STATE_ROOT, names.LOCK)
    found = {
        name
        for name, identity in _entries_of(filesystem, beside)
        if identity.type == "directory" and names.owner_of(name) is None  # no trash of the root's own state
    }
    try:
        directories = filesystem.open_directory(root)
    except FileNotFoundError:
        return sorted(found)
    except OSError as error:
        raise StateUnusable(beside, f"{root} cannot be read ({error}).") from error
    try:
        for name, identity in filesystem.scan(directories):
            if identity.type == "directory" and filesystem.look(directories, os.path.join(name, lock)) is not None:
                found.add(name)
    except OSError as error:
        raise StateUnusable(beside, f"{root} cannot be read ({error}).") from error
    finally:
        filesystem.close(directories)
    return sorted(found)


def _entries_of(filesystem: Filesystem, path: str) -> list[tuple[str, Identity]]:
    try:
        directory = filesystem.open_directory(path)
        try:
            return list(filesystem.scan(directory))
        finally:
            filesystem.close(directory)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StateUnusable(path, f"it cannot be read ({error}).") from error
