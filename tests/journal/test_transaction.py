"""Transactions on a real disk: effects, refusals and reports."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from journal import (
    STATE,
    Folder,
    Identity,
    InvalidOperation,
    LocalFilesystem,
    LockedDirectory,
    Outcome,
    TransactionFailed,
    lock_directory,
)
from journal.filesystem import Directory
from tests.support.backup import back_up, content_of, make_files, names_in
from tests.support.scenarios import record


@pytest.fixture
def task(tmp_path: Path) -> Path:
    path = tmp_path / "task"
    make_files(path, "a", "b", "c")
    return path


@pytest.fixture
def directory(task: Path) -> Iterator[LockedDirectory]:
    with lock_directory(task, label="test", timeout_seconds=0) as locked:
        yield locked


def test_backup_moves_every_file_and_leaves_directories(directory: LockedDirectory, task: Path) -> None:
    """The files go under their own names, content untouched; sub-directories stay."""
    (task / "sub").mkdir()
    outcome = back_up(directory)

    assert names_in(task) == ["bak", "sub"]
    assert names_in(task / "bak") == ["a", "b", "backup_info.json", "c"]
    assert content_of(task / "bak" / "a") == b"a"
    assert (outcome.moved_count, outcome.failures, outcome.leftovers) == (3, [], ())


def test_outcome_lists_every_operation_with_its_end(directory: LockedDirectory) -> None:
    """Moves, then files written: all done, so no failure beside any of them."""
    outcome = back_up(directory)

    assert {(result.source, result.destination) for result in outcome.results()} == {
        ("a", "bak/a"),
        ("b", "bak/b"),
        ("c", "bak/c"),
        (None, "bak/backup_info.json"),
    }
    assert all(result.failure is None for result in outcome.results())
    assert outcome.label == "backup"
    assert outcome.seconds > 0


def test_state_directory_is_clean_after_a_commit(directory: LockedDirectory) -> None:
    """No entry of a transaction stays in the state directory."""
    back_up(directory)

    assert set(names_in(directory.state_path)) == {"lock", "holder", "ready", ".journal-probe"}


@pytest.mark.parametrize("occupant", ["file", "directory"])
def test_taken_name_of_a_new_directory_gets_the_next_free_suffix(
    directory: LockedDirectory, task: Path, occupant: str
) -> None:
    """name, name_1, name_2 ...: no matter whether a file or a directory has the name."""
    (task / "bak").mkdir() if occupant == "directory" else make_files(task, "bak")
    (task / "bak_1").mkdir()
    transaction = directory.transaction("backup")
    backup = transaction.make_directory("bak", next_free=True)
    transaction.move("a", backup)
    transaction.commit()

    assert backup.name == "bak_2"
    assert names_in(task / "bak_2") == ["a"]


def test_taken_name_without_next_free_fails_and_leaves_everything(directory: LockedDirectory, task: Path) -> None:
    """A new directory never takes an existing one for its own."""
    (task / "bak").mkdir()
    transaction = directory.transaction("backup", on_error="continue")
    transaction.move("a", transaction.make_directory("bak"))

    with pytest.raises(TransactionFailed, match="exists"):
        transaction.commit()
    assert names_in(task) == ["a", "b", "bak", "c"]


def test_same_new_directory_is_declared_once(directory: LockedDirectory) -> None:
    """Two directories of one declared name would differ only by a suffix that is not known yet."""
    transaction = directory.transaction("backup")
    transaction.make_directory("bak", next_free=True)

    with pytest.raises(InvalidOperation, match="is made already"):
        transaction.make_directory("bak", next_free=True)


def test_files_go_by_inode_whatever_the_order_they_were_declared_in(directory: LockedDirectory) -> None:
    """Neighbours share a block of the inode table; the outcome lists the moves in the order they were made."""
    seen = sorted(directory.scan(), key=lambda found: found[1].inode, reverse=True)
    transaction = directory.transaction("backup")
    backup = transaction.make_directory("bak")
    for name, identity in seen:
        transaction.move(name, backup, seen=identity)
    outcome = transaction.commit()

    assert [result.source for result in outcome.results()] == [name for name, _ in reversed(seen)]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.EIO], ids=errno.errorcode.get)
def test_directory_that_was_made_and_cannot_be_opened_is_removed(task: Path, number: int) -> None:
    """No journal names it yet, so an empty backup directory would stay for good."""

    class Blind(LocalFilesystem):
        def open_subdirectory(self, parent: Directory, name: str) -> Directory:
            if name == "bak":
                raise OSError(number, os.strerror(number), name)
            return super().open_subdirectory(parent, name)

    with (
        lock_directory(task, label="test", filesystem=Blind()) as directory,
        pytest.raises(TransactionFailed, match="bak"),
    ):
        back_up(directory)

    assert names_in(task) == ["a", "b", "c"]
    assert names_in(directory.state_path) == [".journal-probe", "lock", "ready"]


def test_outcome_has_the_bytes_that_each_new_directory_received(directory: LockedDirectory, task: Path) -> None:
    """Sizes as they were seen while the files were moved."""
    (task / "a").write_bytes(b"12345")
    transaction = directory.transaction("backup")
    first, second = transaction.make_directory("first"), transaction.make_directory("second")
    transaction.move("a", first)
    transaction.move("b", first)
    outcome = transaction.commit()

    assert (outcome.moved_bytes(first), outcome.moved_bytes(second)) == (6, 0)


def test_suffixes_come_to_an_end(directory: LockedDirectory, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory full of backups of one second is reported; the search for a free name ends."""
    monkeypatch.setattr("journal.commit.NEXT_FREE_LIMIT", 2)
    (task / "bak").mkdir()
    (task / "bak_1").mkdir()
    transaction = directory.transaction("backup")
    transaction.move("a", transaction.make_directory("bak", next_free=True))

    with pytest.raises(TransactionFailed, match="are taken"):
        transaction.commit()


def test_name_taken_in_the_destination_is_reported_and_the_rest_goes_on(directory: LockedDirectory, task: Path) -> None:
    """I2, I5: nothing is overwritten."""
    make_files(task / "sub", "a")
    (task / "sub" / "a").write_bytes(b"theirs")
    transaction = directory.transaction("move", on_error="continue")
    transaction.move("a", Folder("directory", "sub"))
    transaction.move("b", Folder("directory", "sub"))
    outcome = transaction.commit()

    (failed,) = outcome.failures
    assert failed.failure is not None
    assert (failed.source, failed.destination, failed.failure.errno) == ("a", "sub/a", errno.EEXIST)
    assert content_of(task / "sub" / "a") == b"theirs"
    assert names_in(task / "sub") == ["a", "b"]


def test_many_files_move_into_a_folder_that_has_other_files(directory: LockedDirectory, task: Path) -> None:
    """The one scan that checks the new names ignores the files that were there before."""
    names = [f"f{number}" for number in range(70)]
    make_files(task, *names)
    make_files(task / "sub", "other")
    transaction = directory.transaction("move")
    for name in names:
        transaction.move(name, Folder("directory", "sub"))
    outcome = transaction.commit()

    assert outcome.moved_count == 70
    assert names_in(task / "sub") == sorted([*names, "other"])


def test_missing_file_is_reported_under_continue_and_refused_under_rollback(
    directory: LockedDirectory, task: Path
) -> None:
    """A file that vanished between scan and commit does not stop a backup."""
    transaction = directory.transaction("backup", on_error="continue")
    transaction.move("gone", transaction.make_directory("bak"))
    transaction.move("a", Folder("directory", "."[:0]), new_name="renamed")
    outcome = transaction.commit()
    assert [failed.failure.errno for failed in outcome.failures if failed.failure] == [errno.ENOENT]
    assert "renamed" in names_in(task)

    strict = directory.transaction("publish")
    strict.move("gone", Folder("directory"))
    with pytest.raises(TransactionFailed, match="no such file"):
        strict.commit()


def test_transaction_without_operations_touches_nothing(directory: LockedDirectory) -> None:
    """No directory, no journal, no sync."""
    before = os.stat(directory.path).st_mtime_ns
    outcome = directory.transaction("nothing").commit()

    assert list(outcome.results()) == []
    assert os.stat(directory.path).st_mtime_ns == before


def test_publish_replaces_and_deletes_the_old_file(directory: LockedDirectory, task: Path) -> None:
    """Old to trash, new in, trash purged; free names too; all at once."""
    work = directory.make_state_folder("work-1")
    directory.write(work, "a", [b"new ", b"a"])
    directory.write(work, "fresh", [b"fresh"])
    transaction = directory.transaction("publish")
    transaction.publish("a", source=work)
    transaction.publish("fresh", source=work, new_name="renamed")
    transaction.commit()

    assert content_of(task / "a") == b"new a"
    assert content_of(task / "renamed") == b"fresh"
    assert not [name for name in names_in(directory.state_path) if name.startswith("trash")]
    directory.remove_state_folder(work)


def test_publish_keeps_the_old_file_in_the_folder_that_the_caller_chose(directory: LockedDirectory) -> None:
    """The replaced file goes to a kept folder, which is never purged."""
    work = directory.make_state_folder("work-1")
    directory.write(work, "a", [b"new"])
    transaction = directory.transaction("publish")
    kept = transaction.make_directory("kept-1", root=STATE)
    transaction.publish("a", source=work, replaced=kept)
    transaction.commit()
    directory.recover()

    assert content_of(Path(directory.path_of(kept.folder)) / "a") == b"a"


def test_backed_up_name_is_free_for_a_file_published_with_it(directory: LockedDirectory, task: Path) -> None:
    """One transaction backs up and publishes (so a restore works): the backup takes the old file, not the trash."""
    work = directory.make_state_folder("work-1")
    directory.write(work, "a", [b"new"])
    transaction = directory.transaction("restore")
    backup = transaction.make_directory("bak")
    transaction.publish("a", source=work)
    for name, identity in directory.scan():
        transaction.move(name, backup, seen=identity)
    outcome = transaction.commit()

    assert outcome.failures == []
    assert content_of(task / "a") == b"new"
    assert content_of(task / "bak" / "a") == b"a"


def test_staged_files_are_durable_before_they_are_announced(tmp_path: Path) -> None:
    """I7: one sync a staged file, besides the four of a publish into free names."""

    class Counting(LocalFilesystem):
        syncs = 0

        def sync_file(self, directory: Directory, name: str) -> None:
            self.syncs += 1
            super().sync_file(directory, name)

        def sync_directory(self, directory: Directory) -> None:
            self.syncs += 1
            super().sync_directory(directory)

    make_files(tmp_path / "task", *(f"f{number}" for number in range(70)))
    disk = Counting()
    with lock_directory(tmp_path / "task", label="test", filesystem=disk) as directory:
        disk.syncs = 0
        back_up(directory)
        assert disk.syncs == 8

        work = directory.make_state_folder("work-1")
        for name in ("x", "y"):
            directory.write(work, name, [b""])
        disk.syncs = 0
        transaction = directory.transaction("publish")
        transaction.publish("x", source=work)
        transaction.publish("y", source=work)
        transaction.commit()
        assert disk.syncs == 4 + 2


def test_delete_purges_files_and_whole_directories(directory: LockedDirectory, task: Path) -> None:
    """Deleted entries are moved into the trash, which is purged after the commit; no link in it is followed."""
    make_files(task / "sub" / "deeper", "x")
    outside = task.parent / "outside"
    make_files(outside, "precious")
    (task / "sub" / "link").symlink_to(outside)
    make_files(task / "other", "a")
    transaction = directory.transaction("delete")
    transaction.delete("sub")
    transaction.delete("a")
    transaction.delete("a", source=Folder("directory", "other"))
    outcome = transaction.commit()

    assert names_in(task) == ["b", "c", "other"]
    assert names_in(task / "other") == []
    assert names_in(outside) == ["precious"]
    assert outcome.moved_count == 3


def test_special_files_and_odd_names_are_moved_as_they_are(directory: LockedDirectory, task: Path) -> None:
    """Links are moved, never followed; pipes and sockets are never opened; names are bytes."""
    odd = ["new\nline", 'quo"te', "\u202eright-to-left", "x" * 255, os.fsdecode(b"latin-\xe9"), " ", "-rf"]
    make_files(task, *odd)
    os.mkfifo(task / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(task)  # the path of a socket is short
        listener.bind("socket")
    (task / "dangling").symlink_to("nowhere")
    (task / "to-directory").symlink_to(task.parent)
    before = names_in(task)
    outcome = back_up(directory)

    assert outcome.failures == []
    assert names_in(task) == ["bak"]
    assert set(names_in(task / "bak")) == {*before, "backup_info.json"}
    assert os.readlink(task / "bak" / "to-directory") == str(task.parent)
    assert stat.S_ISFIFO(os.lstat(task / "bak" / "fifo").st_mode)


def test_file_that_cannot_be_linked_is_renamed(task: Path) -> None:
    """fs.protected_hardlinks forbids links to files of other users, not renames."""

    class NoLinks(LocalFilesystem):
        def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            if name == "b":
                raise PermissionError(errno.EPERM, "Operation not permitted", name)
            super().link(source, name, target, new_name)

    with lock_directory(task, label="test", filesystem=NoLinks()) as directory:
        outcome = back_up(directory)

    assert outcome.failures == []
    assert names_in(task / "bak") == ["a", "b", "backup_info.json", "c"]


def test_disk_without_hard_links_works_by_renames(task: Path) -> None:
    """FAT and some network disks: every move is a rename that does not replace."""
    disk = LocalFilesystem(hard_links=False)
    with lock_directory(task, label="test", filesystem=disk) as directory:
        assert directory.goes_by_names
        back_up(directory)
        work = directory.make_state_folder("work-1")
        directory.write(work, "a", [b"new"])
        transaction = directory.transaction("publish")
        transaction.publish("a", source=work)
        transaction.commit()

    assert content_of(task / "a") == b"new"
    assert names_in(task / "bak") == ["a", "b", "backup_info.json", "c"]


class Unmovable(LocalFilesystem):
    """`b` can be neither linked nor renamed: an immutable file."""

    def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        if name == "b":
            raise PermissionError(errno.EPERM, "Operation not permitted", name)
        super().link(source, name, target, new_name)

    def rename(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        if name == "b":
            raise PermissionError(errno.EPERM, "Operation not permitted", name)
        super().rename(source, name, target, new_name)


def test_unmovable_file_is_copied_with_mode_and_times_and_reported(task: Path) -> None:
    """The original stays, and its copy is in the backup, so a publication over the original loses nothing."""
    os.chmod(task / "b", 0o640)
    os.utime(task / "b", ns=(1_000_000_000, 2_000_000_000))
    with lock_directory(task, label="test", filesystem=Unmovable()) as directory:
        outcome = back_up(directory)

    (failed,) = outcome.failures
    assert failed.failure is not None
    assert (failed.failure.errno, failed.failure.attempts, failed.failure.copied) == (errno.EPERM, 1, True)
    copied = os.stat(task / "bak" / "b")
    assert (stat.S_IMODE(copied.st_mode), copied.st_mtime_ns) == (0o640, 2_000_000_000)
    assert names_in(task) == ["b", "bak"]
    assert names_in(directory.state_path) == [".journal-probe", "lock", "ready"]


@pytest.mark.parametrize("fault", ["unreadable", "pipe", "no room in the backup"])
def test_unmovable_file_that_cannot_be_copied_is_reported_without_a_copy(task: Path, fault: str) -> None:
    """The failure that is reported is the move's own."""

    class Stubborn(Unmovable):
        def copy(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            if fault == "unreadable":
                raise PermissionError(errno.EACCES, "Permission denied", name)
            super().copy(source, name, target, new_name)

        def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            if fault == "no room in the backup" and name.startswith("staged-") and new_name == "b":
                raise OSError(errno.ENOSPC, "No space left on device", name)
            super().link(source, name, target, new_name)

    if fault == "pipe":
        (task / "b").unlink()
        os.mkfifo(task / "b")
    with lock_directory(task, label="test", filesystem=Stubborn()) as directory:
        outcome = back_up(directory)

    (failed,) = outcome.failures
    assert failed.failure is not None
    assert (failed.failure.errno, failed.failure.copied) == (errno.EPERM, False)
    assert names_in(task / "bak") == ["a", "backup_info.json", "c"]


@pytest.mark.parametrize("stage", ["reserve", "link", "fill"])
def test_backup_is_rolled_back_where_its_record_cannot_be_written(task: Path, stage: str) -> None:
    """A committed backup always has its record, which lists the files that were moved."""

    class NoRecord(LocalFilesystem):
        def reserve(self, directory: Directory, name: str, content: bytes, size_bytes: int) -> None:
            self.refuse("reserve", name)
            super().reserve(directory, name, content, size_bytes)

        def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            self.refuse("link", name)
            super().link(source, name, target, new_name)

        def fill(self, directory: Directory, name: str, content: bytes) -> None:
            self.refuse("fill", name)
            super().fill(directory, name, content)

        def refuse(self, at: str, name: str) -> None:
            if at == stage and name.startswith("staged-"):
                raise OSError(errno.ENOSPC, "No space left on device", name)

    with lock_directory(task, label="test", filesystem=NoRecord()) as directory:
        with pytest.raises(TransactionFailed, match="No space left"):
            back_up(directory)
        assert names_in(directory.state_path) == [".journal-probe", "holder", "lock", "ready"]
    assert names_in(task) == ["a", "b", "c"]


@pytest.mark.parametrize("has_links", [True, False])
def test_space_of_the_record_is_reserved_before_anything_moves(task: Path, has_links: bool) -> None:
    """With hard links its name is there, too: a full disk fails before the first move, not after the last."""
    seen: list[tuple[bytes, int]] = []

    class Watched(LocalFilesystem):
        def watch(self, name: str, new_name: str) -> None:
            if name == new_name == "a":
                state = task.parent / ".journal" / "task"
                record = task / "bak" / "backup_info.json" if has_links else next(state.glob("staged-*"))
                seen.append((record.read_bytes(), record.stat().st_blocks * 512))

        def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            self.watch(name, new_name)
            super().link(source, name, target, new_name)

        def rename(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            self.watch(name, new_name)
            super().rename(source, name, target, new_name)

    with lock_directory(task, label="test", filesystem=Watched(hard_links=has_links)) as directory:
        transaction = directory.transaction("backup")
        backup = transaction.make_directory("bak")
        transaction.move("a", backup)
        transaction.create(backup, "backup_info.json", record, size_bytes=100_000)
        transaction.commit()

    ((content, allocated_bytes),) = seen
    assert content == f'{{"transaction": "{transaction.id}"}}\n'.encode()
    assert allocated_bytes >= 100_000
    assert transaction.id.encode() in content_of(task / "bak" / "backup_info.json")


def test_record_whose_name_another_process_took_rolls_the_backup_back(task: Path) -> None:
    """The other process's file stays in the directory, which is kept for it."""

    class Squatted(LocalFilesystem):
        def fill(self, directory: Directory, name: str, content: bytes) -> None:
            super().fill(directory, name, content)
            make_files(task / "bak", "other")
            os.replace(task / "bak" / "other", task / "bak" / "backup_info.json")

    with (
        lock_directory(task, label="test", filesystem=Squatted()) as directory,
        pytest.raises(TransactionFailed, match="another process took its name"),
    ):
        back_up(directory)

    assert names_in(task) == ["a", "b", "bak", "c"]
    assert content_of(task / "bak" / "backup_info.json") == b"other"


def test_record_without_the_transaction_s_id_is_refused_and_everything_rolled_back(
    directory: LockedDirectory, task: Path
) -> None:
    """Recovery identifies the record by that id."""
    transaction = directory.transaction("backup")
    backup = transaction.make_directory("bak")
    transaction.move("a", backup)
    transaction.create(backup, "info", lambda outcome: b"{}")

    with pytest.raises(InvalidOperation, match="must contain the transaction's id"):
        transaction.commit()
    assert names_in(task) == ["a", "b", "c"]


def test_error_in_the_caller_s_own_code_rolls_back_and_propagates(directory: LockedDirectory, task: Path) -> None:
    """Whatever exception the content raises, every file is in its place."""

    def broken(outcome: Outcome) -> bytes:
        raise ZeroDivisionError

    transaction = directory.transaction("backup")
    backup = transaction.make_directory("bak")
    transaction.move("a", backup)
    transaction.create(backup, "info", broken)

    with pytest.raises(ZeroDivisionError):
        transaction.commit()
    assert names_in(task) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "/etc/passwd"])
def test_names_that_cannot_be_entries_are_refused(directory: LockedDirectory, name: str) -> None:
    """Nothing leads out of the directory."""
    transaction = directory.transaction("bad")
    with pytest.raises(InvalidOperation):
        transaction.move(name, Folder("directory"))
    with pytest.raises(InvalidOperation):
        transaction.make_directory(name)
    with pytest.raises(InvalidOperation):
        transaction.delete(name)
    with pytest.raises(InvalidOperation):
        directory.make_state_folder(name)


def test_contradictory_calls_are_refused_before_anything_is_done(directory: LockedDirectory, task: Path) -> None:
    """I2: double sources, double destinations, cycles, directories into existing folders, files in foreign places."""
    (task / "sub").mkdir()
    (task / "other").mkdir()
    here, sub = Folder("directory"), Folder("directory", "sub")

    def refused(*moves: tuple[str, Folder, Folder, str]) -> None:
        transaction = directory.transaction("bad")
        for name, source, destination, new_name in moves:
            transaction.move(name, destination, source=source, new_name=new_name)
        with pytest.raises(InvalidOperation):
            transaction.commit()

    refused(("a", here, sub, "x"), ("a", here, sub, "y"))
    refused(("a", here, sub, "x"), ("b", here, sub, "x"))
    refused(("a", here, here, "b"), ("b", here, here, "a"))
    refused(("other", here, sub, "other"))
    transaction = directory.transaction("bad")
    with pytest.raises(InvalidOperation):
        transaction.make_directory("x", root=sub)
    foreign = directory.transaction("other").make_directory("bak")
    with pytest.raises(InvalidOperation):
        transaction.create(foreign, "info", record)
    backup = transaction.make_directory("bak")
    transaction.create(backup, "info", record)
    transaction.create(backup, "info", record)
    with pytest.raises(InvalidOperation, match="info is named by two"):
        transaction.commit()
    assert names_in(task) == ["a", "b", "c", "other", "sub"]


def test_moves_that_need_each_other_s_names_are_done_in_the_right_order(directory: LockedDirectory, task: Path) -> None:
    """A move that vacates a name goes before the move that takes it, in whatever order they were declared."""
    make_files(task / "sub", "a")
    (task / "sub" / "a").write_bytes(b"from sub")
    transaction = directory.transaction("rotate")
    backup = transaction.make_directory("bak")
    transaction.move("a", Folder("directory"), source=Folder("directory", "sub"))
    transaction.move("a", backup)
    transaction.commit()

    assert content_of(task / "a") == b"from sub"
    assert content_of(task / "bak" / "a") == b"a"


def test_committed_transaction_cannot_be_used_again(directory: LockedDirectory) -> None:
    """One transaction, one commit."""
    transaction = directory.transaction("once")
    transaction.delete("a")
    transaction.commit()

    with pytest.raises(InvalidOperation, match="begin a new one"):
        transaction.commit()
    with pytest.raises(InvalidOperation):
        transaction.delete("b")
    with pytest.raises(InvalidOperation):
        transaction.create(transaction, "x", record)  # type: ignore[arg-type]


def test_progress_counts_up_to_the_number_of_moves(task: Path) -> None:
    """Called while it goes on, and last with everything done."""
    make_files(task, *(f"f{number}" for number in range(1500)))
    seen: list[tuple[int, int]] = []
    with lock_directory(task, label="test") as directory:
        transaction = directory.transaction("backup")
        backup = transaction.make_directory("bak")
        for name, identity in directory.scan():
            transaction.move(name, backup, seen=identity)
        transaction.commit(lambda done, total: seen.append((done, total)))

    assert seen[0] == (0, 1503)
    assert seen[-1] == (1503, 1503)
    assert seen == sorted(seen)
    assert len(seen) > 3


def test_entry_that_cannot_be_purged_is_a_leftover_and_swept_later(task: Path) -> None:
    """After the commit a leftover is not a failure: the outcome lists it, the next recovery removes it."""

    class Sticky(LocalFilesystem):
        stuck = True

        def remove_tree(self, parent: Directory, name: str) -> None:
            if self.stuck and name != "ready":
                raise OSError(errno.EBUSY, "Device or resource busy", name)
            super().remove_tree(parent, name)

        def unlink(self, directory: Directory, name: str) -> bool:
            if self.stuck and name.endswith(".journal"):
                raise OSError(errno.EIO, "Input/output error", name)
            return super().unlink(directory, name)

    disk = Sticky()
    with lock_directory(task, label="test", filesystem=disk) as directory:
        transaction = directory.transaction("delete")
        transaction.delete("a")
        outcome = transaction.commit()
        left = [leftover.partition("-")[0][:6] for leftover in outcome.leftovers]
        assert left == ["parked", "trash", outcome.transaction[:6]]
        disk.stuck = False
        report = directory.recover()

    assert [journal.action for journal in report.journals] == ["finished"]
    assert names_in(directory.state_path) == [".journal-probe", "lock", "ready"]


def test_file_replaced_between_scan_and_move_is_reported_and_left(directory: LockedDirectory, task: Path) -> None:
    """I5: an editor saved over it since; that file was never announced."""
    seen = dict(directory.scan())
    (task / "new").write_bytes(b"edited")
    os.replace(task / "new", task / "a")
    transaction = directory.transaction("backup", on_error="continue")
    backup = transaction.make_directory("bak")
    for name in ("a", "b"):
        transaction.move(name, backup, seen=seen[name])
    outcome = transaction.commit()

    (failed,) = outcome.failures
    assert failed.source == "a"
    assert failed.failure is not None
    assert "replaced" in failed.failure.error
    assert content_of(task / "a") == b"edited"
    assert names_in(task / "bak") == ["b"]


def test_directory_replaced_between_scan_and_delete_is_renamed_back(directory: LockedDirectory, task: Path) -> None:
    """An entry that can only be renamed is checked after the rename, and renamed back if it is another one."""
    (task / "sub").mkdir()
    transaction = directory.transaction("delete", on_error="continue")
    transaction.move("sub", transaction.make_directory("bak"), seen=Identity(1, "directory"))
    outcome = transaction.commit()

    assert len(outcome.failures) == 1
    assert names_in(task) == ["a", "b", "bak", "c", "sub"]
    assert names_in(task / "bak") == []
