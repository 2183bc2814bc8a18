"""Parse the log of a task, also one that an older system wrote. Opens nothing.

2025-01-21 09:44:00,123 [INFO] TaskDir_task_20250121_094400: message
2025-01-21 09:44:00,123 [INFO] [data_pipeline.qa] generator.py:12 - message      the form of older systems
    a line that is indented, or has no time, is a part of the message before it
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
LogColumn = Literal["timestamp", "level", "logger", "step", "line_number"]

_LINE: Final = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:[,.](?P<fraction>\d{1,6}))? \[(?P<level>[A-Z]+)\] "
    r"(?:\[(?P<module>[^\]]+)\] (?P<place>\S+:\d+) - |(?P<logger>\S+): )?(?P<message>.*)"
)


@dataclass(frozen=True)
class LogEntry:
    """A message of the log, with local time without a zone. `step` is the step that was running."""

    line_number: int
    timestamp: datetime
    level: str
    logger: str
    message: str
    step: str | None


def parse_log(lines: Iterable[str]) -> list[LogEntry]:
    """Parse all entries, in order. Lines before the first entry are ignored."""
    entries: list[LogEntry] = []
    step: str | None = None
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line.rstrip("\n"))
        if match is None:
            if entries:
                entries[-1] = replace(entries[-1], message=f"{entries[-1].message}\n{line.strip()}")
            continue
        message = match["message"]
        begin = re.match(r"Step (\w+) begins", message)
        if begin:
            step = begin[1]
        elif re.match(r"Run \S+ begins", message):
            step = None
        entries.append(
            LogEntry(number, _time(match), match["level"], match["module"] or match["logger"] or "", message, step)
        )
        if re.match(r"Step \w+ (completed|ended|failed)|Run \S+ ends", message):
            step = None
    return entries


@dataclass(frozen=True)
class LogQuery:
    """A filter of entries and their order. None is no filter."""

    level: str | None = None
    begin: datetime | None = None
    end: datetime | None = None
    keyword: str | None = None
    logger: str | None = None
    step: str | None = None
    sort_by: LogColumn = "timestamp"
    is_descending: bool = True


def select_entries(entries: Iterable[LogEntry], wanted: LogQuery) -> list[LogEntry]:
    """Return the matching entries, sorted; equal ones in the order of the log."""
    matching = [entry for entry in entries if _matches(entry, wanted)]

    def key(entry: LogEntry) -> tuple[Any, int]:
        if wanted.sort_by == "level":
            return LEVELS.index(entry.level) if entry.level in LEVELS else -1, entry.line_number
        return getattr(entry, wanted.sort_by) or "", entry.line_number

    return sorted(matching, key=key, reverse=wanted.is_descending)


def _matches(entry: LogEntry, wanted: LogQuery) -> bool:
    return (
        (wanted.level is None or entry.level == wanted.level)
        and (wanted.begin is None or entry.timestamp >= wanted.begin)
        and (wanted.end is None or entry.timestamp <= wanted.end)
        and (wanted.keyword is None or wanted.keyword.lower() in entry.message.lower())
        and (wanted.logger is None or wanted.logger.lower() in entry.logger.lower())
        and (wanted.step is None or entry.step == wanted.step)
    )


def _time(match: re.Match[str]) -> datetime:
    microseconds = int((match["fraction"] or "0").ljust(6, "0"))
    return datetime.fromisoformat(match["time"]).replace(microsecond=microseconds)
