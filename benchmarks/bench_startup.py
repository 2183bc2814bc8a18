"""Measure the start of the command line: processor time of short commands, beside sqlite-utils and a bare Python.

    python -m benchmarks.bench_startup [--rounds 15] [--json FILE]

Every command takes its turn in every round, and the order rotates. A figure is the processor time of the whole process,
user and system, as the kernel counts it for a child that has ended: other work on the machine disturbs it less than it
disturbs the time on the clock. `sqlite-utils` takes part where it is installed in the same environment or on the PATH
(`pip install -e '.[bench]'`); it is a tool of the same kind, small and known for its quality.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from data_pipeline.store import Store

ROOT = Path(__file__).parents[1]
OURS = [sys.executable, "-m", "data_pipeline"]
TASKS = 50
LIMITS = {
    "`data-pipeline --version`": 0.3,
    "`data-pipeline --help`": 0.3,
    "completion of a command": 0.3,
    "completion of a task": 0.3,
    "`data-pipeline tasks list`": 0.5,
}
"""Seconds that a command may take."""

Command = tuple[list[str], dict[str, str]]


def prepare(folder: Path) -> None:
    """A home with tasks, and a database with tables."""
    for number in range(TASKS):
        (folder / "home" / "training_data" / f"task_20250121_{number:06}").mkdir(parents=True)
    with Store.open(f"sqlite:///{folder / 'home' / 'data_pipeline.sqlite'}") as store:
        began = datetime(2025, 1, 21, 9, 44, tzinfo=UTC)
        for number in range(TASKS):
            parameters = {"db_connection": "shop", "language": "en"}
            store.create_task(parameters, local_time=began + timedelta(seconds=number), db_name="shop")
    connection = sqlite3.connect(folder / "shop.sqlite")
    for number in range(TASKS):
        connection.execute(f"CREATE TABLE table_{number} (id INTEGER PRIMARY KEY)")
    connection.close()


def completion(words: str) -> dict[str, str]:
    """The environment in which bash asks for what could come after these words."""
    count = str(words.count(" "))
    return {"_DATA_PIPELINE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": count}


def commands(folder: Path) -> dict[str, Command]:
    """Every command with its environment, by the name in the table."""
    found: dict[str, Command] = {
        "Python alone": ([sys.executable, "-c", "pass"], {}),
        "`data-pipeline --version`": ([*OURS, "--version"], {}),
        "`data-pipeline --help`": ([*OURS, "--help"], {}),
        "`data-pipeline tasks --help`": ([*OURS, "tasks", "--help"], {}),
        "completion of a command": (OURS, completion("data-pipeline b")),
        "completion of a task": (OURS, completion("data-pipeline tasks show t")),
        "`data-pipeline tasks list`": ([*OURS, "tasks", "list"], {}),
    }
    beside = Path(sys.executable).with_name("sqlite-utils")
    rival = str(beside) if beside.exists() else shutil.which("sqlite-utils")
    if rival is not None:
        found["`sqlite-utils --version`"] = ([rival, "--version"], {})
        found["`sqlite-utils --help`"] = ([rival, "--help"], {})
        found["`sqlite-utils tables`"] = ([rival, "tables", str(folder / "shop.sqlite")], {})
    return found


def cpu_seconds(command: Command, folder: Path) -> float:
    """Run a command; the processor time that it took."""
    words, environment = command
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DATA_PIPELINE_")}
    surroundings = {**inherited, "DATA_PIPELINE_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), **environment}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, cwd=folder, env=surroundings, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout or words[-1] == "pass", words
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    """The times of every command; a first round, which writes compiled modules, does not count."""
    contenders = commands(folder)
    names = list(contenders)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            seconds = cpu_seconds(contenders[name], folder)
            if number:
                times[name].append(seconds)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        times = measure(Path(folder), options.rounds)
    print("|  | median s | min - max s | limit s | verdict |\n| --- | ---: | ---: | ---: | ---: |")
    for name, seconds in times.items():
        median, limit = statistics.median(seconds), LIMITS.get(name)
        verdict = "" if limit is None else "pass" if median <= limit else "**falls short**"
        span = f"{min(seconds):.3f} - {max(seconds):.3f}"
        print(f"| {name} | {median:.3f} | {span} | {limit or ''} | {verdict} |")
    if options.json:
        options.json.write_text(json.dumps({"rounds": options.rounds, "cpu_seconds": times}, indent=1) + "\n")


if __name__ == "__main__":
    main()
