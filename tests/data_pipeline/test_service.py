"""The service by its requests: in this process, with a real store, engine, worker and disk."""

from __future__ import annotations

import json
import logging
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from data_pipeline.errors import InvalidInput
from data_pipeline.runs import engine as engine_module
from data_pipeline.runs import event_recorder
from data_pipeline.runs.engine import Engine, RunOrder
from data_pipeline.runs.worker_slots import WorkerSlots
from data_pipeline.service.request_log import JsonLines, PlainLines, configure_logging
from data_pipeline.service.routes import executions
from data_pipeline.service.security import BODY_LIMIT_BYTES, check_binding
from data_pipeline.store import Store
from data_pipeline.tasks.workspace import open_workspace
from tests.support.server import API, data
from tests.support.service import execute, new_task, refused, serving, settings_of
from tests.support.waiting import PATIENCE_SECONDS, wait_until

# ---- the way of a task ----------------------------------------------------------------------------------------------


def test_task_is_made_executed_twice_and_its_backup_shown_and_restored(client: TestClient, folder: Path) -> None:
    """The five lines of the README."""
    created = client.post(f"{API}/tasks", json={"task_name": "first", "business_context": "a shop"})
    assert (created.status_code, created.json()["code"]) == (201, 200)
    task_id = data(created)["task_id"]
    assert created.headers["Location"] == f"{API}/tasks/{task_id}"
    assert data(created)["next_step"] == f"POST {API}/tasks/{task_id}/upload-table-list"
    upload = {"file": ("tables.txt", b"customer\npurchase\n", "text/plain")}
    assert data(client.post(f"{API}/tasks/{task_id}/upload-table-list", files=upload))["file_size"] == 18

    first = execute(client, task_id)
    assert (first.status_code, first.headers["Preference-Applied"]) == (200, f"wait={PATIENCE_SECONDS}")
    assert data(first)["backup"]["state"] == "nothing_to_back_up"
    second = data(execute(client, task_id))
    assert (second["status"], second["backup"]["moved_count"]) == ("completed", 20)

    status = data(client.get(f"{API}/tasks/{task_id}"))
    assert status["status"] == "completed"
    names = ("ddl_generation", "qa_generation", "sql_validation", "training_load")
    assert status["step_status"] == dict.fromkeys(names, "completed")
    assert status["execution"]["backup"]["statistics"]["files"] == 20
    assert status["parameters"]["db_connection"] == "shop"
    (backup,) = data(client.get(f"{API}/tasks/{task_id}/backups"))["backups"]
    details = data(client.get(f"{API}/tasks/{task_id}/backups/{backup['name']}"))
    assert {file["name"] for file in details["files"]} >= {"customer.ddl", "task_result.json", "data_pipeline.log"}
    assert details["path"] == f"{task_id}/{backup['name']}"

    url = f"{API}/tasks/{task_id}/backups/{backup['name']}/restore"
    preview = data(client.post(url, json={"dry_run": True, "files": ["customer.ddl"]}))
    assert (preview["dry_run"], preview["restored"]) == (True, ["customer.ddl"])
    restored = data(client.post(url))
    assert (len(restored["restored"]), restored["safety_backup"] is None) == (20, False)
    assert len(data(client.get(f"{API}/tasks/{task_id}/backups"))["backups"]) == 2
    task = folder / "home" / "training_data" / task_id
    assert (task / "table_list.txt").read_text() == "customer\npurchase\n"


def test_status_carries_counts_and_never_the_names_of_files(client: TestClient) -> None:
    """There may be thousands; task_result.json has them."""
    task_id = new_task(client)
    data(execute(client, task_id))
    data(execute(client, task_id))
    status = client.get(f"{API}/tasks/{task_id}")
    result = data(status)["result"]
    assert result["artifacts"]["ddl_generation"]["file_count"] == 5
    assert result["backup"]["statistics"]["files"] == 20
    assert "customer.ddl" not in status.text
    assert "customer.ddl" in client.get(f"{API}/tasks/{task_id}/files/task_result.json").text


def test_execute_answers_at_once_and_says_where_to_look(api: TestClient) -> None:
    """202, with the task's address and when to ask again."""
    task_id = new_task(api)
    answer = api.post(f"{API}/tasks/{task_id}/execute")

    assert answer.status_code == 202
    assert (answer.headers["Location"], answer.headers["Retry-After"]) == (f"{API}/tasks/{task_id}", "1")
    assert data(answer)["execution_mode"] == "complete"
    status = data(api.get(f"{API}/tasks/{task_id}"))
    assert (status["status"], status["execution"]["execution_id"]) == ("queued", data(answer)["execution_id"])


def test_prefer_wait_that_is_too_short_is_still_202(api: TestClient) -> None:
    """The run goes on."""
    answer = execute(api, new_task(api), wait_seconds=1)
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "wait=1")


def test_single_step_makes_no_backup(client: TestClient) -> None:
    """As the specification says."""
    task_id = new_task(client)
    data(execute(client, task_id))
    step = data(execute(client, task_id, execution_mode="step", step_name="ddl_generation"))

    assert (step["execution_mode"], step["step_name"], step["backup"]) == ("step", "ddl_generation", None)
    assert data(client.get(f"{API}/tasks/{task_id}/backups"))["total"] == 0


def test_failed_run_is_told_with_its_reason_and_the_next_success_clears_it(client: TestClient, folder: Path) -> None:
    """D3: an old error survived a later success."""
    task_id = new_task(client, "customer", "nonsense")
    failed = data(execute(client, task_id))
    assert (failed["status"], "nonsense" in failed["error_message"]) == ("failed", True)
    data(client.post(f"{API}/tasks/{task_id}/table-list", json={"tables": "customer, purchase"}))
    data(execute(client, task_id))
    status = data(client.get(f"{API}/tasks/{task_id}"))
    assert (status["status"], status["error_message"], status["execution"]["error_message"]) == (
        "completed",
        None,
        None,
    )


def test_client_that_was_told_of_the_end_may_ask_for_the_next_thing_at_once(client: TestClient) -> None:
    """The engine hears of it a moment later."""
    task_id = new_task(client)
    for _ in range(10):
        data(execute(client, task_id))
        data(client.post(f"{API}/tasks/{task_id}/table-list", json={"tables": "customer"}))


# ---- events ---------------------------------------------------------------------------------------------------------


def frames(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def test_events_tell_the_run_from_the_queue_to_its_end(client: TestClient) -> None:
    """Queue, backup, steps, progress per table, end; then the stream closes."""
    task_id = new_task(client)
    data(execute(client, task_id))
    client.post(f"{API}/tasks/{task_id}/execute")
    answer = client.get(f"{API}/tasks/{task_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    seen = [(event["phase"], event["state"]) for event in frames(answer.text)]
    assert seen[:2] == [("run", "queued"), ("run", "started")]
    assert seen[-1] == ("run", "completed")
    assert ("backup", "completed") in seen
    tables = [(event["done"], event["total"]) for event in frames(answer.text) if event["phase"] == "table"]
    assert tables == [(1, 2), (2, 2)] * 2
    assert ("pairs", "advanced") in seen

    ids = [line.removeprefix("id: ") for line in answer.text.splitlines() if line.startswith("id: ")]
    rest = client.get(f"{API}/tasks/{task_id}/events", headers={"Last-Event-ID": ids[-2]})
    assert [event["state"] for event in frames(rest.text)] == ["completed"]


def test_stream_waits_for_the_last_event_and_ends_without_one_for_a_run_of_the_command_line(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events are gathered before they are written: the run may have ended before its last one is there."""
    monkeypatch.setattr(event_recorder, "GATHER_SECONDS", 0.5)
    task_id = new_task(client)
    data(execute(client, task_id))
    assert frames(client.get(f"{API}/tasks/{task_id}/events").text)[-1]["state"] == "completed"
    monkeypatch.setattr(executions, "LAST_EVENT_SECONDS", 0.1)
    store: Store = client.app.state.runs.store  # type: ignore[attr-defined]
    store.add_execution(task_id, "by_hand", mode="complete", step_names=["ddl_generation"], status="in_progress")
    store.end_execution("by_hand", status="completed", all_steps=["ddl_generation"])
    assert frames(client.get(f"{API}/tasks/{task_id}/events").text) == []


def test_events_of_a_task_that_never_ran_are_not_there(client: TestClient) -> None:
    """And not an endless silence."""
    task_id = new_task(client)
    assert (
        "Execute the task first"
        in refused(client.get(f"{API}/tasks/{task_id}/events"), 404, "resource_not_found")["response"]
    )


# ---- one run a task -------------------------------------------------------------------------------------------------


def test_whatever_changes_a_task_waits_for_its_run(api: TestClient) -> None:
    """Queued counts as running; the answer names the run."""
    task_id = new_task(api)
    running = data(api.post(f"{API}/tasks/{task_id}/execute"))["execution_id"]
    backup = f"{API}/tasks/{task_id}/backups/file_bak_20250101_000000/restore"
    upload = {"file": ("t.txt", b"customer\n", "text/plain")}
    answers = [
        execute(api, task_id, 0),
        execute(api, task_id, 0, execution_mode="step", step_name="ddl_generation"),
        api.post(f"{API}/tasks/{task_id}/upload-table-list", files=upload),
        api.post(f"{API}/tasks/{task_id}/table-list", json={"tables": "customer"}),
    ]
    for answer in answers:
        assert refused(answer, 409, "task_running")["execution_id"] == running
        assert answer.headers["Retry-After"] == "1"
    refused(api.post(backup), 404, "resource_not_found")


def test_directory_that_somebody_holds_is_a_conflict_that_names_the_holder(client: TestClient, folder: Path) -> None:
    """A script may be at work."""
    task_id = new_task(client)
    data(execute(client, task_id))
    data(execute(client, task_id))
    name = data(client.get(f"{API}/tasks/{task_id}/backups"))["backups"][0]["name"]
    path = folder / "home" / "training_data" / task_id
    with open_workspace(str(path), task_id, label="somebody", timeout_seconds=0):
        for answer in (
            client.post(f"{API}/tasks/{task_id}/table-list", json={"tables": "customer"}),
            client.post(f"{API}/tasks/{task_id}/backups/{name}/restore"),
        ):
            assert "somebody" in refused(answer, 409, "task_busy")["response"]


def test_cancelled_run_is_cancelled_everywhere_and_the_task_is_free(api: TestClient) -> None:
    """Queued: it never begins."""
    task_id = new_task(api)
    running = data(execute(api, task_id, 0))["execution_id"]
    cancelled = api.post(f"{API}/tasks/{task_id}/cancel")
    assert (cancelled.status_code, data(cancelled)["execution_id"]) == (202, running)
    assert data(api.get(f"{API}/tasks/{task_id}"))["status"] == "cancelled"
    refused(api.post(f"{API}/tasks/{task_id}/cancel"), 409, "task_not_running")
    assert [event["state"] for event in frames(api.get(f"{API}/tasks/{task_id}/events").text)] == [
        "queued",
        "cancelled",
    ]
    assert execute(api, task_id, 0).status_code == 202


def test_running_run_that_is_cancelled_says_so_and_ends_its_log(
    client: TestClient, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the words of people, and without a traceback anywhere: nothing went wrong."""
    endless = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    task_id = new_task(client)
    file = {"file": ("qs_x_pair.json", json.dumps([{"question": "q", "sql": endless}]), "application/json")}
    data(client.post(f"{API}/tasks/{task_id}/files", files=file))
    order = {"execution_mode": "step", "step_name": "sql_validation"}
    data(client.post(f"{API}/tasks/{task_id}/execute", json=order))
    wait_until(lambda: data(client.get(f"{API}/tasks/{task_id}"))["current_step"])
    data(client.post(f"{API}/tasks/{task_id}/cancel"))
    wait_until(lambda: data(client.get(f"{API}/tasks/{task_id}"))["status"] == "cancelled")
    status = data(client.get(f"{API}/tasks/{task_id}"))
    time.sleep(0.5)  # what the engine writes of it, if it does, comes later
    logs = data(client.get(f"{API}/tasks/{task_id}/logs"))["logs"]

    assert status["error_message"] == "Cancelled."
    assert logs[-1]["message"] == f"Run {status['execution']['execution_id']} ends: Cancelled."
    assert "Traceback" not in caplog.text + "".join(capfd.readouterr())


def test_step_that_is_left_out_and_one_done_in_part_are_told(client: TestClient) -> None:
    """Their states are what clients know; their results say what became of them, and name what is missing."""
    wanted = {"continue_on_error": True, "profile_tables": False, "enable_training_data_load": False}
    task_id = data(client.post(f"{API}/tasks", json=wanted))["task_id"]
    data(client.post(f"{API}/tasks/{task_id}/table-list", json={"tables": "customer,gone"}))
    assert data(execute(client, task_id))["status"] == "completed"
    status = data(client.get(f"{API}/tasks/{task_id}"))

    assert [step["step_status"] for step in status["steps"]] == ["completed"] * 4
    assert [step["result_status"] for step in status["steps"]] == ["partial", "skipped", "skipped", "skipped"]
    assert "profile_tables" in status["steps"][1]["reason"]
    assert status["execution"]["steps"] == status["steps"]
    state = status["result"]["workflow_state"]
    assert state["completed_steps"] == ["ddl_generation"]
    assert state["skipped_steps"] == ["qa_generation", "sql_validation", "training_load"]
    assert status["result"]["warnings"] == ["ddl_generation: gone: there is no such table"]


def test_running_run_that_waits_for_its_directory_is_cancelled_before_its_patience_ends(folder: Path) -> None:
    """Nothing of it is left, the next one begins."""
    with serving(settings_of(folder, lock_timeout_seconds=10 * PATIENCE_SECONDS)) as client:
        task_id = new_task(client)
        path = folder / "home" / "training_data" / task_id
        with open_workspace(str(path), task_id, label="another process", timeout_seconds=0):
            execute(client, task_id, 0)
            wait_until(lambda: client.get("/health").json()["runs_active"])
            data(client.post(f"{API}/tasks/{task_id}/cancel"))
            wait_until(lambda: data(client.get(f"{API}/tasks/{task_id}"))["status"] == "cancelled")
        assert data(execute(client, task_id))["status"] == "completed"


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_bad_values_are_400_with_their_names_and_change_nothing(client: TestClient, folder: Path) -> None:
    """D1: they were 500."""
    task_id = new_task(client)
    execute_url = f"{API}/tasks/{task_id}/execute"
    for body, name in (
        ({"execution_mode": "sideways"}, "execution_mode"),
        ({"execution_mode": 7}, "execution_mode"),
        ({"execution_mode": "step", "step_name": "nonsense"}, "step_name"),
        ({"execution_mode": "step", "step_name": 7}, "step_name"),
    ):
        assert name in refused(client.post(execute_url, json=body), 400, "invalid_params")["invalid_params"]
    missing = refused(client.post(execute_url, json={"execution_mode": "step"}), 400, "missing_required_params")
    assert missing["missing_params"] == ["step_name"]
    headers = {"content-type": "application/json"}
    refused(client.post(execute_url, content=b"{broken", headers=headers), 400, "invalid_params")
    for tables in ([], "", ["a; DROP TABLE b"], [7], "# nothing"):
        refused(client.post(f"{API}/tasks/{task_id}/table-list", json={"tables": tables}), 400, "invalid_params")
    for file in (("t.exe", b"customer"), ("t.txt", b""), ("t.txt", b"\x00"), ("t.txt", b"x" * (2 * 1024**2 + 1))):
        refused(client.post(f"{API}/tasks/{task_id}/upload-table-list", files={"file": file}), 400, "invalid_params")
    refused(client.post(f"{API}/tasks", json={"db_connection": "nonsense"}), 404, "resource_not_found")
    for body in ({"language": "fr"}, {"continue_on_error": 1}, {"table_list_file": "/etc/passwd"}):
        refused(client.post(f"{API}/tasks", json=body), 400, "invalid_params")
    task = folder / "home" / "training_data" / task_id
    assert os.listdir(task) == ["table_list.txt"]
    assert (task / "table_list.txt").read_text() == "customer\npurchase\n"
    assert data(client.get(f"{API}/tasks/{task_id}"))["status"] == "pending"


def test_unknown_tasks_and_odd_ids_are_refused_on_every_route(client: TestClient) -> None:
    """None of them reaches a path."""
    routes = [
        ("GET", ""), ("POST", "/execute"), ("POST", "/cancel"), ("GET", "/events"), ("GET", "/backups"),
        ("GET", "/backups/file_bak_20250101_000000"), ("POST", "/backups/file_bak_20250101_000000/restore"),
    ]  # fmt: skip
    for method, route in routes:
        if route == "/cancel":
            refused(client.post(f"{API}/tasks/{new_task(client)}/cancel"), 409, "task_not_running")
        refused(client.request(method, f"{API}/tasks/task_unknown{route}"), 404, "resource_not_found")
        for odd in ("%2e%2e", "a%00b", "a%0ab", "nul", "ä", "x" * 100, "a%5Cb"):
            answer = client.request(method, f"{API}/tasks/{odd}{route}")
            assert answer.status_code in (400, 404), (odd, answer.text)
    task_id = new_task(client)
    for odd in ("file_bak_x", "table_list.txt", "file_bak_20250101_000000"):
        assert client.get(f"{API}/tasks/{task_id}/backups/{odd}").status_code == 404


def test_databases_are_opened_only_where_that_is_allowed(folder: Path) -> None:
    """By what a URL leads to, not by its text."""
    allowed = ("postgresql://user:s3cret@db.internal/shop", f"sqlite:///{folder / 'other.sqlite'}")
    with serving(settings_of(folder, allowed_databases=allowed), "api") as client:
        for url in (
            "shop",
            "postgresql://db.internal:5432/shop",
            "postgresql+psycopg://other:name@DB.internal/shop?sslmode=require",
            f"sqlite:///{folder}/../{folder.name}/other.sqlite",
        ):
            assert client.post(f"{API}/tasks", json={"db_connection": url}).status_code == 201, url
        for url in (
            "postgresql://db.internal.evil.com/shop",
            "postgresql://db.internal@evil.com/shop",
            "postgresql://db.internal/shop?host=evil.com",
            "postgresql://db.internal/shop?service=evil",
            "postgresql://db.internal:5433/shop",
            "postgresql://db.internal/postgres",
            "postgresql:///shop",
            f"sqlite:///{folder / 'third.sqlite'}",
            f"sqlite:///{folder / 'other.sqlite'}?mode=rwc",
            "sqlite:///other.sqlite/../../etc/passwd",
            "sqlite://",
            "mysql://db.internal/shop",
        ):
            answer = refused(client.post(f"{API}/tasks", json={"db_connection": url}), 403, "not_allowed")
            assert "s3cret" not in answer["response"]


# ---- who may ask ----------------------------------------------------------------------------------------------------


def test_web_pages_cannot_drive_a_server_without_a_key(client: TestClient) -> None:
    """A page of another origin, a name that was bound to this machine, a form."""
    refused(client.get(f"{API}/tasks/x", headers={"Host": "evil.example"}), 403, "forbidden_host")
    refused(client.get("/health", headers={"Host": "127.0.0.1.evil.example"}), 403, "forbidden_host")
    refused(client.post(f"{API}/tasks", json={}, headers={"Origin": "http://evil.example"}), 403, "forbidden_origin")
    refused(client.post(f"{API}/tasks", json={}, headers={"Origin": "null"}), 403, "forbidden_origin")
    plain = {"content-type": "text/plain"}
    refused(client.post(f"{API}/tasks", content=b"{}", headers=plain), 415, "unsupported_media_type")
    form = {"content-type": "application/x-www-form-urlencoded"}
    refused(client.post(f"{API}/tasks", content=b"a=b", headers=form), 415, "unsupported_media_type")
    own = {"Origin": "http://127.0.0.1:8084"}
    assert client.post(f"{API}/tasks", json={}, headers=own).status_code == 201
    for host in ("localhost:8084", "[::1]:8084", "127.0.0.1"):
        assert client.get("/health", headers={"Host": host}).status_code == 200


def test_bodies_have_a_length_and_a_limit(client: TestClient) -> None:
    """Nothing is read that is refused."""
    huge = b" " * (BODY_LIMIT_BYTES + 1)
    headers = {"content-type": "application/json"}
    refused(client.post(f"{API}/tasks", content=huge, headers=headers), 413, "too_large")
    refused(client.post(f"{API}/tasks", content=iter([b"{}"]), headers=headers), 411, "length_required")


def test_server_with_a_key_answers_only_with_it(folder: Path) -> None:
    """But for its health, which says nothing of tasks."""
    with serving(settings_of(folder, api_key="s3cret-key"), "api", "http://pipeline.example") as client:
        for headers in ({}, {"Authorization": "s3cret-key"}, {"Authorization": "Bearer wrong"}):
            answer = client.get(f"{API}/tasks/x", headers=headers)
            refused(answer, 401, "unauthorized")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        good = {"Authorization": "Bearer s3cret-key"}
        refused(client.get(f"{API}/tasks/x", headers=good), 404, "resource_not_found")
        assert client.get("/health").json()["status"] == "ok"


def test_server_without_a_key_binds_to_this_machine_only() -> None:
    """Whatever way the address is written."""
    for host in ("0.0.0.0", "::", "192.168.0.1", "pipeline.example", ""):
        with pytest.raises(InvalidInput, match="DATA_PIPELINE_API_KEY"):
            check_binding(host, None)
        check_binding(host, "key")
    for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost"):
        check_binding(host, None)


# ---- the server's beginning and its log -----------------------------------------------------------------------------


def test_start_makes_the_store_say_what_the_engine_knows(folder: Path) -> None:
    """No task says in_progress for ever: neither a dead process's run, nor a cancelled one, nor an older program's."""
    settings = settings_of(folder)
    store = Store.open(settings.store_url)
    engine = Engine.open(settings.engine_url, WorkerSlots(settings.training_data_path))

    def task(execution_id: str | None, status: Any = "queued") -> str:
        made = store.create_task({"db_connection": "sqlite:///shop.sqlite"}, local_time=datetime.now(UTC)).task_id
        if execution_id is not None:
            store.add_execution(made, execution_id, mode="complete", step_names=["ddl_generation"], status=status)
        return made

    dead, cancelled, alive, lost = task("dead", "in_progress"), task("cancelled"), task("alive"), task(None)
    held, older = task("held", "in_progress"), task("older")
    for task_id, run_id in ((cancelled, "cancelled"), (alive, "alive"), (lost, "lost")):
        engine.admit(RunOrder(task_id, run_id))
    engine.cancel(cancelled, "cancelled")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine_module, "WORKFLOW_SCHEMA", 0)
        engine.admit(RunOrder(older, "older"))
    engine.stop()
    held_path = Path(settings.training_data_path, held)
    held_path.mkdir(parents=True)
    tasks = {"dead": dead, "cancelled": cancelled, "alive": alive, "held": held, "older": older}
    with (
        open_workspace(str(held_path), held, label="a script", timeout_seconds=0),
        serving(settings, "api") as client,
    ):
        states = {name: data(client.get(f"{API}/tasks/{task_id}"))["status"] for name, task_id in tasks.items()}
        why = data(client.get(f"{API}/tasks/{older}"))["error_message"]
    assert states == {
        "dead": "failed", "cancelled": "cancelled", "alive": "queued", "held": "in_progress", "older": "failed",
    }  # fmt: skip
    assert "Execute the task again" in why
    with serving(settings):
        wait_until(
            lambda: store.executions(lost) and store.execution("lost").status == "failed"
        )  # it has no table list
    store.close()


def test_health_says_what_was_recovered(client: TestClient) -> None:
    """From memory alone."""
    answer = client.get("/health").json()
    assert (answer["status"], answer["role"], answer["runs_active"]) == ("ok", "all", 0)
    assert answer["recovery"] == {"directories": 0, "recovered": 0, "busy": 0, "failed": 0}


def test_log_has_one_line_a_request_and_no_secret(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As lines or as JSON; what comes from outside cannot begin a line of its own."""
    names = ("data_pipeline", "uvicorn.error", "dbos")
    before = {name: (logging.getLogger(name).handlers, logging.getLogger(name).propagate) for name in names}
    allowed = ("postgresql://user:s3cret@db.internal/shop",)
    for as_json in (False, True):
        configure_logging("info", as_json=as_json)
        settings = settings_of(folder, allowed_databases=allowed, api_key="s3cret-key")
        with serving(settings, "api", headers={"Authorization": "Bearer s3cret-key"}) as client:
            client.post(f"{API}/tasks?token=s3cret", json={"db_connection": allowed[0]})
            client.get(f"{API}/tasks/a%0a2025-01-01 forged")
        log = capsys.readouterr().err
        lines = [line for line in log.splitlines() if "/tasks" in line]
        assert len(lines) == 2
        assert "s3cret" not in log
        assert "\n2025-01-01 forged" not in log
        if as_json:
            entry = json.loads(lines[0])
            assert (entry["method"], entry["path"], entry["status"]) == ("POST", f"{API}/tasks", 201)
        else:
            assert f"POST {API}/tasks 201" in lines[0]
    for name, (handlers, propagate) in before.items():
        logging.getLogger(name).handlers, logging.getLogger(name).propagate = handlers, propagate


def test_defect_is_logged_with_its_traceback_and_answered_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client learns nothing of our insides."""
    monkeypatch.setattr(Store, "overview", lambda store, task_id, steps: 1 // 0)
    with serving(settings_of(folder), "api", raise_server_exceptions=False) as client:
        answer = refused(client.get(f"{API}/tasks/x"), 500, "internal_error")
    assert "division" not in str(answer)


def test_formatters_keep_exceptions() -> None:
    """JSON in one line, text indented."""
    try:
        raise ValueError("broken\nbadly")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "it failed", (), (ValueError, error, None))
    assert "broken" in json.loads(JsonLines().format(record))["exception"]
    assert "\n    " in PlainLines("%(message)s").format(record)


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        (
            "tasks",
            {"table_list_file": "/etc/passwd"},
            "table_list_file: not supported: upload the list",
        ),
        ("tasks", {"db_connection": "shp"}, "Configured database 'shp' not found. Configured: shop."),
        ("tasks/{}/execute", {"execution_mode": "all"}, "execution_mode: must be one of 'complete', 'step'"),
    ],
)
def test_refusal_says_what_to_write_instead(client: TestClient, path: str, body: dict[str, str], says: str) -> None:
    """In words for a person, not those of the library that found it."""
    answer = client.post(f"{API}/{path.format(new_task(client))}", json=body).json()

    assert answer["data"]["response"].startswith(says)
