"""Arguments that several commands take, with their completion, and what they are looked up in."""

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
    """Return the settings, whose module takes a tenth of a second to import. Raises InvalidInput."""
    from data_pipeline.config import settings

    return settings.load_settings()


def complete_task(incomplete: str) -> list[str]:
    """Tasks that begin so: by their directories, which are there without opening a store."""
    with contextlib.suppress(PipelineError, OSError):
        names = os.listdir(load_settings().training_data_path)
        return sorted(name for name in names if name.startswith(incomplete) and not name.startswith("."))
    return []


def complete_backup(context: typer.Context, incomplete: str) -> list[str]:
    """Backups of the task that was named before, newest first."""
    from data_pipeline.tasks.backup.catalogue import list_backups

    with contextlib.suppress(PipelineError, OSError):
        found = list_backups(directory_of(load_settings(), str(context.params.get("task"))))
        return [backup.name for backup in found if backup.name.startswith(incomplete)]
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
    """The directory of a task. Raises NotFound, InvalidInput, DirectoryUnusable for a symbolic link."""
    from data_pipeline.tasks import task_directory
    from data_pipeline.tasks.workspace import check_not_link, printable

    path = task_directory.path_of(settings.training_data_path, task)
    check_not_link(path)
    if not os.path.isdir(path):
        raise NotFound("task", task, f"No such directory in {printable(settings.training_data_path)}.")
    return path


@contextlib.contextmanager
def known_store(settings: Settings) -> Iterator[Store]:
    """The task store for a command that only asks: it makes none. Raises NotFound where there is none."""
    from data_pipeline.store import Store, look_at_store

    if look_at_store(settings.store_url) is None:
        raise NotFound(
            "task store", settings.home_path, "Nothing has run here yet; or is DATA_PIPELINE_HOME another folder?"
        )
    with Store.open(settings.store_url) as store:
        yield store


def content_of(path: Path, option: str) -> bytes:
    """The bytes of a file that a person names. Raises InvalidInput."""
    from data_pipeline.tasks.workspace import printable

    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(option, f"{printable(str(path))} cannot be read ({error.strerror})") from error
