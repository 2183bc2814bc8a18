"""Measure how file systems behave where the journal depends on it.

`python -m tests.filesystems.facts`, as root, prints the tables of docs/file-systems.md.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.filesystems.mounts import KINDS, Kind, Mounted, mounted
from tests.power.rig import Unavailable

Fact = Callable[[Mounted], str]
LAID = {"task/laid.txt": "laid", "task/moved.txt": "moved", **{f"task/{n}.txt": str(n) for n in range(12)}}
HOLE_BYTES = 1 << 20
ASK_FOR_THE_LOCK = """
import fcntl, sys
with open(sys.argv[1], "rb") as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(3)
"""


def lay_out(path: Path) -> None:
    """Write the files that the facts are about."""
    for name, content in LAID.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(content)


def short(error: OSError) -> str:
    """Name an errno."""
    return errno.errorcode.get(error.errno or 0, str(error.errno))


def entry_inode(path: Path) -> int:
    """Return the inode number that the directory entry of a path shows."""
    with os.scandir(path.parent) as entries:
        return next(entry.inode() for entry in entries if entry.name == path.name)


def yes(answer: bool) -> str:
    """Spell an answer."""
    return "yes" if answer else "**no**"


def measure(kind: Kind, scratch: Path, facts: Mapping[str, Fact]) -> dict[str, str]:
    """Mount a kind and measure facts; one whose call fails is the name of its errno."""
    answers = {}
    with mounted(kind, scratch, lay_out) as system:
        for name, fact in facts.items():
            try:
                answers[name] = fact(system)
            except OSError as error:
                answers[name] = f"**{short(error)}**"
    return answers


def inodes_survive_a_change(system: Mounted) -> str:
    """Change a file and a directory for the first time: a layered file system copies both up."""
    folder = system.root / "task"
    before = [path.lstat().st_ino for path in (folder, folder / "moved.txt")]
    (folder / "new.txt").touch()
    with open(folder / "moved.txt", "r+b") as file:
        file.write(b"M")
    return yes(before == [path.lstat().st_ino for path in (folder, folder / "moved.txt")])


def links(system: Mounted) -> str:
    """Link a file that was laid out before the mount, where the kind has such."""
    path = system.root / "task" / "laid.txt"
    os.link(path, system.root / "linked.txt")
    return yes((system.root / "linked.txt").read_text() == "laid")


def links_share_an_inode(system: Mounted) -> str:
    if not (system.root / "linked.txt").exists():
        return "-"
    return yes((system.root / "linked.txt").lstat().st_ino == (system.root / "task" / "laid.txt").lstat().st_ino)


def entries_show_the_inode(system: Mounted) -> str:
    path = system.root / "task" / "laid.txt"
    return yes(entry_inode(path) == path.lstat().st_ino)


def inode_survives_rename(system: Mounted) -> str:
    folder = system.root / "task"
    before = (folder / "moved.txt").lstat().st_ino
    os.rename(folder / "moved.txt", system.root / "moved.txt")
    after = (system.root / "moved.txt").lstat().st_ino
    os.rename(system.root / "moved.txt", folder / "moved.txt")
    return yes(before == after)


def inodes_survive_remount(system: Mounted) -> str:
    if not system.kind.survives_unmount:
        return "-"
    folder = system.root / "task"
    names = sorted(os.listdir(folder))
    before = {name: (folder / name).lstat().st_ino for name in names}
    system.remount()
    # In another order, so that an inode number that only counts look-ups differs.
    after = {name: (folder / name).lstat().st_ino for name in reversed(names)}
    return yes(before == after)


def directory_inode_survives_remount(system: Mounted) -> str:
    if not system.kind.survives_unmount:
        return "-"
    for name in ("one", "two"):
        (system.root / name).mkdir()
    before = [(system.root / name).lstat().st_ino for name in ("task", "one", "two")]
    system.remount()
    return yes(before[::-1] == [(system.root / name).lstat().st_ino for name in ("two", "one", "task")])


def renames_without_replacing(system: Mounted) -> str:
    """Call renameat2 itself: the package's rename has a way round it."""
    call = ctypes.CDLL(None, use_errno=True).renameat2

    def rename(old: Path, new: Path) -> None:
        if call(-100, os.fsencode(old), -100, os.fsencode(new), 1):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    a, b, c = (system.root / name for name in ("a.txt", "b.txt", "c.txt"))
    a.write_text("a")
    b.write_text("b")
    rename(a, c)
    try:
        rename(b, c)
    except FileExistsError:
        return yes(b.read_text() == "b" and c.read_text() == "a")
    return "**replaces**"


def rename_replaces(system: Mounted) -> str:
    old, new = system.root / "old.txt", system.root / "new.txt"
    old.write_text("old")
    new.write_text("new")
    os.rename(new, old)
    return yes(old.read_text() == "new" and not new.exists())


def creates_exclusively(system: Mounted) -> str:
    path = system.root / "exclusive.txt"
    path.write_text("first")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return yes(path.read_text() == "first")
    return "**no**"


def appends(system: Mounted) -> str:
    path = system.root / "log"
    for word in ("one", "two"):
        with open(path, "ab") as file:
            file.write(word.encode())
    return yes(path.read_text() == "onetwo")


def locks_exclude(system: Mounted) -> str:
    path = system.root / "lock"
    path.touch()
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        done = subprocess.run([sys.executable, "-S", "-c", ASK_FOR_THE_LOCK, str(path)], check=False)
    return yes(done.returncode == 3)


def directories_sync(system: Mounted) -> str:
    fd = os.open(system.root / "task", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    return "yes"


def owners_change(system: Mounted) -> str:
    os.chown(system.root / "task" / "laid.txt", 65534, 65534)
    return yes((system.root / "task" / "laid.txt").lstat().st_uid == 65534)


def modes_change(system: Mounted) -> str:
    os.chmod(system.root / "task" / "laid.txt", 0o640)
    return yes((system.root / "task" / "laid.txt").lstat().st_mode & 0o7777 == 0o640)


def time_step(system: Mounted) -> str:
    """Set a time with every digit and see how many digits stay."""
    wanted = 1_600_000_001_123_456_789
    path = system.root / "time.txt"
    path.touch()
    os.utime(path, ns=(wanted, wanted))
    kept = path.lstat().st_mtime_ns
    for name, step in (
        ("1 ns", 1),
        ("100 ns", 100),
        ("1 µs", 1000),
        ("10 ms", 10**7),
        ("1 s", 10**9),
        ("2 s", 2 * 10**9),
    ):
        if kept == wanted // step * step:
            return name
    return f"off by {(kept - wanted) / 1e9:.3f} s"


def allocates(system: Mounted) -> str:
    fd = os.open(system.root / "allocated", os.O_RDWR | os.O_CREAT)
    try:
        os.posix_fallocate(fd, 0, HOLE_BYTES)
        is_there = os.fstat(fd).st_blocks * 512 >= HOLE_BYTES
    finally:
        os.close(fd)
    return "yes" if is_there else "size only"


def finds_holes(system: Mounted) -> str:
    fd = os.open(system.root / "sparse", os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(fd, b"data", HOLE_BYTES)
        os.fsync(fd)
        return "yes" if os.lseek(fd, 0, os.SEEK_HOLE) == 0 else "none seen"
    finally:
        os.close(fd)


IDENTITY: dict[str, Fact] = {
    "hard link": links,
    "both links have one inode": links_share_an_inode,
    "entry shows the inode": entries_show_the_inode,
    "kept by a change": inodes_survive_a_change,
    "kept by a rename": inode_survives_rename,
    "file's kept by a remount": inodes_survive_remount,
    "directory's kept by a remount": directory_inode_survives_remount,
}
CALLS: dict[str, Fact] = {
    "NOREPLACE": renames_without_replacing,
    "rename replaces": rename_replaces,
    "O_EXCL": creates_exclusively,
    "O_APPEND": appends,
    "flock": locks_exclude,
    "directory fsync": directories_sync,
    "chown": owners_change,
    "chmod": modes_change,
    "mtime step": time_step,
    "fallocate": allocates,
    "SEEK_HOLE": finds_holes,
}


def main() -> None:
    """Print the tables."""
    for facts in (IDENTITY, CALLS):
        print("| file system |", " | ".join(facts), "|")
        print("|---|" + "---|" * len(facts))
        for name, kind in KINDS.items():
            with tempfile.TemporaryDirectory() as folder:
                try:
                    row = measure(kind, Path(folder, "scratch"), facts)
                except Unavailable as error:
                    print(f"(no row for {name}: {error})", file=sys.stderr)
                    continue
            print(f"| {name} |", " | ".join(row.values()), "|")
        print()


if __name__ == "__main__":
    main()
