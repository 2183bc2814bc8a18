"""What a step is.

A step makes its files in the run's work folder, through `StepContext.staging`; the executor publishes them together
when the step has returned. So a step changes nothing that anybody sees, and one that raises leaves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from logging import Logger
from typing import TYPE_CHECKING, Protocol, TypeVar

from pydantic import Field

from data_pipeline.config.vector_place import VectorPlace
from data_pipeline.events import Emit
from data_pipeline.steps.runner import StepRunner
from data_pipeline.tasks.parameters import RunOptions, TaskParameters
from data_pipeline.tasks.results import Json, PublishedResult, StepResult
from data_pipeline.tasks.table_list import TableName
from data_pipeline.tasks.workspace import StagedFile

if TYPE_CHECKING:  # it takes a third of a second to import, and most runs have none
    from data_pipeline.language_model.client import LanguageModel

Result = TypeVar("Result", bound=StepResult)


class Staging(Protocol):
    """Where a step puts its files until they are published."""

    def write(self, name: str, content: str | bytes) -> StagedFile:
        """Write a file (UTF-8), in place of one of this name that an earlier attempt left. Callable from any thread."""

    def has(self, file: StagedFile) -> bool:
        """Whether this very file waits here: the power may have failed since it was recorded."""


class LargeStaging(Protocol):
    """Where files wait that need not fit into memory."""

    def write(self, name: str, content: str | bytes) -> StagedFile:
        """Write a file (UTF-8)."""

    def write_chunks(self, name: str, chunks: Iterable[bytes]) -> StagedFile:
        """As `write`; what the chunks raise leaves no file."""


WriteFiles = Callable[[LargeStaging, Collection[str]], Sequence[StagedFile]]
"""Writes files; it gets the names that are taken where they are to go."""

PutAside = Callable[[str, WriteFiles], None]
"""Has files written and moves them into a folder of the task directory, all or none.

They stay, whatever becomes of the run. Raises PublishFailed, RecoveryNeeded and what the writing raises.
"""


def nowhere(folder: str, write: WriteFiles) -> None:  # noqa: ARG001
    """For steps that put nothing aside."""
    raise AssertionError(f"this step was given no folder {folder}")


class RunParameters(TaskParameters):
    """The parameters of a task, and what its run needs besides.

    `db_connection` and `vectors` are secrets and reach no file, log or answer. `source` is the name of the database in
    training items: as it is configured, or its URL without secrets.
    """

    db_connection: str = Field(repr=False)
    options: RunOptions = RunOptions()
    source: str = Field(default="", exclude=True)
    vectors: VectorPlace | None = Field(default=None, exclude=True, repr=False)

    def of_task(self) -> Json:
        """What the store keeps with the task; `db_connection` in clear."""
        return self.model_dump(exclude={"options"})


class TaskFiles(Protocol):
    """The task directory as a step may read it. Callable from any thread."""

    def read(self, name: str) -> bytes | None:
        """A file, None when there is none. Raises DirectoryUnusable."""

    def read_given(self, name: str) -> bytes | None:
        """A file that a person gave before the run: the backup may have taken it. Raises DirectoryUnusable."""

    def names(self) -> list[str]:
        """The names of all files. Raises DirectoryUnusable."""

    def result_of(self, step: str, kind: type[Result]) -> Result | None:
        """Return the result of a step; None if there is none, or if it was changed."""


@dataclass(frozen=True)
class StepContext:
    """What a step gets to work with."""

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
    """What a step made: the files to publish, its result for `<step>_result.json`, and what failed where it may.

    `failures` says why, by table or item; it is empty unless the task allows a step to go on past an error.
    `replaces` are files that another step or a person made, with the SHA-256 of what was read of them: their content
    is in `files`, too, so that nothing of it is lost. `keeps` are names of the step's last run that stay as they are.
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
        """How requests, files and the store call it."""

    def why_skipped(self, parameters: RunParameters, steps_before: Sequence[str]) -> str | None:
        """Why a complete run leaves this step out; None where it belongs to it."""

    async def check(self, parameters: RunParameters, tables: Sequence[TableName]) -> None:
        """Before anything is changed: can this step do its work? Raises PipelineErrors that say why not."""

    async def run(self, context: StepContext) -> StepOutput:
        """Make the step's files. Raises StepFailed and other PipelineErrors; nothing of it is published then."""
