"""The server's log on standard error: lines of text or JSON, and one line per request."""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from data_pipeline.runs.metrics import Metrics
from data_pipeline.tasks.workspace import printable

LOGGER = logging.getLogger("data_pipeline.requests")
QUIET_PATH = "/health"
"""The path that load balancers request every few seconds; its successful responses are logged at level `debug`."""

STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "taskName"}


class JsonLines(logging.Formatter):
    """Format each record as one line with a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in record.__dict__.items() if name not in STANDARD},
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class PlainLines(logging.Formatter):
    """Format time, level and message; line breaks in a message cannot forge an entry."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        task_id = getattr(record, "task_id", None)
        if task_id is not None:
            text = text.replace("] ", f"] {task_id}: ", 1)
        return printable(text).replace("\r", "\\r").replace("\n", "\n    ")


def configure_logging(level: str, *, as_json: bool) -> None:
    """Send the log of the pipeline and of the server to standard error."""
    handler = logging.StreamHandler()
    handler.setLevel(level.upper())
    handler.setFormatter(JsonLines() if as_json else PlainLines("%(asctime)s [%(levelname)s] %(message)s"))
    for name in ("data_pipeline", "uvicorn.error", "dbos"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
    logging.getLogger("data_pipeline").setLevel(level.upper())
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # its message about the start would repeat ours


class RequestLines:
    """Middleware that logs and counts every request: method, path without the query, status, milliseconds, client."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - started
            milliseconds = round(seconds * 1000, 1)
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.request(scope["method"] if route != "none" else "any", route, status, seconds)
            client = (scope.get("client") or ("?",))[0]
            path = ascii(scope["path"])[1:-1]
            values = {"method": scope["method"], "path": path, "status": status, "milliseconds": milliseconds}
            LOGGER.log(
                logging.DEBUG if path == QUIET_PATH and status == HTTPStatus.OK else logging.INFO,
                "%s %s %d %.1f ms %s",
                scope["method"],
                path,
                status,
                milliseconds,
                client,
                extra={**values, "client": client},
            )
