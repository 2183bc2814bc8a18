"""What a crash-safe backup costs beside the ways of moving files that people use without a journal.

    python benchmarks/bench_journal.py [--sizes 10,100,1000,10000,100000] [--rounds 7] [--directory DIR] [--json FILE]

A backup moves every file of a task directory into a new directory inside it. All contenders do that, each on files of
its own, in turn within every round, in an order that rotates from round to round. Before each timing the disk is
synced, so nobody pays for what another left unwritten. The files of one size exist before its first timing, and
nothing is deleted before the last one: freed inodes slow ext4 down.

Tables and verdicts go to standard output (Markdown), progress to standard error. What is measured how: README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import NamedTuple, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data_pipeline.tasks.backup.create import back_up
from data_pipeline.tasks.workspace import open_workspace
from journal import Filesystem, LocalFilesystem, LockedDirectory, Outcome, lock_directory
from journal.filesystem import Directory

filetx: ModuleType | None = None
with contextlib.suppress(ImportError):
    filetx = importlib.import_module("filetx")
fs_transaction: ModuleType | None = None
with contextlib.suppress(ImportError):
    fs_transaction = importlib.import_module("fs_transaction")

SIZES = (10, 100, 1_000, 10_000, 100_000)
BACKUP = "file_bak"
RECORD = "backup.json"
CONTENT = b'{"question": "How many orders were shipped late?", "sql": "SELECT count(*) FROM orders WHERE late"}\n'
JOURNAL_LINE = b"x" * 149 + b"\n"
"""As long as a line of the package's journal about a file of these names."""

SMALL_SIZE = 100
SMALL_FACTOR = 5
"""Up to SMALL_SIZE files a run takes milliseconds, most of them fsync, which varies: SMALL_FACTOR times the rounds."""

SLOW_UP_TO = 10_000
"""What needs an fsync a file, and what is only there to explain a figure, is not run with more files than this."""

MEMORY_ROUNDS = 3


@dataclass(frozen=True)
class Run:
    """One timed run; `parts` are further figures of the same run, in seconds unless their name says otherwise."""

    seconds: float
    parts: dict[str, float] = field(default_factory=dict)


class Contender(NamedTuple):
    """A way to make a backup: `back_up` takes the task directory; `largest` is the most files it is asked to move."""

    name: str
    title: str
    back_up: Callable[[str], Run]
    largest: int | None = None


class Target(NamedTuple):
    """What was promised and what came out."""

    text: str
    limit: float
    figure: float
    unit: str
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the figure is on the right side of the limit."""
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit


def note(text: str) -> None:
    """A progress line."""
    print(text, file=sys.stderr, flush=True)


def settle() -> None:
    """Write out and collect what earlier runs left, so that the next timing does not pay for it."""
    gc.collect()
    os.sync()


# ---- contenders ---------------------------------------------------------------------------------------------------


def rename_loop(task: str) -> Run:
    """`os.rename` a file: no journal, no sync, replaces what is there."""
    settle()
    started = perf_counter()
    backup = os.path.join(task, BACKUP)
    names = os.listdir(task)
    os.mkdir(backup)
    for name in names:
        os.rename(os.path.join(task, name), os.path.join(backup, name))
    return Run(perf_counter() - started)


def shutil_loop(task: str) -> Run:
    """`shutil.move` a file, told the whole new path: given the directory it would look twice more."""
    settle()
    started = perf_counter()
    backup = os.path.join(task, BACKUP)
    names = os.listdir(task)
    os.mkdir(backup)
    for name in names:
        shutil.move(os.path.join(task, name), os.path.join(backup, name))
    return Run(perf_counter() - started)


def mv_batches(task: str) -> Run:
    """`mv -t`, as many names a process as the system allows; starting the processes counts."""
    settle()
    started = perf_counter()
    names = os.listdir(task)
    os.mkdir(os.path.join(task, BACKUP))
    for batch in _argument_batches(names):
        subprocess.run(["mv", "-t", BACKUP, "--", *batch], cwd=task, check=True)
    return Run(perf_counter() - started)


def _argument_batches(names: Iterable[str]) -> Iterator[list[str]]:
    # A name costs its bytes, a NUL and a pointer; half of the limit is left for the environment.
    room = limit = os.sysconf("SC_ARG_MAX") // 2
    batch: list[str] = []
    for name in names:
        cost = len(os.fsencode(name)) + 9
        if cost > room:
            yield batch
            batch, room = [], limit
        batch.append(name)
        room -= cost
    if batch:
        yield batch


def sync_each_move(task: str) -> Run:
    """The obvious journal: one JSON line a move, synced before the move; both directories synced before `done`."""
    settle()
    started = perf_counter()
    backup = os.path.join(task, BACKUP)
    names = os.listdir(task)
    os.mkdir(backup)
    with open(f"{task}.jsonl", "ab", buffering=0) as log:

        def announce(event: dict[str, str]) -> None:
            log.write(json.dumps(event).encode() + b"\n")
            os.fsync(log.fileno())

        for name in names:
            source, destination = os.path.join(task, name), os.path.join(backup, name)
            announce({"event": "move", "source": source, "destination": destination})
            os.rename(source, destination)
        for path in (backup, task):
            sync_path(path)
        announce({"event": "done"})
    return Run(perf_counter() - started)


def filetx_moves(task: str) -> Run:
    """The nearest published peer, with its journal and its syncs."""
    assert filetx is not None
    settle()
    started = perf_counter()
    backup = os.path.join(task, BACKUP)
    transaction = filetx.Transaction(journal=f"{task}.filetx")
    names = os.listdir(task)
    transaction.mkdir(backup)
    for name in names:
        transaction.move(os.path.join(task, name), os.path.join(backup, name))
    transaction.commit()
    return Run(perf_counter() - started)


def fs_transaction_moves(task: str) -> Run:
    """Another published peer: it undoes what an exception interrupts, keeps no journal, and survives no kill."""
    assert fs_transaction is not None
    settle()
    started = perf_counter()
    backup = os.path.join(task, BACKUP)
    names = os.listdir(task)
    os.mkdir(backup)
    with fs_transaction.Transaction() as transaction:
        for name in names:
            transaction.move(os.path.join(task, name), os.path.join(backup, name))
    return Run(perf_counter() - started)


def bare_protocol(task: str) -> Run:
    """The system calls of a backup with this package, in its order, and nothing else: no check, no JSON, no retry.

    `sync` are its 8 fsyncs on their own, each after the same fresh changes as in the package's run.
    """
    state_path = f"{task}.state"
    os.mkdir(state_path)
    sync_seconds = 0.0

    def sync(descriptor: int) -> None:
        nonlocal sync_seconds
        sync_started = perf_counter()
        os.fsync(descriptor)
        sync_seconds += perf_counter() - sync_started

    settle()
    started = perf_counter()
    with contextlib.ExitStack() as opened:

        def opening(path: str, flags: int = os.O_RDONLY) -> int:
            descriptor = os.open(path, flags, 0o600)
            opened.callback(os.close, descriptor)
            return descriptor

        root, state = opening(task), opening(state_path)
        with os.scandir(root) as entries:
            inodes = {entry.name: entry.inode() for entry in entries}
        in_order = sorted(inodes, key=inodes.__getitem__)
        os.mkdir(BACKUP, dir_fd=root)
        backup = opening(os.path.join(task, BACKUP))
        record = opening(os.path.join(state_path, "staged"), os.O_RDWR | os.O_CREAT | os.O_EXCL)
        os.posix_fallocate(record, 0, 4096)
        sync(record)
        log = opening(os.path.join(state_path, "new"), os.O_RDWR | os.O_CREAT | os.O_EXCL)
        os.write(log, JOURNAL_LINE * len(inodes))
        sync(log)
        os.rename("new", "journal", src_dir_fd=state, dst_dir_fd=state)
        sync(state)
        sync(root)
        os.link("staged", RECORD, src_dir_fd=state, dst_dir_fd=backup, follow_symlinks=False)
        for name in in_order:
            os.link(name, name, src_dir_fd=root, dst_dir_fd=backup, follow_symlinks=False)
        sync(backup)
        for name in in_order:
            os.rename(name, "parked", src_dir_fd=root, dst_dir_fd=state)
            if os.stat("parked", dir_fd=state, follow_symlinks=False).st_ino != inodes[name]:
                sys.exit(f"{name} was replaced")
        os.pwrite(record, JOURNAL_LINE, 0)
        os.ftruncate(record, len(JOURNAL_LINE))
        sync(record)
        sync(root)
        os.write(log, JOURNAL_LINE)
        sync(log)
        for name in ("parked", "staged", "journal"):
            os.unlink(name, dir_fd=state)
    return Run(perf_counter() - started, {"sync": sync_seconds})


def sync_path(path: str) -> None:
    """Sync a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class TimedFilesystem(LocalFilesystem):
    """The real disk, with its syncs counted and timed."""

    def __init__(self) -> None:
        super().__init__()
        self.sync_calls = 0
        self.sync_seconds = 0.0

    def sync_file(self, directory: Directory, name: str) -> None:
        with self._timed():
            super().sync_file(directory, name)

    def sync_directory(self, directory: Directory) -> None:
        with self._timed():
            super().sync_directory(directory)

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        started = perf_counter()
        yield
        self.sync_seconds += perf_counter() - started
        self.sync_calls += 1


def journaled(task: str) -> Run:
    """This package: a whole backup under a lock that is already held; taking the lock is timed apart."""
    disk = TimedFilesystem()
    settle()
    started = perf_counter()
    lock_directory(task, label="benchmark", filesystem=disk).release()
    first_lock = perf_counter() - started
    settle()
    started = perf_counter()
    directory = lock_directory(task, label="benchmark", filesystem=disk)
    lock = perf_counter() - started
    with directory:
        settle()
        disk.sync_calls, disk.sync_seconds = 0, 0.0
        started = perf_counter()
        outcome = commit_backup(directory)
        seconds = perf_counter() - started
    assert not outcome.failures
    parts = {"sync": disk.sync_seconds, "sync_calls": disk.sync_calls, "first_lock": first_lock, "lock": lock}
    return Run(seconds, parts)


def commit_backup(directory: LockedDirectory, progress: Callable[[int, int], None] | None = None) -> Outcome:
    """The backup of the docstring of journal/directory.py, with a record of what was done."""
    transaction = directory.transaction("backup", on_error="continue")
    backup = transaction.make_directory(BACKUP, next_free=True)
    for name, identity in directory.scan():
        if identity.type != "directory":
            transaction.move(name, backup, seen=identity)
    transaction.create(backup, RECORD, _record)
    return transaction.commit(progress)


def _record(outcome: Outcome) -> bytes:
    return json.dumps({"transaction": outcome.transaction, "moved": outcome.moved_count}).encode()


def backed_up(task: str) -> Run:
    """What a run does: `back_up` of data_pipeline, with its record of every file, under a lock that is held."""
    with open_workspace(task, "task", label="benchmark", timeout_seconds=0) as workspace:
        settle()
        started = perf_counter()
        report = back_up(workspace, run_id="run_benchmark")
        seconds = perf_counter() - started
    if report.state != "backed_up" or report.failed_files:
        sys.exit(f"{task}: {report}")
    os.rename(os.path.join(task, report.directory or ""), os.path.join(task, BACKUP))
    os.rename(os.path.join(task, BACKUP, "backup_info.json"), os.path.join(task, BACKUP, RECORD))
    return Run(seconds)


PACKAGE = Contender("journal", "**this package**", journaled)
BACK_UP = Contender("back_up", "**`back_up` of a run**", backed_up)
BARE = Contender("rename", "`os.rename` loop", rename_loop)
SHUTIL = Contender("shutil", "`shutil.move` loop", shutil_loop)
MV = Contender("mv", "`mv -t`", mv_batches)
FLOOR = Contender("protocol", "the same system calls, nothing else", bare_protocol, SLOW_UP_TO)
SYNC_EACH = Contender("sync_each", "JSON lines, one fsync a move", sync_each_move, SLOW_UP_TO)
FILETX = Contender("filetx", "filetx 0.1.1", filetx_moves, SLOW_UP_TO)
FS_TRANSACTION = Contender("fs_transaction", "fs-transaction 0.2.0 (no journal)", fs_transaction_moves, SLOW_UP_TO)


def contenders_for(size: int) -> list[Contender]:
    """Who takes part with so many files."""
    everyone = [BARE, PACKAGE, BACK_UP, SHUTIL, MV, FLOOR, SYNC_EACH]
    everyone += [FILETX] if filetx is not None else []
    everyone += [FS_TRANSACTION] if fs_transaction is not None else []
    return [contender for contender in everyone if contender.largest is None or size <= contender.largest]


# ---- files --------------------------------------------------------------------------------------------------------


def make_task(parent: str, name: str, size: int) -> str:
    """A task directory with `size` files of about 100 bytes, alone in a directory of its own."""
    task = os.path.join(parent, name, "task")
    os.makedirs(task)
    root = os.open(task, os.O_RDONLY)
    try:
        for number in range(size):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            descriptor = os.open(f"question_{number:06}.json", flags, 0o644, dir_fd=root)
            os.write(descriptor, CONTENT)
            os.close(descriptor)
    finally:
        os.close(root)
    return task


def check_moved(task: str, size: int) -> None:
    """See that every file has gone into the backup: a contender that loses files wins nothing."""
    left = [name for name in os.listdir(task) if name != BACKUP]
    moved = [name for name in os.listdir(os.path.join(task, BACKUP)) if name != RECORD]
    if left or len(moved) != size:
        sys.exit(f"{task}: {len(left)} files left, {len(moved)} of {size} moved")


# ---- measurements -------------------------------------------------------------------------------------------------

Runs = dict[str, list[Run]]


def measure_size(parent: str, size: int, rounds: int) -> Runs:
    """Every contender in turn, in each round; the order rotates."""
    contenders = contenders_for(size)
    note(f"{size} files: making {len(contenders) * rounds} directories")
    tasks = {
        (turn, contender.name): make_task(parent, f"{size}-{turn}-{contender.name}", size)
        for turn in range(rounds)
        for contender in contenders
    }
    runs: Runs = defaultdict(list)
    for turn in range(rounds):
        first = turn % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            task = tasks[turn, contender.name]
            runs[contender.name].append(contender.back_up(task))
            check_moved(task, size)
        latest = ", ".join(f"{name} {times[-1].seconds * 1e3:.1f}" for name, times in runs.items())
        note(f"{size} files, round {turn + 1} of {rounds}, ms: {latest}")
    return dict(runs)


class Cut(BaseException):
    """The process is dead from here on."""


class DyingFilesystem(LocalFilesystem):
    """The real disk until the commit record is to be written; from then on every call fails, as after a kill -9."""

    def write_at(self, *_: object, **__: object) -> NoReturn:
        verbs = {name for name in vars(Filesystem) if not name.startswith("_")}
        for verb in verbs - {"close"}:  # the system closes what a dead process had open
            setattr(self, verb, _refuse)
        raise Cut


def _refuse(*_: object, **__: object) -> NoReturn:
    raise Cut


def measure_recovery(parent: str, size: int, rounds: int) -> list[Run]:
    """Cut a backup before its commit record, then time taking the lock, which undoes it.

    `forward` is the backup up to the cut, `moves` only its links, the renames that follow and the sync between them.
    """
    note(f"recovery of {size} moves: making {rounds} directories")
    tasks = [make_task(parent, f"recovery-{turn}", size) for turn in range(rounds)]
    runs = []
    for turn, task in enumerate(tasks, start=1):
        ticks: list[float] = []
        started = _time_of_cut_backup(task, ticks)
        forward = perf_counter() - started
        if len(os.listdir(os.path.join(task, BACKUP))) != size + 1:
            sys.exit(f"{task}: the cut came too early")
        settle()
        started = perf_counter()
        directory = lock_directory(task, label="benchmark")
        seconds = perf_counter() - started
        with directory:
            (report,) = directory.recovered.journals
        if (report.action, report.moved_back, len(os.listdir(task))) != ("rolled_back", size, size):
            sys.exit(f"{task}: not recovered: {report}")
        runs.append(Run(seconds, {"forward": forward, "moves": ticks[-1] - ticks[0]}))
        note(f"recovery, round {turn} of {rounds}: {seconds * 1e3:.1f} ms after {forward * 1e3:.1f} ms forward")
    return runs


def _time_of_cut_backup(task: str, ticks: list[float]) -> float:
    """Make a backup that is cut before its commit record; returns when it began. `ticks`: when moves were reported."""
    started = 0.0
    with contextlib.suppress(Cut), lock_directory(task, label="benchmark", filesystem=DyingFilesystem()) as directory:
        settle()
        started = perf_counter()
        commit_backup(directory, lambda _done, _total: ticks.append(perf_counter()))
    return started


def measure_memory(parent: str, size: int) -> dict[str, list[int]]:
    """Peak resident KiB of fresh processes that make one backup each, after importing the same modules."""
    note(f"peak memory with {size} files: making {2 * MEMORY_ROUNDS} directories")
    tasks = [
        (contender.name, make_task(parent, f"memory-{turn}-{contender.name}", size))
        for turn in range(MEMORY_ROUNDS)
        for contender in (BARE, PACKAGE)
    ]
    peaks: dict[str, list[int]] = defaultdict(list)
    for name, task in tasks:
        command = [sys.executable, os.path.abspath(__file__), "--alone", name, task]
        peaks[name].append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        check_moved(task, size)
    return dict(peaks)


def peak_kib() -> int:
    """This process's peak resident memory. Not ru_maxrss: that begins with what the parent process had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def run_alone(name: str, task: str) -> None:
    """One backup in this process; prints its peak memory."""
    {BARE.name: BARE, PACKAGE.name: PACKAGE}[name].back_up(task)
    print(peak_kib())


# ---- results ------------------------------------------------------------------------------------------------------


def median_of(runs: Sequence[Run], part: str | None = None) -> float:
    """The median of the runs' seconds, or of one of their parts."""
    return statistics.median(run.seconds if part is None else run.parts[part] for run in runs)


def targets_of(sizes: dict[int, Runs], recovery: Sequence[Run], memory: dict[str, list[int]]) -> list[Target]:
    """Every promise that this run can judge."""
    targets = []
    for size, runs in sizes.items():
        package, bare, floor = runs[PACKAGE.name], runs[BARE.name], runs.get(FLOOR.name)
        if size == 10 and floor is not None:
            more = median_of(package) - median_of(bare)
            for text, syncs in (
                ("its own fsyncs, timed inside its run", median_of(package, "sync")),
                ("the same 8 fsyncs, timed apart", median_of(floor, "sync")),
            ):
                targets.append(
                    Target(f"10 files: at most 1 ms over rename plus {text}", 1.0, (more - syncs) * 1e3, "ms")
                )
        if size >= 1_000:
            for title, times in (("the package", package), ("`back_up`", runs[BACK_UP.name])):
                ratio = median_of(times) / median_of(bare)
                targets.append(Target(f"{size:,} files: {title} at most 1.90 x the rename loop", 1.90, ratio, "x"))
        if size >= 1_000 and FILETX.name in runs:
            ratio = median_of(runs[FILETX.name]) / median_of(package)
            targets.append(Target(f"{size:,} files: at least 10 x faster than filetx", 10, ratio, "x", at_least=True))
    if recovery:
        ratio = statistics.median(run.seconds / run.parts["moves"] for run in recovery)
        targets.append(Target("recovery: at most 1.3 x the moves it undoes", 1.3, ratio, "x"))
    if memory:
        more = statistics.median(memory[PACKAGE.name]) - statistics.median(memory[BARE.name])
        targets.append(Target("peak memory: at most 25 MB over the rename loop", 25, more * 1024 / 1e6, "MB"))
    return targets


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def describe_size(size: int, runs: Runs) -> Iterator[Sequence[str]]:
    """The rows of one size, fastest first."""
    titles = {contender.name: contender.title for contender in contenders_for(size)}
    bare = median_of(runs[BARE.name])
    for name, times in sorted(runs.items(), key=lambda item: median_of(item[1])):
        median = median_of(times)
        spread = f"{min(run.seconds for run in times) * 1e3:.1f} - {max(run.seconds for run in times) * 1e3:.1f}"
        syncs = f"{median_of(times, 'sync') * 1e3:.1f}" if "sync" in times[0].parts else ""
        ratio = f"{median / bare:.2f}"
        yield titles[name], f"{median * 1e3:.1f}", spread, f"{median / size * 1e6:.1f}", ratio, syncs


def report(sizes: dict[int, Runs], recovery: Sequence[Run], memory: dict[str, list[int]]) -> str:
    """Everything that was measured, for a person."""
    parts = []
    for size, runs in sizes.items():
        head = ("", "median ms", "min - max ms", "us a file", "x rename", "of it in fsync, ms")
        parts += [f"### {size:,} files, {len(runs[PACKAGE.name])} rounds", table(head, describe_size(size, runs))]
    smallest = next(iter(sizes.values()))[PACKAGE.name]
    counted = {int(run.parts["sync_calls"]) for runs in sizes.values() for run in runs[PACKAGE.name]}
    parts.append(
        f"Taking the lock: {median_of(smallest, 'lock') * 1e3:.2f} ms; the first time, making the state directory "
        f"(3 fsyncs): {median_of(smallest, 'first_lock') * 1e3:.2f} ms. "
        f"fsync calls counted in each run of the package: {', '.join(map(str, sorted(counted)))}.\n"
    )
    if recovery:
        parts.append(
            f"Recovery: {median_of(recovery) * 1e3:.1f} ms, after {median_of(recovery, 'forward') * 1e3:.1f} ms for "
            f"the backup up to the cut, {median_of(recovery, 'moves') * 1e3:.1f} ms of it for the moves alone.\n"
        )
    if memory:
        peaks = ", ".join(f"{name} {statistics.median(kib) * 1024 / 1e6:.1f} MB" for name, kib in memory.items())
        parts.append(f"Peak memory of a whole process: {peaks}.\n")
    rows = (
        (target.text, f"{target.figure:.2f} {target.unit}", "pass" if target.is_met else "**falls short**")
        for target in targets_of(sizes, recovery, memory)
    )
    parts.append(table(("target", "figure", "verdict"), rows))
    return "\n".join(parts)


def environment(directory: str) -> dict[str, str | int | None]:
    """What the figures depend on; nothing that names the machine."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "kernel": f"{platform.system()} {platform.release()}",
        "file_system": _file_system_of(directory),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "filetx": getattr(filetx, "__version__", None),
    }


def _file_system_of(directory: str) -> str:
    """The type of the file system with the longest mount point above `directory`."""
    found = ("", "unknown")
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, mount_point, kind, *_ = line.split()
        if os.path.commonpath([mount_point, directory]) == mount_point:
            found = max(found, (mount_point, kind), key=lambda item: len(item[0]))
    return found[1]


def as_json(sizes: dict[int, Runs], recovery: Sequence[Run], memory: dict[str, list[int]], directory: str) -> str:
    """Every single figure, for a program."""
    results = {
        "environment": environment(directory),
        "sizes": {
            str(size): {
                name: {"median_seconds": median_of(times), "runs": [asdict(run) for run in times]}
                for name, times in runs.items()
            }
            for size, runs in sizes.items()
        },
        "recovery": [asdict(run) for run in recovery],
        "peak_memory_kib": memory,
        "targets": [{**target._asdict(), "is_met": target.is_met} for target in targets_of(sizes, recovery, memory)],
    }
    return json.dumps(results, indent=1) + "\n"


# ---- command line -------------------------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Time crash-safe backups beside bare moves.")
    parser.add_argument("--sizes", type=_sizes, default=SIZES, help="numbers of files, separated by commas")
    parser.add_argument(
        "--rounds",
        type=int,
        default=7,
        help=f"runs of each contender; {SMALL_FACTOR} times as many up to {SMALL_SIZE} files",
    )
    parser.add_argument("--directory", default=tempfile.gettempdir(), help="where to work: the disk that is measured")
    parser.add_argument("--recovery-size", type=int, default=10_000, help="moves to recover; 0: leave it out")
    parser.add_argument("--memory-size", type=int, default=50_000, help="files for the memory figure; 0: leave it out")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(size) for size in text.replace("_", "").split(",")))


def main() -> None:
    """Measure, report, delete."""
    options = parse()
    if options.alone:
        run_alone(*options.alone)
        return
    for name, peer in (("filetx", filetx), ("fs-transaction", fs_transaction)):
        if peer is None:
            note(f"{name} is not installed: left out (pip install '.[bench]')")
    os.makedirs(options.directory, exist_ok=True)
    parent = tempfile.mkdtemp(prefix="bench_journal_", dir=os.path.realpath(options.directory))
    try:
        sizes = {
            size: measure_size(parent, size, options.rounds * (SMALL_FACTOR if size <= SMALL_SIZE else 1))
            for size in options.sizes
        }
        recovery = measure_recovery(parent, options.recovery_size, options.rounds) if options.recovery_size else []
        memory = measure_memory(parent, options.memory_size) if options.memory_size else {}
        print(report(sizes, recovery, memory))
        if options.json:
            Path(options.json).write_text(as_json(sizes, recovery, memory, parent), encoding="utf-8")
    finally:
        note("deleting the files")
        shutil.rmtree(parent)


if __name__ == "__main__":
    main()
