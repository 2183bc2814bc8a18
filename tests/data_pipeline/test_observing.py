"""What is a measure is decided by the semantic rules, also for columns that probably refer to a table."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from data_pipeline.database.connection import open_database
from data_pipeline.database.execution import QueryLimits
from data_pipeline.database.reflection import read_table
from data_pipeline.semantics.facts import TableFacts
from data_pipeline.semantics.observing import observe, with_links
from data_pipeline.tasks.table_list import TableName

VISIT = TableName("main", "visit")


@pytest.fixture
def visit(tmp_path: Path) -> TableFacts:
    """Forty visits: keys, codes and encoded dates beside an amount."""
    with sqlite3.connect(tmp_path / "clinic.sqlite") as connection:
        connection.execute(
            "CREATE TABLE visit (visit_id INTEGER PRIMARY KEY, parent INTEGER, seen_at INTEGER, zip_code INTEGER,"
            " fee NUMERIC, price NUMERIC)"
        )
        rows = [(n, n // 2, 1_700_000_000 + n * 86_400, 10_115 + n * 7, n * 1.5, n * 2.5) for n in range(1, 41)]
        connection.executemany("INSERT INTO visit VALUES (?, ?, ?, ?, ?, ?)", rows)
    with open_database(f"sqlite:///{tmp_path}/clinic.sqlite") as database:
        return observe(database, read_table(database, VISIT), QueryLimits(), masks_personal_data=True).table


def test_no_key_code_or_encoded_date_is_a_measure(visit: TableFacts) -> None:
    assert [column.name for column in visit.of_role("measure")] == ["fee", "price"]


def test_only_an_amount_is_summed(visit: TableFacts) -> None:
    assert [column.name for column in visit.columns if column.is_additive] == ["fee"]


def test_a_column_that_probably_refers_to_a_table_is_no_measure(visit: TableFacts) -> None:
    (marked,) = with_links([visit], [], {(VISIT, "fee")})

    assert [column.name for column in marked.of_role("measure")] == ["price"]
    assert not any(column.is_additive for column in marked.columns)
