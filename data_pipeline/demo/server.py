"""The real server in a separate process on a free port, and the requests that the demo sends to it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self

import httpx2 as httpx

from data_pipeline.errors import PipelineError
from data_pipeline.events import Event
from data_pipeline.tasks.workspace import create_private_file, read_file

API: Final = "/api/v0/data_pipeline"
START_SECONDS: Final = 60.0


class DemoFailed(PipelineError):
    """The demo's server did not start, a request failed, or a result differs from the demo's claim."""


class DemoServer:
    """`data-pipeline serve` in a folder with the log `server.log`; leaving the `with` block stops it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.log_path = os.path.join(folder, "server.log")
        self._client = httpx.Client(timeout=60)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()
        if self._process is not None and self._process.poll() is None:
            self.stop()

    @property
    def process_id(self) -> int:
        """Return the id of the server's process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it answers. Raises DemoFailed."""
        create_private_file(self.log_path)
        log_size = len(self._log())
        # Only the folder's data_pipeline.toml configures the demo.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DATA_PIPELINE_")}
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "data_pipeline", "serve", "--port", "0"],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            url = re.search(r"http://127\.0\.0\.1:\d+", self._log()[log_size:])
            if url and self._answers(url[0]):
                self.url = url[0]
                return
            time.sleep(0.05)
        if self._process.poll() is None:
            raise DemoFailed(f"The server timed out after {START_SECONDS:.0f} s. See its log {self.log_path}.")
        last = next(filter(None, map(str.strip, reversed(self._log()[log_size:].splitlines()))), "its log is empty")
        raise DemoFailed(f"The server did not start: {last.removesuffix('.')}. See its log {self.log_path}.")

    def kill(self) -> None:
        """Kill the server with SIGKILL, which it cannot handle."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Send SIGTERM and wait until the server has stopped."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=60)

    def request(self, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
        """Send a request and return the status and the `data` of the response. Raises DemoFailed on an error."""
        response = self._client.request(method, f"{self.url}{API}{path}", **options)
        body = response.json()
        if not body["success"]:
            raise DemoFailed(f"{method} {path}: {response.status_code} {body['data']['response']}")
        return response.status_code, body["data"]

    def health(self) -> dict[str, Any]:
        """Return the server's health."""
        health: dict[str, Any] = self._client.get(f"{self.url}/health").json()
        return health

    def events(self, task_id: str) -> Iterator[Event]:
        """Yield the events of a task's newest run until it ends."""
        with self._client.stream("GET", f"{self.url}{API}/tasks/{task_id}/events") as response:
            for line in response.iter_lines():
                if line.startswith("data: "):
                    content = json.loads(line.removeprefix("data: "))
                    yield Event(**{name: content[name] for name in Event.__slots__})

    def _answers(self, url: str) -> bool:
        try:
            return self._client.get(f"{url}/health").is_success
        except httpx.TransportError:
            return False

    def _log(self) -> str:
        return read_file(self.log_path).decode(errors="replace")
