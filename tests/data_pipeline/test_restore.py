"""List, show and restore: a backup that nobody can restore is half a feature."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.errors import DirectoryUnusable, InvalidInput, NotFound, RestoreFailed, TaskBusy
from data_pipeline.tasks.backup.catalogue import find_backup, list_backups
from data_pipeline.tasks.backup.restore import RestoreReport, preview_restore, restore
from data_pipeline.tasks.workspace import Door, open_workspace
from journal import LocalFilesystem
from journal.filesystem import Directory
from tests.support.scenarios import NoLock
from tests.support.tasks import CLOCK, WritingStep, backups_of, content_below, make_task, run_complete

CHANGES = {
    "make_directory", "remove_directory", "remove_tree", "link", "rename", "unlink", "create", "copy", "write_at",
    "sync_file", "sync_directory",
}  # fmt: skip

OLD = "file_bak_20240101_120000"


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task with current files and one backup of other content, as the older system made them."""
    path = make_task(tmp_path / "task_1", {"a.ddl": "current a", "new.json": "current new"})
    make_task(path / OLD, {"a.ddl": "old a", "b.ddl": "old b"}, table_list=None)
    record = {
        "backup_time": "2024-01-01T12:00:00.5",
        "backup_directory": OLD,
        "moved_files": ["a.ddl", "b.ddl"],
        "failed_files": ["stuck.log"],
        "task_id": "task_1",
    }
    (path / OLD / "backup_info.json").write_text(json.dumps(record))
    return path


def restored(task: Path, name: str = OLD, chosen: Sequence[str] | None = None, **options: Any) -> RestoreReport:
    with open_workspace(str(task), task.name, label="restore", timeout_seconds=0, **options) as workspace:
        return restore(workspace, name, restore_id="restore_1", chosen=chosen, now=lambda: CLOCK)


# ---- list and show --------------------------------------------------------------------------------------------------


def test_list_names_every_backup_newest_first(task: Path) -> None:
    """Those of the older system too; a run's own comes on top."""
    run_complete(task, WritingStep({"t.ddl": "t"}))
    newest, old = list_backups(str(task))

    assert (old.name, old.record_state, [file.name for file in old.files]) == (OLD, "good", ["a.ddl", "b.ddl"])
    assert old.record is not None
    assert [failed.file for failed in old.record.failed_files] == ["stuck.log"]
    assert newest.summary()["file_count"] == 2
    assert newest.record is not None
    assert newest.record.run_id is not None


def test_failed_files_of_older_records_may_be_objects(task: Path) -> None:
    """Two spellings were written in the wild."""
    record = json.loads((task / OLD / "backup_info.json").read_text())
    record["failed_files"] = [{"file": "stuck.log", "error": "Permission denied"}]
    (task / OLD / "backup_info.json").write_text(json.dumps(record))

    (backup,) = list_backups(str(task))
    assert backup.details()["failed_files"] == [
        {"file": "stuck.log", "error": "Permission denied", "errno": None, "attempts": 1, "copied": False}
    ]


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (None, "missing"),
        (b"{", "broken"),
        (b"\xff", "broken"),
        (b"[]", "broken"),
        (b'{"backup_directory": 1}', "broken"),
    ],
)
def test_backup_without_a_good_record_is_listed_and_restored(task: Path, content: bytes | None, state: str) -> None:
    """The files count, not the record; a broken one is not brought back as a file."""
    (task / OLD / "backup_info.json").unlink()
    if content is not None:
        (task / OLD / "backup_info.json").write_bytes(content)
    (backup,) = list_backups(str(task))
    report = restored(task)

    assert backup.record_state == state
    assert backup.summary()["made_at"][:4] in ("2023", "2024")  # by the local time in its name
    assert report.restored == ("a.ddl", "b.ddl")
    assert list(report.skipped) == (["backup_info.json"] if content is not None else [])


@pytest.mark.parametrize("name", ["file_bak_20240101_12000", "file_bak_20240101_120000_", "bak", "file_bak_x", ""])
def test_other_directories_are_no_backups(task: Path, name: str) -> None:
    """A pattern decides; nothing else of the task can be restored as one."""
    if name:
        (task / name).mkdir()
    assert [backup.name for backup in list_backups(str(task))] == [OLD]
    with pytest.raises(NotFound):
        find_backup(str(task), name)


@pytest.mark.parametrize("name", ["../task_1/file_bak_20240101_120000", "..", "/etc", "file_bak_20240101_120000/.."])
def test_name_that_leads_elsewhere_is_no_backup(task: Path, name: str) -> None:
    """S3: never a path."""
    with pytest.raises(NotFound):
        find_backup(str(task), name)


def test_link_called_like_a_backup_is_none(task: Path) -> None:
    """It may lead anywhere."""
    os.symlink("/etc", task / "file_bak_20240202_120000")

    assert [backup.name for backup in list_backups(str(task))] == [OLD]
    with pytest.raises(NotFound):
        find_backup(str(task), "file_bak_20240202_120000")


def test_impossible_date_in_a_name_falls_back_to_the_directory_s_own_time(task: Path) -> None:
    """Somebody's `file_bak_99999999_999999` must not break the list."""
    (task / "file_bak_99999999_999999").mkdir()
    os.utime(task / "file_bak_99999999_999999", (1_000_000_000, 1_000_000_000))

    assert [backup.name for backup in list_backups(str(task))] == [OLD, "file_bak_99999999_999999"]


def test_fifo_called_like_a_record_is_an_entry_like_any_other(task: Path) -> None:
    """It moved there with the rest; nobody waits for what it will never say."""
    (task / OLD / "backup_info.json").unlink()
    os.mkfifo(task / OLD / "backup_info.json")

    assert [backup.record for backup in list_backups(str(task))] == [None]


def test_missing_task_directory_is_named(tmp_path: Path) -> None:
    """One clear sentence."""
    with pytest.raises(DirectoryUnusable, match="nowhere cannot be read"):
        list_backups(str(tmp_path / "nowhere"))


# ---- restore --------------------------------------------------------------------------------------------------------


def test_restore_keeps_the_current_files_in_a_new_backup(task: Path) -> None:
    """Current files go away, copies of the old ones come, the backup and the table list stay as they are."""
    before = content_below(task / OLD)
    report = restored(task)

    assert report.safety_backup == "file_bak_20250121_094400"
    safety = task / report.safety_backup
    assert sorted(os.listdir(task)) == ["a.ddl", "b.ddl", OLD, report.safety_backup, "table_list.txt"]
    assert ((task / "a.ddl").read_text(), (task / "b.ddl").read_text()) == ("old a", "old b")
    assert ((safety / "a.ddl").read_text(), (safety / "new.json").read_text()) == ("current a", "current new")
    assert json.loads((safety / "backup_info.json").read_text())["restored"] == OLD
    assert content_below(task / OLD) == before
    assert os.stat(task / "a.ddl").st_ino != os.stat(task / OLD / "a.ddl").st_ino
    assert (task / "a.ddl").stat().st_mtime == (task / OLD / "a.ddl").stat().st_mtime
    assert not [name for name in os.listdir(task.parent / ".journal" / "task_1") if name.startswith("work")]


def test_restore_is_undone_by_restoring_what_it_kept(task: Path) -> None:
    """There and back again: the same files with the same content."""
    before = {name: content for name, content in content_below(task).items() if "/" not in name}
    report = restored(task)
    assert report.safety_backup is not None
    restored(task, report.safety_backup)

    assert {name: content for name, content in content_below(task).items() if "/" not in name} == before


def test_single_file_is_restored_and_the_others_stay(task: Path) -> None:
    """Only its own predecessor makes room."""
    report = restored(task, chosen=["a.ddl"])

    assert (report.restored, report.replaced) == (("a.ddl",), ("a.ddl",))
    assert (task / "a.ddl").read_text() == "old a"
    assert (task / "new.json").read_text() == "current new"
    assert not (task / "b.ddl").exists()


def test_restore_into_an_empty_task_makes_no_backup(task: Path) -> None:
    """There is nothing to keep."""
    for name in ("a.ddl", "new.json"):
        (task / name).unlink()

    assert restored(task).safety_backup is None
    assert backups_of(task) == [task / OLD]


def test_dry_run_changes_nothing_and_tells_what_would_happen(task: Path) -> None:
    """Without the lock: also while a run holds it; then it names the holder."""
    before = content_below(task)
    with open_workspace(str(task), task.name, label="run", timeout_seconds=0):
        summary = preview_restore(str(task), OLD).summary()

    assert (len(summary.pop("changes")), sum(summary.pop("counts").values())) == (3, 3)
    assert ["not locked" in summary["notes"][0], "in use by 'run'" in summary.pop("notes")[1]] == [True, True]
    assert summary == {
        "backup": OLD,
        "dry_run": True,
        "restored": ["a.ddl", "b.ddl"],
        "replaced": ["a.ddl", "new.json"],
        "skipped": {},
        "safety_backup": None,
    }
    assert content_below(task) == before


def test_restore_is_refused_while_the_task_is_held(task: Path) -> None:
    """And the holder is named."""
    with (
        open_workspace(str(task), task.name, label="run 7", timeout_seconds=0),
        pytest.raises(TaskBusy, match="run 7"),
    ):
        restored(task)


def test_links_come_back_as_links_and_special_files_are_named(task: Path) -> None:
    """A link is copied, not what it leads to; a FIFO or a directory stays in the backup, and the answer says so."""
    os.symlink("a.ddl", task / OLD / "link")
    os.mkfifo(task / OLD / "fifo")
    (task / OLD / "sub").mkdir()
    report = restored(task)

    assert os.readlink(task / "link") == "a.ddl"
    assert report.skipped == {"fifo": "it is a special entry", "sub": "it is a directory entry"}


def test_directory_in_the_place_of_a_restored_file_is_refused_before_anything_is_changed(task: Path) -> None:
    """A person decides what to do with it."""
    (task / "b.ddl").mkdir()
    before = content_below(task)
    with pytest.raises(InvalidInput, match=r"b\.ddl is a directory now"):
        restored(task)

    assert content_below(task) == before


def test_unknown_file_is_named_and_nothing_changes(task: Path) -> None:
    """A path is unknown too."""
    before = content_below(task)
    for chosen in ("c.ddl", "../table_list.txt", f"../{OLD}/a.ddl", ""):
        with pytest.raises(NotFound):
            restored(task, chosen=[chosen])

    assert content_below(task) == before


def test_backup_without_a_file_to_restore_is_refused(task: Path) -> None:
    """Nothing is moved for nothing."""
    (task / "file_bak_20240303_120000").mkdir()
    os.mkfifo(task / "file_bak_20240303_120000" / "fifo")
    with pytest.raises(InvalidInput, match="does not contain a file that can be restored"):
        restored(task, "file_bak_20240303_120000")


def test_restore_killed_at_any_change_of_the_disk_is_whole_or_undone(task: Path) -> None:
    """Dead at each call in turn: after the next lock the old files are in place, or the restored ones are."""

    class Died(BaseException):
        pass

    class Dies(LocalFilesystem):
        def __init__(self, limit: int) -> None:
            super().__init__()
            self.left = limit

        def __getattribute__(self, name: str) -> Any:
            found = super().__getattribute__(name)
            if name not in CHANGES:
                return found

            def call(*arguments: Any, **named: Any) -> Any:
                self.left -= 1
                if self.left < 0:  # dead: whatever is tried after that fails too
                    raise Died
                return found(*arguments, **named)

            return call

    def current(place: Path) -> dict[str, str]:
        return {name: text for name, text in content_below(place).items() if "/" not in name}

    open_workspace(str(task), task.name, label="first", timeout_seconds=0).directory.release()
    before = current(task)
    after = {"a.ddl": "old a", "b.ddl": "old b", "table_list.txt": "t\n"}
    seen = []
    for limit in range(200):
        place = task.parent / f"copy_{limit}" / "task_1"
        shutil.copytree(task.parent / "task_1", place)
        shutil.copytree(task.parent / ".journal", place.parent / ".journal")
        try:
            restored(place, door=Door(Dies(limit), NoLock))
        except Died:
            open_workspace(str(place), "task_1", label="next", timeout_seconds=0).directory.release()
            assert current(place) in (before, after), limit
            seen.append(current(place) == after)
            assert content_below(place / OLD) == content_below(task / OLD)
        else:
            break
    assert current(place) == after
    assert len(seen) > 20
    assert seen == sorted(seen)  # undone up to the commit, whole from there on


@pytest.mark.parametrize("verb", ["create", "copy", "link", "sync_directory"])
def test_restore_on_a_failing_disk_leaves_everything_as_it_was(task: Path, verb: str) -> None:
    """Whatever fails first: one transaction, rolled back."""
    open_workspace(str(task), task.name, label="first", timeout_seconds=0).directory.release()
    before = content_below(task)
    calls: list[str] = []

    class Failing(LocalFilesystem):
        def __getattribute__(self, name: str) -> Any:
            found = super().__getattribute__(name)
            if name != verb:
                return found

            def fail(directory: Directory, *arguments: Any, **named: Any) -> Any:
                path = directory.path + "".join(str(item) for item in arguments if isinstance(item, str))
                if "holder" in path or calls:
                    return found(directory, *arguments, **named)
                calls.append(path)
                raise OSError(errno.EIO, "Input/output error")

            return fail

    with pytest.raises(RestoreFailed, match="everything is as before"):
        restored(task, door=Door(Failing()))

    assert content_below(task) == before
    assert calls
