"""No report says what is not so: every error at every call of the disk, and what is said of it afterwards."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.commands.running import _lines
from data_pipeline.errors import (
    DirectoryUnusable,
    OutcomeUnsettled,
    PipelineError,
    PublishFailed,
    RecoveryNeeded,
    RestoreFailed,
    TaskBusy,
)
from data_pipeline.runs.records import RunRecords
from data_pipeline.tasks.backup.catalogue import find_backup, list_backups
from data_pipeline.tasks.backup.create import IN_PLACE, back_up
from data_pipeline.tasks.backup.report import BackupReport
from data_pipeline.tasks.backup.restore import restore
from data_pipeline.tasks.files import list_files, open_file, read_log
from data_pipeline.tasks.results import RunResult, StepResult
from data_pipeline.tasks.workspace import Door, WorkFolder, Workspace, open_workspace, recover_tasks
from tests.support.hooked_disk import (
    CHANGES,
    READS,
    Died,
    Hook,
    HookedDisk,
    UnsyncedCommit,
    dying_at,
    dying_at_verb,
    failing_from,
    failing_once,
    nothing,
)
from tests.support.scenarios import NoLock
from tests.support.tasks import CLOCK, WritingStep, backups_of, content_below, make_task, run_complete, run_step

STAMP = "file_bak_20250121_094400"
FILES = {"a.ddl": "a", "b.json": "b"}
OLD = "file_bak_20240101_120000"


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task that was locked before: its state directory is ready."""
    path = make_task(tmp_path / "whole" / "task_1", FILES)
    open_workspace(str(path), "task_1", label="first", timeout_seconds=0).directory.release()
    return path


def copies_of(task: Path) -> Iterator[Path]:
    """The same task again and again, each in a folder of its own with its state directory."""
    number = 0
    while True:
        number += 1
        folder = task.parent.parent / f"copy_{number}"
        shutil.copytree(task.parent, folder)
        yield folder / task.name


def opened(task: Path, hook: Hook | None = None) -> Workspace:
    """The task under its lock; a dead process of the test would keep a real lock."""
    door = Door() if hook is None else Door(HookedDisk(hook), NoLock)
    return open_workspace(str(task), "task_1", label="test", timeout_seconds=0, door=door)


def recovered(task: Path) -> None:
    """What the next process does."""
    opened(task).directory.release()


def error_of(act: Callable[[], None]) -> PipelineError | None:
    """What it raised; any other error is a defect."""
    try:
        act()
    except PipelineError as error:
        return error
    return None


def possible(error: PipelineError | None, after: dict[str, str]) -> list[dict[str, str]]:
    """What a task may hold after recovery, by what an operation raised."""
    if error is None:
        return [after]
    return [FILES, after] if isinstance(error, OutcomeUnsettled) else [FILES]


def top_of(task: Path) -> dict[str, str]:
    return {name: text for name, text in content_below(task).items() if "/" not in name and name != "table_list.txt"}


def in_backups(task: Path) -> dict[str, str]:
    return {
        Path(name).name: text
        for name, text in content_below(task).items()
        if name.startswith("file_bak_") and not name.endswith("backup_info.json")
    }


# ---- backups --------------------------------------------------------------------------------------------------------


def check_truth(report: BackupReport, task: Path) -> None:
    """What the report says is what the disk holds; an unknown outcome is one or the other after recovery."""
    if report.state == "unknown":
        assert "recover" in (report.error or "")
        recovered(task)
        assert {**top_of(task), **in_backups(task)} == FILES
        assert not top_of(task) or not in_backups(task)
    elif report.state == "failed":
        assert IN_PLACE in (report.error or "") or "not begun" in (report.error or "")
        assert top_of(task) == FILES
        recovered(task)
        assert (top_of(task), in_backups(task)) == (FILES, {})
    else:
        assert report.state == "backed_up"
        assert not any(failed.file.startswith("backup_info") for failed in report.failed_files)
        recovered(task)
        for name in report.moved_files:
            assert (task / (report.directory or "") / name).read_text() == FILES[name]
            assert not (task / name).exists()
        for failed in report.failed_files:
            assert (task / failed.file).exists()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES], ids=errno.errorcode.get)
@pytest.mark.parametrize("fails", [failing_once, failing_from], ids=["once", "for ever"])
def test_report_of_a_backup_is_true_whatever_call_fails(task: Path, fails: Any, number: int) -> None:
    """H3: `failed` says that files are in their place; where that is not known, the state is `unknown`."""
    states = set()
    for at, place in enumerate(copies_of(task), start=1):
        try:
            with opened(place, fails(at, number)) as workspace:
                report = back_up(workspace, run_id="run_1", now=lambda: CLOCK)
                calls = workspace.directory._filesystem.calls  # type: ignore[attr-defined]
        except DirectoryUnusable:
            continue  # before anything began
        check_truth(report, place)
        states.add(report.state)
        shutil.rmtree(place.parent)
        if calls < at:
            break
    assert states >= {"backed_up", "failed"}


def test_commit_record_that_is_not_synced_at_first_is_settled_under_the_lock(task: Path) -> None:
    """The outcome is unknown for a moment; recovery finds it committed, and the report has the record's numbers."""
    with opened(task, UnsyncedCommit()) as workspace:
        report = back_up(workspace, run_id="run_1", now=lambda: CLOCK)

        assert workspace.needs_recovery is None
    assert (report.state, report.directory, report.moved_files) == ("backed_up", STAMP, ("a.ddl", "b.json"))
    assert report.statistics.files == 2
    assert (top_of(task), in_backups(task)) == ({}, FILES)


def test_backup_that_stays_unknown_is_its_own_state_everywhere(task: Path) -> None:
    """The result, the records, the log line; nothing is published or written beside it, and the next run settles it."""
    told = Told()
    hook = UnsyncedCommit(lasting=True)
    result = run_complete(
        task, WritingStep({"t.ddl": "t"}), door=Door(HookedDisk(hook)), records=told, run_id="run_1", now=lambda: CLOCK
    )

    backup = result["backup"]
    assert (backup["state"], backup["directory"], backup["moved_count"]) == ("unknown", STAMP, 0)
    assert "unknown until recovery whether the backup of run run_1 took effect" in backup["error"]
    assert "data-pipeline recover" in backup["error"]
    assert told.backups == ["unknown"]
    assert result["success"] is False
    assert any(warning.startswith("data_pipeline.log is not written") for warning in result["warnings"])
    assert top_of(task) == {}  # neither a log nor an output
    told_to_people = "\n".join(_lines(RunResult.model_validate(result), str(task)))
    assert "Backup: It is unknown until recovery" in told_to_people
    assert "failed, every file" not in told_to_people

    recovered(task)
    assert in_backups(task) == FILES
    again = run_complete(task, WritingStep({"t.ddl": "t"}), run_id="run_1")
    assert (again["success"], again["backup"]["state"]) == (True, "already_backed_up")
    assert len(backups_of(task)) == 1


def test_backup_whose_journal_cannot_be_read_any_more_is_left_to_an_operator(task: Path) -> None:
    """The commit is not confirmed, and then the journal is damaged: recovery sets it aside, and settles nothing."""
    (state,) = (task.parent / ".journal").iterdir()
    unsynced = UnsyncedCommit()

    def hook(call: int, verb: str, arguments: tuple[Any, ...]) -> None:
        try:
            unsynced(call, verb, arguments)
        except OSError:
            (journal,) = state.glob("*.journal")
            journal.write_bytes(b"x" + journal.read_bytes()[1:])
            raise

    with opened(task, hook) as workspace:
        report = back_up(workspace, run_id="run_1", now=lambda: CLOCK)
        again = back_up(workspace, run_id="run_1", now=lambda: CLOCK)

    assert (report.state, report.directory) == ("unknown", STAMP)
    assert "docs/operating.md" in (report.error or "")
    assert "unknown until recovery" not in (report.error or "")
    assert again.state == "nothing_to_back_up"
    assert in_backups(task) == FILES


def test_backup_that_is_settled_later_in_the_run_is_reported_as_what_it_is(task: Path) -> None:
    """The disk is back when the step has ended: recovery comes before the publication, and corrects the report."""
    hook = UnsyncedCommit(lasting=True)

    class Repairs(WritingStep):
        async def run(self, context: Any) -> Any:
            hook.lasting = hook.is_broken = False
            hook.nth = -1
            return await super().run(context)

    told = Told()
    result = run_complete(
        task, Repairs({"t.ddl": "t"}), door=Door(HookedDisk(hook)), records=told, run_id="run_1", now=lambda: CLOCK
    )

    assert (result["success"], result["backup"]["state"], result["backup"]["moved_count"]) == (True, "backed_up", 2)
    assert told.backups == ["unknown", "backed_up"]
    assert (task / "t.ddl").read_text() == "t"
    assert in_backups(task) == FILES
    stored = json.loads((task / "task_result.json").read_text())
    assert stored["backup"]["state"] == "backed_up"


class Told(RunRecords):
    """Remembers the states that a run records."""

    def __init__(self) -> None:
        self.backups: list[str] = []
        self.steps: list[tuple[str, str | None, Mapping[str, Any] | None]] = []

    def backed_up(self, report: BackupReport) -> None:
        self.backups.append(report.state)

    def step_ended(self, step: str, *, error: str | None, result: StepResult | None) -> None:
        self.steps.append((step, error, None if result is None else result.as_json()))


# ---- resumed runs ---------------------------------------------------------------------------------------------------


def test_run_resumed_after_a_death_at_any_call_of_its_backup_has_exactly_one_backup(task: Path) -> None:
    """H4: a half-made backup is never taken for a made one."""
    states = []
    for at, place in enumerate(copies_of(task), start=1):
        try:
            with opened(place, dying_at(at)) as workspace:
                back_up(workspace, run_id="run_1", now=lambda: CLOCK)
        except Died:
            pass
        else:
            break
        with opened(place) as workspace:
            report = back_up(workspace, run_id="run_1", now=lambda: CLOCK)
        states.append(report.state)
        made = [backup for backup in list_backups(str(place)) if backup.files or backup.record]
        assert [backup.name for backup in made] == [report.directory], at
        assert made[0].record is not None
        assert report.moved_files == made[0].record.moved_files == ("a.ddl", "b.json")
        assert (top_of(place), in_backups(place)) == ({}, FILES)
        shutil.rmtree(place.parent)
    assert len(states) > 20
    assert states[-1] == "already_backed_up"
    assert set(states) == {"backed_up", "already_backed_up"}


def dead_in_the_commit(task: Path) -> None:
    """A backup of run_1 whose process died just before its commit record: all files have moved, the record is there."""
    with pytest.raises(Died), opened(task, dying_at_verb("write_at")) as workspace:
        back_up(workspace, run_id="run_1", now=lambda: CLOCK)
    assert in_backups(task) == FILES


def test_backup_that_was_undone_with_a_conflict_is_not_the_one_of_its_run(task: Path) -> None:
    """Recovery left one file and a record with a note; the resumed run backs the others up."""
    dead_in_the_commit(task)
    (task / "a.ddl").write_text("written meanwhile")
    with opened(task) as workspace:
        report = back_up(workspace, run_id="run_1", now=lambda: CLOCK)

    assert (report.state, report.directory) == ("backed_up", f"{STAMP}_1")
    assert report.moved_files == ("a.ddl", "b.json")
    assert (task / f"{STAMP}_1" / "a.ddl").read_text() == "written meanwhile"
    assert (task / STAMP / "a.ddl").read_text() == "a"
    note = find_backup(str(task), STAMP).record
    assert note is not None
    assert note.note is not None


def test_backup_whose_journal_was_set_aside_is_not_the_one_of_its_run(task: Path) -> None:
    """Nobody knows whether it was committed; a person must look, and the run makes one of its own."""
    dead_in_the_commit(task)
    (journal,) = (task.parent / ".journal" / "task_1").glob("*.journal")
    journal.write_bytes(b"x" + journal.read_bytes()[1:])
    make_task(task, {"c.ddl": "c"})
    with opened(task) as workspace:
        assert workspace.set_aside
        report = back_up(workspace, run_id="run_1", now=lambda: CLOCK)

    assert (report.state, report.directory, report.moved_files) == ("backed_up", f"{STAMP}_1", ("c.ddl",))


def test_run_resumed_beside_its_unsettled_backup_calls_it_unknown(task: Path) -> None:
    """The disk still refuses: the record is there, and does not count yet."""
    with opened(task, UnsyncedCommit(lasting=True)) as workspace:
        assert back_up(workspace, run_id="run_1", now=lambda: CLOCK).state == "unknown"
    hook = UnsyncedCommit(lasting=True)
    with opened(task, hook) as workspace:
        report = back_up(workspace, run_id="run_1", now=lambda: CLOCK)
        other = back_up(workspace, run_id="run_2", now=lambda: CLOCK)

    assert (report.state, report.directory) == ("unknown", STAMP)
    assert other.state == "failed"
    assert "not begun" in (other.error or "")


# ---- records that are not there ------------------------------------------------------------------------------------


def reserve(backup: Path, name: str = "backup_info.json") -> None:
    """As the journal keeps the place of a record until its transaction ends."""
    backup.mkdir(exist_ok=True)
    (backup / name).write_text('{"transaction": "20250121T094400123456-0a1b2c3d"}' + " " * 400 + "\n")


def test_reserved_record_is_neither_a_broken_one_nor_a_file(task: Path) -> None:
    """Read while a backup is being made, or after a kill."""
    reserve(task / STAMP)
    (task / STAMP / "a.ddl").write_text("a")
    (backup,) = list_backups(str(task))

    assert (backup.record, backup.record_state) == (None, "missing")
    assert [file.name for file in backup.files] == ["a.ddl"]
    assert backup.summary()["file_count"] == 1


def test_user_s_file_called_like_a_record_is_restored_beside_a_reserved_one(task: Path) -> None:
    """The journal took the next number, and its place says which of the two is the record."""
    reserve(task / STAMP, "backup_info_10.json")
    for number in ("", *(f"_{one}" for one in range(1, 10))):
        (task / STAMP / f"backup_info{number}.json").write_text("{}")
    with opened(task) as workspace:
        report = restore(workspace, STAMP, restore_id="rs_1", now=lambda: CLOCK)

    assert len(report.restored) == 10
    assert not (task / "backup_info_10.json").exists()


def test_record_that_cannot_be_read_is_not_restored_as_a_file(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of a moment must not turn the record into a file of the user; lists go on, and say so."""
    (task / "backup_info.json").write_text("a file of the user")
    with opened(task) as workspace:
        back_up(workspace, run_id="run_1", now=lambda: CLOCK)
    record = task / STAMP / "backup_info_1.json"
    assert record.exists()

    def refuse(path: str) -> Any:
        if path == str(record):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return open(path, "rb")

    monkeypatch.setattr("data_pipeline.tasks.backup.catalogue.open_regular_file", refuse)
    (backup,) = list_backups(str(task))
    assert backup.record_state == "unreadable"
    assert "backup_info_1.json cannot be read" in str(backup.details()["record_error"])
    with opened(task) as workspace:
        with pytest.raises(DirectoryUnusable, match="cannot be distinguished from the files"):
            restore(workspace, STAMP, restore_id="rs_1")
        report = restore(workspace, STAMP, restore_id="rs_2", chosen=["a.ddl"])
    assert report.restored == ("a.ddl",)


def test_several_files_that_may_be_a_broken_record_are_left_out_by_name(task: Path) -> None:
    """Neither is good; a person may name the one to restore."""
    make_task(task / STAMP, {"backup_info.json": "{", "backup_info_1.json": "[", "a.ddl": "a"}, table_list=None)
    with opened(task) as workspace:
        report = restore(workspace, STAMP, restore_id="rs_1", now=lambda: CLOCK)
        chosen = restore(workspace, STAMP, restore_id="rs_2", chosen=["backup_info.json"])

    assert report.restored == ("a.ddl",)
    assert list(report.skipped) == ["backup_info.json", "backup_info_1.json"]
    assert "name it to restore it" in report.skipped["backup_info.json"]
    assert chosen.restored == ("backup_info.json",)


# ---- restores and publications -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [failing_once, failing_from], ids=["once", "for ever"])
def test_error_of_a_restore_says_that_all_is_as_before_only_where_it_is(task: Path, fails: Any) -> None:
    """RestoreFailed: as before. OutcomeUnsettled: one or the other. No error: restored."""
    make_task(task / OLD, {"a.ddl": "old a", "c.ddl": "old c"}, table_list=None)
    after = {"a.ddl": "old a", "c.ddl": "old c"}
    seen = set()
    for at, place in enumerate(copies_of(task), start=1):
        disk = HookedDisk(fails(at))

        def attempt(place: Path = place, disk: HookedDisk = disk) -> None:
            door = Door(disk, NoLock)
            with open_workspace(str(place), "task_1", label="test", timeout_seconds=0, door=door) as workspace:
                restore(workspace, OLD, restore_id="rs_1", now=lambda: CLOCK)

        error = error_of(attempt)
        seen.add(type(error))
        if isinstance(error, RestoreFailed):
            assert "everything is as before" in str(error)
        if isinstance(error, OutcomeUnsettled):
            assert "not restored" not in str(error)
        elif error is not None:
            assert top_of(place) == FILES, (at, error)
        recovered(place)
        assert top_of(place) in possible(error, after), (at, error)
        state = place.parent / ".journal" / "task_1"
        assert not list(state.glob("temporary-*")), at
        if disk.calls < at:
            break
        shutil.rmtree(place.parent)
    assert RestoreFailed in seen


@pytest.mark.parametrize("fails", [failing_once, failing_from], ids=["once", "for ever"])
def test_error_of_a_publication_is_true_whatever_call_fails(task: Path, fails: Any) -> None:
    """PublishFailed: nothing is published, all of it waits. OutcomeUnsettled: one or the other after recovery."""
    after = {**FILES, "a.ddl": "new a", "n.ddl": "new n"}
    seen = set()
    for at, place in enumerate(copies_of(task), start=1):
        with opened(place) as workspace:
            work = workspace.work_folder("run_1")
            staged = [work.write("a.ddl", "new a"), work.write("n.ddl", "new n")]
        disk = HookedDisk(nothing)
        with open_workspace(
            str(place), "task_1", label="test", timeout_seconds=0, door=Door(disk, NoLock)
        ) as workspace:
            work = workspace.work_folder("run_1")
            disk.calls, disk.hook = 0, fails(at)

            def attempt(workspace: Workspace = workspace, work: WorkFolder = work, staged: Any = staged) -> None:
                workspace.publish(work, staged, label="publish", run_id="run_1")

            error = error_of(attempt)
            seen.add(type(error))
            if isinstance(error, PublishFailed):
                assert top_of(place) == FILES, (at, error)
                assert [work.has(file) for file in staged] == [True, True], at
            elif error is not None:
                assert isinstance(error, OutcomeUnsettled)
                assert "not published" not in str(error)
            calls = disk.calls
        recovered(place)
        assert top_of(place) in possible(error, after), (at, error)
        if calls < at:
            break
        shutil.rmtree(place.parent)
    assert PublishFailed in seen


def test_step_whose_publication_is_unknown_is_not_called_failed(task: Path) -> None:
    """It is named as unknown in the result and in the records; its files are kept for recovery."""
    told = Told()
    result = run_step(
        task, WritingStep({"t.ddl": "t"}), door=Door(HookedDisk(UnsyncedCommit(nth=2, lasting=True))), records=told
    )

    state = result["workflow_state"]
    assert (state["unknown_steps"], state["failed_steps"], state["completed_steps"]) == (["writing"], [], [])
    assert "unknown until recovery" in result["error"]
    ((name, error, recorded),) = told.steps
    assert (name, recorded) == ("writing", {"step": "writing", "status": "unknown", "files": []})
    assert error == result["error"]
    recovered(task)
    assert (task / "t.ddl").read_text() == "t"


# ---- the lock ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.EACCES, errno.ENOSPC], ids=errno.errorcode.get)
@pytest.mark.parametrize("is_first", [True, False], ids=["first lock", "later lock"])
def test_error_at_any_call_of_a_lock_has_a_type_and_frees_the_lock(task: Path, is_first: bool, number: int) -> None:
    """H8: DirectoryUnusable or RecoveryNeeded, never an OSError of the platform."""
    if is_first:
        shutil.rmtree(task.parent / ".journal")
    for at, place in enumerate(copies_of(task), start=1):
        disk = HookedDisk(failing_once(at, number), CHANGES | READS)

        def attempt(place: Path = place, disk: HookedDisk = disk) -> None:
            open_workspace(str(place), "task_1", label="test", timeout_seconds=0, door=Door(disk)).directory.release()

        assert isinstance(error_of(attempt), (DirectoryUnusable, RecoveryNeeded, type(None))), at
        recovered(place)
        shutil.rmtree(place.parent)
        if disk.calls < at:
            break
    assert at > 3


def test_symbolic_link_in_the_place_of_a_task_directory_is_refused_everywhere(task: Path, tmp_path: Path) -> None:
    """Whoever may write beside the tasks must not lead a server to files of others; the folder of all may be a link."""
    elsewhere = make_task(tmp_path / "elsewhere", {"secret.ddl": "secret"})
    link = task.parent / "task_2"
    link.symlink_to(elsewhere)
    before = content_below(elsewhere)

    for refused in (
        lambda: open_workspace(str(link), "task_2", label="test", timeout_seconds=0),
        lambda: run_complete(link, WritingStep({"t.ddl": "t"})),
        lambda: list_files(str(link)),
        lambda: open_file(str(link), "secret.ddl"),
        lambda: read_log(str(link)),
        lambda: list_backups(str(link)),
        lambda: find_backup(str(link), STAMP),
    ):
        with pytest.raises(DirectoryUnusable, match="is a symbolic link"):
            refused()
    assert content_below(elsewhere) == before
    assert not (tmp_path / ".journal").exists()

    (tmp_path / "linked").symlink_to(task.parent)
    with open_workspace(str(tmp_path / "linked" / "task_1"), "task_1", label="test", timeout_seconds=0) as workspace:
        assert workspace.names() == ["a.ddl", "b.json", "table_list.txt"]


def test_folder_of_a_dead_request_is_removed_by_the_next_owner_of_the_lock_only(task: Path) -> None:
    """`data-pipeline recover`, too; while it is in use, the lock says so. Folders of runs wait for their runs."""
    folder = task.parent / ".journal" / "task_1" / "temporary-restore_1"
    with opened(task) as workspace, workspace.temporary_folder("restore_1") as work:
        workspace.work_folder("run_1")
        work.write("half", "half")
        results = recover_tasks(str(task.parent))
        assert isinstance(results["task_1"], TaskBusy)
        assert folder.exists()
    assert not folder.exists()

    folder.mkdir()
    (folder / "half").write_text("of a restore that was killed")
    recover_tasks(str(task.parent))
    assert not folder.exists()
    assert (folder.parent / "work-run_1").exists()


def test_restore_that_dies_leaves_nothing_after_the_next_lock(task: Path) -> None:
    """Its work folder held a whole copy of the backup until a complete run succeeded."""
    make_task(task / OLD, {"a.ddl": "old a"}, table_list=None)
    state = task.parent / ".journal" / "task_1"
    for at in range(1, 12):
        with pytest.raises(Died), opened(task, dying_at(at)) as workspace:
            restore(workspace, OLD, restore_id=f"rs_{at}", now=lambda: CLOCK)
        recovered(task)
        assert not [name for name in os.listdir(state) if name.startswith(("work-", "temporary-"))]


def test_deletion_leaves_a_journal_inside_of_the_task_alone(task: Path) -> None:
    """A task directory that is a mount of its own holds its journal, whose lock must never be deleted."""
    make_task(task / ".journal", {"lock": ""}, table_list=None)
    make_task(task, {"a.ddl": "a"})
    with opened(task) as workspace:
        workspace.remove()

    assert os.listdir(task) == [".journal"]
    assert "lock" in os.listdir(task / ".journal")
    assert [file.name for file in list_files(str(task))] == []


def test_unknown_errors_name_the_next_step() -> None:
    """Both say what to run."""
    assert "data-pipeline recover" in str(OutcomeUnsettled("the backup", "The disk refuses."))
