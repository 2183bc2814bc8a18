"""What question-SQL pairs cost: a thousand of one database, and ten a table of schemas that grow.

    python -m benchmarks.bench_qa --directory DIR [--database sqlite:///...] [--tables 50,100,250,500] [--rounds 3]

The pairs of one database stand beside the accepted queries, executed bare and once. Without --database it is that of
the demo. The schemas are made up, the same ones each time: keys, 8 columns and 200 rows a table. Each is a run of the
whole step in a process of its own, whose peak memory is that of the step.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import itertools
import json
import logging
import multiprocessing
import random
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from data_pipeline.api.simple_workflow import SimpleWorkflowExecutor
from data_pipeline.database.connection import BusinessDatabase, open_database
from data_pipeline.database.finding import list_tables
from data_pipeline.database.reflection import read_tables
from data_pipeline.demo.database import build_database
from data_pipeline.semantics.facts import Facts
from data_pipeline.semantics.finding_keys import find_keys
from data_pipeline.semantics.glossary import Glossary
from data_pipeline.semantics.observing import observe
from data_pipeline.semantics.telling import TellingValues
from data_pipeline.steps import RunParameters
from data_pipeline.steps.qa import QaGeneration
from data_pipeline.steps.qa.choose.gates import Accepted, Gates, Rejected
from data_pipeline.steps.qa.choose.selection import Candidate
from data_pipeline.steps.qa.generator import Generator
from data_pipeline.steps.qa.say.nouns import Nouns
from data_pipeline.steps.qa.step import LOOK_LIMITS, QUERY_LIMITS, SEED, facts_of

PAIRS = 1_000
PAIRS_A_TABLE = 10
ROWS = 200
BASE_TABLES = 5
"""The schema whose run shows what a process of this step weighs before any table counts."""

LINEAR_TARGET = 1.5
"""How much dearer a table of the largest schema may be than one of the smallest."""

NOUNS = ("customer", "purchase", "product", "invoice", "shipment", "supplier", "warehouse", "store", "employee",
         "contract", "ticket", "vehicle", "route", "sensor", "reading", "course", "student", "campaign", "visit",
         "project", "task", "budget", "payment", "claim", "policy", "device", "incident", "meter", "booking",
         "room")  # fmt: skip
KINDS = ("regional", "online", "archived", "internal", "partner", "seasonal", "retail", "export", "service", "training",
         "rental", "pilot", "field", "prime")  # fmt: skip
COLOURS = ("amber", "blue", "coral", "denim", "ebony", "fawn", "green", "hazel", "indigo", "jade", "khaki", "lilac",
           "mauve", "navy", "olive", "pearl")  # fmt: skip
STATES = ("open", "closed", "pending", "blocked", "shipped", "returned")


def table_names(count: int) -> list[str]:
    """Names as a business has them: nouns, then nouns of a kind."""
    kinds = (f"{kind}_{noun}" for kind in KINDS for noun in NOUNS)
    return list(itertools.islice(itertools.chain(NOUNS, kinds, (f"extract_{n}" for n in itertools.count())), count))


def build_schema(path: Path, count: int) -> None:
    """Tables of 8 columns with 200 rows, each but the first with a key to one or two earlier ones."""
    chance = random.Random(count)
    names = table_names(count)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    for number, name in enumerate(names):
        parents = chance.sample(names[max(0, number - 30) : number], min(number, chance.choice((1, 1, 2))))
        keys = "".join(f", {parent}_id INTEGER REFERENCES {parent} ({parent}_id)" for parent in parents)
        filling = "" if len(parents) == 2 else ", discount_rate REAL"
        connection.execute(
            f"CREATE TABLE {name} ({name}_id INTEGER PRIMARY KEY, title TEXT NOT NULL, state TEXT, quantity INTEGER, "
            f"unit_price REAL, opened_on DATE{keys}{filling})"
        )
        rows = [
            (
                row,
                f"{chance.choice(COLOURS).title()} {name.split('_')[-1].title()} {row}",
                chance.choice(STATES),
                chance.randint(1, 500),
                round(chance.uniform(1, 90), 2),
                f"20{chance.randint(19, 24)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
                *(chance.randint(1, ROWS) for _ in parents),
                *(() if len(parents) == 2 else (round(chance.uniform(0, 0.4), 2),)),
            )
            for row in range(1, ROWS + 1)
        ]
        connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    connection.execute("COMMIT")
    connection.close()


class TimedGates(Gates):
    """Adds up what judging takes."""

    seconds = 0.0

    def judge(self, *arguments: Any, **named: Any) -> Accepted | Rejected:
        started = time.perf_counter()
        try:
            return super().judge(*arguments, **named)
        finally:
            self.seconds += time.perf_counter() - started


class TimedGenerator(Generator):
    """Adds up what making candidates takes."""

    seconds = 0.0

    def _candidates(self, draw: int) -> Iterator[Candidate]:
        started = time.perf_counter()
        found = list(super()._candidates(draw))
        self.seconds += time.perf_counter() - started
        yield from found


def look(database: BusinessDatabase) -> tuple[Facts, frozenset[str]]:
    """What the step knows before it makes a pair."""
    tables, _ = read_tables(database, list_tables(database))
    keys = find_keys(database, tables, LOOK_LIMITS)
    observed = [
        observe(database, table, LOOK_LIMITS, masks_personal_data=True) for table in keys.with_primary_keys(tables)
    ]
    facts = facts_of(database.dialect_name, tables, observed, keys.inferred, Glossary())
    return facts, frozenset().union(*(one.told for one in observed))


def make_pairs(url: str, wanted: int) -> tuple[list[str], dict[str, float]]:
    """The SQL of so many accepted pairs, and seconds by phase."""
    started = time.perf_counter()
    with open_database(url) as database:
        facts, told = look(database)
        looked = time.perf_counter()
        personal = {
            table.name: frozenset(column.name.lower() for column in table.columns if column.role == "personal")
            for table in facts.tables
        }
        gates = TimedGates(
            database, QUERY_LIMITS, personal=personal, told=TellingValues(told), default_schema=facts.default_schema
        )
        generator = TimedGenerator(facts, Nouns(facts, "en"), gates, seed=SEED, wanted=wanted)
        sqls = [pair.sql for pair in generator.pairs() if pair is not None]
    ended = time.perf_counter()
    phases = {"looking": looked - started, "candidates": generator.seconds, "gates": gates.seconds}
    return sqls, {**phases, "choice and words": ended - started - sum(phases.values()), "all": ended - started}


def execute_bare(url: str, sqls: list[str]) -> float:
    """Seconds for the same queries, nothing around them."""
    started = time.perf_counter()
    with open_database(url) as database, database.connect() as connection:
        plain = connection.execution_options(no_parameters=True)
        for sql in sqls:
            plain.exec_driver_sql(sql).fetchmany(1_001)
    return time.perf_counter() - started


def pairs_of_one_database(url: str, wanted: int, rounds: int) -> dict[str, float]:
    """Medians of seconds by phase, and how many pairs there were."""
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        sqls, phases = make_pairs(url, wanted)
        for name, seconds in {**phases, "bare": execute_bare(url, sqls)}.items():
            times.setdefault(name, []).append(seconds)
    return {"pairs": len(sqls), **{name: statistics.median(values) for name, values in times.items()}}


def run_step(url: str, directory: Path) -> int:
    """The whole step: look, make, write, publish in one transaction; how many pairs it made."""
    with open_database(url) as opened:
        tables = list_tables(opened)
    executor = SimpleWorkflowExecutor(
        "task",
        directory=str(directory),
        parameters=RunParameters(db_connection=url, pairs_per_table=PAIRS_A_TABLE),
        tables=tables,
        steps=(QaGeneration(),),
    )
    result = asyncio.run(executor.execute_single_step("qa_generation"))
    assert result["success"], result["error"]
    made: int = result["artifacts"]["qa_generation"]["total_questions"]
    return made


def measured_step(url: str, directory: str) -> tuple[int, float, float, float]:
    """Pairs, seconds, seconds of the processor and peak MB, of a process that does nothing but this step."""
    logging.getLogger("data_pipeline").addHandler(logging.NullHandler())
    started, started_processor = time.perf_counter(), time.process_time()
    made = run_step(url, Path(directory))
    seconds, processor = time.perf_counter() - started, time.process_time() - started_processor
    status = Path("/proc/self/status").read_text()  # getrusage would give the parent's where that is more
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return made, seconds, processor, int(peak) / 1024


def in_a_process(url: str, directory: Path) -> tuple[int, float, float, float]:
    """The same in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measured_step, url, str(directory)).result()


def growing_schemas(base: Path, counts: list[int], rounds: int) -> list[dict[str, float]]:
    """Medians by number of tables; the first row is the base."""
    found = []
    for count in counts:
        path = base / f"tables_{count}.sqlite"
        build_schema(path, count)
        runs = [in_a_process(f"sqlite:///{path}", base / f"task_{count}_{number}") for number in range(rounds)]
        pairs, seconds, processor, peak = (statistics.median(values) for values in zip(*runs, strict=True))
        found.append({"tables": count, "pairs": pairs, "seconds": seconds, "processor": processor, "peak_mb": peak})
    return found


def verdict(name: str, found: float, target: float) -> str:
    return f"{name}: {found:.2f} x (target: at most {target} x): {'pass' if found <= target else 'FALLS SHORT'}"


def print_pairs(row: dict[str, float], rounds: int) -> None:
    pairs = row["pairs"]
    print(f"\n{pairs:.0f} pairs of one database, median of {rounds}\n")
    print("| | s | ms a pair |\n| --- | ---: | ---: |")
    for name in ("looking", "candidates", "gates", "choice and words", "all", "bare"):
        label = {"looking": "looking at rows", "bare": "the accepted queries, bare"}.get(name, name)
        print(f"| {label} | {row[name]:.2f} | {1000 * row[name] / pairs:.2f} |")
    print(f"\n{pairs / row['all']:.0f} pairs a second, {row['all'] / row['bare']:.1f} x the bare queries")


def per_table(row: dict[str, float], base: dict[str, float]) -> tuple[float, float]:
    """Milliseconds of the processor a table, and KB a table beyond what the smallest schema takes.

    Of the processor: what else the machine does would lengthen one run and not the other.
    """
    beyond = (row["peak_mb"] - base["peak_mb"]) / max(1, row["tables"] - base["tables"])
    return 1000 * row["processor"] / row["tables"], 1024 * beyond


def print_schemas(rows: list[dict[str, float]], rounds: int) -> None:
    base, *rows = rows
    print(f"\n8 columns and {ROWS} rows a table, {PAIRS_A_TABLE} pairs a table, median of {rounds}\n")
    print("| tables | pairs | s | s of the processor | ms of it a table | MB | KB a table, beyond the base |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        milliseconds, kilobytes = per_table(row, base)
        print(
            f"| {row['tables']} | {row['pairs']:.0f} | {row['seconds']:.1f} | {row['processor']:.1f} "
            f"| {milliseconds:.0f} | {row['peak_mb']:.0f} | {kilobytes:.0f} |"
        )
    print(f"\nThe base: {base['peak_mb']:.0f} MB for {base['tables']} tables")
    if len(rows) > 1:
        (time_first, memory_first), (time_last, memory_last) = per_table(rows[0], base), per_table(rows[-1], base)
        which = f"a table of {rows[-1]['tables']} against one of {rows[0]['tables']}"
        print(verdict(f"{which}, processor time", time_last / time_first, LINEAR_TARGET))
        print(verdict(f"{which}, memory beyond the base", memory_last / max(memory_first, 1.0), LINEAR_TARGET))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True, help="on the disk to measure")
    parser.add_argument("--database", help="a URL; without it the demo's database is made")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--tables", default="50,100,250,500")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    logging.getLogger("data_pipeline").addHandler(logging.NullHandler())
    base = Path(tempfile.mkdtemp(dir=arguments.directory))
    atexit.register(shutil.rmtree, base)
    url = arguments.database
    if url is None:
        build_database(str(base / "demo.sqlite"))
        url = f"sqlite:///{base / 'demo.sqlite'}"
    one = pairs_of_one_database(url, arguments.pairs, arguments.rounds)
    print_pairs(one, arguments.rounds)
    counts = [int(count) for count in arguments.tables.split(",")]
    schemas = growing_schemas(base, [BASE_TABLES, *counts], arguments.rounds)
    print_schemas(schemas, arguments.rounds)
    if arguments.json:
        arguments.json.write_text(json.dumps({"database": one, "schemas": schemas}, indent=2) + "\n")


if __name__ == "__main__":
    main()
