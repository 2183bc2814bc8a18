"""Prevent the deletion of a backup during its restore, by a shared and an exclusive lock on its items file.

The locks (flock, through portalocker) exclude processes and threads. A lock stays with a file that the journal renames,
and the kernel releases it when the process ends, also if it is killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from typing import IO, Final

import portalocker

from data_pipeline.errors import BackupProtected
from data_pipeline.tasks.workspace import open_for_lock, open_regular_file
from data_pipeline.vectors.backup.catalogue import BackupPlace

BEING_RESTORED: Final = "it is being restored"
RESTORE_WAIT_SECONDS: Final = 10.0
"""How long a restore waits for a deletion, or for a dry run of one."""

DELETION_WAIT_SECONDS: Final = 0.2
"""How long a deletion waits for dry runs, which hold the lock only for a moment. A restore holds it longer."""

CHECK_INTERVAL_SECONDS: Final = 0.02


@contextlib.contextmanager
def opened_for_restore(place: BackupPlace, timestamp: str) -> Iterator[IO[bytes]]:
    """Open the items file of a backup, which no process deletes until it is closed.

    Raises OSError, also if another process deletes it.
    """
    items_path = place.items_path(timestamp)
    with open_regular_file(items_path) as file:
        try:
            is_locked = _lock(file, portalocker.LockFlags.SHARED, RESTORE_WAIT_SECONDS)
        except portalocker.LockException:
            is_locked = True  # without locks there are no deletions, because the journal needs locks, too
        if not is_locked:
            raise OSError(errno.EBUSY, "another process is deleting it", items_path)
        if not os.path.lexists(items_path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), items_path)
        yield file


@contextlib.contextmanager
def kept_from_restores(place: BackupPlace, timestamp: str) -> Iterator[None]:
    """Hold the exclusive lock of a backup. Raises BackupProtected if it is being restored."""
    items_path = place.items_path(timestamp)
    try:
        file = open_for_lock(items_path) if stat.S_ISREG(os.lstat(items_path).st_mode) else None
    except FileNotFoundError:
        file = None
    except OSError as error:
        raise _unknown(timestamp, error) from error
    if file is None:
        yield  # only a regular file can be restored, so no restore is in progress
        return
    with file:
        try:
            is_locked = _lock(file, portalocker.LockFlags.EXCLUSIVE, DELETION_WAIT_SECONDS)
        except portalocker.LockException as error:
            raise _unknown(timestamp, error) from error
        if not is_locked:
            raise BackupProtected(timestamp, BEING_RESTORED, can_force=False)
        yield


def why_locked(place: BackupPlace, timestamp: str) -> str | None:
    """Return the reason why the backup cannot be deleted now, None if it can be."""
    try:
        with kept_from_restores(place, timestamp):
            return None
    except BackupProtected as error:
        return error.reason


def _unknown(timestamp: str, error: Exception) -> BackupProtected:
    """Return the error with the reason, without the path, which must not be in answers."""
    cause = error if isinstance(error, OSError) else error.__cause__
    reason = cause.strerror if isinstance(cause, OSError) else type(error).__name__
    return BackupProtected(timestamp, f"it is unknown whether it is being restored ({reason})", can_force=False)


def _lock(file: IO[bytes], kind: portalocker.LockFlags, wait_seconds: float) -> bool:
    """Return True if the lock was acquired in time. Raises LockException if the file system has no locks."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            portalocker.lock(file, kind | portalocker.LockFlags.NON_BLOCKING)
        except portalocker.AlreadyLocked:
            if time.monotonic() >= deadline:
                return False
            time.sleep(CHECK_INTERVAL_SECONDS)
        else:
            return True
