"""Backups are downloaded on the command line and over HTTP: whole, or with an error that no client overlooks."""

from __future__ import annotations

import io
import json
import os
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from data_pipeline.cli import app
from data_pipeline.commands.output import write_new_file
from data_pipeline.errors import DirectoryUnusable, InvalidInput, NotFound
from tests.data_pipeline.test_backup_deletion import make_backup
from tests.support.server import API, new_shop, running_server
from tests.support.service import new_task, refused
from tests.support.tasks import make_task

BACKUP = "file_bak_20240101_120000"
LARGE = random.Random(1).randbytes(8_000_000)
"""Longer than what sockets on both sides hold, so that the rest is still to be read when the first bytes arrive."""


def make_backed_up(home: Path, task_id: str = "task_1") -> Path:
    """A task with one backup, in a home."""
    task = make_task(home / "training_data" / task_id, {"a.ddl": "current a"})
    make_backup(task, 0)
    return task


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task with one backup, in the home that commands use; the working directory is another one."""
    monkeypatch.setenv("DATA_PIPELINE_HOME", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return make_backed_up(tmp_path / "home")


def download(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["backups", "download", "task_1", *arguments])


def names_of(raw: bytes) -> set[str]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        assert archive.testzip() is None
        return {name.removeprefix(f"{BACKUP}/") for name in archive.namelist()}


def test_whole_backup_is_a_zip_with_the_name_of_task_and_backup(task: Path) -> None:
    done = download(BACKUP, "--json")
    raw = Path(f"task_1_{BACKUP}.zip").read_bytes()
    assert json.loads(done.output) == {"file": f"task_1_{BACKUP}.zip", "size_bytes": len(raw)}
    assert names_of(raw) == {*os.listdir(task / BACKUP), "archive_contents.json"}


def test_one_file_is_copied_under_its_own_name_or_a_chosen_one(task: Path) -> None:
    content = (task / BACKUP / "a.ddl").read_bytes()
    assert download(BACKUP, "a.ddl").exit_code == 0
    assert download(BACKUP, "a.ddl", "--output", "old.ddl").exit_code == 0
    assert Path("a.ddl").read_bytes() == Path("old.ddl").read_bytes() == content
    assert download(BACKUP, "a.ddl", "-o", "-").stdout_bytes == content


def test_file_that_is_there_is_never_overwritten(task: Path) -> None:
    Path("a.ddl").write_text("mine")
    answer = download(BACKUP, "a.ddl")
    assert isinstance(answer.exception, InvalidInput)
    assert "a.ddl already exists" in str(answer.exception)
    assert Path("a.ddl").read_text() == "mine"


def test_chunks_that_end_early_leave_no_file(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"part"
        raise DirectoryUnusable("the archive is not complete")

    with pytest.raises(DirectoryUnusable):
        write_new_file(tmp_path / "backup.zip", broken(), "--output")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["../a.ddl", "/etc/passwd", "nope", "..", ""])
def test_what_no_entry_is_called_is_not_found(task: Path, name: str) -> None:
    assert isinstance(download(BACKUP, name).exception, NotFound)
    assert isinstance(download("file_bak_20200101_000000").exception, NotFound)
    assert os.listdir() == []


def test_both_are_downloaded_over_http_as_attachments(client: TestClient, folder: Path) -> None:
    task_id = new_task(client)
    task = make_backed_up(folder / "home", task_id)
    url = f"{API}/tasks/{task_id}/backups/{BACKUP}"
    file = client.get(f"{url}/files/a.ddl")
    assert file.content == (task / BACKUP / "a.ddl").read_bytes()
    assert file.headers["content-length"] == str(len(file.content))
    assert file.headers["content-disposition"] == "attachment; filename*=UTF-8''a.ddl"
    archive = client.get(f"{url}/archive")
    assert archive.headers["content-disposition"] == f"attachment; filename*=UTF-8''{task_id}_{BACKUP}.zip"
    assert archive.headers["content-type"] == "application/zip"
    assert names_of(archive.content) == {*os.listdir(task / BACKUP), "archive_contents.json"}


def test_link_and_unknown_name_are_refused_over_http(client: TestClient, folder: Path) -> None:
    task_id = new_task(client)
    task = make_backed_up(folder / "home", task_id)
    (task / BACKUP / "link.ddl").symlink_to("/etc/passwd")
    url = f"{API}/tasks/{task_id}/backups"
    assert "a symbolic link" in refused(client.get(f"{url}/{BACKUP}/files/link.ddl"), 400, "invalid_params")["response"]
    refused(client.get(f"{url}/{BACKUP}/files/nope"), 404, "resource_not_found")
    refused(client.get(f"{url}/{BACKUP}/files/..%2F..%2Ftable_list.txt"), 404, "resource_not_found")
    refused(client.get(f"{url}/file_bak_20200101_000000/archive"), 404, "resource_not_found")


def test_client_sees_that_an_archive_broke_off_and_the_server_goes_on(tmp_path: Path) -> None:
    """The answer has no length, so that only an unfinished connection tells."""
    shop = new_shop(tmp_path / "shop")
    with running_server(shop) as server:
        task_id = server.new_task("customer")
        large = make_backed_up(shop.home, task_id) / BACKUP / "b.bin"
        large.write_bytes(LARGE)
        url = f"{API}/tasks/{task_id}/backups/{BACKUP}/archive"
        with pytest.raises(httpx.RemoteProtocolError), server.client.stream("GET", url) as answer:
            chunks = answer.iter_bytes()
            next(chunks)
            with large.open("r+b") as file:
                file.write(b"changed")
            for _ in chunks:
                pass
        assert "The archive is not complete" in server.log.read_text()
        assert names_of(server.client.get(url).content) >= {"a.ddl", "b.bin"}
