"""`backups note|verify|delete|prune` as people and timers use them: output, exit codes, confirmation."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from data_pipeline.cli import app
from data_pipeline.errors import BackupProtected, InvalidInput, TaskBusy
from data_pipeline.tasks.workspace import open_workspace
from tests.data_pipeline.test_backup_deletion import make_backup
from tests.support.tasks import content_below, make_task


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
    """The error names the rule: out of bounds it is wrong usage, of another form bad input."""
    failed = run("prune", "task_1", *rule, "--yes")
    assert failed.exit_code == 2 or isinstance(failed.exception, InvalidInput)
    named = rule[0].removeprefix("--").replace("-", "[-_]")
    assert re.search(named, f"{failed.output}{failed.exception}")
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


def test_verify_all_goes_on_after_a_task_that_is_busy_or_a_link(home: Path) -> None:
    """A timer must hear of the damage behind the first surprise."""
    tasks = home / "training_data"
    busy = make_task(tasks / "task_0")
    make_backup(busy, 0)
    (tasks / "task_1" / OLDEST / "b.ddl").write_text("damage")
    with open_workspace(str(busy), "task_0", label="a run", timeout_seconds=0):
        done = run("verify", "--all", "--record-checksums", "--json")
        alone = run("verify", "task_0", "--record-checksums")
    assert done.exit_code == 3
    states = [(one["task_id"], one["state"]) for one in json.loads(done.output)]
    assert states == [("task_0", "unverifiable"), ("task_1", "good"), ("task_1", "good"), ("task_1", "damaged")]
    assert "busy" in json.loads(done.output)[0]["problems"][0]["message"]
    assert isinstance(alone.exception, TaskBusy)


def test_note_is_set_shown_replaced_and_cleared(home: Path) -> None:
    """The backup itself stays as it is."""
    before = content_below(home / "training_data" / "task_1" / OLDEST)
    for text in ("before the new price model", "另一条备注"):
        assert run("note", "task_1", OLDEST, text).exit_code == 0
        assert text in run("list", "task_1").output
        assert text in run("show", "task_1", OLDEST).output
    assert run("note", "task_1", OLDEST, "--clear").exit_code == 0
    assert run("note", "task_1", OLDEST, "--clear").exit_code == 0
    assert json.loads(run("show", "task_1", OLDEST, "--json").output)["note"] is None
    assert content_below(home / "training_data" / "task_1" / OLDEST) == before


@pytest.mark.parametrize("text", ["  ", "x" * 2_001, "a\x1b[31m"])
def test_wrong_note_is_refused(home: Path, text: str) -> None:
    """Escape sequences would reach a terminal."""
    assert isinstance(run("note", "task_1", OLDEST, text).exception, InvalidInput)
    assert not (home / "training_data" / "task_1" / "backup_manifests").exists()


def test_note_of_another_backup_of_the_name_does_not_count(home: Path) -> None:
    """A backup that was deleted by hand leaves its note behind."""
    assert run("note", "task_1", OLDEST, "old").exit_code == 0
    path = home / "training_data" / "task_1" / OLDEST / "backup_info.json"
    path.write_text(path.read_text().replace("20260101T120000000000-00000000", "20260101T120000000001-00000000"))
    assert json.loads(run("show", "task_1", OLDEST, "--json").output)["note"] is None
