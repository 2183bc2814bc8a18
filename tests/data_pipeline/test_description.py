"""The description of the API against the live server: thousands of requests that it allows, or forbids."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
from fastapi.testclient import TestClient
from pydantic import BaseModel

from data_pipeline.service import description
from data_pipeline.service.answers import Envelope
from data_pipeline.service.task_answers import AdmittedRunAnswer, EndedRunAnswer, RunsAnswer, TaskAnswer
from data_pipeline.tasks.step_names import STEP_NAMES
from tests.crash.campaign import SEED
from tests.support.server import API, new_shop, running_server
from tests.support.service import execute, new_task

ROOT = Path(__file__).parents[2]
EXAMPLES = 20


def test_server_does_what_its_description_says_and_nothing_else(tmp_path: Path) -> None:
    """Every operation, every check: no 500, no undeclared answer, nothing accepted that should not be."""
    shop = new_shop(tmp_path / "shop")
    program = "from schemathesis.cli import schemathesis; schemathesis()"
    with running_server(shop) as server:
        server.new_task("customer")
        done = subprocess.run(
            [
                sys.executable, "-c", program, "--config-file", str(ROOT / "tests" / "schemathesis.toml"),
                "run", f"{server.url}/openapi.json", "--checks", "all", "--max-examples", str(EXAMPLES),
                "--seed", str(SEED), "--no-color",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )  # fmt: skip
        log = server.log.read_text()
    assert done.returncode == 0, f"CRASH_SEED={SEED}\n{done.stdout[-20_000:]}{done.stderr[-2_000:]}"
    assert "Traceback" not in log


# ---- its examples ---------------------------------------------------------------------------------------------------

STREAMS = {
    f"{API}/tasks/{{task_id}}/export",
    "/metrics",
    f"{API}/tasks/{{task_id}}/events",
    f"{API}/tasks/{{task_id}}/files/{{file_name}}",
    f"{API}/tasks/{{task_id}}/backups/{{backup}}/files/{{file_name}}",
    f"{API}/tasks/{{task_id}}/backups/{{backup}}/archive",
}
"""What answers no JSON."""


def real_answers(client: TestClient) -> dict[str, dict[str, Any]]:
    """One answer of every operation, by method and path."""
    task_id = new_task(client)
    for _ in range(2):
        execute(client, task_id)
    (backup,) = client.get(f"{API}/tasks/{task_id}/backups").json()["data"]["backups"]
    right = {"task_id": task_id, "backup": backup["name"], "file_name": "customer.ddl"}
    bodies: dict[str, dict[str, Any]] = {
        f"POST {API}/tasks": {"json": {"db_connection": "shop", "task_name": "nightly"}},
        f"DELETE {API}/tasks": {"json": {"task_ids": [task_id, "task_unknown"], "confirm": True}},
        f"POST {API}/tasks/{{task_id}}/table-list": {"json": {"tables": ["customer", "purchase"]}},
        f"POST {API}/tasks/{{task_id}}/upload-table-list": {"files": {"file": ("tables.txt", b"customer\n")}},
        f"POST {API}/tasks/{{task_id}}/files": {"files": {"file": ("customer.ddl", b"CREATE TABLE customer ();\n")}},
        "POST /api/v0/database/table/ddl": {"json": {"table": "customer", "type": "both"}},
        f"PATCH {API}/tasks/{{task_id}}": {"json": {"language": "zh", "pairs_per_table": 10}},
        f"POST {API}/backups/search": {"json": {"text": "CREATE TABLE"}},
        f"POST {API}/training_data/search": {"json": {"question": "customers", "limit": 1}},
        f"DELETE {API}/tasks/{{task_id}}/backups/{{backup}}": {"params": {"force": True, "dry_run": True}},
        f"PATCH {API}/tasks/{{task_id}}/backups/{{backup}}": {"json": {"note": "before the new price model"}},
        f"POST {API}/tasks/{{task_id}}/prune-backups": {"json": {"keep_last": 3, "dry_run": True}},
        f"POST {API}/tasks/{{task_id}}/backups/{{backup}}/restore": {"json": {"dry_run": True}},
        f"POST {API}/vector/backup": {"json": {"task_id": task_id}},
        f"POST {API}/vector/backups/{{timestamp}}/verify": {"params": {"task_id": task_id}},
        f"POST {API}/vector/prune-backups": {"json": {"task_id": task_id, "keep_last": 3, "dry_run": True}},
        f"DELETE {API}/vector/backups/{{timestamp}}": {"params": {"task_id": task_id, "force": True, "dry_run": True}},
        f"POST {API}/vector/restore": {"json": {"backup_path": f"{task_id}/vector_bak", "timestamp": "at its turn"}},
    }
    operations = [
        (method.upper(), path)
        for path, methods in client.get("/openapi.json").json()["paths"].items()
        for method in methods
        if path not in STREAMS
    ]
    cancelled = ("POST", f"{API}/tasks/{{task_id}}/cancel")
    last = [("POST", f"{API}/tasks/{{task_id}}/execute"), cancelled, ("DELETE", f"{API}/tasks")]
    found: dict[str, dict[str, Any]] = {}
    for method, path in [operation for operation in operations if operation not in last] + last:
        written = re.sub(r"{(\w+)}", lambda name: right[name[1]], path)
        arguments = bodies.get(f"{method} {path}", {"json": {}} if method == "POST" else {})
        if path.endswith("/vector/restore"):
            listed = found[f"GET {API}/vector/restore/list"]["data"]["backup_locations"]
            right["timestamp"] = arguments["json"]["timestamp"] = listed[0]["backups"][0]["timestamp"]
        if (method, path) == cancelled:
            answer = cancel_the_next(client, task_id)
        else:
            answer = client.request(method, written, **arguments)
        assert answer.status_code < 300, (method, path, answer.text)
        found[f"{method} {path}"] = answer.json()
    return found


def cancel_the_next(client: TestClient, task_id: str) -> Any:
    """The answer to a cancel that came in time; the run has ended."""
    while True:
        client.post(f"{API}/tasks/{task_id}/execute")
        answer = client.post(f"{API}/tasks/{task_id}/cancel")
        if answer.status_code != 409:
            break
    while client.get(f"{API}/tasks/{task_id}").json()["data"]["execution"]["status"] in ("queued", "running"):
        time.sleep(0.02)  # a task that still runs is not deleted
    return answer


def shape(value: Any) -> Any:
    """The names of the fields of an answer, without what they hold; one of a list stands for all."""
    match value:
        case dict():
            return {name: shape(item) for name, item in value.items()}
        case list() if value and isinstance(value[0], dict):
            return [shape(value[0])]
    return None


def test_example_of_every_answer_has_the_fields_of_a_real_one(client: TestClient) -> None:
    """Written anew from real answers with UPDATE_EXAMPLES=1."""
    real = real_answers(client)
    if os.environ.get("UPDATE_EXAMPLES"):
        text = json.dumps(real, ensure_ascii=False, indent=1) + "\n"
        Path(description.__file__).with_name("examples.json").write_text(text, encoding="utf-8")
    else:
        assert set(description.SUCCESSES) == set(real)
        for operation, answer in real.items():
            assert shape(description.SUCCESSES[operation]) == shape(answer), operation


def test_description_has_an_example_of_every_answer_and_of_every_request(client: TestClient) -> None:
    """Of refusals too; each is what its schema says."""
    described = client.get("/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                if status.startswith("2") and path in STREAMS:
                    continue
                content = answer["content"]["application/json"]
                schema = {**content["schema"], "components": described["components"]}
                assert jsonschema_rs.is_valid(schema, content["example"]), (method, path, status)
    for name, schema in described["components"]["schemas"].items():
        if name.endswith(("Request", "Run")):
            checked = {**schema, "components": described["components"]}
            assert jsonschema_rs.is_valid(checked, schema["example"]), name


# ---- the types of its answers ---------------------------------------------------------------------------------------

WITH_RESULTS: dict[tuple[str, str, str], type[Envelope]] = {
    (f"{API}/tasks/{{task_id}}", "get", "200"): TaskAnswer,
    (f"{API}/tasks/{{task_id}}", "patch", "200"): TaskAnswer,
    (f"{API}/tasks/{{task_id}}/executions", "get", "200"): RunsAnswer,
    (f"{API}/tasks/{{task_id}}/execute", "post", "200"): EndedRunAnswer,
    (f"{API}/tasks/{{task_id}}/execute", "post", "202"): AdmittedRunAnswer,
}
"""The answers about runs and their results, with their models."""


def free_forms(described: dict[str, Any], schema: dict[str, Any], place: str = "") -> Iterator[str]:
    """The places of objects without properties below a schema."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from free_forms(described, described["components"]["schemas"][name], f"{place}/{name}")
        return
    has_no_type = not schema.keys() & {"type", "anyOf", "enum", "const"}
    more = schema.get("additionalProperties")
    if has_no_type or (schema.get("type") == "object" and not schema.get("properties") and not isinstance(more, dict)):
        yield place
    for name, below in schema.get("properties", {}).items():
        yield from free_forms(described, below, f"{place}/{name}")
    for below in [*schema.get("anyOf", ()), *([more] if isinstance(more, dict) else ()), schema.get("items")]:
        if below is not None:
            yield from free_forms(described, below, place)


def unknown_fields(value: Any, place: str = "") -> Iterator[str]:
    """The places of fields that no model declares."""
    if isinstance(value, BaseModel):
        yield from (f"{place}/{name}" for name in value.model_extra or {})
        for name, item in value:
            yield from unknown_fields(item, f"{place}/{name}")
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from unknown_fields(item, place)


def test_results_are_described_by_types_and_not_as_free_objects(client: TestClient) -> None:
    """So that a generated client has the fields of each step's result."""
    described = client.get("/openapi.json").json()

    for path, method, status in WITH_RESULTS:
        schema = described["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
        assert list(free_forms(described, schema)) == []
    results = described["components"]["schemas"]["StepResults"]["properties"]
    assert {step: result["anyOf"][0]["$ref"].rpartition("/")[2] for step, result in results.items()} == {
        "ddl_generation": "DdlResult",
        "qa_generation": "PairsResult",
        "sql_validation": "ValidationResult",
        "training_load": "LoadResult",
    }
    assert tuple(results) == STEP_NAMES


def test_example_of_every_result_is_an_instance_of_its_model(client: TestClient) -> None:
    """Every field is known to the model, and none changes its value on the way through it."""
    described = client.get("/openapi.json").json()

    for (path, method, status), model in WITH_RESULTS.items():
        example = described["paths"][path][method]["responses"][status]["content"]["application/json"]["example"]
        parsed = model.model_validate(example)
        assert list(unknown_fields(parsed)) == [], (path, method, status)
        answered, result = parsed.model_dump(mode="json", exclude_unset=True)["data"], example["data"].get("result")
        assert answered.get("result") == result
        assert answered.get("execution", {}).get("backup") == example["data"].get("execution", {}).get("backup")


def test_real_results_are_instances_of_their_models(client: TestClient) -> None:
    """Of a run with skipped steps, of one step, of a step that failed."""
    for parameters, body in (
        ({"profile_tables": False}, {}),
        ({}, {"execution_mode": "step", "step_name": "ddl_generation"}),
        ({}, {"execution_mode": "step", "step_name": "sql_validation"}),
    ):
        task_id = new_task(client, **parameters)
        ended = client.post(f"{API}/tasks/{task_id}/execute", json=body, headers={"Prefer": "wait=60"})
        status, runs = client.get(f"{API}/tasks/{task_id}"), client.get(f"{API}/tasks/{task_id}/executions")
        for answer, model in ((ended, EndedRunAnswer), (status, TaskAnswer), (runs, RunsAnswer)):
            parsed = model.model_validate(answer.json())
            assert list(unknown_fields(parsed)) == []
            result = answer.json()["data"].get("result")
            assert parsed.model_dump(mode="json", exclude_unset=True)["data"].get("result") == result
