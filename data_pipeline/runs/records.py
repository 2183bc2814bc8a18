"""Where the states of a run are recorded: in the task store, or nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Protocol

from data_pipeline.config.retention import BackupKind
from data_pipeline.store import Execution, Store

Ended = Literal["completed", "failed", "cancelled"]


class RunRecords(Protocol):
    """Where a run's states go besides its files: the task store, or nowhere."""

    def locked(self) -> None:
        """The run holds the task's directory: it is the only one."""

    def started(self) -> None:
        """The backup is made, the steps begin."""

    def backed_up(self, summary: Mapping[str, Any]) -> None:
        """What became of the backup."""

    def pruned(self, kind: BackupKind, deleted_count: int) -> None:
        """The retention policy for these backups was applied after a successful run."""

    def step_started(self, step: str) -> None:
        """A step begins."""

    def step_ended(self, step: str, *, error: str | None, result: Mapping[str, Any] | None) -> None:
        """A step ended: it failed where there is an error."""

    def ended(self, status: Ended, *, error: str | None, result: Mapping[str, Any] | None) -> None:
        """The run ended."""


class NoRecords:
    """Records nothing, for the script: its runs belong to no task of the store."""

    def locked(self) -> None:
        pass

    def started(self) -> None:
        pass

    def backed_up(self, summary: Mapping[str, Any]) -> None:
        pass

    def pruned(self, kind: BackupKind, deleted_count: int) -> None:
        pass

    def step_started(self, step: str) -> None:
        pass

    def step_ended(self, step: str, *, error: str | None, result: Mapping[str, Any] | None) -> None:
        pass

    def ended(self, status: Ended, *, error: str | None, result: Mapping[str, Any] | None) -> None:
        pass


class StoreRecords:
    """The `RunRecords` of one run of a task; `step` is the only one it runs, None for a complete run.

    A run that the engine admitted is in the history already. Any other enters it once it holds the task's directory:
    who had to give way changes nothing. `all_steps` are those by which the task's own state is derived.
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

    def backed_up(self, summary: Mapping[str, Any]) -> None:
        self._store.record_backup(self._execution_id, summary)

    def pruned(self, kind: BackupKind, deleted_count: int) -> None:
        """Keep nothing: the run's result names the backups."""

    def step_started(self, step: str) -> None:
        self._store.start_step(self._execution_id, step)

    def step_ended(self, step: str, *, error: str | None, result: Mapping[str, Any] | None) -> None:
        self._store.finish_step(
            self._execution_id,
            step,
            status="completed" if error is None else "failed",
            error=error,
            result=None if result is None else _with_counts(result),
        )

    def ended(self, status: Ended, *, error: str | None, result: Mapping[str, Any] | None) -> None:
        if self._is_known:
            self._store.end_execution(
                self._execution_id,
                status=status,
                error=error,
                result=None if result is None else _with_counts(result),
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
    """Enter a run in the history; one that is there stays as it is. Raises NotFound."""
    return store.add_execution(
        task_id,
        execution_id,
        mode="complete" if step is None else "step",
        step_names=all_steps if step is None else [step],
        status=status,
    )


_COUNTED: Final = frozenset(
    {"columns_by_table", "columns_without_a_pair", "failed_batches", "failed_themes", "inferred_joins", "not_usable",
     "pairs_by_table", "problems", "tables_without_a_pair", "tables_without_rows"}
)  # fmt: skip
"""What a result lists by table: a status must not grow with the schema."""


def _with_counts(value: Any) -> Any:
    """A result with the number of files and tables in place of their names: those are in task_result.json."""
    if not isinstance(value, Mapping):
        return value
    short = {}
    for key, item in value.items():
        if key == "files" and isinstance(item, list):
            short["file_count"] = len(item)
        elif key in _COUNTED:
            short[f"{key}_count"] = len(item)
        else:
            short[key] = _with_counts(item)
    return short
