"""The real server as processes: kill -9 in every phase, SIGTERM, two servers on one directory, a slow disk."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from data_pipeline.config.settings import Settings
from data_pipeline.runs.engine import Engine
from data_pipeline.runs.worker_slots import WorkerSlots
from data_pipeline.store import Store
from tests.crash.campaign import SEED, sample
from tests.support.engine import durable_calls
from tests.support.losses import PRECIOUS, check_nothing_is_lost, files_of
from tests.support.postgres import fresh_database
from tests.support.server import API, SERVER_WITH_DISK, Server, data, new_shop, running_server
from tests.support.shop import CLI, PATIENCE_SECONDS, SCRIPT, Shop
from tests.support.waiting import wait_until

KILLS = int(os.environ.get("SERVER_KILLS", "20"))
RUNS = int(os.environ.get("SERVER_RUNS", "30"))
REQUESTS = 100


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return new_shop(tmp_path / "shop")


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, shop: Shop) -> Iterator[Shop]:
    """A shop whose store and engine are on SQLite, or on PostgreSQL by one setting."""
    with ExitStack() as stack:
        if request.param == "postgresql":
            shop.environment["DATA_PIPELINE_DATABASE_URL"] = stack.enter_context(fresh_database())
        yield shop


def with_more_tables(shop: Shop, count: int) -> list[str]:
    """Tables enough for a run to take its time; their names."""
    names = [f"t{number:03}" for number in range(count)]
    connection = sqlite3.connect(shop.folder / "shop.sqlite")
    connection.executescript("".join(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, x TEXT);" for name in names))
    connection.close()
    return names


def settings_of(shop: Shop) -> Settings:
    url = shop.environment.get("DATA_PIPELINE_DATABASE_URL")
    return Settings(home=shop.home, database_url=None if url is None else SecretStr(url))


def check_history(shop: Shop, task_id: str, runs: int, reason: str) -> None:
    """Every run ended completed, once, and none of its durable calls was recorded twice."""
    settings = settings_of(shop)
    with Store.open(settings.store_url) as store:
        executions = store.executions(task_id, limit=10_000)
    assert [run.status for run in executions] == ["completed"] * runs, reason
    engine = Engine.open(settings.engine_url, WorkerSlots(settings.training_data_path))
    for run in executions:
        calls = Counter(durable_calls(engine, task_id, run.execution_id))
        assert max(calls.values()) == 1, f"{reason}: {calls}"
    wait_until(lambda: not engine.unfinished(), lambda: f"{reason}: {engine.unfinished()}")
    engine.stop()


def held_open(shop: Shop) -> dict[str, Any]:
    """A server whose runs wait, at the first change of the disk, for a file `go`."""
    return {"words": [*SERVER_WITH_DISK, "wait"], "GO_FILE": str(shop.folder / "go")}


# ---- one run a task -------------------------------------------------------------------------------------------------


def test_of_many_requests_over_two_servers_one_runs_and_the_others_learn_which(shared: Shop) -> None:
    """100 at once, while the run waits: one 202, 99 times 409."""
    held = held_open(shared)
    with running_server(shared, **held) as one, running_server(shared, **held) as other:
        task_id = one.new_task("customer")
        servers = [one, other]
        with ThreadPoolExecutor(REQUESTS) as pool:
            answers = list(pool.map(lambda number: servers[number % 2].execute(task_id), range(REQUESTS)))
        assert Counter(answer.status_code for answer in answers) == {202: 1, 409: REQUESTS - 1}
        (winner,) = (data(answer)["execution_id"] for answer in answers if answer.status_code == 202)
        losers = {answer.json()["data"]["execution_id"] for answer in answers if answer.status_code == 409}
        assert losers == {winner}
        (shared.folder / "go").touch()
        assert other.wait_until_ended(task_id)["status"] == "completed"
        check_history(shared, task_id, 1, "two servers")


def test_different_tasks_run_at_the_same_time_up_to_the_setting(shop: Shop) -> None:
    """And no further."""
    with running_server(shop, DATA_PIPELINE_RUNS_AT_ONCE="3", **held_open(shop)) as server:
        tasks = [server.new_task("customer") for _ in range(5)]
        for task_id in tasks:
            server.execute(task_id)
        wait_until(lambda: server.client.get("/health").json()["runs_active"] >= 3)
        time.sleep(0.5)
        assert server.client.get("/health").json()["runs_active"] == 3
        (shop.folder / "go").touch()
        assert {server.wait_until_ended(task_id)["status"] for task_id in tasks} == {"completed"}


def test_script_started_by_hand_waits_for_an_api_run_and_the_other_way_round(shop: Shop) -> None:
    """They share the lock of the directory, and never mix files."""
    with running_server(shop, **held_open(shop)) as server:
        task_id = server.new_task("customer")
        server.execute(task_id)
        task = shop.home / "training_data" / task_id
        wait_until(lambda: server.client.get("/health").json()["runs_active"])
        time.sleep(0.3)  # it locks the directory, and waits at the first change of the disk: nothing shows that
        script = [
            "--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt", "--business-context", "x",
            "--output-dir", str(task),
        ]  # fmt: skip
        busy = shop.call(SCRIPT, *script, DATA_PIPELINE_LOCK_TIMEOUT_SECONDS="0.2")
        assert (busy.returncode, "run_" in busy.stderr) == (75, True), busy.stderr
        named = {"DATA_PIPELINE_DATABASES__SHOP": "sqlite:///shop.sqlite"}
        busy = shop.call(CLI, "run", task_id, "--lock-timeout", "0", **named)
        assert busy.returncode == 75
        (shop.folder / "go").touch()
        assert server.wait_until_ended(task_id)["status"] == "completed"
        assert shop.call(SCRIPT, *script).returncode == 0


# ---- kill -9 --------------------------------------------------------------------------------------------------------


def prepared(shop: Shop) -> tuple[str, Counter[tuple[str, str]]]:
    """A task that has run once, with precious files; its id and all its files."""
    with running_server(shop) as server:
        task_id = server.new_task("customer", "purchase")
        assert data(server.execute(task_id, wait_seconds=PATIENCE_SECONDS))["status"] == "completed"
    task = shop.home / "training_data" / task_id
    for name, content in PRECIOUS.items():
        (task / name).write_text(content)
    return task_id, files_of(task)


def check_after_restart(
    shop: Shop, server: Server, task_id: str, before: Counter[tuple[str, str]], runs: int, reason: str
) -> int:
    """The restarted server ends the run by itself; return the number of directories that it recovered at its start."""
    recovered: int = server.client.get("/health").json()["recovery"]["recovered"]
    assert server.wait_until_ended(task_id)["status"] == "completed", reason
    assert server.status(task_id)["error_message"] is None, reason
    check_history(shop, task_id, runs, reason)
    check_nothing_is_lost(shop, task_id, before, reason)
    return recovered


def test_server_killed_at_any_change_of_the_disk_goes_on_and_loses_nothing(shop: Shop, tmp_path: Path) -> None:
    """Before, during and after the backup, in the step, while publishing."""
    task_id, before = prepared(shop)
    whole = shop.copy_to(tmp_path / "whole")
    counting = Server(whole, words=[*SERVER_WITH_DISK, "0"]).wait_until_up()
    assert data(counting.execute(task_id, wait_seconds=PATIENCE_SECONDS))["status"] == "completed"
    counting.terminate()
    calls = int(counting.log.read_text().split()[-1])
    counting.close()
    assert calls > 30
    recovered = 0
    for limit in sample(range(1, calls + 1), KILLS, "server kills"):
        victim = shop.copy_to(tmp_path / f"dies_{limit}")
        server = Server(victim, words=[*SERVER_WITH_DISK, str(limit)]).wait_until_up()
        server.execute(task_id)
        server.process.wait(timeout=PATIENCE_SECONDS)
        server.close()
        reason = f"killed at call {limit} of {calls}, CRASH_SEED={SEED}"
        with running_server(victim) as restarted:
            recovered += check_after_restart(victim, restarted, task_id, before, 2, reason)
        shutil.rmtree(victim.folder)
    assert recovered or KILLS < 10, "no kill left a transaction half done: what were they good for?"


def test_server_killed_at_random_times_goes_on_and_loses_nothing(shared: Shop) -> None:
    """From outside, at any time from the request on; the server that ended the last run is the next to be killed."""
    task_id, before = prepared(shared)
    chosen = random.Random(SEED)
    with ExitStack() as servers:
        server = servers.enter_context(running_server(shared))
        for number in range(1, KILLS + 1):
            assert server.execute(task_id).status_code == 202
            time.sleep(chosen.uniform(0, 0.4))
            server.kill()
            server = servers.enter_context(running_server(shared))
            check_after_restart(shared, server, task_id, before, 1 + number, f"kill {number}, CRASH_SEED={SEED}")


def test_validation_of_a_killed_server_goes_on_where_it_was(shop: Shop) -> None:
    """Batches that had ended are not run again; until all are, the pair file is what somebody uploaded."""
    slow = (
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 150000) SELECT count(*), {} FROM n"
    )
    pairs = [{"question": f"q {number}", "sql": slow.format(number)} for number in range(160)]
    raw = json.dumps([*pairs, {"question": "broken", "sql": "SELECT x FROM nowhere"}])
    with running_server(shop) as server:
        task_id = server.new_task("customer")
        upload = {"file": ("qs_shop_pair.json", raw)}
        data(server.client.post(f"{API}/tasks/{task_id}/files", files=upload))
        server.execute(task_id, execution_mode="step", step_name="sql_validation")
        wait_until(lambda: validated(shop, task_id) > 0)
        server.kill()
    file = shop.home / "training_data" / task_id / "qs_shop_pair.json"
    assert file.read_text() == raw
    before = validated(shop, task_id)
    with running_server(shop) as server:
        status = server.wait_until_ended(task_id)

    assert 0 < before < 9
    assert status["execution"]["status"] == "completed"
    assert status["result"]["artifacts"]["sql_validation"]["valid_sql_count"] == 160
    assert json.loads(file.read_text()) == pairs
    assert file.with_name("qs_shop_pair.json.backup").read_text() == raw
    assert validated(shop, task_id) == 9


def validated(shop: Shop, task_id: str) -> int:
    """Return the number of batches that the engine has recorded."""
    with contextlib.closing(sqlite3.connect(shop.home / "engine.sqlite")) as connection:
        of_batches = "workflow_uuid LIKE ? AND function_name LIKE 'sql_validation:%'"
        found = connection.execute(f"SELECT count(*) FROM operation_outputs WHERE {of_batches}", (f"{task_id}:%",))
        return int(found.fetchone()[0])


# ---- SIGTERM --------------------------------------------------------------------------------------------------------


def test_stopped_server_gives_its_runs_to_the_next_start(shop: Shop) -> None:
    """Exit code 0, the run is neither failed nor lost, and the directory is free."""
    names = with_more_tables(shop, 400)
    with running_server(shop) as server:
        task_id = server.new_task(*names)
        server.execute(task_id)
        with server.client.stream("GET", f"{API}/tasks/{task_id}/events") as events:
            for line in events.iter_lines():
                if line == "event: table":
                    break
            started = time.monotonic()
            assert server.terminate() == 0, server.log.read_text()
        assert time.monotonic() - started < PATIENCE_SECONDS / 2
    with Store.open(settings_of(shop).store_url) as store:
        status = store.executions(task_id)[0].status
    if status != "completed":  # it may have been quicker
        assert status == "in_progress"
    with running_server(shop) as server:
        assert server.wait_until_ended(task_id)["status"] == "completed"
        check_history(shop, task_id, 1, "SIGTERM")


def test_roles_are_split_over_two_processes(shared: Shop) -> None:
    """One answers, the other works."""
    with running_server(shared, "--role", "api") as api:
        task_id = api.new_task("customer")
        assert api.execute(task_id, wait_seconds=1).status_code == 202
        with running_server(shared, "--role", "worker") as worker:
            assert worker.client.get(f"{API}/tasks/{task_id}").status_code == 404
            assert api.wait_until_ended(task_id)["status"] == "completed"


# ---- what must not block --------------------------------------------------------------------------------------------


def test_disk_that_does_not_answer_keeps_nobody_from_asking_for_health(shop: Shop) -> None:
    """Runs and uploads wait for it, as long as it takes; a loop that waited with them would answer nothing."""
    go = shop.folder / "go"
    go.touch()
    with running_server(shop, words=[*SERVER_WITH_DISK, "wait everywhere"], GO_FILE=str(go)) as server:
        *tasks, first, second = [server.new_task("customer") for _ in range(5)]
        go.unlink()
        with ThreadPoolExecutor(2) as pool:
            for task_id in tasks:
                server.execute(task_id)
            uploads = [
                pool.submit(server.client.post, f"{API}/tasks/{task_id}/table-list", json={"tables": "purchase"})
                for task_id in (first, second)
            ]
            wait_until(lambda: server.client.get("/health").json()["runs_active"] == len(tasks))
            assert {server.client.get("/health").status_code for _ in range(20)} == {200}
            assert server.client.get("/health").json()["runs_active"] == len(tasks)
            assert not any(upload.done() for upload in uploads)
            go.touch()
            assert {upload.result().status_code for upload in uploads} == {200}
        assert {server.wait_until_ended(task_id)["status"] for task_id in tasks} == {"completed"}


# ---- the beginning --------------------------------------------------------------------------------------------------


def test_servers_that_start_at_once_on_nothing_make_everything_together(shared: Shop) -> None:
    """Store, engine and slots: nobody finds a half-made table."""
    servers = [Server(shared) for _ in range(4)]
    try:
        tasks = [server.wait_until_up().new_task("customer") for server in servers]
        assert len(set(tasks)) == 4
        for server, task_id in zip(servers, tasks, strict=True):
            assert data(server.execute(task_id, wait_seconds=PATIENCE_SECONDS))["status"] == "completed"
    finally:
        for server in servers:
            server.close()


def test_log_names_the_task_of_every_line_of_a_run(shop: Shop) -> None:
    """Runs of many tasks meet there."""
    with running_server(shop) as server:
        task_id = server.new_task("customer")
        server.execute(task_id, wait_seconds=PATIENCE_SECONDS)
        assert f"[INFO] {task_id}: Step ddl_generation begins" in server.log.read_text()


def test_server_that_cannot_start_says_why_in_one_sentence(shop: Shop) -> None:
    """And changes nothing."""
    for arguments, environment, reason in (
        (["--host", "0.0.0.0"], {}, "DATA_PIPELINE_API_KEY"),
        ([], {"DATA_PIPELINE_DATABASE_URL": "postgresql://user:s3cret@127.0.0.1:1/x"}, "cannot be used"),
        ([], {"DATA_PIPELINE_RUNS_AT_ONCE": "0"}, "DATA_PIPELINE_RUNS_AT_ONCE"),
        (["--host", "192.0.2.1"], {"DATA_PIPELINE_API_KEY": "k"}, "cannot be bound"),
    ):
        done = shop.call(CLI, "serve", "--port", "0", *arguments, **environment)
        assert done.returncode == 1, done.stderr
        assert reason in done.stderr
        assert "s3cret" not in done.stderr
        assert "Traceback" not in done.stderr


def test_two_servers_share_many_short_runs_and_none_is_lost_or_double(shared: Shop) -> None:
    """One of them is killed halfway and comes back; every run ends completed, once, with one backup."""
    with running_server(shared) as one, running_server(shared) as other:
        tasks = [one.new_task("customer") for _ in range(10)]
        rounds = max(1, RUNS // len(tasks))
        for number in range(rounds):
            server = other if number % 2 else one
            for task_id in tasks:
                assert server.execute(task_id).status_code == 202
            if number == rounds // 2:
                one.kill()
                one.close()
                one = Server(shared).wait_until_up()  # noqa: PLW2901
            for task_id in tasks:
                assert other.wait_until_ended(task_id)["status"] == "completed"
        for task_id in tasks:
            check_history(shared, task_id, rounds, task_id)
        one.close()
    for task_id in tasks:
        backups = [backup["run_id"] for backup in shared.answer("backups", "list", task_id)]
        assert len(set(backups)) == len(backups) == rounds - 1
