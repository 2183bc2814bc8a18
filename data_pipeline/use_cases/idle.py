"""Check that a task has no run, before its files are changed."""

from __future__ import annotations

import time
from typing import Final

from data_pipeline.errors import NotFound, RunActive
from data_pipeline.runs.engine import Engine
from data_pipeline.store import Store

SETTLE_SECONDS: Final = 2.0


def check_idle(engine: Engine, store: Store, task_id: str) -> None:
    """Check that a task has no queued or running run. Raises RunActive."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (run := engine.run_of(task_id)) is not None:
        wait_while_it_settles(store, task_id, run.run_id, deadline)


def wait_while_it_settles(store: Store, task_id: str, run_id: str, deadline: float) -> None:
    """Wait a moment if a run has ended, but not yet in the engine; else raise RunActive.

    A client that was notified of the end may send its next request at once.
    """
    if time.monotonic() >= deadline or not _has_ended(store, run_id):
        raise RunActive(task_id, run_id)
    time.sleep(0.01)


def _has_ended(store: Store, run_id: str) -> bool:
    try:
        return store.execution(run_id).has_ended
    except NotFound:  # it was admitted just now
        return False
