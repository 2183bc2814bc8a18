"""A home that was copied, with a hot journal in it: every inode number is new, and so is every hard link."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from journal import DirectoryReplaced, JournalError, NeedsAttention, lock_directory
from journal.filesystem import Directory
from tests.crash.campaign import sample
from tests.journal.test_directory import leave_hot_journal
from tests.support.backup import content_of, make_files, names_in
from tests.support.hooked_disk import CHANGES, Died, HookedDisk, dying_at, nothing
from tests.support.scenarios import SCENARIOS, Scenario, lock


class Home(HookedDisk):
    """The real disk with the folder `top` in the place of its root: the scenarios' /t/D is a real directory there."""

    def __init__(self, top: Path, hook: Any = nothing, *, has_links: bool = True) -> None:
        super().__init__(hook, CHANGES)
        self._top = str(top)
        self._hard_links = has_links

    def open_directory(self, path: str) -> Directory:
        directory = super().open_directory(self._top + path)
        directory.path = path
        return directory


MOVABLE = tuple(scenario for scenario in SCENARIOS if "copy" not in scenario.name)
"""An immutable file is one of the disk in memory only."""


def build(scenario: Scenario, top: Path) -> dict[str, bytes]:
    """Write a scenario's files to the real disk; return them by path below /t/D."""
    originals = {}
    (top / "t" / "D").mkdir(parents=True)
    for path, content in sorted(scenario.disk().tree("/t/D").items()):
        if content is None:
            (top / "t" / "D" / path).mkdir()
        else:
            (top / "t" / "D" / path).write_bytes(content)
            originals[path] = content
    return originals


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copy_home(top: Path, copied: Path) -> None:
    """Copy everything as `cp -a` would, but for hard links, each of which becomes a file of its own."""
    shutil.copytree(top, copied, symlinks=True, copy_function=shutil.copy2)
    shutil.rmtree(top)


def recover_copy(scenario: Scenario, originals: dict[str, bytes], copied: Path, where: str) -> str:
    """Recover a copied home and return the result; fail if a byte is lost or a half state is not reported."""
    end = ""
    try:
        with lock(Home(copied)) as directory:
            if any(report.action == "conflict" for report in directory.recovered.journals):
                end = "conflict"
    except NeedsAttention as error:
        end = f"kept as {error.set_aside}"
        lock(Home(copied)).release()  # nothing is blocked
    everywhere = Counter(files_below(copied).values())
    now = files_below(copied / "t" / "D")
    if not end:
        if now == originals:
            end = "before"
        else:
            assert scenario.is_after(now), f"{where}: neither before nor after: {sorted(now)}"
            end = "after"
    if end != "after":
        lost = [name for name, content in originals.items() if not everywhere[content]]
        assert not lost, f"{where}: lost {lost}"
    return end


@pytest.mark.parametrize("has_links", [True, False], ids=["links", "without-links"])
@pytest.mark.parametrize("scenario", MOVABLE, ids=lambda scenario: scenario.name)
def test_home_copied_after_a_kill_at_any_call_is_recovered_or_explained(
    scenario: Scenario, has_links: bool, tmp_path: Path
) -> None:
    """Names and bytes show how far each move got; where they do not, nothing is touched and an operator decides."""
    build(scenario, tmp_path / "whole")
    whole = Home(tmp_path / "whole", has_links=has_links)
    scenario.run(whole)
    ends = []
    calls = range(1, whole.calls + 2)
    for call in sorted({calls[0], *sample(calls, 14, scenario.name, has_links), calls[-1]}):
        top, copied = tmp_path / f"home-{call}", tmp_path / f"copied-{call}"
        originals = build(scenario, top)
        with contextlib.suppress(Died):
            scenario.run(Home(top, dying_at(call), has_links=has_links))
        copy_home(top, copied)
        ends.append(recover_copy(scenario, originals, copied, f"killed at call {call}"))

    assert ends[0] == "before"
    assert ends[-1] == "after"
    assert set(ends) <= {"before", "after"}


@pytest.mark.parametrize("scenario", MOVABLE, ids=lambda scenario: scenario.name)
def test_home_copied_again_after_its_recovery_was_killed_loses_nothing(scenario: Scenario, tmp_path: Path) -> None:
    """Two copies of the home, two kills: the inode numbers of the first copy are void in the second one, too."""
    build(scenario, tmp_path / "whole")
    whole = Home(tmp_path / "whole")
    scenario.run(whole)
    for call in sample(range(1, whole.calls + 2), 6, scenario.name):
        top, copied = tmp_path / f"home-{call}", tmp_path / f"copied-{call}"
        originals = build(scenario, top)
        with contextlib.suppress(Died):
            scenario.run(Home(top, dying_at(call)))
        copy_home(top, copied)
        trial = tmp_path / f"trial-{call}"
        shutil.copytree(copied, trial, symlinks=True)
        counted = Home(trial)
        with contextlib.suppress(JournalError):
            lock(counted).release()
        for second in sample(range(1, counted.calls + 1), 6, scenario.name, call):
            once, twice = tmp_path / f"once-{call}-{second}", tmp_path / f"twice-{call}-{second}"
            shutil.copytree(copied, once, symlinks=True)
            with contextlib.suppress(Died, JournalError):
                lock(Home(once, dying_at(second))).release()
            copy_home(once, twice)
            recover_copy(scenario, originals, twice, f"killed at call {call}, again at {second}")


def test_file_saved_in_a_copied_home_leaves_no_proof_and_needs_an_operator(tmp_path: Path) -> None:
    """Two files under the two names of a move, neither the beginning of the other: nothing is touched."""
    home, copied = tmp_path / "home", tmp_path / "copied"
    make_files(home / "task", "a", "b")
    leave_hot_journal(home / "task")
    copy_home(home, copied)
    (copied / "task" / "a").write_bytes(b"saved in the copy")

    with pytest.raises(DirectoryReplaced, match="kept as"):
        lock_directory(copied / "task", label="next").release()
    assert content_of(copied / "task" / "a") == b"saved in the copy"
    assert content_of(copied / "task" / "bak" / "a") == b"a"
    assert content_of(copied / "task" / "bak" / "b") == b"b"
    lock_directory(copied / "task", label="next").release()
    assert names_in(copied / "task") == ["a", "bak"]


def test_copied_home_without_its_backup_directory_needs_an_operator(tmp_path: Path) -> None:
    """The copy is incomplete: the journal is the only evidence and is kept."""
    home, copied = tmp_path / "home", tmp_path / "copied"
    make_files(home / "task", "a")
    leave_hot_journal(home / "task")
    copy_home(home, copied)
    shutil.rmtree(copied / "task" / "bak")

    with pytest.raises(DirectoryReplaced):
        lock_directory(copied / "task", label="next").release()
    assert [name for name in os.listdir(copied / ".journal" / "task") if name.endswith(".damaged")]
