"""Runs the application: binds, tells where, stops in order."""

from __future__ import annotations

import logging
import os
import socket

import uvicorn

from data_pipeline.errors import InvalidInput
from data_pipeline.service.app import Role, create_app
from data_pipeline.service.request_log import configure_logging
from data_pipeline.service.security import check_binding
from data_pipeline.settings import Settings

LOGGER = logging.getLogger("data_pipeline.service")


def serve(settings: Settings, *, host: str, port: int, role: Role) -> bool:
    """Serve until SIGTERM or SIGINT; False where the server could not start. Port 0 takes a free one.

    Raises InvalidInput for an address that cannot be bound, or that would be open to everyone.
    """
    check_binding(host, settings.api_key.get_secret_value() if settings.api_key else None)
    configure_logging(settings.log_level, as_json=settings.log_json)
    listening = _bind(host, port)
    server: uvicorn.Server | None = None
    app = create_app(settings, role=role, is_stopping=lambda: server is not None and server.should_exit)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    address, bound = listening.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    LOGGER.info("Process %d, role %s, http://%s:%d, home %s", os.getpid(), role, shown, bound, settings.home_path)
    server.run(sockets=[listening])
    return server.started


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise InvalidInput(
            "host", f"{host}:{port} cannot be bound: {error.strerror}. Choose another --port."
        ) from error
