"""Standard output and error of a command: a full disk, a closed pipe or an old encoding is no reason for a traceback.

A write that fails is remembered and the command goes on: what it does matters more than what it prints, and its exit
code must not depend on who reads along. `settled` says at the end what was lost.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, Final, TextIO

from data_pipeline.commands.exit_codes import ExitCode

_DEVICE_OF_CLOSED: Final[list[io.FileIO]] = []
"""Keeps the descriptors open that stand for closed standard streams."""


class _Output(io.FileIO):
    """A standard stream that never fails; `failure` is why the first write was lost, None where none was."""

    failure: OSError | None = None
    is_closed_by_caller: bool = False

    def write(self, data: Any) -> int:
        if self.is_closed_by_caller and self.failure is None:
            self.failure = OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes


def protect_standard_streams() -> None:
    """Make standard output and error fit to print on, whatever they are. Call it once, before anything is printed.

    Text that an encoding cannot express is escaped. A closed descriptor is opened on the null device, or the next file
    that this process opens would get its number, and what is printed.
    """
    closed = [number for number in (0, 1, 2) if not _is_open(number)]
    _DEVICE_OF_CLOSED.extend(io.FileIO(os.devnull, "r+") for _ in closed)  # the lowest free numbers: just these
    if os.name == "nt":  # a console takes text, not bytes: keep the interpreter's own stream
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return
    sys.stdout = _protected(1, sys.stdout, is_closed=1 in closed)
    sys.stderr = _protected(2, sys.stderr, is_closed=2 in closed)


def output_failure() -> OSError | None:
    """Return why something printed on standard output was lost, None where nothing was."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, _Output) else None


def settled(program: str, code: int) -> int:
    """Write what is still waiting to be written; return the exit code, changed where output was lost.

    A reader that went away, as `head` does, wanted no more: nothing was lost.
    """
    sys.stdout.flush()
    failure = output_failure()
    if failure is None or failure.errno == errno.EPIPE:
        return code
    print(
        f"{program}: standard output is incomplete: {failure.strerror}. Send it to a place that can hold it; "
        f"the command itself ended with exit code {int(code)}.",
        file=sys.stderr,
    )
    return code or ExitCode.BAD_INPUT


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _protected(number: int, stream: TextIO | None, *, is_closed: bool) -> TextIO:
    raw = _Output(number, "w", closefd=False)
    raw.is_closed_by_caller = is_closed
    is_terminal = raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=is_terminal or number == 2,
        write_through=bool(getattr(stream, "write_through", False)),
    )
