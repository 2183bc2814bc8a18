"""One writer per directory: a file lock (flock, through portalocker) and a note that says who holds it.

The lock decides, the note only explains. The lock file is never deleted: whoever deleted it would let two
processes lock two files of one name. kill -9 frees the lock at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import IO, Protocol

import portalocker
from pydantic import BaseModel, ConfigDict, ValidationError

from journal import names
from journal.errors import DirectoryBusy, InvalidOperation, StateUnusable, printable
from journal.filesystem import Directory, Filesystem, open_lock_file

CHECK_INTERVAL_SECONDS = 0.02
REPLACED_LIMIT = 20
"""How often a lock file may be replaced between opening and locking it before somebody must be doing it on purpose."""

NO_LOCK_FILE = frozenset({errno.EINVAL, errno.EISDIR, errno.ELOOP})
"""What opening gives for a FIFO, a device or a socket, for a directory, and for a symbolic link."""


class Holder(BaseModel):
    """Who holds, or last held, a directory: process, machine, since when (UTC), and what for."""

    model_config = ConfigDict(frozen=True)

    pid: int
    host: str
    since: datetime
    label: str

    def __str__(self) -> str:
        return f"{self.label!r} (process {self.pid} on {self.host}, since {self.since:%Y-%m-%d %H:%M:%S} UTC)"


class Lock(Protocol):
    """What a directory needs of its lock."""

    def acquire(self, timeout_seconds: float) -> None:
        """Take the lock, waiting at most so long; 0 asks once. Raises DirectoryBusy, StateUnusable."""

    def release(self) -> None:
        """Give it back."""

    @property
    def is_held(self) -> bool:
        """Whether this process holds it through this object."""


class FileLock:
    """The lock of one directory, in its state directory.

    A forked child shares the parent's lock but does not hold it: there `is_held` is False and `release` frees nothing.
    """

    def __init__(self, filesystem: Filesystem, state: Directory, label: str) -> None:
        self._filesystem = filesystem
        self._state = state
        self._label = label
        self._path = os.path.join(state.path, names.LOCK)
        self._lock: portalocker.Lock[IO[bytes]] | None = None  # kept: a collected handle unlocks
        self._pid = 0

    @property
    def is_held(self) -> bool:
        return self._lock is not None and self._pid == os.getpid()

    def acquire(self, timeout_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the lock and write the note.

        Raises DirectoryBusy after `timeout_seconds`, StateUnusable when the lock file cannot be opened or locked,
        InvalidOperation when this object has it already.
        """
        if self._lock is not None:
            raise InvalidOperation(f"{printable(self._path)} is locked through this object already.")
        started = clock()
        for _ in range(REPLACED_LIMIT):
            waited = clock() - started
            lock = portalocker.Lock(
                self._path,
                "ab",
                timeout=max(0.0, timeout_seconds - waited),
                check_interval=CHECK_INTERVAL_SECONDS,
                fail_when_locked=timeout_seconds == 0,
                opener=open_lock_file,
            )
            try:
                with _errors_named(self._state):
                    self._make_lock_file()
                    file = lock.acquire()
                    is_current = self._is_current(file)
            except portalocker.AlreadyLocked as error:
                holder = read_holder(self._filesystem, self._state)
                raise DirectoryBusy(self._path, clock() - started, holder) from error
            except BaseException:
                lock.release()
                raise
            if is_current:
                self._lock, self._pid = lock, os.getpid()
                try:
                    self._write_note()
                except BaseException:  # interrupted: whoever asked has no lock, so nobody would give it back
                    self.release()
                    raise
                return
            lock.release()  # somebody removed or replaced the lock file: what we locked protects nothing
        raise StateUnusable(self._state.path, "its lock file is replaced again and again. Find out by whom.")

    def release(self) -> None:
        """Give the lock back and remove the note; in a forked child only close the shared file."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        if self._pid != os.getpid():
            assert lock.fh is not None  # it is ours alone, and was locked
            lock.fh.close()  # closing does not unlock while the parent has the file open; lock.release() would
            return
        try:
            with contextlib.suppress(OSError):  # a stale note misleads nobody; the error would hide a worse one
                self._filesystem.unlink(self._state, names.HOLDER)
        finally:
            lock.release()

    def _is_current(self, file: IO[bytes]) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), os.stat(self._path, follow_symlinks=False))
        except FileNotFoundError:
            return False

    def _make_lock_file(self) -> None:
        if self._filesystem.look(self._state, names.LOCK) is None:
            with contextlib.suppress(FileExistsError):  # another process was faster
                self._filesystem.create(self._state, names.LOCK, [])

    def _write_note(self) -> None:
        with contextlib.suppress(OSError):  # only a courtesy: on a full disk the lock must still be had
            host = socket.gethostname()
            holder = Holder(pid=self._pid, host=host, since=datetime.now(UTC), label=printable(self._label))
            self._filesystem.unlink(self._state, names.HOLDER)
            self._filesystem.create(self._state, names.HOLDER, [holder.model_dump_json().encode() + b"\n"])


def is_locked(state: Directory) -> bool:
    """Whether somebody holds the lock of a state directory now; asks without taking it for writing.

    Raises StateUnusable when the lock file cannot be opened or asked.
    """
    probe = portalocker.Lock(
        os.path.join(state.path, names.LOCK),
        "rb",
        fail_when_locked=True,
        flags=portalocker.LockFlags.SHARED | portalocker.LockFlags.NON_BLOCKING,
        opener=open_lock_file,
    )
    try:
        with _errors_named(state), contextlib.suppress(FileNotFoundError):  # never locked
            probe.acquire()
    except portalocker.AlreadyLocked:
        return True
    probe.release()
    return False


@contextlib.contextmanager
def _errors_named(state: Directory) -> Iterator[None]:
    """Raise StateUnusable for what may happen to a lock file, except that it is locked."""
    path = printable(os.path.join(state.path, names.LOCK))
    try:
        yield
    except portalocker.AlreadyLocked:
        raise
    except portalocker.LockException as error:
        raise StateUnusable(state.path, f"its file system cannot lock files ({error}).") from error
    except PermissionError as error:
        raise StateUnusable(
            state.path,
            f"the lock file {path} belongs to another user and may not be opened ({error}). "
            "Let its owner run this, or give its group access (chmod -R g+rwX).",
        ) from error
    except OSError as error:
        reason = f"its lock file cannot be opened ({error})."
        if error.errno in NO_LOCK_FILE:
            reason += f" {path} is not a regular file: remove it."
        raise StateUnusable(state.path, reason) from error


def read_holder(filesystem: Filesystem, state: Directory) -> Holder | None:
    """What the note in a state directory says; None when there is none, or none that can be read."""
    try:
        return Holder.model_validate_json(filesystem.read(state, names.HOLDER))
    except (OSError, ValidationError):
        return None  # only a courtesy: the lock itself decides
