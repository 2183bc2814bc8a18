"""The pipeline with its home on every kind of file system, through the command line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from tests.filesystems.conftest import Mount
from tests.filesystems.judging import check_exactly_once, check_moved, check_no_probe, check_refusal, files_below
from tests.filesystems.mounts import Kind
from tests.support.shop import CLI, Shop
from tests.support.tasks import backups_of

pytestmark = pytest.mark.filesystems

MANY, FEW = 70, 3
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
    copied.folder, copied.home = shop.folder, path / "home"
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


@pytest.mark.parametrize(
    ("own_files", "state"),
    [pytest.param(MANY, True, id="many-with-the-state"), pytest.param(FEW, False, id="few-without-the-state")],
)
def test_run_on_a_copied_home_backs_up_every_file_or_is_refused_in_words(
    mount: Mount, kind: Kind, shop_with_a_run: Shop, own_files: int, state: bool
) -> None:
    """A home was copied here, with its state directories or without; its next run moves what it reports as moved.

    The log that was moved is not written any more: its checksum before the run is its checksum in the backup.
    """
    system = mount(kind)
    shop, task = shop_on(shop_with_a_run, system.root, own_files=own_files, state=state)
    before = movable(task)
    log = hashlib.sha256(before["data_pipeline.log"]).hexdigest()
    done = shop.call(CLI, "run", task.name, "--json")
    if judge_run(task, before, done) == "backed up":
        (backup,) = backups_of(task)
        assert hashlib.sha256((backup / "data_pipeline.log").read_bytes()).hexdigest() == log


def test_new_task_can_be_created_or_the_refusal_says_why(mount: Mount, kind: Kind, shop_with_a_run: Shop) -> None:
    """A new task publishes its table list, which is a transaction."""
    system = mount(kind)
    shop, _ = shop_on(shop_with_a_run, system.root, own_files=0)
    done = shop.call(
        CLI, "tasks", "create", "--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt", "--json"
    )
    if done.returncode:
        check_refusal(text_of(done), FAULTS)
        return
    task = shop.home / "training_data" / json.loads(done.stdout)["task_id"]
    assert (task / "table_list.txt").read_text() == (shop.folder / "tables.txt").read_text()
    check_no_probe(task)
