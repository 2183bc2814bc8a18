"""A directory that is a mount point has its state inside, because no file could be moved to the outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from journal import LocalFilesystem, lock_directory, recover_all, state_directory_of
from journal.filesystem import Directory
from tests.journal.test_directory import leave_hot_journal
from tests.support.backup import back_up, make_files, names_in

ROOT = Path(__file__).parents[2]
BOUND = """
mount --bind "$1" "$1" && shift && exec "$@"
"""
DRIVER = """
import os, sys
from pathlib import Path
from journal import lock_directory, recover_all, state_directory_of
from tests.journal.test_directory import leave_hot_journal
from tests.support.backup import back_up, names_in
task = Path(sys.argv[1])
assert state_directory_of(str(task)) == str(task / ".journal")
leave_hot_journal(task)
reports = recover_all(task.parent)
assert [journal.action for journal in reports[task.name].journals] == ["rolled_back"], reports
with lock_directory(task, label="test") as directory:
    assert back_up(directory).failures == []
"""


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with two files that is an area of the disk of its own."""
    path = tmp_path / "task"
    make_files(path, "a", "b")
    mount = LocalFilesystem.mount

    def own_area(disk: LocalFilesystem, directory: Directory) -> str:
        is_inside = os.path.realpath(directory.path).startswith(str(path))
        return mount(disk, directory) + (" of the task" if is_inside else "")

    monkeypatch.setattr(LocalFilesystem, "mount", own_area)
    return path


def test_state_of_a_mount_point_is_inside_and_no_backup_moves_it(task: Path) -> None:
    """Nothing appears beside it."""
    with lock_directory(task, label="test") as directory:
        outcome = back_up(directory)

    assert directory.state_path == str(task / ".journal")
    assert outcome.failures == []
    assert names_in(task.parent) == ["task"]
    assert names_in(task) == [".journal", "bak"]
    assert names_in(task / ".journal") == [".journal-probe", "lock", "ready"]


def test_dead_run_in_a_mount_point_is_found_and_recovered_with_all_others(task: Path) -> None:
    """`recover_all` finds state directories beside the directories and in them."""
    make_files(task.parent / "other", "c")
    leave_hot_journal(task.parent / "other")
    leave_hot_journal(task)
    reports = recover_all(task.parent)

    assert sorted(reports) == ["other", "task"]
    assert names_in(task) == [".journal", "a", "b"]
    assert names_in(task.parent / "other") == ["c"]


def test_state_stays_inside_once_it_is_there(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The volume may be mounted as a whole later; its journal must still be found."""
    leave_hot_journal(task)
    monkeypatch.undo()

    assert state_directory_of(str(task)) == str(task / ".journal")
    with lock_directory(task, label="next") as directory:
        (report,) = directory.recovered.journals
    assert report.action == "rolled_back"
    assert names_in(task) == [".journal", "a", "b"]


def test_missing_root_has_nothing_to_recover(tmp_path: Path) -> None:
    """No error, and nothing is made."""
    assert recover_all(tmp_path / "nowhere") == {}
    assert names_in(tmp_path) == []


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare of util-linux")
def test_directory_that_is_bound_onto_itself_is_served_by_a_state_inside(tmp_path: Path) -> None:
    """A real mount in a separate namespace: recovery and a backup within it."""
    task = tmp_path / "task"
    make_files(task, "a", "b")
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", BOUND, "sh", str(task)]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount")
    done = subprocess.run(
        [*words, sys.executable, "-c", DRIVER, str(task)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert names_in(tmp_path) == ["task"]
    assert names_in(task) == [".journal", "bak"]
    assert names_in(task / "bak") == ["a", "b", "backup_info.json"]
