"""Run programs in forks of a Python that has imported what they need: `warm_server.py MODULE...`.

It reads orders from standard input and writes answers to standard output, one JSON object a line; `warm.WarmPython`
is the other side. A child runs the program as `python -c` would, except that the modules are already there and that the
interpreter is not taken apart at the end, which would cost as much as most programs. The server holds no connection and
has no thread. It imports nothing of this project by itself, so that any version of the project can be run by it.
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

PATIENCE_SECONDS = 60


def become(order: dict[str, Any], stdout: int) -> None:
    """Turn this child into the program, short of running it."""
    opened = (os.open(os.devnull, os.O_RDONLY), stdout, os.open(order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    for number, descriptor in enumerate(opened):
        os.dup2(descriptor, number)
        os.close(descriptor)
    for name, number in (("stdout", 1), ("stderr", 2)):
        setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - open to the end
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    sys.argv = ["-c", *order["arguments"]]
    signal.alarm(PATIENCE_SECONDS)  # a program that hangs dies of SIGALRM, and the answer names it


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


def watch(child: int, stdout: int, order: dict[str, Any]) -> dict[str, Any]:
    """Wait for the child, and kill it if that is the order; the answer."""
    with open(stdout, encoding="utf-8") as output:
        first = output.readline() if order["waits_for_line"] else ""
        if order["kill_after_seconds"] is not None:
            time.sleep(order["kill_after_seconds"])
            os.kill(child, signal.SIGKILL)  # not reaped yet, so the number is still its own
        rest = output.read()
    _, status = os.waitpid(child, 0)
    with open(order["stderr"], encoding="utf-8") as errors:
        return {"code": os.waitstatus_to_exitcode(status), "stdout": first + rest, "stderr": errors.read()}


def main() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    assert threading.active_count() == 1, "a thread would be missing in the children"
    gc.freeze()  # a child that collects garbage would copy every page
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            become(order, writing)
            os._exit(run(order["program"]))
        os.close(writing)
        print(json.dumps(watch(child, reading, order)), flush=True)


if __name__ == "__main__":
    main()
