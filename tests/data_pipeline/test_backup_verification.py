"""Verify: every difference between a backup and what is recorded about it is found and named."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from data_pipeline.errors import DirectoryUnusable, InvalidInput, NotFound
from data_pipeline.tasks.backup.catalogue import find_backup
from data_pipeline.tasks.backup.checksums import record_checksums
from data_pipeline.tasks.backup.manifests import NOTE_PATTERN, check_note
from data_pipeline.tasks.backup.verification import VerifyReport
from data_pipeline.tasks.backup.verify import verify, verify_and_record
from tests.support.tasks import WritingStep, backups_of, content_below, make_task, run_complete


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup that a run made: three files, one with a name that is not UTF-8, and a link."""
    task = make_task(tmp_path / "task_1", {"a.ddl": "content a", "b.ddl": "content b"})
    Path(os.fsdecode(os.fsencode(task) + b"/caf\xe9.md")).write_text("content c")
    (task / "link.md").symlink_to("a.ddl")
    run_complete(task, WritingStep({"t.ddl": "t"}))
    (path,) = backups_of(task)
    return path


def verified(backup: Path) -> VerifyReport:
    return verify(str(backup.parent), backup.name)


def record(backup: Path) -> None:
    record_checksums(str(backup.parent), "task_1", backup.name, work_id="checksums_1")


def test_backup_of_a_run_is_good_before_and_after_its_checksums_are_recorded(backup: Path) -> None:
    """Recording changes nothing in the backup."""
    before = content_below(backup)
    first = verified(backup)
    assert (first.state, first.checksums_recorded_at, first.file_count) == ("good", None, 4)

    record(backup)
    second = verified(backup)
    assert (second.state, second.problems) == ("good", ())
    assert second.checksums_recorded_at is not None
    assert content_below(backup) == before
    assert json.loads(json.dumps(second.summary()))["state"] == "good"


def damage_same_size(backup: Path) -> None:
    (backup / "a.ddl").write_text("CONTENT A")


def remove(backup: Path) -> None:
    (backup / "b.ddl").unlink()


def add(backup: Path) -> None:
    (backup / "new.txt").write_text("")


def lengthen(backup: Path) -> None:
    (backup / "a.ddl").write_text("content a and more")


def break_record(backup: Path) -> None:
    (backup / "backup_info.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (damage_same_size, []),
        (remove, [("missing", "b.ddl")]),
        (add, [("extra", "new.txt")]),
        (lengthen, [("size", None)]),
        (break_record, [("record", None)]),
    ],
)
def test_record_knows_names_and_the_total_size(
    backup: Path, damage: Callable[[Path], None], expected: list[tuple[str, str | None]]
) -> None:
    """A change that keeps the size needs checksums to be seen."""
    damage(backup)
    report = verified(backup)
    assert [(problem.kind, problem.file) for problem in report.problems] == expected
    assert report.state == ("damaged" if expected else "good")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (damage_same_size, [("changed", "a.ddl")]),
        (remove, [("missing", "b.ddl")]),
        (add, [("extra", "new.txt")]),
        (lengthen, [("size", None), ("changed", "a.ddl")]),
    ],
)
def test_checksums_find_what_the_record_cannot_know(
    backup: Path, damage: Callable[[Path], None], expected: list[tuple[str, str | None]]
) -> None:
    """Each difference is one problem, also where both know of it."""
    record(backup)
    damage(backup)

    report = verified(backup)

    assert [(problem.kind, problem.file) for problem in report.problems] == expected
    assert report.state == "damaged"


def test_backup_without_record_and_checksums_is_unverifiable(backup: Path) -> None:
    """It is not called good: nothing was compared."""
    (backup / "backup_info.json").unlink()
    assert verified(backup).state == "unverifiable"


def test_checksums_of_another_backup_of_the_same_name_do_not_count(backup: Path) -> None:
    """Names come back where clocks go back; a changed manifest is none, too."""
    record(backup)
    content = json.loads((backup / "backup_info.json").read_text())
    content["transaction"] = "20260101T120000000000-00000000"
    (backup / "backup_info.json").write_text(json.dumps(content))
    assert verified(backup).checksums_recorded_at is None


def test_changed_checksum_file_is_not_believed(backup: Path) -> None:
    """Its seal shows the change."""
    record(backup)
    path = backup.parent / "backup_manifests" / f"{backup.name}_sha256.json"
    path.write_text(path.read_text().replace("a.ddl", "z.ddl"))
    assert verified(backup).checksums_recorded_at is None


def test_fifo_in_a_backup_is_extra_and_never_waited_for(backup: Path) -> None:
    """Opening one would block for ever."""
    record(backup)
    os.mkfifo(backup / "pipe")
    assert [(problem.kind, problem.file) for problem in verified(backup).problems] == [("extra", "pipe")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_file_that_cannot_be_read_is_named(backup: Path) -> None:
    """Verification goes on with the others; recording refuses, as a part would pass for the whole."""
    record(backup)
    (backup / "a.ddl").chmod(0)
    assert [(problem.kind, problem.file) for problem in verified(backup).problems] == [("unreadable", "a.ddl")]
    with pytest.raises(DirectoryUnusable, match=r"a\.ddl"):
        record(backup)


def test_unknown_backup_is_not_found(backup: Path) -> None:
    """Also one that is deleted between reading and writing."""
    with pytest.raises(NotFound):
        verify(str(backup.parent), "file_bak_19990101_000000")

    def delete(_: int) -> None:
        if backup.exists():
            backup.rename(backup.parent.parent / "elsewhere")

    with pytest.raises((NotFound, DirectoryUnusable)):
        record_checksums(str(backup.parent), "task_1", backup.name, work_id="checksums_1", on_bytes=delete)
    assert not (backup.parent / "backup_manifests").exists()


def test_second_recording_replaces_the_first(backup: Path) -> None:
    """One manifest a backup."""
    record(backup)
    record(backup)
    assert len(list((backup.parent / "backup_manifests").iterdir())) == 1
    assert find_backup(str(backup.parent), backup.name).note is None


@pytest.mark.parametrize("damage", [remove, add, lengthen, break_record])
def test_checksums_of_a_damaged_backup_are_not_recorded(backup: Path, damage: Callable[[Path], None]) -> None:
    """They would pass the damage for good ever after."""
    damage(backup)
    report = verify_and_record(str(backup.parent), "task_1", backup.name, work_id="checksums_1")

    assert (report.state, report.checksums_recorded_at) == ("damaged", None)
    assert not (backup.parent / "backup_manifests").exists()


def test_backup_that_takes_the_name_while_checksums_are_computed_does_not_get_them(backup: Path) -> None:
    """No lock is held while files are read: a backup can be deleted meanwhile, and its name be given again."""

    def replace_backup(_: int) -> None:
        content = json.loads((backup / "backup_info.json").read_text())
        content["transaction"] = "20990101T000000000000-00000000"
        (backup / "next.json").write_text(json.dumps(content))
        os.replace(backup / "next.json", backup / "backup_info.json")

    with pytest.raises(NotFound, match="Another backup has its name now"):
        record_checksums(str(backup.parent), "task_1", backup.name, work_id="checksums_1", on_bytes=replace_backup)
    assert not (backup.parent / "backup_manifests").exists()


@pytest.mark.parametrize("note", ["\x80", "a\x85", "\x01", "a\x1b[0m", " \x7f ", "", "  ", "\n"])
def test_described_pattern_of_a_note_refuses_what_the_server_refuses(note: str) -> None:
    """Both refuse control characters and blank notes."""
    assert re.search(NOTE_PATTERN, note) is None
    with pytest.raises(InvalidInput):
        check_note(note)


@pytest.mark.parametrize("note", ["before the new model", " x", "两\n行", "a\tb"])
def test_described_pattern_of_a_note_accepts_texts(note: str) -> None:
    """Also with blanks, lines and tabs."""
    assert re.search(NOTE_PATTERN, note) is not None
    assert check_note(note)
