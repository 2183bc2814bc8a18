"""Any history of runs, restores, prunes and deletions keeps exactly what the policies say, byte for byte."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.config.retention import NO_RULES, Candidate, RetentionPolicy
from data_pipeline.errors import BackupProtected
from data_pipeline.tasks.backup.catalogue import list_backups
from data_pipeline.tasks.backup.delete import delete_backups, plan_prune, prune
from data_pipeline.tasks.backup.restore import restore
from data_pipeline.tasks.workspace import Workspace, open_workspace
from tests.data_pipeline.test_retention import COUNTS, NOW, kept_by_reference
from tests.support.tasks import WritingStep, content_below, make_task, run_complete

POLICIES = st.builds(
    RetentionPolicy,
    keep_last=COUNTS,
    keep_within=st.none() | st.sampled_from(["1h", "36h", "3d", "60d"]),
    keep_daily=COUNTS,
    keep_weekly=COUNTS,
    keep_monthly=COUNTS,
    max_total_bytes=st.none() | st.integers(0, 40_000),
)
WAITS = st.sampled_from([timedelta(seconds=1), timedelta(hours=5), timedelta(days=1), timedelta(days=9)])
PLACES = st.integers(0, 9)
OPERATIONS = st.one_of(
    st.tuples(st.just("run"), WAITS, st.just(NO_RULES) | POLICIES, st.booleans()),
    st.tuples(st.just("run"), WAITS, st.just(NO_RULES), st.just(True)),
    st.tuples(st.just("restore"), WAITS, PLACES),
    st.tuples(st.just("prune"), POLICIES, st.booleans()),
    st.tuples(st.just("delete"), PLACES, st.booleans()),
    st.tuples(st.just("lose record"), PLACES),
)


class Known(NamedTuple):
    """A backup as the reference knows it."""

    made_at: datetime
    content: dict[str, str]
    has_record: bool = True


class History:
    """A task directory, and beside it what must be in it: the reference, which asks none of the code under test."""

    def __init__(self, path: Path) -> None:
        self.path = make_task(path)
        self.backups: dict[str, Known] = {}
        self.clock = datetime(2025, 1, 1, tzinfo=UTC)
        self._numbers = count()

    def now(self) -> datetime:
        """Return a time that is later at each call."""
        self.clock += timedelta(milliseconds=1)
        return self.clock.astimezone()

    def current(self) -> dict[str, str]:
        """Return the files that the next backup takes."""
        return {
            name: text for name, text in content_below(self.path).items() if "/" not in name and "table_" not in name
        }

    def newest(self) -> str:
        """Return the name of the newest backup."""
        return max(self.backups, key=lambda name: self.backups[name].made_at)

    def add_new(self, content: dict[str, str]) -> None:
        """Take in the backup that must have been made of these files; none where there were none."""
        new = {path.name for path in self.path.glob("file_bak_*")} - self.backups.keys()
        assert len(new) == bool(content)
        for name in new:
            record = json.loads((self.path / name / "backup_info.json").read_text())
            made_at = datetime.fromisoformat(record["backup_time_utc"])
            assert self.clock - timedelta(seconds=1) < made_at <= self.clock
            self.backups[name] = Known(made_at, content)

    def prune(self, policy: RetentionPolicy, *, is_forced: bool) -> None:
        """Keep what the reference of the pure decision keeps."""
        candidates = [
            Candidate(
                name,
                known.made_at.astimezone(),
                sum(len(text.encode()) for text in known.content.values()),
                None if known.has_record else "its record is missing",
            )
            for name, known in self.backups.items()
        ]
        kept = kept_by_reference(policy, candidates, is_forced=is_forced)
        self.backups = {name: known for name, known in self.backups.items() if name in kept}

    def check(self) -> None:
        """Every backup that must be there is, with every byte, and no other is."""
        found = {path.name: content_below(path) for path in self.path.glob("file_bak_*")}
        for content in found.values():
            content.pop("backup_info.json", None)
        assert found == {name: known.content for name, known in self.backups.items()}
        listed = [(backup.name, backup.made_at) for backup in list_backups(str(self.path))]
        assert listed == sorted(
            ((name, known.made_at) for name, known in self.backups.items()), key=lambda found: found[1], reverse=True
        )

    @contextmanager
    def locked(self) -> Iterator[Workspace]:
        """The task directory under its lock."""
        with open_workspace(str(self.path), self.path.name, label="test", timeout_seconds=0) as workspace:
            yield workspace

    # ---- operations: each does it, and says what must have come of it ------------------------------------------

    def run(self, wait: timedelta, policy: RetentionPolicy, succeeds: bool) -> None:
        """Make a complete run; only one that succeeds applies its policy."""
        self.clock += wait
        moved, number = self.current(), next(self._numbers)
        step = WritingStep({f"t{number % 3}.ddl": f"of run {number}"}, fails=None if succeeds else {"t": "broken"})
        result = run_complete(self.path, step, now=self.now, retention=policy)
        assert result["success"] == succeeds
        if policy == NO_RULES or not succeeds:
            self.add_new(moved)
            return
        deleted = set(result["pruned"]["deleted"])
        self.add_new(moved)
        self.prune(policy, is_forced=False)
        assert not deleted & self.backups.keys()

    def restore(self, wait: timedelta, place: int) -> None:
        """Bring a backup back; the current files go into a new one."""
        if not self.backups:
            return
        self.clock += wait
        name, moved = sorted(self.backups)[place % len(self.backups)], self.current()
        with self.locked() as workspace:
            restore(workspace, name, restore_id=f"restore_{next(self._numbers)}", now=self.now)
        self.add_new(moved)
        assert self.current() == self.backups[name].content

    def prune_now(self, policy: RetentionPolicy, is_forced: bool) -> None:
        """Prune, as the dry run has announced."""
        current = self.current()
        planned = plan_prune(str(self.path), policy, is_forced=is_forced, now=lambda: NOW)
        with self.locked() as workspace:
            report = prune(workspace, policy, is_forced=is_forced, now=lambda: NOW)
        before = set(self.backups)
        self.prune(policy, is_forced=is_forced)
        assert {backup.backup for backup in report.deleted} == before - self.backups.keys()
        assert [backup.backup for backup in planned.deleted] == [backup.backup for backup in report.deleted]
        assert self.current() == current

    def delete(self, place: int, is_forced: bool) -> None:
        """Delete by name: the newest one and one without a record by force alone."""
        if not self.backups:
            return
        name = sorted(self.backups)[place % len(self.backups)]
        with self.locked() as workspace:
            if not is_forced and (name == self.newest() or not self.backups[name].has_record):
                with pytest.raises(BackupProtected):
                    delete_backups(workspace, [name])
                return
            delete_backups(workspace, [name], is_forced=is_forced)
        del self.backups[name]

    def lose_record(self, place: int) -> None:
        """A person removes a record: the name alone tells the time, to the second."""
        if not self.backups:
            return
        name = sorted(self.backups)[place % len(self.backups)]
        (self.path / name / "backup_info.json").unlink(missing_ok=True)
        known = self.backups[name]
        self.backups[name] = known._replace(made_at=known.made_at.replace(microsecond=0), has_record=False)


@given(st.lists(OPERATIONS, min_size=1, max_size=12))
@settings(max_examples=30, deadline=None)
def test_any_history_keeps_what_the_policies_say(operations: list[tuple[str, ...]]) -> None:
    """Real runs, restores, prunes and deletions in a real directory; an independent reference decides what stays."""
    home = Path(tempfile.mkdtemp())
    try:
        history = History(home / "task_1")
        does = {
            "run": history.run,
            "restore": history.restore,
            "prune": history.prune_now,
            "delete": history.delete,
            "lose record": history.lose_record,
        }
        for operation, *arguments in operations:
            does[operation](*arguments)  # type: ignore[operator]
            history.check()
    finally:
        shutil.rmtree(home)
