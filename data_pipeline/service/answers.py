"""The envelope of every response: `code`, `success`, `message`, `data` with `response` and `timestamp`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel


class Envelope(BaseModel):
    """The fields of every answer except files, streams, `/health` and `/metrics`."""

    code: int
    success: bool
    message: str


class Answer(Envelope):
    """An answer whose data has no specific model."""

    data: dict[str, Any]


class AnswerData(BaseModel):
    """The fields of the data of every answer."""

    response: str
    timestamp: datetime


def _refusal(status: HTTPStatus, error_type: str, text: str, response: str, **more: Any) -> dict[str, Any]:
    data = {"response": response, "error_type": error_type, **more, "timestamp": "2026-01-21T01:44:00+00:00"}
    example = {"code": status.value, "success": False, "message": status.phrase, "data": data}
    return {"model": Answer, "description": text, "content": {"application/json": {"example": example}}}


_RUN_ID: Final = "run_20260121_094400_123456_1a2b3c4d"

REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    400: _refusal(
        HTTPStatus.BAD_REQUEST,
        "invalid_params",
        "A value is invalid or missing; `invalid_params` or `missing_params` in `data` names it.",
        "language: Input should be 'en' or 'zh'",
        invalid_params={"language": ["Input should be 'en' or 'zh'"]},
    ),
    401: _refusal(
        HTTPStatus.UNAUTHORIZED,
        "unauthorized",
        "The API key is missing or wrong.",
        "The API key is missing or wrong. Send it as `Authorization: Bearer ...`.",
    ),
    403: _refusal(
        HTTPStatus.FORBIDDEN,
        "forbidden_host",
        "The Host or Origin is not permitted, or the database is not permitted.",
        "The Host header must name this machine, because no API key is set.",
    ),
    404: _refusal(
        HTTPStatus.NOT_FOUND,
        "resource_not_found",
        "The resource was not found.",
        "Task 'task_20260121_094400' not found.",
    ),
    409: _refusal(
        HTTPStatus.CONFLICT,
        "task_running",
        "The task has an unfinished run, or another process holds its directory.",
        f"Task task_20260121_094400 has an unfinished run: {_RUN_ID}. Wait for it, or cancel it.",
        task_id="task_20260121_094400",
        execution_id=_RUN_ID,
    ),
    411: _refusal(
        HTTPStatus.LENGTH_REQUIRED,
        "length_required",
        "A request body without Content-Length.",
        "The Content-Length header is missing. Send it with the body.",
    ),
    413: _refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too_large",
        "The request body is too large.",
        "The request body must have at most 11534336 bytes.",
    ),
    415: _refusal(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "The request body is neither JSON nor a multipart form.",
        "Unsupported media type: expected application/json or multipart/form-data.",
    ),
    500: _refusal(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "directory_error",
        "The server failed to process the request.",
        "task_20260121_094400 cannot be read (Permission denied).",
        can_retry=False,
    ),
    503: _refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "store_error",
        "A database does not answer. Try again.",
        "The task store does not answer. Try again.",
        can_retry=True,
    ),
}
"""The error responses of the API, each with an example, for the OpenAPI description."""


def success(
    request: Request,
    response: str,
    data: Mapping[str, Any],
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the response to a successful request. For old clients, the body's `code` is 200 for every 2xx status."""
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
    """Return the response to a failed request; the body's `code` is the HTTP status."""
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
    """Remove the path of the folder of task directories from all strings, because clients must not see server paths."""
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
