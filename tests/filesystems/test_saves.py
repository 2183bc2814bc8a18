"""A program saves a file by rename while a system call of the journal is held up: its text must not be lost.

strace delays every call of a kind before the kernel begins it, so the window between the journal's look at a name and
its change of that name is open for long enough to be hit every time.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from journal import NeedsAttention, lock_directory
from tests.filesystems.children import back_up_and_die, call_in_child
from tests.filesystems.conftest import Mount
from tests.filesystems.mounts import KINDS
from tests.power.rig import CountingFilesystem
from tests.support.backup import back_up
from tests.support.shop import ROOT

pytestmark = pytest.mark.filesystems

DELAY_MICROSECONDS = 200_000
UNLINK, LINK, RENAME = "unlink,unlinkat", "link,linkat", "rename,renameat,renameat2"
FILES = {name: f"the first text of {name}\n".encode() for name in ("a.txt", "b.txt", "c.txt")}
SAVED = "b.txt"
PATIENCE_SECONDS = 120

BACK_UP = """
import sys
from journal import JournalError, lock_directory
from tests.support.backup import back_up
try:
    with lock_directory(sys.argv[1], label="backup") as directory:
        back_up(directory)
except JournalError as error:
    print(error)
"""
RECOVER = """
import sys
from journal import JournalError, lock_directory
try:
    lock_directory(sys.argv[1], label="recovery").release()
except JournalError as error:
    print(error)
"""
"""A stranger may make either fail, in words; what it saved must be there all the same."""


def traced(calls: str, *words: str) -> list[str]:
    """A command under strace: every one of these calls is printed when it begins, and then held up."""
    options = ["-f", "-qq", "-y", "-e", "signal=none", "-e", f"trace={calls}"]
    return ["strace", *options, "-e", f"inject={calls}:delay_enter={DELAY_MICROSECONDS}", *words]


class Delay(NamedTuple):
    """A kind of calls, and which of the two names in it is saved over while it is held up."""

    calls: str
    is_new_name: bool


@pytest.fixture(
    params=[
        pytest.param(Delay(UNLINK, False), id="unlink"),
        pytest.param(Delay(LINK, False), id="link"),
        pytest.param(Delay(LINK, True), id="link-new-name"),
        pytest.param(Delay(RENAME, False), id="rename"),
        pytest.param(Delay(RENAME, True), id="rename-new-name"),
    ]
)
def delay(request: pytest.FixtureRequest) -> Delay:
    """Calls to delay; skips where strace cannot."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    done = subprocess.run(traced(request.param.calls, "true"), capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"strace cannot delay calls here ({done.stderr.strip()})")
    found: Delay = request.param
    return found


@pytest.fixture(params=["ext4", "bindfs", "unionfs-fuse"])
def task(request: pytest.FixtureRequest, mount: Mount) -> Path:
    """A task directory on file systems with and without RENAME_NOREPLACE and inode numbers."""
    path = mount(KINDS[request.param]).root / "task"
    write_files(path)
    return path


def write_files(path: Path) -> None:
    path.mkdir(parents=True)
    for name, content in FILES.items():
        (path / name).write_bytes(content)


def calls_under_way(calls: str, script: str, task: Path) -> Iterator[str]:
    """Run a script under strace; give each delayed call while it is held up, as strace prints it."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        traced(calls, "-o", f"/dev/fd/{writing}", sys.executable, "-c", script, str(task)),
        pass_fds=[writing],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(writing)
    line = ""
    try:
        while chunk := os.read(reading, 1 << 16):
            for piece in chunk.decode().splitlines(keepends=True):
                line += piece
                if not line.endswith("\n"):
                    yield line
                else:
                    line = ""
        _, error = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, error
    finally:
        os.close(reading)
        process.kill()
        process.communicate()


def contents_below(path: Path) -> list[bytes]:
    """The bytes of every file, those of the state directory among them."""
    return [file.read_bytes() for file in path.rglob("*") if file.is_file()]


def place_of_a_save(line: str, task: Path, *, is_new_name: bool) -> Path | None:
    """Where to save while a call is held up: the file's name in the task or a backup, as the call has it.

    A new name is saved over only if the call promises not to replace; a rename that replaces cannot be watched.
    """
    names = [Path(folder, name) for folder, name in re.findall(r'\d+<([^>]*)>, "([^"]*)"', line)]
    if is_new_name and (len(names) != 2 or ("rename" in line and "RENAME_NOREPLACE" not in line)):
        return None
    place = names[is_new_name] if names else None
    if place is None or place.name != SAVED or not place.is_relative_to(task):
        return None
    return place if is_new_name or place.exists() else None


def save_during(delay: Delay, script: str, task: Path) -> None:
    """Save over the file whenever a delayed call is about to act on its name in the task or a backup.

    Texts are expected to be there at the end, but for those whose only name a save itself has replaced.
    """
    expected = set(FILES.values())
    saves = 0
    for line in calls_under_way(delay.calls, script, task):
        place = place_of_a_save(line, task, is_new_name=delay.is_new_name)
        if place is None:
            continue
        if place.exists() and contents_below(task.parent).count(place.read_bytes()) == 1:
            expected.discard(place.read_bytes())
        saves += 1
        text = f"save {saves}, made during {line}\n".encode()
        new = task.parent / "saving.tmp"
        new.write_bytes(text)
        os.replace(new, place)
        expected.add(text)
    if not saves:
        pytest.skip(f"none of {delay.calls} is called so that it could be saved over")
    with contextlib.suppress(NeedsAttention):
        lock_directory(task, label="next").release()
    found_texts = contents_below(task.parent)
    lost = [text.decode() for text in expected if text not in found_texts]
    assert not lost, f"of {saves} saves: LOST: {lost}"


def test_text_saved_over_a_file_during_its_backup_is_kept(task: Path, delay: Delay) -> None:
    """I5: whatever call of the backup is under way, a stranger's file is not removed."""
    save_during(delay, BACK_UP, task)


@pytest.mark.parametrize("verb", ["unlink", "write_at"], ids=["after-the-links", "before-the-commit"])
def test_text_saved_over_a_file_during_recovery_is_kept(task: Path, delay: Delay, verb: str) -> None:
    """I5: backward, too; the backup died when all files had both names, or only the new one."""
    twin = task.parent / "twin" / "task"
    write_files(twin)
    counting = CountingFilesystem()
    with lock_directory(twin, label="twin", filesystem=counting) as locked:
        back_up(locked)
    point = next(number for number, call in enumerate(counting.calls) if call.verb == verb and is_of_a_move(call.name))
    assert call_in_child(back_up_and_die, task, point).exit_code == -signal.SIGKILL
    save_during(delay, RECOVER, task)


def is_of_a_move(name: str) -> bool:
    """True for the first unlink of a user's file and for the record that commits."""
    return any(file in name for file in FILES) or name.endswith(".journal")
