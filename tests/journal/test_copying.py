"""Copies keep holes, share blocks where the disk can, and never fill the disk."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import shutil
import stat
import tempfile
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from journal import copying
from journal.copying import CHUNK_BYTES, KERNEL_CHUNK_BYTES, RESERVED_BYTES, copy_content
from journal.filesystem import Directory, LocalFilesystem
from tests.journal.test_filesystem import Instead

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30
MEMORY = "/dev/shm"

Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - as shutil has it

real_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to another owner")


def put_instead(monkeypatch: pytest.MonkeyPatch, name: str, **replaced: object) -> None:
    """Replace names of a module, for `journal.copying` alone."""
    monkeypatch.setattr(copying, name, Instead(getattr(copying, name), **replaced))


def on_each_look(monkeypatch: pytest.MonkeyPatch, *happens: Callable[[], object], free: int = 1 << 50) -> None:
    """Run an action at each check of the free space; later checks repeat the last action."""
    events = itertools.chain(happens, itertools.repeat(happens[-1]))

    def disk_usage(place: object) -> Usage:
        found = next(events)()
        return found if isinstance(found, Usage) else Usage(1 << 50, 0, free)

    put_instead(monkeypatch, "shutil", disk_usage=disk_usage)


@pytest.fixture(params=["disk", "memory"])
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory on the disk of the tests, and one in memory."""
    if request.param == "disk":
        yield tmp_path
        return
    if not os.path.isdir(MEMORY) or not os.access(MEMORY, os.W_OK):
        pytest.skip(f"{MEMORY} is not there")
    with tempfile.TemporaryDirectory(dir=MEMORY) as path:
        yield Path(path)


@pytest.fixture(params=[True, False], ids=["by-kernel", "by-hand"])
def by_kernel(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def no_sharing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the disk refuse to share blocks."""
    put_instead(monkeypatch, "sys", platform="elsewhere")


def copied(path: Path, *, by_kernel: bool = True) -> Path:
    """Copy the file under a name beside it."""
    with open(path, "rb") as source, open(path.with_name("copy"), "xb") as target:
        copy_content(source, target, str(path.parent), by_kernel=by_kernel)
    return path.with_name("copy")


def make_sparse(path: Path, size: int, *pieces: tuple[int, bytes]) -> Path:
    """Write a file with these pieces of data, and holes; skip the test where there are no holes."""
    with open(path, "wb") as file:
        file.truncate(size)
        for offset, data in pieces:
            file.seek(offset)
            file.write(data)
    if allocated(path) >= size:
        pytest.skip("this file system keeps no holes")
    return path


def allocated(path: Path) -> int:
    return os.stat(path).st_blocks * 512


# ---- content ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES + 1, KERNEL_CHUNK_BYTES, KERNEL_CHUNK_BYTES + 1])
def test_copy_has_every_byte_and_no_more(here: Path, size: int, *, by_kernel: bool) -> None:
    """No matter in which pieces it is copied."""
    path = here / "file"
    path.write_bytes(bytes(range(251)) * (size // 251) + b"x" * (size % 251))

    assert copied(path, by_kernel=by_kernel).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize(
    "pieces",
    [
        (),
        ((0, b"first"),),
        ((20 * MEBIBYTE - 4, b"last"),),
        ((MEBIBYTE, b"x" * 9 * MEBIBYTE), (15 * MEBIBYTE, b"y")),
    ],
    ids=["nothing-but-a-hole", "hole-at-the-end", "hole-at-the-start", "holes-between"],
)
def test_copy_of_a_sparse_file_keeps_content_and_holes(
    here: Path, request: pytest.FixtureRequest, pieces: tuple[tuple[int, bytes], ...], *, shares: bool
) -> None:
    """With shared blocks and without them."""
    if not shares:
        request.getfixturevalue("no_sharing")
    path = make_sparse(here / "file", 20 * MEBIBYTE, *pieces)

    copy = copied(path)

    assert copy.read_bytes() == path.read_bytes()
    assert allocated(copy) <= allocated(path) + 64 * 1024


def test_sparse_file_of_ten_gibibytes_is_copied_without_reading_its_holes(here: Path) -> None:
    """It needs no more space than its data has."""
    path = make_sparse(here / "file", 10 * GIBIBYTE, (5 * GIBIBYTE, b"middle"))

    copy = copied(path)

    assert copy.stat().st_size == 10 * GIBIBYTE
    assert allocated(copy) <= MEBIBYTE
    with open(copy, "rb") as file:
        file.seek(5 * GIBIBYTE)
        assert file.read(7) == b"middle\0"


def test_content_of_a_file_with_a_reported_size_of_zero_is_copied(tmp_path: Path) -> None:
    """Some file systems report 0 for files that have content."""
    path = Path("/proc/version")
    if not path.is_file():
        pytest.skip("there is no /proc here")
    with open(path, "rb") as source, open(tmp_path / "copy", "xb") as target:
        copy_content(source, target, str(tmp_path), by_kernel=True)

    assert (tmp_path / "copy").read_bytes() == path.read_bytes() != b""


def test_bytes_that_are_appended_during_the_copy_are_copied_too(
    here: Path, monkeypatch: pytest.MonkeyPatch, *, by_kernel: bool
) -> None:
    """A log goes on growing; the copy is a prefix of it in any case."""
    path = here / "log"
    path.write_bytes(b"a" * MEBIBYTE)

    def append() -> None:
        if path.stat().st_size < 2 * MEBIBYTE:
            with open(path, "ab") as file:
                file.write(b"b" * MEBIBYTE)

    on_each_look(monkeypatch, append)
    put_instead(monkeypatch, "sys", platform="elsewhere")

    assert copied(path, by_kernel=by_kernel).read_bytes() == b"a" * MEBIBYTE + b"b" * MEBIBYTE


def test_copy_of_a_file_that_is_cut_meanwhile_has_its_remaining_bytes(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is not padded with zeros."""
    path = here / "log"
    path.write_bytes(b"a" * 20 * MEBIBYTE)
    on_each_look(monkeypatch, lambda: os.truncate(path, MEBIBYTE))
    put_instead(monkeypatch, "sys", platform="elsewhere")

    assert copied(path).read_bytes() == b"a" * MEBIBYTE


# ---- kernels and file systems that offer less ---------------------------------------------------------------------


def failing(number: int) -> Callable[..., int]:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", sorted(copying.NOT_OFFERED))
@pytest.mark.usefixtures("no_sharing")
def test_where_the_kernel_does_not_copy_the_content_is_read_and_written(
    here: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """An old kernel, two file systems, a swap file: the copy is the same."""
    path = make_sparse(here / "file", 20 * MEBIBYTE, (MEBIBYTE, b"x" * 3 * MEBIBYTE))
    put_instead(monkeypatch, "os", copy_file_range=failing(number))

    copy = copied(path)

    assert copy.read_bytes() == path.read_bytes()
    assert allocated(copy) < 20 * MEBIBYTE


@pytest.mark.usefixtures("no_sharing")
def test_copy_goes_on_if_the_kernel_copies_nothing_before_the_end(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems return 0 before the end of the file."""
    path = here / "file"
    path.write_bytes(b"x" * 3 * MEBIBYTE)
    put_instead(monkeypatch, "os", copy_file_range=lambda *_: 0)

    assert copied(path).read_bytes() == path.read_bytes()


@pytest.mark.usefixtures("no_sharing")
def test_platform_without_copy_file_range_reads_and_writes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MacOS has none."""
    path = here / "file"
    path.write_bytes(b"x" * 3 * MEBIBYTE)
    calls = {name: getattr(os, name) for name in dir(os) if name != "copy_file_range"}
    monkeypatch.setattr(copying, "os", SimpleNamespace(**calls))

    assert copied(path).read_bytes() == path.read_bytes()


@pytest.mark.usefixtures("no_sharing")
def test_partial_write_is_continued(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel may write less than it was given."""
    path = here / "file"
    path.write_bytes(bytes(range(256)) * 64)
    put_instead(
        monkeypatch,
        "os",
        copy_file_range=failing(errno.ENOSYS),
        pwrite=lambda fd, data, offset: os.pwrite(fd, data[:1000], offset),
    )

    assert copied(path).read_bytes() == path.read_bytes()


@pytest.mark.usefixtures("no_sharing")
def test_file_is_copied_whole_where_holes_are_not_reported(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole file counts as data."""
    path = make_sparse(here / "file", 20 * MEBIBYTE, (MEBIBYTE, b"data"))
    put_instead(monkeypatch, "os", lseek=failing(errno.EINVAL))

    assert copied(path).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("call", ["lseek", "copy_file_range"])
@pytest.mark.usefixtures("no_sharing")
def test_error_of_the_disk_is_not_treated_as_a_missing_feature(
    here: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """EIO is raised, not worked around."""
    path = make_sparse(here / "file", 20 * MEBIBYTE, (MEBIBYTE, b"data"))
    put_instead(monkeypatch, "os", **{call: failing(errno.EIO)})

    with pytest.raises(OSError, match="Input/output error"):
        copied(path)


def test_shared_blocks_are_checked_by_the_size_of_the_copy(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system in user space may report success for any request."""
    path = here / "file"
    path.write_bytes(b"content")
    monkeypatch.setattr(fcntl, "ioctl", lambda *_: 0)

    assert copied(path).read_bytes() == b"content"


def test_shared_blocks_need_no_space(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sharing is tried before the free space is checked."""
    path = here / "file"
    path.write_bytes(b"content")

    def share(target: int, request: int, source: int) -> int:
        return os.write(target, os.pread(source, 100, 0))

    monkeypatch.setattr(fcntl, "ioctl", share)
    on_each_look(monkeypatch, lambda: Usage(GIBIBYTE, GIBIBYTE, 0))

    assert copied(path).read_bytes() == b"content"


# ---- space ------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(here: Path, by_kernel: bool) -> Iterator[tuple[LocalFilesystem, Directory]]:
    """A door that copies by the kernel or by hand, and a directory with a file of 20 MiB."""
    door = LocalFilesystem(by_descriptor=by_kernel)
    (here / "file").write_bytes(b"x" * 20 * MEBIBYTE)
    directory = door.open_directory(str(here))
    yield door, directory
    door.close(directory)


@pytest.mark.parametrize(
    ("total", "reserved", "words"),
    [
        (100 * GIBIBYTE, RESERVED_BYTES, "20.0 MiB needed, 83.0 MiB free, of which 64.0 MiB stay reserved"),
        (200 * MEBIBYTE, 10 * MEBIBYTE, "20.0 MiB needed, 29.0 MiB free, of which 10.0 MiB stay reserved"),
    ],
    ids=["large-disk", "small-disk"],
)
@pytest.mark.usefixtures("no_sharing")
def test_copy_that_would_use_the_reserve_is_refused_and_leaves_nothing(
    disk: tuple[LocalFilesystem, Directory],
    monkeypatch: pytest.MonkeyPatch,
    total: int,
    reserved: int,
    words: str,
) -> None:
    """With one MiB too little the error has the needed, the free and the reserved space; with that MiB it is copied."""
    door, here = disk
    enough = 20 * MEBIBYTE + reserved
    on_each_look(monkeypatch, lambda: Usage(total, 0, enough - MEBIBYTE))

    with pytest.raises(OSError, match="free some space on this disk") as error:
        door.copy(here, "file", here, "copy")

    assert error.value.errno == errno.ENOSPC
    assert words in str(error.value)
    assert os.listdir(here.path) == ["file"]

    on_each_look(monkeypatch, lambda: Usage(total, 0, enough))
    door.copy(here, "file", here, "copy")

    assert sorted(os.listdir(here.path)) == ["copy", "file"]


@pytest.mark.usefixtures("no_sharing")
def test_space_that_other_processes_use_during_the_copy_ends_it(
    disk: tuple[LocalFilesystem, Directory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The free space is checked before each piece; no part of the copy is left."""
    door, here = disk
    looks: list[int] = []

    def look() -> Usage:
        looks.append(len(os.listdir(here.path)))
        return Usage(100 * GIBIBYTE, 0, GIBIBYTE if len(looks) < 3 else RESERVED_BYTES)

    on_each_look(monkeypatch, look)

    with pytest.raises(OSError, match="not enough space"):
        door.copy(here, "file", here, "copy")

    assert looks == [2, 2, 2]
    assert os.listdir(here.path) == ["file"]


@pytest.mark.usefixtures("no_sharing")
def test_copy_needs_only_the_allocated_size_of_a_sparse_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 10 GiB with one block of data fits on a disk with 65 MiB free."""
    path = make_sparse(tmp_path / "file", 10 * GIBIBYTE, (0, b"data"))
    on_each_look(monkeypatch, lambda: Usage(100 * GIBIBYTE, 0, 65 * MEBIBYTE))

    assert copied(path).stat().st_size == 10 * GIBIBYTE


def test_file_without_content_is_copied_onto_a_full_disk(
    here: Path, monkeypatch: pytest.MonkeyPatch, *, by_kernel: bool
) -> None:
    """It needs no space."""
    (here / "file").touch()
    on_each_look(monkeypatch, lambda: Usage(GIBIBYTE, GIBIBYTE, 0))

    assert copied(here / "file", by_kernel=by_kernel).stat().st_size == 0


@pytest.mark.usefixtures("no_sharing")
def test_disk_that_reports_no_size_is_not_treated_as_full(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems report 0 of 0 bytes."""
    (here / "file").write_bytes(b"content")
    on_each_look(monkeypatch, lambda: Usage(0, 0, 0))

    assert copied(here / "file").read_bytes() == b"content"


# ---- what is left, and whose it is --------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "the disk is dying")])
@pytest.mark.usefixtures("no_sharing")
def test_failed_copy_leaves_no_file_and_no_open_descriptor(
    disk: tuple[LocalFilesystem, Directory], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """No matter why it failed."""
    door, here = disk
    free_before = os.open(os.devnull, os.O_RDONLY)
    os.close(free_before)

    def end() -> None:
        raise error

    on_each_look(monkeypatch, end)
    with pytest.raises(type(error)):
        door.copy(here, "file", here, "copy")

    assert os.listdir(here.path) == ["file"]
    free_after = os.open(os.devnull, os.O_RDONLY)
    os.close(free_after)
    assert free_after == free_before


@pytest.mark.usefixtures("no_sharing")
def test_part_of_a_copy_that_cannot_be_removed_does_not_hide_the_first_error(
    disk: tuple[LocalFilesystem, Directory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first error is the cause."""
    door, here = disk
    on_each_look(monkeypatch, lambda: Usage(GIBIBYTE, 0, 0))
    monkeypatch.setattr(door, "unlink", failing(errno.EROFS))

    with pytest.raises(OSError, match="not enough space"):
        door.copy(here, "file", here, "copy")


@real_root
@pytest.mark.parametrize("owner", [0, 4711])
def test_set_user_id_is_copied_only_between_files_of_one_owner(tmp_path: Path, owner: int) -> None:
    """A copy that root makes of a user's set-user-ID program must not run as root."""
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", owner, os.getegid())
    os.chmod(tmp_path / "file", 0o6755)
    door = LocalFilesystem()
    here = door.open_directory(str(tmp_path))

    door.copy(here, "file", here, "copy")

    assert stat.S_IMODE(os.stat(tmp_path / "copy").st_mode) == (0o6755 if owner == 0 else 0o755)

    door.close(here)


def test_real_disk_is_asked_for_its_free_space(tmp_path: Path) -> None:
    """A copy larger than any disk is refused."""
    free = shutil.disk_usage(tmp_path).free
    room = copying._Room(str(tmp_path), 0)

    with pytest.raises(OSError, match="not enough space"):
        room.take(free)
