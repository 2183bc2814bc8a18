"""`data-pipeline backups list|show|restore`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from data_pipeline.api.simple_workflow import new_run_id
from data_pipeline.backup.catalogue import find_backup, list_backups
from data_pipeline.backup.restore import RestoreReport, preview_restore
from data_pipeline.backup.restore import restore as restore_files
from data_pipeline.commands.arguments import AsJson, BackupName, TaskId, directory_of
from data_pipeline.commands.output import local_time, print_json, print_lines, print_table
from data_pipeline.foreground import door
from data_pipeline.settings import load_settings
from data_pipeline.workspace import open_workspace

app = typer.Typer(no_args_is_help=True, help="The files of earlier runs: list them, show one, bring one back.")

LIST_EXAMPLES = """\b
Examples:
  data-pipeline backups list task_20250121_094400
  data-pipeline backups list task_20250121_094400 --json
"""


@app.command("list", epilog=LIST_EXAMPLES)
def list_(task: TaskId, as_json: AsJson = False) -> None:
    """Every backup of a task, newest first."""
    found = list_backups(directory_of(load_settings(), task))
    summaries = [backup.summary() for backup in found]
    if as_json:
        print_json(summaries)
        return
    if not found:
        print_lines([f"Task {task} has no backups."])
        return
    rows = [
        (backup.name, local_time(backup.made_at), str(summary["file_count"]), f"{backup.size_bytes:,}",
         str(summary["failed_count"]), backup.record_state)
        for backup, summary in zip(found, summaries, strict=True)
    ]  # fmt: skip
    print_table(("backup", "made", "files", "bytes", "not moved", "record"), rows)


SHOW_EXAMPLES = """\b
Examples:
  data-pipeline backups show task_20250121_094400 file_bak_20250121_101500
"""


@app.command(epilog=SHOW_EXAMPLES)
def show(task: TaskId, backup: BackupName, as_json: AsJson = False) -> None:
    """One backup with its files."""
    details = find_backup(directory_of(load_settings(), task), backup).details()
    if as_json:
        print_json(details)
        return
    lines = [
        f"{details['path']}: {details['file_count']} files, {details['size_bytes']:,} bytes, made {details['made_at']}"
    ]
    lines += [f"  {file['size_bytes']:>12,}  {file['name']}" for file in details["files"]]
    for failed in details["failed_files"]:
        copied = "a copy is here" if failed["copied"] else "not here"
        lines.append(f"  could not be moved: {failed['file']} ({failed['error']}; {copied})")
    print_lines(lines)


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
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE", help="Only these; none: all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a backup back; the current files first go into a new backup, so a restore can be undone the same way."""
    settings = load_settings()
    path = directory_of(settings, task)
    find_backup(path, backup)
    if dry_run:
        report = preview_restore(path, backup, files or None)
    else:
        with open_workspace(
            path, task, label=f"restore of {backup}", timeout_seconds=0, door=door(settings)
        ) as workspace:
            restore_id = new_run_id(datetime.now(UTC)).replace("run", "restore")
            report = restore_files(workspace, backup, restore_id=restore_id, chosen=files or None)
    if as_json:
        print_json(report.summary())
    else:
        print_lines(_lines(report))


def _lines(report: RestoreReport) -> list[str]:
    verb = "Would restore" if report.is_dry_run else "Restored"
    lines = [f"{verb} {len(report.restored)} files of {report.backup}"]
    if report.is_dry_run:
        lines += [f"  {name}" for name in report.summary()["restored"]]
        lines.append(f"{len(report.replaced)} current files would first move into a new backup")
    elif report.safety_backup is not None:
        lines.append(f"{len(report.replaced)} current files are in {report.safety_backup}: restore that to undo this")
    lines += [f"Not restored: {name} ({reason})" for name, reason in report.summary()["skipped"].items()]
    return lines
