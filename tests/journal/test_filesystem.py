"""The real door to the disk, with names used through descriptors and by path, on real files of every kind."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

import journal.filesystem as door
from journal.filesystem import (
    NO_HARD_LINK,
    SCAN_FROM,
    Directory,
    LocalFilesystem,
    Rename,
    observe,
    open_lock_file,
    platform_rename,
    rename_by_placeholder,
    share_like,
)
from journal.values import Identity, Type

ODD_NAMES = {
    "undecodable": os.fsdecode(b"r\xe9sum\xe9\xff.md"),
    "newline": "two\nlines",
    "255-bytes": "n" * 255,
    "255-bytes-in-UTF-8": "é" * 127 + "e",
    "quotes": "'\"\\`$(rm -rf)",
    "right-to-left": "\u202e\u0645\u0631\u062d\u0628\u0627.txt",
    "leading-dash": "-rf",
    "spaces": "  ",
    "leading-dots": "...",
    "escape": "\x1b[31mred",
}

real_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to another owner")


class Instead:
    """A module with some names replaced; put it into the module under test, not into `sys`."""

    def __init__(self, module: Any, **replaced: Any) -> None:
        self.__dict__.update(replaced)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def put_instead(monkeypatch: pytest.MonkeyPatch, module: Any, **replaced: Any) -> None:
    """Replace names of a module, for the door alone."""
    monkeypatch.setattr(door, module.__name__, Instead(module, **replaced))


@pytest.fixture(params=[True, False], ids=["by-descriptor", "by-path"])
def by_descriptor(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def disk(by_descriptor: bool) -> LocalFilesystem:
    return LocalFilesystem(by_descriptor=by_descriptor)


@pytest.fixture
def here(disk: LocalFilesystem, tmp_path: Path) -> Iterator[Directory]:
    """An open directory, for one-directory tests and as the source of moves."""
    yield from opened(disk, tmp_path / "here")


@pytest.fixture
def there(disk: LocalFilesystem, tmp_path: Path) -> Iterator[Directory]:
    """Another open directory, the target of moves."""
    yield from opened(disk, tmp_path / "there")


def opened(disk: LocalFilesystem, path: Path) -> Iterator[Directory]:
    path.mkdir()
    directory = disk.open_directory(str(path))
    yield directory
    disk.close(directory)


def path_in(directory: Directory, name: str) -> Path:
    return Path(directory.path, name)


def names_in(directory: Directory) -> set[str]:
    return set(os.listdir(directory.path))


def inode_of(path: Path) -> int:
    return os.lstat(path).st_ino


# ---- one entry of every kind ------------------------------------------------------------------------------------


def make_file(path: Path) -> None:
    path.write_bytes(b"content")


def make_live_link(path: Path) -> None:
    target = path.parent.parent / "target-file"
    target.write_bytes(b"target")
    path.symlink_to(target)


def make_dangling_link(path: Path) -> None:
    path.symlink_to(path.parent.parent / "nowhere")


def make_link_to_directory(path: Path) -> None:
    target = path.parent.parent / "target-directory"
    target.mkdir()
    (target / "inside").write_bytes(b"inside")
    path.symlink_to(target)


def make_socket(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


class Kind(NamedTuple):
    """A kind of directory entry: how to make one, and the word for its type."""

    make: Callable[[Path], None]
    type: Type


KINDS = {
    "file": Kind(make_file, "file"),
    "live-link": Kind(make_live_link, "symlink"),
    "dangling-link": Kind(make_dangling_link, "symlink"),
    "link-to-directory": Kind(make_link_to_directory, "symlink"),
    "fifo": Kind(os.mkfifo, "fifo"),
    "socket": Kind(make_socket, "socket"),
    "directory": Kind(os.mkdir, "directory"),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of entry in turn."""
    return KINDS[request.param]


@pytest.fixture(params=[name for name in KINDS if name != "directory"])
def leaf(request: pytest.FixtureRequest) -> Kind:
    """Each kind of entry but directories."""
    return KINDS[request.param]


each_odd_name = pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES)


def is_unharmed(path: Path, kind: str, inode: int) -> bool:
    """True if the entry is unchanged: links were not followed, files have their content."""
    if inode_of(path) != inode:
        return False
    return path.read_bytes() == b"content" if kind == "file" else True


# ---- opening directories ----------------------------------------------------------------------------------------


def test_opened_directory_has_its_path_and_inode(disk: LocalFilesystem, tmp_path: Path) -> None:
    """A journal announces the inode of a directory."""
    directory = disk.open_directory(str(tmp_path))

    assert (directory.path, directory.inode) == (str(tmp_path), inode_of(tmp_path))

    disk.close(directory)


def test_opened_subdirectory_has_its_path_and_inode(disk: LocalFilesystem, here: Directory) -> None:
    """A subdirectory is opened relative to its parent and reports the whole path."""
    path_in(here, "sub").mkdir()

    directory = disk.open_subdirectory(here, "sub")

    assert (directory.path, directory.inode) == (f"{here.path}/sub", inode_of(path_in(here, "sub")))

    disk.close(directory)


def test_on_this_platform_names_are_used_through_descriptors(tmp_path: Path) -> None:
    """No process can redirect a name by renaming or linking a directory above it."""
    disk = LocalFilesystem()
    directory = disk.open_directory(str(tmp_path))

    assert directory.fd is not None
    assert directory.at("name") == "name"

    disk.close(directory)


def test_where_names_are_used_by_path_no_descriptor_is_kept(tmp_path: Path) -> None:
    """Windows cannot open directories; there each name goes by its whole path."""
    directory = LocalFilesystem(by_descriptor=False).open_directory(str(tmp_path))

    assert directory.fd is None
    assert directory.at("name") == str(tmp_path / "name")


def test_open_directory_stays_the_same_one_when_its_name_is_given_to_another(tmp_path: Path) -> None:
    """I5: through a descriptor, names are looked up in the directory that was opened, not in its successor."""
    disk = LocalFilesystem(by_descriptor=True)
    path = tmp_path / "task"
    path.mkdir()
    directory = disk.open_directory(str(path))
    path.rename(tmp_path / "moved")
    path.mkdir()
    (path / "stranger").write_bytes(b"")

    disk.create(directory, "ours", [b"content"])

    assert [name for name, _ in disk.scan(directory)] == ["ours"]
    assert (tmp_path / "moved" / "ours").read_bytes() == b"content"
    assert os.listdir(path) == ["stranger"]

    disk.close(directory)


def test_opening_a_missing_directory_raises_file_not_found(disk: LocalFilesystem, here: Directory) -> None:
    """The caller distinguishes a missing directory from one that cannot be opened."""
    with pytest.raises(FileNotFoundError):
        disk.open_directory(f"{here.path}/missing")
    with pytest.raises(FileNotFoundError):
        disk.open_subdirectory(here, "missing")


def test_opening_an_entry_that_is_not_a_directory_is_refused(
    disk: LocalFilesystem, here: Directory, leaf: Kind
) -> None:
    """A symbolic link to a directory is not a directory, and a FIFO does not make the caller wait for a writer."""
    leaf.make(path_in(here, "entry"))

    with pytest.raises(OSError, match=r"entry") as of_path:
        disk.open_directory(f"{here.path}/entry")
    with pytest.raises(OSError, match=r"entry") as of_name:
        disk.open_subdirectory(here, "entry")

    assert {of_path.value.errno, of_name.value.errno} <= {errno.ENOTDIR, errno.ELOOP}


def test_closing_a_directory_twice_does_not_close_a_strangers_descriptor(tmp_path: Path) -> None:
    """The number of a closed descriptor is soon used for another file."""
    disk = LocalFilesystem(by_descriptor=True)
    directory = disk.open_directory(str(tmp_path))
    number = directory.fd
    disk.close(directory)
    reused = os.open(tmp_path, os.O_RDONLY)

    disk.close(directory)

    assert number == reused
    assert os.fstat(reused).st_ino == inode_of(tmp_path)

    os.close(reused)


# ---- looking ----------------------------------------------------------------------------------------------------


def test_look_returns_the_identity_of_an_entry_without_following_it(
    disk: LocalFilesystem, here: Directory, kind: Kind
) -> None:
    """A name is an inode and a type, with size and mtime; a symbolic link is a link."""
    kind.make(path_in(here, "entry"))
    found = os.lstat(path_in(here, "entry"))

    assert disk.look(here, "entry") == Identity(found.st_ino, kind.type, found.st_size, found.st_mtime_ns)


def test_look_at_a_free_name_gives_none(disk: LocalFilesystem, here: Directory) -> None:
    """A free name is not an error."""
    assert disk.look(here, "free") is None


def test_look_at_an_impossible_name_is_an_error(disk: LocalFilesystem, here: Directory) -> None:
    """A name that is too long is not a free one."""
    with pytest.raises(OSError, match=r"nnn") as error:
        disk.look(here, "n" * 256)

    assert error.value.errno == errno.ENAMETOOLONG


def test_scan_gives_the_identities_of_look_without_size_and_time(
    disk: LocalFilesystem, here: Directory, kind: Kind
) -> None:
    """One pass over the directory costs no system call an entry, so it gives inode and type only."""
    kind.make(path_in(here, "entry"))

    assert list(disk.scan(here)) == [("entry", Identity(inode_of(path_in(here, "entry")), kind.type))]


def test_scan_gives_every_entry_once(disk: LocalFilesystem, here: Directory) -> None:
    """Hidden files are entries; . and .. are not."""
    names = {f"file-{number}" for number in range(200)} | {".hidden"}
    for name in names:
        path_in(here, name).touch()

    scanned = [name for name, _ in disk.scan(here)]

    assert sorted(scanned) == sorted(names)


def test_scan_can_be_repeated(disk: LocalFilesystem, here: Directory) -> None:
    """A directory's descriptor has a position; each scan starts anew."""
    path_in(here, "entry").touch()

    assert list(disk.scan(here)) == list(disk.scan(here)) != []


def test_scan_of_inodes_gives_names_and_inodes_of_entries_of_any_kind(
    disk: LocalFilesystem, here: Directory, kind: Kind
) -> None:
    """Where the type does not matter, not even links and FIFOs need a look of their own."""
    kind.make(path_in(here, "entry"))
    make_file(path_in(here, ".hidden"))

    scanned = list(disk.scan_inodes(here))

    assert sorted(scanned) == [(name, inode_of(path_in(here, name))) for name in (".hidden", "entry")]


@pytest.mark.parametrize("scan", [LocalFilesystem.scan, LocalFilesystem.scan_inodes])
def test_scan_sees_changes_since_the_directory_was_opened(
    disk: LocalFilesystem, here: Directory, scan: Callable[[LocalFilesystem, Directory], Iterator[tuple[str, object]]]
) -> None:
    """Each scan uses a new descriptor, because some file systems show the entries of the time when it was opened."""
    seen = []
    for name in ("one", "two"):
        path_in(here, name).touch()
        seen.append({name for name, _ in scan(disk, here)})
    path_in(here, "one").unlink()
    seen.append({name for name, _ in scan(disk, here)})

    assert seen == [{"one"}, {"one", "two"}, {"two"}]


@pytest.mark.parametrize("scan", [LocalFilesystem.scan, LocalFilesystem.scan_inodes])
def test_scans_at_the_same_time_do_not_disturb_each_other(
    disk: LocalFilesystem, here: Directory, scan: Callable[[LocalFilesystem, Directory], Iterator[tuple[str, object]]]
) -> None:
    """Two passes have two positions, also in one open directory."""
    names = [f"file-{number}" for number in range(50)]
    for name in names:
        path_in(here, name).touch()

    together = list(zip(scan(disk, here), scan(disk, here), strict=True))

    assert sorted(first for (first, _), _ in together) == sorted(names)
    assert sorted(second for _, (second, _) in together) == sorted(names)


def test_scan_of_an_empty_directory_gives_nothing(disk: LocalFilesystem, here: Directory) -> None:
    """Recovery removes a new directory only if it is empty."""
    assert list(disk.scan(here)) == []


def test_entry_that_disappears_during_a_scan_is_left_out(disk: LocalFilesystem, here: Directory) -> None:
    """A FIFO needs a separate look; if it was removed by then, it is skipped."""
    for name in ("one", "two"):
        os.mkfifo(path_in(here, name))
    scan = disk.scan(here)
    first, _ = next(scan)
    path_in(here, "two" if first == "one" else "one").unlink()

    assert list(scan) == []


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        (stat.S_IFREG, "file"),
        (stat.S_IFDIR, "directory"),
        (stat.S_IFLNK, "symlink"),
        (stat.S_IFIFO, "fifo"),
        (stat.S_IFSOCK, "socket"),
        (stat.S_IFBLK, "block"),
        (stat.S_IFCHR, "character"),
        (0o160000, "file"),
    ],
)
def test_each_file_type_of_the_kernel_has_its_word(mode: int, kind: str) -> None:
    """An unknown type is moved like a file."""
    assert door._type_of(mode | 0o644) == kind


def test_device_is_seen_as_a_device_by_look_and_scan(disk: LocalFilesystem) -> None:
    """Device nodes are moved like any entry and never opened."""
    devices = disk.open_directory(os.path.dirname(os.devnull))
    name = os.path.basename(os.devnull)

    looked = disk.look(devices, name)
    scanned = dict(disk.scan(devices)).get(name)

    assert looked is not None
    assert scanned is not None
    assert looked.type == scanned.type == "character"

    disk.close(devices)


# ---- observe ----------------------------------------------------------------------------------------------------


class Watched(LocalFilesystem):
    """Counts looks and scans."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[str] = []
        self.scans = 0

    def look(self, directory: Directory, name: str) -> Identity | None:
        self.looks.append(name)
        return super().look(directory, name)

    def scan(self, directory: Directory) -> Iterator[tuple[str, Identity]]:
        self.scans += 1
        yield from super().scan(directory)


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Directory]:
    """A directory with more entries than are looked at one by one, with a stranger among them."""
    for number in range(SCAN_FROM + 6):
        (tmp_path / f"file-{number}").touch()
    (tmp_path / "stranger").touch()
    disk = LocalFilesystem()
    directory = disk.open_directory(str(tmp_path))
    yield directory
    disk.close(directory)


def true_identities(directory: Directory, names: list[str]) -> dict[str, tuple[int, str]]:
    return {name: (inode_of(path_in(directory, name)), "file") for name in names}


def seen_as(observed: dict[str, Identity]) -> dict[str, tuple[int, str]]:
    return {name: (identity.inode, identity.type) for name, identity in observed.items()}


@pytest.mark.parametrize("count", [0, 1, SCAN_FROM - 1, SCAN_FROM, SCAN_FROM + 5])
@pytest.mark.parametrize("collect", [list, set, dict.fromkeys], ids=["list", "set", "dict"])
def test_observing_gives_only_the_requested_names(
    crowd: Directory, count: int, collect: Callable[[list[str]], Any]
) -> None:
    """A few names or many, one free name among them: only the requested entries are returned."""
    names = [f"file-{number}" for number in range(count)]

    observed = dict(observe(Watched(), crowd, collect([*names, "free"])))

    assert seen_as(observed) == true_identities(crowd, names)


def test_few_names_are_looked_at_one_by_one(crowd: Directory) -> None:
    """A scan of a directory with a million entries for three names would take seconds."""
    disk = Watched()

    list(observe(disk, crowd, [f"file-{number}" for number in range(SCAN_FROM - 1)]))

    assert (len(disk.looks), disk.scans) == (SCAN_FROM - 1, 0)


def test_many_names_take_one_scan(crowd: Directory) -> None:
    """One pass over the directory costs less than a look at each."""
    disk = Watched()

    list(observe(disk, crowd, [f"file-{number}" for number in range(SCAN_FROM)]))

    assert (disk.looks, disk.scans) == ([], 1)


class OtherNumber:
    """A directory entry whose inode number in readdir differs from that in lstat."""

    def __init__(self, entry: os.DirEntry[str]) -> None:
        self._entry = entry
        self.name = entry.name

    def inode(self) -> int:
        return 4294967295

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        return self._entry.stat(follow_symlinks=follow_symlinks)


@pytest.mark.parametrize("scan", [LocalFilesystem.scan, LocalFilesystem.scan_inodes])
def test_false_inodes_of_a_scan_are_not_trusted(
    crowd: Directory,
    monkeypatch: pytest.MonkeyPatch,
    scan: Callable[[LocalFilesystem, Directory], Iterator[tuple[str, Identity | int]]],
) -> None:
    """Some file systems in user space give different numbers in readdir and lstat: then each name is looked at."""
    entries = door._entries

    @contextlib.contextmanager
    def other_numbers(directory: Directory) -> Iterator[Iterator[OtherNumber]]:
        with entries(directory) as true_entries:
            yield map(OtherNumber, true_entries)

    monkeypatch.setattr(door, "_entries", other_numbers)
    scanned = {name: found if isinstance(found, int) else found.inode for name, found in scan(Watched(), crowd)}

    assert scanned == {name: inode_of(path_in(crowd, name)) for name in os.listdir(crowd.path)}


@pytest.mark.parametrize("scan", [LocalFilesystem.scan, LocalFilesystem.scan_inodes])
def test_entry_that_is_removed_before_it_is_compared_is_left_out(
    crowd: Directory,
    monkeypatch: pytest.MonkeyPatch,
    scan: Callable[[LocalFilesystem, Directory], Iterator[tuple[str, Identity | int]]],
) -> None:
    """Another process removed it: the other entries are looked at one by one, which is always right."""
    entries = door._entries
    removed: list[str] = []

    @contextlib.contextmanager
    def vanishing(directory: Directory) -> Iterator[Iterator[os.DirEntry[str]]]:
        def without_first(all_entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
            for entry in all_entries:
                if not removed:
                    removed.append(entry.name)
                    path_in(directory, entry.name).unlink()
                yield entry

        with entries(directory) as true_entries:
            yield without_first(true_entries)

    monkeypatch.setattr(door, "_entries", vanishing)
    scanned = [name for name, _ in scan(LocalFilesystem(), crowd)]

    assert sorted(scanned) == sorted(os.listdir(crowd.path))
    assert removed[0] not in scanned


# ---- reading ----------------------------------------------------------------------------------------------------


def test_read_gives_the_whole_file(disk: LocalFilesystem, here: Directory) -> None:
    """Journals are read in one piece."""
    content = bytes(range(256)) * 10_000
    path_in(here, "file").write_bytes(content)

    assert disk.read(here, "file") == content


def test_reading_through_a_symbolic_link_is_refused(disk: LocalFilesystem, here: Directory) -> None:
    """No process can make recovery read, or later write, elsewhere by placing a link."""
    make_live_link(path_in(here, "link"))

    with pytest.raises(OSError, match="link") as error:
        disk.read(here, "link")

    assert error.value.errno == errno.ELOOP


def test_reading_a_missing_file_raises_file_not_found(disk: LocalFilesystem, here: Directory) -> None:
    """The caller distinguishes it from a file that cannot be read."""
    with pytest.raises(FileNotFoundError):
        disk.read(here, "missing")


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (b"", b"", True),
        (b"", b"abcd", True),
        (b"abcd", b"abcd", True),
        (b"abc", b"abcdefgh", True),
        (b"abcdefg", b"abcdefgh", True),
        (b"abcdefgh", b"abcdefg", False),
        (b"abcd", b"", False),
        (b"xbcd", b"abcdefgh", False),
        (b"abcdx", b"abcdefgh", False),
        (b"abcdefgx", b"abcdefghi", False),
    ],
)
def test_file_is_a_prefix_when_all_its_bytes_begin_the_other(
    disk: LocalFilesystem, here: Directory, there: Directory, monkeypatch: pytest.MonkeyPatch,
    part: bytes, whole: bytes, expected: bool,
) -> None:  # fmt: skip
    """Compared piece by piece, so that two files of any size do not have to fit into memory."""
    monkeypatch.setattr(door, "CHUNK_BYTES", 4)
    path_in(here, "part").write_bytes(part)
    path_in(there, "whole").write_bytes(whole)

    assert disk.is_prefix(here, "part", there, "whole") is expected


@pytest.mark.parametrize("missing", ["part", "whole"])
def test_prefix_of_a_missing_file_is_an_error(
    disk: LocalFilesystem, here: Directory, there: Directory, missing: str
) -> None:
    """An error is better than a wrong result, by which a copy would be removed."""
    if missing != "part":
        path_in(here, "part").touch()
    if missing != "whole":
        path_in(there, "whole").touch()

    with pytest.raises(FileNotFoundError):
        disk.is_prefix(here, "part", there, "whole")


# ---- making and removing directories ----------------------------------------------------------------------------


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    """Sets the process's umask for one test."""
    before = os.umask(0o022)
    yield lambda mask: (os.umask(mask), None)[1]
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o755), (0o002, 0o775), (0o077, 0o700)])
def test_new_directory_has_the_mode_that_the_umask_leaves(
    disk: LocalFilesystem, here: Directory, umask: Callable[[int], None], mask: int, expected: int
) -> None:
    """A backup directory has the permissions of any directory that its user makes."""
    umask(mask)

    disk.make_directory(here, "new", is_private=False)

    assert mode_of(path_in(here, "new")) == expected


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize(("parent_mode", "expected"), [(0o755, 0o700), (0o777 - 0o020, 0o700), (0o775, 0o770)])
def test_private_directory_is_open_to_the_group_only_where_its_parent_is(
    disk: LocalFilesystem, here: Directory, umask: Callable[[int], None], mask: int, parent_mode: int, expected: int
) -> None:
    """A service and an operator of one group can both work; other users have no access to staged files."""
    os.chmod(here.path, parent_mode)
    umask(mask)

    disk.make_directory(here, "new", is_private=True)

    assert mode_of(path_in(here, "new")) == expected


@pytest.mark.parametrize("is_private", [True, False], ids=["private", "open"])
def test_directory_is_never_made_over_anything(
    disk: LocalFilesystem, here: Directory, kind: Kind, is_private: bool
) -> None:
    """I5: mkdir takes a name exclusively, and the second caller gets an error."""
    kind.make(path_in(here, "taken"))
    before = os.lstat(path_in(here, "taken"))

    with pytest.raises(FileExistsError):
        disk.make_directory(here, "taken", is_private=is_private)

    assert os.lstat(path_in(here, "taken")) == before


def test_empty_directory_can_be_removed(disk: LocalFilesystem, here: Directory) -> None:
    """A backup directory that stayed empty can be removed."""
    path_in(here, "empty").mkdir()

    disk.remove_directory(here, "empty")

    assert names_in(here) == set()


def test_directory_that_is_not_empty_is_not_removed(disk: LocalFilesystem, here: Directory) -> None:
    """I5: a file that another process put there is not deleted."""
    path_in(here, "full").mkdir()
    make_file(path_in(here, "full/file"))

    with pytest.raises(OSError, match="full") as error:
        disk.remove_directory(here, "full")

    assert error.value.errno in (errno.ENOTEMPTY, errno.EEXIST)
    assert path_in(here, "full/file").read_bytes() == b"content"


def test_removing_a_directory_removes_nothing_else(disk: LocalFilesystem, here: Directory, leaf: Kind) -> None:
    """Neither a file nor a link to a directory is removed."""
    leaf.make(path_in(here, "entry"))

    with pytest.raises(NotADirectoryError):
        disk.remove_directory(here, "entry")

    assert names_in(here) == {"entry"}


def test_remove_tree_removes_an_entry_of_any_kind(disk: LocalFilesystem, here: Directory, kind: Kind) -> None:
    """The trash has entries of all types."""
    kind.make(path_in(here, "entry"))

    disk.remove_tree(here, "entry")

    assert names_in(here) == set()


def test_remove_tree_removes_all_below_and_follows_no_link(disk: LocalFilesystem, here: Directory) -> None:
    """Links are removed and their targets stay, inside a tree and at its top."""
    tree = path_in(here, "tree")
    (tree / "deep" / "deeper").mkdir(parents=True)
    for name in ODD_NAMES.values():
        make_file(tree / "deep" / name)
    make_link_to_directory(tree / "link")
    os.mkfifo(tree / "fifo")

    disk.remove_tree(here, "tree")

    assert names_in(here) == {"target-directory"}
    assert path_in(here, "target-directory/inside").read_bytes() == b"inside"


def test_remove_tree_removes_a_link_to_a_directory_as_a_link(disk: LocalFilesystem, here: Directory) -> None:
    """Its target is not touched."""
    make_link_to_directory(path_in(here, "link"))
    target = Path(here.path).parent / "target-directory"

    disk.remove_tree(here, "link")

    assert (target / "inside").read_bytes() == b"inside"


def test_remove_tree_of_a_missing_name_is_no_error(disk: LocalFilesystem, here: Directory) -> None:
    """I3: a sweep that was interrupted is repeated."""
    disk.remove_tree(here, "missing")

    assert names_in(here) == set()


# ---- linking ----------------------------------------------------------------------------------------------------


def test_link_gives_the_entry_itself_a_second_name(
    disk: LocalFilesystem, here: Directory, there: Directory, leaf: Kind
) -> None:
    """I4: both names stand for one inode. A symbolic link, live or dangling, is linked itself, never its target."""
    leaf.make(path_in(here, "old"))

    disk.link(here, "old", there, "new")

    looked = disk.look(there, "new")
    assert looked is not None
    assert looked.type == leaf.type
    assert disk.look(here, "old") == looked


def test_link_never_replaces(disk: LocalFilesystem, here: Directory, there: Directory, kind: Kind) -> None:
    """I5: every entry keeps its name, a dangling link included."""
    path_in(here, "old").write_bytes(b"ours")
    kind.make(path_in(there, "taken"))
    inode = inode_of(path_in(there, "taken"))

    with pytest.raises(FileExistsError):
        disk.link(here, "old", there, "taken")

    assert is_unharmed(path_in(there, "taken"), kind.type, inode)
    assert path_in(here, "old").read_bytes() == b"ours"


def test_linking_a_directory_fails_as_where_there_are_no_hard_links(
    disk: LocalFilesystem, here: Directory, there: Directory
) -> None:
    """The caller renames entries that cannot be linked."""
    path_in(here, "old").mkdir()

    with pytest.raises(OSError, match="old") as error:
        disk.link(here, "old", there, "new")

    assert error.value.errno in NO_HARD_LINK


def test_linking_a_missing_file_raises_file_not_found(disk: LocalFilesystem, here: Directory, there: Directory) -> None:
    """A file may disappear before it is moved."""
    with pytest.raises(FileNotFoundError):
        disk.link(here, "missing", there, "new")


def test_without_hard_links_linking_raises_enotsup(by_descriptor: bool, tmp_path: Path) -> None:
    """A platform that cannot link without following is treated as one that cannot link."""
    disk = LocalFilesystem(by_descriptor=by_descriptor, hard_links=False)
    make_file(tmp_path / "old")
    directory = disk.open_directory(str(tmp_path))

    with pytest.raises(OSError, match="old") as error:
        disk.link(directory, "old", directory, "new")

    assert error.value.errno == errno.ENOTSUP
    assert error.value.errno in NO_HARD_LINK
    assert os.listdir(tmp_path) == ["old"]

    disk.close(directory)


# ---- renaming ---------------------------------------------------------------------------------------------------


def refusing_kernel(number: int) -> Rename:
    """The rename of a kernel or a file system without no-replace renames."""

    def call(*_: object) -> int:
        ctypes.set_errno(number)
        return -1

    return door._rename_by(call, 1)


RENAMES: dict[str, Callable[[], Rename]] = {
    "kernel": platform_rename,
    "placeholder": lambda: rename_by_placeholder,
    "kernel-says-EINVAL": lambda: refusing_kernel(errno.EINVAL),
    "kernel-says-ENOSYS": lambda: refusing_kernel(errno.ENOSYS),
    "kernel-says-ENOTSUP": lambda: refusing_kernel(errno.ENOTSUP),
}


@pytest.fixture(params=RENAMES)
def renaming_disk(request: pytest.FixtureRequest, by_descriptor: bool) -> LocalFilesystem:
    """A disk for each way to rename."""
    return LocalFilesystem(by_descriptor=by_descriptor, exclusive_rename=RENAMES[request.param]())


def test_rename_moves_the_entry_itself(
    renaming_disk: LocalFilesystem, here: Directory, there: Directory, leaf: Kind
) -> None:
    """A symbolic link, live or dangling, is moved as a link; nothing is opened."""
    leaf.make(path_in(here, "old"))
    inode = inode_of(path_in(here, "old"))

    renaming_disk.rename(here, "old", there, "new")

    assert names_in(here) == set()
    assert is_unharmed(path_in(there, "new"), leaf.type, inode)


def test_rename_never_replaces(renaming_disk: LocalFilesystem, here: Directory, there: Directory, kind: Kind) -> None:
    """I5: by the kernel's own flag, or by a placeholder; an empty directory is not replaced either."""
    path_in(here, "old").write_bytes(b"ours")
    kind.make(path_in(there, "taken"))
    inode = inode_of(path_in(there, "taken"))

    with pytest.raises(FileExistsError):
        renaming_disk.rename(here, "old", there, "taken")

    assert is_unharmed(path_in(there, "taken"), kind.type, inode)
    assert path_in(here, "old").read_bytes() == b"ours"


def test_rename_onto_another_name_of_the_same_file_is_refused(renaming_disk: LocalFilesystem, here: Directory) -> None:
    """A plain rename between two names of one inode does nothing and reports success."""
    make_file(path_in(here, "old"))
    os.link(path_in(here, "old"), path_in(here, "new"))

    with pytest.raises(FileExistsError):
        renaming_disk.rename(here, "old", here, "new")

    assert names_in(here) == {"old", "new"}


def test_rename_of_a_missing_file_raises_file_not_found(
    renaming_disk: LocalFilesystem, here: Directory, there: Directory
) -> None:
    """A file may disappear before it is moved."""
    with pytest.raises(FileNotFoundError):
        renaming_disk.rename(here, "missing", there, "new")


def test_directory_is_renamed_with_all_that_is_in_it(disk: LocalFilesystem, here: Directory, there: Directory) -> None:
    """Directories have one name only, and the kernel's rename moves them."""
    path_in(here, "old").mkdir()
    make_file(path_in(here, "old/file"))

    disk.rename(here, "old", there, "new")

    assert names_in(here) == set()
    assert path_in(there, "new/file").read_bytes() == b"content"


def test_directory_is_not_renamed_over_an_empty_one(disk: LocalFilesystem, here: Directory, there: Directory) -> None:
    """I5: a plain rename would replace it silently."""
    path_in(here, "old").mkdir()
    path_in(there, "taken").mkdir()
    inode = inode_of(path_in(there, "taken"))

    with pytest.raises(FileExistsError):
        disk.rename(here, "old", there, "taken")

    assert inode_of(path_in(there, "taken")) == inode


def test_directory_is_renamed_over_a_placeholder_where_the_kernel_cannot_rename_without_replacing(
    by_descriptor: bool, here: Directory, there: Directory
) -> None:
    """A placeholder directory takes the name first; a directory of another process is not replaced."""
    disk = LocalFilesystem(by_descriptor=by_descriptor, exclusive_rename=refusing_kernel(errno.EINVAL))
    path_in(here, "old").mkdir()
    make_file(path_in(here, "old/file"))
    path_in(there, "taken").mkdir()

    with pytest.raises(FileExistsError):
        disk.rename(here, "old", there, "taken")
    disk.rename(here, "old", there, "new")

    assert (names_in(here), names_in(there)) == (set(), {"new", "taken"})
    assert path_in(there, "new/file").read_bytes() == b"content"


@pytest.mark.parametrize("kind_of_entry", ["file", "directory"])
def test_placeholder_is_removed_if_the_rename_over_it_fails(
    by_descriptor: bool, here: Directory, there: Directory, monkeypatch: pytest.MonkeyPatch, kind_of_entry: str
) -> None:
    """The old name is as it was, and the new one is free again."""
    disk = LocalFilesystem(by_descriptor=by_descriptor, exclusive_rename=rename_by_placeholder)
    if kind_of_entry == "file":
        make_file(path_in(here, "old"))
    else:
        path_in(here, "old").mkdir()

    def replace(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", "old")

    put_instead(monkeypatch, os, replace=replace)
    with pytest.raises(PermissionError):
        disk.rename(here, "old", there, "new")

    assert (names_in(here), names_in(there)) == ({"old"}, set())


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EACCES, errno.EBUSY, errno.EROFS, errno.EEXIST])
def test_error_of_the_kernels_rename_is_raised_with_its_number_and_path(
    by_descriptor: bool, here: Directory, there: Directory, number: int
) -> None:
    """Only an error that means an unknown flag leads to the placeholder; all other errors are raised."""
    disk = LocalFilesystem(by_descriptor=by_descriptor, exclusive_rename=refusing_kernel(number))
    make_file(path_in(here, "old"))

    with pytest.raises(OSError, match="old") as error:
        disk.rename(here, "old", there, "new")

    assert (error.value.errno, error.value.filename) == (number, f"{here.path}/old")
    assert (names_in(here), names_in(there)) == ({"old"}, set())


def test_kernels_rename_gets_descriptors_and_bytes(here: Directory, there: Directory, by_descriptor: bool) -> None:
    """Names are bytes to the kernel; by path, they are relative to no descriptor."""
    calls: list[tuple[object, ...]] = []

    def call(*arguments: object) -> int:
        calls.append(arguments)
        return 0

    door._rename_by(call, 1)(here, os.fsdecode(b"\xff"), there, "new")

    if by_descriptor:
        assert calls == [(here.fd, b"\xff", there.fd, b"new", 1)]
    else:
        assert calls == [(-100, os.fsencode(here.path) + b"/\xff", -100, os.fsencode(there.path) + b"/new", 1)]


# ---- replacing and unlinking -------------------------------------------------------------------------------------


def test_replace_renames_over_an_existing_file(
    disk: LocalFilesystem, here: Directory, there: Directory, leaf: Kind
) -> None:
    """It is used for the parking place, where only this package has files; the replaced file loses that name."""
    leaf.make(path_in(here, "entry"))
    inode = inode_of(path_in(here, "entry"))
    make_file(path_in(there, "parked"))

    disk.replace(here, "entry", there, "parked")

    assert names_in(here) == set()
    assert is_unharmed(path_in(there, "parked"), leaf.type, inode)


def test_replacing_one_of_two_names_of_a_file_by_the_other_does_nothing(disk: LocalFilesystem, here: Directory) -> None:
    """As in rename(2): to remove the name, the caller must empty the place first."""
    make_file(path_in(here, "one"))
    os.link(path_in(here, "one"), path_in(here, "two"))

    disk.replace(here, "one", here, "two")

    assert names_in(here) == {"one", "two"}


def test_private_name_is_unlinked(disk: LocalFilesystem, here: Directory, leaf: Kind) -> None:
    """The entry itself is removed, not the target of a link."""
    leaf.make(path_in(here, "entry"))

    assert disk.unlink(here, "entry") is True
    assert names_in(here) == set()
    assert leaf.type != "symlink" or "nowhere" not in os.listdir(Path(here.path).parent)


def test_free_name_needs_no_unlinking(disk: LocalFilesystem, here: Directory) -> None:
    """I3: a recovery that was interrupted is repeated."""
    assert disk.unlink(here, "free") is False


def test_unlink_keeps_a_directory(disk: LocalFilesystem, here: Directory) -> None:
    """Directories have their own method, which refuses one that is not empty."""
    path_in(here, "directory").mkdir()

    with pytest.raises(OSError, match="directory"):
        disk.unlink(here, "directory")

    assert names_in(here) == {"directory"}


# ---- reserving --------------------------------------------------------------------------------------------------


def test_reserved_file_has_its_space_and_is_filled_in_place(disk: LocalFilesystem, here: Directory) -> None:
    """Blocks that are allocated and not needed are freed."""
    disk.reserve(here, "record", b"short\n", 1_000_000)
    reserved = os.stat(path_in(here, "record"))
    disk.fill(here, "record", b"longer than that\n")
    filled = os.stat(path_in(here, "record"))

    assert reserved.st_blocks * 512 >= 1_000_000
    assert reserved.st_mode & 0o777 == 0o600
    assert path_in(here, "record").read_bytes() == b"longer than that\n"
    assert filled.st_ino == reserved.st_ino
    assert filled.st_blocks * 512 < 1_000_000


def test_where_no_blocks_can_be_allocated_a_reserved_file_is_written_full_of_blanks(
    disk: LocalFilesystem, here: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader sees the content and blanks, which are cut off later."""
    monkeypatch.setattr(door, "allocate", lambda fd, size_bytes: False)
    disk.reserve(here, "record", b"short\n", 10_000)
    assert path_in(here, "record").read_bytes() == b"short\n".ljust(10_000)

    disk.fill(here, "record", b"done")
    assert path_in(here, "record").read_bytes() == b"done"


@pytest.mark.parametrize(("number", "expected"), [(errno.EOPNOTSUPP, False), (errno.ENOSYS, False)])
def test_allocation_returns_false_where_it_is_not_supported(
    monkeypatch: pytest.MonkeyPatch, number: int, expected: bool
) -> None:
    """Some file systems in user space, and NFS before 4.2."""
    libc = SimpleNamespace(fallocate=lambda *_: ctypes.set_errno(number) or -1)
    put_instead(monkeypatch, ctypes, CDLL=lambda *_, **__: libc)

    assert door.allocate(0, 1) is expected


def test_full_disk_cannot_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reservation fails before anything moves."""
    libc = SimpleNamespace(fallocate=lambda *_: ctypes.set_errno(errno.ENOSPC) or -1)
    put_instead(monkeypatch, ctypes, CDLL=lambda *_, **__: libc)

    with pytest.raises(OSError, match="No space"):
        door.allocate(0, 1)


def test_other_platforms_do_not_allocate_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call exists on Linux only."""
    put_instead(monkeypatch, sys, platform="darwin")

    assert door.allocate(0, 1) is False


# ---- owners -----------------------------------------------------------------------------------------------------


def test_file_system_without_owners_and_modes_is_served(
    disk: LocalFilesystem, here: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On exfat files have no owner, so nothing has to be shared. Errors of a failing disk are raised."""
    os.chmod(here.path, 0o770)
    numbers = [errno.EPERM, errno.ENOSYS, errno.EIO]

    def refuse(*_: object, **__: object) -> None:
        raise OSError(numbers[0], os.strerror(numbers[0]))

    put_instead(monkeypatch, os, chown=refuse, chmod=refuse)
    for name in ("exfat", "fusefat"):
        disk.create(here, name, [b"content"])
        numbers.pop(0)
    with pytest.raises(OSError, match="Input/output error"):
        disk.create(here, "dying", [b"content"])

    assert path_in(here, "fusefat").read_bytes() == b"content"


# ---- areas of the disk ------------------------------------------------------------------------------------------


def test_directories_of_one_mount_are_in_one_area(disk: LocalFilesystem, here: Directory, there: Directory) -> None:
    """Files can be moved between them."""
    assert disk.mount(here) == disk.mount(there)


def test_directories_of_two_mounts_are_in_two_areas(disk: LocalFilesystem, here: Directory) -> None:
    """/proc is mounted on every Linux."""
    other = disk.open_directory("/proc")

    assert disk.mount(other) != disk.mount(here)
    disk.close(other)


def test_mount_point_is_recognised_by_its_area() -> None:
    """Its parent is in another area; a missing path is reported when it is opened."""
    assert door.is_mount_point("/proc")
    assert not door.is_mount_point("/proc/self/fd")
    assert not door.is_mount_point("/proc/nowhere")


def test_where_proc_is_missing_the_area_is_the_device_number(here: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without mount number and project the area is the device."""

    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr("builtins.open", refuse)
    put_instead(monkeypatch, sys, platform="darwin")

    door._boot_id.cache_clear()
    assert door._boot_id() == ""
    door._boot_id.cache_clear()
    assert door._mount_id(0) is None
    assert door._project_id(0) == 0


# ---- writing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chunks",
    [[], [b""], [b"one"], [b"one", b"", b"two"], [b"x" * 3_000_000]],
    ids=["none", "empty", "one", "three", "large"],
)
def test_created_file_holds_its_chunks(disk: LocalFilesystem, here: Directory, chunks: list[bytes]) -> None:
    """A journal of a million records is written piece by piece."""
    disk.create(here, "new", iter(chunks))

    assert path_in(here, "new").read_bytes() == b"".join(chunks)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize(("parent_mode", "expected"), [(0o755, 0o600), (0o777 - 0o020, 0o600), (0o775, 0o660)])
def test_created_file_is_open_to_the_group_only_where_its_directory_is(
    disk: LocalFilesystem, here: Directory, umask: Callable[[int], None], mask: int, parent_mode: int, expected: int
) -> None:
    """A service and an operator of one group can both recover; other users cannot read file names in a journal."""
    os.chmod(here.path, parent_mode)
    umask(mask)

    disk.create(here, "new", [b"content"])

    assert mode_of(path_in(here, "new")) == expected


def test_file_is_never_created_over_anything(disk: LocalFilesystem, here: Directory, kind: Kind) -> None:
    """I5: not through a link either, live or dangling; every entry keeps its name."""
    kind.make(path_in(here, "taken"))
    inode = inode_of(path_in(here, "taken"))
    around = set(os.listdir(Path(here.path).parent))

    with pytest.raises(FileExistsError):
        disk.create(here, "taken", [b"ours"])

    assert is_unharmed(path_in(here, "taken"), kind.type, inode)
    assert set(os.listdir(Path(here.path).parent)) == around


def test_content_is_written_whole_although_the_kernel_writes_it_in_pieces(
    disk: LocalFilesystem, here: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal or a nearly full disk makes write() write fewer bytes than requested."""
    put_instead(monkeypatch, os, write=lambda fd, content: os.write(fd, content[:3]))

    disk.create(here, "new", [b"ten bytes!", b"and more"])
    disk.write_at(here, "new", 4, b"BYTES", truncate=False)

    assert path_in(here, "new").read_bytes() == b"ten BYTES!and more"


def test_error_from_the_content_leaves_no_descriptor_open(disk: LocalFilesystem, here: Directory) -> None:
    """A service must not run out of descriptors after many failures; the caller removes the torn file."""

    def chunks() -> Iterator[bytes]:
        yield b"begun"
        raise ValueError("no more")

    highest = os.open(os.devnull, os.O_RDONLY)
    os.close(highest)
    with pytest.raises(ValueError, match="no more"):
        disk.create(here, "new", chunks())
    next_free = os.open(os.devnull, os.O_RDONLY)
    os.close(next_free)

    assert next_free == highest
    assert path_in(here, "new").read_bytes() == b"begun"


@pytest.mark.parametrize(
    ("offset", "content", "truncate", "expected"),
    [
        (0, b"", False, b"0123456789"),
        (0, b"ab", False, b"ab23456789"),
        (8, b"abcd", False, b"01234567abcd"),
        (10, b"ab", False, b"0123456789ab"),
        (0, b"ab", True, b"ab"),
        (4, b"ab", True, b"0123ab"),
        (4, b"", True, b"0123"),
        (10, b"ab", True, b"0123456789ab"),
    ],
)
def test_write_at_changes_a_file_in_place(
    disk: LocalFilesystem, here: Directory, offset: int, content: bytes, truncate: bool, expected: bytes
) -> None:
    """With `truncate` the bytes after the offset are cut off first; without it, the same bytes can be written again."""
    path_in(here, "file").write_bytes(b"0123456789")
    inode = inode_of(path_in(here, "file"))

    disk.write_at(here, "file", offset, content, truncate=truncate)

    assert path_in(here, "file").read_bytes() == expected
    assert inode_of(path_in(here, "file")) == inode


def test_write_at_creates_nothing(disk: LocalFilesystem, here: Directory) -> None:
    """A terminal record needs its journal."""
    with pytest.raises(FileNotFoundError):
        disk.write_at(here, "missing", 0, b"content", truncate=True)

    assert names_in(here) == set()


def test_write_at_through_a_symbolic_link_is_refused(disk: LocalFilesystem, here: Directory) -> None:
    """I5: no process can have another file cut by placing a link."""
    make_live_link(path_in(here, "link"))

    with pytest.raises(OSError, match="link") as error:
        disk.write_at(here, "link", 0, b"ours", truncate=True)

    assert error.value.errno == errno.ELOOP
    assert path_in(here, "link").read_bytes() == b"target"


# ---- copying ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640, 0o755, 0o444])
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_copy_keeps_content_mode_and_times(
    disk: LocalFilesystem, here: Directory, there: Directory, umask: Callable[[int], None], mode: int, mask: int
) -> None:
    """A copied file looks like a moved one, whatever the umask."""
    content = bytes(range(256)) * 8192 + b"tail"
    path_in(here, "old").write_bytes(content)
    os.utime(path_in(here, "old"), ns=(1_600_000_000_123_456_789, 1_500_000_000_987_654_321))
    os.chmod(path_in(here, "old"), mode)
    umask(mask)

    disk.copy(here, "old", there, "new")

    copied = os.stat(path_in(there, "new"))
    assert path_in(there, "new").read_bytes() == content
    assert stat.S_IMODE(copied.st_mode) == mode
    assert (copied.st_atime_ns, copied.st_mtime_ns) == (1_600_000_000_123_456_789, 1_500_000_000_987_654_321)
    assert path_in(here, "old").read_bytes() == content


def test_copy_never_replaces(disk: LocalFilesystem, here: Directory, there: Directory, kind: Kind) -> None:
    """I5: not through a link either."""
    path_in(here, "old").write_bytes(b"ours")
    kind.make(path_in(there, "taken"))
    inode = inode_of(path_in(there, "taken"))
    around = set(os.listdir(Path(there.path).parent))

    with pytest.raises(FileExistsError):
        disk.copy(here, "old", there, "taken")

    assert is_unharmed(path_in(there, "taken"), kind.type, inode)
    assert set(os.listdir(Path(there.path).parent)) == around


def test_symbolic_link_is_copied_as_a_link(disk: LocalFilesystem, here: Directory, there: Directory) -> None:
    """Never followed, whether its target exists or not."""
    os.symlink("nowhere/at all", path_in(here, "old"))

    disk.copy(here, "old", there, "new")

    assert os.readlink(path_in(there, "new")) == os.readlink(path_in(here, "old")) == "nowhere/at all"
    with pytest.raises(FileExistsError):
        disk.copy(here, "old", there, "new")


NOT_COPIED = [name for name, kind in KINDS.items() if kind.type not in ("file", "symlink")]


@pytest.mark.parametrize("make", [KINDS[name].make for name in NOT_COPIED], ids=NOT_COPIED)
def test_entry_of_another_type_is_not_copied(
    disk: LocalFilesystem, here: Directory, there: Directory, make: Callable[[Path], None]
) -> None:
    """A FIFO may have no end: it is refused at once, and no file is left."""
    make(path_in(here, "old"))

    with pytest.raises(OSError):  # noqa: PT011 - each kind fails by another number
        disk.copy(here, "old", there, "new")

    assert names_in(there) == set()


def test_device_is_not_copied(disk: LocalFilesystem, there: Directory) -> None:
    """Its content may have no end."""
    devices = disk.open_directory(os.path.dirname(os.devnull))

    with pytest.raises(OSError, match="not a regular file"):
        disk.copy(devices, os.path.basename(os.devnull), there, "new")

    assert names_in(there) == set()

    disk.close(devices)


def test_where_mode_and_times_cannot_be_set_the_content_is_copied(
    disk: LocalFilesystem, here: Directory, there: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows cannot set them through a descriptor."""
    make_file(path_in(here, "old"))
    os.chmod(path_in(here, "old"), 0o755)
    put_instead(monkeypatch, os, supports_fd=set())

    disk.copy(here, "old", there, "new")

    assert path_in(there, "new").read_bytes() == b"content"
    assert mode_of(path_in(there, "new")) & 0o077 == 0


# ---- making durable ---------------------------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the inodes that were synced, in order."""
    inodes: list[int] = []

    def fsync(fd: int) -> None:
        inodes.append(os.fstat(fd).st_ino)
        os.fsync(fd)

    put_instead(monkeypatch, os, fsync=fsync)
    return inodes


def test_sync_file_syncs_the_file_once(disk: LocalFilesystem, here: Directory, synced: list[int]) -> None:
    """I7: one call, on the very file."""
    make_file(path_in(here, "file"))

    disk.sync_file(here, "file")

    assert synced == [inode_of(path_in(here, "file"))]


def test_sync_directory_syncs_the_directory_once(disk: LocalFilesystem, here: Directory, synced: list[int]) -> None:
    """I7: one call, on the very directory."""
    disk.sync_directory(here)

    assert synced == [here.inode]


def test_no_other_method_syncs(disk: LocalFilesystem, here: Directory, there: Directory, synced: list[int]) -> None:
    """I7: only the protocol decides what is synced, and when."""
    disk.create(here, "one", [b"content"])
    disk.copy(here, "one", there, "two")
    disk.link(here, "one", there, "three")
    disk.rename(here, "one", there, "four")
    disk.write_at(there, "four", 0, b"CONTENT", truncate=True)
    disk.replace(there, "two", there, "four")
    disk.unlink(there, "four")
    disk.reserve(here, "five", b"", 100)
    disk.fill(here, "five", b"content")
    disk.make_directory(here, "sub", is_private=True)
    disk.remove_tree(here, "sub")

    assert synced == []


def test_sync_of_a_missing_file_is_an_error(disk: LocalFilesystem, here: Directory) -> None:
    """I8: a missing sync must be noticed."""
    with pytest.raises(FileNotFoundError):
        disk.sync_file(here, "missing")


@pytest.mark.parametrize("what", ["file", "directory"])
def test_failed_sync_is_raised_and_leaves_no_descriptor_open(
    disk: LocalFilesystem, here: Directory, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """I8: the caller gets the error; the sync is never repeated."""
    make_file(path_in(here, "file"))
    calls: list[int] = []

    def fsync(fd: int) -> None:
        calls.append(fd)
        raise OSError(errno.EIO, "the disk is dying")

    put_instead(monkeypatch, os, fsync=fsync)
    with pytest.raises(OSError, match="the disk is dying"):
        disk.sync_file(here, "file") if what == "file" else disk.sync_directory(here)

    (fd,) = calls
    if fd != here.fd:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


# ---- descriptors ------------------------------------------------------------------------------------------------

VERBS: dict[str, Callable[[LocalFilesystem, Directory], object]] = {
    "open_directory": lambda disk, here: disk.close(disk.open_directory(here.path)),
    "open_subdirectory": lambda disk, here: disk.close(disk.open_subdirectory(here, "sub")),
    "look": lambda disk, here: disk.look(here, "file"),
    "scan": lambda disk, here: list(disk.scan(here)),
    "scan_inodes": lambda disk, here: list(disk.scan_inodes(here)),
    "first_of_a_scan": lambda disk, here: next(iter(disk.scan(here))),
    "read": lambda disk, here: disk.read(here, "file"),
    "read_lines": lambda disk, here: list(disk.read_lines(here, "file")),
    "first_of_the_lines": lambda disk, here: next(disk.read_lines(here, "file")),
    "is_prefix": lambda disk, here: disk.is_prefix(here, "file", here, "file"),
    "make_directory": lambda disk, here: disk.make_directory(here, "new", is_private=False),
    "make_private_directory": lambda disk, here: disk.make_directory(here, "new", is_private=True),
    "remove_directory": lambda disk, here: disk.remove_directory(here, "sub"),
    "remove_tree": lambda disk, here: disk.remove_tree(here, "sub"),
    "link": lambda disk, here: disk.link(here, "file", here, "new"),
    "rename": lambda disk, here: disk.rename(here, "file", here, "new"),
    "mount": lambda disk, here: disk.mount(here),
    "replace": lambda disk, here: disk.replace(here, "file", here, "new"),
    "unlink": lambda disk, here: disk.unlink(here, "file"),
    "reserve": lambda disk, here: disk.reserve(here, "new", b"content", 100),
    "fill": lambda disk, here: disk.fill(here, "file", b"content"),
    "create": lambda disk, here: disk.create(here, "new", [b"content"]),
    "copy": lambda disk, here: disk.copy(here, "file", here, "new"),
    "write_at": lambda disk, here: disk.write_at(here, "file", 0, b"content", truncate=True),
    "sync_file": lambda disk, here: disk.sync_file(here, "file"),
    "sync_directory": lambda disk, here: disk.sync_directory(here),
}


@pytest.mark.parametrize("verb", VERBS)
def test_no_method_leaves_a_descriptor_open(disk: LocalFilesystem, here: Directory, verb: str) -> None:
    """A service that runs for weeks must not run out of descriptors."""
    make_file(path_in(here, "file"))
    path_in(here, "sub").mkdir()
    free_before = os.open(os.devnull, os.O_RDONLY)
    os.close(free_before)

    VERBS[verb](disk, here)

    free_after = os.open(os.devnull, os.O_RDONLY)
    os.close(free_after)
    assert free_after == free_before


# ---- odd names --------------------------------------------------------------------------------------------------


@each_odd_name
def test_odd_name_goes_through_every_method(
    renaming_disk: LocalFilesystem, here: Directory, there: Directory, name: str
) -> None:
    """Names are bytes to the kernel: each method returns exactly the given name."""
    disk = renaming_disk
    disk.create(here, name, [b"content"])
    assert [found for found, _ in disk.scan(here)] == [name]
    disk.link(here, name, there, name)
    assert disk.unlink(here, name)
    disk.rename(there, name, here, name)
    disk.copy(here, name, there, name)
    assert disk.is_prefix(here, name, there, name)
    disk.write_at(there, name, 7, b", more", truncate=False)
    disk.sync_file(there, name)
    assert disk.read(there, name) == b"content, more"
    assert [os.fsencode(found) for found in os.listdir(here.path)] == [os.fsencode(name)]

    disk.remove_tree(here, name)
    disk.make_directory(here, name, is_private=True)
    inner = disk.open_subdirectory(here, name)
    disk.create(inner, name, [b""])
    assert set(dict(observe(disk, inner, [name]))) == {name}
    disk.remove_tree(inner, name)
    disk.close(inner)
    disk.remove_directory(here, name)

    assert names_in(here) == set()


@each_odd_name
def test_directory_with_an_odd_name_can_be_opened(disk: LocalFilesystem, tmp_path: Path, name: str) -> None:
    """The path of the directory itself is bytes to the kernel, too."""
    (tmp_path / name).mkdir()
    directory = disk.open_directory(str(tmp_path / name))

    disk.create(directory, "file", [b"content"])

    assert (tmp_path / name / "file").read_bytes() == b"content"

    disk.close(directory)


# ---- sharing with the group -------------------------------------------------------------------------------------


@real_root
@pytest.mark.parametrize(("parent_mode", "shared"), [(0o755, 0o000), (0o775, 0o070)])
def test_entry_made_by_root_belongs_to_the_directorys_owner_and_group(
    disk: LocalFilesystem, here: Directory, parent_mode: int, shared: int
) -> None:
    """The service user who owns the directory can recover a journal of root."""
    os.chown(here.path, 4242, 4343)
    os.chmod(here.path, parent_mode)

    disk.create(here, "file", [b""])
    disk.make_directory(here, "sub", is_private=True)

    for name, mode in (("file", 0o600 | (shared & 0o060)), ("sub", 0o700 | shared)):
        made = os.lstat(path_in(here, name))
        assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (4242, 4343, mode)


class Ownership:
    """Records changes of owner and group; nothing is changed."""

    def __init__(self) -> None:
        self.changes: list[tuple[int, int]] = []

    def chown(self, target: int | str, uid: int, gid: int) -> None:
        self.changes.append((uid, gid))


@pytest.fixture
def ownership() -> Ownership:
    return Ownership()


def test_group_of_the_directory_is_given_by_a_member(
    disk: LocalFilesystem, here: Directory, monkeypatch: pytest.MonkeyPatch, ownership: Ownership
) -> None:
    """Without root's rights the owner stays; the group can be any that the user belongs to."""
    group = os.stat(here.path).st_gid
    put_instead(
        monkeypatch, os, geteuid=lambda: 1000, getgroups=lambda: [group + 1, group], chown=ownership.chown
    )  # fmt: skip

    disk.create(here, "file", [b""])
    disk.make_directory(here, "sub", is_private=True)

    assert ownership.changes == [(-1, group), (-1, group)]


def test_group_of_the_directory_is_not_set_by_a_user_outside_it(
    disk: LocalFilesystem, here: Directory, monkeypatch: pytest.MonkeyPatch, ownership: Ownership
) -> None:
    """The kernel would refuse, and the entry is usable as it is."""
    group = os.stat(here.path).st_gid
    put_instead(
        monkeypatch, os, geteuid=lambda: 1000, getgroups=lambda: [group + 1], chown=ownership.chown
    )  # fmt: skip

    disk.create(here, "file", [b""])

    assert ownership.changes == []
    assert mode_of(path_in(here, "file")) == 0o600


def test_root_asks_for_owner_and_group_of_the_directory(
    disk: LocalFilesystem, here: Directory, monkeypatch: pytest.MonkeyPatch, ownership: Ownership
) -> None:
    """The calls of root, tested without being root."""
    found = os.stat(here.path)
    put_instead(monkeypatch, os, geteuid=lambda: 0, chown=ownership.chown)

    disk.create(here, "file", [b""])
    disk.make_directory(here, "sub", is_private=True)

    assert ownership.changes == [(found.st_uid, found.st_gid)] * 2


# ---- the lock file's opener -------------------------------------------------------------------------------------


def test_lock_file_is_opened_without_being_created(tmp_path: Path) -> None:
    """`open` asks for creation, but a lock file is created only by `create`, exclusively."""
    with pytest.raises(FileNotFoundError):
        open_lock_file(str(tmp_path / "lock"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("make", [make_live_link, make_dangling_link, make_link_to_directory])
def test_lock_file_is_not_opened_through_a_symbolic_link(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """No process can have a file elsewhere locked or created."""
    (tmp_path / "state").mkdir()
    make(tmp_path / "state" / "lock")
    around = set(os.listdir(tmp_path))

    with pytest.raises(OSError, match="lock") as error:
        open_lock_file(str(tmp_path / "state" / "lock"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    assert error.value.errno == errno.ELOOP
    assert set(os.listdir(tmp_path)) == around


def test_lock_files_descriptor_is_not_inherited_by_programs(tmp_path: Path) -> None:
    """A started program must not keep the lock after the death of this process."""
    make_file(tmp_path / "lock")

    fd = open_lock_file(str(tmp_path / "lock"), os.O_RDONLY)

    assert not os.get_inheritable(fd)

    os.close(fd)


# ---- other platforms --------------------------------------------------------------------------------------------


def test_this_platform_has_its_own_no_replace_rename(here: Directory, there: Directory) -> None:
    """Linux has renameat2: a directory, which cannot be linked, is moved by it."""
    path_in(here, "old").mkdir()

    platform_rename()(here, "old", there, "new")

    assert names_in(there) == {"new"}


def test_libc_without_such_a_rename_leaves_the_placeholder(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old C library has no renameat2."""
    put_instead(monkeypatch, ctypes, CDLL=lambda *_, **__: SimpleNamespace())

    assert platform_rename() is rename_by_placeholder


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_each_platform_asks_its_own_rename_not_to_replace(
    monkeypatch: pytest.MonkeyPatch, here: Directory, there: Directory, platform: str
) -> None:
    """renameat2 with RENAME_NOREPLACE on Linux, renameatx_np with RENAME_EXCL on macOS."""
    calls: list[tuple[object, ...]] = []

    def record(name: str) -> Callable[..., int]:
        def call(*arguments: object) -> int:
            calls.append((name, *arguments))
            return 0

        return call

    libc = SimpleNamespace(renameatx_np=record("renameatx_np"), renameat2=record("renameat2"))
    put_instead(monkeypatch, ctypes, CDLL=lambda *_, **__: libc)
    put_instead(monkeypatch, sys, platform=platform)

    platform_rename()(here, "old", there, "new")

    name, flag, nowhere = {"linux": ("renameat2", 1, -100), "darwin": ("renameatx_np", 4, -2)}[platform]
    source, target = (here.fd, there.fd) if here.fd is not None else (nowhere, nowhere)
    assert calls == [(name, source, os.fsencode(here.at("old")), target, os.fsencode(there.at("new")), flag)]


def test_old_macos_without_such_a_rename_leaves_the_placeholder(monkeypatch: pytest.MonkeyPatch) -> None:
    """renameatx_np came with macOS 10.12."""
    put_instead(monkeypatch, ctypes, CDLL=lambda *_, **__: SimpleNamespace())
    put_instead(monkeypatch, sys, platform="darwin")

    assert platform_rename() is rename_by_placeholder


@pytest.mark.parametrize("what", ["file", "directory"])
def test_on_macos_a_sync_reaches_the_platters(
    monkeypatch: pytest.MonkeyPatch, disk: LocalFilesystem, here: Directory, synced: list[int], what: str
) -> None:
    """An fsync there leaves the data in the drive's cache: F_FULLFSYNC does not."""
    make_file(path_in(here, "file"))
    calls: list[tuple[int, int]] = []
    fake = SimpleNamespace(F_FULLFSYNC=51, fcntl=lambda fd, request: calls.append((os.fstat(fd).st_ino, request)))
    monkeypatch.setitem(sys.modules, "fcntl", fake)
    put_instead(monkeypatch, sys, platform="darwin")

    disk.sync_file(here, "file") if what == "file" else disk.sync_directory(here)

    assert calls == [(inode_of(path_in(here, "file")) if what == "file" else here.inode, 51)]
    assert synced == []


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The door as on Windows; yields the calls that are different there."""
    calls: list[tuple[object, ...]] = []
    real_open = os.open

    def recorded(name: str) -> Callable[..., None]:
        return lambda *arguments: calls.append((name, *arguments))

    def open_and_record(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        calls.append(("open", path, flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)))
        return real_open(path, flags, mode, dir_fd=dir_fd)

    put_instead(
        monkeypatch, os, name="nt", rename=recorded("rename"), chown=recorded("chown"), chmod=recorded("chmod"),
        open=open_and_record, fsync=lambda fd: calls.append(("fsync", os.fstat(fd).st_ino)),
        supports_dir_fd=set(), supports_follow_symlinks=set(),
    )  # fmt: skip
    return calls


def test_on_windows_the_systems_own_rename_is_used(windows: list[tuple[object, ...]], tmp_path: Path) -> None:
    """It never replaces there."""
    disk = LocalFilesystem()
    directory = disk.open_directory(str(tmp_path))

    disk.rename(directory, "old", directory, "new")

    assert windows == [("rename", str(tmp_path / "old"), str(tmp_path / "new"))]


def test_on_windows_names_go_by_path_and_there_are_no_hard_links(
    windows: list[tuple[object, ...]], tmp_path: Path
) -> None:
    """os.link there follows symbolic links, so files are renamed instead."""
    disk = LocalFilesystem()
    directory = disk.open_directory(str(tmp_path))
    make_file(tmp_path / "old")

    assert directory.fd is None
    with pytest.raises(OSError, match="old") as error:
        disk.link(directory, "old", directory, "new")
    assert error.value.errno == errno.ENOTSUP


def test_on_windows_no_directory_is_synced(windows: list[tuple[object, ...]], tmp_path: Path) -> None:
    """There is no such call; NTFS journals its directories."""
    disk = LocalFilesystem()
    directory = disk.open_directory(str(tmp_path))

    disk.sync_directory(directory)

    assert windows == []


def test_on_windows_a_file_is_opened_for_writing_to_be_synced(
    windows: list[tuple[object, ...]], tmp_path: Path
) -> None:
    """FlushFileBuffers refuses a handle that was opened for reading."""
    disk = LocalFilesystem()
    make_file(tmp_path / "file")

    disk.sync_file(disk.open_directory(str(tmp_path)), "file")

    assert windows == [("open", str(tmp_path / "file"), os.O_RDWR), ("fsync", inode_of(tmp_path / "file"))]


def test_on_windows_neither_group_nor_mode_is_changed(windows: list[tuple[object, ...]], tmp_path: Path) -> None:
    """Entries inherit the access list of their directory."""
    directory = LocalFilesystem().open_directory(str(tmp_path))

    share_like(directory, None, str(tmp_path), 0o700)

    assert windows == []
