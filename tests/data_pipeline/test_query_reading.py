"""What a query is about, by its names: tables, columns and links; what does not mean a column is refused."""

from __future__ import annotations

import pytest

from data_pipeline.database.query_gate import check_query
from data_pipeline.semantics.facts import ColumnFacts, Facts, Link, TableFacts
from data_pipeline.steps.qa.model.query_reading import NotReadable, QueryReader
from data_pipeline.tasks.table_list import TableName


def table(name: str, *columns: str, schema: str = "public") -> TableFacts:
    place = TableName(schema, name)
    return TableFacts(place, 9, tuple(ColumnFacts(place, column, "text") for column in columns), columns[:1])


CUSTOMER = table("customer", "id", "name", "email")
PURCHASE = table("purchase", "id", "customer_id", "total")
PARCEL = table("Parcel", "Id", "purchase_id", "customer_id", schema="depot")
READER = QueryReader(
    Facts(
        "postgresql",
        (CUSTOMER, PURCHASE, PARCEL),
        (
            Link("purchase->customer", PURCHASE.name, ("customer_id",), CUSTOMER.name, ("id",)),
            Link("parcel->purchase", PARCEL.name, ("purchase_id", "customer_id"), PURCHASE.name, ("id", "customer_id")),
        ),
        "public",
    )
)


READ = {
    "SELECT name FROM customer": ("customer.name", ""),
    "SELECT C.Name FROM public.Customer AS c": ("customer.name", ""),
    "SELECT c.name FROM customer c JOIN purchase p ON p.customer_id = c.id": (
        "customer.id customer.name purchase.customer_id", "purchase->customer",
    ),
    "SELECT name FROM customer, purchase WHERE customer.id = customer_id": (
        "customer.id customer.name purchase.customer_id", "purchase->customer",
    ),
    "SELECT name FROM customer c WHERE EXISTS (SELECT 1 FROM purchase WHERE customer_id = c.id)": (
        "customer.id customer.name purchase.customer_id", "purchase->customer",
    ),
    "WITH t AS (SELECT customer_id, SUM(total) AS s FROM purchase GROUP BY 1) SELECT s FROM t ORDER BY s": (
        "purchase.customer_id purchase.total", "",
    ),
    'SELECT 1 FROM depot."Parcel" a JOIN purchase b ON a.purchase_id = b.id': (
        "Parcel.purchase_id purchase.id", "",  # half of the key
    ),
    'SELECT 1 FROM depot."Parcel" a JOIN purchase b ON a.purchase_id = b.id AND a.customer_id = b.customer_id': (
        "Parcel.customer_id Parcel.purchase_id purchase.customer_id purchase.id", "parcel->purchase",
    ),
    "SELECT name AS k FROM customer UNION SELECT name FROM customer ORDER BY k": ("customer.name", ""),
    "SELECT COUNT(*) FROM customer": ("", ""),
    "SELECT l.total FROM customer c LEFT JOIN LATERAL "
    "(SELECT total FROM purchase WHERE purchase.customer_id = c.id) l ON TRUE": (
        "customer.id purchase.customer_id purchase.total", "purchase->customer",
    ),
}  # fmt: skip


@pytest.mark.parametrize("sql", READ)
def test_columns_are_those_of_their_tables(sql: str) -> None:
    """Through aliases, subqueries and WITH; a link counts where all of its columns are compared."""
    parts = READER.parts(check_query(sql, "postgresql"))
    columns, links = READ[sql]

    assert sorted(f"{place.name}.{name}" for place, name in parts.columns) == columns.split()
    assert sorted(parts.links) == links.split()
    assert {feature for feature in parts.features if feature[0] == "table"} == {("table", one) for one in parts.tables}


REFUSED = {
    "SELECT c FROM customer AS c": "c stands for a whole row",
    "SELECT customer FROM customer": "customer stands for a whole row",
    "SELECT CAST(c AS TEXT) FROM customer AS c": "c stands for a whole row",
    "SELECT c.to_json FROM customer AS c": "public.customer has no column to_json",
    "SELECT id AS c FROM customer AS c WHERE CAST(c AS TEXT) > 'x'": "c stands for a whole row",
    "SELECT COUNT(*) FROM customer c GROUP BY id HAVING CAST(c AS TEXT) > 'x'": "c stands for a whole row",
    "SELECT COUNT(*) OVER (PARTITION BY c) FROM customer c": "c stands for a whole row",
    "SELECT COUNT(*) FILTER (WHERE NOT c IS NULL) FROM customer c": "c stands for a whole row",
    "SELECT p.id FROM purchase p JOIN customer c ON CAST(c AS TEXT) LIKE '%a%'": "c stands for a whole row",
    "SELECT ARRAY_AGG(c ORDER BY c.id) FROM customer c": "c stands for a whole row",
    "SELECT name FROM customer ORDER BY customer": "customer stands for a whole row",
    "SELECT (SELECT c FROM purchase LIMIT 1) FROM customer c": "c stands for a whole row",
    "SELECT s FROM (SELECT total FROM purchase) AS s": "s stands for a whole row",
    "SELECT z FROM customer AS c (x, y, z)": "c gives columns of a table other names",
    "SELECT x.name FROM customer": "nothing in it is called x",
    "SELECT a FROM secret": "the table secret is not among those that there are",
    "SELECT id FROM depot.customer": "the table depot.customer is not among those that there are",
    "SELECT 1": "it reads no table",
    "SELECT v.x FROM (VALUES (1)) AS v (x)": "it reads no table",
}


@pytest.mark.parametrize("sql", REFUSED)
def test_name_that_means_no_column_of_a_listed_table_is_refused(sql: str) -> None:
    """To PostgreSQL it may be a whole row, with all that is masked in it."""
    with pytest.raises(NotReadable) as raised:
        READER.parts(check_query(sql, "postgresql"))

    assert REFUSED[sql] in str(raised.value)
