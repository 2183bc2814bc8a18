"""Transactions to break, on any disk, and the check that nothing was lost.

Each scenario builds a directory /t/D, runs one transaction in it, and afterwards knows whether a tree is the state
before, the state after, or neither.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from journal import DIRECTORY, STATE, Folder, LockedDirectory, Outcome, RetryLimits, TransactionFailed, lock_directory
from journal.filesystem import Directory, Filesystem
from tests.support.model_filesystem import ModelFilesystem

PATH = "/t/D"
WORK = Folder("state", "work-1")
MANIFESTS = Folder("directory", "manifests")
Tree = Mapping[str, bytes | None]


class NoLock:
    """For disks in memory, which nobody else can open."""

    is_held = True

    def __init__(self, filesystem: Filesystem, state: Directory, label: str) -> None: ...

    def acquire(self, timeout_seconds: float) -> None: ...

    def release(self) -> None: ...


def lock(disk: Filesystem, *, recover_first: bool = True) -> LockedDirectory:
    """Lock /t/D of a disk in memory, as a new process would."""
    return lock_directory(
        PATH,
        label="test",
        filesystem=disk,
        lock_factory=NoLock,
        recover_first=recover_first,
        retry=RetryLimits(attempts=3, total_seconds=5),
        sleep=lambda _: None,
    )


def record(outcome: Outcome) -> bytes:
    """A record that carries the transaction's id, as recovery demands."""
    return f'{{"transaction":"{outcome.transaction}","moved":{outcome.moved_count}}}'.encode()


@dataclass(frozen=True)
class Scenario:
    """`build` fills an empty disk, `run` does the transaction, `is_after` knows a committed tree.

    With `moves_directories` it relies on the file system's atomic rename (I4's exception). With `commits_in_steps` it
    is several transactions, and `is_after` takes what is left when some of them were committed.
    """

    name: str
    build: Callable[[ModelFilesystem], None]
    run: Callable[[Filesystem], None]
    is_after: Callable[[Tree], bool]
    has_links: bool = True
    moves_directories: bool = False
    commits_in_steps: bool = False

    def disk(self) -> ModelFilesystem:
        """A durable disk ready for `run`."""
        disk = ModelFilesystem()
        disk.has_links = self.has_links
        disk.put("/t")
        disk.put(PATH)
        self.build(disk)
        disk.sync_all()
        return disk


def files_of(disk: ModelFilesystem) -> dict[str, bytes]:
    """The files below /t/D, by path."""
    return {path: content for path, content in disk.tree(PATH).items() if content is not None}


def verdict(scenario: Scenario, before: Mapping[str, bytes], disk: ModelFilesystem) -> str:
    """Say "before" or "after"; raises AssertionError for anything else, or when recovery left something behind."""
    now = files_of(disk)
    left = [
        path
        for path in disk.tree("/t/.journal/D")
        if not path.startswith(("lock", "ready", ".journal-probe", "work-", "kept-"))
    ]
    assert not left, f"left in the state directory: {left}"
    if now == before:
        return "before"
    assert scenario.is_after(now), f"neither before nor after: {sorted(now)}"
    return "after"


def assert_nothing_lost(originals: Mapping[str, bytes], disk: ModelFilesystem) -> None:
    """Every original content is under a name somewhere, also when somebody interfered."""
    there = Counter(content for content in disk.tree("/t").values() if content)
    missing = [name for name, content in originals.items() if not there[content]]
    assert not missing, f"lost: {missing}"


def _backup(count: int, immovable: str = "") -> Scenario:
    names = [f"f{number}" for number in range(count)]

    def build(disk: ModelFilesystem) -> None:
        disk.immovable = frozenset({immovable})
        for name in names:
            disk.put(f"{PATH}/{name}", f"content of {name}".encode())
        disk.put(f"{PATH}/table_list.txt", b"tables")

    def run(disk: Filesystem) -> None:
        with lock(disk) as directory:
            transaction = directory.transaction("backup", on_error="continue")
            backup = transaction.make_directory("bak", next_free=True)
            for name, identity in directory.scan():
                if identity.type != "directory" and name != "table_list.txt":
                    transaction.move(name, backup, copy_on_failure=True, seen=identity)
            transaction.create(backup, "info.json", record)
            transaction.commit()

    def is_after(tree: Tree) -> bool:
        expected = {f"bak/{name}": f"content of {name}".encode() for name in names}
        expected["table_list.txt"] = b"tables"
        if immovable:
            expected[immovable] = f"content of {immovable}".encode()
        return {path: content for path, content in tree.items() if path != "bak/info.json"} == expected and bool(
            tree.get("bak/info.json")
        )

    return Scenario(f"backup-{count}{'-copy' if immovable else ''}", build, run, is_after)


def _publish(count: int, *, keep: bool) -> Scenario:
    names = [f"f{number}" for number in range(count)]

    def build(disk: ModelFilesystem) -> None:
        for name in names:
            disk.put(f"{PATH}/{name}", f"old {name}".encode())

    def run(disk: Filesystem) -> None:
        with lock(disk) as directory:
            work = directory.make_state_folder(WORK.path)
            for name in (*names, "fresh"):
                directory.write(work, name, [f"new {name}".encode()])
            transaction = directory.transaction("publish")
            kept = transaction.make_directory("kept-1", root=STATE, next_free=True) if keep else None
            for name in (*names, "fresh"):
                transaction.publish(name, source=work, replaced=kept)
            transaction.commit()

    def is_after(tree: Tree) -> bool:
        return tree == {name: f"new {name}".encode() for name in (*names, "fresh")}

    return Scenario(f"publish-{count}{'-keep' if keep else ''}", build, run, is_after)


def _restore(count: int) -> Scenario:
    names = [f"f{number}" for number in range(count)]

    def build(disk: ModelFilesystem) -> None:
        disk.put(f"{PATH}/bak")
        for name in names:
            disk.put(f"{PATH}/{name}", f"current {name}".encode())
            disk.put(f"{PATH}/bak/{name}", f"old {name}".encode())

    def run(disk: Filesystem) -> None:
        with lock(disk) as directory:
            work = directory.make_state_folder(WORK.path)
            transaction = directory.transaction("restore")
            safety = transaction.make_directory("bak", next_free=True)
            for name in names:
                directory.copy(Folder("directory", "bak"), name, work, name)
                transaction.move(name, safety)
                transaction.publish(name, source=work, destination=DIRECTORY)
            transaction.create(safety, "info.json", record)
            transaction.commit()

    def is_after(tree: Tree) -> bool:
        expected = {f"bak/{name}": f"old {name}".encode() for name in names}
        expected |= {f"bak_1/{name}": f"current {name}".encode() for name in names}
        expected |= {name: f"old {name}".encode() for name in names}
        rest = dict(tree)
        return bool(rest.pop("bak_1/info.json", None)) and rest == expected

    return Scenario(f"restore-{count}", build, run, is_after)


def _trash_directory() -> Scenario:
    def build(disk: ModelFilesystem) -> None:
        disk.put(f"{PATH}/sub")
        disk.put(f"{PATH}/sub/inner", b"inner")
        disk.put(f"{PATH}/f0", b"f0")

    def run(disk: Filesystem) -> None:
        with lock(disk) as directory:
            transaction = directory.transaction("delete")
            transaction.delete("sub")
            transaction.delete("f0")
            transaction.commit()

    return Scenario("delete-tree", build, run, lambda tree: tree == {}, moves_directories=True)


def _prune(count: int) -> Scenario:
    """Delete old backups, each with its manifests in a transaction of its own, and go on past one that cannot go."""

    def files_about(number: int) -> dict[str, bytes]:
        names = [f"bak{number}/f0", f"bak{number}/info.json"]
        names += [f"manifests/bak{number}_{kind}.json" for kind in ("note", "sha256")[:number]]
        return {name: f"content of {name}".encode() for name in names}

    kept = {**files_about(count), "f0": b"current f0", "table_list.txt": b"tables"}

    def build(disk: ModelFilesystem) -> None:
        for name in ("manifests", *(f"bak{number}" for number in range(count + 1))):
            disk.put(f"{PATH}/{name}")
        for number in range(count):
            for name, content in files_about(number).items():
                disk.put(f"{PATH}/{name}", content)
        for name, content in kept.items():
            disk.put(f"{PATH}/{name}", content)

    def run(disk: Filesystem) -> None:
        with lock(disk) as directory:
            for number in range(count):
                transaction = directory.transaction(f"deletion of bak{number}")
                there = {name for name, _ in directory.scan()}
                if f"bak{number}" not in there:
                    continue  # an earlier run came so far
                transaction.delete(f"bak{number}")
                for name, _ in directory.scan(MANIFESTS):
                    if name.startswith(f"bak{number}_"):
                        transaction.delete(name, source=MANIFESTS)
                with contextlib.suppress(TransactionFailed):
                    transaction.commit()

    def is_after(tree: Tree) -> bool:
        rest = dict(tree)
        are_whole = []
        for number in range(count):
            about = files_about(number)
            found = {name: rest.pop(name) for name in about if name in rest}
            are_whole.append(found == about)
            if found and found != about:
                return False
        return rest == kept and not all(are_whole)

    return Scenario(f"prune-{count}", build, run, is_after, moves_directories=True, commits_in_steps=True)


def _put_into(*, has_folder: bool, has_file: bool) -> Scenario:
    """Write a manifest into a folder that is made where it is missing, in place of an earlier manifest."""
    others = {"manifests/other": b"other", "f0": b"f0"} if has_folder else {"f0": b"f0"}

    def build(disk: ModelFilesystem) -> None:
        if has_folder:
            disk.put(f"{PATH}/manifests")
        for name, content in others.items():
            disk.put(f"{PATH}/{name}", content)
        if has_file:
            disk.put(f"{PATH}/manifests/note", b"old note")

    def run(disk: Filesystem) -> None:
        with lock(disk) as directory:
            work = directory.make_state_folder(WORK.path)
            directory.write(work, "note", [b"new note"])
            transaction = directory.transaction("note")
            if has_file:
                transaction.publish("note", source=work, destination=MANIFESTS)
            else:
                there = {name for name, _ in directory.scan()}
                folder = MANIFESTS if "manifests" in there else transaction.make_directory("manifests")
                transaction.move("note", folder, source=work)
            transaction.commit()

    kind = "replaced" if has_file else "added" if has_folder else "first"
    return Scenario(f"manifest-{kind}", build, run, lambda tree: tree == {**others, "manifests/note": b"new note"})


BACKUP = _backup(2)
PUBLISH = _publish(2, keep=False)
PUBLISH_KEEP = _publish(1, keep=True)
RESTORE = _restore(1)
DELETE_TREE = _trash_directory()
PRUNE = _prune(2)
FIRST_MANIFEST = _put_into(has_folder=False, has_file=False)
REPLACED_MANIFEST = _put_into(has_folder=True, has_file=True)

SCENARIOS: tuple[Scenario, ...] = (
    BACKUP,
    _backup(1),
    _backup(2, immovable="f0"),
    PUBLISH,
    PUBLISH_KEEP,
    RESTORE,
    DELETE_TREE,
    PRUNE,
    FIRST_MANIFEST,
    REPLACED_MANIFEST,
)
if os.environ.get("CRASH_SAMPLES") == "all":
    SCENARIOS += (_backup(3), _prune(3), _put_into(has_folder=True, has_file=False))

WITHOUT_LINKS: tuple[Scenario, ...] = tuple(
    replace(scenario, name=f"{scenario.name}-without-links", has_links=False) for scenario in SCENARIOS
)
"""The same on a disk without hard links, which goes by names and renames."""
