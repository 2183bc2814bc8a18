"""sql_validation on real databases: what stays, what leaves, what is repaired, and that nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from data_pipeline.database import execution
from data_pipeline.database.connection import open_database
from data_pipeline.database.execution import QueryLimits, compile_query
from data_pipeline.database.query_gate import check_query
from data_pipeline.database.query_spelling import is_same_query
from data_pipeline.errors import DatabaseUnavailable, InvalidInput, QueryFailed
from data_pipeline.events import Event
from data_pipeline.steps import RunParameters
from data_pipeline.steps.pair_file import format_pairs, parse_pairs
from data_pipeline.steps.validation import step as module
from data_pipeline.steps.validation.step import SqlValidation
from tests.support.postgres import fresh_database
from tests.support.tasks import executor, make_task

SCHEMA = """
CREATE TABLE customer (customer_id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE purchase (purchase_id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer (customer_id),
    total NUMERIC(10, 2));
INSERT INTO customer VALUES (1, 'Ann', 'Oslo'), (2, 'Bo', 'Bergen');
INSERT INTO purchase VALUES (1, 1, 10), (2, 1, 20), (3, 2, 5);
"""
ENDLESS = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
FILE = "qs_shop_20260121_094400_pair.json"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A small shop in each database."""
    if request.param == "sqlite":
        connection = sqlite3.connect(tmp_path / "shop.sqlite")
        connection.executescript(SCHEMA)
        connection.close()
        yield f"sqlite:///{tmp_path / 'shop.sqlite'}"
    else:
        with fresh_database() as database:
            with psycopg.connect(database, autocommit=True) as session:
                session.execute(SCHEMA)
            yield database


def task_with(tmp_path: Path, *sqls: str) -> Path:
    """A task directory with a pair file, as somebody uploaded it."""
    pairs = format_pairs((f"question {number}", sql) for number, sql in enumerate(sqls, start=1))
    return make_task(tmp_path / "task_1", {FILE: pairs}, table_list="customer\npurchase\n")


def validate(task: Path, url: str, events: list[Event] | None = None, **parameters: Any) -> dict[str, Any]:
    """Run the step alone; returns its result."""
    run = executor(
        task,
        SqlValidation(),
        parameters=RunParameters(db_connection=url, **parameters),
        emit=(events if events is not None else []).append,
    )
    result = asyncio.run(run.execute_single_step("sql_validation"))
    assert result["success"], result["error"]
    artifact: dict[str, Any] = result["artifacts"]["sql_validation"]
    return artifact


def sqls_of(task: Path, name: str = FILE) -> list[str]:
    return [pair["sql"] for pair in json.loads((task / name).read_text())]


def report_of(task: Path) -> dict[str, Any]:
    path = max(task.glob("sql_validation_*_report.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def test_valid_pairs_stay_and_the_file_is_not_touched(url: str, tmp_path: Path) -> None:
    """Nothing to mend: no backup, the same bytes; a report all the same."""
    task = task_with(tmp_path, "SELECT name FROM customer;", "SELECT count(*) FROM purchase WHERE total > 5")
    before = (task / FILE).read_bytes()
    events: list[Event] = []
    result = validate(task, url, events)

    assert (task / FILE).read_bytes() == before
    assert not list(task.glob("*.backup*"))
    assert (result["original_sql_count"], result["valid_sql_count"], result["success_rate"]) == (2, 2, 1.0)
    assert result["input_file"] == FILE
    assert Event("pairs", "advanced", "sql_validation", done=2, total=2) in events
    assert "pairs:          2" in next(task.glob("sql_validation_*_summary.log")).read_text()


def test_every_kind_of_fault_is_reported_and_leaves_the_file(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name of the fault; a query without a row is told, and stays: it may be a good question all the same."""
    monkeypatch.setattr(module, "LIMITS", QueryLimits(seconds=0.3))
    task = task_with(
        tmp_path,
        "SELECT name FROM customer",
        "SELECT name FROM nothing_like_it",
        "SELECT nothing_like_it FROM customer",
        "SELECT customer_id FROM customer, purchase",
        ENDLESS,
        "SELECT name FROM customer WHERE city = 'Nowhere'",
        "DELETE FROM customer",
        "SELECT 1; DROP TABLE customer",
        "EXPLAIN ANALYZE SELECT 1",
        "not sql at all (",
    )
    result = validate(task, url)
    faults = [item["fault"] for item in report_of(task)["detailed_results"]]

    assert faults[:6] == [None, "unknown_table", "unknown_column", "ambiguous_column", "timeout", None]
    assert result["empty_result_count"] == 1
    assert (result["valid_sql_count"], result["invalid_sql_count"]) == (2, 8)
    assert sqls_of(task) == ["SELECT name FROM customer", "SELECT name FROM customer WHERE city = 'Nowhere'"]
    assert len(sqls_of(task, f"{FILE}.backup")) == 10
    assert result["file_modification_stats"] == {"modified": 0, "deleted": 8, "failed_modifications": 0}
    page = next(task.glob("sql_validation_*_summary.log")).read_text()
    assert "unknown_column: 1" in page
    assert "DELETE FROM customer" in page


def test_repaired_pairs_take_the_place_of_broken_ones(url: str, tmp_path: Path) -> None:
    """In the same order, told apart by id; what was done stands in the report. Rules can mend fault after fault."""
    task = task_with(
        tmp_path,
        "SELECT nmae FROM customer ORDER BY 1",
        "SELECT c.totl FROM customers c JOIN purchase p ON p.customer_id = c.customer_id",
        'SELECT city FROM customer WHERE name = "Ann"',
        "```sql\nSELECT 1;\n```",
    )
    result = validate(task, url)

    assert sqls_of(task) == [
        "SELECT name FROM customer ORDER BY 1;",
        "SELECT p.total FROM customer AS c JOIN purchase AS p ON p.customer_id = c.customer_id;",
        "SELECT city FROM customer WHERE name = 'Ann';",
        "SELECT 1;",
    ]
    assert result["repair_stats"] == {"attempted": 4, "successful": 4, "failed": 0}
    assert {item["repaired_by"] for item in report_of(task)["detailed_results"]} == {"rules"}


FOREIGN = {
    "sqlite": {
        "SELECT CAST('2020-01-02' AS DATE)": "SELECT DATE('2020-01-02');",
        "SELECT 1 FROM customer WHERE name ILIKE 'a%'": "SELECT 1 FROM customer WHERE LOWER(name) LIKE LOWER('a%');",
        "SELECT customer_id::int FROM customer": "SELECT CAST(customer_id AS INTEGER) FROM customer;",
        "SELECT strpos(name, 'n') FROM customer": "SELECT INSTR(name, 'n') FROM customer;",
        "/* PRAGMA query_only = OFF */ SELECT strpos(name, 'n') /* x */ FROM customer": (
            "SELECT INSTR(name, 'n') FROM customer;"
        ),
        "SELECT 1 -- end\r, 2": "SELECT 1;",
    },
    "postgresql": {
        "SELECT ifnull(city, '-') FROM customer": "SELECT COALESCE(city, '-') FROM customer;",
        "SELECT nvl(city, '-') FROM customer": "SELECT COALESCE(city, '-') FROM customer;",
        "SELECT len(city) FROM customer": "SELECT LENGTH(city) FROM customer;",
        "SELECT name FROM customer WHERE customer_id == 1": "SELECT name FROM customer WHERE customer_id = 1;",
        "SELECT name FROM customer ORDER BY 1 LIMIT 1,1": "SELECT name FROM customer ORDER BY 1 LIMIT 1 OFFSET 1;",
    },
}
"""Texts that run only as the gate writes them, and what it writes."""

OWN = {
    "sqlite": [
        "select [name], ifnull(city, '-') from \"customer\" where customer_id == 1 limit 0, 1;",
        "-- who\nSELECT substr(name, 1, 2) AS start FROM customer c ORDER BY 1 DESC NULLS LAST",
    ],
    "postgresql": [
        "select customer_id::int, now(), date '2020-01-01' from customer c inner join purchase p using (customer_id)",
        "SELECT strpos(name, 'n'), ceiling(2.5) /* up */ FROM customer WHERE name ILIKE 'a%' AND city NOT IN ('x');",
    ],
}
"""Texts that run as they are, and that the gate would spell in another way."""


def test_what_runs_only_as_the_gate_writes_it_is_written_so(url: str, tmp_path: Path) -> None:
    """A pair that is called valid runs as it stands in the file."""
    foreign = FOREIGN["sqlite" if url.startswith("sqlite") else "postgresql"]
    task = task_with(tmp_path, *foreign)
    result = validate(task, url)

    assert sqls_of(task) == list(foreign.values())
    assert result["faults"] == {"dialect": len(foreign)}
    found = report_of(task)["detailed_results"]
    assert {item["status"] for item in found} == {"repaired"}
    assert all(item["repair"].startswith("written in the dialect of ") and item["error"] for item in found)
    again = validate(task, url)
    assert (again["repair_stats"]["attempted"], again["invalid_sql_count"]) == (0, 0)


def test_what_runs_as_it_is_keeps_its_own_spelling(url: str, tmp_path: Path) -> None:
    """The database compiles it, and nothing of it means something else than what was run."""
    own = OWN["sqlite" if url.startswith("sqlite") else "postgresql"]
    task = task_with(tmp_path, *own)
    result = validate(task, url)

    assert sqls_of(task) == own, report_of(task)
    assert result["valid_sql_count"] == len(own)
    assert {item["status"] for item in report_of(task)["detailed_results"]} == {"valid"}


def test_text_is_compiled_and_never_run(url: str) -> None:
    """Even a text that no gate let through: one statement, and nothing of it acts."""
    with open_database(url) as database:
        for text in ("DELETE FROM customer", "SELECT 1; DELETE FROM customer", "SELECT 1/0 FROM nowhere"):
            with contextlib.suppress(QueryFailed):
                compile_query(database, text, QueryLimits())
        compile_query(database, "SELECT 1 / 0", QueryLimits())
        with database.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM customer").scalar() == 2


@pytest.mark.parametrize(
    "text",
    [
        "/* /* */ PRAGMA query_only = OFF; -- */ SELECT 1",
        "/* a */ PRAGMA query_only = OFF /* SELECT 1 */",
        "SELECT 1 /* a /* b */",
        "-- a\r SELECT 1",
    ],
)
def test_text_whose_comments_sqlite_may_read_in_another_way_is_not_compiled(text: str) -> None:
    """It gives way to what ran: a PRAGMA acts when it is compiled."""
    assert not is_same_query(text, check_query("SELECT 1", "sqlite"))


def test_division_by_zero_is_invalid_and_not_mended(tmp_path: Path) -> None:
    """Another dialect's NULL in its place would answer another question."""
    with fresh_database() as url:
        with psycopg.connect(url, autocommit=True) as session:
            session.execute(SCHEMA)
        task = task_with(tmp_path, "SELECT 1 / (customer_id - customer_id) FROM customer")
        result = validate(task, url)

    assert (result["invalid_sql_count"], result["faults"]) == (1, {"failed": 1})
    assert sqls_of(task) == []


def test_second_validation_never_overwrites_the_first_backup(url: str, tmp_path: Path) -> None:
    """D14: each run's own file before it is kept; a run that changes nothing removes nothing."""
    task = task_with(tmp_path, "SELECT name FROM customer", "SELECT x FROM y")
    original = (task / FILE).read_bytes()
    validate(task, url)
    pairs = json.loads((task / FILE).read_text())
    edited = json.dumps([*pairs, {"question": "by hand", "sql": "SELECT z FROM y"}])
    (task / FILE).write_text(edited)
    second = validate(task, url)
    third = validate(task, url)

    assert (task / f"{FILE}.backup").read_bytes() == original
    assert (task / f"{FILE}.backup_2").read_text() == edited
    assert sqls_of(task) == ["SELECT name FROM customer"]
    assert second["invalid_sql_count"], third["invalid_sql_count"] == (1, 0)
    names = {path.name for path in task.iterdir()}
    assert {FILE, f"{FILE}.backup", f"{FILE}.backup_2"} <= names
    reports = [json.loads((task / name).read_text()) for name in names if name.endswith("_report.json")]
    assert len(reports) == len([name for name in names if name.endswith("_summary.log")]) == 3
    removed = {one["sql"] for report in reports for one in report["detailed_results"] if one["status"] == "invalid"}
    assert removed == {"SELECT x FROM y", "SELECT z FROM y"}
    assert not list((tmp_path / ".journal").glob("*/kept-*"))


def test_file_may_stay_as_it_is(url: str, tmp_path: Path) -> None:
    """With modify_original_file off everything stands in the report alone."""
    task = task_with(tmp_path, "SELECT nmae FROM customer", "SELECT x FROM y")
    before = (task / FILE).read_bytes()
    result = validate(task, url, modify_original_file=False)

    assert (task / FILE).read_bytes() == before
    assert result["file_modification_stats"] == {"modified": 0, "deleted": 0, "failed_modifications": 0}
    assert report_of(task)["detailed_results"][0]["final_sql"] == "SELECT name FROM customer;"


def test_items_that_are_no_pairs_are_told_by_their_place(url: str, tmp_path: Path) -> None:
    """D14: they shift nobody else's result."""
    items = [17, {"question": "q", "sql": "SELECT x FROM y"}, {"question": "", "sql": "SELECT 1"}, {"sql": "SELECT 1"}]
    good = {"question": "good", "sql": "SELECT 1"}
    task = make_task(tmp_path / "task_1", {FILE: json.dumps([*items, good])}, table_list="customer\n")
    result = validate(task, url)

    assert json.loads((task / FILE).read_text()) == [good]
    assert [item["place"] for item in report_of(task)["not_pairs"]] == [1, 3, 4]
    assert (result["original_sql_count"], result["invalid_sql_count"], result["faults"]["not_a_pair"]) == (5, 4, 3)


def test_database_that_goes_away_fails_the_step_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pairs are not broken: the file stays, whatever the server does in the middle."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    task = task_with(tmp_path, *(["SELECT name FROM customer"] * 100))
    before = (task / FILE).read_bytes()
    asked = 0
    execute = execution.execute_query
    with fresh_database() as url:
        with psycopg.connect(url, autocommit=True) as session:
            session.execute(SCHEMA)

        def then_stopped(*arguments: Any) -> Any:
            nonlocal asked
            asked += 1
            if asked == 20:
                name = url.rpartition("/")[2].partition("?")[0]
                with psycopg.connect(url.replace(name, "postgres"), autocommit=True) as session:
                    session.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
                    session.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
                    )
            return execute(*arguments)

        monkeypatch.setattr(module, "execute_query", then_stopped)
        run = executor(task, SqlValidation(), parameters=RunParameters(db_connection=url))
        result = asyncio.run(run.execute_single_step("sql_validation"))

    assert "not currently accepting connections" in result["error"]
    assert (task / FILE).read_bytes() == before
    assert not list(task.glob("sql_validation_*"))


def test_cancelled_run_stops_its_queries(url: str, tmp_path: Path) -> None:
    """At once, not when the limit is reached."""
    task = task_with(tmp_path, ENDLESS)
    run = executor(task, SqlValidation(), parameters=RunParameters(db_connection=url))

    async def cancelled_soon() -> None:
        running = asyncio.ensure_future(run.execute_single_step("sql_validation"))
        await asyncio.sleep(1.0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    started = time.monotonic()
    asyncio.run(cancelled_soon())

    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "there is none"),
        ({"a_pair.json": "[]", "b_pair.json": "[]"}, "there are 2: a_pair.json, b_pair.json"),
        ({FILE: "{"}, "not valid JSON"),
        ({FILE: "{}"}, "not an array"),
    ],
)
def test_pair_file_that_cannot_be_meant_is_told(tmp_path: Path, files: dict[str, str], problem: str) -> None:
    """With what to do; nothing is changed."""
    connection = sqlite3.connect(tmp_path / "shop.sqlite")
    connection.executescript(SCHEMA)
    connection.close()
    task = make_task(tmp_path / "task_1", files, table_list="customer\n")
    run = executor(
        task, SqlValidation(), parameters=RunParameters(db_connection=f"sqlite:///{tmp_path / 'shop.sqlite'}")
    )
    result = asyncio.run(run.execute_single_step("sql_validation"))

    assert problem in result["error"]
    assert {name: (task / name).read_text() for name in files} == files


def test_complete_run_leaves_validation_out_where_nothing_makes_pairs(tmp_path: Path) -> None:
    """Old pairs are in the backup: they are not those of this run."""
    connection = sqlite3.connect(tmp_path / "shop.sqlite")
    connection.executescript(SCHEMA)
    connection.close()
    task = task_with(tmp_path, "SELECT 1")
    run = executor(
        task, SqlValidation(), parameters=RunParameters(db_connection=f"sqlite:///{tmp_path / 'shop.sqlite'}")
    )
    result = asyncio.run(run.execute_complete_workflow())

    assert result["artifacts"]["sql_validation"]["status"] == "skipped"
    assert "qa_generation" in result["artifacts"]["sql_validation"]["reason"]
    assert result["workflow_state"]["skipped_steps"] == ["sql_validation"]
    assert result["workflow_state"]["completed_steps"] == []
    assert [path.name for path in task.glob("file_bak_*/*_pair.json")] == [FILE]


def test_equal_pairs_are_told_apart_and_odd_files_are_read() -> None:
    """Twice the same pair is two items; a mark at the beginning of the file is no error."""
    raw = b"\xef\xbb\xbf" + format_pairs([("q", "SELECT 1"), ("q", "SELECT 1"), ("中文", "SELECT 2")]).encode()
    pairs, others = parse_pairs(raw, "x")

    assert len({pair.id for pair in pairs}) == 3
    assert pairs[1].id == f"{pairs[0].id}-2"
    assert others == []
    with pytest.raises(InvalidInput, match="not valid JSON"):
        parse_pairs(b"\xff\xfe", "x")


def test_database_that_cannot_be_opened_is_told_before_anything_begins(tmp_path: Path) -> None:
    """As every step does."""
    with pytest.raises(DatabaseUnavailable):
        asyncio.run(SqlValidation().check(RunParameters(db_connection=f"sqlite:///{tmp_path / 'none.sqlite'}"), ()))
