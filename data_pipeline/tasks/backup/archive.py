"""Open a file of a backup, or stream the whole backup as a zip. Changes nothing.

Tools refuse a zip without its central directory, which comes last. It is written only if every file was read whole, so
that no reader takes a part of a backup for all of it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
from collections.abc import Container, Generator, Sequence
from itertools import count
from typing import IO, Any, Final

from zipstream import ZIP_DEFLATED, ZipStream  # type: ignore[import-untyped]

from data_pipeline.errors import DirectoryUnusable, InvalidInput, NotFound
from data_pipeline.tasks.backup.catalogue import BackedUpFile, find_backup
from data_pipeline.tasks.workspace import open_regular_file
from journal import printable

CONTENTS: Final = "archive_contents.json"
"""The last member of an archive: all entries of the backup, also those that a zip cannot hold as they are."""

CHUNK_BYTES: Final = 64 * 1024
NAME_BYTES: Final = 255
"""The longest name that the usual file systems allow."""

_SUFFIX_BYTES: Final = 32
_UNSAFE: Final = re.compile(r"[\\\x00-\x1f\x7f-\x9f]")
"""Some tools take a backslash for a separator of folders, others drop control characters from names."""

_KINDS: Final = {"link": "a symbolic link", "directory": "a directory", "special": "a special file"}


def archive_name(task_id: str, backup: str) -> str:
    """Return the file name to suggest for the archive of a backup."""
    return f"{task_id}_{backup}.zip"


def open_backed_up_file(path: str, backup: str, file: str) -> IO[bytes]:
    """Open a regular file of a backup of the task directory at `path`, or the record, for reading; never a link.

    `file` is the name of the entry, or the form of it that `data_pipeline backups show` prints. It is compared with the
    names that are there and never becomes part of a path. Raises NotFound, InvalidInput for any other kind of entry,
    DirectoryUnusable if the disk refuses to read.
    """
    entry = _find_entry(_list_entries(path, backup), file, backup)
    if entry.kind != "file":
        raise InvalidInput("file", f"{printable(entry.name)} is {_KINDS[entry.kind]}, not a regular file")
    whole = os.path.join(path, backup, entry.name)
    try:
        return open_regular_file(whole)
    except FileNotFoundError as error:
        raise _not_found(file, backup) from error
    except OSError as error:
        raise DirectoryUnusable(
            f"{printable(whole)} cannot be read ({error.strerror}). Correct its permissions, or repair the disk."
        ) from error


def stream_archive(path: str, backup: str) -> Generator[bytes, None, None]:
    """Return the chunks of a zip with all regular files of a backup of the task directory at `path`, and the record.

    All members are below a folder that has the name of the backup. The last one, `archive_contents.json`, lists every
    entry: also links, directories and special files, which are not members. A name that is not UTF-8, or that has
    backslashes or control characters, is changed for the member; the list has both.

    Raises NotFound and DirectoryUnusable at once. Later the chunks end with DirectoryUnusable if a file cannot be
    read, or if a file or the list of entries changed since the call; the chunks until then are not a zip. One file
    is open at a time, none after `close()`.
    """
    return _gather(_stream(path, backup, _list_entries(path, backup)))


def _list_entries(path: str, backup: str) -> list[BackedUpFile]:
    """List all entries of a backup by name, with the record, which the catalogue does not count among the files."""
    found = find_backup(path, backup)
    return sorted(found.files if found.record_file is None else (*found.files, found.record_file))


def _find_entry(entries: Sequence[BackedUpFile], name: str, backup: str) -> BackedUpFile:
    """Find an entry by its name, else by the printed form of it."""
    matches = [entry for entry in entries if entry.name == name]
    matches = matches or [entry for entry in entries if printable(entry.name) == name]
    if not matches:
        raise _not_found(name, backup)
    if len(matches) > 1:
        raise InvalidInput("file", f"{name} is the printed form of {len(matches)} names: download the whole backup")
    return matches[0]


def _not_found(file: str, backup: str) -> NotFound:
    return NotFound("file", file[:NAME_BYTES], f"`data-pipeline backups show` lists those of {backup}.")


def _stream(path: str, backup: str, entries: Sequence[BackedUpFile]) -> Generator[bytes, None, None]:
    archive = ZipStream(compress_type=ZIP_DEFLATED)
    directory = os.path.join(path, backup)
    members = _name_members([entry.name for entry in entries if entry.kind == "file"])
    for entry in entries:
        if entry.kind == "file":
            yield from _stream_file(archive, directory, entry, f"{backup}/{members[entry.name]}")
    contents = {"backup": backup, "entries": [_describe(directory, entry, members) for entry in entries]}
    archive.add(
        json.dumps(contents, indent=2, ensure_ascii=False).encode() + b"\n",
        f"{backup}/{_free_name(CONTENTS, set(members.values()))}",
    )
    yield from archive.all_files()
    _check_entries(path, backup, entries)
    yield from archive.footer()


def _stream_file(archive: ZipStream, directory: str, entry: BackedUpFile, member: str) -> Generator[bytes, None, None]:
    whole = os.path.join(directory, entry.name)
    try:
        with open_regular_file(whole) as file:
            # The library follows links and waits for FIFOs. By this path it opens the file that is open here, whatever
            # has its name by now. It takes a time and permissions only from a path, not with a stream.
            archive.add_path(f"/proc/self/fd/{file.fileno()}", member, recurse=False)
            with contextlib.closing(archive.file()) as pieces:
                for piece in pieces:
                    _check_unchanged(file, entry)
                    yield piece
    except OSError as error:
        raise _incomplete(whole, f"cannot be read ({error.strerror or error})") from error


def _check_unchanged(file: IO[bytes], entry: BackedUpFile) -> None:
    """Check that an open file has the size and time that were listed, so that the pieces read belong to one content."""
    status = os.fstat(file.fileno())
    if (status.st_size, status.st_mtime) != (entry.size_bytes, entry.modified_seconds):
        raise _incomplete(file.name, "was changed")


def _check_entries(path: str, backup: str, entries: Sequence[BackedUpFile]) -> None:
    """Check that a backup has the entries that were listed. Others than files may have another size or time."""
    try:
        current = _list_entries(path, backup)
    except NotFound as error:
        raise _incomplete(os.path.join(path, backup), "was removed") from error
    if _identify(current) != _identify(entries):
        raise _incomplete(os.path.join(path, backup), "was changed")


def _identify(entries: Sequence[BackedUpFile]) -> list[object]:
    return [entry if entry.kind == "file" else (entry.name, entry.kind) for entry in entries]


def _incomplete(path: str, what: str) -> DirectoryUnusable:
    return DirectoryUnusable(
        f"The archive is not complete: {printable(path)} {what}. Download it again when the backup can be read and no "
        "other process changes it."
    )


def _gather(pieces: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """Join the pieces, of which many are empty or a few bytes long, and cut them into chunks of one size."""
    waiting = bytearray()
    with contextlib.closing(pieces):
        for piece in pieces:
            waiting += piece
            while len(waiting) >= CHUNK_BYTES:
                yield bytes(waiting[:CHUNK_BYTES])
                del waiting[:CHUNK_BYTES]
    if waiting:
        yield bytes(waiting)


def _describe(directory: str, entry: BackedUpFile, members: dict[str, str]) -> dict[str, Any]:
    member = members.get(entry.name)
    return {
        **_spell("name", entry.name),
        "member": None if member is None else f"{os.path.basename(directory)}/{member}",
        "kind": entry.kind,
        "size_bytes": entry.size_bytes,
        "modified_at": entry.modified_at.isoformat(),
        **(_spell("link_target", _read_link(directory, entry.name)) if entry.kind == "link" else {}),
    }


def _read_link(directory: str, name: str) -> str:
    whole = os.path.join(directory, name)
    try:
        return os.readlink(whole)
    except OSError as error:
        raise _incomplete(whole, f"cannot be read ({error.strerror})") from error


def _spell(key: str, text: str) -> dict[str, str]:
    """Return a printable name and, if it is not UTF-8, its bytes in base64."""
    raw = os.fsencode(text)
    try:
        raw.decode()
    except UnicodeDecodeError:
        return {key: printable(text), f"{key}_base64": base64.b64encode(raw).decode()}
    return {key: printable(text)}


def _name_members(names: Sequence[str]) -> dict[str, str]:
    """Choose a unique name for the member of each file: the name of the file if every tool can unpack it."""
    members = {name: name for name in names if _make_safe(name) == name}
    taken = set(members)
    for name in names:
        if name not in members:
            members[name] = _free_name(_make_safe(name), taken)
            taken.add(members[name])
    return members


def _make_safe(name: str) -> str:
    return _UNSAFE.sub("_", printable(name))


def _free_name(wanted: str, taken: Container[str]) -> str:
    """Return a free name: with a number before its suffix if necessary, and cut to the limit of file systems."""
    stem, suffix = os.path.splitext(wanted)
    if len(suffix.encode()) > _SUFFIX_BYTES:
        stem, suffix = wanted, ""
    endings = (f"_{number}{suffix}" if number > 1 else suffix for number in count(1))
    names = (stem.encode()[: NAME_BYTES - len(ending.encode())].decode(errors="ignore") + ending for ending in endings)
    return next(name for name in names if name not in taken)
