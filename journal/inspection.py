"""Look at directories and their journals without a lock; changes nothing."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import BaseModel, ConfigDict

from journal import names
from journal.directory import door_of, list_states, real_path_of, state_directory_of
from journal.errors import NeedsAttention, StateUnusable, printable
from journal.filesystem import Directory, Filesystem, LocalFilesystem
from journal.lock import Holder, is_locked, read_holder
from journal.names_only import NamesOnly
from journal.recovery import RecoveryReport, find_journals, preview
from journal.retry import RetryLimits, Rounds

Condition = Literal["clean", "work", "damaged", "busy"]


class Inspection(BaseModel):
    """How a directory is.

    `clean`: nothing to do. `work`: recovery has something to do, `report` says what. `damaged`: a person must look.
    `busy`: somebody holds it, `held_by` is who. `journals` are the names of all journal files. `goes_by_names`: its
    file system has no hard links with one inode number, so that entries are only renamed, with a weaker guarantee.
    """

    model_config = ConfigDict(frozen=True)

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
    """Who holds a directory, which journals it has, and what recovery would do. Raises StateUnusable."""
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
    """Every directory under `root` that was ever locked, by name. One that cannot be read is `damaged`.

    Raises StateUnusable when `.journal` itself cannot be read.
    """
    filesystem = filesystem or LocalFilesystem()
    found = {}
    for name in list_states(filesystem, os.path.realpath(root)):
        path = os.path.join(os.path.realpath(root), name)
        try:
            found[name] = inspect_directory(path, filesystem=filesystem)
        except StateUnusable as error:
            found[name] = Inspection(
                directory=printable(path),
                state_directory=printable(state_directory_of(path)),
                condition="damaged",
                error=str(error),
            )
    return found


def _inspect(filesystem: Filesystem, path: str, state: Directory) -> Inspection:
    found = find_journals(filesystem, state)
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
        if any(journal.suffix in (names.DAMAGED, names.CONFLICT) for journal in found):
            condition = "damaged"
    return Inspection(
        directory=printable(path),
        state_directory=printable(state.path),
        condition=condition,
        held_by=held_by,
        journals=tuple(journal.name for journal in found),
        report=report,
        error=error,
        goes_by_names=isinstance(door, NamesOnly),
    )
