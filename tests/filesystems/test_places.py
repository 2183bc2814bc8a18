"""Task directories in odd places: mount points, append-only, without a parent to write to, with a FIFO as lock."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from journal import JournalError, lock_directory, state_directory_of
from tests.crash.campaign import SEED, sample
from tests.filesystems.children import (
    NOBODY,
    back_up_and_die,
    back_up_as_nobody,
    back_up_or_refusal,
    call_in_child,
    inspect_or_refusal,
)
from tests.filesystems.conftest import Mount
from tests.filesystems.homes import judge_run, movable, shop_on, text_of
from tests.filesystems.judging import check_exactly_once, check_no_probe, check_refusal, files_below
from tests.filesystems.mounts import KINDS, bind, mount_memory, unmount
from tests.power.rig import CountingFilesystem, Unavailable, command
from tests.support.backup import back_up
from tests.support.shop import CLI, Shop

pytestmark = pytest.mark.filesystems

MOUNT_FAULTS = ("mount",)
KILLS = 8
FILES = {f"file_{number:02}": f"content of file {number}\n".encode() for number in range(70)}


def needs_root() -> None:
    """Skip where mounts and flags are not allowed."""
    if os.geteuid() != 0:
        pytest.skip("mounting and chattr need root")


def write_files(path: Path) -> Path:
    """Write the files that a backup is to move."""
    path.mkdir(exist_ok=True)
    for name, content in FILES.items():
        (path / name).write_bytes(content)
    return path


def bind_onto_itself(path: Path) -> None:
    """Make a directory a mount point of the file system that it is on."""
    bind(path, path)


def mount_own_file_system(path: Path) -> None:
    """Mount an empty file system on a directory and copy its files there."""
    files = files_below(path)
    mount_memory(path)
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


MOUNTS: dict[str, Callable[[Path], None]] = {
    "bind mount": bind_onto_itself,
    "own file system": mount_own_file_system,
}


@pytest.fixture(params=list(MOUNTS))
def make_mount_point(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    needs_root()
    return MOUNTS[request.param]


@contextmanager
def flagged(path: Path, flag: str) -> Iterator[None]:
    """Give a file or directory a flag of chattr; skip where its file system has none."""
    needs_root()
    try:
        command("chattr", f"+{flag}", str(path))
    except (OSError, Unavailable) as error:
        pytest.skip(f"chattr +{flag} does not work here ({error})")
    try:
        yield
    finally:
        command("chattr", f"-{flag}", str(path))


# ---- mount points ----------------------------------------------------------------------------------------------


def test_task_that_is_a_mount_point_before_its_first_run_gets_backups_or_is_refused_in_words(
    scratch: Path, shop_with_a_run: Shop, make_mount_point: Callable[[Path], None]
) -> None:
    """The first run and the second one; no file is lost, and no option is recommended that the program lacks."""
    shop, _ = shop_on(shop_with_a_run, scratch, own_files=0)
    created = shop.answer("tasks", "create", "--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt")
    task = shop.home / "training_data" / created["task_id"]
    make_mount_point(task)
    for run in ("first", "second"):
        (task / f"own_{run}.txt").write_text(f"written before the {run} run\n")
        before = movable(task)
        done = shop.call(CLI, "run", task.name, "--json")
        judge_run(task, before, done, MOUNT_FAULTS)


def test_task_that_became_a_mount_point_after_a_run_gets_backups_or_is_refused_in_words(
    scratch: Path, shop_with_a_run: Shop, make_mount_point: Callable[[Path], None]
) -> None:
    """Its state directory is marked as ready, and does not lie on the mount any more."""
    shop, task = shop_on(shop_with_a_run, scratch, own_files=3)
    make_mount_point(task)
    before = movable(task)
    done = shop.call(CLI, "run", task.name, "--json")
    if judge_run(task, before, done, MOUNT_FAULTS) == "refused":
        findings = shop.call(CLI, "doctor").stdout.splitlines()
        assert any("mount" in line and task.name in line for line in findings), findings


def test_task_that_is_no_mount_point_any_more_keeps_its_files(scratch: Path, shop_with_a_run: Shop) -> None:
    """A bind mount comes and goes between two runs: both back up what they find, or say why not."""
    needs_root()
    shop, task = shop_on(shop_with_a_run, scratch, own_files=3)
    bind_onto_itself(task)
    judge_run(task, movable(task), shop.call(CLI, "run", task.name, "--json"), MOUNT_FAULTS)
    unmount(task)
    (task / "own_later.txt").write_text("written after the mount was gone\n")
    assert judge_run(task, movable(task), shop.call(CLI, "run", task.name, "--json"), MOUNT_FAULTS) == "backed up"


def test_backup_of_a_mount_point_killed_at_sampled_calls_is_recovered(
    scratch: Path, make_mount_point: Callable[[Path], None]
) -> None:
    """I3, I4: also where the state directory lies elsewhere, every file is in place or in the backup after a kill."""
    whole = write_files(scratch / "whole")
    make_mount_point(whole)
    counting = CountingFilesystem()
    try:
        with lock_directory(whole, label="whole", filesystem=counting) as locked:
            back_up(locked)
    except JournalError as error:
        check_refusal(str(error), MOUNT_FAULTS)
        check_exactly_once(whole, FILES)
        return
    problems = []
    for point in sample(range(len(counting.calls)), KILLS, "mount point")[:KILLS]:
        path = write_files(scratch / str(point))
        make_mount_point(path)
        assert call_in_child(back_up_and_die, path, point).exit_code == -signal.SIGKILL
        try:
            with lock_directory(path, label="recovery", timeout_seconds=5):
                check_exactly_once(path, FILES)
            folders = {os.path.dirname(name) for name in files_below(path) if not name.endswith(".json")}
            assert len(folders) == 1, f"some files are in the backup and some are not: {folders}"
        except (JournalError, AssertionError) as error:
            problems.append(f"call {point} ({counting.calls[point]}): {error}")
    if problems:
        pytest.fail("\n".join((f"CRASH_SEED={SEED}:", *problems)), pytrace=False)


# ---- directories that take no changes --------------------------------------------------------------------------


@pytest.mark.parametrize("was_used", [False, True], ids=["new", "used before"])
def test_append_only_directory_keeps_its_files_and_gets_no_probe(mount: Mount, was_used: bool) -> None:
    """With chattr +a names can be added and not removed; afterwards a backup has the user's files and nothing else."""
    system = mount(KINDS["ext4"])
    task = write_files(system.root / "task")
    if was_used:
        with lock_directory(task, label="first"):
            pass
    with flagged(task, "a"):
        try:
            with lock_directory(task, label="append-only") as locked:
                outcome = back_up(locked, "bak_1")
        except JournalError as error:
            check_refusal(str(error), ("append", "permission", "permitted"))
        else:
            assert {failure.source for failure in outcome.failures} == FILES.keys()
            assert all(failure.failure.errno for failure in outcome.failures if failure.failure)
        check_no_probe(task)
        assert {name: content for name, content in files_below(task).items() if "/" not in name} == FILES
    with lock_directory(task, label="writable again") as locked:
        outcome = back_up(locked, "bak_2")
    assert not outcome.failures
    assert {name: (task / "bak_2" / name).read_bytes() for name in FILES} == FILES
    assert sorted(os.listdir(task / "bak_2")) == sorted([*FILES, "backup_info.json"])


def test_directory_whose_parent_its_owner_may_not_write_to_gets_a_backup_or_a_refusal_that_names_the_parent(
    scratch: Path,
) -> None:
    """A user owns the task directory alone; the state directory cannot be made beside it."""
    needs_root()
    parent = scratch / "training_data"
    parent.mkdir(mode=0o755)
    task = write_files(parent / "task")
    for path in (task, *task.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    end = call_in_child(back_up_as_nobody, task)
    assert end.exit_code == 0
    if end.text:
        check_refusal(end.text, ("permission",))
        assert str(parent) in end.text
    check_exactly_once(task, FILES)


def test_run_whose_tasks_folder_takes_no_new_names_ends_in_a_backup_or_a_refusal(
    mount: Mount, shop_with_a_run: Shop
) -> None:
    """As above, through the command line: the folder of the task directories is immutable, the task is not."""
    system = mount(KINDS["ext4"])
    shop, task = shop_on(shop_with_a_run, system.root, own_files=3, state=False)
    before = movable(task)
    with flagged(task.parent, "i"):
        done = shop.call(CLI, "run", task.name, "--json")
        judge_run(task, before, done, ("permission", "permitted"))


# ---- a lock that is no file ------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [back_up_or_refusal, inspect_or_refusal], ids=["lock", "inspect"])
def test_lock_file_that_is_a_fifo_is_refused_and_not_waited_for(scratch: Path, function: Callable[[Path], str]) -> None:
    """Opening a FIFO waits for a writer for ever; the timeout of the lock does not count there."""
    task = write_files(scratch / "task")
    with lock_directory(task, label="first"):
        pass
    lock = Path(state_directory_of(str(task)), "lock")
    lock.unlink()
    os.mkfifo(lock)
    end = call_in_child(function, task, patience_seconds=15)
    assert end.exit_code is not None, "it waits for ever"
    assert end.exit_code == 0
    assert str(lock) in end.text
    check_exactly_once(task, FILES)


def test_run_whose_lock_file_is_a_fifo_ends_with_its_name(scratch: Path, shop_with_a_run: Shop) -> None:
    """As above, through the command line."""
    shop, task = shop_on(shop_with_a_run, scratch, own_files=3)
    lock = Path(state_directory_of(str(task)), "lock")
    lock.unlink()
    os.mkfifo(lock)
    done = shop.call(["timeout", "--signal=KILL", "40", *CLI], "run", task.name, "--json")
    assert done.returncode in (1, 3), "it waits for ever"
    assert str(lock) in text_of(done)
