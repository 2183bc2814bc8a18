"""Execute one run of a task, from the lock to the result, without knowledge of HTTP and of the engine.

    create the directory -> lock it for the whole run -> recover the changes of a dead run -> check -> back up
    -> open the log, write the configuration -> steps, each published as a whole -> result -> release the lock

Nothing is written into the task directory before the backup, because it would be moved away with the old files.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from data_pipeline.config.retention import NO_RULES, RetentionPolicy
from data_pipeline.errors import DirectoryUnusable, InvalidInput, TaskBusy
from data_pipeline.events import Emit, Event, ignore_event
from data_pipeline.runs.records import Ended, RunRecords
from data_pipeline.runs.report import RunReport
from data_pipeline.runs.run import Run, RunSettings
from data_pipeline.runs.threads import in_thread
from data_pipeline.steps import STEPS
from data_pipeline.steps.contract import RunParameters, Step
from data_pipeline.steps.runner import StepRunner
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.backup.create import back_up, disabled
from data_pipeline.tasks.backup.report import BackupReport
from data_pipeline.tasks.ids import new_work_id
from data_pipeline.tasks.log import LOGGER, TaskLog, open_task_log
from data_pipeline.tasks.results import Json, Mode, RunResult
from data_pipeline.tasks.table_list import TableName, decode_table_list, parse_table_list
from data_pipeline.tasks.workspace import (
    Door,
    Workspace,
    check_not_link,
    make_directories,
    open_workspace,
    printable,
)

if TYPE_CHECKING:
    from data_pipeline.language_model.client import LanguageModel

LOCK_POLL_SECONDS: Final = 0.1


class SimpleWorkflowExecutor:
    """Run the steps of one task in its directory. Create one executor for each run.

    `directory` is the task's directory. `run_id` names the run; a run with the id of an earlier one resumes it.
    `tables` replace `table_list.txt`. `model` serves the steps that can use a language model. `records` receives every
    state, `emit` every event. `retention` is applied to the task's backups after a successful complete run,
    `vector_retention` to its backups of the vector store after any successful run that made one. A run that is
    cancelled while it `is_suspended` has not ended, and continues when its process is back.
    """

    def __init__(
        self,
        task_id: str,
        *,
        directory: str,
        parameters: RunParameters,
        run_id: str | None = None,
        tables: Sequence[TableName] | None = None,
        steps: Sequence[Step] = STEPS,
        runner: StepRunner | None = None,
        model: LanguageModel | None = None,
        records: RunRecords | None = None,
        emit: Emit = ignore_event,
        is_suspended: Callable[[], bool] = lambda: False,
        backup_enabled: bool = True,
        retention: RetentionPolicy = NO_RULES,
        vector_retention: RetentionPolicy = NO_RULES,
        lock_timeout_seconds: float = 60.0,
        door: Door | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC).astimezone(),
    ) -> None:
        self.task_id = task_id
        self.run_id = run_id or new_work_id("run", now())
        self._directory = os.path.abspath(directory)
        self._tables = None if tables is None else tuple(tables)
        self._settings = RunSettings(
            parameters=parameters,
            steps=tuple(steps),
            runner=runner or StepRunner(),
            model=model,
            records=records or RunRecords(),
            emit=emit,
            retention=retention,
            vector_retention=vector_retention,
            now=now,
        )
        self._is_suspended = is_suspended
        self._backup_enabled = backup_enabled
        self._lock_timeout_seconds = lock_timeout_seconds
        self._door = door or Door()

    async def execute_complete_workflow(self) -> Json:
        """Back up the earlier files, then run every step; return the JSON of the result, also if a step failed.

        Raises TaskBusy, InvalidInput, DirectoryUnusable, DatabaseUnavailable ... before anything is changed.
        """
        return (await self.execute()).as_json()

    async def execute_single_step(self, step_name: str) -> Json:
        """Run one step on the task directory as it is, without a backup; else as `execute_complete_workflow`."""
        return (await self.execute(step_name)).as_json()

    async def execute(self, step_name: str | None = None) -> RunResult:
        """Run every step, or this one; record and emit the end of the run, however it ends."""
        steps = self._settings.steps if step_name is None else (self._step(step_name),)
        emit, records = self._settings.emit, self._settings.records
        mode: Mode = "complete" if step_name is None else "step"
        report = RunReport(self.task_id, self.run_id, mode, self._settings.now())
        emit(Event("run", "started", name=self.run_id, message=mode))
        try:
            result = await self._run_locked(report, steps)
        except BaseException as error:
            if self._will_continue(error):
                emit(Event("run", "suspended", name=self.run_id))
                raise
            status: Ended = "failed" if isinstance(error, Exception) else "cancelled"
            message = _message_of(error)
            await in_thread(lambda: records.ended(status, error=message, result=None))
            emit(Event("run", status, name=self.run_id, message=message))
            raise
        finally:
            if self._settings.model is not None:
                await self._settings.model.close()
        ended: Ended = "failed" if report.error else "completed"
        await in_thread(lambda: records.ended(ended, error=report.error, result=result))
        emit(Event("run", ended, name=self.run_id, message=report.error or ""))
        return result

    def _step(self, name: str) -> Step:
        for step in self._settings.steps:
            if step.name == name:
                return step
        names = ", ".join(step.name for step in self._settings.steps)
        raise InvalidInput("step_name", f"{name[:80]!a} is not a step; there are: {names}")

    def _ensure_task_directory(self) -> bool:
        """Create the task directory; write nothing into it."""
        try:
            make_directories(self._directory, self._door.filesystem)
        except OSError as error:
            LOGGER.error("Task %s: its directory cannot be created: %s", self.task_id, error)
            return False
        return True

    async def _backup_existing_files_if_needed(self, workspace: Workspace) -> BackupReport:
        """Move the files of earlier runs into a backup, if there are any. A failure is reported, never raised."""
        emit, now = self._settings.emit, self._settings.now
        if not self._backup_enabled:
            return disabled(now())

        def progress(done: int, total: int) -> None:
            emit(Event("backup", "advanced", done=done, total=total))

        emit(Event("backup", "started"))
        report = await in_thread(lambda: back_up(workspace, run_id=self.run_id, now=now, progress=progress))
        failed = report.error or report.failed_files
        emit(
            Event(
                "backup",
                "unknown" if report.state == "unknown" else "failed" if failed else "completed",
                name=report.directory or "",
                message=report.error or "",
                done=report.moved_count,
                total=report.moved_count + len(report.failed_files),
            )
        )
        return report

    async def _run_locked(self, report: RunReport, steps: Sequence[Step]) -> RunResult:
        """Create and lock the directory, check the steps, back up, and run."""
        await in_thread(lambda: check_not_link(self._directory))
        if not await in_thread(self._ensure_task_directory):
            raise DirectoryUnusable(
                f"The directory of task {self.task_id}, {printable(self._directory)}, cannot be created. "
                "Correct the permissions of its parent directories, or the disk."
            )
        with await self._lock() as workspace:
            await in_thread(self._settings.records.locked)
            tables = await in_thread(lambda: self._listed_tables(workspace))
            for step in steps:
                if report.mode == "step" or self._settings.why_skipped(step) is None:
                    await step.check(self._settings.parameters, tables)
            if report.mode == "complete":
                report.backup = await self._backup_existing_files_if_needed(workspace)
            with open_task_log(workspace.path, self.task_id, unsettled=workspace.needs_recovery) as log:
                try:
                    return await Run(self._settings, report, workspace, tables, log).work(steps)
                except BaseException as error:
                    self._log_end(log, error)
                    raise

    async def _lock(self) -> Workspace:
        """Lock and recover the directory. Poll for the lock, so that a cancelled run stops waiting immediately."""
        started = time.monotonic()

        def once() -> Workspace:
            label = f"run {self.run_id}"
            return open_workspace(self._directory, self.task_id, label=label, timeout_seconds=0, door=self._door)

        while True:
            try:
                return await in_thread(once, undo=lambda workspace: workspace.directory.release())
            except TaskBusy as busy:
                waited = time.monotonic() - started
                if waited >= self._lock_timeout_seconds:
                    raise TaskBusy(self.task_id, waited, busy.holder) from busy
            await asyncio.sleep(LOCK_POLL_SECONDS)

    def _listed_tables(self, workspace: Workspace) -> tuple[TableName, ...]:
        if self._tables is not None:
            return self._tables
        raw = workspace.read(task_directory.TABLE_LIST)
        if raw is None:
            raise InvalidInput(
                "table list", f"{printable(workspace.path)} has no {task_directory.TABLE_LIST}: upload a table list"
            )
        return parse_table_list(decode_table_list(raw))

    def _will_continue(self, error: BaseException) -> bool:
        """True if a run that this error ends continues when its process is back."""
        return not isinstance(error, Exception) and self._is_suspended()

    def _log_end(self, log: TaskLog, error: BaseException) -> None:
        """Log the last line of a run that has no result."""
        if self._will_continue(error):
            log.info("Run %s is interrupted; it continues when its process is back", self.run_id)
        else:
            log.warning("Run %s ends: %s", self.run_id, _message_of(error))


def _message_of(error: BaseException) -> str:
    """Return the reason for the end of a run, as a sentence for people."""
    return str(error) or type(error).__name__ if isinstance(error, Exception) else "Cancelled."
