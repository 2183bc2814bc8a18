"""Names of worker processes; a restarted process gets the name of the dead one.

A slot is a locked directory beside the task directories, so that processes that share these share the names. The system
releases the lock when the process dies in any way.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import count
from typing import Final

from data_pipeline.errors import InvalidInput, TaskBusy
from data_pipeline.tasks.workspace import Workspace, make_directories, open_workspace

FOLDER: Final = ".workers"
"""Not the name of a task, because ids have no dots."""

OPENING_TIMEOUT_SECONDS: Final = 120.0
_PREFIX: Final = "slot_"


class WorkerSlots:
    """The slots of all workers on one folder of task directories."""

    def __init__(self, training_data: str) -> None:
        self._folder = os.path.join(training_data, FOLDER)

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Let one server at a time create or migrate the shared databases, as SQLite requires. Raises TaskBusy."""
        path = os.path.join(self._folder, "opening")
        make_directories(path)
        with open_workspace(path, "opening", label="start of a server", timeout_seconds=OPENING_TIMEOUT_SECONDS):
            yield

    def claim(self) -> tuple[str, Workspace]:
        """Return the name of the first free slot, and the workspace to release at the end.

        Raises DirectoryUnusable, OSError.
        """
        for number in count():
            name = f"{_PREFIX}{number}"
            held = self.try_claim(name)
            if held is not None:
                return name, held
        raise AssertionError("numbers do not end")

    def try_claim(self, name: str) -> Workspace | None:
        """Return the slot of this name; None if a live process has it. Raises InvalidInput for another name."""
        if not name.removeprefix(_PREFIX).isdecimal():
            raise InvalidInput("worker slot", f"{name!a} is not the name of one")
        path = os.path.join(self._folder, name)
        make_directories(path)
        try:
            return open_workspace(path, name, label="worker", timeout_seconds=0)
        except TaskBusy:
            return None
