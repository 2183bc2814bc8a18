"""Transactions as their callers see them: operations are declared first and carried out by `commit`.

All of them take effect or, after any crash before the commit record, none does. The caller holds the directory's lock;
`LockedDirectory.transaction` makes sure of that.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

from journal import names
from journal.commit import Commit
from journal.declaration import Declaration, DeclaredFile, DeclaredMove, require_name
from journal.errors import InvalidOperation
from journal.filesystem import Directory, Filesystem
from journal.folders import OpenFolders
from journal.outcome import NewDirectory, Outcome
from journal.recovery import recover
from journal.retry import RetryLimits, Rounds
from journal.values import DIRECTORY, STATE, Folder, Identity, Move, Policy, is_spelled_once, printable

RESERVED_BYTES = 4096
"""Disk space that is reserved for a created file whose caller does not give its largest size."""


class Transaction:
    """Declare operations, then `commit` once. Nothing is on the disk before `commit`.

    With `on_error="continue"` an operation that fails is reported and the others go on; with "rollback" the first
    permanent failure undoes everything. `id` names the transaction in its journal and in reports.

    Every method that declares an operation raises InvalidOperation for a name that no directory entry can have, and
    after `commit`.
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
        begun_at = now()
        self.id: str = f"{begun_at:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
        self._filesystem = filesystem
        self._path = path
        self._state = state
        self._rounds = Rounds(limits, sleep=sleep, clock=clock)
        self._clock = clock
        trash = NewDirectory(STATE, names.trash(self.id), next_free=False)
        self._declaration = Declaration(self.id, label, on_error, begun_at, trash)
        self._is_used = False

    def make_directory(self, name: str, *, root: Folder = DIRECTORY, next_free: bool = False) -> NewDirectory:
        """Make a directory in the locked directory or, with `root=STATE`, in the state directory.

        If the name is taken at the time of `commit`, the transaction fails or, with `next_free`, the directory becomes
        `name_1`, `name_2` and so on. Returns the directory, as a destination for other operations. Raises
        InvalidOperation if this transaction makes the name already.
        """
        if root not in (DIRECTORY, STATE):
            raise InvalidOperation("A transaction makes directories in the directory or in its state directory only.")
        directory = NewDirectory(root, require_name(name), next_free=next_free)
        if any(existing.folder == directory.folder for existing in self._declaration.directories):
            raise InvalidOperation(f"{printable(name)} is made already: use the directory that was returned then.")
        self._declaration.directories.append(directory)
        return directory

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
        """Move an entry from `source` to `destination`, under the same name unless `new_name` is given.

        The move fails if the new name is taken, unless another operation of this transaction moves that file away.
        A directory can be moved only into a directory that the transaction makes.

        `copy_on_failure` leaves a copy at the destination if a regular file cannot be moved; the file itself stays.
        `seen` is the identity that a scan under this lock saw under the name; it saves a second look.
        """
        new_name = new_name or name
        # A staged file is inspected once its content is durable, an existing folder for a file that has the name there.
        if seen is None or source.root == "state" or not isinstance(destination, NewDirectory):
            self._declare(DeclaredMove(source, name, destination, new_name, None, copy_on_failure))
            return
        self._check_names(name, new_name)
        move = Move(source, name, destination.folder, new_name, seen.inode, seen.type, None, None, copy_on_failure)
        self._declaration.identified.append(move)

    def publish(
        self,
        name: str,
        *,
        source: Folder,
        destination: Folder | NewDirectory = DIRECTORY,
        new_name: str | None = None,
        replaced: Folder | NewDirectory | None = None,
    ) -> None:
        """Move a file in from `source`; a file that has its name goes to the folder `replaced` first.

        Without `replaced` that file is deleted after the commit.
        """
        replaced = replaced or self._declaration.trash
        self._declare(DeclaredMove(source, name, destination, new_name or name, replaced))

    def delete(self, name: str, *, source: Folder = DIRECTORY) -> None:
        """Move an entry, or a whole directory, into the trash, which is purged after the commit."""
        self._declare(DeclaredMove(source, name, self._declaration.trash, name))

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

        `content` is called with the outcome so far and returns the bytes. They must contain the transaction's id
        (`Outcome.transaction`), by which recovery identifies the file.

        `size_bytes` is the largest size of the content. The name is taken and this space reserved before anything
        moves, so a transaction never commits without the file. Until it is filled it consists of
        `{"transaction": "<id>"}` and blanks.

        `if_kept(transaction, directory name)` returns the text to write instead if a recovery has to keep the
        directory, because another process changed files meanwhile.
        """
        self._check_unused()
        if destination not in self._declaration.directories:
            raise InvalidOperation(f"{printable(name)}: files are created only in directories the transaction makes")
        self._declaration.files.append(DeclaredFile(destination, require_name(name), content, if_kept, size_bytes))

    def commit(self, progress: Callable[[int, int], None] | None = None) -> Outcome:
        """Carry out everything that was declared, and return its outcome once it is durable.

        A hot journal of an earlier owner is recovered first. `progress(done, total)` is called now and then with
        numbers of moves; an exception that it raises cancels the transaction.

        Raises TransactionFailed (everything is as before), RollbackIncomplete or OutcomeUnknown (recover later),
        InvalidOperation (correct the call), and NeedsAttention for an earlier journal. KeyboardInterrupt and other
        exits roll back and propagate; after the commit record was written, they leave the rest to the next recovery.
        """
        self._check_unused()
        self._is_used = True
        recover(self._filesystem, self._path, self._state, self._rounds)
        with OpenFolders(self._filesystem, self._state) as folders:
            commit = Commit(
                self._declaration, self._filesystem, self._path, folders, self._rounds, self._clock, progress
            )
            return commit.run()

    def _declare(self, move: DeclaredMove) -> None:
        self._check_names(move.name, move.new_name)
        self._declaration.moves.append(move)

    def _check_names(self, name: str, new_name: str) -> None:
        self._check_unused()
        require_name(name)
        if new_name is not name:
            require_name(new_name)

    def _check_unused(self) -> None:
        if self._is_used:
            raise InvalidOperation("This transaction was committed already; begin a new one.")
