"""Personal data: found by name, by comment and by value; things that only sound like people are let through."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.database.personal_data import (
    TellingValues,
    holds_a_number_of_somebody,
    personal_by_name,
    personal_by_neighbours,
    personal_by_values,
    personal_elsewhere,
)
from data_pipeline.database.sqlite.text import read_table_text
from data_pipeline.demo.database import SCHEMA, build_database

ROOT = Path(__file__).parents[2]
DATABASES = ROOT.parent / "shared" / "databases"

PERSONAL = {
    "email": "email", "E_Mail": "email", "contactEmail": "email", "phone": "phone", "HomePhone": "phone",
    "mobile_no": "phone", "Fax": "phone", "first_name": "name", "LastName": "name", "full_name": "name",
    "customer_name": "name", "ssn": "id_number", "id_card_number": "id_number", "passport_no": "id_number",
    "credit_card": "card", "card_number": "card", "iban": "account", "birthday": "birth", "date_of_birth": "birth",
    "BirthDate": "birth", "address": "address", "ShipAddress": "address", "PostalCode": "address",
    "plate_number": "plate", "password": "secret", "api_key": "secret", "姓名": "name", "手机号": "phone",
    "身份证号码": "id_number", "客户邮箱": "email", "车牌号": "plate",
}  # fmt: skip
NOT_PERSONAL = [
    "id", "name", "company_name", "product_name", "CategoryName", "phone_model", "email_verified", "address_id",
    "total", "status", "city", "created_at", "card_type", "pinned", "plates_count", "panel", "cellar", "telemetry",
    "zipped", "manager_id", "unit_price", "服务区名称", "公司名称", "编号", "mailed", "tokens", "ReportsTo",
]  # fmt: skip


@pytest.mark.parametrize(("column", "kind"), PERSONAL.items())
def test_column_with_a_personal_name_is_found(column: str, kind: str) -> None:
    """In either language, whatever the spelling."""
    found = personal_by_name(column)
    assert found is not None
    assert (found.kind, found.sign) == (kind, "name")


@pytest.mark.parametrize("column", NOT_PERSONAL)
def test_column_that_only_sounds_so_is_let_through(column: str) -> None:
    """Else nothing would be left to ask about."""
    assert personal_by_name(column) is None


def test_name_is_personal_in_a_table_of_people_and_by_its_comment() -> None:
    """`name` alone says nothing."""
    assert personal_by_name("name", "members") is not None
    assert personal_by_name("name", "motorway") is None
    assert personal_by_name("c7", comment="the driver's licence, personal") is not None
    assert personal_by_name("c7", comment="联系人电话") is not None


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a.b@mail.example", "c@d.example", None], "email"),
        (["+49 30 1234567", "+1 (555) 010-9999"], "phone"),
        (["13800138000", "13912345678"], "phone"),
        (["010-62345678"], "phone"),
        (["11010519491231002X"], "id_number"),
        (["078-05-1120"], "id_number"),
        (["4111 1111 1111 1111", "x"], "card"),
        (["DE89 3704 0044 0532 0130 00"], "account"),
        (["call a@b.example", "nothing", "note"], None),
        (["a@b.example", "note", "note", "note"], None),
        (["2024-01-05", "2024-02-05"], None),
        (["4111111111111112"], None),
        (["M01", "M02"], None),
        ([1, 2.5, None, b"x"], None),
        ([], None),
    ],
)
def test_values_are_known_by_their_looks(values: list[object], kind: str | None) -> None:
    """Whatever the column is called."""
    found = personal_by_values(values)
    assert (found.kind if found else None) == kind


@given(st.lists(st.one_of(st.text(max_size=60), st.integers(), st.none()), max_size=20), st.text(max_size=40))
def test_no_text_is_too_odd(values: list[object], name: str) -> None:
    """Names and values come from databases: anything."""
    personal_by_values(values)
    personal_by_name(name, name, name)


def test_every_personal_column_of_the_demo_is_found_and_no_other(tmp_path: Path) -> None:
    """Its comments say which they are; here only names and values may tell."""
    build_database(str(tmp_path / "demo.sqlite"))
    connection = sqlite3.connect(tmp_path / "demo.sqlite")
    for statement in (part.strip() for part in SCHEMA.split(";\n") if "CREATE TABLE" in part):
        table = statement.split()[2]
        comments = read_table_text(statement).comments
        for _, column, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
            values = [value for (value,) in connection.execute(f"SELECT {column} FROM {table} LIMIT 200")]
            found = personal_by_name(column, table) or personal_by_values(values)
            assert (found is not None) == ("personal" in comments.get(column, "")), f"{table}.{column}: {found}"
    connection.close()


@pytest.mark.skipif(not DATABASES.is_dir(), reason="the real databases are not beside the project (../shared)")
def test_personal_columns_of_chinook_are_found() -> None:
    """Customers and employees, and nothing of tracks and albums."""
    connection = sqlite3.connect(f"file:{DATABASES / 'chinook' / 'chinook.sqlite'}?mode=ro", uri=True)
    found = set()
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        for _, column, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
            values = [value for (value,) in connection.execute(f'SELECT "{column}" FROM "{table}" LIMIT 200')]
            if personal_by_name(column, table) or personal_by_values(values):
                found.add(f"{table}.{column}")
    connection.close()
    people = {"FirstName", "LastName", "Address", "PostalCode", "Phone", "Fax", "Email"}

    assert found == {f"{table}.{column}" for table in ("Customer", "Employee") for column in people} | {
        "Employee.BirthDate", "Invoice.BillingAddress", "Invoice.BillingPostalCode",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "beside", "expected"),
    [
        (["Davolio is good", "Fuller, too", "n/a"], [("Davolio",), ("Fuller",), ("King",)], True),
        (["http://x/davolio.bmp", "http://x/fuller.bmp"], [("Davolio",), ("Fuller",)], True),
        (["王伟的备注", "李娜的备注"], [("王伟",), ("李娜",)], True),
        (["mail ann@x.example now", "bo@x.example"], [("ann@x.example",), ("bo@x.example",)], True),
        # a word inside another, a name too short, other people's rows, one row of many, nothing at all
        (["is working", "is taking"], [("King",), ("King",)], False),
        (["Al came", "Al left"], [("Al",), ("Al",)], False),
        (["about Fuller", "about Davolio"], [("Davolio",), ("Fuller",)], False),
        (["Antonio Moreno Taquería", *["x"] * 40], [("Antonio Moreno",), *[("Somebody",)] * 40], False),
        ([None, 7], [("Davolio",), (None,)], False),
        ([], [], False),
    ],
)
def test_column_that_repeats_its_neighbours_is_personal(
    values: list[object], beside: list[tuple[object, ...]], expected: bool
) -> None:
    """Notes and paths of files hold names, too."""
    assert (personal_by_neighbours(values, beside) is not None) == expected


KNOWN = TellingValues(
    ["Davolio", "Ada Lovelace", "Bo", "王伟", "4111111111111111", "ann@x.example", "Zoë"], whole=["12 Long Road"]
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DAVOLIO was here", True), ("davolios", False), ("with Ada  Lovelace", False), ("with ada lovelace's", True),
        ("Bo", True), (" bo ", True), ("Bo came", False), ("请找王伟", True), ("card 4111111111111111.", True),
        ("<Ann@X.example>", True), ("Zoë K.", True), ("12 long road", True), ("at 12 Long Road", False), ("", False),
    ],
)  # fmt: skip
def test_telling_values_are_found_as_words_and_as_parts(text: str, expected: bool) -> None:
    """Short ones only where they are the whole text, streets as well."""
    assert KNOWN.are_in(text) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["Davolio", "Bo", "x"], True),
        ([4111111111111111, None], True),
        (["Davolio"] * 5 + ["x"] * 5, False),
        (["Davolio", "Bo", *["x"] * 8], False),
        ([["Davolio"], ["Ada Lovelace"]], True),
        (["Davolio"], True),
        ([True, 7, None], False),
        ([], False),
    ],
)
def test_column_that_repeats_people_of_other_tables_is_personal(values: list[object], expected: bool) -> None:
    """In a good share of its rows, and more than one of them."""
    assert (personal_elsewhere(values, KNOWN) is not None) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call +49 30 1234567 now", True), ("ask ann@x.example", True), ("tel13912345678.", True),
        ("sku 4139123456789", False), ("3 + 4", False), ("a@b", False), ("ssn 123-45-6789", True),
        ("2024-01-05", False),
    ],
)  # fmt: skip
def test_numbers_of_people_are_known_inside_a_text(text: str, expected: bool) -> None:
    """Whoever they belong to."""
    assert holds_a_number_of_somebody(text) == expected
