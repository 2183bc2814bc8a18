"""One pure rule judges personal data and secrets: by names, comments, values, keys and types together."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from data_pipeline.semantics.column_case import ColumnSeen
from data_pipeline.semantics.column_roles import judge_role
from data_pipeline.semantics.personal import ColumnSigns, judge_privacy
from data_pipeline.semantics.personal_tables import is_table_of_persons
from data_pipeline.semantics.personal_words import word_lists

PERSONAL_NAMES = {
    "first_name": "name", "LastName": "name", "custname": "name", "patient_name": "name", "contactname": "name",
    "surname": "name", "nickname": "name", "mname": "name", "salesperson": "name",
    "email": "email", "usrmail": "email", "e_mail": "email", "emailaddress": "email", "usr_eml": "email",
    "phone": "phone", "phonenumber": "phone", "MobilePhone2": "phone", "telno": "phone", "fax": "phone",
    "msisdn": "phone",
    "street": "address", "homeaddress": "address", "shipaddress": "address", "billing_addr": "address",
    "username": "account", "login": "account", "user_login": "account", "wechat_id": "account", "openid": "account",
    "ip": "ip", "ipaddress": "ip", "lastloginip": "ip", "client_ip": "ip",
    "dob": "birth_date", "dateofbirth": "birth_date", "birthday": "birth_date", "birth_year": "birth_date",
    "ssn": "national_id", "passportno": "national_id", "id_card": "national_id", "driverlicense": "national_id",
    "plate": "plate", "licenseplate": "plate", "vin": "plate",
    "creditcardnumber": "card", "card_no": "card", "cvv": "card",
    "iban": "bank_account", "bankaccount": "bank_account", "account_number": "bank_account",
    "password": "secret", "pwd_hash": "secret", "api_key": "secret", "access_token": "secret", "salt": "secret",
    "pin_code": "secret", "session_id": "secret", "wifi_password": "secret",
    "diagnosis": "health", "blood_type": "health", "allergies": "health",
    "用户名": "account", "登录名": "account", "姓名": "name", "收货人": "name", "司机": "name", "手机": "phone",
    "电话": "phone",
    "微信": "account", "邮箱": "email", "收货地址": "address", "身份证": "national_id", "车牌": "plate", "IP地址": "ip",
    "密码": "secret", "出生日期": "birth_date", "银行卡号": "card", "法定代表人": "name", "病史": "health",
}  # fmt: skip

NAMES_OF_THINGS = [
    "token_count", "token_validity_seconds", "phone_calls", "phone_model", "email_verified", "is_email_sent",
    "address_type",
    "company_name", "product_name", "file_name", "city_name", "hotel_phone", "store_address", "password_changed_at",
    "server_ip", "orderdate", "unitprice", "category", "status", "quantity", "帐号状态", "手机品牌", "商品名称",
    "公司名称",
    "公司地址", "是否发送邮箱", "订单编号", "密码有效期", "客服电话", "登录次数",
]  # fmt: skip

COMMENTED = {
    "姓名": "name",
    "用户手机号": "phone",
    "登录密码": "secret",
    "e-mail of the buyer": "email",
    "IP地址": "ip",
}

VALUES: list[tuple[str, Sequence[object], str]] = [
    ("contact", ["a.b@example.com", "c@example.org", "d@example.net"], "email"),
    ("c7", ["11010519491231002X", "11010519491231002X"], "national_id"),
    ("c7", ["4111 1111 1111 1111", "5500 0000 0000 0004"], "card"),
    ("c7", ["DE89370400440532013000", "GB82WEST12345698765432"], "bank_account"),
    ("c7", ["192.168.1.7", "10.0.0.9"], "ip"),
    ("c7", ["$2b$12$abcdefghijklmnopqrstuv", "$2b$12$bbcdefghijklmnopqrstuv"], "secret"),
    ("c7", ["eyJhbGciOi.eyJzdWIi.SflKxwRJ", "eyJhbGciOi.eyJzdWIi.AflKxwRJ"], "secret"),
    ("c7", ["京A12345", "沪AD12345"], "plate"),
    ("c7", ["13812345678", "13912345679"], "phone"),
]


@pytest.mark.parametrize(("column", "kind"), PERSONAL_NAMES.items())
def test_a_usual_name_of_personal_data_is_known(column: str, kind: str) -> None:
    verdict = judge_privacy(ColumnSigns("t", column, "varchar(80)"))

    assert (verdict.verdict, verdict.kind) == ("personal", kind)


@pytest.mark.parametrize("column", NAMES_OF_THINGS)
def test_a_name_that_only_looks_personal_is_not_masked(column: str) -> None:
    assert not judge_privacy(ColumnSigns("t", column, "varchar(80)")).is_masked


@pytest.mark.parametrize(("comment", "kind"), COMMENTED.items())
def test_a_comment_tells_what_an_unreadable_name_does_not(comment: str, kind: str) -> None:
    assert not judge_privacy(ColumnSigns("t", "xm7", "varchar(80)")).is_masked

    assert judge_privacy(ColumnSigns("t", "xm7", "varchar(80)", comment)).kind == kind


@pytest.mark.parametrize(("column", "values", "kind"), VALUES)
def test_values_tell_what_a_name_does_not(column: str, values: Sequence[object], kind: str) -> None:
    verdict = judge_privacy(ColumnSigns("t", column, "text", values=values))

    assert (verdict.verdict, verdict.kind) == ("personal", kind)


def test_a_name_is_personal_in_a_table_of_persons_only() -> None:
    column = ColumnSigns("patient", "name", "text")

    assert judge_privacy(column).verdict == "personal"
    assert judge_privacy(replace(column, table="t_user_info")).verdict == "personal"
    assert judge_privacy(replace(column, table="用户信息表")).verdict == "personal"
    assert not judge_privacy(replace(column, table="product")).is_masked


def test_a_table_is_one_of_persons_by_two_columns_that_only_persons_have() -> None:
    assert is_table_of_persons("x1", None, ("birth_date", "gender"))
    assert not is_table_of_persons("x1", None, ("gender", "size"))
    assert not is_table_of_persons("customer_order", None, ())


def test_names_of_persons_make_a_weak_name_sure() -> None:
    column = ColumnSigns("orders", "contact", "text", values=["Anna Berg", "James Lee"])

    assert judge_privacy(column).verdict == "personal"
    assert judge_privacy(replace(column, values=["Blue Widget", "Red Box"])).verdict == "none"


def test_a_foreign_key_is_not_personal_but_an_address_of_mail_is_even_as_a_key() -> None:
    key = ColumnSigns("orders", "salesperson_id", "integer", values=[1, 2, 3], is_foreign_key=True)
    mail = ColumnSigns("login", "mail", "text", values=["a@example.com", "b@example.com"], is_key=True)

    assert not judge_privacy(key).is_masked
    assert judge_privacy(mail).verdict == "personal"


def test_few_repeating_values_take_doubt_away_from_a_name_but_not_from_a_secret() -> None:
    name = ColumnSigns("t", "contact_name", "text", values=["x", "y"], distinct_count=2, row_count=1_000)
    secret = ColumnSigns("t", "password", "text", values=["x", "y"], distinct_count=2, row_count=1_000)

    assert judge_privacy(name).verdict == "unsure"
    assert judge_privacy(replace(name, row_count=9)).verdict == "personal"
    assert judge_privacy(secret).verdict == "personal"


def test_a_number_is_no_name_and_no_address() -> None:
    assert not judge_privacy(ColumnSigns("t", "first_name", "integer", values=[1, 2])).is_masked
    assert not judge_privacy(ColumnSigns("t", "email", "timestamp")).is_masked
    assert judge_privacy(ColumnSigns("t", "phone", "bigint", values=[13812345678])).verdict == "personal"


def test_a_shop_has_a_telephone_and_no_privacy_but_the_contact_of_a_shop_has() -> None:
    values = ["010-62781234", "021-62781235"]

    assert not judge_privacy(ColumnSigns("store", "phone", "text", values=values)).is_masked
    assert judge_privacy(ColumnSigns("store", "contact_phone", "text", values=values)).verdict == "personal"


def test_companies_are_no_persons() -> None:
    values = ["Acme Tools Inc", "North Foods LLC", "Berg GmbH"]

    assert judge_privacy(ColumnSigns("customer", "customer_name", "text", values=values)).verdict == "none"


def test_a_note_is_unsure_because_persons_are_named_in_notes() -> None:
    note = judge_privacy(ColumnSigns("orders", "delivery_note", "text", values=["ring twice", "leave it there"]))

    assert note.verdict == "unsure"
    assert note.is_masked


def test_texts_that_hold_a_number_of_a_person_are_personal() -> None:
    texts = [
        "please call me at 13812345678 before noon",
        "nothing to add here, thank you",
        "leave it with the neighbour",
    ]

    assert judge_privacy(ColumnSigns("t", "c7", "text", values=texts)).is_masked
    assert not judge_privacy(ColumnSigns("t", "c7", "text", values=texts[1:])).is_masked


def test_values_of_a_personal_column_elsewhere_raise_the_verdict() -> None:
    column = ColumnSigns("v", "c7", "text", values=["x"], share_known_as_personal=1.0)

    assert judge_privacy(column).verdict == "personal"
    assert judge_privacy(replace(column, share_known_as_personal=0.1)).verdict == "none"


def test_secrets_are_never_projected_and_other_personal_columns_may_be() -> None:
    assert judge_privacy(ColumnSigns("t", "password_hash", "text")).is_secret
    assert not judge_privacy(ColumnSigns("t", "first_name", "text")).is_secret
    assert not judge_privacy(ColumnSigns("t", "token_count", "integer")).is_secret


def test_a_verdict_says_why() -> None:
    verdict = judge_privacy(ColumnSigns("t", "email", "text", values=["a@example.com"]))

    assert [sign.text for sign in verdict.signs] == [
        "its name says email",
        "100% of its values look like e-mail addresses",
    ]


def test_a_table_prefix_of_all_columns_says_nothing() -> None:
    beside = ("strStreet", "strTel", "lngOwner", "strMail")

    assert judge_privacy(ColumnSigns("tblOwner", "strTel", "text", beside=beside)).kind == "phone"
    assert judge_privacy(ColumnSigns("t", "F_mobile", "text", beside=("F_mobile", "F_id", "F_sex"))).kind == "phone"


def test_no_phrase_names_two_kinds() -> None:
    """A phrase of two kinds would be decided by the order of a file."""
    for language in ("english", "chinese"):
        kinds: dict[str, list[str]] = {}
        for strength in ("strong", "weak"):
            for kind, phrases in word_lists()[strength][language].items():
                for phrase in phrases:
                    kinds.setdefault(phrase, []).append(f"{strength} {kind}")
        assert {phrase: found for phrase, found in kinds.items() if len(found) > 1} == {}


@pytest.mark.parametrize("text", ["a", "1", "a1", "/a", "a@", "{", ".", "1.", "=a ", "中", "a b ", "a_", "9" * 400])
def test_a_value_and_a_comment_of_a_million_characters_are_judged_at_once(text: str) -> None:
    long = text * (1_000_000 // len(text))
    judge_privacy(ColumnSigns("t", "c7", "text", long, long, values=[long, long + "!"]))

    judge_role(ColumnSeen("t", "c7", "text", long, [long, long + "!"]), dt.datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("column", ["a_" * 100_000, "A" * 100_000, "é" * 100_000, "名" * 100_000, "_" * 100_000])
def test_a_name_of_a_hundred_thousand_characters_is_judged_at_once(column: str) -> None:
    judge_privacy(ColumnSigns(column, column, "text", beside=(column, column)))

    judge_role(ColumnSeen(column, column, "text", None, ["a", "b"]), dt.datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    "values",
    [
        [float("nan"), float("inf"), 1.5],
        [Decimal("NaN"), Decimal("Infinity"), Decimal("1E+400")],
        [10**18, -(10**18), 0],
        [b"\xff", b""],
        [True, False],
        [dt.date(9999, 12, 31), dt.time(23, 59), dt.timedelta(days=1)],
        ["", " ", "\x00", "\ud800"],
        [1, "1", 1.0, b"1"],
        [[1, 2], {"a": 1}],
        [uuid.UUID(int=0)],
    ],
    ids=str,
)
def test_no_value_is_too_odd_to_be_judged(values: list[object]) -> None:
    for name in ("amount", "created_at", "phone", "name", "is_open", "code", "月份"):
        judge_privacy(ColumnSigns("t", name, "text", values=values))
        judge_role(ColumnSeen("t", name, "text", None, values), dt.datetime(2026, 1, 1))  # noqa: DTZ001
