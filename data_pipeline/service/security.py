"""Access control: an API key, or a local program that is not a web page. Pure ASGI, to run before the body is read."""

from __future__ import annotations

import hmac
import ipaddress
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from data_pipeline.errors import InvalidInput
from data_pipeline.service.answers import failure

OPEN_PATHS: Final = frozenset({"/health"})
"""Paths that need no key, because their responses contain nothing about tasks."""

BODY_TYPES: Final = ("application/json", "multipart/form-data")
BODY_LIMIT_BYTES: Final = 11 * 1024 * 1024


def check_binding(host: str, api_key: str | None) -> None:
    """Reject a non-loopback address without an API key. Raises InvalidInput."""
    if not is_loopback(host) and not api_key:
        raise InvalidInput(
            "host", f"{host!a} can be reached from other machines: set DATA_PIPELINE_API_KEY, or bind to 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Return True if a host name or address is a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Gate:
    """Middleware that checks the key, the Host and Origin, and the type and length of the body of a request."""

    def __init__(self, app: ASGIApp, api_key: str | None) -> None:
        self._app = app
        self._api_key = None if api_key is None else api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refusal = self._refusal(request)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        headers = request.headers
        if self._api_key is None:
            host = _host_name(headers.get("host", ""))
            if host is None or not is_loopback(host):
                return failure(
                    request,
                    HTTPStatus.FORBIDDEN,
                    "forbidden_host",
                    "The Host header must name this machine, because no API key is set.",
                )
        elif request.url.path not in OPEN_PATHS and not self._has_key(headers):
            return failure(
                request,
                HTTPStatus.UNAUTHORIZED,
                "unauthorized",
                "The API key is missing or wrong. Send it as `Authorization: Bearer ...`.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host", ""):
            return failure(
                request, HTTPStatus.FORBIDDEN, "forbidden_origin", "Requests from pages of other origins are forbidden."
            )
        return _body_refusal(request)

    def _has_key(self, headers: Headers) -> bool:
        assert self._api_key is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._api_key)


def _body_refusal(request: Request) -> Response | None:
    length = request.headers.get("content-length")
    has_body = "transfer-encoding" in request.headers or (length is not None and length != "0")
    if not has_body:
        return None
    if length is None:
        return failure(
            request,
            HTTPStatus.LENGTH_REQUIRED,
            "length_required",
            "The Content-Length header is missing. Send it with the body.",
        )
    if not length.isdecimal() or int(length) > BODY_LIMIT_BYTES:
        return failure(
            request,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too_large",
            f"The request body must have at most {BODY_LIMIT_BYTES} bytes.",
        )
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in BODY_TYPES:
        return failure(
            request,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            f"Unsupported media type: expected {' or '.join(BODY_TYPES)}.",
        )
    return None


def _host_name(header: str) -> str | None:
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None
