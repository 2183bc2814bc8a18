"""Real file systems in image files, and a plug to pull.

An image file holds what the mounted file system has written to its device; what sits only in the page cache of the
mounted file system is not in it. So a copy of the image, taken between two calls of a transaction, is what a disk
holds when the plug is pulled at that instant. Mounting the copy replays the file system's own journal, then the
package recovers, then every file is looked at.

In calm weather nothing here syncs a file system under test; a missing sync shows. The other weathers are what other
programs and timers do: they make durable what nobody asked for. What is there before a run was made durable by an
unmount.
Limit: a device that reorders the writes of its own cache between two flushes is not imitated; what was written
to the device counts, in the order in which it was written.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, NamedTuple, Protocol

from journal import (
    DIRECTORY,
    Filesystem,
    Folder,
    JournalError,
    LocalFilesystem,
    LockedDirectory,
    Outcome,
    Transaction,
    lock_directory,
)
from journal.filesystem import Directory

MEBIBYTE = 1 << 20
DIRECTORY_NAME = "task_1"
BACKUP = "file_bak_20250121_094400"
RECORD = "backup_info.json"
IMAGES_AT_ONCE = 48
"""How many copies of an image stand on the disk together; more points than that take more runs."""

Tree = dict[str, bytes]

BEFORE, BEFORE_BUT_EMPTY, AFTER = "before", "before, and an empty backup directory", "after"
"""The states of a directory in which every file is under exactly one name with all its bytes."""


class Unavailable(Exception):
    """What the test needs, this machine cannot do; the message says what is missing."""


# ---- images ---------------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """A kind of file system: how to make the smallest one, and how to mount it for a run.

    The options of the run keep timers from committing what nobody asked to be durable, so that a missing sync shows.
    """

    name: str
    size_bytes: int
    mkfs: tuple[str, ...]
    run_options: tuple[str, ...] = ()
    copy_options: tuple[str, ...] = ()


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "ext4",
            16 * MEBIBYTE,
            ("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"),
            run_options=("commit=300",),
        ),
        Kind("xfs", 300 * MEBIBYTE, ("mkfs.xfs", "-q", "-f"), copy_options=("nouuid",)),
        # Small files would go into the metadata, which a full disk still has room for.
        Kind("btrfs", 128 * MEBIBYTE, ("mkfs.btrfs", "-q", "-f"), run_options=("commit=300", "max_inline=0")),
    )
}


def command(*words: str) -> str:
    """Run a program of the system; Unavailable when it is not installed."""
    if shutil.which(words[0]) is None:
        raise Unavailable(f"{words[0]} is not installed")
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def copy_sparse(source: str, target: str) -> None:
    """Copy a file, its holes too."""
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(reading).st_size
            os.truncate(writing, size)
            end = 0
            while end < size:
                try:
                    start = os.lseek(reading, end, os.SEEK_DATA)
                except OSError as error:
                    if error.errno == errno.ENXIO:  # a hole up to the end
                        return
                    raise
                end = os.lseek(reading, start, os.SEEK_HOLE)
                for at in range(start, end, MEBIBYTE):
                    os.pwrite(writing, os.pread(reading, min(MEBIBYTE, end - at), at), at)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


class Disk:
    """An image file that can be mounted, on a loop device that goes with the mount."""

    def __init__(self, kind: Kind, image: str) -> None:
        self.kind = kind
        self.image = image
        self.root = image + ".mounted"
        self.device: str | None = None

    @property
    def directory(self) -> str:
        """The directory whose files move."""
        return os.path.join(self.root, DIRECTORY_NAME)

    @contextlib.contextmanager
    def mounted(self, options: Iterable[str] = ()) -> Iterator[Disk]:
        """Mount it; unmounted and detached at the end, whatever happens."""
        os.mkdir(self.root)
        try:
            self._attach()
            try:
                command("mount", "-t", self.kind.name, *self._with(options), self.device or "", self.root)
            finally:
                command("losetup", "--detach", self.device or "")  # lazily: it goes when the mount goes
            try:
                yield self
            finally:
                self._unmount()
        finally:
            os.rmdir(self.root)

    def remount(self, option: str) -> None:
        """Make the mounted file system read-only (`ro`) or writable again (`rw`)."""
        command("mount", "-o", f"remount,{option}", self.root)

    def copy(self, target: str) -> None:
        """Copy the image as it is now: what the disk holds if the plug is pulled here.

        A copy during which the kernel wrote to the device would be no instant of it; it is taken again.
        """
        for _ in range(50):
            before = self._write_counters()
            copy_sparse(self.image, target)
            if before is not None and before == self._write_counters():
                return
            os.unlink(target)
            time.sleep(0.005)
        raise OSError(f"{self.image}: the kernel does not stop writing")

    def _attach(self) -> None:
        self.device = command("losetup", "--find", "--show", self.image).strip()

    def _with(self, options: Iterable[str]) -> list[str]:
        joined = ",".join(options)
        return ["-o", joined] if joined else []

    def _write_counters(self) -> list[int] | None:
        """Written, discarded and flushed so far; None while requests are under way."""
        with open(f"/sys/block/{os.path.basename(self.device or '')}/stat", encoding="ascii") as file:
            fields = [int(field) for field in file.read().split()]
        if fields[8]:
            return None
        return [fields[4], fields[6], *fields[11:12], *fields[13:14], *fields[15:16]]

    def _unmount(self) -> None:
        for _ in range(100):
            try:
                command("umount", self.root)
                break
            except OSError as error:
                if "busy" not in str(error):
                    raise
                last = error
                time.sleep(0.05)
        else:
            command("umount", "--lazy", self.root)
            raise last
        if self.kind.name == "btrfs":
            # Copies have the identity of the original: the kernel must not remember it as the newer of the two.
            with contextlib.suppress(OSError, Unavailable):
                command("btrfs", "device", "scan", "--forget", self.device or "")


def make_disk(kind: Kind, image: str) -> Disk:
    """Make an empty file system; Unavailable where that is not possible, with the reason."""
    if os.geteuid() != 0:
        raise Unavailable("mounting needs root")
    for needed in (kind.mkfs[0], "losetup", "mount", "umount"):
        if shutil.which(needed) is None:
            raise Unavailable(f"{needed} is not installed")
    full = image + ".full"
    with open(full, "wb") as file:
        file.truncate(kind.size_bytes)
    try:
        command(*kind.mkfs, full)
        command("cp", "--sparse=always", full, image)  # an xfs log of 64 MiB of zeros becomes a hole
    finally:
        os.unlink(full)
    disk = Disk(kind, image)
    try:
        with disk.mounted():
            pass
    except OSError as error:
        raise Unavailable(f"{kind.name} cannot be mounted from a loop device here ({error})") from error
    return disk


# ---- the plug -------------------------------------------------------------------------------------------------

LOOKING = frozenset({
    "open_directory", "open_subdirectory", "close", "look", "scan", "scan_inodes", "read", "read_lines", "is_prefix",
    "mount",
})  # fmt: skip
CHANGING = frozenset({
    "make_directory", "remove_directory", "remove_tree", "link", "rename", "replace", "unlink", "create", "reserve",
    "fill", "copy", "write_at", "sync_file", "sync_directory",
})  # fmt: skip

_TRANSACTION = re.compile(r"[0-9]{8}T[0-9]{12}-[0-9a-f]{8}")


class Call(NamedTuple):
    """A changing call: its verb and the name it is about, the transaction's own name taken out."""

    verb: str
    name: str

    def __str__(self) -> str:
        return f"{self.verb} {self.name}"


class CountingFilesystem(LocalFilesystem):
    """The real disk; `before_call` sees the number and the nature of every changing call before it happens.

    Calls that it `ignores` are counted and do nothing, as in a package that had forgotten them.
    """

    def __init__(
        self,
        before_call: Callable[[int, Call], None] = lambda number, call: None,
        *,
        ignores: Callable[[int, Call], bool] = lambda number, call: False,
    ) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._before_call = before_call
        self._ignores = ignores
        self._is_inside = False


def _counted(verb: str) -> Callable[..., Any]:
    original = getattr(LocalFilesystem, verb)

    def call(self: CountingFilesystem, *args: Any, **options: Any) -> Any:
        if self._is_inside:  # a verb made of other verbs counts once
            return original(self, *args, **options)
        text = [argument if isinstance(argument, str) else getattr(argument, "path", None) for argument in args]
        words = [os.path.basename(word) for word in text if isinstance(word, str)]
        number, made = len(self.calls), Call(verb, _TRANSACTION.sub("<transaction>", " ".join(words)))
        self._before_call(number, made)
        self.calls.append(made)
        if self._ignores(number, made):
            return None
        self._is_inside = True
        try:
            return original(self, *args, **options)
        finally:
            self._is_inside = False

    return call


for _verb in CHANGING:
    setattr(CountingFilesystem, _verb, _counted(_verb))


# ---- what is run ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """A transaction, and the two states of the directory of which every power loss must leave one."""

    name: str
    before: Tree
    after: Tree
    run: Callable[[LockedDirectory], Outcome]
    lay_out: Callable[[str], None]


def old(name: str, size_bytes: int = 300) -> bytes:
    """The content of an old file: no other file has it."""
    line = f"what {name} held before\n".encode()
    return (line * (size_bytes // len(line) + 1))[:size_bytes]


def new(name: str, size_bytes: int = 500) -> bytes:
    """The content of the file that takes the name."""
    line = f"the new {name}\n".encode()
    return (line * (size_bytes // len(line) + 1))[:size_bytes]


def tree_of(path: str) -> Tree:
    """Every entry below a directory, by name, and what it holds; the bytes tell the types apart."""
    found: Tree = {}
    for entry in os.scandir(path):
        if entry.is_symlink():
            found[entry.name] = b"-> " + os.fsencode(os.readlink(entry.path))
        elif entry.is_dir():
            found[entry.name] = b"(directory)"
            found.update((f"{entry.name}/{name}", content) for name, content in tree_of(entry.path).items())
        elif entry.is_file():
            with open(entry.path, "rb") as file:
                found[entry.name] = file.read()
        else:
            found[entry.name] = b"(special)"
    return found


def lay_out(tree: Tree, path: str) -> None:
    """Make on the disk what `tree_of` would read."""
    os.mkdir(path)
    for name, content in tree.items():
        place = os.path.join(path, name)
        if content.startswith(b"-> "):
            os.symlink(content[3:], os.fsencode(place))
        elif content == b"(directory)":
            os.mkdir(place)
        elif content == b"(special)":
            os.mkfifo(place)
        else:
            with open(place, "wb") as file:
                file.write(content)


def record_of(transaction: Transaction) -> Callable[[object], bytes]:
    """The content of a record: whatever its length, it names the transaction."""
    return lambda outcome: f"record of {transaction.id}\n".encode()


def backup(name: str, before: Tree) -> Scenario:
    """All entries go into a new directory, with a record beside them."""

    def run(locked: LockedDirectory) -> Outcome:
        transaction = locked.transaction("backup", on_error="continue")
        directory = transaction.make_directory(BACKUP, next_free=True)
        for entry, identity in locked.scan():
            transaction.move(entry, directory, copy_on_failure=True, seen=identity)
        transaction.create(directory, RECORD, record_of(transaction), if_kept=lambda made, _: f"kept: {made}\n")
        return transaction.commit()

    after = {BACKUP: b"(directory)", f"{BACKUP}/{RECORD}": b"(record)"}
    after |= {f"{BACKUP}/{entry}": content for entry, content in before.items()}
    return Scenario(name, before, after, run, lambda path: lay_out(before, path))


def publish(name: str, kept: Tree, replaced: Tree, published: Tree) -> Scenario:
    """New files are written beside the directory and take the names of old ones, which go to the trash."""

    def run(locked: LockedDirectory) -> Outcome:
        work = locked.make_state_folder("work-1")
        for entry, content in published.items():
            locked.write(work, entry, [content])
        transaction = locked.transaction("publish")
        for entry in published:
            transaction.publish(entry, source=work)
        return _clean_up(locked, work, transaction.commit())

    before = kept | replaced
    return Scenario(name, before, kept | published, run, lambda path: lay_out(before, path))


def restore(name: str, current: Tree, saved: Tree) -> Scenario:
    """The files of an old backup come back as copies while the current ones go into a new backup: one transaction."""
    old_backup = {"old_backup": b"(directory)", **{f"old_backup/{entry}": saved[entry] for entry in saved}}

    def run(locked: LockedDirectory) -> Outcome:
        work = locked.make_state_folder("work-1")
        source = DIRECTORY._replace(path="old_backup")
        for entry in saved:
            locked.copy(source, entry, work, entry)
        transaction = locked.transaction("restore")
        directory = transaction.make_directory(BACKUP, next_free=True)
        for entry in current:
            transaction.move(entry, directory)
        for entry in saved:
            transaction.publish(entry, source=work, replaced=directory)
        transaction.create(directory, RECORD, record_of(transaction))
        return _clean_up(locked, work, transaction.commit())

    before = current | old_backup
    after = old_backup | saved | {BACKUP: b"(directory)", f"{BACKUP}/{RECORD}": b"(record)"}
    after |= {f"{BACKUP}/{entry}": content for entry, content in current.items()}
    return Scenario(name, before, after, run, lambda path: lay_out(before, path))


def delete_backup(name: str, kept: Tree, manifests: Iterable[str], deleted: Tree) -> Scenario:
    """A backup, whose files are `deleted`, goes together with its manifests: one transaction."""
    gone = {BACKUP: b"(directory)", **{f"{BACKUP}/{entry}": deleted[entry] for entry in deleted}}
    gone |= {f"manifests/{entry}": old(entry) for entry in manifests}

    def run(locked: LockedDirectory) -> Outcome:
        transaction = locked.transaction("deletion of a backup")
        transaction.delete(BACKUP)
        for entry in manifests:
            transaction.delete(entry, source=DIRECTORY._replace(path="manifests"))
        return transaction.commit()

    return Scenario(name, kept | gone, kept, run, lambda path: lay_out(kept | gone, path))


def first_manifest(name: str, kept: Tree, staged: Tree) -> Scenario:
    """New files are written beside the directory and go into a new directory in it."""

    def run(locked: LockedDirectory) -> Outcome:
        work = locked.make_state_folder("work-1")
        for entry, content in staged.items():
            locked.write(work, entry, [content])
        transaction = locked.transaction("checksums")
        directory = transaction.make_directory(BACKUP)
        for entry in staged:
            transaction.move(entry, directory, source=work)
        return _clean_up(locked, work, transaction.commit())

    after = kept | {BACKUP: b"(directory)", **{f"{BACKUP}/{entry}": staged[entry] for entry in staged}}
    return Scenario(name, kept, after, run, lambda path: lay_out(kept, path))


def _clean_up(locked: LockedDirectory, work: Folder, outcome: Outcome) -> Outcome:
    with contextlib.suppress(OSError):  # what is committed stays so on a disk that refuses to remove anything
        locked.remove_state_folder(work)
    return outcome


SIZES = (0, 20, 300, 5_000, 70_000)
SMALL = {f"file_{size}.sql": old(f"file_{size}.sql", size) for size in SIZES if size}
MANY = {f"file_{number:03}.sql": old(f"file_{number:03}.sql", 100 + number * 40) for number in range(200)}
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        backup("backup", SMALL),
        backup(
            "backup_of_all_types",
            {
                "a.sql": old("a.sql"),
                "empty": b"",
                "link": b"-> a.sql",
                "pipe": b"(special)",
                "folder": b"(directory)",
                "folder/inside.sql": old("folder/inside.sql"),
                "folder/deeper": b"(directory)",
                "folder/deeper/inside.sql": old("folder/deeper/inside.sql", 9_000),
            },
        ),
        publish(
            "publish",
            {"kept.sql": old("kept.sql")},
            {name: old(name) for name in ("a.json", "b.json", "c.json")},
            {name: new(name, size) for name, size in (("a.json", 20), ("b.json", 500), ("c.json", 70_000), ("d", 5))},
        ),
        restore(
            "restore",
            {name: new(name) for name in ("a.sql", "b.sql", "c.sql")},
            {name: old(name, size) for name, size in (("a.sql", 20), ("b.sql", 500), ("d.sql", 20_000))},
        ),
        delete_backup(
            "delete_backup",
            {
                "a.sql": new("a.sql"),
                "other_backup": b"(directory)",
                "other_backup/a.sql": old("other a.sql"),
                "manifests": b"(directory)",
                "manifests/other_sha256.json": old("other_sha256.json"),
            },
            ("note.json", "sha256.json"),
            {name: old(name, size) for name, size in (("a.sql", 20), ("b.sql", 500), ("d.sql", 20_000))},
        ),
        first_manifest("first_manifest", {"a.sql": old("a.sql")}, {"sha256.json": new("sha256.json", 5_000)}),
        backup("backup_of_200", MANY),
    )
}


# ---- what others do meanwhile ----------------------------------------------------------------------------------

Weather = Callable[[Disk, bool], None]
"""Called with the mounted disk before each changing call, and whether the plug is pulled there."""


def calm(disk: Disk, is_point: bool) -> None:
    """Nobody else is there: only what the package syncs is durable."""


def commit_at_the_plug(disk: Disk, is_point: bool) -> None:
    """A timer of the file system commits everything just before the plug is pulled."""
    if is_point:
        command("sync", "--file-system", disk.root)


def gusts(random: Random) -> Weather:
    """At some calls a timer commits everything, or another program syncs a single directory."""

    def blow(disk: Disk, is_point: bool) -> None:
        state = os.path.join(disk.root, ".journal", DIRECTORY_NAME)
        where = random.choice([None, None, None, disk.root, disk.directory, state, f"{disk.directory}/{BACKUP}"])
        if where == disk.root:
            command("sync", "--file-system", where)
        elif where is not None and os.path.isdir(where):
            fd = os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    return blow


# ---- the run with its copies ----------------------------------------------------------------------------------


class Laid(NamedTuple):
    """A disk on which a scenario can begin: what is there is durable."""

    disk: Disk
    scenario: Scenario
    calls: tuple[Call, ...]
    """The changing calls of an undisturbed run."""

    @property
    def announced(self) -> int:
        """The number of the call that makes the announcement durable."""
        return next(number for number, call in enumerate(self.calls) if call.name.endswith(".journal.new")) + 1

    @property
    def written(self) -> int:
        """The number of the call that writes `committed`."""
        return max(number for number, call in enumerate(self.calls) if call.verb == "write_at")

    @property
    def committed(self) -> int:
        """The number of the call that makes `committed` durable."""
        return next(
            number for number, call in enumerate(self.calls) if number > self.written and call.verb == "sync_file"
        )

    @property
    def is_large(self) -> bool:
        """Whether trying every call takes minutes."""
        return len(self.calls) > 100

    def allowed(self, point: int) -> set[str]:
        """The states that a plug pulled before that call may leave.

        A backup directory of which no journal spoke yet is left there, empty: nobody knows whose it is.
        """
        if point <= self.announced:
            return {BEFORE, BEFORE_BUT_EMPTY}
        if point <= self.written:
            return {BEFORE}
        return {AFTER} if point > self.committed else {BEFORE, AFTER}

    def allowed_again(self, point: int, state: str) -> set[str]:
        """The states that a second plug may leave, pulled while recovery makes that state of what the first one left.

        What an unfinished journal announced is removed without a sync: the empty backup directory may come back.
        """
        is_unfinished = point <= self.announced + 2  # the rename and the sync that give the journal its last name
        return {state, BEFORE_BUT_EMPTY} if is_unfinished and state == BEFORE else {state}


def prepare(empty: Disk, scenario: Scenario, image: str) -> Laid:
    """Lay a scenario out on a copy of an empty disk, then count the calls of a run on a copy of that."""
    copy_sparse(empty.image, image)
    disk = Disk(empty.kind, image)
    with disk.mounted():
        scenario.lay_out(disk.directory)
    return counted(Laid(disk, scenario, ()))


def counted(laid: Laid, **options: Any) -> Laid:
    """Count the calls of a run with these options."""
    with fresh(laid) as scratch, scratch.mounted(laid.disk.kind.run_options):
        filesystem = CountingFilesystem()
        run(scratch, laid.scenario, filesystem, **options)
        assert state_of(scratch, laid.scenario) == AFTER
    return laid._replace(calls=tuple(filesystem.calls))


_numbers = itertools.count()


@contextlib.contextmanager
def fresh(laid: Laid) -> Iterator[Disk]:
    """A copy of the disk, to be used up."""
    image = f"{laid.disk.image}.{next(_numbers)}"
    copy_sparse(laid.disk.image, image)
    try:
        yield Disk(laid.disk.kind, image)
    finally:
        os.unlink(image)


def run(disk: Disk, scenario: Scenario, filesystem: Filesystem, **options: Any) -> Outcome:
    """Lock the directory of a mounted disk and run the scenario in it."""
    with lock_directory(disk.directory, label="run", timeout_seconds=5, filesystem=filesystem, **options) as locked:
        return scenario.run(locked)


@contextlib.contextmanager
def copies_of_a_run(
    laid: Laid,
    points: Iterable[int],
    weather: Weather = calm,
    ignores: Callable[[int, Call], bool] = lambda number, call: False,
    perform: Callable[[Disk, Filesystem], object] | None = None,
) -> Iterator[dict[int, str]]:
    """Run once and copy the image before each of the calls `points`; the number after the last means the end.

    `perform` is what is run instead of the scenario.
    """
    wanted, images = set(points), {}
    with fresh(laid) as disk:

        def copy(number: int, call: Call | None = None) -> None:
            weather(disk, number in wanted)
            if number in wanted:
                images[number] = f"{disk.image}.at-{number}"
                disk.copy(images[number])

        try:
            with disk.mounted(laid.disk.kind.run_options):
                filesystem = CountingFilesystem(copy, ignores=ignores)
                if perform is not None:
                    perform(disk, filesystem)
                else:
                    run(disk, laid.scenario, filesystem)
                copy(len(filesystem.calls))
            assert images.keys() == wanted, f"the run had {len(filesystem.calls)} calls; wanted {sorted(wanted)}"
            yield images
        finally:
            for image in images.values():
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(image)


def in_batches(points: Iterable[int]) -> Iterator[list[int]]:
    """At most so many points as there may be images together."""
    waiting = sorted(points)
    while waiting:
        yield waiting[:IMAGES_AT_ONCE]
        del waiting[:IMAGES_AT_ONCE]


# ---- the judgement --------------------------------------------------------------------------------------------


class Broken(AssertionError):
    """An invariant does not hold on this disk."""


class Site(Protocol):
    """A place where a scenario is laid out: `directory` holds the files that move, `root` is the folder above it."""

    @property
    def root(self) -> str: ...

    @property
    def directory(self) -> str: ...


def state_of(disk: Site, scenario: Scenario) -> str:
    """Every file under exactly one name, with its bytes, and nothing else there: before or after? Else Broken."""
    found = tree_of(disk.directory)
    record = f"{BACKUP}/{RECORD}"
    if found.get(record, b"").startswith(b"record of "):
        found[record] = b"(record)"
    if found == scenario.before:
        return BEFORE
    if found == scenario.before | {BACKUP: b"(directory)"}:
        return BEFORE_BUT_EMPTY
    if found == scenario.after:
        return AFTER
    raise Broken(describe(found, scenario))


def describe(found: Tree, scenario: Scenario) -> str:
    """What of the old files is where, and what is lost."""
    lines = []
    for name, content in scenario.before.items():
        places = sorted(place for place, other in found.items() if other == content)
        if content and not content.startswith(b"(") and places != [name]:
            lines.append(f"{name}: {'at ' + ', '.join(places) if places else 'LOST'}")
    strange = sorted(
        f"{name} ({len(content)} bytes)"
        for name, content in found.items()
        if content not in scenario.before.values() and content not in scenario.after.values()
    )
    return f"neither before nor after; {'; '.join(lines) or 'all in place'}; not expected: {strange or 'nothing'}"


def state_entries(disk: Site) -> set[str]:
    """What is in the state directory but what stays there for good and the caller's folders."""
    path = os.path.join(disk.root, ".journal", DIRECTORY_NAME)
    return {
        name
        for name in os.listdir(path)
        if name not in ("lock", "ready", ".journal-probe") and not name.startswith("work-")
    }


def recover_and_judge(disk: Site, scenario: Scenario, filesystem: Filesystem | None = None) -> str:
    """Recover on a mounted disk, see that nothing is left to recover, and tell the state."""
    with lock_directory(disk.directory, label="recovery", timeout_seconds=5, filesystem=filesystem) as locked:
        first = locked.recovered
    with lock_directory(disk.directory, label="again", timeout_seconds=5) as locked:
        if not locked.recovered.is_clean:
            raise Broken(f"the second recovery found something to do: {locked.recovered}")
    if any(journal.action == "conflict" for journal in first.journals):
        raise Broken(f"a conflict without a stranger: {first}")
    if state_entries(disk):
        raise Broken(f"left in the state directory: {sorted(state_entries(disk))}")
    return state_of(disk, scenario)


def check_that_nothing_is_lost(disk: Site, scenario: Scenario) -> None:
    """Whatever has happened, and before any recovery: what every old file held is there under some name."""
    held = set(tree_of(disk.directory).values())
    state = os.path.join(disk.root, ".journal", DIRECTORY_NAME)
    if os.path.isdir(state):
        held |= set(tree_of(state).values())
    lost = sorted(name for name, content in scenario.before.items() if content not in held)
    if lost and tree_of(disk.directory) != scenario.after:  # once committed, replaced files are purged
        raise Broken(f"LOST: {', '.join(lost)}")


class Finding(NamedTuple):
    """The state after recovery; `problem` is empty when it is one that was promised."""

    state: str
    problem: str


def point_of(calls: Sequence[Call], number: int) -> str:
    """A call as a person counts it, with what it is; the number after the last means the end."""
    return f"call {number} of {len(calls)} ({calls[number] if number < len(calls) else 'the end'})"


def judge_copy(laid: Laid, image: str, allowed: set[str], filesystem: Filesystem | None = None) -> Finding:
    """Mount a copy, recover, and compare with what is allowed there."""
    try:
        with Disk(laid.disk.kind, image).mounted(laid.disk.kind.copy_options) as disk:
            state = recover_and_judge(disk, laid.scenario, filesystem)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        return Finding("", f"{type(error).__name__}: {error}")
    return Finding(state, "" if state in allowed else f"{state!r}, promised was {' or '.join(sorted(allowed))}")


# ---- disks that fail ------------------------------------------------------------------------------------------

FILLER = "filler"


def fill(disk: Disk) -> None:
    """Take all space that is left."""
    fd = os.open(os.path.join(disk.root, FILLER), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end, step = 0, 64 * MEBIBYTE
        while step >= 1024:
            try:
                os.posix_fallocate(fd, end, step)
                end += step
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                step //= 2
    finally:
        os.close(fd)


def make_room(disk: Disk) -> None:
    """Give the space back."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(disk.root, FILLER))


def set_immutable(path: str, *, on: bool) -> None:
    """Make a file one that nobody may link, rename or remove, or an ordinary one again."""
    command("chattr", "+i" if on else "-i", path)


def stop_writing(disk: Disk) -> None:
    """Let ext4 find an error: mounted with errors=remount-ro it gives up its journal and refuses every write."""
    assert disk.device is not None
    path = f"/sys/fs/ext4/{os.path.basename(disk.device)}/trigger_fs_error"
    if not os.path.exists(path):
        raise Unavailable("this kernel cannot make ext4 report an error")
    with open(path, "w", encoding="ascii") as file:
        file.write("1")


class LockWithoutFile:
    """A lock that keeps no file open for writing: with one open, the kernel refuses to remount read-only."""

    def __init__(self, filesystem: Filesystem, state: Directory, label: str) -> None:
        self.is_held = False

    def acquire(self, timeout_seconds: float) -> None:
        self.is_held = True

    def release(self) -> None:
        self.is_held = False


class End(NamedTuple):
    """How a run on a failing disk ended: its outcome, or its error."""

    outcome: Outcome | None
    error: Exception | None

    def told(self, scenario: Scenario) -> Scenario:
        """The scenario with the state after it that the outcome tells of: what failed stays where it was."""
        after = dict(scenario.after)
        for source, destination, failure in self.outcome.failures if self.outcome else ():
            if failure is not None and not failure.copied:
                del after[destination]
            if source is not None:
                after[source] = scenario.before[source]
        return replace(scenario, after=after)


def run_to_the_end(disk: Disk, scenario: Scenario, filesystem: Filesystem, **options: Any) -> End:
    """Run, whatever comes of it."""
    try:
        return End(run(disk, scenario, filesystem, **options), None)
    except (JournalError, OSError) as error:
        return End(None, error)
