"""Prune, delete and verify backups of the vector store: each is whole or gone, and what is needed stays."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from data_pipeline.cli import app
from data_pipeline.config.retention import NEWEST, RetentionPolicy
from data_pipeline.errors import BackupProtected, InvalidInput, NotFound, TaskBusy
from data_pipeline.tasks.backup.verification import VerifyReport
from data_pipeline.tasks.parameters import RunOptions
from data_pipeline.tasks.workspace import Door
from data_pipeline.vectors.backup.catalogue import BackupPlace, backups_in, find_backup, open_place, place_of_task
from data_pipeline.vectors.backup.delete import (
    NEWEST_WHOLE,
    delete_backup,
    delete_backups,
    plan_deletion,
    plan_prune,
    prune,
)
from data_pipeline.vectors.backup.in_use import BEING_RESTORED, kept_from_restores, opened_for_restore
from data_pipeline.vectors.backup.restore import Restored, restore_backup
from data_pipeline.vectors.backup.verify import verify
from data_pipeline.vectors.store.contract import VectorStore
from tests.support.hooked_disk import HookedDisk
from tests.support.scenarios import NoLock
from tests.support.server import API, data
from tests.support.service import execute, new_task, refused, serving, settings_of
from tests.support.shop import SCRIPT, Shop
from tests.support.tasks import content_below, make_task
from tests.support.training import Training
from tests.support.vector_backups import ITEM_COUNT, make_backups, new_store, timestamps
from tests.support.warm import ROOT, inherited

LAST_TWO = RetentionPolicy(keep_last=2)
LAST_ONE = RetentionPolicy(keep_last=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VectorStore]:
    """A small store."""
    store = new_store(tmp_path)
    yield store
    store.close()


@pytest.fixture(params=["task_1", None], ids=["of a task", "of no task"])
def place(request: pytest.FixtureRequest, tmp_path: Path, store: VectorStore) -> BackupPlace:
    """A folder with five backups, a day apart."""
    task_id: str | None = request.param
    make_task(tmp_path / "training_data" / "task_1", {"a.ddl": "current a"})
    make_backups(store, tmp_path / "training_data", task_id, range(5))
    return place_of_task(str(tmp_path / "training_data"), task_id)


def pruned(place: BackupPlace, policy: RetentionPolicy, **options: Any) -> Any:
    with open_place(place, label="test") as workspace:
        return prune(workspace, place, policy, **options)


def items_of(place: BackupPlace, timestamp: str) -> Path:
    return Path(place.items_path(timestamp))


def manifest_of(place: BackupPlace, timestamp: str) -> Path:
    return Path(place.path) / f"vectors_{timestamp}_manifest.json"


# ---- prune and delete -----------------------------------------------------------------------------------------------


def test_prune_deletes_what_no_rule_keeps_and_says_why(place: BackupPlace, caplog: pytest.LogCaptureFixture) -> None:
    """Items and manifest go together; each deletion is a line in the log."""
    before = timestamps(place)
    oldest_bytes = items_of(place, before[-1]).stat().st_size
    with caplog.at_level("INFO", "data_pipeline.backup"):
        report = pruned(place, LAST_TWO)

    assert timestamps(place) == before[:2]
    assert len(list(Path(place.path).iterdir())) == 4
    assert [(backup.backup, backup.action, backup.reasons[0]) for backup in report.backups] == [
        *((timestamp, "keep", "last") for timestamp in before[:2]),
        *((timestamp, "delete", "no rule keeps it") for timestamp in before[2:]),
    ]
    assert report.summary()["deleted_bytes"] == 3 * oldest_bytes
    assert [record.getMessage() for record in caplog.records] == [
        f"Vector backup {place.relative_path}, {timestamp} was deleted (keep_last=2: no rule keeps it): "
        f"1 files, {oldest_bytes} bytes"
        for timestamp in before[:1:-1]
    ]


def test_dry_run_tells_the_same_and_changes_nothing(place: BackupPlace) -> None:
    """What it shows is what the real run then does."""
    before = content_below(Path(place.path))
    planned = plan_prune(place, LAST_TWO)
    assert content_below(Path(place.path)) == before

    assert {**pruned(place, LAST_TWO).summary(), "dry_run": True} == planned.summary()


def test_total_size_and_an_empty_policy_count_as_for_other_backups(place: BackupPlace) -> None:
    """Off by default means off."""
    before = timestamps(place)
    assert pruned(place, RetentionPolicy()).deleted == []
    one_bytes = items_of(place, before[0]).stat().st_size
    pruned(place, RetentionPolicy(max_total_bytes=3 * one_bytes))
    assert timestamps(place) == before[:3]
    pruned(place, RetentionPolicy(max_total_bytes=0))
    assert timestamps(place) == before[:1]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[BackupPlace, str], object]] = {
    "items missing": lambda place, timestamp: items_of(place, timestamp).unlink(),
    "items shorter": lambda place, timestamp: cut(items_of(place, timestamp)),
    "items a directory": lambda place, timestamp: replace_by_directory(items_of(place, timestamp)),
    "manifest missing": lambda place, timestamp: manifest_of(place, timestamp).unlink(),
    "manifest changed": lambda place, timestamp: cut(manifest_of(place, timestamp)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_backup_goes_only_by_force(place: BackupPlace, kind: str) -> None:
    """An operator may still bring a part of it back."""
    oldest = timestamps(place)[-1]
    DAMAGE[kind](place, oldest)
    report = pruned(place, LAST_ONE)
    assert timestamps(place)[1:] == [oldest]
    assert (report.backups[-1].action, len(report.backups[-1].reasons)) == ("keep", 1)

    with pytest.raises(BackupProtected, match="--force"), open_place(place, label="test") as workspace:
        delete_backup(workspace, place, oldest)
    assert pruned(place, LAST_ONE, is_forced=True).deleted[0].backup == oldest
    assert not [path for path in Path(place.path).iterdir() if oldest in path.name]


@pytest.mark.parametrize("is_forced", [False, True])
def test_newest_backup_without_damage_stays_beside_a_newer_damaged_one(place: BackupPlace, is_forced: bool) -> None:
    """Else a policy of one backup would leave nothing that can be restored."""
    newest, whole, *_ = timestamps(place)
    cut(items_of(place, newest))
    report = pruned(place, LAST_ONE, is_forced=is_forced)

    assert timestamps(place) == [newest, whole]
    assert NEWEST in report.backups[0].reasons
    assert NEWEST_WHOLE in report.backups[1].reasons


def test_newest_backup_is_deleted_by_name_and_force_alone(place: BackupPlace) -> None:
    """A slip of the hand must not take the last good state."""
    newest = timestamps(place)[0]
    with pytest.raises(BackupProtected, match="newest"):
        plan_deletion(place, [newest])
    with open_place(place, label="test") as workspace:
        assert [one.action for one in delete_backup(workspace, place, newest, is_forced=True).backups] == ["delete"]
    assert newest not in timestamps(place)


def test_one_wrong_name_deletes_nothing(place: BackupPlace) -> None:
    """All are checked before the first one goes."""
    before = content_below(Path(place.path))
    with open_place(place, label="test") as workspace:
        for wrong in ("20200101_000000", "..", "", "../vector_bak", "vectors"):
            with pytest.raises(NotFound):
                delete_backups(workspace, place, [timestamps(place)[-1], wrong])
    assert content_below(Path(place.path)) == before


def test_nothing_is_deleted_while_another_holds_the_folder(place: BackupPlace) -> None:
    """A run, or another backup that is being made."""
    before = content_below(Path(place.path))
    with open_place(place, label="test"), pytest.raises(TaskBusy):
        pruned(place, LAST_ONE)
    assert content_below(Path(place.path)) == before


def test_backup_that_cannot_go_is_reported_and_the_others_go(place: BackupPlace) -> None:
    """One surprise never ends the work on the rest; the backup is where it was."""
    oldest = timestamps(place)[-1]

    def hook(number: int, verb: str, arguments: tuple[object, ...]) -> None:
        if verb in ("link", "rename") and any(oldest in str(argument) for argument in arguments):
            raise PermissionError(13, "Permission denied", oldest)

    with open_place(place, label="test", door=Door(HookedDisk(hook), NoLock)) as workspace:
        report = prune(workspace, place, LAST_TWO)

    assert [backup.action for backup in report.backups] == ["keep", "keep", "delete", "delete", "failed"]
    assert "Permission denied" in report.errors[0]
    assert find_backup(place, oldest).problem is None


def test_folder_that_is_missing_or_a_link_has_no_backups(place: BackupPlace, tmp_path: Path) -> None:
    """Nothing outside is looked at."""
    assert plan_prune(place_of_task(str(tmp_path / "training_data"), "task_9"), LAST_ONE).backups == ()
    make_task(tmp_path / "training_data" / "task_2")
    (tmp_path / "training_data" / "task_2" / "vector_bak").symlink_to(place.path)
    linked = place_of_task(str(tmp_path / "training_data"), "task_2")
    assert pruned(linked, LAST_ONE).backups == ()
    with pytest.raises(NotFound):
        plan_deletion(linked, [timestamps(place)[-1]])
    assert len(timestamps(place)) == 5


def test_time_that_no_calendar_has_does_not_break_the_list(place: BackupPlace) -> None:
    """A folder that another program filled."""
    (Path(place.path) / "vectors_99999999_999999.jsonl").write_text("")
    assert len(backups_in(place)) == 6
    assert plan_prune(place, LAST_TWO).deleted


# ---- while it is restored -------------------------------------------------------------------------------------------

RESTORES = """
import sys
from data_pipeline.vectors.backup.catalogue import place_named
from data_pipeline.vectors.backup.restore import Restored, restore_backup
from data_pipeline.config.vector_place import VectorPlace
from data_pipeline.vectors.store.opening import open_vector_store

class Waits:
    "The real store, but for a pause after the first item."
    def __init__(self, store):
        self.store, self.embedder = store, store.embedder
    def replace_with(self, items):
        def paused():
            for number, item in enumerate(items):
                yield item
                if number == 0:
                    print("restoring", flush=True)
                    sys.stdin.readline()
        return self.store.replace_with(paused())

url, training_data, folder, timestamp = sys.argv[1:]
done = restore_backup(Waits(open_vector_store(VectorPlace(url))), place_named(training_data, folder), timestamp)
print(done.content.total)
"""
"""Restores a backup, and waits in the middle for a line."""


@contextmanager
def restoring(tmp_path: Path, place: BackupPlace, timestamp: str) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of a restore."""
    url = f"sqlite:///{tmp_path / 'restored.sqlite'}"
    process = subprocess.Popen(
        [sys.executable, "-c", RESTORES, url, str(tmp_path / "training_data"), place.relative_path, timestamp],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**inherited(), "PYTHONPATH": str(ROOT)},
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "restoring\n"
            yield process
        finally:
            process.kill()


def test_backup_that_another_process_restores_stays_even_by_force(place: BackupPlace, tmp_path: Path) -> None:
    """The others go; when the restore is over, this one goes, too."""
    oldest = timestamps(place)[-1]
    with restoring(tmp_path, place, oldest) as process:
        for is_forced in (False, True):
            with pytest.raises(BackupProtected, match=BEING_RESTORED), open_place(place, label="test") as workspace:
                delete_backup(workspace, place, oldest, is_forced=is_forced)
        planned = plan_prune(place, LAST_ONE, is_forced=True)
        report = pruned(place, LAST_ONE, is_forced=True)
        assert {**report.summary(), "dry_run": True} == planned.summary()
        assert (report.backups[-1].action, report.backups[-1].reasons) == ("keep", (BEING_RESTORED,))
        assert timestamps(place)[1:] == [oldest]
        done, _ = process.communicate("go on\n")
        assert (done, process.returncode) == (f"{ITEM_COUNT}\n", 0)
    pruned(place, LAST_ONE)
    assert oldest not in timestamps(place)


def test_restore_that_begins_after_the_plan_keeps_its_backup_and_the_others_go(place: BackupPlace) -> None:
    """It was free when the plan was made; the deletion asks for its lock again."""
    oldest, second = timestamps(place)[-1], timestamps(place)[-2]
    with ExitStack() as restores:

        def hook(number: int, verb: str, arguments: tuple[object, ...]) -> None:
            if number == 1:  # the deletion of the oldest one has begun
                restores.enter_context(opened_for_restore(place, second))

        with open_place(place, label="test", door=Door(HookedDisk(hook), NoLock)) as workspace:
            report = prune(workspace, place, LAST_ONE, is_forced=True)
    assert [backup.action for backup in report.backups] == ["keep", "delete", "delete", "failed", "delete"]
    assert BEING_RESTORED in report.errors[0]
    assert timestamps(place)[1:] == [second]
    assert oldest not in timestamps(place)


def test_restore_that_is_killed_protects_its_backup_no_longer(place: BackupPlace, tmp_path: Path) -> None:
    """The kernel frees the lock."""
    oldest = timestamps(place)[-1]
    with restoring(tmp_path, place, oldest) as process:
        process.kill()
        process.wait()
        pruned(place, LAST_ONE)
    assert len(timestamps(place)) == 1


def test_restore_waits_for_another_plan_and_for_no_other_restore(place: BackupPlace, store: VectorStore) -> None:
    """A plan asks for the lock, and gives it back."""
    oldest, second = timestamps(place)[-1], timestamps(place)[-2]
    with ThreadPoolExecutor() as pool:
        with kept_from_restores(place, oldest):
            waiting = pool.submit(restore_backup, store, place, oldest)
            assert plan_prune(place, LAST_ONE).backups[-1].reasons == (BEING_RESTORED,)
            assert not waiting.done()
        assert waiting.result().content.total == ITEM_COUNT
    with opened_for_restore(place, second):
        assert restore_backup(store, place, second).content.total == ITEM_COUNT


def test_backup_that_cannot_be_asked_for_a_restore_stays(place: BackupPlace) -> None:
    """Another user may be restoring it."""
    if os.geteuid() == 0:
        pytest.skip("root can read every file")
    oldest = timestamps(place)[-1]
    items_of(place, oldest).chmod(0)
    kept = pruned(place, LAST_ONE, is_forced=True).backups[-1]
    assert (kept.action, kept.reasons) == (
        "keep", ("it is unknown whether it is being restored (Permission denied)",),
    )  # fmt: skip
    items_of(place, oldest).chmod(0o400)
    assert oldest in [backup.backup for backup in pruned(place, LAST_ONE).deleted]


def test_restore_or_verification_during_a_deletion_finds_a_whole_backup_or_none(
    place: BackupPlace, tmp_path: Path
) -> None:
    """Begun at any change of the disk, they see no damage that is none."""
    oldest = timestamps(place)[-1]
    (tmp_path / "other").mkdir()
    store = new_store(tmp_path / "other")
    begun: list[Future[Restored] | Future[VerifyReport]] = []
    with ThreadPoolExecutor(100) as pool:

        def hook(number: int, verb: str, arguments: tuple[object, ...]) -> None:
            begun.append(pool.submit(restore_backup, store, place, oldest))
            begun.append(pool.submit(verify, place, oldest))

        with open_place(place, label="test", door=Door(HookedDisk(hook), NoLock)) as workspace:
            delete_backup(workspace, place, oldest)
        errors = [error for one in begun if (error := one.exception()) is not None]
        states = {result.state for one in begun if isinstance(result := one.exception() or one.result(), VerifyReport)}
    store.close()

    assert len(begun) > 20
    assert {type(error) for error in errors} == {NotFound}
    assert states <= {"good"}


# ---- verify ---------------------------------------------------------------------------------------------------------


def test_good_backup_is_good(place: BackupPlace) -> None:
    """Its manifest has the checksum from the beginning."""
    newest = timestamps(place)[0]
    report = verify(place, newest)
    assert (report.state, report.problems, report.has_record, report.file_count) == ("good", (), True, 1)
    assert report.size_bytes == items_of(place, newest).stat().st_size
    assert report.checksums_recorded_at == find_backup(place, newest).made_at


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"page 1") + 5] ^= 1
    path.write_bytes(bytes(raw))


@pytest.mark.parametrize(
    ("damage", "state", "kinds"),
    [
        (DAMAGE["items missing"], "damaged", ["missing"]),
        (DAMAGE["items shorter"], "damaged", ["size"]),
        (DAMAGE["manifest missing"], "unverifiable", []),
        (DAMAGE["manifest changed"], "damaged", ["record"]),
        (lambda place, timestamp: flip(items_of(place, timestamp)), "damaged", ["changed"]),
        (
            lambda place, timestamp: items_of(place, timestamp).with_suffix(".jsonl.part").write_text(""),
            "damaged",
            ["extra"],
        ),
    ],
)
def test_every_difference_from_the_record_is_found(
    place: BackupPlace, damage: Callable[[BackupPlace, str], object], state: str, kinds: Sequence[str]
) -> None:
    """Missing, extra, size, each byte."""
    oldest = timestamps(place)[-1]
    damage(place, oldest)
    report = verify(place, oldest)
    assert (report.state, [problem.kind for problem in report.problems]) == (state, kinds)
    assert verify(place, timestamps(place)[0]).state == "good"


def test_file_that_cannot_be_read_is_a_problem(place: BackupPlace) -> None:
    """A link is not followed, even to the right bytes."""
    oldest = timestamps(place)[-1]
    items = items_of(place, oldest)
    items.rename(items.with_name("elsewhere"))
    items.symlink_to("elsewhere")
    report = verify(place, oldest)
    assert report.state == "damaged"
    with pytest.raises(NotFound):
        verify(place, "20200101_000000")


# ---- after a run ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [None, "training_load"])
def test_run_that_backs_the_store_up_applies_the_policy(tmp_path: Path, store: VectorStore, step: str | None) -> None:
    """To the task's folder alone, complete or step; the result, the log and the records name what went."""
    training = Training(tmp_path, f"sqlite:///{tmp_path / 'vectors.sqlite'}")
    if step is not None:
        assert asyncio.run(training.executor().execute_complete_workflow())["success"]
    root = tmp_path / "training_data"
    before = make_backups(store, root, "task_1", range(3))
    elsewhere = make_backups(store, root, None, range(3))
    executor = training.executor(options=RunOptions(backup_vector_tables=True), vector_retention=LAST_TWO)
    result = asyncio.run(executor.execute_complete_workflow() if step is None else executor.execute_single_step(step))

    assert (result["success"], result["warnings"], result["pruned"]) == (True, [], None)
    assert result["vectors_pruned"] == {
        "policy": "keep_last=2",
        "deleted": before[1:],
        "deleted_bytes": result["vectors_pruned"]["deleted_bytes"],
        "kept_count": 2,
        "errors": [],
    }
    assert timestamps(place_of_task(str(root), "task_1"))[1:] == before[:1]
    assert timestamps(place_of_task(str(root), None)) == elsewhere
    log = (training.task / "data_pipeline.log").read_text()
    assert all(f"Vector backup task_1/vector_bak, {name} was deleted (keep_last=2" in log for name in before[1:])


@pytest.mark.parametrize(
    "options",
    [
        {"vector_retention": LAST_ONE},
        {"options": RunOptions(backup_vector_tables=True)},
        {"retention": LAST_ONE, "options": RunOptions(backup_vector_tables=True)},
    ],
    ids=["no new backup", "no policy", "another policy"],
)
def test_run_without_a_new_backup_or_a_policy_deletes_none(
    tmp_path: Path, store: VectorStore, options: dict[str, Any]
) -> None:
    """What was there is there."""
    training = Training(tmp_path, f"sqlite:///{tmp_path / 'vectors.sqlite'}")
    before = make_backups(store, tmp_path / "training_data", "task_1", range(3))
    result = asyncio.run(training.executor(**options).execute_complete_workflow())

    assert (result["success"], result["vectors_pruned"]) == (True, None)
    assert timestamps(place_of_task(str(tmp_path / "training_data"), "task_1"))[-3:] == before


def test_script_applies_the_policy_too(tmp_path: Path) -> None:
    """It never backs files up, but the vector store where it is asked to."""
    shop = Shop(tmp_path)
    arguments = ["--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt", "--business-context", "x"]
    for _ in range(2):
        done = shop.call(
            [*SCRIPT, *arguments, "--output-dir", "out", "--backup-vector-tables"],
            DATA_PIPELINE_VECTOR_BACKUP_KEEP_LAST="1",
        )
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out" / "vector_bak").iterdir())) == 2


# ---- at the command line --------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: VectorStore) -> Path:
    """A home with three backups of a task, and one of no task."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_PIPELINE_HOME", str(tmp_path))
    make_task(tmp_path / "training_data" / "task_1")
    make_backups(store, tmp_path / "training_data", "task_1", range(3))
    make_backups(store, tmp_path / "training_data", None, [0])
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["vectors", *arguments])


def of_task(home: Path) -> BackupPlace:
    return place_of_task(str(home / "training_data"), "task_1")


def test_prune_shows_reasons_and_deletes_only_when_it_is_confirmed(home: Path) -> None:
    """No one can be asked in a pipe; other folders are left alone."""
    newest, *older = timestamps(of_task(home))
    shown = run("prune", "--task", "task_1", "--keep-last", "1", "--dry-run")
    assert (shown.exit_code, "no rule keeps it" in shown.output, len(timestamps(of_task(home)))) == (0, True, 3)

    refusal = run("prune", "--task", "task_1", "--keep-last", "1")
    assert isinstance(refusal.exception, InvalidInput)
    assert "--yes" in str(refusal.exception)
    assert len(timestamps(of_task(home))) == 3

    done = run("prune", "--task", "task_1", "--keep-last", "1", "--yes", "--json")
    assert [one["backup"] for one in json.loads(done.output)["backups"] if one["action"] == "delete"] == older
    assert timestamps(of_task(home)) == [newest]
    assert len(timestamps(place_of_task(str(home / "training_data"), None))) == 1


def test_prune_without_rules_takes_those_of_the_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those of the backups of files; and refuses where there are none."""
    monkeypatch.setenv("DATA_PIPELINE_BACKUP_KEEP_LAST", "1")
    assert "--keep-last" in str(run("prune", "--task", "task_1").exception)
    monkeypatch.setenv("DATA_PIPELINE_VECTOR_BACKUP_KEEP_LAST", "2")
    assert run("prune", "--task", "task_1", "--yes").exit_code == 0
    assert len(timestamps(of_task(home))) == 2
    assert run("prune", "--yes").exit_code == 0
    assert isinstance(run("prune", "--task", "task_9", "--yes").exception, NotFound)


def test_delete_takes_the_named_backups_alone(home: Path) -> None:
    """The newest needs force."""
    newest, middle, oldest = timestamps(of_task(home))
    folder = "task_1/vector_bak"
    assert run("delete", folder, oldest, "--dry-run").exit_code == 0
    assert isinstance(run("delete", folder, newest, "--yes").exception, BackupProtected)
    assert isinstance(run("delete", folder, middle, "20200101_000000", "--yes").exception, NotFound)
    assert isinstance(run("delete", folder, middle).exception, InvalidInput)
    assert len(timestamps(of_task(home))) == 3
    assert run("delete", folder, oldest, middle, "--yes").exit_code == 0
    assert run("delete", folder, newest, "--yes", "--force").exit_code == 0
    assert timestamps(of_task(home)) == []


def test_verify_all_has_an_exit_code_for_a_timer(home: Path) -> None:
    """0: all good, 4: something cannot be compared, 3: damage, whatever else."""
    newest, middle, oldest = timestamps(of_task(home))
    assert run("verify", "--all").exit_code == 0
    assert f"task_1/vector_bak/{newest}: good (1 files, compared with checksums)" in run("verify", "--all").output
    manifest_of(of_task(home), middle).unlink()
    assert run("verify", "--all").exit_code == 4
    flip(items_of(of_task(home), oldest))
    damaged = run("verify", "--all", "--json")
    assert damaged.exit_code == 3
    assert [(one["backup_path"], one["state"]) for one in json.loads(damaged.output)] == [
        ("vector_bak", "good"), *(("task_1/vector_bak", state) for state in ("good", "unverifiable", "damaged")),
    ]  # fmt: skip
    assert run("verify", "task_1/vector_bak").exit_code == 3
    assert run("verify", "task_1/vector_bak", newest).exit_code == 0
    assert run("verify", "vector_bak").exit_code == 0
    assert isinstance(run("verify", "task_1/vector_bak", "20200101_000000").exception, NotFound)


@pytest.mark.parametrize("arguments", [(), ("vector_bak", "--all")])
def test_verify_wants_a_folder_or_all(home: Path, arguments: Sequence[str]) -> None:
    """One of both."""
    assert home.is_dir()
    assert isinstance(run("verify", *arguments).exception, InvalidInput)


# ---- over HTTP ------------------------------------------------------------------------------------------------------


def deleted_counts(client: TestClient) -> dict[str, str]:
    """The counts of deleted backups, by their labels."""
    lines = client.get("/metrics").text.splitlines()
    counts = (line.rpartition(" ") for line in lines if line.startswith("data_pipeline_backups_deleted_total{"))
    return {labels.partition("{")[2].rstrip("}"): count for labels, _, count in counts}


def test_prune_delete_and_verify_over_http(client: TestClient) -> None:
    """The answers have the fields of those about other backups; each deletion is counted."""
    task_id = new_task(client)
    execute(client, task_id)
    for _ in range(4):
        data(client.post(f"{API}/vector/backup", json={"task_id": task_id}))
    (location,) = data(client.get(f"{API}/vector/restore/list"))["backup_locations"]
    newest, second, third, oldest = [backup["timestamp"] for backup in location["backups"]]
    mine = {"task_id": task_id}

    checked = data(client.post(f"{API}/vector/backups/{newest}/verify", params=mine))
    assert (checked["backup"], checked["state"], checked["problems"]) == (newest, "good", [])
    shown = data(client.post(f"{API}/vector/prune-backups", json={**mine, "keep_last": 3, "dry_run": True}))
    assert (shown["dry_run"], shown["deleted_count"], shown["kept_count"]) == (True, 1, 3)
    assert data(client.post(f"{API}/vector/prune-backups"))["backups"] == []
    assert data(client.post(f"{API}/vector/prune-backups", json=mine))["deleted_count"] == 0
    refused(client.delete(f"{API}/vector/backups/{newest}", params=mine), 409, "backup_protected")
    refused(client.delete(f"{API}/vector/backups/{newest}"), 404, "resource_not_found")
    refused(client.delete(f"{API}/vector/backups/x", params=mine), 400, "invalid_params")
    refused(client.post(f"{API}/vector/prune-backups", json={"task_id": "task_9"}), 404, "resource_not_found")
    refused(client.post(f"{API}/vector/prune-backups", json={**mine, "keep_last": 0}), 400, "invalid_params")
    assert data(client.delete(f"{API}/vector/backups/{third}", params={**mine, "dry_run": True}))["dry_run"]
    gone = data(client.delete(f"{API}/vector/backups/{third}", params=mine))
    assert [(one["backup"], one["action"]) for one in gone["backups"]] == [(third, "delete")]
    done = data(client.post(f"{API}/vector/prune-backups", json={**mine, "keep_last": 1}))

    assert [one["backup"] for one in done["backups"] if one["action"] == "delete"] == [second, oldest]
    assert deleted_counts(client) == {'cause="request",kind="vectors"': "3.0"}


def test_pruning_after_a_run_is_counted_by_its_cause(folder: Path) -> None:
    """Apart from requests, and from backups of files."""
    settings = settings_of(folder, vector_backup_keep_last=1, backup_keep_last=1)
    with serving(settings) as client:
        task_id = new_task(client)
        for _ in range(3):
            data(execute(client, task_id, backup_vector_tables=True))  # type: ignore[arg-type]
        counts = deleted_counts(client)
        result = data(client.get(f"{API}/tasks/{task_id}"))["result"]

    assert counts == {'cause="retention",kind="vectors"': "2.0", 'cause="retention",kind="files"': "1.0"}
    assert result["vectors_pruned"]["kept_count"] == 1
