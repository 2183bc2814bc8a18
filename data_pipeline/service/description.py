"""The description of the API (OpenAPI), without what FastAPI says of itself and is not so here."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI


def describe(app: FastAPI) -> None:
    """Give the application its description: bad values are 400 in the envelope, never the stock 422."""
    original = app.openapi

    def described() -> dict[str, Any]:
        description = original()
        for methods in description["paths"].values():
            for operation in methods.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            description.get("components", {}).get("schemas", {}).pop(name, None)
        return description

    app.openapi = described  # type: ignore[method-assign]
