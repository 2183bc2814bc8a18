"""The envelope around every answer: `code`, `success`, `message`, `data` with `response` and `timestamp`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel


class Answer(BaseModel):
    """What every answer but a file, a stream and the server's own looks like."""

    code: int
    success: bool
    message: str
    data: dict[str, Any]


REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Answer, "description": text}
    for status, text in {
        400: "a value is wrong: `invalid_params` or `missing_params` in `data`",
        401: "the API key is missing or wrong",
        403: "the Host or Origin may not ask",
        404: "there is no such thing",
        409: "the task has a run that has not ended, or somebody holds its directory",
        411: "a body needs a Content-Length",
        413: "the body is too large",
        415: "a body is JSON or a multipart form",
        500: "the server could not do it",
        503: "a database does not answer; try again",
    }.items()
}
"""What may be refused, for the description of the API."""


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
