"""`data-pipeline export`."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from data_pipeline.commands.arguments import TaskId, load_settings
from data_pipeline.errors import InvalidInput, NotFound

app = typer.Typer()

EXPORT_EXAMPLES = """\b
Examples:
  data-pipeline export task_20250121_094400 --format chat-jsonl > train.jsonl
  data-pipeline export task_20250121_094400 --format spider > spider.zip
"""


@app.command(epilog=EXPORT_EXAMPLES)
def export(
    task: TaskId,
    chosen: Annotated[
        Literal["chat-jsonl", "spider", "sql"],
        typer.Option("--format", help="JSON lines for chat fine-tuning, a zip with Spider's files, or plain SQL."),
    ] = "chat-jsonl",
) -> None:
    """Export a task's pairs from the vector store to standard output. Equal items give equal bytes."""
    from data_pipeline.dataset.export import export as export_items
    from data_pipeline.tasks import task_directory
    from data_pipeline.vectors.store.opening import look_at_vector_store, open_vector_store

    task_directory.check_task_id(task)
    if chosen == "spider" and sys.stdout.isatty():
        raise InvalidInput("--format", "spider is a zip archive: redirect it to a file, as in `> spider.zip`")
    place = load_settings().vector_place
    if look_at_vector_store(place) is None:
        raise NotFound("vector store", "", "Run a task, or its step training_load, to create it.")
    store = open_vector_store(place)
    try:
        exported = export_items(task, store.held_by(task), chosen)
    finally:
        store.close()
    sys.stdout.buffer.write(exported.content)
    sys.stdout.buffer.flush()
