"""Judge a hot journal: compare its announcement with the existing files. Changes nothing.

The verdict on one move is in `playback.py`. This module observes the files, decides about parked files and copies,
and proves how far each move got where all inode numbers are new.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from journal import names
from journal.errors import DirectoryReplaced
from journal.filesystem import Directory, Filesystem, observe
from journal.folders import OpenFolders
from journal.moves import place_of
from journal.playback import Seen, Sighting, Undo, Verdict, plan_undo
from journal.records import AnnouncedDirectory, Conflict, Header, Journal
from journal.values import NO_INODE, STATE, Folder, Identity, Move, Operation, printable


class Judgement(NamedTuple):
    """A hot journal with the moves to undo, the announced directories that are missing, and the parked files.

    `steps` are the moves that undo: for each folder in turn those to carry out, and those that only lose their new
    name.
    `rest` are the moves that need neither. `parked` are the parking places that hold a file's only name, because
    another process saved it; the other places are `redundant`. `is_copy`: all inode numbers are new, because the home
    was copied; `filesystem` is the door through which to undo, which then shows no inode numbers.
    """

    filesystem: Filesystem
    transaction: str
    header: Header
    operations: tuple[Operation, ...]
    steps: list[tuple[list[Move], list[Move]]]
    rest: list[Undo]
    missing: list[AnnouncedDirectory]
    parked: list[str]
    redundant: list[str]
    is_copy: bool = False

    @property
    def is_proven(self) -> bool:
        """True if names and bytes alone show how far each move got, in the directories that exist."""
        return all(undo.verdict is Verdict.NOTHING for undo in self.rest) and not self.parked

    @property
    def new_folders(self) -> frozenset[Folder]:
        """The folders that the transaction made."""
        return frozenset(announced.folder for announced in self.header.new_directories())

    def find_copies(self, folders: OpenFolders) -> dict[int, tuple[Move, int]]:
        """Find the files that the transaction left under the new names of files that it did not move.

        Such a file is a copy, whose bytes are in the original, or the empty placeholder of an interrupted rename.
        Returns the moves, by operation, with the inode of each copy.
        """
        copies = {}
        new_folders = self.new_folders
        for index, move, verdict, occupant in self.rest:
            if verdict not in (Verdict.NOTHING, Verdict.STRANGER) or occupant is None or move.source not in folders:
                continue
            if not (move.copy_on_failure or move.destination in new_folders) or occupant.type != "file":
                continue
            source = self.filesystem.look(folders[move.source], move.source_name)
            if source is not None and (  # without a source, the file may be the only one with these bytes
                (source.type == "file" and _is_prefix_of_source(self.filesystem, folders, move))
                or _is_empty(self.filesystem, folders[move.destination], move.destination_name)
            ):
                copies[index] = (move, occupant.inode)
        return copies

    def find_conflicts(self, folders: OpenFolders, copies: frozenset[int]) -> list[Conflict]:
        """Return the files that a rollback must not touch; copies are not among them."""
        missing = {announced.folder for announced in self.missing if announced.made}
        conflicts = [
            Conflict(reason=f"{place_of(folders, STATE, name)}: another process saved this file while it was moved")
            for name in self.parked
        ]
        for index, move, verdict, _ in self.rest:
            # A staged file is not lost: neither its name nor the new directory may have been durable yet.
            is_lost = verdict is Verdict.GONE and move.destination in missing and move.source.root == "directory"
            if is_lost or (verdict.is_conflict and index not in copies):
                reason = f"{place_of(folders, move.source, move.source_name)}: {verdict.value}"
                conflicts.append(Conflict(operation=index, reason=reason))
        return conflicts

    def notes(self, folders: OpenFolders) -> tuple[str, ...]:
        """Return sentences about files and directories that are missing or replaced and need no action."""
        notes = [
            f"{place_of(folders, undo.move.source, undo.move.source_name)}: {undo.verdict.value}"
            for undo in self.rest
            if undo.verdict in (Verdict.GONE, Verdict.REPLACED)
        ]
        return (*notes, *(f"{printable(announced.path)}: the directory is missing" for announced in self.missing))


class Judge:
    """Judges one hot journal."""

    def __init__(
        self, filesystem: Filesystem, path: str, folders: OpenFolders, transaction: str, journal: Journal
    ) -> None:
        self._filesystem = filesystem
        self._path = path
        self._folders = folders
        self._transaction = transaction
        self._journal = journal

    def judge(self) -> Judgement:
        """Judge by inodes or, where these are all new because the whole home was copied, by names and bytes.

        Raises DirectoryReplaced when these do not prove how far each move got. A missing directory proves nothing,
        unless an earlier recovery of this copy may have removed it.
        """
        try:
            return self._judge()
        except DirectoryReplaced as replaced:
            self._filesystem = self._folders.without_inodes()
            self._journal = _without_inodes(self._journal)
            try:
                judged = self._judge()
            except (DirectoryReplaced, FileNotFoundError, NotADirectoryError):
                raise replaced from None
            marker = names.copied(self._transaction)
            is_known_copy = self._filesystem.look(self._folders[STATE], marker) is not None
            if not judged.is_proven or (judged.missing and not is_known_copy):
                raise
            return judged._replace(is_copy=True)

    def _judge(self) -> Judgement:
        folders, header, operations = self._folders, self._journal.header, self._journal.operations
        missing = folders.open_announced(self._path, header)
        new_folders = frozenset(announced.folder for announced in header.new_directories())
        seen = self._observe()
        if self._has_renumbered_file(seen):
            raise DirectoryReplaced(self._path, header.inode)
        parked, redundant = self._sort_parked_files(seen)
        copies = self._find_begun_copies(new_folders, seen)
        undos = plan_undo(operations, new_folders, seen, frozenset(announced.folder for announced in missing), copies)
        steps: list[tuple[list[Move], list[Move]]] = []
        rest = []
        for _, group in groupby(undos, key=lambda undo: undo.move.destination):
            back: list[Move] = []
            drop: list[Move] = []
            for undo in group:  # one at a time: a million of them would cost as much memory as the moves
                if undo.verdict is Verdict.MOVE_BACK:
                    back.append(_reverse(undo))
                elif undo.verdict is Verdict.DROP:
                    drop.append(_reverse(undo))
                else:
                    rest.append(undo)
            steps.append((back, drop))
        return Judgement(
            self._filesystem, self._transaction, header, operations, steps, rest, missing, parked, redundant
        )

    def _moves(self) -> Iterator[Move]:
        return (operation for operation in self._journal.operations if isinstance(operation, Move))

    def _observe(self) -> Seen:
        """Observe every announced name, with `look` if a scan shows another file than the announced one.

        Layered file systems show other inodes in a scan than `look` does, and staged files are identified by size and
        mtime, too.
        """
        used = {folder for move in self._moves() for folder in (move.source, move.destination)}
        seen: Seen = {}
        for folder in used & self._folders.keys():
            wanted: dict[str, Move] = {}
            for move in self._moves():
                if move.source == folder and (move.size is not None or move.source_name not in wanted):
                    wanted[move.source_name] = move
                if move.destination == folder and (move.size is not None or move.destination_name not in wanted):
                    wanted[move.destination_name] = move
            seen[folder] = self._observe_folder(self._folders[folder], wanted)
        return seen

    def _observe_folder(self, directory: Directory, wanted: dict[str, Move]) -> dict[str, Identity | Move]:
        """Return the announced names that are taken, each with the move itself if it has the announced file."""
        seen: dict[str, Identity | Move] = {}
        for name, identity in observe(self._filesystem, directory, wanted):
            move = wanted[name]
            if move.size is None and identity.inode == move.inode and identity.type == move.type:
                seen[move.source_name if move.source_name == name else name] = move
            elif (looked := self._filesystem.look(directory, name)) is not None:
                seen[name] = looked
        return seen

    def _has_renumbered_file(self, seen: Seen) -> bool:
        """True if a published file has its announced size and mtime, but another number: the home was copied.

        The file that had the name before may have the same size and mtime. It has its own announced number.
        """
        found: dict[tuple[Folder, str], Sighting] = {}
        for move in self._moves():
            if move.size is None or move.inode == NO_INODE or move.copy_on_failure:
                continue
            file = seen.get(move.destination, {}).get(move.destination_name)
            if file is None or isinstance(file, Move) or file.is_same(move):
                continue
            if (file.size, file.mtime_ns) == (move.size, move.mtime_ns):
                found[move.destination, move.destination_name] = file
        for move in self._moves() if found else ():
            file = found.get((move.source, move.source_name))
            moved = seen.get(move.destination, {}).get(move.destination_name)
            if file is not None and file.is_same(move) and (moved is None or moved.is_same(move)):
                del found[move.source, move.source_name]
        return bool(found)

    def _find_begun_copies(self, new_folders: frozenset[Folder], seen: Seen) -> frozenset[int]:
        """Return the numbers of the moves without inodes that have a file under both names and can lose the new one.

        The new file is a placeholder, a copy, or one of two links that became two files when the home was copied.
        """
        vacated_by = {(move.source, move.source_name): move for move in self._moves() if move.inode == NO_INODE}
        begun = set()
        for number, move in enumerate(self._journal.operations):
            if not isinstance(move, Move) or move.inode != NO_INODE or move.type != "file":
                continue
            old = seen.get(move.source, {}).get(move.source_name)
            new = seen.get(move.destination, {}).get(move.destination_name)
            if old is None or new is None:
                continue
            if move.destination in new_folders or move.destination.root == "state":
                is_ours = True
            elif new.size == 0:  # a placeholder, unless the file that had this name before was not moved yet
                earlier = vacated_by.get((move.destination, move.destination_name))
                is_ours = earlier is None or earlier.destination_name in seen.get(earlier.destination, {})
            else:
                is_ours = (new.size, new.mtime_ns) == (move.size, move.mtime_ns)
            if is_ours and _is_prefix_of_source(self._filesystem, self._folders, move):
                begun.add(number)
        return frozenset(begun)

    def _sort_parked_files(self, seen: Seen) -> tuple[list[str], list[str]]:
        """Return the parking places of this transaction: those that hold a file's only name, and the others."""
        state = self._folders[STATE]
        only: list[str] = []
        redundant: list[str] = []
        entries = [
            (name, identity)
            for name, identity in self._filesystem.scan(state)
            if names.owner_of(name) == self._transaction
        ]
        staged = [identity for name, identity in entries if names.parking_number_of(name) is None]
        for name, identity in entries:
            if names.parking_number_of(name) is not None:
                has_other_name = identity.inode != NO_INODE and any(
                    sighting.is_same(identity)
                    for sightings in (staged, *(folder.values() for folder in seen.values()))
                    for sighting in sightings
                )
                is_spare = has_other_name or (
                    identity.type == "file"
                    and (_is_empty(self._filesystem, state, name) or self._has_its_bytes(seen, name))
                )
                (redundant if is_spare else only).append(name)
        return only, redundant

    def _has_its_bytes(self, seen: Seen, parked: str) -> bool:
        """True if a parked file is a record of the transaction, or a copy whose bytes are in another file."""
        if self._transaction.encode() in self._filesystem.read(self._folders[STATE], parked):
            return True
        places = (
            place
            for move in self._moves()
            if move.type == "file" and (move.inode == NO_INODE or move.copy_on_failure)
            for place in ((move.source, move.source_name), (move.destination, move.destination_name))
        )
        return any(
            (identity := seen.get(folder, {}).get(name)) is not None
            and identity.type == "file"
            and self._filesystem.is_prefix(self._folders[STATE], parked, self._folders[folder], name)
            for folder, name in places
        )


def _is_prefix_of_source(filesystem: Filesystem, folders: OpenFolders, move: Move) -> bool:
    """True if the bytes of the file with the new name are the beginning of those of the file with the old name."""
    source, destination = folders[move.source], folders[move.destination]
    return filesystem.is_prefix(destination, move.destination_name, source, move.source_name)


def _is_empty(filesystem: Filesystem, directory: Directory, name: str) -> bool:
    """True if the file of that name has no bytes."""
    identity = filesystem.look(directory, name)
    return identity is not None and identity.size == 0


def _without_inodes(journal: Journal) -> Journal:
    """Return the same journal as a file system without inode numbers would have it."""
    header = journal.header
    directories = tuple(announced.model_copy(update={"inode": NO_INODE}) for announced in header.directories)
    operations = tuple(
        operation._replace(inode=NO_INODE) if isinstance(operation, Move) else operation
        for operation in journal.operations
    )
    header = header.model_copy(update={"inode": NO_INODE, "directories": directories})
    return journal._replace(header=header, operations=operations)


def _reverse(undo: Undo) -> Move:
    """Return the move that undoes; its identity is that of the file that has the new name now."""
    move = undo.move
    identity = undo.occupant or move.identity
    return Move(move.destination, move.destination_name, move.source, move.source_name, identity.inode, identity.type)
