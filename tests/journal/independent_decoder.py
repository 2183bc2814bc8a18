"""A second decoder of the journal file, written from docs/journal-format.md alone.

It shares nothing with the package: what both read alike is what the page says, not what one program happens to do.
It is written for clarity, not for speed, and refuses a file rather than guess at it.
"""

import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]
Check = Callable[[Any], bool]


@dataclass(frozen=True)
class Decoded:
    """A journal that can be read; `length` counts the bytes up to the end of its last good record."""

    header: Record
    operations: list[Record]
    terminal: Record | None
    length: int


@dataclass(frozen=True)
class Damaged:
    """A file that no writer leaves behind; `line` counts from 1."""

    line: int


@dataclass(frozen=True)
class Unsupported:
    """A journal that a newer version wrote; `line` counts from 1."""

    line: int


class _UnlawfulError(Exception):
    """The checksum is right, but the page does not allow this record."""


class _NewerError(Exception):
    """The checksum is right, but the page does not know the format, the record or a key."""


def _exactly(kind: type) -> Check:
    return lambda value: type(value) is kind


def _one_of(*allowed: str) -> Check:
    return lambda value: isinstance(value, str) and value in allowed


def _matching(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _object(required: dict[str, Check], optional: dict[str, Check] | None = None) -> Check:
    allowed = required | (optional or {})

    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        if not value.keys() <= allowed.keys():
            raise _NewerError
        return required.keys() <= value.keys() and all(allowed[key](value[key]) for key in value)

    return check


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _path(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value and not {"", ".", ".."} & set(value.split("/"))


def _place(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and _root(value[0]) and _path(value[1])


_whole = _exactly(int)
_flag = _exactly(bool)
_text = _exactly(str)
_root = _one_of("directory", "state")
_directory = _object({"root": _root, "path": lambda path: path == "" or _path(path), "inode": _count, "made": _flag})
_failure = _object({"operation": _count, "error": _text, "attempts": _count, "copied": _flag}, {"errno": _whole})
_conflict = _object({"operation": _count, "reason": _text})
_header: dict[str, Check] = {
    "format": _whole,
    "transaction": _matching("[0-9]{8}T[0-9]{12}-[0-9a-f]{8}"),
    "label": _text,
    "on_error": _one_of("continue", "rollback"),
    "time": _matching(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(\+00:00|Z)"),
    "path": lambda path: isinstance(path, str) and path.startswith("/") and "\0" not in path,
    "inode": _count,
    "directories": _list_of(_directory),
    "owner": _object({"pid": _count, "host": _text}),
}
_type = _one_of("file", "directory", "symlink", "fifo", "socket", "block", "character")
_move: dict[str, Check] = {"source": _place, "destination": _place, "inode": _count, "type": _type}
_move_options: dict[str, Check] = {"size": _count, "mtime_ns": _whole, "copy_on_failure": lambda value: value is True}
_records: dict[str, Check] = {
    "header": _object({"record": _text} | _header),
    "move": _object({"record": _text} | _move, _move_options),
    "create": _object({"record": _text, "destination": _place}, {"if_kept": _text}),
    "prepared": _object({"record": _text, "records": _count, "checksum": _matching("[0-9a-f]{8}")}),
    "committed": _object({"record": _text, "failed": _list_of(_failure)}),
    "rolled_back": _object({"record": _text, "conflicts": _list_of(_conflict)}),
}
_terminals = {"committed", "rolled_back"}
_operations = {"move", "create", "prepared"}
_followers = {"": {"header"}, "header": _operations, "move": _operations, "create": _operations, "prepared": _terminals}


def _unique(pairs: list[tuple[str, Any]]) -> Record:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _read(line: bytes) -> Record | None:
    """Return the record of a line, or None if the line is torn or its checksum is wrong."""
    framed = re.fullmatch(rb"([0-9a-f]{8}) (.*)\n", line)
    if framed is None or int(framed[1], 16) != zlib.crc32(framed[2]):
        return None
    try:
        body = framed[2].decode("ascii")
        record = json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise _UnlawfulError from None
    spaced = re.search(r"\s", re.sub(r'"(?:[^"\\]|\\.)*"', "", body))
    if spaced or not isinstance(record, dict) or not _text(kind := record.get("record")):
        raise _UnlawfulError
    if kind not in _records or (kind == "header" and record.get("format", 1) != 1):
        raise _NewerError
    if not _records[kind](record) or ("size" in record) != ("mtime_ns" in record):
        raise _UnlawfulError
    return record


def decode(data: bytes) -> Decoded | Damaged | Unsupported:
    """Classify the bytes of a journal file."""
    records: list[Record] = []
    length = bad = 0
    last = ""
    lines = re.findall(rb"[^\n]*\n|[^\n]+", data)
    for number, line in enumerate(lines, start=1):
        try:
            record = _read(line)
        except _UnlawfulError:
            return Damaged(number)
        except _NewerError:
            return Unsupported(number)
        if record is None:
            if last not in {"prepared", *_terminals}:
                return Damaged(number)
            bad = bad or number
            continue
        if bad or record["record"] not in _followers.get(last, set()):
            return Damaged(bad or number)
        last = record["record"]
        seal = {"record": "prepared", "records": len(records), "checksum": f"{zlib.crc32(data[:length]):08x}"}
        if last == "prepared" and record != seal:
            return Damaged(number)
        records.append(record)
        length += len(line)
    if last == "prepared":
        return Decoded(records[0], records[1:-1], None, length)
    if last in _terminals:
        return Decoded(records[0], records[1:-2], records[-1], length)
    return Damaged(len(lines) + 1)
