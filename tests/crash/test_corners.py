"""Rare cases of a commit or a recovery, each on a disk that shows it."""

from __future__ import annotations

import errno

import pytest

from journal import DirectoryReplaced, Folder, Identity, InvalidOperation, printable
from tests.crash.campaign import die_at, files_before, list_calls, recover, run_into, run_until
from tests.support.model_filesystem import Died, ModelFilesystem
from tests.support.scenarios import BACKUP, DELETE_TREE, PATH, PUBLISH, files_of, lock, verdict


@pytest.mark.parametrize("has_happened", ["linked", "renamed"])
def test_move_that_happened_though_it_was_reported_busy_is_not_made_twice(has_happened: str) -> None:
    """A lost answer of a network disk: before a new attempt, check whether the move has in fact happened."""
    disk = BACKUP.disk()
    done: list[str] = []

    def answer_is_lost(number: int, verb: str, name: str) -> None:
        if (verb, name) == ("link", "f0") and not done:
            done.append(name)
            directory, backup = disk._resolve(PATH), disk._resolve(f"{PATH}/bak")
            inode = disk.nodes[directory].entries["f0"]
            disk.nodes[backup].entries["f0"] = inode
            if has_happened == "renamed":
                del disk.nodes[directory].entries["f0"]
            raise OSError(errno.ETIMEDOUT, "Connection timed out", name)

    disk.on_call = answer_is_lost
    BACKUP.run(disk)
    disk.revive()

    assert verdict(BACKUP, files_before(BACKUP), disk) == "after"


def test_stranger_s_file_that_lost_its_old_name_meanwhile_keeps_its_new_one() -> None:
    """I5: linked instead of the announced file, then replaced at its old name: dropping it would lose it."""
    disk = BACKUP.disk()

    def edit_twice(number: int, verb: str, name: str) -> None:
        if verb == "link" and name in ("f0", "f1"):
            disk.save_over(f"{PATH}/f0", f"edited before {name}".encode())

    disk.on_call = edit_twice
    with lock(disk) as directory:
        transaction = directory.transaction("backup", on_error="continue")
        backup = transaction.make_directory("bak")
        transaction.move("f0", backup)
        transaction.move("f1", backup)
        outcome = transaction.commit()

    assert [failed.source for failed in outcome.failures] == ["f0"]
    assert files_of(disk)["f0"] == b"edited before f1"
    assert files_of(disk)["bak/f0"] == b"edited before f0"


def test_directory_that_was_removed_right_after_its_rename_is_reported() -> None:
    """It cannot be renamed back; nothing else is touched."""

    class Vanishing(ModelFilesystem):
        def rename(self, source: object, name: str, target: object, new_name: str) -> None:
            super().rename(source, name, target, new_name)  # type: ignore[arg-type]
            if name == "sub":
                self._of(target).entries.pop(new_name)  # type: ignore[arg-type]

    disk = Vanishing()
    disk.put("/t")
    disk.put(PATH)
    DELETE_TREE.build(disk)
    disk.sync_all()
    with lock(disk) as directory:
        transaction = directory.transaction("delete", on_error="continue")
        transaction.delete("sub")
        transaction.delete("f0")
        outcome = transaction.commit()

    assert [failed.source for failed in outcome.failures] == ["sub"]


def test_published_file_whose_staging_folder_is_gone_stays_published_as_a_conflict() -> None:
    """There is no folder to move it back to, so an operator decides."""
    call = list_calls(PUBLISH).index("unlink f1", list_calls(PUBLISH).index("link fresh"))
    disk = run_until(PUBLISH, call)
    disk.nodes[disk._resolve("/t/.journal/D")].entries.pop("work-1")
    recover(disk)

    assert [name for name in disk.tree("/t/.journal/D") if name.endswith(".conflict")]
    assert files_of(disk)["fresh"] == b"new fresh"


def test_missing_folder_of_the_directory_needs_an_operator() -> None:
    """A journal that names a sub-directory that was removed is set aside."""
    disk = BACKUP.disk()
    disk.put(f"{PATH}/sub")
    disk.put(f"{PATH}/sub/deeper")
    disk.sync_all()

    def move_down(target: ModelFilesystem) -> None:
        with lock(target) as directory:
            transaction = directory.transaction("move")
            transaction.move("f0", Folder("directory", "sub/deeper"))
            transaction.commit()

    trial = disk.clone()
    calls: list[str] = []
    trial.on_call = lambda number, verb, name: calls.append(f"{verb} {name}")
    move_down(trial)
    run_into(disk, die_at(calls.index("replace f0")), move_down)
    disk.nodes[disk._resolve(PATH)].entries.pop("sub")

    with pytest.raises(DirectoryReplaced, match="sub"):
        recover(disk)


def test_unfinished_journal_of_a_directory_that_is_gone_is_removed() -> None:
    """Nothing had moved, and the directory to clean up does not exist."""
    disk = run_until(BACKUP, next(n for n, call in enumerate(list_calls(BACKUP)) if call.startswith("replace")))
    disk.nodes[disk._resolve("/t")].entries.pop("D")
    disk.put(PATH)
    recover(disk)

    assert not [name for name in disk.tree("/t/.journal/D") if "journal.new" in name]


def test_commit_record_that_was_written_though_its_write_failed_counts() -> None:
    """The record is complete on the disk: recovery finishes the transaction, and the caller gets its outcome."""
    disk = BACKUP.disk()

    class Lying(ModelFilesystem):
        def write_at(self, *arguments: object, **options: object) -> None:
            super().write_at(*arguments, **options)  # type: ignore[arg-type]
            if not lied:
                lied.append(True)
                raise OSError(errno.EIO, "Input/output error")

    lied: list[bool] = []
    disk.__class__ = Lying
    BACKUP.run(disk)

    assert verdict(BACKUP, files_before(BACKUP), disk) == "after"


def test_interrupt_whose_rollback_fails_propagates_with_a_note() -> None:
    """The interrupt propagates with a note; the journal stays hot, and recovery ends it."""
    disk = BACKUP.disk()

    def interrupt(number: int, verb: str, name: str) -> None:
        if (verb, name) == ("link", "f0"):
            disk.on_call = fail
            raise KeyboardInterrupt

    def fail(number: int, verb: str, name: str) -> None:
        raise OSError(errno.EIO, "Input/output error", name)

    disk.on_call = interrupt
    with pytest.raises(KeyboardInterrupt) as caught:
        BACKUP.run(disk)

    assert "could not be recovered" in caught.value.__notes__[0]
    disk.revive()
    recover(disk)
    assert verdict(BACKUP, files_before(BACKUP), disk) == "before"


def test_record_of_a_kept_directory_does_not_take_a_taken_name() -> None:
    """Another process has put a file under the record's name; it stays."""
    disk = BACKUP.disk()

    def run(target: ModelFilesystem) -> None:
        with lock(target) as directory:
            transaction = directory.transaction("backup")
            backup = transaction.make_directory("bak")
            transaction.move("f0", backup)
            transaction.create(
                backup, "info", lambda outcome: outcome.transaction.encode(), if_kept=lambda transaction, name: name
            )
            transaction.commit()

    def die(number: int, verb: str, name: str) -> None:
        if verb == "write_at":
            raise Died

    run_into(disk, die, run)
    disk.put(f"{PATH}/f0", b"taken")
    disk.remove(f"{PATH}/bak/info")
    disk.put(f"{PATH}/bak/info", b"theirs")
    recover(disk)

    assert files_of(disk)["bak/info"] == b"theirs"


def test_names_and_labels_that_no_file_can_have_are_refused() -> None:
    """Half a character, or a character spelled as its bytes: refused before anything is written."""
    disk = BACKUP.disk()
    with lock(disk) as directory:
        transaction = directory.transaction("bad")
        for name in ("\ud800", "\udcc3\udca9"):
            with pytest.raises(InvalidOperation):
                transaction.move("f0", Folder("directory"), new_name=name)
        with pytest.raises(InvalidOperation, match="is not text"):
            directory.transaction("\ud800")
        transaction.move("f0", Folder("directory"), new_name="\udce9 is a byte", seen=None)
        transaction.commit()

    assert files_of(disk)["\udce9 is a byte"] == b"content of f0"
    assert printable("\ud800\udce9") == "\\ud800\\udce9"


def test_identity_seen_by_the_caller_does_not_count_for_staged_files() -> None:
    """Their size and time are read once their content is durable."""
    disk = BACKUP.disk()
    with lock(disk) as directory:
        work = directory.make_state_folder("work-1")
        directory.write(work, "x", [b"x"])
        transaction = directory.transaction("publish")
        transaction.move("x", Folder("directory"), source=work, seen=Identity(1, "file", 5))
        transaction.commit()

    assert files_of(disk)["x"] == b"x"
