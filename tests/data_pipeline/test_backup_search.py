"""Backups that hold a text are found; what cannot be searched is reported, and ends no search."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.errors import DirectoryUnusable, InvalidInput, NotFound
from data_pipeline.tasks.backup import search as backup_search
from data_pipeline.tasks.backup.search import FILE_LIMIT, Match, SearchReport, Unreadable, find_text
from data_pipeline.tasks.task_directory import BACKUP_MANIFESTS
from data_pipeline.vectors.backup.keeping import keep_backup
from data_pipeline.vectors.store.opening import open_vector_store
from tests.support.tasks import WritingStep, backups_of, make_task, run_complete
from tests.support.training import Training

NAME = "Zoë O'Brien"
OLD = "file_bak_20240101_120000"
NEW = "file_bak_20240102_120000"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of all tasks: two, with three backups."""
    root = tmp_path / "training_data"
    for task_id, backup in (("task_1", OLD), ("task_1", NEW), ("task_2", OLD)):
        make_task(root / task_id, {"now.md": f"{NAME} in a current file"})
        make_task(root / task_id / backup, {"a.ddl": "CREATE TABLE a", "b.json": "[]"}, table_list=None)
        (root / task_id / backup / "backup_info.json").write_text(json.dumps({"backup_directory": backup}))
    return root


def files_match(task_id: str, backup: str, *files: str) -> Match:
    return Match(task_id, "files", backup, f"{task_id}/{backup}", files, len(files))


def search(root: Path, text: str = NAME, **options: Any) -> SearchReport:
    return find_text(str(root), text, **options)


# ---- backups of files -----------------------------------------------------------------------------------------------


def test_backup_that_a_run_made_is_found(tmp_path: Path) -> None:
    """In the file that was moved there, and not before."""
    task = make_task(tmp_path / "task_1", {"people.md": f"- {NAME.upper()}\n"})
    assert search(tmp_path).matches == ()

    run_complete(task, WritingStep({"t.ddl": "t"}))
    (backup,) = backups_of(task)

    assert search(tmp_path).matches == (files_match("task_1", backup.name, "people.md"),)


def test_only_the_backups_that_hold_the_text_are_named(root: Path) -> None:
    """Not the current files, and not the backups without it; the counts are those of all that was searched."""
    (root / "task_1" / NEW / "a.ddl").write_text("-- zoe\u0308\n o''brien")
    (root / "task_2" / OLD / "b.json").write_text(json.dumps([f"a {NAME}"]))
    report = search(root)

    assert report.matches == (
        files_match("task_1", NEW, "a.ddl"),
        files_match("task_2", OLD, "b.json"),
    )
    assert (report.searched_files, report.unreadable, report.is_complete) == (9, (), True)
    assert report.searched_bytes == sum(file.stat().st_size for file in root.glob("*/file_bak_*/*"))


def test_search_of_one_task_looks_at_no_other(root: Path) -> None:
    """Neither at the backups that belong to no task."""
    (root / "vector_bak").mkdir()
    for folder in (root / "task_1" / OLD, root / "task_2" / OLD, root / "vector_bak"):
        (folder / "people.csv").write_text(NAME)
    report = search(root, task_id="task_2")

    assert report.matches == (files_match("task_2", OLD, "people.csv"),)
    assert report.searched_files == 4


def test_text_in_a_name_a_target_a_record_or_a_folder_is_found(root: Path) -> None:
    """A name may be a person's too; nothing behind a link is read."""
    backup = root / "task_1" / OLD
    (root / "elsewhere").write_text("Jane Roe")
    (backup / "zoë o'brien.ddl").write_text("nothing")
    (backup / "sub" / "deeper").mkdir(parents=True)
    (backup / "sub" / "deeper" / "x.log").write_text(NAME)
    (backup / "sub" / NAME).mkdir()
    (backup / "link").symlink_to(f"/home/{NAME}/x")
    (backup / "other").symlink_to(root / "elsewhere")
    (backup / "folder").symlink_to(root / "task_2")
    (backup / "backup_info.json").write_text('{"moved_files": ["Zo\\u00EB O\'Brien.ddl"]')

    assert search(root).matches == (
        files_match(
            "task_1", OLD, "backup_info.json", "link", "sub/Zoë O'Brien", "sub/deeper/x.log", "zoë o'brien.ddl"
        ),
    )
    assert search(root, "Jane Roe").matches == ()
    assert search(root, "elsewhere").matches == (files_match("task_1", OLD, "other"),)


def test_name_that_is_not_utf_8_is_searched_and_printed(root: Path) -> None:
    """As the older systems wrote it."""
    name = os.fsencode(root / "task_1" / OLD) + b"/Zo\xeb O'Brien"
    with open(name, "wb"):
        pass
    (match,) = search(root).matches

    assert match.files == ("Zo\\xeb O'Brien",)
    json.dumps(match.summary()).encode()


def test_only_the_first_names_are_listed_and_all_are_counted(root: Path) -> None:
    """A backup with a thousand files has one line in the report."""
    for number in range(FILE_LIMIT + 5):
        (root / "task_1" / OLD / f"p{number:04}.md").write_text(NAME)
    (match,) = search(root).matches

    assert match.files == tuple(f"p{number:04}.md" for number in range(FILE_LIMIT))
    assert match.file_count == FILE_LIMIT + 5


def test_note_and_checksums_belong_to_their_backup(root: Path) -> None:
    """Also where the backup itself is missing; any other file there belongs to none."""
    notes = root / "task_1" / BACKUP_MANIFESTS
    notes.mkdir()
    (notes / f"{NEW}_note.json").write_text(json.dumps({"note": NAME}))
    (notes / "file_bak_20230101_120000_7_note.json").write_text(json.dumps({"note": NAME}))
    (notes / f"{OLD}_note.json").write_text("{}")
    (notes / f"{NEW}_sha256.json").write_text(json.dumps({f"{NAME}.ddl": "00"}))
    (notes / "draft").write_text(NAME)
    (root / "task_1" / NEW / "a.ddl").write_text(NAME)
    gone = Match(
        "task_1", "files", "file_bak_20230101_120000_7", "task_1/backup_manifests",
        ("file_bak_20230101_120000_7_note.json",), 1,
    )  # fmt: skip
    draft = Match("task_1", "files", None, "task_1/backup_manifests", ("draft",), 1)
    report = search(root)

    assert report.matches == (
        gone,
        files_match("task_1", NEW, "a.ddl", f"backup_manifests/{NEW}_note.json", f"backup_manifests/{NEW}_sha256.json"),
        draft,
    )
    assert report.searched_files == 14


def test_large_file_is_searched_to_its_end(root: Path) -> None:
    """The text lies across the border of two chunks; the file is sparse."""
    path = root / "task_1" / OLD / "big.jsonl"
    with path.open("wb") as file:
        file.seek(5 * backup_search._CHUNK_BYTES - 4)
        file.write(NAME.encode())
        file.seek(9 * backup_search._CHUNK_BYTES)
        file.write(b"end")

    assert search(root).matches == (files_match("task_1", OLD, "big.jsonl"),)
    report = search(root, "nothing like this")
    assert report.matches == ()
    assert report.searched_bytes > 9 * backup_search._CHUNK_BYTES


# ---- backups of vectors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task_id", ["task_1", None])
def test_backup_of_vectors_is_found(tmp_path: Path, task_id: str | None) -> None:
    """Of a task and of no task: by a word of a question, and not by one that is in no item."""
    training = Training(tmp_path, f"sqlite:///{tmp_path / 'vectors.sqlite'}")
    assert asyncio.run(training.executor().execute_complete_workflow())["success"]
    store = open_vector_store(training.place)
    made = keep_backup(store, str(training.task.parent), task_id, backup_id="vectors_1")
    store.close()
    items, manifest = (file.name for file in made.files)
    folder = "vector_bak" if task_id is None else "task_1/vector_bak"

    def match(*files: str) -> tuple[Match, ...]:
        return (Match(task_id, "vectors", made.manifest.timestamp, folder, files, len(files)),)

    sql = json.loads(next(one.item.content for one in training.stored() if one.item.kind == "sql"))["sql"]
    root = training.task.parent
    assert search(root, sql).matches == match(items)
    assert search(root, made.manifest.sha256).matches == match(manifest)
    assert search(root, NAME).matches == ()
    assert search(root, task_id="task_1", text="item_count").matches == (match(manifest) if task_id else ())


def test_items_without_a_manifest_and_other_files_are_searched(root: Path) -> None:
    """No list of backups names them; the text is there all the same."""
    folder = root / "task_2" / "vector_bak"
    folder.mkdir()
    for name in ("vectors_20250121_094400.jsonl", "vectors_20250121_094400_manifest.json", "vectors_2025.jsonl", "x"):
        (folder / name).write_text(json.dumps({"content": NAME}))
    (folder / "vectors_20250122_094400.jsonl").write_text(json.dumps(json.dumps(NAME)))
    (folder / "old").mkdir()
    (folder / "old" / "vectors_20250121_094400.jsonl").write_text(NAME)

    def match(timestamp: str | None, *files: str) -> Match:
        return Match("task_2", "vectors", timestamp, "task_2/vector_bak", files, len(files))

    assert set(search(root).matches) == {
        match("20250121_094400", "vectors_20250121_094400.jsonl", "vectors_20250121_094400_manifest.json"),
        match("20250122_094400", "vectors_20250122_094400.jsonl"),
        match(None, "old/vectors_20250121_094400.jsonl", "vectors_2025.jsonl", "x"),
    }


# ---- what cannot be searched ----------------------------------------------------------------------------------------


def test_what_cannot_be_searched_is_reported_and_the_rest_is_searched(root: Path) -> None:
    """A FIFO would keep its reader waiting for ever; a damaged record is a file like any other."""
    backup = root / "task_1" / OLD
    os.mkfifo(backup / "aaa")
    (backup / "backup_info.json").unlink()
    os.mkfifo(backup / "backup_info.json")
    (backup / "zzz").write_text(NAME)
    vectors = root / "task_1" / "vector_bak"
    (vectors / "vectors_20250121_094400_manifest.json" / "sub").mkdir(parents=True)
    (vectors / "vectors_20250121_094400_manifest.json" / "sub" / "x").write_text(NAME)
    (vectors / "vectors_20250122_094400_manifest.json").write_bytes(b"\xff\0{ Zo\xeb O'Brien")
    (root / "task_2" / "vector_bak").write_text("a file")
    (root / "task_2" / BACKUP_MANIFESTS).write_text("a file")
    report = search(root)

    assert report.unreadable == (
        Unreadable("task_2/backup_manifests", "it is not a directory"),
        Unreadable("task_2/vector_bak", "it is not a directory"),
        Unreadable(f"task_1/{OLD}/aaa", "it is not a regular file"),
        Unreadable(f"task_1/{OLD}/backup_info.json", "it is not a regular file"),
    )
    assert [(match.backup, match.files) for match in report.matches] == [
        (OLD, ("zzz",)),
        ("20250121_094400", ("vectors_20250121_094400_manifest.json/sub/x",)),
        ("20250122_094400", ("vectors_20250122_094400_manifest.json",)),
    ]
    assert not report.is_complete


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_and_folder_without_permission_are_reported(root: Path) -> None:
    """Silence would be taken for absence."""
    backup = root / "task_1" / OLD
    (backup / "a.ddl").chmod(0)
    (root / "task_1" / NEW).chmod(0)
    (root / "task_2").chmod(0)
    (backup / "b.json").write_text(NAME)
    try:
        report = search(root)
        assert search(root, task_id="task_2").unreadable == (Unreadable("task_2", "Permission denied"),)
    finally:
        (root / "task_1" / NEW).chmod(0o700)
        (root / "task_2").chmod(0o700)

    assert report.matches == (files_match("task_1", OLD, "b.json"),)
    assert set(report.unreadable) == {
        Unreadable(path, "Permission denied") for path in (f"task_1/{OLD}/a.ddl", f"task_1/{NEW}", "task_2")
    }


def test_links_are_reported_and_not_followed(root: Path, tmp_path: Path) -> None:
    """Neither a task directory, a backup, nor a folder of backups of vectors may lead elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    make_task(elsewhere / OLD, {"a.ddl": NAME}, table_list=None)
    (elsewhere / "vectors_20250121_094400.jsonl").write_text(NAME)
    (root / "task_3").symlink_to(elsewhere)
    (root / "task_2" / NEW).symlink_to(elsewhere / OLD)
    (root / "task_2" / "vector_bak").symlink_to(elsewhere)
    (root / "vector_bak").symlink_to(elsewhere)
    (root / "dangling").symlink_to(elsewhere / "nowhere")
    links = {f"task_2/{NEW}", "task_2/vector_bak", "task_3", "vector_bak", "dangling"}
    reason = "it is a symbolic link, which is not followed"
    report = search(root)

    assert report.matches == ()
    assert set(report.unreadable) == {Unreadable(link, reason) for link in links}
    assert search(root, task_id="task_3").unreadable == (Unreadable("task_3", reason),)


def test_backup_that_vanishes_ends_no_search(root: Path) -> None:
    """Another process deletes it after it was listed."""
    (root / "task_2" / OLD / "a.ddl").write_text(NAME)

    def delete(done: int, total: int) -> None:
        if (done, total) == (1, 3):
            shutil.rmtree(root / "task_1" / NEW)

    report = search(root, progress=delete)

    assert report.matches == (files_match("task_2", OLD, "a.ddl"),)
    assert report.unreadable == (Unreadable(f"task_1/{NEW}", "No such file or directory"),)


def test_files_that_come_and_go_end_no_search(root: Path) -> None:
    """Two threads delete, write and replace while others search; the backup that stays is always found."""
    (root / "task_2" / OLD / "a.ddl").write_text(NAME)
    stop = threading.Event()

    def disturb(backup: Path) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            (backup / f"{number % 7}").unlink(missing_ok=True)
            (backup / f"{(number + 3) % 7}").write_text("x" * number)
            shutil.rmtree(backup / "sub", ignore_errors=True)
            (backup / "sub").mkdir(exist_ok=True)
            (backup / "sub" / "y").write_text("y")

    threads = [threading.Thread(target=disturb, args=[root / "task_1" / backup]) for backup in (OLD, NEW)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            report = search(root)
            assert report.matches == (files_match("task_2", OLD, "a.ddl"),)
            assert {item.reason for item in report.unreadable} <= {"No such file or directory"}
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_folders_deeper_than_the_stack_are_searched(root: Path) -> None:
    """Up to what a path may be long; nothing but this test could remove them."""
    folders = [str(root / "task_1" / OLD / "d")]
    while len(folders) < 1100:
        folders.append(f"{folders[-1]}/d")
    for folder in folders:
        os.mkdir(folder)
    file = Path(f"{folders[-1]}/x")
    file.write_text(NAME)
    try:
        (match,) = search(root).matches
    finally:
        file.unlink()
        for folder in reversed(folders):
            os.rmdir(folder)

    assert match.files == ("d/" * 1100 + "x",)


def test_directory_with_a_name_that_no_task_may_have_is_searched(root: Path) -> None:
    """It may be of an older system; the journal's folder and files are none."""
    make_task(root / "task-3 (copy)" / OLD, {"a.ddl": NAME}, table_list=None)
    make_task(root / ".journal" / "task_1" / OLD, {"a.ddl": NAME}, table_list=None)
    (root / "notes.txt").write_text(NAME)

    assert search(root).matches == (files_match("task-3 (copy)", OLD, "a.ddl"),)
    assert search(root).is_complete


# ---- questions that cannot be answered ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " \n", "Z", " Z ", "secret" * 167])
def test_text_that_is_too_short_or_too_long_is_refused(root: Path, text: str) -> None:
    """Before anything is read; the message does not repeat it."""
    with pytest.raises(InvalidInput) as refused:
        search(root / "nowhere", text)

    assert refused.value.field == "text"
    assert "secret" not in str(refused.value)


def test_text_in_a_task_id_is_refused(root: Path) -> None:
    """No path can be given."""
    with pytest.raises(InvalidInput, match="task_id"):
        search(root, task_id="../task_1")


def test_missing_task_and_missing_root_are_named(root: Path) -> None:
    """Nothing found must not mean that nothing was there to be searched; a file is no task either."""
    (root / "task_9").write_text("a file")
    for task_id in ("task_8", "task_9"):
        with pytest.raises(NotFound, match=f"Directory of task '{task_id}' not found"):
            search(root, task_id=task_id)
    with pytest.raises(DirectoryUnusable, match="nowhere"):
        search(root / "nowhere")


def test_no_error_and_no_log_holds_the_text(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither does the report, unless it is in the name of a file."""
    caplog.set_level(0)
    (root / "task_1" / OLD / "a.ddl").write_text(NAME)
    os.mkfifo(root / "task_1" / OLD / "fifo")
    report = search(root)

    assert report.matches
    assert NAME not in repr(report) + json.dumps(report.summary(), ensure_ascii=False) + caplog.text


# ---- what callers see -----------------------------------------------------------------------------------------------


def test_progress_counts_backups(root: Path) -> None:
    """From none to all; an error that it raises ends the search."""
    calls: list[tuple[int, int]] = []
    search(root, progress=lambda done, total: calls.append((done, total)))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]
    with pytest.raises(KeyboardInterrupt):
        search(root, progress=stop)


def test_summary_is_json(root: Path) -> None:
    """With a key for each field."""
    (root / "task_1" / OLD / "a.ddl").write_text(NAME)
    os.mkfifo(root / "task_1" / OLD / "fifo")
    summary = json.loads(json.dumps(search(root).summary()))

    assert summary.pop("searched_bytes") > 0
    assert summary == {
        "matches": [
            {
                "task_id": "task_1",
                "kind": "files",
                "backup": OLD,
                "folder": f"task_1/{OLD}",
                "files": ["a.ddl"],
                "file_count": 1,
            }
        ],
        "searched_files": 9,
        "is_complete": False,
        "unreadable": [{"path": f"task_1/{OLD}/fifo", "reason": "it is not a regular file"}],
    }


def test_search_changes_nothing(root: Path) -> None:
    """No lock, no file, no time."""

    def state() -> dict[Path, tuple[int, int]]:
        return {path: (path.lstat().st_mtime_ns, path.lstat().st_ctime_ns) for path in [root, *root.rglob("*")]}

    before = state()
    search(root)

    assert state() == before
