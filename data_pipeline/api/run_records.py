"""What a run tells the task store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data_pipeline.api.simple_workflow import Ended
from data_pipeline.store import Store


class StoreRecords:
    """The `RunRecords` of one execution; `all_steps` are those by which the task's own state is derived."""

    def __init__(self, store: Store, execution_id: str, all_steps: Sequence[str]) -> None:
        self._store = store
        self._execution_id = execution_id
        self._all_steps = tuple(all_steps)

    def started(self) -> None:
        self._store.start_execution(self._execution_id)

    def backed_up(self, summary: Mapping[str, Any]) -> None:
        self._store.record_backup(self._execution_id, summary)

    def step_started(self, step: str) -> None:
        self._store.start_step(self._execution_id, step)

    def step_ended(self, step: str, *, error: str | None, result: Mapping[str, Any] | None) -> None:
        self._store.finish_step(
            self._execution_id, step, status="completed" if error is None else "failed", error=error, result=result
        )

    def ended(self, status: Ended, *, error: str | None, result: Mapping[str, Any] | None) -> None:
        self._store.end_execution(
            self._execution_id, status=status, error=error, result=result, all_steps=self._all_steps
        )
