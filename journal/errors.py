"""Errors, split by the caller's next action.

JournalError
  InvalidOperation      correct the call; nothing was changed
  DirectoryMissing      create the directory, or correct its path; nothing was changed
  StateUnusable         correct permissions or mounts of the state directory; nothing was changed
  DirectoryBusy         wait, or report the process that holds it
  TransactionFailed     everything is as before; fix the cause, then start again
  OutcomeUnknown        stop; recovery decides whether the transaction took effect
  RollbackIncomplete    fix the cause, then recover again; nothing was deleted
  NeedsAttention        an operator must inspect the journal; later transactions are not blocked
    JournalDamaged      a line of the journal is not what was written
    JournalUnsupported  the journal was written by another version of this package
    DirectoryReplaced   the journal names a directory that no longer exists
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

from journal.values import Holder, printable


class JournalError(Exception):
    """The base class of all errors of this package; never raised itself."""


class InvalidOperation(JournalError, ValueError):
    """The call asks for a change that no transaction makes; nothing was changed."""


class DirectoryMissing(JournalError):
    """The path is not a directory, or its last part is a symbolic link to one; nothing was changed."""

    def __init__(self, path: str) -> None:
        if os.path.islink(path):
            message = f"{printable(path)} is a symbolic link, which is not followed: name the directory itself."
        else:
            message = f"{printable(path)} is not a directory: create it first, or correct the path."
        super().__init__(message)
        self.path: str = path


class StateUnusable(JournalError):
    """The state directory cannot serve this directory; nothing was changed. `path` is the state directory."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"The state directory {printable(path)} cannot be used: {reason}")
        self.path: str = path


class DirectoryBusy(JournalError):
    """Another process, or another object in this one, holds the directory's lock.

    `lock_path` is the lock file, `waited_seconds` how long this call waited, `holder` the content of the holder's note,
    None if it cannot be read.
    """

    def __init__(self, lock_path: str, waited_seconds: float, holder: Holder | None) -> None:
        super().__init__(
            f"{printable(lock_path)} is held by {holder or 'another process'}; waited {waited_seconds:.1f} s. "
            "Try again when it has ended."
        )
        self.lock_path: str = lock_path
        self.waited_seconds: float = waited_seconds
        self.holder: Holder | None = holder


class TransactionFailed(JournalError):
    """The transaction was rolled back: every name is where it was.

    `label` is the transaction's label. `conflicts` names the files that the rollback left alone, because another
    process had changed them meanwhile.
    """

    def __init__(self, label: str, reason: str, conflicts: Sequence[str] = ()) -> None:
        message = f"Transaction {label!r} was rolled back: {reason}"
        if conflicts:
            message += f" Changed by another process meanwhile, so left as found: {', '.join(conflicts)}."
        super().__init__(message)
        self.label: str = label
        self.conflicts: tuple[str, ...] = tuple(conflicts)


class OutcomeUnknown(JournalError):
    """The last record was written but could not be made durable; the journal `journal_path` stays hot."""

    def __init__(self, journal_path: str, error: OSError) -> None:
        super().__init__(
            f"{printable(journal_path)}: its last record could not be made durable ({error}). "
            "Repair the disk, then recover: the journal shows whether the transaction took effect."
        )
        self.journal_path: str = journal_path


class RollbackIncomplete(JournalError):
    """Some files could not be moved back; the journal and all files stay.

    `journal_path` is the journal, `kept` the new places of the files that were not moved back, `errors` the reasons.
    """

    def __init__(self, journal_path: str, kept: Sequence[str], errors: Sequence[str]) -> None:
        where = f" Still in their new place: {', '.join(kept)}." if kept else ""
        super().__init__(
            f"{printable(journal_path)} could not be recovered: {'; '.join(errors)}.{where} "
            "Fix the cause, then recover again; nothing was deleted."
        )
        self.journal_path: str = journal_path
        self.kept: tuple[str, ...] = tuple(kept)
        self.errors: tuple[str, ...] = tuple(errors)


class NeedsAttention(JournalError):
    """Recovery touched nothing and set the journal aside as `set_aside`, for an operator to inspect.

    `set_aside` is None where the journal was only read, as by `inspect_directory`.
    """

    set_aside: str | None = None

    def __str__(self) -> str:
        message = super().__str__()
        if self.set_aside is None:
            return message
        return f"{message} Nothing was touched; the journal is kept as {printable(self.set_aside)}."


class BadLine(NeedsAttention):
    """A line of the journal `path` cannot be read; `line` counts from 1, `reason` is the fault without its place.

    Raised as JournalDamaged or JournalUnsupported.
    """

    advice: ClassVar[str] = ""

    def __init__(self, path: str, line: int, reason: str) -> None:
        super().__init__(f"{printable(path)}, line {line}: {reason}.{self.advice}")
        self.path: str = path
        self.line: int = line
        self.reason: str = reason


class JournalDamaged(BadLine):
    """A line of a journal is not what was written."""


class JournalUnsupported(BadLine):
    """A line of a journal was written by another version of this package."""

    advice = " Recover with the version that wrote it."


class DirectoryReplaced(NeedsAttention):
    """The announced directory `path` is missing, or was copied and does not prove how far each move got.

    `inode` is its announced inode number.
    """

    def __init__(self, path: str, inode: int) -> None:
        super().__init__(f"{printable(path)} is no longer the directory (inode {inode}) that the journal names.")
        self.path: str = path
        self.inode: int = inode
