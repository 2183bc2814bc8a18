"""Every name that this package makes in a state directory; opens no file.

    <parent>/.journal/<directory>/          the state directory of <parent>/<directory>
        lock                                locked by whoever changes the directory
        holder                              who that is, for messages only
        ready                               the state directory is durable; what its file system can do
        .journal-probe                      the file that showed it
        <transaction>.journal.new           being written: nothing has moved yet
        <transaction>.journal               hot when its owner is gone
        <transaction>.damaged, .conflict    set aside for a person, never touched again
        staged-<transaction>-<number>       a file being written by a transaction
        parked-<transaction>-<number>       the last file whose old name was removed; it has another name
        copied-<transaction>                the home was copied, and names and bytes have proved how far it got
        trash-<transaction>/                the entries that a transaction deleted, purged after its commit

Every other name there belongs to the caller (work-<run>/, kept-<run>/) and is never swept.
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
    """The name of the directory that takes what `transaction` deletes."""
    return f"trash-{transaction}"


def copied(transaction: str) -> str:
    """The name of the empty file that says that `transaction` is being undone in a copy of its home."""
    return f"copied-{transaction}"


def staged(transaction: str, number: int) -> str:
    """The name of the `number`-th file that `transaction` writes itself."""
    return f"staged-{transaction}-{number}"


def parked(transaction: str, number: int) -> str:
    """The name of the `number`-th parking place of `transaction`."""
    return f"parked-{transaction}-{number}"


def parking_number_of(name: str) -> int | None:
    """The number of a parking place; None for any other name."""
    match = _PARKED.fullmatch(name)
    return int(match[1]) if match else None


def journal_of(name: str) -> tuple[str, str] | None:
    """Split a journal's file name into transaction and suffix; None for any other name."""
    match = _JOURNAL.fullmatch(name)
    return (match[1], match[2]) if match else None


def owner_of(name: str) -> str | None:
    """The transaction that made a trash directory, a staged or a parked file; None for any other name."""
    match = _OWNED.fullmatch(name)
    return (match[1] or match[2]) if match else None
