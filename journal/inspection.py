"""Inspect directories and their journals without a lock; change nothing."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import BaseModel

from journal.directory import door_of, list_states, real_path_of, state_directory_of
from journal.errors import NeedsAttention, StateUnusable
from journal.filesystem import Directory, Filesystem, LocalFilesystem
from journal.lock import is_locked, read_holder
from journal.names_only import NamesOnly
from journal.recovery import preview
from journal.reports import RecoveryReport
from journal.retry import RetryLimits, Rounds
from journal.state_files import list_journals
from journal.values import Holder, printable

Condition = Literal["clean", "work", "damaged", "busy"]


class Inspection(BaseModel, frozen=True):
    """The condition of a directory.

    `condition` is one of:
      - `clean`: nothing to do;
      - `work`: recovery has something to do, which is in `report`;
      - `damaged`: an operator must inspect it; `error` has the reason if there is one;
      - `busy`: another process holds it, `held_by` if its note can be read.

    `journals` are the names of all journal files. With `goes_by_names` entries are only renamed, with a weaker
    guarantee, because the file system has no hard links that share an inode number.
    """

    directory: str
    state_directory: str
    condition: Condition
    held_by: Holder | None = None
    journals: tuple[str, ...] = ()
    report: RecoveryReport | None = None
    error: str | None = None
    goes_by_names: bool = False


def inspect_directory(
    path: str, *, state_directory: str | None = None, filesystem: Filesystem | None = None
) -> Inspection:
    """Return the holder of a directory, its journals, and the report that recovery would give; change nothing.

    `path` need not exist any more. `state_directory` is needed where it is not in its default place, `filesystem`
    replaces the real disk. A directory that was never locked is `clean`. Raises StateUnusable if the state directory
    cannot be read.
    """
    path = real_path_of(path)
    state_path = state_directory_of(path) if state_directory is None else os.path.realpath(state_directory)
    filesystem = filesystem or LocalFilesystem()
    try:
        try:
            state = filesystem.open_directory(state_path)
        except FileNotFoundError:
            return Inspection(directory=printable(path), state_directory=printable(state_path), condition="clean")
        try:
            return _inspect(filesystem, path, state)
        finally:
            filesystem.close(state)
    except OSError as error:
        raise StateUnusable(state_path, f"it cannot be read ({error}).") from error


def inspect_all(root: str, *, filesystem: Filesystem | None = None) -> dict[str, Inspection]:
    """Inspect every directory under `root` that was ever locked; return the results by name.

    A directory that cannot be read is `damaged`. State directories in other places than the default one are not found.
    Raises StateUnusable if `root` or its `.journal` cannot be read.
    """
    filesystem = filesystem or LocalFilesystem()
    inspections = {}
    for name in list_states(filesystem, os.path.realpath(root)):
        path = os.path.join(os.path.realpath(root), name)
        try:
            inspections[name] = inspect_directory(path, filesystem=filesystem)
        except StateUnusable as error:
            inspections[name] = Inspection(
                directory=printable(path),
                state_directory=printable(state_directory_of(path)),
                condition="damaged",
                error=str(error),
            )
    return inspections


def _inspect(filesystem: Filesystem, path: str, state: Directory) -> Inspection:
    journals = list_journals(filesystem, state)
    door = door_of(filesystem, state)
    held_by, report, error = None, None, None
    condition: Condition = "clean"
    if is_locked(state):  # a journal with a live owner is not hot: there is nothing to recover
        condition, held_by = "busy", read_holder(filesystem, state)
    else:
        try:
            report = preview(door, path, state, Rounds(RetryLimits()))
            condition = "clean" if report.is_clean else "work"
        except NeedsAttention as fault:
            condition, error = "damaged", str(fault)
        if any(journal.is_set_aside for journal in journals):
            condition = "damaged"
    return Inspection(
        directory=printable(path),
        state_directory=printable(state.path),
        condition=condition,
        held_by=held_by,
        journals=tuple(journal.name for journal in journals),
        report=report,
        error=error,
        goes_by_names=isinstance(door, NamesOnly),
    )
