"""The pipeline with its home on every kind of file system, through the command line."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.filesystems.conftest import Mount
from tests.filesystems.homes import FAULTS, judge_run, movable, shop_on, text_of
from tests.filesystems.judging import check_no_probe, check_refusal
from tests.filesystems.mounts import ODD_KINDS, Kind
from tests.support.shop import CLI, Shop
from tests.support.tasks import backups_of

pytestmark = pytest.mark.filesystems

MANY, FEW = 70, 3


ODD = pytest.mark.parametrize("kind", ODD_KINDS, ids=lambda kind: kind.name)


def judge_run_on(kind: Kind, mount: Mount, shop_with_a_run: Shop, *, own_files: int, state: bool) -> None:
    """Copy a home there and run its task.

    The log that was moved is not written any more: its bytes before the run are its bytes in the backup afterwards.
    """
    system = mount(kind)
    shop, task = shop_on(shop_with_a_run, system.root, own_files=own_files, state=state)
    before = movable(task)
    done = shop.call(CLI, "run", task.name, "--json")
    if judge_run(task, before, done) == "backed up":
        (backup,) = backups_of(task)
        moved = hashlib.sha256((backup / "data_pipeline.log").read_bytes()).hexdigest()
        assert moved == hashlib.sha256(before["data_pipeline.log"]).hexdigest()


def test_run_of_many_files_on_a_copied_home_backs_up_every_file_or_is_refused_in_words(
    mount: Mount, kind: Kind, shop_with_a_run: Shop
) -> None:
    """The home was copied with its state directories, which say that they are ready."""
    judge_run_on(kind, mount, shop_with_a_run, own_files=MANY, state=True)


@ODD
def test_run_of_few_files_on_a_copied_home_backs_up_every_file_or_is_refused_in_words(
    mount: Mount, kind: Kind, shop_with_a_run: Shop
) -> None:
    """The home was copied without its state directories."""
    judge_run_on(kind, mount, shop_with_a_run, own_files=FEW, state=False)


@ODD
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
