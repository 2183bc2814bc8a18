"""Tasks: create, upload the table list, change parameters, get status and runs."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response, UploadFile

from data_pipeline.config.settings import Settings
from data_pipeline.database.allowed import check_allowed
from data_pipeline.database.connection import database_name
from data_pipeline.errors import InvalidInput, NotFound
from data_pipeline.service.answers import REFUSALS, success
from data_pipeline.service.models import ChangeTaskRequest, NewTaskRequest, TableListRequest
from data_pipeline.service.task_answers import RunsAnswer, TaskAnswer
from data_pipeline.steps import RunParameters
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.parameters import TaskParameters
from data_pipeline.tasks.step_names import STEP_NAMES
from data_pipeline.tasks.table_list import (
    TableName,
    decode_table_list,
    format_table_list,
    parse_table_list,
    parse_table_name,
)
from data_pipeline.tasks.workspace import check_not_link
from data_pipeline.use_cases.foreground import change_task, put_table_list
from data_pipeline.use_cases.runs import Runs
from data_pipeline.use_cases.task_json import run_summary, size_of, task_status

PREFIX = "/api/v0/data_pipeline"
LIST_LIMIT_BYTES = 2 * 1024 * 1024

router = APIRouter(prefix=PREFIX, tags=["tasks"], responses=REFUSALS)


def runs_of(request: Request) -> Runs:
    """Return the use cases of the running application."""
    return request.app.state.runs  # type: ignore[no-any-return]


def checked_task_id(task_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,64}$")]) -> str:
    """Return a valid task id. Raises NotFound for a text that cannot be one."""
    try:
        return task_directory.check_task_id(task_id)
    except InvalidInput:
        raise NotFound("task", task_id) from None


RunsDep = Annotated[Runs, Depends(runs_of)]
TaskId = Annotated[str, Depends(checked_task_id)]


@router.post("/tasks", status_code=HTTPStatus.CREATED, summary="Create task")
def create_task(request: Request, body: NewTaskRequest, runs: RunsDep) -> Response:
    """Create a task. The next step is to upload its table list."""
    kept, url = database_of(runs.settings, body.db_connection)
    parameters = RunParameters(db_connection=kept, **body.model_dump(include=set(TaskParameters.model_fields)))
    task = runs.store.create_task(
        parameters.of_task(),
        task_name=body.task_name,
        db_name=body.db_name or database_name(url),
        local_time=datetime.now(UTC).astimezone(),
    )
    where = f"{PREFIX}/tasks/{task.task_id}"
    return success(
        request,
        "The task is created. Upload its table list, then execute it.",
        {
            "task_id": task.task_id,
            "task_name": task.task_name,
            "status": task.status,
            "created_at": task.created_at,
            "file_upload_mode": True,
            "next_step": f"POST {where}/upload-table-list",
        },
        status=HTTPStatus.CREATED,
        headers={"Location": where},
    )


def database_of(settings: Settings, named: str | None) -> tuple[str, str]:
    """Return the text that the task stores for a permitted business database, and the URL of the database.

    Raises InvalidInput, NotFound, NotAllowed.
    """
    if named is None:
        if len(settings.databases) != 1:
            names = ", ".join(sorted(settings.databases)) or "none"
            raise InvalidInput("db_connection", f"name a database; configured: {names}")
        (named,) = settings.databases
    try:
        url = settings.database_named(named)
    except InvalidInput:
        names = ", ".join(sorted(settings.databases)) or "none"
        raise NotFound("configured database", named[:80], f"Configured: {names}.") from None
    if settings.has_database(named):
        return named, url
    configured = [*settings.databases.values(), *settings.allowed_databases]
    check_allowed(url, [secret.get_secret_value() for secret in configured])
    return url, url


@router.patch("/tasks/{task_id}", summary="Change task parameters", responses={200: {"model": TaskAnswer}})
def change(request: Request, task_id: TaskId, body: ChangeTaskRequest, runs: RunsDep) -> Response:
    """Change parameters; missing fields keep their values. Rejected while the task is running or queued."""
    changes = body.changes
    if "db_connection" in changes:
        changes["db_connection"], _ = database_of(runs.settings, body.db_connection)
    runs.store.task(task_id)
    runs.check_idle(task_id)
    change_task(runs.settings, runs.store, task_id, changes)
    return success(request, "The parameters are changed.", task_status(runs.store.overview(task_id, STEP_NAMES)))


@router.post("/tasks/{task_id}/upload-table-list", summary="Upload the table list of a task")
def upload_table_list(request: Request, task_id: TaskId, file: UploadFile, runs: RunsDep) -> Response:
    """Upload a .txt file in UTF-8 or GBK of at most 2 MB. It replaces an earlier table list."""
    if not (file.filename or "").lower().endswith(".txt"):
        raise InvalidInput("file", "the name must end with .txt")
    content = file.file.read(LIST_LIMIT_BYTES + 1)
    if len(content) > LIST_LIMIT_BYTES:
        raise InvalidInput("file", f"must have at most {LIST_LIMIT_BYTES} bytes")
    _put_list(runs, task_id, content)
    return success(
        request,
        "The table list is saved. Execute the task.",
        {
            "task_id": task_id,
            "filename": task_directory.TABLE_LIST,
            **size_of(len(content)),
            "upload_time": datetime.now(UTC),
        },
    )


@router.post("/tasks/{task_id}/table-list", summary="Set the tables of a task")
def give_table_list(request: Request, task_id: TaskId, body: TableListRequest, runs: RunsDep) -> Response:
    """Set the tables as a list of names or as comma-separated text. It replaces an earlier table list."""
    given = parse_table_list(body.tables) if isinstance(body.tables, str) else _names(body.tables)
    names = tuple(dict.fromkeys(given))
    content = format_table_list(names).encode()
    _put_list(runs, task_id, content)
    return success(
        request,
        "The table list is saved. Execute the task.",
        {
            "task_id": task_id,
            "filename": task_directory.TABLE_LIST,
            "table_count": len(names),
            "unique_table_count": len(names),
            "original_count": len(given),
            **size_of(len(content)),
            "created_time": datetime.now(UTC),
        },
    )


def _names(tables: list[str]) -> list[TableName]:
    names: list[TableName] = []
    problems: list[str] = []
    for table in tables:
        try:
            names.append(parse_table_name(table))
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput("tables", *problems[:20])
    return names


def _put_list(runs: Runs, task_id: str, content: bytes) -> None:
    runs.store.task(task_id)
    parse_table_list(decode_table_list(content))
    runs.check_idle(task_id)
    put_table_list(runs.settings, task_id, content, lock_timeout_seconds=0)


@router.get("/tasks/{task_id}", summary="Get task status", responses={200: {"model": TaskAnswer}})
def status(request: Request, task_id: TaskId, runs: RunsDep) -> Response:
    """Return a task's state, its steps, and its newest run with the statistics of the backup."""
    overview = runs.store.overview(task_id, STEP_NAMES)
    return success(request, f"The task is {overview.task.status.replace('_', ' ')}.", task_status(overview))


@router.get("/tasks/{task_id}/executions", summary="List runs of a task", responses={200: {"model": RunsAnswer}})
def executions(
    request: Request,
    task_id: TaskId,
    runs: RunsDep,
    limit: Annotated[int, Query(ge=1, description="Maximum number of runs, newest first; at most 100.")] = 50,
) -> Response:
    """Return the runs of a task, newest first. A later run does not overwrite the record of an earlier one."""
    runs.store.task(task_id)
    found = runs.store.executions(task_id, limit=min(limit, 100))
    return success(
        request,
        f"{len(found)} runs.",
        {"task_id": task_id, "executions": [run_summary(execution) for execution in found]},
    )


def path_of_task(runs: Runs, task_id: str) -> str:
    """Return the directory of an existing task. Raises NotFound, DirectoryUnusable for a symbolic link."""
    runs.store.task(task_id)
    path = task_directory.path_of(runs.settings.training_data_path, task_id)
    check_not_link(path)
    return path
