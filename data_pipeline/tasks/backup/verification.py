"""Describe the differences between a backup of any kind and its record. Opens no file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from data_pipeline.errors import PipelineError

ProblemKind = Literal["record", "missing", "extra", "size", "changed", "unreadable"]
State = Literal["good", "damaged", "unverifiable"]


@dataclass(frozen=True)
class Problem:
    """A difference. `file` is a printable name, None if the backup as a whole differs."""

    kind: ProblemKind
    file: str | None
    message: str


@dataclass(frozen=True)
class VerifyReport:
    """The result of a verification. `unverifiable`: the backup has neither a record nor checksums."""

    backup: str
    state: State
    problems: tuple[Problem, ...]
    file_count: int
    size_bytes: int
    has_record: bool
    checksums_recorded_at: datetime | None

    def summary(self) -> dict[str, Any]:
        """Return the fields for answers."""
        recorded_at = self.checksums_recorded_at
        return {
            **vars(self),
            "problems": [vars(problem) for problem in self.problems],
            "checksums_recorded_at": recorded_at.isoformat() if recorded_at else None,
        }


def report_failure(name: str, error: PipelineError) -> VerifyReport:
    """Return the report of a backup that could not be verified, for a command that continues with the others."""
    problem = Problem("unreadable", None, str(error))
    return VerifyReport(name, "unverifiable", (problem,), 0, 0, has_record=False, checksums_recorded_at=None)
