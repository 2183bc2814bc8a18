"""The only door to the disk for changes.

`Filesystem` is the protocol of the door; tests replace it by a disk that crashes, loses power or fails.
`LocalFilesystem` is the real disk. Where the platform can, names are used relative to open directory descriptors,
so that no process can redirect a name by renaming or linking a directory above it.

Differences between platforms stay in this module: directory fsync (none on Windows), hard links and
no-replace renames (renameat2 on Linux, renamex_np on macOS, os.rename on Windows).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat
import sys
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from functools import lru_cache
from typing import BinaryIO, Final, Protocol

from journal.copying import CHUNK_BYTES, copy_content
from journal.values import Identity, Type

SCAN_FROM: Final = 64
"""From this many names on, one pass over the directory (0.5 us an entry) beats one lstat a name (2 us)."""

NO_HARD_LINK: Final = frozenset({errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""Errors of link() after which a rename may still work: another user's file (fs.protected_hardlinks), too many links,
or a file system without hard links."""

NO_EXCLUSIVE_RENAME: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""Errors of renameat2(RENAME_NOREPLACE) on an old kernel and on file systems without the flag."""

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors of a disk, or of a quota, without room for another entry."""

NO_OWNERS: Final = frozenset({errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""Errors of chown() and chmod() on file systems without owners or modes."""

NO_ALLOCATION: Final = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
"""Errors of fallocate() on file systems that cannot allocate blocks ahead of the bytes."""

_TYPES: Final[dict[int, Type]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block",
    stat.S_IFCHR: "character",
}


class Directory:
    """An open directory: `fd` is its descriptor (None where names are used by path), `path` is for messages."""

    __slots__ = ("fd", "inode", "path")

    def __init__(self, path: str, inode: int, fd: int | None = None) -> None:
        self.path: str = path
        self.inode: int = inode
        self.fd: int | None = fd

    def at(self, name: str) -> str:
        """Return the name of an entry for system calls: relative to `fd`, or its whole path."""
        return name if self.fd is not None else os.path.join(self.path, name)


class Filesystem(Protocol):
    """The calls to the disk, as this package needs them. All of them raise OSError; all but the first ten change files.

    Pass an implementation to `lock_directory` to see, delay or fail every call. It may be a disk in memory. No method
    syncs anything but `sync_file` and `sync_directory`.
    """

    def open_directory(self, path: str) -> Directory:
        """Open a directory, not through a symbolic link in its last part."""

    def open_subdirectory(self, parent: Directory, name: str) -> Directory:
        """Open a directory inside another, not through a symbolic link."""

    def close(self, directory: Directory) -> None:
        """Close the descriptor."""

    def mount(self, directory: Directory) -> str:
        """Return the area of the disk that a directory is in; files can be moved between directories of equal areas.

        The value holds until the next boot. A device number is not enough, because bind mounts and project quotas
        divide one device into areas between which no file can be moved.
        """

    def look(self, directory: Directory, name: str) -> Identity | None:
        """Return the identity of an entry, with size and mtime; None if the name is free. Never follows a link."""

    def scan(self, directory: Directory) -> Iterator[tuple[str, Identity]]:
        """Yield every entry with its identity, without size and mtime."""

    def scan_inodes(self, directory: Directory) -> Iterator[tuple[str, int]]:
        """Yield every entry with its inode alone, which is faster."""

    def read(self, directory: Directory, name: str) -> bytes:
        """Return the content of a regular file."""

    def read_lines(self, directory: Directory, name: str) -> Generator[bytes, None, None]:
        """Yield the lines of a regular file, each with its newline; the last may lack it. Close it to end early."""

    def is_prefix(self, directory: Directory, name: str, whole: Directory, whole_name: str) -> bool:
        """True if the bytes of the regular file `name` are the beginning of those of `whole_name`."""

    def make_directory(self, parent: Directory, name: str, *, is_private: bool) -> None:
        """Make a directory. Raises FileExistsError if the name is taken.

        With `is_private` only the users who can write its parent can use it.
        """

    def remove_directory(self, parent: Directory, name: str) -> None:
        """Remove an empty directory."""

    def remove_tree(self, parent: Directory, name: str) -> None:
        """Remove a directory with its content, or any other entry, without following a link; ignore a free name."""

    def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        """Give a file a second name. Raises FileExistsError if it is taken. A symbolic link is linked itself."""

    def rename(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        """Rename without replacing. Raises FileExistsError if the new name is taken."""

    def replace(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        """Rename, replacing a file that has the new name; only for new names that only this package uses.

        Does nothing if both names are links to one file, like rename(2).
        """

    def unlink(self, directory: Directory, name: str) -> bool:
        """Remove a name that is not a directory's; return False if it is free.

        Only for names in the state directory, because any other name may be another file's by then (I5).
        """

    def create(self, directory: Directory, name: str, chunks: Iterable[bytes]) -> None:
        """Write a new private file. Raises FileExistsError if the name is taken."""

    def reserve(self, directory: Directory, name: str, content: bytes, size_bytes: int) -> None:
        """Create a private file with this content and the disk space for `size_bytes`.

        Where blocks cannot be allocated ahead, the file is filled with spaces up to that size.
        """

    def fill(self, directory: Directory, name: str, content: bytes) -> None:
        """Overwrite a reserved file in place and cut it to the new content."""

    def copy(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        """Copy a regular file with its mode, times and holes, or a symbolic link, under a new name.

        A copy that fails leaves the new name free. ENOSPC is raised before the disk is full: see `journal.copying`.
        """

    def write_at(self, directory: Directory, name: str, offset_bytes: int, content: bytes, *, truncate: bool) -> None:
        """Write into an existing file; with `truncate` cut it at the offset first."""

    def sync_file(self, directory: Directory, name: str) -> None:
        """Make a file's content durable."""

    def sync_directory(self, directory: Directory) -> None:
        """Make a directory's entries durable."""


@contextlib.contextmanager
def opened(filesystem: Filesystem, path: str) -> Iterator[Directory]:
    """Open a directory for a `with` statement."""
    directory = filesystem.open_directory(path)
    try:
        yield directory
    finally:
        filesystem.close(directory)


def observe(filesystem: Filesystem, directory: Directory, names: Collection[str]) -> Iterator[tuple[str, Identity]]:
    """Yield the names that are taken, with their identities; look at each of a few, scan for many."""
    if len(names) >= SCAN_FROM:
        wanted = names if isinstance(names, (set, dict)) else set(names)
        yield from (entry for entry in filesystem.scan(directory) if entry[0] in wanted)
        return
    for name in names:
        identity = filesystem.look(directory, name)
        if identity is not None:
            yield name, identity


def observe_inodes(filesystem: Filesystem, directory: Directory, names: Collection[str]) -> dict[str, int]:
    """Return the inode numbers of the names that are taken; the result may contain other entries, too.

    As in `observe`, a few names are looked at one by one, because a scan takes longer the larger the directory is.
    """
    if len(names) >= SCAN_FROM:
        return dict(filesystem.scan_inodes(directory))
    return {name: identity.inode for name, identity in observe(filesystem, directory, names)}


Rename = Callable[[Directory, str, Directory, str], None]


class LocalFilesystem:
    """The real disk.

    `by_descriptor`, `exclusive_rename` and `hard_links` are abilities of the platform; by default it is asked for
    them. Without `by_descriptor`, copies are read and written like any file, holes included.
    """

    def __init__(
        self,
        *,
        by_descriptor: bool | None = None,
        exclusive_rename: Rename | None = None,
        hard_links: bool | None = None,
    ) -> None:
        self._by_descriptor = os.open in os.supports_dir_fd if by_descriptor is None else by_descriptor
        self._hard_links = os.link in os.supports_follow_symlinks if hard_links is None else hard_links
        self._exclusive_rename = exclusive_rename or platform_rename()

    def open_directory(self, path: str) -> Directory:
        return self._open(path, path, None)

    def open_subdirectory(self, parent: Directory, name: str) -> Directory:
        return self._open(parent.at(name), os.path.join(parent.path, name), parent.fd)

    def _open(self, name: str, path: str, parent_fd: int | None) -> Directory:
        if not self._by_descriptor:
            status = os.lstat(path)
            if not stat.S_ISDIR(status.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            return Directory(path, status.st_ino)
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
        return Directory(path, os.fstat(fd).st_ino, fd)

    def close(self, directory: Directory) -> None:
        if directory.fd is not None:
            os.close(directory.fd)
            directory.fd = None

    def mount(self, directory: Directory) -> str:
        if directory.fd is None:
            return str(os.stat(directory.path).st_dev)
        parts = (_boot_id(), os.fstat(directory.fd).st_dev, _mount_id(directory.fd), _project_id(directory.fd))
        return ":".join(str(part) for part in parts)

    def look(self, directory: Directory, name: str) -> Identity | None:
        try:
            status = os.stat(directory.at(name), dir_fd=directory.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return Identity(status.st_ino, _type_of(status.st_mode), status.st_size, status.st_mtime_ns)

    def scan(self, directory: Directory) -> Iterator[tuple[str, Identity]]:
        with _entries(directory) as entries:
            trusted: bool | None = None
            for entry in entries:
                if trusted is None:
                    trusted = _shows_its_inode(entry)
                identity = _identity_of(entry) if trusted else self.look(directory, entry.name)
                if identity is not None:
                    yield entry.name, identity

    def scan_inodes(self, directory: Directory) -> Iterator[tuple[str, int]]:
        with _entries(directory) as entries:
            trusted: bool | None = None
            for entry in entries:
                if trusted is None:
                    trusted = _shows_its_inode(entry)
                if trusted:
                    yield entry.name, entry.inode()
                elif (identity := self.look(directory, entry.name)) is not None:
                    yield entry.name, identity.inode

    def read(self, directory: Directory, name: str) -> bytes:
        with open(self._open_file(directory, name, os.O_RDONLY), "rb") as file:
            return file.read()

    def read_lines(self, directory: Directory, name: str) -> Generator[bytes, None, None]:
        with open(self._open_file(directory, name, os.O_RDONLY), "rb") as file:
            yield from file

    def is_prefix(self, directory: Directory, name: str, whole: Directory, whole_name: str) -> bool:
        with (
            open(self._open_file(directory, name, os.O_RDONLY), "rb") as part,
            open(self._open_file(whole, whole_name, os.O_RDONLY), "rb") as rest,
        ):
            while chunk := part.read(CHUNK_BYTES):
                if rest.read(len(chunk)) != chunk:
                    return False
        return True

    def make_directory(self, parent: Directory, name: str, *, is_private: bool) -> None:
        if not is_private:
            os.mkdir(parent.at(name), dir_fd=parent.fd)
            return
        os.mkdir(parent.at(name), 0o700, dir_fd=parent.fd)
        directory = self.open_subdirectory(parent, name)
        try:
            share_like(parent, directory.fd, directory.path, 0o700)
        finally:
            self.close(directory)

    def remove_directory(self, parent: Directory, name: str) -> None:
        os.rmdir(parent.at(name), dir_fd=parent.fd)

    def remove_tree(self, parent: Directory, name: str) -> None:
        identity = self.look(parent, name)
        if identity is None:
            return
        if identity.type != "directory":
            self.unlink(parent, name)
        else:
            shutil.rmtree(parent.at(name), dir_fd=parent.fd)

    def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        if not self._hard_links:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), name)
        # follow_symlinks=False: with descriptors the default follows.
        if source.fd is not None:
            os.link(name, new_name, src_dir_fd=source.fd, dst_dir_fd=target.fd, follow_symlinks=False)
        else:
            os.link(source.at(name), target.at(new_name), follow_symlinks=False)

    def rename(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        self._exclusive_rename(source, name, target, new_name)

    def replace(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        os.replace(source.at(name), target.at(new_name), src_dir_fd=source.fd, dst_dir_fd=target.fd)

    def unlink(self, directory: Directory, name: str) -> bool:
        try:
            os.unlink(directory.at(name), dir_fd=directory.fd)
        except FileNotFoundError:
            return False
        return True

    def create(self, directory: Directory, name: str, chunks: Iterable[bytes]) -> None:
        fd = self._open_file(directory, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with open(fd, "wb", buffering=0) as file:
            share_like(directory, fd, os.path.join(directory.path, name), 0o600)
            for chunk in chunks:
                _write_all(file.fileno(), chunk)

    def reserve(self, directory: Directory, name: str, content: bytes, size_bytes: int) -> None:
        fd = self._open_file(directory, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with open(fd, "wb", buffering=0):
            share_like(directory, fd, os.path.join(directory.path, name), 0o600)
            _write_all(fd, content)
            if directory.fd is None or not allocate(fd, size_bytes):
                _write_all(fd, b" " * (size_bytes - len(content)))

    def fill(self, directory: Directory, name: str, content: bytes) -> None:
        with open(self._open_file(directory, name, os.O_WRONLY), "wb", buffering=0) as file:
            _write_all(file.fileno(), content)
            file.truncate(len(content))  # frees allocated blocks, too

    def copy(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        if stat.S_ISLNK(os.stat(source.at(name), dir_fd=source.fd, follow_symlinks=False).st_mode):
            os.symlink(os.readlink(source.at(name), dir_fd=source.fd), target.at(new_name), dir_fd=target.fd)
            return
        with open(self._open_file(source, name, os.O_RDONLY), "rb") as original:
            writing = self._open_file(target, new_name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            created = os.fstat(writing)
            try:
                with open(writing, "wb") as copy:
                    self._copy_into(copy, created, original, target)
            except BaseException:
                with contextlib.suppress(OSError):  # the caller needs the error of the copy, not of its removal
                    self.unlink(target, new_name)
                raise

    def _copy_into(self, copy: BinaryIO, created: os.stat_result, original: BinaryIO, target: Directory) -> None:
        status = os.fstat(original.fileno())
        place = target.path if target.fd is None else target.fd
        copy_content(original, copy, place, by_kernel=self._by_descriptor)
        copy.flush()
        if os.chmod in os.supports_fd:
            mode = stat.S_IMODE(status.st_mode)
            if (status.st_uid, status.st_gid) != (created.st_uid, created.st_gid):
                mode &= ~(stat.S_ISUID | stat.S_ISGID)  # no program must run as the user who made the copy
            with _on_disks_with_owners():
                os.chmod(copy.fileno(), mode)
        if os.utime in os.supports_fd:
            os.utime(copy.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))

    def write_at(self, directory: Directory, name: str, offset_bytes: int, content: bytes, *, truncate: bool) -> None:
        with open(self._open_file(directory, name, os.O_WRONLY), "wb", buffering=0) as file:
            if truncate:
                file.truncate(offset_bytes)
            file.seek(offset_bytes)
            _write_all(file.fileno(), content)

    def sync_file(self, directory: Directory, name: str) -> None:
        # Windows flushes only files that were opened for writing.
        fd = self._open_file(directory, name, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            _sync(fd)
        finally:
            os.close(fd)

    def sync_directory(self, directory: Directory) -> None:
        if directory.fd is not None:
            _sync(directory.fd)
        elif os.name != "nt":  # Windows has no directory fsync; NTFS journals its directories
            fd = os.open(directory.path, os.O_RDONLY)
            try:
                _sync(fd)
            finally:
                os.close(fd)

    def _open_file(self, directory: Directory, name: str, flags: int) -> int:
        return _open_regular(directory.at(name), flags | getattr(os, "O_BINARY", 0), directory.fd)


def open_lock_file(path: str, flags: int) -> int:
    """Open a lock file without waiting, following a symbolic link, or creating it; an opener for `open`."""
    return _open_regular(path, flags & ~os.O_CREAT)


def _open_regular(path: str, flags: int, dir_fd: int | None = None) -> int:
    """Open a regular file and nothing else: a FIFO would wait for its other end, a device may have no end."""
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        fd = os.open(path, flags, 0o600, dir_fd=dir_fd)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a FIFO without a reader, or a socket
            raise _not_regular(path) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _not_regular(path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _not_regular(path: str) -> OSError:
    return OSError(errno.EINVAL, "not a regular file", path)


def share_like(model: Directory, fd: int | None, path: str, owner_mode: int) -> None:
    """Give a new entry the model directory's group, and its owner if root made it, so that both can use it.

    `owner_mode` is repeated for the group if the model lets its group write. Other users get no access.
    """
    if os.name == "nt":
        return
    status = os.stat(model.path if model.fd is None else model.fd)
    target = path if fd is None else fd
    with _on_disks_with_owners():
        if os.geteuid() == 0:
            os.chown(target, status.st_uid, status.st_gid)
        elif status.st_gid in os.getgroups():
            os.chown(target, -1, status.st_gid)
    if status.st_mode & stat.S_IWGRP:
        with _on_disks_with_owners():
            os.chmod(target, owner_mode | owner_mode >> 3)


@contextlib.contextmanager
def _on_disks_with_owners() -> Iterator[None]:
    """Ignore the refusal of a file system without owners and modes (exfat, vfat): every file is accessible there."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_OWNERS:
            raise


def platform_rename() -> Rename:
    """Return the platform's rename that never replaces or, if it has none, the rename by placeholder."""
    if os.name == "nt":
        return _rename_windows
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin" and hasattr(libc, "renameatx_np"):
        return _rename_by(libc.renameatx_np, 4)  # RENAME_EXCL of <sys/stdio.h>
    if hasattr(libc, "renameat2"):
        return _rename_by(libc.renameat2, 1)  # RENAME_NOREPLACE of <linux/fs.h>
    return rename_by_placeholder


def _rename_by(call: Callable[[int, bytes, int, bytes, int], int], flag: int) -> Rename:
    at_current_directory = -2 if sys.platform == "darwin" else -100

    def rename(source: Directory, name: str, target: Directory, new_name: str) -> None:
        failed = call(
            at_current_directory if source.fd is None else source.fd,
            os.fsencode(source.at(name)),
            at_current_directory if target.fd is None else target.fd,
            os.fsencode(target.at(new_name)),
            flag,
        )
        if not failed:
            return
        number = ctypes.get_errno()
        if number in NO_EXCLUSIVE_RENAME:
            rename_by_placeholder(source, name, target, new_name)
            return
        raise OSError(number, os.strerror(number), os.path.join(source.path, name))

    return rename


def _rename_windows(source: Directory, name: str, target: Directory, new_name: str) -> None:
    os.rename(source.at(name), target.at(new_name))  # never replaces there


def rename_by_placeholder(source: Directory, name: str, target: Directory, new_name: str) -> None:
    """Take the new name with an empty file or directory, the placeholder, then rename over it.

    Weaker than an exclusive rename in one point: a file that another process writes under the new name between the two
    calls is replaced. If the process is killed in between, the placeholder stays, and recovery removes it.
    """
    old, new = source.at(name), target.at(new_name)
    if stat.S_ISDIR(os.stat(old, dir_fd=source.fd, follow_symlinks=False).st_mode):
        os.mkdir(new, dir_fd=target.fd)
        remove = os.rmdir
    else:
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=target.fd))
        remove = os.unlink
    try:
        os.replace(old, new, src_dir_fd=source.fd, dst_dir_fd=target.fd)
    except OSError:
        remove(new, dir_fd=target.fd)
        raise


def allocate(fd: int, size_bytes: int) -> bool:
    """Allocate the blocks for `size_bytes` without changing the file's size; return False where that is impossible."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    keep_size = 1  # FALLOC_FL_KEEP_SIZE of <linux/falloc.h>
    if not libc.fallocate(fd, keep_size, ctypes.c_int64(0), ctypes.c_int64(size_bytes)):
        return True
    number = ctypes.get_errno()
    if number in NO_ALLOCATION:
        return False
    raise OSError(number, os.strerror(number))


@lru_cache(maxsize=1)
def _boot_id() -> str:
    """Return the kernel's id of this boot, because mount numbers are given anew at each boot."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return file.read().strip().decode()
    except OSError:
        return ""  # no Linux, or no /proc


def _mount_id(fd: int) -> int | None:
    """Return the kernel's number for the mount that a descriptor is in, None where it is not shown."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith(b"mnt_id:")), None)
    except OSError:
        return None  # no Linux, or no /proc: the device number must be enough


def _project_id(fd: int) -> int:
    """Return a directory's number for project quotas (ext4, xfs, f2fs): no file can be linked into another project."""
    if sys.platform != "linux":
        return 0
    import fcntl  # noqa: PLC0415 - Windows has none

    attributes = bytearray(28)  # struct fsxattr of <linux/fs.h>; fsx_projid is its fourth u32
    try:
        fcntl.ioctl(fd, 0x801C581F, attributes)  # FS_IOC_FSGETXATTR
    except OSError:
        return 0  # a file system without projects
    return int.from_bytes(attributes[12:16], sys.byteorder)


def is_mount_point(path: str) -> bool:
    """True if no file can be moved between a directory and its parent, because the directory is mounted there."""
    disk = LocalFilesystem()
    try:
        with opened(disk, path) as directory, opened(disk, os.path.dirname(path)) as parent:
            return disk.mount(directory) != disk.mount(parent)
    except OSError:
        return False  # the next caller that opens it reports the error


@contextlib.contextmanager
def _entries(directory: Directory) -> Iterator[Iterator[os.DirEntry[str]]]:
    """Scan a directory through a new descriptor.

    btrfs shows through an open descriptor only the entries of the time when it was opened or last rewound; os.scandir
    rewinds the given descriptor at its end, not at its beginning.
    """
    if directory.fd is None:
        with os.scandir(directory.path) as entries:
            yield entries
        return
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory.fd)
    try:
        with os.scandir(fd) as entries:
            yield entries
    finally:
        os.close(fd)


def _shows_its_inode(entry: os.DirEntry[str]) -> bool:
    """True if readdir and lstat give the same inode number; on file systems in user space they often differ."""
    try:
        return entry.stat(follow_symlinks=False).st_ino == entry.inode()
    except FileNotFoundError:
        return False  # removed since: the slower way is always right


def _identity_of(entry: os.DirEntry[str]) -> Identity | None:
    # d_type answers without a system call for all but special files.
    if entry.is_file(follow_symlinks=False):
        return Identity(entry.inode(), "file")
    if entry.is_symlink():
        return Identity(entry.inode(), "symlink")
    if entry.is_dir(follow_symlinks=False):
        return Identity(entry.inode(), "directory")
    try:
        return Identity(entry.inode(), _type_of(entry.stat(follow_symlinks=False).st_mode))
    except FileNotFoundError:
        return None


def _type_of(mode: int) -> Type:
    return _TYPES.get(stat.S_IFMT(mode), "file")


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def _sync(fd: int) -> None:
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415 - Windows has none

        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync there leaves the data in the drive's cache
    else:
        os.fsync(fd)
