"""Write `data_pipeline.log` in a task directory. It is opened only after the backup has moved the old one.

    2025-01-21 09:44:00,123 [INFO] TaskDir_task_20250121_094400: message

The further lines of a message are indented, so that no name of a file can look like a line of the log.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from data_pipeline.tasks import task_directory
from data_pipeline.tasks.workspace import printable

LOGGER = logging.getLogger("data_pipeline.run")
"""The logger of all runs, for the handlers of the process: the standard error of a server, a terminal."""


class TaskLog(logging.Logger):
    """The logger of a run. `problem` is the reason why its file is incomplete, None if it is complete."""

    problem: str | None = None


class _OneRecord(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record)).replace("\r", "\\r").replace("\n", "\n    ")


class _FileLines(logging.StreamHandler[TextIO]):
    def __init__(self, stream: TextIO, log: TaskLog) -> None:
        super().__init__(stream)
        self._log = log

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - the name that logging calls
        self._log.problem = f"{task_directory.LOG} is incomplete: {sys.exception()}"


@contextlib.contextmanager
def open_task_log(path: str, task_id: str, *, unsettled: str | None = None) -> Iterator[TaskLog]:
    """Append to the log in the task directory at `path`, for one run. If it cannot be opened, log without it.

    `unsettled` is the reason why no file may be written into the directory, None if files may be. Recovery could move
    another file to the name of the log, or this name may still be that of a file in the backup.
    """
    log = TaskLog(LOGGER.name, logging.DEBUG)
    log.addFilter(functools.partial(_name_task, task_id))
    log.parent = LOGGER
    if unsettled is not None:
        log.problem = f"{task_directory.LOG} is not written: {unsettled}"
        yield log
        return
    try:
        stream = open(  # noqa: SIM115 - closed below, where a full disk is reported
            os.path.join(path, task_directory.LOG), "a", encoding="utf-8", errors="backslashreplace", opener=_open_here
        )
    except OSError as error:
        log.problem = f"{task_directory.LOG} cannot be written: {error.strerror}"
        log.warning("%s", log.problem)
        yield log
        return
    lines = _FileLines(stream, log)
    lines.setFormatter(_OneRecord(f"%(asctime)s [%(levelname)s] TaskDir_{task_id}: %(message)s"))
    log.addHandler(lines)
    try:
        yield log
    finally:
        log.removeHandler(lines)
        try:
            stream.close()
        except OSError as error:  # the rest did not fit on the disk
            log.problem = f"{task_directory.LOG} is incomplete: {error.strerror}"


def _name_task(task_id: str, record: logging.LogRecord) -> bool:
    """Add the task to a record, for the log of a server, which has the runs of many tasks."""
    record.task_id = task_id
    return True


def _open_here(path: str, flags: int) -> int:
    # Not through a link, which would append to a file elsewhere.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)
