"""kill -9 of the real process, in every phase of a run and at random times: nothing is lost, nothing is half done."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.crash.campaign import SEED, sample
from tests.support.losses import PRECIOUS, check_nothing_is_lost, files_of
from tests.support.shop import CLI, DIES_AT, Shop
from tests.support.warm import warm_pipeline

KILLS = int(os.environ.get("PIPELINE_KILLS", "20"))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    (tmp_path / "first").mkdir()
    return Shop(tmp_path / "first")


def prepared(shop: Shop) -> str:
    """A task with outputs of an earlier run, files of its own and a backup; returns its id."""
    task = shop.new_task()
    shop.answer("run", task.name)
    for name, content in PRECIOUS.items():
        (task / name).write_text(content)
    return task.name


def check_after_next_run(shop: Shop, task_id: str, before: Counter[tuple[str, str]], reason: str) -> None:
    """The next run succeeds, and then nothing is lost or half done."""
    done = shop.call(CLI, "run", task_id)
    assert done.returncode == 0, f"{reason}: {done.stderr}"
    check_nothing_is_lost(shop, task_id, before, reason)


def test_run_killed_at_any_change_of_the_disk_loses_nothing(shop: Shop, tmp_path: Path) -> None:
    """Before, during and after the backup, in the step, while publishing: the process dies at one call of the door."""
    task_id = prepared(shop)
    before = files_of(shop.home / "training_data" / task_id)
    words = [sys.executable, "-c", DIES_AT]
    whole = shop.copy_to(tmp_path / "whole").call(words, "0", "run", task_id)
    calls = int(whole.stderr.split()[-1])
    assert whole.returncode == 0
    assert calls > 50
    for limit in sample(range(1, calls + 1), KILLS, "kills"):
        victim = shop.copy_to(tmp_path / f"dies_{limit}")
        died = victim.call(words, str(limit), "run", task_id).returncode
        assert died in (-signal.SIGKILL, 0)  # threads count together: the last call may not be reached
        check_after_next_run(victim, task_id, before, f"killed at call {limit} of {calls}, CRASH_SEED={SEED}")
        shutil.rmtree(victim.folder)


def test_run_killed_at_random_times_loses_nothing(shop: Shop, tmp_path: Path) -> None:
    """The real command, killed from outside, at any time of its work."""
    task_id = prepared(shop)
    before = files_of(shop.home / "training_data" / task_id)
    started = time.monotonic()
    assert shop.copy_to(tmp_path / "whole").call(CLI, "run", task_id).returncode == 0
    seconds = time.monotonic() - started
    chosen = random.Random(SEED)
    for number in range(KILLS):
        victim = shop.copy_to(tmp_path / f"random_{number}")
        warm_pipeline().run(
            CLI[2],
            "run",
            task_id,
            folder=victim.folder,
            environment=victim.environment,
            kill_after_seconds=chosen.uniform(0, seconds),
        )
        check_after_next_run(victim, task_id, before, f"kill {number}, CRASH_SEED={SEED}")
        shutil.rmtree(victim.folder)
