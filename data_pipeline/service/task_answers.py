"""The answers about tasks and their runs, as the description of the API has them.

Answers hold results as they are in the store; results of older versions may lack fields.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from data_pipeline.service.answers import AnswerData, Envelope
from data_pipeline.tasks.backup.report import BackupReport
from data_pipeline.tasks.parameters import TaskParameters
from data_pipeline.tasks.results import Mode, RunResult, counted_model
from data_pipeline.tasks.statuses import RunStatus, StepStatus

if TYPE_CHECKING:
    AnsweredResult = RunResult
else:
    AnsweredResult = counted_model(RunResult)


class AnsweredStep(BaseModel):
    """A step of a run."""

    step_name: str
    step_status: StepStatus
    result_status: Literal["completed", "partial", "skipped", "unknown"] | None = Field(
        description="The status in the step's result: the step status `completed` is also that of a skipped step."
    )
    reason: str | None = Field(description="The reason why the step was skipped.")
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None


class RunTimes(BaseModel):
    """The status of a run, its times and its steps."""

    status: RunStatus
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None
    backup: BackupReport | None
    steps: list[AnsweredStep]


class RunSummary(RunTimes):
    """A run in the history of a task."""

    execution_id: str
    execution_mode: Mode


class AnsweredParameters(TaskParameters):
    """The parameters of a task, without secrets."""

    db_connection: str


class CurrentStep(BaseModel):
    """The step that is running."""

    execution_id: str
    step: str
    status: StepStatus
    started_at: datetime | None


class TaskData(AnswerData):
    """A task with its newest run."""

    task_id: str
    task_name: str | None
    status: RunStatus
    step_status: dict[str, StepStatus]
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    parameters: AnsweredParameters
    result: AnsweredResult | None = Field(description="The result of the newest run, once it has ended with one.")
    error_message: str | None
    current_step: CurrentStep | None
    total_steps: int
    steps: list[AnsweredStep] = Field(description="The newest state of each step.")
    execution: RunSummary | None = Field(description="The newest run.")


class TaskAnswer(Envelope):
    """The answer with the status of a task."""

    data: TaskData


class RunsData(AnswerData):
    """The runs of a task."""

    task_id: str
    executions: list[RunSummary] = Field(description="Newest first.")


class RunsAnswer(Envelope):
    """The answer with the runs of a task."""

    data: RunsData


class AdmittedRunData(AnswerData):
    """A run that is queued or running."""

    task_id: str
    execution_id: str
    execution_mode: Mode
    step_name: str | None
    status: RunStatus
    message: str


class AdmittedRunAnswer(Envelope):
    """The answer to a request that started a run."""

    data: AdmittedRunData


class EndedRunData(RunTimes, AnswerData):
    """A run that ended while the client waited."""

    task_id: str
    execution_id: str
    execution_mode: Mode
    step_name: str | None
    result: AnsweredResult | None


class EndedRunAnswer(Envelope):
    """The answer to a request that waited for the end of a run."""

    data: EndedRunData
