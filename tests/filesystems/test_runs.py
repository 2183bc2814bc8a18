"""The pipeline with its home on every kind of file system, through the command line."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.filesystems.conftest import Mount
from tests.filesystems.homes import FAULTS, judge_run, movable, shop_on, text_of
from tests.filesystems.judging import check_no_probe, check_refusal
from tests.filesystems.mounts import Kind
from tests.support.shop import CLI, Shop
from tests.support.tasks import backups_of

pytestmark = pytest.mark.filesystems

MANY, FEW = 70, 3


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
