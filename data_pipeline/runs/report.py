"""The progress of a run, and the result that it ends with. Opens nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from data_pipeline.config.retention import BackupKind
from data_pipeline.tasks.backup.pruning import PruneReport
from data_pipeline.tasks.backup.report import BackupReport
from data_pipeline.tasks.results import (
    Mode,
    PrunedBackups,
    PublishedResult,
    RunResult,
    RunStatistics,
    StepResult,
    WorkflowState,
)

WARNED_FAILURES: Final = 20
"""Maximum number of failures of a step among the warnings of the run; the step's result has all of them."""


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
    artifacts: dict[str, StepResult] = field(default_factory=dict)
    pruned: dict[BackupKind, PruneReport] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    has_unpublished: bool = False

    @property
    def is_complete_success(self) -> bool:
        """True if this is a complete run without an error."""
        return self.mode == "complete" and self.error is None

    def complete_step(self, step: str, artifact: PublishedResult) -> None:
        """Add the result of a step; its failures become warnings."""
        self.completed.append(step)
        self.artifacts[step] = artifact
        failures = list(artifact.failures.items())
        self.warnings += [f"{step}: {item}: {reason}" for item, reason in failures[:WARNED_FAILURES]]
        if len(failures) > WARNED_FAILURES:
            self.warnings.append(f"{step}: and {len(failures) - WARNED_FAILURES} more")

    def result(self, now: datetime) -> RunResult:
        """Return the result of the run."""
        return RunResult(
            success=self.error is None,
            task_id=self.task_id,
            run_id=self.run_id,
            execution_mode=self.mode,
            error=self.error,
            backup=self.backup,
            pruned=self._pruned("files"),
            vectors_pruned=self._pruned("vectors"),
            kept_files=tuple(self.kept),
            warnings=tuple(self.warnings),
            workflow_state=WorkflowState(
                start_time=self.started_at,
                end_time=now,
                current_step=self.current,
                completed_steps=tuple(self.completed),
                failed_steps=tuple(self.failed),
                unknown_steps=tuple(self.unknown),
                skipped_steps=tuple(self.skipped),
                artifacts=self.artifacts,
                statistics=RunStatistics(
                    steps_completed=len(self.completed),
                    files_published=sum(len(artifact.files) for artifact in self.artifacts.values()),
                ),
            ),
            artifacts=self.artifacts,
        )

    def _pruned(self, kind: BackupKind) -> PrunedBackups | None:
        report = self.pruned.get(kind)
        return None if report is None else PrunedBackups.model_validate(report.run_summary())
