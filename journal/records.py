"""Turn journal records into bytes and back; opens no file.

    journal  := (record NEWLINE)*
    record   := checksum SPACE body
    checksum := 8 lower-case hex digits: CRC-32 of body (zlib.crc32)
    body     := one JSON object on one line, ASCII

    header, move | create ..., prepared, then at most one of committed | rolled_back

Grammar and a worked example: docs/journal-format.md.
Up to `prepared` every line must be good: a bad one raises JournalDamaged with its number, never skips.
After it, a torn or bad tail is how a crash looks and is ignored, unless a good record follows: that is damage.
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
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

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

from journal.errors import JournalDamaged, JournalUnsupported
from journal.names import TRANSACTION_PATTERN

FORMAT_VERSION: Final = 1

CUT_OFF: Final = "the line is cut off"
CHECKSUM_BYTES: Final = 9
"""The checksum of a line, and the space after it."""

Root = Literal["directory", "state"]
Type = Literal["file", "directory", "symlink", "fifo", "socket", "block", "character"]
Policy = Literal["continue", "rollback"]


class Folder(NamedTuple):
    """A directory that transactions work in: `path` below one of the two roots, "" for the root itself."""

    root: Root
    path: str = ""

    def place(self, name: str) -> str:
        """The path of `name` in this folder, relative to the root."""
        return f"{self.path}/{name}" if self.path else name

    def __str__(self) -> str:
        return f"{self.root}:{self.path}"


DIRECTORY: Final = Folder("directory")
STATE: Final = Folder("state")


NO_INODE: Final = 0
"""Announced where the file system has no inode numbers that identify a file; see journal.names_only."""


class Identity(NamedTuple):
    """What a name was seen to be; size in bytes and mtime in nanoseconds only where they were asked for."""

    inode: int
    type: Type
    size: int | None = None
    mtime_ns: int | None = None

    def is_same(self, other: Identity | Move) -> bool:
        """Whether both are one file, or this is a move's: inode and type; size and mtime may change meanwhile."""
        return self.inode == other.inode and self.type == other.type


class Move(NamedTuple):
    """One file leaves `source` and appears in `destination`; size and mtime are set for staged files."""

    source: Folder
    source_name: str
    destination: Folder
    destination_name: str
    inode: int
    type: Type
    size: int | None = None
    mtime_ns: int | None = None
    copy_on_failure: bool = False

    @property
    def identity(self) -> Identity:
        """The announced identity."""
        return Identity(self.inode, self.type, self.size, self.mtime_ns)

    def is_same(self, other: Identity | Move) -> bool:
        """Whether the announced file is the other one, as `Identity.is_same`."""
        return (self.inode, self.type) == (other.inode, other.type)

    def encoded_body(self) -> str:
        """The record's JSON; written out by hand, as it is made once a file (json.dumps takes 3 times as long)."""
        source, source_name, destination, destination_name, inode, type_, size, mtime_ns, copy_on_failure = self
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


class Create(NamedTuple):
    """A file that the transaction writes itself into a directory it made; its content names the transaction.

    `if_kept` is the text to write instead when a recovery has to leave files in that directory.
    """

    destination: Folder
    destination_name: str
    if_kept: str | None = None

    def encoded_body(self) -> str:
        """The record's JSON."""
        place = [self.destination.root, self.destination.place(self.destination_name)]
        body: dict[str, Any] = {"record": "create", "destination": place}
        if self.if_kept is not None:
            body["if_kept"] = self.if_kept
        return _dumps(body)


Operation = Move | Create


_NO_NAMES: Final = frozenset({"", ".", ".."})


def is_name(name: str) -> bool:
    """Whether `name` can be one directory entry, spelled as the system spells it: no slash, no NUL, not . or .."""
    return name not in _NO_NAMES and "/" not in name and "\0" not in name and is_spelled_once(name)


def is_spelled_once(text: str) -> bool:
    """Whether text has the one spelling that the system gives its bytes: surrogates only for what is not UTF-8."""
    if text.isascii():
        return True
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") == text
    except UnicodeEncodeError:
        return False


def _check_path(path: str) -> str:
    if path and (not _NO_NAMES.isdisjoint(path.split("/")) or "\0" in path or not is_spelled_once(path)):
        raise ValueError("not a path below its root")
    return path


def _check_place(value: object) -> tuple[Folder, str]:
    # Asked twice a move: `match` takes five times as long.
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
    model_config = ConfigDict(extra="forbid", frozen=True)

    def encoded_body(self) -> str:
        """The record's JSON, keys in the order of the fields."""
        return _dumps(self.model_dump(exclude_none=True))


class AnnouncedDirectory(_Record):
    """A directory, other than the directory itself, whose entries the transaction changes."""

    root: Root
    path: Path
    inode: Count
    made: StrictBool

    @property
    def folder(self) -> Folder:
        """Where it is."""
        return Folder(self.root, self.path)


class Owner(_Record):
    """Who wrote the journal: for messages, never to decide."""

    pid: Count
    host: Text


class Header(_Record):
    """The first record: which directory, by name and inode, and every other directory that changes."""

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
        """Every announced directory with its inode, the directory itself first."""
        yield DIRECTORY, self.inode
        for directory in self.directories:
            yield directory.folder, directory.inode

    def made(self) -> list[AnnouncedDirectory]:
        """The directories that the transaction made."""
        return [directory for directory in self.directories if directory.made]


class FailedOperation(_Record):
    """An operation that a committed transaction left undone; `operation` counts the operations from 0."""

    operation: Count
    error: Text
    errno: int | None = None
    attempts: Count
    copied: StrictBool


class Conflict(_Record):
    """What a rollback left as found; `operation` counts from 0, None where a whole directory is meant."""

    operation: Count | None = None
    reason: Text


class Committed(_Record):
    """The transaction is never undone from here on."""

    record: Literal["committed"] = "committed"
    failed: tuple[FailedOperation, ...]


class RolledBack(_Record):
    """Every operation was undone but those in conflict."""

    record: Literal["rolled_back"] = "rolled_back"
    conflicts: tuple[Conflict, ...]


Terminal = Committed | RolledBack


class _MoveBody(_Record):
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
            raise ValueError("size and mtime_ns stand together, and only for a file from the state directory")
        return self

    def operation(self) -> Move:
        (source, name), (destination, new_name) = self.source, self.destination
        if new_name == name:
            new_name = name  # one text for both: a million moves are held at once
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
    """A whole journal as read: `length_bytes` is where the next record belongs, after the last good line."""

    header: Header
    operations: tuple[Operation, ...]
    terminal: Terminal | None
    length_bytes: int


def encode_record(body: str) -> bytes:
    """One line of a journal for one JSON body."""
    raw = body.encode("ascii")
    return b"%08x %b\n" % (zlib.crc32(raw), raw)


def encode_journal(header: Header, operations: Iterable[Operation]) -> Iterator[bytes]:
    """The lines of a journal from its header to `prepared`, in chunks of about 64 KiB."""
    checksum, count = 0, 0
    chunk = bytearray(encode_record(header.encoded_body()))
    for operation in operations:
        chunk += encode_record(operation.encoded_body())
        count += 1
        if len(chunk) >= 65_536:
            checksum = zlib.crc32(chunk, checksum)
            yield bytes(chunk)
            chunk.clear()
    checksum = zlib.crc32(chunk, checksum)
    prepared = _PreparedBody(records=count + 1, checksum=f"{checksum:08x}")
    yield bytes(chunk) + encode_record(prepared.encoded_body())


def encode_terminal(terminal: Terminal) -> bytes:
    """The line that ends a journal."""
    return encode_record(terminal.encoded_body())


def decode_journal(lines: Iterable[bytes], path: str) -> Journal:
    """Read a journal from its lines, each with its newline (a file opened for reading, `Filesystem.read_lines`).

    No more than one line is held beside the operations. `path` is for the messages.
    Raises JournalDamaged or JournalUnsupported with the number of the line that shows it.
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
            raise JournalDamaged(path, number, "a record that belongs elsewhere")
        operations.append(record)
        length += len(line)
        checksum = zlib.crc32(line, checksum)
    raise JournalDamaged(path, number, "the journal ends before `prepared`")


def decode_unfinished_header(lines: Iterable[bytes], path: str) -> Header | None:
    """The header of a journal that was still being written, None when it cannot be read: nothing had moved then."""
    try:
        return _decode_header(next(iter(lines), b""), path)
    except (JournalDamaged, JournalUnsupported):
        return None


def explain(content: bytes, path: str) -> list[tuple[int, str | None]]:
    """Each line's number and what is wrong with it (None: it is good), for a person who looks at a damaged journal."""
    faults: dict[int, str | None] = {}
    for number, line in enumerate(io.BytesIO(content), start=1):
        try:
            if line.endswith(b"\n"):
                _decode(line, path, number)
                faults[number] = None
            else:
                faults[number] = CUT_OFF
        except (JournalDamaged, JournalUnsupported) as error:
            faults[number] = error.reason
    try:
        decode_journal(io.BytesIO(content), path)
    except (JournalDamaged, JournalUnsupported) as error:
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
        raise JournalDamaged(path, number, f"{number - 1} records stand before it, it says {prepared.records}")
    if prepared.checksum != f"{checksum:08x}":
        raise JournalDamaged(path, number, "the records before it are not those that were written")


def _decode_tail(lines: Iterable[bytes], path: str, first: int) -> tuple[Terminal | None, int]:
    """The terminal record, which can only be the first line, and its length in bytes.

    Bad lines, and one that is cut off, are a crash's, unless a good one follows.
    """
    terminal: Terminal | None = None
    length = 0
    for number, line in enumerate(lines, start=first):
        try:
            record = _decode(line, path, number)
        except JournalDamaged:
            continue
        if number > first or not isinstance(record, (Committed, RolledBack)):
            raise JournalDamaged(path, number, "a record that belongs elsewhere")
        terminal, length = record, len(line)
    return terminal, length


def _decode(line: bytes, path: str, number: int) -> _Record | Operation:
    """One line; a crash or a bad disk breaks its checksum, a right checksum on anything unknown is another version."""
    raw = line[CHECKSUM_BYTES:-1]
    if line[:CHECKSUM_BYTES] != b"%08x " % zlib.crc32(raw) or line[-1:] != b"\n":
        raise JournalDamaged(path, number, "the checksum does not fit the line")
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
        raise JournalUnsupported(path, number, f"format {body.get('format')!a:.40} is not known")
    if not isinstance(kind, str) or kind not in _BODIES:
        raise JournalUnsupported(path, number, f"record {kind!a:.40} is not known")
    try:
        validated = _BODIES[kind].model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ascii(".".join(str(part) for part in first["loc"]))[1:41].rstrip("'")
        raise JournalUnsupported(path, number, f"{kind}.{where}: {first['msg']}") from None
    record = validated.operation() if isinstance(validated, (_MoveBody, _CreateBody)) else validated
    if record.encoded_body() != text:
        raise JournalUnsupported(path, number, f"{kind}: not written as this version writes it")
    return record


_PLAIN_MOVE: Final = re.compile(
    rb'\{"record":"move","source":\["(directory|state)","([ !#-\[\]-~]+)"\],"destination":\["(directory|state)",'
    rb'"([ !#-\[\]-~]+)"\],"inode":(0|[1-9][0-9]{0,18}),"type":"(file|directory|symlink)"(,"copy_on_failure":true)?\}'
)


def _decode_plain_move(raw: bytes) -> Move | None:
    """Decode a move of a file that is not staged, whose names need no escapes; None for any other line.

    Such lines are nearly all of a journal. A pattern for exactly what is written takes a third of the time that a
    parser and a validator of JSON take, and accepts nothing that these refuse.
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
        new_name = name  # one text for both: a million moves are held at once
    return Move(source, name, destination, new_name, int(inode), _TYPES[type_], None, None, copied is not None)


_TYPES: Final[Mapping[bytes, Type]] = {b"file": "file", b"directory": "directory", b"symlink": "symlink"}


def _dumps(body: object) -> str:
    return json.dumps(body, ensure_ascii=True, separators=(",", ":"))
