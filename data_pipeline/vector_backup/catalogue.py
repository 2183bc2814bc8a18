"""Where backups of the vector store lie, and which there are. Reads; follows no link."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from data_pipeline import task_directory
from data_pipeline.errors import DirectoryUnusable, InvalidInput, NotFound
from data_pipeline.task_directory import VECTOR_BACKUPS
from data_pipeline.vector_backup.record import Manifest, NotWhatWasWritten, read_manifest
from data_pipeline.workspace import open_regular_file, printable

MANIFEST_LIMIT_BYTES: Final = 1024 * 1024


@dataclass(frozen=True)
class BackupPlace:
    """A folder of vector backups: of a task, or of none."""

    path: str
    task_id: str | None

    @property
    def type(self) -> Literal["global", "task"]:
        """As requests call it."""
        return "global" if self.task_id is None else "task"

    @property
    def relative_path(self) -> str:
        """Its name below the task directories, as a restore takes it."""
        return VECTOR_BACKUPS if self.task_id is None else f"{self.task_id}/{VECTOR_BACKUPS}"


@dataclass(frozen=True)
class ListedBackup:
    """A backup in a folder; `problem` is why it could not be restored, None where nothing is seen to be wrong."""

    timestamp: str
    manifest_size_bytes: int
    items_size_bytes: int
    made_at: datetime | None
    manifest: Manifest | None
    problem: str | None


def place_of_task(training_data: str, task_id: str | None) -> BackupPlace:
    """The folder of a task's backups, or of those of no task; it need not be there. Raises InvalidInput."""
    if task_id is None:
        return BackupPlace(os.path.join(training_data, VECTOR_BACKUPS), None)
    return BackupPlace(os.path.join(task_directory.path_of(training_data, task_id), VECTOR_BACKUPS), task_id)


def place_named(training_data: str, backup_path: str) -> BackupPlace:
    """The folder that a request names: `vector_bak`, or `<task>/vector_bak`. Raises InvalidInput, NotFound."""
    parts = backup_path.rstrip("/").split("/")
    if parts[-1] != VECTOR_BACKUPS or len(parts) > 2:
        raise InvalidInput(
            "backup_path", f"{backup_path[:80]!a} is neither {VECTOR_BACKUPS} nor <task>/{VECTOR_BACKUPS}: see the list"
        )
    place = place_of_task(training_data, parts[0] if len(parts) == 2 else None)
    if not _is_there(place):
        raise NotFound("folder of vector backups", place.relative_path, "The list of backups names them all.")
    return place


def places(training_data: str, *, task_id: str | None = None, global_only: bool = False) -> list[BackupPlace]:
    """Every folder that there is, that of no task first. Raises DirectoryUnusable."""
    found = [] if task_id is not None else [place_of_task(training_data, None)]
    if task_id is not None:
        found.append(place_of_task(training_data, task_id))
    elif not global_only:
        try:
            names = sorted(os.listdir(training_data)) if os.path.isdir(training_data) else []
        except OSError as error:
            raise DirectoryUnusable(f"{printable(training_data)} cannot be read ({error.strerror}).") from error
        for name in names:
            if name != VECTOR_BACKUPS and not name.startswith("."):
                try:
                    found.append(place_of_task(training_data, name))
                except InvalidInput:
                    continue  # no task is called so
    return [place for place in found if _is_there(place)]


def backups_in(place: BackupPlace) -> list[ListedBackup]:
    """The backups of a folder, newest first. Raises DirectoryUnusable."""
    try:
        names = os.listdir(place.path)
    except OSError as error:
        raise DirectoryUnusable(f"{place.relative_path} cannot be read ({error.strerror}).") from error
    stamps = filter(None, map(task_directory.vector_timestamp_in, names))
    return [_listed(place, timestamp) for timestamp in sorted(stamps, reverse=True)]


def read_manifest_of(place: BackupPlace, timestamp: str) -> Manifest:
    """What a backup says of itself. Raises NotFound, NotWhatWasWritten."""
    name = task_directory.vector_manifest_name(timestamp)
    try:
        with open_regular_file(os.path.join(place.path, name)) as file:
            raw = file.read(MANIFEST_LIMIT_BYTES)
    except OSError as error:
        raise NotFound("vector backup", f"{place.relative_path}, {timestamp}", "See the list.") from error
    manifest = read_manifest(raw)
    if manifest.timestamp != timestamp or manifest.items_file != task_directory.vector_items_name(timestamp):
        raise NotWhatWasWritten("its manifest is that of another backup")
    return manifest


def _listed(place: BackupPlace, timestamp: str) -> ListedBackup:
    sizes = [
        _size(os.path.join(place.path, name))
        for name in (task_directory.vector_manifest_name(timestamp), task_directory.vector_items_name(timestamp))
    ]
    manifest, problem = None, None
    try:
        manifest = read_manifest_of(place, timestamp)
    except (NotFound, NotWhatWasWritten) as error:
        problem = str(error)
    if manifest is not None and sizes[1] != manifest.size_bytes:
        problem = f"{manifest.items_file} has {sizes[1]} bytes, and not {manifest.size_bytes}"
    made_at = datetime.fromisoformat(manifest.created_at) if manifest is not None else None
    return ListedBackup(timestamp, sizes[0], sizes[1], made_at, manifest, problem)


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _is_there(place: BackupPlace) -> bool:
    above = os.path.dirname(place.path)
    is_link = os.path.islink(place.path) or (place.task_id is not None and os.path.islink(above))
    return os.path.isdir(place.path) and not is_link
