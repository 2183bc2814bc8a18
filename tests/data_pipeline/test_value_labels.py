"""Codes get their labels from comments and CHECK constraints, and only where the values bear them out."""

from __future__ import annotations

import pytest

from data_pipeline.semantics.value_labels import labels_of_comment, listed_values, missing_labels

LABELLED = {
    "0正常 1停用": {"0": "正常", "1": "停用"},
    "状态（0正常 1停用）": {"0": "正常", "1": "停用"},
    "帐号状态(0:启用,1:禁用)": {"0": "启用", "1": "禁用"},
    "订单状态：1-待付款；2-待发货；3-已完成": {"1": "待付款", "2": "待发货", "3": "已完成"},
    "性别 1男2女": {"1": "男", "2": "女"},
    "类型：M目录 C菜单 F按钮": {"M": "目录", "C": "菜单", "F": "按钮"},
    "支付方式 1=微信、2=支付宝": {"1": "微信", "2": "支付宝"},
    "0 = open, 1 = closed": {"0": "open", "1": "closed"},
    "status: 0=open 1=closed": {"0": "open", "1": "closed"},
    "0 - inactive; 1 - active": {"0": "inactive", "1": "active"},
    "A: active, I: inactive, P: pending approval": {"A": "active", "I": "inactive", "P": "pending approval"},
    "'N' = new | 'S' = shipped": {"N": "new", "S": "shipped"},
    "CV civil, CR criminal": {"CV": "civil", "CR": "criminal"},
    "1 -> low, 2 -> high": {"1": "low", "2": "high"},
}
UNLABELLED = [
    None,
    "",
    "the state of the order",
    "length 1-20 characters",
    "订单编号",
    "创建时间",
    "1 = only one",
    "see RFC 2822: mail",
]


@pytest.mark.parametrize(("comment", "labels"), LABELLED.items())
def test_a_comment_that_lists_codes_labels_them(comment: str, labels: dict[str, str]) -> None:
    assert labels_of_comment(comment) == labels
    assert labels_of_comment(comment, list(labels)) == labels


@pytest.mark.parametrize("comment", UNLABELLED)
def test_a_comment_that_lists_no_codes_labels_nothing(comment: str | None) -> None:
    assert labels_of_comment(comment) == {}


def test_labels_that_the_values_do_not_bear_out_are_refused() -> None:
    assert labels_of_comment("0 = open, 1 = closed", ["a", "b", 0]) == {}


def test_numbers_and_flags_are_compared_as_codes() -> None:
    assert labels_of_comment("0 = open, 1 = closed", [0, 1, 1.0, True]) == {"0": "open", "1": "closed"}


def test_one_code_with_two_labels_is_refused() -> None:
    assert labels_of_comment("1 = open, 1 = closed, 2 = new") == {}


def test_values_without_a_label_are_named() -> None:
    assert missing_labels({"0": "open"}, [0, 2, 2, 3]) == ["2", "3"]


@pytest.mark.parametrize(
    ("check", "values"),
    [
        ("CHECK (kind IN ('A', 'B'))", ("A", "B")),
        (
            "((kind)::text = ANY ((ARRAY['new'::character varying, 'it''s'::character varying])::text[]))",
            ("new", "it's"),
        ),
        ('"kind" in (1, 2, 3)', ("1", "2", "3")),
        ("(kind = ANY (ARRAY[1, 2]))", ("1", "2")),
        ("kind NOT IN ('A')", ()),
        ("kind IN ('A', 'B') OR kind IS NULL", ("A", "B")),
        ("length(note) > 3 AND (kind IN ('A', 'B'))", ("A", "B")),
        ("kind IN ('A') OR kind = other", ()),
        ("kind IN (SELECT 1)", ()),
        ("lower(kind) IN ('a')", ()),
        ("kind IN (", ()),
        ("kind > 0", ()),
        ("other IN ('A')", ()),
    ],
)
def test_a_check_lists_the_values_of_its_column(check: str, values: tuple[str, ...]) -> None:
    assert listed_values(check, "kind", "postgresql") == values
