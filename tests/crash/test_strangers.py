"""Another process works in the directory while a transaction runs: an editor, a log, a shell."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator

import pytest

from journal import DirectoryReplaced, Identity, JournalError
from journal.filesystem import Directory
from tests.crash.campaign import at_moment, count_moments, files_before, list_calls, recover, run_until, sample
from tests.support.model_filesystem import Died, ModelFilesystem
from tests.support.scenarios import (
    BACKUP,
    PATH,
    PUBLISH,
    PUBLISH_KEEP,
    RESTORE,
    WITHOUT_LINKS,
    Scenario,
    assert_nothing_lost,
    files_of,
    lock,
    verdict,
)

Act = Callable[[ModelFilesystem], None]


def edit_source(disk: ModelFilesystem) -> None:
    """An editor saves over f0 (new file, renamed over the old)."""
    disk.save_over(f"{PATH}/f0", b"edited")


def write_in_place(disk: ModelFilesystem) -> None:
    """A program rewrites f0 in place, wherever it finds it."""
    for path in (f"{PATH}/f0", f"{PATH}/bak/f0"):
        with contextlib.suppress(OSError):
            directory, name = path.rsplit("/", 1)
            if disk.nodes[disk._resolve(directory)].entries.get(name):
                disk.put(path, b"edited")
                return
    disk.put(f"{PATH}/f0", b"edited")


def take_destination(disk: ModelFilesystem) -> None:
    """Another process puts a file into the backup directory."""
    with contextlib.suppress(OSError):
        if "f0" not in disk.nodes[disk._resolve(f"{PATH}/bak")].entries:
            disk.put(f"{PATH}/bak/f0", b"edited")
            return
    disk.put(f"{PATH}/mine", b"edited")


def put_a_new_file(disk: ModelFilesystem) -> None:
    """Another process creates a file that no transaction announced."""
    disk.put(f"{PATH}/mine", b"edited")


def make_source_again(disk: ModelFilesystem) -> None:
    """Another process creates a file under the name that was just vacated."""
    if "f0" not in files_of(disk):
        disk.put(f"{PATH}/f0", b"edited")
    else:
        disk.put(f"{PATH}/mine", b"edited")


ACTS: tuple[Act, ...] = (edit_source, write_in_place, take_destination, put_a_new_file, make_source_again)
LINKING = (BACKUP, PUBLISH_KEEP, RESTORE)
RENAMING = tuple(
    scenario for scenario in WITHOUT_LINKS if scenario.name in {f"{other.name}-without-links" for other in LINKING}
)
OVERWRITING = (edit_source, write_in_place)
"""These destroy the old content of f0 themselves."""


def survives(scenario: Scenario, act: Act, disk: ModelFilesystem) -> None:
    """Check that the stranger's bytes and all bytes that the stranger did not overwrite are there."""
    originals = {
        name: content for name, content in files_before(scenario).items() if name != "f0" or act not in OVERWRITING
    }
    assert_nothing_lost({**originals, "the stranger's": b"edited"}, disk)


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
@pytest.mark.parametrize("scenario", [*LINKING, *RENAMING], ids=lambda scenario: scenario.name)
def test_stranger_at_any_moment_of_a_run_loses_nothing(scenario: Scenario, act: Act) -> None:
    """I5: a file that was not announced is never touched, not even between a look at a name and its removal."""
    for moment in range(count_moments(scenario)):
        disk = scenario.disk()
        at_moment(disk, moment, act)
        with contextlib.suppress(JournalError):
            scenario.run(disk)
        disk.revive()

        survives(scenario, act, disk)
        recover(disk)
        survives(scenario, act, disk)


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
@pytest.mark.parametrize("scenario", [BACKUP, PUBLISH_KEEP, RESTORE], ids=lambda scenario: scenario.name)
def test_stranger_at_any_moment_of_a_recovery_loses_nothing(scenario: Scenario, act: Act) -> None:
    """I5 backward, also when that recovery is killed and run again."""
    deaths = sample(range(len(list_calls(scenario)) + 1), 8, scenario.name, act.__name__)
    for death in deaths:
        dead = run_until(scenario, death)
        trial = dead.clone()
        recover(trial)
        for moment in range(trial.calls + trial.looks):
            disk = dead.clone()
            at_moment(disk, moment, act)
            with contextlib.suppress(JournalError):
                recover(disk)
            disk.revive()
            survives(scenario, act, disk)
            recover(disk)
            survives(scenario, act, disk)


def test_editor_that_saves_twice_while_its_file_is_moved_keeps_both_texts() -> None:
    """The first text was moved away with the name, the second took the name, so the first gets a new name."""
    disk = BACKUP.disk()

    def save_twice(number: int, verb: str, name: str) -> None:
        if (verb, name) == ("replace", "f0"):
            disk.save_over(f"{PATH}/f0", b"saved once")
            disk.on_look = save_again

    def save_again(number: int, what: str) -> None:
        disk.on_look = None
        disk.put(f"{PATH}/f0", b"saved again")

    disk.on_call = save_twice
    BACKUP.run(disk)

    files = files_of(disk)
    assert files["f0"] == b"saved again"
    assert files["bak/f0"] == b"content of f0"
    assert [content for name, content in files.items() if name.startswith("saved-")] == [b"saved once"]


def test_file_that_was_saved_and_parked_when_the_process_died_is_kept_for_an_operator() -> None:
    """Its name is lost: the journal is set aside, and the report has the place of the file."""
    disk = BACKUP.disk()

    def die_once_parked(number: int, verb: str, name: str) -> None:
        if (verb, name) == ("replace", "f0"):
            disk.save_over(f"{PATH}/f0", b"saved")
            disk.on_look = die

    def die(number: int, what: str) -> None:
        disk._is_dead = True
        raise Died

    disk.on_call = die_once_parked
    with contextlib.suppress(Died):
        BACKUP.run(disk)
    disk.revive()
    with lock(disk) as directory:
        (report,) = directory.recovered.journals

    assert report.action == "conflict"
    (conflict,) = report.conflicts
    assert "another process saved this file" in conflict
    assert [content for name, content in disk.tree("/t/.journal/D").items() if name.startswith("parked-")] == [b"saved"]
    assert files_of(disk)["f0"] == b"content of f0"
    recover(disk)
    assert b"saved" in disk.tree("/t/.journal/D").values()


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
@pytest.mark.parametrize("scenario", [BACKUP, RESTORE], ids=lambda scenario: scenario.name)
def test_stranger_between_a_kill_and_the_recovery_loses_nothing(scenario: Scenario, act: Act) -> None:
    """I5 backward: a stranger at the source or the destination is a conflict, never overwritten or moved."""
    for call in range(len(list_calls(scenario)) + 1):
        disk = run_until(scenario, call)
        act(disk)
        recover(disk)

        survives(scenario, act, disk)


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_stranger_at_any_moment_before_a_kill_loses_nothing(act: Act) -> None:
    """I3, I5: interference, then death, then recovery."""
    total = count_moments(BACKUP)
    pairs = [(first, death) for first in range(total) for death in range(first + 1, total + 1)]
    for first, death in sample(pairs, 400, act.__name__):
        disk = BACKUP.disk()
        passed = itertools.count()

        def interfere(
            *_: object,
            first: int = first,
            death: int = death,
            disk: ModelFilesystem = disk,
            passed: Iterator[int] = passed,
        ) -> None:
            moment = next(passed)
            if moment == first:
                act(disk)
            if moment == death:
                disk._is_dead = True
                raise Died

        disk.on_call = disk.on_look = interfere
        with contextlib.suppress(JournalError, Died):
            BACKUP.run(disk)
        disk.revive()
        recover(disk)

        survives(BACKUP, act, disk)


def test_file_in_the_source_s_place_after_a_kill_is_a_conflict_that_an_operator_resolves() -> None:
    """I5: both files are left, the journal is set aside with its reason, and later transactions are not blocked."""
    call = list_calls(BACKUP).index("replace f1")
    disk = run_until(BACKUP, call)
    disk.put(f"{PATH}/f0", b"edited")
    recover(disk)

    assert files_of(disk)["f0"] == b"edited"
    assert files_of(disk)["bak/f0"] == b"content of f0"
    assert [name for name in disk.tree("/t/.journal/D") if name.endswith(".conflict")]
    BACKUP.run(disk)
    assert files_of(disk)["bak_1/f0"] == b"edited"


def test_file_that_is_removed_between_two_looks_of_a_recovery_does_not_stop_it() -> None:
    """It had taken the old name; once it is removed, that name is free again."""
    disk = run_until(BACKUP, list_calls(BACKUP).index("replace f1"))
    disk.put(f"{PATH}/f0", b"taken")

    class RemovedOnceSeen(ModelFilesystem):
        def look(self, directory: Directory, name: str) -> Identity | None:
            found = super().look(directory, name)
            if (directory.path, name) == (PATH, "f0") and self.tree(PATH).get("f0") == b"taken":
                self.remove(f"{PATH}/f0")
            return found

    disk.__class__ = RemovedOnceSeen
    recover(disk)

    assert verdict(BACKUP, files_before(BACKUP), disk) == "before"


def test_published_file_that_was_edited_before_the_recovery_is_a_conflict() -> None:
    """A staged file would be discarded once moved back, so a file of another size or time stays where it was edited."""
    call = list_calls(PUBLISH).index("unlink f1", list_calls(PUBLISH).index("link fresh"))
    disk = run_until(PUBLISH, call)
    disk.put(f"{PATH}/f0", b"edited since")
    recover(disk)

    assert files_of(disk)["f0"] == b"edited since"
    assert b"old f0" in disk.tree("/t/.journal/D").values()


def test_log_that_is_appended_while_it_is_moved_moves_with_all_its_lines() -> None:
    """An open handle follows its inode: size and time do not belong to the identity."""
    for call in range(len(list_calls(BACKUP))):
        disk = BACKUP.disk()
        inode = disk.nodes[disk._resolve(PATH)].entries["f0"]

        def append(
            number: int, verb: str, name: str, call: int = call, disk: ModelFilesystem = disk, inode: int = inode
        ) -> None:
            if number <= call:
                disk.nodes[inode].content += b"+"

        disk.on_call = append
        BACKUP.run(disk)
        disk.on_call = None

        content = files_of(disk)["bak/f0"]
        assert content.startswith(b"content of f0+")
        assert content == disk.nodes[inode].content


@pytest.mark.parametrize("model", ["M1", "M2", "M3", "M4"])
def test_foreign_sync_of_the_directory_at_any_moment_loses_nothing(model: str) -> None:
    """The fsync of another process makes half a transaction durable; recovery handles it."""
    total = len(list_calls(BACKUP))
    for call in sample(range(total), 12, model):
        disk = BACKUP.disk()

        def sync_then_die(number: int, verb: str, name: str, call: int = call, disk: ModelFilesystem = disk) -> None:
            if number == call:
                at = len(disk._log)
                disk._forced = disk._synced_at[disk._resolve(PATH)] = at
            if number == call + 2:
                raise Died

        disk.on_call = sync_then_die
        with contextlib.suppress(Died):
            BACKUP.run(disk)
        disk.revive()
        for survivor in disk.power_losses(model):
            recover(survivor)
            assert verdict(BACKUP, files_before(BACKUP), survivor) in ("before", "after")


def test_committed_journal_that_reappears_is_finished_again_and_undoes_nothing() -> None:
    """The journal's unlink is not synced: a journal that reappears after a power failure does no harm."""
    for call in range(len(list_calls(BACKUP)) - 3, len(list_calls(BACKUP)) + 1):
        disk = run_until(BACKUP, call)
        for survivor in disk.power_losses("M4"):
            recover(survivor)
            kept = files_of(survivor)
            if verdict(BACKUP, files_before(BACKUP), survivor) == "after":
                survivor.put(f"{PATH}/f0", b"made later")
                recover(survivor)
                assert {**kept, "f0": b"made later"} == files_of(survivor)


def test_renamed_directory_is_found_by_its_inode_and_recovered_under_its_new_name() -> None:
    """The journal's directory has another name now; it is the same directory."""
    disk = run_until(BACKUP, list_calls(BACKUP).index("replace f1"))
    top = disk._resolve("/t")
    inode = disk.nodes[top].entries.pop("D")
    disk.nodes[top].entries["renamed"] = inode
    disk.put(PATH)
    recover(disk)

    assert {name for name in disk.tree("/t/renamed") if not name.startswith("bak")} == {"f0", "f1", "table_list.txt"}


def test_replaced_directory_is_reported_and_its_journal_set_aside_once() -> None:
    """The announced directory is missing: an operator must look, but later transactions are not blocked."""
    disk = run_until(BACKUP, list_calls(BACKUP).index("replace f1"))
    disk.nodes[disk._resolve("/t")].entries.pop("D")
    disk.put(PATH)

    with pytest.raises(DirectoryReplaced, match=r"kept as .*\.damaged"):
        recover(disk)
    recover(disk)


def test_another_directory_with_files_of_the_same_names_is_not_treated_as_a_copy() -> None:
    """Every name is there, but the backup directory is not: nothing proves that the moves were undone here."""
    disk = run_until(BACKUP, list_calls(BACKUP).index("replace f1"))
    disk.nodes[disk._resolve("/t")].entries.pop("D")
    disk.put(PATH)
    for name in ("f0", "f1"):
        disk.put(f"{PATH}/{name}", b"of another directory")

    with pytest.raises(DirectoryReplaced, match=r"kept as .*\.damaged"):
        recover(disk)


def test_renamed_backup_directory_is_found_by_its_inode() -> None:
    """The half-filled backup directory was renamed between the kill and the recovery."""
    disk = run_until(BACKUP, list_calls(BACKUP).index("replace f1"))
    entries = disk.nodes[disk._resolve(PATH)].entries
    entries["renamed"] = entries.pop("bak")
    recover(disk)

    assert files_of(disk) == files_before(BACKUP)


def test_backup_directory_moved_elsewhere_is_a_conflict_whose_journal_is_kept() -> None:
    """The moved files are not found: the journal is the only evidence and stays."""
    disk = run_until(BACKUP, list_calls(BACKUP).index("replace f1"))
    disk.nodes[disk._resolve("/t")].entries["elsewhere"] = disk.nodes[disk._resolve(PATH)].entries.pop("bak")
    recover(disk)

    assert [name for name in disk.tree("/t/.journal/D") if name.endswith(".conflict")]
    assert disk.tree("/t/elsewhere")["f0"] == b"content of f0"
