"""Tasks and runs without a server, with the same files and the same history."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from data_pipeline.api.simple_workflow import SimpleWorkflowExecutor
from data_pipeline.config.database_urls import anchored, source_of
from data_pipeline.config.settings import Settings
from data_pipeline.database.connection import database_name
from data_pipeline.errors import DirectoryUnusable, InvalidInput, OutcomeUnsettled
from data_pipeline.events import Emit
from data_pipeline.runs.records import StoreRecords
from data_pipeline.semantics.glossary import parse_glossary
from data_pipeline.steps import STEPS, RunParameters
from data_pipeline.steps.qa.step import GLOSSARY
from data_pipeline.store import Store, Task
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.backup.catalogue import find_backup
from data_pipeline.tasks.backup.checksums import regular_files, write_checksums
from data_pipeline.tasks.backup.verify import compute_missing_checksums
from data_pipeline.tasks.ids import new_work_id
from data_pipeline.tasks.parameters import RunOptions, TaskParameters
from data_pipeline.tasks.results import Json, RunResult
from data_pipeline.tasks.step_names import STEP_NAMES
from data_pipeline.tasks.table_list import decode_table_list, parse_table_list
from data_pipeline.tasks.workspace import make_directories, open_workspace, printable
from data_pipeline.use_cases.disk import door

if TYPE_CHECKING:
    from data_pipeline.language_model.client import Answers, LanguageModel


@dataclass(frozen=True)
class NewTask:
    """The request for a new task; `table_list` is the content of the file."""

    db_connection: str
    table_list: bytes
    task_name: str | None = None
    parameters: TaskParameters = field(default_factory=TaskParameters)


def kept_connection(settings: Settings, named: str) -> str:
    """Return the connection that a task stores: the name of a configured database, else an absolute URL.

    Raises InvalidInput.
    """
    url = anchored(settings.database_named(named))
    return named if settings.has_database(named) else url


async def create_task(settings: Settings, store: Store, new: NewTask) -> Task:
    """Check everything, then create the task and its directory with the table list.

    Raises InvalidInput, DatabaseUnavailable ... before anything is created.
    """
    url = anchored(settings.database_named(new.db_connection))
    parameters = RunParameters(**new.parameters.model_dump(), db_connection=url, vectors=settings.vector_place)
    kept = kept_connection(settings, new.db_connection)
    tables = parse_table_list(decode_table_list(new.table_list))
    for step in STEPS:
        await step.check(parameters, tables)
    task = store.create_task(
        {**parameters.of_task(), "db_connection": kept},
        task_name=new.task_name,
        db_name=database_name(url),
        created_type="manual",
        local_time=_local_now(),
    )
    try:
        put_table_list(settings, task.task_id, new.table_list)
    except OutcomeUnsettled:
        raise  # recovery may still publish the list: keep the task
    except BaseException:
        store.delete_task(task.task_id)
        raise
    return task


def put_table_list(
    settings: Settings, task_id: str, content: bytes, *, lock_timeout_seconds: float | None = None
) -> None:
    """Write the table list of a task; keep an earlier one aside. Raises InvalidInput, TaskBusy, DirectoryUnusable."""
    parse_table_list(decode_table_list(content))
    path = task_directory.path_of(settings.training_data_path, task_id)
    try:
        make_directories(path)
    except OSError as error:
        raise DirectoryUnusable(
            f"{printable(path)} cannot be created ({error}). Correct the permissions of its parent directories."
        ) from error
    seconds = settings.lock_timeout_seconds if lock_timeout_seconds is None else lock_timeout_seconds
    with open_workspace(path, task_id, label="table list", timeout_seconds=seconds, door=door(settings)) as workspace:
        workspace.put(
            task_directory.TABLE_LIST,
            content,
            label="table list",
            run_id=new_work_id("put"),
        )


def change_task(
    settings: Settings, store: Store, task_id: str, changes: Mapping[str, Any], *, lock_timeout_seconds: float = 0
) -> Task:
    """Change the fields of a task that `changes` has: parameters, `task_name`, `db_connection`.

    `db_connection` is the name of a configured database, or a URL. Raises NotFound, InvalidInput, and TaskBusy while
    the task runs.
    """
    task = store.task(task_id)
    values = {**task.parameters, **{name: value for name, value in changes.items() if name != "task_name"}}
    try:
        parameters = RunParameters.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        raise InvalidInput(str(fault["loc"][0]), fault["msg"].removeprefix("Value error, ")) from None
    named = {"task_name": changes["task_name"]} if "task_name" in changes else {}
    with contextlib.ExitStack() as stack:
        path = task_directory.path_of(settings.training_data_path, task_id)
        if os.path.isdir(path):
            stack.enter_context(
                open_workspace(
                    path, task_id, label="change of parameters", timeout_seconds=lock_timeout_seconds,
                    door=door(settings),
                )
            )  # fmt: skip
        return store.change_task(task_id, parameters=parameters.of_task(), **named)


def check_glossary(content: bytes) -> None:
    """Check that a file is a glossary. Raises InvalidInput with every bad line."""
    parse_glossary(content, GLOSSARY)


def put_glossary(settings: Settings, task_id: str, content: bytes) -> None:
    """Write the glossary of a task; keep an earlier one aside. Raises InvalidInput, TaskBusy, DirectoryUnusable."""
    check_glossary(content)
    path = task_directory.path_of(settings.training_data_path, task_id)
    seconds = settings.lock_timeout_seconds
    with open_workspace(path, task_id, label="glossary", timeout_seconds=seconds, door=door(settings)) as workspace:
        workspace.put(GLOSSARY, content, label="glossary", run_id=new_work_id("put"))


async def run_task(
    settings: Settings,
    store: Store,
    task: Task,
    *,
    step: str | None,
    emit: Emit,
    options: RunOptions | None = None,
    lock_timeout_seconds: float | None = None,
) -> RunResult:
    """Run a task, or one step of it, in this process. Raises the errors of `SimpleWorkflowExecutor`."""
    if step is not None and step not in STEP_NAMES:
        raise InvalidInput("step", f"{step[:80]!a} is not a step; there are: {', '.join(STEP_NAMES)}")
    run_id = new_work_id("run")
    executor = SimpleWorkflowExecutor(
        task.task_id,
        directory=task_directory.path_of(settings.training_data_path, task.task_id),
        parameters=run_parameters(settings, task, options),
        run_id=run_id,
        model=language_model(settings, store),
        records=StoreRecords(store, task.task_id, run_id, step=step, all_steps=STEP_NAMES),
        emit=emit,
        backup_enabled=settings.backup_enabled,
        retention=settings.retention,
        vector_retention=settings.vector_retention,
        lock_timeout_seconds=settings.lock_timeout_seconds if lock_timeout_seconds is None else lock_timeout_seconds,
        door=door(settings),
    )
    return await executor.execute(step)


def record_run_checksums(
    settings: Settings, task_id: str, backup: str, *, progress: Callable[[int, int], None]
) -> None:
    """Record the checksums of the backup that a run made. Call it after the run has ended.

    `progress` gets the number of bytes read and of all bytes. Raises NotFound, DirectoryUnusable, PublishFailed,
    RecoveryNeeded, OutcomeUnsettled, and TaskBusy if another run holds the task longer than the settings allow.
    """
    path = task_directory.path_of(settings.training_data_path, task_id)
    total, done = sum(file.size_bytes for file in regular_files(find_backup(path, backup))), 0

    def advance(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        progress(done, total)

    manifest = compute_missing_checksums(path, backup, on_bytes=advance)
    if manifest is not None:
        work_id = new_work_id("checksums")
        seconds = settings.lock_timeout_seconds
        write_checksums(path, task_id, manifest, work_id=work_id, timeout_seconds=seconds, door=door(settings))


def run_parameters(settings: Settings, task: Task, options: RunOptions | None = None) -> RunParameters:
    """Return a task's parameters with the URL of its database.

    A task stores the name of a configured database, so that its password may change. Raises InvalidInput if the name is
    not configured any more.
    """
    kept = task.parameters["db_connection"]
    if "://" not in kept and not settings.has_database(kept):
        setting = f"DATA_PIPELINE_DATABASES__{kept.upper()}"
        raise InvalidInput(
            "db_connection",
            f"task {task.task_id} uses the database {kept!a}, which is not configured here: set {setting}",
        )
    url = settings.database_named(kept)
    own = {name: value for name, value in task.parameters.items() if value is not None}
    return RunParameters.model_validate(
        {
            **wishes(settings),
            **own,
            "db_connection": url,
            "options": options or RunOptions(),
            "source": kept.lower() if settings.has_database(kept) else source_of(url),
            "vectors": settings.vector_place,
        }
    )


def wishes(settings: Settings) -> Json:
    """Return the settings that are defaults of a task's parameters."""
    return {
        "pairs_per_table": settings.qa_pairs_per_table,
        "max_pairs": settings.qa_max_pairs,
        "difficulty_mix": settings.qa_difficulty_mix,
        "seed": settings.qa_seed,
        "llm_pairs_per_theme": settings.qa_llm_pairs_per_theme,
        "llm_paraphrase_share": settings.qa_llm_paraphrase_share,
    }


def language_model(settings: Settings, answers: Answers | None = None) -> LanguageModel | None:
    """Return the configured language model for one run; None if none is configured."""
    endpoint = settings.model_endpoint
    if endpoint is None:
        return None
    from data_pipeline.language_model.client import LanguageModel  # noqa: PLC0415 - a third of a second, for those who have one

    return LanguageModel(endpoint, answers)


def _local_now() -> datetime:
    return datetime.now(UTC).astimezone()
