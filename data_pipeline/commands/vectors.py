"""`data-pipeline vectors backup|list|restore`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from data_pipeline import task_directory
from data_pipeline.api.simple_workflow import new_run_id
from data_pipeline.commands.arguments import AsJson, complete_task
from data_pipeline.commands.output import local_time, print_json, print_lines, print_table
from data_pipeline.errors import NotFound
from data_pipeline.foreground import door
from data_pipeline.settings import Settings, load_settings
from data_pipeline.vector_store.contract import VectorStore

app = typer.Typer(no_args_is_help=True, help="The vector store: back it up, list its backups, bring one back.")

OfTask = Annotated[
    str | None,
    typer.Option("--task", metavar="TASK", help="Of this task; none: of no task.", autocompletion=complete_task),
]

BACKUP_EXAMPLES = """\b
Examples:
  data-pipeline vectors backup
  data-pipeline vectors backup --task task_20250121_094400
"""


@contextlib.contextmanager
def _store(settings: Settings, *, has_to_be_there: bool) -> Iterator[VectorStore]:
    from data_pipeline.vector_store.opening import look_at_vector_store, open_vector_store  # noqa: PLC0415 - numpy

    if has_to_be_there and look_at_vector_store(settings.vector_place) is None:
        raise NotFound("vector store", "", "Nothing was loaded yet: run a task, or its step training_load.")
    store = open_vector_store(settings.vector_place)
    try:
        yield store
    finally:
        store.close()


@app.command(epilog=BACKUP_EXAMPLES)
def backup(task: OfTask = None, as_json: AsJson = False) -> None:
    """Write everything that the store holds into a new backup."""
    from data_pipeline.vector_backup.catalogue import place_of_task  # noqa: PLC0415 - numpy
    from data_pipeline.vector_backup.keeping import keep_backup  # noqa: PLC0415 - numpy

    settings = load_settings()
    place = place_of_task(settings.training_data_path, task)
    backup_id = new_run_id(datetime.now(UTC)).replace("run", "vectors")
    with _store(settings, has_to_be_there=True) as store:
        made = keep_backup(store, settings.training_data_path, task, backup_id=backup_id, door=door(settings))
    if as_json:
        print_json({"backup_path": place.relative_path, **made.manifest.model_dump()})
    else:
        manifest = made.manifest
        print_lines([f"{manifest.item_count} items in {place.relative_path}/{manifest.items_file}"])


LIST_EXAMPLES = """\b
Examples:
  data-pipeline vectors list
  data-pipeline vectors list --task task_20250121_094400 --json
"""


@app.command("list", epilog=LIST_EXAMPLES)
def list_(task: OfTask = None, as_json: AsJson = False) -> None:
    """Every backup of the store, by folder, newest first; what is damaged says so."""
    from data_pipeline.vector_backup.catalogue import backups_in, places  # noqa: PLC0415 - numpy

    found = [
        (place, listed)
        for place in places(load_settings().training_data_path, task_id=task)
        for listed in backups_in(place)
    ]
    if as_json:
        print_json(
            [
                {
                    "backup_path": place.relative_path,
                    "timestamp": one.timestamp,
                    "made_at": one.made_at,
                    "item_count": one.manifest.item_count if one.manifest else None,
                    "size_bytes": one.items_size_bytes,
                    "embedder": str(one.manifest.embedder.identity) if one.manifest else None,
                    "problem": one.problem,
                }
                for place, one in found
            ]
        )
    elif found:
        rows = (
            (place.relative_path, one.timestamp, local_time(one.made_at),
             str(one.manifest.item_count) if one.manifest else "-", f"{one.items_size_bytes:,}",
             one.problem or "good")
            for place, one in found
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
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="As `vectors list` shows it.")],
    timestamp: Annotated[str, typer.Argument(metavar="TIMESTAMP", help="As `vectors list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of everything that the store holds; verified first, and in one transaction."""
    from data_pipeline.vector_backup.catalogue import place_named  # noqa: PLC0415 - numpy
    from data_pipeline.vector_backup.restore import restore_backup  # noqa: PLC0415 - numpy

    settings = load_settings()
    place = place_named(settings.training_data_path, folder)
    task_directory.check_vector_timestamp(timestamp)
    with _store(settings, has_to_be_there=False) as store:
        done = restore_backup(store, place, timestamp)
    if as_json:
        print_json({"backup_path": place.relative_path, "timestamp": timestamp, "items": dict(done.content.items)})
    else:
        print_lines([f"{done.content.total} items of {place.relative_path}, {timestamp} are what the store holds now"])
