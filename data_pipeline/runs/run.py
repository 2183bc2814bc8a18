"""A run that holds the lock of its task's directory: its steps, their publication, its log, and its result.

While a transaction in the directory is not settled, nothing is published: the steps run, and their files wait in the
work folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from data_pipeline.config.database_urls import label_of
from data_pipeline.config.retention import BackupKind, RetentionPolicy
from data_pipeline.errors import DirectoryUnusable, OutcomeUnsettled, PipelineError, PublishFailed, RecoveryNeeded
from data_pipeline.events import Emit, Event
from data_pipeline.runs.records import RunRecords
from data_pipeline.runs.report import RunReport
from data_pipeline.runs.threads import in_thread
from data_pipeline.steps.contract import Result, RunParameters, Step, StepContext, StepOutput
from data_pipeline.steps.runner import StepRunner
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.backup.create import settle
from data_pipeline.tasks.backup.delete import prune
from data_pipeline.tasks.backup.pruning import PruneReport
from data_pipeline.tasks.backup.report import BackupReport
from data_pipeline.tasks.log import TaskLog
from data_pipeline.tasks.ownership import Ownership
from data_pipeline.tasks.results import (
    RESULTS,
    Json,
    LoadResult,
    PublishedFile,
    PublishedResult,
    RunResult,
    SkippedResult,
    StepResult,
)
from data_pipeline.tasks.sealed import seal
from data_pipeline.tasks.table_list import TableName
from data_pipeline.tasks.workspace import Published, WorkFolder, Workspace, printable

if TYPE_CHECKING:
    from data_pipeline.language_model.client import LanguageModel

_WORDS: Final[Mapping[BackupKind, tuple[str, str]]] = {
    "files": ("backups", "backup"),
    "vectors": ("vector backups", "vector backup"),
}


@dataclass(frozen=True)
class RunSettings:
    """The parameters and the environment of a run, fixed from its beginning."""

    parameters: RunParameters
    steps: Sequence[Step]
    runner: StepRunner
    model: LanguageModel | None
    records: RunRecords
    emit: Emit
    retention: RetentionPolicy
    vector_retention: RetentionPolicy
    now: Callable[[], datetime]

    def why_skipped(self, step: Step) -> str | None:
        """Return why a complete run skips a step; None if it does not."""
        names = [known.name for known in self.steps]
        return step.why_skipped(self.parameters, names[: names.index(step.name)])


class Run:
    """One run under the lock of `workspace`, after its backup. `report` is its progress."""

    def __init__(
        self,
        settings: RunSettings,
        report: RunReport,
        workspace: Workspace,
        tables: tuple[TableName, ...],
        log: TaskLog,
    ) -> None:
        self.report = report
        self._settings = settings
        self._workspace = workspace
        self._tables = tables
        self._log = log
        self._records = settings.records
        self._emit = settings.emit
        self._logged_notes = 0
        self._own = Ownership(workspace, report.task_id, report.run_id, [step.name for step in settings.steps])
        self._own.is_backed_up = report.backup is not None and report.backup.state != "disabled"

    # ---- the sequence ----------------------------------------------------------------------------------------------

    async def work(self, steps: Sequence[Step]) -> RunResult:
        """Run and publish the steps until one fails; return the result, also if the disk has no room for a file."""
        await in_thread(self._begin)
        try:
            work = await in_thread(lambda: self._workspace.work_folder(self.report.run_id))
        except DirectoryUnusable as error:
            self.report.error = str(error)
            self._log.error("%s", error)
            return self.report.result(self._settings.now())
        await self._publish_own(work, task_directory.TASK_CONFIG, self._configuration())
        await in_thread(self._records.started)
        for step in steps:
            self.report.current = step.name
            if not await self._run_step(work, step):
                break
        else:
            self.report.current = None
        return await self._finish(work)

    def _begin(self) -> None:
        """Log what happened before the log could be opened."""
        self._log.info("Run %s begins: %s", self.report.run_id, self.report.mode)
        self._log_notes()
        if self.report.backup is not None:
            self._log_backup(self.report.backup)
            self._records.backed_up(self.report.backup)

    async def _finish(self, work: WorkFolder) -> RunResult:
        """Write the result, then delete the work folder unless a file in it still waits to be published."""
        report = self.report
        if report.error is None:
            await in_thread(self._prune)
        self._log_notes()
        self._log.info("Run %s ends: %s", report.run_id, report.error or "all steps completed")
        if self._log.problem is not None:
            report.warnings.append(self._log.problem)
        result = report.result(self._settings.now())
        if report.mode == "complete":
            await self._publish_own(work, task_directory.TASK_RESULT, result.as_json())
        if not report.has_unpublished and self._workspace.needs_recovery is None:
            is_success = report.is_complete_success
            await in_thread(self._workspace.sweep_work if is_success else lambda: self._workspace.discard(work))
        return result

    # ---- steps --------------------------------------------------------------------------------------------------

    async def _run_step(self, work: WorkFolder, step: Step) -> bool:
        """Run and publish one step; return False if it failed, with the reason in the report."""
        await in_thread(lambda: self._records.step_started(step.name))
        reason = self._settings.why_skipped(step) if self.report.mode == "complete" else None
        if reason is not None:
            await self._skip(step, reason)
            return True
        self._log.info("Step %s begins", step.name)
        self._emit(Event("step", "started", name=step.name))
        is_made = False
        try:
            kind = RESULTS.get(step.name, PublishedResult)
            artifact = await in_thread(lambda: self._own.published_by_this_run(step.name, kind))
            if artifact is None:
                output = await step.run(self._context(work))
                is_made = True
                artifact = await self._publish_step(work, step.name, output)
        except PipelineError as error:
            self.report.error = str(error)
            self.report.has_unpublished = isinstance(error, (PublishFailed, RecoveryNeeded, OutcomeUnsettled))
            self._log.error("%s", error)
            await self._end_without_result(step.name, is_unknown=is_made and isinstance(error, OutcomeUnsettled))
            return False
        except Exception:
            self._log.exception("Step %s failed because of a defect of this program", step.name)
            raise
        self.report.complete_step(step.name, artifact)
        self._log.info("Step %s completed: %d files published", step.name, len(artifact.files))
        await in_thread(lambda: self._records.step_ended(step.name, error=None, result=artifact))
        self._emit(Event("step", "completed", name=step.name))
        return True

    def _context(self, work: WorkFolder) -> StepContext:
        settings, workspace, run_id = self._settings, self._workspace, self.report.run_id
        return StepContext(
            self.report.task_id,
            run_id,
            self._tables,
            settings.parameters,
            _TaskFiles(workspace, self._own, self.report),
            settings.model,
            work,
            settings.runner,
            self._emit,
            self._log,
            lambda folder, write: workspace.put_aside(
                work, write(work, workspace.names(folder)), folder, label=f"{folder} of run {run_id}"
            ),
        )

    async def _skip(self, step: Step, reason: str) -> None:
        """Skip a step. The store has no status for it, so the step is recorded as completed with this result."""
        self._log.info("Step %s is skipped: %s", step.name, reason)
        artifact = SkippedResult(step=step.name, reason=reason)
        self.report.skipped.append(step.name)
        self.report.artifacts[step.name] = artifact
        await in_thread(lambda: self._records.step_ended(step.name, error=None, result=artifact))
        self._emit(Event("step", "skipped", name=step.name, message=reason))

    async def _end_without_result(self, step: str, *, is_unknown: bool) -> None:
        """Record that a step failed. If it is unknown whether it was published, the failed step has a result too."""
        error = self.report.error
        (self.report.unknown if is_unknown else self.report.failed).append(step)
        result = StepResult(step=step, status="unknown") if is_unknown else None
        await in_thread(lambda: self._records.step_ended(step, error=error, result=result))
        self._emit(Event("step", "unknown" if is_unknown else "failed", name=step, message=error or ""))

    # ---- publication --------------------------------------------------------------------------------------------

    async def _publish_step(self, work: WorkFolder, step: str, output: StepOutput) -> PublishedResult:
        """Publish the files of a step together with its result."""
        name = task_directory.step_result(step)

        def publish() -> tuple[Published, PublishedResult]:
            self._settle_backup()
            content, ours = self._own.sealed_file(name)
            last = StepResult.read(content)
            before = last.files if last is not None and last.step == step else ()
            new_names = {file.name for file in output.files}
            staying = [file for file in before if file.name in output.keeps - new_names]
            artifact = output.result.model_copy(
                update={
                    "task_id": self.report.task_id,
                    "run_id": self.report.run_id,
                    "step": step,
                    "status": "partial" if output.failures else "completed",
                    "failures": dict(output.failures),
                    "files": (*(PublishedFile(**file._asdict()) for file in output.files), *staying),
                }
            )
            hashes = self._own.hashes()
            ours |= {file.name: hashes[file.name] for file in before if file.name not in output.keeps}
            ours |= {replaced: {sha256} for replaced, sha256 in output.replaces.items()}
            files = [*output.files, work.write(name, seal(artifact.as_json()))]
            label = f"publish {step} of run {self.report.run_id}"
            return self._workspace.publish(work, files, label=label, run_id=self.report.run_id, ours=ours), artifact

        published, artifact = await in_thread(publish)
        self._note_kept(published)
        return artifact

    async def _publish_own(self, work: WorkFolder, name: str, content: Json) -> None:
        """Publish a file of the run itself. If that fails, the run continues with a warning."""

        def publish() -> Published:
            self._settle_backup()
            ours = self._own.sealed_file(name).hashes
            file = work.write(name, seal(content))
            return self._workspace.publish(work, [file], label=f"publish {name}", run_id=self.report.run_id, ours=ours)

        try:
            published = await in_thread(publish)
        except OutcomeUnsettled as error:
            self.report.has_unpublished = True  # recovery may still move it back into the work folder
            self.report.warnings.append(f"{name}: {error}")
            self._log.warning("%s: %s", name, error)
            return
        except PipelineError as error:
            self.report.warnings.append(f"{name} was not written: {error}")
            self._log.warning("%s was not written: %s", name, error)
            return
        self._note_kept(published)

    def _settle_backup(self) -> None:
        """Update the report of a backup whose outcome was unknown. Call it before anything is published."""
        self._log_notes()
        backup = self.report.backup
        if backup is None or backup.state != "unknown":
            return
        settled = settle(self._workspace, backup, self._settings.now)
        if settled.state != "unknown":
            self.report.backup = settled
            self._log.warning("The outcome of the backup is known now: %s", settled.state.replace("_", " "))
            self._log_backup(settled)
            self._records.backed_up(settled)

    def _note_kept(self, published: Published) -> None:
        for name in published.kept:
            path = os.path.join(published.kept_path or "", name)
            self.report.kept.append(path)
            self._log.warning("%s already existed and was not created by this task; it was moved to %s", name, path)

    def _configuration(self) -> Json:
        parameters = self._settings.parameters
        return {
            "task_id": self.report.task_id,
            "run_id": self.report.run_id,
            "created_at": self._settings.now().isoformat(),
            "parameters": {
                **parameters.model_dump(exclude={"db_connection"}),
                "db_connection": label_of(parameters.db_connection),
            },
            # Only its name, as of the database, because the files of a task can be downloaded.
            "output_directory": printable(os.path.basename(os.path.normpath(self._workspace.path))),
        }

    # ---- retention ----------------------------------------------------------------------------------------------

    def _prune(self) -> None:
        """Apply the retention policies to the kinds of backups that this run may have made."""
        settings, workspace, log = self._settings, self._workspace, self._log
        if self.report.mode == "complete" and not settings.retention.is_empty:
            self._apply("files", lambda: prune(workspace, settings.retention, now=settings.now, log=log))
        loaded = self.report.artifacts.get("training_load")
        has_vector_backup = isinstance(loaded, LoadResult) and loaded.vector_backup is not None
        if has_vector_backup and not settings.vector_retention.is_empty:
            self._apply("vectors", self._prune_vectors)

    def _prune_vectors(self) -> PruneReport:
        from data_pipeline.vectors.backup.catalogue import BackupPlace  # noqa: PLC0415 - numpy
        from data_pipeline.vectors.backup.delete import prune as prune_vectors  # noqa: PLC0415 - numpy

        place = BackupPlace(os.path.join(self._workspace.path, task_directory.VECTOR_BACKUPS), self.report.task_id)
        policy = self._settings.vector_retention
        return prune_vectors(self._workspace, place, policy, now=self._settings.now, log=self._log)

    def _apply(self, kind: BackupKind, work: Callable[[], PruneReport]) -> None:
        """Prune backups. A failure is only a warning, because the run has succeeded."""
        backups, backup = _WORDS[kind]
        try:
            report = work()
        except PipelineError as error:
            self.report.warnings.append(f"{backups} were not pruned: {error}")
            self._log.warning("%s were not pruned: %s", backups.capitalize(), error)
            return
        self.report.pruned[kind] = report
        self.report.warnings += [f"{backup} not deleted: {problem}" for problem in report.errors]
        self._records.pruned(kind, len(report.deleted))

    # ---- the log ------------------------------------------------------------------------------------------------

    def _log_notes(self) -> None:
        """Log the notes of recoveries and transactions since the last call."""
        for note in self._workspace.notes[self._logged_notes :]:
            self._log.warning("%s", note)
        self._logged_notes = len(self._workspace.notes)

    def _log_backup(self, report: BackupReport) -> None:
        """Log the backup, which was made before the log could be opened."""
        if report.error is not None:
            outcome = "has an unknown outcome" if report.state == "unknown" else "failed"
            self._log.error("Backup %s, and the run continues: %s", outcome, report.error)
            return
        if report.directory is None:
            self._log.info("Backup: %s", report.state.replace("_", " "))
            return
        self._log.info("Backup into %s began at %s", report.directory, report.started_at.isoformat())
        for name in report.moved_files:
            self._log.debug("Backup moved %s", name)
        for failed in report.failed_files:
            copied = "a copy of it is in the backup" if failed.copied else "it is in its place, and not in the backup"
            self._log.warning(
                "Backup could not move %s (%s, %d attempts): %s", failed.file, failed.error, failed.attempts, copied
            )
        self._log.info(
            "Backup into %s ended at %s: %d files moved, %d not, %d bytes, %d retries",
            report.directory, report.ended_at.isoformat(), len(report.moved_files), len(report.failed_files),
            report.statistics.bytes, report.statistics.retries,
        )  # fmt: skip


class _TaskFiles:
    """The task directory as a step may read it; `own` decides which results of steps count."""

    def __init__(self, workspace: Workspace, own: Ownership, report: RunReport) -> None:
        self._workspace = workspace
        self._own = own
        self._report = report

    def read(self, name: str) -> bytes | None:
        return self._workspace.read(task_directory.check_file_name(name))

    def read_given(self, name: str) -> bytes | None:
        checked = task_directory.check_file_name(name)
        backup = self._report.backup
        in_place = self._workspace.read(checked)
        if in_place is not None or backup is None or backup.directory is None:
            return in_place
        return self._workspace.read(os.path.join(backup.directory, checked))

    def names(self) -> list[str]:
        return self._workspace.names()

    def result_of(self, step: str, kind: type[Result]) -> Result | None:
        return self._own.result_of(step, kind)
