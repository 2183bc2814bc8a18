"""Checksums after a run: in the background of a server, at the end of a command, and never in the way of a run."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest

from data_pipeline.commands import running
from data_pipeline.config.settings import Settings
from data_pipeline.runs.checksum_recorder import WAITING_LIMIT, ChecksumRecorder
from data_pipeline.runs.metrics import CountedRecords, Metrics
from data_pipeline.runs.records import RunRecords
from data_pipeline.tasks.backup.report import BackupReport, BackupState
from data_pipeline.tasks.backup.verify import verify
from data_pipeline.tasks.workspace import Door, open_workspace
from journal import DirectoryBusy, FileLock
from tests.support.server import Server, running_server
from tests.support.shop import CLI, PATIENCE_SECONDS, Shop
from tests.support.tasks import WritingStep, backups_of, make_task, run_complete
from tests.support.waiting import wait_until

ON = {"DATA_PIPELINE_BACKUP_CHECKSUMS": "true"}
READS_FOR_EVER = [
    sys.executable,
    "-c",
    """
import os, time
from data_pipeline import cli
from data_pipeline.tasks.backup import checksums

read = checksums.checksum_of

def never_end(folder, name, on_bytes):
    def wait(size_bytes):
        open(os.environ["READING_FILE"], "w").close()
        while True:
            on_bytes(0)
            time.sleep(0.01)
    return read(folder, name, wait)

checksums.checksum_of = never_end
cli.main()
""",
]
"""`data-pipeline` for which the first piece of a file to sum up never ends; it says in a file that it has begun."""


def manifest_of(backup: Path) -> Path:
    return backup.parent / "backup_manifests" / f"{backup.name}_sha256.json"


def has_checksums(backup: Path) -> bool:
    """Whether the checksums of a backup are recorded, and it is as they say."""
    report = verify(str(backup.parent), backup.name)
    return report.checksums_recorded_at is not None and report.state == "good"


def task_with_backup(path: Path) -> Path:
    """A task whose second run made a backup; the backup."""
    make_task(path, {"a.ddl": "content a"})
    run_complete(path, WritingStep({"t.ddl": "t"}))
    return backups_of(path)[-1]


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    return task_with_backup(tmp_path / "task_1")


class Recording:
    """A recorder on a folder of tasks; its outcomes are counted."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.outcomes: Counter[str] = Counter()
        self.recorder = ChecksumRecorder(str(folder), count=self._count, retry_seconds=0.01, **options)

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.recorder.close()


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder without tasks, so that a recorder picks nothing up by itself."""
    path = tmp_path / "empty"
    path.mkdir()
    return path


class GatedLock(FileLock):
    """A lock that waits at a gate before it is asked for, and says when it was refused."""

    gate: threading.Event
    asked: threading.Event
    refused: threading.Event

    @classmethod
    def new(cls, *, is_open: bool) -> type[GatedLock]:
        class Gated(cls):  # type: ignore[valid-type, misc]
            gate, asked, refused = threading.Event(), threading.Event(), threading.Event()

        if is_open:
            Gated.gate.set()
        return Gated

    def acquire(self, timeout_seconds: float, **options: Any) -> None:
        self.asked.set()
        assert self.gate.wait(PATIENCE_SECONDS)
        try:
            super().acquire(timeout_seconds, **options)
        except DirectoryBusy:
            self.refused.set()
            raise


# ---- the recorder ----------------------------------------------------------------------------------------------------


def test_added_backup_gets_its_checksums(backup: Path, empty: Path) -> None:
    """Once, however often it is added."""
    (empty / "task_2").symlink_to(backup.parent)  # not found at the start: a link is not a task directory
    backup.parent.rename(empty / "task_1")
    with Recording(empty) as recording:
        recording.recorder.add("task_1", backup.name)
        moved = empty / "task_1" / backup.name
        wait_until(lambda: recording.outcomes["recorded"] == 1)
        assert has_checksums(moved)
        before = manifest_of(moved).stat().st_ino
        recording.recorder.add("task_1", backup.name)
    assert manifest_of(moved).stat().st_ino == before
    assert recording.outcomes == {"recorded": 1}


def test_newest_backup_of_a_run_is_picked_up_at_the_start(tmp_path: Path) -> None:
    """Not older ones, nor those of older systems, nor one that has checksums."""
    first = task_with_backup(tmp_path / "task_1")
    run_complete(first.parent, WritingStep({"t.ddl": "u"}))
    second = backups_of(first.parent)[-1]
    foreign = make_task(tmp_path / "task_2" / "file_bak_20240101_120000", {"a.ddl": "a"}, table_list=None)
    third = task_with_backup(tmp_path / "task_3")
    with Recording(tmp_path) as recording:
        wait_until(lambda: recording.outcomes["recorded"] == 2)
    assert (has_checksums(second), has_checksums(third)) == (True, True)
    assert (manifest_of(first).exists(), manifest_of(foreign).exists()) == (False, False)

    before = manifest_of(second).stat().st_ino
    last = task_with_backup(tmp_path / "task_4")
    with Recording(tmp_path) as again:
        wait_until(lambda: again.outcomes["recorded"] == 1)
    assert has_checksums(last)
    assert manifest_of(second).stat().st_ino == before


def test_busy_task_is_tried_again_without_a_second_reading(backup: Path) -> None:
    """The manifest waits in memory: what changes meanwhile is found by the next verification."""
    lock = GatedLock.new(is_open=True)
    with open_workspace(str(backup.parent), "task_1", label="run", timeout_seconds=0):
        recording = Recording(backup.parents[1], door=Door(lock_factory=lock))
        assert lock.refused.wait(PATIENCE_SECONDS)
        (backup / "a.ddl").write_text("CONTENT A")
    with recording:
        wait_until(lambda: recording.outcomes["recorded"] == 1)
    assert [problem.file for problem in verify(str(backup.parent), backup.name).problems] == ["a.ddl"]


def test_run_of_the_same_task_does_not_wait_for_the_recorder(backup: Path) -> None:
    """The lock is free while a backup is read, and until its manifest is written."""
    lock = GatedLock.new(is_open=False)
    with Recording(backup.parents[1], door=Door(lock_factory=lock)) as recording:
        assert lock.asked.wait(PATIENCE_SECONDS)  # it has read all files
        result = run_complete(backup.parent, WritingStep({"t.ddl": "next"}), lock_timeout_seconds=0.0)
        assert (result["success"], result["backup"]["state"]) == (True, "backed_up")
        lock.gate.set()
        wait_until(lambda: recording.outcomes["recorded"] == 1)
    assert has_checksums(backup)


def test_damaged_backup_gets_no_checksums_and_the_others_get_theirs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Checksums of damage would call it good. The log says what to do."""
    damaged, good = task_with_backup(tmp_path / "task_1"), task_with_backup(tmp_path / "task_2")
    (damaged / "a.ddl").unlink()
    with Recording(tmp_path) as recording:
        wait_until(lambda: recording.outcomes["recorded"] == 1)
    assert recording.outcomes == {"failed": 1, "recorded": 1}
    assert (manifest_of(damaged).exists(), has_checksums(good)) == (False, True)
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "a.ddl: it is missing, although the record lists it" in line
    assert f"data-pipeline backups verify task_1 {damaged.name} --record-checksums" in line


def test_deleted_backup_is_no_failure(backup: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A retention policy, or a person, was faster; also while its manifest waits for the lock."""
    caplog.set_level(logging.INFO, "data_pipeline.checksums")
    lock = GatedLock.new(is_open=False)
    with Recording(backup.parents[1], door=Door(lock_factory=lock)) as recording:
        assert lock.asked.wait(PATIENCE_SECONDS)
        backup.rename(backup.parents[1] / "elsewhere")
        recording.recorder.add("task_9", "file_bak_20240101_120000")
        lock.gate.set()
        wait_until(lambda: caplog.text.count("not needed any more") == 2)
    assert recording.outcomes == {}


def test_recorder_takes_a_bounded_number_of_backups(backup: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One more is named with the command that records it; `close` names those that wait."""
    caplog.set_level(logging.INFO, "data_pipeline.checksums")
    lock = GatedLock.new(is_open=False)
    recording = Recording(backup.parents[1], door=Door(lock_factory=lock))
    assert lock.asked.wait(PATIENCE_SECONDS)
    for number in range(WAITING_LIMIT + 1):
        recording.recorder.add(f"task_{number}", "file_bak_20240101_120000")
    assert recording.outcomes == {"failed": 1}
    assert f"data-pipeline backups verify task_{WAITING_LIMIT} file_bak" in caplog.text

    closing = threading.Thread(target=recording.recorder.close)
    closing.start()
    lock.gate.set()
    closing.join(PATIENCE_SECONDS)
    assert not closing.is_alive()


def test_backup_is_left_at_the_end_of_its_run_whatever_the_end() -> None:
    """Not before: the lock is held until then. A run without a backup leaves none."""
    left: list[str] = []
    now = datetime.now(UTC)
    cases: Sequence[tuple[BackupState, list[str]]] = (
        ("backed_up", ["file_bak_1"]), ("already_backed_up", ["file_bak_1"]), ("unknown", []),
    )  # fmt: skip
    for state, expected in cases:
        records = CountedRecords(RunRecords(), Metrics(), left.append)
        records.backed_up(BackupReport(state=state, directory="file_bak_1", started_at=now, ended_at=now))
        assert left == []
        records.ended("failed", error="no", result=None)
        assert left == expected
        left.clear()
    CountedRecords(RunRecords(), Metrics(), left.append).ended("completed", error=None, result=None)
    assert left == []


# ---- a real server ---------------------------------------------------------------------------------------------------


def backed_up(server: Server, shop: Shop) -> Path:
    """Run a new task twice; the backup."""
    task_id = server.new_task("customer")
    for _ in range(2):
        assert server.execute(task_id, wait_seconds=60).status_code == 200
    (backup,) = backups_of(shop.home / "training_data" / task_id)
    return backup


def test_server_records_checksums_after_a_run(shop: Shop) -> None:
    """The metrics count it; the server ends in an orderly way."""
    with running_server(shop, **ON) as server:
        assert 'checksums_total{outcome="recorded"} 0.0' in server.client.get("/metrics").text
        backup = backed_up(server, shop)
        counted = 'data_pipeline_backup_checksums_total{outcome="recorded"} 1.0'
        wait_until(lambda: counted in server.client.get("/metrics").text, server.log.read_text)
        assert has_checksums(backup)
        assert server.terminate() == 0


def test_server_records_nothing_unless_asked(shop: Shop) -> None:
    """Off by default, and a role that works on no run does not begin."""
    with running_server(shop) as server:
        backup = backed_up(server, shop)
        assert server.terminate() == 0
    with running_server(shop, "--role", "api", **ON) as server:
        assert server.terminate() == 0
    assert not manifest_of(backup).exists()
    with running_server(shop, **ON):  # what is missing is picked up
        wait_until(lambda: manifest_of(backup).exists())


@pytest.mark.parametrize("ends", [Server.kill, Server.terminate])
def test_server_that_ends_while_it_reads_goes_on_at_the_next_start(shop: Shop, ends: Any) -> None:
    """Killed or stopped: nothing half done is left, and the next server records it."""
    reading = shop.folder / "reading"
    with running_server(shop, words=READS_FOR_EVER, READING_FILE=str(reading), **ON) as server:
        backup = backed_up(server, shop)
        wait_until(reading.exists, server.log.read_text)
        assert server.execute(backup.parent.name, wait_seconds=60).status_code == 200  # nor does a run wait for it
        ends(server)
        assert not manifest_of(backup).exists()
        if ends is Server.terminate:
            assert f"the checksums of {backup.name} are not recorded yet" in server.log.read_text()
    newest = backups_of(backup.parent)[-1]
    with running_server(shop, **ON) as server:
        wait_until(lambda: manifest_of(newest).exists(), server.log.read_text)
    assert os.listdir(backup.parent / "backup_manifests") == [manifest_of(newest).name]


# ---- the command line ------------------------------------------------------------------------------------------------


def test_command_records_checksums_after_a_run_where_set(shop: Shop) -> None:
    """And not else. The output is the run's own."""
    task = shop.new_task()
    shop.answer("run", task.name)
    again = shop.call(CLI, "run", task.name, "--json", **ON)
    assert (again.returncode, again.stderr) == (0, "")
    (first, second) = backups_of(task)
    assert json.loads(again.stdout)["backup"]["directory"] == second.name
    assert (manifest_of(first).exists(), has_checksums(second)) == (False, True)
    step = shop.call(CLI, "run", task.name, "--step", "ddl_generation", **ON)
    assert (step.returncode, len(backups_of(task))) == (0, 2)


def test_result_of_a_command_is_out_before_its_checksums_which_can_be_interrupted(shop: Shop) -> None:
    """Ctrl-C then ends the reading; the run has succeeded, and its exit code says so."""
    task = shop.new_task()
    reading = shop.folder / "reading"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATA_PIPELINE_")}
    process = subprocess.Popen(
        [*READS_FOR_EVER, "run", task.name, "--json"],
        cwd=shop.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, **shop.environment, **ON, "READING_FILE": str(reading)},
    )
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or lines[-1] not in ("}\n", ""):
        lines.append(process.stdout.readline())
    result = json.loads("".join(lines))
    assert result["success"]
    wait_until(reading.exists)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=PATIENCE_SECONDS)

    backup = result["backup"]["directory"]
    assert (process.returncode, rest) == (0, "")
    assert errors == (
        f"The checksums of {backup} are not recorded: Interrupted. To record them, run: "
        f"data-pipeline backups verify {task.name} {backup} --record-checksums\n"
    )
    assert not manifest_of(task / backup).exists()


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("DATA_PIPELINE_"):
            monkeypatch.delenv(name)


@pytest.mark.usefixtures("clean_environment")
def test_checksums_that_cannot_be_recorded_are_one_line_with_the_remedy(
    backup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run's result does not change."""
    (backup / "a.ddl").unlink()
    settings = Settings(home=backup.parents[1], training_data=backup.parents[1])
    running._record_checksums(settings, "task_1", backup.name, is_quiet=False)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"The checksums of {backup.name} are not recorded: {backup.name} is damaged: a.ddl: ")
    assert output.err.endswith(f"backups verify task_1 {backup.name} --record-checksums\n")
