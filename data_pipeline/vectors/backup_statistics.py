"""Count the backups of files and of vectors: how many, how large, and how old. Changes nothing and needs no lock."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from data_pipeline.errors import DirectoryUnusable
from data_pipeline.tasks.backup.catalogue import list_backups
from data_pipeline.tasks.workspace import task_directories
from data_pipeline.vectors.backup.catalogue import backups_in, places


@dataclass(frozen=True)
class BackupCount:
    """Number, size and age of some backups. The times are None without a backup that has a known time."""

    backup_count: int = 0
    size_bytes: int = 0
    oldest_at: datetime | None = None
    newest_at: datetime | None = None

    def __add__(self, other: BackupCount) -> BackupCount:
        """Return the count of the backups of both."""
        oldest = [count.oldest_at for count in (self, other) if count.oldest_at is not None]
        newest = [count.newest_at for count in (self, other) if count.newest_at is not None]
        return BackupCount(
            self.backup_count + other.backup_count,
            self.size_bytes + other.size_bytes,
            min(oldest, default=None),
            max(newest, default=None),
        )

    def summary(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {
            "backup_count": self.backup_count,
            "size_bytes": self.size_bytes,
            "oldest_at": self.oldest_at.isoformat() if self.oldest_at else None,
            "newest_at": self.newest_at.isoformat() if self.newest_at else None,
        }


@dataclass(frozen=True)
class TaskCount:
    """The backups of one task; `task_id` is None for the backups of vectors that belong to no task."""

    task_id: str | None
    files: BackupCount
    vectors: BackupCount

    def summary(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {"task_id": self.task_id, "files": self.files.summary(), "vectors": self.vectors.summary()}


@dataclass(frozen=True)
class BackupStatistics:
    """The backups of each task that has some. `unreadable` are the reasons why others were not counted."""

    tasks: tuple[TaskCount, ...]
    unreadable: tuple[str, ...]

    @property
    def files(self) -> BackupCount:
        """All backups of files together."""
        return sum((task.files for task in self.tasks), BackupCount())

    @property
    def vectors(self) -> BackupCount:
        """All backups of vectors together."""
        return sum((task.vectors for task in self.tasks), BackupCount())

    @property
    def size_bytes(self) -> int:
        """The size of all backups together."""
        return self.files.size_bytes + self.vectors.size_bytes

    @property
    def is_complete(self) -> bool:
        """True if everything could be counted."""
        return not self.unreadable

    def summary(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {
            "tasks": [task.summary() for task in self.tasks],
            "total": {"files": self.files.summary(), "vectors": self.vectors.summary()},
            "is_complete": self.is_complete,
            "unreadable": list(self.unreadable),
        }


def count_backups(training_data: str, *, task_id: str | None = None) -> BackupStatistics:
    """Count all backups below `training_data`, or those of one task. Sizes are without the records, as in lists.

    A directory that cannot be read is reported, and the others are counted. Raises InvalidInput for an invalid task id,
    DirectoryUnusable if `training_data` cannot be read.
    """
    files: dict[str | None, BackupCount] = {}
    vectors: dict[str | None, BackupCount] = {}
    unreadable = []
    for place in places(training_data, task_id=task_id):
        try:
            vectors[place.task_id] = _count((backup.items_size_bytes, backup.made_at) for backup in backups_in(place))
        except DirectoryUnusable as error:
            unreadable.append(str(error))
    for name in task_directories(training_data) if task_id is None else [task_id]:
        path = os.path.join(training_data, name)
        try:
            files[name] = _count((backup.size_bytes, backup.made_at) for backup in list_backups(path))
        except DirectoryUnusable as error:
            if os.path.lexists(path):  # else it was deleted meanwhile, or never existed
                unreadable.append(str(error))
    counts = (
        TaskCount(name, files.get(name, BackupCount()), vectors.get(name, BackupCount()))
        for name in sorted({*files, *vectors}, key=lambda name: name or "")
    )
    return BackupStatistics(
        tuple(count for count in counts if count.files.backup_count or count.vectors.backup_count), tuple(unreadable)
    )


def _count(backups: Iterable[tuple[int, datetime | None]]) -> BackupCount:
    return sum((BackupCount(1, size_bytes, made_at, made_at) for size_bytes, made_at in backups), BackupCount())
