"""A home of an earlier version, whole or half done: opened, recovered, listed, restored and run by the present one.

Only the command line, HTTP and files of the present version are used here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.losses import PRECIOUS
from tests.support.server import API, data, running_server
from tests.support.shop import CLI, Shop
from tests.support.waiting import PATIENCE_SECONDS
from tests.upgrade.conftest import Left
from tests.upgrade.older import OlderVersion

Files = Counter[tuple[str, str]]
Calls = list[list[str]]


NOBODY_S = ("backup_info.json", "data_pipeline.log")
"""A record is that of one transaction, which may be undone; a log goes on growing."""


def task_of(left: Left) -> Path:
    return left.shop.home / "training_data" / left.task_id


def state_of(left: Left) -> Path:
    """Where the journals of the task are."""
    return task_of(left).parent / ".journal" / left.task_id


def journals_of(left: Left) -> list[Path]:
    """Finished or not; `.journal-probe` is none."""
    return list(state_of(left).glob("[0-9]*.journal*"))


def files_in(folder: Path) -> Files:
    """Name and SHA-256 of the files of one folder."""
    return Counter(
        (path.name, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.iterdir()
        if path.is_file() and path.name not in NOBODY_S
    )


def all_files(left: Left) -> Files:
    """The same of a task, wherever they are: in place, in a backup, in a folder of a person, or kept."""
    roots = [task_of(left), *state_of(left).glob("kept-*")]
    folders = [folder for root in roots for folder in (root, *root.rglob("*")) if folder.is_dir()]
    return sum((files_in(folder) for folder in folders), Counter())


def check_nothing_is_lost(left: Left, before: Files) -> None:
    """Every file that existed is there, a person's in as many places as before; no backup is half a backup."""
    after = all_files(left)
    assert not before - after, "lost"
    for name in PRECIOUS:
        assert {key: count for key, count in after.items() if key[0] == name} == {
            key: count for key, count in before.items() if key[0] == name
        }
    for backup in task_of(left).glob("file_bak_*"):
        assert not os.listdir(backup) or (backup / "backup_info.json").exists(), f"{backup.name} is half a backup"
    assert not journals_of(left), "a journal is left"
    assert not [path for path in state_of(left).iterdir() if path.suffix in (".conflict", ".damaged")]


def outcomes(runs: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(run["execution_id"], run["status"]) for run in runs}


def check_it_is_in_use_again(left: Left, before: Files) -> None:
    """The backups that there were are listed and restored, and the task runs; afterwards all is still there."""
    shop, task = left.shop, left.task_id
    listed = {backup["name"]: backup for backup in shop.answer("backups", "list", task)}
    for backup in left.backups:
        assert listed[backup["name"]]["file_count"] == backup["file_count"]
        shown = shop.answer("backups", "show", task, backup["name"])
        assert {file["name"] for file in shown["files"]} >= {
            name for name, _ in files_in(task_of(left) / backup["name"])
        }
    oldest = left.backups[-1]["name"]
    shop.answer("backups", "restore", task, oldest)
    assert not files_in(task_of(left) / oldest) - files_in(task_of(left))
    assert not before - all_files(left)
    shop.answer("run", task)
    assert not before - all_files(left)
    runs = shop.answer("tasks", "show", task)["executions"]
    assert outcomes(left.runs) <= outcomes(runs)
    assert runs[0]["status"] == "completed"


# ---- whole -----------------------------------------------------------------------------------------------------------


def test_whole_home_of_an_earlier_version_is_in_use_at_once(left: Callable[[], Left]) -> None:
    """Nothing to recover, no problem for the doctor; tasks, runs, backups and their files are as they were left."""
    home = left()
    before = all_files(home)
    doctor = home.shop.call(CLI, "doctor", "--json")
    assert doctor.returncode == 0, doctor.stdout
    assert home.shop.answer("recover")[home.task_id]["state"] == "clean"
    assert [task["task_id"] for task in home.shop.answer("tasks", "list")] == [home.task_id]
    check_nothing_is_lost(home, before)
    check_it_is_in_use_again(home, before)


def test_vector_store_of_an_earlier_version_is_searched_exported_loaded_and_restored(left: Callable[[], Left]) -> None:
    """Every pair is still in it, its backup is listed, good, and brings back as many items of each kind."""
    home = left()
    shop, backup = home.shop, home.vector_backup
    exported = shop.call(CLI, "export", home.task_id, "--format", "chat-jsonl").stdout
    assert home.pairs
    for pair in home.pairs:
        assert json.dumps(pair["question"], ensure_ascii=False) in exported
    assert pair["sql"] in {item["sql"] for item in shop.answer("search", pair["question"], "--kind", "sql")}
    (listed,) = shop.answer("vectors", "list")
    assert (listed["timestamp"], listed["problem"]) == (backup["timestamp"], None)
    assert (listed["item_count"], listed["backup_path"]) == (backup["item_count"], backup["backup_path"])
    shop.answer("run", home.task_id)
    restored = shop.answer("vectors", "restore", backup["backup_path"], backup["timestamp"])
    assert restored["items"] == backup["items_by_kind"]
    shop.answer("run", home.task_id)


# ---- half done -------------------------------------------------------------------------------------------------------


def numbers(calls: Calls, verb: str, *, of: str = "") -> list[int]:
    """The numbers of the calls of a verb whose last name ends so, counted from 1, before the first step begins."""
    steps = next((number for number, call in enumerate(calls) if call[-1].startswith("work-run")), len(calls))
    return [number for number, call in enumerate(calls[:steps], 1) if call[0] == verb and call[-1].endswith(of)]


def middle(found: list[int]) -> int:
    return found[len(found) // 2]


def steps_of(calls: Calls, verb: str) -> list[int]:
    """The numbers of the calls of a verb on a file of the first step."""
    first = {"customer.ddl", "customer_detail.md", "purchase.ddl", "purchase_detail.md"}
    found = [number for number, call in enumerate(calls, 1) if call[0] == verb and call[-1] in first]
    return found[len(first) :]  # those before are of the backup


RUN = ("run",)
RESTORE = ("backups", "restore")
MOMENTS: dict[str, tuple[tuple[str, ...], Callable[[Calls], int]]] = {
    "the journal is not announced": (RUN, lambda calls: numbers(calls, "rename")[0]),
    "the journal is announced": (RUN, lambda calls: numbers(calls, "link")[0]),
    "half of the names are linked": (RUN, lambda calls: middle(numbers(calls, "link"))),
    "half of the old names are gone": (RUN, lambda calls: middle(numbers(calls, "unlink"))),
    "the commit record is not written": (RUN, lambda calls: numbers(calls, "write_at")[0]),
    "the commit record is written": (RUN, lambda calls: numbers(calls, "unlink", of=".journal")[0]),
    "half of a step is published": (RUN, lambda calls: middle(steps_of(calls, "link"))),
    "half of a restore is linked": (RESTORE, lambda calls: middle(numbers(calls, "link"))),
    "half of a restore is gone": (RESTORE, lambda calls: middle(numbers(calls, "unlink"))),
}
"""When the earlier version dies: a command, and which of its changing calls it does not make any more."""


@pytest.mark.parametrize("first", ["recover", "run"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_run_of_an_earlier_version_killed_half_done_is_put_in_order_and_nothing_is_lost(
    moment: str, first: str, older: OlderVersion, left: Callable[[], Left]
) -> None:
    """I3, I4 over versions: its journal is played back or finished by `recover`, or by the next run of the task."""
    home = left()
    command, choose = MOMENTS[moment]
    words = (*command, home.task_id, *((home.backups[-1]["name"],) if command == RESTORE else ()))
    death = choose(older.calls(left().shop, *words))
    before = all_files(home)
    older.dies(home.shop, death, *words)
    assert len(journals_of(home)) == 1
    if first == "recover":
        report = home.shop.answer("recover")
        assert report[home.task_id]["state"] == "recovered", report
    else:
        home.shop.answer("run", home.task_id)
    check_nothing_is_lost(home, before)
    check_it_is_in_use_again(home, before)


# ---- queued and under way --------------------------------------------------------------------------------------------

IN_ITS_BACKUP = "30"
"""The changing call of the disk, counted from the start of the earlier version's server, that it dies at."""


def queue(older: OlderVersion, shop: Shop, *role: str, death: str, task_id: str) -> None:
    """Let a server of the earlier version admit a run of a task; then it ends, one way or the other."""
    words = [*older.server_words, death, ""]
    with running_server(shop, *role, words=words) as server:
        assert server.execute(task_id).status_code == 202
        if role:
            assert server.status(task_id)["execution"]["status"] == "queued"
            server.terminate()
        else:
            assert server.process.wait(timeout=PATIENCE_SECONDS) == -9


def run_of(shop: Shop, task_id: str) -> dict[str, Any]:
    """The newest run of a task, once a server of the present version has ended it."""
    with running_server(shop) as server:
        server.wait_until_ended(task_id)
        runs = data(server.client.get(f"{API}/tasks/{task_id}/executions"))["executions"]
        newest: dict[str, Any] = runs[0]
        return newest


def test_run_that_an_earlier_version_has_queued_is_run(older: OlderVersion, left: Callable[[], Left]) -> None:
    """The queue in the own database outlives the upgrade."""
    home = left()
    before = all_files(home)
    queue(older, home.shop, "--role", "api", death="0", task_id=home.task_id)
    newest = run_of(home.shop, home.task_id)

    assert newest["execution_id"] not in {run["execution_id"] for run in home.runs}
    assert newest["status"] == "completed", newest
    check_nothing_is_lost(home, before)


def test_run_that_an_earlier_version_was_killed_in_ends_and_nothing_is_lost(
    older: OlderVersion, left: Callable[[], Left]
) -> None:
    """It goes on or, where the present version cannot, is failed with the advice to execute it again."""
    home = left()
    before = all_files(home)
    queue(older, home.shop, death=IN_ITS_BACKUP, task_id=home.task_id)
    assert len(journals_of(home)) == 1
    newest = run_of(home.shop, home.task_id)

    assert newest["execution_id"] not in {run["execution_id"] for run in home.runs}
    if newest["status"] != "completed":
        assert "xecute the task again" in newest["error_message"]
    check_nothing_is_lost(home, before)
    check_it_is_in_use_again(home, before)
