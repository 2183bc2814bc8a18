"""Processes that die in the middle of a transaction, or run as another user."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from journal import JournalError, inspect_directory, lock_directory
from tests.filesystems.sites import SCENARIOS, Place, run
from tests.power.rig import Call, CountingFilesystem
from tests.support.backup import back_up

PATIENCE_SECONDS = 60
NOBODY = 65534

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


class End(NamedTuple):
    """How a child ended: its exit code (None: it hung and was killed), and the text that it returned."""

    exit_code: int | None
    text: str


def call_in_child(function: Callable[..., str], *arguments: Any, patience_seconds: float = PATIENCE_SECONDS) -> End:
    """Call a function in a process of its own; it returns a text."""
    receiving, sending = _processes.Pipe(duplex=False)
    process = _processes.Process(target=_answer, args=(sending, function, *arguments))
    process.start()
    sending.close()
    process.join(patience_seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        return End(None, "")
    try:
        text = receiving.recv()
    except EOFError:
        text = ""
    return End(process.exitcode, text)


def _answer(sending: Connection, function: Callable[..., str], *arguments: Any) -> None:
    sending.send(function(*arguments))


def die_at(limit: int) -> Callable[[int, Call], None]:
    """Kill this process just before the changing call of that number."""

    def before_call(number: int, call: Call) -> None:
        if number == limit:
            os.kill(os.getpid(), signal.SIGKILL)

    return before_call


def run_and_die(place: Place, scenario: str, limit: int) -> str:
    """Run a scenario up to a changing call."""
    run(place, SCENARIOS[scenario], CountingFilesystem(die_at(limit)))
    return ""


def back_up_and_die(path: Path, limit: int) -> str:
    """Back a directory up to a changing call."""
    with lock_directory(path, label="victim", filesystem=CountingFilesystem(die_at(limit))) as locked:
        back_up(locked)
    return ""


def back_up_as_nobody(path: Path) -> str:
    """Back a directory up as a user who owns it and nothing else; return the refusal, or nothing."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    return back_up_or_refusal(path)


def back_up_or_refusal(path: Path) -> str:
    """Back a directory up; return the refusal, or nothing."""
    try:
        with lock_directory(path, label="backup", timeout_seconds=1) as locked:
            outcome = back_up(locked)
    except JournalError as error:
        return str(error)
    assert not outcome.failures, outcome.failures
    return ""


def inspect_or_refusal(path: Path) -> str:
    """Inspect a directory; return its condition or the refusal."""
    try:
        return str(inspect_directory(str(path)).condition)
    except JournalError as error:
        return str(error)
