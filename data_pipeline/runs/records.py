"""The records of a run besides its files: its states in the task store, or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from data_pipeline.config.retention import BackupKind
from data_pipeline.store import Execution, Store
from data_pipeline.tasks.backup.report import BackupReport
from data_pipeline.tasks.results import RunResult, StepResult

Ended = Literal["completed", "failed", "cancelled"]


class RunRecords:
    """The records of a run; these record nothing, for the script, whose runs belong to no task of the store."""

    def locked(self) -> None:
        """Record that the run holds the task's directory, and so is the only one."""

    def started(self) -> None:
        """Record that the backup is made and the steps begin."""

    def backed_up(self, report: BackupReport) -> None:
        """Record the outcome of the backup."""

    def pruned(self, kind: BackupKind, deleted_count: int) -> None:
        """Record that a retention policy was applied to backups after a successful run."""

    def step_started(self, step: str) -> None:
        """Record that a step begins."""

    def step_ended(self, step: str, *, error: str | None, result: StepResult | None) -> None:
        """Record that a step ended; it failed if there is an error."""

    def ended(self, status: Ended, *, error: str | None, result: RunResult | None) -> None:
        """Record that the run ended."""


class StoreRecords(RunRecords):
    """The `RunRecords` of one run of a task; `step` is the only step that it runs, None for a complete run.

    A run that the engine admitted is in the history already. Any other run enters it once it holds the task's
    directory, so that a run that finds the task busy changes nothing. The state of the task follows from `all_steps`.
    """

    def __init__(
        self,
        store: Store,
        task_id: str,
        execution_id: str,
        *,
        step: str | None,
        all_steps: Sequence[str],
        is_admitted: bool = False,
    ) -> None:
        self._store = store
        self._task_id = task_id
        self._execution_id = execution_id
        self._step = step
        self._all_steps = tuple(all_steps)
        self._is_known = is_admitted

    def locked(self) -> None:
        # Whoever holds the directory is the only one who runs.
        self._store.fail_abandoned(self._task_id, except_for=self._execution_id)
        if not self._is_known:
            add_run(self._store, self._task_id, self._execution_id, self._step, self._all_steps, status="in_progress")
            self._is_known = True

    def started(self) -> None:
        self._store.start_execution(self._execution_id)

    def backed_up(self, report: BackupReport) -> None:
        self._store.record_backup(self._execution_id, report.model_dump(mode="json"))

    def step_started(self, step: str) -> None:
        self._store.start_step(self._execution_id, step)

    def step_ended(self, step: str, *, error: str | None, result: StepResult | None) -> None:
        self._store.finish_step(
            self._execution_id,
            step,
            status="completed" if error is None else "failed",
            error=error,
            result=None if result is None else result.counted(),
        )

    def ended(self, status: Ended, *, error: str | None, result: RunResult | None) -> None:
        if self._is_known:
            self._store.end_execution(
                self._execution_id,
                status=status,
                error=error,
                result=None if result is None else result.counted(),
                all_steps=self._all_steps,
            )


def add_run(
    store: Store,
    task_id: str,
    execution_id: str,
    step: str | None,
    all_steps: Sequence[str],
    *,
    status: Literal["queued", "in_progress"],
) -> Execution:
    """Enter a run in the history, unless it is there already. Raises NotFound."""
    return store.add_execution(
        task_id,
        execution_id,
        mode="complete" if step is None else "step",
        step_names=all_steps if step is None else [step],
        status=status,
    )
