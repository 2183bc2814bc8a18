"""The journal file: the package and a second decoder read every written journal, and refuse everything else."""

import json
import random
import re
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from journal import names
from journal.errors import JournalDamaged, JournalUnsupported
from journal.records import (
    Committed,
    Conflict,
    FailedOperation,
    Journal,
    RolledBack,
    decode_journal,
    decode_unfinished_header,
    encode_body,
    encode_journal,
    encode_terminal,
    explain,
)
from journal.values import DIRECTORY, STATE, Create, Folder, Identity, Move, is_name
from tests.journal.independent_decoder import Damaged, Decoded, Record, Unsupported, decode

PAGE = Path(__file__).parents[2] / "docs" / "journal-format.md"
PATH = "/srv/.journal/data/some.journal"
TRANSACTION = "20260121T094400123456-1a2b3c4d"
BATCHES, BATCH_SIZE = 4, 250

HEADER: Record = {
    "record": "header",
    "format": 1,
    "transaction": TRANSACTION,
    "label": "backup",
    "on_error": "rollback",
    "time": "2026-01-21T09:44:00.123456+00:00",
    "path": "/srv/data",
    "inode": 11,
    "directories": [
        {"root": "directory", "path": "bak", "inode": 12, "made": True},
        {"root": "state", "path": "", "inode": 13, "made": False},
    ],
    "owner": {"pid": 815, "host": "pipeline-1"},
}
MOVE: Record = {
    "record": "move",
    "source": ["directory", "a"],
    "destination": ["directory", "bak/a"],
    "inode": 21,
    "type": "file",
    "copy_on_failure": True,
}
PUBLISH: Record = {
    "record": "move",
    "source": ["state", f"staged-{TRANSACTION}-0"],
    "destination": ["directory", "r\udce9sum\udce9"],
    "inode": 22,
    "type": "file",
    "size": 0,
    "mtime_ns": -1,
}
CREATE: Record = {"record": "create", "destination": ["directory", "bak/info.json"], "if_kept": "kept\n"}
COMMITTED: Record = {
    "record": "committed",
    "failed": [{"operation": 0, "error": "EBUSY", "errno": 16, "attempts": 3, "copied": True}],
}
ROLLED_BACK: Record = {"record": "rolled_back", "conflicts": [{"operation": 1, "reason": "replaced"}]}
OPERATIONS = [MOVE, PUBLISH, CREATE]
EACH_ENDING = pytest.mark.parametrize(
    "terminal", [None, COMMITTED, ROLLED_BACK], ids=["prepared", "committed", "rolled_back"]
)


def text_of(body: object) -> str:
    """Return the body of a record as the page describes it."""
    return json.dumps(body, separators=(",", ":"))


def line_of(body: object) -> bytes:
    """Frame one body, given as text or as what JSON makes of it, with its right checksum."""
    raw = body if isinstance(body, str) else text_of(body)
    return f"{zlib.crc32(raw.encode()):08x} {raw}\n".encode()


def written(header: object = HEADER, operations: list[Any] = OPERATIONS, terminals: tuple[Any, ...] = ()) -> bytes:
    """Return the bytes of a journal, made without the package."""
    before = b"".join(line_of(body) for body in [header, *operations])
    prepared = {"record": "prepared", "records": 1 + len(operations), "checksum": f"{zlib.crc32(before):08x}"}
    return b"".join([before, line_of(prepared), *(line_of(terminal) for terminal in terminals)])


PREPARED: Record = json.loads(written().splitlines()[-1].partition(b" ")[2])
SAMPLES: dict[str, Record] = {
    "header": HEADER,
    "move": MOVE,
    "published move": PUBLISH,
    "create": CREATE,
    "prepared": PREPARED,
    "committed": COMMITTED,
    "rolled_back": ROLLED_BACK,
}
EACH_RECORD = pytest.mark.parametrize("kind", SAMPLES)


def journal_with(kind: str, body: object) -> tuple[bytes, int]:
    """Return a journal with `body` in the place of the sample of that kind, and the number of that line."""
    if kind == "header":
        return written(header=body), 1
    if kind == "prepared":
        return written().removesuffix(line_of(PREPARED)) + line_of(body), 5
    if kind in ("committed", "rolled_back"):
        return written(terminals=(body,)), 6
    return written(operations=[MOVE, PUBLISH, body, CREATE]), 4


def everywhere(value: Any, change: Callable[[Any], Iterator[Any]]) -> Iterator[Any]:
    """Yield copies of a value in which one part, at any depth, is replaced by each result of `change` for that part."""
    yield from change(value)
    if isinstance(value, dict):
        for key, part in value.items():
            for other in everywhere(part, change):
                yield value | {key: other}
    elif isinstance(value, list):
        for index, part in enumerate(value):
            for other in everywhere(part, change):
                yield [*value[:index], other, *value[index + 1 :]]


def ended(terminal: Record | None) -> tuple[Record, ...]:
    """Return the terminal records of a journal with this one or none."""
    return () if terminal is None else (terminal,)


def encoded(journal: Journal) -> bytes:
    """Return the bytes that the package writes for a journal that it has read."""
    end = b"" if journal.terminal is None else encode_terminal(journal.terminal)
    return b"".join(encode_journal(journal.header, journal.operations)) + end


def verdict(content: bytes) -> Decoded | Damaged | Unsupported:
    """Return the package's verdict on a file, in the terms of the independent decoder."""
    try:
        journal = decode_journal(BytesIO(content), PATH)
    except JournalDamaged as error:
        return Damaged(error.line)
    except JournalUnsupported as error:
        return Unsupported(error.line)
    return Decoded(
        json.loads(encode_body(journal.header)),
        [json.loads(encode_body(operation)) for operation in journal.operations],
        None if journal.terminal is None else json.loads(encode_body(journal.terminal)),
        journal.length_bytes,
    )


NO_PATHS = ["/", "/etc/passwd", "a/", "a//b", ".", "..", "../victim", "a/..", "a/../b", "./a", "a/./b", "a\0", "a/\0b"]
NO_PATHS += ["\ud800", "a/\udc7f", "\udd00/a", "a\udfff"]
NAME_PIECES = ["a", "Z", " ", ".", "..", "-", "\n", "\r", "\t", '"', "'", "\\", "\\u0041", "\x01", "\x1b[0m", "\x7f"]
NAME_PIECES += ["é", "e\u0301", "שלום", "\u202e", "مرحبا", "\u2028", "漢字", "😀", "👩\u200d💻", "\U0010ffff", "\ufffd"]


def random_name(rng: random.Random) -> str:
    """Return a name that a Linux file can have: up to 255 bytes, cut anywhere, or with arbitrary bytes."""
    length = rng.choice([1, 4, 12, 40, 255])
    raw = b""
    while len(raw) < length:
        raw += rng.choice(NAME_PIECES).encode() if rng.random() < 0.8 else rng.randbytes(3)
    raw = raw[:length].translate(None, b"/\0")
    return "x" if raw in {b"", b".", b".."} else raw.decode("utf-8", "surrogateescape")


def random_path(rng: random.Random) -> str:
    """Return a relative path of one to three parts."""
    return "/".join(random_name(rng) for _ in range(rng.randint(1, 3)))


def random_place(rng: random.Random) -> list[str]:
    """Return a place below one of the two roots."""
    return [rng.choice(["directory", "state"]), random_path(rng)]


def random_operation(rng: random.Random) -> Record:
    """Return a move, plain or with its options, or a create."""
    if rng.random() < 0.25:
        create: Record = {"record": "create", "destination": random_place(rng)}
        return create | ({"if_kept": random_path(rng)} if rng.random() < 0.5 else {})
    kind = rng.choice(["file", "directory", "symlink", "fifo", "socket", "block", "character"])
    move: Record = {"record": "move", "source": random_place(rng), "destination": random_place(rng)}
    move |= {"inode": rng.getrandbits(64), "type": kind}
    if move["source"][0] == "state" and rng.random() < 0.8:
        move |= {"size": rng.getrandbits(rng.choice([0, 8, 63])), "mtime_ns": rng.randint(-(2**62), 2**62)}
    return move | ({"copy_on_failure": True} if rng.random() < 0.5 else {})


def random_terminal(rng: random.Random, operations: int) -> Record | None:
    """Return no terminal record, or one of the two with up to three entries."""
    which = rng.choice(["none", "committed", "rolled_back"])
    some = rng.sample(range(operations), rng.randint(0, min(3, operations)))
    if which == "rolled_back":
        return {"record": which, "conflicts": [{"operation": one, "reason": random_name(rng)} for one in some]}
    failed = []
    for one in some:
        errno = {"errno": rng.randint(1, 133)} if rng.random() < 0.5 else {}
        rest = {"attempts": rng.randint(0, 9), "copied": rng.random() < 0.5}
        failed.append({"operation": one, "error": random_name(rng)} | errno | rest)
    return {"record": which, "failed": failed} if which == "committed" else None


def random_journal(seed: str) -> tuple[Record, list[Record], Record | None]:
    """Return header, operations and terminal record of a journal; the same for the same seed."""
    rng = random.Random(seed)
    directories = [
        {"root": root, "path": rng.choice(["", path]), "inode": rng.getrandbits(64), "made": rng.random() < 0.5}
        for root, path in (random_place(rng) for _ in range(rng.randint(0, 3)))
    ]
    header = HEADER | {
        "label": random_name(rng),
        "on_error": rng.choice(["continue", "rollback"]),
        "path": "/" + random_path(rng),
        "inode": rng.getrandbits(64),
        "directories": directories,
        "owner": {"pid": rng.getrandbits(22), "host": random_name(rng)},
    }
    operations = [random_operation(rng) for _ in range(rng.randint(0, 6))]
    return header, operations, random_terminal(rng, len(operations))


def seeds(batch: int) -> Iterator[str]:
    """Return new seeds for one batch; each failing assertion names its seed."""
    run = random.getrandbits(64)
    return (f"{run:x}/{batch}/{index}" for index in range(BATCH_SIZE))


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_journals_read_as_written_in_both_decoders(batch: int) -> None:
    """Both decoders return the values of a journal, and the package writes the same bytes again."""
    for seed in seeds(batch):
        header, operations, terminal = random_journal(seed)
        content = written(header, operations, ended(terminal))
        expected = Decoded(header, operations, terminal, len(content))
        assert verdict(content) == expected, f"random_journal({seed!r})"
        assert decode(content) == expected, f"random_journal({seed!r})"
        assert encoded(decode_journal(BytesIO(content), PATH)) == content, f"random_journal({seed!r})"


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_journals_cut_or_altered_get_one_verdict_from_both_decoders(batch: int) -> None:
    """A journal cut at a random byte, or with one bit flipped, is judged alike: class, line and content."""
    for seed in seeds(batch):
        header, operations, terminal = random_journal(seed)
        content = written(header, operations, ended(terminal))
        rng = random.Random(f"{seed}/harm")
        cut = content[: rng.randrange(len(content))]
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        for harmed in (cut, bytes(flipped)):
            judged = verdict(harmed)
            assert judged == decode(harmed), f"random_journal({seed!r})"
            intact_but_for_the_end = Decoded(header, operations, None, len(written(header, operations)))
            assert isinstance(judged, Damaged) or judged == intact_but_for_the_end, f"random_journal({seed!r})"


@EACH_ENDING
def test_every_prefix_of_a_journal_is_damage_or_the_same_operations(terminal: Record | None) -> None:
    """Cut anywhere, a journal is damaged in its last line until `prepared` is whole, then good, ended or not."""
    content = written(terminals=ended(terminal))
    prepared_end = len(written())
    for length in range(len(content) + 1):
        prefix = content[:length]
        expected: Decoded | Damaged = Decoded(HEADER, OPERATIONS, None, prepared_end)
        if length < prepared_end:
            expected = Damaged(max(len(prefix.splitlines()), 1))
        elif length == len(content):
            expected = Decoded(HEADER, OPERATIONS, terminal, length)
        assert verdict(prefix) == expected, f"cut after {length} bytes"
        assert decode(prefix) == expected, f"cut after {length} bytes"


@EACH_ENDING
def test_every_single_flipped_bit_is_noticed(terminal: Record | None) -> None:
    """One flipped bit is damage on its line, or makes the package ignore the terminal record that has it."""
    content = written(terminals=ended(terminal))
    prepared_end = len(written())
    without_terminal = Decoded(HEADER, OPERATIONS, None, prepared_end)
    for bit in range(len(content) * 8):
        position = bit // 8
        altered = bytearray(content)
        altered[position] ^= 1 << bit % 8
        line = 1 + content.count(b"\n", 0, position)
        expected = without_terminal if position >= prepared_end else Damaged(line)
        assert verdict(bytes(altered)) == expected, f"bit {bit % 8} of byte {position}"
        assert decode(bytes(altered)) == expected, f"bit {bit % 8} of byte {position}"


def test_worked_example_of_the_page_is_read_as_described() -> None:
    """The example in docs/journal-format.md is a good journal of two files in a backup and a record."""
    example = PAGE.read_text("utf-8").split("<!-- example -->")[1].split("<!-- /example -->")[0]
    content = example.strip().removeprefix("```\n").removesuffix("```").encode("ascii")
    journal = decode_journal(BytesIO(content), PATH)
    backup = Folder("directory", "file_bak_20250121_094400")
    assert journal.header.transaction == "20250121T094400123456-1a2b3c4d"
    assert (journal.header.label, journal.header.on_error) == ("backup", "continue")
    assert (journal.header.path, journal.header.inode) == ("/data/task_20250721_083557", 4711)
    assert list(journal.header.announced()) == [(DIRECTORY, 4711), (backup, 4712)]
    latin = b"r\xe9sum\xe9.md".decode("utf-8", "surrogateescape")
    assert latin.encode("utf-8", "surrogateescape").decode("latin-1") == "résumé.md"
    assert journal.operations == (
        Move(DIRECTORY, "old_file.ddl", backup, "old_file.ddl", 4801, "file", copy_on_failure=True),
        Move(DIRECTORY, latin, backup, latin, 4802, "file", copy_on_failure=True),
        Create(backup, "backup_info.json"),
    )
    assert journal.terminal == Committed(failed=())
    assert journal.length_bytes == len(content)
    assert encoded(journal) == content
    assert verdict(content) == decode(content)


def test_each_field_of_a_record_is_read_into_its_own_attribute() -> None:
    """Options of moves and creates, failures and conflicts are read into the attributes of their names."""
    committed = decode_journal(BytesIO(written(terminals=(COMMITTED,))), PATH)
    assert committed.operations == (
        Move(DIRECTORY, "a", Folder("directory", "bak"), "a", 21, "file", copy_on_failure=True),
        Move(STATE, names.staged(TRANSACTION, 0), DIRECTORY, "r\udce9sum\udce9", 22, "file", size=0, mtime_ns=-1),
        Create(Folder("directory", "bak"), "info.json", if_kept="kept\n"),
    )
    failure = FailedOperation(operation=0, error="EBUSY", errno=16, attempts=3, copied=True)
    assert committed.terminal == Committed(failed=(failure,))
    rolled_back = decode_journal(BytesIO(written(terminals=(ROLLED_BACK,))), PATH)
    assert rolled_back.terminal == RolledBack(conflicts=(Conflict(operation=1, reason="replaced"),))


@pytest.mark.parametrize(
    "tail",
    [b"\0" * 4096, b"\n", b"\n\n", b"garbage\n", b"garbage", b"00000000 {}\n", b"garbage\nmore\n"],
    ids=["zeros", "newline", "newlines", "bad line", "torn line", "wrong checksum", "two bad lines"],
)
@EACH_ENDING
def test_bad_tail_after_prepared_is_ignored(terminal: Record | None, tail: bytes) -> None:
    """Bytes that a crash left after the last good record are not part of the journal."""
    content = written(terminals=ended(terminal))
    expected = Decoded(HEADER, OPERATIONS, terminal, len(content))
    assert verdict(content + tail) == decode(content + tail) == expected


def test_torn_last_record_is_ignored() -> None:
    """A terminal record without its newline was not finished: the transaction did not take effect."""
    journal = decode_journal(BytesIO(written(terminals=(COMMITTED,))[:-1]), PATH)
    assert journal.terminal is None
    assert journal.length_bytes == len(written())


@pytest.mark.parametrize("good", [COMMITTED, ROLLED_BACK, MOVE, PREPARED], ids=lambda body: body["record"])
@pytest.mark.parametrize("bad", [b"garbage\n", b"\n\n", b"\0" * 512 + b"\n"], ids=["one", "two", "zeros"])
@EACH_ENDING
def test_good_record_after_a_bad_line_is_damage_on_its_own_line(
    terminal: Record | None, bad: bytes, good: Record
) -> None:
    """No crash writes a good record after a bad one, so the file is not trusted; the good one shows the damage."""
    before = written(terminals=ended(terminal)) + bad
    content = before + line_of(good) + b"more garbage\n"
    line = before.count(b"\n") + 1
    with pytest.raises(JournalDamaged, match=f"line {line}: the record belongs elsewhere"):
        decode_journal(BytesIO(content), PATH)
    assert verdict(content) == decode(content) == Damaged(line)


@pytest.mark.parametrize(
    "stray",
    [COMMITTED, ROLLED_BACK, MOVE, CREATE, HEADER],
    ids=["committed", "rolled_back", "move", "create", "header"],
)
@EACH_ENDING
def test_second_good_record_after_prepared_is_damage(terminal: Record | None, stray: Record) -> None:
    """After `prepared` there is at most one terminal record."""
    if terminal is None and stray in (COMMITTED, ROLLED_BACK):
        terminal = stray
    content = written(terminals=(*ended(terminal), stray))
    assert verdict(content) == decode(content) == Damaged(1 + written(terminals=ended(terminal)).count(b"\n"))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", 1),
        (b"\n", 1),
        (line_of(HEADER), 1),
        (line_of(HEADER) + line_of(MOVE), 2),
        (line_of(HEADER) + line_of(MOVE)[:-1], 2),
        (written()[:-1], 5),
        (line_of(MOVE), 1),
        (line_of(PREPARED), 1),
        (written(header=COMMITTED), 1),
        (written(operations=[MOVE, HEADER]), 3),
        (written(operations=[ROLLED_BACK]), 2),
        (written().replace(b"\n", b"\r\n"), 1),
    ],
    ids=["empty", "blank", "header only", "unprepared", "cut in an operation", "cut in prepared", "no header",
         "prepared alone", "terminal first", "second header", "terminal too early", "carriage returns"],
)  # fmt: skip
def test_journal_that_breaks_the_grammar_is_damage_on_that_line(content: bytes, line: int) -> None:
    """Until `prepared` every line must be a good record in its place."""
    assert verdict(content) == decode(content) == Damaged(line)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: the line is cut off"),
        (written()[:20], "line 1: the line is cut off"),
        (written()[:-1], "line 5: the line is cut off"),
        (line_of(HEADER), "line 1: the journal ends before `prepared`"),
        (line_of(HEADER) + line_of(MOVE), "line 2: the journal ends before `prepared`"),
    ],
    ids=["empty", "in the header", "in prepared", "after the header", "after an operation"],
)
def test_message_distinguishes_a_cut_inside_a_line_from_one_after_it(content: bytes, message: str) -> None:
    """The message shows whether the last line is whole."""
    with pytest.raises(JournalDamaged, match=re.escape(message)):
        decode_journal(BytesIO(content), PATH)


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ([MOVE, CREATE], "line 4: expected 4 records before `prepared`, got 3"),
        ([*OPERATIONS, MOVE], "line 6: expected 4 records before `prepared`, got 5"),
        ([PUBLISH, MOVE, CREATE], "line 5: the records before `prepared` are not those that were written"),
        ([MOVE, MOVE, CREATE], "line 5: the records before `prepared` are not those that were written"),
    ],
    ids=["one gone", "one more", "swapped", "replaced"],
)
def test_prepared_that_disagrees_with_the_lines_before_it_is_damage(operations: list[Record], message: str) -> None:
    """Good lines that were removed, added, swapped or replaced are noticed."""
    prepared = written().splitlines(keepends=True)[-1]
    content = b"".join(line_of(body) for body in [HEADER, *operations]) + prepared
    with pytest.raises(JournalDamaged, match=message):
        decode_journal(BytesIO(content), PATH)
    assert verdict(content) == decode(content)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (written(header=HEADER | {"format": 2}), 1),
        (written(header={"record": "header", "format": "two", "entirely": "new"}), 1),
        (written(header=HEADER | {"compressed": True}), 1),
        (written(header=HEADER | {"owner": {"pid": 1, "host": "h", "boot": "b"}}), 1),
        (written(operations=[MOVE, {"record": "exchange"}]), 3),
        (written(operations=[MOVE, CREATE, MOVE | {"mode": 420}]), 4),
        (written(operations=[CREATE | {"\udce9\n": None}]), 2),
        (written(terminals=({"record": "superseded"},)), 6),
        (written(terminals=(COMMITTED | {"took": 3},)), 6),
        (written(terminals=({"record": "rolled_back", "conflicts": [{"operation": 0, "reason": "", "by": 1}]},)), 6),
        (written(terminals=(COMMITTED, {"record": "audited"})), 7),
    ],
    ids=["format", "format of another shape", "header key", "key of the owner", "record", "move key", "create key",
         "terminal", "terminal key", "key of a conflict", "record after the terminal one"],
)  # fmt: skip
def test_record_of_a_newer_version_is_unsupported_with_its_line(content: bytes, line: int) -> None:
    """A line of another version, with a right checksum, is not damage: the version that wrote it can read it."""
    with pytest.raises(JournalUnsupported, match="Recover with the version that wrote it") as caught:
        decode_journal(BytesIO(content), PATH)
    assert caught.value.path == PATH
    assert Unsupported(caught.value.line) == decode(content) == Unsupported(line)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (written(header={"record": "header", "format": 2}), "line 1: unknown format 2"),
        (written(operations=[{"record": "exchange"}]), "line 2: unknown record 'exchange'"),
        (written(operations=[MOVE | {"mode": 420}]), "line 2: move.mode: Extra inputs are not permitted"),
        (written(header=HEADER | {"inode": True}), "line 1: header.inode: "),
        (written(terminals=({"record": "committed"},)), "line 6: committed.failed: Field required"),
        (written(operations=[dict(reversed(CREATE.items()))]), "line 2: create: not written as this version writes it"),
        (written(operations=["{"]), "line 2: not a JSON object in ASCII"),
    ],
    ids=["format", "record", "key", "value", "missing key", "order", "not JSON"],
)
def test_message_names_the_unknown_part(content: bytes, message: str) -> None:
    """The message shows the difference to the newer version."""
    with pytest.raises(JournalUnsupported) as caught:
        decode_journal(BytesIO(content), PATH)
    assert message in str(caught.value)


@pytest.mark.parametrize("path", ["", None, 7, *NO_PATHS], ids=ascii)
@pytest.mark.parametrize("which", ["source", "destination"])
def test_place_that_leads_elsewhere_is_refused(which: str, path: object) -> None:
    """No path that is absolute, climbs, has empty parts or cannot exist is used from a journal."""
    content = written(operations=[MOVE | {which: ["directory", path]}])
    with pytest.raises(JournalUnsupported, match=rf"line 2: move\.{which}: "):
        decode_journal(BytesIO(content), PATH)
    assert verdict(content) == decode(content) == Unsupported(2)


@pytest.mark.parametrize("path", [None, 7, *NO_PATHS], ids=ascii)
def test_announced_directory_that_leads_elsewhere_is_refused(path: object) -> None:
    """A rollback removes the directories that were made: none of them is outside the two roots."""
    content = written(header=HEADER | {"directories": [{"root": "directory", "path": path, "inode": 1, "made": True}]})
    with pytest.raises(JournalUnsupported, match=r"line 1: header\.directories\.0\.path: "):
        decode_journal(BytesIO(content), PATH)
    assert verdict(content) == decode(content) == Unsupported(1)


@pytest.mark.parametrize(
    "place", [["home", "a"], ["", "a"], [None, "a"], ["state"], ["state", "a", "b"], [], "state", {"state": "a"}, None]
)
def test_place_of_another_shape_is_refused(place: object) -> None:
    """A place is one of the two roots and a path."""
    content = written(operations=[{"record": "create", "destination": place}])
    with pytest.raises(JournalUnsupported, match=r"line 2: create\.destination: .*not a place"):
        decode_journal(BytesIO(content), PATH)
    assert verdict(content) == decode(content) == Unsupported(2)


@pytest.mark.parametrize("path", ["...", "..a", "a..", ".a", "a/...", " ", "~", "-", "*", "C:", "a\\..\\b", "\udcff"])
def test_place_of_an_odd_but_lawful_name_is_read(path: str) -> None:
    """Names may contain dots, blanks and undecodable bytes."""
    content = written(operations=[{"record": "create", "destination": ["state", path]}])
    (operation,) = decode_journal(BytesIO(content), PATH).operations
    assert verdict(content) == decode(content)
    folder, _, name = path.rpartition("/")
    assert operation == Create(Folder("state", folder), name)


@pytest.mark.parametrize(
    "body",
    [
        HEADER | {"transaction": "20260121"},
        HEADER | {"transaction": TRANSACTION + "\n"},
        HEADER | {"on_error": "panic"},
        HEADER | {"label": 5},
        HEADER | {"inode": -1},
        HEADER | {"inode": True},
        HEADER | {"directories": [{"root": "home", "path": "", "inode": 1, "made": True}]},
        HEADER | {"directories": [{"root": "state", "path": "", "inode": 1, "made": 1}]},
        {key: value for key, value in HEADER.items() if key != "owner"},
    ],
    ids=["short transaction", "transaction with a newline", "policy", "label", "negative inode", "truth as inode",
         "root", "number as truth", "missing key"],
)  # fmt: skip
def test_header_with_an_unlawful_value_is_refused(body: Record) -> None:
    """A value that no version wrote so far is never mistaken for another one."""
    content = written(header=body)
    with pytest.raises(JournalUnsupported, match="line 1: header"):
        decode_journal(BytesIO(content), PATH)
    assert verdict(content) == decode(content) == Unsupported(1)


def test_every_sample_is_read_in_its_place() -> None:
    """The records that the following tests change are good before."""
    for kind, body in SAMPLES.items():
        content, _ = journal_with(kind, body)
        assert isinstance(verdict(content), Decoded), kind
        assert verdict(content) == decode(content), kind


@EACH_RECORD
def test_value_of_another_type_is_unsupported(kind: str) -> None:
    """True is not 1, 1 is not 1.0, "1" or [1], and null is not a missing key."""

    def retyped(value: Any) -> Iterator[Any]:
        yield from (None, [value], {"value": value})
        if not isinstance(value, (dict, list)):
            yield from (str(value),) if not isinstance(value, str) else (0, True)
        if isinstance(value, int):
            yield from (float(value), value == 1 if not isinstance(value, bool) else int(value))

    for body in everywhere(SAMPLES[kind], retyped):
        content, line = journal_with(kind, body)
        assert verdict(content) == decode(content) == Unsupported(line), body


@EACH_RECORD
def test_value_replaced_by_any_other_is_judged_alike_by_both_decoders(kind: str) -> None:
    """For any value in any place, both decoders read it or both refuse it."""
    values = [True, False, 0, 1, 2**63, 10**30, -1, 0.5, 1e300, "", "1", "a/b", "state", "file", "rollback", "move"]
    values += ["00000000", "\udce9", [], [[]], {}, ["state", "a"], ["state", "a\0"], [{}], None]
    for body in everywhere(SAMPLES[kind], lambda _: iter(values)):
        content, _ = journal_with(kind, text_of(body))
        assert verdict(content) == decode(content), body


@EACH_RECORD
def test_key_more_or_less_is_unsupported(kind: str) -> None:
    """A record has all its keys and no others, down to the objects within it."""
    optional = {"copy_on_failure", "if_kept", "errno"} | ({"operation"} if kind == "rolled_back" else set())

    def more_or_less(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            yield from ({other: value[other] for other in value if other != key} for key in value.keys() - optional)
            yield from (value | {key: 0} for key in ("zeal", "", "Record", "record ", "\n", "\udce9", "\ud800"))

    for body in everywhere(SAMPLES[kind], more_or_less):
        content, line = journal_with(kind, body)
        assert verdict(content) == decode(content) == Unsupported(line), body


@EACH_RECORD
def test_keys_in_another_order_are_unsupported(kind: str) -> None:
    """Two neighbouring keys in the other order are enough."""

    def swapped(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            items = list(value.items())
            for index in range(len(items) - 1):
                yield dict([*items[:index], items[index + 1], items[index], *items[index + 2 :]])

    for body in everywhere(SAMPLES[kind], swapped):
        content, line = journal_with(kind, body)
        assert verdict(content) == decode(content) == Unsupported(line), text_of(body)


@EACH_RECORD
def test_key_written_twice_is_unsupported(kind: str) -> None:
    """Programs differ in which of the two they use, even if both are equal now."""
    text = text_of(SAMPLES[kind])
    twice = [
        f"{text[: pair.end()]},{pair[0]}{text[pair.end() :]}" for pair in re.finditer(r'"\w+":("[^"]*"|-?\w+)', text)
    ]
    assert len(twice) >= 2
    for body in twice:
        content, line = journal_with(kind, body)
        assert verdict(content) == decode(content) == Unsupported(line), body


@EACH_RECORD
def test_white_space_outside_strings_is_unsupported(kind: str) -> None:
    """No blank, tab or carriage return before the body, in it or after it."""
    text = text_of(SAMPLES[kind])
    gaps = [token.start() for token in re.finditer(r'"[^"]*"|[^"]', text)] + [len(text)]
    for gap in gaps:
        for blank in " \t\r":
            content, line = journal_with(kind, text[:gap] + blank + text[gap:])
            assert verdict(content) == decode(content) == Unsupported(line), text[:gap] + blank + text[gap:]


@pytest.mark.parametrize("escape", ["\\u00E9", "\\u0061", "\\/", "\\u000a", "\\u0022", "\x7f", "é"])
def test_character_written_in_another_way_is_unsupported(escape: str) -> None:
    """Each character has one spelling, so no two journals have the same content."""
    for text in (f'{{"record":"create","destination":["state","a{escape}b"]}}', text_of(CREATE)[:-2] + escape + '"}'):
        content = written(operations=[text])
        assert verdict(content) == decode(content) == Unsupported(2), text


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "null", "1", "NaN", '"record"', '{"record":NaN}', '{"record":null}', '{"record":["move"]}', "{}",
     "\ufeff{}", "[" * 100_000, '{"record":' * 100_000, '{"record":"move","inode":' + "9" * 5_000 + "}",
     text_of(PUBLISH).replace("-1", "-0"), text_of(PUBLISH).replace("-1", "-Infinity"),
     '{"record":"header","format":' + "[" * 700 + "]" * 700 + "}"],
    ids=lambda body: f"{body[:24]!a} {len(body)}",
)  # fmt: skip
def test_body_that_is_not_a_record_is_unsupported(body: str) -> None:
    """Any other body with a right checksum is refused with its line."""
    content = written(operations=[MOVE, body])
    assert verdict(content) == decode(content) == Unsupported(3)
    assert decode_unfinished_header(BytesIO(line_of(body)), PATH) is None
    assert explain(content, PATH)[2][1] is not None


@pytest.mark.parametrize(
    "body",
    [
        {key: value for key, value in PUBLISH.items() if key != "mtime_ns"},
        {key: value for key, value in PUBLISH.items() if key != "size"},
        PUBLISH | {"size": None, "mtime_ns": None},
        PUBLISH | {"size": True},
        PUBLISH | {"mtime_ns": True},
        PUBLISH | {"mtime_ns": "1"},
        PUBLISH | {"size": -1},
        MOVE | {"copy_on_failure": False},
        MOVE | {"copy_on_failure": 1},
        MOVE | {"inode": True},
        CREATE | {"if_kept": None},
    ],
    ids=["size alone", "mtime alone", "both null", "truth as size", "truth as mtime", "text as mtime", "negative size",
         "false copy", "number as copy", "truth as inode", "null text"],
)  # fmt: skip
def test_operation_with_an_unlawful_value_is_refused(body: Record) -> None:
    """Nothing is moved by a record that this version would have written in another way."""
    content = written(operations=[CREATE, body])
    assert verdict(content) == decode(content) == Unsupported(3)


@pytest.mark.parametrize(
    "body",
    [
        {"record": "committed"},
        {"record": "rolled_back"},
        {"record": "committed", "failed": None},
        {"record": "rolled_back", "failed": []},
        COMMITTED | {"failed": [COMMITTED["failed"][0] | {"errno": None}]},
        COMMITTED | {"failed": [COMMITTED["failed"][0] | {"errno": True}]},
        COMMITTED | {"failed": [COMMITTED["failed"][0] | {"copied": 1}]},
        COMMITTED | {"failed": [COMMITTED["failed"][0] | {"operation": -1}]},
        {"record": "rolled_back", "conflicts": [{"operation": False, "reason": ""}]},
    ],
    ids=["no failed", "no conflicts", "null failed", "failed of the other record", "null errno", "truth as errno",
         "number as copied", "negative operation", "truth as operation"],
)  # fmt: skip
def test_terminal_record_with_an_unlawful_value_is_refused(body: Record) -> None:
    """A record that decides whether a transaction took effect is never read in part."""
    content = written(terminals=(body,))
    assert verdict(content) == decode(content) == Unsupported(6)


RULED_OUT = {
    "relative path of the directory": (written(header=HEADER | {"path": "srv/data"}), 1),
    "NUL in the path of the directory": (written(header=HEADER | {"path": "/srv\0"}), 1),
    "path of the directory that no name has": (written(header=HEADER | {"path": "/\ud800"}), 1),
    "time that is none": (written(header=HEADER | {"time": "yesterday"}), 1),
    "time without offset": (written(header=HEADER | {"time": "2026-01-21T09:44:00"}), 1),
    "time that is not UTC": (written(header=HEADER | {"time": "2026-01-21T09:44:00+02:00"}), 1),
    "label with half a character": (written(header=HEADER | {"label": "\ud800"}), 1),
    "text with half a character": (written(operations=[CREATE | {"if_kept": "\ud800"}]), 2),
    "reason with half a character": (
        written(terminals=(ROLLED_BACK | {"conflicts": [{"operation": 0, "reason": "\ud800"}]},)),
        6,
    ),
    "character of a name as its bytes": (written(operations=[MOVE | {"source": ["directory", "\udcc3\udca9"]}]), 2),
    "size of a file that is not published": (written(operations=[PUBLISH | {"source": ["directory", "a"]}]), 2),
}


@pytest.mark.parametrize("which", RULED_OUT)
def test_independent_decoder_refuses_what_the_page_rules_out(which: str) -> None:
    """Values of the right type that the page does not allow."""
    content, line = RULED_OUT[which]
    assert decode(content) == Unsupported(line)


@pytest.mark.parametrize("which", RULED_OUT)
def test_package_refuses_what_the_page_rules_out(which: str) -> None:
    """Values of the right type that the page does not allow."""
    content, line = RULED_OUT[which]
    assert verdict(content) == Unsupported(line)


@pytest.mark.parametrize("newer", ['{"record":"audited"}', "not JSON", text_of(COMMITTED) + " "])
@EACH_ENDING
def test_unsupported_line_is_named_wherever_it_is(terminal: Record | None, newer: str) -> None:
    """Before `prepared`, in place of it, in the tail, after bad lines of the tail and after the terminal record."""
    lines = written(terminals=ended(terminal)).splitlines(keepends=True)
    for number in range(len(lines) + 1):
        for tail in (b"", b"garbage\n", b"torn", line_of(COMMITTED), line_of("{")):
            content = b"".join([*lines[:number], line_of(newer), *lines[number:], tail])
            assert verdict(content) == decode(content) == Unsupported(number + 1)
    content = b"".join([*lines, b"garbage\n", line_of(newer), line_of(COMMITTED)])
    assert verdict(content) == decode(content) == Unsupported(len(lines) + 2)


def test_first_line_at_fault_decides_between_damage_and_another_version() -> None:
    """Damage before an unsupported line is damage; a torn line is torn, whatever its content was."""
    newer = line_of({"record": "audited"})
    prefix = line_of(HEADER) + line_of(MOVE)
    for content, expected in [
        (prefix + b"garbage\n" + newer, Damaged(3)),
        (prefix + line_of(HEADER) + newer, Damaged(3)),
        (prefix + newer + b"garbage\n", Unsupported(3)),
        (prefix + newer[:-1], Damaged(3)),
        (written() + line_of(MOVE) + newer, Damaged(6)),
        (written() + newer[:-1], Decoded(HEADER, OPERATIONS, None, len(written()))),
    ]:
        assert verdict(content) == decode(content) == expected


@pytest.mark.parametrize("terminal", [Committed, RolledBack])
def test_terminal_record_lists_failures_and_conflicts_even_if_there_are_none(
    terminal: type[Committed] | type[RolledBack],
) -> None:
    """There is no default, because no version wrote a journal without that key."""
    with pytest.raises(ValidationError, match="Field required"):
        terminal.model_validate({})


def test_error_names_an_undecodable_path_in_valid_text() -> None:
    """The message can be printed whatever bytes are in the journal's path."""
    with pytest.raises(JournalDamaged) as caught:
        decode_journal(BytesIO(b""), "/srv/r\udce9sum\udce9/x.journal")
    assert str(caught.value) == "/srv/r\\xe9sum\\xe9/x.journal, line 1: the line is cut off."


def test_explain_returns_the_fault_of_each_line() -> None:
    """Good lines have no fault, each bad line has its own, the torn last line, too."""
    content = b"".join(
        [
            line_of(HEADER),
            line_of(MOVE).replace(b"bak", b"bat"),
            line_of(MOVE),
            b"garbage\n",
            b"\n",
            line_of("[1, 2"),
            line_of({"record": "exchange"}),
            line_of(CREATE)[:-1],
        ]
    )
    assert explain(content, PATH) == [
        (1, None),
        (2, "the checksum does not match the line"),
        (3, None),
        (4, "the checksum does not match the line"),
        (5, "the checksum does not match the line"),
        (6, "not a JSON object in ASCII"),
        (7, "unknown record 'exchange'"),
        (8, "the line is cut off"),
    ]


@pytest.mark.parametrize(("content", "lines"), [(written(), 5), (written(terminals=(COMMITTED,)), 6)])
def test_explain_finds_no_fault_in_whole_lines(content: bytes, lines: int) -> None:
    """The end of the file after the last newline is not a line."""
    assert explain(content, PATH) == [(number, None) for number in range(1, lines + 1)]


@pytest.mark.parametrize(
    ("content", "line", "fault"),
    [
        (b"", 1, "the line is cut off"),
        (line_of(MOVE), 1, "not a header"),
        (line_of(HEADER) + line_of(MOVE), 2, "the journal ends before `prepared`"),
        (written(operations=[MOVE, HEADER]), 3, "the record belongs elsewhere"),
        (written(operations=[MOVE, COMMITTED, MOVE]), 3, "the record belongs elsewhere"),
        (written(terminals=(COMMITTED, ROLLED_BACK)), 7, "the record belongs elsewhere"),
        (written().replace(line_of(PUBLISH), b""), 4, "expected 4 records before `prepared`, got 3"),
        (
            written().replace(line_of(PUBLISH), line_of(MOVE)),
            5,
            "the records before `prepared` are not those that were written",
        ),
    ],
    ids=["empty", "no header", "no prepared", "second header", "terminal too early", "second terminal", "one gone",
         "replaced"],
)  # fmt: skip
def test_explain_finds_a_good_line_in_the_wrong_place(content: bytes, line: int, fault: str) -> None:
    """A record that is good in itself but wrong in its place is a fault, and the only one."""
    number_of_lines = max(content.count(b"\n"), 1)
    assert explain(content, PATH) == [
        (number, fault if number == line else None) for number in range(1, number_of_lines + 1)
    ]


def test_explain_reports_a_bad_tail_that_decoding_ignores() -> None:
    """An operator sees the trace of a crash, although the journal is good without it."""
    assert explain(written() + b"garbage\ntorn", PATH) == [
        *((number, None) for number in range(1, 6)),
        (6, "the checksum does not match the line"),
        (7, "the line is cut off"),
    ]


@pytest.mark.parametrize(
    "path", ["/srv/line 1: x/j", "line 2: ", "line 3: line 3: ", "/srv/r\udce9sum\udce9: line 4: "]
)
def test_explain_does_not_depend_on_the_journals_path(path: str) -> None:
    """The name of a directory may contain the words of a message."""
    content = line_of(HEADER) + b"garbage\n" + line_of({"record": "exchange"}) + line_of(MOVE)[:-1]
    assert explain(content, path) == [
        (1, None),
        (2, "the checksum does not match the line"),
        (3, "unknown record 'exchange'"),
        (4, "the line is cut off"),
    ]


def test_unfinished_journal_gives_its_header_once_that_is_whole() -> None:
    """Cut anywhere after its first line, a journal being written still has its header."""
    content, header_length = written(), len(line_of(HEADER))
    expected = decode_journal(BytesIO(content), PATH).header
    for length in range(len(content) + 1):
        header = decode_unfinished_header(BytesIO(content[:length]), PATH)
        assert header == (expected if length >= header_length else None), f"cut after {length} bytes"


@pytest.mark.parametrize(
    "content",
    [line_of(HEADER | {"format": 2}), line_of(MOVE), b"\0" * 512 + b"\n", line_of(HEADER).replace(b"srv", b"usr")],
    ids=["newer format", "no header", "zeros", "altered"],
)
def test_unfinished_journal_without_a_good_header_has_none(content: bytes) -> None:
    """Nothing had moved under a journal being written, so its first line may be anything."""
    assert decode_unfinished_header(BytesIO(content), PATH) is None


def test_lines_are_read_one_at_a_time_and_no_further_than_needed() -> None:
    """A journal of a million moves is never in memory as text."""

    def lines(fine: int) -> Iterator[bytes]:
        yield from written().splitlines(keepends=True)[:fine]
        yield b"bad\n"
        pytest.fail("one line too many was read")

    assert decode_unfinished_header(lines(1), PATH) is not None
    with pytest.raises(JournalDamaged) as damaged:
        decode_journal(lines(2), PATH)

    assert damaged.value.line == 3


def test_move_that_keeps_its_name_holds_it_once() -> None:
    """A million moves are held at once."""
    header = decode_journal(BytesIO(written()), PATH).header
    move = Move(DIRECTORY, "name", Folder("directory", "bak"), "na" + "me", 1, "file")
    content = b"".join(encode_journal(header, [move]))

    (operation,) = decode_journal(BytesIO(content), PATH).operations

    assert isinstance(operation, Move)
    assert operation.source_name is operation.destination_name


def test_long_journal_is_written_in_chunks_of_64_kibibytes() -> None:
    """Each chunk ends with the line that fills it, and together they are the journal."""
    folder = Folder("directory", "b" * 200)
    operations = [Create(folder, f"{number:04}" + "\n" * 200) for number in range(500)]
    header = decode_journal(BytesIO(written()), PATH).header
    chunks = list(encode_journal(header, operations))
    assert len(chunks) > 3
    for chunk in chunks[:-1]:
        assert chunk.endswith(b"\n")
        before_last_line = chunk.rindex(b"\n", 0, -1) + 1
        assert before_last_line < 65_536 <= len(chunk)
    assert len(chunks[-1]) < 65_536 + 200
    assert decode_journal(BytesIO(b"".join(chunks)), PATH).operations == tuple(operations)


def test_journal_whose_last_operation_fills_a_chunk_ends_with_prepared_alone() -> None:
    """The checksum in `prepared` covers the chunks that are already written."""
    header = decode_journal(BytesIO(written()), PATH).header
    operations = [Create(DIRECTORY, "x" * 255, if_kept="k" * 70_000)]
    chunks = list(encode_journal(header, operations))
    assert [chunk.count(b"\n") for chunk in chunks] == [2, 1]
    assert decode_journal(BytesIO(b"".join(chunks)), PATH).operations == tuple(operations)


def test_short_journal_is_one_chunk() -> None:
    """A journal of a few files is written with one call."""
    journal = decode_journal(BytesIO(written()), PATH)
    assert list(encode_journal(journal.header, journal.operations)) == [written()]


@pytest.mark.parametrize("name", ["", ".", "..", "/", "a/b", "/a", "a/", "\0", "a\0b"])
def test_text_that_cannot_be_one_entry_is_not_a_name(name: str) -> None:
    """A name is one part of a path, so it cannot lead elsewhere."""
    assert not is_name(name)


def test_header_lists_the_directories_that_change_and_those_that_were_made() -> None:
    """The directory itself comes first; only those marked as made are the transaction's own."""
    header = decode_journal(BytesIO(written()), PATH).header
    bak = Folder("directory", "bak")
    assert list(header.announced()) == [(DIRECTORY, 11), (bak, 12), (STATE, 13)]
    assert [directory.folder for directory in header.new_directories()] == [bak]


def test_folder_places_names_below_its_root() -> None:
    """The root's own folder adds nothing before a name."""
    assert (DIRECTORY.place("a"), Folder("state", "b/c").place("a")) == ("a", "b/c/a")
    assert (str(STATE), str(Folder("directory", "b/c"))) == ("state:", "directory:b/c")


def test_identity_is_the_same_whatever_size_and_time_became() -> None:
    """A file stays itself while it is written to, not when its inode or type differ."""
    announced = Move(STATE, "a", DIRECTORY, "a", 21, "file", size=3, mtime_ns=4).identity
    assert announced == Identity(21, "file", 3, 4)
    assert announced.is_same(Identity(21, "file", 5, 6))
    assert not announced.is_same(Identity(22, "file", 3, 4))
    assert not announced.is_same(Identity(21, "symlink", 3, 4))


@pytest.mark.parametrize("suffix", [".journal.new", ".journal", ".damaged", ".conflict"])
def test_journal_name_splits_into_transaction_and_suffix(suffix: str) -> None:
    """Each of the four states of a journal has its suffix."""
    assert names.journal_of(TRANSACTION + suffix) == (TRANSACTION, suffix)


def test_names_made_for_a_transaction_contain_their_owner() -> None:
    """Entries to be swept are found by their names alone."""
    assert names.owner_of(names.trash(TRANSACTION)) == TRANSACTION
    assert names.owner_of(names.staged(TRANSACTION, 17)) == TRANSACTION


@pytest.mark.parametrize(
    "name",
    [names.LOCK, names.HOLDER, names.READY, "work-7", "kept-7", TRANSACTION, f"{TRANSACTION}.journal\n",
     f"x{TRANSACTION}.journal", f"{TRANSACTION}.journal.newer", f"{TRANSACTION.upper()}.journal",
     f"trash-{TRANSACTION}-1", f"trash-{TRANSACTION}\n", f"staged-{TRANSACTION}", f"staged-{TRANSACTION}-",
     f"staged-{TRANSACTION}-x", f"kept-{TRANSACTION}", "trash-", ""],
)  # fmt: skip
def test_other_names_belong_to_no_transaction(name: str) -> None:
    """A name that the package does not make is neither a journal nor swept."""
    assert names.journal_of(name) is None
    assert names.owner_of(name) is None
