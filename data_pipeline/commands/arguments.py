"""Arguments shared by several commands, with shell completion, and the functions that resolve them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data_pipeline.errors import InvalidInput, NotFound, PipelineError

if TYPE_CHECKING:
    from data_pipeline.config.settings import Settings
    from data_pipeline.store import Store


def load_settings() -> Settings:
    """Return the settings; importing their module takes a tenth of a second. Raises InvalidInput."""
    from data_pipeline.config import settings

    return settings.load_settings()


def complete_task(incomplete: str) -> list[str]:
    """Return the tasks whose ids begin with a text, from their directories, so that no store must be opened."""
    with contextlib.suppress(PipelineError, OSError):
        names = os.listdir(load_settings().training_data_path)
        return sorted(name for name in names if name.startswith(incomplete) and not name.startswith("."))
    return []


def complete_backup(context: typer.Context, incomplete: str) -> list[str]:
    """Return the matching backups of the task argument, newest first."""
    from data_pipeline.tasks.backup.catalogue import list_backups

    with contextlib.suppress(PipelineError, OSError):
        backups = list_backups(directory_of(load_settings(), str(context.params.get("task"))))
        return [backup.name for backup in backups if backup.name.startswith(incomplete)]
    return []


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
TaskId = Annotated[str, typer.Argument(metavar="TASK", help="The task's id.", autocompletion=complete_task)]
BackupName = Annotated[
    str,
    typer.Argument(
        metavar="BACKUP", help="Name of the backup, as `backups list` shows it.", autocompletion=complete_backup
    ),
]


def directory_of(settings: Settings, task: str) -> str:
    """Return the directory of a task. Raises NotFound, InvalidInput, DirectoryUnusable for a symbolic link."""
    from data_pipeline.tasks import task_directory
    from data_pipeline.tasks.workspace import check_not_link, printable

    path = task_directory.path_of(settings.training_data_path, task)
    check_not_link(path)
    if not os.path.isdir(path):
        raise NotFound("task", task, f"It has no directory in {printable(settings.training_data_path)}.")
    return path


@contextlib.contextmanager
def open_existing_store(settings: Settings) -> Iterator[Store]:
    """Open the task store for a command that only reads, without creating it. Raises NotFound if it does not exist."""
    from data_pipeline.store import Store, look_at_store

    if look_at_store(settings.store_url) is None:
        raise NotFound(
            "task store", settings.home_path, "Run a task first, or set DATA_PIPELINE_HOME to the folder of your tasks."
        )
    with Store.open(settings.store_url) as store:
        yield store


def content_of(path: Path, option: str) -> bytes:
    """Return the content of a file that the user named in an option. Raises InvalidInput."""
    from data_pipeline.tasks.workspace import printable

    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(option, f"{printable(str(path))} cannot be read ({error.strerror})") from error
