"""A real pgbouncer before the PostgreSQL of the tests: it lends a session of the server for one transaction."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

PORT = 6432
"""A part of the name of its socket, which has a folder of its own."""


@contextlib.contextmanager
def transaction_pooler(url: str) -> Iterator[str]:
    """The URL of the same database through pgbouncer with one session for all clients. Skips where it is missing."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        pytest.skip("needs the program pgbouncer")
    parsed = make_url(url)
    server = str(parsed.query["host"])
    owner = os.stat(server).st_uid  # as root, pgbouncer refuses to run; only the owner reaches the server's socket
    folder = tempfile.mkdtemp(prefix="pb", dir="/tmp" if os.path.isdir("/tmp") else None)  # a socket's path is short
    try:
        configuration = os.path.join(folder, "pgbouncer.ini")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(
                f"[databases]\n* = host={server} user={parsed.username}\n"
                "[pgbouncer]\npool_mode = transaction\ndefault_pool_size = 1\nauth_type = any\n"
                f"listen_addr =\nlisten_port = {PORT}\nunix_socket_dir = {folder}\n"
                "log_connections = 0\nlog_disconnections = 0\nlog_stats = 0\n"
            )
        os.chown(folder, owner, -1)
        os.chmod(configuration, 0o644)
        with subprocess.Popen(
            [program, configuration], stderr=subprocess.PIPE, text=True, user=owner if os.getuid() == 0 else None
        ) as process:
            try:
                assert process.stderr is not None
                said: list[str] = []
                while not said or "process up" not in said[-1]:
                    said.append(process.stderr.readline())
                    assert said[-1], "".join(said)  # it ended
                there = {**parsed.query, "host": folder}
                yield parsed.set(port=PORT, query=there).render_as_string(hide_password=False)
            finally:
                process.terminate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
