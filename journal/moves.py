"""Carry files from one name to another so that every file has a durable name at every instant (I4).

The same loop serves the way forward and the way back: link all, check, sync the directories that gained names,
then unlink the old names, each after a look at what it stands for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from journal.errors import printable
from journal.filesystem import NO_HARD_LINK, SCAN_FROM, Directory, Filesystem
from journal.records import Folder, Move
from journal.retry import Failure, Rounds

PROGRESS_EVERY = 512
"""Moves between two calls of the progress hook."""


class FailedMove(NamedTuple):
    """A move that was not made: its file is under its old name."""

    move: Move
    failure: Failure


class Carrier:
    """Moves files between open folders.

    `unsynced` collects the folders whose entries changed since they were last synced. `pulse` is called now and then;
    what it raises stops the work where it stands.
    """

    def __init__(
        self,
        filesystem: Filesystem,
        folders: Mapping[Folder, Directory],
        rounds: Rounds,
        pulse: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.unsynced: set[Folder] = set()
        self._filesystem = filesystem
        self._folders = folders
        self._rounds = rounds
        self._pulse = pulse

    def carry(self, moves: Sequence[Move], linked: Sequence[Move] = ()) -> list[FailedMove]:
        """Move each file; `linked` already have both names and only need to lose the old one.

        Returns what failed for good, left under its old name. A failed sync raises OSError: nothing was unlinked then.
        """
        arrived = list(linked)  # linked under the new name, to be unlinked under the old one
        renamed: list[Move] = []
        failed = self._link_all(moves, arrived, renamed)
        for folder in {move.destination for move in moves} | {move.destination for move in linked}:
            self.unsynced.add(folder)
        failed += self._refuse_strangers(arrived, renamed)
        for folder in sorted({move.destination for move in arrived} | {move.destination for move in renamed}):
            self.sync(folder)  # I4: the new names are durable before an old one goes
        for move in renamed:
            self.unsynced.add(move.source)
        failed += self._unlink_all(arrived)
        return failed

    def sync(self, folder: Folder) -> None:
        """Make a folder's entries durable."""
        self._filesystem.sync_directory(self._folders[folder])
        self.unsynced.discard(folder)

    def _link_all(self, moves: Sequence[Move], arrived: list[Move], renamed: list[Move]) -> list[FailedMove]:
        folders, link = self._folders, self._filesystem.link

        def first(move: Move) -> None:
            source, destination = folders[move.source], folders[move.destination]
            if move.type != "directory":
                try:
                    link(source, move.source_name, destination, move.destination_name)
                except OSError as error:
                    if error.errno not in NO_HARD_LINK:
                        raise
                else:
                    arrived.append(move)
                    return
            self._filesystem.rename(source, move.source_name, destination, move.destination_name)
            renamed.append(move)

        def again(move: Move) -> None:
            """Before a new try look whether the move has in fact happened."""
            found = self._filesystem.look(folders[move.destination], move.destination_name)
            if found is None or not found.is_same(move.identity):
                first(move)
            elif self._filesystem.look(folders[move.source], move.source_name) is None:
                renamed.append(move)
            else:
                arrived.append(move)

        return [FailedMove(move, failure) for move, failure in self._rounds.run(first, self._counted(moves), again)]

    def _refuse_strangers(self, arrived: list[Move], renamed: list[Move]) -> list[FailedMove]:
        """Give back what turned out to be another file than the announced one (I5); takes it out of the lists."""
        strangers = self._strangers(arrived) | self._strangers(renamed)
        if not strangers:
            return []
        failed = []
        for moves, give_back in ((arrived, self._drop_new_name), (renamed, self._rename_back)):
            for move in [move for move in moves if id(move) in strangers]:
                moves.remove(move)
                give_back(move)
                failed.append(FailedMove(move, Failure(OSError("the file was replaced while it was being moved"), 1)))
        return failed

    def _strangers(self, moves: Iterable[Move]) -> set[int]:
        """The ids of those moves whose new name does not stand for the announced file."""
        strangers = set()
        for folder, group in groupby(moves, key=attrgetter("destination")):
            unconfirmed = {move.destination_name: move for move in group}
            directory = self._folders[folder]
            if len(unconfirmed) >= SCAN_FROM:
                for name, inode in self._filesystem.scan_inodes(directory):
                    if name in unconfirmed and unconfirmed[name].inode == inode:
                        del unconfirmed[name]
            for name, move in unconfirmed.items():
                looked = self._filesystem.look(directory, name)
                if looked is None or not looked.is_same(move.identity):
                    strangers.add(id(move))
        return strangers

    def _drop_new_name(self, move: Move) -> None:
        """Drop the name that a failed move made, provided that the file still has its old one."""
        source, destination = self._folders[move.source], self._folders[move.destination]
        old = self._filesystem.look(source, move.source_name)
        new = self._filesystem.look(destination, move.destination_name)
        if old is not None and new is not None and old.is_same(new):
            self._filesystem.unlink(destination, move.destination_name, new.inode)
            self.unsynced.add(move.destination)

    def _rename_back(self, move: Move) -> None:
        source, destination = self._folders[move.source], self._folders[move.destination]
        with contextlib.suppress(FileNotFoundError):  # somebody removed it meanwhile
            self._filesystem.rename(destination, move.destination_name, source, move.source_name)
        self.unsynced |= {move.source, move.destination}

    def _unlink_all(self, arrived: Sequence[Move]) -> list[FailedMove]:
        folders, unlink = self._folders, self._filesystem.unlink

        def unlink_source(move: Move) -> None:
            # False: somebody took or removed the old name meanwhile; that file is theirs, ours has its new name.
            unlink(folders[move.source], move.source_name, move.inode)

        failed = []
        for move, failure in self._rounds.run(unlink_source, self._counted(arrived)):
            try:
                self._drop_new_name(move)
            except OSError as error:
                failure.error.add_note(f"Its second name, {move.destination_name!r}, stays: {error}")
            failed.append(FailedMove(move, failure))
        self.unsynced |= {move.source for move in arrived}
        return failed

    def _counted(self, moves: Sequence[Move]) -> Iterator[Move]:
        for start in range(0, len(moves), PROGRESS_EVERY):
            chunk = moves[start : start + PROGRESS_EVERY]
            yield from chunk
            self._pulse(len(chunk))


def place_of(folders: Mapping[Folder, Directory], folder: Folder, name: str) -> str:
    """A name's path, for messages; below its root where the folder is gone."""
    path = folders[folder].path if folder in folders else str(folder)
    return printable(os.path.join(path, name))
