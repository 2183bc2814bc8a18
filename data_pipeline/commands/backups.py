"""`data-pipeline backups list|stats|show|download|note|restore|verify|delete|prune`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data_pipeline.commands.arguments import (
    AsJson,
    BackupName,
    TaskId,
    complete_backup,
    complete_task,
    directory_of,
    load_settings,
)
from data_pipeline.commands.backup_reports import (
    DryRun,
    Yes,
    chosen_policy,
    confirm_deletion,
    end_deletion,
    end_verification,
    print_pruned,
    verify_each,
    with_rules,
)
from data_pipeline.commands.exit_codes import code_of_search
from data_pipeline.commands.groups import Group
from data_pipeline.commands.output import (
    local_time,
    new_console,
    print_json,
    print_lines,
    print_table,
    progress_bar,
    write_new_file,
    write_to_standard_output,
)
from data_pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from data_pipeline.config.settings import Settings
    from data_pipeline.tasks.backup.restore import RestoreReport
    from data_pipeline.tasks.backup.verification import VerifyReport

app = typer.Typer(
    name="backups",
    cls=Group,
    no_args_is_help=True,
    help="Backups of earlier runs: list, show, download, verify, restore, delete.",
)

OptionalTask = Annotated[
    str | None, typer.Argument(metavar="TASK", help="The task's id; default: all tasks.", autocompletion=complete_task)
]

LIST_EXAMPLES = """\b
Examples:
  data-pipeline backups list task_20250121_094400
  data-pipeline backups list task_20250121_094400 --json
  data-pipeline backups list --containing "Ada Lovelace"
  data-pipeline backups list --containing - < name.txt
"""


@app.command("list", epilog=LIST_EXAMPLES)
def list_(
    task: OptionalTask = None,
    containing: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Only backups that contain this text, including vector backups; - reads it from standard input.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List backups of a task, newest first; without a task, of all tasks."""
    from data_pipeline.tasks.backup.catalogue import list_backups
    from data_pipeline.tasks.workspace import task_directories

    settings = load_settings()
    if containing is not None:
        _list_containing(settings, task, containing, as_json=as_json)
        return
    tasks = task_directories(settings.training_data_path) if task is None else [task]
    backups_by_task = [
        (task_id, backup) for task_id in tasks for backup in list_backups(directory_of(settings, task_id))
    ]
    if as_json:
        print_json([{"task_id": task_id, **backup.summary()} for task_id, backup in backups_by_task])
        return
    if not backups_by_task:
        print_lines(["There are no backups." if task is None else f"Task {task} has no backups."])
        return
    rows = [
        (backup.name, *([task_id] if task is None else []), local_time(backup.made_at), str(len(backup.files)),
         f"{backup.size_bytes:,}", str(backup.failed_count), backup.record_state,
         " ".join((backup.note or "").split()))
        for task_id, backup in backups_by_task
    ]  # fmt: skip
    of_task = ["task"] if task is None else []
    print_table(("backup", *of_task, "made", "files", "bytes", "not moved", "record", "note"), rows)


def _list_containing(settings: Settings, task: str | None, text: str, *, as_json: bool) -> None:
    from data_pipeline.tasks.backup.search import find_text

    wanted = sys.stdin.read().removesuffix("\n") if text == "-" else text
    with progress_bar("Backups searched") as progress:
        report = find_text(settings.training_data_path, wanted, task_id=task, progress=progress)
    if as_json:
        print_json(report.summary())
    else:
        rows = [
            (f"{match.folder}/{match.backup or ''}" if match.kind == "vectors" else match.folder,
             str(match.file_count), ", ".join(match.files))
            for match in report.matches
        ]  # fmt: skip
        print_table(("backup", "files", "names"), rows)
        print_lines([f"Not searched: {item.path}: {item.reason}" for item in report.unreadable])
        print_lines([f"{len(report.matches)} backups contain the text; {report.searched_files} files were searched."])
    code = code_of_search(is_complete=report.is_complete)
    if code:
        raise typer.Exit(code)


STATS_EXAMPLES = """\b
Examples:
  data-pipeline backups stats
  data-pipeline backups stats task_20250121_094400 --json
"""


@app.command(epilog=STATS_EXAMPLES)
def stats(task: OptionalTask = None, as_json: AsJson = False) -> None:
    """Show number, size and age of backups of files and of vectors, for each task and in total."""
    from data_pipeline.vectors.backup_statistics import count_backups

    settings = load_settings()
    if task is not None:
        directory_of(settings, task)
    counted = count_backups(settings.training_data_path, task_id=task)
    if as_json:
        print_json(counted.summary())
    else:
        by_size = sorted(
            counted.tasks,
            key=lambda count: count.files.size_bytes + count.vectors.size_bytes,
            reverse=True,
        )
        totals = [("in all", "files", counted.files), ("in all", "vectors", counted.vectors)]
        rows = [
            (name, kind, str(count.backup_count), f"{count.size_bytes:,}",
             *(local_time(when) if when else "" for when in (count.oldest_at, count.newest_at)))
            for name, kind, count in [
                (of_task.task_id or "no task", kind, count)
                for of_task in by_size for kind, count in (("files", of_task.files), ("vectors", of_task.vectors))
                if count.backup_count
            ] + totals
        ]  # fmt: skip
        print_table(("task", "of", "backups", "bytes", "oldest", "newest"), rows)
        print_lines([f"Not counted: {reason}" for reason in counted.unreadable])
    code = code_of_search(is_complete=counted.is_complete)
    if code:
        raise typer.Exit(code)


SHOW_EXAMPLES = """\b
Examples:
  data-pipeline backups show task_20250121_094400 file_bak_20250121_101500
"""


@app.command(epilog=SHOW_EXAMPLES)
def show(task: TaskId, backup: BackupName, as_json: AsJson = False) -> None:
    """Show a backup with its files."""
    from data_pipeline.tasks.backup.catalogue import find_backup

    details = find_backup(directory_of(load_settings(), task), backup).details()
    if as_json:
        print_json(details)
        return
    lines = [
        f"{details['path']}: {details['file_count']} files, {details['size_bytes']:,} bytes, made {details['made_at']}"
    ]
    if details["note"] is not None:
        lines.append(f"  note: {details['note']}")
    lines += [f"  {file['size_bytes']:>12,}  {file['name']}" for file in details["files"]]
    for failed in details["failed_files"]:
        copied = "copied to the backup" if failed["copied"] else "not in the backup"
        lines.append(f"  could not be moved: {failed['file']} ({failed['error']}; {copied})")
    print_lines(lines)


DOWNLOAD_EXAMPLES = """\b
Examples:
  data-pipeline backups download task_20250121_094400 file_bak_20250121_101500
  data-pipeline backups download task_20250121_094400 file_bak_20250121_101500 orders.ddl --output old.ddl
  data-pipeline backups download task_20250121_094400 file_bak_20250121_101500 --output - | bsdtar -tf -
"""


@app.command(epilog=DOWNLOAD_EXAMPLES)
def download(
    task: TaskId,
    backup: BackupName,
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="File to download; default: all, as a zip.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="New file to write, or - for standard output; default: a file of the same name."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy one file of a backup, or the whole as a zip with a list of its entries, into a new file."""
    from data_pipeline.tasks.backup.archive import archive_name, open_backed_up_file, stream_archive
    from data_pipeline.tasks.files import chunks_of
    from data_pipeline.tasks.workspace import printable

    path = directory_of(load_settings(), task)
    chunks: Iterator[bytes]
    with contextlib.ExitStack() as stack:
        if file is None:
            name, chunks = archive_name(task, backup), stream_archive(path, backup)
        else:
            name, chunks = file, chunks_of(stack.enter_context(open_backed_up_file(path, backup, file)))
        if output == Path("-"):
            write_to_standard_output(chunks, is_archive=file is None)
            return
        target = Path(name) if output is None else output
        size_bytes = write_new_file(target, chunks, "--output")
    if as_json:
        print_json({"file": printable(os.fspath(target)), "size_bytes": size_bytes})
    else:
        print_lines([f"{size_bytes:,} bytes in {printable(os.fspath(target))}"])


RESTORE_EXAMPLES = """\b
Examples:
  data-pipeline backups restore task_20250121_094400 file_bak_20250121_101500 --dry-run
  data-pipeline backups restore task_20250121_094400 file_bak_20250121_101500
  data-pipeline backups restore task_20250121_094400 file_bak_20250121_101500 orders.ddl
"""


@app.command(epilog=RESTORE_EXAMPLES)
def restore(
    task: TaskId,
    backup: BackupName,
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE", help="Files to restore; default: all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change, file by file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup. The current files first move into a new backup, so a restore can be undone by another one."""
    from data_pipeline.commands.terminal import watching_bytes
    from data_pipeline.tasks.backup.catalogue import find_backup
    from data_pipeline.tasks.backup.restore import preview_restore
    from data_pipeline.tasks.backup.restore import restore as restore_files
    from data_pipeline.tasks.ids import new_work_id
    from data_pipeline.tasks.workspace import open_workspace
    from data_pipeline.use_cases.disk import door

    settings = load_settings()
    path = directory_of(settings, task)
    find_backup(path, backup)
    if dry_run:
        with watching_bytes(new_console(stderr=True), "comparing", is_quiet=as_json) as progress:
            report = preview_restore(path, backup, files or None, progress=progress)
    else:
        with open_workspace(
            path, task, label=f"restore of {backup}", timeout_seconds=0, door=door(settings)
        ) as workspace:
            restore_id = new_work_id("restore")
            report = restore_files(workspace, backup, restore_id=restore_id, chosen=files or None)
    if as_json:
        print_json(report.summary())
    else:
        print_lines(_lines(report))


NOTE_EXAMPLES = """\b
Examples:
  data-pipeline backups note task_20250121_094400 file_bak_20250121_101500 "before the new price model"
  data-pipeline backups note task_20250121_094400 file_bak_20250121_101500 --clear
"""


@app.command(epilog=NOTE_EXAMPLES)
def note(
    task: TaskId,
    backup: BackupName,
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="The note.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Delete the note.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set the note of a backup, which `list` and `show` display. It replaces an earlier note."""
    from data_pipeline.tasks.backup.catalogue import find_backup
    from data_pipeline.tasks.backup.note import set_note
    from data_pipeline.tasks.ids import new_work_id
    from data_pipeline.tasks.workspace import open_workspace
    from data_pipeline.use_cases.disk import door

    if clear == (text is not None):
        raise InvalidInput("backups note", "expected either a text or --clear")
    settings = load_settings()
    path = directory_of(settings, task)
    find_backup(path, backup)
    with open_workspace(path, task, label=f"note on {backup}", timeout_seconds=0, door=door(settings)) as workspace:
        work_id = new_work_id("note")
        noted = set_note(workspace, backup, text, work_id=work_id)
    if as_json:
        print_json(noted.summary())
    else:
        print_lines([f"{backup}: {noted.note or 'no note'}"])


VERIFY_EXAMPLES = """\b
Examples:
  data-pipeline backups verify task_20250121_094400
  data-pipeline backups verify task_20250121_094400 file_bak_20250121_101500 --record-checksums
  data-pipeline backups verify --all
"""


@app.command(epilog=VERIFY_EXAMPLES)
def verify(
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="The task's id.", autocompletion=complete_task)
    ] = None,
    backup: Annotated[
        str | None, typer.Argument(metavar="BACKUP", help="Only this backup.", autocompletion=complete_backup)
    ] = None,
    all_tasks: Annotated[bool, typer.Option("--all", help="Verify the backups of all tasks, for a timer.")] = False,
    record: Annotated[
        bool, typer.Option("--record-checksums", help="Record SHA-256 checksums of good backups without any.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Verify backups against their records and recorded checksums. Exit code 3: damage, 4: nothing to compare with."""
    from data_pipeline.tasks.workspace import task_directories

    if all_tasks == (task is not None):
        raise InvalidInput("backups verify", "expected either a task or --all")
    settings = load_settings()
    tasks = task_directories(settings.training_data_path) if task is None else [task]
    reports = (
        (task_id, report)
        for task_id in tasks
        for report in _verify_task(settings, task_id, backup, record=record, goes_on=all_tasks)
    )
    end_verification(reports, "task_id", as_json=as_json)


def _verify_task(
    settings: Settings, task: str, backup: str | None, *, record: bool, goes_on: bool
) -> Iterator[VerifyReport]:
    from data_pipeline.commands.terminal import counting_bytes
    from data_pipeline.tasks.backup.catalogue import find_backup, list_backups
    from data_pipeline.tasks.backup.verify import verify as verify_backup
    from data_pipeline.tasks.backup.verify import verify_and_record
    from data_pipeline.tasks.ids import new_work_id
    from data_pipeline.use_cases.disk import door

    def names() -> list[str]:
        path = directory_of(settings, task)
        return [listed.name for listed in list_backups(path)] if backup is None else [backup]

    def verify_one(name: str) -> VerifyReport:
        path = directory_of(settings, task)
        with counting_bytes(new_console(stderr=True), name, find_backup(path, name).size_bytes) as on_bytes:
            if not record:
                return verify_backup(path, name, on_bytes=on_bytes)
            work_id = new_work_id("checksums")
            return verify_and_record(path, task, name, work_id=work_id, door=door(settings), on_bytes=on_bytes)

    return verify_each(names, verify_one, goes_on=goes_on)


Force = Annotated[bool, typer.Option("--force", help="Also delete backups with failures or an unknown outcome.")]

DELETE_EXAMPLES = """\b
Examples:
  data-pipeline backups delete task_20250121_094400 file_bak_20250121_101500 --dry-run
  data-pipeline backups delete task_20250121_094400 file_bak_20250121_101500 --yes
"""


@app.command(epilog=DELETE_EXAMPLES)
def delete(
    task: TaskId,
    backups: Annotated[
        list[str],
        typer.Argument(
            metavar="BACKUP", help="Name of the backup, as `backups list` shows it.", autocompletion=complete_backup
        ),
    ],
    force: Annotated[
        bool,
        typer.Option("--force", help="Also delete the newest backup, and one with failures or an unknown outcome."),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete backups by name. This cannot be undone."""
    from data_pipeline.tasks.backup.delete import delete_backups, plan_deletion
    from data_pipeline.tasks.workspace import open_workspace
    from data_pipeline.use_cases.disk import door

    settings = load_settings()
    path = directory_of(settings, task)
    planned = plan_deletion(path, backups, is_forced=force)
    if dry_run:
        print_pruned(planned, as_json=as_json)
        return
    confirm_deletion(planned, "backups delete", yes=yes, as_json=as_json)
    with open_workspace(path, task, label="deletion of backups", timeout_seconds=0, door=door(settings)) as workspace:
        report = delete_backups(workspace, backups, is_forced=force)
    end_deletion(report, as_json=as_json)


PRUNE_EXAMPLES = """\b
Examples:
  data-pipeline backups prune task_20250121_094400 --keep-last 3 --dry-run
  data-pipeline backups prune task_20250121_094400 --keep-daily 7 --keep-weekly 4 --yes
  data-pipeline backups prune task_20250121_094400 --max-total-bytes 1000000000 --yes
"""


@app.command(epilog=PRUNE_EXAMPLES)
@with_rules
def prune(
    task: TaskId,
    rules: Mapping[str, object],
    force: Force = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete the backups that no rule keeps. This cannot be undone. Without rules, the rules of the settings apply.

    The newest backup is always kept. Backups with failures or an unknown outcome are kept unless --force is set.
    """
    from data_pipeline.tasks.backup.delete import plan_prune
    from data_pipeline.tasks.backup.delete import prune as prune_backups
    from data_pipeline.tasks.workspace import open_workspace
    from data_pipeline.use_cases.disk import door

    settings = load_settings()
    path = directory_of(settings, task)
    policy = chosen_policy(rules, settings.retention, "backups prune")
    planned = plan_prune(path, policy, is_forced=force)
    if dry_run:
        print_pruned(planned, as_json=as_json)
        return
    if planned.deleted:
        confirm_deletion(planned, "backups prune", yes=yes, as_json=as_json)
    with open_workspace(path, task, label="pruning of backups", timeout_seconds=0, door=door(settings)) as workspace:
        report = prune_backups(workspace, policy, is_forced=force)
    end_deletion(report, as_json=as_json)


def _lines(report: RestoreReport) -> list[str]:
    summary = report.summary()
    if report.is_dry_run:
        lines = [f"Would restore {len(report.restored)} files of {report.backup}", *_change_lines(summary)]
        lines.append(f"{len(report.replaced)} current files would first move into a new backup")
        lines += report.notes
    else:
        lines = [f"Restored {len(report.restored)} files of {report.backup}"]
    if report.safety_backup is not None:
        lines.append(f"{len(report.replaced)} current files are in {report.safety_backup}; restore it to undo this")
    lines += [f"Not restored: {name} ({reason})" for name, reason in summary["skipped"].items()]
    return lines


def _change_lines(summary: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each file with its current size and its size in the backup, then a line with the counts."""
    for change in summary["changes"]:
        sizes = [size for size in (change["current_size_bytes"], change["size_bytes"]) if size is not None]
        shown = " -> ".join(f"{size:,}" for size in (sizes[:1] if change["action"] == "unchanged" else sizes))
        reason = f": {change['reason']}" if change["reason"] else ""
        yield f"  {change['action']:<9}  {change['name']} ({shown} bytes){reason}"
    yield ", ".join(f"{count} {action}" for action, count in summary["counts"].items())
