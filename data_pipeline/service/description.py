"""The OpenAPI description, with an example of every response and without FastAPI's default 422."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

from fastapi import FastAPI

from data_pipeline.service.answers import Answer

SUCCESSES: Final[dict[str, dict[str, Any]]] = json.loads(
    files(__package__).joinpath("examples.json").read_text("utf-8")
)
"""A real response of each operation by method and path, written by tests/data_pipeline/test_description.py."""

_ANSWER: Final = {"$ref": f"#/components/schemas/{Answer.__name__}"}


def describe(app: FastAPI) -> None:
    """Replace the application's OpenAPI description: add examples, remove FastAPI's defaults that do not apply."""
    original = app.openapi

    def described() -> dict[str, Any]:
        description = original()
        for path, methods in description["paths"].items():
            for method, operation in methods.items():
                operation["responses"].pop("422", None)
                example = SUCCESSES.get(f"{method.upper()} {path}")
                if example is not None:
                    _add_example(operation["responses"], example, is_enveloped=path.startswith("/api"))
        for name in ("HTTPValidationError", "ValidationError"):
            description.get("components", {}).get("schemas", {}).pop(name, None)
        return description

    app.openapi = described  # type: ignore[method-assign]


def _add_example(responses: dict[str, Any], example: dict[str, Any], *, is_enveloped: bool) -> None:
    for status, response in responses.items():
        if status.startswith("2"):
            content = response["content"]["application/json"]
            content["example"] = example
            if is_enveloped and not content.get("schema"):  # a route may describe its own response
                content["schema"] = _ANSWER
