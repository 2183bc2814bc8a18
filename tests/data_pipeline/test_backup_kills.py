"""kill -9 of the real process while it deletes backups or writes about them: a backup is whole or gone."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.tasks.backup.catalogue import list_backups
from tests.crash.campaign import SEED, sample
from tests.data_pipeline.test_backup_deletion import make_backup
from tests.support.shop import CLI, DIES_AT, Shop
from tests.support.tasks import content_below, make_task
from tests.support.warm import warm_pipeline

KILLS = max(1, int(os.environ.get("PIPELINE_KILLS", "20")) // 5)
DIES = [sys.executable, "-c", DIES_AT]
PRUNES = """
from data_pipeline import cli
from data_pipeline.tasks.backup import delete

prune = delete.prune

def begin(*arguments, **named):
    print("it begins", flush=True)
    return prune(*arguments, **named)

delete.prune = begin
cli.main()
"""
"""`data-pipeline` that prints a line once it has the lock and begins to prune."""
TASK = "task_20240101_120000"
BACKUPS = 4
MANIFESTS = "backup_manifests"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A home whose task has current files and four backups, of which the oldest has a note and checksums."""
    (tmp_path / "first").mkdir()
    shop = Shop(tmp_path / "first")
    path = make_task(task_of(shop), {"a.ddl": "current a", "data_pipeline.log": "log"})
    names = [make_backup(path, day) for day in range(BACKUPS)]
    shop.answer("backups", "note", TASK, names[0], "old note")
    shop.answer("backups", "verify", TASK, names[0], "--record-checksums")
    return shop


def task_of(shop: Shop) -> Path:
    return shop.home / "training_data" / TASK


def backups_in(shop: Shop) -> list[str]:
    """Their names, oldest first."""
    return [backup.name for backup in reversed(list_backups(str(task_of(shop))))]


COMMANDS: dict[str, Callable[[list[str]], tuple[str, ...]]] = {
    "prune": lambda names: ("prune", TASK, "--keep-last", "2", "--yes"),
    "delete": lambda names: ("delete", TASK, names[0], "--yes"),
    "checksums": lambda names: ("verify", TASK, "--record-checksums"),
    "first note": lambda names: ("note", TASK, names[1], "new note"),
    "next note": lambda names: ("note", TASK, names[0], "new note"),
    "no note": lambda names: ("note", TASK, names[0], "--clear"),
}


def end_of(shop: Shop) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """The files of the task without what is written about its backups, and that as people see it."""
    content = {name: text for name, text in content_below(task_of(shop)).items() if not name.startswith(MANIFESTS)}
    told = [
        (about["backup"], about["state"], about["checksums_recorded_at"] is not None, listed["note"])
        for about, listed in zip(
            shop.answer("backups", "verify", TASK), shop.answer("backups", "list", TASK), strict=True
        )
    ]
    return content, told


def check_whole_or_gone(shop: Shop, before: dict[str, str], reason: str) -> set[str]:
    """Every file of the task has its old content; what is gone is whole backups, which are returned."""
    after = {name: text for name, text in content_below(task_of(shop)).items() if not name.startswith(MANIFESTS)}
    missing = before.keys() - after.keys()
    gone = {name.split("/")[0] for name in missing}
    assert all(name.startswith("file_bak_") for name in gone), f"{reason}: {missing} lost"
    assert missing == {name for name in before if name.split("/")[0] in gone}, f"{reason}: a part of a backup is gone"
    assert after == {name: before[name] for name in after}, f"{reason}: a file is new or changed"
    return gone


def check_settled(shop: Shop, gone: set[str], reason: str) -> None:
    """The lock is free, no journal waits, no trash is left, and the manifests are those of the backups that stay."""
    state = task_of(shop).parent / ".journal" / TASK
    left = set(os.listdir(state)) - {"lock", "ready", "holder", ".journal-probe"}
    assert not left, f"{reason}: {left}"
    about = {name.rpartition("_")[0] for name in os.listdir(task_of(shop) / MANIFESTS)}
    assert not about & gone, f"{reason}: a manifest of a backup that is gone"
    verified = {(one["backup"], one["state"]) for one in shop.answer("backups", "verify", TASK)}
    assert verified == {(name, "good") for name in backups_in(shop)}, f"{reason}: {verified}"


@pytest.mark.parametrize("what", COMMANDS)
def test_command_killed_at_any_change_of_the_disk_and_again_while_it_recovers_ends_as_if_it_had_not_been(
    shop: Shop, tmp_path: Path, what: str
) -> None:
    """The process dies at one call, the next one dies too, recovery settles all, and the command can be repeated."""
    command = ("backups", *COMMANDS[what](backups_in(shop)))
    before, _ = end_of(shop)
    whole = shop.copy_to(tmp_path / "whole")
    done = whole.call(DIES, "0", *command)
    assert done.returncode == 0, done.stderr
    calls, expected = int(done.stderr.split()[-1]), end_of(whole)
    if what == "prune":
        assert len(check_whole_or_gone(whole, before, what)) == BACKUPS - 2
    chosen = random.Random(f"{SEED} {what}")
    for limit in sample(range(1, calls + 1), KILLS, what):
        victim = shop.copy_to(tmp_path / f"dies_{limit}")
        second = chosen.randint(1, 40)
        reason = f"{what}, killed at call {limit} of {calls}, then at {second}, CRASH_SEED={SEED}"
        assert victim.call(DIES, str(limit), *command).returncode == -signal.SIGKILL
        check_whole_or_gone(victim, before, reason)
        victim.call(DIES, str(second), *command)  # recovers first; where it comes to its end, there is nothing left
        check_whole_or_gone(victim, before, reason)
        recovered = victim.call(CLI, "recover")
        assert recovered.returncode == 0, f"{reason}: {recovered.stdout}"
        check_settled(victim, check_whole_or_gone(victim, before, reason), reason)
        last = victim.call(CLI, *command)
        is_gone = what == "delete" and "not found" in last.stderr
        assert last.returncode == 0 or is_gone, f"{reason}: {last.stderr}"
        assert end_of(victim) == expected, reason
        shutil.rmtree(victim.folder)


def test_prune_killed_at_random_times_again_and_again_deletes_whole_backups_only(shop: Shop) -> None:
    """The real command, killed from outside; each next process recovers what the last one left, and goes on."""
    for day in range(BACKUPS, 160):  # eight transactions
        make_backup(task_of(shop), day)
    names = backups_in(shop)
    before, _ = end_of(shop)
    command = ("backups", "prune", TASK, "--keep-last", "2", "--yes")
    chosen = random.Random(SEED)
    for number in range(KILLS * 2):
        warm_pipeline().run(
            PRUNES,
            *command,
            folder=shop.folder,
            environment=shop.environment,
            kill_after_seconds=2 ** chosen.uniform(-10, -3),  # a transaction takes from 1 to 50 ms
            waits_for_line=True,
        )
        gone = check_whole_or_gone(shop, before, f"kill {number}, CRASH_SEED={SEED}")
        assert gone <= set(names[:-2])
    shop.answer(*command)
    check_settled(shop, check_whole_or_gone(shop, before, "at the end"), "at the end")
    assert backups_in(shop) == names[-2:]


def test_run_killed_while_it_applies_its_policy_leaves_whole_backups_and_the_next_run_goes_on(tmp_path: Path) -> None:
    """The policy of the settings, after a complete run: a resumed run finishes it."""
    (tmp_path / "first").mkdir()
    shop = Shop(tmp_path / "first")
    path = shop.new_task()
    for day in range(3):
        make_backup(path, day)
    keep = {"DATA_PIPELINE_BACKUP_KEEP_LAST": "1"}
    done = shop.copy_to(tmp_path / "whole").call(DIES, "0", "run", path.name, **keep)
    calls = int(done.stderr.split()[-1])
    for limit in sample(range(calls - 60, calls), KILLS, "policy"):
        victim = shop.copy_to(tmp_path / f"dies_{limit}")
        reason = f"killed at call {limit} of {calls}, CRASH_SEED={SEED}"
        victim.call(DIES, str(limit), "run", path.name, **keep)
        assert victim.call(CLI, "recover").returncode == 0, reason
        assert {one["state"] for one in victim.answer("backups", "verify", path.name)} == {"good"}, reason
        last = victim.call(CLI, "run", path.name, "--json", **keep)
        assert last.returncode == 0, f"{reason}: {last.stderr}"
        assert json.loads(last.stdout)["pruned"]["errors"] == [], reason
        assert len(victim.answer("backups", "list", path.name)) == 1, reason
        shutil.rmtree(victim.folder)
