"""The description of the API (OpenAPI), with an example of every answer and without FastAPI's 422."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

from fastapi import FastAPI

from data_pipeline.service.answers import Answer

SUCCESSES: Final[dict[str, dict[str, Any]]] = json.loads(
    files(__package__).joinpath("examples.json").read_text("utf-8")
)
"""A real answer of each operation by method and path, written by tests/data_pipeline/test_description.py."""

_TASK: Final = "/api/v0/data_pipeline/tasks/{task_id}"
_ANSWER: Final = {"$ref": f"#/components/schemas/{Answer.__name__}"}


def describe(app: FastAPI) -> None:
    """Give the application its description, without the parts of FastAPI's that do not apply here."""
    original = app.openapi

    def described() -> dict[str, Any]:
        description = original()
        for path, methods in description["paths"].items():
            for method, operation in methods.items():
                operation["responses"].pop("422", None)
                example = SUCCESSES.get(f"{method.upper()} {path}")
                if example is not None:
                    _add_example(operation["responses"], example, is_enveloped=path.startswith("/api"))
        executed = description["paths"].get(f"{_TASK}/execute")
        if executed is not None:
            executed["post"]["responses"]["200"]["content"]["application/json"]["example"] = _ended_run()
        for name in ("HTTPValidationError", "ValidationError"):
            description.get("components", {}).get("schemas", {}).pop(name, None)
        return description

    app.openapi = described  # type: ignore[method-assign]


def _add_example(responses: dict[str, Any], example: dict[str, Any], *, is_enveloped: bool) -> None:
    for status, response in responses.items():
        if status.startswith("2"):
            content = response["content"]["application/json"]
            content["example"] = example
            if is_enveloped and not content.get("schema"):  # other routes declare the model of their answer
                content["schema"] = _ANSWER


def _ended_run() -> dict[str, Any]:
    """Return the example of an answer that waited for the end of a run: the run of the task in another example."""
    answer = SUCCESSES[f"GET {_TASK}"]
    task = answer["data"]
    run = {"task_id": task["task_id"], "step_name": None, **task["execution"], "result": task["result"]}
    return {**answer, "data": {**run, "response": "The run is completed.", "timestamp": task["timestamp"]}}
