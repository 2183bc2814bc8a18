"""A copied home whose recovery fails for a passing reason can be recovered again."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

import pytest

from journal import JournalError, lock_directory
from tests.journal.test_copied_home import copy_home
from tests.journal.test_directory import leave_hot_journal
from tests.support.backup import make_files, names_in
from tests.support.hooked_disk import CHANGES, READS, HookedDisk, failing_once, nothing


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO], ids=errno.errorcode.get)
def test_passing_error_in_the_recovery_of_a_copied_home_only_delays_it(tmp_path: Path, number: int) -> None:
    """The journal stays hot (I9): the next owner recovers."""
    home, copied = tmp_path / "home", tmp_path / "copied"
    make_files(home / "task", "a", "b")
    leave_hot_journal(home / "task")
    copy_home(home, copied)
    shutil.copytree(copied, tmp_path / "trial")
    trial = HookedDisk(nothing, CHANGES | READS)
    lock_directory(tmp_path / "trial" / "task", label="trial", filesystem=trial).release()
    wrong = []
    for call in range(1, trial.calls + 1):
        task = tmp_path / f"failing-{call}" / "task"
        shutil.copytree(copied, task.parent)
        how = ""
        try:
            with contextlib.suppress(OSError):
                disk = HookedDisk(failing_once(call, number), CHANGES | READS)
                lock_directory(task, label="unlucky", filesystem=disk).release()
        except JournalError as error:
            how = type(error).__name__
        lock_directory(task, label="next").release()
        if names_in(task) != ["a", "b"]:
            left = [name for name in os.listdir(task.parent / ".journal" / "task") if name.endswith(".damaged")]
            wrong.append((call, how, names_in(task), left))
    assert not wrong, f"of {trial.calls} calls: {wrong}"
