"""A name for every live worker process, claimed for its life; a restarted process gets the name of the dead one back.

A slot is a directory under a lock, beside the task directories: whoever shares those shares the names. The lock frees
itself when its process dies, however it dies.
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
"""No task has this name: ids have no dots."""

OPENING_TIMEOUT_SECONDS: Final = 120.0
_PREFIX: Final = "slot_"


class WorkerSlots:
    """The slots of all workers on one folder of task directories."""

    def __init__(self, training_data: str) -> None:
        self._folder = os.path.join(training_data, FOLDER)

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """One server at a time makes or migrates what they share: SQLite refuses two at once. Raises TaskBusy."""
        path = os.path.join(self._folder, "opening")
        make_directories(path)
        with open_workspace(path, "opening", label="start of a server", timeout_seconds=OPENING_TIMEOUT_SECONDS):
            yield

    def claim(self) -> tuple[str, Workspace]:
        """The first free slot: its name, and what to release at the end. Raises DirectoryUnusable, OSError."""
        for number in count():
            name = f"{_PREFIX}{number}"
            held = self.try_claim(name)
            if held is not None:
                return name, held
        raise AssertionError("numbers do not end")

    def try_claim(self, name: str) -> Workspace | None:
        """A slot of this name, None where a live process has it. Raises InvalidInput for what is no slot's name."""
        if not name.removeprefix(_PREFIX).isdecimal():
            raise InvalidInput("worker slot", f"{name!a} is not the name of one")
        path = os.path.join(self._folder, name)
        make_directories(path)
        try:
            return open_workspace(path, name, label="worker", timeout_seconds=0)
        except TaskBusy:
            return None
