"""Send requests to OpenAI-compatible servers: POST with JSON. The kinds of errors follow from their remedies.

The texts of errors contain neither the key nor the request.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import httpx2 as httpx
from tenacity import RetryCallState
from tenacity.wait import wait_base

MAXIMUM_ANSWER_BYTES: Final = 64 * 1024 * 1024

ErrorKind = Literal["key", "unknown", "timeout", "unreachable", "refused", "busy", "too_large"]
"""`unknown`: the server does not know the model or the path. `refused`: it does not accept the request. `busy`: it
answers with 429 or a status from 500 on."""

_TRANSIENT: Final = frozenset({"timeout", "unreachable", "busy"})


class EndpointError(Exception):
    """A request failed. `status` is the HTTP status, `retry_after_seconds` the time that the server asks to wait."""

    def __init__(self, kind: ErrorKind, status: int | None = None, retry_after_seconds: float | None = None) -> None:
        super().__init__(kind if status is None else f"{kind} ({status})")
        self.kind: ErrorKind = kind
        self.status = status
        self.retry_after_seconds = retry_after_seconds

    @property
    def is_transient(self) -> bool:
        """True if the same request may succeed later."""
        return self.kind in _TRANSIENT

    def reason(self, settings: str) -> str:
        """Return the reason with the setting to correct; `settings` is the prefix of their names."""
        match self.kind:
            case "key":
                return f"the server rejected the API key: see {settings}_API_KEY"
            case "unknown":
                return f"the server does not have this model: see {settings}_MODEL and {settings}_BASE_URL"
            case "timeout":
                return f"the server timed out: see {settings}_TIMEOUT_SECONDS"
            case "unreachable":
                return f"the server is not reachable: see {settings}_BASE_URL"
            case "too_large":
                return "the answer of the server is too large"
            case "refused" | "busy":
                return f"the server answered {self.status}"


def is_transient(error: BaseException) -> bool:
    """Return whether the request that raised an error may succeed later."""
    return isinstance(error, EndpointError) and error.is_transient


class wait_as_asked(wait_base):  # noqa: N801 - named as tenacity's own
    """Wait as long as the server asks for, up to a limit, or as another strategy if it does not ask."""

    def __init__(self, otherwise: wait_base, limit_seconds: float) -> None:
        self._otherwise = otherwise
        self._limit_seconds = limit_seconds

    def __call__(self, retry_state: RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome is not None else None
        if isinstance(error, EndpointError) and error.retry_after_seconds is not None:
            return min(error.retry_after_seconds, self._limit_seconds)
        return float(self._otherwise(retry_state))


def options_of(base_url: str, api_key: str | None, timeout_seconds: float) -> dict[str, Any]:
    """Return the arguments of an HTTP client, of httpx's synchronous or asynchronous one, for a server."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return {"base_url": base_url.rstrip("/") + "/", "headers": headers, "timeout": timeout_seconds}


def post(client: httpx.Client, path: str, body: dict[str, Any]) -> bytes:
    """Send a request and return the bytes of its answer. Raises EndpointError."""
    try:
        with client.stream("POST", path, json=body) as response:
            _check(response)
            content = bytearray()
            for chunk in response.iter_bytes():
                _add(content, chunk)
            return bytes(content)
    except httpx.TimeoutException:
        raise EndpointError("timeout") from None
    except httpx.HTTPError:
        raise EndpointError("unreachable") from None


async def post_async(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> bytes:
    """Send a request and return the bytes of its answer. Raises EndpointError."""
    try:
        async with client.stream("POST", path, json=body) as response:
            _check(response)
            content = bytearray()
            async for chunk in response.aiter_bytes():
                _add(content, chunk)
            return bytes(content)
    except httpx.TimeoutException:
        raise EndpointError("timeout") from None
    except httpx.HTTPError:
        raise EndpointError("unreachable") from None


def _check(response: httpx.Response) -> None:
    status = response.status_code
    if 200 <= status < 300:
        return
    kinds: dict[int, ErrorKind] = {401: "key", 403: "key", 404: "unknown", 429: "busy"}
    kind = kinds.get(status, "busy" if status >= 500 else "refused")
    raise EndpointError(kind, status, _retry_after(response.headers.get("retry-after", "")))


def _add(content: bytearray, chunk: bytes) -> None:
    content += chunk
    if len(content) > MAXIMUM_ANSWER_BYTES:
        raise EndpointError("too_large")


def _retry_after(value: str) -> float | None:
    """Return the seconds of a Retry-After header. One with a date is not used: the server's clock may be wrong."""
    return float(value) if value.replace(".", "", 1).isdecimal() else None
