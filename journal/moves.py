"""Move files so that every file has a durable name at every instant (I4).

Commit and rollback use the same loop: link all, check, sync the directories that gained names, then remove the old
names by way of the parking place (I5). Where there are no hard links, entries are renamed.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from journal.filesystem import NO_HARD_LINK, SCAN_FROM, Directory, Filesystem, observe_inodes
from journal.parking import Parking
from journal.retry import Failure, Rounds
from journal.values import NO_INODE, Folder, Identity, Move, printable

PROGRESS_EVERY = 512
"""Number of moves between two calls of the progress hook."""


class FailedMove(NamedTuple):
    """A move that was not made; its file is under its old name."""

    move: Move
    failure: Failure


class Carrier:
    """Moves files between open folders.

    `unsynced` collects the folders whose entries changed since they were last synced, `moved_bytes` the sizes of the
    files that each folder received. `pulse` is called now and then; an exception that it raises stops the work.
    """

    def __init__(
        self,
        filesystem: Filesystem,
        folders: Mapping[Folder, Directory],
        rounds: Rounds,
        parking: Parking,
        pulse: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.unsynced: set[Folder] = set()
        self.moved_bytes: defaultdict[Folder, int] = defaultdict(int)
        self._filesystem = filesystem
        self._folders = folders
        self._rounds = rounds
        self._parking = parking
        self._pulse = pulse

    def carry(self, moves: Sequence[Move], linked: Sequence[Move] = ()) -> list[FailedMove]:
        """Move each file; those in `linked` have both names already and only lose the old one.

        Returns the moves that failed for good; their files are under the old name. A failed sync raises OSError, before
        any old name is removed. Raises journal.parking.ReturnFailed.
        """
        arrived = list(linked)  # linked under the new name, to be removed under the old one
        renamed: list[Move] = []
        failed = self._link_all(moves, arrived, renamed)
        for folder in {move.destination for move in moves} | {move.destination for move in linked}:
            self.unsynced.add(folder)
        failed += self._refuse_strangers(arrived, renamed)
        for folder in sorted({move.destination for move in arrived} | {move.destination for move in renamed}):
            self.sync(folder)  # I4: the new names are durable before an old one goes
        for move in renamed:
            self.unsynced.add(move.source)
        failed += self._remove_old_names(arrived)
        failed += self._refuse_unmoved([*arrived, *renamed], {id(move) for move, _ in failed})
        return failed

    def sync(self, folder: Folder) -> None:
        """Make a folder's entries durable."""
        self._filesystem.sync_directory(self._folders[folder])
        self.unsynced.discard(folder)

    def remove_name(self, folder: Folder, name: str, expected: Identity | Move) -> Identity | None:
        """Remove a name if it is the expected file's; see `Parking.remove`."""
        self.unsynced.add(folder)
        if folder.root == "state":  # no other process has a file there, so the name can be unlinked
            self._filesystem.unlink(self._folders[folder], name)
            return None
        return self._parking.remove(self._folders[folder], name, expected)

    def _link_all(self, moves: Sequence[Move], arrived: list[Move], renamed: list[Move]) -> list[FailedMove]:
        folders, link = self._folders, self._filesystem.link

        def link_or_rename(move: Move) -> None:
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

        def try_again(move: Move) -> None:
            """Check whether the move has in fact happened before trying it again."""
            occupant = self._filesystem.look(folders[move.destination], move.destination_name)
            if occupant is None or not occupant.is_same(move):
                link_or_rename(move)
            elif self._filesystem.look(folders[move.source], move.source_name) is None:
                renamed.append(move)
            else:
                arrived.append(move)

        failures = self._rounds.run(link_or_rename, self._counted(moves), try_again)
        return [FailedMove(move, failure) for move, failure in failures]

    def _refuse_strangers(self, arrived: list[Move], renamed: list[Move]) -> list[FailedMove]:
        """Return every file that turned out not to be the announced one (I5), and remove it from the lists."""
        strangers = self._find_linked_strangers(arrived) | self._find_renamed_strangers(renamed)
        if not strangers:
            return []
        failed = []
        for moves, give_back in ((arrived, self._drop_new_name), (renamed, self._rename_back)):
            for move in [move for move in moves if id(move) in strangers]:
                moves.remove(move)
                give_back(move)
                failed.append(FailedMove(move, Failure(OSError("the file was replaced while it was being moved"), 1)))
        return failed

    def _find_linked_strangers(self, moves: Iterable[Move]) -> set[int]:
        """Return the ids of those moves whose new name is not the announced file's."""
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
                if looked is None or not looked.is_same(move):
                    strangers.add(id(move))
        return strangers

    def _find_renamed_strangers(self, moves: Iterable[Move]) -> set[int]:
        """Do the same for renamed entries, with a look at each, which gives their sizes."""
        strangers = set()
        for move in moves:
            looked = self._filesystem.look(self._folders[move.destination], move.destination_name)
            if looked is None or not looked.is_same(move):
                strangers.add(id(move))
            else:
                self.moved_bytes[move.destination] += looked.size or 0
        return strangers

    def _drop_new_name(self, move: Move) -> None:
        """Drop the new name of a failed move, if the file still has its old one."""
        old = self._filesystem.look(self._folders[move.source], move.source_name)
        new = self._filesystem.look(self._folders[move.destination], move.destination_name)
        if old is not None and new is not None and old.is_same(new):
            self.remove_name(move.destination, move.destination_name, new)

    def _rename_back(self, move: Move) -> None:
        source, destination = self._folders[move.source], self._folders[move.destination]
        with contextlib.suppress(FileNotFoundError):  # another process removed it meanwhile
            self._filesystem.rename(destination, move.destination_name, source, move.source_name)
        self.unsynced |= {move.source, move.destination}

    def _remove_old_names(self, arrived: Sequence[Move]) -> list[FailedMove]:
        def remove(move: Move) -> None:
            removed = self.remove_name(move.source, move.source_name, move)
            if removed is not None:
                self.moved_bytes[move.destination] += removed.size or 0
            elif move.source.root == "directory":
                # Another process took or removed the old name meanwhile; the moved file has its new name.
                moved = self._filesystem.look(self._folders[move.destination], move.destination_name)
                self.moved_bytes[move.destination] += (moved and moved.size) or 0

        failed = []
        for move, failure in self._rounds.run(remove, self._counted(arrived)):
            self._drop_second_name(move, failure.error)
            failed.append(FailedMove(move, failure))
        return failed

    def _drop_second_name(self, move: Move, error: OSError) -> None:
        try:
            self._drop_new_name(move)
        except OSError as remaining:
            error.add_note(f"Its second name, {move.destination_name!r}, stays: {remaining}")

    def _refuse_unmoved(self, moves: Sequence[Move], failed: set[int]) -> list[FailedMove]:
        """Refuse each move whose file still has its old name, although every call reported success."""
        leaving: defaultdict[Folder, list[Move]] = defaultdict(list)
        for move in moves:
            if move.source.root == "directory" and id(move) not in failed:
                leaving[move.source].append(move)
        unmoved = []
        for folder, group in leaving.items():
            remaining = observe_inodes(self._filesystem, self._folders[folder], [move.source_name for move in group])
            for move in group:
                if remaining.get(move.source_name) == move.inode and self._is_unmoved(move):
                    error = OSError("the file still has its old name")
                    if move.inode != NO_INODE:  # without numbers, the new name could be another file's
                        self._drop_second_name(move, error)
                    unmoved.append(FailedMove(move, Failure(error, 1)))
        return unmoved

    def _is_unmoved(self, move: Move) -> bool:
        """True if both names are one file's."""
        if move.inode != NO_INODE:
            return True  # its number was seen under the old name
        old = self._filesystem.look(self._folders[move.source], move.source_name)
        new = self._filesystem.look(self._folders[move.destination], move.destination_name)
        return old is not None and old == new

    def _counted(self, moves: Sequence[Move]) -> Iterator[Move]:
        for start in range(0, len(moves), PROGRESS_EVERY):
            chunk = moves[start : start + PROGRESS_EVERY]
            yield from chunk
            self._pulse(len(chunk))


def place_of(folders: Mapping[Folder, Directory], folder: Folder, name: str) -> str:
    """Return a name's path, for messages; relative to its root if the folder is missing."""
    path = folders[folder].path if folder in folders else str(folder)
    return printable(os.path.join(path, name))
