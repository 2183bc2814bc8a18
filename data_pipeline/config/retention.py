"""Decide which backups to keep and which to delete. Pure: reads no clock, no disk.

The `keep_…` rules have the meaning of restic's options (`restic forget --help`); a backup stays if any rule keeps it.
`max_total_bytes` is a limit on top: the oldest backups go until the rest fits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from data_pipeline.config.numbers import NO_BOOLEAN

_DURATION: Final = re.compile(r"(?:([0-9]{1,4})y)?(?:([0-9]{1,4})m)?(?:([0-9]{1,5})d)?(?:([0-9]{1,6})h)?")


class Duration(NamedTuple):
    """A span of calendar time, as restic writes it: `1y6m14d12h`."""

    years: int
    months: int
    days: int
    hours: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a text such as `14d` or `1y6m`. Raises ValueError."""
        match = _DURATION.fullmatch(text)
        if match is None or not text:
            raise ValueError("must be years, months, days and hours in this order, for example 14d or 1y6m")
        return cls(*(int(part or 0) for part in match.groups()))

    def before(self, time: datetime) -> datetime:
        """Return the time that lies this span before another one; a day that the month lacks runs into the next.

        So February 31 is March 3, as in Go's `AddDate`, which restic uses.
        """
        month = time.year * 12 + time.month - 1 - self.years * 12 - self.months
        try:
            first = time.replace(year=month // 12, month=month % 12 + 1, day=1)
            return first + timedelta(days=time.day - 1 - self.days, hours=-self.hours)
        except (ValueError, OverflowError):  # before year 1: everything is later
            return datetime.min.replace(tzinfo=time.tzinfo) + timedelta(days=2)


def _check_duration(text: str) -> str:
    Duration.parse(text)
    return text


Count = Annotated[int, Field(ge=1, le=1_000_000), NO_BOOLEAN]
DurationText = Annotated[str, Field(min_length=2, max_length=24), AfterValidator(_check_duration)]


class RetentionPolicy(BaseModel):
    """The rules of one kind of backup; without a rule everything is kept. The descriptions are help texts, too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep_last: Count | None = Field(default=None, description="Keep the newest N backups.")
    keep_within: DurationText | None = Field(
        default=None,
        description="Keep all backups made within this time before the newest one, for example 14d or 1y6m.",
        json_schema_extra={"pattern": r"^([0-9]{1,4}y)?([0-9]{1,4}m)?([0-9]{1,5}d)?([0-9]{1,6}h)?$", "example": "14d"},
    )
    keep_daily: Count | None = Field(
        default=None, description="Keep the newest backup of each of the last N days that have one."
    )
    keep_weekly: Count | None = Field(
        default=None, description="Keep the newest backup of each of the last N ISO weeks that have one."
    )
    keep_monthly: Count | None = Field(
        default=None, description="Keep the newest backup of each of the last N months that have one."
    )
    max_total_bytes: Annotated[int, Field(ge=0), NO_BOOLEAN] | None = Field(
        default=None, description="Delete the oldest backups until the rest has at most N bytes."
    )

    @property
    def is_empty(self) -> bool:
        """True if the policy has no rule."""
        return not self.model_dump(exclude_none=True)

    @property
    def has_keep_rule(self) -> bool:
        """True if a `keep_…` rule is given."""
        return bool(self.model_dump(exclude_none=True, exclude={"max_total_bytes"}))

    def __str__(self) -> str:
        """Return the rules in the order of their fields: `keep_last=3 keep_daily=7`."""
        return " ".join(f"{name}={value}" for name, value in self.model_dump(exclude_none=True).items())


NO_RULES: Final = RetentionPolicy()


BackupKind = Literal["files", "vectors"]
"""A backup of the files of a task, or of the vector store."""


class Candidate(NamedTuple):
    """A backup to judge. `made_at` is in the time zone whose days, weeks and months count.

    `guard` is why only a forced run may delete it, `lock` is why nothing may.
    """

    name: str
    made_at: datetime
    size_bytes: int
    guard: str | None = None
    lock: str | None = None


class Verdict(NamedTuple):
    """The decision about a backup, with its reasons."""

    candidate: Candidate
    is_kept: bool
    reasons: tuple[str, ...]


@dataclass
class _Bucket:
    """A rule that keeps the newest backup of each of the last `count` periods."""

    reason: str
    count: int
    period_of: Callable[[datetime, int], object]
    last: object = field(default_factory=object)  # equal to no period

    def keeps(self, made_at: datetime, number: int, *, is_oldest: bool) -> str | None:
        """Return the reason why this rule keeps a backup, None if it does not. Call it from the newest backup on.

        While the count is not used up, the oldest backup of all stays too: this keeps the longest history.
        """
        if self.count == 0:
            return None
        period = self.period_of(made_at, number)
        if period == self.last and not is_oldest:
            return None
        reason = f"oldest {self.reason}" if period == self.last else self.reason
        self.last = period
        self.count -= 1
        return reason


NEWEST: Final = "it is the newest backup"


def decide(
    policy: RetentionPolicy, candidates: Iterable[Candidate], *, now: datetime, is_forced: bool = False
) -> list[Verdict]:
    """Judge every backup, newest first. An empty policy keeps all.

    Backups with a `guard` or a `lock` use up places of the policy as all others do. `now` (aware) keeps a backup with a
    time in the future from being the one that `keep_within` starts from.
    """
    ordered = sorted(candidates, key=lambda candidate: candidate.made_at, reverse=True)
    reasons = _reasons_to_keep(policy, ordered, now)
    for number, candidate in enumerate(ordered):
        if number == 0:
            reasons[number].append(NEWEST)
        if candidate.lock is not None:
            reasons[number].append(candidate.lock)
        if candidate.guard is not None and not is_forced:
            reasons[number].append(candidate.guard)
    verdicts = [
        Verdict(candidate, bool(found), tuple(found) or ("no rule keeps it",))
        for candidate, found in zip(ordered, reasons, strict=True)
    ]
    return _fit(policy, verdicts, is_forced=is_forced)


def _reasons_to_keep(policy: RetentionPolicy, ordered: Sequence[Candidate], now: datetime) -> list[list[str]]:
    if not policy.has_keep_rule:
        reason = "no rule is set" if policy.is_empty else "no rule deletes it"
        return [[reason] for _ in ordered]
    since = None
    if policy.keep_within is not None:
        latest = next((candidate.made_at for candidate in ordered if candidate.made_at < now), None)
        since = Duration.parse(policy.keep_within).before(latest) if latest is not None else None
    buckets = [
        _Bucket("last", policy.keep_last or 0, lambda _, number: number),
        _Bucket("daily", policy.keep_daily or 0, lambda time, _: time.date()),
        _Bucket("weekly", policy.keep_weekly or 0, lambda time, _: time.isocalendar()[:2]),
        _Bucket("monthly", policy.keep_monthly or 0, lambda time, _: (time.year, time.month)),
    ]
    reasons: list[list[str]] = []
    for number, candidate in enumerate(ordered):
        is_oldest = number == len(ordered) - 1
        found = [f"within {policy.keep_within}"] if since is not None and candidate.made_at > since else []
        kept_by = [bucket.keeps(candidate.made_at, number, is_oldest=is_oldest) for bucket in buckets]
        reasons.append(found + [reason for reason in kept_by if reason is not None])
    return reasons


def _fit(policy: RetentionPolicy, verdicts: list[Verdict], *, is_forced: bool) -> list[Verdict]:
    """Delete the oldest of the kept backups until the rest fits into `max_total_bytes`."""
    if policy.max_total_bytes is None:
        return verdicts
    total = sum(verdict.candidate.size_bytes for verdict in verdicts if verdict.is_kept)
    fitted = list(verdicts)
    for number in range(len(verdicts) - 1, 0, -1):  # the newest, at 0, always stays
        candidate, is_kept, _ = verdicts[number]
        is_fixed = candidate.lock is not None or (candidate.guard is not None and not is_forced)
        if total > policy.max_total_bytes and is_kept and not is_fixed:
            fitted[number] = Verdict(
                candidate, is_kept=False, reasons=(f"the total exceeds {policy.max_total_bytes:,} bytes",)
            )
            total -= candidate.size_bytes
    return fitted
