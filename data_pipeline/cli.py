"""The command line: reads arguments, calls, prints, and gives an exit code. Decides nothing.

0 done   1 bad input or surroundings, nothing changed   2 wrong usage   3 the run failed   75 busy   130 interrupted
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn

import typer
from rich.console import Console
from rich.table import Column, Table

from data_pipeline import task_directory
from data_pipeline.api.simple_workflow import new_run_id
from data_pipeline.backup.catalogue import find_backup, list_backups
from data_pipeline.backup.restore import RestoreReport, preview_restore, restore
from data_pipeline.errors import InvalidInput, NotFound, PipelineError, TaskBusy
from data_pipeline.foreground import NewTask, create_task, door, put_table_list, run_task
from data_pipeline.settings import Settings, load_settings
from data_pipeline.steps import Json
from data_pipeline.store import Store
from data_pipeline.terminal import watching
from data_pipeline.workspace import RecoveryReport, open_workspace, printable, recover_tasks, recovery_notes

BAD_INPUT: Final = 1
FAILED: Final = 3
BUSY: Final = 75
INTERRUPTED: Final = 130

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # they show values, and a value may be a secret
    help="Turn a relational database into text-to-SQL training data, again and again, and lose nothing.\n\n"
    "Exit codes: 0 done, 1 bad input (nothing changed), 2 wrong usage, 3 the run failed, 75 the task is busy, "
    "130 interrupted.",
)
backups = typer.Typer(no_args_is_help=True, help="The files of earlier runs: list them, show one, bring one back.")
app.add_typer(backups, name="backups")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
TaskId = Annotated[str, typer.Argument(metavar="TASK", help="The task's id.")]
BackupName = Annotated[str, typer.Argument(metavar="BACKUP", help="As `backups list` shows it.")]

RUN_EXAMPLES = """\b
Examples:
  data-pipeline run --db-connection sqlite:///shop.sqlite --table-list tables.txt
  data-pipeline run task_20250121_094400
  data-pipeline run task_20250121_094400 --step ddl_generation
"""


@app.command(epilog=RUN_EXAMPLES)
def run(
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="A task to run again; none: make one.")] = None,
    db_connection: Annotated[
        str | None, typer.Option(help="For a new task: the database's URL, or the name of a configured one.")
    ] = None,
    table_list: Annotated[Path | None, typer.Option(help="A file with table names; of a new or a known task.")] = None,
    business_context: Annotated[str, typer.Option(help="For a new task: what the database is about.")] = "",
    language: Annotated[Literal["en", "zh"], typer.Option(help="For a new task: of comments and questions.")] = "en",
    task_name: Annotated[str | None, typer.Option(help="For a new task: a name for people.")] = None,
    step: Annotated[str | None, typer.Option(help="Run this step alone, without a backup.")] = None,
    lock_timeout: Annotated[float | None, typer.Option(help="Seconds to wait for a busy task.", min=0)] = None,
    as_json: AsJson = False,
) -> None:
    """Run a task here and now: back up what earlier runs made, then run every step."""
    settings = load_settings()
    content = None if table_list is None else _read(table_list)
    with Store.open(settings.store_url) as store, watching(Console(stderr=True), is_quiet=as_json) as emit:
        if task is None:
            if db_connection is None or content is None:
                raise InvalidInput("run", "name a task, or give --db-connection and --table-list for a new one")
            new = NewTask(db_connection, content, business_context, language, task_name)
            found = asyncio.run(create_task(settings, store, new))
        else:
            found = store.task(task_directory.check_task_id(task))
            if content is not None:
                put_table_list(settings, task, content)
        result = asyncio.run(run_task(settings, store, found, step=step, emit=emit, lock_timeout_seconds=lock_timeout))
    path = task_directory.path_of(settings.training_data_path, found.task_id)
    _print(result, as_json, _run_lines(result, path))
    if not result["success"]:
        raise typer.Exit(FAILED)


SERVE_EXAMPLES = """\b
Examples:
  data-pipeline serve
  DATA_PIPELINE_DATABASES__SHOP=sqlite:///shop.sqlite data-pipeline serve --port 8084
  DATA_PIPELINE_API_KEY=... data-pipeline serve --host 0.0.0.0 --role api
"""


@app.command(epilog=SERVE_EXAMPLES)
def serve(
    host: Annotated[str, typer.Option(help="Where to listen; beyond this machine only with an API key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: a free one, which the log names.", min=0, max=65535)] = 8084,
    role: Annotated[
        Literal["all", "api", "worker"], typer.Option(help="Answer requests, work on runs, or both.")
    ] = "all",
) -> None:
    """Serve the Data Pipeline API; SIGTERM lets work under way end, and the rest goes on at the next start."""
    from data_pipeline.service.server import serve as serve_api  # noqa: PLC0415 - half a second no other command needs

    serve_api(load_settings(), host=host, port=port, role=role)


@backups.command("list")
def list_(task: TaskId, as_json: AsJson = False) -> None:
    """Every backup of a task, newest first."""
    found = list_backups(_path_of(load_settings(), task))
    if as_json:
        _print([backup.summary() for backup in found], as_json, [])
        return
    if not found:
        print(f"Task {task} has no backups.")
        return
    console = Console()
    table = Table(Column("backup", no_wrap=True), "made", "files", "bytes", "not moved", "record")
    for backup in found:
        summary = backup.summary()
        made = backup.made_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        row = (backup.name, made, str(summary["file_count"]), f"{backup.size_bytes:,}", str(summary["failed_count"]),
               backup.record_state)  # fmt: skip
        if console.is_terminal:
            table.add_row(*row)
        else:
            print("\t".join(row))
    if console.is_terminal:
        console.print(table)


@backups.command()
def show(task: TaskId, backup: BackupName, as_json: AsJson = False) -> None:
    """One backup with its files."""
    details = find_backup(_path_of(load_settings(), task), backup).details()
    lines = [
        f"{details['path']}: {details['file_count']} files, {details['size_bytes']:,} bytes, made {details['made_at']}"
    ]
    lines += [f"  {file['size_bytes']:>12,}  {file['name']}" for file in details["files"]]
    for failed in details["failed_files"]:
        copied = "a copy is here" if failed["copied"] else "not here"
        lines.append(f"  could not be moved: {failed['file']} ({failed['error']}; {copied})")
    _print(details, as_json, lines)


RESTORE_EXAMPLES = """\b
Examples:
  data-pipeline backups restore task_20250121_094400 file_bak_20250121_094400 --dry-run
  data-pipeline backups restore task_20250121_094400 file_bak_20250121_094400
  data-pipeline backups restore task_20250121_094400 file_bak_20250121_094400 orders.ddl
"""


@backups.command("restore", epilog=RESTORE_EXAMPLES)
def restore_(
    task: TaskId,
    backup: BackupName,
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE", help="Only these; none: all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a backup back; the current files first go into a new backup, so a restore can be undone the same way."""
    settings = load_settings()
    path = _path_of(settings, task)
    find_backup(path, backup)
    if dry_run:
        report = preview_restore(path, backup, files or None)
    else:
        with open_workspace(
            path, task, label=f"restore of {backup}", timeout_seconds=0, door=door(settings)
        ) as workspace:
            report = restore(
                workspace,
                backup,
                restore_id=new_run_id(datetime.now(UTC)).replace("run", "restore"),
                chosen=files or None,
            )
    _print(report.summary(), as_json, _restore_lines(report))


@app.command()
def recover(as_json: AsJson = False) -> None:
    """Finish or undo what killed runs left, in every task that nobody holds. A run does the same for its own task."""
    settings = load_settings()
    results = recover_tasks(settings.training_data_path)
    answer: dict[str, Json] = {}
    lines: list[str] = []
    worst = 0
    for task, result in sorted(results.items()):
        if isinstance(result, RecoveryReport):
            answer[task] = {"state": "clean" if result.is_clean else "recovered", **result.model_dump()}
            lines += [f"{task}: {note}" for note in recovery_notes(result)]
        else:
            answer[task] = {"state": "busy" if isinstance(result, TaskBusy) else "failed", "error": str(result)}
            lines.append(f"{task}: {result}")
            worst = max(worst, 0 if isinstance(result, TaskBusy) else FAILED)
    lines.append(f"{len(results)} task directories looked at in {printable(settings.training_data_path)}.")
    _print(answer, as_json, lines)
    if worst:
        raise typer.Exit(worst)


def main() -> NoReturn:
    """The entry point: every error that people can mend is one sentence on standard error, and an exit code."""
    logging.getLogger("data_pipeline").addHandler(logging.NullHandler())
    try:
        app()
    except TaskBusy as error:
        _complain(error, BUSY)
    except PipelineError as error:
        _complain(error, BAD_INPUT)
    sys.exit(0)


def _complain(error: PipelineError, code: int) -> NoReturn:
    Console(stderr=True).print(f"data-pipeline: {error}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


def _print(answer: Any, as_json: bool, lines: list[str]) -> None:
    if as_json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    for line in lines:
        Console().print(line, markup=False, highlight=False, soft_wrap=True)


def _run_lines(result: Json, path: str) -> list[str]:
    outcome = "completed" if result["success"] else f"failed: {result['error']}"
    lines = [f"Task {result['task_id']}, run {result['run_id']}: {outcome}"]
    backup = result["backup"]
    if backup is not None and backup["directory"] is not None:
        lines.append(f"Backup: {backup['moved_count']} files in {backup['directory']}")
        for failed in backup["failed_files"]:
            copied = "a copy is in the backup" if failed["copied"] else "it is in its place"
            lines.append(f"  could not be moved: {failed['file']} ({failed['error']}; {copied})")
    elif backup is not None and backup["error"] is not None:
        lines.append(f"Backup failed, every file stayed in its place: {backup['error']}")
    lines += [f"Kept, as it was not ours to replace: {kept}" for kept in result["kept_files"]]
    lines += [f"Warning: {warning}" for warning in result["warnings"]]
    published = result["workflow_state"]["statistics"]["files_published"]
    lines.append(f"{published} files published in {printable(path)}")
    return lines


def _restore_lines(report: RestoreReport) -> list[str]:
    verb = "Would restore" if report.is_dry_run else "Restored"
    lines = [f"{verb} {len(report.restored)} files of {report.backup}"]
    if report.is_dry_run:
        lines += [f"  {name}" for name in report.summary()["restored"]]
        lines.append(f"{len(report.replaced)} current files would first move into a new backup")
    elif report.safety_backup is not None:
        lines.append(f"{len(report.replaced)} current files are in {report.safety_backup}: restore that to undo this")
    lines += [f"Not restored: {name} ({reason})" for name, reason in report.summary()["skipped"].items()]
    return lines


def _path_of(settings: Settings, task: str) -> str:
    path = task_directory.path_of(settings.training_data_path, task)
    if not os.path.isdir(path):
        raise NotFound("task", task, f"No such directory in {printable(settings.training_data_path)}.")
    return path


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput("--table-list", f"{printable(str(path))} cannot be read ({error.strerror})") from error
