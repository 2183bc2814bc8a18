"""List the backups of the vector store. Changes nothing, follows no links."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from data_pipeline.errors import DirectoryUnusable, InvalidInput, NotFound
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.task_directory import VECTOR_BACKUPS
from data_pipeline.tasks.workspace import (
    EARLIEST,
    LATEST,
    Door,
    Workspace,
    open_regular_file,
    open_workspace,
    task_directories,
    time_of,
)
from data_pipeline.vectors.backup.record import Manifest, ManifestMissing, NotWhatWasWritten, read_manifest

MANIFEST_LIMIT_BYTES: Final = 1024 * 1024
SETTLE_SECONDS: Final = 0.5
CHECK_INTERVAL_SECONDS: Final = 0.02


@dataclass(frozen=True)
class BackupPlace:
    """A folder of vector backups, of a task or of no task."""

    path: str
    task_id: str | None

    @property
    def type(self) -> Literal["global", "task"]:
        """The name of the kind in requests."""
        return "global" if self.task_id is None else "task"

    @property
    def relative_path(self) -> str:
        """The path below the folder of all tasks, which is the argument of a restore."""
        return VECTOR_BACKUPS if self.task_id is None else f"{self.task_id}/{VECTOR_BACKUPS}"

    @property
    def folder(self) -> str | None:
        """The name in the locked directory; None if the folder has its own lock."""
        return None if self.task_id is None else VECTOR_BACKUPS

    @property
    def locked_path(self) -> str:
        """The directory to lock for a change."""
        return self.path if self.task_id is None else os.path.dirname(self.path)

    def manifest_path(self, timestamp: str) -> str:
        """Return the path of the manifest of a backup."""
        return os.path.join(self.path, task_directory.vector_manifest_name(timestamp))

    def items_path(self, timestamp: str) -> str:
        """Return the path of the items of a backup."""
        return os.path.join(self.path, task_directory.vector_items_name(timestamp))


@dataclass(frozen=True)
class ListedBackup:
    """A backup in a folder. `problem` is the reason why it cannot be restored, None if no problem is known.

    `made_at` is the time in its manifest, None without a manifest. `sorted_by` is the same or, without one, the time in
    its name or of its files.
    """

    timestamp: str
    has_manifest: bool
    has_items: bool
    manifest_size_bytes: int
    items_size_bytes: int
    made_at: datetime | None
    sorted_by: datetime
    manifest: Manifest | None
    problem: str | None

    @property
    def file_count(self) -> int:
        """The number of files without the record, as for other backups."""
        return int(self.has_items)


def place_of_task(training_data: str, task_id: str | None) -> BackupPlace:
    """Return the folder of the backups of a task, or of no task, which may be missing. Raises InvalidInput."""
    if task_id is None:
        return BackupPlace(os.path.join(training_data, VECTOR_BACKUPS), None)
    return BackupPlace(os.path.join(task_directory.path_of(training_data, task_id), VECTOR_BACKUPS), task_id)


def place_named(training_data: str, backup_path: str) -> BackupPlace:
    """Return the folder that a request names: `vector_bak` or `<task>/vector_bak`. Raises InvalidInput, NotFound."""
    parts = backup_path.rstrip("/").split("/")
    if parts[-1] != VECTOR_BACKUPS or len(parts) > 2:
        raise InvalidInput(
            "backup_path", f"{backup_path[:80]!a} must be {VECTOR_BACKUPS} or <task>/{VECTOR_BACKUPS}: see the list"
        )
    place = place_of_task(training_data, parts[0] if len(parts) == 2 else None)
    if not _exists(place):
        raise NotFound("folder of vector backups", place.relative_path, "See the list of backups.")
    return place


def places(training_data: str, *, task_id: str | None = None, global_only: bool = False) -> list[BackupPlace]:
    """Return all existing folders, the one of no task first. Raises DirectoryUnusable."""
    task_ids: list[str | None] = [task_id]
    if task_id is None and not global_only:
        task_ids += task_directories(training_data)
    return list(filter(_exists, (place_of_task(training_data, name) for name in task_ids)))


def open_place(place: BackupPlace, *, label: str, timeout_seconds: float = 0.0, door: Door | None = None) -> Workspace:
    """Lock a folder of backups for a change. Raises TaskBusy, DirectoryUnusable."""
    name = place.task_id or VECTOR_BACKUPS
    return open_workspace(place.locked_path, name, label=label, timeout_seconds=timeout_seconds, door=door)


def backups_in(place: BackupPlace) -> list[ListedBackup]:
    """List the backups of a folder, newest first; none if it is missing. Raises DirectoryUnusable."""
    stamps = set(filter(None, map(task_directory.vector_timestamp_in, names_in(place))))
    listed = filter(None, (_listed(place, timestamp) for timestamp in stamps))
    return sorted(listed, key=lambda backup: (backup.sorted_by, backup.timestamp), reverse=True)


def find_backup(place: BackupPlace, timestamp: str) -> ListedBackup:
    """Return a backup of a folder. Raises NotFound, DirectoryUnusable."""
    stamps = map(task_directory.vector_timestamp_in, names_in(place))
    backup = _listed(place, timestamp) if timestamp in stamps else None
    if backup is None:
        raise _not_found(place, timestamp)
    return backup


def find_settled(place: BackupPlace, timestamp: str) -> ListedBackup:
    """Return a backup; if one of its two files is missing, try again for a moment. Raises as `find_backup`.

    A transaction creates and deletes both files, but one after the other. If one stays missing, the backup is damaged.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        backup = find_backup(place, timestamp)
        if (backup.has_manifest and backup.has_items) or time.monotonic() >= deadline:
            return backup
        time.sleep(CHECK_INTERVAL_SECONDS)


def names_in(place: BackupPlace) -> list[str]:
    """Return the names of all entries of a folder; none if it is missing, or a link. Raises DirectoryUnusable."""
    if not _exists(place):
        return []
    try:
        return os.listdir(place.path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DirectoryUnusable(f"{place.relative_path} cannot be read ({error.strerror}).") from error


def read_manifest_of(place: BackupPlace, timestamp: str) -> Manifest:
    """Return the manifest of a backup. Raises NotFound, NotWhatWasWritten."""
    try:
        with open_regular_file(place.manifest_path(timestamp)) as file:
            raw = file.read(MANIFEST_LIMIT_BYTES)
    except FileNotFoundError as error:
        if not os.path.lexists(place.items_path(timestamp)):
            raise _not_found(place, timestamp) from error
        raise ManifestMissing("its manifest is missing") from error
    except OSError as error:
        raise NotWhatWasWritten(f"its manifest cannot be read ({error.strerror})") from error
    manifest = read_manifest(raw)
    if manifest.timestamp != timestamp or manifest.items_file != task_directory.vector_items_name(timestamp):
        raise NotWhatWasWritten("its manifest belongs to another backup")
    return manifest


def _not_found(place: BackupPlace, timestamp: str) -> NotFound:
    return NotFound("vector backup", f"{place.relative_path}, {timestamp}", "See the list.")


def _listed(place: BackupPlace, timestamp: str) -> ListedBackup | None:
    """Describe a backup; return None if another process has deleted it."""
    paths = (place.manifest_path(timestamp), place.items_path(timestamp))
    manifest, problem = None, None
    try:
        manifest = read_manifest_of(place, timestamp)
    except NotFound:
        return None
    except NotWhatWasWritten as error:
        problem = str(error)
    has_manifest, has_items = map(os.path.lexists, paths)
    manifest_size, items_size = map(_size, paths)
    if not has_manifest and not has_items:
        return None
    if manifest is not None and not has_items:
        problem = f"{manifest.items_file} is missing"
    elif manifest is not None and items_size != manifest.size_bytes:
        problem = f"{manifest.items_file}: expected {manifest.size_bytes} bytes, got {items_size}"
    made_at = manifest.instant if manifest is not None else None
    if made_at is not None and not EARLIEST < made_at < LATEST:
        made_at = None
    sorted_by = made_at.astimezone(UTC) if made_at is not None else _time_without_manifest(timestamp, paths)
    return ListedBackup(
        timestamp, has_manifest, has_items, manifest_size, items_size, made_at, sorted_by, manifest, problem
    )


def _time_without_manifest(timestamp: str, paths: Iterable[str]) -> datetime:
    """Return the time in the name (local time), else of the newer of its files, in UTC."""
    local = task_directory.time_in_digits(timestamp)
    if local is not None and EARLIEST.year < local.year < LATEST.year:
        return local.astimezone(UTC)
    return time_of(max(map(_modified_seconds, paths)))


def _modified_seconds(path: str) -> float:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _exists(place: BackupPlace) -> bool:
    above = os.path.dirname(place.path)
    is_link = os.path.islink(place.path) or (place.task_id is not None and os.path.islink(above))
    return os.path.isdir(place.path) and not is_link
