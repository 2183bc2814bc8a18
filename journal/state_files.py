"""The files of transactions in a state directory: list journals, find leftovers, purge, place, end a journal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from journal import names
from journal.filesystem import NO_HARD_LINK, Directory, Filesystem
from journal.folders import OpenFolders
from journal.records import Terminal, encode_terminal
from journal.values import STATE, Folder


class JournalName(NamedTuple):
    """The file name of a journal, in its two parts."""

    transaction: str
    suffix: str

    @property
    def name(self) -> str:
        """The whole name."""
        return self.transaction + self.suffix

    @property
    def is_set_aside(self) -> bool:
        """True if the journal waits for an operator."""
        return self.suffix in (names.DAMAGED, names.CONFLICT)


def list_journals(filesystem: Filesystem, state: Directory) -> list[JournalName]:
    """List every journal in a state directory, newest first, those set aside included."""
    return _journals_among(name for name, _ in filesystem.scan(state))


def list_owned(filesystem: Filesystem, state: Directory, transaction: str) -> list[str]:
    """List the names of the trash, the staged and the parked files of one transaction."""
    return sorted(name for name, _ in filesystem.scan(state) if names.owner_of(name) == transaction)


def list_unowned(filesystem: Filesystem, state: Directory) -> list[str]:
    """List the names of trash, staged and parked files that belong to no journal."""
    entries = [name for name, _ in filesystem.scan(state)]
    owners = {journal.transaction for journal in _journals_among(entries)}
    return sorted(name for name in entries if names.owner_of(name) not in (None, *owners))


def purge(filesystem: Filesystem, state: Directory, unwanted: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Remove entries of the state directory; return the removed names, and the remaining ones with the reason."""
    removed, leftovers = [], []
    for name in unwanted:
        try:
            filesystem.remove_tree(state, name)
            removed.append(name)
        except OSError as error:
            leftovers.append(f"{name}: {error}")
    return tuple(removed), tuple(leftovers)


def place_staged(filesystem: Filesystem, folders: OpenFolders, staged: str, folder: Folder, name: str) -> None:
    """Give a synced staged file its place; its staged name is purged with the transaction."""
    try:
        filesystem.link(folders[STATE], staged, folders[folder], name)
    except OSError as error:
        if error.errno not in NO_HARD_LINK:
            raise
        filesystem.rename(folders[STATE], staged, folders[folder], name)


def append_terminal(filesystem: Filesystem, state: Directory, name: str, length_bytes: int, terminal: Terminal) -> None:
    """Write the last record after the last good line; it counts once the journal is synced.

    Everything after that line is cut off first, because a torn record would join with this one.
    """
    filesystem.write_at(state, name, length_bytes, encode_terminal(terminal), truncate=True)


def _journals_among(entries: Iterable[str]) -> list[JournalName]:
    return sorted((JournalName(*parts) for parts in map(names.journal_of, entries) if parts), reverse=True)
