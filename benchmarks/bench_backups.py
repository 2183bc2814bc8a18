"""Measure the deletion and the list of many backups, beside the bare system calls and `shutil.rmtree`.

    python -m benchmarks.bench_backups --directory DIR [--backups 1000] [--files 20] [--rounds 3] [--json FILE]

Each backup has its files and its record. Rounds are interleaved, their order rotates, medians count. All trees are made
before the first one is deleted: freed inodes slow ext4 down.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from data_pipeline.config.retention import RetentionPolicy
from data_pipeline.tasks.backup.catalogue import list_backups
from data_pipeline.tasks.backup.delete import prune
from data_pipeline.tasks.backup.record import BackupRecord, Statistics
from data_pipeline.tasks.workspace import Door, open_workspace
from journal import LocalFilesystem
from journal.filesystem import Directory

CONTENT = "create table t (id int);\n" * 20
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
PRUNE_TARGET_SECONDS = 2.0
LIST_TARGET_MS = 200.0
LISTS = 7


class Contender(NamedTuple):
    """A way to delete all backups of a task but the newest; returns the seconds of it that were syncs, if it knows."""

    title: str
    delete: Callable[[Path], float | None]


class TimedDisk(LocalFilesystem):
    """The real disk; `sync_seconds` is the time spent in its syncs."""

    def __init__(self) -> None:
        super().__init__()
        self.sync_seconds = 0.0

    def sync_file(self, directory: Directory, name: str) -> None:
        """Add the time to the sum."""
        started = time.perf_counter()
        super().sync_file(directory, name)
        self.sync_seconds += time.perf_counter() - started

    def sync_directory(self, directory: Directory) -> None:
        """Add the time to the sum."""
        started = time.perf_counter()
        super().sync_directory(directory)
        self.sync_seconds += time.perf_counter() - started


def make(path: Path, backups: int, files: int) -> Path:
    path.mkdir(parents=True)
    (path / "table_list.txt").write_text("t\n")
    names = tuple(f"table_{number:03}.ddl" for number in range(files))
    for number in range(backups):
        made_at = FIRST + timedelta(hours=number)
        folder = path / f"file_bak_{made_at:%Y%m%d_%H%M%S}"
        folder.mkdir()
        for name in names:
            (folder / name).write_text(CONTENT)
        record = BackupRecord(
            backup_time=made_at.replace(tzinfo=None).isoformat(),
            backup_directory=folder.name,
            moved_files=names,
            failed_files=(),
            task_id=path.name,
            statistics=Statistics(files=files, bytes=files * len(CONTENT), seconds=0.1, retries=0),
            backup_time_utc=made_at.isoformat(),
            transaction=f"20240101T000000000000-{number:08x}",
        )
        (folder / "backup_info.json").write_bytes(record.encoded())
    # Create the state directory now, because a task does that only once.
    open_workspace(str(path), path.name, label="bench", timeout_seconds=0).directory.release()
    return path


def old_backups(path: Path) -> list[Path]:
    return sorted(path.glob("file_bak_*"))[:-1]


def delete_bare(path: Path) -> None:
    for folder in old_backups(path):
        remove(folder)


def remove(folder: Path) -> None:
    for name in os.listdir(folder):
        os.unlink(f"{folder}/{name}")
    os.rmdir(folder)


def delete_trees(path: Path) -> None:
    for folder in old_backups(path):
        shutil.rmtree(folder)


def delete_by_hand(path: Path) -> float:
    """Make, for each backup, the calls of a transaction that change the disk, with its 5 syncs, and nothing else."""
    sync_seconds = 0.0

    def sync(fd: int) -> None:
        nonlocal sync_seconds
        started = time.perf_counter()
        os.fsync(fd)
        sync_seconds += time.perf_counter() - started

    state = path.parent / ".journal" / path.name
    task_fd, state_fd = (os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in (path, state))
    trash, new, journal = state / "trash", state / "journal.new", state / "journal"
    for folder in old_backups(path):
        trash.mkdir()
        trash_fd = os.open(trash, os.O_RDONLY | os.O_DIRECTORY)
        journal_fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(journal_fd, b"x" * 900)
        sync(journal_fd)
        new.rename(journal)
        sync(state_fd)
        folder.rename(trash / folder.name)
        sync(trash_fd)
        sync(task_fd)
        os.write(journal_fd, b"x" * 60)
        sync(journal_fd)
        os.close(journal_fd)
        os.close(trash_fd)
        remove(trash / folder.name)
        trash.rmdir()
        journal.unlink()
    os.close(task_fd)
    os.close(state_fd)
    return sync_seconds


def delete_by_prune(path: Path) -> float:
    disk = TimedDisk()
    with open_workspace(str(path), path.name, label="bench", timeout_seconds=0, door=Door(disk)) as workspace:
        report = prune(workspace, RetentionPolicy(keep_last=1))
    assert not report.errors
    return disk.sync_seconds


CONTENDERS = (
    Contender("bare unlinks and rmdir, nothing else", delete_bare),
    Contender("`shutil.rmtree` of each", delete_trees),
    Contender("a transaction for each, its changing calls alone", delete_by_hand),
    Contender("**`prune`**", delete_by_prune),
)


def list_bare(path: Path) -> int:
    """Make the calls that no list can do without: read each directory, its files' sizes and the record."""
    count = 0
    for folder in os.scandir(path):
        if folder.name.startswith("file_bak_"):
            with os.scandir(folder.path) as entries:
                count += sum(entry.stat(follow_symlinks=False).st_size > 0 for entry in entries)
            (path / folder.name / "backup_info.json").read_bytes()
    return count


def list_all(path: Path) -> int:
    return len(list_backups(str(path)))


def time_lists(path: Path) -> dict[str, list[float]]:
    ways: dict[str, Callable[[Path], int]] = {"the bare calls": list_bare, "**`list_backups`**": list_all}
    times: dict[str, list[float]] = {title: [] for title in ways}
    for _ in range(LISTS):
        for title, work in ways.items():
            started = time.perf_counter()
            work(path)
            times[title].append((time.perf_counter() - started) * 1000)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", default=tempfile.gettempdir())
    parser.add_argument("--backups", type=int, default=1_000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(dir=options.directory))
    places = {
        (contender, number): make(base / f"{index}_{number}" / "task_1", options.backups + 1, options.files)
        for index, contender in enumerate(CONTENDERS)
        for number in range(options.rounds)
    }
    lists = time_lists(places[CONTENDERS[0], 0])
    seconds: dict[str, list[float]] = {contender.title: [] for contender in CONTENDERS}
    sync_seconds: dict[str, list[float]] = {contender.title: [] for contender in CONTENDERS}
    for number in range(options.rounds):
        for turn in range(len(CONTENDERS)):
            contender = CONTENDERS[(number + turn) % len(CONTENDERS)]
            os.sync()
            started = time.perf_counter()
            synced = contender.delete(places[contender, number])
            seconds[contender.title].append(time.perf_counter() - started)
            assert len(list(places[contender, number].glob("file_bak_*"))) == 1
            if synced is not None:
                sync_seconds[contender.title].append(synced)
    shutil.rmtree(base)
    report(options, seconds, sync_seconds, lists)


def report(
    options: argparse.Namespace,
    seconds: dict[str, list[float]],
    sync_seconds: dict[str, list[float]],
    lists: dict[str, list[float]],
) -> None:
    median = {title: statistics.median(found) for title, found in seconds.items()}
    print(f"{options.backups:,} backups of {options.files} files and a record, {options.rounds} rounds\n")
    print("| deleting all but the newest | median s | min - max s | of it in fsync, s |\n| --- | ---: | ---: | ---: |")
    for title, found in seconds.items():
        synced = f"{statistics.median(sync_seconds[title]):.2f}" if sync_seconds[title] else ""
        print(f"| {title} | {median[title]:.2f} | {min(found):.2f} - {max(found):.2f} | {synced} |")
    bare, trees, _, pruned = median.values()
    beyond = pruned - bare
    verdict = "pass" if beyond <= PRUNE_TARGET_SECONDS else "**falls short**"
    print(
        f"\n`prune` takes {beyond:.2f} s more than the bare unlinks (target: at most {PRUNE_TARGET_SECONDS:.0f} s): ",
        end="",
    )
    print(f"{verdict}; {pruned / trees:.2f} x `shutil.rmtree`")
    print("\n| listing all of them | median ms | min - max ms |\n| --- | ---: | ---: |")
    for title, found in lists.items():
        print(f"| {title} | {statistics.median(found):.0f} | {min(found):.0f} - {max(found):.0f} |")
    listed = statistics.median(lists["**`list_backups`**"])
    verdict = "pass" if listed <= LIST_TARGET_MS else "**falls short**"
    print(f"\nThe list takes {listed:.0f} ms (target: at most {LIST_TARGET_MS:.0f} ms): {verdict}")
    if options.json:
        content = {
            "backups": options.backups,
            "files": options.files,
            "seconds": seconds,
            "sync_seconds": sync_seconds,
            "list_ms": lists,
        }
        Path(options.json).write_text(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
