"""What the service costs: a durable call, an execute request while runs are active, memory over many tables.

    python -m benchmarks.bench_service --directory DIR [--tables 500] [--requests 100] [--runs 10] [--json FILE]

Real server processes on loopback. Durable calls stand beside the same calls without an engine, and beside what no
engine can go below: one row, committed, in the same kind of SQLite database.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import re
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_pipeline.runs import engine as engine_module
from data_pipeline.runs.engine import Engine, RunControl, RunOrder
from data_pipeline.runs.worker_slots import WorkerSlots
from data_pipeline.steps import Json
from data_pipeline.steps.runner import StepRunner
from tests.support.server import Server, data, new_shop
from tests.support.shop import make_tables

CALLS = 500
ACTIVE = 20
CALL_TARGET_MS = 3.0
EXECUTE_TARGET_MS = 50.0


async def nothing(number: int) -> Json:
    return {"table": f"t{number}", "files": [[f"t{number}.ddl", "0" * 64, 1000]]}


async def call_all(runner: StepRunner, concurrency: int) -> float:
    started = time.perf_counter()
    works = [(f"table {number}", functools.partial(nothing, number)) for number in range(CALLS)]
    await runner.run_all(works, concurrency=concurrency)
    return (time.perf_counter() - started) * 1000 / CALLS


def durable_calls(base: Path) -> dict[str, float]:
    """Milliseconds a call, by who runs it."""
    engine = Engine.open(f"sqlite:///{base / 'engine.sqlite'}", WorkerSlots(str(base / "training_data")))
    found: dict[str, float] = {}

    async def run(control: RunControl) -> None:
        concurrency = int(control.order.run_id)
        found[f"engine, {concurrency} at once"] = await call_all(control.runner, concurrency)

    engine.start_worker(run, runs_at_once=1)
    for concurrency in (1, 4):
        engine.admit(RunOrder("task_1", str(concurrency)))
        while engine.run_of("task_1") is not None:
            time.sleep(0.05)
    engine.stop()
    found["no engine"] = asyncio.run(call_all(StepRunner(), 4))
    found["one committed row, nothing else"] = committed_rows(base / "bare.sqlite")
    return found


def committed_rows(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE calls (id INTEGER PRIMARY KEY, output TEXT)")
    row = json.dumps(asyncio.run(nothing(1)))
    started = time.perf_counter()
    for _ in range(CALLS):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO calls (output) VALUES (?)", (row,))
        connection.execute("COMMIT")
    milliseconds = (time.perf_counter() - started) * 1000 / CALLS
    connection.close()
    return milliseconds


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def execute_while_active(server: Server, names: list[str], requests: int) -> tuple[list[float], list[float], int]:
    """Milliseconds of execute requests: one short run after the other, while runs are active; how many still are."""
    idle = [server.new_task("customer") for _ in range(requests)]
    alone = [timed(lambda task_id=task_id: server.execute(task_id)) for task_id in idle]  # type: ignore[misc]
    for task_id in idle:
        server.wait_until_ended(task_id)
    for task_id in [server.new_task(*names) for _ in range(ACTIVE)]:
        server.execute(task_id)
    while server.client.get("/health").json()["runs_active"] < ACTIVE:
        time.sleep(0.05)
    busy = [timed(lambda task_id=task_id: server.execute(task_id)) for task_id in idle]  # type: ignore[misc]
    return alone, busy, server.client.get("/health").json()["runs_active"]


def memory_mb(server: Server) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+)", status)
    return int(kilobytes) / 1024


def runs_of_many_tables(server: Server, names: list[str], runs: int) -> list[tuple[float, float]]:
    """Seconds and resident megabytes of one run after the other."""
    task_id = server.new_task(*names)
    found = []
    for _ in range(runs):
        started = time.perf_counter()
        assert data(server.execute(task_id, wait_seconds=60))["status"] == "completed"
        found.append((time.perf_counter() - started, memory_mb(server)))
    return found


def verdict(value: float, target: float) -> str:
    return "pass" if value <= target else "**falls short**"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", default=tempfile.gettempdir())
    parser.add_argument("--tables", type=int, default=500)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(dir=options.directory))
    engine_module.POLL_SECONDS = 0.05  # type: ignore[misc]
    calls = durable_calls(base)
    print(f"{CALLS} durable calls that do nothing\n\n|  | ms a call |\n| --- | ---: |")
    for name, value in calls.items():
        print(f"| {name} | {value:.3f} |")
    overhead = calls["engine, 1 at once"]
    print(f"\nA durable call costs {overhead:.2f} ms (target: at most 3 ms): {verdict(overhead, CALL_TARGET_MS)}\n")

    shop = new_shop(base / "shop", is_cold=True)
    names = make_tables(shop.folder / "shop.sqlite", options.tables)
    server = Server(shop, DATA_PIPELINE_RUNS_AT_ONCE=str(ACTIVE)).wait_until_up()
    try:
        many = runs_of_many_tables(server, names, options.runs)
        alone, busy, still_active = execute_while_active(server, names, options.requests)
    finally:
        server.close()
    print(f"{options.tables} tables in one run, {options.runs} runs one after the other\n")
    print("| run | s | MB |\n| ---: | ---: | ---: |")
    for number, (seconds, megabytes) in enumerate(many, start=1):
        print(f"| {number} | {seconds:.2f} | {megabytes:.0f} |")
    print(f"\n{options.requests} execute requests\n\n|  | median ms | p95 ms |\n| --- | ---: | ---: |")
    for name, found in (("one short run after the other", alone), (f"{ACTIVE} runs active", busy)):
        print(f"| {name} | {statistics.median(found):.1f} | {statistics.quantiles(found, n=20)[-1]:.1f} |")
    median = statistics.median(busy)
    print(
        f"\nExecute answers in {median:.1f} ms at the median while {ACTIVE} runs are active, {still_active} at the end"
    )
    print(f"(target: at most 50 ms): {verdict(median, EXECUTE_TARGET_MS)}")
    if options.json:
        found_all = {"calls_ms": calls, "runs": many, "alone_ms": alone, "busy_ms": busy}
        Path(options.json).write_text(json.dumps(found_all, indent=2))


if __name__ == "__main__":
    main()
