"""The only table of errors and their HTTP responses."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from data_pipeline.errors import (
    BackupDamaged,
    BackupProtected,
    DatabaseUnavailable,
    DeletionFailed,
    DirectoryUnusable,
    EmbedderMismatch,
    EmbeddingFailed,
    InvalidInput,
    ItemsMissing,
    ModelFailed,
    NotAllowed,
    NotFound,
    NotRunning,
    OutcomeUnsettled,
    PipelineError,
    PublishFailed,
    QueryFailed,
    QueryRefused,
    RecoveryNeeded,
    RestoreFailed,
    RunActive,
    StepFailed,
    StoreUnavailable,
    TaskBusy,
)
from data_pipeline.service.answers import failure

LOGGER = logging.getLogger("data_pipeline.service")
RETRY_SECONDS: Final = "1"

ANSWERS: Final[dict[type[PipelineError], HTTPStatus]] = {
    InvalidInput: HTTPStatus.BAD_REQUEST,
    NotAllowed: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    NotRunning: HTTPStatus.CONFLICT,
    RunActive: HTTPStatus.CONFLICT,
    TaskBusy: HTTPStatus.CONFLICT,
    DatabaseUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    DirectoryUnusable: HTTPStatus.INTERNAL_SERVER_ERROR,
    RecoveryNeeded: HTTPStatus.INTERNAL_SERVER_ERROR,
    OutcomeUnsettled: HTTPStatus.INTERNAL_SERVER_ERROR,
    RestoreFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
    PublishFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
    ModelFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    QueryRefused: HTTPStatus.BAD_REQUEST,
    QueryFailed: HTTPStatus.BAD_REQUEST,
    EmbeddingFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    EmbedderMismatch: HTTPStatus.CONFLICT,
    ItemsMissing: HTTPStatus.CONFLICT,
    BackupDamaged: HTTPStatus.CONFLICT,
    BackupProtected: HTTPStatus.CONFLICT,
    DeletionFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
    StepFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def add_error_answers(app: FastAPI) -> None:
    """Install handlers that turn every error into a response with the envelope."""
    app.add_exception_handler(PipelineError, _pipeline_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(SQLAlchemyError, _store_error)
    app.add_exception_handler(Exception, _defect)


def _pipeline_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PipelineError)
    status = ANSWERS[type(error)]
    more = error.details()
    headers = {"Retry-After": RETRY_SECONDS} if isinstance(error, RunActive | TaskBusy) else {}
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        LOGGER.error("%s %s: %s", request.method, request.url.path, error)
        more["can_retry"] = status == HTTPStatus.SERVICE_UNAVAILABLE
    return failure(request, status, error.error_type, str(error), headers=headers, **more)


def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults: Sequence[Any] = error.errors()
    missing = [_field(fault) for fault in faults if fault["type"] == "missing"]
    invalid: dict[str, list[str]] = {}
    for fault in faults:
        if fault["type"] != "missing":
            invalid.setdefault(_field(fault), []).append(_words(fault))
    parts = [f"missing: {', '.join(missing)}"] if missing else []
    parts += [f"{name}: {'; '.join(problems)}" for name, problems in invalid.items()]
    more: dict[str, Any] = {}
    if missing:
        more["missing_params"] = missing
    if invalid:
        more["invalid_params"] = invalid
    error_type = "missing_required_params" if missing and not invalid else "invalid_params"
    return failure(request, HTTPStatus.BAD_REQUEST, error_type, ". ".join(parts), **more)


def _words(fault: Any) -> str:
    """Describe the fault of a value."""
    if fault["type"] == "union_tag_invalid":
        return f"must be one of {fault['ctx']['expected_tags']}"
    return str(fault["msg"]).removeprefix("Value error, ")


def _field(fault: Any) -> str:
    """Return the client's name of a value: its location without body or query, and without the tag of a union."""
    if fault["type"].startswith("union_tag"):
        return "execution_mode"
    names = [str(part) for part in fault["loc"][1:] if part not in ("complete", "step")]
    return ".".join(names) or str(fault["loc"][0])


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    error_type = {404: "resource_not_found", 405: "method_not_allowed"}.get(status.value, "bad_request")
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
    return failure(request, status, error_type, str(error.detail), headers=headers)


def _methods(request: Request) -> list[str]:
    """Return every method of a path, because a path has several routes and each knows only its own method."""
    described = request.app.openapi()["paths"].get(request.url.path)
    if described is not None:
        return sorted(method.upper() for method in described)
    return [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] == Match.FULL for route in request.app.routes)
    ]


def _store_error(request: Request, error: Exception) -> Response:
    LOGGER.error("%s %s: the store does not answer (%s)", request.method, request.url.path, type(error).__name__)
    return failure(
        request,
        HTTPStatus.SERVICE_UNAVAILABLE,
        "store_error",
        "The task store does not answer. Try again.",
        can_retry=True,
        headers={"Retry-After": RETRY_SECONDS},
    )


def _defect(request: Request, error: Exception) -> Response:
    # The ASGI server logs the traceback.
    LOGGER.error("%s %s: a defect of this program (%s)", request.method, request.url.path, type(error).__name__)
    return failure(
        request,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        "Internal error: a defect of this program. The server's log has the details.",
        can_retry=False,
    )
