"""Standard output and error of a command, without a traceback for a full disk, a closed pipe or an old encoding.

If a write fails, the error is remembered and the command continues, because its work matters more than its output,
and its exit code must not depend on the reader. At the end, `settled` reports lost output.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, Final, TextIO

from data_pipeline.commands.exit_codes import ExitCode

_DEVICE_OF_CLOSED: Final[list[io.FileIO]] = []
"""Keeps the descriptors open that replace closed standard streams."""


class _Output(io.FileIO):
    """A standard stream whose writes never raise; `failure` is the error of the first lost write, or None."""

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
    """Replace standard output and error by streams that never fail. Call it once, before any output.

    Characters that the encoding lacks are escaped. A closed descriptor is opened on the null device, because otherwise
    the next file that this process opens would get its number, and the output would be written into that file.
    """
    closed = [number for number in (0, 1, 2) if not _is_open(number)]
    # Each open returns the lowest free number, so exactly these are filled.
    _DEVICE_OF_CLOSED.extend(io.FileIO(os.devnull, "r+") for _ in closed)
    if os.name == "nt":  # a Windows console accepts text, not bytes, so keep the interpreter's stream
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return
    sys.stdout = _protected(1, sys.stdout, is_closed=1 in closed)
    sys.stderr = _protected(2, sys.stderr, is_closed=2 in closed)


def output_failure() -> OSError | None:
    """Return the error that lost output on standard output, None if nothing was lost."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, _Output) else None


def settled(program: str, code: int) -> int:
    """Flush standard output and return the exit code, which changes if output was lost.

    A reader that closed the pipe, such as `head`, needs no more output, so nothing is lost.
    """
    sys.stdout.flush()
    failure = output_failure()
    if failure is None or failure.errno == errno.EPIPE:
        return code
    print(
        f"{program}: standard output is incomplete: {failure.strerror}. The command itself ended with exit code "
        f"{int(code)}. Redirect the output to a place with enough space.",
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
