"""The exit codes of every command line of this project, and the only functions that choose one for an outcome.

`journal` has the same numbers but must not import this module, so a test compares them. The table for users is in
docs/runs.md.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, Self

from data_pipeline.errors import PipelineError, PublishFailed, RunActive, StepFailed, TaskBusy

if TYPE_CHECKING:
    from collections.abc import Collection

    from data_pipeline.tasks.results import RunResult


class ExitCode(IntEnum):
    """The exit code of a command; `meaning` is its description for users."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """Create a member from a number and its meaning."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "done"
    BAD_INPUT = 1, "bad input or environment"
    WRONG_USAGE = 2, "wrong usage"
    FAILED = 3, "failed"
    DONE_IN_PART = 4, "partly done"
    DRIFTED = 5, "drifted"
    UNEXPECTED = 70, "unexpected error"
    BUSY = 75, "busy"
    INTERRUPTED = 130, "interrupted"


RESERVED: Final = frozenset({ExitCode.DRIFTED})
"""Codes that no command returns yet."""


def code_of_error(error: BaseException) -> ExitCode:
    """Return the exit code of a command that an exception ended."""
    match error:
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED
        case TaskBusy() | RunActive():
            return ExitCode.BUSY
        case StepFailed() | PublishFailed():
            return ExitCode.FAILED
        case PipelineError():
            return ExitCode.BAD_INPUT
    return ExitCode.UNEXPECTED


def code_of_run(result: RunResult) -> ExitCode:
    """Return the exit code of a run that ended with a result."""
    if not result.success:
        return ExitCode.FAILED
    is_partial = any(artifact.status == "partial" for artifact in result.artifacts.values())
    has_gaps = result.backup is not None and (result.backup.error or result.backup.failed_files)
    if is_partial or result.warnings or has_gaps:
        return ExitCode.DONE_IN_PART
    return ExitCode.DONE


def code_of_verification(states: Collection[str]) -> ExitCode:
    """Return the exit code of a verification that found backups in these states. Damage takes precedence."""
    if "damaged" in states:
        return ExitCode.FAILED
    return ExitCode.DONE_IN_PART if "unverifiable" in states else ExitCode.DONE


def code_of_deletion(actions: Collection[str]) -> ExitCode:
    """Return the exit code of a deletion of backups. DONE_IN_PART means that some were deleted and some were not."""
    if not {"failed", "unknown"} & set(actions):
        return ExitCode.DONE
    return ExitCode.DONE_IN_PART if "delete" in actions else ExitCode.FAILED


def code_of_search(*, is_complete: bool) -> ExitCode:
    """Return the exit code of a search or a count. It is incomplete if a file could not be read."""
    return ExitCode.DONE if is_complete else ExitCode.DONE_IN_PART


def code_of_all(codes: list[ExitCode]) -> ExitCode:
    """Return the exit code of a command that did the same for several tasks or backups."""
    if ExitCode.DONE in codes and set(codes) != {ExitCode.DONE}:
        return ExitCode.DONE_IN_PART
    return max(codes, default=ExitCode.DONE)
