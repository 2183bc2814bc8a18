"""`backups verify|delete|prune` as people and timers use them: output, exit codes, confirmation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from data_pipeline.cli import app
from data_pipeline.errors import BackupProtected, InvalidInput
from tests.data_pipeline.test_backup_deletion import make_backup
from tests.support.tasks import make_task


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a task that has three backups."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_PIPELINE_HOME", str(tmp_path))
    task = make_task(tmp_path / "training_data" / "task_1", {"a.ddl": "current a"})
    for day in range(3):
        make_backup(task, day)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["backups", *arguments])


def left(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "training_data" / "task_1").glob("file_bak_*"))


OLDEST, MIDDLE, NEWEST = "file_bak_20240101_120000", "file_bak_20240102_120000", "file_bak_20240103_120000"


def test_prune_shows_reasons_and_deletes_only_when_it_is_confirmed(home: Path) -> None:
    """Nobody can be asked in a pipe."""
    shown = run("prune", "task_1", "--keep-last", "1", "--dry-run")
    assert (shown.exit_code, "no rule keeps it" in shown.output, len(left(home))) == (0, True, 3)

    refused = run("prune", "task_1", "--keep-last", "1")
    assert isinstance(refused.exception, InvalidInput)
    assert "--yes" in str(refused.exception)
    assert len(left(home)) == 3

    done = run("prune", "task_1", "--keep-last", "1", "--yes", "--json")
    assert json.loads(done.output)["deleted_count"] == 2
    assert left(home) == [NEWEST]


def test_prune_without_rules_takes_those_of_the_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And refuses where there are none: an empty policy would be a slip."""
    assert "--keep-last" in str(run("prune", "task_1").exception)
    monkeypatch.setenv("DATA_PIPELINE_BACKUP_KEEP_LAST", "2")
    assert run("prune", "task_1", "--yes").exit_code == 0
    assert left(home) == [MIDDLE, NEWEST]


@pytest.mark.parametrize("rule", [("--keep-last", "0"), ("--keep-within", "3x"), ("--max-total-bytes", "-1")])
def test_wrong_rule_deletes_nothing(home: Path, rule: Sequence[str]) -> None:
    """The error names the rule."""
    failed = run("prune", "task_1", *rule, "--yes")
    assert isinstance(failed.exception, InvalidInput)
    assert rule[0].removeprefix("--").replace("-", "_") in str(failed.exception)
    assert len(left(home)) == 3


def test_delete_takes_the_named_backups_alone(home: Path) -> None:
    """The newest needs force."""
    assert run("delete", "task_1", OLDEST, "--dry-run").exit_code == 0
    assert isinstance(run("delete", "task_1", NEWEST, "--yes").exception, BackupProtected)
    assert len(left(home)) == 3
    assert run("delete", "task_1", OLDEST, "--yes").exit_code == 0
    assert left(home) == [MIDDLE, NEWEST]
    assert run("delete", "task_1", NEWEST, "--yes", "--force").exit_code == 0
    assert left(home) == [MIDDLE]


def test_verify_all_has_an_exit_code_for_a_timer(home: Path) -> None:
    """0: all good, 4: something cannot be compared, 3: damage, whatever else."""
    assert run("verify", "--all").exit_code == 0
    recorded = run("verify", "task_1", OLDEST, "--record-checksums", "--json")
    assert json.loads(recorded.output)[0]["checksums_recorded_at"] is not None

    task = home / "training_data" / "task_1"
    (task / MIDDLE / "backup_info.json").unlink()
    assert run("verify", "--all").exit_code == 4
    (task / OLDEST / "b.ddl").write_text("B")
    damaged = run("verify", "--all", "--json")
    assert damaged.exit_code == 3
    assert [(one["backup"], one["state"]) for one in json.loads(damaged.output)] == [
        (NEWEST, "good"), (MIDDLE, "unverifiable"), (OLDEST, "damaged"),
    ]  # fmt: skip


@pytest.mark.parametrize("arguments", [(), ("task_1", "--all")])
def test_verify_wants_a_task_or_all(home: Path, arguments: Sequence[str]) -> None:
    """One of both."""
    assert len(left(home)) == 3
    assert isinstance(run("verify", *arguments).exception, InvalidInput)
