"""Recovery on a real disk: damaged journals, odd remains, disks that cannot link."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from journal import (
    Identity,
    JournalDamaged,
    JournalUnsupported,
    LocalFilesystem,
    OutcomeUnknown,
    RollbackIncomplete,
    lock_directory,
)
from journal.filesystem import Directory
from journal.recovery import preview
from journal.retry import RetryLimits, Rounds
from journal.state_files import list_journals
from tests.journal.test_directory import leave_hot_journal
from tests.support.backup import back_up, content_of, make_files, names_in


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A directory whose backup died just before its commit."""
    path = tmp_path / "task"
    make_files(path, "a", "b")
    leave_hot_journal(path)
    return path


def journal_of(task: Path) -> Path:
    (found,) = (task.parent / ".journal" / task.name).glob("*.journal")
    return found


def test_damaged_journal_is_set_aside_with_its_line_and_blocks_nothing(task: Path) -> None:
    """Nothing is touched; the next lock works, and trash and staging of the damaged one are kept."""
    journal = journal_of(task)
    lines = journal.read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b'"inode":', b'"inode":1')
    journal.write_bytes(b"\n".join(lines))
    staged = journal.with_name(f"staged-{journal.stem}-7")
    staged.write_bytes(b"evidence")

    with pytest.raises(JournalDamaged, match=r"line 2: the checksum does not match") as caught:
        lock_directory(task, label="next")
    assert caught.value.line == 2
    assert caught.value.set_aside == str(journal.with_suffix(".damaged"))
    assert names_in(task / "bak") == ["a", "b", "backup_info.json"]

    make_files(task, "later")
    with lock_directory(task, label="next") as directory:
        assert directory.recovered.is_clean
        back_up(directory)
    assert content_of(staged) == b"evidence"
    assert names_in(task / "bak_1") == ["backup_info.json", "later"]


def test_journal_of_a_newer_version_is_set_aside(task: Path) -> None:
    """A version that cannot read the journal touches nothing."""
    journal = journal_of(task)
    from journal.records import encode_record

    lines = journal.read_bytes().split(b"\n")
    body = lines[0].split(b" ", 1)[1].replace(b'"format":1', b'"format":2').decode()
    journal.write_bytes(encode_record(body) + b"\n".join(lines[1:]))

    with pytest.raises(JournalUnsupported, match="Recover with the version that wrote it"):
        lock_directory(task, label="next")
    assert names_in(task) == ["bak"]


def test_preview_reports_the_effect_of_a_recovery_and_changes_nothing(task: Path) -> None:
    """A dry run: the same report, and the journal is still hot."""
    disk = LocalFilesystem()
    state = disk.open_directory(str(task.parent / ".journal" / task.name))
    before = names_in(state.path)
    report = preview(disk, str(task), state, Rounds(RetryLimits()))

    assert [(journal.action, journal.moved_back) for journal in report.journals] == [("rolled_back", 2)]
    assert len(report.swept) == 0
    assert names_in(state.path) == before
    assert names_in(task) == ["bak"]
    disk.close(state)


@pytest.mark.parametrize("links", [True, False])
def test_journal_is_set_aside_on_disks_with_and_without_hard_links(task: Path, links: bool) -> None:
    """By link, sync, unlink; where there are no links, by a rename."""
    make_files(task, "a")
    disk = LocalFilesystem(hard_links=links)
    with lock_directory(task, label="next", filesystem=disk) as directory:
        (report,) = directory.recovered.journals

    assert report.action == "conflict"
    assert report.set_aside == str(task.parent / ".journal" / "task" / f"{report.transaction}.conflict")
    assert os.path.exists(report.set_aside)
    assert "another file has its old name" in report.conflicts[0]
    assert content_of(task / "a") == b"a"
    assert content_of(task / "bak" / "a") == b"a"
    assert (task / "b").exists()


def test_setting_aside_that_was_interrupted_is_finished(task: Path) -> None:
    """The journal has both names already."""
    make_files(task, "a")
    journal = journal_of(task)
    os.link(journal, journal.with_suffix(".conflict"))
    lock_directory(task, label="next").release()

    assert not journal.exists()
    assert journal.with_suffix(".conflict").exists()


def test_setting_aside_that_fails_is_reported_and_done_later(task: Path) -> None:
    """I9: the terminal record is durable; only the old name has to be removed."""
    make_files(task, "a")

    class NoAside(LocalFilesystem):
        def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            if new_name.endswith(".conflict"):
                raise OSError(errno.ENOSPC, "No space left on device", name)
            super().link(source, name, target, new_name)

    with pytest.raises(RollbackIncomplete, match="No space"):
        lock_directory(task, label="next", filesystem=NoAside())
    with lock_directory(task, label="next") as directory:
        assert [journal.action for journal in directory.recovered.journals] == ["conflict"]
    assert names_in(task) == ["a", "b", "bak"]


def test_kept_backup_directory_gets_the_record_that_was_prepared_for_it(tmp_path: Path) -> None:
    """A conflict keeps the directory: it is listed like any other, so it has a record."""
    task = tmp_path / "task"
    make_files(task, "a", "b")
    from tests.journal.test_directory import DiesAtCommit, PowerCut

    with (
        pytest.raises(PowerCut),
        lock_directory(task, label="dead", filesystem=DiesAtCommit()) as directory,
    ):
        transaction = directory.transaction("backup")
        backup = transaction.make_directory("bak", next_free=True)
        transaction.move("a", backup)
        transaction.move("b", backup)
        transaction.create(
            backup,
            "info.json",
            lambda outcome: outcome.transaction.encode(),
            if_kept=lambda transaction, name: f"{name} was kept after {transaction}",
        )
        transaction.commit()
    (task / "a").write_bytes(b"taken")
    lock_directory(task, label="next").release()

    assert names_in(task / "bak") == ["a", "info.json"]
    assert content_of(task / "bak" / "info.json").startswith(b"bak was kept after ")


def test_stranger_under_the_record_s_name_stays(tmp_path: Path) -> None:
    """Recovery removes only a record that contains the transaction's id."""
    task = tmp_path / "task"
    make_files(task, "a")
    leave_hot_journal(task)
    (task / "bak" / "backup_info.json").unlink()
    (task / "bak" / "backup_info.json").write_bytes(b"another process's")
    lock_directory(task, label="next").release()

    assert names_in(task) == ["a", "bak"]
    assert content_of(task / "bak" / "backup_info.json") == b"another process's"


def test_unfinished_journal_is_removed_with_its_empty_directory(tmp_path: Path) -> None:
    """Nothing had moved: `.new` and the directory of its announced inode are removed, another directory is not."""
    task = tmp_path / "task"
    make_files(task, "a")

    class Cut(BaseException):
        pass

    class CutBeforeRename(LocalFilesystem):
        def replace(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            raise Cut

        def scan(self, directory: Directory) -> Iterator[tuple[str, Identity]]:
            if names_in(directory.path) and any(name.endswith(".new") for name in names_in(directory.path)):
                raise Cut
            return super().scan(directory)

    with pytest.raises(Cut), lock_directory(task, label="dead", filesystem=CutBeforeRename()) as directory:
        back_up(directory)
    assert names_in(task) == ["a", "bak"]
    with lock_directory(task, label="next") as directory:
        assert [journal.action for journal in directory.recovered.journals] == ["discarded"]
    assert names_in(task) == ["a"]


@pytest.mark.parametrize("content", [b"", b"0000", b"garbage\n"])
def test_unfinished_journal_that_cannot_be_read_is_removed(tmp_path: Path, content: bytes) -> None:
    """A torn first line is the trace of a crash; nothing had moved."""
    task = tmp_path / "task"
    make_files(task, "a")
    lock_directory(task, label="first").release()
    unfinished = tmp_path / ".journal" / "task" / "20260101T000000000000-00000000.journal.new"
    unfinished.write_bytes(content)
    with lock_directory(task, label="next") as directory:
        assert [journal.action for journal in directory.recovered.journals] == ["discarded"]

    assert not unfinished.exists()


def test_trash_and_staged_files_without_a_journal_are_swept(tmp_path: Path) -> None:
    """Under the lock, and named in the report; the caller's own folders stay."""
    task = tmp_path / "task"
    make_files(task, "a")
    lock_directory(task, label="first").release()
    state = tmp_path / ".journal" / "task"
    make_files(state / "trash-20260101T000000000000-00000000" / "sub", "x")
    make_files(state, "staged-20260101T000000000000-00000000-0", "mine")
    (state / "work-1").mkdir()
    with lock_directory(task, label="next") as directory:
        swept = directory.recovered.swept

    assert len(swept) == 2
    assert names_in(state) == [".journal-probe", "lock", "mine", "ready", "work-1"]


def test_full_disk_while_finishing_a_committed_journal_leaves_the_outcome_unknown(task: Path) -> None:
    """I8: a terminal record is made durable before anything is concluded from it."""
    from journal.records import Committed, encode_terminal

    journal = journal_of(task)
    journal.write_bytes(journal.read_bytes() + encode_terminal(Committed(failed=())))

    class NoSync(LocalFilesystem):
        def write_at(
            self, directory: Directory, name: str, offset_bytes: int, content: bytes, *, truncate: bool
        ) -> None:
            raise OSError(errno.EIO, "Input/output error", name)

    with pytest.raises(OutcomeUnknown, match="Repair the disk"):
        lock_directory(task, label="next", filesystem=NoSync())
    with lock_directory(task, label="next") as directory:
        assert [journal.action for journal in directory.recovered.journals] == ["finished"]
    assert names_in(task) == ["bak"]


def test_torn_commit_record_does_not_join_with_the_next_record(task: Path) -> None:
    """The torn tail is cut off before `rolled_back` is written, and never settles."""
    from journal.records import Committed, FailedOperation, decode_journal, encode_terminal

    journal = journal_of(task)
    failed = FailedOperation(operation=0, error="no " * 100, attempts=1, copied=False)
    journal.write_bytes(journal.read_bytes() + encode_terminal(Committed(failed=(failed,)))[:300])

    class Stop(BaseException):
        pass

    class StopBeforeUnlink(LocalFilesystem):
        def unlink(self, directory: Directory, name: str) -> bool:
            if name.endswith(".journal"):
                raise Stop
            return super().unlink(directory, name)

    with pytest.raises(Stop):
        lock_directory(task, label="next", filesystem=StopBeforeUnlink())

    decoded = decode_journal(journal.read_bytes().splitlines(keepends=True), "it")
    assert decoded.terminal is not None
    assert decoded.terminal.record == "rolled_back"
    assert decoded.length_bytes == journal.stat().st_size


def test_copy_of_an_unmovable_file_is_removed_by_recovery_only_while_it_is_a_prefix(tmp_path: Path) -> None:
    """A copy whose source has grown is removed; a file with other bytes is left where it is."""
    from tests.journal.test_directory import DiesAtCommit, PowerCut

    class DiesWithCopies(DiesAtCommit):
        def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
            if name in ("grown", "changed", "pipe"):
                raise PermissionError(errno.EACCES, "Permission denied", name)
            super().link(source, name, target, new_name)

    task = tmp_path / "task"
    make_files(task, "grown", "changed", "other")
    os.mkfifo(task / "pipe")
    with pytest.raises(PowerCut), lock_directory(task, label="dead", filesystem=DiesWithCopies()) as directory:
        back_up(directory)
    assert names_in(task / "bak") == ["backup_info.json", "changed", "grown", "other"]
    with open(task / "grown", "ab") as log:
        log.write(b" and more")
    (task / "changed").write_bytes(b"differs")
    lock_directory(task, label="next").release()

    assert names_in(task) == ["bak", "changed", "grown", "other", "pipe"]
    assert names_in(task / "bak") == ["changed"]


def test_journals_are_found_newest_first(tmp_path: Path) -> None:
    """Their names begin with the time; other entries of the state directory are not journals."""
    for stamp in ("20260101T000000000000", "20260102T000000000000"):
        make_files(tmp_path, f"{stamp}-00000000.journal", f"{stamp}-00000000.damaged")
    make_files(tmp_path, "lock", "x.journal")
    disk = LocalFilesystem()
    state = disk.open_directory(str(tmp_path))

    assert [(journal.transaction[:8], journal.suffix) for journal in list_journals(disk, state)] == [
        ("20260102", ".journal"),
        ("20260102", ".damaged"),
        ("20260101", ".journal"),
        ("20260101", ".damaged"),
    ]
    disk.close(state)
