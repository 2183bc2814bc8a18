"""Remove a name without ever deleting another process's file.

Between a look at a name and its unlink, an editor may save another file over it, and the unlink would delete that file
for good. So a public name is never unlinked. It is renamed, whatever it stands for by then, onto one private name in
the state directory, the parking place, and looked at there. If it is the expected file, it stays until the next rename
replaces it: that file has its other name, so the replacing loses nothing. If it is another file, it goes back.

One rename onto a name that exists costs little more than an unlink; a trash directory, with one entry a file to add
and to remove, would cost twice as much.
"""

from __future__ import annotations

import contextlib
from itertools import count

from journal import names
from journal.errors import printable
from journal.filesystem import Directory, Filesystem
from journal.records import Identity, Move


class ReturnFailed(Exception):
    """A file of another process is in the parking place and cannot be renamed back; the cause is the OSError."""


class Parking:
    """The parking place of one transaction, or of one recovery of it, in the state directory.

    `notes` names each file that could not get its old name back because that was taken again, and its new name.
    """

    def __init__(self, filesystem: Filesystem, state: Directory, transaction: str, number: int = 0) -> None:
        self.notes: list[str] = []
        self._filesystem = filesystem
        self._state = state
        self._transaction = transaction
        self._place = names.parked(transaction, number)
        self._parked: Identity | None = None

    def reserve(self) -> None:
        """Take the parking place with an empty file: a full disk may have no room for one more entry later."""
        with contextlib.suppress(FileExistsError):  # an earlier recovery was cut here
            self._filesystem.create(self._state, self._place, [])
        self._parked = self._filesystem.look(self._state, self._place)

    def remove(self, directory: Directory, name: str, expected: Identity | Move) -> Identity | None:
        """Remove `name` if it stands for the expected file; returns what was removed, with its size in bytes.

        Returns None when the name is free or stands for another file, which then has it still. The caller knows that
        the expected file has another name. Raises OSError, and then the name is as it was; ReturnFailed when it is not.
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
            found = self._filesystem.look(self._state, self._place)
        except OSError as error:
            self._give_back(directory, name)
            raise error from None
        if found is not None and found.is_same(expected):
            self._parked = found
            return found
        self._give_back(directory, name)
        return None

    def _has_arrived(self) -> bool:
        """Whether a rename that reported an error was made all the same, as over a network."""
        found = self._filesystem.look(self._state, self._place)
        return found is not None and (self._parked is None or not found.is_same(self._parked))

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
