"""Retention policies: which backups stay. An independent reading of restic's manual is the reference."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from data_pipeline.config.retention import Candidate, Duration, RetentionPolicy, decide

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
PERIODS: dict[str, Callable[[datetime], object]] = {
    "keep_last": lambda time: time,
    "keep_daily": lambda time: f"{time:%Y-%m-%d}",
    "keep_weekly": lambda time: f"{time:%G-%V}",
    "keep_monthly": lambda time: f"{time:%Y-%m}",
}


def kept_by_reference(policy: RetentionPolicy, candidates: list[Candidate], *, is_forced: bool) -> set[str]:
    """Decide by sets instead of counters: the newest of each of the last N periods, then the total from the oldest."""
    newest_first = sorted(candidates, key=lambda candidate: candidate.made_at, reverse=True)
    if not newest_first:
        return set()
    fixed = {candidate.name for candidate in newest_first if candidate.guard and not is_forced}
    fixed |= {newest_first[0].name} | {candidate.name for candidate in newest_first if candidate.lock}
    kept = set(fixed)
    rules = policy.model_dump(exclude_none=True)
    limit = rules.pop("max_total_bytes", None)
    if not rules:
        kept = {candidate.name for candidate in newest_first}
    for rule, value in rules.items():
        if rule == "keep_within":
            hours = int(value[:-1]) * {"d": 24, "h": 1}[value[-1]]
            past = [candidate.made_at for candidate in newest_first if candidate.made_at < NOW]
            since = max(past) - timedelta(hours=hours) if past else None
            kept |= {candidate.name for candidate in newest_first if since and candidate.made_at > since}
            continue
        periods = [next(group) for _, group in groupby(newest_first, key=lambda found: PERIODS[rule](found.made_at))]
        kept |= {candidate.name for candidate in periods[:value]}
        if len(periods) < value:  # there is room left: the oldest of all stays, too
            kept.add(newest_first[-1].name)
    for candidate in reversed(newest_first):
        total = sum(other.size_bytes for other in newest_first if other.name in kept)
        if limit is not None and total > limit and candidate.name not in fixed:
            kept.discard(candidate.name)
    return kept


COUNTS = st.none() | st.integers(1, 6)
POLICIES = st.builds(
    RetentionPolicy,
    keep_last=COUNTS,
    keep_within=st.none() | st.sampled_from(["1h", "36h", "3d", "60d"]),
    keep_daily=COUNTS,
    keep_weekly=COUNTS,
    keep_monthly=COUNTS,
    max_total_bytes=st.none() | st.integers(0, 2_000),
)
HOURS = st.lists(st.integers(-30, 24 * 120), max_size=40, unique=True)


@given(POLICIES, HOURS, st.data(), st.booleans())
def test_what_stays_is_what_the_reference_keeps(
    policy: RetentionPolicy, hours: list[int], data: st.DataObject, is_forced: bool
) -> None:
    """Any policy on any backups, also with guards, locks and times in the future."""
    candidates = [
        Candidate(
            str(hour),
            NOW - timedelta(hours=hour),
            data.draw(st.integers(0, 200)),
            data.draw(st.sampled_from([None, None, None, "it has failures"])),
            data.draw(st.sampled_from([None, None, None, None, "it is being restored"])),
        )
        for hour in hours
    ]

    verdicts = decide(policy, candidates, now=NOW, is_forced=is_forced)

    kept = {verdict.candidate.name for verdict in verdicts if verdict.is_kept}
    assert kept == kept_by_reference(policy, candidates, is_forced=is_forced)
    assert all(verdict.reasons for verdict in verdicts)
    assert len(verdicts) == len(candidates)


def days_ago(*days: int, size_bytes: int = 100) -> list[Candidate]:
    return [Candidate(f"{day}", NOW - timedelta(days=day), size_bytes) for day in days]


def test_every_verdict_has_its_reasons() -> None:
    """A person who looks at a dry run must see which rule keeps a backup."""
    verdicts = decide(RetentionPolicy(keep_last=1, keep_daily=2), days_ago(0, 1, 2, 3), now=NOW)

    assert [verdict.reasons for verdict in verdicts] == [
        ("last", "daily", "it is the newest backup"),
        ("daily",),
        ("no rule keeps it",),
        ("no rule keeps it",),
    ]


def test_oldest_backup_stays_while_a_count_is_not_used_up() -> None:
    """Restic does so, to keep the longest history."""
    verdicts = decide(RetentionPolicy(keep_monthly=4), days_ago(0, 1, 2, 3), now=NOW)

    assert [(verdict.is_kept, verdict.reasons[0]) for verdict in verdicts] == [
        (True, "monthly"), (False, "no rule keeps it"), (False, "no rule keeps it"), (True, "oldest monthly"),
    ]  # fmt: skip


def test_total_lets_the_oldest_go_first() -> None:
    """The limit counts what other rules keep, and never takes the newest."""
    verdicts = decide(RetentionPolicy(max_total_bytes=250), days_ago(3, 0, 1, 2), now=NOW)
    assert [verdict.is_kept for verdict in verdicts] == [True, True, False, False]

    (newest, *_) = decide(RetentionPolicy(max_total_bytes=0), days_ago(0, 1), now=NOW)
    assert newest.is_kept


def test_keep_within_counts_from_the_newest_backup_that_is_not_in_the_future() -> None:
    """A clock that was wrong once must not delete everything."""
    verdicts = decide(RetentionPolicy(keep_within="2d"), days_ago(-400, 10, 11, 12), now=NOW)

    assert [verdict.is_kept for verdict in verdicts] == [True, True, True, False]


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("1m", datetime(2026, 3, 3, tzinfo=UTC)),  # February 31
        ("1y", datetime(2025, 3, 31, tzinfo=UTC)),
        ("3m", datetime(2025, 12, 31, tzinfo=UTC)),
        ("1m2d3h", datetime(2026, 2, 28, 21, tzinfo=UTC)),
        ("9999y", datetime(1, 1, 3, tzinfo=UTC)),
    ],
)
def test_months_are_calendar_months(text: str, before: datetime) -> None:
    """A day that a month lacks runs into the next month, as in Go."""
    assert Duration.parse(text).before(datetime(2026, 3, 31, tzinfo=UTC)) == before


@pytest.mark.parametrize("text", ["", "d", "3", "-1d", "3 d", "1d1y", "1w", "\u0661d"])
def test_wrong_duration_is_refused(text: str) -> None:
    """Nothing is guessed where something would be deleted."""
    with pytest.raises(ValidationError, match="keep_within"):
        RetentionPolicy(keep_within=text)


@pytest.mark.parametrize("rule", ["keep_last", "keep_daily", "keep_weekly", "keep_monthly"])
def test_count_of_nothing_is_refused(rule: str) -> None:
    """Zero could mean "no rule" or "keep none"."""
    with pytest.raises(ValidationError, match=rule):
        RetentionPolicy.model_validate({rule: 0})


@pytest.mark.parametrize("rule", ["keep_last", "keep_daily", "keep_weekly", "keep_monthly", "max_total_bytes"])
def test_true_is_no_number_of_backups(rule: str) -> None:
    """JSON has both, and a request that confuses them would delete all backups but one."""
    with pytest.raises(ValidationError):
        RetentionPolicy.model_validate({rule: True})
