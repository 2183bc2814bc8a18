"""Prune and delete: a backup is whole or gone, and nothing else is touched."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data_pipeline.config.retention import RetentionPolicy
from data_pipeline.errors import BackupProtected, DeletionFailed, NotFound, TaskBusy
from data_pipeline.tasks.backup.catalogue import find_backup, list_backups
from data_pipeline.tasks.backup.checksums import record_checksums
from data_pipeline.tasks.backup.delete import delete_backup, delete_backups, plan_deletion, plan_prune, prune
from data_pipeline.tasks.backup.record import BackupRecord, FailedFile, Statistics
from data_pipeline.tasks.workspace import Door, Workspace, open_workspace
from tests.support.hooked_disk import Died, HookedDisk, UnsyncedCommit
from tests.support.scenarios import NoLock
from tests.support.tasks import WritingStep, content_below, make_task, run_complete

FIRST = datetime(2024, 1, 1, 12, tzinfo=UTC)
LAST_TWO = RetentionPolicy(keep_last=2)


def make_backup(task: Path, day: int, *, failed: tuple[FailedFile, ...] = (), note: str | None = None) -> str:
    """Make a backup as a run makes one, on this day of the year."""
    made_at = FIRST + timedelta(days=day)
    name = f"file_bak_{made_at:%Y%m%d_%H%M%S}"
    make_task(task / name, {"a.ddl": f"a of day {day}", "b.ddl": "b"}, table_list=None)
    record = BackupRecord(
        backup_time=made_at.replace(tzinfo=None).isoformat(),
        backup_directory=name,
        moved_files=("a.ddl", "b.ddl"),
        failed_files=failed,
        task_id=task.name,
        statistics=Statistics(files=2, bytes=len(f"a of day {day}") + 1, seconds=0.1, retries=0),
        backup_time_utc=made_at.isoformat(),
        transaction=f"20260101T120000000000-{day:08x}",
        note=note,
    )
    (task / name / "backup_info.json").write_bytes(record.encoded())
    return name


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task with current files and five backups, a day apart."""
    path = make_task(tmp_path / "task_1", {"a.ddl": "current a"})
    for day in range(5):
        make_backup(path, day)
    return path


def names(task: Path) -> list[str]:
    return [backup.name for backup in list_backups(str(task))]


def under_lock(task: Path, door: Door | None = None) -> Workspace:
    return open_workspace(str(task), task.name, label="test", timeout_seconds=0, door=door)


def test_prune_deletes_what_no_rule_keeps_and_says_why(task: Path) -> None:
    """The newest two stay; the current files and the table list do, too."""
    before = names(task)
    with under_lock(task) as workspace:
        report = prune(workspace, LAST_TWO)

    assert names(task) == before[:2]
    assert [(backup.action, backup.reasons[0]) for backup in report.backups] == [
        ("keep", "last"), ("keep", "last"), *[("delete", "no rule keeps it")] * 3,
    ]  # fmt: skip
    assert report.summary()["deleted_bytes"] == 3 * (len("a of day 0") + 1)
    assert (task / "a.ddl").read_text() == "current a"
    assert (task / "table_list.txt").exists()


def test_dry_run_tells_the_same_and_changes_nothing(task: Path) -> None:
    """What it shows is what the real run then does."""
    before = content_below(task)
    planned = plan_prune(str(task), LAST_TWO)
    assert content_below(task) == before

    with under_lock(task) as workspace:
        done = prune(workspace, LAST_TWO)
    assert {**done.summary(), "dry_run": True} == planned.summary()


def test_empty_policy_keeps_everything(task: Path) -> None:
    """Off by default means off."""
    before = names(task)
    with under_lock(task) as workspace:
        assert prune(workspace, RetentionPolicy()).deleted == []
    assert names(task) == before


@pytest.mark.parametrize("kind", ["failed", "kept by recovery", "no record", "broken record", "hot journal"])
def test_backup_with_failures_or_an_unknown_outcome_goes_only_by_force(task: Path, kind: str) -> None:
    """It may hold the only copy of a file that is not where it should be."""
    oldest = names(task)[-1]
    record = task / oldest / "backup_info.json"
    match kind:
        case "failed":
            make_old = json.loads(record.read_text())
            make_old["failed_files"] = ["stuck.log"]
            record.write_text(json.dumps(make_old))
        case "kept by recovery":
            make_old = json.loads(record.read_text())
            make_old["note"] = "This backup was undone."
            record.write_text(json.dumps(make_old))
        case "no record":
            record.unlink()
        case "broken record":
            record.write_text("{")
        case "hot journal":
            with under_lock(task) as workspace:
                state = Path(workspace.directory.state_path)
            (state / "20260101T120000000000-00000000.damaged").write_text("")
    with under_lock(task) as workspace:
        report = prune(workspace, RetentionPolicy(keep_last=1))
    assert names(task)[-1] == oldest
    assert report.backups[-1].action == "keep"

    with pytest.raises(BackupProtected, match=oldest), under_lock(task) as workspace:
        delete_backups(workspace, [oldest])
    with under_lock(task) as workspace:
        prune(workspace, RetentionPolicy(keep_last=1), is_forced=True)
    assert oldest not in names(task)


def test_newest_backup_is_deleted_by_name_and_force_alone(task: Path) -> None:
    """A slip of the hand must not take the last good state."""
    newest = names(task)[0]
    with pytest.raises(BackupProtected, match="newest"):
        plan_deletion(str(task), [newest])
    with under_lock(task) as workspace:
        assert [backup.action for backup in delete_backups(workspace, [newest], is_forced=True).backups] == ["delete"]
    assert newest not in names(task)


def test_one_wrong_name_deletes_nothing(task: Path) -> None:
    """All are checked before the first one goes."""
    before = content_below(task)
    with pytest.raises(NotFound), under_lock(task) as workspace:
        delete_backups(workspace, [names(task)[-1], "file_bak_19990101_000000"])
    for wrong in ("../task_1", "table_list.txt", "file_bak_20240101_120000/..", "vector_bak"):
        with pytest.raises(NotFound):
            plan_deletion(str(task), [wrong])
    assert content_below(task) == before


def test_nothing_is_deleted_while_another_holds_the_task(task: Path) -> None:
    """A restore or a run holds the lock."""
    before = content_below(task)
    with under_lock(task), pytest.raises(TaskBusy), under_lock(task) as second:
        prune(second, LAST_TWO)
    assert content_below(task) == before


def test_note_and_checksums_go_with_their_backup(task: Path) -> None:
    """What is left of other backups stays."""
    oldest, newest = names(task)[-1], names(task)[0]
    for name in (oldest, newest):
        record_checksums(str(task), "task_1", name, work_id="checksums_1")
    with under_lock(task) as workspace:
        delete_backups(workspace, [oldest])
    assert [path.name for path in (task / "backup_manifests").iterdir()] == [f"{newest}_sha256.json"]


def test_backup_that_cannot_go_is_reported_and_the_others_go(task: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One surprise never ends the work on the rest, nor takes back the rest of its transaction."""
    oldest = names(task)[-1]

    def hook(number: int, verb: str, arguments: tuple[object, ...]) -> None:
        if verb == "rename" and oldest in arguments:
            raise PermissionError(13, "Permission denied", oldest)

    with under_lock(task, Door(HookedDisk(hook), NoLock)) as workspace:
        report = prune(workspace, LAST_TWO)

    assert [backup.action for backup in report.backups] == ["keep", "keep", "delete", "delete", "failed"]
    assert "Permission denied" in report.errors[0]
    assert len(names(task)) == 3
    assert (task / oldest / "a.ddl").exists()
    serious = [line for line in caplog.records if line.levelno >= logging.WARNING]
    logged = [(line.levelname, oldest in line.getMessage()) for line in serious]
    assert logged == [("WARNING", True), ("ERROR", True)]  # first all three together, then this one alone


def test_unknown_outcome_is_that_of_each_backup_of_its_transaction(
    task: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line of the log reports one as gone; the next transaction is not begun; recovery settles all."""
    monkeypatch.setattr("data_pipeline.tasks.backup.delete.BATCH_SIZE", 3)
    caplog.set_level(logging.INFO, "data_pipeline.backup")
    disk = HookedDisk(UnsyncedCommit(lasting=True))
    before = names(task)
    with under_lock(task, Door(disk, NoLock)) as workspace:
        report = prune(workspace, RetentionPolicy(keep_last=1))

    assert [backup.action for backup in report.backups] == ["keep", "failed", *["unknown"] * 3]
    assert ["unknown until recovery" in error for error in report.errors] == [False, True, True, True]
    assert [line.levelname for line in caplog.records] == ["ERROR"] * 4
    assert [" may still be there: " in line for line in caplog.messages] == [True, True, True, False]
    under_lock(task).directory.release()
    assert names(task) in (before, before[:2])


def test_twenty_backups_share_a_transaction_and_its_syncs(task: Path) -> None:
    """Forty of them need the syncs of two deletions."""
    for day in range(5, 41):
        make_backup(task, day)
    under_lock(task).directory.release()  # makes the state directory
    synced: list[object] = []

    def hook(number: int, verb: str, arguments: tuple[object, ...]) -> None:
        if verb.startswith("sync"):
            synced.append(arguments)

    with under_lock(task, Door(HookedDisk(hook), NoLock)) as workspace:
        assert len(prune(workspace, RetentionPolicy(keep_last=1)).deleted) == 40
    assert len(synced) == 2 * 5


def test_deletion_that_fails_is_an_error_that_says_why(task: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The backup is where it was; neither the message nor the log says that it is gone."""
    oldest = names(task)[-1]
    before = content_below(task)
    caplog.set_level(logging.INFO, "data_pipeline.backup")

    def hook(number: int, verb: str, arguments: tuple[object, ...]) -> None:
        if verb == "rename" and oldest in arguments:
            raise PermissionError(13, "Permission denied", oldest)

    with (
        under_lock(task, Door(HookedDisk(hook), NoLock)) as workspace,
        pytest.raises(DeletionFailed, match="Permission denied"),
    ):
        delete_backup(workspace, oldest)
    assert content_below(task) == before
    (line,) = caplog.messages
    assert f"backup {oldest} was not deleted: " in line


WORK: dict[str, Callable[[Workspace], object]] = {
    "prune": lambda workspace: prune(workspace, LAST_TWO),
    "delete": lambda workspace: delete_backups(workspace, [names(Path(workspace.path))[-1]]),
    "checksums": lambda workspace: workspace.put_into(
        "backup_manifests", "x.json", b"new", label="checksums", work_id="checksums_1"
    ),
}


def dying(limit: int) -> HookedDisk:
    def hook(number: int, verb: str, arguments: tuple[object, ...]) -> None:
        if number > limit:
            raise Died

    return HookedDisk(hook)


@pytest.mark.parametrize("what", WORK)
def test_killed_at_any_change_of_the_disk_and_again_in_recovery_a_backup_is_whole_or_gone(
    task: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next owner finds no half of a backup, and no manifest that is neither the old nor the new one."""
    monkeypatch.setattr("data_pipeline.tasks.backup.delete.BATCH_SIZE", 2)  # three backups go in two transactions
    under_lock(task).directory.release()
    (task / "backup_manifests").mkdir()
    (task / "backup_manifests" / "x.json").write_bytes(b"old")
    (task / "backup_manifests" / f"{names(task)[-1]}_note.json").write_bytes(b"note")
    whole = {name: content_below(task / name) for name in names(task)}
    counts = set()
    for limit in range(1_000):
        place = task.parent / f"copy_{limit}" / "task_1"
        shutil.copytree(task, place)
        shutil.copytree(task.parent / ".journal", place.parent / ".journal")
        try:
            with under_lock(place, Door(dying(limit), NoLock)) as workspace:
                WORK[what](workspace)
        except Died:
            for second in range(limit % 3, 60, 3):  # recovery dies, too, a third of its moments in each round
                try:
                    under_lock(place, Door(dying(second), NoLock)).directory.release()
                except Died:
                    continue
                break
            under_lock(place).directory.release()
            for name, content in whole.items():
                assert not (place / name).exists() or content_below(place / name) == content, (limit, name)
            assert (place / "backup_manifests" / "x.json").read_bytes() in (b"old", b"new")
            oldest = names(task)[-1]
            assert (place / oldest).exists() == (place / "backup_manifests" / f"{oldest}_note.json").exists()
            assert (place / "a.ddl").read_text() == "current a"
            counts.add(len(names(place)))
            shutil.rmtree(place.parent)
        else:
            break
    assert limit > 15
    assert counts == {"prune": {5, 3, 2}, "delete": {5, 4}, "checksums": {5}}[what]
    state = place.parent / ".journal" / "task_1"
    assert not [path for path in state.iterdir() if "trash" in path.name or path.suffix == ".journal"]


def test_complete_run_that_succeeds_applies_the_policy(task: Path) -> None:
    """Its own backup is the newest; the result and the log name what went."""
    before = names(task)
    result = run_complete(task, WritingStep({"t.ddl": "t"}), retention=LAST_TWO)

    left = names(task)
    assert (len(left), left[1]) == (2, before[0])
    assert result["pruned"]["deleted"] == before[1:]
    assert result["pruned"]["kept_count"] == 2
    assert result["warnings"] == []
    log = (task / "data_pipeline.log").read_text()
    assert all(f"backup {name} was deleted (keep_last=2" in log for name in before[1:])


def test_run_that_fails_or_has_no_policy_deletes_nothing(task: Path) -> None:
    """What an earlier run made may be needed now more than ever."""
    before = names(task)
    assert not run_complete(task, WritingStep({}, fails={"t": "broken"}), retention=LAST_TWO)["success"]
    assert names(task)[1:] == before
    assert run_complete(task, WritingStep({"t.ddl": "t"}))["pruned"] is None
    assert names(task)[2:] == before


def test_deleted_backup_leaves_the_catalogue(task: Path) -> None:
    """Its name is free again."""
    oldest = names(task)[-1]
    with under_lock(task) as workspace:
        delete_backups(workspace, [oldest])
    with pytest.raises(NotFound):
        find_backup(str(task), oldest)


def test_list_goes_on_while_another_process_deletes(task: Path) -> None:
    """A backup is listed whole or not at all."""
    for day in range(5, 60):
        make_backup(task, day)
    seen: list[int] = []
    errors: list[BaseException] = []
    is_over = threading.Event()

    def look() -> None:
        try:
            while not is_over.is_set():
                listed = list_backups(str(task))
                assert all(backup.record is not None for backup in listed)
                seen.append(len(listed))
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            errors.append(error)

    watcher = threading.Thread(target=look)
    watcher.start()
    with under_lock(task) as workspace:
        prune(workspace, RetentionPolicy(keep_last=1))
    is_over.set()
    watcher.join()
    assert errors == []
    assert seen


@pytest.mark.parametrize("seconds", [-(10**13), 2**40, 10**12])
def test_times_that_no_calendar_has_do_not_break_the_list(task: Path, seconds: int) -> None:
    """A file of another clock, a record of another program."""
    newest = task / names(task)[0]
    try:
        os.utime(newest / "a.ddl", (0, seconds))
    except OverflowError:
        pytest.skip("this system cannot set such a time")
    content = json.loads((newest / "backup_info.json").read_text())
    content["backup_time_utc"] = "0001-01-01T00:00:00+14:00"
    (newest / "backup_info.json").write_text(json.dumps(content))
    (task / "file_bak_00010101_000000").mkdir()

    assert len(list_backups(str(task))) == 6
    assert find_backup(str(task), newest.name).details()["files"][0]["name"] == "a.ddl"
    assert plan_prune(str(task), LAST_TWO).deleted
