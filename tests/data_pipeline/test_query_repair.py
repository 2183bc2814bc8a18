"""Repairs by rules: what they make of a query, and that they leave alone what they do not know."""

from __future__ import annotations

from dataclasses import replace

import pytest

from data_pipeline.database.driver import Dialect
from data_pipeline.database.schema import Column, Key, Table
from data_pipeline.steps.validation.repair import repairs_of
from data_pipeline.tasks.table_list import TableName


def table(name: str, *columns: str) -> Table:
    return Table(
        TableName("public", name),
        "table",
        None,
        tuple(Column(column, "text", True) for column in columns),
        Key(None, ()),
    )


SHOP = (
    table("customer", "customer_id", "first_name", "city"),
    table("purchase", "purchase_id", "customer_id", "total", "placed_on"),
)
MIXED = (table("Customer", "CustomerId", "FirstName"), table("Invoice", "InvoiceId", "CustomerId", "Total"))


@pytest.mark.parametrize(
    ("sql", "fault", "dialect", "tables", "expected"),
    [
        ("SELECT first_name FROM customers", "unknown_table", "sqlite", SHOP, "SELECT first_name FROM customer;"),
        (
            "SELECT customers.city FROM customers",
            "unknown_table",
            "postgresql",
            SHOP,
            "SELECT customer.city FROM customer;",
        ),
        ("SELECT firstname FROM customer", "unknown_column", "sqlite", SHOP, "SELECT first_name FROM customer;"),
        ("SELECT frist_name FROM customer", "unknown_column", "sqlite", SHOP, "SELECT first_name FROM customer;"),
        (
            "SELECT FirstName FROM Customer",
            "unknown_table",
            "postgresql",
            MIXED,
            'SELECT "FirstName" FROM "Customer";',
        ),
        (
            "SELECT p.city FROM customer c JOIN purchase p ON p.customer_id = c.customer_id",
            "unknown_column",
            "postgresql",
            SHOP,
            "SELECT c.city FROM customer AS c JOIN purchase AS p ON p.customer_id = c.customer_id;",
        ),
        (
            'SELECT city FROM customer WHERE first_name = "Ann"',
            "unknown_column",
            "sqlite",
            SHOP,
            "SELECT city FROM customer WHERE first_name = 'Ann';",
        ),
        (
            "SELECT customer_id FROM customer c JOIN purchase p ON p.customer_id = c.customer_id",
            "ambiguous_column",
            "postgresql",
            SHOP,
            "SELECT c.customer_id FROM customer AS c JOIN purchase AS p ON p.customer_id = c.customer_id;",
        ),
        (
            "SELECT (SELECT max(totals) FROM purchase p WHERE p.customer_id = c.customer_id) FROM customer c",
            "unknown_column",
            "sqlite",
            SHOP,
            "SELECT (SELECT MAX(total) FROM purchase AS p WHERE p.customer_id = c.customer_id) FROM customer AS c;",
        ),
        ("Here it is:\n```sql\nSELECT 1;\n```\nDone.", "syntax", "sqlite", SHOP, "SELECT 1;"),
        ("The answer: SELECT 1", "syntax", "sqlite", SHOP, "SELECT 1;"),
    ],
)  # fmt: skip
def test_fault_is_mended(sql: str, fault: str, dialect: Dialect, tables: tuple[Table, ...], expected: str) -> None:
    """The first text that is tried is the right one."""
    assert repairs_of(sql, fault, dialect, tables)[0].sql == expected


def test_query_of_another_dialect_is_written_anew() -> None:
    """What MySQL calls IFNULL and backticks, PostgreSQL calls otherwise."""
    texts = [
        repair.sql for repair in repairs_of("SELECT IFNULL(`city`, 'x') FROM customer", "syntax", "postgresql", SHOP)
    ]

    assert "SELECT COALESCE(\"city\", 'x') FROM customer;" in texts


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("SELECT nothing_like_it FROM customer", "unknown_column"),
        ("SELECT 1 FROM nothing_like_it", "unknown_table"),
        # Two tables that are not joined by it: either could be meant.
        ("SELECT customer_id FROM customer, purchase", "ambiguous_column"),
        # Names that the query gives itself.
        ("WITH customer AS (SELECT 1 AS custmer_id) SELECT custmer_id FROM customer", "unknown_table"),
        ("SELECT pg_sleep(10)", "timeout"),
        ("((((", "syntax"),
        ("", "syntax"),
    ],
)
def test_what_no_rule_knows_stays_as_it_is(sql: str, fault: str) -> None:
    """No guess that could change what a query means."""
    assert repairs_of(sql, fault, "sqlite", SHOP) == []


def test_schema_is_added_where_it_must_be_said() -> None:
    """And not guessed where two schemas have a table of this name."""
    sales = replace(SHOP[1], name=TableName("sales", "purchase"))
    archive = replace(SHOP[1], name=TableName("archive", "purchase"))
    sql = "SELECT purchase.total FROM purchase"

    (repair,) = repairs_of(sql, "unknown_table", "postgresql", [SHOP[0], sales])
    assert repair.sql == "SELECT purchase.total FROM sales.purchase;"
    assert repairs_of(sql, "unknown_table", "postgresql", [sales, archive]) == []


def test_name_near_to_two_is_not_guessed() -> None:
    """`totl` could be either."""
    shop = (table("purchase", "tota", "totl_x", "tot1"),)

    assert repairs_of("SELECT totz FROM purchase", "unknown_column", "sqlite", shop) == []


def test_fault_that_no_dialect_explains_is_not_read_in_another_one() -> None:
    """A division by zero would come back as NULLIF: another question's answer."""
    assert repairs_of("SELECT 1 / (total - total) FROM purchase", "failed", "postgresql", SHOP) == []


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_reading_another_dialect_leaves_arithmetic_alone(dialect: Dialect) -> None:
    """Whatever a division means there, and whatever two bars mean in MySQL."""
    sql = "SELECT IFNULL(total, 1) / customer_id || 'x' FROM purchase"
    plain = "SELECT `total` / customer_id - 7 / 2 FROM `purchase`"
    for text in (sql, plain):
        for repair in repairs_of(text, "syntax", dialect, SHOP):
            assert "NULLIF" not in repair.sql
            assert "DOUBLE" not in repair.sql.upper()
            assert "REAL" not in repair.sql.upper()
            assert " OR " not in repair.sql
    assert any(
        "total / customer_id - 7 / 2" in one.sql.replace('"', "")
        for one in repairs_of(plain, "syntax", "postgresql", SHOP)
    )
