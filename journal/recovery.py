"""The one way back: a live rollback and the recovery after a crash are the same code.

    sync the journal and the state directory -> read (may raise, touches nothing) -> committed? finish it
    : plan -> carry out (try all, collect) -> sync every announced directory -> remove what the transaction wrote
    -> append `rolled_back`, sync -> unlink the journal

The caller holds the directory's lock.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from journal import names
from journal.errors import DirectoryReplaced, NeedsAttention, OutcomeUnknown, RollbackIncomplete, printable
from journal.filesystem import NO_HARD_LINK, NO_SPACE, Directory, Filesystem, observe
from journal.folders import OpenFolders
from journal.moves import Carrier, FailedMove, place_of
from journal.parking import Parking, ReturnFailed
from journal.playback import Seen, Undo, Verdict, plan_undo
from journal.records import (
    NO_INODE,
    STATE,
    AnnouncedDirectory,
    Committed,
    Conflict,
    Create,
    Folder,
    Header,
    Identity,
    Journal,
    Move,
    RolledBack,
    Terminal,
    decode_journal,
    decode_unfinished_header,
    encode_terminal,
)
from journal.retry import Rounds


class JournalReport(BaseModel):
    """What recovery did about one journal, or would do; names are printable, counts are moves.

    `discarded`: nothing had moved. `finished`: it was committed, only its trash was left to purge.
    `rolled_back`: every name is where it was. `conflict`: all but `conflicts` are; the journal is kept as `set_aside`.
    """

    model_config = ConfigDict(frozen=True)

    transaction: str
    label: str
    since: str
    action: Literal["discarded", "finished", "rolled_back", "conflict"]
    moved_back: int = 0
    dropped: int = 0
    conflicts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    set_aside: str | None = None


class RecoveryReport(BaseModel):
    """What recovery found in one state directory; `leftovers` could not be removed and is tried again next time."""

    model_config = ConfigDict(frozen=True)

    journals: tuple[JournalReport, ...] = ()
    swept: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.journals or self.swept or self.leftovers)


class FoundJournal(NamedTuple):
    """A journal file in a state directory."""

    transaction: str
    suffix: str

    @property
    def name(self) -> str:
        """Its file name."""
        return self.transaction + self.suffix


class Judged(NamedTuple):
    """A hot journal with what is to be undone, the announced directories that are gone, and the parked files.

    `steps` are the moves that undo: for each folder in turn those to be made, and those that only lose their new name.
    `others` are the moves that need neither. `parked` are the parking places that hold a file's only name, because
    another process saved it; the other places are `redundant`.
    """

    header: Header
    operations: tuple[Move | Create, ...]
    steps: list[tuple[list[Move], list[Move]]]
    others: list[Undo]
    gone: list[AnnouncedDirectory]
    parked: list[str]
    redundant: list[str]

    @property
    def is_proven(self) -> bool:
        """Whether names and bytes alone show how far each move got, in the directories that are there."""
        is_plain = all(undo.verdict is Verdict.NOTHING for undo in self.others)
        return is_plain and not self.parked


def find_journals(filesystem: Filesystem, state: Directory) -> list[FoundJournal]:
    """Every journal in a state directory, newest first, those set aside included."""
    return _journals_among(name for name, _ in filesystem.scan(state))


def _journals_among(entries: Iterable[str]) -> list[FoundJournal]:
    return sorted((FoundJournal(*parts) for parts in map(names.journal_of, entries) if parts), reverse=True)


def recover(filesystem: Filesystem, path: str, state: Directory, rounds: Rounds) -> RecoveryReport:
    """Bring the directory at `path` back to what its last transaction promised; nothing to do is cheap.

    Raises RollbackIncomplete or OutcomeUnknown (journal and files stay: mend the cause, recover again), NeedsAttention
    (the journal was set aside, nothing else touched: recovering again goes on with the rest).
    """
    try:
        reports = []
        found = find_journals(filesystem, state)
        complete = {journal.transaction for journal in found if journal.suffix != names.NEW}
        for journal in found:
            if journal.suffix == names.JOURNAL:
                reports.append(_Recovery(filesystem, path, state, rounds, journal).run())
            elif journal.suffix == names.NEW:
                if journal.transaction not in complete:
                    reports.append(_discard(filesystem, path, state, journal))
                filesystem.unlink(state, journal.name)
        swept, leftovers = sweep(filesystem, state)
    except (OSError, ReturnFailed) as error:
        raise RollbackIncomplete(state.path, [], [str(error)]) from error
    return RecoveryReport(journals=tuple(reports), swept=swept, leftovers=leftovers)


def preview(filesystem: Filesystem, path: str, state: Directory, rounds: Rounds) -> RecoveryReport:
    """What `recover` would do; changes nothing. Raises NeedsAttention without setting anything aside."""
    reports = []
    for journal in find_journals(filesystem, state):
        if journal.suffix == names.JOURNAL:
            reports.append(_Recovery(filesystem, path, state, rounds, journal).preview())
        elif journal.suffix == names.NEW:
            reports.append(_report_discarded(filesystem, state, journal)[0])
    return RecoveryReport(journals=tuple(reports), swept=tuple(_unowned(filesystem, state)))


def sweep(filesystem: Filesystem, state: Directory) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Remove trash, staged and parked files of no journal; return the removed names, and the others with the reason."""
    return purge(filesystem, state, _unowned(filesystem, state))


def purge(filesystem: Filesystem, state: Directory, unwanted: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Remove entries of the state directory; returns what went and, with the reason, what could not go."""
    gone, leftovers = [], []
    for name in unwanted:
        try:
            filesystem.remove_tree(state, name)
            gone.append(name)
        except OSError as error:
            leftovers.append(f"{name}: {error}")
    return tuple(gone), tuple(leftovers)


def owned_by(filesystem: Filesystem, state: Directory, transaction: str) -> list[str]:
    """Return the names of the trash, the staged and the parked files of one transaction."""
    return sorted(name for name, _ in filesystem.scan(state) if names.owner_of(name) == transaction)


def append_terminal(filesystem: Filesystem, state: Directory, name: str, length_bytes: int, terminal: Terminal) -> None:
    """Write the last record after the last good line; it counts once the journal is synced.

    What stands after that line is cut off first: a torn record must not glue itself to this one.
    """
    filesystem.write_at(state, name, length_bytes, encode_terminal(terminal), truncate=True)


def _unowned(filesystem: Filesystem, state: Directory) -> list[str]:
    entries = [name for name, _ in filesystem.scan(state)]
    owners = {journal.transaction for journal in _journals_among(entries)}
    return sorted(name for name in entries if names.owner_of(name) not in (None, *owners))


def _report_discarded(
    filesystem: Filesystem, state: Directory, journal: FoundJournal
) -> tuple[JournalReport, Header | None]:
    with closing(filesystem.read_lines(state, journal.name)) as lines:
        header = decode_unfinished_header(lines, journal.name)
    label, since = (printable(header.label), header.time) if header else ("", "")
    return JournalReport(transaction=journal.transaction, label=label, since=since, action="discarded"), header


def _discard(filesystem: Filesystem, path: str, state: Directory, journal: FoundJournal) -> JournalReport:
    """Nothing moved: remove the empty directories that the unfinished journal announced."""
    report, header = _report_discarded(filesystem, state, journal)
    if header is not None:
        with OpenFolders(filesystem, state) as folders:
            try:
                gone = folders.open_announced(path, header)
            except NeedsAttention:
                return report  # a directory that is gone holds nothing to remove
            remove_made(filesystem, folders, [made for made in header.made() if made not in gone])
    return report


def remove_made(
    filesystem: Filesystem, folders: OpenFolders, made: Sequence[AnnouncedDirectory]
) -> list[AnnouncedDirectory]:
    """Remove the directories that a transaction made, as far as they are empty; returns those that stay."""
    staying = []
    for announced in reversed(made):
        directory = folders[announced.folder]
        if next(iter(filesystem.scan(directory)), None) is not None:
            staying.append(announced)
            continue
        parent = folders[Folder(announced.root, announced.path.rpartition("/")[0])]
        filesystem.remove_directory(parent, os.path.basename(directory.path))
    return staying


class _Recovery:
    """The recovery of one journal."""

    def __init__(
        self, filesystem: Filesystem, path: str, state: Directory, rounds: Rounds, found: FoundJournal
    ) -> None:
        self._filesystem = filesystem
        self._path = path
        self._state = state
        self._rounds = rounds
        self._found = found
        self._journal_path = os.path.join(state.path, found.name)
        self._is_copy = False

    def preview(self) -> JournalReport:
        """What `run` would report; changes nothing."""
        journal = self._read()
        if journal.terminal is not None:
            return self._report_ended(journal.header, journal.terminal)
        with OpenFolders(self._filesystem, self._state) as folders:
            judged = self._judge_here_or_copied(folders, journal)
            conflicts = self._conflicts(folders, judged, copies=frozenset(self._copies(folders, judged)))
            return self._report(folders, judged, conflicts)

    def run(self) -> JournalReport:
        """Finish or roll back; removes the journal at the very end."""
        # The dead process may have died before its own sync: what we act on must be what a second crash leaves.
        self._filesystem.sync_file(self._state, self._found.name)
        self._filesystem.sync_directory(self._state)
        try:
            journal = self._read()
            if journal.terminal is not None:
                self._make_durable(journal, journal.terminal)
                report = self._report_ended(journal.header, journal.terminal)
            else:
                with OpenFolders(self._filesystem, self._state) as folders:
                    report, terminal = self._roll_back(folders, self._judge_here_or_copied(folders, journal))
                append_terminal(self._filesystem, self._state, self._found.name, journal.length_bytes, terminal)
                self._filesystem.sync_file(self._state, self._found.name)
        except NeedsAttention as error:
            self._move_aside(names.DAMAGED)
            error.set_aside = self._path_aside(names.DAMAGED)
            raise
        self._remove_journal(report)
        return report

    def _read(self) -> Journal:
        with closing(self._filesystem.read_lines(self._state, self._found.name)) as lines:
            return decode_journal(lines, self._journal_path)

    def _judge_here_or_copied(self, folders: OpenFolders, journal: Journal) -> Judged:
        """Judge by inodes or, where these are all new because the whole home was copied, by names and bytes.

        Raises DirectoryReplaced when these do not prove how far each move got. A directory that is gone proves nothing,
        unless an earlier recovery of this copy may have removed it.
        """
        try:
            return self._judge(folders, journal)
        except DirectoryReplaced as replaced:
            names_only = folders.without_inodes()
            self._filesystem = names_only
            try:
                judged = self._judge(folders, _without_inodes(journal))
            except (DirectoryReplaced, FileNotFoundError, NotADirectoryError):
                raise replaced from None
            if not judged.is_proven or (judged.gone and not self._is_known_copy()):
                raise
            self._is_copy = True
            return judged

    def _is_known_copy(self) -> bool:
        return self._filesystem.look(self._state, names.copied(self._found.transaction)) is not None

    def _judge(self, folders: OpenFolders, journal: Journal) -> Judged:
        gone = folders.open_announced(self._path, journal.header)
        made = frozenset(announced.folder for announced in journal.header.made())
        seen = self._observe(folders, journal)
        parked, redundant = self._parked_files(folders, journal, seen)
        copies = self._begun_copies(folders, journal, made, seen)
        undos = plan_undo(journal.operations, made, seen, frozenset(announced.folder for announced in gone), copies)
        steps: list[tuple[list[Move], list[Move]]] = []
        others = []
        for _, group in groupby(undos, key=lambda undo: undo.move.destination):
            back: list[Move] = []
            drop: list[Move] = []
            for undo in group:  # one at a time: a million of them would cost as much memory as the moves
                if undo.verdict is Verdict.MOVE_BACK:
                    back.append(_reversed(undo))
                elif undo.verdict is Verdict.DROP:
                    drop.append(_reversed(undo))
                else:
                    others.append(undo)
            steps.append((back, drop))
        return Judged(journal.header, journal.operations, steps, others, gone, parked, redundant)

    def _observe(self, folders: OpenFolders, journal: Journal) -> Seen:
        """Look at every announced name: closely where a scan shows another file than the announced one.

        Layered file systems show other inodes in a scan than in a look, and staged files are known by size and mtime.
        """
        used = {folder for move in _moves_of(journal) for folder in (move.source, move.destination)}
        seen: Seen = {}
        for folder in used & folders.keys():
            wanted: dict[str, Move] = {}
            for move in _moves_of(journal):
                if move.source == folder and (move.size is not None or move.source_name not in wanted):
                    wanted[move.source_name] = move
                if move.destination == folder and (move.size is not None or move.destination_name not in wanted):
                    wanted[move.destination_name] = move
            seen[folder] = self._observe_folder(folders[folder], wanted)
        return seen

    def _observe_folder(self, directory: Directory, wanted: dict[str, Move]) -> dict[str, Identity | Move]:
        """The announced names that are taken, each with the move itself where it is the announced file."""
        found: dict[str, Identity | Move] = {}
        for name, identity in observe(self._filesystem, directory, wanted):
            move = wanted[name]
            if move.size is None and identity.inode == move.inode and identity.type == move.type:
                found[move.source_name if move.source_name == name else name] = move
            elif (looked := self._filesystem.look(directory, name)) is not None:
                found[name] = looked
        return found

    def _begun_copies(
        self, folders: OpenFolders, journal: Journal, made: frozenset[Folder], seen: Seen
    ) -> frozenset[int]:
        """The moves without inodes that have a file under both names, of which the new one can go.

        That is a placeholder, a copy, or one of two links that became two files when the home was copied.
        """
        vacated_by = {(move.source, move.source_name): move for move in _moves_of(journal) if move.inode == NO_INODE}
        begun = set()
        for number, move in enumerate(journal.operations):
            if not isinstance(move, Move) or move.inode != NO_INODE or move.type != "file":
                continue
            old = seen.get(move.source, {}).get(move.source_name)
            new = seen.get(move.destination, {}).get(move.destination_name)
            if old is None or new is None:
                continue
            if move.destination in made or move.destination.root == "state":
                is_ours = True
            elif new.size == 0:  # a placeholder, unless the file that had this name before has not gone yet
                earlier = vacated_by.get((move.destination, move.destination_name))
                is_ours = earlier is None or earlier.destination_name in seen.get(earlier.destination, {})
            else:
                is_ours = (new.size, new.mtime_ns) == (move.size, move.mtime_ns)
            if is_ours and self._filesystem.is_prefix(
                folders[move.destination], move.destination_name, folders[move.source], move.source_name
            ):
                begun.add(number)
        return frozenset(begun)

    def _parked_files(self, folders: OpenFolders, journal: Journal, seen: Seen) -> tuple[list[str], list[str]]:
        """The parking places of this transaction: those that hold a file's only name, and the others."""
        only: list[str] = []
        redundant: list[str] = []
        entries = [
            (name, identity)
            for name, identity in self._filesystem.scan(self._state)
            if names.owner_of(name) == self._found.transaction
        ]
        staged = [identity for name, identity in entries if names.parking_number_of(name) is None]
        for name, identity in entries:
            if names.parking_number_of(name) is not None:
                is_known = identity.inode != NO_INODE and any(
                    other.is_same(identity)
                    for others in (staged, *(found.values() for found in seen.values()))
                    for other in others
                )
                is_spare = is_known or (
                    identity.type == "file"
                    and (self._is_empty(self._state, name) or self._has_its_bytes(folders, journal, seen, name))
                )
                (redundant if is_spare else only).append(name)
        return only, redundant

    def _free_parking_number(self, judged: Judged) -> int:
        """A place that is taken already, if it holds no file's only name: on a full disk there is room for no other."""
        taken = [names.parking_number_of(name) or 0 for name in judged.redundant]
        return min(taken) if taken else len(judged.parked)

    def _has_its_bytes(self, folders: OpenFolders, journal: Journal, seen: Seen, parked: str) -> bool:
        """Whether a parked file is a record of the transaction, or a copy whose bytes are in another file."""
        if self._found.transaction.encode() in self._filesystem.read(self._state, parked):
            return True
        places = (
            place
            for move in _moves_of(journal)
            if move.type == "file" and (move.inode == NO_INODE or move.copy_on_failure)
            for place in ((move.source, move.source_name), (move.destination, move.destination_name))
        )
        return any(
            (identity := seen.get(folder, {}).get(name)) is not None
            and identity.type == "file"
            and self._filesystem.is_prefix(self._state, parked, folders[folder], name)
            for folder, name in places
        )

    def _begin_undo(self, judged: Judged) -> Parking:
        """Note that the home is a copy, if it is one, and take a parking place."""
        if self._is_copy and not self._is_known_copy():
            self._filesystem.create(self._state, names.copied(self._found.transaction), [])
            self._filesystem.sync_directory(self._state)
        parking = Parking(self._filesystem, self._state, self._found.transaction, self._free_parking_number(judged))
        try:
            parking.reserve()
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            # There may be room once it is needed: undoing gives names back.
        return parking

    def _roll_back(self, folders: OpenFolders, judged: Judged) -> tuple[JournalReport, RolledBack]:
        parking = self._begin_undo(judged)
        carrier = Carrier(self._filesystem, folders, self._rounds, parking)
        failed: list[FailedMove] = []
        errors: list[str] = []
        for back, drop in judged.steps:
            try:  # all in one pass: link back, sync, remove the new names
                failed += carrier.carry(back, linked=drop) if back or drop else []
            except (OSError, ReturnFailed) as error:
                errors.append(str(error))
        if failed or errors:
            kept = [place_of(folders, move.source, move.source_name) for move, _ in failed]
            errors += [f"{printable(move.source_name)}: {failure.error}" for move, failure in failed]
            raise RollbackIncomplete(self._journal_path, kept, errors)
        for folder in folders:
            carrier.sync(folder)  # I10: also when there was nothing to undo
        copies = self._copies(folders, judged)
        for move, inode in copies.values():
            carrier.remove_name(move.destination, move.destination_name, Identity(inode, "file"))
        self._remove_empty_directories(folders, judged)
        self._remove_records(folders, judged.operations, carrier)
        conflicts = self._conflicts(folders, judged, copies=frozenset(copies))
        still_made = [made for made in judged.header.made() if made not in judged.gone]
        staying = remove_made(self._filesystem, folders, still_made)
        for made in still_made:
            if made not in staying:
                carrier.unsynced.discard(made.folder)
                if made.root == "directory":
                    carrier.unsynced.add(Folder("directory", made.path.rpartition("/")[0]))
        conflicts += [
            Conflict(reason=f"{printable(made.path)} holds files that nobody announced")
            for made in staying
            if made.root == "state" and not any(self._is_in(judged, conflict, made) for conflict in conflicts)
        ]
        if conflicts:
            parking.clear()  # the journal stays, and with it whatever else its transaction owns
            self._write_records_of_kept(folders, judged.operations, staying, carrier)
        for folder in sorted(carrier.unsynced - {STATE}):
            carrier.sync(folder)
        return self._report(folders, judged, conflicts), RolledBack(conflicts=tuple(conflicts))

    def _copies(self, folders: OpenFolders, judged: Judged) -> dict[int, tuple[Move, int]]:
        """What the transaction left under the new names of files that it did not move, by operation, with its inode.

        That is a copy, whose bytes are in the file, or the empty placeholder of a rename that was cut.
        """
        made = {announced.folder for announced in judged.header.made()}
        copies = {}
        for index, move, verdict, found in judged.others:
            if verdict not in (Verdict.NOTHING, Verdict.STRANGER) or found is None or move.source not in folders:
                continue
            if not (move.copy_on_failure or move.destination in made) or found.type != "file":
                continue
            source = self._filesystem.look(folders[move.source], move.source_name)
            is_copy = (
                move.copy_on_failure
                and source is not None
                and source.type == "file"
                and self._filesystem.is_prefix(
                    folders[move.destination], move.destination_name, folders[move.source], move.source_name
                )
            )
            if is_copy or (source is not None and self._is_empty(folders[move.destination], move.destination_name)):
                copies[index] = (move, found.inode)
        return copies

    def _is_empty(self, directory: Directory, name: str) -> bool:
        found = self._filesystem.look(directory, name)
        return found is not None and found.size == 0

    def _remove_empty_directories(self, folders: OpenFolders, judged: Judged) -> None:
        """Remove the placeholders of directories whose rename was cut: empty ones in directories that it made."""
        made = {announced.folder for announced in judged.header.made()}
        for _, move, verdict, found in judged.others:
            is_placeholder = verdict is Verdict.NOTHING and found is not None and found.type == move.type == "directory"
            if is_placeholder and move.destination in made and move.destination in folders:
                with contextlib.suppress(OSError):  # it is not empty: another process has put something there
                    self._filesystem.remove_directory(folders[move.destination], move.destination_name)

    def _remove_records(self, folders: OpenFolders, operations: Sequence[Move | Create], carrier: Carrier) -> None:
        """Remove the files that the transaction created, known by their reserved file or by its id in their content."""
        creates = [operation for operation in operations if isinstance(operation, Create)]
        for number, operation in enumerate(creates):
            if operation.destination not in folders:
                continue
            directory, name = folders[operation.destination], operation.destination_name
            found = self._filesystem.look(directory, name)
            if found is None or found.type != "file":
                continue
            reserved = self._filesystem.look(self._state, names.staged(self._found.transaction, number))
            is_reserved = reserved is not None and reserved.inode != NO_INODE and found.is_same(reserved)
            is_placeholder = found.size == 0  # of a rename that was cut, where there are no links
            if (
                is_reserved
                or is_placeholder
                or self._found.transaction.encode() in self._filesystem.read(directory, name)
            ):
                carrier.remove_name(operation.destination, name, found)

    def _write_records_of_kept(
        self,
        folders: OpenFolders,
        operations: Sequence[Move | Create],
        staying: Sequence[AnnouncedDirectory],
        carrier: Carrier,
    ) -> None:
        """Leave a record in a directory that has to stay, so that it is listed like any other."""
        kept = {made.folder for made in staying}
        for number, operation in enumerate(operations):
            if isinstance(operation, Create) and operation.if_kept is not None and operation.destination in kept:
                staged = names.staged(self._found.transaction, number)
                self._filesystem.remove_tree(self._state, staged)
                content = operation.if_kept.encode("utf-8", "surrogateescape")
                self._filesystem.create(self._state, staged, [content])
                self._filesystem.sync_file(self._state, staged)
                if self._filesystem.look(folders[operation.destination], operation.destination_name) is None:
                    place_staged(self._filesystem, folders, staged, operation.destination, operation.destination_name)
                    carrier.unsynced.add(operation.destination)

    def _conflicts(self, folders: OpenFolders, judged: Judged, copies: frozenset[int]) -> list[Conflict]:
        gone = {announced.folder for announced in judged.gone if announced.made}
        conflicts = [
            Conflict(reason=f"{place_of(folders, STATE, name)}: another process saved this file while it was moved")
            for name in judged.parked
        ]
        for index, move, verdict, _ in judged.others:
            # A staged file is no loss: neither its name nor the new directory may have been durable yet.
            is_lost = verdict is Verdict.GONE and move.destination in gone and move.source.root == "directory"
            if is_lost or (verdict.is_conflict and index not in copies):
                reason = f"{place_of(folders, move.source, move.source_name)}: {verdict.value}"
                conflicts.append(Conflict(operation=index, reason=reason))
        return conflicts

    def _is_in(self, judged: Judged, conflict: Conflict, made: AnnouncedDirectory) -> bool:
        return conflict.operation is not None and judged.operations[conflict.operation].destination == made.folder

    def _report(self, folders: OpenFolders, judged: Judged, conflicts: Sequence[Conflict]) -> JournalReport:
        notes = [
            f"{place_of(folders, undo.move.source, undo.move.source_name)}: {undo.verdict.value}"
            for undo in judged.others
            if undo.verdict in (Verdict.GONE, Verdict.REPLACED)
        ]
        notes += [f"{printable(made.path)}: the directory is gone" for made in judged.gone]
        return JournalReport(
            transaction=self._found.transaction,
            label=printable(judged.header.label),
            since=judged.header.time,
            action="conflict" if conflicts else "rolled_back",
            moved_back=sum(len(back) for back, _ in judged.steps),
            dropped=sum(len(drop) for _, drop in judged.steps),
            conflicts=tuple(conflict.reason for conflict in conflicts),
            notes=tuple(notes),
            set_aside=self._path_aside(names.CONFLICT) if conflicts else None,
        )

    def _report_ended(self, header: Header, terminal: Terminal) -> JournalReport:
        conflicts = terminal.conflicts if isinstance(terminal, RolledBack) else ()
        action: Literal["finished", "rolled_back", "conflict"] = "conflict" if conflicts else "rolled_back"
        return JournalReport(
            transaction=self._found.transaction,
            label=printable(header.label),
            since=header.time,
            action="finished" if isinstance(terminal, Committed) else action,
            conflicts=tuple(printable(conflict.reason) for conflict in conflicts),
            set_aside=self._path_aside(names.CONFLICT) if conflicts else None,
        )

    def _make_durable(self, journal: Journal, terminal: Terminal) -> None:
        """Write a terminal record again in place and sync it: a sync that failed once says nothing the second time."""
        line = encode_terminal(terminal)
        try:
            offset = journal.length_bytes - len(line)
            self._filesystem.write_at(self._state, self._found.name, offset, line, truncate=False)
            self._filesystem.sync_file(self._state, self._found.name)
        except OSError as error:
            raise OutcomeUnknown(self._journal_path, error) from error

    def _remove_journal(self, report: JournalReport) -> None:
        """The very last act; what a conflict leaves is kept for a person, with its trash."""
        if report.action == "conflict":
            self._move_aside(names.CONFLICT)
            return
        purge(self._filesystem, self._state, owned_by(self._filesystem, self._state, self._found.transaction))
        self._filesystem.unlink(self._state, self._found.name)

    def _path_aside(self, suffix: str) -> str:
        return printable(os.path.join(self._state.path, self._found.transaction + suffix))

    def _move_aside(self, suffix: str) -> None:
        filesystem, state, name = self._filesystem, self._state, self._found.name
        aside = self._found.transaction + suffix
        try:
            filesystem.link(state, name, state, aside)
        except FileExistsError:
            pass  # cut here before: the journal has both names already
        except OSError as error:
            if error.errno not in NO_HARD_LINK:
                raise
            filesystem.replace(state, name, state, aside)
        filesystem.sync_directory(state)
        filesystem.unlink(state, name)


def place_staged(filesystem: Filesystem, folders: OpenFolders, staged: str, folder: Folder, name: str) -> None:
    """Give a synced staged file its place; its staged name is purged with the transaction."""
    try:
        filesystem.link(folders[STATE], staged, folders[folder], name)
    except OSError as error:
        if error.errno not in NO_HARD_LINK:
            raise
        filesystem.rename(folders[STATE], staged, folders[folder], name)


def _moves_of(journal: Journal) -> Iterator[Move]:
    return (operation for operation in journal.operations if isinstance(operation, Move))


def _without_inodes(journal: Journal) -> Journal:
    """The same journal as a file system without inode numbers would have it."""
    header = journal.header.model_copy(
        update={
            "inode": NO_INODE,
            "directories": tuple(
                announced.model_copy(update={"inode": NO_INODE}) for announced in journal.header.directories
            ),
        }
    )
    operations = tuple(
        operation._replace(inode=NO_INODE) if isinstance(operation, Move) else operation
        for operation in journal.operations
    )
    return journal._replace(header=header, operations=operations)


def _reversed(undo: Undo) -> Move:
    """The move that undoes; its identity is what stands at the new name now."""
    move = undo.move
    found = undo.found or move.identity
    return Move(move.destination, move.destination_name, move.source, move.source_name, found.inode, found.type)
