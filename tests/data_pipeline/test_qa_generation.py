"""Pairs of questions and SQL: every family, every gate's promise, any schema."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.database.connection import BusinessDatabase, open_database
from data_pipeline.database.driver import Dialect
from data_pipeline.semantics.facts import Facts
from data_pipeline.steps import STEPS, RunParameters
from data_pipeline.steps.qa import QaGeneration
from data_pipeline.steps.qa.families import FAMILIES, Family
from data_pipeline.steps.qa.generator import GeneratedPair, Generator
from data_pipeline.steps.qa.sql.forms import distinct_share, normal_form, normal_question
from data_pipeline.steps.qa.sql.queries import is_plain
from data_pipeline.tasks.table_list import TableName
from tests.support.library import SCHEMA, generate, look, statements
from tests.support.postgres import fresh_database
from tests.support.tasks import executor, make_task


def fill_sqlite(path: Path) -> str:
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    for text, values in statements():
        connection.execute(text, values)
    connection.commit()
    connection.close()
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def sqlite_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fill_sqlite(tmp_path_factory.mktemp("library") / "library.sqlite")


@pytest.fixture(scope="module")
def postgres_library() -> Iterator[str]:
    with fresh_database() as url:
        with psycopg.connect(url) as connection:
            connection.execute(SCHEMA.encode())
            for text, values in statements():
                connection.execute(text.replace("?", "%s").encode(), values)
        yield url


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def library(request: pytest.FixtureRequest) -> Iterator[BusinessDatabase]:
    """The library on both databases."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_library")
    with open_database(url) as database:
        yield database


@pytest.fixture(scope="module")
def generated(library: BusinessDatabase) -> tuple[list[GeneratedPair], Generator, Facts]:
    """The pairs of all families, which tests only read."""
    return generate(library, wanted=180)


def run_as_it_is(database: BusinessDatabase, sql: str) -> list[Any]:
    with database.connect() as connection:
        return list(connection.execution_options(no_parameters=True).exec_driver_sql(sql.rstrip(";")))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_passes_the_gates_in_both_languages(
    library: BusinessDatabase, family: Family, language: Any
) -> None:
    """Its SQL runs as it is written and gives a row; its question has no place left open.

    Both languages have sentences for the same variants, and every plan's variant has some.
    """
    pairs, generator, _ = generate(library, wanted=60, language=language, families=[family])

    assert pairs, generator.rejections
    assert family.english.keys() == family.chinese.keys()
    assert {pair.variant for pair in pairs} <= family.english.keys()
    for pair in pairs:
        assert run_as_it_is(library, pair.sql), pair.sql
        assert not re.search(r"[{}]|  |None", pair.question), pair.question
        assert (re.search(r"[\u3400-\u9fff]", pair.question) is not None) == (language == "zh")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_foreign_key_to_a_table_that_is_not_listed_is_a_column_like_others(
    library: BusinessDatabase, language: Any
) -> None:
    """A task often lists a few tables of many."""
    pairs, _, _ = generate(library, wanted=120, language=language, listed=["book", "loan"])

    assert len(pairs) == 120
    assert any("branch_id IS NULL" in pair.sql or "branch_id IS NOT NULL" in pair.sql for pair in pairs)


def test_everything_that_can_be_asked_about_is_covered(
    generated: tuple[list[GeneratedPair], Generator, Facts],
) -> None:
    """Tables, usable columns and foreign keys, also of a table without rows and one with a single column."""
    pairs, generator, facts = generated
    usable = {(table.name, column.name) for table in facts.tables for column in table.columns if column.is_usable}

    assert len(pairs) == 180
    assert generator.coverage.of("table") == {table.name for table in facts.tables}
    assert generator.coverage.of("link") == {link.id for link in facts.links}
    assert generator.coverage.of("column") >= usable
    assert len(generator.coverage.shapes) >= 80
    assert generator.coverage.difficulties["beyond"] / len(pairs) >= 0.08


def test_no_two_pairs_say_the_same(
    library: BusinessDatabase, generated: tuple[list[GeneratedPair], Generator, Facts]
) -> None:
    """Neither the questions nor the queries."""
    pairs, _, _ = generated
    dialect = "sqlite" if library.dialect_name == "sqlite" else "postgres"
    forms = [normal_form(sqlglot.parse_one(pair.sql, read=dialect)) for pair in pairs]

    assert len(set(forms)) == len(forms)
    assert len({normal_question(pair.question) for pair in pairs}) == len(pairs)
    assert distinct_share([pair.question for pair in pairs], 3) > 0.6


def test_personal_columns_are_in_no_question_and_no_query(
    generated: tuple[list[GeneratedPair], Generator, Facts],
) -> None:
    """Neither the columns nor a value of them."""
    pairs, _, facts = generated
    reader = next(table for table in facts.tables if table.name.name == "reader")

    assert {column.name for column in reader.columns if column.role == "personal"} == {"full_name", "email"}
    for pair in pairs:
        assert not re.search(r"full_name|full name|email|Novakova|mail\.example", pair.sql + pair.question), pair


def test_same_seed_makes_the_same_pairs_and_another_one_others(library: BusinessDatabase) -> None:
    """In the same order and the same words."""
    first, second, other = (
        [(pair.question, pair.sql) for pair in generate(library, wanted=60, seed=seed)[0]] for seed in (7, 7, 8)
    )

    assert first == second
    assert len(set(first) & set(other)) < 30


def test_roles_follow_from_names_types_and_values(library: BusinessDatabase) -> None:
    """A price is no key, a shelf no amount, a flag no measure."""
    facts, _ = look(library)
    book = next(table for table in facts.tables if table.name.name == "book")
    roles = {column.name: column.role for column in book.columns}

    assert roles == {
        "book_id": "key", "title": "label", "genre": "category", "pages": "measure", "price": "measure",
        "published_on": "moment", "is_reference": "flag", "shelf": "category", "series": "text",
    }  # fmt: skip
    assert book.label == "title"
    assert not book.by_name["price"].is_additive


def test_ties_are_not_asked_about(sqlite_url: str, tmp_path: Path) -> None:
    """Where the fifth and the sixth are equal, which five there are is chance."""
    path = tmp_path / "ties.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE player (player_id INTEGER PRIMARY KEY, nickname TEXT UNIQUE, score INTEGER)")
    rows = [(number, f"player {number}", 10 * (number // 4)) for number in range(40)]
    connection.executemany("INSERT INTO player VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    with open_database(f"sqlite:///{path}") as database:
        pairs, generator, _ = generate(database, wanted=200)

        assert generator.rejections["tie"] > 0
        for pair in pairs:
            limit = re.search(r"ORDER BY score( DESC)? LIMIT (\d+)", pair.sql)
            if limit is not None:
                assert len(run_as_it_is(database, pair.sql)) == int(limit[2])
                assert int(limit[2]) % 4 == 0, pair.sql


PARAMETERS: dict[str, Any] = {"business_context": "a town library"}


def run_step(folder: Path, url: str, **parameters: Any) -> dict[str, Any]:
    with open_database(url) as database:
        tables = [table.name for table in look(database)[0].tables]
    task = make_task(folder / "task_1", table_list="\n".join(map(str, tables)) + "\n")
    wanted = RunParameters(db_connection=url, **PARAMETERS, **parameters)
    done = asyncio.run(executor(task, QaGeneration(), parameters=wanted).execute_complete_workflow())
    assert done["success"], done
    result: dict[str, Any] = done["artifacts"]["qa_generation"]
    return result


def test_step_publishes_pairs_their_meta_lines_and_what_the_database_is_about(sqlite_url: str, tmp_path: Path) -> None:
    """Every pair has a line of its id; the numbers of the result are those of the files."""
    result = run_step(tmp_path, sqlite_url, pairs_per_table=10)
    task = tmp_path / "task_1"
    pairs = json.loads((task / result["output_file"]).read_text())
    meta = [json.loads(line) for line in next(task.glob("*_pair.meta.jsonl")).read_text().splitlines()]

    assert len(pairs) == len(meta) == result["total_questions"] == 90
    assert [set(pair) for pair in pairs] == [{"question", "sql"}] * 90
    assert {line["provenance"] for line in meta} == {"template"}
    assert result["coverage"]["tables"]["share"] == result["coverage"]["foreign_keys"]["share"] == 1.0
    assert result["execution_success"] == result["non_empty"] == 1.0
    assert result["tables_without_rows"] == ["main.reservation"]
    assert sum(result["difficulty"].values()) == 90
    for name in ("metadata.txt", "metadata_detail.md", "db_query_decision_prompt.txt"):
        assert (task / name).stat().st_size > 0


def test_second_run_on_the_same_rows_is_the_same_to_the_byte(sqlite_url: str, tmp_path: Path) -> None:
    """But for the times in names and headings."""
    for number in ("one", "two"):
        run_step(tmp_path / number, sqlite_url, pairs_per_table=6)
    one, two = (
        {re.sub(r"_\d{8}_\d{6}_", "_", path.name): path.read_text() for path in (tmp_path / name).rglob("qs_*")}
        for name in ("one", "two")
    )

    assert one == two


def test_glossary_changes_the_words_and_comes_back_after_a_backup(sqlite_url: str, tmp_path: Path) -> None:
    """A term for a table, one for a column, one for a number; the next run finds the file again."""
    task = make_task(tmp_path / "task_1")
    (task / "glossary.csv").write_text(
        "term,target,synonyms\nvolume,book,tome\nlist price,book.price,\nrevenue,SUM(loan.fee),\n"
    )
    for _ in range(2):
        result = run_step(tmp_path, sqlite_url, pairs_per_table=15)
        pairs = json.loads((task / result["output_file"]).read_text())
        questions = "\n".join(pair["question"] for pair in pairs).lower()

        assert "volume" in questions or "tome" in questions
        assert "list price" in questions
        assert "the revenue" in questions
        assert not re.search(r"(?<!long) books\b", questions)
        assert any("AS revenue" in pair["sql"] for pair in pairs)
        assert (task / "glossary.csv").is_file()


def test_bad_glossary_fails_the_step_and_names_its_lines(sqlite_url: str, tmp_path: Path) -> None:
    """Nothing of the step is published."""
    task = make_task(tmp_path / "task_1", table_list="book\n")
    (task / "glossary.csv").write_text("term,target,synonyms\nx\n")
    wanted = RunParameters(db_connection=sqlite_url)
    done = asyncio.run(executor(task, QaGeneration(), parameters=wanted).execute_complete_workflow())

    assert not done["success"]
    assert "glossary.csv" in done["error"]
    assert "line 2" in done["error"]
    assert not list(task.glob("qs_*"))


def test_step_that_runs_again_alone_replaces_its_files(sqlite_url: str, tmp_path: Path) -> None:
    """One pair file is there, not two."""
    run_step(tmp_path, sqlite_url, pairs_per_table=3)
    task = tmp_path / "task_1"
    wanted = RunParameters(db_connection=sqlite_url, pairs_per_table=4)
    done = asyncio.run(executor(task, QaGeneration(), parameters=wanted).execute_single_step("qa_generation"))

    assert done["success"]
    assert len(list(task.glob("qs_*_pair.json"))) == 1


def test_task_that_looks_at_no_row_gets_no_questions(sqlite_url: str, tmp_path: Path) -> None:
    """The step says why it was left out, and so does validation."""
    task = make_task(tmp_path / "task_1", table_list="book\n")
    wanted = RunParameters(db_connection=sqlite_url, profile_tables=False, enable_training_data_load=False)
    done = asyncio.run(executor(task, *STEPS, parameters=wanted).execute_complete_workflow())

    assert done["success"]
    assert "profile_tables" in done["artifacts"]["qa_generation"]["reason"]
    assert not list(task.glob("qs_*"))


TYPES = st.sampled_from(["INTEGER", "NUMERIC(8,2)", "TEXT", "DATE", "TIMESTAMP", "BOOLEAN", "BLOB", "VARCHAR(5)"])
NAMES = st.sampled_from(
    [
        "id",
        "name",
        "code",
        "amount",
        "price",
        "created_at",
        "is_open",
        "order",
        "Größe",
        "名称",
        "year",
        "status",
        "a b",
    ]
)


@st.composite
def schemas(draw: st.DrawFn) -> list[tuple[str, Any, Any, str | None]]:
    """Tables with columns, rows, and the table that each refers to."""
    found: list[tuple[str, Any, Any, str | None]] = []
    for number in range(draw(st.integers(1, 8))):
        columns = draw(st.lists(st.tuples(NAMES, TYPES), min_size=0, max_size=5, unique_by=lambda one: one[0].lower()))
        value = st.one_of(
            st.none(), st.integers(-5, 9_999), st.floats(allow_nan=False, allow_infinity=False, width=32),
            st.sampled_from(["", "x", "O'Neil", "2024-02-29", "2024-01-01 10:00:00", "50 %", 'say "hi"', "多字", "\n"]),
        )  # fmt: skip
        rows = draw(st.lists(st.lists(value, min_size=len(columns), max_size=len(columns)), max_size=30))
        parent = draw(st.sampled_from([None, *(name for name, *_ in found)])) if found else None
        found.append((f"t {number}" if number % 3 == 2 else f"t{number}", columns, rows, parent))
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schemas(), st.sampled_from(["en", "zh"]))
def test_any_schema_gives_pairs_that_run(tmp_path_factory: pytest.TempPathFactory, tables: Any, language: Any) -> None:
    """Random types, keys, nulls, odd names, empty tables: nothing breaks, and every pair runs as it is written."""
    path = tmp_path_factory.mktemp("any") / "any.sqlite"
    connection = sqlite3.connect(path)
    for name, columns, rows, parent in tables:
        listed = ["pk INTEGER PRIMARY KEY", *(f'"{column}" {kind}' for column, kind in columns)]
        if parent is not None:
            listed.append(f'parent_pk INTEGER REFERENCES "{parent}" (pk)')
        connection.execute(f'CREATE TABLE "{name}" ({", ".join(listed)})')
        for number, row in enumerate(rows):
            values = [number, *row, *([number % 3] if parent is not None else [])]
            connection.execute(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(values))})', values)
    connection.commit()
    connection.close()
    with open_database(f"sqlite:///{path}") as database:
        pairs, _, facts = generate(database, wanted=30, language=language)

        assert {TableName("main", name) for name, *_ in tables} == {table.name for table in facts.tables}
        assert pairs
        for pair in pairs:
            assert run_as_it_is(database, pair.sql), pair.sql


@pytest.mark.parametrize(
    ("name", "dialects"),
    [
        ("shelf", {"sqlite", "postgresql"}),
        ("unit_2", {"sqlite", "postgresql"}),
        ("unitPrice", {"sqlite"}),  # PostgreSQL would look for unitprice
        ("UnitPrice", {"sqlite"}),
        ("order", set()),
        ("unit price", set()),
    ],
)
def test_name_is_written_plain_only_where_it_means_itself(name: str, dialects: set[Dialect]) -> None:
    """Everything else is quoted."""
    known: tuple[Dialect, ...] = ("sqlite", "postgresql")

    assert {dialect for dialect in known if is_plain(name, dialect)} == dialects
