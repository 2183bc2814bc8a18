"""Find the unchanged files that runs published into a task directory. A later run may replace them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from data_pipeline.errors import DirectoryUnusable
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.results import PublishedResult, StepResult
from data_pipeline.tasks.sealed import unsealed
from data_pipeline.tasks.workspace import Workspace

Result = TypeVar("Result", bound=StepResult)
Published = TypeVar("Published", bound=PublishedResult)
Hashes = dict[str, set[str]]
"""The SHA-256 of each published content, by the name of its file."""


class SealedFile(NamedTuple):
    """A sealed file that a run wrote: its content, and its name with its SHA-256. Both are empty if there is none."""

    content: dict[str, Any]
    hashes: Hashes


class Ownership:
    """The files that the runs of one task published.

    After a backup only the files of `run_id` itself count: any other file is one that the backup could not move, and
    must stay.
    """

    def __init__(self, workspace: Workspace, task_id: str, run_id: str, steps: Sequence[str]) -> None:
        self._workspace = workspace
        self._task_id = task_id
        self._run_id = run_id
        self._steps = tuple(steps)
        self.is_backed_up = False

    def sealed_file(self, name: str) -> SealedFile:
        """Return a sealed file that is unchanged since a run wrote it. An unreadable file counts as another's file."""
        nothing = SealedFile({}, {})
        try:
            raw = self._workspace.read(name)
        except DirectoryUnusable:
            return nothing
        content = None if raw is None else unsealed(raw)
        if raw is None or content is None or content.get("task_id") != self._task_id:
            return nothing
        if self.is_backed_up and content.get("run_id") != self._run_id:
            return nothing
        return SealedFile(content, {name: {hashlib.sha256(raw).hexdigest()}})

    def result_of(self, step: str, kind: type[Result]) -> Result | None:
        """Return the result of a step; None if there is none, or if it was changed."""
        return kind.read(self.sealed_file(task_directory.step_result(step)).content or None)

    def published_by_this_run(self, step: str, kind: type[Published]) -> Published | None:
        """Return the result of a step that this run published before it was killed."""
        result = self.result_of(step, kind)
        return result if result is not None and (result.run_id, result.step) == (self._run_id, step) else None

    def hashes(self) -> Hashes:
        """Return the hashes of all published files: a later step may have replaced a file of an earlier one."""
        hashes: Hashes = {}
        for step in self._steps:
            result = self.result_of(step, StepResult)
            for file in result.files if result is not None else ():
                hashes.setdefault(file.name, set()).add(file.sha256)
        return hashes
