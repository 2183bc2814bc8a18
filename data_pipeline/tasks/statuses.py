"""The statuses of tasks, runs and steps."""

from __future__ import annotations

from typing import Final, Literal

RunStatus = Literal["pending", "queued", "in_progress", "partial_completed", "completed", "failed", "cancelled"]
StepStatus = Literal["pending", "running", "completed", "failed", "cancelled"]

RUN_STATUSES: Final[tuple[RunStatus, ...]] = (
    "pending", "queued", "in_progress", "partial_completed", "completed", "failed", "cancelled",
)  # fmt: skip
STEP_STATUSES: Final[tuple[StepStatus, ...]] = ("pending", "running", "completed", "failed", "cancelled")
