"""Errors, split by what the caller does next.

JournalError
  InvalidOperation      mend the call; nothing was changed
  DirectoryMissing      make the directory, or mend its name; nothing was changed
  StateUnusable         mend permissions or mounts of the state directory; nothing was changed
  DirectoryBusy         wait, or tell the user who holds it
  TransactionFailed     everything is as before; mend the cause, then start again
  OutcomeUnknown        stop; recover decides whether the transaction took effect
  RollbackIncomplete    mend the cause, then recover again; nothing was deleted
  NeedsAttention        a person must look; later transactions are not blocked
    JournalDamaged      a line of the journal is not what was written
    JournalUnsupported  written by a newer version of this package
    DirectoryReplaced   the journal speaks of a directory that is no longer there
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from journal.lock import Holder


def printable(name: str) -> str:
    """Return a name as valid text for people: each byte that is not UTF-8 becomes an escape of four characters."""
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        raw = name.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


class JournalError(Exception):
    """The root of all errors of this package; never raised itself."""


class InvalidOperation(JournalError, ValueError):
    """The call asks for something that no transaction does; nothing was changed."""


class DirectoryMissing(JournalError):
    """The path is not a directory, or leads to one by a symbolic link in its last part; nothing was changed."""

    def __init__(self, path: str) -> None:
        if os.path.islink(path):
            message = f"{printable(path)} is a symbolic link, which is not followed: name the directory itself."
        else:
            message = f"{printable(path)} is not a directory: create it first, or correct the path."
        super().__init__(message)
        self.path = path


class StateUnusable(JournalError):
    """The state directory cannot serve this directory; nothing was changed."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"The state directory {printable(path)} cannot be used: {reason}")
        self.path = path


class DirectoryBusy(JournalError):
    """Someone else holds the directory's lock.

    `waited_seconds` is how long this call waited, `holder` who it was, as far as the holder's note tells.
    """

    def __init__(self, lock_path: str, waited_seconds: float, holder: Holder | None) -> None:
        who = str(holder) if holder else "another process"
        super().__init__(
            f"{printable(lock_path)} is held by {who}; waited {waited_seconds:.1f} s. Try again when it has ended."
        )
        self.lock_path = lock_path
        self.waited_seconds = waited_seconds
        self.holder = holder


class TransactionFailed(JournalError):
    """The transaction was rolled back: every name is where it was.

    `conflicts` names what the rollback left alone because somebody else had changed it meanwhile.
    """

    def __init__(self, label: str, reason: str, conflicts: Sequence[str] = ()) -> None:
        message = f"Transaction {label!r} was rolled back: {reason}"
        if conflicts:
            message += f" Left as found, changed by somebody else meanwhile: {', '.join(conflicts)}."
        super().__init__(message)
        self.label = label
        self.conflicts = tuple(conflicts)


class OutcomeUnknown(JournalError):
    """The last record was written but could not be made durable; the journal stays hot."""

    def __init__(self, journal_path: str, error: OSError) -> None:
        super().__init__(
            f"{printable(journal_path)}: its last record could not be made durable ({error}). "
            "Mend the disk, then recover: the journal says whether the transaction took effect."
        )
        self.journal_path = journal_path


class RollbackIncomplete(JournalError):
    """Some files could not be moved back; `kept` names where they are. Journal and files stay."""

    def __init__(self, journal_path: str, kept: Sequence[str], errors: Sequence[str]) -> None:
        where = f" Still in their new place: {', '.join(kept)}." if kept else ""
        super().__init__(
            f"{printable(journal_path)} could not be recovered: {'; '.join(errors)}.{where} "
            "Mend the cause, then recover again; nothing was deleted."
        )
        self.journal_path = journal_path
        self.kept = tuple(kept)
        self.errors = tuple(errors)


class NeedsAttention(JournalError):
    """Nothing was touched; the journal was set aside as `set_aside` for a person to read."""

    set_aside: str | None = None

    def __str__(self) -> str:
        message = super().__str__()
        if self.set_aside is None:
            return message
        return f"{message} Nothing was touched; the journal is kept as {printable(self.set_aside)}."


class JournalDamaged(NeedsAttention):
    """A line of a journal is not what was written; `line` counts from 1."""

    def __init__(self, path: str, line: int, reason: str) -> None:
        super().__init__(f"{printable(path)}, line {line}: {reason}.")
        self.path = path
        self.line = line
        self.reason = reason


class JournalUnsupported(NeedsAttention):
    """A journal holds what this version cannot read; `line` counts from 1."""

    def __init__(self, path: str, line: int, reason: str) -> None:
        super().__init__(f"{printable(path)}, line {line}: {reason}. Recover with the version that wrote it.")
        self.path = path
        self.line = line
        self.reason = reason


class DirectoryReplaced(NeedsAttention):
    """The announced directory is gone, or was copied and its names and bytes do not prove how far each move got."""

    def __init__(self, path: str, inode: int) -> None:
        super().__init__(f"{printable(path)} is no longer the directory (inode {inode}) that the journal speaks of.")
        self.path = path
        self.inode = inode
