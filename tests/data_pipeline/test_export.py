"""Training items as files for other programs: the formats' own keys, and the same bytes every time."""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from data_pipeline.dataset.export import ExportFormat, database_id, export, query_tokens, read_tables, spider_schema
from data_pipeline.errors import NotFound
from data_pipeline.steps.pair_file import format_pairs
from data_pipeline.vectors.store.contract import Holding, Item, pair_content
from tests.support.server import API
from tests.support.service import execute, new_task, refused
from tests.support.shop import CLI, Shop

DDL = [
    (
        "-- Table: people who buy\ncreate table customer (\n  customer_id INTEGER not null primary key, -- number\n"
        "  name TEXT,\n  joined_on DATE,\n  is_active BOOLEAN\n);\n"
    ),
    (
        "create table purchase (\n  purchase_id INTEGER not null,\n  customer_id INTEGER,\n  total NUMERIC(10, 2),\n"
        "  primary key (purchase_id),\n  foreign key (customer_id) references customer (customer_id)\n);\n"
    ),
]
PAIRS = [
    ("Which customers bought for more than 10?", "SELECT name FROM customer WHERE name <> 'x y' AND 10 < 2.5;"),
    ("How many\npurchases?", "SELECT count(*) FROM purchase"),
    ("有多少个客户？", "SELECT count(*) FROM customer"),
]


def held(database: str = "sqlite:shop.sqlite") -> list[tuple[Item, Holding]]:
    items = [Item("ddl", database, text) for text in DDL]
    items += [Item("sql", database, pair_content(*pair)) for pair in PAIRS]
    items.append(Item("documentation", database, "## customer"))
    return [(item, Holding(item.id, "f")) for item in sorted(items, key=lambda item: item.id)]


def spider_files(content: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


@pytest.mark.parametrize("wanted", ["chat-jsonl", "spider", "sql"])
def test_same_items_give_the_same_bytes(wanted: ExportFormat) -> None:
    """Whatever the order in which they come."""
    assert export("task_1", held(), wanted) == export("task_1", held()[::-1], wanted)


def test_chat_has_a_line_a_pair_with_the_ddl_of_its_tables_alone() -> None:
    """System, user, assistant."""
    lines = [json.loads(line) for line in export("task_1", held(), "chat-jsonl").content.decode().splitlines()]
    (counting,) = [line["messages"] for line in lines if "purchases" in line["messages"][1]["content"]]

    assert len(lines) == 3
    assert [message["role"] for message in counting] == ["system", "user", "assistant"]
    assert "create table purchase" in counting[0]["content"]
    assert "create table customer" not in counting[0]["content"]
    assert counting[2]["content"] == "SELECT count(*) FROM purchase;"


def test_spider_has_its_published_keys() -> None:
    """As the data set's own tables.json and train_spider.json, but for the parse tree `sql`."""
    files = spider_files(export("task_1", held(), "spider").content)
    (schema,), train = files["tables.json"], files["train.json"]

    assert schema == {
        "db_id": "shop",
        "table_names_original": ["customer", "purchase"],
        "table_names": ["customer", "purchase"],
        "column_names_original": [[-1, "*"], [0, "customer_id"], [0, "name"], [0, "joined_on"], [0, "is_active"],
                                  [1, "purchase_id"], [1, "customer_id"], [1, "total"]],
        "column_names": [[-1, "*"], [0, "customer id"], [0, "name"], [0, "joined on"], [0, "is active"],
                         [1, "purchase id"], [1, "customer id"], [1, "total"]],
        "column_types": ["text", "number", "text", "time", "boolean", "number", "number", "number"],
        "primary_keys": [1, 5],
        "foreign_keys": [[6, 1]],
    }  # fmt: skip
    assert [set(pair) for pair in train] == [
        {"db_id", "query", "query_toks", "query_toks_no_value", "question", "question_toks"}
    ] * 3
    (pair,) = [pair for pair in train if pair["question"].startswith("Which")]
    assert pair["query_toks"] == [
        "SELECT", "name", "FROM", "customer", "WHERE", "name", "<>", "'x y'", "AND", "10", "<", "2.5",
    ]  # fmt: skip
    assert pair["query_toks_no_value"][-5:] == ["value", "and", "value", "<", "value"]
    assert [pair["question_toks"] for pair in train if "客" in pair["question"]] == [list("有多少个客户？")]


def test_sql_runs_as_it_is() -> None:
    """Questions are comments of one line; every statement ends."""
    text = export("task_1", held(), "sql").content.decode()
    connection = sqlite3.connect(":memory:")
    connection.executescript("".join(DDL) + text)
    connection.close()

    assert "-- How many purchases?\nSELECT count(*) FROM purchase;" in text


def test_schemas_of_both_databases_are_read() -> None:
    """Keys beside columns, keys added later, quoted names, serials; what is no DDL is no table."""
    order = (
        'create table public."Order" (\n  id bigserial not null primary key,\n'
        '  "customer id" integer references customer (id),\n  at timestamp with time zone default now()\n);'
    )
    customer = (
        "create table customer (id serial primary key, best integer, mood public.mood);\n"
        'alter table customer add constraint later foreign key (best) references public."Order" (id);'
    )
    tables = read_tables([order, customer, "this is no ddl (", "create view v as select 1"])
    schema = spider_schema("x", tables)

    assert schema["table_names_original"] == ["customer", "Order"]
    assert schema["column_types"] == ["text", "number", "number", "others", "number", "number", "time"]
    assert schema["primary_keys"] == [1, 4]
    assert sorted(schema["foreign_keys"]) == [[2, 4], [5, 1]]


def test_names_of_databases_and_tokens() -> None:
    """Without what is around them."""
    assert [database_id(name) for name in ("shop", "sqlite:my shop.sqlite", "postgresql:db:5432/sales", ":")] == [
        "shop", "my_shop", "sales", "database",
    ]  # fmt: skip
    assert query_tokens("SELECT a.b FROM \"A b\" a WHERE x='it''s';") == [
        "SELECT", "a", ".", "b", "FROM", '"A b"', "a", "WHERE", "x", "=", "'it''s'",
    ]  # fmt: skip


def test_task_without_pairs_says_what_to_run() -> None:
    """DDL alone is nothing to train with."""
    with pytest.raises(NotFound, match="training_load"):
        export("task_1", [one for one in held() if one[0].kind != "sql"], "sql")


def test_export_over_http_and_at_the_command_line_is_the_same(client: TestClient, folder: Path) -> None:
    """The file, outside the envelope."""
    task_id = new_task(client, profile_tables=False)
    execute(client, task_id)
    files = {"file": ("qs_shop_pair.json", format_pairs([("How many?", "SELECT count(*) FROM customer")]), "text/json")}
    client.post(f"{API}/tasks/{task_id}/files", files={"file": files["file"][:2]})
    for step in ("sql_validation", "training_load"):
        execute(client, task_id, execution_mode="step", step_name=step)
    answer = client.get(f"{API}/tasks/{task_id}/export", params={"format": "spider"})
    shop = Shop.__new__(Shop)
    shop.folder, shop.home = folder, folder / "home"
    shop.environment = {"DATA_PIPELINE_HOME": str(shop.home)}
    said = shop.call(CLI, "export", task_id, "--format", "sql")

    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="{task_id}_spider.zip"'
    assert spider_files(answer.content)["train.json"][0]["question"] == "How many?"
    assert said.stdout == "-- How many?\nSELECT count(*) FROM customer;\n"
    refused(client.get(f"{API}/tasks/{task_id}/export", params={"format": "csv"}), 400, "invalid_params")
    refused(client.get(f"{API}/tasks/task_9/export"), 404, "resource_not_found")
    refused(client.get(f"{API}/tasks/{new_task(client)}/export"), 404, "resource_not_found")
