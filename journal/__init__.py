"""Move many files as one crash-safe operation: transactions with a rollback journal, under a directory lock.

Whatever happens (a full disk, a file without permission, kill -9, a power failure), no byte that existed is lost and
nothing is overwritten; the next owner of the lock finds either the old state or the new one.

    with lock_directory("inbox", label="archive") as directory:
        transaction = directory.transaction("archive", on_error="continue")
        archive = transaction.make_directory("archive_2025", next_free=True)
        transaction.move("letter.eml", archive)
        outcome = transaction.commit()

Contract and order of steps: docs/journal.md; the file format: docs/journal-format.md.
"""

from journal.directory import LockedDirectory, lock_directory, recover_all, state_directory_of
from journal.errors import (
    DirectoryBusy,
    DirectoryMissing,
    DirectoryReplaced,
    InvalidOperation,
    JournalDamaged,
    JournalError,
    JournalUnsupported,
    NeedsAttention,
    OutcomeUnknown,
    RollbackIncomplete,
    StateUnusable,
    TransactionFailed,
)
from journal.filesystem import Filesystem, LocalFilesystem
from journal.inspection import Inspection, inspect_all, inspect_directory
from journal.lock import FileLock, Lock
from journal.outcome import NewDirectory, OperationFailure, OperationResult, Outcome
from journal.reports import JournalReport, RecoveryReport
from journal.retry import RetryLimits
from journal.transaction import Transaction
from journal.values import DIRECTORY, STATE, Folder, Holder, Identity, printable

__version__ = "0.2.0"

__all__ = [
    "DIRECTORY",
    "STATE",
    "DirectoryBusy",
    "DirectoryMissing",
    "DirectoryReplaced",
    "FileLock",
    "Filesystem",
    "Folder",
    "Holder",
    "Identity",
    "Inspection",
    "InvalidOperation",
    "JournalDamaged",
    "JournalError",
    "JournalReport",
    "JournalUnsupported",
    "LocalFilesystem",
    "Lock",
    "LockedDirectory",
    "NeedsAttention",
    "NewDirectory",
    "OperationFailure",
    "OperationResult",
    "Outcome",
    "OutcomeUnknown",
    "RecoveryReport",
    "RetryLimits",
    "RollbackIncomplete",
    "StateUnusable",
    "Transaction",
    "TransactionFailed",
    "inspect_all",
    "inspect_directory",
    "lock_directory",
    "printable",
    "recover_all",
    "state_directory_of",
]
