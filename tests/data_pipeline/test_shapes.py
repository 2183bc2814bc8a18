"""Values are recognised by their form and their check digits."""

from __future__ import annotations

import pytest

from data_pipeline.semantics.shapes import (
    SHAPES,
    chinese_identity_is_right,
    iban_is_right,
    is_ip,
    latin_name_share,
    luhn_is_right,
    surname_share,
)

RIGHT = [
    (luhn_is_right, "4111 1111 1111 1111"),
    (luhn_is_right, "5500-0000-0000-0004"),
    (iban_is_right, "DE89 3704 0044 0532 0130 00"),
    (iban_is_right, "GB82WEST12345698765432"),
    (chinese_identity_is_right, "11010519491231002X"),
    (is_ip, "192.168.0.1"),
    (is_ip, "10.0.0.1:8080"),
    (is_ip, "fe80::1"),
    (is_ip, "10.1.0.0/16"),
]
WRONG = [
    (luhn_is_right, "4111 1111 1111 1112"),
    (luhn_is_right, "1234567890123"),
    (iban_is_right, "DE89 3704 0044 0532 0130 01"),
    (chinese_identity_is_right, "110105194912310021"),
    (chinese_identity_is_right, "110105194913310029"),
    (is_ip, "1.2.3"),
    (is_ip, "300.1.1.1"),
    (is_ip, "12:30:00"),
]
SHAPED = {
    "ann.lee@example.com": "email",
    "219-09-9999": "national_id",
    "13812345678": "phone",
    "+44 20 7946 0018": "phone",
    "(020) 7946 0018": "phone",
    "010-62781234": "phone",
    "$2b$12$abcdefghijklmnopqrstuv": "secret",
    "$P$BabcdefghijklmnopqrstuvwxyzABCD": "secret",
    "pbkdf2_sha256$260000$abc$def": "secret",
    "eyJhbGciOi.eyJzdWIi.SflKxwRJ": "secret",
    "sk_live_abcdefghijkl": "secret",
    "AKIAIOSFODNN7EXAMPLE": "secret",
    "d41d8cd98f00b204e9800998ecf8427e": "secret",
    "京A12345": "plate",
    "沪AD12345": "plate",
    "12 North Main Street": "address",
    "中山路15号": "address",
}
PLAIN = [
    "order 17",
    "2024-05-01",
    "19.90",
    "red",
    "ABC-123",
    "1.2.3",
    "http://example.com/a",
    "20240501",
    "",
    "12345678901",
]


@pytest.mark.parametrize(("is_right", "text"), RIGHT)
def test_the_right_check_digit_is_accepted(is_right: object, text: str) -> None:
    assert is_right(text)  # type: ignore[operator]


@pytest.mark.parametrize(("is_right", "text"), WRONG)
def test_a_wrong_check_digit_is_refused(is_right: object, text: str) -> None:
    assert not is_right(text)  # type: ignore[operator]


@pytest.mark.parametrize(("text", "kind"), SHAPED.items())
def test_a_value_has_the_shape_of_its_kind(text: str, kind: str) -> None:
    assert kind in {shape.kind for shape in SHAPES if shape.fits(text) and shape.weight}


@pytest.mark.parametrize("text", PLAIN)
def test_a_plain_value_has_no_shape(text: str) -> None:
    assert not {shape.label for shape in SHAPES if shape.weight and shape.fits(text)}


def test_names_of_persons_are_known_by_first_names_and_surnames() -> None:
    assert latin_name_share(["Anna Berg", "Lee, James", "Order 17", "Blue Widget"], frozenset({"anna", "james"})) == 0.5
    assert surname_share(["王小明", "李雷", "螺丝钉", "商品"], "王李") == 0.5
    assert latin_name_share([], frozenset()) == surname_share([], "") == 0.0
