"""The profile of a table: true for small ones, bounded for large ones, and without a personal value."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from data_pipeline.database import sampling as profile_module
from data_pipeline.database.connection import BusinessDatabase, open_database
from data_pipeline.database.execution import QueryLimits
from data_pipeline.database.finding import list_tables
from data_pipeline.database.reflection import read_table
from data_pipeline.demo.database import build_database
from data_pipeline.semantics.profile import ColumnProfile, TableProfile, profile_table
from data_pipeline.tasks.table_list import TableName
from tests.support.postgres import fresh_database

TABLES = """
CREATE TABLE "Odd ""name" (
  "select" INTEGER PRIMARY KEY, "状态" VARCHAR(10), price NUMERIC(8, 2), lyrics TEXT, email TEXT
);
INSERT INTO "Odd ""name"
  WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 40)
  SELECT i, CASE WHEN i % 4 = 0 THEN NULL WHEN i % 2 = 0 THEN 'open' ELSE 'shut' END, i * 1.5,
         'line' || i || ' ' || '012345678901234567890123456789012345678901234567890123456789',
         'a' || i || '@b.example' FROM n;
CREATE TABLE empty (a INTEGER, b TEXT);
CREATE VIEW only_open AS SELECT * FROM "Odd ""name" WHERE "状态" = 'open';
"""


@contextlib.contextmanager
def databases(tmp_path: Path) -> Iterator[list[BusinessDatabase]]:
    """The same tables on SQLite and on PostgreSQL."""
    connection = sqlite3.connect(tmp_path / "shop.sqlite")
    connection.executescript(TABLES)
    connection.close()
    with fresh_database() as url:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(TABLES)
        with open_database(f"sqlite:///{tmp_path / 'shop.sqlite'}") as sqlite, open_database(url) as postgresql:
            yield [sqlite, postgresql]


def profiled(database: BusinessDatabase, name: str, *, masks: bool = True) -> TableProfile:
    schema = "main" if database.dialect_name == "sqlite" else "public"
    table = read_table(database, TableName(schema, name))
    return profile_table(database, table, QueryLimits(), masks_personal_data=masks)


def column(profile: TableProfile, name: str) -> ColumnProfile:
    return next(column for column in profile.columns if column.name == name)


def test_profile_of_a_small_table_is_exact(tmp_path: Path) -> None:
    """Counts, ends, samples and the values of an enumeration, whatever the names are."""
    with databases(tmp_path) as opened:
        for database in opened:
            for name, rows in (('Odd "name', 40), ("only_open", 10)):
                found = profiled(database, name)
                assert (found.row_count, found.looked_at, found.is_sampled) == (rows, rows, False)
            found = profiled(database, 'Odd "name')
            state = column(found, "状态")
            assert (state.null_count, state.distinct_count, state.enum_values) == (10, 2, ("open", "shut"))
            price = column(found, "price")
            assert (float(price.minimum or 0), float(price.maximum or 0), price.distinct_count) == (1.5, 60.0, 40)
            assert price.enum_values == ()
            assert len(column(found, "select").samples) == 5
            assert {len(sample) for sample in column(found, "lyrics").samples} == {60}


def test_bytes_have_no_least_and_no_greatest(tmp_path: Path) -> None:
    """Their numbers would be read as a range, and are none."""
    connection = sqlite3.connect(tmp_path / "shop.sqlite")
    connection.executescript("CREATE TABLE t (picture BLOB); INSERT INTO t VALUES (x'ffff'), (x'00'), (x'01020304')")
    connection.close()
    with open_database(f"sqlite:///{tmp_path / 'shop.sqlite'}") as database:
        picture = column(profiled(database, "t"), "picture")

    assert (picture.minimum, picture.maximum, picture.distinct_count) == (None, None, 3)
    assert picture.samples == ("(2 bytes)", "(1 bytes)", "(4 bytes)")


def test_personal_values_are_masked_unless_the_task_says_otherwise(tmp_path: Path) -> None:
    """Counts stay, values go: samples, ends and enumerations."""
    with databases(tmp_path) as opened:
        for database in opened:
            email = column(profiled(database, 'Odd "name'), "email")
            assert email.personal is not None
            assert (email.samples, email.minimum, email.maximum, email.distinct_count) == (("***",), "***", "***", 40)
            shown = column(profiled(database, 'Odd "name', masks=False), "email")
            assert shown.samples[0].endswith("@b.example")


def test_empty_table_has_a_profile(tmp_path: Path) -> None:
    """Nothing to look at is no error."""
    with databases(tmp_path) as opened:
        for database in opened:
            found = profiled(database, "empty")
            assert (found.row_count, found.looked_at) == (0, 0)
            assert column(found, "a") == ColumnProfile("a", 0, 0, None, None, (), (), None, is_masked=False)


def test_large_table_is_sampled_from_all_over_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """About as many rows as the sample has, not those of its beginning alone; and it is said."""
    monkeypatch.setattr(profile_module, "SAMPLE_ROWS", 1_000)
    fill = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 50000) "
    fill += "SELECT i, CASE WHEN i % 2 = 0 THEN 'x' ELSE 'y' END FROM n"
    with databases(tmp_path) as opened:
        connection = sqlite3.connect(tmp_path / "shop.sqlite")
        connection.execute("CREATE TABLE large (i INTEGER PRIMARY KEY, t TEXT)")
        connection.execute("CREATE TABLE keyed (i INTEGER PRIMARY KEY, t TEXT) WITHOUT ROWID")
        for name in ("large", "keyed"):
            connection.execute(f"INSERT INTO {name} {fill}")
        connection.commit()
        connection.close()
        url = opened[1].engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(
                f"CREATE TABLE large (i INTEGER PRIMARY KEY, t TEXT); INSERT INTO large {fill}; ANALYZE large"
            )
        for database in opened:
            found = profiled(database, "large")
            assert found.is_sampled
            assert 45_000 < found.row_count < 55_000
            assert 300 < found.looked_at <= 1_000
            assert int(column(found, "i").maximum or 0) > 5_000
            assert column(found, "t").enum_values == ("x", "y")
        keyed = profiled(opened[0], "keyed")
        assert (keyed.is_sampled, keyed.looked_at) == (True, 1_000)


def test_types_without_an_order_are_profiled_too(tmp_path: Path) -> None:
    """JSON, arrays, booleans, bytes, enumerations of PostgreSQL."""
    with fresh_database() as url:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(
                "CREATE TYPE mood AS ENUM ('good', 'bad');"
                "CREATE TABLE odd (j json, b jsonb, a int[], t boolean, y bytea, m mood, u uuid);"
                "INSERT INTO odd VALUES ('{}', '{}', '{1}', true, '\\x00', 'good', gen_random_uuid())"
            )
        with open_database(url) as database:
            found = profiled(database, "odd")

    assert {one.distinct_count for one in found.columns} == {1}
    assert column(found, "y").samples == ("(1 bytes)",)


def test_no_personal_value_of_the_demo_is_in_any_profile(tmp_path: Path) -> None:
    """Every value of every personal column is looked for."""
    build_database(str(tmp_path / "demo.sqlite"))
    with open_database(f"sqlite:///{tmp_path / 'demo.sqlite'}") as database:
        profiles = [
            profile_table(database, read_table(database, name), QueryLimits())
            for name in list_tables(database, ["main"])
        ]
        shown = {
            text
            for found in profiles
            for one in found.columns
            for text in (*one.samples, *one.enum_values, one.minimum, one.maximum)
        }
        personal = (
            "SELECT full_name FROM employee UNION SELECT email FROM employee UNION SELECT phone FROM member UNION "
            "SELECT id_card_number FROM employee UNION SELECT plate_number FROM member UNION "
            "SELECT birthday FROM member UNION SELECT contact_email FROM supplier UNION SELECT email FROM member"
        )
        with database.connect() as connection:
            values = {value for (value,) in connection.exec_driver_sql(personal) if value is not None}

    assert len(values) > 5_000
    assert values & shown == set()


def test_what_tells_a_person_is_shown_in_no_other_column(tmp_path: Path) -> None:
    """Notes are masked where they name people row by row; a company that bears one owner's name loses that example."""
    connection = sqlite3.connect(tmp_path / "people.sqlite")
    connection.execute("CREATE TABLE people (last_name TEXT, notes TEXT, company TEXT, hired DATE, state TEXT)")
    rows = [
        (f"Surname{n}", f"Surname{n} studied", "Surname0 & Sons" if n == 0 else f"Company {n}", "2020-01-01", "left")
        for n in range(30)
    ]
    connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    with open_database(f"sqlite:///{tmp_path / 'people.sqlite'}") as database:
        found = profiled(database, "people")
        shown = profile_table(
            database, read_table(database, TableName("main", "people")), QueryLimits(), masks_personal_data=False
        )

    assert column(found, "notes").samples == ("***",)
    assert column(found, "company").samples[0] == "Company 1"
    assert (column(found, "company").minimum, column(found, "company").maximum) == ("***", "***")
    assert (column(found, "hired").minimum, column(found, "state").maximum) == ("2020-01-01", "left")
    assert column(shown, "notes").samples[0] == "Surname0 studied"
