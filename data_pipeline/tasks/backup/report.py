"""The outcome of the backup at the start of a run, as results, the store and answers have it. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from data_pipeline.tasks.backup.record import FailedFile, Statistics

BackupState = Literal["disabled", "nothing_to_back_up", "backed_up", "already_backed_up", "failed", "unknown"]

Instant = Annotated[
    datetime,
    PlainSerializer(datetime.isoformat, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A time whose JSON keeps its offset as `isoformat` writes it: pydantic would write `Z` for `+00:00`."""

NOTHING: Final = Statistics(files=0, bytes=0, seconds=0.0, retries=0)


class BackupReport(BaseModel):
    """The outcome of a run's backup; `error` only if it failed as a whole or is unknown, and says where files are.

    If the outcome is unknown, `directory` is where the files are if the backup took effect.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: BackupState
    directory: str | None = None
    moved_count: int = 0
    failed_files: tuple[FailedFile, ...] = ()
    statistics: Statistics = NOTHING
    started_at: Instant
    ended_at: Instant
    error: str | None = None
    # The JSON has only the number of moved files: there may be thousands. A recovery settles `transaction`.
    moved_files: SkipJsonSchema[tuple[str, ...]] = Field(default=(), exclude=True)
    transaction: SkipJsonSchema[str | None] = Field(default=None, exclude=True)

    @property
    def made_backup(self) -> str | None:
        """The name of the backup that the run made; None if it made none, or if that is unknown."""
        return self.directory if self.state in ("backed_up", "already_backed_up") else None
