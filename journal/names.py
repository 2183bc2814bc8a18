"""All names that this package makes in a state directory; opens no file.

    <parent>/.journal/<directory>/          the state directory of <parent>/<directory>
        lock                                locked by the process that changes the directory
        holder                              a note about that process, for messages only
        ready                               the state directory is durable; the abilities of its file system
        .journal-probe                      the file with which these were tried
        <transaction>.journal.new           being written: nothing has moved yet
        <transaction>.journal               hot if its owner is dead
        <transaction>.damaged, .conflict    set aside for an operator, never touched again
        staged-<transaction>-<number>       a file being written by a transaction
        parked-<transaction>-<number>       the last file whose old name was removed; it has another name
        copied-<transaction>                the home was copied; names and bytes have proved how far each move got
        trash-<transaction>/                the entries that a transaction deleted, purged after its commit

All other names there belong to the caller (work-<run>/, kept-<run>/) and are never swept.
"""

import re

STATE_ROOT = ".journal"
LOCK = "lock"
HOLDER = "holder"
READY = "ready"
PROBE = ".journal-probe"
PROBE_LINK = ".journal-probe-link"

NEW = ".journal.new"
JOURNAL = ".journal"
DAMAGED = ".damaged"
CONFLICT = ".conflict"
SUFFIXES = (NEW, JOURNAL, DAMAGED, CONFLICT)

TRANSACTION_PATTERN = r"[0-9]{8}T[0-9]{12}-[0-9a-f]{8}"
_OWNED = re.compile(rf"(?:(?:trash|copied)-({TRANSACTION_PATTERN})|(?:staged|parked)-({TRANSACTION_PATTERN})-[0-9]+)")
_PARKED = re.compile(rf"parked-{TRANSACTION_PATTERN}-([0-9]+)")
_JOURNAL = re.compile(rf"({TRANSACTION_PATTERN})({'|'.join(re.escape(suffix) for suffix in SUFFIXES)})")


def trash(transaction: str) -> str:
    """Return the name of the directory for the entries that `transaction` deletes."""
    return f"trash-{transaction}"


def copied(transaction: str) -> str:
    """Return the name of the empty file that marks that `transaction` is being undone in a copy of its home."""
    return f"copied-{transaction}"


def staged(transaction: str, number: int) -> str:
    """Return the name of the `number`-th file that `transaction` writes itself."""
    return f"staged-{transaction}-{number}"


def parked(transaction: str, number: int) -> str:
    """Return the name of the `number`-th parking place of `transaction`."""
    return f"parked-{transaction}-{number}"


def parking_number_of(name: str) -> int | None:
    """Return the number of a parking place, None for any other name."""
    match = _PARKED.fullmatch(name)
    return int(match[1]) if match else None


def journal_of(name: str) -> tuple[str, str] | None:
    """Split a journal's file name into transaction and suffix; return None for any other name."""
    match = _JOURNAL.fullmatch(name)
    return (match[1], match[2]) if match else None


def owner_of(name: str) -> str | None:
    """Return the transaction that made a trash directory, a staged or a parked file, None for any other name."""
    match = _OWNED.fullmatch(name)
    return (match[1] or match[2]) if match else None
