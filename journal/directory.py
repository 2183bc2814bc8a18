"""A directory under its lock: recover the changes of a dead owner, then run transactions in it.

with lock_directory("training_data/task_1", label="run 7") as directory:
    transaction = directory.transaction("backup", on_error="continue")
    backup = transaction.make_directory("file_bak_20250121_094400", next_free=True)
    for name, identity in directory.scan():
        if identity.type != "directory":
            transaction.move(name, backup, seen=identity)
    outcome = transaction.commit()
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Self

from pydantic import BaseModel, ValidationError

from journal import names
from journal.errors import DirectoryMissing, InvalidOperation, JournalError, StateUnusable
from journal.filesystem import NO_HARD_LINK, Directory, Filesystem, LocalFilesystem, is_mount_point, opened
from journal.folders import OpenFolders
from journal.lock import FileLock, Lock
from journal.names_only import NamesOnly
from journal.outcome import Outcome
from journal.recovery import recover
from journal.reports import RecoveryReport
from journal.retry import RetryLimits, Rounds
from journal.transaction import Transaction
from journal.values import DIRECTORY, Folder, Identity, Policy, is_name

LockFactory = Callable[[Filesystem, Directory, str], Lock]


def state_directory_of(path: str) -> str:
    """Return the default state directory of a directory: `<parent>/.journal/<name>`, so that the directory stays clean.

    If the directory is a mount point, it is `<directory>/.journal`, because no file could be moved to the outside.
    Once it exists there, it is used for good.
    """
    real_path = real_path_of(path)
    inside = os.path.join(real_path, names.STATE_ROOT)
    if os.path.lexists(os.path.join(inside, names.LOCK)) or is_mount_point(real_path):
        return inside
    parent, name = os.path.split(real_path)
    return os.path.join(parent, names.STATE_ROOT, name)


def real_path_of(path: str | os.PathLike[str]) -> str:
    """Resolve the links that lead to a directory, but not its last part, which must not be a link."""
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
    """Lock a directory and recover the changes of a dead owner; return the locked directory.

    Use it with `with`, or call `release`:

        with lock_directory("inbox", label="archive") as directory:
            transaction = directory.transaction("archive")

    `label` is shown to other processes that wait for the lock. `timeout_seconds` is the longest wait for it; 0 tries
    once. `state_directory` replaces the default of `state_directory_of`; it must be on the same mount. With
    `recover_first=False` a hot journal stays until `recover` is called or a transaction begins. `retry` limits the new
    attempts after transient errors. `filesystem`, `lock_factory` and `sleep` replace the disk, the lock and the waits
    in tests.

    Raises DirectoryBusy, DirectoryMissing, StateUnusable, InvalidOperation (no state directory can be beside the path),
    and RollbackIncomplete, OutcomeUnknown or NeedsAttention from the recovery. Then the lock is free again, and only
    the state directory and its lock file may have been made.
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
    """A directory whose lock this process holds; returned by `lock_directory`, released by `release` or `with`.

    `path` and `state_path` are the real paths of the directory and of its state directory. `recovered` is the report of
    the last recovery. Transactions run one at a time, also from several threads.

    Methods that change something raise InvalidOperation once the lock is released, and in a forked child.
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
        self.path: str = path
        self.state_path: str = state_path
        self.recovered: RecoveryReport = RecoveryReport()
        self._filesystem = filesystem
        self._retry = retry
        self._sleep = sleep
        self._state = open_state(filesystem, path, state_path)
        self._lock = lock_factory(filesystem, self._state, label)
        self._one_at_a_time = threading.Lock()

    @property
    def goes_by_names(self) -> bool:
        """True if entries are only renamed, because the file system has no hard links that share an inode number.

        The guarantee is weaker there: a power loss may lose a file if the file system's rename is not atomic.
        """
        return isinstance(self._filesystem, NamesOnly)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Free the lock. Calling it again does nothing."""
        if self._state.fd is not None or self._lock.is_held:
            try:
                self._lock.release()
            finally:
                self._filesystem.close(self._state)

    def recover(self) -> RecoveryReport:
        """Finish or undo the changes of a dead owner, and return the report, which is also in `recovered`.

        Raises RollbackIncomplete or OutcomeUnknown (the journal and all files stay: fix the cause, recover again), and
        NeedsAttention (a journal was set aside: recovering again goes on with the rest).
        """
        self._check_held()
        with self._one_at_a_time:
            self.recovered = recover(self._filesystem, self.path, self._state, self._rounds())
        return self.recovered

    def transaction(self, label: str, *, on_error: Policy = "rollback") -> Transaction:
        """Return a new transaction. Nothing changes before its `commit`, which does not lock again.

        `label` is for messages and reports. With `on_error="rollback"`, the default, the first permanent failure undoes
        everything; with "continue" the failed operations are reported and the others take effect.
        """
        self._check_held()
        return _LockedTransaction(self, label, on_error)

    def scan(self, folder: Folder = DIRECTORY) -> Iterator[tuple[str, Identity]]:
        """Yield every entry of a folder with its identity, without size and mtime, in the order of the file system.

        Raises OSError, such as FileNotFoundError if the folder does not exist.
        """
        with self._opened(folder) as directory:
            yield from self._filesystem.scan(directory)

    def make_state_folder(self, name: str) -> Folder:
        """Make a folder in the state directory, for files to be published later; keep an existing one as it is.

        Raises InvalidOperation for names of the package's own entries, OSError if it cannot be made.
        """
        self._check_held()
        if not is_name(name) or names.owner_of(name) or names.journal_of(name):
            raise InvalidOperation(f"{name!r} cannot be the name of a folder of the state directory.")
        try:
            self._filesystem.make_directory(self._state, name, is_private=True)
        except FileExistsError:
            self._filesystem.close(self._filesystem.open_subdirectory(self._state, name))
        return Folder("state", name)

    def remove_state_folder(self, folder: Folder) -> None:
        """Remove a folder of the state directory with its content. Raises OSError if a part of it stays."""
        self._check_held()
        if folder.root != "state" or not folder.path:
            raise InvalidOperation("Only folders of the state directory are removed without a transaction.")
        self._filesystem.remove_tree(self._state, folder.path)

    def write(self, folder: Folder, name: str, chunks: Iterable[bytes], *, replace: bool = False) -> None:
        """Write a new file into a folder of the state directory, to be published later.

        `chunks` are its bytes. With `replace` a file of this name, from an earlier attempt, is removed first; without
        it a taken name raises FileExistsError. Any other failed write leaves no file and raises OSError.
        """

        def create(target: Directory) -> None:
            if replace:
                self._filesystem.unlink(target, name)
            self._filesystem.create(target, name, chunks)

        self._stage(folder, name, create)

    def copy(self, source: Folder, source_name: str, folder: Folder, name: str) -> None:
        """Copy a regular file, with mode and times, or a symbolic link into a folder of the state directory.

        Raises OSError, also before the disk is full; then no part of the copy stays.
        """
        with self._opened(source) as origin:
            self._stage(folder, name, lambda target: self._filesystem.copy(origin, source_name, target, name))

    def path_of(self, folder: Folder) -> str:
        """Return the path of a folder."""
        return os.path.join(self.path if folder.root == "directory" else self.state_path, folder.path)

    def _stage(self, folder: Folder, name: str, write: Callable[[Directory], None]) -> None:
        self._check_held()
        if folder.root != "state" or not folder.path or not is_name(name):
            raise InvalidOperation(f"{name!r}: files are written into folders of the state directory, then published.")
        with self._opened(folder) as target:
            try:
                write(target)
            except FileExistsError:
                raise
            except BaseException:
                self._filesystem.unlink(target, name)
                raise

    @contextlib.contextmanager
    def _opened(self, folder: Folder) -> Iterator[Directory]:
        with OpenFolders(self._filesystem, self._state) as folders:
            if folder.root == "directory":
                folders.open_root(self.path)
            yield folders.open(folder)

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
        """I6: nothing changes without the lock."""
        if not self._lock.is_held:
            raise InvalidOperation(
                f"{self.path} is not locked by this process: lock it first (a fork does not hold it)"
            )

    def _rounds(self) -> Rounds:
        return Rounds(self._retry, sleep=self._sleep)


class _LockedTransaction(Transaction):
    """A transaction that checks the lock and waits for other transactions of its directory."""

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
    """Open a state directory, and make it if it is missing.

    Raises DirectoryMissing if neither the directory nor its state directory exists, StateUnusable.
    """
    try:
        return filesystem.open_directory(state_path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StateUnusable(state_path, f"it cannot be opened ({error}).") from error
    try:
        filesystem.close(filesystem.open_directory(path))
    except OSError as error:
        raise _explain_unopened(path, state_path, error) from error
    try:
        return _make_state(filesystem, path, state_path)
    except OSError as error:
        raise StateUnusable(state_path, f"it cannot be created ({error}).") from error


def _make_state(filesystem: Filesystem, path: str, state_path: str) -> Directory:
    root_path, name = os.path.split(state_path)
    if root_path == path:
        with opened(filesystem, path) as directory:
            return _make_or_open(filesystem, directory, name)
    with opened(filesystem, os.path.dirname(root_path)) as base:
        root = _make_or_open(filesystem, base, os.path.basename(root_path))
        try:
            return _make_or_open(filesystem, root, name)
        finally:
            filesystem.close(root)


def _explain_unopened(path: str, state_path: str, error: OSError) -> JournalError:
    """Return the error of this package for a directory that cannot be opened."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return DirectoryMissing(path)
    return StateUnusable(state_path, f"its directory {path} cannot be opened ({error}).")


def _make_or_open(filesystem: Filesystem, parent: Directory, name: str) -> Directory:
    try:
        filesystem.make_directory(parent, name, is_private=True)
    except FileExistsError:
        pass  # another process was faster, or the folder `.journal` serves other directories already
    return filesystem.open_subdirectory(parent, name)


class Ready(BaseModel, frozen=True, extra="ignore"):
    """The content of `ready`: the tested abilities of the file system, and the area of the disk where they hold."""

    area: str
    has_links: bool


def make_ready(filesystem: Filesystem, path: str, state: Directory) -> Filesystem:
    """Return the door to the disk for transactions in the directory; test the abilities of the disk once.

    The first time, the path to the state directory is made durable (3 syncs). The test is repeated when the directory
    is in another area of the disk, because it may have been mounted elsewhere, or copied to another file system.
    Raises DirectoryMissing, StateUnusable.
    """
    try:
        directory = filesystem.open_directory(path)
    except FileNotFoundError:
        return door_of(filesystem, state)  # renamed or removed since; a recovery may still be due
    except OSError as error:
        raise _explain_unopened(path, state.path, error) from error
    try:
        area = filesystem.mount(directory)
        if filesystem.mount(state) != area:
            raise StateUnusable(
                state.path, "it is not on the same mount as the directory, or in another project's quota."
            )
        ready = read_ready(filesystem, state)
        if ready is None or ready.area != area:
            ready = _test_disk(filesystem, state, area)
        return filesystem if ready.has_links else NamesOnly(filesystem)
    except OSError as error:
        raise StateUnusable(state.path, f"its file system refuses what a journal needs ({error}).") from error
    finally:
        filesystem.close(directory)


def door_of(filesystem: Filesystem, state: Directory) -> Filesystem:
    """Return the door to the disk that the last owner used; change nothing."""
    ready = read_ready(filesystem, state)
    return NamesOnly(filesystem) if ready is not None and not ready.has_links else filesystem


def read_ready(filesystem: Filesystem, state: Directory) -> Ready | None:
    """Return the recorded abilities of the disk, None before the first test and for an empty file of older versions."""
    try:
        return Ready.model_validate_json(filesystem.read(state, names.READY))
    except (OSError, ValidationError):
        return None


def _test_disk(filesystem: Filesystem, state: Directory, area: str) -> Ready:
    if filesystem.look(state, names.PROBE) is None:
        filesystem.create(state, names.PROBE, [])
    if filesystem.look(state, names.READY) is None:
        _sync_upwards(filesystem, state)
    ready = Ready(area=area, has_links=_has_links(filesystem, state))
    if not ready.has_links:  # some of these file systems cannot even shorten a file, which a journal needs
        filesystem.write_at(state, names.PROBE, 0, b"probe", truncate=False)
        filesystem.write_at(state, names.PROBE, len(b"probe"), b"", truncate=True)
    filesystem.remove_tree(state, names.READY)  # whatever its type is
    filesystem.create(state, names.READY, [ready.model_dump_json().encode() + b"\n"])
    return ready


def _has_links(filesystem: Filesystem, state: Directory) -> bool:
    """True if two links to one file have one inode number, because only then does a number identify a file.

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
        with opened(filesystem, above) as directory:
            filesystem.sync_directory(directory)


def recover_all(
    root: str | os.PathLike[str],
    *,
    label: str = "recovery",
    filesystem: Filesystem | None = None,
    retry: RetryLimits | None = None,
) -> dict[str, RecoveryReport | JournalError]:
    """Recover every directory under `root` whose lock is free; return a report or an error for each name.

    A busy directory is left to its owner; its entry is DirectoryBusy. State directories in other places than the
    default one are not found. `label` is shown to processes that wait for a lock meanwhile, `retry` limits new
    attempts, `filesystem` replaces the real disk. Raises StateUnusable if `root` or its `.journal` cannot be read.
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
    """List the names of the directories under `root` that have a default state directory, beside them or inside.

    Raises StateUnusable.
    """
    beside = os.path.join(root, names.STATE_ROOT)
    lock = os.path.join(names.STATE_ROOT, names.LOCK)
    owners = {
        name
        for name, identity in _list_entries(filesystem, beside)
        if identity.type == "directory" and names.owner_of(name) is None  # no trash of the root's own state
    }
    try:
        with opened(filesystem, root) as directory:
            for name, identity in filesystem.scan(directory):
                if identity.type == "directory" and filesystem.look(directory, os.path.join(name, lock)) is not None:
                    owners.add(name)
    except FileNotFoundError:
        pass  # there are no directories
    except OSError as error:
        raise StateUnusable(beside, f"{root} cannot be read ({error}).") from error
    return sorted(owners)


def _list_entries(filesystem: Filesystem, path: str) -> list[tuple[str, Identity]]:
    try:
        with opened(filesystem, path) as directory:
            return list(filesystem.scan(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StateUnusable(path, f"it cannot be read ({error}).") from error
