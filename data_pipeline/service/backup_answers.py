"""Typed responses about backups for the OpenAPI description."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from data_pipeline.tasks.backup.changes import Action


class RestoreChange(BaseModel):
    """The change of one file by a restore."""

    model_config = ConfigDict(extra="forbid")

    name: str
    action: Action = Field(
        description="`added`: no current file has the name. `replaced`: the current file differs. `unchanged`: the "
        "same content. `removed`: the current file moves into the new backup, and the restored backup has no file of "
        "that name. `unknown`: the contents could not be compared."
    )
    size_bytes: int | None = Field(description="The size in the backup that is restored; null if it has no such file.")
    current_size_bytes: int | None = Field(description="The size of the current file; null if there is none.")
    reason: str | None = Field(description="The reason why the action is `unknown`.")


class RestoreCounts(BaseModel):
    """The number of files for each action."""

    model_config = ConfigDict(extra="forbid")

    added: int
    replaced: int
    unchanged: int
    removed: int
    unknown: int


class RestoreData(BaseModel):
    """The outcome of a restore, or of its dry run."""

    model_config = ConfigDict(extra="forbid")

    backup: str
    dry_run: bool
    restored: list[str] = Field(description="The restored files.")
    replaced: list[str] = Field(description="The current files that first move into the new backup.")
    skipped: dict[str, str] = Field(description="The entries of the backup that are not restored: name and reason.")
    safety_backup: str | None = Field(description="The new backup; null in a dry run, and if no file had to move.")
    counts: RestoreCounts | None = Field(description="The number of files by action; null unless it is a dry run.")
    changes: list[RestoreChange] | None = Field(description="Every affected file; null unless it is a dry run.")
    notes: list[str] = Field(description="For a dry run, the reasons why the real restore may differ.")
    response: str
    timestamp: datetime


class RestoreAnswer(BaseModel):
    """The response to a restore."""

    code: int
    success: bool
    message: str
    data: RestoreData
