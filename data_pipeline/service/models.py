"""The models of requests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, StrictBool, Tag

from data_pipeline.config.numbers import Number
from data_pipeline.config.retention import RetentionPolicy
from data_pipeline.store import RunStatus, SortColumn
from data_pipeline.tasks.backup.manifests import NOTE_LIMIT_CHARACTERS, NOTE_PATTERN
from data_pipeline.tasks.backup.text_matching import LONGEST_TEXT, SHORTEST_TEXT
from data_pipeline.tasks.log_reading import Level, LogColumn
from data_pipeline.tasks.parameters import Language, RunOptions, TaskParameters
from data_pipeline.tasks.step_names import STEP_NAMES
from data_pipeline.vectors.store.contract import Kind

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)


def _in_range(time: datetime) -> datetime:
    """Return a time that every time zone can express; earlier and later ones compare with all records the same way."""
    if not EARLIEST.year <= time.year < LATEST.year:
        return EARLIEST if time.year < EARLIEST.year else LATEST
    return time if time.tzinfo is not None else time.astimezone()


def _as_text(value: object) -> object:
    """Accept only text: pydantic would accept a number as a time."""
    if not isinstance(value, str) or value[4:5] != "-":
        raise ValueError("must be a time such as 2025-01-21T09:44:00+08:00")
    return value


Time = Annotated[datetime, BeforeValidator(_as_text), AfterValidator(_in_range)]


def _no_path(value: object) -> object:
    if value is not None:
        raise ValueError("not supported: upload the list once the task is created")
    return value


class NewTaskRequest(TaskParameters):
    """A new task; its table list is uploaded afterwards."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"db_connection": "shop", "business_context": "orders of an online shop"}}
    )

    db_connection: str | None = Field(
        default=None,
        max_length=2000,
        description="Name of a configured database, or an allowed URL; default: the only configured database.",
    )
    task_name: str | None = Field(default=None, max_length=255, description="Display name of the task.")
    db_name: str | None = Field(
        default=None, max_length=255, description="Display name of the database; default: that of the connection."
    )
    table_list_file: Annotated[None, BeforeValidator(_no_path)] = Field(
        default=None, description="Not supported: upload the table list instead."
    )


class ChangeTaskRequest(TaskParameters):
    """Changes of a task's parameters. Missing fields keep their values; null resets a field to its default."""

    model_config = ConfigDict(json_schema_extra={"example": {"language": "zh", "pairs_per_table": 10}})

    db_connection: str = Field(
        default="", min_length=1, max_length=2000, description="Name of a configured database, or an allowed URL."
    )
    task_name: str | None = Field(default=None, max_length=255, description="Display name of the task.")

    @property
    def changes(self) -> dict[str, Any]:
        """Return the fields that the request contains."""
        return self.model_dump(include=self.model_fields_set)


class TableListRequest(BaseModel):
    """The tables of a task."""

    model_config = ConfigDict(json_schema_extra={"example": {"tables": ["customer", "sales.purchase"]}})

    tables: Annotated[list[str], Field(min_length=1, max_length=10_000)] | Annotated[str, Field(min_length=1)]


class CompleteRun(RunOptions):
    """Back up the earlier files, then run every step."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"execution_mode": "complete", "backup_vector_tables": True}}
    )

    execution_mode: Literal["complete"] = "complete"


class StepRun(RunOptions):
    """Run one step on the task directory, without a backup of its files."""

    model_config = ConfigDict(json_schema_extra={"example": {"execution_mode": "step", "step_name": "ddl_generation"}})

    execution_mode: Literal["step"]
    step_name: str = Field(max_length=100, json_schema_extra={"enum": list(STEP_NAMES)})


def _mode(value: Any) -> Any:
    mode = (
        value.get("execution_mode", "complete") if isinstance(value, dict) else getattr(value, "execution_mode", None)
    )
    return mode if isinstance(mode, str) else str(mode)


ExecuteRequest = Annotated[
    Annotated[CompleteRun, Tag("complete")] | Annotated[StepRun, Tag("step")], Discriminator(_mode)
]


class RestoreRequest(BaseModel):
    """The files of a backup to restore."""

    model_config = ConfigDict(json_schema_extra={"example": {"files": ["customer.ddl"], "dry_run": True}})

    files: list[str] | None = Field(default=None, description="Only these files; null: all.", min_length=1)
    dry_run: StrictBool = Field(default=False, description="Only show what would change, file by file.")


class NoteRequest(BaseModel):
    """The note of a backup."""

    model_config = ConfigDict(json_schema_extra={"example": {"note": "before the new price model"}})

    note: Annotated[str, Field(max_length=NOTE_LIMIT_CHARACTERS, pattern=NOTE_PATTERN)] | None = Field(
        description="The note; null deletes it."
    )


class VerifyRequest(BaseModel):
    """The options of a verification."""

    model_config = ConfigDict(json_schema_extra={"example": {"record_checksums": True}})

    record_checksums: StrictBool = Field(
        default=False, description="Record SHA-256 checksums if the backup is good and has none."
    )


class BackupSearchRequest(BaseModel):
    """The text to search backups for."""

    model_config = ConfigDict(json_schema_extra={"example": {"text": "Ada Lovelace"}})

    text: str = Field(
        min_length=SHORTEST_TEXT,
        max_length=LONGEST_TEXT,
        description="Text to find, in any case, Unicode normal form, escaping and common encoding.",
    )
    task_id: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_]{1,64}$", description="Search only the backups of this task."
    )


class PruneRequest(RetentionPolicy):
    """The rules of a pruning; without rules, the rules of the settings apply."""

    model_config = ConfigDict(json_schema_extra={"example": {"keep_last": 3, "keep_daily": 7, "dry_run": True}})

    force: StrictBool = Field(default=False, description="Also delete backups with failures or an unknown outcome.")
    dry_run: StrictBool = Field(default=False, description="Only show what would be deleted, and why.")

    @property
    def rules(self) -> dict[str, Any]:
        """Return only the rules."""
        return self.model_dump(include=set(RetentionPolicy.model_fields))


class VectorPruneRequest(PruneRequest):
    """The folder to prune and the rules; without rules, the rules of the settings apply."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"task_id": "task_20260121_094400", "keep_last": 3, "dry_run": True}}
    )

    task_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_]{1,64}$",
        description="Task whose folder is pruned; null: the folder of no task.",
    )
    force: StrictBool = Field(default=False, description="Also delete damaged backups.")


class TaskQueryRequest(BaseModel):
    """The filter, order and page of a list of tasks. Names match by a part, in any case."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"status": "completed", "created_time_start": "2026-01-21T00:00:00+08:00", "page_size": 50}
        }
    )

    page: Number = Field(default=1, ge=1, le=1_000_000)
    page_size: Number = Field(default=20, ge=1, le=100)
    status: RunStatus | None = None
    task_name: str | None = Field(default=None, max_length=100)
    created_by: str | None = Field(default=None, max_length=50)
    db_name: str | None = Field(default=None, max_length=255)
    created_time_start: Time | None = None
    created_time_end: Time | None = None
    started_time_start: Time | None = None
    started_time_end: Time | None = None
    completed_time_start: Time | None = None
    completed_time_end: Time | None = None
    sort_by: SortColumn = "created_at"
    sort_order: Literal["asc", "desc"] = "desc"


class DeleteRequest(BaseModel):
    """The tasks to delete; `confirm` must be true."""

    model_config = ConfigDict(json_schema_extra={"example": {"task_ids": ["task_20260121_094400"], "confirm": True}})

    task_ids: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,64}$")]] = Field(min_length=1, max_length=100)
    confirm: Literal[True] = Field(description="Must be true.")
    delete_database_records: StrictBool = Field(default=False, description="Delete the history too.")
    continue_on_error: StrictBool = Field(
        default=True, description="Continue with the next task if one cannot be deleted."
    )


class LogQueryRequest(BaseModel):
    """The filter, order and page of the entries of a log."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"level": "WARNING", "keyword": "customer", "sort_order": "asc"}}
    )

    page: Number = Field(default=1, ge=1, le=1_000_000)
    page_size: Number = Field(default=50, ge=1, le=500)
    level: Level | None = None
    start_time: Time | None = None
    end_time: Time | None = None
    keyword: str | None = Field(default=None, max_length=200)
    logger_name: str | None = Field(default=None, max_length=200)
    step_name: str | None = Field(default=None, max_length=100)
    sort_by: LogColumn = "timestamp"
    sort_order: Literal["asc", "desc"] = "desc"


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


class SearchRequest(BaseModel):
    """The question, and where to search; null: everywhere."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"question": "How many orders per month?", "limit": 5, "kinds": ["sql", "ddl"]}}
    )

    question: Annotated[str, AfterValidator(_not_blank)] = Field(max_length=10_000, pattern=r"\S")
    limit: Number = Field(default=5, ge=1, le=100)
    kinds: list[Kind] | None = Field(default=None, min_length=1, max_length=3)
    task_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_]{1,64}$", description="Only items of this task.")
    database: str | None = Field(
        default=None,
        max_length=2000,
        pattern=r"^[^\x00]*$",
        description="Only items about this database, by its name in results.",
    )


def _only_store(value: object) -> object:
    if value is not None:
        raise ValueError("not supported, because the server has one vector store: omit it")
    return value


_ALL_TABLES: list[list[str] | None] = [
    None,
    ["vector_items"],
    ["langchain_pg_collection", "langchain_pg_embedding"],
    ["langchain_pg_embedding", "langchain_pg_collection"],
]


def _all_tables(value: list[str] | None) -> list[str] | None:
    if value not in _ALL_TABLES:
        raise ValueError("must have all tables or be omitted, because a backup is restored as a whole")
    return value


class VectorBackupRequest(BaseModel):
    """The task whose folder gets the backup of the vector store; null: the folder of no task."""

    model_config = ConfigDict(json_schema_extra={"example": {"task_id": "task_20260121_094400"}})

    task_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_]{1,64}$")
    backup_vector_tables: StrictBool = True
    db_connection: Annotated[None, BeforeValidator(_only_store)] = Field(
        default=None, description="Not supported: the server has one vector store."
    )


class VectorRestoreRequest(BaseModel):
    """The backup of the vector store to restore, by its names in the list."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"backup_path": "task_20260121_094400/vector_bak", "timestamp": "20260121_094400"}
        }
    )

    backup_path: str = Field(pattern=r"^([A-Za-z0-9_]{1,64}/)?vector_bak/?$")
    timestamp: str = Field(pattern=r"^[0-9]{8}_[0-9]{6}$")
    tables: Annotated[list[str] | None, AfterValidator(_all_tables)] = Field(
        default=None,
        description="All tables, by the names of the older system, or null, which means the same.",
        json_schema_extra={"enum": _ALL_TABLES},  # type: ignore[dict-item]
    )
    db_connection: Annotated[None, BeforeValidator(_only_store)] = Field(
        default=None, description="Not supported: the server has one vector store."
    )
    truncate_before_restore: StrictBool = Field(
        default=False, description="No effect: a restore always replaces the content of the store, in one transaction."
    )


class TablesRequest(BaseModel):
    """The database and the tables to list."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"db_connection": "shop", "schema": "public,sales", "table_name_pattern": "cust*"}
        }
    )

    db_connection: str | None = Field(default=None, max_length=2000)
    schema_: str = Field(
        default="public", alias="schema", min_length=1, max_length=1000, description="Separated by commas."
    )
    table_name_pattern: str | None = Field(default=None, max_length=200, description="`*` and `%` match any text.")


class DdlRequest(BaseModel):
    """The table, and the form of its description."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"table": "public.customer", "db_connection": "shop", "type": "both"}}
    )

    table: str = Field(min_length=1, max_length=300)
    db_connection: str | None = Field(default=None, max_length=2000)
    business_context: str = Field(default="", max_length=10_000)
    type: Literal["ddl", "md", "both"] = "ddl"
    language: Language = "en"
