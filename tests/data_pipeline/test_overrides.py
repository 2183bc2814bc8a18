"""What people write into overrides.yaml is read whole, or refused with the place of every fault."""

from __future__ import annotations

import pytest

from data_pipeline.database.schema import Column, Key, Table
from data_pipeline.errors import InvalidInput
from data_pipeline.semantics.overrides import parse_overrides
from data_pipeline.tasks.table_list import TableName

WHOLE = """
tables:
  orders:
    noun: order
    label: order_no
    columns:
      sts_cd: {name: status, values: {N: new, Y: yes, 1: open}, personal: false, role: category}
      contact: {personal: name}
relationships:
  - {from: orders.cust, to: customers.id}
abbreviations: {sts: status}
"""

FAULTS = {
    "tables: {orders: {nouns: x}}": "tables.orders.nouns: Extra inputs are not permitted",
    "tables: {orders: {columns: {a: {role: number}}}}": "tables.orders.columns.a.role",
    "tables: {orders: {ignore: maybe}}": "tables.orders.ignore",
    "tables: [a, b]": "tables: Input should be a valid dictionary",
    "tables: {'a b.c d': {}}": "tables.a b.c d",
    "a: &x {b: 1}\nc: *x": "anchors and aliases are not allowed",
    "tables: {orders: {noun: a, noun: b}}": "the key 'noun' is given twice",
    "!!python/object/apply:os.system [id]": "could not determine a constructor",
    "tables: {": "not valid YAML",
    "- a": "file: Input should be a valid dictionary",
    "[" * 100 + "]" * 100: "nested deeper than",
    "[" * 100_000: "nested deeper than",
}


def _table(name: str, *columns: str) -> Table:
    return Table(
        TableName("public", name), "table", None, tuple(Column(one, "text", True) for one in columns), Key(None, ())
    )


def test_a_whole_file_is_read() -> None:
    given = parse_overrides(WHOLE.encode())

    column = given.of_column(TableName("public", "Orders"), "STS_CD")
    assert column.name == "status"
    assert column.values == {"N": "new", "Y": "yes", "1": "open"}
    assert column.personal is False
    assert column.role == "category"
    assert given.of_column(TableName(None, "orders"), "contact").personal == "name"
    assert given.of_table(TableName("public", "orders")).label == "order_no"
    assert given.relationships[0].source == "orders.cust"
    assert given.abbreviations == {"sts": "status"}


@pytest.mark.parametrize("raw", [b"", b"# nothing yet\n", b"\xef\xbb\xbftables: {}\n"])
def test_an_empty_file_says_nothing(raw: bytes) -> None:
    given = parse_overrides(raw)

    assert not given.tables
    assert given.of_table(TableName(None, "orders")).noun is None


@pytest.mark.parametrize(("text", "problem"), FAULTS.items())
def test_a_faulty_file_is_refused_with_the_place_of_the_fault(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_overrides(text.encode())

    assert problem in str(refused.value)


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"a: " + b"x" * 2_000_000])
def test_bytes_that_are_no_text_and_files_too_long_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"must be"):
        parse_overrides(raw)


def test_unknown_tables_and_columns_are_named_with_the_nearest_names() -> None:
    given = parse_overrides(
        b"tables: {order: {}, orders: {label: nr, columns: {statsu: {}, STATUS: {}}}, xyz: {}, public.orders: {}}"
    )

    assert given.unknown_names([_table("orders", "id", "status")]) == [
        "unknown table order: did you mean orders?",
        "unknown column orders.statsu: did you mean status?",
        "unknown column orders.nr",
        "unknown table xyz",
    ]
