"""Runs over HTTP: admission, the work of the worker, and the reconciliation of the store with the engine."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import Literal

from data_pipeline.api.simple_workflow import SimpleWorkflowExecutor
from data_pipeline.config.settings import Settings
from data_pipeline.errors import InvalidInput, NotFound, NotRunning, PipelineError, RunActive, TaskBusy
from data_pipeline.runs.checksum_recorder import ChecksumRecorder
from data_pipeline.runs.engine import Engine, RunControl, RunOrder
from data_pipeline.runs.event_recorder import EventRecorder
from data_pipeline.runs.metrics import CountedRecords, Metrics
from data_pipeline.runs.records import StoreRecords, add_run
from data_pipeline.store import Execution, Store
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.ids import new_work_id
from data_pipeline.tasks.parameters import RunOptions
from data_pipeline.tasks.step_names import STEP_NAMES
from data_pipeline.tasks.workspace import open_workspace
from data_pipeline.use_cases.deletion import Deleted, TaskDeletion
from data_pipeline.use_cases.disk import door
from data_pipeline.use_cases.foreground import language_model, run_parameters
from data_pipeline.use_cases.idle import SETTLE_SECONDS, check_idle, wait_while_it_settles
from data_pipeline.vectors.search import SharedVectorStore

LOGGER = logging.getLogger("data_pipeline.service")

_OLDER = (
    "An older version of this program admitted the run, and only that version can continue it. Execute the task again."
)
_INTERRUPTED = "Interrupted: the worker process died. Execute the task again."


@dataclass(frozen=True)
class Runs:
    """The operations on runs, for requests and for the worker. All methods block except `work`."""

    settings: Settings
    store: Store
    engine: Engine
    recorder: EventRecorder
    metrics: Metrics
    vectors: SharedVectorStore
    checksums: ChecksumRecorder | None = None

    def admit(self, task_id: str, step: str | None, options: RunOptions | None = None) -> Execution:
        """Queue a run of a task. Raises NotFound, InvalidInput, and RunActive if the task has one."""
        if step is not None and step not in STEP_NAMES:
            raise InvalidInput("step_name", f"{step[:80]!a} is not a step; there are: {', '.join(STEP_NAMES)}")
        self.store.task(task_id)
        run_id = new_work_id("run")
        order = RunOrder(task_id, run_id, step)
        deadline = time.monotonic() + SETTLE_SECONDS
        if options is not None and options != RunOptions():  # first: a worker may begin before this request continues
            self.store.keep_run_options(run_id, options.model_dump())
        try:
            while (running := self.engine.admit(order)) != run_id:
                wait_while_it_settles(self.store, task_id, running, deadline)
        except RunActive:
            self.store.delete_run_options(run_id)
            raise
        return add_run(self.store, task_id, run_id, step, STEP_NAMES, status="queued")

    def check_idle(self, task_id: str) -> None:
        """Check that a task has no queued or running run. Raises RunActive."""
        check_idle(self.engine, self.store, task_id)

    def cancel(self, task_id: str) -> Execution:
        """Cancel the run of a task. Raises NotFound, and NotRunning if it has none."""
        self.store.task(task_id)
        run = self.engine.run_of(task_id)
        if run is None:
            raise NotRunning(task_id)
        self.engine.cancel(task_id, run.run_id)
        if run.state == "queued":  # no worker has begun it, so no worker will end it
            self.store.end_unfinished(run.run_id, status="cancelled", error="Cancelled before it began.")
        return self.store.execution(run.run_id)

    def delete_task(self, task_id: str, *, with_history: bool) -> Deleted:
        """Delete a task, as `TaskDeletion.delete` does."""
        deletion = TaskDeletion(self.settings, self.store, self.engine, self.vectors)
        return deletion.delete(task_id, with_history=with_history)

    async def work(self, control: RunControl) -> None:
        """Execute an admitted run to its end; record any error in the store and log it."""
        order = control.order
        try:
            executor = await asyncio.to_thread(self._executor, control)
            if executor is None:
                return
            await executor.execute(order.step)
        except NotFound as error:  # the task was deleted with its history
            LOGGER.warning("Run %s: %s", order.run_id, error)
        except PipelineError as error:
            LOGGER.error("Run %s failed: %s", order.run_id, error)  # noqa: TRY400 - a message for people
            await self._give_up(order.run_id, error)
        except Exception as error:
            LOGGER.exception("Run %s failed because of a defect of this program", order.run_id)
            await self._give_up(order.run_id, error)

    def reconcile(self) -> list[str]:
        """Update unfinished runs in the store from the engine; return a line for each change.

        The engine does not know the runs of the command line, which are alive while they hold their directory.
        """
        notes = []
        for run in self.engine.older_runs():
            self.engine.cancel(run.task_id, run.run_id)
            if self.store.end_unfinished(run.run_id, status="failed", error=_OLDER):
                notes.append(f"Run {run.run_id} of task {run.task_id} has failed: {_OLDER}")
        executions = self.store.unfinished_executions()  # first, because a run ends in the store before the engine
        active = {run.run_id for run in self.engine.unfinished()}
        for execution in executions:
            if execution.execution_id in active or self._is_held(execution.task_id):
                continue
            was_cancelled = self.engine.was_cancelled(execution.task_id, execution.execution_id)
            error = "Cancelled." if was_cancelled else _INTERRUPTED
            status: Literal["cancelled", "failed"] = "cancelled" if was_cancelled else "failed"
            if self.store.end_unfinished(execution.execution_id, status=status, error=error):
                notes.append(f"Run {execution.execution_id} of task {execution.task_id} is {status}: {error}")
        return notes

    async def _give_up(self, run_id: str, error: Exception) -> None:
        message = str(error) or type(error).__name__
        await asyncio.to_thread(self.store.end_unfinished, run_id, status="failed", error=message)

    def _executor(self, control: RunControl) -> SimpleWorkflowExecutor | None:
        """Return the executor of an order; None if its run ended, but its worker died before the engine recorded it."""
        order = control.order
        task = self.store.task(order.task_id)
        # The request enters the run in the history too, unless its process died before.
        execution = add_run(self.store, order.task_id, order.run_id, order.step, STEP_NAMES, status="queued")
        if execution.has_ended:
            return None
        records = StoreRecords(
            self.store, order.task_id, order.run_id, step=order.step, all_steps=STEP_NAMES, is_admitted=True
        )
        return SimpleWorkflowExecutor(
            order.task_id,
            directory=task_directory.path_of(self.settings.training_data_path, order.task_id),
            parameters=run_parameters(self.settings, task, RunOptions(**self.store.run_options(order.run_id))),
            run_id=order.run_id,
            runner=control.runner,
            model=language_model(self.settings, self.store),
            records=CountedRecords(records, self.metrics, partial(self._record_checksums, order.task_id)),
            emit=self.recorder.of_run(order.run_id),
            is_suspended=control.is_suspended,
            backup_enabled=self.settings.backup_enabled,
            retention=self.settings.retention,
            vector_retention=self.settings.vector_retention,
            lock_timeout_seconds=self.settings.lock_timeout_seconds,
            door=door(self.settings),
        )

    def _record_checksums(self, task_id: str, backup: str) -> None:
        if self.checksums is not None:
            self.checksums.add(task_id, backup)

    def _is_held(self, task_id: str) -> bool:
        path = task_directory.path_of(self.settings.training_data_path, task_id)
        try:
            with open_workspace(path, task_id, label="look", timeout_seconds=0):
                return False
        except TaskBusy:
            return True
        except PipelineError:  # the directory is missing or cannot be locked, so no process works in it
            return False
