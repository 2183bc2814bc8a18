"""The parking place: a public name is removed only if it is the announced file's."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from journal import (
    Identity,
    LocalFilesystem,
    RollbackIncomplete,
    TransactionFailed,
    lock_directory,
    names,
    state_directory_of,
)
from journal.filesystem import SCAN_FROM, Directory
from journal.parking import Parking, ReturnFailed
from tests.crash.campaign import die_at, files_before, list_calls, recover, run_into
from tests.journal.test_directory import leave_hot_journal
from tests.support.backup import back_up, content_of, make_files, names_in
from tests.support.model_filesystem import ModelFilesystem
from tests.support.scenarios import DELETE_TREE, PATH, SCENARIOS, files_of, lock, verdict

TRANSACTION = "20250121T094400000000-01234567"
PLACE = names.parked(TRANSACTION, 0)


@pytest.fixture
def places(tmp_path: Path) -> Iterator[tuple[LocalFilesystem, Directory, Directory]]:
    """A disk with a directory that has the files a and b, and an empty state directory."""
    make_files(tmp_path / "task", "a", "b")
    (tmp_path / "state").mkdir()
    disk = LocalFilesystem()
    task, state = (disk.open_directory(str(tmp_path / name)) for name in ("task", "state"))
    yield disk, task, state
    disk.close(task)
    disk.close(state)


def identity_of(disk: LocalFilesystem, directory: Directory, name: str) -> Identity:
    found = disk.look(directory, name)
    assert found is not None
    return found


def test_expected_file_stays_in_the_parking_place_until_the_next_one_replaces_it(
    places: tuple[LocalFilesystem, Directory, Directory],
) -> None:
    """One rename a name: the replaced file has its other name."""
    disk, task, state = places
    parking = Parking(disk, state, TRANSACTION)
    for name in ("a", "b"):
        removed = parking.remove(task, name, identity_of(disk, task, name))
        assert removed is not None
        assert removed.size == 1
        assert content_of(os.path.join(state.path, PLACE)) == name.encode()
    parking.clear()

    assert names_in(task.path) == names_in(state.path) == []
    assert parking.notes == []


def test_free_name_and_another_file_are_not_errors_and_stay_as_they_are(
    places: tuple[LocalFilesystem, Directory, Directory],
) -> None:
    """The result shows that nothing was removed."""
    disk, task, state = places
    parking = Parking(disk, state, TRANSACTION)

    assert parking.remove(task, "nothing", Identity(1, "file")) is None
    assert parking.remove(task, "a", Identity(1, "file")) is None
    assert names_in(task.path) == ["a", "b"]
    assert names_in(state.path) == []


def test_two_links_to_one_file_are_both_moved(tmp_path: Path) -> None:
    """A rename between two names of one file does nothing and reports success, so the place is emptied first."""
    task = tmp_path / "task"
    make_files(task, "a", "c")
    os.link(task / "a", task / "b")
    with lock_directory(task, label="test") as directory:
        outcome = back_up(directory)

    assert outcome.failures == []
    assert names_in(task) == ["bak"]
    assert names_in(task / "bak") == ["a", "b", "backup_info.json", "c"]
    assert os.path.samefile(task / "bak" / "a", task / "bak" / "b")


class Faulty(LocalFilesystem):
    """Fails `failing` after the rename of a file into the parking place, as often as `times` says."""

    def __init__(self, failing: str, number: int = errno.EIO, times: int = 1) -> None:
        super().__init__()
        self.failing = failing
        self.number = number
        self.times = times
        self.tries = 0
        self.has_parked = False  # before that, the place is only reserved

    def replace(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        self.has_parked |= names.parking_number_of(new_name) is not None
        is_refused = self.failing == "replace" and name == "a" and self._is_due()
        if not is_refused:
            super().replace(source, name, target, new_name)
            is_refused = self.failing == "answer" and name == "a" and self._is_due()
        if is_refused:
            raise OSError(self.number, os.strerror(self.number), name)

    def look(self, directory: Directory, name: str) -> Identity | None:
        is_look_at_parked = self.has_parked and names.parking_number_of(name) is not None
        if self.failing in ("look", "look and rename") and is_look_at_parked and self._is_due():
            raise OSError(self.number, os.strerror(self.number), name)
        return super().look(directory, name)

    def rename(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        if self.failing == "look and rename" and names.parking_number_of(name) is not None:
            raise OSError(self.number, os.strerror(self.number), name)
        super().rename(source, name, target, new_name)

    def _is_due(self) -> bool:
        self.tries += 1
        return self.tries <= self.times


def test_error_of_the_look_gives_the_file_back_before_it_is_reported(tmp_path: Path) -> None:
    """The renamed file may be another one: it gets its name back, and the move has failed."""
    task = tmp_path / "task"
    make_files(task, "a", "b")
    with lock_directory(task, label="test", filesystem=Faulty("look")) as directory:
        outcome = back_up(directory)

    assert len(outcome.failures) == 1
    failure = outcome.failures[0]
    assert failure.failure is not None
    assert failure.failure.errno == errno.EIO
    assert failure.source is not None
    assert content_of(task / failure.source) == failure.source.encode()
    assert names_in(directory.state_path) == [names.PROBE, "lock", "ready"]


@pytest.mark.parametrize("failing", ["replace", "look"])
def test_busy_name_is_tried_again_and_removed(tmp_path: Path, failing: str) -> None:
    """A transient error of the rename or of the look passes: the file is moved, and the retry is counted."""
    task = tmp_path / "task"
    make_files(task, "a", "b")
    disk = Faulty(failing, errno.EBUSY, times=2)
    with lock_directory(task, label="test", filesystem=disk, sleep=lambda _: None) as directory:
        outcome = back_up(directory)

    assert outcome.failures == []
    assert outcome.retries == 2
    assert names_in(task) == ["bak"]
    assert names_in(task / "bak") == ["a", "b", "backup_info.json"]


@pytest.mark.parametrize("first", [False, True], ids=["place-taken", "place-free"])
@pytest.mark.parametrize("number", [errno.ETIMEDOUT, errno.EIO], ids=errno.errorcode.get)
def test_rename_that_took_place_in_spite_of_an_error_counts(tmp_path: Path, first: bool, number: int) -> None:
    """A lost answer of a network disk, transient or not: a look shows that the file has arrived."""
    task = tmp_path / "task"
    make_files(task, "a", *([] if first else ["b"]))
    with lock_directory(task, label="test", filesystem=Faulty("answer", number)) as directory:
        outcome = back_up(directory)

    assert outcome.failures == []
    assert names_in(task) == ["bak"]
    assert "a" in names_in(task / "bak")


def test_rename_that_failed_leaves_the_file_its_old_name_only(tmp_path: Path) -> None:
    """The second name is removed, and the move is reported as failed."""
    task = tmp_path / "task"
    make_files(task, "a", "b")
    with lock_directory(task, label="test", filesystem=Faulty("replace", errno.EACCES)) as directory:
        outcome = back_up(directory)

    assert [failed.source for failed in outcome.failures] == ["a"]
    assert content_of(task / "a") == b"a"
    assert names_in(task / "bak") == ["a", "b", "backup_info.json"]  # the copy that the caller asked for
    assert not os.path.samefile(task / "a", task / "bak" / "a")


def test_file_that_cannot_be_given_back_stops_the_transaction_and_is_kept(tmp_path: Path) -> None:
    """Neither a look nor a rename back works: nothing is committed, and the next recovery finds the file."""
    task = tmp_path / "task"
    make_files(task, "a")
    disk = Faulty("look and rename", times=1000)
    with (
        pytest.raises(RollbackIncomplete, match="Input/output error"),
        lock_directory(task, label="test", filesystem=disk) as directory,
    ):
        back_up(directory)
    assert b"a" in {content_of(path) for path in (*task.rglob("a"), *Path(directory.state_path).glob("parked-*"))}

    with lock_directory(task, label="next") as directory:
        (report,) = directory.recovered.journals
    assert report.action == "rolled_back"
    assert names_in(task) == ["a"]
    assert content_of(task / "a") == b"a"
    assert names_in(directory.state_path) == [names.PROBE, "lock", "ready"]


def test_stranger_s_file_that_cannot_be_given_back_ends_in_a_conflict_that_names_it(tmp_path: Path) -> None:
    """Its only name is the parking place: the rollback keeps it there for an operator."""
    task = tmp_path / "task"
    make_files(task, "a", "b")

    class Unlucky(LocalFilesystem):
        def replace(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            if name == "a" and source.path == str(task):
                saved = task / "saved"
                saved.write_bytes(b"saved by an editor")
                os.replace(saved, task / "a")
            super().replace(source, name, target, new_name)

        def rename(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            if names.parking_number_of(name) is not None:
                raise OSError(errno.EACCES, "Permission denied", name)
            super().rename(source, name, target, new_name)

    with (
        pytest.raises(TransactionFailed, match="Permission denied") as caught,
        lock_directory(task, label="test", filesystem=Unlucky()) as directory,
    ):
        back_up(directory)

    assert "another process saved this file while it was moved" in str(caught.value)
    (parked,) = Path(directory.state_path).glob("parked-*")
    assert content_of(parked) == b"saved by an editor"
    assert [content_of(path) for path in task.rglob("a")] == [b"a"]
    with lock_directory(task, label="next") as directory:
        assert directory.recovered.is_clean
    assert content_of(parked) == b"saved by an editor"


def test_file_saved_twice_gets_the_first_free_name_for_saved_files(
    places: tuple[LocalFilesystem, Directory, Directory],
) -> None:
    """Its own name was taken again, and so is the first name for such files; the note names both."""
    _, task, state = places
    Path(task.path, f"saved-{TRANSACTION}-1").write_bytes(b"earlier")

    class SavedTwice(LocalFilesystem):
        def look(self, directory: Directory, name: str) -> Identity | None:
            Path(task.path, "a").write_bytes(b"saved again")
            return super().look(directory, name)

    parking = Parking(SavedTwice(), state, TRANSACTION)

    assert parking.remove(task, "a", Identity(1, "file")) is None
    assert content_of(os.path.join(task.path, "a")) == b"saved again"
    assert content_of(os.path.join(task.path, f"saved-{TRANSACTION}-1")) == b"earlier"
    assert content_of(os.path.join(task.path, f"saved-{TRANSACTION}-2")) == b"a"
    (note,) = parking.notes
    assert note.startswith("a was saved twice by another process")
    assert note.endswith(f"the first of the two files is now saved-{TRANSACTION}-2")


def test_failed_rename_back_is_reported_with_file_and_reason(
    places: tuple[LocalFilesystem, Directory, Directory],
) -> None:
    """It has its own error class, because the name is not as it was."""
    _, task, state = places
    parking = Parking(Faulty("look and rename"), state, TRANSACTION)
    with pytest.raises(ReturnFailed, match=r"a: .*Input/output error"):
        parking.remove(task, "a", Identity(1, "file"))

    assert content_of(os.path.join(state.path, PLACE)) == b"a"


@pytest.mark.parametrize("others", [1, SCAN_FROM], ids=["few moves", "many moves"])
def test_move_whose_old_name_stays_although_every_call_succeeded_is_reported(others: int) -> None:
    """A disk that reports false success: a file with its old name was not moved. Many names are checked by a scan."""

    class Lying(ModelFilesystem):
        def replace(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            inode = self._of(source).entries.get(name)
            super().replace(source, name, target, new_name)
            if name == "f0" and inode is not None and self.is_lying:
                self._of(source).entries[name] = inode

        is_lying = True

    disk = Lying()
    disk.put("/t")
    disk.put(PATH)
    files = [f"f{number}" for number in range(others + 1)]
    for name in files:
        disk.put(f"{PATH}/{name}", f"content of {name}".encode())
    disk.sync_all()
    with lock(disk) as directory:
        transaction = directory.transaction("backup", on_error="continue")
        backup = transaction.make_directory("bak")
        for name in files:
            transaction.move(name, backup)
        outcome = transaction.commit()

    (failed,) = outcome.failures
    assert failed.source == "f0"
    assert failed.failure is not None
    assert "still has its old name" in failed.failure.error
    assert files_of(disk)["f0"] == b"content of f0"
    disk.is_lying = False
    recover(disk)
    assert files_of(disk)["f0"] == b"content of f0"
    assert files_of(disk)["bak/f1"] == b"content of f1"


class Observed(ModelFilesystem):
    """Notes the files that are created and the directories that are scanned."""

    def __init__(self) -> None:
        super().__init__()
        self.created: list[str] = []
        self.scanned: list[str] = []

    def create(self, directory: Directory, name: str, chunks: Iterable[bytes]) -> None:
        self.created.append(name)
        super().create(directory, name, chunks)

    def scan_inodes(self, directory: Directory) -> Iterator[tuple[str, int]]:
        self.scanned.append(directory.path)
        yield from super().scan_inodes(directory)


def test_few_directories_leave_a_large_one_without_a_scan_of_it_and_without_a_parking_place() -> None:
    """A directory is renamed and never parked, and each of a thousand deletions would scan all the rest."""
    disk = Observed()
    disk.put("/t")
    disk.put(PATH)
    DELETE_TREE.build(disk)
    disk.sync_all()
    with lock(disk) as directory:
        transaction = directory.transaction("delete")
        transaction.delete("sub")
        disk.created.clear()
        transaction.commit()
        assert disk.created == [f"{transaction.id}.journal.new"]

        transaction = directory.transaction("delete")
        transaction.delete("f0")
        transaction.commit()
        assert names.parked(transaction.id, 0) in disk.created

    assert PATH not in disk.scanned
    assert files_of(disk) == {}


def test_nothing_public_is_ever_unlinked_replaced_or_written() -> None:
    """I5: between a look and an unlink another process may save its file, so only private names are unlinked."""

    class Watched(ModelFilesystem):
        def unlink(self, directory: Directory, name: str) -> bool:
            assert directory.path.startswith("/t/.journal"), f"unlink of {name}"
            return super().unlink(directory, name)

        def replace(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            assert target.path.startswith("/t/.journal"), f"rename over {new_name}"
            super().replace(source, name, target, new_name)

        def copy(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            assert target.path.startswith("/t/.journal"), f"copy to {new_name}"
            super().copy(source, name, target, new_name)

        def fill(self, directory: Directory, name: str, content: bytes) -> None:
            assert directory.path.startswith("/t/.journal"), f"writing into {name}"
            super().fill(directory, name, content)

    for scenario in SCENARIOS:
        for call in range(len(list_calls(scenario)) + 1):
            disk = scenario.disk()
            disk.__class__ = Watched
            run_into(disk, die_at(call), scenario.run)
            recover(disk)
            assert verdict(scenario, files_before(scenario), disk) in ("before", "after")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_without_room_for_a_parking_place_is_recovered(tmp_path: Path, number: int) -> None:
    """An earlier version reserved none; a rename needs no space in most directories."""
    task = tmp_path / "task"
    make_files(task, "a", "b")
    leave_hot_journal(task)
    for place in Path(state_directory_of(str(task))).glob("parked-*"):
        place.unlink()

    class Full(LocalFilesystem):
        def create(self, directory: Directory, name: str, chunks: Iterable[bytes]) -> None:
            if names.parking_number_of(name) is not None:
                raise OSError(number, os.strerror(number), name)
            super().create(directory, name, chunks)

    with lock_directory(task, label="next", filesystem=Full()) as directory:
        (report,) = directory.recovered.journals

    assert report.action == "rolled_back"
    assert names_in(task) == ["a", "b"]
