"""List, open and upload the files of a task. Directories and links are not among them."""

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
"""Maximum number of bytes that are read from the end of a log. A run writes a few lines for each table."""

CHUNK_BYTES: Final = 1024 * 1024

OverwriteMode = Literal["backup", "replace", "skip"]

_TYPES: Final = {
    ".ddl": "ddl", ".sql": "sql", ".md": "markdown", ".json": "json", ".txt": "text", ".csv": "text", ".log": "log",
}  # fmt: skip


@dataclass(frozen=True)
class TaskFile:
    """A file of a task, with its printable name."""

    name: str
    type: str
    size_bytes: int
    created_at: datetime
    modified_at: datetime
    is_readable: bool


@dataclass(frozen=True)
class Uploaded:
    """The result of an upload. `backup_name` is the new name of an existing file, None if there is none."""

    name: str
    size_bytes: int
    is_written: bool
    had_existing: bool
    backup_name: str | None


def list_files(path: str) -> list[TaskFile]:
    """List the files of the task directory at `path`, newest first. Raises DirectoryUnusable."""
    check_not_link(path)
    try:
        with os.scandir(path) as entries:
            files = [_file(entry) for entry in entries if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DirectoryUnusable(f"{printable(path)} cannot be read ({error.strerror}).") from error
    return sorted(files, key=lambda file: (file.modified_at, file.name), reverse=True)


def open_file(path: str, name: str) -> IO[bytes]:
    """Open a file of a task for reading. Raises NotFound, also for an invalid name, and DirectoryUnusable."""
    check_not_link(path)
    try:
        return open_regular_file(os.path.join(path, task_directory.check_file_name(name)))
    except (InvalidInput, OSError) as error:
        raise NotFound("file", name[:200]) from error


def chunks_of(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the rest of an open file in chunks, and close it at the end."""
    with file:
        yield from iter(functools.partial(file.read, CHUNK_BYTES), b"")


def read_log(path: str) -> list[LogEntry]:
    """Return the entries of a task's log, oldest first; of a very long log, only its end. A missing log has none."""
    try:
        file = open_file(path, task_directory.LOG)
    except NotFound:
        return []
    with file:
        size = os.fstat(file.fileno()).st_size
        if size > LOG_LIMIT_BYTES:
            file.seek(size - LOG_LIMIT_BYTES)
            file.readline()  # it may be a part of a line
        with io.TextIOWrapper(file, encoding="utf-8", errors="replace") as lines:
            return parse_log(lines)


def check_upload(name: str, head: bytes) -> None:
    """Check that a file with this name and these first bytes may be uploaded. Raises InvalidInput."""
    task_directory.check_file_name(name)
    suffix = os.path.splitext(name)[1].lower()
    if suffix not in UPLOAD_SUFFIXES:
        raise InvalidInput("file", f"the name must end with one of {', '.join(UPLOAD_SUFFIXES)}")
    if not head:
        raise InvalidInput("file", "must not be empty")
    if b"\0" in head:
        raise InvalidInput("file", "must be text")


def upload(
    workspace: Workspace, name: str, chunks: Iterable[bytes], *, mode: OverwriteMode, upload_id: str
) -> Uploaded:
    """Write a file into the task directory, completely or not at all.

    `mode` is for an existing file: `backup` renames it to `<name>_bak1` (or 2 ...), `replace` moves it to a kept folder
    as a run does, `skip` keeps it. Raises InvalidInput if the content does not match the name, PublishFailed,
    DirectoryUnusable, RecoveryNeeded, OutcomeUnsettled.
    """
    had_existing = workspace.has(name)
    if had_existing and mode == "skip":
        return Uploaded(name, 0, is_written=False, had_existing=True, backup_name=None)
    with workspace.temporary_folder(upload_id) as work:
        staged = work.write_chunks(name, _text_only(chunks, name))
        copies = [work.copy(name, _free_name(workspace, name))] if had_existing and mode == "backup" else []
        # The file is removed if it still is what was copied. Any other content is kept.
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
    """Yield the chunks, and check that they are text of at most the maximum size, and of a table list, its names."""
    size, whole = 0, bytearray()
    for chunk in chunks:
        size += len(chunk)
        if size > UPLOAD_LIMIT_BYTES:
            raise InvalidInput("file", f"must be at most {UPLOAD_LIMIT_BYTES} bytes")
        if b"\0" in chunk:
            raise InvalidInput("file", "must be text")
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
    status = entry.stat(follow_symlinks=False)
    return TaskFile(
        name=printable(entry.name),
        type=_TYPES.get(os.path.splitext(entry.name)[1].lower(), "other"),
        size_bytes=status.st_size,
        created_at=time_of(status.st_ctime),
        modified_at=time_of(status.st_mtime),
        is_readable=stat.S_ISREG(status.st_mode) and os.access(entry.path, os.R_OK),
    )
