"""`data-pipeline qa report`: what a task's pairs are like, from its files as they are now."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.tasks.sealed import seal, unsealed
from tests.support.shop import CLI, PATIENCE_SECONDS, Shop

UNKNOWN = "task_20200101_000000"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, Path]:
    """A shop with rows, a table without any, one of one column, and a task whose step ran once."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    connection = sqlite3.connect(shop.folder / "shop.sqlite")
    connection.executescript(
        "DROP TABLE customer; DROP TABLE purchase;"
        "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, email TEXT, city TEXT);"
        "CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INT, total REAL, state TEXT, paid_on DATE);"
        "CREATE TABLE refund (id INTEGER PRIMARY KEY, reason TEXT);"
        "CREATE TABLE colour (name TEXT PRIMARY KEY);"
        "INSERT INTO colour VALUES ('red'), ('green'), ('blue');"
    )
    cities = ("Oslo", "Bergen", "Narvik")
    states = ("open", "paid", "late", "sent")
    connection.executemany(
        "INSERT INTO customer VALUES (?, ?, ?, ?)",
        [(n, f"Anna Berg{n}", f"anna{n}@shop.example", cities[n % 3]) for n in range(1, 31)],
    )
    connection.executemany(
        "INSERT INTO purchase VALUES (?, ?, ?, ?, ?)",
        [
            (n, n % 28 + 1, round(n * 1.37 % 90, 2), states[n * n % 4], f"202{n % 4}-0{n % 9 + 1}-11")
            for n in range(1, 200)
        ],
    )
    connection.commit()
    connection.close()
    (shop.folder / "tables.txt").write_text("customer\npurchase\nrefund\ncolour\n")
    words = ["--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt"]
    task_id = shop.answer("run", *words, "--pairs-per-table", "8")["task_id"]
    return shop, shop.home / "training_data" / task_id


@pytest.fixture
def shop(made: tuple[Shop, Path]) -> Shop:
    return made[0]


@pytest.fixture
def task(made: tuple[Shop, Path]) -> Any:
    """The task's directory; what a test changes there is put back."""
    path = made[1]
    before = {file: file.read_bytes() for file in path.iterdir() if file.is_file()}
    yield path
    for file, content in before.items():
        file.write_bytes(content)


def pair_file(task: Path) -> Path:
    (found,) = task.glob("qs_*_pair.json")
    return found


def meta_file(task: Path) -> Path:
    (found,) = task.glob("qs_*_pair.meta.jsonl")
    return found


def report(shop: Shop, task: Path, *options: str) -> Any:
    return shop.answer("qa", "report", task.name, *options)


def change(path: Path, edit: Callable[[Any], object]) -> None:
    """Edit a JSON file as a person would."""
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


# ---- what is shown --------------------------------------------------------------------------------------------------


def test_report_says_what_the_pairs_cover_and_what_they_do_not(shop: Shop, task: Path) -> None:
    """Numbers are those of the sealed result; each table says what of it nobody can ask about, and why."""
    found = report(shop, task)
    result = unsealed((task / "qa_generation_result.json").read_bytes())

    assert result is not None
    assert (found["made"], found["pairs"], found["as_made"], found["notes"]) == (
        result["total_questions"],
        result["total_questions"],
        result["total_questions"],
        [],
    )
    assert (found["requested"], found["seed"], found["language"]) == (32, 7, "en")
    assert found["distinct"] == result["distinct"]
    assert found["coverage"]["foreign_keys"] == {"covered": 1, "total": 1, "share": 1.0}
    tables = {table["table"]: table for table in found["tables"]}
    assert tables["main.customer"]["not_usable"] == {"name": "personal", "email": "personal"}
    assert [tables[f"main.{name}"]["has_rows"] for name in ("customer", "refund")] == [True, False]
    assert tables["main.colour"]["columns"] == 1
    assert [(join["from"], join["to"]) for join in found["inferred_joins"]] == [
        ("main.purchase.customer_id", "main.customer.id")
    ]
    assert sum(found["families"].values()) == sum(found["difficulty"].values()) == found["pairs"]
    assert found["rejections"] == dict(sorted(found["rejections"].items(), key=lambda item: (-item[1], item[0])))


def test_samples_show_the_first_rows_of_their_queries(shop: Shop, task: Path) -> None:
    """At most three of each; more are told. The same seed shows the same pairs, another one others."""
    first = report(shop, task, "--samples", "6")
    again = report(shop, task, "--samples", "6")
    others = report(shop, task, "--samples", "6", "--seed", "1")
    connection = sqlite3.connect(shop.folder / "shop.sqlite")

    assert first == again
    assert len(first["samples"]) == 6
    assert {sample["id"] for sample in first["samples"]} != {sample["id"] for sample in others["samples"]}
    for sample in first["samples"]:
        rows = [list(row) for row in connection.execute(sample["sql"])]
        assert sample["problem"] is None
        assert sample["rows"] == rows[:3]
        assert sample["has_more_rows"] == (len(rows) > 3)
        assert len(sample["columns"]) == len(rows[0])
    connection.close()


def test_no_value_of_a_personal_column_is_shown(shop: Shop, task: Path) -> None:
    """All pairs with their rows: no name, no e-mail."""
    done = shop.call(CLI, "qa", "report", task.name, "--samples", "1000")

    assert done.returncode == 0
    assert "row\t" in done.stdout
    assert "Anna" not in done.stdout
    assert "@shop.example" not in done.stdout


def test_pipe_gets_a_line_for_everything_that_begins_with_what_it_is(shop: Shop, task: Path) -> None:
    """With tabs, for grep and cut; no bars, no colours."""
    done = shop.call(CLI, "qa", "report", task.name, "--samples", "1")
    lines = done.stdout.splitlines()
    first_words = {line.split("\t")[0] for line in lines if "\t" in line}

    assert done.stderr == ""
    assert {"table", "family", "difficulty", "rejected", "join", "question", "sql", "row"} <= first_words
    assert "table\tmain.refund" in done.stdout
    assert [line.split("\t")[-1] for line in lines if line.startswith(("table\tmain.ref", "table\tmain.col"))] == [
        "no rows",
        "one column",
    ]
    assert not set(done.stdout) & set("\x1b█")
    assert f"pairs         {report(shop, task)['made']} of 32 requested" in lines


def test_terminal_gets_bars_and_headings(shop: Shop, task: Path) -> None:
    """The longest bar is the most frequent difficulty."""
    said = in_terminal(shop, "qa", "report", task.name, "--samples", "1")
    counts = report(shop, task)["difficulty"]
    bars = {name: next(line for line in said.splitlines() if line.startswith(name)).count("█") for name in counts}

    assert all(title in said for title in ("Tables", "Families", "Difficulty", "Rejected by the gates", "SELECT"))
    assert max(bars, key=lambda name: bars[name]) == max(counts, key=lambda name: counts[name])
    assert max(bars.values()) == 40


def test_terminal_without_unicode_gets_bars_of_ascii(shop: Shop, task: Path) -> None:
    """Old terminals, and logs of builds."""
    said = in_terminal(shop, "qa", "report", task.name, "--samples", "0", PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert "#" * 40 in said


def test_rows_are_left_out_on_request(shop: Shop, task: Path) -> None:
    """`--no-rows` leaves the business database alone; the pairs are shown."""
    hidden = shop.folder / "shop.sqlite"
    hidden.rename(shop.folder / "away.sqlite")
    try:
        found = report(shop, task, "--no-rows")
    finally:
        (shop.folder / "away.sqlite").rename(hidden)

    assert (len(found["samples"]), found["rows_problem"]) == (5, None)
    assert {sample["rows"] is None for sample in found["samples"]} == {True}


def test_database_that_cannot_be_opened_is_one_sentence_and_the_rest_is_shown(shop: Shop, task: Path) -> None:
    """Exit code 0: the report is about the files."""
    hidden = shop.folder / "shop.sqlite"
    hidden.rename(shop.folder / "away.sqlite")
    try:
        done = shop.call(CLI, "qa", "report", task.name)
        found = report(shop, task)
    finally:
        (shop.folder / "away.sqlite").rename(hidden)

    assert (done.returncode, done.stderr) == (0, "")
    assert "no rows\tThere is no SQLite file shop.sqlite where the URL says." in done.stdout
    assert "difficulty\t" in done.stdout
    assert found["rows_problem"].startswith("There is no SQLite file")
    assert len(found["samples"]) == 5


def test_query_that_fails_now_says_so_beside_its_question(shop: Shop, task: Path) -> None:
    """A table was renamed since: other samples have their rows."""
    connection = sqlite3.connect(shop.folder / "shop.sqlite")
    connection.execute("ALTER TABLE colour RENAME TO color")
    try:
        samples = report(shop, task, "--samples", "100")["samples"]
    finally:
        connection.execute("ALTER TABLE color RENAME TO colour")
        connection.close()
    problems = [sample["problem"] for sample in samples if sample["problem"] is not None]

    assert problems
    assert set(problems) == {"The query failed: no such table: colour."}
    assert len(problems) < len(samples)


# ---- files that were changed ----------------------------------------------------------------------------------------


def test_pairs_that_were_changed_or_removed_since_are_told_and_not_run(shop: Shop, task: Path) -> None:
    """A query that a person wrote passed no gate: it could show what the gates keep back."""

    def edit(pairs: Any) -> None:
        pairs[0]["sql"] = "SELECT email FROM customer"
        del pairs[1]

    change(pair_file(task), edit)
    found = report(shop, task, "--samples", "1000")
    samples = {sample["sql"]: sample for sample in found["samples"]}

    assert (found["changed_or_added"], found["gone"], found["pairs"]) == (1, 2, found["made"] - 1)
    assert found["notes"] == [
        (
            f"{pair_file(task).name}: a person or another program changed or added 1 pairs "
            "and removed 2 after the step made it"
        )
    ]
    assert samples["SELECT email FROM customer"]["rows"] is None
    assert "not run" in samples["SELECT email FROM customer"]["problem"]
    assert sum(sample["rows"] is None for sample in found["samples"]) == 1
    assert "now" in shop.call(CLI, "qa", "report", task.name).stdout.splitlines()[2]


def test_meta_file_that_was_changed_vouches_for_nothing(shop: Shop, task: Path) -> None:
    """Whoever can write a pair can write its line."""
    meta = meta_file(task)
    lines = meta.read_text(encoding="utf-8").splitlines()
    meta.write_text("\n".join([*lines, "no line of ours"]), encoding="utf-8")
    found = report(shop, task)

    assert found["notes"] == [f"{meta.name}: 1 lines cannot be read", f"{meta.name} was changed after the run"]
    assert {sample["rows"] is None for sample in found["samples"]} == {True}
    assert found["as_made"] == found["made"]


def test_result_that_was_changed_is_left_out_and_the_files_are_counted(shop: Shop, task: Path) -> None:
    """Its numbers could be anybody's; what the pairs themselves say is still shown."""
    whole = report(shop, task)
    change(task / "qa_generation_result.json", lambda result: result.update(total_questions=1_000))
    found = report(shop, task)
    done = shop.call(CLI, "qa", "report", task.name)

    assert found["result_is_unchanged"] is False
    assert found["notes"] == ["qa_generation_result.json was changed after the run, so its numbers are omitted"]
    assert (found["made"], found["tables"], found["pairs"]) == (None, [], whole["pairs"])
    assert found["difficulty"] == whole["difficulty"]
    assert found["families"] == {name: count for name, count in whole["families"].items() if count}
    assert (done.returncode, "1000" in done.stdout) == (0, False)


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (None, "is missing, so there are no pairs"),
        ("{}", "it is no array of objects"),
        ('[{"question": "Who?"}]', "1 items are not pairs"),
    ],
)
def test_pair_file_that_cannot_be_read_is_told(shop: Shop, task: Path, content: str | None, note: str) -> None:
    """What the result says is shown."""
    file = pair_file(task)
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    found = report(shop, task)

    assert any(note in line for line in found["notes"])
    assert (found["pairs"], found["samples"], found["made"] > 20) == (0, [], True)
    assert sum(found["difficulty"].values()) == found["made"]


def test_meta_file_that_is_gone_leaves_the_numbers_of_the_result(shop: Shop, task: Path) -> None:
    """Nothing is run: nobody knows which pairs passed the gates."""
    meta = meta_file(task)
    meta.unlink()
    found = report(shop, task)

    assert found["notes"] == [f"{meta.name} is missing, so the origin of the pairs is unknown"]
    assert sum(found["families"].values()) == found["made"]
    assert {sample["rows"] is None for sample in found["samples"]} == {True}


def test_pairs_that_validation_removed_are_told_as_its_work(shop: Shop, task: Path) -> None:
    """Not as somebody's."""
    file = pair_file(task)
    change(file, lambda pairs: pairs[0].update(sql="SELECT nothing FROM nowhere"))
    shop.answer("run", task.name, "--step", "sql_validation")
    notes = report(shop, task)["notes"]
    for left in task.glob("*.backup*"):
        left.unlink()

    assert notes == [f"{file.name}: sql_validation changed or added 0 pairs and removed 1 after the step made it"]


def test_result_of_another_version_that_lacks_numbers_shows_what_there_is(shop: Shop, task: Path) -> None:
    """A seal says that nobody changed it, not that this version wrote it."""
    path = task / "qa_generation_result.json"
    content = unsealed(path.read_bytes())
    assert content is not None
    path.write_bytes(seal({"files": content["files"], "total_questions": 3}))
    done = shop.call(CLI, "qa", "report", task.name)

    assert (done.returncode, done.stderr) == (0, "")
    assert "difficulty\t" in done.stdout


# ---- what there is not ----------------------------------------------------------------------------------------------


def test_unknown_task_is_refused(shop: Shop) -> None:
    """One sentence, exit code 1."""
    done = shop.call(CLI, "qa", "report", UNKNOWN)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"Task '{UNKNOWN}' not found" in done.stderr


def test_task_whose_step_never_ran_is_told_what_to_run(shop: Shop) -> None:
    """A task that was only made."""
    words = ["--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt"]
    task_id = shop.answer("tasks", "create", *words)["task_id"]
    done = shop.call(CLI, "qa", "report", task_id)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"data-pipeline run {task_id}" in done.stderr


def test_task_that_the_store_does_not_know_has_no_rows(shop: Shop, task: Path, tmp_path: Path) -> None:
    """As the script leaves it: the directory is all there is."""
    other = f"sqlite:///{tmp_path / 'other.sqlite'}"
    done = shop.call(CLI, "qa", "report", task.name, DATA_PIPELINE_DATABASE_URL=other)

    assert done.returncode == 0
    assert "no rows\tTask store " in done.stdout


def test_tasks_are_completed(shop: Shop, task: Path) -> None:
    """As for every command that takes one."""
    done = shop.call(
        CLI,
        _DATA_PIPELINE_COMPLETE="complete_bash",
        COMP_WORDS="data-pipeline qa report task_",
        COMP_CWORD="3",
    )

    assert task.name in done.stdout


def in_terminal(shop: Shop, *arguments: str, **environment: str) -> str:
    """What a person sees in a terminal of 120 columns."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DATA_PIPELINE_")}
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [*CLI, *arguments],
        cwd=shop.folder,
        env={**inherited, **shop.environment, "TERM": "dumb", "COLUMNS": "120", **environment},
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    said = bytearray()
    try:
        while chunk := os.read(master, 65_536):
            said += chunk
    except OSError:  # its other end is closed
        pass
    finally:
        os.close(master)
    assert process.wait(PATIENCE_SECONDS) == 0, said
    return said.decode()
