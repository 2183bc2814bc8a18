"""What a kill must never lose, and how to see that it did not."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from tests.support.shop import Shop
from tests.support.tasks import backups_of

PRECIOUS = {f"precious_{number}.json": f"precious {number}" for number in range(8)}


def files_of(task: Path) -> Counter[tuple[str, str]]:
    """Name and content of every file of a task, wherever it is: in place, in a backup, or kept."""
    roots = [task, *(task.parent / ".journal" / task.name).glob("kept-*")]
    found = [path for root in roots for path in root.rglob("*") if path.is_file() and path.name != "backup_info.json"]
    return Counter((path.name, path.read_text()) for path in found)


def check_nothing_is_lost(shop: Shop, task_id: str, before: Counter[tuple[str, str]], reason: str) -> None:
    """Every file that existed is there once, every backup has its record and its run, nothing is half done."""
    task = shop.home / "training_data" / task_id
    after = files_of(task)
    lost = {entry for entry, count in before.items() if after[entry] < count and entry[0] != "data_pipeline.log"}
    assert not lost, f"{reason}: {lost}"
    assert all(after[entry] == 1 for entry in PRECIOUS.items()), f"{reason}: a file has two places"
    for backup in backups_of(task):
        assert not os.listdir(backup) or "backup_info.json" in os.listdir(backup), (
            f"{reason}: {backup} is half a backup"
        )
    runs = [backup["run_id"] for backup in shop.answer("backups", "list", task_id) if backup["file_count"]]
    assert len(runs) == len(set(runs)), f"{reason}: a run has two backups"
    left = [name for name in os.listdir(task.parent / ".journal" / task_id) if not name.startswith("kept-")]
    assert set(left) <= {"lock", "ready", "holder", ".journal-probe"}, f"{reason}: {left}"
