"""What a database is about: themes that leave no table out, SQL that loads, pages that nothing breaks."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.database.schema import Column, ForeignKey, Key, Table
from data_pipeline.semantics.metadata_writing import (
    NAME_CHARACTERS,
    THEME_TABLES,
    About,
    decision_prompt,
    metadata_detail,
    metadata_sql,
    themes_of,
)
from data_pipeline.semantics.wording import Suggestion
from data_pipeline.tasks.table_list import TableName
from tests.support.postgres import fresh_database

AT = datetime(2025, 3, 4, 5, 6, 7)  # noqa: DTZ001 - the caller's own clock
ABOUT = About("shop", "a shop for music", "en", AT)
ABOUT_ZH = replace(ABOUT, language="zh", business_context="高速公路服务区管理")


def table(name: str, columns: str = "id", *refers: str, comment: str | None = None, kind: str = "table") -> Table:
    """`a, b text` has a column `a` of integers and one of texts; it refers to the `id` of other tables."""
    parts = [column.split(maxsplit=1) for column in columns.split(",")]
    made = tuple(Column(part[0], part[1] if len(part) > 1 else "integer", is_nullable=True) for part in parts)
    keys = tuple(ForeignKey(None, (f"{other}_id",), TableName(None, other), ("id",)) for other in refers)
    own = Table(TableName(None, name), "table", comment, made, Key(None, ("id",)), keys)
    return (
        replace(own, kind="view", sources=tuple(key.target for key in keys), foreign_keys=()) if kind == "view" else own
    )


SHOP = [
    table("customer", "id, name text, city text", comment="客户, people who buy"),
    table("orders", "id, customer_id, total numeric(9, 2), ordered_at date", "customer"),
    table("order_line", "id, orders_id, product_id, quantity, unit_price numeric", "orders", "product"),
    table("product", "id, name text, price real, barcode bigint, phone bigint, year"),
    table("product_tag", "product_id, tag_id", "product", "tag"),
    table("tag", "id, name text"),
    table("dear_products", "id, price real", "product", kind="view"),
    table("log_one"),
    table("log_two"),
    table("alone"),
]


def names_of(tables: Sequence[TableName]) -> list[str]:
    return [name.name for name in tables]


def test_themes_follow_foreign_keys() -> None:
    """A part is one theme after its hub, with views last; what belongs to nothing goes by its first word."""
    shop, logs, alone = themes_of(SHOP, "en")

    assert shop.name == "Product"
    assert names_of(shop.related_tables) == [
        "product", "orders", "order_line", "product_tag", "customer", "tag", "dear_products",
    ]  # fmt: skip
    assert shop.description == "Product, with orders, order line, product tag, 客户, tag and 1 more"
    assert shop.biz_entities == ("product", "orders", "order line", "客户", "tag")
    assert shop.biz_metrics == ("average price", "orders total", "total quantity", "number of 客户", "number of tags")
    assert names_of(logs.related_tables) == ["log_one", "log_two"]
    assert (alone.name, alone.description, alone.biz_entities) == ("Alone", "Alone", ("alone",))


def test_themes_in_chinese_have_short_names() -> None:
    """A comment names a table, or what a model says of it; a long one gives way to its name."""
    suggestions = {TableName(None, "product"): Suggestion("商品信息表。一行一个商品", {"price": "销售单价"})}
    shop, *_ = themes_of(SHOP, "zh", suggestions=suggestions)

    assert shop.name == "商品信息表分析"
    assert shop.description.startswith("围绕商品信息表，涉及orders、order line")
    assert shop.biz_metrics[0] == "平均销售单价"
    assert "客户数量" in shop.biz_metrics
    long = table("bss_company", comment="高速公路服务区管理系统中的公司信息表，存储公司")
    assert themes_of([long], "zh")[0].name == "Bss company"


def test_joins_that_were_inferred_hold_tables_together() -> None:
    """As declared ones do."""
    tables = [table("a"), table("b"), table("c")]

    assert len(themes_of(tables, "en", joined=[(tables[0].name, tables[1].name)])) == 2


def test_large_part_is_split_around_hubs() -> None:
    """A star of thirty: its centre is in every theme of it."""
    star = [table("hub"), *[table(f"arm{n:02}", "id, hub_id", "hub") for n in range(30)]]
    themes = themes_of(star, "en")

    assert len(themes) == 5
    assert all(names_of(theme.related_tables)[0] == "hub" for theme in themes)
    assert {len(theme.related_tables) for theme in themes} == {8, 3}
    assert [theme.name for theme in themes[:2]] == ["Hub", "Hub and arm07"]


@st.composite
def schemas(draw: st.DrawFn) -> list[Table]:
    """Tables with any names, comments and foreign keys, themselves and gone tables included."""
    words = st.text(min_size=1, max_size=12) | st.sampled_from(
        ["select", "order", "客户", "o'x", 'a"b', "a\nb", "--", "`"]
    )
    names = draw(st.lists(words, min_size=1, max_size=30, unique=True))
    found = []
    for name in names:
        targets = draw(st.lists(st.sampled_from([*names, "gone"]), max_size=3))
        keys = tuple(ForeignKey(None, ("a",), TableName(None, target), ("id",)) for target in targets)
        columns = (
            Column("id", "integer", False),
            Column(draw(words), "numeric", True, comment=draw(st.none() | words)),
        )
        comment = draw(st.none() | words)
        found.append(Table(TableName(None, name), "table", comment, columns, Key(None, ("id",)), keys))
    return found


@given(schemas(), st.sampled_from(["en", "zh"]))
def test_every_table_is_in_a_theme(tables: list[Table], language: str) -> None:
    """No theme is too large, no two have one name, no name is too long; the order of tables does not matter."""
    themes = themes_of(tables, language)

    assert {name for theme in themes for name in theme.related_tables} == {one.name for one in tables}
    assert all(1 <= len(set(theme.related_tables)) == len(theme.related_tables) <= THEME_TABLES for theme in themes)
    assert len({theme.name for theme in themes}) == len(themes)
    for theme in themes:
        assert theme.name.strip()
        assert len(theme.name) <= (NAME_CHARACTERS if any("\u4e00" <= sign <= "\u9fff" for sign in theme.name) else 40)
        assert theme.biz_entities
    assert themes_of(tables[::-1], language) == themes


def test_name_of_two_tables_in_chinese_is_no_longer_than_others() -> None:
    """Also where both tables have English names: the word between them makes it a Chinese one."""

    def table(name: str, comment: str, *targets: str) -> Table:
        keys = tuple(ForeignKey(None, ("a",), TableName(None, target), ("id",)) for target in targets)
        columns = (Column("id", "integer", False), Column("a", "integer", True))
        return Table(TableName(None, name), "table", comment, columns, Key(None, ("id",)), keys)

    tables = [table("a", "orders"), table("b", "lines", "a"), table("c", "orders"), table("d", "shipments", "c")]
    names = {theme.name for theme in themes_of(tables, "zh")}

    assert len(names) == 2
    assert all(len(name) <= NAME_CHARACTERS for name in names if "和" in name), names


@given(schemas(), st.sampled_from(["en", "zh"]), st.text())
def test_sql_loads_into_sqlite_with_any_names_and_comments(tables: list[Table], language: str, context: str) -> None:
    """Quotes, newlines, comments, reserved words: rows come out as they went in."""
    themes = themes_of(tables, language)
    connection = sqlite3.connect(":memory:")
    connection.executescript(metadata_sql(themes, About("d\n'b", context.replace("\0", ""), language, AT)))
    rows = connection.execute("SELECT topic_name, description, related_tables FROM metadata ORDER BY id").fetchall()
    connection.close()

    assert [(name, description, json.loads(listed)) for name, description, listed in rows] == [
        (theme.name, theme.description, [str(one) for one in theme.related_tables]) for theme in themes
    ]


ODD = [
    table("order", comment='it\'s; a "quoted"\n-- comment /* \\ */ %s :name $1 $$'),
    table("select", "id, order_id", "order", comment="客户的“订单”\u2028'; DROP TABLE metadata; --"),
    table('a"b', "id, group numeric"),
    table("x'y\nz"),
]


def test_sql_loads_twice_into_both_databases() -> None:
    """The second time nothing is doubled, and a row that was changed is as it was."""
    themes = themes_of([*SHOP, *ODD], "zh")
    script = metadata_sql(themes, ABOUT_ZH)
    everything = (
        "SELECT id, topic_name, description, related_tables, biz_entities, biz_metrics FROM metadata ORDER BY id"
    )
    found: list[list[Any]] = []
    lite = sqlite3.connect(":memory:")
    lite.executescript(script)
    lite.execute("UPDATE metadata SET description = 'else'")
    lite.commit()
    lite.executescript(script)
    found.append(lite.execute(everything).fetchall())
    lite.close()
    with fresh_database() as url, psycopg.connect(url, autocommit=True) as server:
        server.execute(script.encode())
        server.execute("UPDATE metadata SET description = 'else'")
        server.execute(script.encode())
        found.append(server.execute(everything).fetchall())
        assert server.execute("SELECT min(created_at) FROM metadata").fetchone() == (AT,)
        assert server.execute("SELECT json_array_length(biz_entities::json) FROM metadata WHERE id = 1").fetchone()

    assert found[0] == found[1]
    assert len(found[0]) == len(themes)
    assert [json.loads(row[5]) for row in found[0]] == [list(theme.biz_metrics) for theme in themes]


def test_page_has_a_section_a_theme() -> None:
    """With tables, what they mean, their rows, entities and measures."""
    page = metadata_detail(themes_of(SHOP, "en"), ABOUT, SHOP, {TableName(None, "customer"): 12})
    lines = page.splitlines()

    assert lines[0] == "# Themes of the database shop"
    assert "- Business context: a shop for music" in lines
    assert "- Time: 2025-03-04 05:06:07" in lines
    assert [line for line in lines if line.startswith("## ")] == ["## 1. Product", "## 2. Log one", "## 3. Alone"]
    assert "- customer (12 rows) - 客户, people who buy" in lines
    assert "- order_line - order line (by its name)" in lines
    assert "Entities: product, orders, order line, 客户, tag" in lines


def test_text_of_the_schema_cannot_break_a_page() -> None:
    """No comment and no name begins a line or a heading."""
    tables = [*ODD, table("t", comment="x\n# heading\n- [link](http://x) <script>")]
    page = metadata_detail(themes_of(tables, "en"), replace(ABOUT, business_context="a\n# b"), tables, {})

    assert [line for line in page.splitlines() if line.startswith("# ")] == ["# Themes of the database shop"]
    assert "<script>" not in page.replace("\\<", "")
    assert "\u2028" not in page


def test_prompt_lists_entities_and_measures_once() -> None:
    """In the words of the older system's file."""
    prompt = decision_prompt(themes_of(SHOP, "zh"), ABOUT_ZH).splitlines()

    assert prompt[0] == "=== 数据库业务范围 ==="
    assert prompt[1] == "数据库 shop 涉及以下业务：Product、Log one和Alone。"
    assert prompt[2] == "业务背景: 高速公路服务区管理"
    assert prompt.index("核心业务实体：") < prompt.index("- 客户") < prompt.index("关键业务指标：")
    assert prompt.index("关键业务指标：") < prompt.index("- 客户数量")
    assert len(set(prompt)) == len(prompt)


def test_prompt_of_many_tables_stays_short() -> None:
    """It says how many it leaves out."""
    many = [table(f"t{number}_{'abcdefgh'[number % 8]}") for number in range(500)]
    prompt = decision_prompt(themes_of(many, "en"), replace(ABOUT, business_context=""))

    assert len(prompt) < 10_000
    assert "more\n" in prompt
    assert "Business context" not in prompt


@pytest.mark.parametrize("language", ["en", "zh"])
def test_schema_without_tables_has_no_theme(language: str) -> None:
    """And its files are still files."""
    about = replace(ABOUT, language=language)
    connection = sqlite3.connect(":memory:")
    connection.executescript(metadata_sql([], about))
    assert connection.execute("SELECT count(*) FROM metadata").fetchone() == (0,)
    connection.close()

    assert themes_of([], language) == []
    assert metadata_detail([], about, [], {}).startswith("# ")
    assert decision_prompt([], about).startswith("=== ")
