"""A number's unit is read from its name or its comment."""

from __future__ import annotations

import pytest

from data_pipeline.semantics.units import unit_of

SAID = [
    ("weight_kg", None, "kg"),
    ("DelayMin", None, "minutes"),
    ("price_cents", None, "cents"),
    ("amount_usd", None, "USD"),
    ("金额", "金额（元）", "元"),
    ("pay_price", "实付价格，单位：分", "分"),
    ("temp", "body temperature in Celsius", "°C"),
    ("systolic", "mmHg", "mmHg"),
    ("hs", "耗时（毫秒）", "毫秒"),
]
UNSAID = [
    ("amount", None),
    ("name", "the name (short)"),
    ("min", None),
    ("status", "状态（0正常 1停用）"),
    ("kg", None),
]


@pytest.mark.parametrize(("column", "comment", "unit"), SAID)
def test_a_unit_is_read_where_it_is_said(column: str, comment: str | None, unit: str) -> None:
    assert unit_of(column, comment) == unit


@pytest.mark.parametrize(("column", "comment"), UNSAID)
def test_no_unit_is_guessed(column: str, comment: str | None) -> None:
    assert unit_of(column, comment) is None
