"""A run in its order: lock, recover, check, back up, log, steps, result."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.config.retention import BackupKind
from data_pipeline.errors import DatabaseUnavailable, DirectoryUnusable, InvalidInput, TaskBusy
from data_pipeline.events import Event
from data_pipeline.runs.records import Ended, RunRecords
from data_pipeline.steps import RunParameters, StepContext, StepOutput
from data_pipeline.tasks.backup.report import BackupReport
from data_pipeline.tasks.results import RunResult, StepResult
from data_pipeline.tasks.sealed import unsealed
from data_pipeline.tasks.table_list import TableName
from data_pipeline.tasks.workspace import Door, RetryLimits, Workspace, open_workspace
from journal import LocalFilesystem
from journal.filesystem import Directory
from tests.support.hooked_disk import HookedDisk
from tests.support.tasks import (
    CLOCK,
    PARAMETERS,
    WritingStep,
    backups_of,
    content_below,
    executor,
    make_task,
    run_complete,
    run_step,
)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return make_task(tmp_path / "task_1")


class Told(RunRecords):
    """Records of a run, as a list."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def locked(self) -> None:
        self.said.append(("locked",))

    def started(self) -> None:
        self.said.append(("started",))

    def backed_up(self, report: BackupReport) -> None:
        self.said.append(("backed_up", report.state))

    def pruned(self, kind: BackupKind, deleted_count: int) -> None:
        self.said.append(("pruned", kind, str(deleted_count)))

    def step_started(self, step: str) -> None:
        self.said.append(("step_started", step))

    def step_ended(self, step: str, *, error: str | None, result: StepResult | None) -> None:
        self.said.append(("step_ended", step, error))

    def ended(self, status: Ended, *, error: str | None, result: RunResult | None) -> None:
        self.said.append(("ended", status, error))


# ---- what a run leaves ----------------------------------------------------------------------------------------------


def test_complete_run_leaves_outputs_result_configuration_and_log(task: Path) -> None:
    """And nothing of its work folder."""
    result = run_complete(task, WritingStep({"t.ddl": "create table t"}), run_id="run_1", now=lambda: CLOCK)

    assert sorted(os.listdir(task)) == [
        "data_pipeline.log", "t.ddl", "table_list.txt", "task_config.json", "task_result.json", "writing_result.json",
    ]  # fmt: skip
    assert unsealed((task / "task_result.json").read_bytes()) == result
    assert result["success"] is True
    assert result["workflow_state"]["completed_steps"] == ["writing"]
    step_result = unsealed((task / "writing_result.json").read_bytes())
    assert step_result is not None
    assert step_result["files"] == [
        {"name": "t.ddl", "sha256": hashlib.sha256(b"create table t").hexdigest(), "size_bytes": 14}
    ]
    assert not [name for name in os.listdir(task.parent / ".journal" / "task_1") if name.startswith(("work-", "kept-"))]


def test_second_run_backs_the_first_one_up(task: Path) -> None:
    """The trees of the specification: everything of the first run is in the backup, byte for byte."""
    run_complete(task, WritingStep({"t.ddl": "1"}))
    first = {name: text for name, text in content_below(task).items() if name != "table_list.txt"}
    result = run_complete(task, WritingStep({"t.ddl": "2"}))

    (backup,) = backups_of(task)
    assert {name: text for name, text in content_below(backup).items() if name != "backup_info.json"} == first
    assert (task / "t.ddl").read_text() == "2"
    assert result["backup"]["moved_count"] == len(first)
    assert result["kept_files"] == []


def test_nothing_is_written_into_the_directory_before_the_backup(task: Path) -> None:
    """A configuration or log written too early would be moved away: an untouched task has no backup."""
    result = run_complete(task, WritingStep({"t.ddl": "1"}))

    assert result["backup"]["state"] == "nothing_to_back_up"
    assert not backups_of(task)


def test_missing_task_directory_is_made(tmp_path: Path) -> None:
    """D13: a deleted directory is made before anything else; here it then lacks its table list, and says so."""
    with pytest.raises(InvalidInput, match=r"has no table_list\.txt"):
        run_complete(tmp_path / "new" / "task_2", WritingStep({}))

    assert os.listdir(tmp_path / "new" / "task_2") == []


def test_password_reaches_no_file(task: Path) -> None:
    """S4: neither the configuration nor the log, nor a result."""
    parameters = RunParameters(db_connection="postgresql://reader:s3cret@db.example/sales?password=s3cret2")
    run_complete(task, WritingStep({"t.ddl": "1"}), parameters=parameters)

    config = json.loads((task / "task_config.json").read_text())
    assert config["parameters"]["db_connection"] == "postgresql://reader:***@db.example/sales"
    assert not [name for name, text in content_below(task.parent).items() if "s3cret" in text]


def test_old_log_handle_does_not_take_the_new_lines(task: Path) -> None:
    """The log is opened after the backup: each run's lines are in that run's file."""
    run_complete(task, WritingStep({"t.ddl": "1"}), run_id="run_first")
    run_complete(task, WritingStep({"t.ddl": "2"}), run_id="run_second")

    (backup,) = backups_of(task)
    assert "run_second" not in (backup / "data_pipeline.log").read_text()
    assert "Run run_first" not in (task / "data_pipeline.log").read_text()


# ---- order ----------------------------------------------------------------------------------------------------------


def test_records_are_told_in_the_order_of_the_run(task: Path) -> None:
    """Backup, then in_progress, then the steps, then the end."""
    make_task(task, {"old": "old"})
    told = Told()
    run_complete(task, WritingStep({"a": "1"}, name="one"), WritingStep({"b": "2"}, name="two"), records=told)

    assert told.said == [
        ("locked",),
        ("backed_up", "backed_up"),
        ("started",),
        ("step_started", "one"),
        ("step_ended", "one", None),
        ("step_started", "two"),
        ("step_ended", "two", None),
        ("ended", "completed", None),
    ]


def test_events_show_backup_and_steps(task: Path) -> None:
    """What a bar or an event stream needs."""
    make_task(task, {"old": "old"})
    events: list[Event] = []
    run_complete(task, WritingStep({"a": "1"}), emit=events.append)

    seen = [(event.phase, event.state) for event in events if event.state != "advanced"]
    assert seen == [
        ("run", "started"), ("backup", "started"), ("backup", "completed"),
        ("step", "started"), ("step", "completed"), ("run", "completed"),
    ]  # fmt: skip
    advanced = [event for event in events if event.state == "advanced"]
    assert (advanced[-1].done, advanced[-1].total) == (1, 1)


def test_directory_is_locked_for_the_whole_run(task: Path) -> None:
    """Nobody else gets in between, from before the backup to after the result."""
    seen: list[str] = []

    class Asks(WritingStep):
        async def run(self, context: StepContext) -> StepOutput:
            try:
                open_workspace(str(task), "task_1", label="second", timeout_seconds=0)
            except TaskBusy as busy:
                seen.append(str(busy))
            return await super().run(context)

    run_complete(task, Asks({"a": "1"}), run_id="run_77")

    assert len(seen) == 1
    assert "run run_77" in seen[0]
    open_workspace(str(task), "task_1", label="after", timeout_seconds=0).directory.release()


def test_busy_directory_is_refused_after_the_limit_and_names_the_holder(task: Path) -> None:
    """Nothing is changed by the one who had to wait."""
    make_task(task, {"old": "old"})
    before = content_below(task)
    with (
        open_workspace(str(task), "task_1", label="restore of friday", timeout_seconds=0),
        pytest.raises(TaskBusy, match="restore of friday") as busy,
    ):
        run_complete(task, WritingStep({"a": "1"}), lock_timeout_seconds=0.3)

    assert 0.3 <= busy.value.waited_seconds < 5
    assert content_below(task) == before


def test_cancelled_run_stops_waiting_for_the_lock_at_once(task: Path) -> None:
    """A person who presses Ctrl-C does not wait a minute."""
    told = Told()

    async def cancel_soon() -> None:
        run = asyncio.create_task(
            executor(task, WritingStep({}), lock_timeout_seconds=60, records=told).execute_complete_workflow()
        )
        await asyncio.sleep(0.2)
        run.cancel()
        async with asyncio.timeout(5):
            with pytest.raises(asyncio.CancelledError):
                await run

    with open_workspace(str(task), "task_1", label="holder", timeout_seconds=0):
        asyncio.run(cancel_soon())

    assert told.said == [("ended", "cancelled", "Cancelled.")]


def test_run_cancelled_while_it_gets_the_lock_gives_it_back(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread cannot be stopped; what it brings home when nobody waits any more is released."""

    def slowly(*arguments: Any, **named: Any) -> Workspace:
        time.sleep(0.4)
        return open_workspace(*arguments, **named)

    async def cancel_soon() -> None:
        run = asyncio.create_task(executor(task, WritingStep({})).execute_complete_workflow())
        await asyncio.sleep(0.1)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    monkeypatch.setattr("data_pipeline.api.simple_workflow.open_workspace", slowly)
    asyncio.run(cancel_soon())

    open_workspace(str(task), "task_1", label="next", timeout_seconds=0).directory.release()


# ---- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "no name of a table"), (b"a\nb;c\n", "line 2"), (b"\xff\xfe\xff", "UTF-8 or GBK")],
)
def test_bad_table_list_changes_nothing(task: Path, content: bytes, message: str) -> None:
    """Told before the backup, so the earlier outputs stay in place."""
    make_task(task, {"old": "old"})
    (task / "table_list.txt").write_bytes(content)
    before = {name: (task / name).read_bytes() for name in os.listdir(task)}
    with pytest.raises(InvalidInput, match=message):
        run_complete(task, WritingStep({"a": "1"}))

    assert {name: (task / name).read_bytes() for name in os.listdir(task)} == before


def test_step_that_could_not_work_changes_nothing(task: Path) -> None:
    """An unreachable database is told before the backup."""

    class Unreachable(WritingStep):
        async def check(self, parameters: RunParameters, tables: Sequence[TableName]) -> None:
            raise DatabaseUnavailable("db.example cannot be reached")

    make_task(task, {"old": "old"})
    before = content_below(task)
    told = Told()
    with pytest.raises(DatabaseUnavailable):
        run_complete(task, Unreachable({"a": "1"}), records=told)

    assert content_below(task) == before
    assert told.said == [("locked",), ("ended", "failed", "db.example cannot be reached")]


def test_failed_step_publishes_nothing_and_stops_the_run(task: Path) -> None:
    """The result says which and why; the later steps do not run."""
    later = WritingStep({"b": "2"}, name="later")
    result = run_complete(task, WritingStep({"a": "1"}, fails={"t": "no such table"}), later)

    assert result["success"] is False
    assert result["error"] == "Step writing failed: t: no such table"
    assert (result["workflow_state"]["failed_steps"], result["workflow_state"]["current_step"]) == (
        ["writing"],
        "writing",
    )
    assert {"a", "b", "writing_result.json"}.isdisjoint(os.listdir(task))
    assert unsealed((task / "task_result.json").read_bytes()) == result
    assert not [name for name in os.listdir(task.parent / ".journal" / "task_1") if name.startswith("work-")]


def test_defect_in_a_step_propagates_and_the_run_is_failed(task: Path) -> None:
    """Not every error is one that people can mend; none is swallowed, and the lock is free again."""

    class Broken(WritingStep):
        async def run(self, context: StepContext) -> StepOutput:
            raise ZeroDivisionError("a defect")

    told = Told()
    with pytest.raises(ZeroDivisionError):
        run_complete(task, Broken({}), records=told)

    assert told.said[-1] == ("ended", "failed", "a defect")
    assert "ZeroDivisionError: a defect" in (task / "data_pipeline.log").read_text()
    open_workspace(str(task), "task_1", label="after", timeout_seconds=0).directory.release()


def test_full_disk_after_the_backup_fails_the_run_and_tells_of_the_backup(task: Path) -> None:
    """Files have moved by then: the caller must learn where they are."""

    class Full(LocalFilesystem):
        def make_directory(self, parent: Directory, name: str, *, is_private: bool) -> None:
            if name.startswith("work-"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
            super().make_directory(parent, name, is_private=is_private)

    make_task(task, {"old": "old"})
    told = Told()
    result = run_complete(task, WritingStep({"a": "1"}), door=Door(Full()), records=told)

    assert result["success"] is False
    assert "No space left" in result["error"]
    assert (task / result["backup"]["directory"] / "old").read_text() == "old"
    assert told.said[:2] == [("locked",), ("backed_up", "backed_up")]
    assert told.said[-1][:2] == ("ended", "failed")


def test_unknown_step_is_refused(task: Path) -> None:
    """And the known ones are named."""
    with pytest.raises(InvalidInput, match="there are: writing"):
        run_step(task, WritingStep({}), step="nonsense")


def test_directory_that_cannot_be_made_is_one_clear_sentence(tmp_path: Path) -> None:
    """A file stands where a directory should."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryUnusable, match="cannot be created"):
        run_complete(tmp_path / "file" / "task_1", WritingStep({}))


def test_run_beside_a_transaction_that_cannot_be_undone_keeps_its_outputs_apart(task: Path) -> None:
    """RollbackIncomplete: no new transaction may start; the steps run, publishing fails and says what to do."""

    class Stuck(LocalFilesystem):
        is_stuck = False

        def sync_directory(self, directory: Directory) -> None:
            if os.path.basename(directory.path).startswith("file_bak"):
                self.is_stuck = True  # from here on nothing can be taken back
                raise OSError(errno.EIO, "Input/output error")
            super().sync_directory(directory)

        def replace(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            if self.is_stuck and os.path.basename(source.path).startswith("file_bak"):
                raise OSError(errno.EIO, "Input/output error", name)
            super().replace(source, name, target, new_name)

    make_task(task, {"a": "old"})
    result = run_complete(task, WritingStep({"t.ddl": "new"}), door=Door(Stuck()), run_id="run_9")

    work = task.parent / ".journal" / "task_1" / "work-run_9"
    assert result["backup"]["state"] == "unknown"
    assert "every file" not in result["backup"]["error"]
    assert "data-pipeline recover" in result["error"]
    assert str(work) in result["error"]
    assert (work / "t.ddl").read_text() == "new"
    assert not (task / "t.ddl").exists()
    again = run_complete(task, WritingStep({"t.ddl": "newer"}), door=Door(Stuck()), run_id="run_10")
    assert "data-pipeline recover" in again["error"]

    mended = run_complete(task, WritingStep({"t.ddl": "newest"}), run_id="run_11")
    (backup,) = backups_of(task)
    assert mended["success"]
    assert (backup / "a").read_text() == "old"
    assert not work.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_fifo_in_the_place_of_the_table_list_does_not_stop_the_world(task: Path) -> None:
    """It would never end; so would one that is called like a result."""
    os.mkfifo(task / "writing_result.json")
    result = run_step(task, WritingStep({"t.ddl": "1"}))
    assert [os.path.basename(kept) for kept in result["kept_files"]] == ["writing_result.json"]

    (task / "table_list.txt").unlink()
    os.mkfifo(task / "table_list.txt")
    with pytest.raises(DirectoryUnusable, match="not a regular file"):
        run_step(task, WritingStep({"t.ddl": "1"}))


def test_output_that_cannot_take_its_place_waits_in_the_work_folder(task: Path) -> None:
    """A name that cannot be replaced fails its step, by name; the earlier file stays."""

    class Immovable(LocalFilesystem):
        def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            if name == "t.ddl" and source.path == str(task):
                raise PermissionError(errno.EPERM, "Operation not permitted", name)
            super().link(source, name, target, new_name)

        def rename(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            if name == "t.ddl" and source.path == str(task):
                raise PermissionError(errno.EPERM, "Operation not permitted", name)
            super().rename(source, name, target, new_name)

    make_task(task, {"t.ddl": "immovable"})
    result = run_complete(task, WritingStep({"t.ddl": "new", "u.ddl": "new"}), door=Door(Immovable()), run_id="run_3")

    assert [failed["file"] for failed in result["backup"]["failed_files"]] == ["t.ddl"]
    assert "t.ddl" in result["error"]
    assert "work-run_3" in result["error"]
    assert (task / "t.ddl").read_text() == "immovable"
    assert not (task / "u.ddl").exists()


def test_log_that_cannot_be_written_is_a_warning(task: Path) -> None:
    """A directory of its name: the run goes on without a log, and says so."""
    (task / "data_pipeline.log").mkdir()
    result = run_complete(task, WritingStep({"t.ddl": "1"}))

    assert result["success"]
    assert result["warnings"] == ["data_pipeline.log cannot be written: Is a directory"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_log_on_a_full_disk_is_a_warning(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are missing, the outputs are not."""
    monkeypatch.setattr("data_pipeline.tasks.log._open_here", lambda path, flags: os.open("/dev/full", flags))
    result = run_step(task, WritingStep({"t.ddl": "1"}))

    assert result["success"]
    assert "data_pipeline.log is incomplete" in result["warnings"][0]
    assert "No space left" in result["warnings"][0]


def test_linked_log_is_not_followed(task: Path) -> None:
    """Step mode appends to the log that is there; not to what a link leads to."""
    (task.parent / "elsewhere").write_text("")
    os.symlink(task.parent / "elsewhere", task / "data_pipeline.log")
    result = run_step(task, WritingStep({"t.ddl": "1"}))

    assert result["success"]
    assert (task.parent / "elsewhere").read_text() == ""
    assert "data_pipeline.log cannot be written" in result["warnings"][0]


def test_name_with_a_line_break_cannot_forge_a_line_of_the_log(task: Path) -> None:
    """A message of several lines goes on indented."""
    make_task(task, {"x\n2025-01-01 00:00:00,000 [ERROR] TaskDir_task_1: forged": ""})
    run_complete(task, WritingStep({"t.ddl": "1"}))

    assert not [line for line in (task / "data_pipeline.log").read_text().splitlines() if line.startswith("2025-01-01")]


# ---- step mode ------------------------------------------------------------------------------------------------------


def test_step_run_replaces_exactly_what_the_step_published_before(task: Path) -> None:
    """D10: no stale file of a table that left the list, no kept folder when nobody touched anything."""
    run_step(task, WritingStep({"t.ddl": "1", "gone.ddl": "1"}))
    result = run_step(task, WritingStep({"t.ddl": "2"}))

    assert result["success"]
    assert (task / "t.ddl").read_text() == "2"
    assert not (task / "gone.ddl").exists()
    assert result["kept_files"] == []
    assert not [name for name in os.listdir(task.parent / ".journal" / "task_1") if name.startswith("kept-")]


def test_person_s_edit_is_kept_when_the_step_runs_again(task: Path) -> None:
    """Never purged, and named in the result."""
    run_step(task, WritingStep({"t.ddl": "1", "u.ddl": "1"}))
    (task / "t.ddl").write_text("edited by hand")
    result = run_step(task, WritingStep({"t.ddl": "2", "u.ddl": "2"}))

    (kept,) = [path for path in result["kept_files"] if path.endswith("t.ddl")]
    assert Path(kept).read_text() == "edited by hand"
    assert (task / "t.ddl").read_text() == "2"


def test_person_s_own_file_in_the_way_is_kept(task: Path) -> None:
    """It was never ours."""
    make_task(task, {"t.ddl": "written by hand"})
    result = run_step(task, WritingStep({"t.ddl": "1"}))

    assert [Path(path).read_text() for path in result["kept_files"]] == ["written by hand"]


def test_files_of_an_earlier_run_that_the_backup_could_not_take_are_never_replaced(task: Path) -> None:
    """The last copy of their bytes is in their place: a result that names them does not make them ours to delete."""
    run_complete(task, WritingStep({"t.ddl": "1"}))
    stuck, is_backing_up = {"t.ddl", "writing_result.json"}, True

    def refuse(number: int, verb: str, arguments: tuple[Any, ...]) -> None:
        if is_backing_up and stuck & {argument for argument in arguments if isinstance(argument, str)}:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    class LaterStep(WritingStep):
        async def run(self, context: StepContext) -> StepOutput:
            nonlocal is_backing_up
            is_backing_up = False
            return await super().run(context)

    disk = HookedDisk(refuse, {"link", "rename", "replace", "copy"})
    before = (task / "writing_result.json").read_bytes()
    result = run_complete(task, LaterStep({"t.ddl": "2"}), door=Door(disk, retry=RetryLimits(attempts=1)))

    assert {failed["file"] for failed in result["backup"]["failed_files"]} == stuck
    assert {Path(path).name: Path(path).read_bytes() for path in result["kept_files"]} == {
        "t.ddl": b"1",
        "writing_result.json": before,
    }
    assert (task / "t.ddl").read_text() == "2"


def test_directory_in_the_way_is_kept_with_all_that_is_in_it(task: Path) -> None:
    """Nobody expects it, nothing is lost."""
    make_task(task / "t.ddl", {"inside": "inside"}, table_list=None)
    result = run_step(task, WritingStep({"t.ddl": "1"}))

    assert (task / "t.ddl").read_text() == "1"
    assert (Path(result["kept_files"][0]) / "inside").read_text() == "inside"


def test_forged_step_result_makes_nothing_ours(task: Path) -> None:
    """A result with a changed list is not believed: the files it names are kept."""
    run_step(task, WritingStep({"t.ddl": "1"}))
    make_task(task, {"mine.txt": "mine"})
    forged = json.loads((task / "writing_result.json").read_text())
    forged["files"].append({"name": "mine.txt", "sha256": hashlib.sha256(b"mine").hexdigest(), "size_bytes": 4})
    (task / "writing_result.json").write_text(json.dumps(forged, indent=2))
    run_step(task, WritingStep({"t.ddl": "2"}))

    assert (task / "mine.txt").read_text() == "mine"


def test_failed_step_leaves_the_earlier_outputs(task: Path) -> None:
    """All of the new ones or none."""
    run_step(task, WritingStep({"t.ddl": "1"}))
    before = {name: text for name, text in content_below(task).items() if name.endswith((".ddl", "g_result.json"))}
    result = run_step(task, WritingStep({"t.ddl": "2"}, fails={"u": "broken"}))

    assert not result["success"]
    assert {name: content_below(task)[name] for name in before} == before


# ---- resumed runs ---------------------------------------------------------------------------------------------------


def test_resumed_run_makes_no_second_backup_and_repeats_no_published_step(task: Path) -> None:
    """The worker died after a step: the same run id goes on where it was."""
    make_task(task, {"old": "old"})

    class Dies(WritingStep):
        async def run(self, context: StepContext) -> StepOutput:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_complete(task, WritingStep({"a": "1"}, name="one"), Dies({}, name="two"), run_id="run_5")

    class Unexpected(WritingStep):
        async def run(self, context: StepContext) -> StepOutput:
            raise AssertionError("this step was published already")

    result = run_complete(
        task, Unexpected({}, name="one"), WritingStep({"b": "2"}, name="two"), run_id="run_5", parameters=PARAMETERS
    )

    assert result["success"]
    assert result["backup"]["state"] == "already_backed_up"
    assert len(backups_of(task)) == 1
    assert ((task / "a").read_text(), (task / "b").read_text()) == ("1", "2")
    assert result["kept_files"] == []


def test_work_of_dead_runs_is_swept_by_the_next_complete_success(task: Path) -> None:
    """Litter does not grow; but what could not be published waits until a complete run has succeeded."""
    state = task.parent / ".journal" / "task_1"
    with open_workspace(str(task), "task_1", label="dead", timeout_seconds=0) as workspace:
        workspace.work_folder("run_dead").write("half", "half")
    run_step(task, WritingStep({"t.ddl": "1"}))
    assert "work-run_dead" in os.listdir(state)
    run_complete(task, WritingStep({"t.ddl": "1"}))

    assert not [name for name in os.listdir(state) if name.startswith("work-")]
