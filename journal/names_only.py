"""A disk whose inode numbers identify nothing: only names and types are left.

Some file systems in user space give each hard link an inode number of its own, or change the number after a while
(sshfs, mergerfs, unionfs-fuse, exfat-fuse), and a home that was copied has new numbers throughout. This door shows the
disk behind it with the number 0 everywhere and without hard links. Moves are then renames, and recovery compares the
bytes of two files under the two names of one move.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from journal.filesystem import Directory, Filesystem
from journal.values import NO_INODE, Identity


class NamesOnly:
    """A `Filesystem` in front of another one; everything not named here is the other one's."""

    def __init__(self, disk: Filesystem) -> None:
        self._disk = disk
        self.close: Final = disk.close
        self.mount: Final = disk.mount
        self.read: Final = disk.read
        self.read_lines: Final = disk.read_lines
        self.is_prefix: Final = disk.is_prefix
        self.make_directory: Final = disk.make_directory
        self.remove_directory: Final = disk.remove_directory
        self.remove_tree: Final = disk.remove_tree
        self.rename: Final = disk.rename
        self.replace: Final = disk.replace
        self.unlink: Final = disk.unlink
        self.create: Final = disk.create
        self.reserve: Final = disk.reserve
        self.fill: Final = disk.fill
        self.copy: Final = disk.copy
        self.write_at: Final = disk.write_at
        self.sync_file: Final = disk.sync_file
        self.sync_directory: Final = disk.sync_directory

    def open_directory(self, path: str) -> Directory:
        return _without_number(self._disk.open_directory(path))

    def open_subdirectory(self, parent: Directory, name: str) -> Directory:
        return _without_number(self._disk.open_subdirectory(parent, name))

    def look(self, directory: Directory, name: str) -> Identity | None:
        found = self._disk.look(directory, name)
        return None if found is None else found._replace(inode=NO_INODE)

    def scan(self, directory: Directory) -> Iterator[tuple[str, Identity]]:
        for name, _ in self._disk.scan(directory):
            identity = self.look(directory, name)  # with its size, which here is part of the evidence
            if identity is not None:
                yield name, identity

    def scan_inodes(self, directory: Directory) -> Iterator[tuple[str, int]]:
        for name, _ in self._disk.scan_inodes(directory):
            yield name, NO_INODE

    def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:  # noqa: ARG002
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), name)


def _without_number(directory: Directory) -> Directory:
    directory.inode = NO_INODE
    return directory
