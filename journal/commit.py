"""Carry out one transaction: plan -> reserve -> announce -> move -> fill -> commit -> clean up.

The order of its steps and the reasons: docs/journal.md, "Order of a transaction".
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import count, groupby
from typing import NoReturn

from journal import names
from journal.declaration import Declaration, DeclaredFile, Refusal, plan_moves
from journal.errors import InvalidOperation, JournalError, OutcomeUnknown, TransactionFailed
from journal.filesystem import NO_HARD_LINK, Filesystem, observe
from journal.folders import OpenFolders
from journal.moves import Carrier, FailedMove
from journal.outcome import NewDirectory, OperationFailure, Outcome, describe_failure
from journal.parking import Parking, ReturnFailed
from journal.records import AnnouncedDirectory, Committed, FailedOperation, Header, Owner, encode_journal
from journal.recovery import recover
from journal.reports import RecoveryReport
from journal.retry import Failure, Rounds
from journal.state_files import append_terminal, list_owned, place_staged, purge
from journal.values import DIRECTORY, STATE, Create, Folder, Identity, Move, Operation, printable

NEXT_FREE_LIMIT = 10_000
"""Number of names that are tried for a new directory before its creation fails."""


class _OperationFailed(Exception):
    """An operation failed for good under the policy `rollback`, or one without which nothing may be committed."""


class _SyncFailed(Exception):
    """A sync failed where errors of single files are collected."""


class Commit:
    """One commit: the plan, and how far it was carried out. Call `run` once, with the directory's lock held."""

    def __init__(
        self,
        declaration: Declaration,
        filesystem: Filesystem,
        path: str,
        folders: OpenFolders,
        rounds: Rounds,
        clock: Callable[[], float],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._declaration = declaration
        self._filesystem = filesystem
        self._path = path
        self._folders = folders
        self._state = folders[STATE]
        self._rounds = rounds
        self._clock = clock
        self._started = clock()
        self._progress = progress
        self._pulses = 0
        self._parking = Parking(filesystem, self._state, declaration.id)
        self._carrier = Carrier(filesystem, folders, rounds, self._parking, self._pulse)
        self._moves: list[Move] = []
        self._refused: list[Refusal] = []
        self._failures: dict[int, OperationFailure] = {}
        self._new_directories: list[AnnouncedDirectory] = []
        self._creates: list[Create] = []
        self._reserved: list[str] = []
        self._linked: set[str] = set()  # the reserved files that have their public name
        self._staged_numbers = count()
        self._journal_name = declaration.id + names.JOURNAL
        self._length_bytes = 0
        self._leftovers: tuple[str, ...] = ()

    def run(self) -> Outcome:
        """Do everything, and return the outcome once it is durable; `Transaction.commit` lists the errors."""
        try:
            self._plan()
        except OSError as error:
            raise TransactionFailed(self._declaration.label, str(error)) from error
        if not (self._moves or self._declaration.files or self._declaration.directories):
            return self._outcome()
        try:
            self._prepare()
            self._carry_out()
            self._write_files()
            self._write_commit_record()
        except BaseException as error:  # noqa: BLE001 - interrupts roll back too; _roll_back raises it again
            self._roll_back(error)
        else:
            self._make_commit_durable()
        self._clean_up()
        return self._outcome()

    # ---- plan: nothing changes ----------------------------------------------------------------------------------

    def _plan(self) -> None:
        """Look up every name that matters.

        Content of staged files is made durable first, because their size and mtime belong to their identity. Raises
        InvalidOperation for names used twice and for cycles, OSError if a folder cannot be read.
        """
        self._folders.open_root(self._path)
        seen: dict[Folder, dict[str, Identity]] = {}
        for folder, wanted in self._declaration.names_to_observe().items():
            directory = self._folders.open(folder)
            seen[folder] = dict(observe(self._filesystem, directory, wanted))
            if folder.root == "state":
                for name in [name for name, identity in seen[folder].items() if identity.type == "file"]:
                    self._filesystem.sync_file(directory, name)
                    seen[folder].update(observe(self._filesystem, directory, [name]))
        self._moves, self._refused = plan_moves(self._declaration, seen)

    # ---- prepare: new directories, reserved files, the journal --------------------------------------------------

    def _prepare(self) -> None:
        """Make the new directories, then the journal; after it everything is announced and durable (I1)."""
        declaration = self._declaration
        new = list(declaration.directories)
        if any(move.destination == declaration.trash.folder for move in self._moves):
            new.append(declaration.trash)
        declared = [directory.folder for directory in new]
        for directory in new:
            self._make(directory)
        final = {before: directory.folder for before, directory in zip(declared, new, strict=True)}
        if any(before != after for before, after in final.items()):
            self._moves = [
                move._replace(destination=final.get(move.destination, move.destination)) for move in self._moves
            ]
        used = {folder for move in self._moves for folder in (move.source, move.destination)}
        used -= {DIRECTORY, STATE, *(directory.folder for directory in self._new_directories)}
        root = self._folders[DIRECTORY]
        header = Header(
            transaction=declaration.id,
            label=declaration.label,
            on_error=declaration.on_error,
            time=declaration.time.isoformat(),
            path=root.path,
            inode=root.inode,
            directories=(*self._new_directories, *(self._announce(folder, made=False) for folder in sorted(used))),
            owner=Owner(pid=os.getpid(), host=socket.gethostname()),
        )
        self._creates = [self._create_record(file) for file in declaration.files]
        self._reserve()
        self._write_journal(header, [*self._moves, *self._creates])
        if any(directory.root == "directory" for directory in self._new_directories):
            self._carrier.sync(DIRECTORY)
        self._take_names()

    def _make(self, directory: NewDirectory) -> None:
        """Make a directory by exclusive mkdir, because a check whether the name is free would race."""
        parent = self._folders[directory.root]
        declared_name = directory.name
        for number in range(NEXT_FREE_LIMIT):
            directory.settle(f"{declared_name}_{number}" if number else declared_name)
            try:
                self._filesystem.make_directory(parent, directory.name, is_private=directory.root == STATE)
            except FileExistsError:
                if directory.next_free:
                    continue
                raise
            try:
                self._new_directories.append(self._announce(directory.folder, made=True))
            except OSError:
                self._filesystem.remove_directory(parent, directory.name)  # no journal names it yet
                raise
            return
        raise FileExistsError(
            errno.EEXIST, f"the name and {NEXT_FREE_LIMIT - 1} with a suffix are taken", declared_name
        )

    def _announce(self, folder: Folder, *, made: bool) -> AnnouncedDirectory:
        inode = self._folders.open(folder).inode
        return AnnouncedDirectory(root=folder.root, path=folder.path, inode=inode, made=made)

    def _create_record(self, file: DeclaredFile) -> Create:
        text = file.if_kept(self._declaration.id, file.destination.name) if file.if_kept else None
        return Create(file.destination.folder, file.name, text)

    def _reserve(self) -> None:
        """Reserve space, inode and entry for each file to be written, before the journal: a full disk fails here."""
        if self._declaration.files or any(move.type != "directory" for move in self._moves):
            self._parking.reserve()  # directories have one name at a time, which is renamed
        placeholder = f'{{"transaction": "{self._declaration.id}"}}\n'.encode()
        for file in self._declaration.files:
            staged = self._next_staged_name()
            self._filesystem.reserve(self._state, staged, placeholder, max(file.size_bytes, len(placeholder)))
            self._filesystem.sync_file(self._state, staged)
            self._reserved.append(staged)

    def _next_staged_name(self) -> str:
        return names.staged(self._declaration.id, next(self._staged_numbers))

    def _write_journal(self, header: Header, operations: Sequence[Operation]) -> None:
        new = self._declaration.id + names.NEW

        def counted() -> Iterator[bytes]:
            for chunk in encode_journal(header, operations):
                self._length_bytes += len(chunk)
                yield chunk

        self._filesystem.create(self._state, new, counted())
        self._filesystem.sync_file(self._state, new)
        self._filesystem.replace(self._state, new, self._state, self._journal_name)  # a private name
        self._carrier.sync(STATE)

    def _take_names(self) -> None:
        """Give each reserved file its name while the directory that it goes into still has room for an entry.

        Where there are no hard links it is renamed once it is filled: a process that died would leave it torn.
        """
        for file, staged in zip(self._declaration.files, self._reserved, strict=True):
            folder = file.destination.folder
            try:
                self._filesystem.link(self._state, staged, self._folders[folder], file.name)
            except OSError as error:
                if error.errno not in NO_HARD_LINK:
                    raise
            else:
                self._linked.add(staged)
                self._carrier.unsynced.add(folder)

    # ---- carry out: names change --------------------------------------------------------------------------------

    def _carry_out(self) -> None:
        """Move, one destination folder after the other."""
        self._pulse(0)
        failed: list[FailedMove] = []
        for _, group in groupby(self._moves, key=lambda move: move.destination):
            failed += self._carrier.carry(list(group))
            if failed and self._declaration.on_error == "rollback":
                break
        if failed:
            index_of = {id(move): index for index, move in enumerate(self._moves)}
            for move, failure in failed:
                self._fail(index_of[id(move)], move, failure)

    def _fail(self, index: int, move: Move, failure: Failure) -> None:
        if self._declaration.on_error == "rollback":
            raise _OperationFailed(f"{printable(move.source_name)}: {failure.error}") from failure.error
        copied = False
        if move.copy_on_failure and move.type == "file":
            try:
                self._copy(move)
                copied = True
            except OSError as error:
                failure.error.add_note(f"it could not be copied either ({error.strerror or error})")
        self._failures[index] = describe_failure(failure.error, failure.attempts, copied=copied)

    def _copy(self, move: Move) -> None:
        """Copy a file that could not be moved; raises OSError, and then no copy is left at its destination."""
        staged = self._next_staged_name()
        try:
            self._filesystem.copy(self._folders[move.source], move.source_name, self._state, staged)
        except OSError:
            self._filesystem.unlink(self._state, staged)  # half a copy would only fill the disk
            raise
        # A failed sync undoes the whole transaction (I8): it is not caught with the errors of a single file.
        try:
            self._filesystem.sync_file(self._state, staged)
        except OSError as error:
            raise _SyncFailed(str(error)) from error
        place_staged(self._filesystem, self._folders, staged, move.destination, move.destination_name)
        self._carrier.unsynced.add(move.destination)

    def _write_files(self) -> None:
        """Fill the reserved files, now that the outcome is known, then sync every folder that is not yet durable."""
        outcome = self._outcome()
        for file, staged in zip(self._declaration.files, self._reserved, strict=True):
            content = file.content(outcome)
            if self._declaration.id.encode() not in content:
                raise InvalidOperation(
                    f"{file.name}: its content must contain the transaction's id ({self._declaration.id})"
                )
            try:
                self._fill(file, staged, content)
            except OSError as error:
                raise _OperationFailed(f"{printable(file.name)}: {error}") from error
        for folder in sorted(self._carrier.unsynced):
            if folder.root == "directory" or folder.path in {made.path for made in self._new_directories}:
                self._carrier.sync(folder)  # the caller's staging folders need no sync: their files have new names

    def _fill(self, file: DeclaredFile, staged: str, content: bytes) -> None:
        """Write through the private name, under which no other process can have put another file."""
        folder = self._folders[file.destination.folder]
        self._filesystem.fill(self._state, staged, content)
        self._filesystem.sync_file(self._state, staged)
        if staged not in self._linked:
            self._filesystem.rename(self._state, staged, folder, file.name)
            self._carrier.unsynced.add(file.destination.folder)
            return
        public = self._filesystem.look(folder, file.name)
        reserved = self._filesystem.look(self._state, staged)
        if public is None or reserved is None or not public.is_same(reserved):
            raise FileExistsError(errno.EEXIST, "another process took its name", file.name)

    def _pulse(self, moved: int) -> None:
        """Report progress. Every move is counted twice: when it is linked, and when its old name is removed."""
        self._pulses += moved
        if self._progress is not None:
            self._progress(self._pulses // 2, len(self._moves))

    # ---- commit, or roll back -----------------------------------------------------------------------------------

    def _write_commit_record(self) -> None:
        """Append `committed`; it counts once it is durable."""
        failures = sorted(self._failures.items())
        terminal = Committed(
            failed=tuple(FailedOperation(operation=index, **asdict(failure)) for index, failure in failures)
        )
        append_terminal(self._filesystem, self._state, self._journal_name, self._length_bytes, terminal)

    def _make_commit_durable(self) -> None:
        """Pass the commit point. After a failed sync the record may be durable or not: the journal stays hot (I8)."""
        try:
            self._filesystem.sync_file(self._state, self._journal_name)
        except OSError as error:
            raise OutcomeUnknown(os.path.join(self._state.path, self._journal_name), error) from error

    def _clean_up(self) -> None:
        """Purge the trash and unlink the journal. Whatever fails here, the transaction is committed (I8)."""
        try:
            owned = list_owned(self._filesystem, self._state, self._declaration.id)
            _, self._leftovers = purge(self._filesystem, self._state, owned)
            self._filesystem.unlink(self._state, self._journal_name)
        except OSError as error:
            self._leftovers += (f"{self._journal_name}: {error}",)

    def _roll_back(self, error: BaseException) -> None:
        """Undo everything and raise; return only if the commit record turns out to be complete after all."""
        try:
            report = recover(self._filesystem, self._path, self._state, self._rounds)
        except JournalError as incomplete:
            if isinstance(error, Exception):
                self._remove_unannounced(incomplete)
                raise incomplete from error
            error.add_note(str(incomplete))  # an exit propagates as it is; the journal stays hot
            self._remove_unannounced(error)
            raise error from incomplete
        self._remove_unannounced(error)
        if any(journal.action == "finished" for journal in report.journals) and isinstance(error, OSError):
            return
        self._raise(error, report)

    def _remove_unannounced(self, error: BaseException) -> None:
        """Remove the empty directories of a journal that was never written; note on the error those that stay."""
        for made in self._new_directories:
            parent = self._folders[Folder(made.root)]
            try:
                identity = self._filesystem.look(parent, made.path)
                if identity is not None and identity.inode == made.inode:
                    self._filesystem.remove_directory(parent, made.path)
            except OSError as remaining:
                error.add_note(f"The directory {printable(made.path)} was made for this and stays: {remaining}")

    def _raise(self, error: BaseException, report: RecoveryReport) -> NoReturn:
        conflicts = [conflict for journal in report.journals for conflict in journal.conflicts]
        if isinstance(error, (OSError, _OperationFailed, _SyncFailed, ReturnFailed)):
            raise TransactionFailed(self._declaration.label, str(error), conflicts) from (error.__cause__ or error)
        raise error

    def _outcome(self) -> Outcome:
        """Return the outcome so far."""
        return Outcome(
            transaction=self._declaration.id,
            label=self._declaration.label,
            retries=self._rounds.retries,
            seconds=self._clock() - self._started,
            leftovers=self._leftovers,
            notes=tuple(self._parking.notes),
            _moved_bytes=self._carrier.moved_bytes,
            _moves=self._moves,
            _creates=self._creates,
            _failures=self._failures,
            _refused=[refusal.result for refusal in self._refused],
        )
