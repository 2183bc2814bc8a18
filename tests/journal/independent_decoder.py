"""A second decoder of the journal file, written from docs/journal-format.md alone.

It shares nothing with the package: results on which both agree follow from the page, not from one program.
It is written for clarity, not for speed, and refuses a file rather than guess at it. Each record is judged by itself:
it does not check whether places are announced by another record, or whether a terminal record counts the operations
correctly.
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
    """A file that no writer leaves behind; `line`, counted from 1, shows the damage."""

    line: int


@dataclass(frozen=True)
class Unsupported:
    """A journal that another version wrote; `line`, counted from 1, is not as the page describes it."""

    line: int


class _UnsupportedError(Exception):
    """The checksum is right, but the body is not exactly as the page writes it."""


def _exactly(kind: type) -> Check:
    return lambda value: type(value) is kind


def _one_of(*allowed: str) -> Check:
    return lambda value: isinstance(value, str) and value in allowed


def _matching(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _object(fields: dict[str, Check], optional: frozenset[str] = frozenset()) -> Check:
    """Return the object of these keys in this order; those in `optional` may be left out."""

    def check(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and list(value) == [key for key in fields if key in value or key not in optional]
            and all(fields[key](part) for key, part in value.items())
        )

    return check


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _text(value: Any) -> bool:
    """Check text: characters, and bytes of file names that are not UTF-8; no other lone surrogate."""
    return isinstance(value, str) and re.search("[\ud800-\udc7f\udd00-\udfff]", value) is None


def _name(value: Any) -> bool:
    """Check a file name: no NUL, and bytes that are UTF-8 are written as their character."""
    if not _text(value) or "\0" in value:
        return False
    return bool(value.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") == value)


def _path(value: Any) -> bool:
    return _name(value) and not {"", ".", ".."} & set(value.split("/"))


def _place(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and _root(value[0]) and _path(value[1])


_whole = _exactly(int)
_flag = _exactly(bool)
_root = _one_of("directory", "state")
_directory = _object({"root": _root, "path": lambda path: path == "" or _path(path), "inode": _count, "made": _flag})
_failure = _object(
    {"operation": _count, "error": _text, "errno": _whole, "attempts": _count, "copied": _flag}, frozenset({"errno"})
)
_conflict = _object({"operation": _count, "reason": _text}, frozenset({"operation"}))
_header = _object(
    {
        "record": _text,
        "format": lambda value: _whole(value) and value == 1,
        "transaction": _matching("[0-9]{8}T[0-9]{12}-[0-9a-f]{8}"),
        "label": _text,
        "on_error": _one_of("continue", "rollback"),
        "time": _matching(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(\+00:00|Z)"),
        "path": lambda path: _name(path) and path.startswith("/"),
        "inode": _count,
        "directories": _list_of(_directory),
        "owner": _object({"pid": _count, "host": _text}),
    }
)
_moved = _object(
    {
        "record": _text,
        "source": _place,
        "destination": _place,
        "inode": _count,
        "type": _one_of("file", "directory", "symlink", "fifo", "socket", "block", "character"),
        "size": _count,
        "mtime_ns": _whole,
        "copy_on_failure": lambda value: value is True,
    },
    frozenset({"size", "mtime_ns", "copy_on_failure"}),
)


def _move(value: Any) -> bool:
    if not _moved(value) or ("size" in value) != ("mtime_ns" in value):
        return False
    return "size" not in value or value["source"][0] == "state"


_records: dict[str, Check] = {
    "header": _header,
    "move": _move,
    "create": _object({"record": _text, "destination": _place, "if_kept": _text}, frozenset({"if_kept"})),
    "prepared": _object({"record": _text, "records": _count, "checksum": _matching("[0-9a-f]{8}")}),
    "committed": _object({"record": _text, "failed": _list_of(_failure)}),
    "rolled_back": _object({"record": _text, "conflicts": _list_of(_conflict)}),
}
_terminals = {"committed", "rolled_back"}
_operations = {"move", "create", "prepared"}
_followers = {"": {"header"}, "header": _operations, "move": _operations, "create": _operations, "prepared": _terminals}


def _read(line: bytes) -> Record | None:
    """Return the record of a line, or None if the line is torn or its checksum is wrong."""
    framed = re.fullmatch(rb"([0-9a-f]{8}) (.*)\n", line)
    if framed is None or int(framed[1], 16) != zlib.crc32(framed[2]):
        return None
    try:
        body = framed[2].decode("ascii")
        record = json.loads(body)
    except (ValueError, RecursionError):
        raise _UnsupportedError from None
    kind = record.get("record") if isinstance(record, dict) else None
    if not isinstance(kind, str) or kind not in _records or not _records[kind](record):
        raise _UnsupportedError
    if json.dumps(record, separators=(",", ":"), ensure_ascii=True) != body:  # a key twice, white space, other escapes
        raise _UnsupportedError
    return dict(record)


def decode(data: bytes) -> Decoded | Damaged | Unsupported:
    """Classify the bytes of a journal file."""
    records: list[Record] = []
    length = 0
    last = ""
    is_bad = False
    lines = re.findall(rb"[^\n]*\n|[^\n]+", data)
    for number, line in enumerate(lines, start=1):
        try:
            record = _read(line)
        except _UnsupportedError:
            return Unsupported(number)
        if record is None:
            if last not in {"prepared", *_terminals}:
                return Damaged(number)
            is_bad = True
            continue
        if is_bad or record["record"] not in _followers.get(last, set()):
            return Damaged(number)
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
    return Damaged(max(len(lines), 1))
