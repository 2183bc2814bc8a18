"""Encode journal records as bytes and decode them; opens no file.

    journal  := (record NEWLINE)*
    record   := checksum SPACE body
    checksum := 8 lower-case hex digits: CRC-32 of body (zlib.crc32)
    body     := one JSON object on one line, ASCII

    header, move | create ..., prepared, then at most one of committed | rolled_back

Grammar and a worked example: docs/journal-format.md.
Up to `prepared` every line must be good: a bad line raises JournalDamaged with its number and is never skipped.
After it, a torn or bad tail is the trace of a crash and is ignored, unless a good record follows it: that is damage.
"""

from __future__ import annotations

import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Annotated, ClassVar, Final, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    ValidationError,
    model_validator,
)

from journal.errors import BadLine, JournalDamaged, JournalUnsupported
from journal.names import TRANSACTION_PATTERN
from journal.values import (
    DIRECTORY,
    Create,
    Folder,
    Move,
    Operation,
    Policy,
    Root,
    Type,
    is_name,
    is_path,
    is_spelled_once,
)

FORMAT_VERSION: Final = 1

CUT_OFF: Final = "the line is cut off"
MISPLACED: Final = "the record belongs elsewhere"
CHECKSUM_BYTES: Final = 9
"""Length of a line's checksum and of the space after it."""


def _check_path(path: str) -> str:
    if not is_path(path):
        raise ValueError("not a path below its root")
    return path


def _check_place(value: object) -> tuple[Folder, str]:
    # Called twice a move: `match` would take five times as long.
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str):
        folder_path, _, name = value[1].rpartition("/")
        if is_name(name):
            return _folder(value[0], folder_path), name
    raise ValueError("not a place below one of the two roots")


@lru_cache(maxsize=64)  # the thousands of moves of a journal share two folders
def _folder(root: str, path: str) -> Folder:
    match root:
        case "directory" | "state":
            return Folder(root, _check_path(path))
    raise ValueError("not a place below one of the two roots")


def _check_text(text: str) -> str:
    if not is_spelled_once(text):
        raise ValueError("not text, nor bytes escaped as the system escapes them")
    return text


def _check_absolute(path: str) -> str:
    if "\0" in path or not re.match(r"/|[A-Za-z]:[\\/]", _check_text(path)):
        raise ValueError("not an absolute path")
    return path


def _check_time(time: str) -> str:
    moment = datetime.fromisoformat(time)
    if moment.utcoffset() != timedelta(0) or moment.isoformat() != time:
        raise ValueError("not a time in UTC with its offset")
    return time


Text = Annotated[str, AfterValidator(_check_text)]
Path = Annotated[str, AfterValidator(_check_path)]
Place = Annotated[tuple[Folder, str], PlainValidator(_check_place)]
Count = Annotated[int, Field(ge=0, strict=True)]


class _Record(BaseModel):
    """A record, or a part of one; its keys are written in the order of the fields."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)


class AnnouncedDirectory(_Record):
    """A directory, other than the directory itself, whose entries the transaction changes."""

    root: Root
    path: Path
    inode: Count
    made: StrictBool

    @property
    def folder(self) -> Folder:
        """The directory as a folder below its root."""
        return Folder(self.root, self.path)


class Owner(_Record):
    """The process that wrote the journal. For messages only, never to decide."""

    pid: Count
    host: Text


class Header(_Record):
    """The first record: name and inode of the directory, and every other directory whose entries change."""

    record: Literal["header"] = "header"
    format: Literal[1] = FORMAT_VERSION
    transaction: Annotated[str, Field(pattern=f"^{TRANSACTION_PATTERN}$")]
    label: Text
    on_error: Policy
    time: Annotated[str, AfterValidator(_check_time)]
    path: Annotated[str, AfterValidator(_check_absolute)]
    inode: Count
    directories: tuple[AnnouncedDirectory, ...]
    owner: Owner

    def announced(self) -> Iterator[tuple[Folder, int]]:
        """Yield every announced directory with its inode, the directory itself first."""
        yield DIRECTORY, self.inode
        for directory in self.directories:
            yield directory.folder, directory.inode

    def new_directories(self) -> list[AnnouncedDirectory]:
        """Return the directories that the transaction made."""
        return [directory for directory in self.directories if directory.made]


class FailedOperation(_Record):
    """An operation that failed in a committed transaction; `operation` counts the operations from 0."""

    operation: Count
    error: Text
    errno: int | None = None
    attempts: Count
    copied: StrictBool


class Conflict(_Record):
    """A file that a rollback did not touch; `operation` counts from 0, None if a whole directory is meant."""

    operation: Count | None = None
    reason: Text


class Committed(_Record):
    """The terminal record of a transaction that took effect; it is never undone from here on."""

    record: Literal["committed"] = "committed"
    failed: tuple[FailedOperation, ...]


class RolledBack(_Record):
    """The terminal record of a transaction that was undone, except for its conflicts."""

    record: Literal["rolled_back"] = "rolled_back"
    conflicts: tuple[Conflict, ...]


Terminal = Committed | RolledBack


class _MoveBody(_Record):
    # Moves are most of a journal, so their bytes are written and read by hand: a field is also in `encode_body`, in the
    # pattern that recognizes a move, and in its decoder. It must be optional, or older journals become unreadable.
    record: Literal["move"]
    source: Place
    destination: Place
    inode: Count
    type: Type
    size: Count | None = None
    mtime_ns: int | None = None
    copy_on_failure: StrictBool = False

    @model_validator(mode="after")
    def _size_goes_with_time(self) -> Self:
        is_staged = self.source[0].root == "state"
        if (self.size is None) != (self.mtime_ns is None) or (self.size is not None and not is_staged):
            raise ValueError("size and mtime_ns must be given together, and only for a file from the state directory")
        return self

    def operation(self) -> Move:
        (source, name), (destination, new_name) = self.source, self.destination
        if new_name == name:
            new_name = name  # one text for both: a million moves are in memory at once
        return Move(source, name, destination, new_name, self.inode, self.type, self.size, self.mtime_ns,
                    self.copy_on_failure)  # fmt: skip


class _CreateBody(_Record):
    record: Literal["create"]
    destination: Place
    if_kept: Text | None = None

    def operation(self) -> Create:
        return Create(*self.destination, self.if_kept)


class _PreparedBody(_Record):
    record: Literal["prepared"] = "prepared"
    records: Count
    checksum: Annotated[str, Field(pattern="^[0-9a-f]{8}$")]


_BODIES: Final[Mapping[str, type[_Record]]] = {
    "header": Header,
    "move": _MoveBody,
    "create": _CreateBody,
    "prepared": _PreparedBody,
    "committed": Committed,
    "rolled_back": RolledBack,
}


class Journal(NamedTuple):
    """A whole journal as read; the next record belongs at `length_bytes`, after the last good line."""

    header: Header
    operations: tuple[Operation, ...]
    terminal: Terminal | None
    length_bytes: int


def encode_body(record: _Record | Operation) -> str:
    """Return the JSON body of a record."""
    match record:
        case Move():  # written by hand, because there is one for each file: json.dumps takes 3 times as long
            source, source_name, destination, destination_name, inode, type_, size, mtime_ns, copy_on_failure = record
            body = (
                f'{{"record":"move","source":["{source.root}",{quoted(source.place(source_name))}],'
                f'"destination":["{destination.root}",{quoted(destination.place(destination_name))}],'
                f'"inode":{inode},"type":"{type_}"'
            )
            if size is not None:
                body += f',"size":{size},"mtime_ns":{mtime_ns}'
            if copy_on_failure:
                body += ',"copy_on_failure":true'
            return body + "}"
        case Create(destination, name, if_kept):
            optional = {} if if_kept is None else {"if_kept": if_kept}
            place = [destination.root, destination.place(name)]
            return _dumps({"record": "create", "destination": place, **optional})
        case _:
            return _dumps(record.model_dump(exclude_none=True))


def encode_record(body: str) -> bytes:
    """Return the line of a journal for one JSON body."""
    raw = body.encode("ascii")
    return b"%08x %b\n" % (zlib.crc32(raw), raw)


def encode_journal(header: Header, operations: Iterable[Operation]) -> Iterator[bytes]:
    """Yield the lines of a journal from its header to `prepared`, in chunks of about 64 KiB."""
    checksum, count = 0, 0
    chunk = bytearray(encode_record(encode_body(header)))
    for operation in operations:
        chunk += encode_record(encode_body(operation))
        count += 1
        if len(chunk) >= 65_536:
            checksum = zlib.crc32(chunk, checksum)
            yield bytes(chunk)
            chunk.clear()
    checksum = zlib.crc32(chunk, checksum)
    prepared = _PreparedBody(records=count + 1, checksum=f"{checksum:08x}")
    yield bytes(chunk) + encode_record(encode_body(prepared))


def encode_terminal(terminal: Terminal) -> bytes:
    """Return the line that ends a journal."""
    return encode_record(encode_body(terminal))


def decode_journal(lines: Iterable[bytes], path: str) -> Journal:
    """Decode a journal from its lines, each with its newline (a file opened for reading, `Filesystem.read_lines`).

    No more than one line is in memory beside the operations. `path` is for the messages.
    Raises JournalDamaged or JournalUnsupported with the number of the first bad line.
    """
    remaining = iter(lines)
    first = next(remaining, b"")
    header = _decode_header(first, path)
    operations: list[Operation] = []
    number, length, checksum = 1, len(first), zlib.crc32(first)
    for number, line in enumerate(remaining, start=2):
        if not line.endswith(b"\n"):
            raise JournalDamaged(path, number, CUT_OFF)
        record = _decode(line, path, number)
        if isinstance(record, _PreparedBody):
            _check_prepared(record, number, checksum, path)
            terminal, terminal_length = _decode_tail(remaining, path, number + 1)
            return Journal(header, tuple(operations), terminal, length + len(line) + terminal_length)
        if not isinstance(record, Operation):
            raise JournalDamaged(path, number, MISPLACED)
        operations.append(record)
        length += len(line)
        checksum = zlib.crc32(line, checksum)
    raise JournalDamaged(path, number, "the journal ends before `prepared`")


def decode_unfinished_header(lines: Iterable[bytes], path: str) -> Header | None:
    """Return the header of a journal that was still being written, None if it cannot be read; nothing had moved yet."""
    try:
        return _decode_header(next(iter(lines), b""), path)
    except BadLine:
        return None


def explain(content: bytes, path: str) -> list[tuple[int, str | None]]:
    """Return each line's number and its fault (None: the line is good), for an operator who inspects a journal."""
    faults: dict[int, str | None] = {}
    for number, line in enumerate(io.BytesIO(content), start=1):
        try:
            if line.endswith(b"\n"):
                _decode(line, path, number)
                faults[number] = None
            else:
                faults[number] = CUT_OFF
        except BadLine as error:
            faults[number] = error.reason
    try:
        decode_journal(io.BytesIO(content), path)
    except BadLine as error:
        faults[error.line] = faults.get(error.line) or error.reason
    return sorted(faults.items())


def _decode_header(line: bytes, path: str) -> Header:
    if not line.endswith(b"\n"):
        raise JournalDamaged(path, 1, CUT_OFF)
    header = _decode(line, path, 1)
    if not isinstance(header, Header):
        raise JournalDamaged(path, 1, "not a header")
    return header


def _check_prepared(prepared: _PreparedBody, number: int, checksum: int, path: str) -> None:
    if prepared.records != number - 1:
        raise JournalDamaged(path, number, f"expected {prepared.records} records before `prepared`, got {number - 1}")
    if prepared.checksum != f"{checksum:08x}":
        raise JournalDamaged(path, number, "the records before `prepared` are not those that were written")


def _decode_tail(lines: Iterable[bytes], path: str, first: int) -> tuple[Terminal | None, int]:
    """Decode the lines after `prepared`; return the terminal record, which can only be the first, and its length.

    Bad lines, and one that is cut off, are the trace of a crash, unless a good line follows.
    """
    terminal: Terminal | None = None
    length = 0
    for number, line in enumerate(lines, start=first):
        try:
            record = _decode(line, path, number)
        except JournalDamaged:
            continue
        if number > first or not isinstance(record, (Committed, RolledBack)):
            raise JournalDamaged(path, number, MISPLACED)
        terminal, length = record, len(line)
    return terminal, length


def _decode(line: bytes, path: str, number: int) -> _Record | Operation:
    """Decode one line.

    A wrong checksum is the trace of a crash or of a bad disk. A right checksum on anything unknown was written by
    another version.
    """
    raw = line[CHECKSUM_BYTES:-1]
    if line[:CHECKSUM_BYTES] != b"%08x " % zlib.crc32(raw) or line[-1:] != b"\n":
        raise JournalDamaged(path, number, "the checksum does not match the line")
    move = _decode_plain_move(raw)
    if move is not None:
        return move
    try:
        text = raw.decode("ascii")
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise JournalUnsupported(path, number, "not a JSON object in ASCII") from None
    kind = body.get("record") if isinstance(body, dict) else None
    if kind == "header" and body.get("format") != FORMAT_VERSION:
        raise JournalUnsupported(path, number, f"unknown format {body.get('format')!a:.40}")
    if not isinstance(kind, str) or kind not in _BODIES:
        raise JournalUnsupported(path, number, f"unknown record {kind!a:.40}")
    try:
        validated = _BODIES[kind].model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ascii(".".join(str(part) for part in first["loc"]))[1:41].rstrip("'")
        raise JournalUnsupported(path, number, f"{kind}.{where}: {first['msg']}") from None
    record = validated.operation() if isinstance(validated, (_MoveBody, _CreateBody)) else validated
    if encode_body(record) != text:
        raise JournalUnsupported(path, number, f"{kind}: not written as this version writes it")
    return record


_PLAIN_MOVE: Final = re.compile(
    rb'\{"record":"move","source":\["(directory|state)","([ !#-\[\]-~]+)"\],"destination":\["(directory|state)",'
    rb'"([ !#-\[\]-~]+)"\],"inode":(0|[1-9][0-9]{0,18}),"type":"(file|directory|symlink)"(,"copy_on_failure":true)?\}'
)


def _decode_plain_move(raw: bytes) -> Move | None:
    """Decode a move of a file that is not staged and whose names need no escapes; return None for any other line.

    Nearly all lines of a journal are such moves. A pattern for exactly these bytes takes a third of the time of a
    parser and a validator of JSON, and matches nothing that these refuse.
    """
    match = _PLAIN_MOVE.fullmatch(raw)
    if match is None:
        return None
    root, place, new_root, new_place, inode, type_, copied = match.groups()
    folder_path, _, name = place.decode().rpartition("/")
    new_folder_path, _, new_name = new_place.decode().rpartition("/")
    if not is_name(name) or not is_name(new_name):
        return None
    try:
        source, destination = _folder(root.decode(), folder_path), _folder(new_root.decode(), new_folder_path)
    except ValueError:
        return None
    if new_name == name:
        new_name = name  # one text for both: a million moves are in memory at once
    return Move(source, name, destination, new_name, int(inode), _TYPES[type_], None, None, copied is not None)


_TYPES: Final[Mapping[bytes, Type]] = {b"file": "file", b"directory": "directory", b"symlink": "symlink"}


def _dumps(body: object) -> str:
    return json.dumps(body, ensure_ascii=True, separators=(",", ":"))
