"""A backup is handed out whole or not at all: single files, and everything as a zip that is made while it is read."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.errors import DirectoryUnusable, InvalidInput, NotFound
from data_pipeline.tasks.backup.archive import archive_name, open_backed_up_file, stream_archive
from data_pipeline.tasks.backup.catalogue import find_backup
from tests.support.tasks import WritingStep, backups_of, make_task, run_complete
from tests.support.waiting import PATIENCE_SECONDS

BACKUP = "file_bak_20240101_120000"

NOISE = random.Random(1).randbytes(400_000)
"""It cannot be compressed, so the first chunks of an archive come while this is being read."""


SWAPS = """
import os, sys
task, place = sys.argv[1:]
os.chdir(task)
print("swapping", flush=True)
while True:
    os.symlink("../secret.bin", "new")
    os.replace("new", place)
    os.link("file", "new")
    os.replace("new", place)
"""
"""Puts a link and the very same file in turn into a place, until it is killed."""


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task with a backup that holds one file and a record."""
    path = make_task(tmp_path / "task_1")
    make_task(path / BACKUP, {"a.ddl": "create table a"}, table_list=None)
    record = {
        "backup_time": "2024-01-01T12:00:00.5", "backup_directory": BACKUP, "moved_files": ["a.ddl"],
        "failed_files": [], "task_id": "task_1",
    }  # fmt: skip
    (path / BACKUP / "backup_info.json").write_text(json.dumps(record))
    return path


def put(task: Path, name: bytes | str, content: bytes = b"x") -> None:
    with open(os.fsencode(task / BACKUP) + b"/" + os.fsencode(name), "wb") as file:
        file.write(content)


def archive_of(task: Path) -> bytes:
    return b"".join(stream_archive(str(task), BACKUP))


def members_of(raw: bytes) -> dict[str, bytes]:
    """The members with their content, by their names below the folder; also sees that the checksums are right."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(set(names)) == len(names)
        assert all(name.startswith(f"{BACKUP}/") for name in names)
        return {name.removeprefix(f"{BACKUP}/"): archive.read(name) for name in names}


def contents_of(raw: bytes, name: str = "archive_contents.json") -> dict[str, dict[str, Any]]:
    """The list of entries in an archive, by printed name."""
    members = members_of(raw)
    assert list(members)[-1] == name
    contents = json.loads(members[name])
    assert contents["backup"] == BACKUP
    return {entry["name"]: entry for entry in contents["entries"]}


def member_of(entries: dict[str, dict[str, Any]], printed: str) -> str:
    member: str = entries[printed]["member"]
    return member.removeprefix(f"{BACKUP}/")


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def unzip(*arguments: str | bytes | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("unzip") is None:
        pytest.skip("there is no command unzip here")
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}  # in any other locale it may spell names in its own way
    return subprocess.run(
        ["unzip", *arguments],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
        timeout=PATIENCE_SECONDS,
    )


# ---- the whole backup -----------------------------------------------------------------------------------------------


def test_archive_holds_every_file_and_the_record_and_lists_them(task: Path) -> None:
    """Nothing is missing, and the list is as the disk."""
    put(task, "empty.md", b"")
    put(task, "noise.bin", NOISE)
    put(task, "数据.json", "中文".encode())
    members = members_of(archive_of(task))
    on_disk = {file.name: file.read_bytes() for file in (task / BACKUP).iterdir()}

    assert {name: content for name, content in members.items() if name != "archive_contents.json"} == on_disk
    entries = contents_of(archive_of(task))
    assert list(entries) == ["a.ddl", "backup_info.json", "empty.md", "noise.bin", "数据.json"]
    modified_at = {file.name: file.modified_at.isoformat() for file in find_backup(str(task), BACKUP).files}
    assert entries["noise.bin"] == {
        "name": "noise.bin",
        "member": f"{BACKUP}/noise.bin",
        "kind": "file",
        "size_bytes": len(NOISE),
        "modified_at": modified_at["noise.bin"],
    }


def test_backup_of_a_real_run_is_packed(tmp_path: Path) -> None:
    """Its record is one of the members, whatever its name had to be."""
    task = make_task(tmp_path / "task_1", {"old.ddl": "old", "backup_info.json": "the user's own"})
    run_complete(task, WritingStep({"t.ddl": "t"}))
    (backup,) = backups_of(task)
    raw = b"".join(stream_archive(str(task), backup.name))

    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        assert archive.read(f"{backup.name}/old.ddl") == b"old"
        assert archive.read(f"{backup.name}/backup_info.json") == b"the user's own"
        assert json.loads(archive.read(f"{backup.name}/backup_info_1.json"))["backup_directory"] == backup.name
        assert sorted(archive.namelist()) == sorted(
            f"{backup.name}/{name}" for name in [*os.listdir(backup), "archive_contents.json"]
        )


def test_unzip_finds_no_fault_and_brings_back_names_contents_and_times(task: Path, tmp_path: Path) -> None:
    """Warnings would be exit code 1."""
    put(task, "noise.bin", NOISE)
    put(task, "-rf", b"dash")
    put(task, "..hidden", b"dots")
    put(task, b"caf\xe9.txt", b"latin")
    put(task, "数据.json", "中文".encode())
    moment = int(time.mktime((2021, 7, 9, 13, 14, 16, 0, 0, -1)))
    os.utime(task / BACKUP / "a.ddl", (moment, moment))
    (tmp_path / "backup.zip").write_bytes(archive_of(task))
    tested = unzip("-t", tmp_path / "backup.zip")
    unpacked = unzip("-q", tmp_path / "backup.zip", "-d", tmp_path / "out")
    folder = tmp_path / "out" / BACKUP

    assert (tested.returncode, unpacked.returncode) == (0, 0), tested.stdout + tested.stderr + unpacked.stderr
    assert (folder / "a.ddl").stat().st_mtime == moment
    assert {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "archive_contents.json"} == {
        "a.ddl": b"create table a", "backup_info.json": (task / BACKUP / "backup_info.json").read_bytes(),
        "noise.bin": NOISE, "-rf": b"dash", "..hidden": b"dots", "caf_xe9.txt": b"latin", "数据.json": "中文".encode(),
    }  # fmt: skip


def test_empty_backup_is_an_archive_with_its_list_alone(task: Path) -> None:
    """Empty is an answer, too."""
    for file in (task / BACKUP).iterdir():
        file.unlink()

    assert list(members_of(archive_of(task))) == ["archive_contents.json"]
    assert contents_of(archive_of(task)) == {}


def test_text_is_compressed_and_comes_in_chunks_of_a_bounded_size(task: Path) -> None:
    """No chunk is empty: some servers take that for the end."""
    put(task, "text.ddl", b"create table orders (id integer primary key);\n" * 20_000)
    put(task, "noise.bin", NOISE)
    chunks = list(stream_archive(str(task), BACKUP))

    assert {len(chunk) for chunk in chunks[:-1]} == {64 * 1024}
    assert 0 < len(chunks[-1]) <= 64 * 1024
    assert sum(map(len, chunks)) < len(NOISE) + 20_000


def test_times_before_and_after_what_a_zip_can_hold_become_its_first_and_last(task: Path) -> None:
    """The list has the true times."""
    put(task, "old.txt")
    put(task, "late.txt")
    os.utime(task / BACKUP / "old.txt", (0, 0))
    os.utime(task / BACKUP / "late.txt", (4_400_000_000, 4_400_000_000))  # in 2109
    raw = archive_of(task)

    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        assert archive.getinfo(f"{BACKUP}/old.txt").date_time == (1980, 1, 1, 0, 0, 0)
        assert archive.getinfo(f"{BACKUP}/late.txt").date_time == (2107, 12, 31, 23, 59, 58)
    assert contents_of(raw)["old.txt"]["modified_at"] == "1970-01-01T00:00:00+00:00"


def test_unknown_backup_is_refused_before_the_first_chunk(task: Path) -> None:
    """The call itself raises, so that a server can still answer with 404."""
    for name in ("file_bak_20240101_120001", "..", "../task_1/" + BACKUP, ""):
        with pytest.raises(NotFound):
            stream_archive(str(task), name)
        with pytest.raises(NotFound):
            open_backed_up_file(str(task), name, "a.ddl")


def test_suggested_name_says_the_task_and_the_backup() -> None:
    """Archives of two tasks may lie in one folder."""
    assert archive_name("task_1", BACKUP) == "task_1_file_bak_20240101_120000.zip"


# ---- names ----------------------------------------------------------------------------------------------------------


def test_names_that_tools_disagree_about_are_changed_and_listed(task: Path) -> None:
    """A backslash is a folder on other systems, even one above; some tools drop control characters."""
    names = [b"caf\xe9.txt", rb"..\..\evil.exe", b"line\nbreak.txt", b"\x1b[31mred", "\u0085.txt".encode()]
    for number, name in enumerate(names):
        put(task, name, str(number).encode())
    raw = archive_of(task)
    members, entries = members_of(raw), contents_of(raw)

    expected = ["caf_xe9.txt", ".._.._evil.exe", "line_break.txt", "_[31mred", "_.txt"]
    assert [members[name] for name in expected] == [b"0", b"1", b"2", b"3", b"4"]
    printed = ["caf\\xe9.txt", "..\\..\\evil.exe", "line\nbreak.txt", "\x1b[31mred", "\u0085.txt"]
    assert [member_of(entries, name) for name in printed] == expected
    assert base64.b64decode(entries["caf\\xe9.txt"]["name_base64"]) == b"caf\xe9.txt"
    assert [name for name, entry in entries.items() if "name_base64" in entry] == ["caf\\xe9.txt"]


def test_names_that_would_collide_stay_apart_and_an_unchanged_name_is_never_taken(task: Path) -> None:
    """The printed forms of the first two are alike; the last has the name that all others would get."""
    names = [b"caf\\xe9.txt", b"caf\xe9.txt", b"caf\x01xe9.txt", b"caf_xe9.txt"]
    for number, name in enumerate(names):
        put(task, name, str(number).encode())
    raw = archive_of(task)
    members = members_of(raw)

    assert members["caf_xe9.txt"] == b"3"
    assert sorted(members[f"caf_xe9_{number}.txt"] for number in (2, 3, 4)) == [b"0", b"1", b"2"]
    listed = json.loads(members["archive_contents.json"])["entries"]
    for entry in listed:
        raw_name = base64.b64decode(entry["name_base64"]) if "name_base64" in entry else entry["name"].encode()
        assert (
            members[entry["member"].removeprefix(f"{BACKUP}/")] == (task / BACKUP / os.fsdecode(raw_name)).read_bytes()
        )


def test_longest_names_keep_a_length_that_a_disk_allows(task: Path, tmp_path: Path) -> None:
    """The printed form of a byte is four characters long, and a number comes on top."""
    long_suffix = b"a." + b"\xff" * 253
    names = [b"\xff" * 251 + b".txt", b"\xff" * 250 + b"\xfe.txt", b"n" * 255, "中".encode() * 85, long_suffix]
    for number, name in enumerate(names):
        put(task, name, str(number).encode())
    members = members_of(archive_of(task))

    assert max(len(name.encode()) for name in members) <= 255
    assert sum(name.endswith(".txt") for name in members) == 2
    assert (members["n" * 255], members["中" * 85]) == (b"2", b"3")
    (tmp_path / "backup.zip").write_bytes(archive_of(task))
    assert unzip("-q", tmp_path / "backup.zip", "-d", tmp_path / "out").returncode == 0
    assert len(os.listdir(tmp_path / "out" / BACKUP)) == len(members)


def test_file_called_like_the_list_keeps_its_name(task: Path) -> None:
    """The list takes the next free one, and is the last member."""
    put(task, "archive_contents.json", b"the user's own")
    put(task, "archive_contents_2.json", b"another")
    raw = archive_of(task)

    assert members_of(raw)["archive_contents.json"] == b"the user's own"
    assert "archive_contents.json" in contents_of(raw, "archive_contents_3.json")


def test_links_directories_and_special_files_are_listed_and_not_followed(task: Path) -> None:
    """What a link leads to is not part of the backup, and a FIFO without a writer does not block."""
    (task / "secret.txt").write_text("secret")
    os.symlink("../secret.txt", task / BACKUP / "link")
    os.symlink("nowhere", task / BACKUP / "broken")
    os.symlink(b"\xff", os.fsencode(task / BACKUP / "odd"))
    os.symlink(".", task / BACKUP / "loop")
    os.mkfifo(task / BACKUP / "fifo")
    (task / BACKUP / "sub").mkdir()
    (task / BACKUP / "sub" / "inner.txt").write_text("inner")
    raw = archive_of(task)
    entries = contents_of(raw)

    assert list(members_of(raw)) == ["a.ddl", "backup_info.json", "archive_contents.json"]
    assert {name: entry["kind"] for name, entry in entries.items() if entry["member"] is None} == {
        "broken": "link", "fifo": "special", "link": "link", "loop": "link", "odd": "link", "sub": "directory",
    }  # fmt: skip
    assert (entries["link"]["link_target"], entries["broken"]["link_target"]) == ("../secret.txt", "nowhere")
    assert (entries["odd"]["link_target"], base64.b64decode(entries["odd"]["link_target_base64"])) == ("\\xff", b"\xff")
    assert "link_target" not in entries["fifo"]
    assert b"secret" not in members_of(raw)["a.ddl"]


# ---- the truth ------------------------------------------------------------------------------------------------------


def append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"#")


def replace_by(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


CHANGES: dict[str, Callable[[Path], None]] = {
    "vanishes": Path.unlink,
    "grows": append,
    "is cut short": cut_short,
    "is overwritten": overwrite,
    "becomes a link": replace_by(lambda path: path.symlink_to("a.ddl")),
    "becomes a FIFO": replace_by(os.mkfifo),
    "becomes a directory": replace_by(Path.mkdir),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["a.ddl", "noise.bin", "z.ddl"])
def test_archive_of_a_backup_that_changes_meanwhile_ends_with_an_error(task: Path, name: str, change: str) -> None:
    """Whether the file had its turn, has it now or still waits: what was read is not taken for a whole archive."""
    put(task, "noise.bin", NOISE)
    put(task, "z.ddl", b"z")
    for file in (task / BACKUP).iterdir():
        os.utime(file, (1_700_000_000, 1_700_000_000))  # else the clock of the disk might not have moved on
    before = open_descriptors()
    chunks = stream_archive(str(task), BACKUP)
    received = [next(chunks)]
    CHANGES[change](task / BACKUP / name)
    with pytest.raises(DirectoryUnusable, match="archive is not complete"):
        received += chunks

    assert not zipfile.is_zipfile(io.BytesIO(b"".join(received)))
    assert open_descriptors() == before


def test_file_that_grows_without_end_does_not_keep_the_archive_going(task: Path) -> None:
    """The error comes at the next piece, not when all of it is read."""
    put(task, "noise.bin", NOISE)
    chunks = stream_archive(str(task), BACKUP)
    next(chunks)
    os.truncate(task / BACKUP / "noise.bin", 1 << 40)
    with pytest.raises(DirectoryUnusable, match=r"noise\.bin was changed"):
        next(chunks)


def test_file_that_is_another_one_during_its_turn_alone_ends_the_archive(task: Path) -> None:
    """At the end everything is as it was, and the archive would hold the other one."""
    put(task, "b.bin", NOISE)
    put(task, "c.ddl", b"c")
    put(task, "d.bin", NOISE)
    chunks = stream_archive(str(task), BACKUP)
    next(chunks)
    (task / BACKUP / "c.ddl").rename(task / "c.ddl")
    put(task, "c.ddl", b"another")
    with pytest.raises(DirectoryUnusable, match=r"c\.ddl was changed"):
        for number, _ in enumerate(chunks):
            if number == 7:  # d.bin is being read
                (task / "c.ddl").rename(task / BACKUP / "c.ddl")


def test_link_that_takes_the_place_of_a_file_at_any_moment_is_not_followed(task: Path) -> None:
    """Another process swaps them as fast as it can; what the link leads to never shows."""
    secret = random.Random(2).randbytes(50_000)
    (task / "secret.bin").write_bytes(secret)
    (task / "file").hardlink_to(task / BACKUP / "a.ddl")
    swapper = subprocess.Popen([sys.executable, "-c", SWAPS, task, task / BACKUP / "a.ddl"], stdout=subprocess.PIPE)
    try:
        assert swapper.stdout is not None
        assert swapper.stdout.readline() == b"swapping\n"
        for _ in range(1_200):
            received = bytearray()
            with contextlib.suppress(DirectoryUnusable):
                for chunk in stream_archive(str(task), BACKUP):
                    received += chunk
            assert secret[20_000:20_100] not in received  # what cannot be compressed is stored as it is
    finally:
        swapper.kill()
        swapper.communicate()


def test_error_names_the_file_and_the_reason_in_one_message(task: Path) -> None:
    """A name that is not UTF-8 can be printed and logged, too."""
    put(task, b"z\xff.ddl")
    chunks = stream_archive(str(task), BACKUP)
    os.unlink(os.fsencode(task / BACKUP) + b"/z\xff.ddl")
    with pytest.raises(DirectoryUnusable) as raised:
        list(chunks)

    str(raised.value).encode()
    assert f"{BACKUP}/z\\xff.ddl cannot be read (No such file or directory). Download it again" in str(raised.value)


@pytest.mark.parametrize("kind", ["file", "record", "link", "directory"])
def test_entry_that_appears_meanwhile_is_not_silently_missing(task: Path, kind: str) -> None:
    """The list is compared at the end, as a backup that is being made gains files."""
    chunks = stream_archive(str(task), BACKUP)
    new = task / BACKUP / ("backup_info_1.json" if kind == "record" else "b.ddl")
    if kind == "link":
        new.symlink_to("a.ddl")
    elif kind == "directory":
        new.mkdir()
    else:
        new.write_text("new")
    with pytest.raises(DirectoryUnusable, match=f"{BACKUP} was changed"):
        list(chunks)


@pytest.mark.parametrize("is_empty", [True, False])
def test_backup_that_is_removed_meanwhile_ends_with_an_error(task: Path, is_empty: bool) -> None:
    """An empty one has no file that could be missed."""
    if is_empty:
        (task / BACKUP / "a.ddl").unlink()
        (task / BACKUP / "backup_info.json").unlink()
    chunks = stream_archive(str(task), BACKUP)
    shutil.rmtree(task / BACKUP)
    with pytest.raises(DirectoryUnusable, match="archive is not complete"):
        list(chunks)


def test_link_that_vanishes_meanwhile_ends_with_an_error(task: Path) -> None:
    """Its target was still to be listed."""
    (task / BACKUP / "link").symlink_to("a.ddl")
    chunks = stream_archive(str(task), BACKUP)
    (task / BACKUP / "link").unlink()
    with pytest.raises(DirectoryUnusable, match=r"link cannot be read \(No such file or directory\)"):
        list(chunks)


def test_what_happens_in_a_directory_or_a_fifo_of_the_backup_is_not_its_change(task: Path) -> None:
    """They are not in the archive, so their times do not matter."""
    (task / BACKUP / "sub").mkdir()
    chunks = stream_archive(str(task), BACKUP)
    (task / BACKUP / "sub" / "new.txt").write_text("new")

    assert list(members_of(b"".join(chunks))) == ["a.ddl", "backup_info.json", "archive_contents.json"]


def test_unreadable_file_ends_the_archive_and_is_named(task: Path) -> None:
    """Left out, it would be missed only when it is needed."""
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (task / BACKUP / "a.ddl").chmod(0)
    with pytest.raises(DirectoryUnusable, match=r"a\.ddl cannot be read \(Permission denied\)"):
        list(stream_archive(str(task), BACKUP))
    with pytest.raises(DirectoryUnusable, match=r"a\.ddl cannot be read \(Permission denied\)"):
        open_backed_up_file(str(task), BACKUP, "a.ddl")


# ---- what it takes --------------------------------------------------------------------------------------------------


def test_reader_that_leaves_leaves_no_file_open(task: Path) -> None:
    """Before the first chunk, within a file, and at the end."""
    put(task, "noise.bin", NOISE)
    before = open_descriptors()
    for read in (0, 1, 3):
        chunks = stream_archive(str(task), BACKUP)
        for _ in range(read):
            next(chunks)
        assert open_descriptors() - before <= 2
        chunks.close()
        assert open_descriptors() == before
    assert len(list(stream_archive(str(task), BACKUP))) > 3
    assert open_descriptors() == before


def test_many_files_are_open_one_after_the_other(task: Path) -> None:
    """A backup may hold more files than a process may open."""
    for number in range(60):
        put(task, f"{number:02}.bin", NOISE[:70_000])
    before = open_descriptors()

    assert max(open_descriptors() - before for _ in stream_archive(str(task), BACKUP)) <= 2


def test_large_file_takes_no_more_memory_than_a_small_one(task: Path) -> None:
    """200 MB go through a few buffers."""
    put(task, "large.bin", b"")
    os.truncate(task / BACKUP / "large.bin", 200_000_000)
    tracemalloc.start()
    try:
        size = sum(len(chunk) for chunk in stream_archive(str(task), BACKUP))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert 0 < size < 1_000_000
    assert peak < 4_000_000


# ---- single files ---------------------------------------------------------------------------------------------------


def test_single_file_is_opened_by_its_name_or_by_its_printed_name(task: Path) -> None:
    """What `backups show` prints can be given back; the record, too."""
    put(task, b"caf\xe9.txt", b"latin")
    for name, content in {
        "a.ddl": b"create table a",
        os.fsdecode(b"caf\xe9.txt"): b"latin",
        "caf\\xe9.txt": b"latin",
        "backup_info.json": (task / BACKUP / "backup_info.json").read_bytes(),
    }.items():
        with open_backed_up_file(str(task), BACKUP, name) as file:
            assert file.read() == content


def test_name_that_is_there_wins_over_a_printed_name_that_is_alike(task: Path) -> None:
    """Its bytes are what was asked for."""
    put(task, b"caf\xe9.txt", b"latin")
    put(task, "caf\\xe9.txt", b"backslash")

    with open_backed_up_file(str(task), BACKUP, "caf\\xe9.txt") as file:
        assert file.read() == b"backslash"


def test_printed_name_of_two_files_is_refused(task: Path) -> None:
    """None of them is guessed."""
    put(task, b"\\xe9\xe9")
    put(task, b"\xe9\\xe9")

    with pytest.raises(InvalidInput, match="printed form of 2 names"):
        open_backed_up_file(str(task), BACKUP, "\\xe9\\xe9")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../table_list.txt", "/etc/passwd", "sub/inner.txt", "A.DDL", "a.ddl\0", "x" * 5000]
)
def test_name_that_is_no_entry_is_not_found(task: Path, name: str) -> None:
    """Names are compared and never become paths; the message stays short."""
    (task / BACKUP / "sub").mkdir()
    (task / BACKUP / "sub" / "inner.txt").write_text("inner")
    with pytest.raises(NotFound) as raised:
        open_backed_up_file(str(task), BACKUP, name)

    assert len(str(raised.value)) < 1000
    assert "backups show" in str(raised.value)


def test_other_kinds_of_entries_are_refused_by_their_kind(task: Path) -> None:
    """A link is not followed, and no reader waits for a FIFO."""
    os.symlink("a.ddl", task / BACKUP / "link")
    os.mkfifo(task / BACKUP / "fifo")
    (task / BACKUP / "sub").mkdir()
    kinds = {"link": "a symbolic link", "fifo": "a special file", "sub": "a directory"}
    for name, kind in kinds.items():
        with pytest.raises(InvalidInput, match=f"{name} is {kind}, not a regular file"):
            open_backed_up_file(str(task), BACKUP, name)
