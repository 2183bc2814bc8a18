"""What is nearest to a question, over HTTP and at the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from data_pipeline.steps.pair_file import format_pairs
from data_pipeline.store import Store
from data_pipeline.use_cases.foreground import run_parameters
from tests.support.server import API, data
from tests.support.service import execute, new_task, refused, serving, settings_of
from tests.support.shop import CLI, Shop
from tests.support.waiting import PATIENCE_SECONDS

SEARCH = f"{API}/training_data/search"
WAITING = {"Prefer": f"wait={PATIENCE_SECONDS}"}
PAIRS = [
    ("How many customers are there?", "SELECT count(*) FROM customer"),
    ("有多少个客户？", "SELECT count(id) FROM customer"),
    ("Which purchase is the newest?", "SELECT max(id) FROM purchase"),
]


def loaded_task(client: TestClient) -> str:
    """A task whose DDL, pages and uploaded pairs are in the store; none are generated."""
    task_id = new_task(client, profile_tables=False)
    execute(client, task_id)
    files = {"file": ("qs_shop_pair.json", format_pairs(PAIRS), "application/json")}
    data(client.post(f"{API}/tasks/{task_id}/files", files=files))
    for step in ("sql_validation", "training_load"):
        run = data(execute(client, task_id, execution_mode="step", step_name=step))
        assert run["status"] == "completed", run
    return task_id


def results(client: TestClient, **body: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = data(client.post(SEARCH, json=body))["results"]
    return found


def test_question_finds_its_pair_with_where_it_comes_from(client: TestClient) -> None:
    """Score, kind, content, provenance; in other words, and in Chinese."""
    task_id = loaded_task(client)
    first, *_ = results(client, question="number of customers")
    chinese, *_ = results(client, question="客户有多少")

    assert (first["kind"], first["question"], first["sql"]) == ("sql", *PAIRS[0])
    assert chinese["question"] == PAIRS[1][0]
    assert 0 < first["score"] <= 1
    assert first["database"] == "shop"
    assert first["provenance"] == [{"task_id": task_id, "file": "qs_shop_pair.json", "details": {}}]
    assert json.loads(first["content"]) == {"question": PAIRS[0][0], "sql": PAIRS[0][1]}


def test_search_is_limited_as_it_is_asked(client: TestClient) -> None:
    """By number, kind, task and database."""
    task_id = loaded_task(client)
    kinds = [one["kind"] for one in results(client, question="customer", limit=100, kinds=["ddl", "documentation"])]

    assert sorted(kinds) == ["ddl"] * 2 + ["documentation"] * 2
    assert len(results(client, question="customer", limit=2)) == 2
    assert len(results(client, question="customer", task_id=task_id, limit=100)) == 7
    assert results(client, question="customer", database="elsewhere") == []
    assert results(client, question="customer", task_id=new_task(client)) == []


def test_deleted_task_holds_no_items_any_more(client: TestClient) -> None:
    """With its history its items go, but for those that another task holds; without, they stay."""
    gone, kept, files_only = loaded_task(client), loaded_task(client), loaded_task(client)
    for task_id, with_history in ((gone, True), (files_only, False)):
        body = {"task_ids": [task_id], "confirm": True, "delete_database_records": with_history}
        answer = data(client.request("DELETE", f"{API}/tasks", json=body))
        assert answer["summary"]["successfully_deleted"] == 1, answer
    holders = {held["task_id"] for one in results(client, question="customer", limit=50) for held in one["provenance"]}

    assert holders == {kept, files_only}


def test_first_search_in_an_empty_home_finds_nothing(client: TestClient) -> None:
    """That is no error."""
    assert results(client, question="anything") == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"question": " "}, "question"),
        ({"question": "x", "limit": 0}, "limit"),
        ({"question": "x", "limit": True}, "limit"),
        ({"question": "x", "kinds": ["tables"]}, "kinds.0"),
        ({"question": "x", "kinds": []}, "kinds"),
        ({"question": "x", "task_id": "../x"}, "task_id"),
    ],
)
def test_bad_value_is_named(client: TestClient, body: dict[str, Any], field: str) -> None:
    """As everywhere."""
    assert field in refused(client.post(SEARCH, json=body), 400, "invalid_params")["invalid_params"]
    assert refused(client.post(SEARCH, json={}), 400, "missing_required_params")["missing_params"] == ["question"]


def test_unknown_task_is_told(client: TestClient) -> None:
    """A typing error does not look like a task without items."""
    refused(client.post(SEARCH, json={"question": "x", "task_id": "task_9"}), 404, "resource_not_found")


def test_store_of_another_embedder_is_refused_with_what_to_do(folder: Path) -> None:
    """409; a server whose settings are as before finds everything."""
    with serving(settings_of(folder)) as client:
        loaded_task(client)
    other = {"embedding_base_url": "http://127.0.0.1:9/v1", "embedding_model": "m", "embedding_dimensions": 3}
    with serving(settings_of(folder, **other)) as client:
        said = refused(client.post(SEARCH, json={"question": "x"}), 409, "embedder_mismatch")
        assert "DATA_PIPELINE_VECTOR_STORE_URL" in said["response"]
    with serving(settings_of(folder)) as client:
        assert results(client, question="customers")


def test_flags_of_a_request_reach_its_run_and_no_other(client: TestClient) -> None:
    """Through the queue: the engine's arguments are ids, so they travel with the store."""
    task_id = loaded_task(client)
    other = new_task(client, "purchase")
    flags = {"truncate_vector_tables": True}
    answer = client.post(f"{API}/tasks/{other}/execute", json={"execution_mode": "complete", **flags}, headers=WAITING)
    load = data(answer)["result"]["artifacts"]["training_load"]
    skipped = client.post(f"{API}/tasks/{other}/execute", json={"skip_training": True}, headers=WAITING)
    again = data(execute(client, other))["result"]["artifacts"]["training_load"]

    assert load["vector_backup"]["item_count"] == 7
    assert {held["task_id"] for one in results(client, question="customer") for held in one["provenance"]} == {other}
    assert data(skipped)["result"]["artifacts"]["training_load"]["status"] == "skipped"
    assert (again["status"], again["vector_backup"]) == ("completed", None)
    assert "vectors" not in json.dumps(data(client.get(f"{API}/tasks/{task_id}"))["parameters"])


def test_flags_of_a_refused_request_are_forgotten(api: TestClient, folder: Path) -> None:
    """The run that there is keeps its own."""
    task_id = new_task(api)
    first = data(execute(api, task_id, wait_seconds=0))["execution_id"]
    refused(api.post(f"{API}/tasks/{task_id}/execute", json={"skip_training": True}), 409, "task_running")
    settings = settings_of(folder)
    with Store.open(settings.store_url) as store:
        assert store.run_options(first) == {}
        with store._database.reading() as connection:
            rows = connection.exec_driver_sql("SELECT count(*) FROM data_pipeline_run_options").scalar()
        assert rows == 0


def test_secrets_of_a_run_are_in_no_text(folder: Path) -> None:
    """Neither the store's password nor the key of the embeddings server."""
    settings = settings_of(
        folder,
        vector_store_url="postgresql://me:sesame@db/x",
        embedding_base_url="https://models.example/v1",
        embedding_model="m",
        embedding_dimensions=3,
        embedding_api_key="sesame",
    )
    with Store.open(settings.store_url) as store:
        task = store.create_task({"db_connection": "shop"}, local_time=datetime.now(UTC))
        parameters = run_parameters(settings, task)

    assert "sesame" not in f"{parameters!r} {parameters} {parameters.model_dump()} {parameters.of_task()}"
    assert "sesame" not in repr(parameters.vectors)
    assert parameters.source == "shop"


# ---- the command line -----------------------------------------------------------------------------------------------


def test_command_finds_what_was_loaded(shop: Shop) -> None:
    """For people and for programs."""
    task = shop.new_task()
    found = shop.answer("search", "customer table", "--kind", "ddl", "--limit", "1")
    said = shop.call(CLI, "search", "purchase", "--task", task.name).stdout

    assert [(one["kind"], one["provenance"][0]["file"]) for one in found] == [("ddl", "customer.ddl")]
    assert "ddl of sqlite:shop.sqlite" in said
    assert "create table purchase" in said
    assert shop.answer("search", "customer", "--database", "elsewhere") == []


@pytest.mark.parametrize(
    ("arguments", "problem", "code"),
    [
        (["x"], "Vector store not found. Run a task", 1),
        ([" "], "question: must not be empty", 1),
        (["x", "--task", "../x"], "task_id", 1),
        (["x", "--kind", "tables"], "--kind", 1),
        (["x", "--limit", "0"], "--limit", 2),
    ],
)
def test_command_says_what_is_wrong_and_makes_nothing(
    shop: Shop, arguments: list[str], problem: str, code: int
) -> None:
    """One sentence; no store appears."""
    done = shop.call(CLI, "search", *arguments)

    assert (done.returncode, problem in done.stderr) == (code, True), done.stderr
    assert not shop.home.exists()
