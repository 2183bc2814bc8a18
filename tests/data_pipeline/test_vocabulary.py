"""Identifiers are split and expanded as people read them."""

from __future__ import annotations

import pytest

from data_pipeline.semantics.vocabulary import split_identifier, words_of_identifier, written

SPLIT = {
    "UnitsInStock": "units in stock",
    "order_line_id": "order line id",
    "HTTPServerLog": "http server log",
    "address2": "address",
    "custname": "cust name",
    "phonenumber": "phone number",
    "dateofbirth": "date of birth",
    "nooforders": "no of orders",
    "userid": "user id",
    "creditcardnumber": "credit card number",
    "username": "username",
    "timestamp": "timestamp",
    "hybrid": "hybrid",
    "valid": "valid",
    "用户名": "用户名",
    "user_姓名": "user 姓名",
}

EXPANDED = {
    "cust_nm": "customer name",
    "crtd_ts": "created timestamp",
    "usr_eml": "user email",
    "emp_sal": "employee salary",
    "dob": "date of birth",
    "ord_qty": "order quantity",
}


@pytest.mark.parametrize(("identifier", "words"), SPLIT.items())
def test_an_identifier_is_split_where_a_reader_splits_it(identifier: str, words: str) -> None:
    assert " ".join(split_identifier(identifier)) == words


@pytest.mark.parametrize(("identifier", "words"), EXPANDED.items())
def test_usual_abbreviations_are_expanded(identifier: str, words: str) -> None:
    assert " ".join(words_of_identifier(identifier).expanded) == words


def test_a_name_of_unknown_letters_is_not_readable() -> None:
    words = words_of_identifier("xqz_flrp")

    assert not words.is_readable
    assert words.unknown == ("xqz", "flrp")


def test_abbreviations_of_the_schema_come_before_the_usual_ones() -> None:
    words = words_of_identifier("cat_xqz", (("cat", "animal"), ("xqz", "quiz")))

    assert words.expanded == ("animal", "quiz")
    assert words.is_readable


@pytest.mark.parametrize("identifier", ["", "_", "12", "__7__"])
def test_a_name_without_letters_is_itself(identifier: str) -> None:
    assert split_identifier(identifier) == (identifier,)


def test_a_name_of_ten_thousand_letters_is_split_at_once() -> None:
    assert split_identifier("a" * 10_000) == ("a" * 10_000,)


def test_initials_are_written_in_capitals() -> None:
    assert written(("customer", "id")) == "customer ID"
