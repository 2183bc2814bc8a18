"""A client of the older system: it knows the paths, fields and defaults of that one's API, and nothing of ours."""

from __future__ import annotations

import time
from typing import Any

from fastapi.testclient import TestClient

BASE = "/api/v0"

FIELDS = {
    "create": {"task_id", "task_name", "status", "created_at", "file_upload_mode", "next_step"},
    "execute": {"task_id", "execution_mode", "step_name", "message"},
    "status": {
        "task_id", "task_name", "status", "step_status", "created_at", "started_at", "completed_at", "parameters",
        "result", "error_message", "current_step", "total_steps", "steps",
    },
    "status.steps": {"step_name", "step_status", "started_at", "completed_at", "error_message"},
    "list": {"tasks", "total", "limit", "offset"},
    "list.tasks": {
        "task_id", "task_name", "status", "step_status", "created_at", "started_at", "completed_at", "created_by",
        "db_name", "business_context", "directory_exists", "updated_at",
    },
    "query": {"tasks", "pagination", "filters_applied", "sort_applied", "query_time"},
    "pagination": {"page", "page_size", "total", "total_pages", "has_next", "has_prev"},
    "delete": {"deleted_tasks", "failed_tasks", "summary", "deleted_at"},
    "delete.deleted_tasks": {
        "success", "task_id", "directory_deleted", "database_records_deleted", "deleted_files_count", "deleted_size",
        "deleted_at", "operation_message",
    },
    "delete.summary": {"total_requested", "successfully_deleted", "failed"},
    "upload list": {"task_id", "filename", "file_size", "file_size_formatted", "upload_time"},
    "table list": {
        "filename", "table_count", "unique_table_count", "file_size", "file_size_formatted", "created_time",
        "original_count",
    },
    "list info": {
        "has_file", "exists", "file_name", "file_path", "file_size", "file_size_formatted", "uploaded_at", "created_at",
        "table_count", "table_names", "is_readable",
    },
    "files": {"files", "directory_info"},
    "files.files": {
        "file_name", "file_type", "file_size", "file_size_formatted", "created_at", "modified_at", "is_readable",
    },
    "files.directory_info": {"exists", "directory_path", "total_files", "total_size", "total_size_formatted"},
    "upload": {"success", "task_id", "uploaded_file", "backup_info"},
    "upload.uploaded_file": {"filename", "size", "size_formatted", "uploaded_at", "overwrite_mode"},
    "upload.backup_info": {"had_existing_file", "backup_filename", "backup_version", "backup_created_at"},
    "logs": {"logs", "total", "source", "log_file"},
    "logs.logs": {"timestamp", "level", "logger", "message"},
    "log query": {"logs", "pagination", "log_file_info", "query_time"},
    "log query.logs": {"timestamp", "level", "logger", "message", "step", "line_number"},
    "tables": {"tables", "total", "schemas", "db_connection_info"},
    "ddl": {"ddl", "md", "table_info", "fields", "generation_info"},
}  # fmt: skip


class OldClient:
    """Asks, and sees that an answer has the envelope and every field that clients know."""

    def __init__(self, client: TestClient) -> None:
        self._client = client

    def ask(self, name: str, method: str, path: str, status: int = 200, **body: Any) -> dict[str, Any]:
        answer = self._client.request(method, f"{BASE}{path}", **body)
        envelope = answer.json()
        assert answer.status_code == status, envelope
        assert (envelope["code"], envelope["success"]) == (200, True)
        assert {"code", "success", "message", "data"} == set(envelope)
        data: dict[str, Any] = envelope["data"]
        assert {"response", "timestamp"} <= set(data)
        self.check(name, data)
        for known in FIELDS:
            whole, _, part = known.partition(".")
            if whole == name and part:
                for item in data[part] if isinstance(data[part], list) else [data[part]]:
                    self.check(known, item)
        return data

    @staticmethod
    def check(name: str, found: dict[str, Any]) -> None:
        assert set(found) >= FIELDS[name], FIELDS[name] - set(found)

    def wait(self, task_id: str) -> str:
        for _ in range(600):
            status = str(self.ask("status", "GET", f"/data_pipeline/tasks/{task_id}")["status"])
            if status not in ("pending", "queued", "in_progress"):
                return status
            time.sleep(0.05)
        raise AssertionError(status)


def test_client_of_the_older_system_works_as_it_did(client: TestClient) -> None:
    """From the new task to its deletion, as its own user interface went."""
    old = OldClient(client)
    created = old.ask(
        "create", "POST", "/data_pipeline/tasks", 201,
        json={"task_name": "服务区", "db_name": "highway_db", "business_context": "高速公路服务区管理系统",
              "enable_sql_validation": True, "enable_llm_repair": True, "modify_original_file": True,
              "enable_training_data_load": True, "table_list_file": None},
    )  # fmt: skip
    assert (created["status"], created["file_upload_mode"]) == ("pending", True)
    task = f"/data_pipeline/tasks/{created['task_id']}"
    assert created["next_step"] == f"POST {BASE}{task}/upload-table-list"
    upload = {"file": ("my list.txt", "# 表\ncustomer,purchase\n".encode("gbk"), "text/plain")}
    assert old.ask("upload list", "POST", f"{task}/upload-table-list", files=upload)["filename"] == "table_list.txt"
    assert old.ask("list info", "GET", f"{task}/table-list-info")["table_count"] == 2
    assert old.ask("table list", "POST", f"{task}/table-list", json={"tables": "customer,purchase,customer"})[
        "original_count"
    ] in (2, 3)
    for body in ({"execution_mode": "complete"}, {"execution_mode": "complete", "backup_vector_tables": False}):
        old.ask("execute", "POST", f"{task}/execute", 202, json=body)
        assert old.wait(created["task_id"]) == "completed"
    old.ask("execute", "POST", f"{task}/execute", 202, json={"execution_mode": "step", "step_name": "ddl_generation"})
    assert old.wait(created["task_id"]) == "completed"

    status = old.ask("status", "GET", task)
    assert (status["task_name"], status["parameters"]["business_context"]) == ("服务区", "高速公路服务区管理系统")
    listed = old.ask("list", "GET", "/data_pipeline/tasks", params={"limit": 10, "offset": 0, "status": "completed"})
    assert [found["db_name"] for found in listed["tasks"]] == ["highway_db"]
    query = {"page": 1, "page_size": 20, "task_name": "服务", "sort_by": "created_at", "sort_order": "desc"}
    found = old.ask("query", "POST", "/data_pipeline/tasks/query", json=query)
    old.check("pagination", found["pagination"])
    assert found["pagination"]["total"] == 1

    files = old.ask("files", "GET", f"{task}/files")["files"]
    assert "customer.ddl" in [file["file_name"] for file in files]
    file = client.get(f"{BASE}{task}/files/customer.ddl")
    assert (file.status_code, "attachment" in file.headers["content-disposition"]) == (200, True)
    for number in (None, 1):
        upload = {"file": ("notes.md", b"# notes", "text/markdown")}
        done = old.ask("upload", "POST", f"{task}/files", files=upload, data={"overwrite_mode": "backup"})
        assert done["backup_info"]["backup_version"] == number
    assert old.ask("logs", "GET", f"{task}/logs", params={"limit": 5, "level": "INFO"})["source"] == "file"
    searched = old.ask("log query", "POST", f"{task}/logs/query", json={"keyword": "ddl", "page_size": 5})
    old.check("pagination", searched["pagination"])

    assert old.ask("tables", "POST", "/database/tables", json={"schema": "public"})["total"] == 2
    body = {"table": "customer", "type": "both", "business_context": "x"}
    assert old.ask("ddl", "POST", "/database/table/ddl", json=body)["md"]
    body = {"task_ids": [created["task_id"]], "confirm": True, "delete_database_records": True}
    deleted = old.ask("delete", "DELETE", "/data_pipeline/tasks", json=body)
    assert deleted["summary"]["successfully_deleted"] == 1
    missing = client.get(f"{BASE}{task}")
    assert (missing.status_code, missing.json()["code"], missing.json()["success"]) == (404, 404, False)
    assert missing.json()["data"]["error_type"] == "resource_not_found"
