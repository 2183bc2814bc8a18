"""Backups of a small vector store, made as the product makes them, at chosen times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from data_pipeline.config.vector_place import VectorPlace
from data_pipeline.tasks.workspace import make_directories
from data_pipeline.vectors.backup.catalogue import BackupPlace, backups_in, open_place, place_of_task
from data_pipeline.vectors.backup.create import write_backup
from data_pipeline.vectors.store.contract import Holding, Item, Load, VectorStore
from data_pipeline.vectors.store.opening import open_vector_store

FIRST = datetime(2024, 1, 1, 12, tzinfo=UTC)
ITEM_COUNT = 3


def new_store(folder: Path) -> VectorStore:
    """A vector store with a few items; the caller closes it."""
    store = open_vector_store(VectorPlace(f"sqlite:///{folder / 'vectors.sqlite'}"))
    items = [Item("documentation", "shop", f"page {number}") for number in range(ITEM_COUNT)]
    store.stage("task_1", items, store.embedder.embed([item.passage for item in items]))
    store.commit(Load("task_1", "run_1", [Holding(item.id, "a_detail.md") for item in items]))
    return store


def make_backups(store: VectorStore, training_data: Path, task_id: str | None, days: Sequence[int]) -> list[str]:
    """Make a backup on each of these days of the year; their timestamps, newest first."""
    place = place_of_task(str(training_data), task_id)
    make_directories(place.locked_path)
    for day in days:
        made_at = (FIRST + timedelta(days=day)).astimezone()
        label = "backup of the vector store"
        with open_place(place, label=label) as workspace, workspace.temporary_folder(f"vectors_{day}") as work:
            backup = write_backup(store, work, now=made_at, task_id=task_id, taken=workspace.folder_names(place.folder))
            if place.folder is None:
                workspace.publish(work, backup.files, label=label, run_id=f"vectors_{day}")
            else:
                workspace.put_aside(work, backup.files, place.folder, label=label)
    return timestamps(place)


def timestamps(place: BackupPlace) -> list[str]:
    """The backups of a folder, newest first."""
    return [backup.timestamp for backup in backups_in(place)]
