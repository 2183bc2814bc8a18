"""Backups are counted: number, bytes, oldest and newest, for each task and in all, wherever people look."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from data_pipeline.cli import app
from data_pipeline.commands.doctor import examine
from data_pipeline.config.settings import Settings
from data_pipeline.errors import InvalidInput, NotFound
from data_pipeline.runs.metrics import Metrics
from data_pipeline.tasks.backup.catalogue import list_backups
from data_pipeline.vectors.backup_statistics import BackupCount, BackupStatistics, count_backups
from tests.data_pipeline.test_backup_deletion import make_backup
from tests.support.server import API, data
from tests.support.service import execute, new_task, refused
from tests.support.tasks import make_task


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three tasks with 0, 1 and 2 backups."""
    for number in range(3):
        task = make_task(tmp_path / "training_data" / f"task_{number}")
        for day in range(number):
            make_backup(task, day)
    return tmp_path / "training_data"


def test_count_is_that_of_the_lists(root: Path) -> None:
    counted = count_backups(str(root))
    assert [(task.task_id, task.files.backup_count) for task in counted.tasks] == [("task_1", 1), ("task_2", 2)]
    for task in counted.tasks:
        listed = list_backups(str(root / str(task.task_id)))
        assert task.files.size_bytes == sum(backup.size_bytes for backup in listed) > 0
        assert (task.files.newest_at, task.files.oldest_at) == (listed[0].made_at, listed[-1].made_at)
    assert counted.files == counted.tasks[0].files + counted.tasks[1].files
    assert (counted.vectors, counted.is_complete) == (BackupCount(), True)


def test_nothing_was_made_yet(tmp_path: Path) -> None:
    assert count_backups(str(tmp_path / "nothing")).summary()["total"]["files"]["backup_count"] == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_directory_that_cannot_be_read_is_named_and_the_others_are_counted(root: Path) -> None:
    (root / "task_1" / "file_bak_20240101_120000").chmod(0)
    counted = count_backups(str(root))
    assert [task.task_id for task in counted.tasks] == ["task_2"]
    assert "file_bak_20240101_120000" in counted.unreadable[0]
    assert not counted.is_complete


def test_backups_are_counted_while_others_delete_them(root: Path) -> None:
    """A task that is deleted between the list of tasks and its count is no error."""
    shutil.rmtree(root / "task_2")
    assert count_backups(str(root), task_id="task_2").summary()["is_complete"] is True
    with pytest.raises(InvalidInput):
        count_backups(str(root), task_id="../etc")


def test_command_shows_the_largest_task_first_and_the_totals_last(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_PIPELINE_HOME", str(root.parent))
    shown = CliRunner().invoke(app, ["backups", "stats"])
    rows = [line.split("\t")[:3] for line in shown.output.splitlines()]
    assert rows == [
        ["task_2", "files", "2"], ["task_1", "files", "1"], ["in all", "files", "3"], ["in all", "vectors", "0"],
    ]  # fmt: skip
    one = json.loads(CliRunner().invoke(app, ["backups", "stats", "task_1", "--json"]).output)
    assert one["total"]["files"]["backup_count"] == 1
    assert isinstance(CliRunner().invoke(app, ["backups", "stats", "task_9"]).exception, NotFound)


def test_service_counts_files_and_vectors_of_a_task_and_in_all(client: TestClient) -> None:
    task_id, other = new_task(client), new_task(client)
    for _ in range(2):
        execute(client, task_id)
    data(client.post(f"{API}/vector/backup", json={"task_id": task_id}))
    data(client.post(f"{API}/vector/backup", json={}))
    every = data(client.get(f"{API}/backups/statistics"))
    counts = [(one["task_id"], one["files"]["backup_count"], one["vectors"]["backup_count"]) for one in every["tasks"]]
    assert counts == [(None, 0, 1), (task_id, 1, 1)]
    assert every["total"]["vectors"]["size_bytes"] > every["tasks"][0]["vectors"]["size_bytes"] > 0
    assert data(client.get(f"{API}/backups/statistics", params={"task_id": other}))["tasks"] == []
    refused(client.get(f"{API}/backups/statistics", params={"task_id": "task_unknown"}), 404, "resource_not_found")
    refused(client.get(f"{API}/backups/statistics", params={"task_id": "../x"}), 400, "invalid_params")

    metrics = client.get("/metrics").text
    assert f'data_pipeline_backups_kept{{kind="files",task="{task_id}"}} 1.0' in metrics
    assert 'data_pipeline_backups_kept{kind="vectors",task=""} 1.0' in metrics
    assert f'task="{other}"' not in metrics


def test_metrics_count_once_a_minute_however_often_they_are_read(root: Path) -> None:
    counts = 0

    def count() -> BackupStatistics:
        nonlocal counts
        counts += 1
        return count_backups(str(root))

    metrics = Metrics()
    metrics.watch_backups(count)
    assert counts == 0
    labels = {"task": "task_2", "kind": "files"}
    for _ in range(3):
        assert metrics.registry.get_sample_value("data_pipeline_backups_kept", labels) == 2
    newest = metrics.registry.get_sample_value("data_pipeline_backups_newest_seconds", labels)
    assert newest is not None
    assert datetime.fromtimestamp(newest, UTC) == list_backups(str(root / "task_2"))[0].made_at
    assert counts == 1


def test_doctor_warns_of_backups_that_are_larger_than_the_setting(root: Path) -> None:
    def finding(limit: int) -> tuple[str, str]:
        settings = Settings(home=root.parent, backup_warning_bytes=limit)
        return next((found.state, found.message) for found in examine(settings) if found.name == "backups")

    size = count_backups(str(root)).size_bytes
    assert finding(size)[0] == finding(0)[0] == "ok"
    state, text = finding(size - 1)
    assert (state, "3 backups" in text, "BACKUP_WARNING_BYTES" in text) == ("warning", True, True)
