"""The files of a task as people see them: a list, one of them, a new one. Directories and links are not among them."""

from __future__ import annotations

import functools
import io
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Final, Literal

from data_pipeline.errors import DirectoryUnusable, InvalidInput, NotFound
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.log_reading import LogEntry, parse_log
from data_pipeline.tasks.table_list import decode_table_list, parse_table_list
from data_pipeline.tasks.workspace import Workspace, check_not_link, open_regular_file, printable, time_of

UPLOAD_LIMIT_BYTES: Final = 10 * 1024 * 1024
UPLOAD_SUFFIXES: Final = (".ddl", ".md", ".txt", ".json", ".sql", ".csv")
LOG_LIMIT_BYTES: Final = 16 * 1024 * 1024
"""How much of a log is read, from its end: a run writes a few lines a table."""

CHUNK_BYTES: Final = 1024 * 1024

OverwriteMode = Literal["backup", "replace", "skip"]

_TYPES: Final = {
    ".ddl": "ddl", ".sql": "sql", ".md": "markdown", ".json": "json", ".txt": "text", ".csv": "text", ".log": "log",
}  # fmt: skip


@dataclass(frozen=True)
class TaskFile:
    """One file of a task; names in a form that people can read."""

    name: str
    type: str
    size_bytes: int
    created_at: datetime
    modified_at: datetime
    is_readable: bool


@dataclass(frozen=True)
class Uploaded:
    """What became of an upload: `backup_name` is what the file that was there is called now, None without one."""

    name: str
    size_bytes: int
    is_written: bool
    had_existing: bool
    backup_name: str | None


def list_files(path: str) -> list[TaskFile]:
    """The files at the top of the task directory at `path`, newest first. Raises DirectoryUnusable."""
    check_not_link(path)
    try:
        with os.scandir(path) as entries:
            found = [_file(entry) for entry in entries if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DirectoryUnusable(f"{printable(path)} cannot be read ({error.strerror}).") from error
    return sorted(found, key=lambda file: (file.modified_at, file.name), reverse=True)


def open_file(path: str, name: str) -> IO[bytes]:
    """A file of a task, open for reading. Raises NotFound, for a name that no file can have, too, DirectoryUnusable."""
    check_not_link(path)
    try:
        return open_regular_file(os.path.join(path, task_directory.check_file_name(name)))
    except (InvalidInput, OSError) as error:
        raise NotFound("file", name[:200]) from error


def chunks_of(file: IO[bytes]) -> Iterator[bytes]:
    """What is left of an open file, piece by piece; it is closed at the end."""
    with file:
        yield from iter(functools.partial(file.read, CHUNK_BYTES), b"")


def read_log(path: str) -> list[LogEntry]:
    """The entries of a task's log, oldest first; nothing when there is none. Of a very long log its end."""
    try:
        file = open_file(path, task_directory.LOG)
    except NotFound:
        return []
    with file:
        size = os.fstat(file.fileno()).st_size
        if size > LOG_LIMIT_BYTES:
            file.seek(size - LOG_LIMIT_BYTES)
            file.readline()  # it may be the rest of one
        with io.TextIOWrapper(file, encoding="utf-8", errors="replace") as lines:
            return parse_log(lines)


def check_upload(name: str, head: bytes) -> None:
    """See that a file of this name, which begins so, may be uploaded. Raises InvalidInput."""
    task_directory.check_file_name(name)
    suffix = os.path.splitext(name)[1].lower()
    if suffix not in UPLOAD_SUFFIXES:
        raise InvalidInput("file", f"its name must end with one of {', '.join(UPLOAD_SUFFIXES)}")
    if not head:
        raise InvalidInput("file", "it is empty")
    if b"\0" in head:
        raise InvalidInput("file", "it is not text")


def upload(
    workspace: Workspace, name: str, chunks: Iterable[bytes], *, mode: OverwriteMode, upload_id: str
) -> Uploaded:
    """Put a file into the task directory in one piece, or change nothing.

    `backup` gives a file that is there the name `<name>_bak1` (or 2 ...), `replace` keeps it apart as a run would,
    `skip` leaves it. Raises InvalidInput where the content is not what its name says, PublishFailed, DirectoryUnusable,
    RecoveryNeeded, OutcomeUnsettled.
    """
    had_existing = workspace.has(name)
    if had_existing and mode == "skip":
        return Uploaded(name, 0, is_written=False, had_existing=True, backup_name=None)
    with workspace.temporary_folder(upload_id) as work:
        staged = work.write_chunks(name, _text_only(chunks, name))
        copies = [work.copy(name, _free_name(workspace, name))] if had_existing and mode == "backup" else []
        # What was copied and has not changed since goes; anything else is kept apart.
        ours = {name: {copies[0].sha256}} if copies else {}
        label = f"upload of {printable(name)}"
        workspace.publish(work, [staged, *copies], label=label, run_id=upload_id, ours=ours)
    return Uploaded(
        name,
        staged.size_bytes,
        is_written=True,
        had_existing=had_existing,
        backup_name=copies[0].name if copies else None,
    )


def _text_only(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """The chunks, as long as they are text of an upload's size; a table list must be one."""
    size, whole = 0, bytearray()
    for chunk in chunks:
        size += len(chunk)
        if size > UPLOAD_LIMIT_BYTES:
            raise InvalidInput("file", f"it is larger than {UPLOAD_LIMIT_BYTES} bytes")
        if b"\0" in chunk:
            raise InvalidInput("file", "it is not text")
        if name == task_directory.TABLE_LIST:
            whole += chunk
        yield chunk
    if name == task_directory.TABLE_LIST:
        parse_table_list(decode_table_list(bytes(whole)))


def _free_name(workspace: Workspace, name: str) -> str:
    number = 1
    while workspace.has(f"{name}_bak{number}"):
        number += 1
    return f"{name}_bak{number}"


def _file(entry: os.DirEntry[str]) -> TaskFile:
    found = entry.stat(follow_symlinks=False)
    return TaskFile(
        name=printable(entry.name),
        type=_TYPES.get(os.path.splitext(entry.name)[1].lower(), "other"),
        size_bytes=found.st_size,
        created_at=time_of(found.st_ctime),
        modified_at=time_of(found.st_mtime),
        is_readable=stat.S_ISREG(found.st_mode) and os.access(entry.path, os.R_OK),
    )
