"""A home that was copied, with a hot journal in it: inode numbers are new or fit by chance, and hard links are gone."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from journal import DirectoryReplaced, JournalError, NeedsAttention, lock_directory
from journal.filesystem import Directory, Filesystem
from journal.values import Identity
from tests.crash.campaign import sample
from tests.journal.test_directory import leave_hot_journal
from tests.support.backup import content_of, make_files, names_in
from tests.support.hooked_disk import CHANGES, Died, Hook, HookedDisk, dying_at, nothing
from tests.support.model_filesystem import ModelFilesystem
from tests.support.scenarios import BACKUP, PATH, PRUNE, RESTORE, SCENARIOS, WORK, Scenario, lock


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


class Renumbered(Home):
    """A home that shows other inode numbers than it has: `shown`, by the real ones."""

    def __init__(self, top: Path, shown: Mapping[int, int]) -> None:
        super().__init__(top)
        self._shown = shown

    def open_directory(self, path: str) -> Directory:
        return self._renumber(super().open_directory(path))

    def open_subdirectory(self, parent: Directory, name: str) -> Directory:
        return self._renumber(super().open_subdirectory(parent, name))

    def look(self, directory: Directory, name: str) -> Identity | None:
        found = super().look(directory, name)
        return None if found is None else found._replace(inode=self._shown.get(found.inode, found.inode))

    def scan(self, directory: Directory) -> Iterator[tuple[str, Identity]]:
        for name, found in super().scan(directory):
            yield name, found._replace(inode=self._shown.get(found.inode, found.inode))

    def scan_inodes(self, directory: Directory) -> Iterator[tuple[str, int]]:
        for name, inode in super().scan_inodes(directory):
            yield name, self._shown.get(inode, inode)

    def _renumber(self, directory: Directory) -> Directory:
        directory.inode = self._shown.get(directory.inode, directory.inode)
        return directory


def _rotated(paths: list[str]) -> list[tuple[str, str]]:
    """Pair every path with the next one."""
    return list(zip(paths, paths[1:] + paths[:1], strict=True))


def _rotated_beside(directories: list[str]) -> list[tuple[str, str]]:
    """Pair every directory with the next one in the same parent, but for /t/D, which keeps its number."""
    parents = sorted({os.path.dirname(path) for path in directories} - {"", "t"})
    groups = [[path for path in directories if os.path.dirname(path) == parent] for parent in parents]
    return [("t/D", "t/D"), *(pair for group in groups for pair in _rotated(group))]


Pairs = Callable[[list[str], list[str]], list[tuple[str, str]]]
COINCIDENCES: dict[str, Pairs] = {
    "only-the-directory": lambda _directories, _files: [("t/D", "t/D")],
    "all-directories": lambda directories, _files: [(path, path) for path in directories],
    "directories-mixed-up": lambda directories, _files: _rotated_beside(directories),
    "first-links": lambda directories, files: [(path, path) for path in (*directories, *files)],
    "last-links": lambda directories, files: [(path, path) for path in (*directories, *reversed(files))],
    "files-mixed-up": lambda directories, files: [(path, path) for path in directories] + _rotated(files),
}
"""Which path of the copy has by chance the number of which path of the home, given its directories and files."""


def show_numbers(home: Path, copied: Path, pairs: Pairs) -> dict[int, int]:
    """Return the number to show for each real number in the copy; no two files get the same one."""
    paths = sorted(str(path.relative_to(home)) for path in home.rglob("*"))
    directories = [path for path in paths if (home / path).is_dir()]
    files = [path for path in paths if path not in directories]
    shown: dict[int, int] = {}
    for path, numbered_like in pairs(directories, files):
        number = (home / numbered_like).lstat().st_ino
        if number not in shown.values():
            shown[(copied / path).lstat().st_ino] = number
    return shown


def _publish_fresh() -> Scenario:
    """Publish two files under names that are free."""

    def build(disk: ModelFilesystem) -> None:
        disk.put(f"{PATH}/other", b"other")

    def run(disk: Filesystem) -> None:
        with lock(disk) as directory:
            work = directory.make_state_folder(WORK.path)
            transaction = directory.transaction("publish")
            for name in ("a", "b"):
                directory.write(work, name, [f"new {name}".encode()])
                transaction.publish(name, source=work)
            transaction.commit()

    return Scenario("publish-fresh", build, run, lambda tree: tree == {"other": b"other", "a": b"new a", "b": b"new b"})


PUBLISH_FRESH = _publish_fresh()


def dying_when(deadly: str, *prefixes: str) -> Hook:
    """Die at the first call of a verb whose last argument is a name with one of the prefixes."""
    is_dead = False

    def hook(call: int, verb: str, arguments: tuple[Any, ...]) -> None:
        nonlocal is_dead
        is_dead = is_dead or (verb == deadly and arguments[-1].startswith(prefixes))
        if is_dead:
            raise Died

    return hook


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


def recover_copy(
    scenario: Scenario, originals: dict[str, bytes], copied: Path, where: str, numbers: Mapping[int, int] | None = None
) -> str:
    """Recover a copied home and return the result; fail if a byte is lost or a half state is not reported."""
    end = ""
    # An earlier transaction of several may have deleted files for good.
    held = set((files_below(copied) if scenario.commits_in_steps else originals).values())
    disk = Home(copied) if numbers is None else Renumbered(copied, numbers)
    try:
        with lock(disk) as directory:
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
        lost = [name for name, content in originals.items() if content in held and not everywhere[content]]
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


@pytest.mark.parametrize("coincidence", COINCIDENCES)
@pytest.mark.parametrize("scenario", [*MOVABLE, PUBLISH_FRESH], ids=lambda scenario: scenario.name)
def test_copied_home_whose_numbers_fit_by_chance_is_recovered_or_reported(
    scenario: Scenario, coincidence: str, tmp_path: Path
) -> None:
    """A disk gives freed inode numbers to new files: a copy may get those of a home that was deleted before."""
    build(scenario, tmp_path / "whole")
    whole = Home(tmp_path / "whole")
    scenario.run(whole)
    for call in sample(range(whole.calls // 2, whole.calls + 1), 6, scenario.name, coincidence):
        top, copied = tmp_path / f"home-{call}", tmp_path / f"copied-{call}"
        originals = build(scenario, top)
        with contextlib.suppress(Died):
            scenario.run(Home(top, dying_at(call)))
        shutil.copytree(top, copied, symlinks=True)  # beside the home, so that no real number is that of another file
        numbers = show_numbers(top, copied, COINCIDENCES[coincidence])
        recover_copy(scenario, originals, copied, f"killed at call {call}", numbers)


@pytest.mark.parametrize(
    ("scenario", "removal", "coincidence", "end"),
    [
        (BACKUP, ("replace", "parked-"), "only-the-directory", "before"),
        (RESTORE, ("replace", "parked-"), "last-links", "before"),
        (PRUNE, ("replace", "parked-"), "directories-mixed-up", "after"),
        (PUBLISH_FRESH, ("unlink", "a", "b"), "all-directories", "before"),
    ],
    ids=lambda value: value.name if isinstance(value, Scenario) else str(value),
)
def test_second_name_that_became_a_file_of_its_own_is_dropped_whichever_numbers_fit(
    scenario: Scenario, removal: tuple[str, ...], coincidence: str, end: str, tmp_path: Path
) -> None:
    """Killed at the first removal of an old name. The first transaction of the pruning has committed by then."""
    top, copied = tmp_path / "home", tmp_path / "copied"
    originals = build(scenario, top)
    with contextlib.suppress(Died):
        scenario.run(Home(top, dying_when(*removal)))
    shutil.copytree(top, copied, symlinks=True)
    numbers = show_numbers(top, copied, COINCIDENCES[coincidence])
    assert recover_copy(scenario, originals, copied, "killed at the first removal", numbers) == end


def test_directory_beside_the_copied_one_that_got_its_number_is_left_alone(tmp_path: Path) -> None:
    """It even has files of the announced names, but not the backup directory: it is not the renamed directory."""
    top, copied = tmp_path / "home", tmp_path / "copied"
    originals = build(BACKUP, top)
    with contextlib.suppress(Died):
        BACKUP.run(Home(top, dying_when("replace", "parked-")))
    shutil.copytree(top, copied, symlinks=True)
    make_files(copied / "t" / "other", "f0", "f1")
    numbers = {(copied / "t" / "other").stat().st_ino: (top / "t" / "D").stat().st_ino}

    assert recover_copy(BACKUP, originals, copied, "killed at the first removal", numbers) == "before"
    assert names_in(copied / "t" / "other") == ["f0", "f1"]


def test_unchanged_file_that_is_restored_does_not_show_that_the_home_was_copied(tmp_path: Path) -> None:
    """The present file has the size, time and bytes of the staged one; after an early kill it is still in its place."""
    build(RESTORE, tmp_path / "whole")
    whole = Home(tmp_path / "whole")
    RESTORE.run(whole)
    for call in range(1, whole.calls + 1):
        home = tmp_path / f"home-{call}"
        build(RESTORE, home)
        present, backup = home / "t" / "D" / "f0", home / "t" / "D" / "bak" / "f0"
        present.write_bytes(backup.read_bytes())
        os.utime(backup, ns=(present.stat().st_atime_ns, present.stat().st_mtime_ns))
        with contextlib.suppress(Died):
            RESTORE.run(Home(home, dying_at(call)))

        with lock(Home(home)) as directory:
            assert all(report.action != "conflict" for report in directory.recovered.journals), f"killed at call {call}"
        assert present.read_bytes() == backup.read_bytes()


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
