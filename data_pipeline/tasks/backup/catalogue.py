"""List the backups of a task and describe one of them. Changes nothing and needs no lock.

Each `file_bak_*` is a backup: older systems created such directories, too, and a record may be missing or broken.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

from data_pipeline.errors import DirectoryUnusable, NotFound
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.backup.manifests import BackupNote, ChecksumManifest
from data_pipeline.tasks.backup.record import BackupRecord, decode_record, is_reserved
from data_pipeline.tasks.workspace import EARLIEST, LATEST, check_not_link, open_regular_file, time_of
from journal import printable

RecordState = Literal["good", "missing", "broken", "unreadable"]
"""`missing`: no file can be it, or its place is kept and empty. `broken`: a file has its name, and other content.
`unreadable`: the disk refuses to read a file of its name, so it may be good."""


Kind = Literal["file", "link", "directory", "special"]


class BackedUpFile(NamedTuple):
    """An entry of a backup; only files and symbolic links can be restored."""

    name: str
    size_bytes: int
    modified_seconds: float
    kind: Kind

    @property
    def modified_at(self) -> datetime:
        """The time of the last change of its content, in UTC."""
        return time_of(self.modified_seconds)

    @property
    def is_restorable(self) -> bool:
        """True if the entry can be restored."""
        return self.kind in ("file", "link")


_KINDS: Final[dict[int, Kind]] = {stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFDIR: "directory"}


@dataclass(frozen=True)
class Backup:
    """A backup on disk. `record` is None if it is missing or cannot be read.

    `doubtful` are the files that may be the record or a file of the task. `record_error` is the reason if the disk
    refuses to read one of them. The record is not among the files.
    """

    name: str
    path: str
    made_at: datetime
    record: BackupRecord | None
    record_state: RecordState
    files: tuple[BackedUpFile, ...]
    doubtful: tuple[str, ...] = ()
    record_error: str | None = None
    note: str | None = None
    record_file: BackedUpFile | None = None

    @property
    def size_bytes(self) -> int:
        """The size of all files together, without the record."""
        return sum(file.size_bytes for file in self.files)

    @property
    def failed_count(self) -> int:
        """The number of files that could not be moved, by the record."""
        return len(self.record.failed_files) if self.record else 0

    def summary(self) -> dict[str, Any]:
        """Return the fields for lists, with counts only."""
        return {
            "name": self.name,
            "made_at": self.made_at.isoformat(),
            "file_count": len(self.files),
            "size_bytes": self.size_bytes,
            "record": self.record_state,
            "failed_count": self.failed_count,
            "run_id": self.record.run_id if self.record else None,
            "restored": self.record.restored if self.record else None,
            "note": self.note,
        }

    def details(self) -> dict[str, Any]:
        """Return all fields, with printable names."""
        return {
            **self.summary(),
            "path": printable(self.path),
            "record_error": self.record_error,
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
    """Return every backup in the task directory at `path`, newest first, without those that are deleted meanwhile.

    Raises DirectoryUnusable if a directory cannot be read.
    """
    check_not_link(path)
    with _readable(path) as entries:
        names = [entry.name for entry in entries if task_directory.is_backup_name(entry.name) and _is_directory(entry)]
    noted = _names_in(os.path.join(path, task_directory.BACKUP_MANIFESTS))
    backups = []
    for name in names:
        try:
            backups.append(_read(path, name, has_note=task_directory.backup_note_name(name) in noted))
        except NotFound:  # another process deleted it after the directory was read
            continue
    return sorted(
        backups, key=lambda backup: (backup.made_at, task_directory.time_in_name(backup.name)[1]), reverse=True
    )


def find_backup(path: str, name: str) -> Backup:
    """Return a backup by its name. Raises NotFound, DirectoryUnusable."""
    check_not_link(path)
    whole = os.path.join(path, name)
    if not task_directory.is_backup_name(name) or os.path.islink(whole) or not os.path.isdir(whole):
        raise NotFound("backup", name, "See the list of the task's backups.")
    return _read(path, name, has_note=True)


def read_note(path: str, backup: str, record: BackupRecord | None) -> BackupNote | None:
    """Return the note of a backup in the task directory at `path`; None if it has none that can be read."""
    raw = _read_manifest(path, task_directory.backup_note_name(backup))
    return None if raw is None else BackupNote.decode(raw, backup, record)


def read_checksums(path: str, backup: str, record: BackupRecord | None) -> ChecksumManifest | None:
    """Return the checksums of a backup in the task directory at `path`; None if it has none that can be read."""
    raw = _read_manifest(path, task_directory.backup_checksums_name(backup))
    return None if raw is None else ChecksumManifest.decode(raw, backup, record)


def _read_manifest(path: str, name: str) -> bytes | None:
    folder = os.path.join(path, task_directory.BACKUP_MANIFESTS)
    if os.path.islink(folder):
        return None
    try:
        with open_regular_file(os.path.join(folder, name)) as file:
            return file.read()
    except OSError:
        return None


def _names_in(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def read_record(path: str, *, containing: str = "") -> BackupRecord | None:
    """Return the record in a backup directory; None if it is missing, unreadable, or does not contain `containing`.

    A file of the task with the name backup_info.json is not the record, because the record has the directory's name.
    """
    try:
        names = os.listdir(path)
    except OSError:
        return None
    return _find_record(path, filter(task_directory.can_be_record, names), containing).record


class _FoundRecord(NamedTuple):
    """The record, the name of its file (also known if only its place is reserved), and the error without one."""

    record: BackupRecord | None = None
    file: str | None = None
    error: str | None = None


def _find_record(path: str, candidates: Iterable[str], containing: str = "") -> _FoundRecord:
    """Find the record among the files that have such a name: the highest number first, as the journal chose it."""
    name = os.path.basename(path)
    reserved = error = None
    for candidate in sorted(candidates, key=_number_first, reverse=True):
        try:
            with open_regular_file(os.path.join(path, candidate)) as file:
                raw = file.read()
        except FileNotFoundError:
            continue
        except OSError as refused:
            error = error or f"{candidate} cannot be read ({refused.strerror or refused})"
            continue
        if containing.encode() in raw and (record := decode_record(raw, name)) is not None:
            return _FoundRecord(record, candidate)
        if reserved is None and is_reserved(raw):
            reserved = candidate
    return _FoundRecord(None, reserved, None if reserved else error)


def _number_first(name: str) -> tuple[int, str]:
    return len(name), name


def _read(path: str, name: str, *, has_note: bool) -> Backup:
    """Read one backup. Raises DirectoryUnusable, or NotFound if another process has deleted it."""
    gone = NotFound("backup", name, "It was deleted a moment ago.")
    try:
        backup = _read_existing(path, name, has_note=has_note)
    except (DirectoryUnusable, FileNotFoundError):
        if not os.path.lexists(os.path.join(path, name)):
            raise gone from None
        raise
    if backup.record is None and not os.path.lexists(backup.path):
        raise gone  # the files may be incomplete
    return backup


def _read_existing(path: str, name: str, *, has_note: bool) -> Backup:
    whole = os.path.join(path, name)
    with _readable(whole) as entries:
        files = [_file(entry) for entry in entries]
    candidates = [file.name for file in files if file.kind == "file" and task_directory.can_be_record(file.name)]
    record, record_file, error = _find_record(whole, candidates)
    doubtful = [] if record_file else candidates
    state: RecordState = (
        "good" if record else "missing" if not doubtful else "unreadable" if error is not None else "broken"
    )
    note = read_note(path, name, record) if has_note else None
    return Backup(
        name=name,
        path=whole,
        made_at=_made_at(whole, name, record),
        record=record,
        record_state=state,
        files=tuple(sorted(file for file in files if file.name != record_file)),
        doubtful=tuple(sorted(doubtful)),
        record_error=error if state == "unreadable" else None,
        note=note.note if note else None,
        record_file=next((file for file in files if file.name == record_file), None),
    )


def _made_at(path: str, name: str, record: BackupRecord | None) -> datetime:
    """Return the time in UTC: of the record, else in the name (local time), else of the directory."""
    if record is not None and record.instant is not None and EARLIEST < record.instant < LATEST:
        return record.instant
    local, _ = task_directory.time_in_name(name)
    if local is not None and EARLIEST.year < local.year < LATEST.year:
        return local.astimezone(UTC)
    return time_of(os.stat(path).st_mtime)


def _file(entry: os.DirEntry[str]) -> BackedUpFile:
    status = entry.stat(follow_symlinks=False)
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "special")
    return BackedUpFile(entry.name, status.st_size, status.st_mtime, kind)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


@contextlib.contextmanager
def _readable(path: str) -> Iterator[Iterator[os.DirEntry[str]]]:
    try:
        with os.scandir(path) as entries:
            yield entries
    except OSError as error:
        raise DirectoryUnusable(f"{printable(path)} cannot be read ({error.strerror}).") from error
