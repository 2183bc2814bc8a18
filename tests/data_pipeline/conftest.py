"""A small shop, and the service on it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from data_pipeline.runs import engine as engine_module
from tests.support.service import TABLES, serving, settings_of
from tests.support.shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A folder with a business database in which commands run, without a server and with a home of its own."""
    return Shop(tmp_path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a business database, and no setting from outside."""
    for name in list(os.environ):
        if name.startswith("DATA_PIPELINE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engine_module, "POLL_SECONDS", 0.02)
    connection = sqlite3.connect(tmp_path / "shop.sqlite")
    connection.executescript("".join(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY);" for table in TABLES))
    connection.close()
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    """A server that answers requests and works on runs."""
    with serving(settings_of(folder)) as client:
        yield client


@pytest.fixture
def api(folder: Path) -> Iterator[TestClient]:
    """A server that only answers requests: what it queues stays queued."""
    with serving(settings_of(folder), "api") as client:
        yield client
