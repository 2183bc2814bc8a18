"""Records and what is there now -> what to undo, in which order; opens no file.

The plan goes newest first over a view that each planned undo updates: a publish moves a -> trash, then new -> a,
and the second must be seen as undone before the first is judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from journal.records import NO_INODE, Folder, Identity, Move, Operation

Sighting = Identity | Move
"""What stands under a name: an identity, or the move itself where that is the announced file (a million need none)."""

Seen = dict[Folder, dict[str, Sighting]]
"""The sightings under the announced names, by folder; a name that is free is absent."""


class Verdict(Enum):
    """What recovery does about one move."""

    NOTHING = "never ran, or is already undone"
    MOVE_BACK = "move back"
    DROP = "drop the second name"
    REPLACED = "the source was replaced before it moved: left alone"
    GONE = "removed by somebody else"
    NAME_TAKEN = "its old name was taken since"
    STRANGER = "something else stands at its new name"
    CHANGED = "it was changed since it was published"
    HOMELESS = "the folder it came from is gone"

    @property
    def is_conflict(self) -> bool:
        """Whether a person has to decide."""
        return self in (Verdict.NAME_TAKEN, Verdict.STRANGER, Verdict.CHANGED, Verdict.HOMELESS)


class Undo(NamedTuple):
    """What to do about the operation of that number; `found` is what stands at its new name."""

    operation: int
    move: Move
    verdict: Verdict
    found: Sighting | None


def plan_undo(
    operations: Sequence[Operation],
    made: frozenset[Folder],
    seen: Seen,
    gone: frozenset[Folder] = frozenset(),
    copies: frozenset[int] = frozenset(),
) -> Iterator[Undo]:
    """Judge every announced move, newest first, and bring `seen` up to what the older moves will find.

    `operations` are in the order they were done, `made` the directories the transaction made, `gone` those that are
    no longer there. `copies` are the numbers of the moves without inodes whose new name can go: it holds only bytes
    that the old name holds, too. Yields one entry a move, in the order in which to undo.
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
        found = destinations.get(move.destination_name)
        is_made = move.destination in made
        verdict = judge(move, sources.get(move.source_name), found, is_made=is_made, is_copy=number in copies)
        if verdict is Verdict.MOVE_BACK and move.source in gone:
            verdict = Verdict.HOMELESS
        elif verdict is Verdict.MOVE_BACK and found is not None:
            if len(pairs) > 1:  # else no other move has this name (I2), and a million need not be held
                sources[move.source_name] = found
            del destinations[move.destination_name]
        elif verdict is Verdict.DROP:
            del destinations[move.destination_name]
        yield Undo(number, move, verdict, found)


def judge(
    move: Move, source: Sighting | None, destination: Sighting | None, *, is_made: bool, is_copy: bool = False
) -> Verdict:
    """One row of the recovery table (docs/journal-format.md): A the announced file, O another, - nothing."""
    if move.inode == NO_INODE and source is not None and destination is not None:
        if is_copy:
            return Verdict.DROP
        # A staged name is private: the file is still there, so it was not moved.
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
        # In our own directory: an editor's new file was what we moved.
        return Verdict.MOVE_BACK if is_made else Verdict.STRANGER
    if destination_is_a:
        return Verdict.DROP if source_is_a else Verdict.NAME_TAKEN
    if source_is_a or not is_made:
        return Verdict.NOTHING
    return Verdict.DROP if source.is_same(destination) else Verdict.STRANGER


def _was_changed(move: Move, found: Sighting | None) -> bool:
    """Whether a staged file, which would be discarded once moved back, is no longer what was published."""
    return move.size is not None and found is not None and (found.size, found.mtime_ns) != (move.size, move.mtime_ns)
