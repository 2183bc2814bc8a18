"""`backups list` finds the backups that hold a text, as an operator uses it: on the command line and over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from data_pipeline.cli import app
from data_pipeline.errors import InvalidInput
from tests.data_pipeline.test_backup_deletion import make_backup
from tests.support.server import API, data, new_shop, running_server
from tests.support.service import new_task, refused
from tests.support.tasks import make_task

PERSON = "Ada Lovelace"
BACKUP, NEWER = "file_bak_20240101_120000", "file_bak_20240102_120000"


def make_backed_up(home: Path, *task_ids: str) -> None:
    """Tasks with two backups each, of which the older one holds a name."""
    for task_id in task_ids:
        task = make_task(home / "training_data" / task_id)
        make_backup(task, 0)
        make_backup(task, 1)
        (task / BACKUP / "a.ddl").write_text(f"-- sold by {PERSON.upper()}\n")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATA_PIPELINE_HOME", str(tmp_path))
    make_backed_up(tmp_path, "task_1", "task_2")
    return tmp_path


def list_(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(app, ["backups", "list", *arguments], input=text)


@pytest.mark.parametrize(("task", "folders"), [([], ["task_1", "task_2"]), (["task_2"], ["task_2"])])
def test_only_backups_that_hold_the_text_are_listed(home: Path, task: list[str], folders: list[str]) -> None:
    found = list_(*task, "--containing", PERSON, "--json")
    report = json.loads(found.output)
    assert found.exit_code == 0
    assert report["is_complete"]
    assert [(match["folder"], match["files"]) for match in report["matches"]] == [
        (f"{one}/{BACKUP}", ["a.ddl"]) for one in folders
    ]


def test_text_is_read_from_input_so_that_no_shell_remembers_it(home: Path) -> None:
    found = list_("--containing", "-", text=f"{PERSON}\n")
    assert found.output.splitlines()[:2] == [f"task_{number}/{BACKUP}\t1\ta.ddl" for number in (1, 2)]
    assert "2 backups contain the text" in found.output


def test_what_could_not_be_searched_is_named_and_has_an_exit_code(home: Path) -> None:
    (home / "training_data" / "task_1" / NEWER / "link").symlink_to("/etc/passwd")
    (home / "training_data" / "task_1" / "file_bak_20240103_120000").symlink_to("/etc")
    found = list_("task_1", "--containing", PERSON)
    assert found.exit_code == 4
    assert "Not searched: task_1/file_bak_20240103_120000: it is a symbolic link" in found.output


@pytest.mark.parametrize("text", ["", "x", "   ", "x" * 1001])
def test_text_that_cannot_be_searched_for_is_refused(home: Path, text: str) -> None:
    assert isinstance(list_("--containing", text).exception, InvalidInput)


def test_list_without_a_task_shows_the_backups_of_all(home: Path) -> None:
    found = json.loads(list_("--json").output)
    assert [(one["task_id"], one["name"]) for one in found] == [
        (task, backup) for task in ("task_1", "task_2") for backup in (NEWER, BACKUP)
    ]


def test_search_over_http_answers_for_all_tasks_or_one(client: TestClient, folder: Path) -> None:
    one, other, empty = (new_task(client) for _ in range(3))
    make_backed_up(folder / "home", one, other)
    every = data(client.post(f"{API}/backups/search", json={"text": PERSON}))
    assert {match["task_id"] for match in every["matches"]} == {one, other}
    single = data(client.post(f"{API}/backups/search", json={"text": PERSON, "task_id": other}))
    assert [(match["task_id"], match["backup"]) for match in single["matches"]] == [(other, BACKUP)]
    none = data(client.post(f"{API}/backups/search", json={"text": PERSON, "task_id": empty}))
    assert (none["matches"], none["is_complete"]) == ([], True)
    refused(
        client.post(f"{API}/backups/search", json={"text": PERSON, "task_id": "task_unknown"}),
        404,
        "resource_not_found",
    )
    for text in ("", "x", "  ", "x" * 1001):
        refused(client.post(f"{API}/backups/search", json={"text": text}), 400, "invalid_params")


def test_server_that_has_no_task_yet_finds_nothing(client: TestClient) -> None:
    assert data(client.post(f"{API}/backups/search", json={"text": PERSON}))["matches"] == []


def test_text_that_is_searched_for_is_in_no_log_and_no_answer(tmp_path: Path) -> None:
    shop = new_shop(tmp_path / "shop")
    with running_server(shop) as server:
        make_backed_up(shop.home, server.new_task("customer"))
        answers = [
            server.client.post(f"{API}/backups/search", json={"text": text}).text for text in (PERSON, PERSON * 100)
        ]
        assert server.terminate() == 0
    kept = [*answers, server.log.read_text()]
    kept += [
        path.read_bytes().decode("latin-1")
        for path in shop.home.rglob("*")
        if path.is_file() and "file_bak_" not in str(path)
    ]
    assert [text for text in kept if PERSON.lower() in text.lower()] == []
