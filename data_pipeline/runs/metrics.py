"""The metrics of the server for Prometheus; every process has its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from data_pipeline.config.retention import BackupKind
from data_pipeline.errors import DirectoryUnusable
from data_pipeline.runs.records import Ended, RunRecords
from data_pipeline.tasks.backup.report import BackupReport
from data_pipeline.tasks.results import RunResult, StepResult
from data_pipeline.vectors.backup_statistics import BackupStatistics

REQUEST_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
BACKUP_COUNT_SECONDS: Final = 60.0
"""Lifetime of a count of backups. Counting reads every backup directory, and Prometheus asks every 15 s."""


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._requests = Counter(
            "data_pipeline_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "data_pipeline_request_seconds", "How long answers took.", ["method", "route"],
            buckets=REQUEST_SECONDS, registry=registry,
        )  # fmt: skip
        self._runs = Counter("data_pipeline_runs", "Runs that ended.", ["status"], registry=registry)
        self._steps = Counter("data_pipeline_steps", "Steps that ended.", ["step", "status"], registry=registry)
        self._backups = Counter(
            "data_pipeline_backups", "Backups, by what became of them.", ["state"], registry=registry
        )
        self._moved = Counter("data_pipeline_backup_files_moved", "Files moved into backups.", registry=registry)
        self._failed = Counter("data_pipeline_backup_files_failed", "Files that could not be moved.", registry=registry)
        self._retries = Counter("data_pipeline_backup_retries", "Moves that were tried again.", registry=registry)
        self._recoveries = Counter(
            "data_pipeline_recoveries", "Task directories at the start, by how they were found.", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self._deleted = Counter(
            "data_pipeline_backups_deleted", "Backups deleted, of files or of vectors, by what asked for it.",
            ["kind", "cause"], registry=registry,
        )  # fmt: skip
        self._checksums = Counter(
            "data_pipeline_backup_checksums", "Checksum manifests of backups, by their outcome.", ["outcome"],
            registry=registry,
        )  # fmt: skip
        for outcome in ("recorded", "failed"):  # an alert on an increase needs the zero before it
            self._checksums.labels(outcome)
        self._active = Gauge("data_pipeline_runs_active", "Runs that this process works on.", registry=registry)

    def watch_active(self, count: Callable[[], int]) -> None:
        """Call `count` for the number of active runs whenever the metrics are read."""
        self._active.set_function(count)

    def watch_backups(self, count: Callable[[], BackupStatistics]) -> None:
        """Count the backups when the metrics are read and the last count is older than `BACKUP_COUNT_SECONDS`."""
        self.registry.register(_BackupCollector(count))

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request; `route` is the path with the names of its parameters, not with their values."""
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(method, route).observe(seconds)

    def recovered(self, counts: Mapping[str, int]) -> None:
        """Count the task directories at the start by their state."""
        for outcome, count in counts.items():
            self._recoveries.labels(outcome).inc(count)

    def backup(self, report: BackupReport) -> None:
        """Count the backup of a run by its outcome."""
        self._backups.labels(report.state).inc()
        self._moved.inc(report.moved_count)
        self._failed.inc(len(report.failed_files))
        self._retries.inc(report.statistics.retries)

    def backups_deleted(self, kind: BackupKind, cause: Literal["retention", "request"], count: int) -> None:
        """Count backups that a retention policy or a request deleted."""
        self._deleted.labels(kind, cause).inc(count)

    def checksums(self, outcome: Literal["recorded", "failed"]) -> None:
        """Count a manifest of checksums that was recorded, or could not be."""
        self._checksums.labels(outcome).inc()

    def step(self, step: str, status: str) -> None:
        """Count a step that ended."""
        self._steps.labels(step, status).inc()

    def run(self, status: str) -> None:
        """Count a run that ended."""
        self._runs.labels(status).inc()


class _BackupCollector(Collector):
    """Number, size and age of the backups on disk, by task and kind; a task without backups has no series."""

    def __init__(self, count: Callable[[], BackupStatistics]) -> None:
        self._count = count
        self._families: tuple[GaugeMetricFamily, ...] = ()
        self._good_until = 0.0

    def describe(self) -> list[GaugeMetricFamily]:
        """Return nothing, so that registration does not count."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the gauges. Two concurrent reads may count twice, which is harmless."""
        if time.monotonic() >= self._good_until:
            self._families = _backup_families(self._count)
            self._good_until = time.monotonic() + BACKUP_COUNT_SECONDS
        yield from self._families


def _backup_families(count: Callable[[], BackupStatistics]) -> tuple[GaugeMetricFamily, ...]:
    unreadable = GaugeMetricFamily("data_pipeline_backups_unreadable", "Directories whose backups were not counted.")
    try:
        statistics = count()
    except DirectoryUnusable:
        unreadable.add_metric([], 1)
        return (unreadable,)
    unreadable.add_metric([], len(statistics.unreadable))
    labels = ["task", "kind"]
    kept = GaugeMetricFamily("data_pipeline_backups_kept", "Backups on disk.", labels=labels)
    size = GaugeMetricFamily("data_pipeline_backups_bytes", "Size of the backups on disk.", labels=labels)
    oldest = GaugeMetricFamily("data_pipeline_backups_oldest_seconds", "Unix time of the oldest.", labels=labels)
    newest = GaugeMetricFamily("data_pipeline_backups_newest_seconds", "Unix time of the newest.", labels=labels)
    for task in statistics.tasks:
        for kind, counted in (("files", task.files), ("vectors", task.vectors)):
            series = [task.task_id or "", kind]
            if counted.backup_count:
                kept.add_metric(series, counted.backup_count)
                size.add_metric(series, counted.size_bytes)
            if counted.oldest_at is not None and counted.newest_at is not None:
                oldest.add_metric(series, counted.oldest_at.timestamp())
                newest.add_metric(series, counted.newest_at.timestamp())
    return unreadable, kept, size, oldest, newest


class CountedRecords(RunRecords):
    """Counts the records of a run and passes them on. `leave_backup` gets the name of the backup at the run's end."""

    def __init__(
        self, records: RunRecords, metrics: Metrics, leave_backup: Callable[[str], None] = lambda _: None
    ) -> None:
        self._records = records
        self._metrics = metrics
        self._leave_backup = leave_backup
        self._backup: str | None = None

    def locked(self) -> None:
        self._records.locked()

    def started(self) -> None:
        self._records.started()

    def backed_up(self, report: BackupReport) -> None:
        self._records.backed_up(report)
        self._metrics.backup(report)
        self._backup = report.made_backup

    def pruned(self, kind: BackupKind, deleted_count: int) -> None:
        self._records.pruned(kind, deleted_count)
        self._metrics.backups_deleted(kind, "retention", deleted_count)

    def step_started(self, step: str) -> None:
        self._records.step_started(step)

    def step_ended(self, step: str, *, error: str | None, result: StepResult | None) -> None:
        self._records.step_ended(step, error=error, result=result)
        self._metrics.step(step, "completed" if error is None else "failed")

    def ended(self, status: Ended, *, error: str | None, result: RunResult | None) -> None:
        self._records.ended(status, error=error, result=result)
        self._metrics.run(status)
        if self._backup is not None:
            self._leave_backup(self._backup)
