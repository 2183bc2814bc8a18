"""The service in this process, for tests: with a real store, engine, worker and disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
from fastapi.testclient import TestClient

from data_pipeline.config.settings import Settings
from data_pipeline.service.app import Role, create_app, open_service
from tests.support.server import API, data
from tests.support.waiting import PATIENCE_SECONDS

TABLES = ("customer", "purchase")


def settings_of(folder: Path, **values: Any) -> Settings:
    databases = {"shop": f"sqlite:///{folder / 'shop.sqlite'}"}
    return Settings(**{"home": folder / "home", "databases": databases, "lock_timeout_seconds": 5.0, **values})


@contextlib.contextmanager
def serving(
    settings: Settings, role: Role = "all", base_url: str = "http://127.0.0.1:8084", **options: Any
) -> Iterator[TestClient]:
    """The service in this process."""
    with open_service(settings, role) as service, TestClient(create_app(service), base_url, **options) as client:
        yield client


def new_task(client: TestClient, *tables: str, **parameters: Any) -> str:
    task_id: str = data(client.post(f"{API}/tasks", json=parameters))["task_id"]
    data(client.post(f"{API}/tasks/{task_id}/table-list", json={"tables": list(tables or TABLES)}))
    return task_id


def execute(client: TestClient, task_id: str, wait_seconds: int = PATIENCE_SECONDS, **body: str) -> httpx.Response:
    headers = {"Prefer": f"wait={wait_seconds}"} if wait_seconds else {}
    answer: httpx.Response = client.post(f"{API}/tasks/{task_id}/execute", json=body, headers=headers)
    return answer


def refused(response: httpx.Response, status: int, error_type: str) -> dict[str, Any]:
    """What a refusal says; its body has the same code, and no path of the server."""
    body = response.json()
    assert (response.status_code, body["code"], body["success"]) == (status, status, False), body
    assert body["data"]["error_type"] == error_type
    assert "/tmp" not in response.text
    found: dict[str, Any] = body["data"]
    return found
