"""Copy the content of one open file into a new one: share blocks, keep holes, leave a part of the disk free.

    share the extents (btrfs, xfs: no space, no time) -> else: enough space? -> copy the data, leave the holes
    -> copy the bytes that were appended meanwhile

A copy is a courtesy (for a file that could not be moved, or is to be restored). It must not use up the space that
everything else on the disk needs.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from typing import BinaryIO, Final

CHUNK_BYTES: Final = 1 << 20
KERNEL_CHUNK_BYTES: Final = 8 << 20
"""Bytes that are copied between two checks of the free space."""

RESERVED_BYTES: Final = 64 << 20
"""Space that no copy uses: journals and records (200 bytes a file), logs and the write-ahead logs of databases (4 MiB
each) are written on the same disk while, and after, a copy is made."""

RESERVED_SHARE: Final = 20
"""On a small disk the reserve is a twentieth of it, because copies must be possible there, too."""

NOT_OFFERED: Final = frozenset({
    errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY, errno.EXDEV,
})  # fmt: skip
"""Errors of copy_file_range after which plain reading and writing may still work: an old kernel, two file systems,
a file system without it, a swap file, a sandbox."""

_FICLONE: Final = 0x40049409  # _IOW(0x94, 9, int) of <linux/fs.h>


def copy_content(source: BinaryIO, target: BinaryIO, place: int | str, *, by_kernel: bool) -> None:
    """Copy everything from `source` to `target`, an empty file in the directory `place` (a descriptor or a path).

    With `by_kernel` both are files of a Unix kernel; without it, content is read and written, holes included.
    Raises OSError with ENOSPC if the copy would leave less than the reserve free; `target` then has a part of it.
    """
    status = os.fstat(source.fileno())
    allocated = min(status.st_blocks * 512, status.st_size) if hasattr(status, "st_blocks") else status.st_size
    if by_kernel and _share_extents(source.fileno(), target.fileno(), status.st_size):
        return
    room = _Room(place, allocated)
    if by_kernel:
        is_sparse = allocated < status.st_size
        end = _copy_data(source.fileno(), target.fileno(), status.st_size, room, is_sparse=is_sparse)
        source.seek(end)
        target.seek(end)
    while chunk := source.read(CHUNK_BYTES):
        room.take(len(chunk))
        target.write(chunk)


class _Room:
    """The free space of the target's disk, checked before each piece, because other processes write there, too."""

    def __init__(self, place: int | str, needed_bytes: int) -> None:
        self._place = place
        self._needed_bytes = needed_bytes
        if needed_bytes:
            self._check(needed_bytes)

    def take(self, count_bytes: int) -> None:
        """Claim space for the next piece; the pieces that follow it are counted, too."""
        self._check(max(count_bytes, self._needed_bytes))
        self._needed_bytes = max(0, self._needed_bytes - count_bytes)

    def _check(self, needed_bytes: int) -> None:
        total, _, free = shutil.disk_usage(self._place)
        reserved = min(RESERVED_BYTES, total // RESERVED_SHARE)
        if total and needed_bytes > free - reserved:  # some network file systems report no size
            raise OSError(
                errno.ENOSPC,
                f"not enough space for a copy: {_mebibytes(needed_bytes)} needed, {_mebibytes(free)} free, of which "
                f"{_mebibytes(reserved)} stay reserved; free some space on this disk",
            )


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):,.1f} MiB"


def _share_extents(source: int, target: int, size_bytes: int) -> bool:
    """Let the target share the source's blocks until one of them changes; return False where the disk cannot."""
    if sys.platform != "linux":
        return False
    import fcntl  # noqa: PLC0415 - Windows has none

    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        os.ftruncate(target, 0)  # an interrupted sharing leaves a part; copying will report a real error
        return False
    # A file system in user space may answer any request with success.
    return os.fstat(target).st_size >= size_bytes


def _copy_data(source: int, target: int, size_bytes: int, room: _Room, *, is_sparse: bool) -> int:
    """Copy the first `size_bytes`; return the offset of its end, which is lower if the source was cut meanwhile."""
    for start, end in _data_ranges(source, size_bytes) if is_sparse else [(0, size_bytes)]:
        offset = start
        while offset < end:
            count = min(KERNEL_CHUNK_BYTES, end - offset)
            room.take(count)
            copied = _copy_piece(source, target, offset, count)
            if not copied:
                return offset
            offset += copied
    if is_sparse:
        os.ftruncate(target, size_bytes)  # the hole at its end
    return size_bytes


def _data_ranges(fd: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a file that hold data; the whole file if its system does not report holes."""
    end = 0
    while end < size_bytes:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole follows
                return
            if error.errno not in NOT_OFFERED:
                raise
            start, end = end, size_bytes
        yield start, min(end, size_bytes)


def _copy_piece(source: int, target: int, offset: int, count: int) -> int:
    """Copy up to `count` bytes, in the kernel if possible; return their number, 0 at the end of the source."""
    if hasattr(os, "copy_file_range"):
        try:
            copied = os.copy_file_range(source, target, count, offset, offset)
        except OSError as error:
            if error.errno not in NOT_OFFERED:
                raise
        else:
            if copied:  # 0 means the end of the file, or a file system that accepts the call without doing it
                return copied
    chunk = os.pread(source, min(count, CHUNK_BYTES), offset)
    view = memoryview(chunk)
    while view:
        written = os.pwrite(target, view, offset + len(chunk) - len(view))
        view = view[written:]
    return len(chunk)
