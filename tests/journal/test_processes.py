"""Real processes on a real disk: killed at random times, racing, interrupted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from journal import lock_directory
from tests.crash.campaign import SEED
from tests.support.backup import make_files, names_in
from tests.support.warm import WarmPython

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("JOURNAL_KILLS", "20"))
FILES = [f"table_{number:03}.ddl" for number in range(150)]

BACK_UP_FOR_EVER = """
import signal
import sys
from journal import lock_directory
from tests.support.backup import back_up, make_files
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs without it
path, names = sys.argv[1], sys.argv[2:]
print("ready", flush=True)
while True:
    with lock_directory(path, label="victim") as directory:
        back_up(directory)
        if not directory.recovered.is_clean:
            print("recovered", flush=True)
        make_files(path, *names)
"""

BACK_UP_ONCE = """
import sys
from journal import lock_directory
from tests.support.backup import back_up
sys.stdin.readline()
with lock_directory(sys.argv[1], label="racer") as directory:
    print(back_up(directory).moved_count if any(directory.scan()) else 0, flush=True)
"""


def start(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a process without measuring its coverage, because a signal could leave the lock of coverage locked."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**inherited, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture
def victims() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def files_below(path: Path) -> list[Path]:
    """Return every file below a path, without the records."""
    return [file for file in path.rglob("*") if file.is_file() and file.name != "backup_info.json"]


def inodes_below(path: Path) -> set[int]:
    """Return the inode numbers of these files."""
    return {file.stat().st_ino for file in files_below(path)}


def test_process_killed_at_random_times_never_loses_a_file(tmp_path: Path) -> None:
    """Killed while it backs up and writes again, over and over: every name is in place or in a backup, whole."""
    chosen = random.Random(SEED)
    with WarmPython("journal", "tests.support.backup") as warm:
        for number in range(KILLS):
            task = tmp_path / f"task_{number}"
            make_files(task, *FILES)
            after_seconds = chosen.uniform(0, 0.08)
            victim = warm.run(
                BACK_UP_FOR_EVER, str(task), *FILES, kill_after_seconds=after_seconds, waits_for_line=True
            )
            assert victim.returncode == -signal.SIGKILL, victim.stderr
            check_nothing_is_lost(task)


def check_nothing_is_lost(task: Path) -> None:
    """Check after a recovery that every name is in place or in a backup, once, and no backup is incomplete."""
    before = inodes_below(task)
    lock_directory(task, label="next", timeout_seconds=5).release()

    assert inodes_below(task) == before, f"CRASH_SEED={SEED}"
    assert len(files_below(task)) == len(before), f"a file has two names, CRASH_SEED={SEED}"
    assert set(FILES) <= {file.name for file in files_below(task)}, f"CRASH_SEED={SEED}"
    assert not [name for name in names_in(task.parent / ".journal" / task.name) if "journal" in name[-8:]]
    for backup in task.glob("bak*"):
        left = set(names_in(backup)) - {"backup_info.json"}
        assert not left or "backup_info.json" in names_in(backup), f"{backup} is half a backup"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_frees_the_lock_and_the_next_run_finds_everything(
    tmp_path: Path, victims: list[subprocess.Popen[str]], number: int
) -> None:
    """SIGTERM kills, SIGINT raises KeyboardInterrupt: in both cases nothing is half done after the next lock."""
    task = tmp_path / "task"
    make_files(task, *FILES)
    victim = start(BACK_UP_FOR_EVER, task, *FILES)
    victims.append(victim)
    assert victim.stdout is not None
    victim.stdout.readline()
    time.sleep(0.05)
    victim.send_signal(number)
    victim.wait(timeout=60)
    with lock_directory(task, label="next", timeout_seconds=5):
        assert set(FILES) <= {file.name for file in task.rglob("*") if file.is_file()}


def test_two_processes_that_start_at_once_back_up_once_each_file(
    tmp_path: Path, victims: list[subprocess.Popen[str]]
) -> None:
    """I6: one after the other; the second finds only the first one's backup."""
    task = tmp_path / "task"
    make_files(task, *FILES)
    victims += [start(BACK_UP_ONCE, task) for _ in range(4)]
    counts = []
    for victim in victims:
        assert victim.stdin is not None
        victim.stdin.write("go\n")
        victim.stdin.flush()
    for victim in victims:
        assert victim.stdout is not None
        counts.append(int(victim.stdout.readline()))

    assert sorted(counts) == [0, 0, 0, len(FILES)]
    assert len(files_below(task)) == len(FILES)
