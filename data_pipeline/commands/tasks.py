"""`data-pipeline tasks list|show|create|edit|delete|files|logs`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from data_pipeline.commands.arguments import (
    AsJson,
    TaskId,
    complete_task,
    content_of,
    directory_of,
    load_settings,
    open_existing_store,
)
from data_pipeline.commands.exit_codes import ExitCode, code_of_all, code_of_error
from data_pipeline.commands.groups import Group
from data_pipeline.commands.options import validated, with_options
from data_pipeline.commands.output import (
    coloured,
    local_time,
    new_console,
    print_fields,
    print_json,
    print_lines,
    print_table,
)
from data_pipeline.commands.running import DbConnection, TaskName
from data_pipeline.commands.standard_streams import output_failure
from data_pipeline.errors import InvalidInput, NotFound, PipelineError
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.log_reading import Level, LogEntry
from data_pipeline.tasks.parameters import TaskParameters
from data_pipeline.tasks.statuses import RunStatus
from data_pipeline.tasks.step_names import STEP_NAMES

if TYPE_CHECKING:
    from data_pipeline.config.settings import Settings
    from data_pipeline.store import Store

FOLLOW_SECONDS: Final = 0.5

app = typer.Typer(
    name="tasks",
    cls=Group,
    no_args_is_help=True,
    help="Tasks: create, list, show, edit, delete; their files and logs.",
)

LIST_EXAMPLES = """\b
Examples:
  data-pipeline tasks list
  data-pipeline tasks list --status failed --limit 10
  data-pipeline tasks list --json
"""


@app.command("list", epilog=LIST_EXAMPLES)
def list_(
    status: Annotated[RunStatus | None, typer.Option(help="Only tasks in this state.")] = None,
    limit: Annotated[int, typer.Option(help="Maximum number of tasks, newest first.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List tasks, newest first."""
    from data_pipeline.store import TaskQuery
    from data_pipeline.use_cases.task_json import listed_task

    settings = load_settings()
    rows: list[dict[str, Any]] = []
    total = 0
    try:
        with open_existing_store(settings) as store:
            page, total = store.tasks(TaskQuery(status=status), all_steps=STEP_NAMES, limit=limit)
    except NotFound:
        page = []
    for listed in page:
        path = task_directory.path_of(settings.training_data_path, listed.task.task_id)
        rows.append(listed_task(listed, has_directory=task_directory.is_task_directory(path)))
    if as_json:
        print_json(rows)
    elif rows:
        headings = ("task", "state", "database", "made", "name")
        print_table(
            headings,
            (
                (
                    row["task_id"],
                    row["status"],
                    row["db_name"] or "-",
                    local_time(row["created_at"]),
                    row["task_name"] or "",
                )
                for row in rows
            ),
        )
        if total > len(rows):
            new_console(stderr=True).print(f"{len(rows)} of {total} tasks; --limit shows more.", highlight=False)
    else:
        from data_pipeline.tasks.workspace import printable

        which = f" in the state {status}" if status else ""
        print_lines([f"There are no tasks{which} in {printable(settings.home_path)}."])


SHOW_EXAMPLES = """\b
Examples:
  data-pipeline tasks show task_20250121_094400
  data-pipeline tasks show task_20250121_094400 --json
"""


@app.command(epilog=SHOW_EXAMPLES)
def show(task: TaskId, as_json: AsJson = False) -> None:
    """Show a task: its state, its steps, its runs."""
    from data_pipeline.tasks.backup.catalogue import list_backups
    from data_pipeline.tasks.files import list_files
    from data_pipeline.tasks.workspace import check_not_link, printable
    from data_pipeline.use_cases.task_json import run_summary, task_status

    settings = load_settings()
    with open_existing_store(settings) as store:
        overview = store.overview(task_directory.check_task_id(task), STEP_NAMES)
        runs = [run_summary(execution) for execution in store.executions(task, limit=10)]
    status = task_status(overview)
    if as_json:
        print_json({**status, "executions": runs})
        return
    path = task_directory.path_of(settings.training_data_path, task)
    check_not_link(path)
    has_directory = os.path.isdir(path)
    backups = len(list_backups(path)) if has_directory else 0
    parameters = status["parameters"]
    fields = [
        ("task", task + (f" ({status['task_name']})" if status["task_name"] else "")),
        ("state", status["status"]),
        ("database", f"{parameters['db_connection']}, language {parameters['language']}"),
        ("made", local_time(status["created_at"])),
        ("directory", printable(path) if has_directory else "not there"),
        ("holds", f"{len(list_files(path))} files, {backups} backups"),
    ]
    fields += [("step", _step_line(step)) for step in status["steps"]]
    if status["error_message"]:
        fields.append(("error", status["error_message"]))
    print_fields(fields)
    if runs:
        print_lines(["", "Newest runs:"])
        print_table(("run", "state", "mode", "began", "seconds", "backup"), (_run_row(run) for run in runs))


def _step_line(step: dict[str, Any]) -> str:
    """Format a step's name and state, with the reason if it was skipped."""
    state = step["result_status"] or step["step_status"]
    return f"{step['step_name']}: {state}" + (f" ({step['reason']})" if step["reason"] else "")


def _run_row(run: dict[str, Any]) -> Sequence[str]:
    began, ended = run["started_at"], run["completed_at"]
    seconds = f"{(ended - began).total_seconds():.2f}" if began and ended else "-"
    report = run["backup"] or {}
    backup = "unknown" if report.get("state") == "unknown" else report.get("directory") or "-"
    return run["execution_id"], run["status"], run["execution_mode"], local_time(began), seconds, backup


CREATE_EXAMPLES = """\b
Examples:
  data-pipeline tasks create --db-connection shop --table-list tables.txt --task-name nightly
  data-pipeline run "$(data-pipeline tasks create --db-connection shop --table-list tables.txt)"
"""


@app.command(epilog=CREATE_EXAMPLES)
@with_options(TaskParameters, "parameters")
def create(
    db_connection: Annotated[str, typer.Option(help="URL of the database, or the name of a configured one.")],
    table_list: Annotated[Path, typer.Option(help="File with table names.")],
    parameters: Mapping[str, Any],
    task_name: TaskName = None,
    as_json: AsJson = False,
) -> None:
    """Create a task without running it, and print its id. Every table must exist in the database."""
    import asyncio

    from data_pipeline.store import Store
    from data_pipeline.tasks.workspace import printable
    from data_pipeline.use_cases.foreground import NewTask, create_task

    settings = load_settings()
    content = content_of(table_list, "--table-list")
    new = NewTask(db_connection, content, task_name, validated(TaskParameters, parameters))
    with Store.open(settings.store_url) as store:
        task = asyncio.run(create_task(settings, store, new))
    if as_json:
        path = printable(task_directory.path_of(settings.training_data_path, task.task_id))
        print_json({"task_id": task.task_id, "status": task.status, "created_at": task.created_at, "directory": path})
    else:
        print_lines([task.task_id])


EDIT_EXAMPLES = """\b
Examples:
  data-pipeline tasks edit task_20250121_094400 --language zh --pairs-per-table 10
  data-pipeline tasks edit task_20250121_094400 --no-mask-personal-data
"""


@app.command(epilog=EDIT_EXAMPLES)
@with_options(TaskParameters, "parameters")
def edit(
    task: TaskId,
    parameters: Mapping[str, Any],
    db_connection: DbConnection = None,
    task_name: TaskName = None,
    as_json: AsJson = False,
) -> None:
    """Change parameters of a task for its next runs. Rejected while the task runs."""
    from data_pipeline.use_cases.foreground import change_task, kept_connection
    from data_pipeline.use_cases.task_json import task_status

    settings = load_settings()
    validated(TaskParameters, parameters)
    changes = {"db_connection": db_connection, "task_name": task_name, **parameters}
    changes = {name: value for name, value in changes.items() if value is not None}
    if not changes:
        raise InvalidInput("tasks edit", "nothing to change: set at least one option")
    if db_connection is not None:
        changes["db_connection"] = kept_connection(settings, db_connection)
    with open_existing_store(settings) as store:
        changed = change_task(settings, store, task_directory.check_task_id(task), changes)
        status = task_status(store.overview(changed.task_id, STEP_NAMES))
    if as_json:
        print_json(status)
    else:
        print_lines([f"Changed {', '.join(sorted(changes))} of {task}."])


DELETE_EXAMPLES = """\b
Examples:
  data-pipeline tasks delete task_20250121_094400 --dry-run
  data-pipeline tasks delete task_20250121_094400
  data-pipeline tasks delete task_20250121_094400 task_20250122_101500 --yes
"""


@app.command(epilog=DELETE_EXAMPLES)
def delete(
    tasks: Annotated[list[str], typer.Argument(metavar="TASK", help="Ids of the tasks.", autocompletion=complete_task)],
    keep_history: Annotated[
        bool, typer.Option("--keep-history", help="Delete only the files; the task stays in `tasks list`.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete tasks with their directories and all their backups. This cannot be undone. A running task is kept."""
    settings = load_settings()
    chosen = [task_directory.check_task_id(task) for task in dict.fromkeys(tasks)]
    with open_existing_store(settings) as store:
        sizes = [_size(settings, store, task) for task in chosen]
    if dry_run:
        _print_deletion([{**size, "state": "would be deleted"} for size in sizes], as_json)
        return
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise InvalidInput(
                "tasks delete", "not a terminal: pass --yes to confirm; --dry-run shows what would be deleted"
            )
        _print_deletion([{**size, "state": "to be deleted"} for size in sizes], as_json)
        typer.confirm("Delete all this?", abort=True)
    results, code = _delete(settings, chosen, with_history=not keep_history)
    _print_deletion([{**size, **result} for size, result in zip(sizes, results, strict=True)], as_json)
    if code:
        raise typer.Exit(code)


def _size(settings: Settings, store: Store, task: str) -> dict[str, Any]:
    """Count the files, backups and bytes of a task's directory. Raises NotFound."""
    from data_pipeline.tasks.backup.catalogue import list_backups
    from data_pipeline.tasks.files import list_files

    store.task(task)
    path = task_directory.path_of(settings.training_data_path, task)
    files = list_files(path)
    backups = list_backups(path) if os.path.isdir(path) else []
    size_bytes = sum(file.size_bytes for file in files) + sum(backup.size_bytes for backup in backups)
    return {"task_id": task, "file_count": len(files), "backup_count": len(backups), "size_bytes": size_bytes}


def _delete(settings: Settings, tasks: Sequence[str], *, with_history: bool) -> tuple[list[dict[str, Any]], ExitCode]:
    """Delete tasks; return the result of each one and the exit code. A task with a queued run is not deleted."""
    from data_pipeline.use_cases.deletion import task_deletion

    results = []
    codes = []
    with task_deletion(settings) as deletion:
        for task in tasks:
            try:
                deletion.delete(task, with_history=with_history)
                results.append({"state": "deleted", "error": None})
                codes.append(ExitCode.DONE)
            except PipelineError as error:
                results.append({"state": "failed", "error": str(error)})
                codes.append(code_of_error(error))
    return results, code_of_all(codes)


def _print_deletion(results: Sequence[dict[str, Any]], as_json: bool) -> None:
    from data_pipeline.use_cases.task_json import formatted_size

    if as_json:
        print_json(results)
        return
    for result in results:
        held = f"files: {result['file_count']}, backups: {result['backup_count']}"
        line = f"{result['task_id']}: {result['state']} ({held}, {formatted_size(result['size_bytes'])})"
        print_lines([f"{result['task_id']}: {result['error']}" if result.get("error") else line])


FILES_EXAMPLES = """\b
Examples:
  data-pipeline tasks files task_20250121_094400
  data-pipeline tasks files task_20250121_094400 --json
"""


@app.command(epilog=FILES_EXAMPLES)
def files(task: TaskId, as_json: AsJson = False) -> None:
    """List files of a task, newest first. `backups show` lists those of a backup."""
    from data_pipeline.tasks.files import list_files
    from data_pipeline.tasks.workspace import printable
    from data_pipeline.use_cases.task_json import task_file

    path = directory_of(load_settings(), task)
    task_files = list_files(path)
    if as_json:
        print_json([task_file(file) for file in task_files])
        return
    rows = [(file.name, file.type, f"{file.size_bytes:,}", local_time(file.modified_at)) for file in task_files]
    print_table(("file", "type", "bytes", "changed"), rows)
    new_console(stderr=True).print(f"in {printable(path)}", markup=False, highlight=False, soft_wrap=True)


LOGS_EXAMPLES = """\b
Examples:
  data-pipeline tasks logs task_20250121_094400
  data-pipeline tasks logs task_20250121_094400 --level ERROR
  data-pipeline tasks logs task_20250121_094400 --follow
"""


@app.command(epilog=LOGS_EXAMPLES)
def logs(
    task: TaskId,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Show the last N entries.", min=1)] = 100,
    level: Annotated[Level | None, typer.Option(help="Only entries of this level.", case_sensitive=False)] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue with new entries until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the log of a task's newest run. Logs of earlier runs are in their backups."""
    from data_pipeline.tasks.files import read_log
    from data_pipeline.use_cases.task_json import log_entry

    path = directory_of(load_settings(), task)
    if follow and as_json:
        raise InvalidInput("tasks logs", "--follow and --json cannot be combined")
    entries = read_log(path)
    chosen = [entry for entry in entries if level in (None, entry.level)][-limit:]
    if as_json:
        print_json([log_entry(entry) for entry in chosen])
        return
    _print_entries(chosen)
    if follow:
        for entry in _new_entries(path, entries):
            if level in (None, entry.level):
                _print_entries([entry])


def _new_entries(path: str, seen: Sequence[LogEntry]) -> Iterator[LogEntry]:
    """Yield new entries until the reader closes the pipe. The log of a new run is read from its beginning."""
    from data_pipeline.tasks.files import read_log

    while output_failure() is None:
        time.sleep(FOLLOW_SECONDS)
        entries = read_log(path)
        is_same_log = entries[:1] == seen[:1]
        yield from entries[len(seen) :] if is_same_log else entries
        seen = entries


def _print_entries(entries: Sequence[LogEntry]) -> None:
    from rich.text import Text

    console = new_console()
    for entry in entries:
        line = Text.assemble(
            (f"{entry.timestamp:%Y-%m-%d %H:%M:%S} ", "dim"), coloured(entry.level), f" {entry.message}"
        )
        console.print(line, highlight=False, soft_wrap=True)
