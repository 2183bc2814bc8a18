"""The real server as a process, for tests that watch it, kill it, or start two of it."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tests.support.shop import CLI, Shop
from tests.support.waiting import PATIENCE_SECONDS, wait_until

API = "/api/v0/data_pipeline"


class Server:
    """`data-pipeline serve` on a free port, in the folder of a shop; `client` asks it."""

    def __init__(self, shop: Shop, *arguments: str, words: list[str] | None = None, **environment: str) -> None:
        self.log = shop.folder / f"server_{time.monotonic_ns()}.log"
        shop_url = f"sqlite:///{shop.folder / 'shop.sqlite'}"
        environment = {"DATA_PIPELINE_DATABASES__SHOP": shop_url, **environment}
        self.log.touch()
        self.process = shop.start(words or CLI, "serve", "--port", "0", *arguments, output=self.log, **environment)
        self.url = ""
        self.client = httpx.Client(timeout=PATIENCE_SECONDS)

    def wait_until_up(self) -> Server:
        """Until it answers, and by then it has recovered what there was."""
        wait_until(self._is_up, self.log.read_text)
        return self

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        found = re.search(r"http://[\d.]+:\d+", self.log.read_text())
        if found:
            with contextlib.suppress(httpx.TransportError):
                if self.client.get(f"{found[0]}/health").json()["status"] == "ok":
                    self.url = found[0]
                    self.client.base_url = httpx.URL(self.url)
        return bool(self.url)

    def kill(self) -> None:
        """As a power loss does, but for the disk."""
        self.process.kill()
        self.process.wait(timeout=PATIENCE_SECONDS)

    def terminate(self) -> int:
        """Ask it to stop; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.kill()

    def new_task(self, *tables: str) -> str:
        """A task on the shop's database, with a table list; its id."""
        task_id: str = data(self.client.post(f"{API}/tasks", json={}))["task_id"]
        data(self.client.post(f"{API}/tasks/{task_id}/table-list", json={"tables": list(tables)}))
        return task_id

    def execute(self, task_id: str, *, wait_seconds: int = 0, **body: str) -> httpx.Response:
        headers = {"Prefer": f"wait={wait_seconds}"} if wait_seconds else {}
        return self.client.post(f"{API}/tasks/{task_id}/execute", json=body, headers=headers)

    def status(self, task_id: str) -> dict[str, Any]:
        return data(self.client.get(f"{API}/tasks/{task_id}"))

    def wait_until_ended(self, task_id: str) -> dict[str, Any]:
        """Until the task's newest run has ended; the task's status."""
        ended = ("completed", "failed", "cancelled")
        wait_until(
            lambda: self.status(task_id)["execution"]["status"] in ended,
            lambda: f"{self.status(task_id)}\n{self.log.read_text()}",
        )
        return self.status(task_id)


def data(response: httpx.Response) -> dict[str, Any]:
    """What a successful answer holds."""
    body = response.json()
    assert body["success"], body
    assert body["code"] == 200
    found: dict[str, Any] = body["data"]
    return found


@contextlib.contextmanager
def running_server(shop: Shop, *arguments: str, **options: Any) -> Iterator[Server]:
    """A server that is up, and killed afterwards."""
    server = Server(shop, *arguments, **options)
    try:
        yield server.wait_until_up()
    finally:
        server.close()


def new_shop(folder: Path, *, is_cold: bool = False) -> Shop:
    """Make a folder and a shop in it; a benchmark measures servers of a cold one, which have started by themselves."""
    folder.mkdir(parents=True, exist_ok=True)
    return Shop(folder, is_cold=is_cold)


SERVER_WITH_DISK = [
    sys.executable,
    "-c",
    """
import os, signal, sys, time
from journal import LocalFilesystem
from data_pipeline import cli
from data_pipeline.use_cases import foreground
from data_pipeline.use_cases import runs
from data_pipeline.service.routes import backups
from data_pipeline.tasks.workspace import Door

VERBS = {"make_directory", "remove_directory", "remove_tree", "link", "rename", "replace", "unlink",
         "create", "reserve", "fill", "copy", "write_at",
         "sync_file", "sync_directory"}
how, calls = sys.argv.pop(1), 0

class Disk(LocalFilesystem):
    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name not in VERBS:
            return found
        def call(*arguments, **named):
            global calls
            calls += 1
            if how.startswith("wait"):
                while not os.path.exists(os.environ["GO_FILE"]):
                    time.sleep(0.02)
            elif calls == int(how):
                os.kill(os.getpid(), signal.SIGKILL)
            return found(*arguments, **named)
        return call

disk = Disk()
runs.door = backups.door = lambda settings: Door(disk)
if how == "wait everywhere":
    foreground.door = runs.door
try:
    cli.main()
finally:
    print(calls, file=sys.stderr)
""",
]
"""`data-pipeline` whose runs have another disk: it dies at the n-th change (0: it counts), or it waits for a file.

With `wait everywhere` uploads have that disk, too."""
