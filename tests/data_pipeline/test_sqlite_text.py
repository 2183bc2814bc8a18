"""Comments that people write into CREATE TABLE: which belongs to what."""

from __future__ import annotations

import pytest

from data_pipeline.database.sqlite.text import read_table_text
from data_pipeline.demo.database import SCHEMA

EVERY_PLACE = """CREATE TABLE "odd ""name" ( -- one order
  id INTEGER PRIMARY KEY, -- its number
  -- in euros,
  -- without tax
  total NUMERIC(10, 2) CHECK (total > 0), /* never
  negative */
  "the -- state" TEXT DEFAULT '-- no comment, (really' -- last
  , [at] TIMESTAMP /* local */ NOT NULL, -- time
  `name` TEXT,
  plain TEXT,
  CONSTRAINT positive CHECK (total > 0), -- of no column
  PRIMARY KEY (id) -- neither
)"""


def test_comments_belong_to_what_they_stand_beside() -> None:
    """To the column before them on the line, or to the one after a line of their own; never what is quoted."""
    found = read_table_text(EVERY_PLACE)

    assert found.comment == "one order"
    assert found.comments == {
        "id": "its number",
        "total": "in euros, without tax never negative",
        "the -- state": "last",
        "at": "local time",
    }


@pytest.mark.parametrize(
    ("sql", "table", "columns"),
    [
        ("", None, {}),
        ("CREATE TABLE t (a INT)", None, {}),
        ("CREATE TABLE t /* all */ (a INT -- first\n, b INT)", "all", {"a": "first"}),
        ("CREATE TABLE t (a INT /* open", None, {"a": "open"}),
        ("CREATE TABLE t (-- one\n-- column\na INT)", "one", {"a": "column"}),
        ("CREATE TABLE t (服务区 TEXT -- 名称\n)", None, {"服务区": "名称"}),
    ],
)
def test_odd_and_unfinished_texts_are_read_as_far_as_they_go(
    sql: str, table: str | None, columns: dict[str, str]
) -> None:
    """Nothing in a database's own text is an error."""
    found = read_table_text(sql)
    assert (found.comment, found.comments) == (table, columns)


def test_every_table_of_the_demo_has_its_comments() -> None:
    """Its schema is written as people write theirs."""
    statements = [part for part in SCHEMA.split(";\n") if "CREATE TABLE" in part]
    assert len(statements) == 11
    for statement in statements:
        assert read_table_text(statement.strip()).comment, statement
    employee = next(read_table_text(statement.strip()) for statement in statements if "TABLE employee" in statement)
    assert employee.comments["manager_id"] == "empty for the head of a service area"
