"""The backups of a task: a list, and one of them in detail. Changes nothing and needs no lock.

Older systems made such directories too, and people may have removed or broken a record: every `file_bak_*` counts.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from data_pipeline import task_directory
from data_pipeline.backup.record import BackupRecord, decode_record
from data_pipeline.errors import DirectoryUnusable, NotFound
from data_pipeline.workspace import read_file
from journal import printable

RecordState = Literal["good", "missing", "broken"]


@dataclass(frozen=True)
class BackedUpFile:
    """An entry of a backup; only files and symbolic links can be restored."""

    name: str
    size_bytes: int
    modified_at: datetime
    kind: Literal["file", "link", "directory", "special"]

    @property
    def is_restorable(self) -> bool:
        """Whether a restore brings it back."""
        return self.kind in ("file", "link")


@dataclass(frozen=True)
class Backup:
    """One backup as it lies on disk; `record` is None when there is none, or none that can be read."""

    name: str
    path: str
    made_at: datetime
    record: BackupRecord | None
    record_state: RecordState
    files: tuple[BackedUpFile, ...]

    @property
    def size_bytes(self) -> int:
        """The size of all files together."""
        return sum(file.size_bytes for file in self.files)

    def summary(self) -> dict[str, Any]:
        """For lists: counts only."""
        return {
            "name": self.name,
            "made_at": self.made_at.isoformat(),
            "file_count": len(self.files),
            "size_bytes": self.size_bytes,
            "record": self.record_state,
            "failed_count": len(self.record.failed_files) if self.record else 0,
            "run_id": self.record.run_id if self.record else None,
            "restored": self.record.restored if self.record else None,
        }

    def details(self) -> dict[str, Any]:
        """Everything about it, names in a form that people can read."""
        return {
            **self.summary(),
            "path": printable(self.path),
            "failed_files": [failed.model_dump() for failed in self.record.failed_files] if self.record else [],
            "files": [
                {
                    "name": printable(file.name),
                    "kind": file.kind,
                    "size_bytes": file.size_bytes,
                    "modified_at": file.modified_at.isoformat(),
                }
                for file in self.files
            ],
        }


def list_backups(path: str) -> list[Backup]:
    """Every backup in the task directory at `path`, newest first. Raises DirectoryUnusable when it cannot be read."""
    with _readable(path) as entries:
        names = [entry.name for entry in entries if task_directory.is_backup_name(entry.name) and _is_directory(entry)]
    backups = [_read(path, name) for name in names]
    return sorted(backups, key=lambda found: (found.made_at, task_directory.time_in_name(found.name)[1]), reverse=True)


def find_backup(path: str, name: str) -> Backup:
    """One backup by its name. Raises NotFound, DirectoryUnusable."""
    whole = os.path.join(path, name)
    if not task_directory.is_backup_name(name) or os.path.islink(whole) or not os.path.isdir(whole):
        raise NotFound("backup", name, "The list of the task's backups shows those there are.")
    return _read(path, name)


def read_record(path: str, *, containing: str = "") -> BackupRecord | None:
    """The record in a backup directory, None when there is none that can be read; bytes without `containing` are none.

    A file that was itself called backup_info.json is told from the record by the directory's name in it.
    """
    return _find_record(path, containing)[0]


def _find_record(path: str, containing: str = "") -> tuple[BackupRecord | None, str | None]:
    """The record and the name of its file."""
    name = os.path.basename(path)
    try:
        candidates = sorted(filter(task_directory.can_be_record, os.listdir(path)), reverse=True)
    except OSError:
        return None, None
    for candidate in candidates:
        try:
            raw = read_file(os.path.join(path, candidate))
        except OSError:
            continue
        if containing.encode() in raw and (record := decode_record(raw, name)) is not None:
            return record, candidate
    return None, None


def _read(path: str, name: str) -> Backup:
    whole = os.path.join(path, name)
    record, record_file = _find_record(whole)
    with _readable(whole) as entries:
        found = [_file(entry) for entry in entries if entry.name != record_file]
    is_broken = record is None and any(task_directory.can_be_record(file.name) for file in found)
    return Backup(
        name=name,
        path=whole,
        made_at=_made_at(whole, name, record),
        record=record,
        record_state="good" if record else "broken" if is_broken else "missing",
        files=tuple(sorted(found, key=lambda file: file.name)),
    )


def _made_at(path: str, name: str, record: BackupRecord | None) -> datetime:
    """In UTC: by the record, else by the local time in the name, else by the directory's own time."""
    if record is not None and record.instant is not None:
        return record.instant
    local, _ = task_directory.time_in_name(name)
    return local.astimezone(UTC) if local else datetime.fromtimestamp(os.stat(path).st_mtime, UTC)


def _file(entry: os.DirEntry[str]) -> BackedUpFile:
    found = entry.stat(follow_symlinks=False)
    mode = found.st_mode
    kind: Literal["file", "link", "directory", "special"] = (
        "file"
        if stat.S_ISREG(mode)
        else "link"
        if stat.S_ISLNK(mode)
        else "directory"
        if stat.S_ISDIR(mode)
        else "special"
    )
    return BackedUpFile(entry.name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC), kind)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


@contextlib.contextmanager
def _readable(path: str) -> Iterator[Iterator[os.DirEntry[str]]]:
    try:
        with os.scandir(path) as entries:
            yield entries
    except OSError as error:
        raise DirectoryUnusable(f"{printable(path)} cannot be read ({error.strerror}).") from error
