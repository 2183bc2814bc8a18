"""Every call of locking, recovery and inspection fails once: each failure is raised as an error of the package."""

from __future__ import annotations

import errno
import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import journal.filesystem
import journal.lock
from journal import (
    JournalError,
    LocalFilesystem,
    RollbackIncomplete,
    StateUnusable,
    inspect_all,
    inspect_directory,
    lock_directory,
    recover_all,
    state_directory_of,
)
from tests.journal.test_directory import leave_hot_journal
from tests.journal.test_filesystem import Instead
from tests.support.backup import make_files, names_in

NUMBERS = (errno.EMFILE, errno.EACCES, errno.EIO)
VERBS = (
    "open_directory", "open_subdirectory", "look", "scan", "scan_inodes", "read", "read_lines", "is_prefix",
    "make_directory", "remove_directory", "remove_tree", "link", "rename", "unlink", "create", "copy", "write_at",
    "sync_file", "sync_directory",
)  # fmt: skip
CALLS = ("open", "fstat", "stat", "lstat", "mkdir", "rmdir", "link", "unlink", "write", "chown", "chmod", "fsync")


class Countdown:
    """Raises an errno at one call, counted from 0; `is_over` when there was such a call."""

    def __init__(self, at: int, number: int) -> None:
        self._left = at
        self._number = number

    @property
    def is_over(self) -> bool:
        return self._left < 0

    def count(self, what: str) -> None:
        self._left -= 1
        if self._left == -1:
            raise OSError(self._number, os.strerror(self._number), what)

    def counted(self, call: Callable[..., Any], what: str) -> Callable[..., Any]:
        def counting(*arguments: Any, **options: Any) -> Any:
            self.count(what)
            return call(*arguments, **options)

        return counting


class FailingDoor(LocalFilesystem):
    """The real disk; each verb counts."""

    def __init__(self, countdown: Countdown) -> None:
        super().__init__()
        for verb in VERBS:
            setattr(self, verb, countdown.counted(getattr(self, verb), verb))


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A directory with two files."""
    make_files(tmp_path / "task", "a", "b")
    return tmp_path / "task"


def lay_out_nothing(task: Path) -> None:
    """Leave the directory without a state directory."""


def lay_out_ready(task: Path) -> None:
    lock_directory(task, label="once").release()


def lay_out_hot(task: Path) -> None:
    leave_hot_journal(task)


def lay_out_damaged(task: Path) -> None:
    leave_hot_journal(task)
    (path,) = Path(state_directory_of(str(task))).glob("*.journal")
    path.write_bytes(b"x" + path.read_bytes()[1:])


LAYOUTS = (lay_out_nothing, lay_out_ready, lay_out_hot, lay_out_damaged)


def lock(task: Path, door: LocalFilesystem) -> None:
    lock_directory(task, label="test", timeout_seconds=0, filesystem=door).release()


def inspect(task: Path, door: LocalFilesystem) -> None:
    inspect_directory(str(task), filesystem=door)


def recover_every(task: Path, door: LocalFilesystem) -> None:
    for result in recover_all(task.parent, filesystem=door).values():
        if isinstance(result, JournalError):
            raise result


def inspect_every(task: Path, door: LocalFilesystem) -> None:
    inspect_all(str(task.parent), filesystem=door)


DOINGS = (lock, inspect, recover_every, inspect_every)


@contextmanager
def failing_door(countdown: Countdown, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalFilesystem]:
    yield FailingDoor(countdown)


@contextmanager
def failing_kernel(countdown: Countdown, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalFilesystem]:
    """Fail calls outside the door, too: portalocker opens the lock file itself."""
    failing = Instead(os, **{name: countdown.counted(getattr(os, name), name) for name in CALLS})
    with monkeypatch.context() as patched:
        patched.setattr(journal.filesystem, "os", failing)
        patched.setattr(journal.lock, "os", failing)
        yield LocalFilesystem()


@pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)
@pytest.mark.parametrize("layer", [failing_door, failing_kernel], ids=["door", "kernel"])
@pytest.mark.parametrize("doing", DOINGS, ids=lambda doing: doing.__name__)
@pytest.mark.parametrize("lay_out", LAYOUTS, ids=lambda lay_out: lay_out.__name__)
def test_errno_at_any_call_is_an_error_of_the_package_and_leaves_the_lock_free(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lay_out: Callable[[Path], None],
    doing: Callable[[Path, LocalFilesystem], None],
    layer: Callable[..., Any],
    number: int,
) -> None:
    """Never a bare OSError; no descriptor stays open; the lock is free afterwards, and every file is there."""
    for at in range(1000):
        task = tmp_path / str(at) / "task"
        make_files(task, "a", "b")
        lay_out(task)
        countdown = Countdown(at, number)
        free_before = os.open(os.devnull, os.O_RDONLY)
        os.close(free_before)
        try:
            with layer(countdown, monkeypatch) as door:
                doing(task, door)
        except JournalError as error:
            reasons = f"{error} {error.__cause__} {error.__context__}"
            assert os.strerror(number) in reasons or lay_out is lay_out_damaged
        free_after = os.open(os.devnull, os.O_RDONLY)
        os.close(free_after)
        assert free_after == free_before, f"call {at} leaves a descriptor open"
        try:
            lock_directory(task, label="next", timeout_seconds=0).release()
        except journal.NeedsAttention:
            assert lay_out is lay_out_damaged
        assert {"a", "b"} <= {name for path in (task, *task.glob("bak*")) for name in names_in(path)}
        if not countdown.is_over:
            break
    else:
        pytest.fail("a thousand calls are no end")


# ---- what may stand in the place of a file of the state directory ---------------------------------------------------


def make_socket(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


def make_link(path: Path) -> None:
    path.symlink_to(os.devnull)


def make_device(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root makes devices")
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))


ODD = (os.mkfifo, os.mkdir, make_socket, make_link, make_device)


@pytest.fixture(autouse=True)
def _no_hanging() -> Iterator[None]:
    """End a test that waits for the other end of a FIFO."""
    signal.alarm(60)
    yield
    signal.alarm(0)


def replaced(task: Path, name: str, make: Callable[[Path], object]) -> Path:
    """Replace the state directory's file of that name, or its journal, by an entry of another type."""
    state = Path(state_directory_of(str(task)))
    path = state / name if name != "journal" else next(state.glob("*.journal"))
    path.unlink(missing_ok=True)
    make(path)
    return path


@pytest.mark.parametrize("make", ODD, ids=lambda make: make.__name__)
@pytest.mark.parametrize("timeout_seconds", [0, 60])
def test_lock_that_is_not_a_regular_file_is_refused_at_once(
    task: Path, make: Callable[[Path], object], timeout_seconds: float
) -> None:
    """Without waiting for the other end of a FIFO; the error says what to do, also for an inspection."""
    lay_out_ready(task)
    path = replaced(task, "lock", make)

    with pytest.raises(StateUnusable, match=f"{path} is not a regular file: remove it"):
        lock_directory(task, label="test", timeout_seconds=timeout_seconds)
    with pytest.raises(StateUnusable, match=f"{path} is not a regular file: remove it"):
        inspect_directory(str(task))


@pytest.mark.parametrize("make", ODD, ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", ["holder", "ready"])
def test_note_that_is_not_a_regular_file_is_ignored(task: Path, make: Callable[[Path], object], name: str) -> None:
    """The note is for messages only."""
    lay_out_ready(task)
    replaced(task, name, make)

    with lock_directory(task, label="test", timeout_seconds=0):
        assert inspect_directory(str(task)).condition == "busy"


@pytest.mark.parametrize("make", ODD, ids=lambda make: make.__name__)
def test_journal_that_is_not_a_regular_file_is_reported_and_stays(task: Path, make: Callable[[Path], object]) -> None:
    """Recovery reads it or reports the reason; it does not wait."""
    lay_out_hot(task)
    path = replaced(task, "journal", make)

    with pytest.raises(RollbackIncomplete):
        lock_directory(task, label="test", timeout_seconds=0)
    with pytest.raises(StateUnusable):
        inspect_directory(str(task))

    assert os.path.lexists(path)
    assert names_in(task) != []
