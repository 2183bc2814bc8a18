"""The language model over a real connection: answers, limits, failures, and what they mean for a run."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict
from tenacity import wait_none

from data_pipeline.config.model_endpoint import ModelEndpoint
from data_pipeline.config.settings import load_settings
from data_pipeline.database.schema import Column, Key, Table
from data_pipeline.errors import InvalidInput, ModelFailed
from data_pipeline.language_model import client as module
from data_pipeline.language_model.client import LanguageModel
from data_pipeline.steps.model_answers import TABLES_IN_PROMPT, relevant_tables
from data_pipeline.store import Store
from data_pipeline.tasks.table_list import TableName
from tests.support.model_server import ModelServer, Reply, model_server
from tests.support.server import API, data
from tests.support.service import execute, serving, settings_of

VALUES = {"dialect": "SQLite", "question": "q", "sql": "SELECT x", "error": "no x", "tables": "t"}


class Answer(BaseModel):
    """What these tests ask for."""

    model_config = ConfigDict(extra="forbid")

    sql: str


def endpoint(server: ModelServer, **limits: Any) -> ModelEndpoint:
    return ModelEndpoint(server.url, "test-model", **{"api_key": "s3cret", **limits})


def ask(model: LanguageModel, times: int = 1, **values: str) -> list[Answer | ModelFailed]:
    """Ask the same question several times at once, or as often as there are numbers in it."""

    async def once(number: int) -> Answer | ModelFailed:
        try:
            return await model.ask("repair_query", Answer, {**VALUES, "question": f"q {number}", **values})
        except ModelFailed as error:
            return error

    async def all_of_them() -> list[Answer | ModelFailed]:
        found = await asyncio.gather(*(once(number) for number in range(times)))
        await model.close()
        return list(found)

    return asyncio.run(all_of_them())


def in_turn(*replies: Reply) -> Callable[[dict[str, Any]], Reply]:
    """One after the other; the last again and again."""
    left = list(replies)
    return lambda body: left.pop(0) if len(left) > 1 else left[0]


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAIT", wait_none())


def test_answer_has_the_shape_that_was_asked_for() -> None:
    """With the schema in the request, the key in its header, and the tokens counted."""
    with model_server(in_turn({"sql": "SELECT 1"})) as server:
        model = LanguageModel(endpoint(server))
        (found,) = ask(model)

    assert found == Answer(sql="SELECT 1")
    assert server.keys == ["Bearer s3cret"]
    (request,) = server.requests
    assert request["response_format"]["json_schema"]["schema"]["required"] == ["sql"]
    assert (request["model"], request["temperature"]) == ("test-model", 0)
    assert "no x" in server.prompt()
    assert (model.usage.calls, model.usage.tokens) == (1, 110)


@pytest.mark.parametrize(("form", "sent"), [("json_object", {"type": "json_object"}), ("text", None)])
def test_older_servers_are_asked_in_their_way(form: Any, sent: Any) -> None:
    """The schema is in the words then; a code fence around the answer is taken off."""
    with model_server(in_turn('```json\n{"sql": "SELECT 1"}\n```')) as server:
        (found,) = ask(LanguageModel(endpoint(server, response_format=form)))

    assert found == Answer(sql="SELECT 1")
    assert server.requests[0].get("response_format") == sent
    assert '"required"' in server.requests[0]["messages"][0]["content"]


@pytest.mark.parametrize("failure", [429, 500, 503, (429, {"Retry-After": "0.01"})])
def test_busy_server_is_asked_again(failure: Reply) -> None:
    """A few times, with growing waits."""
    with model_server(in_turn(failure, failure, {"sql": "SELECT 1"})) as server:
        (found,) = ask(LanguageModel(endpoint(server)))

    assert found == Answer(sql="SELECT 1")
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("reply", "said", "requests"),
    [
        (401, "rejected the API key: see DATA_PIPELINE_LLM_API_KEY", 1),
        (404, "see DATA_PIPELINE_LLM_MODEL", 1),
        (503, "the server answered 503", module.ATTEMPTS),
    ],
)
def test_model_that_cannot_answer_is_not_asked_again(reply: Reply, said: str, requests: int) -> None:
    """A run of a thousand tables does not wait a thousand times; the key is in no message."""
    with model_server(in_turn(reply)) as server:
        model = LanguageModel(endpoint(server, calls_at_once=1))
        found = ask(model, 10)

    assert all(said in str(one) and "s3cret" not in str(one) for one in found)
    assert len(server.requests) == requests


def test_server_that_is_not_there_or_too_slow_is_told() -> None:
    """By the setting to look at."""
    with model_server(in_turn({"sql": "SELECT 1"})) as server:
        server.delay_seconds = 0.5
        (slow,) = ask(LanguageModel(endpoint(server, timeout_seconds=0.05)))
    (gone,) = ask(LanguageModel(endpoint(server)))

    assert "DATA_PIPELINE_LLM_TIMEOUT_SECONDS" in str(slow)
    assert "not reachable" in str(gone)


@pytest.mark.parametrize("bad", ["no JSON", {"other": 1}, '{"sql": 7}', "[]"])
def test_answer_of_another_shape_is_asked_for_once_more(bad: Reply) -> None:
    """With what is wrong about it; then it is no answer."""
    with model_server(in_turn(bad, {"sql": "SELECT 1"})) as server:
        (mended,) = ask(LanguageModel(endpoint(server)))
    with model_server(in_turn(bad)) as broken:
        (failed,) = ask(LanguageModel(endpoint(broken)))

    assert mended == Answer(sql="SELECT 1")
    assert "not what the schema asks for" in server.prompt()
    assert "does not match the JSON Schema" in str(failed)
    assert len(broken.requests) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Sign in</html>", b"[]", b"null", b"{}", b"no JSON", b'{"choices": 5}', b'{"choices": [{}]}',
        b'{"choices": [{"message": null}]}', b'{"choices": [{"message": {"content": 5}}]}',
    ],
)  # fmt: skip
def test_server_that_says_something_else_has_failed(body: bytes) -> None:
    """A page of a proxy, half a protocol: it is told like any failure, and stops no run."""
    with model_server(in_turn(body)) as server:
        (found,) = ask(LanguageModel(endpoint(server)))

    assert "not OpenAI-compatible: see DATA_PIPELINE_LLM_BASE_URL" in str(found)


def test_tokens_that_a_server_does_not_count_are_none() -> None:
    """Its answer is one all the same."""
    body = b'{"choices": [{"message": {"content": "{\\"sql\\": \\"SELECT 1\\"}"}}], "usage": {"prompt_tokens": null}}'
    with model_server(in_turn(body)) as server:
        model = LanguageModel(endpoint(server))
        (found,) = ask(model)

    assert found == Answer(sql="SELECT 1")
    assert (model.usage.calls, model.usage.tokens) == (1, 0)


def test_bad_request_for_one_question_does_not_stop_the_others() -> None:
    """It may be this question that is too long."""
    with model_server(in_turn(400, {"sql": "SELECT 1"})) as server:
        found = ask(LanguageModel(endpoint(server, calls_at_once=1)), 2)

    assert [isinstance(one, ModelFailed) for one in found] == [True, False]


def test_calls_and_tokens_have_their_limits() -> None:
    """So many at once, so many tokens a run."""
    with model_server(in_turn({"sql": "SELECT 1"})) as server:
        server.delay_seconds = 0.02
        model = LanguageModel(endpoint(server, calls_at_once=2, tokens_per_run=500))
        found = ask(model, 12)

    assert server.most_at_once == 2
    assert 5 <= len(server.requests) <= 6
    assert any("DATA_PIPELINE_LLM_TOKENS_PER_RUN" in str(one) for one in found)


def test_kept_answer_is_not_paid_again(tmp_path: Path) -> None:
    """By everything it depends on; in the store, so that the next run has it, too."""
    with (
        Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}") as store,
        model_server(in_turn({"sql": "SELECT 1"})) as server,
    ):
        first = ask(LanguageModel(endpoint(server), store), 3)
        again = LanguageModel(endpoint(server), store)
        second = ask(again, 3)
        ask(LanguageModel(endpoint(server), store), error="another")
        ask(LanguageModel(ModelEndpoint(server.url, "another"), store))

    assert first == second
    assert (again.usage.calls, again.usage.kept_answers) == (0, 3)
    assert len(server.requests) == 3 + 2


def test_only_the_nearest_tables_are_in_a_prompt() -> None:
    """Never all of a large database."""
    tables = [
        Table(
            TableName("main", f"thing_{number}"), "table", None, (Column("a", "int", is_nullable=True),), Key(None, ())
        )
        for number in range(500)
    ]
    orders = Table(
        TableName("main", "order_items"), "table", None, (Column("unitPrice", "int", is_nullable=True),), Key(None, ())
    )
    found = relevant_tables("What is the unit price of items?", [*tables, orders])

    assert found[0] is orders
    assert len(found) == TABLES_IN_PROMPT


# ---- in a run -------------------------------------------------------------------------------------------------------


def shop(folder: Path) -> None:
    connection = sqlite3.connect(folder / "model.sqlite")
    connection.executescript(
        "CREATE TABLE cust (id INTEGER PRIMARY KEY, nm TEXT, e_mail TEXT); -- people\n"
        "INSERT INTO cust VALUES (1, 'Ann Personal', 'ann@personal.example');"
        "CREATE TABLE told ( -- what is known\n id INTEGER PRIMARY KEY -- its number\n);"
    )
    connection.close()


def model_reply(body: dict[str, Any]) -> Reply:
    prompt = body["messages"][1]["content"]
    if "fails. Write one query" in prompt:
        return {"sql": "SELECT nm FROM cust ORDER BY id"}
    columns = re.search(r"for each of these columns \(at most 15\ncharacters where that says enough\): (.*)", prompt)
    assert columns is not None
    names = columns[1].split(", ")
    return {"table": "one customer\nof `us`", "columns": [{"name": name, "comment": f"the {name}"} for name in names]}


def test_run_asks_for_comments_once_and_marks_them(tmp_path: Path) -> None:
    """What the database says itself is not asked for; personal values are not sent; the second run pays nothing."""
    shop(tmp_path)
    with model_server(model_reply) as server:
        settings = settings_of(
            tmp_path,
            databases={"shop": f"sqlite:///{tmp_path / 'model.sqlite'}"},
            llm_base_url=server.url,
            llm_model="m",
            llm_api_key="s3cret",
        )
        with serving(settings) as client:
            task_id = data(client.post(f"{API}/tasks", json={}))["task_id"]
            data(client.post(f"{API}/tasks/{task_id}/table-list", json={"tables": ["cust", "told"]}))
            first = data(execute(client, task_id))["result"]["artifacts"]["ddl_generation"]
            second = data(execute(client, task_id))["result"]["artifacts"]["ddl_generation"]
        task = tmp_path / "home" / "training_data" / task_id
        files = {path.name: path.read_text() for path in task.iterdir() if path.is_file()}

    assert first["language_model"] == {
        "calls": 1, "kept_answers": 0, "prompt_tokens": 100, "completion_tokens": 10, "cost": None,
    }  # fmt: skip
    assert (second["language_model"]["calls"], second["language_model"]["kept_answers"]) == (0, 1)
    assert "## main.cust (one customer of \\`us\\`)" in files["cust_detail.md"]
    assert "- nm (TEXT) - the nm (by a model)" in files["cust_detail.md"]
    assert "  nm TEXT, -- the nm (by a model)" in files["cust.ddl"]
    assert "- id (INTEGER) - its number\n" in files["told_detail.md"].replace(" [examples: 1]", "")
    assert "ann@personal" not in json.dumps(server.requests)
    assert not any("s3cret" in text for text in files.values())


def test_run_goes_on_without_a_model_that_fails(tmp_path: Path) -> None:
    """The files are there, and the result says what is missing."""
    shop(tmp_path)
    with model_server(in_turn(401)) as server:
        settings = settings_of(
            tmp_path,
            databases={"shop": f"sqlite:///{tmp_path / 'model.sqlite'}"},
            llm_base_url=server.url,
            llm_model="m",
        )
        with serving(settings) as client:
            task_id = data(client.post(f"{API}/tasks", json={}))["task_id"]
            data(client.post(f"{API}/tasks/{task_id}/table-list", json={"tables": ["cust"]}))
            done = data(execute(client, task_id))

    assert done["status"] == "completed"
    assert "rejected the API key" in done["result"]["artifacts"]["ddl_generation"]["not_suggested"]["main.cust"]


def test_model_repairs_what_no_rule_mends(tmp_path: Path) -> None:
    """Its query passes the same gates; what does not pass is not taken. Switched off, it is not asked."""
    shop(tmp_path)
    pairs = json.dumps([{"question": "Names?", "sql": "SELECT whatever FROM nothing_like_it"}])
    with model_server(model_reply) as server:
        settings = settings_of(
            tmp_path,
            databases={"shop": f"sqlite:///{tmp_path / 'model.sqlite'}"},
            llm_base_url=server.url,
            llm_model="m",
        )
        with serving(settings) as client:
            results = []
            for options in ({}, {"enable_llm_repair": False}):
                task_id = data(client.post(f"{API}/tasks", json=options))["task_id"]
                data(client.post(f"{API}/tasks/{task_id}/table-list", json={"tables": ["cust"]}))
                data(client.post(f"{API}/tasks/{task_id}/files", files={"file": ("qs_a_pair.json", pairs)}))
                done = data(execute(client, task_id, execution_mode="step", step_name="sql_validation"))
                results.append(done["result"]["artifacts"]["sql_validation"])
            server.reply = in_turn({"sql": "DROP TABLE cust"})
            task_id = data(client.post(f"{API}/tasks", json={}))["task_id"]
            data(client.post(f"{API}/tasks/{task_id}/table-list", json={"tables": ["cust"]}))
            other = pairs.replace("Names?", "All names?")
            data(client.post(f"{API}/tasks/{task_id}/files", files={"file": ("qs_a_pair.json", other)}))
            done = data(execute(client, task_id, execution_mode="step", step_name="sql_validation"))
            results.append(done["result"]["artifacts"]["sql_validation"])

    assert [result["repair_stats"]["successful"] for result in results] == [1, 0, 0]
    assert [result["valid_sql_count"] for result in results] == [1, 0, 0]
    assert len(server.requests) == 2
    assert "table main.cust" not in server.prompt() or "cust" in server.prompt()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"LLM_BASE_URL": "https://models.example/v1"}, "must be set together"),
        ({"LLM_MODEL": "m"}, "must be set together"),
        ({"LLM_BASE_URL": "models.example", "LLM_MODEL": "m"}, "DATA_PIPELINE_LLM_BASE_URL"),
        ({"LLM_BASE_URL": "https://u:p@models.example/v1", "LLM_MODEL": "m"}, "DATA_PIPELINE_LLM_BASE_URL"),
        ({"LLM_RESPONSE_FORMAT": "xml"}, "DATA_PIPELINE_LLM_RESPONSE_FORMAT"),
    ],
)
def test_bad_setting_of_the_model_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, str], said: str
) -> None:
    """By name, before anything begins."""
    monkeypatch.chdir(tmp_path)
    for name, value in values.items():
        monkeypatch.setenv(f"DATA_PIPELINE_{name}", value)
    with pytest.raises(InvalidInput, match=said):
        load_settings()
