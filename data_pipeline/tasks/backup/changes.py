"""Find the changes of a restore: compare the files of a backup with the current ones by name. Changes nothing.

Files are compared by size, then byte by byte in pieces, links by their targets. Times and permissions do not count.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from data_pipeline.tasks.backup.checksums import CHUNK_BYTES
from data_pipeline.tasks.workspace import open_regular_file, printable

Action = Literal["added", "replaced", "unchanged", "removed", "unknown"]
ACTIONS: Final[tuple[Action, ...]] = ("added", "replaced", "unchanged", "removed", "unknown")

Progress = Callable[[int, int], None]
"""A callback for the number of bytes that are compared, of all; an exception that it raises ends the comparison."""


@dataclass(frozen=True)
class FileChange:
    """The change of one name by a restore. The sizes are None for missing files.

    `removed`: the current file moves into the new backup, and no file replaces it. `unknown`: the action cannot be
    predicted, for this `reason`. `name` is the name of the system.
    """

    name: str
    action: Action
    size_bytes: int | None = None
    current_size_bytes: int | None = None
    reason: str | None = None

    def summary(self) -> dict[str, Any]:
        """Return the fields for answers."""
        return {**vars(self), "name": printable(self.name)}


def find_changes(
    backup: str,
    directory: str,
    *,
    restored: Collection[str],
    leaving: Collection[str],
    progress: Progress = lambda _done, _total: None,
) -> Iterator[FileChange]:
    """Compare each restored file of the directory `backup` with the current one of its name in `directory`.

    `leaving` are the names of the current files that move away. Yields a change for each name of both, sorted.
    """
    total, done = sum(_size_of(os.path.join(backup, name)) for name in restored), 0
    for name in sorted({*restored, *leaving}):
        current = os.path.join(directory, name)
        if name not in restored:
            yield FileChange(name, "removed", None, _size_of(current))
            continue
        old, is_there = os.path.join(backup, name), name in leaving
        size_bytes, compared_before = _size_of(old), done

        def count(read: int, before: int = compared_before) -> None:
            progress(before + read, total)

        sizes = (size_bytes, _size_of(current) if is_there else None)
        try:
            action = _compare(old, current, count) if is_there else _check_readable(old)
            yield FileChange(name, action, *sizes)
        except _Unpredictable as reason:
            yield FileChange(name, "unknown", *sizes, reason=str(reason))
        done += size_bytes
        progress(done, total)


class _Unpredictable(Exception):
    """The comparison is not possible, for the reason that is the message."""


def _check_readable(old: str) -> Action:
    """Check that a file of the backup can be copied, because a restore fails completely if one cannot."""
    try:
        if stat.S_ISREG(os.lstat(old).st_mode):
            open_regular_file(old).close()
    except OSError as error:
        raise _unreadable_backup(error) from error
    return "added"


def _compare(old: str, current: str, count: Callable[[int], None]) -> Action:
    _check_readable(old)
    try:
        kinds = {stat.S_IFMT(os.lstat(path).st_mode) for path in (old, current)}
        if kinds == {stat.S_IFLNK}:
            return "unchanged" if os.readlink(old) == os.readlink(current) else "replaced"
        if kinds == {stat.S_IFREG} and os.lstat(old).st_size == os.lstat(current).st_size:
            return "unchanged" if _have_same_bytes(old, current, count) else "replaced"
    except OSError as error:
        raise _Unpredictable(f"the current file cannot be compared ({error.strerror or error})") from error
    return "replaced"


def _have_same_bytes(old: str, current: str, count: Callable[[int], None]) -> bool:
    with open_regular_file(old) as backed_up, open_regular_file(current) as present:
        before, read, is_same = os.fstat(present.fileno()), 0, True
        while is_same:
            try:
                chunk = backed_up.read(CHUNK_BYTES)
            except OSError as error:
                raise _unreadable_backup(error) from error
            is_same = present.read(CHUNK_BYTES) == chunk
            read += len(chunk)
            count(read)
            if not chunk:
                break
        after = os.fstat(present.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise _Unpredictable("the current file changed while it was compared")
    return is_same


def _unreadable_backup(error: OSError) -> _Unpredictable:
    return _Unpredictable(f"the file of the backup cannot be read ({error.strerror or error}): the restore would fail")


def _size_of(path: str) -> int:
    """Return the size of a file; 0 for a missing one, which the comparison then reports."""
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
