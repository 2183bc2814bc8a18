"""The open directories of one transaction or recovery."""

from __future__ import annotations

import contextlib
import os
from typing import Self

from journal.errors import DirectoryReplaced
from journal.filesystem import Directory, Filesystem, opened
from journal.names_only import NamesOnly
from journal.records import AnnouncedDirectory, Header
from journal.values import DIRECTORY, NO_INODE, STATE, Folder


class OpenFolders(dict[Folder, Directory]):
    """Folders by name, opened once and closed together, except for the state directory, which the caller closes."""

    def __init__(self, filesystem: Filesystem, state: Directory) -> None:
        super().__init__({STATE: state})
        self._filesystem = filesystem

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for folder, directory in self.items():
            if folder != STATE:
                with contextlib.suppress(OSError):  # the descriptor is closed in spite of the error
                    self._filesystem.close(directory)

    def without_inodes(self) -> NamesOnly:
        """Close all folders and return the door that shows no inode numbers; it is used from here on."""
        for folder in [folder for folder in self if folder != STATE]:
            self._filesystem.close(self.pop(folder))
        door = NamesOnly(self._filesystem)
        self._filesystem = door
        return door

    def open_root(self, path: str) -> Directory:
        """Open the directory itself."""
        self[DIRECTORY] = self._filesystem.open_directory(path)
        return self[DIRECTORY]

    def open(self, folder: Folder) -> Directory:
        """Open a folder below an open root, part by part, following no link."""
        if folder not in self:
            parent_path, _, name = folder.path.rpartition("/")
            parent = self.open(Folder(folder.root, parent_path))
            self[folder] = self._filesystem.open_subdirectory(parent, name)
        return self[folder]

    def open_announced(self, path: str, header: Header) -> list[AnnouncedDirectory]:
        """Open the announced directories, by inode if they were renamed; return those that are missing.

        `path` is the expected path of the directory. Raises DirectoryReplaced when the directory, or a folder in it
        that the transaction did not make, is missing; when another directory has the name of an announced one; and when
        the directory was renamed and a new one in it is missing.
        """
        with opened(self._filesystem, os.path.dirname(path)) as parent:
            root = self._find(parent, os.path.basename(path), header.inode)
        if root is None:
            raise DirectoryReplaced(path, header.inode)
        self[DIRECTORY] = root
        missing = []
        for announced in header.directories:
            directory = self._find_announced(announced)
            if directory is not None:
                self[announced.folder] = directory
            elif announced.made or announced.root == "state":  # a new state folder may not be durable yet
                missing.append(announced)
            else:
                raise DirectoryReplaced(
                    os.path.join(self[Folder(announced.root)].path, announced.path), announced.inode
                )
        was_renamed = os.path.basename(root.path) != os.path.basename(path)
        if was_renamed and any(announced.made for announced in missing):
            raise DirectoryReplaced(path, header.inode)  # a number alone, which may fit by chance, is no proof
        return missing

    def _find_announced(self, announced: AnnouncedDirectory) -> Directory | None:
        parent_path, _, name = announced.path.rpartition("/")
        try:
            parent = self.open(Folder(announced.root, parent_path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        identity = self._filesystem.look(parent, name)
        if identity is not None and identity.type == "directory" and identity.inode != announced.inode:
            # In a copy of the home, an announced number may by chance be that of any directory, or of none.
            raise DirectoryReplaced(os.path.join(parent.path, name), announced.inode)
        return self._find(parent, name, announced.inode)

    def _find(self, parent: Directory, name: str, inode: int) -> Directory | None:
        """Open the directory of this inode in `parent`, under its name or, if it was renamed, under another."""
        identity = self._filesystem.look(parent, name)
        if identity is not None and (identity.inode, identity.type) == (inode, "directory"):
            return self._filesystem.open_subdirectory(parent, name)
        if inode == NO_INODE:
            return None  # without a number, only its name identifies it
        for new_name, identity in self._filesystem.scan(parent):
            if (identity.inode, identity.type) == (inode, "directory"):
                return self._filesystem.open_subdirectory(parent, new_name)
        return None
