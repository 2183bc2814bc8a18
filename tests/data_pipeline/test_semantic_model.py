"""One model says what a database means: roles, keys, labels, privacy, from reflected tables and sampled rows."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_pipeline.database.schema import Check, Column, ForeignKey, Key, Table
from data_pipeline.errors import InvalidInput
from data_pipeline.semantics.building import FoundKeys, TableSample, build_model
from data_pipeline.semantics.model import SemanticModel
from data_pipeline.semantics.ossie import model_of_ossie, ossie_of
from data_pipeline.semantics.overrides import parse_overrides
from data_pipeline.tasks.table_list import TableName

NOW = dt.datetime(2026, 1, 1)  # noqa: DTZ001  the rows have no zone
SCHEMA = Path(__file__).resolve().parents[3] / "shared" / "spec" / "ossie-schema.json"


def _table(name: str, columns: dict[str, str], key: str | None = None, **options: Any) -> Table:
    comments = options.pop("comments", {})
    return Table(
        TableName(None, name),
        options.pop("kind", "table"),
        options.pop("comment", None),
        tuple(Column(one, kind, True, comment=comments.get(one)) for one, kind in columns.items()),
        Key(None, (key,) if key else ()),
        **options,
    )


def _name(number: int) -> str:
    return f"{['Anna', 'James', 'Peter', 'Laura'][number % 4]} Berg{'abcdefghijk'[number // 4]}"


CUSTOMER = TableSample(
    _table(
        "t_cust",
        {"cust_id": "integer", "cust_nm": "text", "city": "text", "sts": "integer", "pwd": "text",
         "crt_ts": "timestamp", "upd_ts": "timestamp"},
        "cust_id",
        comments={"sts": "状态（0正常 1停用）"},
    ),
    40,
    [
        (number, _name(number), ["Rome", "Oslo"][number % 2], number % 2,
         f"$2b$12$abcdefghijklmnopqrst{number}", NOW, NOW)
        for number in range(40)
    ],
)  # fmt: skip
ORDERS = TableSample(
    _table(
        "t_ord",
        {"ord_id": "integer", "cust_id": "integer", "ord_dt": "integer", "tot_amt_usd": "numeric",
         "unit_price": "numeric", "state": "text", "buyer": "text"},
        "ord_id",
        foreign_keys=(ForeignKey(None, ("cust_id",), TableName(None, "t_cust"), ("cust_id",)),),
        checks=(Check(None, "CHECK (state IN ('new', 'paid'))"),),
    ),
    90,
    [
        (number, number % 40, 20240101 + number % 28, 10.5 * number, 2.5 + number % 7, ["new", "paid"][number % 2],
         _name(number % 40))
        for number in range(90)
    ],
)  # fmt: skip


def _model(overrides: str = "", *samples: TableSample) -> SemanticModel:
    return build_model(
        "shop", "sqlite", "en", samples or (CUSTOMER, ORDERS), FoundKeys(), parse_overrides(overrides.encode()), NOW
    )


def test_columns_have_the_roles_that_names_types_and_values_tell() -> None:
    model = _model()
    customer, orders = model.tables

    assert {column.name: column.role for column in customer.columns} == {
        "cust_id": "key", "cust_nm": "label", "city": "category", "sts": "category", "pwd": "text", "crt_ts": "audit",
        "upd_ts": "audit",
    }  # fmt: skip
    assert {column.name: column.role for column in orders.columns} == {
        "ord_id": "key", "cust_id": "foreign_key", "ord_dt": "time", "tot_amt_usd": "measure_additive",
        "unit_price": "measure_non_additive", "state": "category", "buyer": "text",
    }  # fmt: skip
    assert orders.by_name["ord_dt"].encoding == "yyyymmdd"
    assert orders.by_name["tot_amt_usd"].unit == "USD"


def test_tables_have_a_kind_a_noun_a_label_and_a_time() -> None:
    customer, orders = _model().tables

    assert (customer.kind, customer.noun, customer.plural, customer.label) == (
        "entity",
        "customer",
        "customers",
        ("cust_nm",),
    )
    assert (orders.kind, orders.noun, orders.business_time) == ("event", "order", "ord_dt")


def test_codes_have_the_labels_of_a_comment_or_a_check() -> None:
    customer, orders = _model().tables

    assert customer.by_name["sts"].labels == {"0": "正常", "1": "停用"}
    assert orders.by_name["state"].labels == {"new": "new", "paid": "paid"}


def test_a_column_that_repeats_a_personal_column_elsewhere_is_personal() -> None:
    model = _model()
    buyer = model.by_name[TableName(None, "t_ord")].by_name["buyer"]

    assert buyer.personal is not None
    assert model.tables[0].by_name["pwd"].personal is not None
    assert model.tables[0].by_name["pwd"].personal.is_secret


def test_overrides_come_before_every_verdict() -> None:
    model = _model(
        "tables: {t_cust: {noun: client, label: city, columns: {city: {personal: address}, cust_nm: {personal: false},"
        " sts: {name: state, role: flag, values: {0: off, 1: on}}}}}"
    )
    customer = model.tables[0]

    assert (customer.noun, customer.plural, customer.label) == ("client", "clients", ("city",))
    assert customer.by_name["cust_nm"].personal is None
    assert customer.by_name["city"].personal is not None
    assert customer.by_name["city"].personal.because.evidence == "override"
    assert (customer.by_name["sts"].phrase, customer.by_name["sts"].role) == ("state", "flag")
    assert customer.by_name["sts"].labels == {"0": "off", "1": "on"}


def test_a_relationship_that_people_give_is_taken() -> None:
    loose = TableSample(_table("visit", {"id": "integer", "who": "integer"}, "id"), 3, [(1, 1), (2, 2), (3, 3)])
    model = _model("relationships: [{from: visit.WHO, to: t_cust.cust_id}]", CUSTOMER, loose)

    (relationship,) = model.relationships
    assert (relationship.child.name, relationship.child_columns, relationship.parent.name) == (
        "visit",
        ("who",),
        "t_cust",
    )
    assert model.by_name[TableName(None, "visit")].by_name["who"].role == "foreign_key"


def test_names_that_nobody_can_read_and_unknown_overrides_are_reported() -> None:
    odd = TableSample(_table("xqzt", {"id": "integer", "flrpq": "text"}, "id"), 1, [(1, "a")])
    model = _model("tables: {nothing: {}}", odd)

    assert model.problems[0] == "unknown table nothing"
    assert model.problems[1].startswith("2 names look like abbreviations")


def test_an_empty_table_a_view_and_a_copy_are_known_as_such() -> None:
    columns = {"ord_id": "integer", "state": "text"}
    model = _model(
        "",
        TableSample(_table("t_ord", columns, "ord_id"), 1, [(1, "new")]),
        TableSample(_table("t_ord_bak_20240101", columns), 1, [(1, "new")]),
        TableSample(_table("nobody", columns), 0),
        TableSample(_table("v_ord", columns, kind="view"), 1, [(1, "new")]),
    )

    assert [table.kind for table in model.tables[1:]] == ["backup copy", "empty", "view"]


def test_the_same_database_gives_the_same_bytes() -> None:
    assert ossie_of(_model()) == ossie_of(_model())


def test_the_file_is_read_again_as_the_model_that_was_written() -> None:
    model = _model("tables: {t_cust: {noun: client}}")

    assert model_of_ossie(ossie_of(model)) == model


@pytest.mark.parametrize("text", ["", "a: b", "semantic_model: [{name: x, datasets: []}]", "{", "semantic_model: []"])
def test_another_file_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a semantic model"):
        model_of_ossie(text)


def test_the_file_holds_no_value_of_a_personal_column_and_sums_only_what_adds_up() -> None:
    text = ossie_of(_model())
    metrics = [metric["name"] for metric in yaml.safe_load(text)["semantic_model"][0]["metrics"]]

    assert "Berg" not in text
    assert "$2b$" not in text
    assert metrics == ["total amount USD of orders", "average unit price of orders"]


@pytest.mark.skipif(not SCHEMA.exists(), reason="the schema of the format stands beside the project, and is not here")
@pytest.mark.parametrize("overrides", ["", "tables: {t_cust: {description: buyers}}"])
def test_the_file_is_valid_against_the_schema_of_the_format(overrides: str) -> None:
    jsonschema_rs = pytest.importorskip("jsonschema_rs")
    content = yaml.safe_load(ossie_of(_model(overrides)))

    jsonschema_rs.validator_for(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(content)
