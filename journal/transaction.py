"""One transaction: announce -> do -> commit. The order of its steps: docs/journal.md, "Order of a transaction".

Operations are declared first and done by `commit`, all of them or, after any crash before the commit record, none.
The caller holds the directory's lock; `LockedDirectory.transaction` sees to that.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from graphlib import CycleError, TopologicalSorter
from itertools import count, groupby
from operator import attrgetter
from typing import NamedTuple, NoReturn

from journal import names
from journal.errors import InvalidOperation, JournalError, OutcomeUnknown, TransactionFailed, printable
from journal.filesystem import NO_HARD_LINK, Directory, Filesystem, observe
from journal.folders import OpenFolders
from journal.moves import Carrier, FailedMove
from journal.parking import Parking, ReturnFailed
from journal.records import (
    DIRECTORY,
    STATE,
    AnnouncedDirectory,
    Committed,
    Create,
    FailedOperation,
    Folder,
    Header,
    Identity,
    Move,
    Operation,
    Owner,
    Policy,
    encode_journal,
    is_name,
    is_spelled_once,
)
from journal.recovery import (
    RecoveryReport,
    append_terminal,
    owned_by,
    place_staged,
    purge,
    recover,
)
from journal.retry import Failure, RetryLimits, Rounds

NEXT_FREE_LIMIT = 10_000
"""How many suffixes are tried for a new directory before the caller is told."""

RESERVED_BYTES = 4096
"""The disk space that is reserved for a created file whose caller does not say how large it can become."""


class NewDirectory:
    """A directory that the transaction will make; `name` is final, with its suffix, once `commit` has made it."""

    def __init__(self, root: Folder, name: str, *, next_free: bool) -> None:
        self.root = root
        self.name = name
        self.next_free = next_free
        self.folder = Folder(root.root, name)

    def settle(self, name: str) -> None:
        """Take the name that was free."""
        self.name = name
        self.folder = Folder(self.root.root, name)


@dataclass(frozen=True, slots=True)
class OperationFailure:
    """Why an operation was left undone: the last error, its number where it has one, how often it was tried.

    `copied`: the file is still under its old name, and a copy of it is where it should have gone.
    """

    error: str
    errno: int | None
    attempts: int
    copied: bool = False


class OperationResult(NamedTuple):
    """One operation and its end: done when `failure` is None. Names are as the system gives them."""

    source: str | None
    destination: str
    failure: OperationFailure | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a committed transaction did.

    `retries` counts new tries after transient errors, `seconds` the whole commit; `leftovers` are entries of the state
    directory that could not be purged and will be with the next recovery. `notes` are sentences about files that other
    processes saved in the middle of a move and that could not keep their names.
    """

    transaction: str
    label: str
    retries: int
    seconds: float
    leftovers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    _moved_bytes: Mapping[Folder, int] = field(default_factory=dict)
    _moves: Sequence[Move] = ()
    _creates: Sequence[Create] = ()
    _failures: dict[int, OperationFailure] = field(default_factory=dict)
    _refused: Sequence[tuple[_Declared, OperationFailure]] = ()

    def results(self) -> Iterator[OperationResult]:
        """Every operation with its end: moves in the order they were made, files created, those that never began."""
        operations: list[Operation] = [*self._moves, *self._creates]
        for index, operation in enumerate(operations):
            source = operation.source.place(operation.source_name) if isinstance(operation, Move) else None
            destination = operation.destination.place(operation.destination_name)
            yield OperationResult(source, destination, self._failures.get(index))
        for declared, failure in self._refused:
            yield OperationResult(declared.source.place(declared.name), declared.place, failure)

    def moved_bytes(self, destination: NewDirectory) -> int:
        """The sizes of the files that this directory received, added up in bytes, as seen while they were moved."""
        return self._moved_bytes.get(destination.folder, 0)

    @property
    def moved_count(self) -> int:
        """How many files were moved."""
        return len(self._moves) - sum(index < len(self._moves) for index in self._failures)

    @property
    def failures(self) -> list[OperationResult]:
        """The operations that were left undone."""
        return [result for result in self.results() if result.failure is not None]


class _Declared(NamedTuple):
    """A move as the caller asked for it."""

    source: Folder
    name: str
    destination: Folder | NewDirectory
    new_name: str
    replaced: Folder | NewDirectory | None = None
    copy_on_failure: bool = False

    @property
    def place(self) -> str:
        return _folder_of(self.destination).place(self.new_name)


class _DeclaredFile(NamedTuple):
    """A file that the transaction will write itself."""

    destination: NewDirectory
    name: str
    content: Callable[[Outcome], bytes]
    if_kept: Callable[[str, str], str] | None
    size_bytes: int


class _OperationFailed(Exception):
    """An operation failed for good under the policy `rollback`, or one without which nothing may be committed."""


class _SyncFailed(Exception):
    """A sync failed where errors of single files are collected."""


class Transaction:
    """Declare operations, then `commit` once.

    With `on_error="continue"` what cannot be moved is reported and the rest goes on; with "rollback" the first
    permanent failure undoes everything.
    """

    def __init__(
        self,
        filesystem: Filesystem,
        path: str,
        state: Directory,
        *,
        label: str,
        on_error: Policy,
        limits: RetryLimits,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not is_spelled_once(label):
            raise InvalidOperation(f"The label {printable(label)!r} is not text.")
        self._filesystem = filesystem
        self._path = path
        self._state = state
        self._label = label
        self._on_error: Policy = on_error
        self._rounds = Rounds(limits, sleep=sleep, clock=clock)
        self._clock = clock
        self._time = now()
        self.id = f"{self._time:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
        self._directories: list[NewDirectory] = []
        self._declared: list[_Declared] = []
        self._known: list[Move] = []  # declared with an identity and into a new directory: nothing is to be looked up
        self._files: list[_DeclaredFile] = []
        self._trash: NewDirectory | None = None
        self._is_used = False

    def make_directory(self, name: str, *, root: Folder = DIRECTORY, next_free: bool = False) -> NewDirectory:
        """Make a directory in the directory (or, with `root=STATE`, in the state directory).

        When the name is taken: with `next_free` it becomes `name_1`, `name_2` ..., else the transaction fails.
        """
        if root not in (DIRECTORY, STATE):
            raise InvalidOperation("A transaction makes directories in the directory or in its state directory only.")
        made = NewDirectory(root, _checked(name), next_free=next_free)
        if any(other.folder == made.folder for other in self._directories):
            raise InvalidOperation(f"{printable(name)} is made already: use the directory that was returned then.")
        self._directories.append(made)
        return made

    def move(
        self,
        name: str,
        destination: Folder | NewDirectory,
        *,
        source: Folder = DIRECTORY,
        new_name: str | None = None,
        copy_on_failure: bool = False,
        seen: Identity | None = None,
    ) -> None:
        """Move an entry from `source` to `destination`, which must not have that name.

        `copy_on_failure` leaves a copy there when a regular file cannot be moved. `seen` is what a scan under this
        lock saw under the name: it saves a second look.
        """
        new_name = new_name or name
        # A staged file is looked at once its content is durable, an existing folder for who has the name there.
        if seen is None or source.root == "state" or not isinstance(destination, NewDirectory):
            self._declare(_Declared(source, name, destination, new_name, None, copy_on_failure))
            return
        self._check_declaration(name, new_name)
        inode, type_, _, _ = seen
        self._known.append(Move(source, name, destination.folder, new_name, inode, type_, None, None, copy_on_failure))

    def publish(
        self,
        name: str,
        *,
        source: Folder,
        destination: Folder | NewDirectory = DIRECTORY,
        new_name: str | None = None,
        replaced: Folder | NewDirectory | None = None,
    ) -> None:
        """Move a file in from `source`; a file of that name goes to `replaced` first (default: it is deleted)."""
        self._declare(_Declared(source, name, destination, new_name or name, replaced or self._trash_directory()))

    def delete(self, name: str, *, source: Folder = DIRECTORY) -> None:
        """Move an entry, a whole directory too, into the trash, which is purged after the commit."""
        self._declare(_Declared(source, name, self._trash_directory(), name))

    def create(
        self,
        destination: NewDirectory,
        name: str,
        content: Callable[[Outcome], bytes],
        *,
        if_kept: Callable[[str, str], str] | None = None,
        size_bytes: int = RESERVED_BYTES,
    ) -> None:
        """Write a file into a directory that this transaction makes, once the outcome is known.

        Its name is taken and the disk space for `size_bytes`, the largest size that it can have, is reserved before
        anything moves, so that a transaction never commits without it. Until it is filled it consists of
        `{"transaction": "<id>"}` and blanks.
        The content must contain the transaction's id (`Outcome.transaction`): that is how recovery knows it.
        `if_kept(transaction, directory name)` gives the text to leave instead when a recovery has to keep the
        directory, because somebody changed files meanwhile.
        """
        self._check_unused()
        if destination not in self._directories:
            raise InvalidOperation(f"{printable(name)}: files are created only in directories the transaction makes")
        self._files.append(_DeclaredFile(destination, _checked(name), content, if_kept, size_bytes))

    def commit(self, progress: Callable[[int, int], None] | None = None) -> Outcome:
        """Do everything that was declared; returns once it is durable.

        `progress(done, total)` is called now and then; what it raises cancels the transaction.
        Raises TransactionFailed (everything is as before), RollbackIncomplete or OutcomeUnknown (recover later),
        InvalidOperation (mend the call), and whatever an earlier hot journal asks of a person (NeedsAttention).
        KeyboardInterrupt and other exits roll back and propagate; once the commit record is written, they leave the
        rest to the next recovery.
        """
        self._check_unused()
        self._is_used = True
        recover(self._filesystem, self._path, self._state, self._rounds)
        started = self._clock()
        with OpenFolders(self._filesystem, self._state) as folders:
            run = _Run(self, folders, progress)
            try:
                run.plan()
            except OSError as error:
                raise TransactionFailed(self._label, str(error)) from error
            if not (run.moves or self._files or self._directories):
                return run.outcome(started)
            try:
                run.prepare()
                run.carry_out()
                run.write_files(started)
                run.write_commit_record()
            except BaseException as error:  # noqa: BLE001 - interrupts roll back too; give_up raises it again
                run.give_up(error)
            else:
                run.make_commit_durable()
            run.clean_up()
            return run.outcome(started)

    def _declare(self, item: _Declared) -> None:
        self._check_declaration(item.name, item.new_name)
        self._declared.append(item)

    def _check_declaration(self, name: str, new_name: str) -> None:
        self._check_unused()
        _checked(name)
        if new_name is not name:
            _checked(new_name)

    def _trash_directory(self) -> NewDirectory:
        if self._trash is None:
            self._trash = NewDirectory(STATE, names.trash(self.id), next_free=False)
        return self._trash

    def _check_unused(self) -> None:
        if self._is_used:
            raise InvalidOperation("This transaction was committed already; begin a new one.")


class _Run:
    """One commit: the plan and what has been done of it."""

    def __init__(
        self, transaction: Transaction, folders: OpenFolders, progress: Callable[[int, int], None] | None
    ) -> None:
        self.moves: list[Move] = []
        self._transaction = transaction
        self._filesystem = transaction._filesystem
        self._state = transaction._state
        self._folders = folders
        self._progress = progress
        self._pulses = 0
        self._parking = Parking(self._filesystem, self._state, transaction.id)
        self._carrier = Carrier(self._filesystem, folders, transaction._rounds, self._parking, self._pulse)
        self._failures: dict[int, OperationFailure] = {}
        self._refused: list[tuple[_Declared, OperationFailure]] = []
        self._made: list[AnnouncedDirectory] = []
        self._creates: list[Create] = []
        self._reserved: list[str] = []
        self._named: set[str] = set()  # of the reserved files, those that have their public name
        self._staged = count()
        self._journal_name = transaction.id + names.JOURNAL
        self._length_bytes = 0
        self._leftovers: tuple[str, ...] = ()

    # ---- plan: looks only -------------------------------------------------------------------------------------

    def plan(self) -> None:
        """Turn what was declared into moves with identities, in the order in which they are done.

        Raises InvalidOperation for double names and cycles; OSError when a folder cannot be read. Content of staged
        files is made durable here: their size and mtime belong to their identity.
        """
        self._folders.open_root(self._transaction._path)
        declared = self._transaction._declared
        seen = self._observe(declared)
        moves = self._resolve(declared, seen)
        self._check_names(moves)
        self.moves = self._in_order(moves)

    def _observe(self, declared: Sequence[_Declared]) -> dict[Folder, dict[str, Identity]]:
        """What stands under every name that matters; staged files are synced first and looked at closely."""
        wanted: dict[Folder, set[str]] = defaultdict(set)
        for item in declared:
            wanted[item.source].add(item.name)
            if isinstance(item.destination, Folder):
                wanted[item.destination].add(item.new_name)
        seen: dict[Folder, dict[str, Identity]] = defaultdict(dict)
        for folder, wanted_names in wanted.items():
            directory = self._folders.open(folder)
            seen[folder] = dict(observe(self._filesystem, directory, wanted_names))
            if folder.root == "state":
                for name in [name for name, identity in seen[folder].items() if identity.type == "file"]:
                    self._filesystem.sync_file(directory, name)
                    seen[folder].update(observe(self._filesystem, directory, [name]))
        return seen

    def _resolve(self, declared: Sequence[_Declared], seen: dict[Folder, dict[str, Identity]]) -> list[Move]:
        leaving: dict[Folder, set[str]] = defaultdict(set)
        moves = list(self._transaction._known)
        if any(isinstance(item.destination, Folder) for item in declared):
            for move in moves:
                leaving[move.source].add(move.source_name)
            for item in declared:
                leaving[item.source].add(item.name)
        taken: dict[Folder, set[str]] = defaultdict(set)
        for item in declared:
            source, name, asked, new_name, replaced, copy_on_failure = item
            identity = seen[source].get(name)
            if identity is None:
                self._refuse(item, FileNotFoundError(errno.ENOENT, "there is no such file", name))
                continue
            if isinstance(asked, NewDirectory):
                destination = asked.folder
                if asked is self._transaction._trash:
                    new_name = _take_name(new_name, taken[destination])
            else:
                destination = asked
                if identity.type == "directory":
                    raise InvalidOperation(
                        f"{printable(name)} is a directory: it can go only into a directory that the transaction makes"
                    )
                occupant = seen[destination].get(new_name)
                if occupant is not None and new_name not in leaving[destination]:
                    if replaced is None:
                        self._refuse(item, FileExistsError(errno.EEXIST, "the name is taken", item.place))
                        continue
                    kept = _folder_of(replaced)
                    kept_name = _take_name(new_name, taken[kept])
                    moves.append(Move(destination, new_name, kept, kept_name, occupant.inode, occupant.type))
            size = mtime_ns = None
            if source.root == "state":  # what lies in the directory is under people's hands and may grow
                size, mtime_ns = identity.size, identity.mtime_ns
            moves.append(
                Move(
                    source, name, destination, new_name, identity.inode, identity.type, size, mtime_ns, copy_on_failure
                )
            )
        return moves

    def _refuse(self, item: _Declared, error: OSError) -> None:
        if self._transaction._on_error == "rollback":
            raise error
        self._refused.append((item, _operation_failure(Failure(error, 1), copied=False)))

    def _check_names(self, moves: Sequence[Move]) -> None:
        """I2: no name is left or reached twice."""
        left: dict[Folder, set[str]] = defaultdict(set)
        reached: dict[Folder, set[str]] = defaultdict(set)
        for file in self._transaction._files:
            _add_once(reached[file.destination.folder], file.name)
        for move in moves:
            _add_once(left[move.source], move.source_name)
            _add_once(reached[move.destination], move.destination_name)

    def _in_order(self, moves: list[Move]) -> list[Move]:
        """Whoever leaves a name goes before whoever takes it; moves into one folder go together (one sync each).

        Within a folder by inode: neighbours share a block of the inode table, which saves 7 % of 50 000 moves on ext4.
        """
        moves = sorted(moves, key=attrgetter("inode"))
        destinations = dict.fromkeys(move.destination for move in moves)
        if len(destinations) < 2 and not any(move.source in destinations for move in moves):
            return moves
        leaves_for = {
            (move.source, move.source_name): move.destination for move in moves if move.source in destinations
        }
        needs: dict[Folder, set[Folder]] = {folder: set() for folder in destinations}
        for move in moves:
            first = leaves_for.get((move.destination, move.destination_name))
            if first is not None:
                needs[move.destination].add(first)
        try:
            order = {folder: position for position, folder in enumerate(TopologicalSorter(needs).static_order())}
        except CycleError:
            raise InvalidOperation(
                "A name is needed before it is free: a chain within one folder, or folders that need each other's "
                "names, take two transactions."
            ) from None
        return sorted(moves, key=lambda move: order[move.destination])

    # ---- do: from here on names change ------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the new directories, then the journal; when this returns, everything is announced and durable (I1)."""
        transaction = self._transaction
        new = list(transaction._directories)
        if transaction._trash is not None and any(m.destination == transaction._trash.folder for m in self.moves):
            new.append(transaction._trash)
        asked = {directory.folder: directory for directory in new}
        for directory in new:
            self._make(directory)
        final = {before: directory.folder for before, directory in asked.items()}
        self._rename_destinations(final)
        used = {folder for move in self.moves for folder in (move.source, move.destination)}
        used -= {DIRECTORY, STATE, *(made.folder for made in self._made)}
        header = Header(
            transaction=transaction.id,
            label=transaction._label,
            on_error=transaction._on_error,
            time=transaction._time.isoformat(),
            path=self._folders[DIRECTORY].path,
            inode=self._folders[DIRECTORY].inode,
            directories=(
                *self._made,
                *(self._announced(folder, made=False) for folder in sorted(used)),
            ),
            owner=Owner(pid=os.getpid(), host=socket.gethostname()),
        )
        self._creates = [self._create_record(file) for file in transaction._files]
        self._reserve()
        self._write_journal(header, [*self.moves, *self._creates])
        if any(made.root == "directory" for made in self._made):
            self._carrier.sync(DIRECTORY)
        self._take_names()

    def _reserve(self) -> None:
        """Reserve space, inode and entry for each file to be written, before the journal: a full disk fails here."""
        if self._transaction._files or any(move.type != "directory" for move in self.moves):
            self._parking.reserve()  # directories have one name at a time, which is renamed
        for file in self._transaction._files:
            staged = names.staged(self._transaction.id, next(self._staged))
            placeholder = f'{{"transaction": "{self._transaction.id}"}}\n'.encode()
            self._filesystem.reserve(self._state, staged, placeholder, max(file.size_bytes, len(placeholder)))
            self._filesystem.sync_file(self._state, staged)
            self._reserved.append(staged)

    def _take_names(self) -> None:
        """Give each reserved file its name while the directory that it goes into still has room for an entry.

        Where there are no hard links it is renamed once it is filled: a process that died would leave it torn.
        """
        for file, staged in zip(self._transaction._files, self._reserved, strict=True):
            folder = file.destination.folder
            try:
                self._filesystem.link(self._state, staged, self._folders[folder], file.name)
            except OSError as error:
                if error.errno not in NO_HARD_LINK:
                    raise
            else:
                self._named.add(staged)
                self._carrier.unsynced.add(folder)

    def _make(self, directory: NewDirectory) -> None:
        """Make a directory by exclusive mkdir: asking first whether the name is free would race."""
        parent = self._folders[directory.root]
        asked = directory.name
        for number in range(NEXT_FREE_LIMIT):
            directory.settle(f"{asked}_{number}" if number else asked)
            try:
                self._filesystem.make_directory(parent, directory.name, is_private=directory.root == STATE)
            except FileExistsError:
                if directory.next_free:
                    continue
                raise
            try:
                self._folders.open(directory.folder)
            except OSError:
                self._filesystem.remove_directory(parent, directory.name)  # nothing else knows that it is ours
                raise
            self._made.append(self._announced(directory.folder, made=True))
            return
        raise FileExistsError(errno.EEXIST, f"the name and {NEXT_FREE_LIMIT - 1} with a suffix are taken", asked)

    def _announced(self, folder: Folder, *, made: bool) -> AnnouncedDirectory:
        inode = self._folders.open(folder).inode
        return AnnouncedDirectory(root=folder.root, path=folder.path, inode=inode, made=made)

    def _rename_destinations(self, final: dict[Folder, Folder]) -> None:
        """Put the names that the new directories got in the place of those that were asked for."""
        if any(before != after for before, after in final.items()):
            self.moves = [
                move._replace(destination=final.get(move.destination, move.destination)) for move in self.moves
            ]

    def _create_record(self, file: _DeclaredFile) -> Create:
        text = file.if_kept(self._transaction.id, file.destination.name) if file.if_kept else None
        return Create(file.destination.folder, file.name, text)

    def _write_journal(self, header: Header, operations: Sequence[Operation]) -> None:
        new = self._transaction.id + names.NEW

        def counted() -> Iterator[bytes]:
            for chunk in encode_journal(header, operations):
                self._length_bytes += len(chunk)
                yield chunk

        self._filesystem.create(self._state, new, counted())
        self._filesystem.sync_file(self._state, new)
        self._filesystem.replace(self._state, new, self._state, self._journal_name)  # nobody else has that name
        self._carrier.sync(STATE)

    def carry_out(self) -> None:
        """Move, one destination folder after the other."""
        self._pulse(0)
        failed: list[FailedMove] = []
        for _, group in groupby(self.moves, key=lambda move: move.destination):
            failed += self._carrier.carry(list(group))
            if failed and self._transaction._on_error == "rollback":
                break
        if failed:
            index_of = {id(move): index for index, move in enumerate(self.moves)}
            for move, failure in failed:
                self._fail(index_of[id(move)], move, failure)

    def _fail(self, index: int, move: Move, failure: Failure) -> None:
        if self._transaction._on_error == "rollback":
            raise _OperationFailed(f"{printable(move.source_name)}: {failure.error}") from failure.error
        copied = False
        if move.copy_on_failure and move.type == "file":
            try:
                self._copy(move)
                copied = True
            except OSError as error:
                failure.error.add_note(f"it could not be copied either ({error.strerror or error})")
        self._failures[index] = _operation_failure(failure, copied=copied)

    def _copy(self, move: Move) -> None:
        """Copy a file that could not be moved; raises OSError, and then no copy is left at its destination."""
        staged = names.staged(self._transaction.id, next(self._staged))
        try:
            self._filesystem.copy(self._folders[move.source], move.source_name, self._state, staged)
        except OSError:
            self._filesystem.unlink(self._state, staged)  # half a copy fills the disk to no end
            raise
        # A failed sync undoes the whole transaction (I8): it is not caught with the errors of a single file.
        try:
            self._filesystem.sync_file(self._state, staged)
        except OSError as error:
            raise _SyncFailed(str(error)) from error
        place_staged(self._filesystem, self._folders, staged, move.destination, move.destination_name)
        self._carrier.unsynced.add(move.destination)

    def write_files(self, started: float) -> None:
        """Fill the reserved files, now that the outcome is known, then make durable what is not yet."""
        outcome = self.outcome(started)
        for file, staged in zip(self._transaction._files, self._reserved, strict=True):
            content = file.content(outcome)
            if self._transaction.id.encode() not in content:
                raise InvalidOperation(
                    f"{file.name}: its content must contain the transaction's id ({self._transaction.id})"
                )
            try:
                self._fill(file, staged, content)
            except OSError as error:
                raise _OperationFailed(f"{printable(file.name)}: {error}") from error
        for folder in sorted(self._carrier.unsynced):
            if folder.root == "directory" or folder.path in {made.path for made in self._made}:
                self._carrier.sync(folder)  # the caller's staging folders need none: its files have new names

    def _fill(self, file: _DeclaredFile, staged: str, content: bytes) -> None:
        """Write through the private name, which no other process can have put another file under."""
        folder = file.destination.folder
        self._filesystem.fill(self._state, staged, content)
        self._filesystem.sync_file(self._state, staged)
        if staged not in self._named:
            self._filesystem.rename(self._state, staged, self._folders[folder], file.name)
            self._carrier.unsynced.add(folder)
            return
        found, reserved = (
            self._filesystem.look(self._folders[folder], file.name),
            self._filesystem.look(self._state, staged),
        )
        if found is None or reserved is None or not found.is_same(reserved):
            raise FileExistsError(errno.EEXIST, "another process took its name", file.name)

    def write_commit_record(self) -> None:
        """Append `committed`; it counts once it is durable."""
        failed = tuple(
            FailedOperation(
                operation=index,
                error=failure.error,
                errno=failure.errno,
                attempts=failure.attempts,
                copied=failure.copied,
            )
            for index, failure in sorted(self._failures.items())
        )
        terminal = Committed(failed=failed)
        append_terminal(self._filesystem, self._state, self._journal_name, self._length_bytes, terminal)

    def make_commit_durable(self) -> None:
        """The commit point. A sync that fails says nothing about the record: the journal stays hot (I8)."""
        try:
            self._filesystem.sync_file(self._state, self._journal_name)
        except OSError as error:
            raise OutcomeUnknown(os.path.join(self._state.path, self._journal_name), error) from error

    def clean_up(self) -> None:
        """After the commit: purge the trash and forget the journal; what cannot go is finished by a recovery.

        Whatever fails here, the transaction is committed.
        """
        transaction = self._transaction.id
        try:
            owned = owned_by(self._filesystem, self._state, transaction)
            _, self._leftovers = purge(self._filesystem, self._state, owned)
            self._filesystem.unlink(self._state, self._journal_name)
        except OSError as error:
            self._leftovers += (f"{self._journal_name}: {error}",)

    def give_up(self, error: BaseException) -> None:
        """Roll back. Returns only if the commit record turns out to be complete after all; else raises."""
        try:
            report = recover(self._filesystem, self._transaction._path, self._state, self._transaction._rounds)
        except JournalError as incomplete:
            if isinstance(error, Exception):
                self._remove_unannounced(incomplete)
                raise incomplete from error
            error.add_note(str(incomplete))  # an exit goes on as what it is; the journal stays hot
            self._remove_unannounced(error)
            raise error from incomplete
        self._remove_unannounced(error)
        if any(journal.action == "finished" for journal in report.journals) and isinstance(error, OSError):
            return
        self._raise(error, report)

    def _remove_unannounced(self, error: BaseException) -> None:
        """Remove the empty directories made for a journal that never came to be; else the error tells of them."""
        for made in self._made:
            parent = self._folders[Folder(made.root)]
            try:
                found = self._filesystem.look(parent, made.path)
                if found is not None and found.inode == made.inode:
                    self._filesystem.remove_directory(parent, made.path)
            except OSError as remaining:
                error.add_note(f"The directory {printable(made.path)} was made for this and stays: {remaining}")

    def _raise(self, error: BaseException, report: RecoveryReport) -> NoReturn:
        conflicts = [conflict for journal in report.journals for conflict in journal.conflicts]
        if isinstance(error, (OSError, _OperationFailed, _SyncFailed, ReturnFailed)):
            raise TransactionFailed(self._transaction._label, str(error), conflicts) from (error.__cause__ or error)
        raise error

    # ---- what the caller learns -------------------------------------------------------------------------------

    def outcome(self, started: float) -> Outcome:
        """What has been done so far."""
        return Outcome(
            transaction=self._transaction.id,
            label=self._transaction._label,
            retries=self._transaction._rounds.retries,
            seconds=self._transaction._clock() - started,
            leftovers=self._leftovers,
            notes=tuple(self._parking.notes),
            _moved_bytes=self._carrier.moved_bytes,
            _moves=self.moves,
            _creates=self._creates,
            _failures=self._failures,
            _refused=self._refused,
        )

    def _pulse(self, moved: int) -> None:
        """Every move is seen twice, when it is linked and when its old name goes."""
        self._pulses += moved
        if self._progress is not None:
            self._progress(self._pulses // 2, len(self.moves))


def _operation_failure(failure: Failure, *, copied: bool) -> OperationFailure:
    error = failure.error
    text = "; ".join([error.strerror or str(error), *getattr(error, "__notes__", ())])
    return OperationFailure(text, error.errno, failure.attempts, copied)


def _folder_of(destination: Folder | NewDirectory) -> Folder:
    return destination.folder if isinstance(destination, NewDirectory) else destination


def _add_once(places: set[str], name: str) -> None:
    if name in places:
        raise InvalidOperation(f"{printable(name)} is named by two operations.")
    places.add(name)


def _take_name(name: str, taken: set[str]) -> str:
    """`name`, or a number where it is taken: a suffix could make it too long."""
    if name in taken:
        name = next(str(number) for number in count(1) if str(number) not in taken)
    taken.add(name)
    return name


def _checked(name: str) -> str:
    if not is_name(name):
        raise InvalidOperation(f"{printable(name)!r} is not the name of a directory entry.")
    return name
