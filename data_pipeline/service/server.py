"""The server process: bind an address, log it, serve, and shut down gracefully."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
from typing import Final

import uvicorn

from data_pipeline.config.settings import Settings
from data_pipeline.errors import InvalidInput
from data_pipeline.service.app import Role, create_app, open_service
from data_pipeline.service.request_log import configure_logging
from data_pipeline.service.security import check_binding

GRACE_SECONDS: Final = 5
"""Seconds that running requests have to end after the server stops listening."""

SWITCH_SECONDS: Final = 0.001
"""Maximum time for which a computing thread keeps the interpreter from a request (Python's default: 0.005)."""

COLLECT_THRESHOLDS: Final = (10_000, 10, 50)
"""Thresholds of the garbage collector (Python's default: 700, 10, 10). A full collection stops requests for 0.2 s."""

LOGGER = logging.getLogger("data_pipeline.service")


def serve(settings: Settings, *, host: str, port: int, role: Role) -> None:
    """Serve until SIGTERM or SIGINT. With port 0, the system chooses a free port.

    Raises InvalidInput for an address that cannot be bound or would be open without a key, StoreUnavailable, OSError.
    """
    check_binding(host, settings.api_key.get_secret_value() if settings.api_key else None)
    configure_logging(settings.log_level, as_json=settings.log_json)
    with _bind(host, port) as listening, open_service(settings, role) as service:
        app = create_app(service, is_stopping=lambda: server.should_exit)
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_SECONDS)
        server = uvicorn.Server(config)
        address, bound = listening.getsockname()[:2]
        shown = f"[{address}]" if ":" in address else address
        LOGGER.info("Process %d, role %s, http://%s:%d, home %s", os.getpid(), role, shown, bound, settings.home_path)
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.freeze()  # objects of the start-up live as long as the process, so collections can skip them
        gc.set_threshold(*COLLECT_THRESHOLDS)
        signal.signal(signal.SIGTERM, _stopped_in_order)
        try:
            server.run(sockets=[listening])
        finally:  # Ctrl-C raises KeyboardInterrupt from run()
            LOGGER.info("Stopping; running work has %g s to end", settings.shutdown_seconds)
    LOGGER.info("Stopped")


def _stopped_in_order(number: int, frame: object) -> None:
    """Ignore the signal, because uvicorn raises it again after the shutdown, which would kill the process."""


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise InvalidInput(
            "host", f"{host}:{port} cannot be bound: {error.strerror}. Choose another --port."
        ) from error
    # Connections inherit it. asyncio sets it only on sockets that it creates, and without it a response would wait
    # 40 ms for an ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
