"""The glossary: which files are one, and what their terms mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.database.schema import Column, Key, Table
from data_pipeline.errors import InvalidInput
from data_pipeline.semantics.glossary import SIZE_LIMIT_BYTES, SYNONYM_LIMIT, TERM_LIMIT, Glossary, Term, parse_glossary
from data_pipeline.tasks.table_list import TableName

FILE = """term,target,synonyms
customer,public.customer,client; Buyer | client
客户城市,Customer.City,
"line, of an order",main.order_line,
"unit ""net"" price",order_line.unit_price
revenue,SUM(order_line.quantity * order_line.unit_price),turnover\uff1bsales

basket,"SUM(order_line.quantity) / COUNT(DISTINCT order_line.order_id)",
stock,warehouse.stock,
"""
FILE += 'odd,"""Order Details"".""Unit Price""",\n'


def table(name: str, *columns: str, schema: str | None = None) -> Table:
    return Table(
        TableName(schema, name),
        "table",
        None,
        tuple(Column(one, "TEXT", is_nullable=True) for one in columns),
        Key(None, ()),
    )


TABLES = [
    table("customer", "id", "city", schema="public"),
    table("Order_Line", "order_id", "quantity", "unit_price", schema="public"),
    table("Order Details", "Unit Price"),
    table("stock", "id", schema="warehouse"),
]


def parsed(text: str) -> Glossary:
    return parse_glossary(text.encode(), "glossary.csv")


def test_terms_are_found_by_what_they_mean() -> None:
    """Tables and columns in any case, with `public` and `main` or without; another schema must be named."""
    glossary = parsed(FILE)

    assert glossary.of_table(TableName("public", "customer")) == Term("customer", ("client", "Buyer"))
    assert glossary.of_table(TableName(None, "CUSTOMER")) == glossary.of_table(TableName("main", "customer"))
    assert glossary.of_table(TableName("sales", "customer")) is None
    assert glossary.of_table(TableName("public", "order_line")) == Term("line, of an order", ())
    assert glossary.of_column(TableName("public", "customer"), "city") == Term("客户城市", ())
    assert glossary.of_column(TableName(None, "order_line"), "UNIT_PRICE") == Term('unit "net" price', ())
    assert glossary.of_column(TableName(None, "Order Details"), "Unit Price") == Term("odd", ())
    assert glossary.of_table(TableName("warehouse", "stock")) == Term("stock", ())
    assert glossary.of_column(TableName(None, "customer"), "id") is None


def test_measures_are_written_anew() -> None:
    """With the one table of their columns."""
    revenue, basket = parsed(FILE).measures

    assert revenue.term == Term("revenue", ("turnover", "sales"))
    assert revenue.table == TableName(None, "order_line")
    assert revenue.expression_sql == "SUM(order_line.quantity * order_line.unit_price)"
    assert revenue.columns == ("quantity", "unit_price")
    assert basket.expression_sql.startswith("SUM(order_line.quantity) / ")
    assert parsed("term,target,synonyms\nn,count(*) + max(sales.t.a),\n").measures[0].table == TableName("sales", "t")


def test_targets_that_no_table_has_are_told_as_they_were_written() -> None:
    """Of names and of measures."""
    glossary = parsed(
        FILE
        + "gone,Nowhere,\nlost,customer.Nothing,\nlate,SUM(order_line.gone),\nnear,SUM(public.Order_Line.Quantity),\n"
    )

    assert glossary.unmatched(TABLES) == ["Nowhere", "customer.Nothing", "SUM(order_line.gone)"]
    assert parsed(FILE).unmatched(TABLES) == []
    assert parsed("term,target,synonyms\n").unmatched([]) == []


def test_file_of_another_program_is_read() -> None:
    """With a mark at its beginning, in GBK, with the line ends of another system."""
    raw = FILE.replace("\n", "\r\n")
    glossaries = [parse_glossary(raw.encode(encoding), "g") for encoding in ("utf-8", "utf-8-sig", "gbk")]

    assert glossaries[0] == glossaries[1] == glossaries[2]
    assert glossaries[0] == parsed(FILE)


BAD_TARGETS = {
    "": "it has no target",
    "order details": "stands in double quotes",
    "a.b.c.d": "no name, and no SUM",
    "SUM(quantity)": "has no table before it",
    "COUNT(*)": "columns of 0 tables",
    "COUNT(t.*)": "is a star",
    "t.a + 1": "no SUM, COUNT",
    "UPPER(t.a)": "no SUM, COUNT",
    "SUM(t.a) + t.b": "stands outside of an aggregate",
    "SUM(t.a) + SUM(u.a)": "columns of 2 tables",
    "SUM(MAX(t.a))": "no SUM, COUNT",
    "SUM(t.a) AS n": "is two names",
    '"SUM(t.a), 1"': "more than one expression",
    "SUM(t.a) FROM t": "more than one expression",
    "SUM(t.a) LIMIT 1": "more than one expression",
    "SUM(t.a) UNION SELECT 1": "more than one expression",
    "SUM(t.a); DROP TABLE t": "2 statements",
    "SUM((SELECT t.a))": "holds a query",
    "SUM(t.a) OVER ()": "a window",
    "PG_SLEEP(t.a)": "not on the list",
    "SUM(load_extension(t.a))": "not on the list",
    "SUM(": "not valid SQL",
}


@pytest.mark.parametrize("target", BAD_TARGETS)
def test_target_that_means_nothing_is_told_with_its_line(target: str) -> None:
    """What it is not, and what it could be."""
    with pytest.raises(InvalidInput, match=r"glossary\.csv: line 3: ") as refused:
        parsed(f"term,target,synonyms\nfine,t,\nbad,{target},\n")

    assert BAD_TARGETS[target] in refused.value.problems[0]


def test_every_bad_line_is_named() -> None:
    """The first with reasons; a term over two lines counts as two, a blank one as one."""
    text = 'term,target,synonyms\n"two\nlines",t,\n\n,u,\na,b,c,d\nagain,T,\n' + "x,?,\n" * 40
    with pytest.raises(InvalidInput) as refused:
        parsed(text)

    told = refused.value.problems
    assert told[0] == "line 5: it has no term"
    assert told[1].startswith("line 6: it has 4 fields")
    assert told[2] == "line 7: 'T' has its term in line 2 already"
    assert told[-1].startswith("and lines 25, 26, ")
    assert told[-1].endswith(", 47")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "no header"),
        (b"\n\n", "no header"),
        (b"name,target\n", "line 1: it is not the header"),
        (b'term,target,synonyms\na,"b\n', "line 2: it is no CSV"),
        (b"\xff\xff\xff", "UTF-8 or GBK"),
        (b"term\0", "UTF-8 or GBK"),
        (b"x" * (SIZE_LIMIT_BYTES + 1), "bytes long"),
        (
            b"term,target,synonyms\n" + b"".join(b"t,t%d,\n" % number for number in range(TERM_LIMIT + 1)),
            f"more than {TERM_LIMIT} terms",
        ),
        (b"term,target,synonyms\nt,t," + b";".join(b"s%d" % number for number in range(SYNONYM_LIMIT + 1)), "synonyms"),
        (b"term,target,synonyms\n" + b"x" * 101 + b",t,", "longer than 100"),
    ],
    ids=range(10),
)
def test_file_that_is_no_glossary_is_refused(raw: bytes, reason: str) -> None:
    """And what is too much of one."""
    with pytest.raises(InvalidInput, match=reason):
        parse_glossary(raw, "g")


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: ("term,target,synonyms\n" + text).encode()))
def test_any_bytes_are_a_glossary_or_refused(raw: bytes) -> None:
    """Nothing else ever comes of them."""
    try:
        glossary = parse_glossary(raw, "g")
    except InvalidInput:
        return
    assert len(glossary.unmatched([])) >= len(glossary.measures)
