"""Inferred joins: which names fit, what values bear out, and how much of the declared joins is found without them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.database.connection import BusinessDatabase, open_database
from data_pipeline.database.execution import QueryLimits
from data_pipeline.database.finding import list_tables
from data_pipeline.database.reflection import read_tables
from data_pipeline.database.schema import Column, ForeignKey, Key, Table
from data_pipeline.errors import QueryFailed
from data_pipeline.semantics.joins import (
    ACCEPTED_CONFIDENCE,
    CANDIDATES_A_COLUMN,
    InferredJoin,
    confidence_of,
    infer_joins,
    join_candidates,
)
from data_pipeline.tasks.table_list import TableName
from tests.support.postgres import fresh_database

DATABASES = Path(__file__).parents[3] / "shared" / "databases"


def table(name: str, columns: str, *, key: str | None = None, unique: str = "", kind: str = "table") -> Table:
    """`a, b text` has a column `a` of integers and one of texts."""
    parts = [column.split() for column in columns.split(",")]
    schema, _, own = name.rpartition(".")
    made = Table(
        TableName(schema or None, own),
        "table",
        None,
        tuple(Column(part[0], " ".join(part[1:]) or "integer", is_nullable=True) for part in parts),
        Key(None, (key,) if key else ()),
        unique_keys=(Key(None, (unique,)),) if unique else (),
    )
    return replace(made, kind="view") if kind == "view" else made


def found(*tables: Table) -> dict[str, float]:
    """What the first table's columns can refer to."""
    return {
        f"{one.child_column} -> {one.parent}.{one.parent_column}": round(one.name_score, 2)
        for one in join_candidates(tables)
        if one.child == tables[0].name
    }


FITTING = [
    ("customer_id", table("customer", "id", key="id"), 1.0),
    ("customer_id", table("customers", "customer_id", key="customer_id"), 1.0),
    ("CustomerId", table("Customer", "CustomerId", key="CustomerId"), 1.0),
    ("customerid", table("customers", "customerid", key="customerid"), 1.0),
    ("CategoryID", table("Categories", "CategoryID", key="CategoryID"), 1.0),
    ("movie_id", table("movies", "id", key="id"), 1.0),
    ("status_id", table("statuses", "id", key="id"), 1.0),
    ("person_id", table("people", "id", key="id"), 1.0),
    ("customer_key", table("dim_customer", "customer_key", key="customer_key"), 0.8),
    ("country_code varchar(2)", table("country", "id, code char(2)", key="id", unique="code"), 1.0),
    ("客户编号", table("客户", "编号", key="编号"), 1.0),
    ("customer_type_id", table("customer_demographics", "customer_type_id", key="customer_type_id"), 0.8),
    ("billing_customer_id", table("customer", "id", key="id"), 0.8),
    ("homeAirportId", table("airport", "id", key="id"), 0.8),
    ("company_id", table("bss_company", "id", key="id"), 0.7),
    ("customer", table("customer", "id", key="id"), 0.6),
    ("support_rep_id", table("employee", "id", key="id"), 0.55),
    ("created_by", table("users", "id", key="id"), 0.55),
    ("cust_id", table("customer", "id", key="id"), 0.4),
]


@pytest.mark.parametrize(("column", "parent", "score"), FITTING, ids=lambda value: str(value)[:30])
def test_name_that_fits_is_a_candidate(column: str, parent: Table, score: float) -> None:
    """The clearer the name, the higher its score."""
    own, key = column.partition(" ")[0], (parent.unique_keys or (parent.primary_key,))[0]
    expected = f"{own} -> {parent.name}.{key.columns[0]}"

    assert found(table("orders", f"{column}, total numeric"), parent) == {expected: score}


def test_parents_of_the_same_table_are_candidates() -> None:
    """By what such columns are called; a table that has people in it has managers."""
    assert found(table("item", "id, parent_id", key="id")) == {"parent_id -> item.id": 0.7}
    assert found(table("item", "id, parent_item_id", key="id")) == {"parent_item_id -> item.id": 0.8}
    assert found(table("Employees", "EmployeeID, ReportsTo", key="EmployeeID")) == {
        "ReportsTo -> Employees.EmployeeID": 0.7
    }
    assert found(table("employee", "id, manager_id", key="id")) == {"manager_id -> employee.id": 0.7}
    assert found(table("shop", "id, manager_id", key="id")) == {}


TRAPS = [
    ("id", table("customer", "id", key="id")),
    ("code text", table("country", "code text", key="code")),
    ("name text", table("customer", "name text", key="name")),
    ("email text", table("users", "id, email text", key="id", unique="email")),
    ("customer_id text", table("customer", "id", key="id")),
    ("customer_id date", table("customer", "id date", key="id")),
    ("customer_id", table("customer", "id uuid", key="id")),
    ("customer_code", table("customer", "id", key="id")),
    ("customer_id", table("customer", "id")),
    ("customer_id", table("customer", "id", key="id", kind="view")),
    ("paid", table("pa", "id text", key="id")),
    ("valid_until", table("valid", "id", key="id")),
    ("unit_price", table("unit", "id", key="id")),
    ("line_count", table("line", "id", key="id")),
    ("customer_name text", table("customer", "id text", key="id")),
    ("period", table("interval", "id interval", key="id")),
]


@pytest.mark.parametrize(("column", "parent"), TRAPS, ids=lambda value: str(value)[:30])
def test_name_or_type_that_does_not_fit_is_none(column: str, parent: Table) -> None:
    """Generic names, other types, other endings, no key."""
    assert found(table("orders", column), parent) == {}


def test_column_that_numbers_its_own_table_or_has_a_foreign_key_is_left_out() -> None:
    """There is nothing to infer."""
    detail = table("order_detail", "detail_id, order_id", key="detail_id")
    declared = replace(detail, foreign_keys=(ForeignKey(None, ("order_id",), TableName(None, "order"), ("id",)),))
    others = (table("order", "id", key="id"), table("detail", "id", key="id"))

    assert found(detail, *others) == {"order_id -> order.id": 1.0}
    assert found(declared, *others) == {}


def test_table_of_the_same_schema_comes_first() -> None:
    """And at most a few are left."""
    parents = [table(f"{schema}.customer", "id", key="id") for schema in "abcdef"]
    ranked = list(found(table("c.orders", "customer_id"), *parents))

    assert ranked[0] == "customer_id -> c.customer.id"
    assert len(ranked) == CANDIDATES_A_COLUMN


def test_ending_that_many_tables_share_tells_none() -> None:
    """One of two is doubtful, one of nine is none; the table's own is clear."""
    types = [table(f"{name}_type", "id", key="id") for name in ("media", "order")]

    assert found(table("track", "type_id"), *types) == {
        "type_id -> media_type.id": 0.35,
        "type_id -> order_type.id": 0.35,
    }
    assert found(table("media", "type_id"), *types)["type_id -> media_type.id"] == 0.75
    assert found(table("track", "type_id"), *[table(f"x{n}_type", "id", key="id") for n in range(9)]) == {}


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True))
def test_any_names_are_taken_apart(names: list[str]) -> None:
    """Signs, blanks and scripts of any kind; a column never refers to itself."""
    columns = tuple(Column(name, "integer", is_nullable=True) for name in names)
    tables = [Table(TableName(None, name), "table", None, columns, Key(None, (names[0],))) for name in names]

    for one in join_candidates(tables):
        assert (one.child, one.child_column) != (one.parent, one.parent_column)
        assert 0 < one.name_score <= 1


def test_values_that_are_missing_weigh_more_than_values_that_are_there() -> None:
    """And a clear name more than both, as long as nothing speaks against it."""
    assert confidence_of(1.0, 1.0, 0) == 1.0
    assert confidence_of(0.4, 1.0, 0) < ACCEPTED_CONFIDENCE < confidence_of(0.4, 1.0, 200)
    assert confidence_of(0.55, 1.0, 0) < ACCEPTED_CONFIDENCE < confidence_of(0.55, 1.0, 10)
    assert confidence_of(0.35, 1.0, 10) < ACCEPTED_CONFIDENCE
    assert confidence_of(1.0, 0.8, 200) < ACCEPTED_CONFIDENCE < confidence_of(1.0, 0.95, 200)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 200))
def test_confidence_grows_with_each_of_its_reasons(name: float, share: float, count: int) -> None:
    """It stays between 0 and 1."""
    confidence = confidence_of(name, share, count)

    assert 0 <= confidence <= 1
    assert confidence_of(min(1.0, name + 0.1), share, count) >= confidence - 1e-9
    assert confidence_of(name, min(1.0, share + 0.1), count) >= confidence
    assert confidence_of(name, share, count + 1) >= confidence - 1e-9


SHOP = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, name VARCHAR(20), status_code VARCHAR(9));
CREATE TABLE "odd parent's" (id INTEGER PRIMARY KEY);
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INTEGER, billing_customer_id INTEGER, status_code VARCHAR(9),
    "odd parent's id" INTEGER, unit_id INTEGER, note_id VARCHAR(9), clerk_id INTEGER);
CREATE TABLE unit (unit_id INTEGER PRIMARY KEY);
CREATE TABLE note (id INTEGER PRIMARY KEY);
CREATE TABLE clerk (id INTEGER PRIMARY KEY, parent_id INTEGER);
INSERT INTO customer VALUES (1, 'Ada', 'open'), (2, 'Ben', 'shut');
INSERT INTO "odd parent's" VALUES (5);
INSERT INTO unit VALUES (1), (2);
INSERT INTO note VALUES (1);
INSERT INTO clerk VALUES (1, NULL), (2, 1);
INSERT INTO purchase VALUES (1, 1, 2, 'open', 5, 71, '1', NULL), (2, 1, 2, 'paid', NULL, 72, '1', NULL);
"""
EXPECTED = {
    "purchase.customer_id -> customer.id": 1.0,
    "purchase.billing_customer_id -> customer.id": 1.0,
    "purchase.odd parent's id -> odd parent's.id": 1.0,
    "purchase.clerk_id -> clerk.id": 1.0,
    "clerk.parent_id -> clerk.id": 1.0,
}
"""Not by `status_code`, which no table has as a key, nor by the values of `unit_id`, nor by the type of `note_id`."""


def shown(joins: Sequence[InferredJoin]) -> dict[str, float]:
    return {
        f"{one.candidate.child.name}.{one.candidate.child_column} -> "
        f"{one.candidate.parent.name}.{one.candidate.parent_column}": one.contained_share
        for one in joins
    }


@contextlib.contextmanager
def shops(tmp_path: Path) -> Iterator[list[BusinessDatabase]]:
    """The same tables on SQLite and on PostgreSQL."""
    path = tmp_path / "shop.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(SHOP)
    connection.close()
    with fresh_database() as url:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(SHOP)
        with open_database(f"sqlite:///{path}") as sqlite, open_database(url) as postgresql:
            yield [sqlite, postgresql]


def tables_of(database: BusinessDatabase) -> list[Table]:
    return read_tables(database, list_tables(database))[0]


def test_values_bear_out_names_on_both_databases(tmp_path: Path) -> None:
    """Traps do not: a code that is no key, values that are elsewhere, another type."""
    with shops(tmp_path) as databases:
        for database in databases:
            joins = infer_joins(database, tables_of(database), QueryLimits())

            assert shown(joins) == EXPECTED, database.label
            assert all(ACCEPTED_CONFIDENCE <= one.confidence <= 1 for one in joins)


def test_candidate_whose_query_fails_is_left_out(tmp_path: Path) -> None:
    """A table that is gone by now takes only its own joins along."""
    with shops(tmp_path) as databases:
        for database in databases:
            tables = tables_of(database)
            gone = Table(TableName(None, "gone"), "table", None, (Column("id", "INTEGER", False),), Key(None, ("id",)))
            lost = replace(tables[0], name=TableName(None, "lost"), columns=(Column("gone_id", "INTEGER", True),))

            assert shown(infer_joins(database, [*tables, gone, lost], QueryLimits())) == EXPECTED


def test_cancelled_search_stops(tmp_path: Path) -> None:
    """It is no failure of a candidate."""
    limits = QueryLimits()
    limits.cancellation.set()
    with shops(tmp_path) as databases, pytest.raises(QueryFailed, match="cancelled"):
        infer_joins(databases[0], tables_of(databases[0]), limits)


@pytest.mark.skipif(not DATABASES.is_dir(), reason="the real databases are not beside the project (../shared)")
@pytest.mark.parametrize(
    ("name", "missed"), [("chinook", set()), ("northwind", {"Orders.ShipVia -> Shippers.ShipperID"})]
)
def test_declared_joins_are_found_without_being_declared(name: str, missed: set[str]) -> None:
    """Precision 1, recall at least 0.9."""
    with open_database(f"sqlite:///{DATABASES / name / f'{name}.sqlite'}") as database:
        tables = tables_of(database)
        inferred = infer_joins(database, [replace(one, foreign_keys=()) for one in tables], QueryLimits())
    declared = {
        f"{one.name.name}.{key.columns[0]} -> {key.target.name}.{key.target_columns[0]}"
        for one in tables
        for key in one.foreign_keys
    }
    joins = set(shown(inferred))

    assert joins <= declared
    assert len(joins) >= 0.9 * len(declared)
    assert declared - joins == missed
