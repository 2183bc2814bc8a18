"""The objects that a transaction returns to its caller; opens no file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from journal.values import Create, Folder, Move, Operation


class NewDirectory:
    """A directory that the transaction will make, as returned by `Transaction.make_directory`.

    `root` is the folder in which it is made. `name` is final, with its suffix, once `commit` has made it; so is
    `folder`, its place.
    """

    def __init__(self, root: Folder, name: str, *, next_free: bool) -> None:
        self.root: Folder = root
        self.next_free: bool = next_free
        self.settle(name)

    def settle(self, name: str) -> None:
        """Take this name. Called by `commit`, which finds the first one that is free."""
        self.name: str = name
        self.folder: Folder = Folder(self.root.root, name)


@dataclass(frozen=True, slots=True)
class OperationFailure:
    """The reason why an operation was not done.

    `error` is the text of the last error, `errno` its number if it has one, `attempts` the number of tries.
    `copied` is true if the file is still under its old name and a copy of it is at its destination.
    """

    error: str
    errno: int | None
    attempts: int
    copied: bool = False


class OperationResult(NamedTuple):
    """One operation and its end: it was done if `failure` is None.

    `source` and `destination` are paths relative to their roots, spelled as the system spells them; `source` is None
    for a file that the transaction wrote itself.
    """

    source: str | None
    destination: str
    failure: OperationFailure | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a committed transaction.

    `transaction` is its id, `label` its label. `retries` counts the new attempts after transient errors, `seconds` is
    the duration of the whole commit. `leftovers` are entries of the state directory that could not be purged; the next
    recovery tries again. `notes` are sentences about files that other processes saved in the middle of a move and that
    could not keep their names.
    """

    transaction: str
    label: str
    retries: int
    seconds: float
    leftovers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    _moved_bytes: Mapping[Folder, int] = field(default_factory=dict[Folder, int])
    _moves: Sequence[Move] = ()
    _creates: Sequence[Create] = ()
    _failures: Mapping[int, OperationFailure] = field(default_factory=dict[int, OperationFailure])
    _refused: Sequence[OperationResult] = ()

    def results(self) -> Iterator[OperationResult]:
        """Yield every operation with its end: moves in the order they were made, created files, refused operations."""
        operations: list[Operation] = [*self._moves, *self._creates]
        for index, operation in enumerate(operations):
            source = operation.source.place(operation.source_name) if isinstance(operation, Move) else None
            destination = operation.destination.place(operation.destination_name)
            yield OperationResult(source, destination, self._failures.get(index))
        yield from self._refused

    def moved_bytes(self, destination: NewDirectory) -> int:
        """Return the total size of the files that this directory received, in bytes, as seen while they were moved."""
        return self._moved_bytes.get(destination.folder, 0)

    @property
    def moved_count(self) -> int:
        """The number of files that were moved."""
        return len(self._moves) - sum(index < len(self._moves) for index in self._failures)

    @property
    def failures(self) -> list[OperationResult]:
        """The operations that were not done, with the reasons."""
        return [result for result in self.results() if result.failure is not None]


def describe_failure(error: OSError, attempts: int, *, copied: bool = False) -> OperationFailure:
    """Return the failure that an error makes of an operation, with the notes that were added to the error."""
    text = "; ".join([error.strerror or str(error), *getattr(error, "__notes__", ())])
    return OperationFailure(text, error.errno, attempts, copied)
