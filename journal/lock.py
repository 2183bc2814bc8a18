"""One writer per directory: a file lock (flock, through portalocker) and a note about its holder.

The lock decides, the note only explains. The lock file is never deleted, because two processes could then lock two
files of one name. kill -9 frees the lock at once.
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
from pydantic import ValidationError

from journal import names
from journal.errors import DirectoryBusy, InvalidOperation, StateUnusable
from journal.filesystem import Directory, Filesystem, open_lock_file
from journal.values import Holder, printable

CHECK_INTERVAL_SECONDS = 0.02
REPLACED_LIMIT = 20
"""How often a lock file may be replaced between opening and locking it; more often is no accident."""

NO_LOCK_FILE = frozenset({errno.EINVAL, errno.EISDIR, errno.ELOOP})
"""Errors of opening a FIFO, a device or a socket, a directory, and a symbolic link."""


class Lock(Protocol):
    """The lock of a directory, as `lock_directory` uses it; tests may pass another one as `lock_factory`."""

    def acquire(self, timeout_seconds: float) -> None:
        """Take the lock, waiting at most `timeout_seconds`; 0 tries once.

        Raises DirectoryBusy if another owner holds it, StateUnusable if it cannot be locked at all.
        """

    def release(self) -> None:
        """Free the lock. Does nothing if this object does not hold it."""

    @property
    def is_held(self) -> bool:
        """True if this process holds the lock through this object."""


class FileLock:
    """The lock of one directory: `flock` on the file `lock` in its state directory `state`.

    `label` goes into the note for other processes. Two objects exclude each other, also in one process. A forked child
    does not hold its parent's lock: there `is_held` is False and `release` frees nothing.
    """

    def __init__(self, filesystem: Filesystem, state: Directory, label: str) -> None:
        self._filesystem = filesystem
        self._state = state
        self._label = label
        self._path = os.path.join(state.path, names.LOCK)
        self._lock: portalocker.Lock[IO[bytes]] | None = None  # kept, because a collected handle unlocks
        self._pid = 0

    @property
    def is_held(self) -> bool:
        """True if this process holds the lock through this object."""
        return self._lock is not None and self._pid == os.getpid()

    def acquire(self, timeout_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the lock, waiting at most `timeout_seconds` (0 tries once), and write the note.

        Raises DirectoryBusy after `timeout_seconds`, StateUnusable if the lock file cannot be opened or locked,
        InvalidOperation if this object has it already.
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
                except BaseException:  # interrupted: the caller gets no lock, and so would not release it
                    self.release()
                    raise
                return
            lock.release()  # the lock file was removed or replaced: the locked one protects nothing
        raise StateUnusable(
            self._state.path, "another process replaces its lock file again and again. Find and stop that process."
        )

    def release(self) -> None:
        """Free the lock and remove the note; in a forked child only close the shared file."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        if self._pid != os.getpid():
            assert lock.fh is not None  # acquire() opened it
            lock.fh.close()  # closing does not unlock while the parent has the file open; lock.release() would
            return
        try:
            with contextlib.suppress(OSError):  # a stale note does no harm; the error would hide a worse one
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
        with contextlib.suppress(OSError):  # the note is only a courtesy: on a full disk the lock must still work
            host = socket.gethostname()
            holder = Holder(pid=self._pid, host=host, since=datetime.now(UTC), label=printable(self._label))
            self._filesystem.unlink(self._state, names.HOLDER)
            self._filesystem.create(self._state, names.HOLDER, [holder.model_dump_json().encode() + b"\n"])


def is_locked(state: Directory) -> bool:
    """True if the lock of a state directory is held now; tested with a shared lock, for a moment.

    Raises StateUnusable if the lock file cannot be opened or locked.
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
    """Raise StateUnusable for every error of a lock file, except that it is locked."""
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
            f"the lock file {path} belongs to another user and cannot be opened ({error}). "
            "Run this as its owner, or give its group access (chmod -R g+rwX).",
        ) from error
    except OSError as error:
        reason = f"its lock file cannot be opened ({error})."
        if error.errno in NO_LOCK_FILE:
            reason += f" {path} is not a regular file: remove it."
        raise StateUnusable(state.path, reason) from error


def read_holder(filesystem: Filesystem, state: Directory) -> Holder | None:
    """Return the content of the note in a state directory, None if it is missing or cannot be read."""
    try:
        return Holder.model_validate_json(filesystem.read(state, names.HOLDER))
    except (OSError, ValidationError):
        return None  # the note is only a courtesy: the lock itself decides
