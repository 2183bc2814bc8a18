"""What requests say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from data_pipeline.steps import Language


class NewTaskRequest(BaseModel):
    """A new task; its table list is uploaded afterwards."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"db_connection": "shop", "business_context": "orders of an online shop"}}
    )

    db_connection: str | None = Field(
        default=None,
        max_length=2000,
        description="the name of a configured database, or an allowed URL; none: the only one that is configured",
    )
    business_context: str = Field(default="", max_length=10_000)
    task_name: str | None = Field(default=None, max_length=255)
    db_name: str | None = Field(default=None, max_length=255, description="none: as the connection has it")
    language: Language = "en"
    continue_on_error: bool = False
    enable_sql_validation: bool = True
    enable_llm_repair: bool = True
    modify_original_file: bool = True
    enable_training_data_load: bool = True
    table_list_file: None = Field(default=None, description="files of the server are not read: upload the list")


class TableListRequest(BaseModel):
    """The tables of a task."""

    model_config = ConfigDict(json_schema_extra={"example": {"tables": ["customer", "sales.purchase"]}})

    tables: Annotated[list[str], Field(min_length=1, max_length=10_000)] | Annotated[str, Field(min_length=1)]


class CompleteRun(BaseModel):
    """Back the earlier files up, then run every step."""

    execution_mode: Literal["complete"] = "complete"


class StepRun(BaseModel):
    """Run one step on the task directory as it is."""

    execution_mode: Literal["step"]
    step_name: str = Field(max_length=100)


def _mode(value: Any) -> Any:
    mode = (
        value.get("execution_mode", "complete") if isinstance(value, dict) else getattr(value, "execution_mode", None)
    )
    return mode if isinstance(mode, str) else str(mode)


ExecuteRequest = Annotated[
    Annotated[CompleteRun, Tag("complete")] | Annotated[StepRun, Tag("step")], Discriminator(_mode)
]


class RestoreRequest(BaseModel):
    """Which files of a backup to bring back."""

    files: list[str] | None = Field(default=None, description="only these; none: all", min_length=1)
    dry_run: bool = Field(default=False, description="only say what would happen")
