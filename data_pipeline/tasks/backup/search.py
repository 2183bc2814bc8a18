"""Find the backups that contain a text, for example personal data that must be deleted.

Searched are the backups of files (`<task>/file_bak_*/`, with their records, their sub-directories, and their notes and
checksums in `<task>/backup_manifests/`) and of vectors (`<task>/vector_bak/`, `vector_bak/`): the content of each file,
the name of each entry, the target of each symbolic link. `text_matching` describes which spellings of the text are
found.

Nothing is locked, written or parsed: a broken record is searched as any file. Links are not followed. A file that
cannot be searched is reported with the reason, because it may contain the text. The current files of a task, and the
folders of the journal, are not searched.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Final, Literal

from data_pipeline.errors import DirectoryUnusable, NotFound
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.backup.text_matching import TextPattern
from data_pipeline.tasks.task_directory import BACKUP_MANIFESTS, VECTOR_BACKUPS
from data_pipeline.tasks.workspace import open_regular_file, printable

FILE_LIMIT: Final = 100
"""Maximum number of names of files in a match."""

_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True)
class Match:
    """A backup that contains the text, with the names of the first files that do.

    `task_id` is None for a backup of vectors that belongs to no task. `backup` is the name of a backup of files, the
    timestamp of a backup of vectors, and None for files in such a folder that belong to no backup. `folder` is relative
    to the folder of all tasks, `files` are relative to `folder`; notes and checksums are relative to the task.
    """

    task_id: str | None
    kind: Literal["files", "vectors"]
    backup: str | None
    folder: str
    files: tuple[str, ...]
    file_count: int

    def summary(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {
            "task_id": self.task_id,
            "kind": self.kind,
            "backup": self.backup,
            "folder": self.folder,
            "files": list(self.files),
            "file_count": self.file_count,
        }


@dataclass(frozen=True)
class Unreadable:
    """A file or folder that was not searched, or not to its end, and why; the path is relative as in `Match`."""

    path: str
    reason: str


@dataclass(frozen=True)
class SearchReport:
    """The backups that contain a text, the searched files and bytes, and the files that were not searched.

    A file is searched up to the first occurrence of the text; `searched_bytes` are the bytes that were read.
    """

    matches: tuple[Match, ...]
    searched_files: int
    searched_bytes: int
    unreadable: tuple[Unreadable, ...]

    @property
    def is_complete(self) -> bool:
        """True if everything could be searched: then a backup that is not among the matches does not hold the text."""
        return not self.unreadable

    def summary(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {
            "matches": [match.summary() for match in self.matches],
            "searched_files": self.searched_files,
            "searched_bytes": self.searched_bytes,
            "is_complete": self.is_complete,
            "unreadable": [{"path": item.path, "reason": item.reason} for item in self.unreadable],
        }


def find_text(
    training_data: str,
    text: str,
    *,
    task_id: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SearchReport:
    """Search all backups below `training_data`, or those of one task, for a text of 2 to 1,000 characters.

    `progress` is called with the number of backups that are searched and of all, first with 0; an error that it raises
    ends the search. The text is in no error and no log; the report does not contain it either, unless it is in the name
    of a file.

    Raises InvalidInput for a text or a task id that cannot be, NotFound for a task without a directory, and
    DirectoryUnusable if `training_data` cannot be read.
    """
    search = _Search(training_data, TextPattern(text))
    backups = search.backups_of_all() if task_id is None else search.backups_of_one(task_id)
    if progress is not None:
        progress(0, len(backups))
    matches = []
    for number, backup in enumerate(backups, start=1):
        match = search.match(backup)
        if match is not None:
            matches.append(match)
        if progress is not None:
            progress(number, len(backups))
    return SearchReport(tuple(matches), search.files, search.bytes, tuple(search.unreadable))


@dataclass
class _Backup:
    """A backup to search: the path of each entry, and its name for the report, "" for the directory of the backup."""

    task_id: str | None
    kind: Literal["files", "vectors"]
    name: str | None
    folder: str
    entries: list[tuple[str, str]] = field(default_factory=list)


class _Search:
    """A search in progress, with the number of searched files and bytes, and the unreadable files."""

    def __init__(self, training_data: str, pattern: TextPattern) -> None:
        self._root = training_data
        self._pattern = pattern
        self.files = 0
        self.bytes = 0
        self.unreadable: list[Unreadable] = []

    def backups_of_all(self) -> list[_Backup]:
        """Return the backups of no task, then those of every task. Raises DirectoryUnusable."""
        try:
            names = sorted(os.listdir(self._root))
        except OSError as error:
            raise DirectoryUnusable(
                f"{printable(self._root)} cannot be read ({error.strerror}). Correct its permissions, or the setting "
                "DATA_PIPELINE_TRAINING_DATA."
            ) from error
        backups = self._vector_backups(self._root, None) if VECTOR_BACKUPS in names else []
        for name in names:
            # Directories with a name that no task may have are searched too: they may be of an older system.
            if name != VECTOR_BACKUPS and not name.startswith("."):
                backups += self._backups_of_task(os.path.join(self._root, name), name)
        return backups

    def backups_of_one(self, task_id: str) -> list[_Backup]:
        """Return the backups of a task. Raises InvalidInput, NotFound."""
        path = task_directory.path_of(self._root, task_id)
        try:
            is_missing = stat.S_ISREG(os.lstat(path).st_mode)
        except OSError as error:  # if the disk refuses to read it, the task is reported as not searched
            is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        if is_missing:
            raise NotFound("directory of task", task_id, "The list of tasks shows all tasks.")
        return self._backups_of_task(path, task_id)

    def match(self, backup: _Backup) -> Match | None:
        """Search a backup; return None if it does not contain the text."""
        names: list[str] = []
        count = 0
        for path, name, mode in self._walk(backup.entries):
            if self._holds(path, mode):
                count += 1
                if count <= FILE_LIMIT:
                    names.append(printable(name))
        if count == 0:
            return None
        task_id = None if backup.task_id is None else printable(backup.task_id)
        return Match(task_id, backup.kind, backup.name, printable(backup.folder), tuple(names), count)

    def _backups_of_task(self, path: str, task_id: str) -> list[_Backup]:
        mode = self._mode(path)
        if mode is None or stat.S_ISREG(mode):  # a file beside the task directories
            return []
        names = self._names(path, mode)
        backups = {
            name: _Backup(task_id, "files", name, f"{task_id}/{name}", [(os.path.join(path, name), "")])
            for name in names
            if task_directory.is_backup_name(name)
        }
        others = _Backup(task_id, "files", None, f"{task_id}/{BACKUP_MANIFESTS}")
        folder = os.path.join(path, BACKUP_MANIFESTS)
        for name in self._names(folder, self._mode(folder)) if BACKUP_MANIFESTS in names else []:
            backup, entry = task_directory.backup_of_manifest(name), (os.path.join(folder, name), name)
            if backup is not None:
                found = backups.setdefault(backup, _Backup(task_id, "files", backup, others.folder))
                is_alone = found.folder == others.folder  # the directory of the backup is missing
                found.entries.append((entry[0], name if is_alone else f"{BACKUP_MANIFESTS}/{name}"))
            else:
                others.entries.append(entry)
        vectors = self._vector_backups(path, task_id) if VECTOR_BACKUPS in names else []
        return [*(backups[name] for name in sorted(backups)), *([others] if others.entries else []), *vectors]

    def _vector_backups(self, above: str, task_id: str | None) -> list[_Backup]:
        path = os.path.join(above, VECTOR_BACKUPS)
        folder = VECTOR_BACKUPS if task_id is None else f"{task_id}/{VECTOR_BACKUPS}"
        backups: dict[str | None, _Backup] = {}
        for name in self._names(path, self._mode(path)):
            timestamp = _vector_timestamp_of(name)
            found = backups.setdefault(timestamp, _Backup(task_id, "vectors", timestamp, folder))
            found.entries.append((os.path.join(path, name), name))
        return list(backups.values())

    def _walk(self, entries: list[tuple[str, str]]) -> Iterator[tuple[str, str, int]]:
        """Yield path, name and mode of each entry, and of all that is below it."""
        waiting = entries[::-1]
        while waiting:
            path, name = waiting.pop()
            mode = self._mode(path)
            if mode is None:
                continue
            if name:
                yield path, name, mode
            if not name or stat.S_ISDIR(mode):
                below = [
                    (os.path.join(path, entry), f"{name}/{entry}" if name else entry)
                    for entry in self._names(path, mode)
                ]
                waiting += below[::-1]

    def _holds(self, path: str, mode: int) -> bool:
        """Search the name of an entry, and its content or its target."""
        if self._pattern.is_in([os.fsencode(os.path.basename(path))]):
            return True
        try:
            if stat.S_ISLNK(mode):
                self.files += 1
                return self._pattern.is_in([os.fsencode(os.readlink(path))])
            if stat.S_ISREG(mode):
                with open_regular_file(path) as file:
                    self.files += 1
                    return self._pattern.is_in(self._chunks(file))
        except OSError as error:
            self._note(path, error.strerror or str(error))
        else:
            if not stat.S_ISDIR(mode):
                self._note(path, "it is not a regular file")
        return False

    def _chunks(self, file: IO[bytes]) -> Iterator[bytes]:
        while chunk := file.read(_CHUNK_BYTES):
            self.bytes += len(chunk)
            yield chunk

    def _mode(self, path: str) -> int | None:
        try:
            return os.lstat(path).st_mode
        except OSError as error:
            self._note(path, error.strerror or str(error))
            return None

    def _names(self, path: str, mode: int | None) -> list[str]:
        """Return the sorted names in a directory; none, and a note, if it is not a directory or cannot be read."""
        if mode is None:
            return []
        if not stat.S_ISDIR(mode):
            is_link = stat.S_ISLNK(mode)
            self._note(path, "it is a symbolic link, which is not followed" if is_link else "it is not a directory")
            return []
        try:
            return sorted(os.listdir(path))
        except OSError as error:
            self._note(path, error.strerror or str(error))
            return []

    def _note(self, path: str, reason: str) -> None:
        self.unreadable.append(Unreadable(printable(os.path.relpath(path, self._root)), reason))


def _vector_timestamp_of(name: str) -> str | None:
    """Return the timestamp in the name of either file of a vector backup."""
    manifest = f"{name.removesuffix('.jsonl')}_manifest.json" if name.endswith(".jsonl") else name
    return task_directory.vector_timestamp_in(manifest)
