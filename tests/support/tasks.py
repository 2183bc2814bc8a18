"""Tasks for tests: a directory with a table list, steps that write what they are told, an executor."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from data_pipeline.api.simple_workflow import SimpleWorkflowExecutor
from data_pipeline.errors import StepFailed
from data_pipeline.steps import RunParameters, Step, StepContext, StepOutput
from data_pipeline.tasks.results import PublishedResult
from data_pipeline.tasks.table_list import TableName

PARAMETERS = RunParameters(db_connection="sqlite:///somewhere.sqlite", business_context="tests")
CLOCK = datetime(2025, 1, 21, 9, 44, 0, 123456, timezone(timedelta(hours=8)))
"""The instant of the specification's example, with a time zone of its own."""


class Written(PublishedResult):
    """The result of a `WritingStep`."""

    total: int


class WritingStep:
    """A step that stages the files it was given; `fails` makes it fail after that."""

    def __init__(
        self, files: Mapping[str, str], *, name: str = "writing", fails: Mapping[str, str] | None = None
    ) -> None:
        self.files = files
        self.name = name
        self.fails = fails
        self.checked = 0

    def why_skipped(self, parameters: RunParameters, steps_before: Sequence[str]) -> str | None:
        return None

    async def check(self, parameters: RunParameters, tables: Sequence[TableName]) -> None:
        self.checked += 1

    async def run(self, context: StepContext) -> StepOutput:
        staged = tuple(context.staging.write(name, content) for name, content in self.files.items())
        if self.fails is not None:
            raise StepFailed(self.name, self.fails)
        return StepOutput(staged, Written(total=len(staged)))


def make_task(path: Path, files: Mapping[str, str] | None = None, *, table_list: str | None = "t\n") -> Path:
    """A task directory with a table list and files."""
    path.mkdir(parents=True, exist_ok=True)
    if table_list is not None:
        (path / "table_list.txt").write_text(table_list)
    for name, content in (files or {}).items():
        (path / name).write_text(content)
    return path


def executor(path: Path, *steps: Step, **options: Any) -> SimpleWorkflowExecutor:
    """An executor for the task in this directory, without a store."""
    options = {"parameters": PARAMETERS, "lock_timeout_seconds": 0.0, **options}
    return SimpleWorkflowExecutor(path.name, directory=str(path), steps=steps, **options)


def run_complete(path: Path, *steps: Step, **options: Any) -> dict[str, Any]:
    """A complete run of the task in this directory; returns its result."""
    return asyncio.run(executor(path, *steps, **options).execute_complete_workflow())


def run_step(path: Path, *steps: Step, step: str = "writing", **options: Any) -> dict[str, Any]:
    """A run of one step."""
    return asyncio.run(executor(path, *steps, **options).execute_single_step(step))


def content_below(path: Path) -> dict[str, str]:
    """Every file below a directory with its content, by relative path."""
    return {str(file.relative_to(path)): file.read_text() for file in sorted(path.rglob("*")) if file.is_file()}


def backups_of(path: Path) -> list[Path]:
    """The backup directories of a task."""
    return sorted(path.glob("file_bak_*"))
