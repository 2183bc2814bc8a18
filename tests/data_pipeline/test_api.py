"""The rest of the API: lists, queries, deletion, files, table lists, logs, databases, history, metrics."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from data_pipeline.tasks.workspace import open_workspace
from tests.support.postgres import fresh_database
from tests.support.server import API, data
from tests.support.service import execute, new_task, refused, serving, settings_of

NAMES_THAT_LEAD_ELSEWHERE = [
    "..", ".", "../x.txt", "/etc/passwd.txt", "a/b.txt", "a\\b.txt", ".hidden.txt", "nul.txt",
    "COM1.md", "x" * 300 + ".txt", " x.txt", "x.txt.", "a:b.txt", "x\u202etxt.md", "",
]  # fmt: skip


@pytest.fixture
def done(client: TestClient) -> str:
    """A task that has run once; its id."""
    task_id = new_task(client)
    data(execute(client, task_id))
    return task_id


def upload(client: TestClient, task_id: str, name: str, content: bytes, **form: str) -> dict[str, object]:
    return data(client.post(f"{API}/tasks/{task_id}/files", files={"file": (name, content)}, data=form))


# ---- many tasks -----------------------------------------------------------------------------------------------------


def test_tasks_are_listed_with_the_real_total_and_every_state_as_a_filter(client: TestClient, done: str) -> None:
    """D2, D3."""
    for _ in range(3):
        new_task(client)
    page = data(client.get(f"{API}/tasks", params={"limit": 2}))
    assert (len(page["tasks"]), page["total"], page["limit"], page["offset"]) == (2, 4, 2, 0)
    rest = data(client.get(f"{API}/tasks", params={"limit": 5000, "offset": 3}))
    assert ([task["task_id"] for task in rest["tasks"]], rest["limit"]) == ([done], 100)
    (task,) = data(client.get(f"{API}/tasks", params={"status": "completed"}))["tasks"]
    assert (task["task_id"], task["step_status"], task["directory_exists"]) == (done, "all_completed", True)
    for status in ("pending", "queued", "in_progress", "partial_completed", "failed", "cancelled"):
        assert client.get(f"{API}/tasks", params={"status": status}).status_code == 200
    for bad in ({"status": "running"}, {"limit": "x"}, {"limit": 0}, {"offset": -1}, {"offset": 10**30}):
        refused(client.get(f"{API}/tasks", params=bad), 400, "invalid_params")


def test_tasks_are_searched_sorted_and_paged(client: TestClient, done: str) -> None:
    """With what was asked for told again."""
    url = f"{API}/tasks/query"
    client.post(f"{API}/tasks", json={"task_name": "Sales 100%"})
    found = data(client.post(url, json={"task_name": "SALES", "sort_by": "task_name", "sort_order": "asc"}))
    assert [task["task_name"] for task in found["tasks"]] == ["Sales 100%"]
    assert found["filters_applied"] == {"task_name": "SALES"}
    assert found["sort_applied"] == {"sort_by": "task_name", "sort_order": "asc"}
    page = data(client.post(url, json={"page": 2, "page_size": 1}))["pagination"]
    assert page == {"page": 2, "page_size": 1, "total": 2, "total_pages": 2, "has_next": False, "has_prev": True}
    started = data(client.get(f"{API}/tasks/{done}"))["started_at"]
    within = {"started_time_start": started, "started_time_end": started}
    assert data(client.post(url, json=within))["pagination"]["total"] == 1
    for when, total in (("2999-01-01", 0), ("9999-12-31T23:59:59-12:00", 0), ("0001-01-01T00:00:00+12:00", 2)):
        assert data(client.post(url, json={"created_time_start": when}))["pagination"]["total"] == total
    for bad in (
        {"page": 0}, {"page_size": 101}, {"status": "running"}, {"sort_by": "parameters"}, {"sort_order": "sideways"},
        {"created_time_start": "yesterday"}, {"created_time_end": 0}, {"task_name": "x" * 101},
    ):  # fmt: skip
        refused(client.post(url, json=bad), 400, "invalid_params")


def test_deleted_task_leaves_no_file_and_on_request_no_history(client: TestClient, done: str, folder: Path) -> None:
    """Exactly these tasks, after a confirmation."""
    other = new_task(client)
    root = folder / "home" / "training_data"
    for bad in (
        {"task_ids": [done]}, {"task_ids": [done], "confirm": False}, {"task_ids": [], "confirm": True},
        *({"task_ids": [odd], "confirm": True} for odd in ("", ".", "..", "/etc", f"{done}\n")),
    ):  # fmt: skip
        assert client.request("DELETE", f"{API}/tasks", json=bad).status_code == 400
    assert (root / done / "customer.ddl").exists()
    body = {"task_ids": [done, done, "task_unknown"], "confirm": True}
    answer = data(client.request("DELETE", f"{API}/tasks", json=body))
    assert answer["summary"] == {"total_requested": 2, "successfully_deleted": 1, "failed": 1}
    (deleted,) = answer["deleted_tasks"]
    assert (deleted["deleted_files_count"], deleted["database_records_deleted"]) == (21, False)
    assert not (root / done).exists()
    assert (root / other / "table_list.txt").exists()
    left = [path for path in (root / ".journal" / done).rglob("*") if path.is_file()]
    assert {path.name for path in left} <= {"lock", "ready", ".journal-probe"}
    assert data(client.get(f"{API}/tasks/{done}"))["status"] == "completed"
    assert data(client.get(f"{API}/tasks/{done}/files"))["directory_info"]["exists"] is False
    body = {"task_ids": [done], "confirm": True, "delete_database_records": True}
    assert data(client.request("DELETE", f"{API}/tasks", json=body))["summary"]["successfully_deleted"] == 1
    refused(client.get(f"{API}/tasks/{done}"), 404, "resource_not_found")


def test_task_directory_that_is_a_link_is_refused_by_every_request(
    client: TestClient, done: str, folder: Path, tmp_path: Path
) -> None:
    """Nothing behind it is listed, sent, written or deleted."""
    task = folder / "home" / "training_data" / done
    elsewhere = tmp_path / "elsewhere"
    task.rename(elsewhere)
    task.symlink_to(elsewhere)
    before = sorted(os.listdir(elsewhere))
    url = f"{API}/tasks/{done}"

    for path in (
        "files",
        "files/customer.ddl",
        "backups",
        "backups/file_bak_20250101_000000",
        "logs",
        "table-list-info",
    ):
        refused(client.get(f"{url}/{path}"), 500, "directory_error")
    refused(client.post(f"{url}/files", files={"file": ("a.md", b"x")}), 500, "directory_error")
    body = {"task_ids": [done], "confirm": True}
    answer = data(client.request("DELETE", f"{API}/tasks", json=body))
    assert answer["summary"]["successfully_deleted"] == 0
    (listed,) = data(client.get(f"{API}/tasks"))["tasks"]
    assert listed["directory_exists"] is False
    assert sorted(os.listdir(elsewhere)) == before


def test_task_that_runs_or_is_held_is_not_deleted(api: TestClient, folder: Path) -> None:
    """The next one is, unless one is told to stop."""
    running, held, idle = (new_task(api) for _ in range(3))
    execute(api, running, 0)
    path = str(folder / "home" / "training_data" / held)
    with open_workspace(path, held, label="somebody", timeout_seconds=0):
        body = {"task_ids": [running, held, idle], "confirm": True, "delete_database_records": True}
        stopped = data(api.request("DELETE", f"{API}/tasks", json={**body, "continue_on_error": False}))
        assert stopped["summary"] == {"total_requested": 3, "successfully_deleted": 0, "failed": 1}
        answer = data(api.request("DELETE", f"{API}/tasks", json=body))
    assert [failed["error_type"] for failed in answer["failed_tasks"]] == ["RunActive", "TaskBusy"]
    assert [task["task_id"] for task in answer["deleted_tasks"]] == [idle]
    assert data(api.get(f"{API}/tasks/{held}"))["status"] == "pending"


def test_history_keeps_every_run(client: TestClient, done: str) -> None:
    """Newest first, each with its backup and its steps."""
    data(execute(client, done))
    runs = data(client.get(f"{API}/tasks/{done}/executions"))["executions"]
    assert [run["backup"]["moved_count"] for run in runs] == [20, 0]
    assert [run["steps"][0]["step_status"] for run in runs] == ["completed", "completed"]
    assert len(data(client.get(f"{API}/tasks/{done}/executions", params={"limit": 1}))["executions"]) == 1


# ---- files ----------------------------------------------------------------------------------------------------------


def test_files_are_listed_and_downloaded(client: TestClient, done: str, folder: Path) -> None:
    """Top level only, newest first, byte for byte."""
    task = folder / "home" / "training_data" / done
    (task / "名称 #1.md").write_text("x\n")
    (task / "link.md").symlink_to("/etc/passwd")
    answer = data(client.get(f"{API}/tasks/{done}/files"))
    assert answer["files"][0]["file_name"] == "名称 #1.md"
    types = {file["file_name"]: file["file_type"] for file in answer["files"]}
    assert types["customer.ddl"] == "ddl"
    assert (types["customer_detail.md"], types["task_result.json"]) == ("markdown", "json")
    assert (types["data_pipeline.log"], types["table_list.txt"]) == ("log", "text")
    assert "link.md" not in types
    info = answer["directory_info"]
    assert (info["exists"], info["total_files"], info["directory_path"]) == (True, len(types), done)
    for name in ("customer.ddl", "名称 #1.md"):
        file = client.get(f"{API}/tasks/{done}/files/{name.replace('#', '%23')}")
        assert file.content == (task / name).read_bytes()
        assert file.headers["Content-Disposition"].startswith("attachment")
        assert file.headers["X-Content-Type-Options"] == "nosniff"
    refused(client.get(f"{API}/tasks/{done}/files/link.md"), 404, "resource_not_found")
    refused(client.get(f"{API}/tasks/{done}/files/nothing.md"), 404, "resource_not_found")
    refused(client.get(f"{API}/tasks/task_unknown/files"), 404, "resource_not_found")


def test_uploaded_file_makes_room_in_the_way_that_was_asked_for(client: TestClient, done: str, folder: Path) -> None:
    """Nothing that was there is lost."""
    task = folder / "home" / "training_data" / done
    assert upload(client, done, "notes.md", b"first")["backup_info"] == {
        "had_existing_file": False, "backup_filename": None, "backup_version": None, "backup_created_at": None,
    }  # fmt: skip
    for number, content in ((1, b"second"), (2, b"third")):
        backup = upload(client, done, "notes.md", content)["backup_info"]
        assert isinstance(backup, dict)
        assert (backup["backup_filename"], backup["backup_version"]) == (f"notes.md_bak{number}", number)
    upload(client, done, "notes.md", b"fourth", overwrite_mode="skip")
    assert (task / "notes.md").read_bytes() == b"third"
    upload(client, done, "notes.md", b"fifth", overwrite_mode="replace")
    assert [(task / name).read_bytes() for name in ("notes.md", "notes.md_bak1", "notes.md_bak2")] == [
        b"fifth", b"first", b"second",
    ]  # fmt: skip
    (kept,) = (task.parent / ".journal" / done).glob("kept-*")
    assert [path.read_bytes() for path in kept.iterdir()] == [b"third"]
    url = f"{API}/tasks/{done}/files"
    refused(client.post(url, files={"file": ("a.md", b"x")}, data={"overwrite_mode": "x"}), 400, "invalid_params")


def test_upload_that_is_refused_changes_nothing(client: TestClient, done: str, folder: Path) -> None:
    """Name, size, content; and a table list must be one."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and "home" in path.parts}
    task_files = {path.name for path in (folder / "home" / "training_data" / done).iterdir()}
    url = f"{API}/tasks/{done}/files"
    for name, content in (
        *((name, b"x") for name in NAMES_THAT_LEAD_ELSEWHERE),
        ("a.exe", b"x"), ("a.md", b""), ("a.md", b"x\0y"), ("a.md", b"x" * 5000 + b"\0"),
        ("a.md", b"x" * (10 * 1024**2 + 1)), ("table_list.txt", b"not; a name"),
    ):  # fmt: skip
        answer = client.post(url, files={"file": (name, content)})
        assert answer.status_code == 400, (name, answer.text)
    assert client.post(url).status_code == 400
    assert {path.name for path in (folder / "home" / "training_data" / done).iterdir()} == task_files
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if "training_data" in path.parts)
    assert not list((folder / "home" / "training_data" / ".journal" / done).glob("work-*"))


def test_names_that_lead_elsewhere_reach_no_file(client: TestClient, done: str) -> None:
    """S1, S2: whatever way they are written."""
    for name in ("%2e%2e%2fx", "..%5cx", "%00", "a%0ab", "nul", ".hidden", "%e2%80%ae", "x" * 300):
        answer = client.get(f"{API}/tasks/{done}/files/{name}")
        assert answer.status_code in (400, 404), (name, answer.text)
        assert "root:" not in answer.text


def test_table_list_is_told_as_it_is_read(client: TestClient, folder: Path) -> None:
    """There, readable, or why not."""
    task_id = data(client.post(f"{API}/tasks", json={}))["task_id"]
    url = f"{API}/tasks/{task_id}/table-list-info"
    assert data(client.get(url))["exists"] is False
    data(client.post(f"{API}/tasks/{task_id}/table-list", json={"tables": "customer, sales.x"}))
    info = data(client.get(url))
    assert (info["table_count"], info["table_names"], info["is_readable"]) == (2, ["customer", "sales.x"], True)
    assert info["file_path"] == f"{task_id}/table_list.txt"
    (folder / "home" / "training_data" / task_id / "table_list.txt").write_text("not; a name")
    info = data(client.get(url))
    assert (info["exists"], info["is_readable"]) == (True, False)
    refused(client.get(f"{API}/tasks/task_unknown/table-list-info"), 404, "resource_not_found")


# ---- logs -----------------------------------------------------------------------------------------------------------


def test_log_is_read_filtered_and_searched(client: TestClient, done: str, folder: Path) -> None:
    """D5: both forms of lines, and the filter before the count."""
    log = folder / "home" / "training_data" / done / "data_pipeline.log"
    with log.open("a") as file:
        file.write("2025-07-21 21:36:27 [WARNING] [data_pipeline.qa_generation] generator.py:12 - older\n  and more\n")
    url = f"{API}/tasks/{done}/logs"
    everything = data(client.get(url))
    assert everything["total"] == len(everything["logs"]) > 5
    (warning,) = data(client.get(url, params={"limit": 1, "level": "WARNING"}))["logs"]
    assert warning["message"] == "older\nand more"
    assert (warning["logger"], warning["timestamp"]) == ("data_pipeline.qa_generation", "2025-07-21T21:36:27")
    found = data(client.post(f"{url}/query", json={"keyword": "STEP DDL", "sort_order": "asc", "page_size": 1}))
    assert found["pagination"]["total"] == 2
    assert (found["logs"][0]["step"], "begins" in found["logs"][0]["message"]) == ("ddl_generation", True)
    by_step = data(client.post(f"{url}/query", json={"step_name": "ddl_generation", "sort_by": "line_number"}))["logs"]
    assert [entry["step"] for entry in by_step] == ["ddl_generation"] * len(by_step)
    for sort_by in ("timestamp", "level", "logger", "step"):
        assert data(client.post(f"{url}/query", json={"sort_by": sort_by}))["logs"]
    assert not data(client.post(f"{url}/query", json={"start_time": "2999-01-01T00:00:00Z"}))["logs"]
    assert len(data(client.post(f"{url}/query", json={"end_time": "2025-12-31"}))["logs"]) == 1
    assert data(client.post(f"{url}/query", json={"logger_name": "qa_gen"}))["logs"][0]["level"] == "WARNING"
    for bad in ({"level": "LOUD"}, {"page": 0}, {"page_size": 501}, {"sort_by": "x"}, {"keyword": "x" * 201}):
        refused(client.post(f"{url}/query", json=bad), 400, "invalid_params")
    assert data(client.get(f"{API}/tasks/{new_task(client)}/logs"))["logs"] == []
    refused(client.get(f"{API}/tasks/task_unknown/logs"), 404, "resource_not_found")


# ---- databases ------------------------------------------------------------------------------------------------------


@pytest.fixture
def postgres_client(folder: Path) -> Iterator[TestClient]:
    with fresh_database() as url, serving(settings_of(folder, databases={"shop": url}), "api") as client:
        yield client


def test_tables_of_a_database_are_listed_and_described(client: TestClient) -> None:
    """On the code of the step."""
    listed = data(client.post("/api/v0/database/tables", json={}))
    assert (listed["tables"], listed["db_connection_info"]) == (
        ["main.customer", "main.purchase"],
        {"database": "shop"},
    )
    some = data(client.post("/api/v0/database/tables", json={"table_name_pattern": "PUR*"}))
    assert some["tables"] == ["main.purchase"]
    assert data(client.post("/api/v0/database/tables", json={"schema": "nowhere"}))["total"] == 0
    both = data(client.post("/api/v0/database/table/ddl", json={"table": "customer", "type": "both"}))
    assert both["ddl"].lower().count("create table") == 1
    assert both["md"].startswith("## ")
    assert both["fields"][0]["is_primary_key"] is True
    assert data(client.post("/api/v0/database/table/ddl", json={"table": "customer"}))["md"] is None
    refused(client.post("/api/v0/database/table/ddl", json={"table": "nothing"}), 404, "resource_not_found")
    refused(client.post("/api/v0/database/table/ddl", json={"table": "a b; --"}), 404, "resource_not_found")
    refused(client.post("/api/v0/database/table/ddl", json={}), 400, "missing_required_params")
    refused(client.post("/api/v0/database/tables", json={"db_connection": "sqlite:////etc/passwd"}), 403, "not_allowed")


def test_tables_of_postgresql_are_those_of_the_named_schemas(postgres_client: TestClient) -> None:
    """System schemas have none."""
    body = {"schema": "public,information_schema,pg_catalog"}
    assert data(postgres_client.post("/api/v0/database/tables", json=body))["total"] == 0


def test_database_that_does_not_answer_is_503_without_its_place(folder: Path) -> None:
    """It may answer again."""
    databases = {"gone": f"sqlite:///{folder / 'gone.sqlite'}"}
    with serving(settings_of(folder, databases=databases), "api") as client:
        answer = client.post("/api/v0/database/tables", json={})
        assert refused(answer, 503, "database_error")["can_retry"] is True


# ---- metrics --------------------------------------------------------------------------------------------------------


def test_metrics_count_requests_runs_steps_and_backups(client: TestClient, done: str) -> None:
    """With the names of routes; only the sizes of its backups are by task."""
    data(execute(client, done))
    client.get("/nowhere/at/all")
    text = client.get("/metrics").text
    for line in (
        'data_pipeline_runs_total{status="completed"} 2.0',
        'data_pipeline_steps_total{status="completed",step="ddl_generation"} 2.0',
        'data_pipeline_backups_total{state="backed_up"} 1.0',
        "data_pipeline_backup_files_moved_total 20.0",
        "data_pipeline_backup_files_failed_total 0.0",
        "data_pipeline_runs_active 0.0",
        'data_pipeline_backup_checksums_total{outcome="failed"} 0.0',
        'data_pipeline_recoveries_total{outcome="recovered"} 0.0',
        f'data_pipeline_requests_total{{method="POST",route="{API}/tasks/{{task_id}}/execute",status="200"}} 2.0',
        'data_pipeline_requests_total{method="any",route="none",status="404"} 1.0',
    ):
        assert line in text, line
    by_task = (
        "data_pipeline_backups_kept",
        "data_pipeline_backups_bytes",
        "data_pipeline_backups_oldest",
        "data_pipeline_backups_newest",
    )
    assert [line for line in text.splitlines() if done in line and not line.startswith(by_task)] == []


def test_description_of_the_api_has_every_route_its_refusals_and_examples(client: TestClient) -> None:
    """What a client generator needs; the stock 422 is not among it."""
    described = client.get("/openapi.json").json()
    operations = [
        (path, method, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) >= 24
    for path, _method, operation in operations:
        assert "422" not in operation["responses"]
        if path.startswith("/api"):
            assert {"400", "404", "409"} <= set(operation["responses"])
        assert operation["summary"]


def test_wrong_method_names_the_right_ones(client: TestClient) -> None:
    """All of the path."""
    answer = client.put(f"{API}/tasks")
    refused(answer, 405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) >= {"GET", "POST", "DELETE"}


def test_server_leaves_nothing_of_a_secret_anywhere(folder: Path) -> None:
    """A planted password is grepped for in every answer and every file but the store."""
    secret = "pl4nted-s3cret"
    url = f"postgresql://user:{secret}@127.0.0.1:1/shop"
    answers = []
    with serving(settings_of(folder, databases={"shop": url}, api_key=secret)) as client:
        client.headers["Authorization"] = f"Bearer {secret}"
        task_id = new_task(client)
        answers.append(execute(client, task_id).text)
        for path in ("", "/events", "/executions", "/files", "/logs", "/table-list-info", "/backups"):
            answers.append(client.get(f"{API}/tasks/{task_id}{path}").text)
        answers.append(client.get(f"{API}/tasks").text)
        answers += [client.get(path).text for path in ("/health", "/metrics", "/openapi.json")]
        answers.append(client.post("/api/v0/database/tables", json={}).text)
    assert not [answer for answer in answers if secret in answer]
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("data_pipeline.sqlite")]
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    stores = [path for path in folder.rglob("*.sqlite*") if path.name.startswith(("data_pipeline", "engine"))]
    assert {path.stat().st_mode & 0o077 for path in stores} == {0}
    assert os.listdir(folder / "home")
