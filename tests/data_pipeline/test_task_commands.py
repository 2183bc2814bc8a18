"""`data-pipeline tasks`: list, show, create, delete, files, logs, without a server and beside one."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from data_pipeline.tasks.workspace import open_workspace
from tests.support.server import SERVER_WITH_DISK, running_server
from tests.support.shop import CLI, PATIENCE_SECONDS, Shop
from tests.support.waiting import wait_until

NEW = ["--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt"]


def test_asking_makes_nothing(shop: Shop) -> None:
    """An empty folder has no tasks, and stays empty; the home is named, as it may be the wrong one."""
    listed = shop.call(CLI, "tasks", "list")
    shown = shop.call(CLI, "tasks", "show", "task_20200101_000000")

    assert (listed.returncode, str(shop.home) in listed.stdout) == (0, True)
    assert shop.answer("tasks", "list") == []
    assert shown.returncode == 1
    assert "DATA_PIPELINE_HOME" in shown.stderr
    assert not shop.home.exists()


def test_task_is_created_listed_run_and_shown(shop: Shop) -> None:
    """`create` prints the id alone, so that `run` can take it."""
    created = shop.call(CLI, "tasks", "create", *NEW, "--task-name", "nightly")
    task_id = created.stdout.strip()
    pending = shop.answer("tasks", "list", "--status", "pending")
    shop.answer("run", task_id)
    shop.answer("run", task_id)
    shown = shop.answer("tasks", "show", task_id)

    assert re.fullmatch(r"task_\d{8}_\d{6}", task_id)
    assert [(row["task_id"], row["task_name"], row["directory_exists"]) for row in pending] == [
        (task_id, "nightly", True)
    ]
    assert shop.answer("tasks", "list", "--status", "pending") == []
    assert (shown["status"], [run["status"] for run in shown["executions"]]) == ("completed", ["completed"] * 2)
    assert shown["executions"][0]["backup"]["directory"].startswith("file_bak_")
    plain = shop.call(CLI, "tasks", "show", task_id).stdout
    assert f"task       {task_id} (nightly)" in plain
    assert "step       ddl_generation: completed" in plain
    row = shop.call(CLI, "tasks", "list").stdout.split("\t")
    assert (row[:3], row[4]) == ([task_id, "completed", "shop"], "nightly\n")


def test_list_says_how_many_more_there_are(shop: Shop) -> None:
    """The newest first."""
    ids = [shop.answer("tasks", "create", *NEW)["task_id"] for _ in range(3)]
    done = shop.call(CLI, "tasks", "list", "--limit", "2")

    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ids[:0:-1]
    assert "2 of 3 tasks" in done.stderr


def test_bad_input_of_create_makes_no_task(shop: Shop) -> None:
    """Every table must exist in the database."""
    (shop.folder / "missing.txt").write_text("custome\n")
    done = shop.call(CLI, "tasks", "create", *NEW[:3], "missing.txt")

    assert (done.returncode, "near: customer" in done.stderr) == (1, True)
    assert shop.answer("tasks", "list") == []


def test_files_and_logs_of_a_task(shop: Shop) -> None:
    """Those of the newest run; older ones are in the backups."""
    task = shop.new_task()
    names = {file["file_name"] for file in shop.answer("tasks", "files", task.name)}
    assert {"table_list.txt", "customer.ddl", "data_pipeline.log"} <= names
    assert "customer.ddl\tddl\t" in shop.call(CLI, "tasks", "files", task.name).stdout

    entries = shop.answer("tasks", "logs", task.name)
    assert "begins" in entries[0]["message"]
    last = shop.call(CLI, "tasks", "logs", task.name, "-n", "1").stdout
    assert (last.count("\n"), " INFO Run run_" in last) == (1, True)
    assert shop.call(CLI, "tasks", "logs", task.name, "--level", "ERROR").stdout == ""


def test_log_is_followed_into_the_next_run(shop: Shop) -> None:
    """A run begins a new log; whoever follows sees it from its beginning."""
    task = shop.new_task()
    following = subprocess.Popen(
        [*CLI, "tasks", "logs", task.name, "-n", "1", "--follow"],
        cwd=shop.folder,
        env={**os.environ, **shop.environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    try:
        first = following.stdout.readline()
        run_id = shop.answer("run", task.name)["run_id"]
        line = following.stdout.readline()
        assert run_id not in first
        assert f"Run {run_id} begins" in line
    finally:
        following.kill()
        following.communicate(timeout=PATIENCE_SECONDS)


# ---- delete ---------------------------------------------------------------------------------------------------------


def test_deletion_needs_a_word_and_can_be_looked_at_first(shop: Shop) -> None:
    """Where nobody can be asked, --yes; --dry-run changes nothing."""
    task = shop.new_task()
    shop.answer("run", task.name)
    refused = shop.call(CLI, "tasks", "delete", task.name)
    would = shop.answer("tasks", "delete", task.name, "--dry-run")

    assert (refused.returncode, "--yes" in refused.stderr) == (1, True)
    assert [(one["state"], one["backup_count"]) for one in would] == [("would be deleted", 1)]
    assert (task / "customer.ddl").exists()
    assert ": deleted (files: 21, backups: 1, " in shop.call(CLI, "tasks", "delete", task.name, "--yes").stdout
    assert not task.exists()
    assert shop.answer("tasks", "list") == []


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("y", 0)])
def test_person_at_a_terminal_is_asked(shop: Shop, answer: str, code: int) -> None:
    """And shown before what would go."""
    task = shop.new_task()
    keyboard, terminal = os.openpty()
    try:
        asking = subprocess.Popen(
            [*CLI, "tasks", "delete", task.name],
            cwd=shop.folder,
            env={**os.environ, **shop.environment},
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.write(keyboard, f"{answer}\n".encode())
        said, _ = asking.communicate(timeout=PATIENCE_SECONDS)
    finally:
        os.close(keyboard)
        os.close(terminal)

    assert (asking.returncode, task.exists()) == (code, code == 1)
    assert "to be deleted (files: " in said


def test_history_stays_on_request(shop: Shop) -> None:
    """The list then says that the directory is gone."""
    task = shop.new_task()
    shop.answer("tasks", "delete", task.name, "--yes", "--keep-history")

    assert [row["directory_exists"] for row in shop.answer("tasks", "list")] == [False]


def test_one_task_that_cannot_be_deleted_does_not_stop_the_others(shop: Shop) -> None:
    """The one whose directory is held stays whole; exit code 4, as the same command again would be refused."""
    held, free = shop.new_task(), shop.new_task()
    with open_workspace(str(held), held.name, label="night shift", timeout_seconds=0):
        done = shop.call(CLI, "tasks", "delete", held.name, free.name, "--yes", "--json")

    assert done.returncode == 4
    assert [one["state"] for one in json.loads(done.stdout)] == ["failed", "deleted"]
    assert "night shift" in done.stdout
    assert ((held / "customer.ddl").exists(), free.exists()) == (True, False)


def test_unknown_task_among_those_to_be_deleted_changes_nothing(shop: Shop) -> None:
    """All names are looked at before anything goes."""
    task = shop.new_task()
    done = shop.call(CLI, "tasks", "delete", task.name, "task_20200101_000000", "--yes")

    assert (done.returncode, task.exists()) == (1, True)


def test_run_of_a_server_keeps_its_task(shop: Shop) -> None:
    """Queued or running: it is the queue that is asked, not the directory."""
    go = shop.folder / "go"
    with running_server(shop, words=[*SERVER_WITH_DISK, "wait"], GO_FILE=str(go)) as server:
        task_id = server.new_task("customer")
        run = server.execute(task_id).json()["data"]["execution_id"]
        wait_until(lambda: server.client.get("/health").json()["runs_active"])
        done = shop.call(CLI, "tasks", "delete", task_id, "--yes")
        go.touch()
        server.wait_until_ended(task_id)

    assert (done.returncode, run in done.stdout) == (75, True)
    assert (shop.home / "training_data" / task_id / "customer.ddl").exists()
