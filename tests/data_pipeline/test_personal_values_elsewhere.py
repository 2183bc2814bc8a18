"""Values about people that stand in other tables, under names that do not say so: in no file, in no answer."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from data_pipeline.steps import RunParameters, StepContext
from data_pipeline.steps.ddl.step import DdlGeneration
from data_pipeline.steps.runner import StepRunner, Work
from data_pipeline.tasks.results import Json
from data_pipeline.tasks.table_list import TableName
from tests.data_pipeline.test_ddl_generation import Memory, NoFiles
from tests.support.postgres import fresh_database
from tests.support.server import data
from tests.support.service import serving, settings_of

PEOPLE = """
CREATE TABLE employee (employee_id INTEGER PRIMARY KEY, full_name TEXT, id_card_number TEXT, phone BIGINT,
    address TEXT);
CREATE TABLE booking (booking_id INTEGER PRIMARY KEY, guest TEXT, kind TEXT, site TEXT);
CREATE TABLE request (request_id INTEGER PRIMARY KEY, remark TEXT, topic TEXT);
CREATE VIEW who AS SELECT full_name AS label, id_card_number AS code, phone AS n, address AS place FROM employee;
"""


def people_in(url: str) -> list[str]:
    """A database in which values about people stand in columns whose names and looks do not say so; those values."""
    names = [f"Ada{chr(97 + n // 26)}{chr(97 + n % 26)} Bergmann-{n}" for n in range(300)]
    employees = [
        (n, name, f"ID{7_000_000 + n}X", 4_930_000_000 + n, f"{n + 10} Long Road") for n, name in enumerate(names)
    ]
    bookings = [(n, names[-1 - n], "day" if n % 2 else "week", f"Hall {n}") for n in range(60)]
    remarks = [f"Call {names[n]} at +49 30 55{n:04}" if n % 4 == 0 else f"all is well {n}" for n in range(60)]
    requests = [(n, remark, names[n % 3] if n < 3 else "heating") for n, remark in enumerate(remarks)]
    if url.startswith("sqlite"):
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.executescript(PEOPLE)
        mark = "?"
    else:
        connection = psycopg.connect(url)
        connection.execute(PEOPLE)
        mark = "%s"
    for table, rows in (("employee", employees), ("booking", bookings), ("request", requests)):
        marks = ", ".join([mark] * len(rows[0]))
        connection.cursor().executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
    connection.commit()
    connection.close()
    return [str(value) for row in employees for value in row[1:]] + [f"55{n:04}" for n in range(60)]


@pytest.fixture(params=["sqlite", "postgresql"])
def people(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The URL of such a database, and the values."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'people.sqlite'}"
        yield url, people_in(url)
    else:
        with fresh_database() as url:
            yield url, people_in(url)


def pages_of(url: str, runner: StepRunner | None = None) -> dict[str, str]:
    """The files that the step writes for all tables."""
    tables = [TableName(None, name) for name in ("employee", "booking", "request", "who")]
    staging = Memory()
    context = StepContext(
        "task_1", "run_1", tuple(tables), RunParameters(db_connection=url), NoFiles(), None, staging,
        runner or StepRunner(), lambda _: None, logging.getLogger("test"),
    )  # fmt: skip
    asyncio.run(DdlGeneration().run(context))
    return staging.files


def test_personal_value_of_one_table_is_in_no_file_of_another(people: tuple[str, list[str]]) -> None:
    """Views with other names, guests, remarks: the values of all listed tables are known before a page is written."""
    url, values = people
    files = pages_of(url)

    assert [value for value in values for text in files.values() if value in text] == []
    assert "week" in files["booking_detail.md"]
    assert "Hall 1" in files["booking_detail.md"]
    assert "heating" not in files["request_detail.md"].partition("Profile")[0].partition("one of")[2]


def test_personal_values_are_known_after_a_resume_as_well(people: tuple[str, list[str]]) -> None:
    """Pages of tables that are recorded are not written again; their values are known all the same."""
    url, values = people

    class Resumed(StepRunner):
        """Has a result for every table but the last two."""

        async def run_all(self, works: Sequence[tuple[str, Work]], **options: Any) -> list[Json]:
            return await super().run_all(works[-2:], **options)

    files = pages_of(url, Resumed())

    assert len([name for name in files if name.endswith(".md")]) == 2
    assert "who_detail.md" in files
    assert [value for value in values for text in files.values() if value in text] == []


def test_page_over_http_holds_no_personal_value_of_another_table(tmp_path: Path) -> None:
    """The tables near it are searched as well."""
    url = f"sqlite:///{tmp_path / 'people.sqlite'}"
    values = people_in(url)
    with serving(settings_of(tmp_path, databases={"people": url})) as client:
        pages = [
            data(client.post("/api/v0/database/table/ddl", json={"table": table, "type": "md"}))["md"]
            for table in ("who", "booking", "request")
        ]

    assert [value for value in values for text in pages if value in text] == []
