"""The interface of a step.

A step writes its files into the run's work folder, through `StepContext.staging`; the executor publishes them together
when the step has returned. So a step changes nothing visible, and a step that raises leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from logging import Logger
from typing import TYPE_CHECKING, Protocol, TypeVar

from pydantic import Field

from data_pipeline.config.vector_place import VectorPlace
from data_pipeline.events import Emit
from data_pipeline.steps.runner import StepRunner
from data_pipeline.tasks.parameters import RunOptions, TaskParameters
from data_pipeline.tasks.results import Json, PublishedResult, StepResult
from data_pipeline.tasks.staging import StagedFile, Staging
from data_pipeline.tasks.table_list import TableName

if TYPE_CHECKING:  # its import takes a third of a second, and most runs have no model
    from data_pipeline.language_model.client import LanguageModel

Result = TypeVar("Result", bound=StepResult)


WriteFiles = Callable[[Staging, Collection[str]], Sequence[StagedFile]]
"""Writes files; its second argument are the names that already exist in their folder."""

PutAside = Callable[[str, WriteFiles], None]
"""Calls the writer and moves its files into a folder of the task directory, all or none.

The files stay even if the run fails. Raises PublishFailed, RecoveryNeeded and the errors of the writer.
"""


def nowhere(folder: str, write: WriteFiles) -> None:  # noqa: ARG001
    """Raise, because the step has no folder to put files aside."""
    raise AssertionError(f"this step was given no folder {folder}")


class RunParameters(TaskParameters):
    """The parameters of a task and of one run.

    `db_connection` and `vectors` are secrets and reach no file, log or answer. `source` is the name of the database in
    training items: as it is configured, or its URL without secrets.
    """

    db_connection: str = Field(repr=False)
    options: RunOptions = RunOptions()
    source: str = Field(default="", exclude=True)
    vectors: VectorPlace | None = Field(default=None, exclude=True, repr=False)

    def of_task(self) -> Json:
        """Return the parameters that the store keeps with the task, with `db_connection` in clear."""
        return self.model_dump(exclude={"options"})


class TaskFiles(Protocol):
    """The task directory as a step may read it. Callable from any thread."""

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if it is missing. Raises DirectoryUnusable."""

    def read_given(self, name: str) -> bytes | None:
        """Return a person's file from before the run, also from the run's backup. Raises DirectoryUnusable."""

    def names(self) -> list[str]:
        """Return the names of all files. Raises DirectoryUnusable."""

    def result_of(self, step: str, kind: type[Result]) -> Result | None:
        """Return the result of a step; None if there is none, or if it was changed."""


@dataclass(frozen=True)
class StepContext:
    """The environment of a step."""

    task_id: str
    run_id: str
    tables: tuple[TableName, ...]
    parameters: RunParameters
    files: TaskFiles
    model: LanguageModel | None
    staging: Staging
    runner: StepRunner
    emit: Emit
    log: Logger
    put_aside: PutAside = nowhere


@dataclass(frozen=True)
class StepOutput:
    """The output of a step: the files to publish and the result for `<step>_result.json`.

    `failures` are reasons by table or item; they are empty unless the task allows the step to continue after an error.
    `replaces` are files by another step or a person, with the SHA-256 of the content that the step has read; their
    content is in `files` too, so that none of it is lost. `keeps` are files of the step's last run that stay.
    """

    files: tuple[StagedFile, ...]
    result: PublishedResult
    failures: Mapping[str, str] = field(default_factory=dict)
    replaces: Mapping[str, str] = field(default_factory=dict)
    keeps: frozenset[str] = frozenset()


class Step(Protocol):
    """One part of a run."""

    @property
    def name(self) -> str:
        """The name in requests, files and the store."""

    def why_skipped(self, parameters: RunParameters, steps_before: Sequence[str]) -> str | None:
        """Return the reason why a complete run skips this step; None if it does not."""

    async def check(self, parameters: RunParameters, tables: Sequence[TableName]) -> None:
        """Check before any change that the step can work. Raises PipelineErrors with the reason."""

    async def run(self, context: StepContext) -> StepOutput:
        """Write the step's files. Raises StepFailed and other PipelineErrors; then none of them is published."""
