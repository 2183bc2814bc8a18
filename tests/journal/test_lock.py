"""The lock between objects, threads and real processes, and the note about its holder."""

from __future__ import annotations

import errno
import fcntl
import gc
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import portalocker.portalocker
import pytest

import journal
import journal.lock
from journal import (
    DirectoryBusy,
    FileLock,
    Holder,
    InvalidOperation,
    LocalFilesystem,
    StateUnusable,
    Transaction,
    lock_directory,
    state_directory_of,
)
from journal.filesystem import Directory, open_lock_file
from journal.lock import is_locked, read_holder

PATIENCE_SECONDS = 30.0
"""How long a test waits for what must happen; nothing waits that long unless it fails."""


# ---- what the tests stand on ------------------------------------------------------------------------------------


class Program:
    """A Python script in its own process, which prints lines and waits for `resume`."""

    def __init__(self, script: str, *arguments: str) -> None:
        found = str(Path(journal.__file__).parents[1])
        paths = os.pathsep.join(filter(None, [found, os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
            text=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def read_line(self) -> str:
        """Read the next line of its output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def resume(self) -> None:
        """Send a line, for which the script waits."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """Kill -9, and wait for the end of the process."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def end(self) -> None:
        """Close its input and wait for its end."""
        try:
            self.process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            self.process.kill()


Start = Callable[..., Program]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start scripts, and wait for their end after the test."""
    programs: list[Program] = []

    def start_program(script: str, *arguments: str) -> Program:
        programs.append(Program(script, *arguments))
        return programs[-1]

    yield start_program
    for program in programs:
        program.end()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Directory]:
    """An open state directory."""
    disk = LocalFilesystem()
    path = tmp_path / "state"
    path.mkdir()
    directory = disk.open_directory(str(path))
    yield directory
    disk.close(directory)


@pytest.fixture
def lock_of(state: Directory) -> Iterator[Callable[..., FileLock]]:
    """Make locks of that state directory, and release them after the test."""
    locks: list[FileLock] = []

    def make(label: str = "test", disk: LocalFilesystem | None = None) -> FileLock:
        locks.append(FileLock(disk or LocalFilesystem(), state, label))
        return locks[-1]

    yield make
    for lock in locks:
        lock.release()


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A directory to be locked."""
    path = tmp_path / "task"
    path.mkdir()
    return path


def path_in(state: Directory, name: str) -> Path:
    return Path(state.path, name)


def note_of(state: Directory) -> Holder:
    """Return the note, which must exist."""
    note = read_holder(LocalFilesystem(), state)
    assert note is not None
    return note


def is_free(lock_of: Callable[..., FileLock]) -> bool:
    """True if the lock is free now."""
    probe = lock_of("probe")
    try:
        probe.acquire(0)
    except DirectoryBusy:
        return False
    probe.release()
    return True


# ---- one holder at a time ---------------------------------------------------------------------------------------


def test_two_locks_in_one_process_exclude_each_other(lock_of: Callable[..., FileLock]) -> None:
    """I6: flock belongs to the open file, not to the process; lockf would let the second one in."""
    first, second = lock_of(), lock_of()
    first.acquire(0)

    with pytest.raises(DirectoryBusy):
        second.acquire(0)

    assert (first.is_held, second.is_held) == (True, False)


def test_released_lock_can_be_taken_by_another(lock_of: Callable[..., FileLock]) -> None:
    """A release is enough: nothing of the first owner is left."""
    first, second = lock_of(), lock_of()
    first.acquire(0)
    first.release()

    second.acquire(0)

    assert (first.is_held, second.is_held) == (False, True)


def test_failed_attempt_of_another_lock_does_not_free_the_holders(lock_of: Callable[..., FileLock]) -> None:
    """I6: closing a descriptor of a busy lock file must not drop the lock, as it does with lockf."""
    holder = lock_of()
    holder.acquire(0)
    for _ in range(3):
        with pytest.raises(DirectoryBusy):
            lock_of().acquire(0)
        gc.collect()

    assert not is_free(lock_of)


def test_threads_exclude_each_other(lock_of: Callable[..., FileLock]) -> None:
    """I6: a service works on several requests at once."""
    first, second = lock_of(), lock_of()
    first.acquire(0)

    with ThreadPoolExecutor(1) as thread, pytest.raises(DirectoryBusy):
        thread.submit(second.acquire, 0).result(PATIENCE_SECONDS)

    assert not second.is_held


def test_waiting_thread_gets_the_lock_when_it_is_released(lock_of: Callable[..., FileLock]) -> None:
    """The wait ends when the lock is free, not with the timeout."""
    first, second = lock_of(), lock_of()
    first.acquire(0)

    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(second.acquire, PATIENCE_SECONDS)
        time.sleep(0.05)
        assert not waiting.done()
        first.release()
        waiting.result(PATIENCE_SECONDS)

    assert second.is_held


HOLD = """
import sys
from journal import lock_directory

with lock_directory(sys.argv[1], label=sys.argv[2], timeout_seconds=0):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""


def test_second_process_finds_the_directory_busy_until_the_first_releases_it(start: Start, task: Path) -> None:
    """I6: one writer at a time on one directory."""
    program = start(HOLD, str(task), "another run")
    assert program.read_line() == "held"

    with pytest.raises(DirectoryBusy):
        lock_directory(task, label="test", timeout_seconds=0)

    program.resume()
    assert program.read_line() == "released"
    lock_directory(task, label="test", timeout_seconds=0).release()


def test_waiting_process_gets_the_lock_when_the_other_releases_it(start: Start, task: Path) -> None:
    """A run that starts a moment too early waits and does its work."""
    program = start(HOLD, str(task), "another run")
    assert program.read_line() == "held"

    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(lock_directory, task, label="test", timeout_seconds=PATIENCE_SECONDS)
        time.sleep(0.05)
        assert not waiting.done()
        program.resume()
        waiting.result(PATIENCE_SECONDS).release()


def test_kill_9_frees_the_lock_at_once(start: Start, task: Path) -> None:
    """The kernel frees it: no stale lock ever needs an operator."""
    program = start(HOLD, str(task), "doomed run")
    assert program.read_line() == "held"

    program.kill()

    locked = lock_directory(task, label="test", timeout_seconds=0)
    assert note_of(locked._state).pid == os.getpid()

    locked.release()


COUNT = """
import sys
from journal import lock_directory

path, counter, times = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(times)):
    with lock_directory(path, label="count", timeout_seconds=60):
        with open(counter) as file:
            number = int(file.read())
        with open(counter, "w") as file:
            file.write(str(number + 1))
"""


def test_racing_processes_never_hold_the_lock_together(start: Start, task: Path, tmp_path: Path) -> None:
    """I6: of many increments by several processes none is lost, from the first use of the directory on."""
    counter = tmp_path / "counter"
    counter.write_text("0")

    programs = [start(COUNT, str(task), str(counter), "50") for _ in range(3)]
    assert [program.read_line() for program in programs] == ["ready"] * 3
    for program in programs:
        program.resume()

    assert [program.process.wait(PATIENCE_SECONDS) for program in programs] == [0, 0, 0]
    assert counter.read_text() == "150"


def test_locks_of_two_directories_do_not_exclude_each_other(tmp_path: Path) -> None:
    """Two tasks under one parent run side by side."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()

    with (
        lock_directory(tmp_path / "one", label="test", timeout_seconds=0),
        lock_directory(tmp_path / "two", label="test", timeout_seconds=0),
    ):
        pass


def test_two_spellings_of_one_directory_share_one_lock(task: Path) -> None:
    """I6: a path through a symbolic link or with dots leads to the same directory."""
    link = task.parent.parent / "link"
    link.symlink_to(task.parent)

    with lock_directory(task, label="test", timeout_seconds=0):
        for spelling in (link / task.name, task / ".." / "task"):
            with pytest.raises(DirectoryBusy):
                lock_directory(spelling, label="test", timeout_seconds=0)


# ---- waiting ----------------------------------------------------------------------------------------------------


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the times at which the kernel was asked for a lock."""
    times: list[float] = []

    def flock(fd: int, flags: int) -> None:
        if flags & fcntl.LOCK_EX:
            times.append(time.monotonic())
        fcntl.flock(fd, flags)

    monkeypatch.setattr(portalocker.portalocker, "LOCKER", flock)
    return times


def test_without_a_timeout_the_lock_is_tried_once(lock_of: Callable[..., FileLock], attempts: list[float]) -> None:
    """`timeout_seconds=0` tests whether the lock is busy now."""
    lock_of().acquire(0)
    attempts.clear()

    with pytest.raises(DirectoryBusy) as busy:
        lock_of().acquire(0)

    assert len(attempts) == 1
    assert busy.value.waited_seconds < PATIENCE_SECONDS


def test_with_a_timeout_the_lock_is_tried_often_until_its_end(
    lock_of: Callable[..., FileLock], attempts: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every 0.02 s, so a waiting process does not lose a quarter of a second after the release."""
    lock_of().acquire(0)
    attempts.clear()
    sleeps: list[float] = []
    real_sleep = time.sleep

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        real_sleep(seconds)

    monkeypatch.setattr(time, "sleep", sleep)

    with pytest.raises(DirectoryBusy) as busy:
        lock_of().acquire(0.1)

    assert 0.1 <= busy.value.waited_seconds < PATIENCE_SECONDS
    assert len(attempts) > 1
    assert max(sleeps) <= 0.0201


def test_seconds_waited_are_measured_by_the_clock_given(
    lock_of: Callable[..., FileLock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the waiting time of this call alone."""
    lock_of().acquire(0)
    now = [100.0]

    def flock(fd: int, flags: int) -> None:
        now[0] += 7.5
        fcntl.flock(fd, flags)

    monkeypatch.setattr(portalocker.portalocker, "LOCKER", flock)

    with pytest.raises(DirectoryBusy, match=r"waited \d+\.\d s") as busy:
        lock_of().acquire(0, clock=lambda: now[0])

    assert busy.value.waited_seconds == now[0] - 100.0 >= 7.5


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_interrupt_while_waiting_leaves_the_lock_as_it_was(
    lock_of: Callable[..., FileLock], monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]
) -> None:
    """Ctrl-C ends the wait at once, does not take the lock and does not free it."""
    holder, impatient = lock_of(), lock_of()
    holder.acquire(0)

    def flock(fd: int, flags: int) -> None:
        if flags & fcntl.LOCK_EX:
            raise interrupt

    with monkeypatch.context() as patched:
        patched.setattr(portalocker.portalocker, "LOCKER", flock)
        with pytest.raises(interrupt):
            impatient.acquire(PATIENCE_SECONDS)

    assert (holder.is_held, impatient.is_held) == (True, False)
    assert not is_free(lock_of)


@pytest.mark.parametrize("then", [None, SystemExit])
def test_interrupt_while_the_note_is_written_leaves_the_lock_free(
    lock_of: Callable[..., FileLock], then: type[BaseException] | None
) -> None:
    """The caller gets no lock, and so could not release it; also when the note cannot be removed."""

    class Interrupted(LocalFilesystem):
        was_interrupted = False

        def create(self, directory: Directory, name: str, chunks: Iterable[bytes]) -> None:
            if name == "holder":
                self.was_interrupted = True
                raise KeyboardInterrupt
            super().create(directory, name, chunks)

        def unlink(self, directory: Directory, name: str) -> bool:
            if self.was_interrupted and then is not None:
                raise then
            return super().unlink(directory, name)

    interrupted = lock_of(disk=Interrupted())
    with pytest.raises(then or KeyboardInterrupt):
        interrupted.acquire(0)

    assert not interrupted.is_held
    assert is_free(lock_of)


# ---- who holds it -----------------------------------------------------------------------------------------------


def test_busy_error_names_the_holder(start: Start, task: Path) -> None:
    """Process, machine, time and label: enough to decide whether to wait."""
    before = datetime.now(UTC)
    program = start(HOLD, str(task), "nightly run 7")
    assert program.read_line() == "held"

    with pytest.raises(DirectoryBusy) as busy:
        lock_directory(task, label="test", timeout_seconds=0)

    error, holder = busy.value, busy.value.holder
    assert error.lock_path == os.path.join(state_directory_of(str(task)), "lock")
    assert holder is not None
    assert (holder.pid, holder.host, holder.label) == (program.pid, socket.gethostname(), "nightly run 7")
    assert before <= holder.since <= datetime.now(UTC)
    for fact in (error.lock_path, "'nightly run 7'", str(program.pid), socket.gethostname(), "UTC", "Try again"):
        assert fact in str(error)


def test_holder_reads_as_a_sentence() -> None:
    """The label comes first, because users recognise it."""
    holder = Holder(pid=815, host="pipeline-1", since=datetime(2025, 1, 21, 9, 44, tzinfo=UTC), label="run 7")

    assert str(holder) == "'run 7' (process 815 on pipeline-1, since 2025-01-21 09:44:00 UTC)"


def link_to_a_good_note(path: Path) -> None:
    note = path.parent.parent / "note"
    note.write_text('{"pid": 1, "host": "elsewhere", "since": "2020-01-01T00:00:00Z", "label": "somebody"}')
    path.symlink_to(note)


UNREADABLE_NOTES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "torn": lambda path: path.write_bytes(b'{"pid": 815, "host": "pipe'),
    "not-UTF-8": lambda path: path.write_bytes(b'{"pid": 815, "host": "\xff\xfe"}'),
    "not-an-object": lambda path: path.write_bytes(b"[815]"),
    "incomplete": lambda path: path.write_bytes(b'{"pid": 815}'),
    "wrong-type": lambda path: path.write_bytes(b'{"pid": "me", "host": "", "since": "now", "label": ""}'),
    "a-directory": os.mkdir,
    "a-link-to-a-good-one": link_to_a_good_note,
}


@pytest.mark.parametrize("spoil", UNREADABLE_NOTES.values(), ids=UNREADABLE_NOTES)
def test_unreadable_note_is_not_an_error(
    lock_of: Callable[..., FileLock], state: Directory, spoil: Callable[[Path], object]
) -> None:
    """The lock decides, the note only explains: the error then names another process."""
    lock_of().acquire(0)
    path_in(state, "holder").unlink()
    spoil(path_in(state, "holder"))

    assert read_holder(LocalFilesystem(), state) is None
    with pytest.raises(DirectoryBusy, match="held by another process") as busy:
        lock_of().acquire(0)
    assert busy.value.holder is None


@pytest.mark.parametrize("spoil", UNREADABLE_NOTES.values(), ids=UNREADABLE_NOTES)
def test_note_of_a_dead_owner_in_any_state_does_not_block_the_lock(
    lock_of: Callable[..., FileLock], state: Directory, spoil: Callable[[Path], object]
) -> None:
    """Kill -9 may come in the middle of the note; the next owner can take the lock."""
    spoil(path_in(state, "holder"))
    lock = lock_of()

    lock.acquire(0)

    assert lock.is_held
    assert not is_free(lock_of)


def test_note_names_the_holder_and_is_removed_with_the_lock(lock_of: Callable[..., FileLock], state: Directory) -> None:
    """A note without a holder would be wrong."""
    lock = lock_of("run 7")
    assert read_holder(LocalFilesystem(), state) is None

    lock.acquire(0)
    note = note_of(state)
    lock.release()

    assert (note.pid, note.label) == (os.getpid(), "run 7")
    assert note.since.utcoffset() == timedelta(0)
    assert os.listdir(state.path) == ["lock"]


def test_note_of_a_dead_owner_is_replaced(lock_of: Callable[..., FileLock], state: Directory) -> None:
    """Kill -9 leaves the note behind."""
    path_in(state, "holder").write_text('{"pid": 1, "host": "grave", "since": "2020-01-01T00:00:00Z", "label": "dead"}')

    lock_of("alive").acquire(0)

    assert note_of(state).label == "alive"


def test_label_of_bytes_that_are_not_text_is_escaped_in_the_note(
    lock_of: Callable[..., FileLock], state: Directory
) -> None:
    """A label may contain a file name; the note is for people and is valid UTF-8."""
    lock_of(os.fsdecode(b"r\xe9sum\xe9")).acquire(0)

    assert note_of(state).label == "r\\xe9sum\\xe9"
    assert json.loads(path_in(state, "holder").read_text("utf-8"))["pid"] == os.getpid()


class Noteless(LocalFilesystem):
    """A disk on which the note cannot be created, or not removed."""

    def create(self, directory: Directory, name: str, chunks: Iterable[bytes]) -> None:
        if name == "holder":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        super().create(directory, name, chunks)

    def unlink(self, directory: Directory, name: str) -> bool:
        if name == "holder":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), name)
        return super().unlink(directory, name)


def test_lock_is_taken_although_its_note_cannot_be_written(lock_of: Callable[..., FileLock]) -> None:
    """On a full disk a recovery may free space, so it must get the lock without a note."""
    lock = lock_of("test", Noteless())

    lock.acquire(0)

    assert lock.is_held
    assert not is_free(lock_of)


def test_lock_is_released_although_its_note_cannot_be_removed(lock_of: Callable[..., FileLock]) -> None:
    """The next owner does not have to wait."""
    lock = lock_of("test", Noteless())
    lock.acquire(0)

    lock.release()

    assert not lock.is_held
    assert is_free(lock_of)


# ---- one object -------------------------------------------------------------------------------------------------


def test_new_lock_is_not_held(lock_of: Callable[..., FileLock], state: Directory) -> None:
    """The constructor neither locks nor writes."""
    assert not lock_of().is_held
    assert os.listdir(state.path) == []


def test_taking_a_lock_twice_through_one_object_is_refused_and_keeps_it(lock_of: Callable[..., FileLock]) -> None:
    """The lock library would return silently, and the first release would free the lock."""
    lock = lock_of()
    lock.acquire(0)

    with pytest.raises(InvalidOperation, match="locked through this object already"):
        lock.acquire(PATIENCE_SECONDS)

    assert lock.is_held
    assert not is_free(lock_of)


def test_release_without_the_lock_does_nothing(lock_of: Callable[..., FileLock], state: Directory) -> None:
    """A second release must not free the next owner's lock nor remove its note."""
    first, second = lock_of("first"), lock_of("second")
    first.release()
    first.acquire(0)
    first.release()
    second.acquire(0)

    first.release()

    assert not is_free(lock_of)
    assert note_of(state).label == "second"


def test_released_lock_can_be_taken_again_through_the_same_object(lock_of: Callable[..., FileLock]) -> None:
    """An object can be used several times."""
    lock = lock_of()
    for _ in range(3):
        lock.acquire(0)
        assert lock.is_held
        lock.release()
        assert not lock.is_held


def test_lock_object_that_lost_a_race_can_try_again(lock_of: Callable[..., FileLock]) -> None:
    """The object is unchanged after a busy directory."""
    first, second = lock_of(), lock_of()
    first.acquire(0)
    with pytest.raises(DirectoryBusy):
        second.acquire(0)
    first.release()

    second.acquire(0)

    assert second.is_held


def test_lock_file_is_never_deleted_nor_emptied(lock_of: Callable[..., FileLock], state: Directory) -> None:
    """If it were deleted, two processes could lock two files of one name."""
    path_in(state, "lock").write_bytes(b"whatever")
    inode = os.stat(path_in(state, "lock")).st_ino
    lock = lock_of()

    lock.acquire(0)
    lock.release()

    assert path_in(state, "lock").read_bytes() == b"whatever"
    assert os.stat(path_in(state, "lock")).st_ino == inode


def test_held_lock_survives_the_garbage_collector(lock_of: Callable[..., FileLock]) -> None:
    """The lock object keeps the file open, because a collected handle would unlock."""
    lock = lock_of()
    lock.acquire(0)

    gc.collect()

    assert lock.is_held
    assert not is_free(lock_of)


def test_lock_object_that_is_dropped_frees_the_lock(lock_of: Callable[..., FileLock], state: Directory) -> None:
    """A forgotten release gives a warning and does not block the rest of the process."""

    def forget() -> None:
        forgotten = FileLock(LocalFilesystem(), state, "forgotten")
        forgotten.acquire(0)

    def forget_for_good() -> None:
        forget()
        gc.collect()

    with pytest.warns(ResourceWarning):
        forget_for_good()

    assert is_free(lock_of)


def test_busy_lock_leaves_no_descriptor_open(lock_of: Callable[..., FileLock]) -> None:
    """A process that tries every second for a week must not run out of descriptors."""
    lock_of().acquire(0)
    free_before = os.open(os.devnull, os.O_RDONLY)
    os.close(free_before)

    with pytest.raises(DirectoryBusy):
        lock_of().acquire(0.05)

    free_after = os.open(os.devnull, os.O_RDONLY)
    os.close(free_after)
    assert free_after == free_before


# ---- forks ------------------------------------------------------------------------------------------------------

FORK_AND_ASK = """
import json, os, sys
from journal import DIRECTORY, DirectoryBusy, InvalidOperation, lock_directory

path = sys.argv[1]
locked = lock_directory(path, label="parent", timeout_seconds=0)
begun = locked.transaction("begun before the fork")
begun.make_directory("made")
staging = locked.make_state_folder("work-1")

def outcome(action):
    try:
        action()
    except Exception as error:
        return type(error).__name__
    return "done"

def again():
    lock_directory(path, label="child", timeout_seconds=0).release()

child = os.fork()
if child == 0:
    print(json.dumps({
        "is held": locked._lock.is_held,
        "commit": outcome(begun.commit),
        "transaction": outcome(lambda: locked.transaction("begun in the child")),
        "recover": outcome(locked.recover),
        "folder": outcome(lambda: locked.make_state_folder("work-2")),
        "write": outcome(lambda: locked.write(staging, "file", [b"content"])),
        "copy": outcome(lambda: locked.copy(DIRECTORY, "file", staging, "copy")),
        "remove": outcome(lambda: locked.remove_state_folder(staging)),
        "second lock": outcome(again),
        "same object": outcome(lambda: locked._lock.acquire(0)),
    }), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(json.dumps({"is held": locked._lock.is_held, "commit": outcome(begun.commit)}), flush=True)
locked.release()
"""


def test_forked_child_does_not_hold_its_parents_lock(start: Start, task: Path) -> None:
    """I6: the child shares the open file, but every change is refused there; the parent goes on."""
    (task / "file").write_bytes(b"content")
    program = start(FORK_AND_ASK, str(task))

    child, parent = json.loads(program.read_line()), json.loads(program.read_line())

    assert child.pop("is held") is False
    assert child.pop("second lock") == "DirectoryBusy"
    assert child == dict.fromkeys(child, "InvalidOperation")
    assert parent == {"is held": True, "commit": "done"}
    assert sorted(os.listdir(task)) == ["file", "made"]


FORK_AND_RELEASE = """
import os, sys
from journal import lock_directory

locked = lock_directory(sys.argv[1], label="parent", timeout_seconds=0)
child = os.fork()
if child == 0:
    locked.release()
    print("released", flush=True)
    sys.stdin.readline()
    os._exit(0)
sys.stdin.readline()
os.waitpid(child, 0)
"""


def test_release_in_a_forked_child_does_not_free_the_parents_lock(start: Start, task: Path) -> None:
    """The clean-up of a worker must neither free the parent's lock nor remove its note."""
    program = start(FORK_AND_RELEASE, str(task))
    assert program.read_line() == "released"

    with pytest.raises(DirectoryBusy) as busy:
        lock_directory(task, label="test", timeout_seconds=0)

    assert busy.value.holder is not None
    assert busy.value.holder.pid == program.pid


def test_forked_child_that_released_does_not_keep_a_dead_parents_lock(start: Start, task: Path) -> None:
    """After kill -9 of the parent, the lock is free although a worker lives on, if the worker has closed its copy."""
    program = start(FORK_AND_RELEASE, str(task))
    assert program.read_line() == "released"

    program.kill()

    lock_directory(task, label="test", timeout_seconds=0).release()


def test_release_under_another_process_id_only_closes_its_own_copy(
    lock_of: Callable[..., FileLock], state: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The behaviour of a forked child, seen from inside, with another copy of the open file as the parent's."""
    lock = lock_of("parent")
    lock.acquire(0)
    assert lock._lock is not None
    assert lock._lock.fh is not None
    parents_copy = os.dup(lock._lock.fh.fileno())

    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: 0)
        held_by_child = lock.is_held
        lock.release()

    assert not held_by_child
    assert not is_free(lock_of)
    assert note_of(state).label == "parent"

    os.close(parents_copy)
    assert is_free(lock_of)


FORK_AND_OUTLIVE = """
import os, sys
from journal import lock_directory

locked = lock_directory(sys.argv[1], label="parent", timeout_seconds=0)
child = os.fork()
if child == 0:
    sys.stdin.readline()
    os._exit(0)
locked.release()
print("released", flush=True)
os.waitpid(child, 0)
"""


def test_parents_release_frees_the_lock_though_a_child_still_has_the_file_open(start: Start, task: Path) -> None:
    """The owner unlocks; it does not merely close its copy of the file."""
    program = start(FORK_AND_OUTLIVE, str(task))
    assert program.read_line() == "released"

    lock_directory(task, label="test", timeout_seconds=0).release()

    program.resume()


# ---- strangers at the lock file ---------------------------------------------------------------------------------


def meddle(monkeypatch: pytest.MonkeyPatch, *deeds: Callable[[str], object]) -> None:
    """Let a stranger act each time between the opening of the lock file and its locking."""
    remaining = list(deeds)

    def open_and_meddle(path: str, flags: int) -> int:
        fd = open_lock_file(path, flags)
        if remaining:
            remaining.pop(0)(path)
        return fd

    monkeypatch.setattr(journal.lock, "open_lock_file", open_and_meddle)


def replace(path: str) -> None:
    Path(path + ".new").touch()
    os.replace(path + ".new", path)


@pytest.mark.parametrize(
    "deeds",
    [[os.unlink], [replace], [os.unlink, replace, os.unlink]],
    ids=["deleted", "replaced", "deleted-and-replaced-again-and-again"],
)
def test_lock_file_that_a_stranger_took_away_before_it_was_locked_protects_nothing(
    lock_of: Callable[..., FileLock], monkeypatch: pytest.MonkeyPatch, deeds: list[Callable[[str], object]]
) -> None:
    """I6: the locked file must have the name `lock`, or the next process locks another file."""
    meddle(monkeypatch, *deeds)
    lock = lock_of()

    lock.acquire(0)

    assert lock.is_held
    assert not is_free(lock_of)
    lock.release()
    assert is_free(lock_of)


def test_new_lock_file_that_another_has_locked_already_is_busy(
    lock_of: Callable[..., FileLock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """I6: the name decides; a lock on the old file protects nothing."""
    other, late = lock_of("other"), lock_of("late")

    def replace_and_lock(path: str) -> None:
        replace(path)
        other.acquire(0)

    meddle(monkeypatch, replace_and_lock)

    with pytest.raises(DirectoryBusy) as busy:
        late.acquire(0)

    assert busy.value.holder is not None
    assert busy.value.holder.label == "other"
    assert (other.is_held, late.is_held) == (True, False)


def test_time_spent_on_a_lock_file_that_was_taken_away_counts(
    lock_of: Callable[..., FileLock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timeout bounds the whole call, not each attempt."""
    other = lock_of("other")
    now = [0.0]

    def replace_after_long(path: str) -> None:
        now[0] += 2 * PATIENCE_SECONDS
        replace(path)
        other.acquire(0)

    meddle(monkeypatch, replace_after_long)
    started = time.monotonic()

    with pytest.raises(DirectoryBusy):
        lock_of().acquire(PATIENCE_SECONDS, clock=lambda: now[0])

    assert time.monotonic() - started < PATIENCE_SECONDS / 2


@pytest.mark.parametrize("is_dangling", [False, True], ids=["live", "dangling"])
def test_lock_file_that_is_a_symbolic_link_is_refused(
    lock_of: Callable[..., FileLock], state: Directory, tmp_path: Path, is_dangling: bool
) -> None:
    """Its target is neither locked, nor emptied, nor created."""
    target = tmp_path / "target"
    if not is_dangling:
        target.write_bytes(b"precious")
    path_in(state, "lock").symlink_to(target)
    lock = lock_of()

    with pytest.raises(StateUnusable, match="its lock file cannot be opened"):
        lock.acquire(0)

    assert not lock.is_held
    assert (target.read_bytes() == b"precious") if not is_dangling else not target.exists()
    assert path_in(state, "lock").is_symlink()


def test_lock_file_that_a_stranger_put_behind_a_link_before_it_was_locked_is_refused(
    lock_of: Callable[..., FileLock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """I6: the next process would be refused at the link, so the name itself must be the locked file's."""

    def put_behind_a_link(path: str) -> None:
        os.rename(path, path + ".aside")
        os.symlink(path + ".aside", path)

    meddle(monkeypatch, put_behind_a_link)
    lock = lock_of()

    with pytest.raises(StateUnusable, match="its lock file cannot be opened"):
        lock.acquire(0)

    assert not lock.is_held


def test_lock_file_that_is_a_directory_is_refused(lock_of: Callable[..., FileLock], state: Directory) -> None:
    """An operator has to inspect it."""
    path_in(state, "lock").mkdir()

    with pytest.raises(StateUnusable, match="its lock file cannot be opened"):
        lock_of().acquire(0)


def test_state_directory_that_was_removed_meanwhile_is_unusable(
    lock_of: Callable[..., FileLock], state: Directory
) -> None:
    """It existed when it was opened; a lock in a removed directory protects nothing."""
    os.rmdir(state.path)

    with pytest.raises(StateUnusable, match="its lock file cannot be opened"):
        lock_of().acquire(0)


LOCK_AS_STRANGER = """
import os, sys
from journal import FileLock, LocalFilesystem, StateUnusable

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
disk = LocalFilesystem()
try:
    FileLock(disk, disk.open_directory(sys.argv[1]), "test").acquire(0)
except StateUnusable as error:
    print(error, flush=True)
os._exit(0)
"""


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter, unlike those of pytest."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_lock_file_of_another_user_gives_an_error_that_names_it(start: Start, open_directory: Path) -> None:
    """Root ran it once, and the service cannot open it: the error names the file and the solution."""
    lock = open_directory / "lock"
    lock.touch()
    lock.chmod(0o600 if os.geteuid() == 0 else 0o000)

    message = start(LOCK_AS_STRANGER, str(open_directory)).read_line()

    assert message.startswith(f"The state directory {open_directory} cannot be used")
    assert f"the lock file {lock} belongs to another user and cannot be opened" in message
    assert "Run this as its owner, or give its group access" in message


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_refused_lock_file_leaves_the_lock_free_for_other_users(
    lock_of: Callable[..., FileLock], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Only this user is refused: the lock was not taken and does not have to be released."""

    def refuse(path: str, flags: int) -> int:
        raise OSError(number, os.strerror(number), path)

    with monkeypatch.context() as patched:
        patched.setattr(journal.lock, "open_lock_file", refuse)
        lock = lock_of()
        with pytest.raises(StateUnusable, match="belongs to another user and cannot be opened"):
            lock.acquire(0)

    assert not lock.is_held
    assert is_free(lock_of)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EIO])
def test_file_system_that_cannot_lock_makes_the_state_directory_unusable(
    lock_of: Callable[..., FileLock], state: Directory, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """I6: nothing begins without a lock; the error is not that of a busy lock."""

    def flock(fd: int, flags: int) -> None:
        if flags & fcntl.LOCK_EX:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(portalocker.portalocker, "LOCKER", flock)
    lock = lock_of()

    with pytest.raises(StateUnusable, match="its file system cannot lock files") as unusable:
        lock.acquire(PATIENCE_SECONDS)

    assert unusable.value.path == state.path
    assert os.strerror(number) in str(unusable.value)
    assert not lock.is_held
    assert not path_in(state, "holder").exists()


def test_lock_file_that_another_process_creates_first_is_used(
    lock_of: Callable[..., FileLock], state: Directory
) -> None:
    """Two processes that start together make the state directory together."""

    class Slow(LocalFilesystem):
        def create(self, directory: Directory, name: str, chunks: Iterable[bytes]) -> None:
            if name == "lock" and not path_in(directory, "lock").exists():
                path_in(directory, "lock").write_bytes(b"made by another")
            super().create(directory, name, chunks)

    lock = lock_of("test", Slow())

    lock.acquire(0)

    assert lock.is_held
    assert path_in(state, "lock").read_bytes() == b"made by another"


# ---- asking without taking --------------------------------------------------------------------------------------


def test_check_of_the_lock_leaves_no_trace(lock_of: Callable[..., FileLock], state: Directory) -> None:
    """Held, not held, never used: neither the lock nor the note changes."""
    lock = lock_of("run 7")
    never_used = is_locked(state)
    assert os.listdir(state.path) == []
    lock.acquire(0)
    while_held = is_locked(state)
    note = note_of(state)
    lock.release()

    assert (never_used, while_held, is_locked(state)) == (False, True, False)
    assert note.label == "run 7"
    assert is_free(lock_of)


def test_check_of_a_held_lock_does_not_free_it(lock_of: Callable[..., FileLock], state: Directory) -> None:
    """I6: many checks do not change the lock."""
    lock_of().acquire(0)

    assert [is_locked(state) for _ in range(3)] == [True] * 3
    assert not is_free(lock_of)


def test_two_checks_at_the_same_time_do_not_report_each_other_as_a_holder(
    lock_of: Callable[..., FileLock], state: Directory
) -> None:
    """A check takes a shared lock for a moment; only a writer takes an exclusive one."""
    lock = lock_of()
    lock.acquire(0)
    lock.release()
    other_asker = os.open(path_in(state, "lock"), os.O_RDONLY)
    fcntl.flock(other_asker, fcntl.LOCK_SH | fcntl.LOCK_NB)

    assert not is_locked(state)

    os.close(other_asker)


def test_check_sees_the_lock_of_another_process_and_its_death(start: Start, task: Path) -> None:
    """A journal is hot only if its owner is dead, which the kernel shows."""
    program = start(HOLD, str(task), "another run")
    assert program.read_line() == "held"
    disk = LocalFilesystem()
    state = disk.open_directory(state_directory_of(str(task)))

    while_alive = is_locked(state)
    program.kill()

    assert (while_alive, is_locked(state)) == (True, False)
    assert note_of(state).pid == program.pid

    disk.close(state)


# ---- a locked directory -----------------------------------------------------------------------------------------


def test_locked_directory_is_busy_for_others_and_free_after_with(task: Path) -> None:
    """I6: recovery and transactions alike happen under one lock."""
    with lock_directory(task, label="first", timeout_seconds=0), pytest.raises(DirectoryBusy, match="first"):
        lock_directory(task, label="second", timeout_seconds=0)

    lock_directory(task, label="second", timeout_seconds=0).release()


def test_directory_is_free_after_an_error_inside_with(task: Path) -> None:
    """An exception does not keep the lock."""
    with pytest.raises(ValueError, match="mistake"), lock_directory(task, label="test", timeout_seconds=0):
        raise ValueError("mistake")

    lock_directory(task, label="test", timeout_seconds=0).release()


def test_directory_is_free_when_its_recovery_fails(task: Path) -> None:
    """The operator who is needed must be able to lock it."""
    lock_directory(task, label="test", timeout_seconds=0).release()
    journal_path = Path(state_directory_of(str(task)), "20250121T094400123456-1a2b3c4d.journal")
    journal_path.write_bytes(b"not a journal\n")

    with pytest.raises(journal.JournalDamaged):
        lock_directory(task, label="test", timeout_seconds=0)

    lock_directory(task, label="test", timeout_seconds=0).release()


def test_releasing_a_locked_directory_twice_frees_it_once(task: Path) -> None:
    """A release inside `with` is followed by another one."""
    with lock_directory(task, label="first", timeout_seconds=0) as locked:
        locked.release()
        with lock_directory(task, label="second", timeout_seconds=0):
            locked.release()
            with pytest.raises(DirectoryBusy):
                lock_directory(task, label="third", timeout_seconds=0)


def test_released_directory_refuses_to_work(task: Path) -> None:
    """I6: nothing changes without the lock, through any object."""
    locked = lock_directory(task, label="test", timeout_seconds=0)
    begun = locked.transaction("begun under the lock")
    begun.make_directory("made")
    locked.release()

    for work in (begun.commit, locked.recover, lambda: locked.transaction("late")):
        with pytest.raises(InvalidOperation, match="not locked by this process"):
            work()

    assert os.listdir(task) == []


def test_transaction_alone_keeps_its_directory_locked(task: Path) -> None:
    """I6: a caller who keeps the transaction but drops the directory has not released anything."""

    def begin() -> Transaction:
        return lock_directory(task, label="test", timeout_seconds=0).transaction("kept")

    transaction = begin()
    gc.collect()

    with pytest.raises(DirectoryBusy):
        lock_directory(task, label="test", timeout_seconds=0)

    vars(transaction)["_locked"].release()


def test_busy_directory_leaves_no_descriptor_open(task: Path) -> None:
    """A process that tries every second for a week must not run out of descriptors."""
    with lock_directory(task, label="first", timeout_seconds=0):
        free_before = os.open(os.devnull, os.O_RDONLY)
        os.close(free_before)
        with pytest.raises(DirectoryBusy):
            lock_directory(task, label="second", timeout_seconds=0)
        free_after = os.open(os.devnull, os.O_RDONLY)
        os.close(free_after)

    assert free_after == free_before


def test_directory_whose_name_is_not_text_can_be_locked(tmp_path: Path) -> None:
    """Names are bytes to the kernel; the message shows them escaped."""
    path = tmp_path / os.fsdecode(b"t\xe2che")
    path.mkdir()

    with (
        lock_directory(path, label="test", timeout_seconds=0),
        pytest.raises(DirectoryBusy, match=r"t\\xe2che") as busy,
    ):
        lock_directory(path, label="test", timeout_seconds=0)

    assert str(busy.value).encode("utf-8")


def test_waiting_for_a_directory_ends_with_its_own_timeout(task: Path) -> None:
    """The caller sets the timeout; the error has the waiting time."""
    with lock_directory(task, label="first", timeout_seconds=0), pytest.raises(DirectoryBusy) as busy:
        lock_directory(task, label="second", timeout_seconds=0.1)

    assert 0.1 <= busy.value.waited_seconds < PATIENCE_SECONDS


def test_lock_file_that_is_replaced_again_and_again_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock on a file that has lost its name protects nothing, and the attempts end."""
    (tmp_path / "task").mkdir()
    monkeypatch.setattr(FileLock, "_is_current", lambda self, file: False)

    with pytest.raises(StateUnusable, match="replaces its lock file again and again"):
        lock_directory(tmp_path / "task", label="test", timeout_seconds=1)
