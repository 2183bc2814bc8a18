"""The envelope around every answer: `code`, `success`, `message`, `data` with `response` and `timestamp`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse


def success(
    request: Request,
    response: str,
    data: Mapping[str, Any],
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """An answer to what succeeded: the body's `code` is 200 whatever the status, as clients know it."""
    return _answer(request, 200, status, HTTPStatus.OK.phrase, {**data, "response": response}, headers)


def failure(
    request: Request,
    status: HTTPStatus,
    error_type: str,
    response: str,
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """An answer to what failed: the body's `code` is the status."""
    data = {"response": response, "error_type": error_type, **more}
    return _answer(request, status.value, status, status.phrase, data, headers)


def _answer(
    request: Request,
    code: int,
    status: HTTPStatus,
    message: str,
    data: Mapping[str, Any],
    headers: Mapping[str, str] | None,
) -> JSONResponse:
    body = {
        "code": code,
        "success": status < HTTPStatus.BAD_REQUEST,
        "message": message,
        "data": {**data, "timestamp": datetime.now(UTC).isoformat()},
    }
    return JSONResponse(_relative(body, request.app.state.hidden_prefix), status.value, headers)


def _relative(value: Any, prefix: str) -> Any:
    """A value whose texts name files below the folder of task directories, and not where on the server that is."""
    match value:
        case str():
            return value.replace(prefix, "")
        case dict():
            return {key: _relative(item, prefix) for key, item in value.items()}
        case list() | tuple():
            return [_relative(item, prefix) for item in value]
        case datetime():
            return value.isoformat()
    return value
