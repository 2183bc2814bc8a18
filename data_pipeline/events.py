"""The events of a run. The log, the progress bar and the event stream show the same ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["run", "backup", "step", "table", "pairs", "items"]
State = Literal["queued", "started", "advanced", "completed", "failed", "cancelled", "suspended", "skipped", "unknown"]


@dataclass(frozen=True, slots=True)
class Event:
    """An event in a run. `name` is the run, step, table or backup directory that it is about.

    `done` of `total` counts tables, question-SQL pairs or training items in a step, or files in a backup.
    """

    phase: Phase
    state: State
    name: str = ""
    message: str = ""
    done: int = 0
    total: int = 0


Emit = Callable[[Event], None]


def ignore_event(event: Event) -> None:
    """Ignore an event."""
