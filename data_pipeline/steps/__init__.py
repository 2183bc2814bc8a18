"""The steps in the order of a complete run; `contract` has the interface of a step."""

from data_pipeline.steps.contract import RunParameters, Step, StepContext, StepOutput
from data_pipeline.steps.ddl.step import DdlGeneration
from data_pipeline.steps.qa import QaGeneration
from data_pipeline.steps.runner import StepRunner, Work
from data_pipeline.steps.training.step import TrainingLoad
from data_pipeline.steps.validation.step import SqlValidation
from data_pipeline.tasks.results import Json
from data_pipeline.tasks.staging import StagedFile, Staging

__all__ = [
    "STEPS",
    "Json",
    "RunParameters",
    "StagedFile",
    "Staging",
    "Step",
    "StepContext",
    "StepOutput",
    "StepRunner",
    "Work",
]

STEPS: tuple[Step, ...] = (DdlGeneration(), QaGeneration(), SqlValidation(), TrainingLoad())
"""Every step, in the order of a complete run."""
