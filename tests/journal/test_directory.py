"""A directory under its lock: set-up, recovery, staging, and recovery of all directories."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from journal import (
    DIRECTORY,
    STATE,
    DirectoryBusy,
    DirectoryMissing,
    Folder,
    InvalidOperation,
    LocalFilesystem,
    RecoveryReport,
    RollbackIncomplete,
    StateUnusable,
    lock_directory,
    recover_all,
    state_directory_of,
)
from journal.filesystem import Directory
from tests.support.backup import back_up, content_of, make_files, names_in


class PowerCut(BaseException):
    """Ends a run at this point."""


class DiesAtCommit(LocalFilesystem):
    """Every file is moved; then all calls fail, so the journal stays hot."""

    dead = False

    def write_at(self, directory: Directory, name: str, offset_bytes: int, content: bytes, *, truncate: bool) -> None:
        self.dead = True
        raise PowerCut

    def sync_file(self, directory: Directory, name: str) -> None:
        if self.dead:
            raise PowerCut
        super().sync_file(directory, name)


def leave_hot_journal(path: Path, **options: object) -> None:
    """A backup that died just before its commit."""
    with pytest.raises(PowerCut), lock_directory(path, label="dead", filesystem=DiesAtCommit(), **options) as locked:  # type: ignore[arg-type]
        back_up(locked)


def test_next_lock_recovers_the_changes_of_a_dead_owner(tmp_path: Path) -> None:
    """The report lists the changes; the files are where they were."""
    task = tmp_path / "task"
    make_files(task, "a", "b")
    leave_hot_journal(task)
    assert names_in(task) == ["bak"]

    with lock_directory(task, label="next") as directory:
        (report,) = directory.recovered.journals

    assert (report.action, report.label, report.moved_back, report.dropped) == ("rolled_back", "backup", 2, 0)
    assert names_in(task) == ["a", "b"]


def test_lock_without_recovery_leaves_the_journal_hot_until_a_transaction_begins(tmp_path: Path) -> None:
    """A caller may look first; the next transaction recovers before it does anything."""
    task = tmp_path / "task"
    make_files(task, "a")
    leave_hot_journal(task)
    with lock_directory(task, label="next", recover_first=False) as directory:
        assert names_in(task) == ["bak"]
        outcome = directory.transaction("nothing").commit()

    assert outcome.moved_count == 0
    assert names_in(task) == ["a"]


def test_recovery_that_fails_while_locking_frees_the_lock(tmp_path: Path) -> None:
    """The operator who fixes the cause must be able to lock again."""
    task = tmp_path / "task"
    make_files(task, "a")
    leave_hot_journal(task)

    class Broken(LocalFilesystem):
        def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            raise OSError(errno.EIO, "Input/output error", name)

    with pytest.raises(RollbackIncomplete) as caught:
        lock_directory(task, label="next", filesystem=Broken())

    assert caught.value.kept == (str(task / "bak" / "a"),)
    assert str(task / "bak" / "a") in str(caught.value)
    with lock_directory(task, label="next", timeout_seconds=0):
        assert names_in(task) == ["a"]


def test_missing_directory_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    """No state directory appears for a name that does not exist."""
    make_files(tmp_path, "file")
    for name in ("gone", "file"):
        with pytest.raises(DirectoryMissing, match="create it first"):
            lock_directory(tmp_path / name, label="test")

    assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize("path", ["/", "/somewhere/.journal"])
def test_directory_without_a_place_beside_it_is_refused(path: str) -> None:
    """The state directory is beside the directory."""
    with pytest.raises(InvalidOperation):
        lock_directory(path, label="test")


def test_directory_that_was_removed_after_its_last_use_is_reported_missing(tmp_path: Path) -> None:
    """Its state directory still exists, but the directory does not."""
    task = tmp_path / "task"
    make_files(task, "a")
    lock_directory(task, label="test").release()
    (task / "a").unlink()
    task.rmdir()

    with lock_directory(task, label="test") as directory:
        transaction = directory.transaction("late")
        transaction.make_directory("bak")
        with pytest.raises(Exception, match="No such file"):
            transaction.commit()
    make_files(tmp_path, "task")
    with pytest.raises(DirectoryMissing):
        lock_directory(task, label="test")


def test_path_through_symbolic_links_is_the_same_directory(tmp_path: Path) -> None:
    """The links that lead to it are resolved once: two spellings share one lock."""
    task = tmp_path / "home" / "task"
    make_files(task, "a")
    (tmp_path / "alias").symlink_to(tmp_path / "home")
    with lock_directory(tmp_path / "alias" / "task", label="one"), pytest.raises(DirectoryBusy):
        lock_directory(task, label="two", timeout_seconds=0)

    assert state_directory_of(str(tmp_path / "alias" / "task")) == str(tmp_path / "home" / ".journal" / "task")


@pytest.mark.parametrize("ending", ["", "/", "/.", "/../task"])
def test_directory_can_be_spelled_in_every_way(tmp_path: Path, ending: str) -> None:
    """A slash or dots at the end lead to the directory itself."""
    make_files(tmp_path / "task", "a")

    assert state_directory_of(str(tmp_path / "task") + ending) == str(tmp_path / ".journal" / "task")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.EIO])
def test_directory_that_cannot_be_opened_is_not_called_missing(tmp_path: Path, number: int) -> None:
    """Without free descriptors, the advice to create it would be wrong."""
    task = tmp_path / "task"
    make_files(task, "a")
    lock_directory(task, label="once").release()

    class Refusing(LocalFilesystem):
        def open_directory(self, path: str) -> Directory:
            if path == str(task):
                raise OSError(number, os.strerror(number), path)
            return super().open_directory(path)

    with pytest.raises(StateUnusable, match=os.strerror(number)):
        lock_directory(task, label="next", filesystem=Refusing())


def test_symbolic_link_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    """A user who can write beside the directory could redirect a transaction; nothing is created."""
    make_files(tmp_path / "outside", "a")
    (tmp_path / "task").symlink_to(tmp_path / "outside")

    with pytest.raises(DirectoryMissing, match="is a symbolic link, which is not followed"):
        lock_directory(tmp_path / "task", label="test")

    assert names_in(tmp_path) == ["outside", "task"]
    assert names_in(tmp_path / "outside") == ["a"]


def test_state_directory_elsewhere_serves_as_well(tmp_path: Path) -> None:
    """The caller may choose one, on the same mount."""
    task, state = tmp_path / "task", tmp_path / "elsewhere" / "state"
    make_files(task, "a")
    (tmp_path / "elsewhere").mkdir()
    with lock_directory(task, label="test", state_directory=state) as directory:
        back_up(directory)
        assert directory.path_of(STATE) == str(state) + "/"

    assert names_in(tmp_path) == ["elsewhere", "task"]


def test_state_directory_on_another_mount_is_refused_with_its_name(tmp_path: Path) -> None:
    """No file can be moved between two areas of the disk; device numbers alone do not distinguish them."""
    task = tmp_path / "task"
    make_files(task, "a")

    class TwoMounts(LocalFilesystem):
        def mount(self, directory: Directory) -> str:
            return directory.path

    with pytest.raises(StateUnusable, match="not on the same mount"):
        lock_directory(task, label="test", filesystem=TwoMounts())


@pytest.mark.parametrize("verb", ["make_directory", "open_directory"])
def test_state_directory_that_cannot_be_made_or_opened_is_reported_with_its_path(tmp_path: Path, verb: str) -> None:
    """The error names the state directory and the cause."""
    task = tmp_path / "task"
    make_files(task, "a")

    class Refusing(LocalFilesystem):
        def make_directory(self, parent: Directory, name: str, *, is_private: bool) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", name)

        def open_directory(self, path: str) -> Directory:
            if verb == "open_directory":
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return super().open_directory(path)

    with pytest.raises(StateUnusable, match=r"\.journal/task.*Permission denied"):
        lock_directory(task, label="test", filesystem=Refusing())


def test_file_system_is_tested_without_touching_the_directory(tmp_path: Path) -> None:
    """A probe file that could not be removed, as in an append-only directory, would look like a user's file."""
    task = tmp_path / "task"
    make_files(task, "a")

    class Watched(LocalFilesystem):
        def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            assert target.path != str(task)
            super().link(source, name, target, new_name)

    lock_directory(task, label="test", filesystem=Watched()).release()

    assert names_in(task) == ["a"]
    assert "ready" in names_in(tmp_path / ".journal" / "task")


def test_file_system_is_tested_again_where_the_home_is_mounted_elsewhere(tmp_path: Path) -> None:
    """A home may have been copied to a disk with fewer abilities: `ready` holds only for its own area."""
    task = tmp_path / "task"
    make_files(task, "a")

    class Elsewhere(LocalFilesystem):
        area = "first"
        probes = 0

        def mount(self, directory: Directory) -> str:
            return self.area

        def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            self.probes += 1
            super().link(source, name, target, new_name)

    disk = Elsewhere()
    for area, probes in (("first", 1), ("first", 1), ("second", 2)):
        disk.area = area
        lock_directory(task, label="test", filesystem=disk).release()
        assert disk.probes == probes


def test_mark_of_an_older_version_is_replaced(tmp_path: Path) -> None:
    """It was an empty file, without results about the file system."""
    task = tmp_path / "task"
    make_files(task, "a")
    lock_directory(task, label="test").release()
    ready = tmp_path / ".journal" / "task" / "ready"
    ready.write_bytes(b"")
    with lock_directory(task, label="test") as directory:
        assert not directory.goes_by_names

    assert b"has_links" in ready.read_bytes()


def test_set_up_that_was_interrupted_is_repeated(tmp_path: Path) -> None:
    """Without the mark that everything is durable, the syncs are repeated."""
    task = tmp_path / "task"
    make_files(task, "a")
    lock_directory(task, label="test").release()
    (tmp_path / ".journal" / "task" / "ready").unlink()
    lock_directory(task, label="test").release()

    assert "ready" in names_in(tmp_path / ".journal" / "task")


def test_staged_files_stay_until_they_are_published_or_removed(tmp_path: Path) -> None:
    """Folders of the caller are never swept, not even by recovery."""
    task = tmp_path / "task"
    make_files(task, "a")
    with lock_directory(task, label="one") as directory:
        work = directory.make_state_folder("work-1")
        directory.write(work, "x", [b"12", b"3"])
        directory.copy(DIRECTORY, "a", work, "a")
    with lock_directory(task, label="two") as directory:
        assert directory.make_state_folder("work-1") == work
        assert content_of(Path(directory.path_of(work)) / "x") == b"123"
        assert dict(directory.scan(work)).keys() == {"a", "x"}
        directory.remove_state_folder(work)
        assert "work-1" not in names_in(directory.state_path)


def test_failed_write_leaves_no_staged_file(tmp_path: Path) -> None:
    """Half a file must never be published."""
    task = tmp_path / "task"
    make_files(task, "a")

    def broken() -> object:
        yield b"half"
        raise ZeroDivisionError

    with lock_directory(task, label="one") as directory:
        work = directory.make_state_folder("work-1")
        with pytest.raises(ZeroDivisionError):
            directory.write(work, "x", broken())  # type: ignore[arg-type]
        directory.write(work, "y", [b"first"])
        with pytest.raises(FileExistsError):
            directory.write(work, "y", [b"second"])

        assert dict(directory.scan(work)).keys() == {"y"}
        assert content_of(Path(directory.path_of(work)) / "y") == b"first"
        directory.write(work, "y", [b"second"], replace=True)
        assert content_of(Path(directory.path_of(work)) / "y") == b"second"


def test_files_are_staged_only_in_state_folders(tmp_path: Path) -> None:
    """The directory itself is changed only by transactions."""
    task = tmp_path / "task"
    make_files(task, "a")
    with lock_directory(task, label="one") as directory:
        for folder in (DIRECTORY, STATE, Folder("directory", "sub")):
            with pytest.raises(InvalidOperation):
                directory.write(folder, "x", [b""])
            with pytest.raises(InvalidOperation):
                directory.remove_state_folder(folder)
        for name in ("trash-20260101T000000000000-00000000", "20260101T000000000000-00000000.journal", "a/b"):
            with pytest.raises(InvalidOperation):
                directory.make_state_folder(name)


def test_released_directory_refuses_everything(tmp_path: Path) -> None:
    """I6: nothing changes without the lock; releasing twice is harmless."""
    task = tmp_path / "task"
    make_files(task, "a")
    directory = lock_directory(task, label="one")
    transaction = directory.transaction("late")
    transaction.delete("a")
    directory.release()
    directory.release()

    for late in (transaction.commit, directory.recover, lambda: directory.transaction("x")):
        with pytest.raises(InvalidOperation, match="not locked"):
            late()
    assert names_in(task) == ["a"]


def test_transactions_of_several_threads_run_one_after_another(tmp_path: Path) -> None:
    """One lock, many threads: each transaction takes effect, none sees another's journal."""
    task = tmp_path / "task"
    names = [f"f{number}" for number in range(24)]
    make_files(task, *names)
    with lock_directory(task, label="one") as directory:

        def delete(name: str) -> None:
            transaction = directory.transaction("delete")
            transaction.delete(name)
            transaction.commit()

        threads = [threading.Thread(target=delete, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert names_in(task) == []


def test_recover_all_recovers_free_directories_and_reports_busy_ones(tmp_path: Path) -> None:
    """One call for a whole root: reports, and DirectoryBusy for each directory with a live owner."""
    for name in ("dead", "busy", "clean"):
        make_files(tmp_path / name, "a")
        lock_directory(tmp_path / name, label="first").release()
    leave_hot_journal(tmp_path / "dead")
    with lock_directory(tmp_path / "busy", label="run 7"):
        results = recover_all(tmp_path)

    assert isinstance(results["busy"], DirectoryBusy)
    dead, clean = results["dead"], results["clean"]
    assert isinstance(dead, RecoveryReport)
    assert [journal.action for journal in dead.journals] == ["rolled_back"]
    assert isinstance(clean, RecoveryReport)
    assert clean.is_clean
    assert names_in(tmp_path / "dead") == ["a"]


def test_recover_all_of_a_root_without_state_does_nothing(tmp_path: Path) -> None:
    """No directory was ever locked here."""
    assert recover_all(tmp_path) == {}
    assert names_in(tmp_path) == []


def test_relative_path_is_recovered_from_another_working_directory(tmp_path: Path) -> None:
    """A peer recovered relative paths from elsewhere, reported success and restored nothing."""
    task = tmp_path / "task"
    make_files(task, "a")
    script = (
        "import os, sys\n"
        "from journal import lock_directory\n"
        "from tests.journal.test_directory import leave_hot_journal\n"
        "os.chdir(sys.argv[1])\n"
        "leave_hot_journal('task')\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert names_in(task) == ["bak"]

    lock_directory(task, label="next").release()
    assert names_in(task) == ["a"]
