"""Homes of the pipeline on strange file systems, and the judgement of a run there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tests.filesystems.judging import check_exactly_once, check_moved, check_no_probe, check_refusal, files_below
from tests.support.shop import Shop

FAULTS = ("file system", "disk i/o error")
"""How a refusal names the fault: the journal's word, and SQLite's where the store cannot be opened."""


def copy_contents(source: Path, target: Path, *, state: bool) -> None:
    """Copy files and folders without owners and modes, which not every file system has."""
    for folder, folders, names in os.walk(source):
        if not state:
            folders[:] = [name for name in folders if name != ".journal"]
        there = target / Path(folder).relative_to(source)
        there.mkdir(exist_ok=True)
        for name in names:
            shutil.copyfile(Path(folder, name), there / name)


def shop_on(shop: Shop, path: Path, *, own_files: int, state: bool = True) -> tuple[Shop, Path]:
    """Copy a shop's home to a path and add files to its task; return a shop with that home, and the task."""
    copied = Shop.__new__(Shop)
    copied.folder, copied.home, copied.is_cold = shop.folder, path / "home", shop.is_cold
    copied.environment = {**shop.environment, "DATA_PIPELINE_HOME": str(copied.home)}
    copy_contents(shop.home, copied.home, state=state)
    (task,) = copied.home.glob("training_data/task_*")
    for number in range(own_files):
        (task / f"own_{number:02}.txt").write_text(f"own file {number}\n")
    return copied, task


def text_of(done: subprocess.CompletedProcess[str]) -> str:
    """What a refused command prints for people."""
    try:
        return str(json.loads(done.stdout or done.stderr)["error"])
    except (ValueError, KeyError, TypeError):
        return done.stderr


def movable(task: Path) -> dict[str, bytes]:
    """The files that a backup moves, with their bytes."""
    found = files_below(task)
    return {name: content for name, content in found.items() if "/" not in name and name != "table_list.txt"}


def judge_run(
    task: Path, before: dict[str, bytes], done: subprocess.CompletedProcess[str], faults: Collection[str] = FAULTS
) -> str:
    """A run has moved every file into a backup with a record, or has refused in words and moved none.

    Returns `backed up` or `refused`.
    """
    own = {name: content for name, content in before.items() if name.startswith("own_")}
    check_no_probe(task)
    answer: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    if answer.get("backup", {}).get("state") != "backed_up":
        check_refusal(answer["backup"]["error"] if answer else text_of(done), faults)
        check_exactly_once(task, own)
        assert all((task / name).read_bytes() == content for name, content in own.items())
        return "refused"
    assert answer["backup"]["failed_files"] == []
    assert answer["backup"]["moved_count"] == len(before)
    backup = task / answer["backup"]["directory"]
    check_moved(task, backup, before)
    check_exactly_once(task, own)
    still_there = [name for name in own if (task / name).exists()]
    assert not still_there, f"reported as moved, and still there: {still_there}"
    record = json.loads((backup / "backup_info.json").read_text())
    assert sorted(record["moved_files"]) == sorted(before)
    assert sorted(os.listdir(backup)) == sorted([*before, "backup_info.json"])
    return "backed up"
