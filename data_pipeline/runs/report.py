"""What has happened in a run so far, and the result that it ends with. Opens nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from data_pipeline.config.retention import BackupKind
from data_pipeline.tasks.backup.create import BackupReport
from data_pipeline.tasks.backup.pruning import PruneReport

Mode = Literal["complete", "step"]
Json = dict[str, Any]

WARNED_FAILURES: Final = 20
"""The most failures of a step that are warnings of the run; the step's result has all of them."""


@dataclass
class RunReport:
    """A run in progress. `artifacts` are the results of its steps; `kept` are files that a publication moved aside.

    `has_unpublished` is true while files in the work folder wait for a recovery to publish them.
    """

    task_id: str
    run_id: str
    mode: Mode
    started_at: datetime
    backup: BackupReport | None = None
    completed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    current: str | None = None
    artifacts: dict[str, Json] = field(default_factory=dict)
    pruned: dict[BackupKind, PruneReport] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    has_unpublished: bool = False

    @property
    def is_complete_success(self) -> bool:
        """True if this is a complete run without an error."""
        return self.mode == "complete" and self.error is None

    def complete_step(self, step: str, artifact: Json) -> None:
        """Add the result of a step; its failures become warnings."""
        self.completed.append(step)
        self.artifacts[step] = artifact
        failures = list(artifact["failures"].items())
        self.warnings += [f"{step}: {item}: {reason}" for item, reason in failures[:WARNED_FAILURES]]
        if len(failures) > WARNED_FAILURES:
            self.warnings.append(f"{step}: and {len(failures) - WARNED_FAILURES} more")

    def result(self, now: datetime) -> Json:
        """Return the result of the run, as task_result.json and answers have it."""
        files, vectors = self.pruned.get("files"), self.pruned.get("vectors")
        return {
            "success": self.error is None,
            "task_id": self.task_id,
            "run_id": self.run_id,
            "execution_mode": self.mode,
            "error": self.error,
            "backup": self.backup.summary() if self.backup else None,
            "pruned": files.run_summary() if files else None,
            "vectors_pruned": vectors.run_summary() if vectors else None,
            "kept_files": self.kept,
            "warnings": self.warnings,
            "workflow_state": {
                "start_time": self.started_at.isoformat(),
                "end_time": now.isoformat(),
                "current_step": self.current,
                "completed_steps": self.completed,
                "failed_steps": self.failed,
                "unknown_steps": self.unknown,
                "skipped_steps": self.skipped,
                "artifacts": self.artifacts,
                "statistics": {
                    "steps_completed": len(self.completed),
                    "files_published": sum(len(artifact["files"]) for artifact in self.artifacts.values()),
                },
            },
            "artifacts": self.artifacts,
        }
