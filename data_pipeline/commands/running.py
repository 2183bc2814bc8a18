"""`data-pipeline run`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from data_pipeline.commands.arguments import AsJson, complete_task, content_of, load_settings
from data_pipeline.commands.exit_codes import code_of_run
from data_pipeline.commands.options import validated, with_options
from data_pipeline.commands.output import new_console, print_json, print_lines
from data_pipeline.errors import InvalidInput, PipelineError
from data_pipeline.tasks.parameters import RunOptions, TaskParameters
from data_pipeline.tasks.step_names import STEP_NAMES

if TYPE_CHECKING:
    from data_pipeline.config.settings import Settings
    from data_pipeline.tasks.results import LoadResult, PairsResult, RunResult, StepResult

app = typer.Typer()

RUN_EXAMPLES = """\b
Examples:
  data-pipeline run --db-connection sqlite:///shop.sqlite --table-list tables.txt
  data-pipeline run task_20250121_094400
  data-pipeline run task_20250121_094400 --step ddl_generation
"""

DbConnection = Annotated[
    str | None, typer.Option(help="URL of the database, or the name of a configured one; required for a new task.")
]
TaskName = Annotated[str | None, typer.Option(help="Display name of the task.")]


_NONE: Final[Mapping[str, Any]] = {}


def _complete_step(incomplete: str) -> list[str]:
    return [name for name in STEP_NAMES if name.startswith(incomplete)]


@app.command(epilog=RUN_EXAMPLES)
@with_options(TaskParameters, "parameters")
@with_options(RunOptions, "options")
def run(
    task: Annotated[
        str | None,
        typer.Argument(metavar="TASK", help="Task to run again; default: a new task.", autocompletion=complete_task),
    ] = None,
    db_connection: DbConnection = None,
    table_list: Annotated[Path | None, typer.Option(help="File with table names; replaces that of a task.")] = None,
    task_name: TaskName = None,
    parameters: Mapping[str, Any] = _NONE,
    glossary: Annotated[
        Path | None, typer.Option(help="CSV file of business terms (term,target,synonyms); replaces that of a task.")
    ] = None,
    step: Annotated[
        str | None, typer.Option(help="Run only this step, without a backup.", autocompletion=_complete_step)
    ] = None,
    options: Mapping[str, Any] = _NONE,
    lock_timeout: Annotated[
        float | None, typer.Option(help="Seconds to wait for a busy task; default: the setting.", min=0)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a task in this process: back up the files of earlier runs, then run every step."""
    import asyncio

    from data_pipeline.commands.terminal import watching
    from data_pipeline.store import Store
    from data_pipeline.tasks import task_directory
    from data_pipeline.use_cases.foreground import (
        NewTask,
        check_glossary,
        create_task,
        put_glossary,
        put_table_list,
        run_task,
    )

    given = {"db_connection": db_connection, "task_name": task_name, **parameters}
    for_new_tasks = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if task is not None and for_new_tasks:
        raise InvalidInput(
            "run",
            f"{', '.join(for_new_tasks)}: only for a new task, and {task!a} already exists. Change its parameters with "
            "`data-pipeline tasks edit`",
        )
    settings = load_settings()
    content = None if table_list is None else content_of(table_list, "--table-list")
    terms = None if glossary is None else content_of(glossary, "--glossary")
    if terms is not None:
        check_glossary(terms)
    with Store.open(settings.store_url) as store, watching(new_console(stderr=True), is_quiet=as_json) as emit:
        if task is None:
            if db_connection is None or content is None:
                raise InvalidInput("run", "name a task, or set --db-connection and --table-list to create one")
            new = NewTask(db_connection, content, task_name, validated(TaskParameters, parameters))
            found = asyncio.run(create_task(settings, store, new))
        else:
            found = store.task(task_directory.check_task_id(task))
            if content is not None:
                put_table_list(settings, task, content)
        if terms is not None:
            put_glossary(settings, found.task_id, terms)
        result = asyncio.run(
            run_task(
                settings, store, found, step=step, emit=emit, options=validated(RunOptions, options),
                lock_timeout_seconds=lock_timeout,
            )
        )  # fmt: skip
    path = task_directory.path_of(settings.training_data_path, found.task_id)
    if as_json:
        print_json(result.as_json())
    else:
        print_lines(_lines(result, path))
    backup = result.backup.made_backup if result.backup is not None and settings.backup_checksums else None
    if backup is not None:
        _record_checksums(settings, found.task_id, backup, is_quiet=as_json)
    if code := code_of_run(result):
        raise typer.Exit(code)


def _record_checksums(settings: Settings, task_id: str, backup: str, *, is_quiet: bool) -> None:
    """Record the checksums of the run's backup. Neither a failure nor Ctrl-C changes the exit code of the run."""
    from data_pipeline.commands.terminal import watching_bytes
    from data_pipeline.use_cases.foreground import record_run_checksums

    try:
        sys.stdout.flush()  # the user sees the result before the long read of the backup
        with watching_bytes(new_console(stderr=True), "checksums", is_quiet=is_quiet) as progress:
            record_run_checksums(settings, task_id, backup, progress=progress)
    except (PipelineError, KeyboardInterrupt) as error:
        reason = "Interrupted." if isinstance(error, KeyboardInterrupt) else str(error)
        command = f"data-pipeline backups verify {task_id} {backup} --record-checksums"
        print(f"The checksums of {backup} are not recorded: {reason} To record them, run: {command}", file=sys.stderr)


def _lines(result: RunResult, path: str) -> list[str]:
    from data_pipeline.tasks.workspace import printable

    outcome = "completed" if result.success else f"failed: {result.error}"
    lines = [f"Task {result.task_id}, run {result.run_id}: {outcome}"]
    backup = result.backup
    if backup is not None and backup.state == "unknown":
        lines.append(f"Backup: {backup.error}")
    elif backup is not None and backup.directory is not None:
        lines.append(f"Backup: {backup.moved_count} files in {backup.directory}")
        for failed in backup.failed_files:
            copied = "copied to the backup" if failed.copied else "not in the backup"
            lines.append(f"  could not be moved: {failed.file} ({failed.error}; {copied})")
    elif backup is not None and backup.error is not None:
        lines.append(f"Backup failed: {backup.error}")
    lines += [f"Kept, because this task did not create it: {kept}" for kept in result.kept_files]
    lines += [f"Warning: {warning}" for warning in result.warnings]
    for step, artifact in result.artifacts.items():
        lines += _step_lines(step, artifact)
    lines.append(f"{result.workflow_state.statistics.files_published} files published in {printable(path)}")
    return lines


def _step_lines(step: str, result: StepResult) -> list[str]:
    """Return a summary of a step, or the reason why it was skipped."""
    from data_pipeline.tasks.results import DdlResult, LoadResult, PairsResult, SkippedResult, ValidationResult

    match result:
        case SkippedResult():
            return [f"{step} was skipped: {result.reason}"]
        case DdlResult():
            return [f"  {table}: {why}" for table, why in {**result.not_profiled, **result.not_suggested}.items()]
        case PairsResult():
            return _question_lines(result)
        case ValidationResult():
            counts = f"{result.valid_sql_count} of {result.original_sql_count} are valid"
            repaired, deleted = result.repair_stats.successful, result.file_modification_stats.deleted
            return [f"Pairs: {counts}, {repaired} of them repaired; {deleted} deleted from the file"]
        case LoadResult():
            return _load_lines(result)
    return []


def _question_lines(made: PairsResult) -> list[str]:
    coverage = made.coverage
    parts = {"tables": coverage.tables, "columns": coverage.columns, "foreign keys": coverage.foreign_keys}
    shares = ", ".join(f"{100 * part.share:.0f} % of the {name}" for name, part in parts.items() if part is not None)
    lines = [f"Questions: {made.total_questions} in {made.sql_shapes} SQL shapes, covering {shares}"]
    return lines + [f"  {place}: {why}" for place, why in {**made.problems, **made.failed_themes}.items()]


def _load_lines(loaded: LoadResult) -> list[str]:
    counts = ", ".join(f"{count} {kind}" for kind, count in loaded.data_type_counts.items())
    changes = f"{loaded.added} new, {loaded.dropped} dropped"
    lines = [f"Training items: {loaded.total_records} in the vector store ({counts}); {changes}"]
    backup = loaded.vector_backup
    if backup is not None:
        lines.append(f"Vector store backed up: {backup.item_count} items in {backup.directory}/{backup.files[0]}")
    if loaded.left_out:
        lines.append(f"Not loaded: {len(loaded.left_out)} pairs, listed in {loaded.step}_result.json")
    return lines
