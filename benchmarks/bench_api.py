"""How the API answers under load: status requests while runs are active, and lists of many tasks.

    python -m benchmarks.bench_api --directory DIR [--seconds 20] [--rate 100] [--active 10] [--tasks 20000]

A real server on loopback. Requests leave at a steady rate whatever the earlier ones do, and are timed from when they
should have left: a server that stalls shows all of it. Beside the lists stands the bare query of one page.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, insert, text

from data_pipeline.store import Store
from data_pipeline.store.tables import TASKS
from tests.support.postgres import fresh_database
from tests.support.server import API, Server, new_shop
from tests.support.shop import Shop, make_tables

P99_TARGET_MS = 200.0
LIST_TARGET_MS = 100.0


def status_under_load(server: Server, names: list[str], options: argparse.Namespace) -> tuple[list[float], int, float]:
    """Milliseconds of every status request, how many failed, and how many runs were active on average."""
    tasks = [server.new_task(*names) for _ in range(options.active)]
    is_over = threading.Event()
    active: list[int] = []

    def keep_active(task_id: str) -> None:
        while not is_over.is_set():
            server.execute(task_id, wait_seconds=60)

    def watch() -> None:
        while not is_over.wait(0.5):
            active.append(server.client.get("/health").json()["runs_active"])

    def ask(number: int) -> tuple[float, int]:
        due = began + number / options.rate
        time.sleep(max(0.0, due - time.perf_counter()))
        answer = server.client.get(f"{API}/tasks/{tasks[number % len(tasks)]}")
        return (time.perf_counter() - due) * 1000, answer.status_code

    with ThreadPoolExecutor(options.active + 1) as keepers, ThreadPoolExecutor(32) as pool:
        for task_id in tasks:
            keepers.submit(keep_active, task_id)
        while server.client.get("/health").json()["runs_active"] < options.active:
            time.sleep(0.05)
        keepers.submit(watch)
        began = time.perf_counter()
        answers = list(pool.map(ask, range(options.rate * options.seconds)))
        is_over.set()
    failed = sum(status != 200 for _, status in answers)
    return [milliseconds for milliseconds, _ in answers], failed, statistics.mean(active)


def fill(url: str, count: int) -> None:
    """A store with many tasks."""
    Store.open(url).close()
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    states = ("pending", "completed", "failed", "partial_completed")
    rows = [
        {
            "task_id": f"task_{number:06}",
            "task_name": f"name {number}",
            "status": states[number % 4],
            "parameters": {"db_connection": "sqlite:///shop.sqlite", "business_context": "x" * 200},
            "created_at": begin + timedelta(minutes=number),
            "updated_at": begin,
            "created_by": "guest",
            "created_type": "api",
            "db_name": "shop",
        }
        for number in range(count)
    ]
    with engine.begin() as connection:
        connection.execute(insert(TASKS), rows)
    engine.dispose()


def milliseconds_of(work: Callable[[], Any], rounds: int = 20) -> float:
    found = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        found.append((time.perf_counter() - started) * 1000)
    return statistics.median(found)


def lists(shop: Shop, url: str, count: int) -> dict[str, float]:
    """Median milliseconds of every kind of list."""
    fill(url, count)
    server = Server(shop, DATA_PIPELINE_DATABASE_URL=url).wait_until_up()
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    bare = text("SELECT * FROM data_pipeline_tasks ORDER BY created_at DESC LIMIT 100")

    def query(**body: Any) -> Callable[[], Any]:
        return lambda: server.client.post(f"{API}/tasks/query", json={"page_size": 100, **body}).raise_for_status()

    def page(**params: Any) -> Callable[[], Any]:
        return lambda: server.client.get(f"{API}/tasks", params={"limit": 100, **params}).raise_for_status()

    def bare_query() -> None:
        with engine.connect() as connection:
            connection.execute(bare).all()

    try:
        return {
            "bare query of 100 rows": milliseconds_of(bare_query),
            "first page": milliseconds_of(page()),
            "last page": milliseconds_of(page(offset=count - 100)),
            "failed ones": milliseconds_of(page(status="failed")),
            "by part of a name": milliseconds_of(query(task_name="9", sort_by="task_name")),
            "by time": milliseconds_of(query(created_time_start="2025-01-05", created_time_end="2025-01-09")),
        }
    finally:
        engine.dispose()
        server.close()


def verdict(value: float, target: float) -> str:
    return "pass" if value <= target else "**falls short**"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", default=tempfile.gettempdir())
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rate", type=int, default=100)
    parser.add_argument("--active", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(dir=options.directory))
    shop = new_shop(base / "load", is_cold=True)
    names = make_tables(shop.folder / "shop.sqlite", 500)
    server = Server(shop, DATA_PIPELINE_RUNS_AT_ONCE=str(options.active)).wait_until_up()
    try:
        found, failed, active = status_under_load(server, names, options)
    finally:
        server.close()
    p99 = statistics.quantiles(found, n=100)[-1]
    print(f"{options.rate} status requests a second for {options.seconds} s while {options.active} runs are active")
    print(f"(of 500 tables each, over and over; {active:.1f} on average): {len(found)} requests, {failed} failed\n")
    print("| median ms | p95 ms | p99 ms | max ms |\n| ---: | ---: | ---: | ---: |")
    p95 = statistics.quantiles(found, n=20)[-1]
    print(f"| {statistics.median(found):.1f} | {p95:.1f} | {p99:.1f} | {max(found):.1f} |")
    print(f"\np99 {p99:.0f} ms (target: at most 200 ms): {verdict(p99, P99_TARGET_MS)}\n")
    print(f"Lists with {options.tasks:,} tasks in the store, median ms\n")
    results: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        urls = {"SQLite": f"sqlite:///{base / 'many.sqlite'}", "PostgreSQL": stack.enter_context(fresh_database())}
        for kind, url in urls.items():
            results[kind] = lists(new_shop(base / kind, is_cold=True), url, options.tasks)
    print("|  | SQLite | PostgreSQL |\n| --- | ---: | ---: |")
    for name in results["SQLite"]:
        print(f"| {name} | {results['SQLite'][name]:.1f} | {results['PostgreSQL'][name]:.1f} |")
    worst = max(value for by_list in results.values() for value in by_list.values())
    print(f"\nThe slowest list {worst:.0f} ms (target: at most 100 ms): {verdict(worst, LIST_TARGET_MS)}")
    if options.json:
        Path(options.json).write_text(json.dumps({"status_ms": found, "lists_ms": results}, indent=2))


if __name__ == "__main__":
    main()
