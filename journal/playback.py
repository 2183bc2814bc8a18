"""Plan what to undo, and in which order, from the records and the files that are there now; opens no file.

The plan goes newest first over a view that each planned undo updates: a publish moves a -> trash, then new -> a,
and the second must be seen as undone before the first is judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from journal.values import NO_INODE, Folder, Identity, Move, Operation

Sighting = Identity | Move
"""The file under a name: an identity, or the move itself if it is the announced file (a million moves need none)."""

Seen = dict[Folder, dict[str, Sighting]]
"""The sightings under the announced names, by folder; a free name is absent."""


class Verdict(Enum):
    """The decision of recovery about one move; the value is its text in reports."""

    NOTHING = "never moved, or already undone"
    MOVE_BACK = "move back"
    DROP = "drop the second name"
    REPLACED = "replaced by another process before it was moved; left as it is"
    GONE = "removed by another process"
    NAME_TAKEN = "another file has its old name"
    STRANGER = "another file has its new name"
    CHANGED = "changed after it was published"
    HOMELESS = "the folder of its old name is missing"

    @property
    def is_conflict(self) -> bool:
        """True if an operator has to decide."""
        return self in (Verdict.NAME_TAKEN, Verdict.STRANGER, Verdict.CHANGED, Verdict.HOMELESS)


class Undo(NamedTuple):
    """The verdict on the operation of that number; `occupant` is the file that has its new name."""

    operation: int
    move: Move
    verdict: Verdict
    occupant: Sighting | None


def plan_undo(
    operations: Sequence[Operation],
    new_folders: frozenset[Folder],
    seen: Seen,
    missing: frozenset[Folder] = frozenset(),
    copies: frozenset[int] = frozenset(),
) -> Iterator[Undo]:
    """Judge every announced move, newest first, and update `seen` to the state in which each older move is judged.

    `operations` are in the order they were done, `new_folders` are those that the transaction made, `missing` those
    that are no longer there. `copies` are the numbers of the moves without inodes whose new name can go, because its
    bytes are in the file of the old name, too. Yields one entry a move, in the order in which to undo.
    """
    pairs = {(operation.source, operation.destination) for operation in operations if isinstance(operation, Move)}
    source = destination = None
    sources: dict[str, Sighting] = {}
    destinations: dict[str, Sighting] = {}
    for number in range(len(operations) - 1, -1, -1):
        move = operations[number]
        if not isinstance(move, Move):
            continue
        if (move.source, move.destination) != (source, destination):  # nearly all moves share two folders
            source, destination = move.source, move.destination
            sources, destinations = seen.setdefault(source, {}), seen.setdefault(destination, {})
        occupant = destinations.get(move.destination_name)
        is_new = move.destination in new_folders
        verdict = judge(move, sources.get(move.source_name), occupant, is_new=is_new, is_copy=number in copies)
        if verdict is Verdict.MOVE_BACK and move.source in missing:
            verdict = Verdict.HOMELESS
        elif verdict is Verdict.MOVE_BACK and occupant is not None:
            if len(pairs) > 1:  # else no other move has this name (I2), which saves memory for a million moves
                sources[move.source_name] = occupant
            del destinations[move.destination_name]
        elif verdict is Verdict.DROP:
            del destinations[move.destination_name]
        yield Undo(number, move, verdict, occupant)


def judge(
    move: Move, source: Sighting | None, destination: Sighting | None, *, is_new: bool, is_copy: bool = False
) -> Verdict:
    """Return the verdict on one move, by the table of docs/journal-format.md; `is_new`: its folder was made for it.

    The table calls the announced file A, any other file O.
    """
    if move.inode == NO_INODE and source is not None and destination is not None:
        if is_copy:
            return Verdict.DROP
        # A staged name is private: a file that still has it was not moved.
        return Verdict.NOTHING if move.source.root == "state" else Verdict.NAME_TAKEN
    source_is_a = source is not None and source.is_same(move)
    destination_is_a = destination is not None and destination.is_same(move)
    if destination_is_a and _was_changed(move, destination):
        return Verdict.CHANGED
    if destination is None:
        if source is None:
            return Verdict.GONE
        return Verdict.NOTHING if source_is_a else Verdict.REPLACED
    if source is None:
        if destination_is_a:
            return Verdict.MOVE_BACK
        if move.source.root == "state":  # the staged name was not durable yet: the old file was never vacated
            return Verdict.NOTHING
        # In a new directory it is the file that was moved: an editor had saved it over the announced one.
        return Verdict.MOVE_BACK if is_new else Verdict.STRANGER
    if destination_is_a:
        return Verdict.DROP if source_is_a else Verdict.NAME_TAKEN
    if source_is_a or not is_new:
        return Verdict.NOTHING
    return Verdict.DROP if source.is_same(destination) else Verdict.STRANGER


def _was_changed(move: Move, file: Sighting | None) -> bool:
    """True if a staged file, which would be discarded once moved back, was changed after it was published."""
    return move.size is not None and file is not None and (file.size, file.mtime_ns) != (move.size, move.mtime_ns)
