"""What the backup adds to a run: the same run with and without files of an earlier one, and the bare renames.

    python -m benchmarks.bench_backup --directory DIR [--files 200] [--rounds 15] [--json FILE]

Rounds are interleaved, medians count. The run has one step that writes one file, so everything else is visible.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from data_pipeline.api.simple_workflow import SimpleWorkflowExecutor
from data_pipeline.tasks.backup.create import back_up
from data_pipeline.tasks.workspace import open_workspace
from tests.support.tasks import PARAMETERS, WritingStep

TARGET_MS = 20.0


def make(path: Path, files: int) -> Path:
    path.mkdir(parents=True)
    (path / "table_list.txt").write_text("t\n")
    for number in range(files):
        (path / f"table_{number:05}.ddl").write_text("create table t (id int);\n" * 20)
    return path


def run(path: Path) -> None:
    executor = SimpleWorkflowExecutor(
        path.name, directory=str(path), parameters=PARAMETERS, steps=(WritingStep({"t.ddl": "t"}),)
    )
    result = asyncio.run(executor.execute_complete_workflow())
    assert result["success"]


def backup_alone(path: Path) -> None:
    with open_workspace(str(path), path.name, label="bench", timeout_seconds=0) as workspace:
        assert back_up(workspace, run_id="run_1").state == "backed_up"


def renames(path: Path) -> None:
    (path / "bak").mkdir()
    for name in os.listdir(path):
        if name.endswith(".ddl"):
            os.rename(path / name, path / "bak" / name)


def milliseconds(work: Callable[[Path], None], path: Path) -> float:
    started = time.perf_counter()
    work(path)
    return (time.perf_counter() - started) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", default=tempfile.gettempdir())
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(dir=options.directory))
    contenders: dict[str, tuple[Callable[[Path], None], int]] = {
        "a run that finds nothing to back up": (run, 0),
        "the same run with its backup": (run, options.files),
        "the backup alone, with its lock": (backup_alone, options.files),
        "bare renames": (renames, options.files),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    places = {
        (name, number): make(base / f"{index}_{number}" / "task", files)
        for index, (name, (_, files)) in enumerate(contenders.items())
        for number in range(options.rounds)
    }
    for path in places.values():  # the state directory is made once in a task's life: not what is measured
        open_workspace(str(path), path.name, label="bench", timeout_seconds=0).directory.release()
    for number in range(options.rounds):
        for name, (work, _) in contenders.items():
            os.sync()
            times[name].append(milliseconds(work, places[name, number]))
    shutil.rmtree(base)
    medians = {name: statistics.median(found) for name, found in times.items()}
    print(f"{options.files} files, {options.rounds} rounds\n")
    print("|  | median ms | min - max ms |\n| --- | ---: | ---: |")
    for name, found in times.items():
        print(f"| {name} | {medians[name]:.1f} | {min(found):.1f} - {max(found):.1f} |")
    added = medians["the same run with its backup"] - medians["a run that finds nothing to back up"]
    verdict = "pass" if added <= TARGET_MS else "**falls short**"
    print(f"\nThe backup adds {added:.1f} ms to a run (target: at most {TARGET_MS:.0f} ms): {verdict}")
    if options.json:
        Path(options.json).write_text(json.dumps({"files": options.files, "ms": times, "added_ms": added}, indent=2))


if __name__ == "__main__":
    main()
