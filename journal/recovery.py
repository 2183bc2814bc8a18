"""The one way back: a live rollback and the recovery after a crash are the same code.

    sync the journal and the state directory -> read (may raise, touches nothing) -> committed? finish it
    : judge -> undo (try all, collect) -> sync every announced directory -> remove the files that the transaction wrote
    -> append `rolled_back`, sync -> unlink the journal

The caller holds the directory's lock.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from contextlib import closing
from typing import Literal

from journal import names
from journal.errors import NeedsAttention, OutcomeUnknown, RollbackIncomplete
from journal.filesystem import NO_HARD_LINK, NO_SPACE, Directory, Filesystem
from journal.folders import OpenFolders
from journal.judging import Judge, Judgement
from journal.moves import Carrier, FailedMove, place_of
from journal.parking import Parking, ReturnFailed
from journal.playback import Verdict
from journal.records import (
    AnnouncedDirectory,
    Committed,
    Conflict,
    Header,
    Journal,
    RolledBack,
    Terminal,
    decode_journal,
    decode_unfinished_header,
    encode_terminal,
)
from journal.reports import JournalReport, RecoveryReport
from journal.retry import Rounds
from journal.state_files import (
    JournalName,
    append_terminal,
    list_journals,
    list_owned,
    list_unowned,
    place_staged,
    purge,
)
from journal.values import NO_INODE, STATE, Create, Folder, Identity, printable


def recover(filesystem: Filesystem, path: str, state: Directory, rounds: Rounds) -> RecoveryReport:
    """Bring the directory at `path` back to the state that its last transaction promised; cheap if nothing is to do.

    Raises RollbackIncomplete or OutcomeUnknown (journal and files stay: fix the cause, recover again), NeedsAttention
    (the journal was set aside, nothing else touched: recovering again goes on with the rest).
    """
    try:
        reports = []
        journals = list_journals(filesystem, state)
        complete = {journal.transaction for journal in journals if journal.suffix != names.NEW}
        for journal in journals:
            if journal.suffix == names.JOURNAL:
                reports.append(_Recovery(filesystem, path, state, rounds, journal).run())
            elif journal.suffix == names.NEW:
                if journal.transaction not in complete:
                    reports.append(_discard(filesystem, path, state, journal))
                filesystem.unlink(state, journal.name)
        swept, leftovers = purge(filesystem, state, list_unowned(filesystem, state))
    except (OSError, ReturnFailed) as error:
        raise RollbackIncomplete(state.path, [], [str(error)]) from error
    return RecoveryReport(journals=tuple(reports), swept=swept, leftovers=leftovers)


def preview(filesystem: Filesystem, path: str, state: Directory, rounds: Rounds) -> RecoveryReport:
    """Return the report that `recover` would give; change nothing.

    Raises NeedsAttention without setting anything aside.
    """
    reports = []
    for journal in list_journals(filesystem, state):
        if journal.suffix == names.JOURNAL:
            reports.append(_Recovery(filesystem, path, state, rounds, journal).preview())
        elif journal.suffix == names.NEW:
            reports.append(_report_discarded(filesystem, state, journal)[0])
    return RecoveryReport(journals=tuple(reports), swept=tuple(list_unowned(filesystem, state)))


def _report_discarded(
    filesystem: Filesystem, state: Directory, journal: JournalName
) -> tuple[JournalReport, Header | None]:
    with closing(filesystem.read_lines(state, journal.name)) as lines:
        header = decode_unfinished_header(lines, journal.name)
    label, since = (printable(header.label), header.time) if header else ("", "")
    return JournalReport(transaction=journal.transaction, label=label, since=since, action="discarded"), header


def _discard(filesystem: Filesystem, path: str, state: Directory, journal: JournalName) -> JournalReport:
    """Remove the empty directories that an unfinished journal announced; nothing had moved."""
    report, header = _report_discarded(filesystem, state, journal)
    if header is not None:
        with OpenFolders(filesystem, state) as folders:
            try:
                missing = folders.open_announced(path, header)
            except NeedsAttention:
                return report  # a missing directory holds nothing to remove
            new_directories = [directory for directory in header.new_directories() if directory not in missing]
            _remove_new_directories(filesystem, folders, new_directories)
    return report


def _remove_new_directories(
    filesystem: Filesystem, folders: OpenFolders, new_directories: Sequence[AnnouncedDirectory]
) -> list[AnnouncedDirectory]:
    """Remove those of the directories that are empty; return the others."""
    staying = []
    for announced in reversed(new_directories):
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
        self, filesystem: Filesystem, path: str, state: Directory, rounds: Rounds, journal: JournalName
    ) -> None:
        self._filesystem = filesystem
        self._path = path
        self._state = state
        self._rounds = rounds
        self._name = journal.name
        self._transaction = journal.transaction
        self._journal_path = os.path.join(state.path, journal.name)

    def preview(self) -> JournalReport:
        """Return the report that `run` would give; change nothing."""
        journal = self._read()
        if journal.terminal is not None:
            return self._report_ended(journal.header, journal.terminal)
        with OpenFolders(self._filesystem, self._state) as folders:
            judged = self._judge(folders, journal)
            conflicts = judged.find_conflicts(folders, copies=frozenset(judged.find_copies(folders)))
            return self._report(folders, judged, conflicts)

    def run(self) -> JournalReport:
        """Finish or roll back; remove the journal at the very end."""
        # The dead process may have died before its own sync: act only on a state that survives a second crash.
        self._filesystem.sync_file(self._state, self._name)
        self._filesystem.sync_directory(self._state)
        try:
            journal = self._read()
            if journal.terminal is not None:
                self._make_durable(journal, journal.terminal)
                report = self._report_ended(journal.header, journal.terminal)
            else:
                with OpenFolders(self._filesystem, self._state) as folders:
                    report, terminal = self._roll_back(folders, self._judge(folders, journal))
                append_terminal(self._filesystem, self._state, self._name, journal.length_bytes, terminal)
                self._filesystem.sync_file(self._state, self._name)
        except NeedsAttention as error:
            self._set_aside(names.DAMAGED)
            error.set_aside = self._path_aside(names.DAMAGED)
            raise
        self._remove_journal(report)
        return report

    def _read(self) -> Journal:
        with closing(self._filesystem.read_lines(self._state, self._name)) as lines:
            return decode_journal(lines, self._journal_path)

    def _judge(self, folders: OpenFolders, journal: Journal) -> Judgement:
        judged = Judge(self._filesystem, self._path, folders, self._transaction, journal).judge()
        self._filesystem = judged.filesystem
        return judged

    # ---- roll back ----------------------------------------------------------------------------------------------

    def _roll_back(self, folders: OpenFolders, judged: Judgement) -> tuple[JournalReport, RolledBack]:
        parking = self._begin_undo(judged)
        carrier = Carrier(self._filesystem, folders, self._rounds, parking)
        self._undo(folders, judged, carrier)
        for folder in folders:
            carrier.sync(folder)  # I10: also when there was nothing to undo
        copies = judged.find_copies(folders)
        for move, inode in copies.values():
            carrier.remove_name(move.destination, move.destination_name, Identity(inode, "file"))
        self._remove_placeholder_directories(folders, judged)
        self._remove_records(folders, judged, carrier)
        conflicts = judged.find_conflicts(folders, copies=frozenset(copies))
        remaining = [directory for directory in judged.header.new_directories() if directory not in judged.missing]
        staying = _remove_new_directories(self._filesystem, folders, remaining)
        for directory in remaining:
            if directory not in staying:
                carrier.unsynced.discard(directory.folder)
                if directory.root == "directory":
                    carrier.unsynced.add(Folder("directory", directory.path.rpartition("/")[0]))
        places = {
            judged.operations[conflict.operation].destination
            for conflict in conflicts
            if conflict.operation is not None
        }
        conflicts += [
            Conflict(reason=f"{printable(directory.path)} holds files that were not announced")
            for directory in staying
            if directory.root == "state" and directory.folder not in places
        ]
        if conflicts:
            parking.clear()  # the journal stays, and with it all other files of its transaction
            self._write_records_of_kept(folders, judged, staying, carrier)
        for folder in sorted(carrier.unsynced - {STATE}):
            carrier.sync(folder)
        return self._report(folders, judged, conflicts), RolledBack(conflicts=tuple(conflicts))

    def _begin_undo(self, judged: Judgement) -> Parking:
        """Mark the home as a copy, if it is one, and take a parking place."""
        marker = names.copied(self._transaction)
        if judged.is_copy and self._filesystem.look(self._state, marker) is None:
            self._filesystem.create(self._state, marker, [])
            self._filesystem.sync_directory(self._state)
        # A place that is taken already, if it holds no file's only name: a full disk has no room for another entry.
        numbers = [names.parking_number_of(name) or 0 for name in judged.redundant]
        number = min(numbers, default=len(judged.parked))
        parking = Parking(self._filesystem, self._state, self._transaction, number)
        try:
            parking.reserve()
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            # There may be room once the place is needed, because undoing frees entries.
        return parking

    def _undo(self, folders: OpenFolders, judged: Judgement, carrier: Carrier) -> None:
        """Undo every move, collecting the failures; raise RollbackIncomplete at the end if there were any (I9)."""
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

    def _remove_placeholder_directories(self, folders: OpenFolders, judged: Judgement) -> None:
        """Remove the placeholders of interrupted renames of directories: empty directories in new ones."""
        new_folders = judged.new_folders
        for _, move, verdict, occupant in judged.rest:
            is_cut = verdict is Verdict.NOTHING and occupant is not None and occupant.type == move.type == "directory"
            if is_cut and move.destination in new_folders and move.destination in folders:
                with contextlib.suppress(OSError):  # it is not empty: another process has put something there
                    self._filesystem.remove_directory(folders[move.destination], move.destination_name)

    def _remove_records(self, folders: OpenFolders, judged: Judgement, carrier: Carrier) -> None:
        """Remove the files that the transaction created: the reserved files, and files that contain its id."""
        creates = [operation for operation in judged.operations if isinstance(operation, Create)]
        for number, operation in enumerate(creates):
            if operation.destination not in folders:
                continue
            directory, name = folders[operation.destination], operation.destination_name
            identity = self._filesystem.look(directory, name)
            if identity is None or identity.type != "file":
                continue
            reserved = self._filesystem.look(self._state, names.staged(self._transaction, number))
            is_reserved = reserved is not None and reserved.inode != NO_INODE and identity.is_same(reserved)
            is_placeholder = identity.size == 0  # of an interrupted rename, where there are no links
            if is_reserved or is_placeholder or self._transaction.encode() in self._filesystem.read(directory, name):
                carrier.remove_name(operation.destination, name, identity)

    def _write_records_of_kept(
        self, folders: OpenFolders, judged: Judgement, staying: Sequence[AnnouncedDirectory], carrier: Carrier
    ) -> None:
        """Leave a record in a directory that has to stay, so that it is listed like any other."""
        kept = {directory.folder for directory in staying}
        for number, operation in enumerate(judged.operations):
            if isinstance(operation, Create) and operation.if_kept is not None and operation.destination in kept:
                staged = names.staged(self._transaction, number)
                self._filesystem.remove_tree(self._state, staged)
                content = operation.if_kept.encode("utf-8", "surrogateescape")
                self._filesystem.create(self._state, staged, [content])
                self._filesystem.sync_file(self._state, staged)
                if self._filesystem.look(folders[operation.destination], operation.destination_name) is None:
                    place_staged(self._filesystem, folders, staged, operation.destination, operation.destination_name)
                    carrier.unsynced.add(operation.destination)

    # ---- report, end --------------------------------------------------------------------------------------------

    def _report(self, folders: OpenFolders, judged: Judgement, conflicts: Sequence[Conflict]) -> JournalReport:
        return JournalReport(
            transaction=self._transaction,
            label=printable(judged.header.label),
            since=judged.header.time,
            action="conflict" if conflicts else "rolled_back",
            moved_back=sum(len(back) for back, _ in judged.steps),
            dropped=sum(len(drop) for _, drop in judged.steps),
            conflicts=tuple(conflict.reason for conflict in conflicts),
            notes=judged.notes(folders),
            set_aside=self._path_aside(names.CONFLICT) if conflicts else None,
        )

    def _report_ended(self, header: Header, terminal: Terminal) -> JournalReport:
        conflicts = terminal.conflicts if isinstance(terminal, RolledBack) else ()
        action: Literal["rolled_back", "conflict"] = "conflict" if conflicts else "rolled_back"
        return JournalReport(
            transaction=self._transaction,
            label=printable(header.label),
            since=header.time,
            action="finished" if isinstance(terminal, Committed) else action,
            conflicts=tuple(printable(conflict.reason) for conflict in conflicts),
            set_aside=self._path_aside(names.CONFLICT) if conflicts else None,
        )

    def _make_durable(self, journal: Journal, terminal: Terminal) -> None:
        """Write a terminal record again in place and sync it: after a failed sync, a second one proves nothing (I8)."""
        line = encode_terminal(terminal)
        try:
            offset = journal.length_bytes - len(line)
            self._filesystem.write_at(self._state, self._name, offset, line, truncate=False)
            self._filesystem.sync_file(self._state, self._name)
        except OSError as error:
            raise OutcomeUnknown(self._journal_path, error) from error

    def _remove_journal(self, report: JournalReport) -> None:
        """End the recovery. A journal with conflicts is kept for an operator, with its trash."""
        if report.action == "conflict":
            self._set_aside(names.CONFLICT)
            return
        purge(self._filesystem, self._state, list_owned(self._filesystem, self._state, self._transaction))
        self._filesystem.unlink(self._state, self._name)

    def _path_aside(self, suffix: str) -> str:
        return printable(os.path.join(self._state.path, self._transaction + suffix))

    def _set_aside(self, suffix: str) -> None:
        filesystem, state, name = self._filesystem, self._state, self._name
        aside = self._transaction + suffix
        try:
            filesystem.link(state, name, state, aside)
        except FileExistsError:
            pass  # interrupted here before: the journal has both names already
        except OSError as error:
            if error.errno not in NO_HARD_LINK:
                raise
            filesystem.replace(state, name, state, aside)
        filesystem.sync_directory(state)
        filesystem.unlink(state, name)
