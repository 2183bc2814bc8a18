"""What the steps cost on a database: tables and queries a second.

    python -m benchmarks.bench_ddl --directory DIR [--tables 10,100,1000,2000] [--rounds 3] [--queries 500]

ddl_generation stands beside SQLAlchemy's reflection of the same tables, which writes nothing, and beside the same files
written and synced by bare system calls. sql_validation stands beside a bare loop of execute and fetch on one
connection. PostgreSQL is the one of the tests; it is left out where that is not installed.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import contextlib
import json
import logging
import multiprocessing
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import MetaData, create_engine

from data_pipeline.api.simple_workflow import SimpleWorkflowExecutor
from data_pipeline.database.connection import open_database
from data_pipeline.database.finding import list_tables
from data_pipeline.demo.database import build_database
from data_pipeline.steps import RunParameters
from data_pipeline.steps.ddl.step import DdlGeneration
from data_pipeline.steps.pair_file import format_pairs
from data_pipeline.steps.validation.step import SqlValidation
from tests.support.postgres import fresh_database

COLUMNS = 20
ROWS = 20
REFLECTION_TARGET = 2.0
EXECUTE_TARGET = 1.5
LINEAR_TARGET = 1.5
"""How much dearer a table of the largest schema may be than one of the 100."""

SMALL = """
SELECT name, opened_on FROM service_area WHERE service_area_id = {n};
SELECT count(*) FROM employee WHERE service_area_id > {n};
SELECT s.name, count(*) AS people FROM service_area s JOIN employee e ON e.service_area_id = s.service_area_id
 WHERE s.service_area_id <> {n} GROUP BY s.name ORDER BY people DESC, s.name LIMIT 5;
SELECT full_name FROM employee WHERE employee_id NOT IN (SELECT manager_id FROM employee WHERE manager_id IS NOT NULL)
 AND employee_id % 7 = {n} % 7 ORDER BY full_name LIMIT 10;
WITH people AS (SELECT service_area_id, count(*) AS many FROM employee GROUP BY service_area_id)
 SELECT avg(many) FROM people WHERE service_area_id <> {n}
"""
"""Queries that take a tenth of a millisecond: what is measured is everything around them."""

LARGE = """
SELECT a.name, sum(s.total) AS takings FROM sale s JOIN shop h ON h.shop_id = s.shop_id
 JOIN service_area a ON a.service_area_id = h.service_area_id WHERE s.sale_id > {n}
 GROUP BY a.name ORDER BY takings DESC, a.name LIMIT 5;
SELECT p.category, count(*) AS lines, sum(i.quantity * i.unit_price) AS takings FROM sale_item i
 JOIN product p ON p.product_id = i.product_id JOIN sale s ON s.sale_id = i.sale_id WHERE s.sale_id <> {n}
 GROUP BY p.category ORDER BY takings DESC, p.category
"""
"""Questions over the demo's largest tables, as people ask them of their business."""


def schema_of(count: int, *, is_sqlite: bool) -> str:
    """Tables of 20 columns with rows, an index, a check and a key to another: SQLAlchemy cannot follow deep chains."""
    statements = []
    for number in range(count):
        columns = [f"c{column} {'varchar(40)' if column % 2 else 'integer'}" for column in range(COLUMNS - 2)]
        key = f", foreign key (parent) references t{(number - 1) // 10} (id)" if number else ""
        statements.append(
            f"CREATE TABLE t{number} (id integer PRIMARY KEY, parent integer, {', '.join(columns)}, "
            f"CHECK (c0 >= 0){key})"
        )
        statements.append(f"CREATE INDEX i{number} ON t{number} (c1)")
        values = ", ".join("'text ' || i" if column % 2 else "i" for column in range(COLUMNS - 2))
        series = (
            f"(WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) SELECT i FROM n)"
            if is_sqlite
            else f"(SELECT generate_series(1, {ROWS}) AS i)"
        )
        parent = "1" if number else "NULL"
        statements.append(f"INSERT INTO t{number} SELECT i, {parent}, {values} FROM {series} AS numbers")
    return ";\n".join(statements)


@contextlib.contextmanager
def database(kind: str, folder: Path, count: int) -> Iterator[str]:
    """The URL of a database of so many tables."""
    if kind == "sqlite":
        path = folder / f"tables_{count}.sqlite"
        connection = sqlite3.connect(path)
        connection.executescript(f"BEGIN; {schema_of(count, is_sqlite=True)}; COMMIT")
        connection.close()
        yield f"sqlite:///{path}"
    else:
        with fresh_database() as url:
            with psycopg.connect(url, autocommit=True) as session:
                for statement in schema_of(count, is_sqlite=False).split(";\n"):
                    session.execute(statement)
                session.execute("ANALYZE")
            yield url


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def reflect(url: str) -> None:
    """What SQLAlchemy alone does to know the same tables."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    MetaData().reflect(engine)
    engine.dispose()


def run_step(url: str, folder: Path, *, is_profiled: bool) -> None:
    """The whole step: read, write, publish in one transaction."""
    with open_database(url) as opened:
        tables = list_tables(opened)
    directory = folder / "task"
    parameters = RunParameters(db_connection=url, profile_tables=is_profiled)
    executor = SimpleWorkflowExecutor(
        "task", directory=str(directory), parameters=parameters, tables=tables, steps=(DdlGeneration(),)
    )
    result = asyncio.run(executor.execute_single_step("ddl_generation"))
    assert result["success"], result["error"]


def write_alone(source: Path, folder: Path) -> None:
    """The same files by bare system calls, each synced, then their directory."""
    folder.mkdir()
    directory = os.open(folder, os.O_RDONLY)
    for name in os.listdir(source):
        path = source / name
        if path.is_file():
            content = path.read_bytes()
            file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(file, content)
            os.fsync(file)
            os.close(file)
    os.fsync(directory)
    os.close(directory)


def _peak_of_step(url: str, folder: str, result: Any) -> None:
    run_step(url, Path(folder), is_profiled=True)
    status = Path("/proc/self/status").read_text()  # getrusage would give the parent's where that is more
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    result.put(int(peak) / 1024)


def peak_memory_mb(url: str, folder: Path) -> float:
    """The most memory of a process that does nothing but this step."""
    context = multiprocessing.get_context("spawn")
    result = context.Queue()
    process = context.Process(target=_peak_of_step, args=(url, str(folder), result))
    process.start()
    peak: float = result.get()
    process.join()
    return peak


def tables_a_second(kind: str, base: Path, counts: list[int], rounds: int) -> list[dict[str, float]]:
    found = []
    for count in counts:
        folder = Path(tempfile.mkdtemp(dir=base))
        with database(kind, folder, count) as url:
            times: dict[str, list[float]] = {"reflection": [], "step": [], "profiled": [], "files": []}
            for number in range(rounds):
                one_round(url, folder / str(number), times)
            row = {key: statistics.median(values) for key, values in times.items()}
            peak = peak_memory_mb(url, folder / "memory")
            found.append({"tables": count, **row, "peak_mb": peak})
    return found


def one_round(url: str, place: Path, times: dict[str, list[float]]) -> None:
    place.mkdir()
    times["reflection"].append(timed(lambda: reflect(url)))
    times["step"].append(timed(lambda: run_step(url, place / "plain", is_profiled=False)))
    times["profiled"].append(timed(lambda: run_step(url, place / "profiled", is_profiled=True)))
    times["files"].append(timed(lambda: write_alone(place / "plain" / "task", place / "alone")))


def queries_a_second(kind: str, base: Path, texts: str, count: int, rounds: int) -> dict[str, float]:
    """Seconds a query, bare and through the gates."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(dir=base))
        build_database(str(folder / "demo.sqlite"))
        url = f"sqlite:///{folder / 'demo.sqlite'}"
        if kind != "sqlite":
            url = stack.enter_context(fresh_database())
            copy_demo(folder / "demo.sqlite", url)
        queries = texts.strip().split(";")
        sqls = [" ".join(queries[number % len(queries)].split()).format(n=number) for number in range(count)]
        directory = folder / "task"
        directory.mkdir()
        (directory / "qs_demo_pair.json").write_text(format_pairs((f"question {sql}", sql) for sql in sqls))
        times: dict[str, list[float]] = {"bare": [], "validation": []}
        for _ in range(rounds):
            times["bare"].append(timed(lambda: execute_all(url, sqls)))
            times["validation"].append(timed(lambda: validate(url, directory, count)))
    return {key: statistics.median(values) / count for key, values in times.items()}


def copy_demo(source: Path, url: str) -> None:
    """The demo's tables in PostgreSQL, with their primary keys."""
    connection = sqlite3.connect(source)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    with psycopg.connect(url, autocommit=True) as session, session.cursor() as cursor:
        for table in tables:
            columns = connection.execute("SELECT name, type, pk FROM pragma_table_info(?)", (table,)).fetchall()
            types = [name + (" numeric" if type_.startswith(("INT", "NUM")) else " text") for name, type_, _ in columns]
            keys = ", ".join(name for name, _, is_key in columns if is_key)
            cursor.execute(f"CREATE TABLE {table} ({', '.join(types)}, PRIMARY KEY ({keys}))")
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                for row in connection.execute(f"SELECT * FROM {table}"):
                    copy.write_row([None if value is None else str(value) for value in row])
        cursor.execute("ANALYZE")
    connection.close()


def execute_all(url: str, sqls: list[str]) -> None:
    with open_database(url) as opened, opened.connect() as connection:
        plain = connection.execution_options(no_parameters=True)
        for sql in sqls:
            plain.exec_driver_sql(sql).fetchmany(1_001)


def validate(url: str, directory: Path, count: int) -> None:
    executor = SimpleWorkflowExecutor(
        "task",
        directory=str(directory),
        parameters=RunParameters(db_connection=url),
        tables=(),
        steps=(SqlValidation(),),
    )
    result = asyncio.run(executor.execute_single_step("sql_validation"))
    assert result["success"], result["error"]
    assert result["artifacts"]["sql_validation"]["valid_sql_count"] == count, result["artifacts"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True, help="on the disk to measure")
    parser.add_argument("--tables", default="10,100,1000,2000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def verdict(name: str, found: float, target: float) -> str:
    return f"{name}: {found:.2f} x (target: at most {target} x): {'pass' if found <= target else 'FALLS SHORT'}"


def print_tables(rows: list[dict[str, float]]) -> None:
    print("| tables | reflection alone | the step, no profile | with profile | its files alone | x | ms a table | MB |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        print(
            f"| {row['tables']} | {row['reflection']:.3f} | {row['step']:.3f} | {row['profiled']:.3f} "
            f"| {row['files']:.3f} | {row['step'] / row['reflection']:.2f} "
            f"| {1000 * row['step'] / row['tables']:.2f} | {row['peak_mb']:.0f} |"
        )
    by_count = {row["tables"]: row for row in rows}
    print()
    if 1_000 in by_count:
        row = by_count[1_000]
        print(verdict("1 000 tables, the step against reflection", row["step"] / row["reflection"], REFLECTION_TARGET))
    if 100 in by_count and rows[-1]["tables"] > 100:
        each = [row["step"] / row["tables"] for row in (rows[-1], by_count[100])]
        print(verdict(f"a table of {rows[-1]['tables']} against one of 100", each[0] / each[1], LINEAR_TARGET))


def main() -> None:
    arguments = _arguments()
    logging.getLogger("data_pipeline").addHandler(logging.NullHandler())
    counts = [int(count) for count in arguments.tables.split(",")]
    found: dict[str, Any] = {}
    base = tempfile.mkdtemp(dir=arguments.directory)  # kept to the end: inodes just freed slow ext4 down
    atexit.register(shutil.rmtree, base)
    for kind in ("sqlite", "postgresql"):
        rows = tables_a_second(kind, Path(base), counts, arguments.rounds)
        found[kind] = {"tables": rows}
        print(f"\n{kind}: {COLUMNS} columns and {ROWS} rows a table, median of {arguments.rounds}, seconds\n")
        print_tables(rows)
        for name, texts in (("small", SMALL), ("large", LARGE)):
            row = queries_a_second(kind, Path(base), texts, arguments.queries, arguments.rounds)
            found[kind][name] = row
            print(
                f"\n{arguments.queries} {name} queries: bare {1000 * row['bare']:.2f} ms, validation "
                f"{1000 * row['validation']:.2f} ms a query, {1 / row['validation']:.0f} a second"
            )
            print(verdict(f"{name} queries, validation against bare", row["validation"] / row["bare"], EXECUTE_TARGET))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
