"""Remove a name without ever deleting another process's file.

Between a look at a name and its unlink, an editor may save another file over it, and the unlink would delete that file
for good. So a public name is never unlinked. It is renamed, whatever file has it by then, onto one private name in
the state directory, the parking place, and that file is checked there. The expected file stays until the next rename
replaces it: it has its other name, so nothing is lost. Any other file gets its name back.

One rename onto a name that exists costs little more than an unlink; a trash directory, with one entry a file to add
and to remove, would cost twice as much.
"""

from __future__ import annotations

import contextlib
from itertools import count

from journal import names
from journal.filesystem import Directory, Filesystem
from journal.values import Identity, Move, printable


class ReturnFailed(Exception):
    """A file of another process is in the parking place and cannot be renamed back; the cause is the OSError."""


class Parking:
    """The parking place of one transaction, or of one recovery of it, in the state directory.

    `notes` names each file that could not get its old name back, because another file had taken it, and its new name.
    """

    def __init__(self, filesystem: Filesystem, state: Directory, transaction: str, number: int = 0) -> None:
        self.notes: list[str] = []
        self._filesystem = filesystem
        self._state = state
        self._transaction = transaction
        self._place = names.parked(transaction, number)
        self._parked: Identity | None = None

    def reserve(self) -> None:
        """Take the parking place with an empty file, because a full disk may have no room for an entry later."""
        with contextlib.suppress(FileExistsError):  # an earlier recovery was interrupted here
            self._filesystem.create(self._state, self._place, [])
        self._parked = self._filesystem.look(self._state, self._place)

    def remove(self, directory: Directory, name: str, expected: Identity | Move) -> Identity | None:
        """Remove `name` if it is the expected file's; return the removed file, with its size in bytes.

        Returns None if the name is free or another file's, which keeps it. The caller guarantees that the expected file
        has another name. Raises OSError, and then the name is as it was; ReturnFailed when it is not.
        """
        if self._parked is not None and self._parked.is_same(expected):
            self.clear()  # a rename between two names of one file would do nothing
        try:
            self._filesystem.replace(directory, name, self._state, self._place)
        except FileNotFoundError:
            return None
        except OSError:
            if not self._has_arrived():
                raise
        try:
            removed = self._filesystem.look(self._state, self._place)
        except OSError as error:
            self._give_back(directory, name)
            raise error from None
        if removed is not None and removed.is_same(expected):
            self._parked = removed
            return removed
        self._give_back(directory, name)
        return None

    def _has_arrived(self) -> bool:
        """True if a rename took place although it reported an error, as over a network."""
        occupant = self._filesystem.look(self._state, self._place)
        return occupant is not None and (self._parked is None or not occupant.is_same(self._parked))

    def clear(self) -> None:
        """Empty the parking place."""
        self._filesystem.unlink(self._state, self._place)
        self._parked = None

    def _give_back(self, directory: Directory, name: str) -> None:
        self._parked = None
        numbers = count(1)
        new_name = name
        while True:
            try:
                self._filesystem.rename(self._state, self._place, directory, new_name)
                break
            except FileExistsError:
                new_name = f"saved-{self._transaction}-{next(numbers)}"
            except OSError as error:
                raise ReturnFailed(f"{printable(name)}: {error}") from error
        if new_name != name:
            self.notes.append(
                f"{printable(name)} was saved twice by another process while it was moved: "
                f"the first of the two files is now {new_name}"
            )
