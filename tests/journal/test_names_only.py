"""A disk whose inode numbers identify nothing: every crash point, and the test for such a disk."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from journal import LocalFilesystem, NeedsAttention, lock_directory
from journal.filesystem import SCAN_FROM, Directory, rename_by_placeholder
from journal.names import PROBE, PROBE_LINK
from journal.names_only import NamesOnly
from journal.values import NO_INODE, Identity
from tests.crash.campaign import (
    all_power_losses,
    count_recovery_calls,
    die_at,
    files_before,
    list_calls,
    recover,
    run_into,
    run_until,
    sample,
)
from tests.support.backup import back_up, content_of, make_files, names_in
from tests.support.model_filesystem import ModelFilesystem
from tests.support.scenarios import BACKUP, PATH, WITHOUT_LINKS, Scenario, files_of, lock, verdict


class Died(BaseException):
    """The process is killed."""


@pytest.mark.parametrize("scenario", WITHOUT_LINKS, ids=lambda scenario: scenario.name)
def test_without_links_a_run_uses_names_and_has_the_same_result(scenario: Scenario) -> None:
    """`goes_by_names` shows which of the two guarantees holds."""
    disk = scenario.disk()
    scenario.run(disk)

    assert verdict(scenario, files_before(scenario), disk) == "after"
    with lock(disk) as directory:
        assert directory.goes_by_names


@pytest.mark.parametrize("scenario", WITHOUT_LINKS, ids=lambda scenario: scenario.name)
def test_without_links_killed_at_any_call_the_next_owner_finds_the_state_before_or_after(scenario: Scenario) -> None:
    """I4, I9 where only names and types identify a file."""
    ends = []
    for call in range(len(list_calls(scenario)) + 1):
        disk = run_until(scenario, call)
        recover(disk)
        ends.append(verdict(scenario, files_before(scenario), disk))

    assert ends == sorted(ends, reverse=True)
    assert {"before", "after"} == set(ends)


@pytest.mark.parametrize("scenario", WITHOUT_LINKS, ids=lambda scenario: scenario.name)
def test_without_links_killed_again_at_any_call_of_the_recovery_nothing_changes_the_end(scenario: Scenario) -> None:
    """I3: a recovery that is interrupted anywhere and run again ends in the state in which it would have ended."""
    for call in range(len(list_calls(scenario)) + 1):
        dead = run_until(scenario, call)
        uncut = dead.clone()
        recover(uncut)
        for second in sample(range(count_recovery_calls(dead) + 1), 8, scenario.name, call):
            disk = run_into(dead.clone(), die_at(second), recover)
            recover(disk)

            assert files_of(uncut) == files_of(disk), f"killed at call {call}, cut again at call {second}"
            assert verdict(scenario, files_before(scenario), disk) in ("before", "after")


@pytest.mark.parametrize("scenario", WITHOUT_LINKS, ids=lambda scenario: scenario.name)
def test_without_links_power_failure_at_any_call_loses_nothing_where_renames_are_atomic(scenario: Scenario) -> None:
    """I4's exception: entries that can only be renamed rely on the file system's atomic rename (M1)."""
    for call in range(len(list_calls(scenario)) + 1):
        for survivor in all_power_losses(run_until(scenario, call), ["M1"]):
            recover(survivor)

            assert verdict(scenario, files_before(scenario), survivor) in ("before", "after"), f"at call {call}"


@pytest.mark.parametrize("has_links", [True, False], ids=["numbers-agree", "numbers-differ"])
def test_links_with_different_inode_numbers_are_detected_and_no_number_is_trusted(
    tmp_path: Path, has_links: bool
) -> None:
    """Some layered file systems give each hard link its own number, so no number identifies a file there."""

    class Layered(LocalFilesystem):
        def look(self, directory: Directory, name: str) -> Identity | None:
            found = super().look(directory, name)
            if found is not None and name == PROBE_LINK and not has_links:
                return found._replace(inode=found.inode + 1)
            return found

    make_files(tmp_path / "task", "a", "b")
    with lock_directory(tmp_path / "task", label="test", filesystem=Layered()) as directory:
        outcome = back_up(directory)
        assert directory.goes_by_names is not has_links

    assert outcome.failures == []
    assert names_in(tmp_path / "task" / "bak") == ["a", "b", "backup_info.json"]
    assert names_in(directory.state_path) == [PROBE, "lock", "ready"]


def test_unrelated_error_of_the_test_for_links_is_reported(tmp_path: Path) -> None:
    """A full disk is not a disk without links, and a wrong result would be recorded."""

    class Full(LocalFilesystem):
        def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", name)

    make_files(tmp_path / "task", "a")
    with pytest.raises(Exception, match="No space left on device"):
        lock_directory(tmp_path / "task", label="test", filesystem=Full())


def test_door_shows_no_numbers_and_skips_entries_that_vanish_during_a_scan(tmp_path: Path) -> None:
    """A scan looks at each entry for its size; an entry that another process removes meanwhile is skipped."""

    class Vanishing(LocalFilesystem):
        def look(self, directory: Directory, name: str) -> Identity | None:
            return None if name == "b" else super().look(directory, name)

    make_files(tmp_path, "a", "b")
    door = NamesOnly(Vanishing())
    here = door.open_directory(str(tmp_path))
    found = dict(door.scan(here))
    with pytest.raises(OSError, match="not supported") as caught:
        door.link(here, "a", here, "c")
    door.close(here)

    assert here.inode == NO_INODE
    assert {name: (identity.inode, identity.size) for name, identity in found.items()} == {"a": (NO_INODE, 1)}
    assert caught.value.errno == errno.ENOTSUP


class Placeholders(LocalFilesystem):
    """A disk without links and without an exclusive rename; the process dies between placeholder and rename."""

    def __init__(self, deadly: int) -> None:
        super().__init__(hard_links=False, exclusive_rename=self._rename)
        self._left = deadly
        self.is_dead = False

    def _rename(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        if self.is_dead:
            raise Died
        if self._left:
            self._left -= 1
            rename_by_placeholder(source, name, target, new_name)
            return
        self.is_dead = True
        fd = os.open(target.at(new_name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=target.fd)
        os.close(fd)
        raise Died

    def unlink(self, directory: Directory, name: str) -> bool:
        return self._unless_dead() or super().unlink(directory, name)

    def remove_tree(self, parent: Directory, name: str) -> None:
        self._unless_dead()
        super().remove_tree(parent, name)

    def remove_directory(self, parent: Directory, name: str) -> None:
        self._unless_dead()
        super().remove_directory(parent, name)

    def sync_file(self, directory: Directory, name: str) -> None:
        self._unless_dead()
        super().sync_file(directory, name)

    def _unless_dead(self) -> bool:
        if self.is_dead:
            raise Died
        return False


def test_placeholder_of_a_killed_process_is_removed_and_every_file_stays(tmp_path: Path) -> None:
    """Between the placeholder and the rename over it, both names exist: the file keeps its old one."""
    for deadly in range(3):  # of the two files and the record
        task = tmp_path / f"task-{deadly}"
        make_files(task, "a", "b")
        disk = Placeholders(deadly)
        with contextlib.suppress(Died), lock_directory(task, label="dies", filesystem=disk) as directory:
            back_up(directory)
        assert disk.is_dead
        assert b"" in {content_of(path) for path in (task / "bak").iterdir()}
        lock_directory(task, label="next", filesystem=Placeholders(1000)).release()

        assert names_in(task) == ["a", "b"]
        assert (content_of(task / "a"), content_of(task / "b")) == (b"a", b"b")
        assert names_in(directory.state_path) == [PROBE, "lock", "ready"]


def test_two_files_under_the_two_names_of_a_move_are_left_for_an_operator() -> None:
    """Neither is the beginning of the other: without numbers, the announced one is not known."""
    scenario = next(candidate for candidate in WITHOUT_LINKS if candidate.name.startswith(BACKUP.name + "-"))
    disk = run_until(scenario, next(n for n, call in enumerate(list_calls(scenario)) if call.startswith("fill")))
    disk.put("/t/D/f0", b"saved since")
    with contextlib.suppress(NeedsAttention):
        recover(disk)

    assert files_of(disk)["f0"] == b"saved since"
    assert files_of(disk)["bak/f0"] == b"content of f0"
    assert files_of(disk)["f1"] == b"content of f1"
    assert [name for name in disk.tree("/t/.journal/D") if name.endswith(".conflict")]


@pytest.mark.parametrize("others", [0, SCAN_FROM], ids=["few moves", "many moves"])
def test_old_name_that_stays_after_a_rename_is_reported_but_not_a_file_saved_there_since(others: int) -> None:
    """A disk that reports false success: size and time distinguish the file from one that another process saved."""

    class Lying(ModelFilesystem):
        def rename(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            inode = self._of(source).entries.get(name)
            super().rename(source, name, target, new_name)
            if name == "f0" and inode is not None:
                self._of(source).entries[name] = inode
            elif name == "f1":
                self.put(f"{PATH}/f1", b"saved since")

    disk = Lying()
    disk.has_links = False
    disk.put("/t")
    disk.put(PATH)
    BACKUP.build(disk)
    more = [f"more{number}" for number in range(others)]
    for name in more:
        disk.put(f"{PATH}/{name}", b"x")
    disk.sync_all()
    with lock(disk) as directory:
        transaction = directory.transaction("backup", on_error="continue")
        backup = transaction.make_directory("bak")
        for name in ("f0", "f1", *more):
            transaction.move(name, backup)
        outcome = transaction.commit()

    (failed,) = outcome.failures
    assert failed.source == "f0"
    assert failed.failure is not None
    assert "still has its old name" in failed.failure.error
    assert files_of(disk) == {
        "f0": b"content of f0",
        "f1": b"saved since",
        "bak/f0": b"content of f0",
        "bak/f1": b"content of f1",
        "table_list.txt": b"tables",
        **{f"bak/{name}": b"x" for name in more},
    }


@pytest.mark.parametrize("deadly", range(3))
def test_placeholder_of_a_killed_publication_is_removed_and_the_old_file_is_moved_back(
    tmp_path: Path, deadly: int
) -> None:
    """One name was free, the other one is replaced: its old file goes into the trash first."""
    task = tmp_path / "task"
    make_files(task, "a")
    disk = Placeholders(deadly)  # of the old file, and of the two that are published
    with contextlib.suppress(Died), lock_directory(task, label="dies", filesystem=disk) as directory:
        work = directory.make_state_folder("work-1")
        transaction = directory.transaction("publish")
        for name in ("a", "fresh"):
            directory.write(work, name, [b"new"])
            transaction.publish(name, source=work)
        transaction.commit()
    assert disk.is_dead
    with lock_directory(task, label="next", filesystem=Placeholders(1000)) as directory:
        (report,) = directory.recovered.journals

    assert (report.action, names_in(task)) == ("rolled_back", ["a"])
    assert content_of(task / "a") == b"a"


@pytest.mark.parametrize("is_taken", [False, True])
def test_placeholder_directory_of_a_killed_process_is_removed_while_it_is_empty(tmp_path: Path, is_taken: bool) -> None:
    """With hard links and without the kernel's flag, only directories are renamed over a placeholder."""
    task = tmp_path / "task"
    make_files(task / "sub", "inner")

    class Dies(LocalFilesystem):
        is_dead = False

        def rename(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            if self.is_dead or name != "sub":
                raise Died
            os.mkdir(new_name, dir_fd=target.fd)
            self.is_dead = True
            raise Died

        def scan(self, directory: Directory) -> Iterator[tuple[str, Identity]]:
            if self.is_dead:
                raise Died
            return super().scan(directory)

        def sync_file(self, directory: Directory, name: str) -> None:
            if self.is_dead:
                raise Died
            super().sync_file(directory, name)

    with contextlib.suppress(Died), lock_directory(task, label="dies", filesystem=Dies()) as directory:
        transaction = directory.transaction("delete")
        transaction.delete("sub")
        transaction.commit()
    (placeholder,) = (tmp_path / ".journal" / "task").glob("trash-*/sub")
    if is_taken:
        make_files(placeholder, "of another process")
    with lock_directory(task, label="next") as directory:
        (report,) = directory.recovered.journals

    assert report.action == ("conflict" if is_taken else "rolled_back")
    assert names_in(task / "sub") == ["inner"]
    assert placeholder.exists() == is_taken
