"""Who may ask: an API key, or a local program that is no web page. Pure ASGI, before anything reads a body."""

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
"""What answers without a key: it says nothing about tasks."""

BODY_TYPES: Final = ("application/json", "multipart/form-data")
BODY_LIMIT_BYTES: Final = 11 * 1024 * 1024


def check_binding(host: str, api_key: str | None) -> None:
    """Refuse to listen beyond this machine without a key. Raises InvalidInput."""
    if not is_loopback(host) and not api_key:
        raise InvalidInput(
            "host", f"{host!a} can be reached from other machines: set DATA_PIPELINE_API_KEY, or bind to 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Gate:
    """Lets a request in, or answers it: the key, the Host and Origin, the type and the length of a body."""

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
                    request, HTTPStatus.FORBIDDEN, "forbidden_host", "The Host header must name this machine."
                )
        elif request.url.path not in OPEN_PATHS and not self._has_key(headers):
            return failure(
                request,
                HTTPStatus.UNAUTHORIZED,
                "unauthorized",
                "Send the API key as `Authorization: Bearer ...`.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host", ""):
            return failure(request, HTTPStatus.FORBIDDEN, "forbidden_origin", "Pages of other origins may not ask.")
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
        return failure(request, HTTPStatus.LENGTH_REQUIRED, "length_required", "Send a Content-Length.")
    if not length.isdecimal() or int(length) > BODY_LIMIT_BYTES:
        return failure(
            request,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too_large",
            f"A request has at most {BODY_LIMIT_BYTES} bytes.",
        )
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in BODY_TYPES:
        return failure(
            request,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            f"Send a body as {' or '.join(BODY_TYPES)}.",
        )
    return None


def _host_name(header: str) -> str | None:
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None
