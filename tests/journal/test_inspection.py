"""Inspection of directories: the report of each condition; nothing is changed or locked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from journal import JournalDamaged, LocalFilesystem, inspect_all, inspect_directory, lock_directory
from journal.filesystem import Directory
from tests.journal.test_directory import leave_hot_journal
from tests.support.backup import make_files, names_in


@pytest.fixture
def task(tmp_path: Path) -> Path:
    path = tmp_path / "task"
    make_files(path, "a", "b")
    return path


def state_of(task: Path) -> Path:
    return task.parent / ".journal" / task.name


def test_directory_that_was_never_locked_is_clean_and_is_not_among_all(task: Path) -> None:
    """An inspection creates no state directory."""
    assert inspect_directory(str(task)).condition == "clean"
    assert inspect_all(str(task.parent)) == {}
    assert names_in(task.parent) == ["task"]


def test_hot_journal_is_work_and_stays_hot(task: Path) -> None:
    """The effect of a recovery is reported, and nothing is done."""
    leave_hot_journal(task)
    before = sorted(os.listdir(state_of(task)))
    found = inspect_all(str(task.parent))["task"]

    assert found == inspect_directory(str(task), state_directory=str(state_of(task)))
    assert (found.condition, len(found.journals)) == ("work", 1)
    assert found.report is not None
    assert found.report.journals[0].action == "rolled_back"
    assert sorted(os.listdir(state_of(task))) == before


def test_held_directory_is_busy_and_names_its_holder(task: Path) -> None:
    """A journal with a live owner is not hot."""
    with lock_directory(str(task), label="night shift"):
        found = inspect_directory(str(task))

    assert found.condition == "busy"
    assert found.held_by is not None
    assert found.held_by.label == "night shift"


@pytest.mark.parametrize("is_set_aside", [False, True])
def test_damaged_journal_is_damaged_before_and_after_it_is_set_aside(task: Path, is_set_aside: bool) -> None:
    """An operator must look until the file is removed."""
    leave_hot_journal(task)
    (journal,) = state_of(task).glob("*.journal")
    journal.write_bytes(b"x" + journal.read_bytes()[1:])
    if is_set_aside:
        with pytest.raises(JournalDamaged):
            lock_directory(str(task), label="recovers")
    found = inspect_directory(str(task))

    assert found.condition == "damaged"
    assert (found.error is None) == is_set_aside


class Unreadable(LocalFilesystem):
    """A disk on which one state directory cannot be opened."""

    def open_directory(self, path: str) -> Directory:
        if os.path.basename(path) == "task" and ".journal" in path:
            raise PermissionError(13, "Permission denied", path)
        return super().open_directory(path)


def test_directory_that_cannot_be_read_is_damaged_and_the_others_are_inspected(task: Path) -> None:
    """One bad place does not hide the rest."""
    make_files(task.parent / "other", "a")
    for path in (task, task.parent / "other"):
        lock_directory(str(path), label="once").release()
    found = inspect_all(str(task.parent), filesystem=Unreadable())

    assert {name: one.condition for name, one in found.items()} == {"task": "damaged", "other": "clean"}
    assert "Permission denied" in (found["task"].error or "")
