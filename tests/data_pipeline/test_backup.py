"""The backup before a complete run: the seven scenarios of the specification, and what a disk may hold besides."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pyfakefs.fake_filesystem_unittest import Patcher
from pyfakefs.helpers import reset_ids, set_uid

from data_pipeline.tasks.backup.catalogue import list_backups
from data_pipeline.tasks.backup.create import BackupFacts, back_up
from data_pipeline.tasks.backup.record import FailedFile, Statistics, largest_size
from data_pipeline.tasks.backup.report import BackupReport
from data_pipeline.tasks.workspace import Door, open_workspace
from journal import LocalFilesystem, printable
from journal.filesystem import Directory, rename_by_placeholder
from tests.support.scenarios import NoLock
from tests.support.tasks import CLOCK, WritingStep, backups_of, content_below, make_task, run_complete, run_step

STAMP = "file_bak_20250121_094400"


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return make_task(tmp_path / "task_20250721_083557", table_list=None)


def backed_up(task: Path, run_id: str = "run_1", now: datetime = CLOCK, **options: Any) -> BackupReport:
    with open_workspace(str(task), task.name, label="test", timeout_seconds=0, **options) as workspace:
        return back_up(workspace, run_id=run_id, now=lambda: now)


@pytest.fixture
def ordinary_user(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Become user 1000 on a fake disk; whoever runs the tests."""

    def become() -> None:
        set_uid(1000)
        monkeypatch.setattr(os, "geteuid", lambda: 1000)

    yield become
    reset_ids()


def open_to_all(task: Path, disk: LocalFilesystem) -> None:
    """Let everybody work in a task directory of a fake disk."""
    open_workspace(str(task), task.name, label="first", timeout_seconds=0, door=Door(disk, NoLock)).directory.release()
    for path in (task, task.parent / ".journal", task.parent / ".journal" / task.name):
        path.chmod(0o777)


def record_in(backup: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((backup / "backup_info.json").read_text(encoding="utf-8"))
    return record


# ---- the scenarios of the specification, by its words ---------------------------------------------------------------


def test_empty_directory_makes_no_backup(task: Path) -> None:
    """1: 任务目录为空，不应创建备份."""
    report = backed_up(task)

    assert report.state == "nothing_to_back_up"
    assert os.listdir(task) == []


def test_table_list_alone_makes_no_backup(task: Path) -> None:
    """2: 只有 table_list.txt，不应创建备份."""
    make_task(task)
    report = backed_up(task)

    assert report.state == "nothing_to_back_up"
    assert os.listdir(task) == ["table_list.txt"]


def test_files_move_into_a_backup(task: Path) -> None:
    """3: 有其他文件，应创建备份并移动文件."""
    make_task(task, {"old_file.ddl": "ddl", "old_data.json": "{}"}, table_list=None)
    report = backed_up(task)

    assert (report.state, report.directory) == ("backed_up", STAMP)
    assert os.listdir(task) == [STAMP]
    assert sorted(os.listdir(task / STAMP)) == ["backup_info.json", "old_data.json", "old_file.ddl"]
    assert (task / STAMP / "old_file.ddl").read_text() == "ddl"


def test_of_mixed_content_only_files_move(task: Path) -> None:
    """4: 有文件、子目录和 table_list.txt，只移动文件; and the record has exactly the specification's keys first."""
    make_task(task, {"old_file.ddl": "ddl", "old_data.json": "{}", "some_log.log": "log"})
    make_task(task / "some_subdir", {"file.txt": "below"}, table_list=None)
    backed_up(task)

    assert content_below(task).keys() == {
        "table_list.txt",
        f"{STAMP}/old_file.ddl",
        f"{STAMP}/old_data.json",
        f"{STAMP}/some_log.log",
        f"{STAMP}/backup_info.json",
        "some_subdir/file.txt",
    }
    record = record_in(task / STAMP)
    assert list(record)[:5] == ["backup_time", "backup_directory", "moved_files", "failed_files", "task_id"]
    assert {key: record[key] for key in list(record)[:5]} == {
        "backup_time": "2025-01-21T09:44:00.123456",
        "backup_directory": STAMP,
        "moved_files": ["old_data.json", "old_file.ddl", "some_log.log"],
        "failed_files": [],
        "task_id": "task_20250721_083557",
    }
    assert record["statistics"] | {"seconds": 0} == {"files": 3, "bytes": 8, "seconds": 0, "retries": 0}


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_taken_name_of_the_backup_gets_a_suffix(task: Path, kind: str) -> None:
    """5: 备份目录已存在，应创建序号后缀目录; a file of that name counts, and then moves like any other."""
    make_task(task, {"a.ddl": "a"}, table_list=None)
    (task / STAMP).mkdir() if kind == "directory" else (task / STAMP).write_text("a file")
    (task / f"{STAMP}_1").mkdir()
    report = backed_up(task)

    assert report.directory == f"{STAMP}_2"
    assert record_in(task / f"{STAMP}_2")["backup_directory"] == f"{STAMP}_2"
    assert (task / f"{STAMP}_2" / "a.ddl").read_text() == "a"
    assert (task / STAMP).exists() == (kind == "directory")


def test_file_that_may_not_be_moved_is_reported_and_the_rest_moves(ordinary_user: Callable[[], None]) -> None:
    """6: 文件移动权限问题，应记录错误但继续执行 (on a fake disk, as another user than root)."""

    class OneIsRefused(LocalFilesystem):
        def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            if name == "locked.ddl":
                raise PermissionError(errno.EACCES, "Permission denied", name)
            super().link(source, name, target, new_name)

    with Patcher():
        task = Path("/data/task_1")
        make_task(task, {name: name for name in ("locked.ddl", "a.ddl", "b.ddl")}, table_list=None)
        disk = OneIsRefused(by_descriptor=False, exclusive_rename=rename_by_placeholder)
        open_to_all(task, disk)
        ordinary_user()
        report = backed_up(task, door=Door(disk, NoLock))
        set_uid(0)

        assert (report.state, report.error) == ("backed_up", None)
        assert report.moved_files == ("a.ddl", "b.ddl")
        (failed,) = report.failed_files
        assert (failed.file, failed.errno, failed.attempts, failed.copied) == ("locked.ddl", errno.EACCES, 1, True)
        assert (task / "locked.ddl").read_text() == (task / STAMP / "locked.ddl").read_text() == "locked.ddl"
        assert record_in(task / STAMP)["failed_files"] == [failed.model_dump(exclude_none=True)]


def test_directory_in_which_nothing_may_be_made_fails_the_backup_and_keeps_everything(
    ordinary_user: Callable[[], None],
) -> None:
    """6: 备份目录创建失败，记录错误但不阻止主流程."""
    with Patcher():
        task = make_task(Path("/data/task_1"), {"a.ddl": "a"}, table_list=None)
        disk = LocalFilesystem(by_descriptor=False, exclusive_rename=rename_by_placeholder)
        open_to_all(task, disk)
        task.chmod(0o555)
        ordinary_user()
        report = backed_up(task, door=Door(disk, NoLock))
        set_uid(0)

        assert (report.state, report.moved_files) == ("failed", ())
        assert "Permission" in (report.error or "")
        assert os.listdir(task) == ["a.ddl"]


def test_repeated_runs_make_a_backup_each(task: Path) -> None:
    """7: 多次执行应创建多个备份目录."""
    for number in range(3):
        make_task(task, {"a.ddl": f"run {number}"})
        assert backed_up(task, run_id=f"run_{number}").state == "backed_up"

    assert [(path.name, (path / "a.ddl").read_text()) for path in backups_of(task)] == [
        (STAMP, "run 0"),
        (f"{STAMP}_1", "run 1"),
        (f"{STAMP}_2", "run 2"),
    ]


# ---- what a disk may hold -------------------------------------------------------------------------------------------


def test_only_the_exact_name_of_the_table_list_stays(task: Path) -> None:
    """严格按文件名匹配: TABLE_LIST.TXT and its relatives move."""
    others = ["TABLE_LIST.TXT", "table_list.txt.bak", "Table_List.txt", " table_list.txt"]
    make_task(task, dict.fromkeys(others, "x"))
    backed_up(task)

    assert sorted(os.listdir(task)) == [STAMP, "table_list.txt"]
    assert set(os.listdir(task / STAMP)) == {*others, "backup_info.json"}


def test_directory_called_like_the_table_list_stays(task: Path) -> None:
    """It is a directory; nothing else is there, so nothing is backed up."""
    (task / "table_list.txt").mkdir()

    assert backed_up(task).state == "nothing_to_back_up"


def test_links_fifos_and_sockets_move_as_they_are(task: Path) -> None:
    """Links are never followed, special files never opened."""
    make_task(task / "sub", {"kept": "kept"}, table_list=None)
    (task / "target").write_text("target")
    for name, target in {"live": "target", "dangling": "nowhere", "to_directory": "sub"}.items():
        os.symlink(target, task / name)
    os.mkfifo(task / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(task, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    report = backed_up(task)

    assert report.moved_files == ("dangling", "fifo", "live", "socket", "target", "to_directory")
    assert os.readlink(task / STAMP / "to_directory") == "sub"
    assert sorted(os.listdir(task)) == [STAMP, "sub"]
    assert (task / "sub" / "kept").read_text() == "kept"


def test_odd_names_keep_their_bytes_and_the_record_stays_json(task: Path) -> None:
    """Not UTF-8, newlines, 255 bytes: moved under the same name, escaped in the record where they are no text."""
    odd = [b"\xff\xfe.ddl", b"line\nbreak.ddl", b"x" * 255, "服务区.ddl".encode(), b"-rf", b" "]
    for name in odd:
        with open(os.fsencode(task) + b"/" + name, "wb") as file:
            file.write(name)
    backed_up(task)

    moved = os.fsencode(task) + b"/" + STAMP.encode()
    assert set(os.listdir(moved)) == {*odd, b"backup_info.json"}
    for name in odd:
        with open(moved + b"/" + name, "rb") as file:
            assert file.read() == name
    assert set(record_in(task / STAMP)["moved_files"]) == {
        "\\xff\\xfe.ddl", "line\nbreak.ddl", "x" * 255, "服务区.ddl", "-rf", " ",
    }  # fmt: skip


def test_old_record_keeps_its_name_and_ours_takes_the_next(task: Path) -> None:
    """A file that was itself called backup_info.json is content; the directory's name tells the record from it."""
    make_task(task, {"backup_info.json": '{"backup_directory": "other"}', "backup_info_1.json": "old"})
    backed_up(task)

    assert (task / STAMP / "backup_info.json").read_text() == '{"backup_directory": "other"}'
    assert (task / STAMP / "backup_info_1.json").read_text() == "old"
    (backup,) = list_backups(str(task))
    assert backup.record is not None
    assert {file.name for file in backup.files} == {"backup_info.json", "backup_info_1.json"}


def test_log_that_another_process_still_writes_moves_with_it(task: Path) -> None:
    """No line is lost: the writer's open file is the one in the backup."""
    (task / "data_pipeline.log").write_text("first\n")
    with open(task / "data_pipeline.log", "a") as log:
        backed_up(task)
        log.write("second\n")

    assert (task / STAMP / "data_pipeline.log").read_text() == "first\nsecond\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a file immutable")
def test_immutable_file_is_copied_and_reported(task: Path) -> None:
    """The file stays where it is, its copy is in the backup, the others move."""
    make_task(task, {"stays.ddl": "immutable", "a.ddl": "a"})
    if subprocess.run(["chattr", "+i", task / "stays.ddl"], check=False, capture_output=True).returncode:
        pytest.skip("this file system knows no immutable files")
    try:
        report = backed_up(task)
    finally:
        subprocess.run(["chattr", "-i", task / "stays.ddl"], check=True)

    assert report.moved_files == ("a.ddl",)
    assert [(failed.file, failed.copied) for failed in report.failed_files] == [("stays.ddl", True)]
    assert (task / "stays.ddl").read_text() == (task / STAMP / "stays.ddl").read_text() == "immutable"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to another owner")
def test_file_of_another_user_moves(task: Path) -> None:
    """As root, and owner and mode stay what they were."""
    make_task(task, {"theirs.ddl": "theirs"})
    os.chown(task / "theirs.ddl", 65534, 65534)
    backed_up(task)

    assert (task / STAMP / "theirs.ddl").stat().st_uid == 65534


def test_full_disk_fails_the_backup_and_keeps_everything(task: Path) -> None:
    """The journal cannot be written: every file is in its place, no backup directory is left."""

    class Full(LocalFilesystem):
        def create(self, directory: Directory, name: str, chunks: Any) -> None:
            if name.endswith(".journal.new"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
            super().create(directory, name, chunks)

    make_task(task, {"a.ddl": "a"})
    report = backed_up(task, door=Door(Full()))

    assert report.state == "failed"
    assert "No space left" in (report.error or "")
    assert sorted(os.listdir(task)) == ["a.ddl", "table_list.txt"]


def test_backup_whose_record_cannot_be_written_is_undone(task: Path) -> None:
    """A backup without its record could not say what it holds: every file is in its place, and the run goes on."""

    class NoRecord(LocalFilesystem):
        def reserve(self, directory: Directory, name: str, content: bytes, size_bytes: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    make_task(task, {"a.ddl": "four"})
    report = backed_up(task, door=Door(NoRecord()))

    assert (report.state, report.failed_files) == ("failed", ())
    assert "No space left" in (report.error or "")
    assert sorted(os.listdir(task)) == ["a.ddl", "table_list.txt"]


def test_record_is_never_larger_than_the_space_that_is_reserved_for_it(task: Path) -> None:
    """Not even when every file fails with a long error and has a name of bytes that need escapes."""
    names = ["a" * 200, "\x01" * 120, os.fsdecode(b"\xff" * 200), '"' * 200, "日" * 80]
    facts = BackupFacts("t" * 64, "r" * 64, datetime.now(UTC).astimezone(), restored="file_bak_20250121_094400_9999")
    record = facts.record(
        "file_bak_20250121_094400_9999",
        "20250121T094400123456-1a2b3c4d",
        failed_files=tuple(
            FailedFile(file=printable(name), error="e" * 400, errno=28, attempts=10, copied=True) for name in names
        ),
        statistics=Statistics(files=10**9, bytes=10**18, seconds=10**6, retries=10**6),
    )

    assert len(record.encoded()) <= largest_size(names)


def test_file_that_vanishes_while_it_is_backed_up_is_reported(task: Path) -> None:
    """Somebody cleaned up in that moment; the others move."""
    make_task(task, {"gone.ddl": "x", "a.ddl": "a"})

    class Vanishes(LocalFilesystem):
        def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            if name == "gone.ddl":
                (task / name).unlink()
            super().link(source, name, target, new_name)

    report = backed_up(task, door=Door(Vanishes()))

    assert report.moved_files == ("a.ddl",)
    assert [(failed.file, failed.errno, failed.copied) for failed in report.failed_files] == [
        ("gone.ddl", errno.ENOENT, False)
    ]


def test_backup_of_a_killed_run_is_used_again(task: Path) -> None:
    """The worker died after the commit: the same run finds its backup and makes no second one."""
    make_task(task, {"a.ddl": "a"})
    first = backed_up(task, run_id="run_1")
    again = backed_up(task, run_id="run_1", now=CLOCK + timedelta(seconds=5))

    assert again.state == "already_backed_up"
    assert (again.directory, again.moved_files) == (first.directory, first.moved_files)
    assert len(backups_of(task)) == 1
    make_task(task, {"b.ddl": "b"})
    assert backed_up(task, run_id="run_11").directory == f"{STAMP}_1"


def test_hour_that_clocks_repeat_in_autumn_keeps_the_order(task: Path) -> None:
    """Two instants with one local time: a suffix tells the names apart, UTC in the record the order."""
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2025, 10, 26, 0, 30, tzinfo=UTC).astimezone(berlin)  # 02:30 in summer time
    second = datetime(2025, 10, 26, 1, 20, tzinfo=UTC).astimezone(berlin)  # 02:20, fifty minutes later
    third = datetime(2025, 10, 26, 1, 30, tzinfo=UTC).astimezone(berlin)  # 02:30 again
    for number, instant in enumerate((first, second, third)):
        make_task(task, {"a.ddl": str(number)})
        backed_up(task, run_id=f"run_{number}", now=instant)

    assert [(found.name, (Path(found.path) / "a.ddl").read_text()) for found in list_backups(str(task))] == [
        ("file_bak_20251026_023000_1", "2"),
        ("file_bak_20251026_022000", "1"),
        ("file_bak_20251026_023000", "0"),
    ]


def test_fifty_thousand_files_move_in_one_backup(task: Path) -> None:
    """Syncs do not grow with files: seconds, not minutes; the answer carries counts, the record names."""
    for number in range(50_000):
        os.close(os.open(task / f"question_{number:05}.json", os.O_CREAT | os.O_WRONLY))
    report = backed_up(task)

    assert report.moved_count == len(os.listdir(task / STAMP)) - 1 == 50_000
    assert len(report.model_dump_json()) < 1_000


# ---- in a run -------------------------------------------------------------------------------------------------------


def test_run_goes_on_without_its_backup_and_loses_nothing(task: Path) -> None:
    """备份过程完全失败，记录错误但允许工作流继续执行: what stands in the way of the outputs goes to a kept folder."""

    class NoBackupDirectory(LocalFilesystem):
        def make_directory(self, parent: Directory, name: str, *, is_private: bool) -> None:
            if name.startswith("file_bak_"):
                raise PermissionError(errno.EACCES, "Permission denied", name)
            super().make_directory(parent, name, is_private=is_private)

    make_task(task, {"t.ddl": "old", "other.json": "{}"})
    result = run_complete(task, WritingStep({"t.ddl": "new"}), door=Door(NoBackupDirectory()))

    assert (result["success"], result["backup"]["state"]) == (True, "failed")
    assert "Permission denied" in result["backup"]["error"]
    assert (task / "t.ddl").read_text() == "new"
    assert (task / "other.json").read_text() == "{}"
    (kept,) = result["kept_files"]
    assert Path(kept).read_text() == "old"
    log = (task / "data_pipeline.log").read_text()
    assert "Backup failed, and the run continues: every file is in its place" in log


def test_disabled_backup_replaces_only_what_an_earlier_run_made(task: Path) -> None:
    """The specification's later switch: our unchanged files are replaced, a person's edit is kept."""
    make_task(task)
    run_complete(task, WritingStep({"t.ddl": "1", "u.ddl": "1"}), backup_enabled=False)
    (task / "u.ddl").write_text("edited")
    result = run_complete(task, WritingStep({"t.ddl": "2", "u.ddl": "2"}), backup_enabled=False)

    assert result["backup"]["state"] == "disabled"
    assert not backups_of(task)
    assert (task / "t.ddl").read_text() == (task / "u.ddl").read_text() == "2"
    assert "edited" in [Path(kept).read_text() for kept in result["kept_files"]]


def test_step_mode_never_backs_up(task: Path) -> None:
    """单步执行模式不会触发备份."""
    make_task(task, {"old.ddl": "old"})
    result = run_step(task, WritingStep({"t.ddl": "new"}))

    assert result["backup"] is None
    assert not backups_of(task)
    assert (task / "old.ddl").read_text() == "old"


def test_log_tells_everything_about_the_backup(task: Path, caplog: pytest.LogCaptureFixture) -> None:
    """日志记录: start and end, the directory, each moved file (DEBUG), each failure (WARNING)."""

    class OneIsRefused(LocalFilesystem):
        def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            if name == "refused.ddl":
                raise PermissionError(errno.EACCES, "Permission denied", name)
            super().link(source, name, target, new_name)

    make_task(task, {"a.ddl": "a", "refused.ddl": "r", "data_pipeline.log": "of an earlier run\n"})
    caplog.set_level(logging.DEBUG)
    run_complete(task, WritingStep({"t.ddl": "t"}), door=Door(OneIsRefused()), now=lambda: CLOCK)

    lines = (task / "data_pipeline.log").read_text().splitlines()
    told = [line.partition(f"TaskDir_{task.name}: ")[2] for line in lines if "Backup" in line]
    assert told == [
        f"Backup into {STAMP} began at 2025-01-21T09:44:00.123456+08:00",
        "Backup moved a.ddl",
        "Backup moved data_pipeline.log",
        "Backup could not move refused.ddl (Permission denied, 1 attempts): a copy of it is in the backup",
        f"Backup into {STAMP} ended at 2025-01-21T09:44:00.123456+08:00: 2 files moved, 1 not, 19 bytes, 0 retries",
    ]
    assert ["[DEBUG]" in line for line in lines if "Backup moved" in line] == [True, True]
    assert ["[WARNING]" in line for line in lines if "could not move" in line] == [True]
    assert "of an earlier run" not in (task / "data_pipeline.log").read_text()
    assert "Backup moved a.ddl" in caplog.text
