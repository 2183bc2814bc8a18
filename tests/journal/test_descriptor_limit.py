"""Errors at the limit of open files, and after the commit record."""

from __future__ import annotations

import errno
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from journal import Outcome
from journal.filesystem import Filesystem
from tests.crash.campaign import recover
from tests.support.model_filesystem import ModelFilesystem
from tests.support.scenarios import BACKUP, files_of, lock, record


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of open files that a process can set")
def test_three_hundred_runs_at_the_limit_of_open_files_report_what_the_disk_shows(tmp_path: Path) -> None:
    """At each call in turn the kernel refuses a descriptor, once or from then on: backed up, failed or unknown."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.journal.descriptor_limit", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    reports = json.loads(done.stdout)
    assert sum(reports.values()) >= 300
    assert {"backed up", "unknown", "failed: TransactionFailed"} <= set(reports)


def run_with_trash(disk: Filesystem) -> Outcome:
    """A backup that also deletes a file, so that there is trash, a parked and a reserved file to purge."""
    with lock(disk) as directory:
        transaction = directory.transaction("backup", on_error="continue")
        backup = transaction.make_directory("bak")
        transaction.move("f0", backup)
        transaction.move("f1", backup)
        transaction.delete("table_list.txt")
        transaction.create(backup, "info.json", record)
        return transaction.commit()


class FailingAfterCommit:
    """Fails the call or look of a number, counted from the sync of the commit record; if `lasting`, all later ones."""

    def __init__(self, disk: ModelFilesystem, at: int, number: int, *, lasting: bool) -> None:
        self.failed = 0
        self._disk = disk
        self._at = at
        self._number = number
        self._lasting = lasting
        self._passed = -1
        self._is_written = False
        disk.on_call = self._on_call

    def _on_call(self, call: int, verb: str, name: str) -> None:
        if self._disk.on_look is not None:
            self._pass(name)
        self._is_written = self._is_written or verb == "write_at"
        if self._is_written and verb == "sync_file":
            self._disk.on_look = lambda look, what: self._pass(what)

    def _pass(self, what: str) -> None:
        self._passed += 1
        if self._passed == self._at or (self._lasting and self._passed > self._at):
            self.failed += 1
            raise OSError(self._number, os.strerror(self._number), what)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from-then-on"])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ENOMEM], ids=errno.errorcode.get)
def test_error_at_any_call_or_look_after_the_commit_gives_a_leftover_and_not_a_failure(
    number: int, lasting: bool
) -> None:
    """The transaction is committed whatever fails; remaining entries are listed, and the next recovery removes them."""
    for moment in itertools.count():
        disk = BACKUP.disk()
        fault = FailingAfterCommit(disk, moment, number, lasting=lasting)
        outcome = run_with_trash(disk)
        disk.revive()

        assert (outcome.moved_count, outcome.failures) == (3, [])
        left = {name.split("/")[0] for name in disk.tree("/t/.journal/D")} - {"lock", "ready", ".journal-probe"}
        assert outcome.leftovers or not left, f"{left} stay and are not named"
        recover(disk)
        assert set(disk.tree("/t/.journal/D")) <= {"lock", "ready", ".journal-probe"}
        assert set(files_of(disk)) == {"bak/f0", "bak/f1", "bak/info.json"}
        if not fault.failed:
            break
    assert moment >= 8
