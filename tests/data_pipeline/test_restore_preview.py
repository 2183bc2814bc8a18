"""The dry run of a restore predicts, file by file, what the restore then changes."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import InvalidInput, PipelineError, RestoreFailed
from data_pipeline.tasks.backup.changes import FileChange
from data_pipeline.tasks.backup.checksums import CHUNK_BYTES
from data_pipeline.tasks.backup.restore import RestoreReport, preview_restore, restore
from data_pipeline.tasks.workspace import open_workspace
from journal import lock_directory
from tests.support.hooked_disk import Died, HookedDisk
from tests.support.scenarios import NoLock
from tests.support.server import API, data
from tests.support.service import execute, new_task, refused
from tests.support.shop import CLI, Shop
from tests.support.tasks import make_task

BACKUP = "file_bak_20240101_120000"


class Entry(NamedTuple):
    """An entry of a directory, as tests make and compare it."""

    kind: Literal["file", "link", "fifo", "directory"]
    content: str = ""

    def make(self, path: str) -> None:
        match self.kind:
            case "file":
                Path(path).write_text(self.content)
            case "link":
                os.symlink(self.content, path)
            case "fifo":
                os.mkfifo(path)
            case "directory":
                os.mkdir(path)

    @classmethod
    def read(cls, path: str) -> Entry:
        if os.path.islink(path):
            return cls("link", os.readlink(path))
        if os.path.isdir(path):
            return cls("directory")
        return cls("file", Path(path).read_text()) if os.path.isfile(path) else cls("fifo")


def fill(folder: Path, entries: dict[str, Entry]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, entry in entries.items():
        entry.make(os.path.join(folder, name))


def snapshot(task: Path) -> dict[str, tuple[Entry, int]]:
    """Every entry of a task directory but directories, with its inode: a restored file is another one."""
    found = {name: os.path.join(task, name) for name in os.listdir(task)}
    return {
        name: (Entry.read(path), os.lstat(path).st_ino)
        for name, path in found.items()
        if os.path.islink(path) or not os.path.isdir(path)
    }


def difference(before: dict[str, tuple[Entry, int]], after: dict[str, tuple[Entry, int]]) -> dict[str, str]:
    """What happened to each name; nothing of those that were not touched."""
    actions = {}
    for name in before.keys() | after.keys():
        if name not in before:
            actions[name] = "added"
        elif name not in after:
            actions[name] = "removed"
        elif before[name] != after[name]:
            actions[name] = "unchanged" if before[name][0] == after[name][0] else "replaced"
    return actions


def predicted(report: RestoreReport) -> dict[str, str]:
    assert report.changes is not None
    return {change.name: change.action for change in report.changes}


def restored(task: Path, chosen: list[str] | None = None) -> RestoreReport:
    with open_workspace(str(task), task.name, label="restore", timeout_seconds=0) as workspace:
        return restore(workspace, BACKUP, restore_id="restore_1", chosen=chosen)


NAMES = st.sampled_from(["a.ddl", "b.ddl", "B.ddl", "caf\udce9.md", "backup_info.json", "table_list.txt", "é.md"])
CONTENTS = st.sampled_from(["", "one", "two", "longer"])
ENTRIES = st.one_of(
    st.builds(Entry, st.just("file"), CONTENTS),
    st.builds(Entry, st.just("link"), st.sampled_from(["one", "two", "a.ddl"])),
    st.sampled_from([Entry("fifo"), Entry("directory")]),
)
FILES = st.dictionaries(NAMES, st.one_of(st.builds(Entry, st.just("file"), CONTENTS), ENTRIES))


@settings(max_examples=120, deadline=None)
@given(FILES, FILES, st.none() | st.lists(NAMES, min_size=1, max_size=3))
def test_prediction_is_the_difference_that_the_restore_makes(
    current: dict[str, Entry], backed_up: dict[str, Entry], chosen: list[str] | None
) -> None:
    """On any contents, of the whole backup and of chosen names; a restore that is refused is refused in advance."""
    with tempfile.TemporaryDirectory() as home:
        task = Path(home) / "task_1"
        fill(task, current)
        fill(task / BACKUP, backed_up)
        before = snapshot(task)
        try:
            report = preview_restore(str(task), BACKUP, chosen)
        except PipelineError as error:
            refusal = str(error)
            with pytest.raises(type(error), match=re.escape(refusal)):
                restored(task, chosen)
            assert snapshot(task) == before
            return
        assert snapshot(task) == before
        assert os.listdir(home) == ["task_1"]  # no lock, no state

        done = restored(task, chosen)

        assert predicted(report) == difference(before, snapshot(task))
        assert (report.restored, report.replaced, report.skipped) == (done.restored, done.replaced, done.skipped)
        assert report.counts == {
            action: list(predicted(report).values()).count(action)
            for action in ("added", "replaced", "unchanged", "removed", "unknown")
        }


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task with a current file of each kind of change, and a backup."""
    path = make_task(tmp_path / "task_1", {"same.ddl": "same", "other.ddl": "new", "gone.json": "here"})
    make_task(path / BACKUP, {"same.ddl": "same", "other.ddl": "older", "back.ddl": "again"}, table_list=None)
    return path


def test_each_change_has_both_sizes(task: Path) -> None:
    """Missing ones are null, not zero."""
    assert preview_restore(str(task), BACKUP).changes == (
        FileChange("back.ddl", "added", 5, None),
        FileChange("gone.json", "removed", None, 4),
        FileChange("other.ddl", "replaced", 5, 3),
        FileChange("same.ddl", "unchanged", 4, 4),
    )


@pytest.mark.parametrize("size_bytes", [CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 1])
def test_last_byte_of_a_large_file_counts(task: Path, size_bytes: int) -> None:
    """Files are read in pieces; progress reaches the end, and never goes back."""
    (task / BACKUP / "large").write_bytes(b"x" * size_bytes)
    seen: list[tuple[int, int]] = []
    for content, action in ((b"x" * size_bytes, "unchanged"), (b"x" * (size_bytes - 1) + b"y", "replaced")):
        (task / "large").write_bytes(content)
        seen.clear()
        report = preview_restore(str(task), BACKUP, progress=lambda *numbers: seen.append(numbers))
        assert predicted(report)["large"] == action
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert seen[-1] == (size_bytes + 14, size_bytes + 14)


def test_comparison_can_be_interrupted(task: Path) -> None:
    """What `progress` raises ends it."""

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preview_restore(str(task), BACKUP, progress=interrupt)


def test_file_that_changes_while_it_is_compared_is_unknown(task: Path) -> None:
    """A wrong answer would be worse than none."""
    (task / BACKUP / "large").write_bytes(b"x" * 2 * CHUNK_BYTES)
    (task / "large").write_bytes(b"x" * 2 * CHUNK_BYTES)
    os.utime(task / "large", (1, 1))

    def change(done: int, total: int) -> None:
        if done:
            os.utime(task / "large", (2, 2))

    report = preview_restore(str(task), BACKUP, ["large"], progress=change)
    assert report.changes is not None
    assert (report.changes[0].action, report.changes[0].reason) == (
        "unknown",
        "the current file changed while it was compared",
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_file_that_cannot_be_read_is_unknown_with_the_reason(task: Path) -> None:
    """One of the backup would make the restore fail; a current one would only move."""
    (task / BACKUP / "back.ddl").chmod(0)
    (task / "same.ddl").chmod(0)
    changes = {change.name: change for change in preview_restore(str(task), BACKUP).changes or ()}
    assert changes["back.ddl"].reason == (
        "the file of the backup cannot be read (Permission denied): the restore would fail"
    )
    assert changes["same.ddl"].reason == "the current file cannot be compared (Permission denied)"
    with pytest.raises(RestoreFailed):
        restored(task)
    (task / BACKUP / "back.ddl").chmod(0o600)
    restored(task)


def test_interrupted_change_is_named_and_stays_as_it_is(task: Path) -> None:
    """Recovery comes before the restore, and a dry run changes nothing: it recovers nothing."""
    is_dead = False

    def die(number: int, verb: str, arguments: tuple[Any, ...]) -> None:
        nonlocal is_dead
        is_dead = is_dead or ("gone.json" in arguments and verb in ("rename", "link"))
        if is_dead:
            raise Died

    directory = lock_directory(
        str(task), label="run", timeout_seconds=0, filesystem=HookedDisk(die), lock_factory=NoLock
    )
    transaction = directory.transaction("test")
    elsewhere = transaction.make_directory("elsewhere")
    transaction.move("same.ddl", elsewhere)
    transaction.move("gone.json", elsewhere)
    with pytest.raises(Died):
        transaction.commit()
    before = sorted(str(path) for path in task.parent.rglob("*"))

    report = preview_restore(str(task), BACKUP)

    assert report.notes[1] == (
        "A change of its files was interrupted, and recovery comes first: run `data-pipeline recover`."
    )
    assert sorted(str(path) for path in task.parent.rglob("*")) == before


def test_backup_without_a_file_to_restore_is_refused_in_advance(task: Path) -> None:
    """As the restore refuses it."""
    (task / "file_bak_20240303_120000").mkdir()
    with pytest.raises(InvalidInput, match="does not contain a file that can be restored"):
        preview_restore(str(task), "file_bak_20240303_120000")


def test_command_line_lists_every_change_with_counts(shop: Shop) -> None:
    """In plain lines for a pipe, and as JSON."""
    task = make_task(shop.home / "training_data" / "task_1", {"a.ddl": "new [a]", "gone.json": "here"})
    make_task(task / BACKUP, {"a.ddl": "old", "b.ddl": "x" * 1234}, table_list=None)

    shown = shop.call(CLI, "backups", "restore", "task_1", BACKUP, "--dry-run")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.splitlines() == [
        f"Would restore 2 files of {BACKUP}",
        "  replaced   a.ddl (7 -> 3 bytes)",
        "  added      b.ddl (1,234 bytes)",
        "  removed    gone.json (4 bytes)",
        "1 added, 1 replaced, 0 unchanged, 1 removed, 0 unknown",
        "2 current files would first move into a new backup",
        "The task was not locked: changes in its directory before the restore are not in this answer.",
    ]
    answer = shop.answer("backups", "restore", "task_1", BACKUP, "a.ddl", "--dry-run")
    assert answer["changes"] == [
        {"name": "a.ddl", "action": "replaced", "size_bytes": 3, "current_size_bytes": 7, "reason": None}
    ]


def test_dry_run_over_http_has_a_described_answer(client: TestClient) -> None:
    """Its type is in the description of the API; what a restore refuses, it refuses."""
    task_id = new_task(client)
    for _ in range(2):
        execute(client, task_id)
    (backup,) = data(client.get(f"{API}/tasks/{task_id}/backups"))["backups"]
    path = f"{API}/tasks/{task_id}/backups/{backup['name']}/restore"
    answer = data(client.post(path, json={"dry_run": True}))

    touched = sorted({*answer["restored"], *answer["replaced"]})
    assert [change["name"] for change in answer["changes"]] == touched
    assert sum(answer["counts"].values()) == len(touched)
    assert answer["counts"]["unchanged"] > 0
    described = client.get("/openapi.json").json()
    operation = described["paths"][f"{API}/tasks/{{task_id}}/backups/{{backup}}/restore"]["post"]
    content = operation["responses"]["200"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/RestoreAnswer"}
    assert set(described["components"]["schemas"]["RestoreData"]["properties"]) == set(answer)
    assert json.dumps(content["example"]).count('"action"') > 0
    refused(client.post(path, json={"dry_run": True, "files": ["unknown.ddl"]}), 404, "resource_not_found")
