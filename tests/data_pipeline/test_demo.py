"""The demo: its database is what it says, and its walk is true."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from data_pipeline.demo.database import TABLES, build_database
from data_pipeline.demo.server import DemoFailed, DemoServer
from data_pipeline.demo.tour import _new_folder
from tests.support.shop import CLI, PATIENCE_SECONDS, ROOT
from tests.support.tasks import backups_of
from tests.support.warm import warm_pipeline


def demo(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`data-pipeline demo` in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "data_pipeline", "demo", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=6 * PATIENCE_SECONDS,  # half a minute of work
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


@dataclass(frozen=True)
class Tour:
    """What the demo printed, and what it left behind when it ended."""

    done: subprocess.CompletedProcess[str]
    folder: Path
    names_beside: list[str]
    backup_count: int
    server_log: str


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Tour:
    """The demo with settings that are not its own, in a folder that has a name."""
    place = tmp_path_factory.mktemp("demo")
    elsewhere = {
        "DATA_PIPELINE_HOME": str(place / "elsewhere"),
        "DATA_PIPELINE_DATABASE_URL": "postgresql://nowhere/x",
    }
    done = demo(place, "--folder", "try_it", **elsewhere)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = place / "try_it"
    (task,) = (path for path in (folder / "training_data").iterdir() if path.name.startswith("task_"))
    names = [path.name for path in place.iterdir()]
    return Tour(done, folder, names, len(backups_of(task)), (folder / "server.log").read_text())


def test_demo_shows_everything_and_leaves_one_folder(tour: Tour) -> None:
    """Two runs, the record, a kill -9, a restore, what to try next; other settings do not reach it."""
    assert tour.names_beside == ["try_it"]
    for said in (
        "-> 202 run_", "table main.sale completed", "└── file_bak_", "backup_info.json:", "kill -9",
        "41 of 41 files of the first run are unchanged", "41 of 41 files of the first run are restored",
        "What to try next",
    ):  # fmt: skip
        assert said in tour.done.stdout
    found = re.search(r"(\d+) of (\d+) earlier file contents still exist", tour.done.stdout)
    assert found is not None
    assert found[1] == found[2]
    assert tour.backup_count == 3
    assert "\x1b" not in tour.done.stdout
    assert "Stopped" in tour.server_log


def test_commands_of_the_demo_work_in_its_folder(tour: Tour) -> None:
    """What it says to try next, line by line; `serve` is what it has just used."""
    lines = tour.done.stdout.partition("What to try next\n")[2].splitlines()
    commands = [line.strip().partition("   #")[0] for line in lines if line.startswith("  ")]
    assert commands[0] == f"cd {tour.folder}"
    for command in commands[1:-1]:
        words = (
            command.partition(" ")[2].split() if " -m " not in command else command.partition("pipeline ")[2].split()
        )
        called = warm_pipeline().run(CLI[2], *words, folder=tour.folder)
        assert called.returncode == 0, called.stderr

    assert commands[1].endswith("tasks list")


def test_demo_never_touches_a_folder_that_is_there(tmp_path: Path) -> None:
    """A second one takes the next free name; a name that a person gives must be free."""
    (tmp_path / "data_pipeline_demo").mkdir()
    refused = demo(tmp_path, "--folder", "data_pipeline_demo")
    nowhere = demo(tmp_path, "--folder", "/proc/nowhere")
    assert (nowhere.returncode, "cannot be created" in nowhere.stderr) == (1, True)
    second = demo(tmp_path, "--json")

    assert (refused.returncode, list((tmp_path / "data_pipeline_demo").iterdir())) == (1, [])
    assert "name a new folder" in refused.stderr
    answer = json.loads(second.stdout)
    assert answer["folder"] == str(tmp_path / "data_pipeline_demo_2")
    assert answer["rows"] > 50_000
    assert answer["files_restored"] == 41


def test_folder_of_the_demo_has_its_default_name_or_the_next_free_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call creates the folder that it names."""
    monkeypatch.chdir(tmp_path)

    assert [_new_folder(None) for _ in range(2)] == [
        str(tmp_path / name) for name in ("data_pipeline_demo", "data_pipeline_demo_2")
    ]


def test_database_is_the_same_with_every_seed_and_sound(tmp_path: Path) -> None:
    """About ten tables, keys that hold, personal data, dates, enumerations; nobody else's numbers."""
    counts = build_database(str(tmp_path / "a.sqlite"))
    assert build_database(str(tmp_path / "b.sqlite")) == counts
    build_database(str(tmp_path / "c.sqlite"), seed=8)
    contents = []
    for name in ("a", "b", "c"):
        connection = sqlite3.connect(tmp_path / f"{name}.sqlite")
        contents.append(list(connection.iterdump()))
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        totals = connection.execute(
            "SELECT count(*) FROM sale WHERE abs(total - (SELECT sum(quantity * unit_price) FROM sale_item"
            " WHERE sale_item.sale_id = sale.sale_id)) > 0.01"
        )
        assert totals.fetchone() == (0,)
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        assert {name for (name,) in tables} == set(TABLES)
        connection.close()

    assert contents[0] == contents[1] != contents[2]
    assert 50_000 < sum(counts.values()) < 100_000


def test_server_that_cannot_start_says_why_and_names_its_log(tmp_path: Path) -> None:
    """The last line of the log, not a wait for ever."""
    (tmp_path / "data_pipeline.toml").write_text("nonsense = 1\n")
    with DemoServer(str(tmp_path)) as server, pytest.raises(DemoFailed, match=r"(?s)nonsense.*log .*server\.log"):
        server.start()
    assert "nonsense" in (tmp_path / "server.log").read_text()
