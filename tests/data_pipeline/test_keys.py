"""Keys that no database declares: what names mean, what values prove, which traps are no keys, on both databases."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.database.connection import BusinessDatabase, open_database
from data_pipeline.database.execution import QueryLimits
from data_pipeline.database.finding import list_tables
from data_pipeline.database.key_values import (
    FEWEST_VALUES,
    VALUES_A_COLUMN,
    VALUES_KEPT,
    has_unique_index,
    look_up,
    measure_key,
    normal_value,
    values_a_column,
)
from data_pipeline.database.reflection import read_tables
from data_pipeline.database.schema import Column, Index, Key, Table
from data_pipeline.errors import QueryFailed
from data_pipeline.semantics.finding_keys import FoundKeys, find_keys
from data_pipeline.semantics.key_names import SchemaNames, fit, parse_key_name
from data_pipeline.semantics.keys import ACCEPTED_CONFIDENCE, QUESTION_CONFIDENCE, KeyVerdict
from data_pipeline.semantics.references import ReferenceVerdict
from data_pipeline.tasks.table_list import TableName
from tests.support.postgres import fresh_database

ROOT = Path(__file__).parents[2]
DATABASES = ROOT.parent / "shared" / "databases"

Rows = Sequence[tuple[Any, ...]]


def table_of(name: str, *columns: str) -> Table:
    """A table of integers."""
    made = tuple(Column(column, "integer", is_nullable=True) for column in columns)
    return Table(TableName(None, name), "table", None, made, Key(None, ()))


# Names

MEANINGS = [
    ("customer_id", "customer", "id"),
    ("CustomerID", "customer", "id"),
    ("custid", "customer", "id"),
    ("deptno", "department", "no"),
    ("segcd", "segment", "code"),
    ("aid", "a", "id"),
    ("id_customer", "customer", "id"),
    ("customer_key", "customer", "id"),
    ("concept_id_1", "concept", "id"),
    ("会员编号", "会员", "no"),
    ("患者ID", "患者", "id"),
    ("药品编码", "药品", "code"),
    ("id", "", "id"),
    ("编号", "", "no"),
    ("grid", "grid", None),
    ("valid", "valid", None),
    ("paid", "paid", None),
    ("barcode", "barcod", None),
    ("language", "languag", None),
]


@pytest.mark.parametrize(("name", "thing", "ending"), MEANINGS, ids=[one[0] for one in MEANINGS])
def test_name_of_a_column_is_a_thing_and_an_ending(name: str, thing: str, ending: str | None) -> None:
    """Split, glued or Chinese; words that only look glued stay whole."""
    expected = SchemaNames([table_of(thing or "x", "id")]).tables[TableName(None, thing or "x")] if thing else ()
    parsed = SchemaNames([table_of("orders", name)]).columns[TableName(None, "orders")][name]

    assert parsed.ending == ending
    assert parsed.thing == expected or parsed.text == thing


FITS = [
    ("customer_id", "customers", 1.0),
    ("category_id", "categories", 1.0),
    ("campus_id", "campuses", 1.0),
    ("size_code", "sizes", 1.0),
    ("movie_id", "movies", 1.0),
    ("person_id", "people", 1.0),
    ("status_id", "statuses", 1.0),
    ("billing_address_id", "address", 0.85),
    ("customer_id", "dim_customer", 1.0),
    ("customer_id", "tblCustomer", 1.0),
    ("会员编号", "会员信息表", 1.0),
    ("student_course_id", "student_enrolment_courses", 0.9),
    ("type_id", "customer_type", 0.85),
    ("customer_id", "customer_demographics", 0.8),
    ("qualify_id", "qualifying", 0.75),
    ("oi_id", "order_items", 0.75),
    ("a_id", "author", 0.6),
    ("dpt_id", "depot", 0.55),
    ("extract_38_id", "extract_38", 1.0),
    ("extract_38_id", "extract_53", 0.0),
    ("customer_id", "orders", 0.0),
    ("order_status_id", "orders", 0.0),
]


@pytest.mark.parametrize(("column", "table", "expected"), FITS, ids=[f"{one[0]}-{one[1]}" for one in FITS])
def test_thing_fits_a_table_by_its_words(column: str, table: str, expected: float) -> None:
    """Singular and plural, affixes, roles before the noun, short forms."""
    child, parent = table_of("child", column), table_of(table, "id")
    names = SchemaNames([child, parent])

    assert names.fit(names.columns[child.name][column], parent.name) == pytest.approx(expected)


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=5, unique=True))
def test_any_names_are_taken_apart(identifiers: list[str]) -> None:
    """Signs, blanks and scripts of any kind; fits stay between 0 and 1."""
    tables = [table_of(identifier, *identifiers) for identifier in identifiers]
    names = SchemaNames(tables)

    for table in tables:
        for name in names.columns[table.name].values():
            assert all(0 < score <= 1 for score in names.fitting_tables(table.name, name).values())
    assert fit(("x",), ("y",)) == 0
    assert parse_key_name(("id",)).is_generic


# Traps, on both databases


@dataclass(frozen=True)
class Case:
    """Tables with rows, all references that are found, and some of the keys."""

    title: str
    tables: Mapping[str, Rows]
    references: frozenset[str] = frozenset()
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def numbers(count: int, *, start: int = 1, step: int = 1) -> list[int]:
    return [start + step * number for number in range(count)]


def named(ids: Sequence[Any]) -> Rows:
    return [(one, f"thing {place}") for place, one in enumerate(ids)]


def turns(count: int, *cycles: Sequence[Any]) -> Rows:
    """Rows whose columns go around: an own number first."""
    return [(row + 1, *(cycle[row * 7 % len(cycle)] for cycle in cycles)) for row in range(count)]


COURSES = [(dept, number) for place, dept in enumerate("ABCDEFGH") for number in numbers(6) if (place + number) % 2]
LATE = numbers(12_000, start=3, step=3)

CASES = [
    Case(
        "a child whose sample is nowhere in the parent's first rows is looked up in the whole parent",
        {
            "customer(id integer, title text)": named(LATE),
            "visit(id integer, customer_id integer)": turns(90, LATE[-50:]),
        },
        frozenset({"visit.customer_id -> customer.id"}),
        {"customer": ("id",), "visit": ("id",)},
    ),
    Case(
        "number_of_hosts is a count",
        {
            "host(id integer, title text)": named(numbers(9)),
            "listing(id integer, number_of_hosts integer)": turns(40, numbers(5)),
        },
    ),
    Case(
        "codes of lookup tables include each other and need a name",
        {
            "order_state(code text, title text)": named(["A", "B", "C"]),
            "parcel_kind(code text, title text)": named(["A", "B", "C", "D"]),
            "parcel(id integer, mood text, parcel_kind text)": turns(40, ["A", "B"], ["A", "C", "D"]),
        },
        frozenset({"parcel.parcel_kind -> parcel_kind.code"}),
    ),
    Case(
        "a number that is a date refers to the table of dates",
        {
            "dim_date(date_key integer, weekday text)": named([20180100 + day for day in range(1, 32)]),
            "sale(id integer, order_date_key integer)": turns(60, [20180100 + day for day in range(1, 29)]),
        },
        frozenset({"sale.order_date_key -> dim_date.date_key"}),
        {"dim_date": ("date_key",)},
    ),
    Case(
        "0 and -1 that the parent does not have mean none",
        {
            "agent(id integer, title text)": named(numbers(20)),
            "deal(id integer, agent_id integer)": turns(60, [*numbers(10), 0]),
            "offer(id integer, agent_id integer)": turns(60, [*numbers(10), -1]),
        },
        frozenset({"deal.agent_id -> agent.id", "offer.agent_id -> agent.id"}),
    ),
    Case(
        "an id beside the name of its table is polymorphic",
        {
            "post(id integer, title text)": named(numbers(30)),
            "photo(id integer, title text)": named(numbers(30)),
            "object(id text, title text)": named(["x", "y"]),
            "remark(id integer, target_type text, target_id integer)": turns(50, ["Post", "Photo"], numbers(20)),
            "mark(id integer, post_type text, post_id integer)": turns(50, ["Post", "Photo"], numbers(20)),
        },
    ),
    Case(
        "a kind beside an id that names its own table is no reason against it",
        {
            "product(id integer, title text)": named(numbers(30)),
            "stock(id integer, product_type text, product_id integer)": turns(50, ["toy", "book"], numbers(20)),
        },
        frozenset({"stock.product_id -> product.id"}),
    ),
    Case(
        "the first column of a composite key is not a key",
        {
            "purchase(id integer, title text)": named(numbers(20)),
            "purchase_line(purchase_id integer, line_no integer, amount integer)": [
                (row, line, row * line) for row in numbers(20) for line in numbers(3)
            ],
        },
        frozenset({"purchase_line.purchase_id -> purchase.id"}),
        {"purchase_line": ("purchase_id", "line_no")},
    ),
    Case(
        "serial numbers prove nothing",
        {
            "alpha(id integer, title text)": named(numbers(90)),
            "beta(id integer, level integer, place integer, shade integer)": turns(
                90, numbers(9), numbers(40), numbers(70)
            ),
        },
    ),
    Case(
        "a bridge has both keys although one happens to be unique",
        {
            "film(film_id integer, title text)": named(numbers(40)),
            "genre(genre_id integer, title text)": named(numbers(6)),
            "film_genre(film_id integer, genre_id integer)": [(film, film % 6 + 1) for film in numbers(40)],
        },
        frozenset({"film_genre.film_id -> film.film_id", "film_genre.genre_id -> genre.genre_id"}),
        {"film_genre": ("film_id", "genre_id")},
    ),
    Case(
        "columns of roles refer to rows of the same table and to people",
        {
            "employee(id integer, title text, reports_to integer)": [
                (1, "a", None),
                (2, "b", 1),
                (3, "c", 1),
                (4, "d", 2),
            ],
            "folder(id integer, parent_id integer)": [(1, 0), (2, 1), (3, 1), (4, 2), (5, 3)],
            "shop(id integer, manager_id integer)": turns(12, numbers(4)),
        },
        frozenset(
            {"employee.reports_to -> employee.id", "folder.parent_id -> folder.id", "shop.manager_id -> employee.id"}
        ),
    ),
    Case(
        "a sparse key is found by its values alone, a person's name is not",
        {
            "station(number integer, title text)": named(numbers(60, start=700, step=13)),
            "reading(id integer, taken_at_place integer)": turns(90, numbers(50, start=700, step=13)),
        },
        frozenset({"reading.taken_at_place -> station.number"}),
    ),
    Case(
        "one-to-one tables refer to the nearest table that they name, and others to the root",
        {
            "person(person_id integer, title text)": named(numbers(50)),
            "patient(person_id integer, ward integer)": [(one, one % 5) for one in numbers(30)],
            "claim(id integer, person_id integer)": turns(60, numbers(28)),
        },
        frozenset({"patient.person_id -> person.person_id", "claim.person_id -> person.person_id"}),
        {"patient": ("person_id",)},
    ),
    Case(
        "a table that adds to another one is its child",
        {
            "publisher(pub_id integer, title text)": named(numbers(20, step=9)),
            "pub_info(pub_id integer, logo text)": named(numbers(20, step=9)),
            "book(id integer, pub_id integer)": turns(60, numbers(20, step=9)),
        },
        frozenset({"pub_info.pub_id -> publisher.pub_id", "book.pub_id -> publisher.pub_id"}),
    ),
    Case(
        "keys of several columns are found by their combinations",
        {
            "course(dept text, course_no integer, title text)": [(*one, " ".join(map(str, one))) for one in COURSES],
            "grade(id integer, dept text, course_no integer)": [(row, *COURSES[row * 5 % 24]) for row in range(80)],
        },
        frozenset({"grade.(dept, course_no) -> course.(dept, course_no)"}),
    ),
    Case(
        "empty tables confirm nothing",
        {
            "owner(id integer, title text)": [],
            "pet(id integer, owner_id integer)": turns(20, [None]),
            "toy(id integer, pet_id integer)": [],
        },
        frozenset(),
        {"pet": ("id",)},
    ),
    Case(
        "a parent may lack a few values, but not many",
        {
            "city(id integer, title text)": named(numbers(50)),
            "trip(id integer, city_id integer)": turns(60, numbers(52)),
            "stay(id integer, city_id integer)": turns(60, numbers(80)),
        },
        frozenset({"trip.city_id -> city.id"}),
    ),
    Case(
        "glued names",
        {
            "author(aid integer, title text)": named(numbers(40)),
            "publication(pid integer, title text, year integer)": [
                (one, f"t{one}", 1990 + one % 9) for one in numbers(60)
            ],
            "writes(aid integer, pid integer)": [(one % 40 + 1, one % 60 + 1) for one in range(120)],
        },
        frozenset({"writes.aid -> author.aid", "writes.pid -> publication.pid"}),
        {"author": ("aid",), "publication": ("pid",), "writes": ("aid", "pid")},
    ),
    Case(
        "Chinese names",
        {
            "会员信息表(会员编号 integer, 会员姓名 text)": named(numbers(30, start=1001)),
            "订单(订单号 text, 会员编号 integer)": [(f"DD{row:04}", 1001 + row % 25) for row in range(60)],
            "订单明细(明细编号 integer, 订单号 text)": turns(90, [f"DD{row:04}" for row in range(50)]),
        },
        frozenset({"订单.会员编号 -> 会员信息表.会员编号", "订单明细.订单号 -> 订单.订单号"}),
        {"会员信息表": ("会员编号",), "订单": ("订单号",), "订单明细": ("明细编号",)},
    ),
    Case(
        "lines of an order are not the order",
        {
            "销售订单表(订单编号 integer, 下单时间 text)": named(numbers(40)),
            "订单明细表(明细编号 integer, 订单编号 integer)": turns(90, numbers(40)),
            "退货记录表(退货编号 integer, 订单编号 integer)": turns(20, numbers(40)),
        },
        frozenset({"订单明细表.订单编号 -> 销售订单表.订单编号", "退货记录表.订单编号 -> 销售订单表.订单编号"}),
        {"销售订单表": ("订单编号",), "订单明细表": ("明细编号",), "退货记录表": ("退货编号",)},
    ),
    Case(
        "a quote and a reserved word in names",
        {
            """"odd parent's"(id integer, title text)""": named(numbers(20)),
            """"order"(id integer, "odd parent's id" integer)""": turns(30, numbers(15)),
        },
        frozenset({"order.odd parent's id -> odd parent's.id"}),
    ),
]


def place(table: TableName, columns: Sequence[str]) -> str:
    return f"{table.name}.{columns[0]}" if len(columns) == 1 else f"{table.name}.({', '.join(columns)})"


def shown(references: Sequence[ReferenceVerdict]) -> set[str]:
    return {f"{place(one.child, one.child_columns)} -> {place(one.parent, one.parent_columns)}" for one in references}


def check(found: FoundKeys, case: Case, where: str) -> None:
    assert shown(found.inferred) == case.references, (where, case.title)
    keys = {name.name: verdict.columns for name, verdict in found.primary.items()}
    assert {name: keys.get(name) for name in case.keys} == dict(case.keys), (where, case.title)
    verdicts: list[KeyVerdict | ReferenceVerdict] = [*found.inferred, *found.primary.values()]
    for verdict in verdicts:
        assert ACCEPTED_CONFIDENCE <= verdict.confidence < 1, (where, case.title)
        assert verdict.reason, (where, case.title)
        assert "declared" not in verdict.evidence, (where, case.title)


def fill_sqlite(path: Path, tables: Mapping[str, Rows]) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for declaration, rows in tables.items():
            connection.execute(f"CREATE TABLE {declaration}")
            name = declaration[: declaration.index("(")]
            if rows:
                connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)


def tables_of(database: BusinessDatabase, schema: str | None = None) -> list[Table]:
    return read_tables(database, list_tables(database, None if schema is None else [schema]))[0]


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_names_and_values_decide_together(case: Case, tmp_path: Path) -> None:
    """What is found in SQLite is all that there is, and nothing else."""
    path = tmp_path / "case.sqlite"
    fill_sqlite(path, case.tables)
    with open_database(f"sqlite:///{path}") as database:
        check(find_keys(database, tables_of(database), QueryLimits()), case, "sqlite")


def test_postgresql_gives_the_same_verdicts() -> None:
    """Each case in a schema of its own."""
    with fresh_database() as url:
        with psycopg.connect(url, autocommit=True) as server:
            for number, case in enumerate(CASES):
                server.execute(f"CREATE SCHEMA case_{number}")
                server.execute(f"SET search_path = case_{number}")
                for declaration, rows in case.tables.items():
                    server.execute(f"CREATE TABLE {declaration}".encode())
                    name = declaration[: declaration.index("(")]
                    if rows:
                        signs = ", ".join(["%s"] * len(rows[0]))
                        with server.cursor() as cursor:
                            cursor.executemany(f"INSERT INTO {name} VALUES ({signs})".encode(), rows)
        with open_database(url) as database:
            for number, case in enumerate(CASES):
                found = find_keys(database, tables_of(database, f"case_{number}"), QueryLimits())
                check(found, case, "postgresql")


def test_partitions_children_by_inheritance_and_views_have_no_keys_of_their_own() -> None:
    """Their rows belong to another table."""
    with fresh_database() as url:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(
                "CREATE TABLE customer (id integer, title text);"
                "CREATE TABLE event (id integer, customer_id integer, day date) PARTITION BY RANGE (day);"
                "CREATE TABLE event_2024 PARTITION OF event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');"
                "CREATE TABLE animal (id integer, customer_id integer);"
                "CREATE TABLE dog (tail integer) INHERITS (animal);"
                "CREATE VIEW customers AS SELECT * FROM customer;"
                "INSERT INTO customer SELECT n, 'c' || n FROM generate_series(1, 30) n;"
                "INSERT INTO event SELECT n, 1 + n % 30, date '2024-01-01' + n FROM generate_series(1, 90) n;"
                "INSERT INTO dog SELECT n, 1 + n % 30, 2 FROM generate_series(1, 90) n"
            )
        with open_database(url) as database:
            found = find_keys(database, tables_of(database), QueryLimits())

    assert shown(found.inferred) == {"event.customer_id -> customer.id", "animal.customer_id -> customer.id"}
    assert {name.name for name in found.primary} == {"customer", "event", "animal"}


def test_declared_keys_are_kept_and_nothing_is_added_to_their_columns(tmp_path: Path) -> None:
    """A declared key is sure, and its column has no second parent."""
    path = tmp_path / "declared.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            "CREATE TABLE customer (id INTEGER PRIMARY KEY); CREATE TABLE client (id INTEGER PRIMARY KEY);"
            "CREATE TABLE bill (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES client (id));"
            "INSERT INTO customer VALUES (1), (2), (3); INSERT INTO client VALUES (1), (2), (3);"
            "INSERT INTO bill VALUES (1, 1), (2, 2), (3, 3), (4, 1)"
        )
    with open_database(f"sqlite:///{path}") as database:
        found = find_keys(database, tables_of(database), QueryLimits())

    assert shown(found.references) == {"bill.customer_id -> client.id"}
    assert found.inferred == []
    assert {verdict.confidence for verdict in found.primary.values()} == {1.0}


def test_a_key_that_is_not_sure_enough_for_questions_is_not_set(tmp_path: Path) -> None:
    """Tables get the sure ones only; a declared key stays as it is."""
    path = tmp_path / "sure.sqlite"
    fill_sqlite(
        path,
        {
            "customer(id integer, title text)": named(numbers(30)),
            "pairs(one integer, other integer)": [(one % 5, one) for one in numbers(30)],
        },
    )
    with open_database(f"sqlite:///{path}") as database:
        tables = tables_of(database)
        found = find_keys(database, tables, QueryLimits())
    keys = {table.name.name: table.primary_key.columns for table in found.with_primary_keys(tables)}

    assert keys == {"customer": ("id",), "pairs": ()}
    assert found.primary[TableName("main", "customer")].confidence >= QUESTION_CONFIDENCE


def test_values_that_mean_none_lower_the_share_but_not_the_confidence(tmp_path: Path) -> None:
    """The questions know that some rows refer to nothing."""
    path = tmp_path / "none.sqlite"
    fill_sqlite(
        path,
        {
            "agent(id integer, title text)": named(numbers(20)),
            "deal(id integer, agent_id integer)": turns(60, [*numbers(9), 0]),
        },
    )
    with open_database(f"sqlite:///{path}") as database:
        (verdict,) = find_keys(database, tables_of(database), QueryLimits()).inferred

    assert verdict.contained_share == pytest.approx(0.9)
    assert verdict.confidence >= QUESTION_CONFIDENCE


# Measuring


@contextlib.contextmanager
def large_database(tmp_path: Path) -> Iterator[tuple[BusinessDatabase, Table]]:
    """20,000 rows whose `twice` repeats one value, far from its first place."""
    path = tmp_path / "large.sqlite"
    rows = [(row, row if row != 19_999 else 3, row % 100, row // 100) for row in range(20_000)]
    fill_sqlite(path, {"entry(id integer, twice integer, low integer, high integer)": rows})
    with open_database(f"sqlite:///{path}") as database:
        yield database, tables_of(database)[0]


def test_keys_of_large_tables_are_measured_over_all_rows(tmp_path: Path) -> None:
    """A repeated value that the sample does not have is seen."""
    with large_database(tmp_path) as (database, table):
        for columns, is_unique in {("id",): True, ("twice",): False, ("low", "high"): True, ("low",): False}.items():
            extent = measure_key(database, table, columns, QueryLimits())
            assert extent is not None
            assert (extent.is_unique, extent.row_count) == (is_unique, 20_000), columns
        assert find_keys(database, [table], QueryLimits()).primary[table.name].columns == ("id",)


def test_what_takes_too_long_is_a_problem_of_one_table_and_proves_nothing(tmp_path: Path) -> None:
    """A sample, a count and a look-up each end in time."""
    limits = QueryLimits(seconds=0.0)
    with large_database(tmp_path) as (database, table):
        found = find_keys(database, [table], limits)

        assert list(found.problems) == [table.name]
        assert not found.primary
        assert measure_key(database, table, ("twice",), limits) is None
        assert look_up(database, table.name, ("low",), numbers(400), limits) is None


def test_table_that_is_gone_takes_only_its_own_keys_along(tmp_path: Path) -> None:
    """It is reported."""
    path = tmp_path / "gone.sqlite"
    fill_sqlite(
        path,
        {
            "owner(id integer, title text)": named(numbers(9)),
            "pet(id integer, owner_id integer)": turns(30, numbers(9)),
        },
    )
    gone = table_of("gone", "id", "owner_id")
    with open_database(f"sqlite:///{path}") as database:
        found = find_keys(database, [*tables_of(database), gone], QueryLimits())

    assert shown(found.inferred) == {"pet.owner_id -> owner.id"}
    assert list(found.problems) == [gone.name]


def test_percent_sign_in_a_name_is_no_placeholder() -> None:
    """Look-ups have parameters, and other statements none."""
    with fresh_database() as url:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute('CREATE TABLE "50% off" ("%s" integer); INSERT INTO "50% off" VALUES (1), (2)')
        with open_database(url) as database:
            (table,) = tables_of(database)
            assert look_up(database, table.name, ("%s",), [2, 3], QueryLimits()) == {2}
            extent = measure_key(database, table, ("%s",), QueryLimits())
    assert extent is not None
    assert extent.is_unique


def test_cancelled_search_stops(tmp_path: Path) -> None:
    """It is no failure of a table."""
    limits = QueryLimits()
    limits.cancellation.set()
    with large_database(tmp_path) as (database, table), pytest.raises(QueryFailed, match="cancelled"):
        find_keys(database, [table], limits)


def test_unique_index_proves_a_key_without_counting() -> None:
    """One with a condition or an expression does not."""
    table = table_of("entry", "id", "code")
    for definition, proves in {
        "CREATE UNIQUE INDEX i ON entry (code)": True,
        'CREATE UNIQUE INDEX i ON public.entry USING btree ("code")': True,
        "CREATE INDEX i ON entry (code)": False,
        "CREATE UNIQUE INDEX i ON entry (code, id)": False,
        "CREATE UNIQUE INDEX i ON entry (lower(code))": False,
        "CREATE UNIQUE INDEX i ON entry (code) WHERE (id > 3)": False,
    }.items():
        assert has_unique_index(replace(table, indexes=(Index("i", definition),)), ("code",)) is proves, definition
    assert has_unique_index(replace(table, unique_keys=(Key(None, ("code",)),)), ("code",))


def test_memory_does_not_grow_with_the_schema() -> None:
    """A large schema keeps fewer values of each column."""
    assert values_a_column(10) == VALUES_A_COLUMN
    assert values_a_column(20_000) == FEWEST_VALUES
    assert all(values_a_column(count) * count <= VALUES_KEPT for count in (2_000, 8_000, 20_000))


def test_values_that_databases_compare_as_equal_are_one_value() -> None:
    """Numbers of any type, padded texts; what is no number stays."""
    assert [normal_value(one) for one in (7, 7.0, 7.5, "a  ", b"x")] == [7, 7, 7.5, "a", b"x"]
    assert normal_value(float("inf")) == float("inf")


# Whole schemas


def test_keys_of_whole_schemas_are_found_without_their_declarations() -> None:
    """No reference is false; the figures of all schemas are those of the benchmark, which reports them as JSON."""
    names = ["webshop", "academic_glued", "zh_mall", "tpc_like"]
    only = [part for name in names for part in ("--only", name)]
    command = [sys.executable, "-m", "benchmarks.bench_semantics", "keys", "--json", *only]
    report = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)["tuned"]

    assert report["foreign"]["false"] == []
    assert report["foreign"]["recall"] >= 0.95
    assert report["primary"]["f1"] >= 0.95
    assert report["tables"] == 34


@pytest.mark.skipif(not DATABASES.is_dir(), reason="the real databases are not beside the project (../shared)")
@pytest.mark.parametrize(
    ("name", "missed"), [("chinook", set()), ("northwind", {"Orders.ShipVia -> Shippers.ShipperID"})]
)
def test_declared_references_of_real_databases_are_found(name: str, missed: set[str]) -> None:
    """Precision 1; what is missed is a name that fits nothing over serial numbers, and empty tables."""
    with open_database(f"sqlite:///{DATABASES / name / f'{name}.sqlite'}") as database:
        tables = tables_of(database)
        bare = [replace(table, primary_key=Key(None, ()), foreign_keys=(), unique_keys=()) for table in tables]
        found = find_keys(database, bare, QueryLimits())
    declared = {
        f"{place(table.name, key.columns)} -> {place(key.target, key.target_columns)}"
        for table in tables
        for key in table.foreign_keys
        if "CustomerDemo" not in table.name.name  # without rows
    }

    assert shown(found.inferred) <= declared
    assert declared - shown(found.inferred) == missed
