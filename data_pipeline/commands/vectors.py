"""`data-pipeline vectors backup|list|restore|verify|delete|prune`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from data_pipeline.commands.arguments import AsJson, complete_task, directory_of, load_settings
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
from data_pipeline.commands.groups import Group
from data_pipeline.commands.output import local_time, print_json, print_lines, print_table
from data_pipeline.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from data_pipeline.config.settings import Settings
    from data_pipeline.tasks.backup.verification import VerifyReport
    from data_pipeline.vectors.backup.catalogue import BackupPlace
    from data_pipeline.vectors.store.contract import VectorStore

app = typer.Typer(
    name="vectors",
    cls=Group,
    no_args_is_help=True,
    help="Backups of the vector store: create, list, restore, verify, delete.",
)

OfTask = Annotated[
    str | None,
    typer.Option("--task", metavar="TASK", help="Folder of this task; default: no task.", autocompletion=complete_task),
]

BACKUP_EXAMPLES = """\b
Examples:
  data-pipeline vectors backup
  data-pipeline vectors backup --task task_20250121_094400
"""


@contextlib.contextmanager
def _store(settings: Settings, *, must_exist: bool) -> Iterator[VectorStore]:
    from data_pipeline.vectors.store.opening import look_at_vector_store, open_vector_store

    if must_exist and look_at_vector_store(settings.vector_place) is None:
        raise NotFound("vector store", "", "Run a task, or its step training_load, to create it.")
    store = open_vector_store(settings.vector_place)
    try:
        yield store
    finally:
        store.close()


@app.command(epilog=BACKUP_EXAMPLES)
def backup(task: OfTask = None, as_json: AsJson = False) -> None:
    """Back up the whole vector store."""
    from data_pipeline.tasks.ids import new_work_id
    from data_pipeline.use_cases.disk import door
    from data_pipeline.vectors.backup.catalogue import place_of_task
    from data_pipeline.vectors.backup.keeping import keep_backup

    settings = load_settings()
    place = place_of_task(settings.training_data_path, task)
    backup_id = new_work_id("vectors")
    with _store(settings, must_exist=True) as store:
        kept_backup = keep_backup(store, settings.training_data_path, task, backup_id=backup_id, door=door(settings))
    if as_json:
        print_json({"backup_path": place.relative_path, **kept_backup.manifest.model_dump()})
    else:
        manifest = kept_backup.manifest
        print_lines([f"{manifest.item_count} items in {place.relative_path}/{manifest.items_file}"])


LIST_EXAMPLES = """\b
Examples:
  data-pipeline vectors list
  data-pipeline vectors list --task task_20250121_094400 --json
"""


@app.command("list", epilog=LIST_EXAMPLES)
def list_(task: OfTask = None, as_json: AsJson = False) -> None:
    """List backups of the vector store by folder, newest first, with their state."""
    from data_pipeline.vectors.backup.catalogue import backups_in, places

    backups_by_place = [
        (place, listed)
        for place in places(load_settings().training_data_path, task_id=task)
        for listed in backups_in(place)
    ]
    if as_json:
        print_json(
            [
                {
                    "backup_path": place.relative_path,
                    "timestamp": backup.timestamp,
                    "made_at": backup.made_at,
                    "item_count": backup.manifest.item_count if backup.manifest else None,
                    "size_bytes": backup.items_size_bytes,
                    "embedder": str(backup.manifest.embedder.identity) if backup.manifest else None,
                    "problem": backup.problem,
                }
                for place, backup in backups_by_place
            ]
        )
    elif backups_by_place:
        rows = (
            (place.relative_path, backup.timestamp, local_time(backup.made_at),
             str(backup.manifest.item_count) if backup.manifest else "-", f"{backup.items_size_bytes:,}",
             backup.problem or "good")
            for place, backup in backups_by_place
        )  # fmt: skip
        print_table(("folder", "timestamp", "made", "items", "bytes", "state"), rows)
    else:
        print_lines(["There are no backups of the vector store."])


RESTORE_EXAMPLES = """\b
Examples:
  data-pipeline vectors restore vector_bak 20250121_094400
  data-pipeline vectors restore task_20250121_094400/vector_bak 20250121_094400
"""


@app.command(epilog=RESTORE_EXAMPLES)
def restore(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of the backup, as `vectors list` shows it.")],
    timestamp: Annotated[
        str, typer.Argument(metavar="TIMESTAMP", help="Timestamp of the backup, as `vectors list` shows it.")
    ],
    as_json: AsJson = False,
) -> None:
    """Replace the content of the vector store by a verified backup, in one transaction."""
    from data_pipeline.tasks import task_directory
    from data_pipeline.vectors.backup.catalogue import place_named
    from data_pipeline.vectors.backup.restore import restore_backup

    settings = load_settings()
    place = place_named(settings.training_data_path, folder)
    task_directory.check_vector_timestamp(timestamp)
    with _store(settings, must_exist=False) as store:
        done = restore_backup(store, place, timestamp)
    if as_json:
        print_json({"backup_path": place.relative_path, "timestamp": timestamp, "items": dict(done.content.items)})
    else:
        print_lines([f"Restored {done.content.total} items of {place.relative_path}, {timestamp}"])


VERIFY_EXAMPLES = """\b
Examples:
  data-pipeline vectors verify vector_bak
  data-pipeline vectors verify task_20250121_094400/vector_bak 20250121_094400
  data-pipeline vectors verify --all
"""


@app.command(epilog=VERIFY_EXAMPLES)
def verify(
    folder: Annotated[
        str | None, typer.Argument(metavar="FOLDER", help="Folder of the backup, as `vectors list` shows it.")
    ] = None,
    timestamp: Annotated[str | None, typer.Argument(metavar="TIMESTAMP", help="Only this backup.")] = None,
    all_folders: Annotated[bool, typer.Option("--all", help="Verify the backups of all folders, for a timer.")] = False,
    as_json: AsJson = False,
) -> None:
    """Verify backups against their records, as a restore does. Exit code 3: damage, 4: nothing to compare with."""
    from data_pipeline.vectors.backup.catalogue import place_named, places

    if all_folders == (folder is not None):
        raise InvalidInput("vectors verify", "expected either a folder or --all")
    training_data = load_settings().training_data_path
    chosen = places(training_data) if folder is None else [place_named(training_data, folder)]
    reports = (
        (place.relative_path, report)
        for place in chosen
        for report in _verify_place(place, timestamp, goes_on=all_folders)
    )
    end_verification(reports, "backup_path", as_json=as_json)


def _verify_place(place: BackupPlace, timestamp: str | None, *, goes_on: bool) -> Iterator[VerifyReport]:
    from data_pipeline.vectors.backup.catalogue import backups_in
    from data_pipeline.vectors.backup.verify import verify as verify_backup

    def names() -> list[str]:
        return [listed.timestamp for listed in backups_in(place)] if timestamp is None else [timestamp]

    return verify_each(names, lambda name: verify_backup(place, name), goes_on=goes_on)


Force = Annotated[bool, typer.Option("--force", help="Also delete damaged backups.")]

DELETE_EXAMPLES = """\b
Examples:
  data-pipeline vectors delete vector_bak 20250121_094400 --dry-run
  data-pipeline vectors delete task_20250121_094400/vector_bak 20250121_094400 --yes
"""


@app.command(epilog=DELETE_EXAMPLES)
def delete(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of the backup, as `vectors list` shows it.")],
    timestamps: Annotated[
        list[str], typer.Argument(metavar="TIMESTAMP", help="Timestamp of the backup, as `vectors list` shows it.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Also delete the newest backup, and a damaged one.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete backups by name. This cannot be undone. A backup that is being restored is always kept."""
    from data_pipeline.use_cases.disk import door
    from data_pipeline.vectors.backup.catalogue import open_place, place_named
    from data_pipeline.vectors.backup.delete import delete_backups, plan_deletion

    settings = load_settings()
    place = place_named(settings.training_data_path, folder)
    planned = plan_deletion(place, timestamps, is_forced=force)
    if dry_run:
        print_pruned(planned, as_json=as_json)
        return
    confirm_deletion(planned, "vectors delete", yes=yes, as_json=as_json)
    with open_place(place, label="deletion of vector backups", door=door(settings)) as workspace:
        report = delete_backups(workspace, place, timestamps, is_forced=force)
    end_deletion(report, as_json=as_json)


PRUNE_EXAMPLES = """\b
Examples:
  data-pipeline vectors prune --keep-last 3 --dry-run
  data-pipeline vectors prune --task task_20250121_094400 --keep-daily 7 --keep-weekly 4 --yes
"""


@app.command(epilog=PRUNE_EXAMPLES)
@with_rules
def prune(
    rules: Mapping[str, object],
    task: OfTask = None,
    force: Force = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete the backups of a folder that no rule keeps. This cannot be undone.

    Without rules, the rules of the settings apply. Always kept are the newest backup, the newest undamaged backup and a
    backup that is being restored. Damaged backups are kept unless --force is set.
    """
    from data_pipeline.use_cases.disk import door
    from data_pipeline.vectors.backup.catalogue import open_place, place_of_task
    from data_pipeline.vectors.backup.delete import plan_prune
    from data_pipeline.vectors.backup.delete import prune as prune_backups

    settings = load_settings()
    if task is not None:
        directory_of(settings, task)
    place = place_of_task(settings.training_data_path, task)
    policy = chosen_policy(rules, settings.vector_retention, "vectors prune")
    planned = plan_prune(place, policy, is_forced=force)
    if dry_run or not planned.backups:
        print_pruned(planned, as_json=as_json)
        return
    if planned.deleted:
        confirm_deletion(planned, "vectors prune", yes=yes, as_json=as_json)
    with open_place(place, label="pruning of vector backups", door=door(settings)) as workspace:
        report = prune_backups(workspace, place, policy, is_forced=force)
    end_deletion(report, as_json=as_json)
