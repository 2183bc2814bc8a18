"""One run of a task, from the lock to the result; knows neither HTTP nor the engine.

    make the directory -> lock it for the whole run -> recover what a dead run left -> check -> back up
    -> open the log, write the configuration -> steps, each published as a whole -> result -> give the lock back

Nothing is written into the task directory before the backup: it would be moved away with the old files. Nor is
anything while a transaction in it is not settled: the steps run, and their files wait in the work folder.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from data_pipeline.config.database_urls import label_of
from data_pipeline.config.retention import NO_RULES, BackupKind, RetentionPolicy
from data_pipeline.errors import (
    DirectoryUnusable,
    InvalidInput,
    OutcomeUnsettled,
    PipelineError,
    PublishFailed,
    RecoveryNeeded,
    TaskBusy,
)
from data_pipeline.events import Emit, Event, nobody
from data_pipeline.runs.records import Ended, NoRecords, RunRecords
from data_pipeline.steps import STEPS
from data_pipeline.steps.contract import Json, RunParameters, Step, StepContext, StepOutput, StepRunner
from data_pipeline.steps.runner import PlainRunner
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.backup.create import BackupReport, back_up, disabled, settle
from data_pipeline.tasks.backup.delete import prune
from data_pipeline.tasks.backup.pruning import PruneReport
from data_pipeline.tasks.log import LOGGER, TaskLog, open_task_log
from data_pipeline.tasks.ownership import seal, unsealed
from data_pipeline.tasks.run_ids import new_run_id
from data_pipeline.tasks.table_list import TableName, decode_table_list, parse_table_list
from data_pipeline.tasks.workspace import (
    Door,
    Published,
    WorkFolder,
    Workspace,
    check_not_link,
    make_directories,
    open_workspace,
    printable,
)

if TYPE_CHECKING:
    from data_pipeline.language_model.client import LanguageModel

LOCK_POLL_SECONDS: Final = 0.1

FAILURES_TOLD: Final = 20
"""How many failures of a step, past which the task goes on, are warnings of the run; all are in the step's result."""

_WORDS: Final[Mapping[BackupKind, tuple[str, str]]] = {
    "files": ("backups", "backup"),
    "vectors": ("vector backups", "vector backup"),
}

Mode = Literal["complete", "step"]
Result = TypeVar("Result")


@dataclass
class _Course:
    """What has happened in a run so far."""

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
    notes_logged: int = 0
    error: str | None = None
    has_unpublished: bool = False


class _TaskFiles:
    """What a step may read of the task directory; results count as `own` says."""

    def __init__(
        self, workspace: Workspace, own: Callable[[_Course, Workspace, str], tuple[Json, Any]], course: _Course
    ) -> None:
        self._workspace = workspace
        self._own = own
        self._course = course

    def read(self, name: str) -> bytes | None:
        return self._workspace.read(task_directory.check_file_name(name))

    def read_given(self, name: str) -> bytes | None:
        checked = task_directory.check_file_name(name)
        backup = self._course.backup
        in_place = self._workspace.read(checked)
        if in_place is not None or backup is None or backup.directory is None:
            return in_place
        return self._workspace.read(os.path.join(backup.directory, checked))

    def names(self) -> list[str]:
        return self._workspace.names()

    def result_of(self, step: str) -> Json | None:
        return self._own(self._course, self._workspace, task_directory.step_result(step))[0] or None


class SimpleWorkflowExecutor:
    """Runs the steps of one task in its directory.

    `directory` is the task's directory, `run_id` names the run (the same id again resumes it), `tables` are used in
    place of `table_list.txt`, `model` is asked where a step can use one, `records` is told of every state, `emit` of
    every event; `retention` is applied to the task's backups after a complete run that succeeded, `vector_retention`
    to its backups of the vector store after any run that succeeded and made one. A run that is cancelled while it
    `is_suspended` has not ended: it goes on when its process is back. One executor is for one run.
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
        emit: Emit = nobody,
        is_suspended: Callable[[], bool] = lambda: False,
        backup_enabled: bool = True,
        retention: RetentionPolicy = NO_RULES,
        vector_retention: RetentionPolicy = NO_RULES,
        lock_timeout_seconds: float = 60.0,
        door: Door | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC).astimezone(),
    ) -> None:
        self.task_id = task_id
        self.run_id = run_id or new_run_id(now())
        self._directory = os.path.abspath(directory)
        self._parameters = parameters
        self._tables = None if tables is None else tuple(tables)
        self._steps = tuple(steps)
        self._runner = runner or PlainRunner()
        self._model = model
        self._records = records or NoRecords()
        self._emit = emit
        self._is_suspended = is_suspended
        self._backup_enabled = backup_enabled
        self._retention = retention
        self._vector_retention = vector_retention
        self._lock_timeout_seconds = lock_timeout_seconds
        self._door = door or Door()
        self._now = now

    async def execute_complete_workflow(self) -> Json:
        """Back the earlier files up, then run every step; returns the run's result, also where a step failed.

        Raises TaskBusy, InvalidInput, DirectoryUnusable, DatabaseUnavailable ... before anything is changed.
        """
        return await self._execute("complete", self._steps)

    async def execute_single_step(self, step_name: str) -> Json:
        """Run one step on the task directory as it is; no backup. As `execute_complete_workflow` else."""
        step = next((step for step in self._steps if step.name == step_name), None)
        if step is None:
            names = ", ".join(step.name for step in self._steps)
            raise InvalidInput("step_name", f"{step_name[:80]!a} is not a step; there are: {names}")
        return await self._execute("step", (step,))

    def _ensure_task_directory(self) -> bool:
        """Make the task directory; writes nothing into it."""
        try:
            make_directories(self._directory, self._door.filesystem)
        except OSError as error:
            LOGGER.error("Task %s: its directory cannot be made: %s", self.task_id, error)
            return False
        return True

    async def _backup_existing_files_if_needed(self, workspace: Workspace) -> BackupReport:
        """Move the files of earlier runs into a backup, where there are any; a failure is reported, never raised."""
        if not self._backup_enabled:
            return disabled(self._now())

        def progress(done: int, total: int) -> None:
            self._emit(Event("backup", "advanced", done=done, total=total))

        self._emit(Event("backup", "started"))
        report = await _in_thread(lambda: back_up(workspace, run_id=self.run_id, now=self._now, progress=progress))
        failed = report.error or report.failed_files
        self._emit(
            Event(
                "backup",
                "unknown" if report.state == "unknown" else "failed" if failed else "completed",
                name=report.directory or "",
                message=report.error or "",
                done=len(report.moved_files),
                total=len(report.moved_files) + len(report.failed_files),
            )
        )
        return report

    async def _execute(self, mode: Mode, steps: Sequence[Step]) -> Json:
        course = _Course(mode, self._now())
        self._emit(Event("run", "started", name=self.run_id, message=mode))
        try:
            await _in_thread(lambda: check_not_link(self._directory))
            if not await _in_thread(self._ensure_task_directory):
                raise DirectoryUnusable(
                    f"The directory of task {self.task_id}, {printable(self._directory)}, cannot be made. "
                    "Mend the permissions above it, or the disk."
                )
            with await self._lock() as workspace:
                await _in_thread(self._records.locked)
                tables = await _in_thread(lambda: self._listed_tables(workspace))
                for step in steps:
                    if mode == "step" or self._why_skipped(step) is None:
                        await step.check(self._parameters, tables)
                if mode == "complete":
                    course.backup = await self._backup_existing_files_if_needed(workspace)
                with open_task_log(workspace.path, self.task_id, unsettled=workspace.needs_recovery) as log:
                    try:
                        await _in_thread(lambda: self._begin(course, workspace, log))
                        result = await self._work(course, workspace, steps, tables, log)
                    except BaseException as error:
                        self._tell_end(log, error)
                        raise
        except BaseException as error:
            if not isinstance(error, Exception) and self._is_suspended():
                self._emit(Event("run", "suspended", name=self.run_id))
                raise
            status: Ended = "failed" if isinstance(error, Exception) else "cancelled"
            message = _said(error)
            await _in_thread(lambda: self._records.ended(status, error=message, result=None))
            self._emit(Event("run", status, name=self.run_id, message=message))
            raise
        finally:
            if self._model is not None:
                await self._model.close()
        ended: Ended = "failed" if course.error else "completed"
        await _in_thread(lambda: self._records.ended(ended, error=course.error, result=result))
        self._emit(Event("run", ended, name=self.run_id, message=course.error or ""))
        return result

    def _tell_end(self, log: TaskLog, error: BaseException) -> None:
        """The last line of a run that does not come to its result."""
        if not isinstance(error, Exception) and self._is_suspended():
            log.info("Run %s is interrupted; it goes on when its process is back", self.run_id)
        else:
            log.warning("Run %s ends: %s", self.run_id, _said(error))

    async def _lock(self) -> Workspace:
        """The directory, locked and recovered; asks again and again, so that a cancelled run stops waiting at once."""
        started = time.monotonic()

        def once() -> Workspace:
            label = f"run {self.run_id}"
            return open_workspace(self._directory, self.task_id, label=label, timeout_seconds=0, door=self._door)

        while True:
            try:
                return await _in_thread(once, undo=lambda workspace: workspace.directory.release())
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
                "table list", f"{printable(workspace.path)} has no {task_directory.TABLE_LIST}: give one"
            )
        return parse_table_list(decode_table_list(raw))

    def _begin(self, course: _Course, workspace: Workspace, log: TaskLog) -> None:
        """Tell what happened before the log could be opened."""
        log.info("Run %s begins: %s", self.run_id, course.mode)
        _tell_notes(course, workspace, log)
        if course.backup is not None:
            _tell_backup(course.backup, log)
            self._records.backed_up(course.backup.summary())

    async def _work(
        self,
        course: _Course,
        workspace: Workspace,
        steps: Sequence[Step],
        tables: tuple[TableName, ...],
        log: TaskLog,
    ) -> Json:
        """Run the steps; returns the result, also where there is no room for a single file."""
        try:
            work = await _in_thread(lambda: workspace.work_folder(self.run_id))
        except DirectoryUnusable as error:
            course.error = str(error)
            log.error("%s", error)  # noqa: TRY400 - a message for people, no defect of ours
            return self._result(course)
        await self._run_steps(course, workspace, work, steps, tables, log)
        return await self._finish(course, workspace, work, log)

    async def _run_steps(
        self,
        course: _Course,
        workspace: Workspace,
        work: WorkFolder,
        steps: Sequence[Step],
        tables: tuple[TableName, ...],
        log: TaskLog,
    ) -> None:
        await self._publish_own(course, workspace, work, task_directory.TASK_CONFIG, self._configuration(), log)
        await _in_thread(self._records.started)
        for step in steps:
            course.current = step.name
            if not await self._run_step(course, workspace, work, step, tables, log):
                return
        course.current = None

    async def _run_step(
        self,
        course: _Course,
        workspace: Workspace,
        work: WorkFolder,
        step: Step,
        tables: tuple[TableName, ...],
        log: TaskLog,
    ) -> bool:
        """Run and publish one step; False when it failed, and then the result says why."""
        await _in_thread(lambda: self._records.step_started(step.name))
        reason = self._why_skipped(step) if course.mode == "complete" else None
        if reason is not None:
            await self._skip(course, step, reason, log)
            return True
        log.info("Step %s begins", step.name)
        self._emit(Event("step", "started", name=step.name))
        files = _TaskFiles(workspace, self._own, course)
        context = StepContext(
            self.task_id,
            self.run_id,
            tables,
            self._parameters,
            files,
            self._model,
            work,
            self._runner,
            self._emit,
            log,
            lambda folder, write: workspace.put_aside(
                work, write(work, workspace.names(folder)), folder, label=f"{folder} of run {self.run_id}"
            ),
        )
        is_made = False
        try:
            artifact = await _in_thread(lambda: self._published_before(course, workspace, step.name))
            if artifact is None:
                output = await step.run(context)
                is_made = True
                artifact = await self._publish_step(course, workspace, work, step.name, output, log)
        except PipelineError as error:
            course.error = str(error)
            course.has_unpublished = isinstance(error, (PublishFailed, RecoveryNeeded, OutcomeUnsettled))
            log.error("%s", error)  # noqa: TRY400 - a message for people, no defect of ours
            await self._end_without_result(
                course, step.name, is_unknown=is_made and isinstance(error, OutcomeUnsettled)
            )
            return False
        except Exception:
            log.exception("Step %s ended by a defect of this program", step.name)
            raise
        course.completed.append(step.name)
        course.artifacts[step.name] = artifact
        failures = list(artifact["failures"].items())
        course.warnings += [f"{step.name}: {item}: {reason}" for item, reason in failures[:FAILURES_TOLD]]
        if len(failures) > FAILURES_TOLD:
            course.warnings.append(f"{step.name}: and {len(failures) - FAILURES_TOLD} more")
        log.info("Step %s completed: %d files published", step.name, len(artifact["files"]))
        await _in_thread(lambda: self._records.step_ended(step.name, error=None, result=artifact))
        self._emit(Event("step", "completed", name=step.name))
        return True

    async def _end_without_result(self, course: _Course, step: str, *, is_unknown: bool) -> None:
        """A step failed, or whether it was published is unknown: to the store it failed with a result that says so."""
        (course.unknown if is_unknown else course.failed).append(step)
        result: Json | None = {"step": step, "status": "unknown", "files": []} if is_unknown else None
        await _in_thread(lambda: self._records.step_ended(step, error=course.error, result=result))
        self._emit(Event("step", "unknown" if is_unknown else "failed", name=step, message=course.error or ""))

    def _why_skipped(self, step: Step) -> str | None:
        names = [known.name for known in self._steps]
        return step.why_skipped(self._parameters, names[: names.index(step.name)])

    async def _skip(self, course: _Course, step: Step, reason: str, log: TaskLog) -> None:
        """A complete run leaves a step out; the store knows no such state: to it, it is completed with this result."""
        log.info("Step %s is left out: %s", step.name, reason)
        artifact: Json = {"step": step.name, "status": "skipped", "reason": reason, "files": []}
        course.skipped.append(step.name)
        course.artifacts[step.name] = artifact
        await _in_thread(lambda: self._records.step_ended(step.name, error=None, result=artifact))
        self._emit(Event("step", "skipped", name=step.name, message=reason))

    def _published_before(self, course: _Course, workspace: Workspace, step: str) -> Json | None:
        """The result of a step that this very run had published before it was killed."""
        content = self._own(course, workspace, task_directory.step_result(step))[0]
        return content if content.get("run_id") == self.run_id and content.get("step") == step else None

    async def _publish_step(
        self, course: _Course, workspace: Workspace, work: WorkFolder, step: str, output: StepOutput, log: TaskLog
    ) -> Json:
        name = task_directory.step_result(step)

        def publish() -> tuple[Published, Json]:
            self._settle_backup(course, workspace, log)
            own, ours = self._own(course, workspace, name)
            before = own["files"] if own.get("step") == step else []
            made = {file.name for file in output.files}
            staying = [file for file in before if file["name"] in output.keeps - made]
            artifact = {
                **output.result,
                "task_id": self.task_id,
                "run_id": self.run_id,
                "step": step,
                "status": "partial" if output.failures else "completed",
                "failures": dict(output.failures),
                "files": [file._asdict() for file in output.files] + staying,
            }
            known = self._published_hashes(course, workspace)
            ours |= {file["name"]: known[file["name"]] for file in before if file["name"] not in output.keeps}
            ours |= {replaced: {sha256} for replaced, sha256 in output.replaces.items()}
            files = [*output.files, work.write(name, seal(artifact))]
            label = f"publish {step} of run {self.run_id}"
            return workspace.publish(work, files, label=label, run_id=self.run_id, ours=ours), artifact

        published, artifact = await _in_thread(publish)
        self._tell_kept(course, published, log)
        return artifact

    def _published_hashes(self, course: _Course, workspace: Workspace) -> dict[str, set[str]]:
        """By name what runs published: a later step may have put another content in the place of an earlier one's."""
        known: dict[str, set[str]] = {}
        for step in self._steps:
            content = self._own(course, workspace, task_directory.step_result(step.name))[0]
            for file in content.get("files", []):
                known.setdefault(file["name"], set()).add(file["sha256"])
        return known

    async def _publish_own(
        self, course: _Course, workspace: Workspace, work: WorkFolder, name: str, content: Json, log: TaskLog
    ) -> None:
        """Publish a file of the run itself; where that fails the run goes on without it, and says so."""

        def publish() -> Published:
            self._settle_backup(course, workspace, log)
            ours = self._own(course, workspace, name)[1]
            file = work.write(name, seal(content))
            return workspace.publish(work, [file], label=f"publish {name}", run_id=self.run_id, ours=ours)

        try:
            published = await _in_thread(publish)
        except OutcomeUnsettled as error:
            course.has_unpublished = True  # recovery may still move it back into the work folder
            course.warnings.append(f"{name}: {error}")
            log.warning("%s: %s", name, error)
            return
        except PipelineError as error:
            course.warnings.append(f"{name} was not written: {error}")
            log.warning("%s was not written: %s", name, error)
            return
        self._tell_kept(course, published, log)

    def _settle_backup(self, course: _Course, workspace: Workspace, log: TaskLog) -> None:
        """Before anything is published: see what an unknown backup has turned out to be, and correct the report."""
        _tell_notes(course, workspace, log)
        if course.backup is None or course.backup.state != "unknown":
            return
        settled = settle(workspace, course.backup, self._now)
        if settled.state != "unknown":
            course.backup = settled
            log.warning("The outcome of the backup is known now: %s", settled.state.replace("_", " "))
            _tell_backup(settled, log)
            self._records.backed_up(settled.summary())

    def _own(self, course: _Course, workspace: Workspace, name: str) -> tuple[Json, dict[str, set[str]]]:
        """A file that a run of this task wrote and nobody changed: its content, and its name with its SHA-256.

        After a backup only this very run's files count: whatever else still stands there is what the backup could not
        take, and nothing of it may go.
        """
        try:
            raw = workspace.read(name)
        except DirectoryUnusable:
            raw = None  # whatever it is, we did not write it
        content = unsealed(raw) if raw is not None else None
        if raw is None or content is None or content.get("task_id") != self.task_id:
            return {}, {}
        was_backed_up = course.backup is not None and course.backup.state != "disabled"
        if was_backed_up and content.get("run_id") != self.run_id:
            return {}, {}
        return content, {name: {hashlib.sha256(raw).hexdigest()}}

    def _tell_kept(self, course: _Course, published: Published, log: TaskLog) -> None:
        for name in published.kept:
            path = os.path.join(published.kept_path or "", name)
            course.kept.append(path)
            log.warning("A file stood in the way and was not ours to remove; it is kept as %s", path)

    def _configuration(self) -> Json:
        return {
            "task_id": self.task_id,
            "run_id": self.run_id,
            "created_at": self._now().isoformat(),
            "parameters": {
                **self._parameters.model_dump(exclude={"db_connection"}),
                "db_connection": label_of(self._parameters.db_connection),
            },
            # By its name alone, as the database: the files of a task can be downloaded.
            "output_directory": printable(os.path.basename(os.path.normpath(self._directory))),
        }

    async def _finish(self, course: _Course, workspace: Workspace, work: WorkFolder, log: TaskLog) -> Json:
        """Write the result, then forget the work folder unless something in it still waits to be published."""
        if course.error is None:
            await _in_thread(lambda: self._prune(course, workspace, log))
        _tell_notes(course, workspace, log)
        log.info("Run %s ends: %s", self.run_id, course.error or "all steps completed")
        if log.problem is not None:
            course.warnings.append(log.problem)
        result = self._result(course)
        if course.mode == "complete":
            await self._publish_own(course, workspace, work, task_directory.TASK_RESULT, result, log)
        if not course.has_unpublished and workspace.needs_recovery is None:
            await _in_thread(workspace.sweep_work if _is_success(course) else lambda: workspace.forget(work))
        return result

    def _prune(self, course: _Course, workspace: Workspace, log: TaskLog) -> None:
        """Apply the retention policies to what the run may have added to."""
        if course.mode == "complete" and not self._retention.is_empty:
            self._apply(course, "files", lambda: prune(workspace, self._retention, now=self._now, log=log), log)
        has_vector_backup = any(artifact.get("vector_backup") for artifact in course.artifacts.values())
        if has_vector_backup and not self._vector_retention.is_empty:
            self._apply(course, "vectors", lambda: self._prune_vectors(workspace, log), log)

    def _prune_vectors(self, workspace: Workspace, log: TaskLog) -> PruneReport:
        from data_pipeline.vectors.backup.catalogue import BackupPlace  # noqa: PLC0415 - numpy
        from data_pipeline.vectors.backup.delete import prune as prune_vectors  # noqa: PLC0415 - numpy

        place = BackupPlace(os.path.join(workspace.path, task_directory.VECTOR_BACKUPS), self.task_id)
        return prune_vectors(workspace, place, self._vector_retention, now=self._now, log=log)

    def _apply(self, course: _Course, kind: BackupKind, work: Callable[[], PruneReport], log: TaskLog) -> None:
        """Prune. The run has succeeded: what cannot be deleted is a warning."""
        backups, backup = _WORDS[kind]
        try:
            report = work()
        except PipelineError as error:
            course.warnings.append(f"{backups} were not pruned: {error}")
            log.warning("%s were not pruned: %s", backups.capitalize(), error)
            return
        course.pruned[kind] = report
        course.warnings += [f"{backup} not deleted: {problem}" for problem in report.errors]
        self._records.pruned(kind, len(report.deleted))

    def _result(self, course: _Course) -> Json:
        return {
            "success": course.error is None,
            "task_id": self.task_id,
            "run_id": self.run_id,
            "execution_mode": course.mode,
            "error": course.error,
            "backup": course.backup.summary() if course.backup else None,
            "pruned": _summary_of(course.pruned.get("files")),
            "vectors_pruned": _summary_of(course.pruned.get("vectors")),
            "kept_files": course.kept,
            "warnings": course.warnings,
            "workflow_state": {
                "start_time": course.started_at.isoformat(),
                "end_time": self._now().isoformat(),
                "current_step": course.current,
                "completed_steps": course.completed,
                "failed_steps": course.failed,
                "unknown_steps": course.unknown,
                "skipped_steps": course.skipped,
                "artifacts": course.artifacts,
                "statistics": {
                    "steps_completed": len(course.completed),
                    "files_published": sum(len(artifact["files"]) for artifact in course.artifacts.values()),
                },
            },
            "artifacts": course.artifacts,
        }


def _said(error: BaseException) -> str:
    """What ended a run, in a sentence for people."""
    return str(error) or type(error).__name__ if isinstance(error, Exception) else "It was cancelled."


def _summary_of(report: PruneReport | None) -> Json | None:
    return None if report is None else report.run_summary()


def _is_success(course: _Course) -> bool:
    return course.mode == "complete" and course.error is None


def _tell_notes(course: _Course, workspace: Workspace, log: logging.Logger) -> None:
    """Log what recovery and transactions noted since the last call."""
    for note in workspace.notes[course.notes_logged :]:
        log.warning("%s", note)
    course.notes_logged = len(workspace.notes)


def _tell_backup(report: BackupReport, log: logging.Logger) -> None:
    """What the backup did, for the log that could not be open while it was made."""
    if report.error is not None:
        outcome = "has an unknown outcome" if report.state == "unknown" else "failed"
        log.error("Backup %s, and the run goes on: %s", outcome, report.error)
        return
    if report.directory is None:
        log.info("Backup: %s", report.state.replace("_", " "))
        return
    log.info("Backup into %s began at %s", report.directory, report.started_at.isoformat())
    for name in report.moved_files:
        log.debug("Backup moved %s", name)
    for failed in report.failed_files:
        copied = "a copy of it is in the backup" if failed.copied else "it is in its place, and not in the backup"
        log.warning(
            "Backup could not move %s (%s, %d attempts): %s", failed.file, failed.error, failed.attempts, copied
        )
    log.info(
        "Backup into %s ended at %s: %d files moved, %d not, %d bytes, %d retries",
        report.directory,
        report.ended_at.isoformat(),
        len(report.moved_files),
        len(report.failed_files),
        report.statistics.bytes,
        report.statistics.retries,
    )


async def _in_thread(work: Callable[[], Result], *, undo: Callable[[Result], None] | None = None) -> Result:
    """Run blocking work in a thread; a cancelled caller waits for its end, as it must not go on without the lock.

    `undo` then takes back what the work gave, as nobody else will.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if undo is not None and task.exception() is None:
            undo(task.result())
        raise
