"""What a pair must pass: each gate by pairs that it stops, and by their neighbours that it lets through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipeline.database.connection import open_database
from data_pipeline.steps.qa.choose.gates import Accepted, Gates, Rejected
from tests.data_pipeline.test_qa_generation import fill_sqlite
from tests.support.library import gates_of, look


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fill_sqlite(tmp_path_factory.mktemp("gates") / "library.sqlite")


@pytest.fixture
def gates(url: str) -> Iterator[Gates]:
    with open_database(url) as database:
        yield gates_of(database, *look(database))


STOPPED = {
    "SELECT title FROM book; DELETE FROM book": "statements",
    "SELECT load_extension('x')": "function",
    "SELECT colour FROM book": "unknown_column",
    "SELECT title FROM nowhere": "unknown_table",
    "SELECT book_id FROM book JOIN loan ON loan.book_id = book.book_id": "ambiguous_column",
    "SELECT full_name FROM reader": "personal_data",
    "SELECT * FROM reader": "personal_data",
    "SELECT level FROM reader WHERE email LIKE 'r%'": "personal_data",
    "SELECT title FROM book WHERE title = 'Jana Novakova7'": "personal_data",
    "SELECT title FROM book WHERE title = 'someone@else.example'": "personal_data",
    "SELECT title FROM book WHERE pages > 5000": "empty",
    "SELECT COUNT(*) FROM book WHERE pages > 5000": "empty",
    "SELECT MAX(pages) FROM book WHERE pages > 5000": "empty",
    "SELECT title FROM book WHERE pages > 0": "trivial",
    "SELECT title FROM book WHERE genre = 'novel' AND pages > 0": "trivial",
    "SELECT title FROM book WHERE genre = 'novel' OR pages > 5000": "trivial",
    "SELECT DISTINCT title FROM book": "trivial",
    "SELECT genre, COUNT(*) FROM book GROUP BY genre HAVING COUNT(*) > 1": "trivial",
    "SELECT genre FROM book GROUP BY genre ORDER BY COUNT(*) DESC LIMIT 50": "trivial",
    "SELECT title, COUNT(*) FROM book GROUP BY title": "trivial",
    "SELECT genre, COUNT(*) FROM book WHERE genre = 'novel' GROUP BY genre": "trivial",
    "SELECT COUNT(DISTINCT genre) FROM book WHERE genre = 'novel'": "trivial",
    "SELECT genre FROM book WHERE pages < 500 UNION SELECT genre FROM book WHERE pages > 500": "trivial",
    "SELECT title FROM book LIMIT 3": "undecided",
    "SELECT title FROM book ORDER BY genre LIMIT 3": "tie",
    "SELECT title, genre FROM book ORDER BY genre": "tie",
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT SUM(i) FROM n": "timeout",
}


@pytest.mark.parametrize("sql", STOPPED, ids=lambda sql: str(sql)[:60])
def test_gate_stops_what_is_no_training_pair(url: str, sql: str) -> None:
    """With the word by which rejections are counted."""
    with open_database(url) as database:
        gates = gates_of(database, *look(database))
        gates._limits = replace(gates._limits, seconds=0.5)
        verdict = gates.judge("What is asked here?", sql)

    assert isinstance(verdict, Rejected), verdict
    assert verdict.reason == STOPPED[sql], verdict


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT title FROM book WHERE pages > 500",
        "SELECT title FROM book WHERE genre = 'novel' AND pages > 500",
        "SELECT genre, COUNT(*) FROM book GROUP BY genre",
        "SELECT title FROM book ORDER BY pages DESC, title",
        "SELECT COUNT(*) FROM book",
        "SELECT level, COUNT(*) FROM reader GROUP BY level",
        "SELECT title FROM book WHERE shelf IS NOT NULL AND pages > 500",
        "SELECT shelf FROM book EXCEPT SELECT shelf FROM book WHERE pages > 850",
    ],
)
def test_gate_lets_pass_what_asks_something(gates: Gates, sql: str) -> None:
    """The neighbours of what is stopped."""
    assert isinstance(gates.judge("What is asked here?", sql), Accepted)


def test_table_without_rows_may_be_counted_where_that_is_the_question(gates: Gates) -> None:
    """Zero is an answer only if it was meant."""
    sql = "SELECT COUNT(*) FROM reservation"

    assert isinstance(gates.judge("How many reservations are there?", sql), Rejected)
    assert isinstance(gates.judge("How many reservations are there?", sql, may_count_nothing=True), Accepted)


def test_accepted_pair_is_accepted_once(gates: Gates) -> None:
    """The same query, the same question, or the same query with another value."""
    first = gates.judge("Which books have more than 500 pages?", "SELECT title FROM book WHERE pages > 500")
    assert isinstance(first, Accepted)
    gates.add(first)

    for question, sql, reason in (
        ("Which ones are long?", "select Title from book where (pages > 500)", "duplicate"),
        ("which books have more than 500 pages", "SELECT genre FROM book WHERE pages > 501", "duplicate"),
        ("Name whatever exceeds it.", "SELECT title FROM book WHERE pages > 600", "near_duplicate"),
    ):
        verdict = gates.judge(question, sql)
        assert isinstance(verdict, Rejected)
        assert verdict.reason == reason


def test_groups_have_as_many_rows_as_the_question_says(gates: Gates) -> None:
    """RANK gives more where rows are equal."""
    sql = (
        "WITH ranked AS (SELECT level, reader_id, RANK() OVER (PARTITION BY level ORDER BY level) AS place FROM reader)"
        " SELECT level, reader_id FROM ranked WHERE place <= 2"
    )
    verdict = gates.judge("Which two readers are first in each level?", sql, most_per_group=2)

    assert isinstance(verdict, Rejected)
    assert verdict.reason in ("tie", "trivial")


def test_gates_never_write(url: str) -> None:
    """Not one of the texts above changed a byte of the file."""
    path = Path(url.removeprefix("sqlite:///"))
    before = path.read_bytes()
    with open_database(url) as database:
        gates = gates_of(database, *look(database))
        for sql in (*STOPPED, "DROP TABLE book", "UPDATE book SET pages = 1", "PRAGMA query_only = OFF"):
            if "RECURSIVE" not in sql:
                gates.judge("Does it write?", sql)

    assert path.read_bytes() == before
