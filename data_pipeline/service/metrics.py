"""What the server counts, in the form of Prometheus; every process has its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from data_pipeline.api.simple_workflow import Ended, RunRecords
from data_pipeline.backup.create import made_backup

REQUEST_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The counters of one server."""

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
            "data_pipeline_backups_deleted", "Backups deleted, by what asked for it.", ["cause"], registry=registry
        )
        self._checksums = Counter(
            "data_pipeline_backup_checksums", "Checksum manifests of backups, by their outcome.", ["outcome"],
            registry=registry,
        )  # fmt: skip
        for outcome in ("recorded", "failed"):  # an alert on a failure needs the zero before it
            self._checksums.labels(outcome)
        self._active = Gauge("data_pipeline_runs_active", "Runs that this process works on.", registry=registry)

    def watch_active(self, count: Callable[[], int]) -> None:
        """Ask for the number of active runs whenever the metrics are read."""
        self._active.set_function(count)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is a path with the names of its parts, not with what they were."""
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(method, route).observe(seconds)

    def recovered(self, counts: Mapping[str, int]) -> None:
        """What the start found in the task directories."""
        for outcome, count in counts.items():
            self._recoveries.labels(outcome).inc(count)

    def backup(self, summary: Mapping[str, Any]) -> None:
        """A run's backup was made, or there was none to make."""
        self._backups.labels(summary["state"]).inc()
        self._moved.inc(summary["moved_count"])
        self._failed.inc(len(summary["failed_files"]))
        self._retries.inc(summary["statistics"]["retries"])

    def backups_deleted(self, cause: Literal["retention", "request"], count: int) -> None:
        """Backups were deleted: by a retention policy after a run, or by a request."""
        self._deleted.labels(cause).inc(count)

    def checksums(self, outcome: Literal["recorded", "failed"]) -> None:
        """Count a manifest of checksums that was recorded, or could not be."""
        self._checksums.labels(outcome).inc()

    def step(self, step: str, status: str) -> None:
        """A step ended."""
        self._steps.labels(step, status).inc()

    def run(self, status: str) -> None:
        """A run ended."""
        self._runs.labels(status).inc()


class CountedRecords:
    """The `RunRecords` of a run, counted on the way. `leave_backup` gets the name of its backup at the run's end."""

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

    def backed_up(self, summary: Mapping[str, Any]) -> None:
        self._records.backed_up(summary)
        self._metrics.backup(summary)
        self._backup = made_backup(summary)

    def pruned(self, deleted_count: int) -> None:
        self._records.pruned(deleted_count)
        self._metrics.backups_deleted("retention", deleted_count)

    def step_started(self, step: str) -> None:
        self._records.step_started(step)

    def step_ended(self, step: str, *, error: str | None, result: Mapping[str, Any] | None) -> None:
        self._records.step_ended(step, error=error, result=result)
        self._metrics.step(step, "completed" if error is None else "failed")

    def ended(self, status: Ended, *, error: str | None, result: Mapping[str, Any] | None) -> None:
        self._records.ended(status, error=error, result=result)
        self._metrics.run(status)
        if self._backup is not None:
            self._leave_backup(self._backup)
