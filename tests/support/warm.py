"""Programs as processes without the second that their imports take: forks of a process that has imported them."""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.waiting import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).parents[2]
SERVER = Path(__file__).with_name("warm_server.py")
PIPELINE = (
    "data_pipeline.cli",
    *(f"data_pipeline.commands.{name}" for name in ("backups", "doctor", "qa", "running", "tasks", "vectors")),
    "data_pipeline.service.server",
    "data_pipeline.use_cases.foreground",
    "data_pipeline.tasks.backup.archive",
    "data_pipeline.tasks.backup.restore",
    "data_pipeline.tasks.backup.search",
    "data_pipeline.vectors.backup.restore",
    "data_pipeline.vectors.store.opening",
)
"""The modules that the command line imports when a command needs them; together they import nearly all others."""


class WarmProcess:
    """A program that runs in a fork of a warm process: the part of `subprocess.Popen` that tests need."""

    def __init__(self, warm: WarmPython, process_id: int) -> None:
        self._warm = warm
        self.pid = process_id
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, None while the program runs."""
        if self.returncode is None:
            self.returncode = self._warm.answer(kind="poll", process_id=self.pid)["code"]
        return self.returncode

    def wait(self, timeout: float = PATIENCE_SECONDS) -> int:
        """Wait for the end of the program and return its exit code."""
        wait_until(lambda: self.poll() is not None, lambda: f"process {self.pid} has not ended", timeout)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Signal the program unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)  # not reaped yet, so the number is still its own

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class WarmPython:
    """Run programs as `python -c` would, each in a fork of one process that has imported the modules.

    Tests need hundreds of processes that really die; each is one, with its own id, memory and open files. The forking
    process is single-threaded and holds no connection, so nothing but imported modules and the seed of string hashes
    crosses the fork. It is not measured for coverage, because a killed process writes no measurements.

    Use it as a context manager, which ends the process. Threads may share it; `run` answers one after another.
    """

    def __init__(self, *modules: str, python: str = sys.executable, flags: Sequence[str] = ("-P",)) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="warm")
        self._turn = threading.Lock()
        self._process = subprocess.Popen(
            [python, *flags, str(SERVER), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={**inherited(), "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process and what it has started."""
        self._process.communicate()  # the end of its input is its end
        self._scratch.cleanup()

    def run(
        self,
        program: str,
        *arguments: str,
        folder: str | Path = ROOT,
        environment: Mapping[str, str] | None = None,
        kill_after_seconds: float | None = None,
        waits_for_line: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, or kill it with -9 after some seconds; then its exit code is -9.

        `environment` is added to the environment of this process. With `waits_for_line` the seconds are counted from
        the first line that the program prints.
        """
        answer = self.answer(
            kind="run",
            program=program,
            arguments=arguments,
            folder=str(folder),
            environment={**inherited(), **(environment or {})},
            stderr=os.path.join(self._scratch.name, "stderr"),
            waits_for_line=waits_for_line,
            kill_after_seconds=kill_after_seconds,
        )
        return subprocess.CompletedProcess(
            ["python", "-c", program, *arguments], answer["code"], answer["stdout"], answer["stderr"]
        )

    def start(
        self, program: str, *arguments: str, folder: Path, environment: Mapping[str, str], output: Path
    ) -> WarmProcess:
        """Start a program whose output and errors are appended to a file, and return without waiting for it."""
        answer = self.answer(
            kind="start",
            program=program,
            arguments=arguments,
            folder=str(folder),
            environment={**inherited(), **environment},
            output=str(output),
        )
        return WarmProcess(self, answer["process_id"])

    def answer(self, **order: Any) -> dict[str, Any]:
        """Send an order to the process and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        assert line, "the warm process ended; its standard error has the reason"
        answer: dict[str, Any] = json.loads(line)
        return answer


@functools.cache
def warm_pipeline() -> WarmPython:
    """Return the process of this test process that has imported the command line; it ends with the test process."""
    warm = WarmPython(*PIPELINE)
    atexit.register(warm.close)
    return warm


def inherited() -> dict[str, str]:
    """The environment of this process without the settings of the product and the wish to measure coverage."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("DATA_PIPELINE_", "COVERAGE_"))}
