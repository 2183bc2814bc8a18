"""Run programs in forks of a Python that has imported what they need: `warm_server.py MODULE...`.

It reads orders from standard input and writes answers to standard output, one JSON object a line; `warm.WarmPython` is
the client. An order is `run`, which is answered when the program has ended, `start`, which is answered with a process
id, or `poll`, which is answered with the exit code of a started program or with null. A child runs the program as
`python -c` would, except that the modules are already imported and that the interpreter is not torn down at the end,
which would cost as much as most programs. The server holds no connection and has no thread. It imports nothing of this
project by itself, so that it can run any version of the project. It kills the started programs when its input ends.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import Any

PATIENCE_SECONDS = 300
"""A program that hangs so long dies of SIGALRM, and its exit code names the signal."""


def become(order: dict[str, Any], stdout: int, stderr: int) -> None:
    """Turn this child into the program, short of running it."""
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), stdout, stderr)):
        os.dup2(descriptor, number)
    os.closerange(3, max(stdout, stderr) + 1)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open to the end
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    # As in a new interpreter: by line, so that a killed program has printed what it had to say.
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    sys.argv = ["-c", *order["arguments"]]


def run(program: str) -> int:
    """Run the program and end its threads as the interpreter does; the exit code."""
    try:
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
        code: Any = 0
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - whatever it is, it ends the program, and the interpreter prints it
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code or 0


def fork(order: dict[str, Any], stdout: int, stderr: int) -> int:
    """Run the program in a child, which gets the two descriptors; return its process id."""
    child = os.fork()
    if child == 0:
        become(order, stdout, stderr)
        signal.alarm(PATIENCE_SECONDS if order["kind"] == "run" else 0)
        os._exit(run(order["program"]))
    os.close(stdout)
    os.close(stderr)
    return child


def answer_run(order: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end of the program, or kill it if the order says so; return its exit code and its output."""
    reading, writing = os.pipe()
    child = fork(order, writing, os.open(order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    with open(reading, encoding="utf-8") as output:
        first = output.readline() if order["waits_for_line"] else ""
        if order["kill_after_seconds"] is not None:
            time.sleep(order["kill_after_seconds"])
            os.kill(child, signal.SIGKILL)  # not reaped yet, so the number is still its own
        rest = output.read()
    _, status = os.waitpid(child, 0)
    with open(order["stderr"], encoding="utf-8") as errors:
        return {"code": os.waitstatus_to_exitcode(status), "stdout": first + rest, "stderr": errors.read()}


def answer_start(order: dict[str, Any], running: set[int]) -> dict[str, Any]:
    """Start a program whose output goes to the end of a file; return its process id."""
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    child = fork(order, output, os.dup(output))
    running.add(child)
    return {"process_id": child}


def answer_poll(order: dict[str, Any], running: set[int]) -> dict[str, Any]:
    """Return the exit code of a started program, None while it runs."""
    child, status = os.waitpid(order["process_id"], os.WNOHANG)
    running.discard(child)
    return {"code": os.waitstatus_to_exitcode(status) if child else None}


def main() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    assert threading.active_count() == 1, "a thread would be missing in the children"
    gc.freeze()  # a child that collects garbage would copy every page
    running: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        if order["kind"] == "run":
            answer = answer_run(order)
        else:
            answer = (answer_start if order["kind"] == "start" else answer_poll)(order, running)
        print(json.dumps(answer), flush=True)
    for child in running:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
