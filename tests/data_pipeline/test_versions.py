"""What `doctor` says of the versions that this program runs on."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from importlib import metadata
from pathlib import Path

import pytest

from data_pipeline.config.versions import (
    PROJECT,
    is_within,
    judge_libpq,
    judge_libraries,
    judge_python,
    judge_sqlite,
    judge_versions,
)
from tests.support.shop import CLI, ROOT, Shop


def test_everything_that_this_runs_on_will_do() -> None:
    """Each by its name and version, and every library in the range that is declared."""
    found = {judgement.name: judgement for judgement in judge_versions()}

    assert {judgement.state for judgement in found.values()} == {"ok"}
    assert found["Python"].message == sys.version.split()[0]
    assert found["SQLite"].message.startswith(sqlite3.sqlite_version)
    assert found["PostgreSQL client"].message.startswith("libpq ")


def test_every_requirement_of_the_project_can_be_judged() -> None:
    """None is left out because of how it is written, but for those of extras."""
    required = [line for line in metadata.requires(PROJECT) or () if "extra ==" not in line]
    count = len(required)

    assert count > 10
    assert judge_libraries(required).message == f"{count} of {count} are within their ranges"


@pytest.mark.parametrize(
    ("version", "state"), [("3.10.13", "problem"), ("3.11.0", "ok"), ("3.13.9", "ok"), ("3.14.0rc1", "warning")]
)
def test_python_is_judged_by_the_range_and_by_what_was_tried(version: str, state: str) -> None:
    """A newer one may do, but nobody knows."""
    judged = judge_python(version, ">=3.11", ["3.11", "3.12", "3.13"])

    assert (judged.state, bool(judged.remedy)) == (state, state != "ok")


@pytest.mark.parametrize(
    ("version", "threads", "state"),
    [("3.34.1", 1, "problem"), ("3.40.1", 0, "problem"), ("3.40.1", 3, "ok"), ("3.46.0", 1, "ok")],
)
def test_sqlite_is_judged(version: str, threads: int, state: str) -> None:
    """By what the engine's statements need."""
    judged = judge_sqlite(version, threads)

    assert (judged.state, bool(judged.remedy)) == (state, state != "ok")


def test_old_client_library_of_postgresql_is_a_warning() -> None:
    """Only PostgreSQL databases need it."""
    assert [judge_libpq(number).state for number in (90_624, 100_000, 180_001)] == ["warning", "ok", "ok"]
    assert judge_libpq(170_004).message == "libpq 17.4"


@pytest.mark.parametrize(
    ("version", "specifier", "holds"),
    [
        ("3.4.0", ">=3.4,<3.5", True),
        ("3.5", "<3.5,>=3.4", False),
        ("3.4", ">=3.4.0", True),
        ("0.0.20", ">=0.0.20,<1", True),
        ("2.1.0b2", ">=2.1", True),
        ("1.0", "!=1.0", False),
        ("1.0", "", True),
    ],
)
def test_version_is_in_a_range_or_not(version: str, specifier: str, holds: bool) -> None:
    """As this project writes ranges, and as its metadata repeats them."""
    assert is_within(version, specifier) is holds


def test_doctor_finds_a_library_out_of_its_range(tmp_path: Path) -> None:
    """It names it, with the range and the command that changes it; exit code 1."""
    shop = Shop(tmp_path)
    other = tmp_path / "libraries" / "portalocker-99.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: portalocker\nVersion: 99.0\n")
    path = os.pathsep.join([str(other.parent), str(ROOT)])
    done = shop.call(CLI, "doctor", "--json", PYTHONPATH=path)
    (found,) = [one for one in json.loads(done.stdout) if one["name"] == "libraries"]

    assert (done.returncode, found["state"]) == (1, "problem")
    assert "portalocker 99.0 is out of the range" in found["message"]
    assert found["remedy"].startswith("pip install 'portalocker")
