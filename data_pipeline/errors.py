"""What can go wrong, split by what the caller does next.

    PipelineError           never raised itself
      InvalidInput          a value from outside is wrong: mend it; nothing was changed
      NotAllowed            a value is well formed, and this server may not do it: ask who runs it
      NotFound              no such task, backup, file or step: look at the list
      RunActive             the task has a queued or running run: wait for it, or cancel it
      NotRunning            the task has no run that could be cancelled: nothing to do
      TaskBusy              somebody holds the task's directory: wait, or ask the holder
      DirectoryUnusable     the task's directory cannot be made, locked or written: mend permissions, disk or mounts
      DatabaseUnavailable   the business database cannot be opened or asked: mend the URL or the database
      QueryRefused          a text is not one query that only reads: mend the query; it was not run
      QueryFailed           the database refused a query, or it took too long: mend the query
      ModelFailed           the language model gave no answer that can be used: mend its settings, or go on without
      EmbeddingFailed       the embeddings server gave no vectors: mend its settings, or do without it
      EmbedderMismatch      the vector store was made by another embedder: take that one, or another store
      ItemsMissing          what was staged for the vector store is not there any more: run training_load again
      BackupDamaged         a backup of the vectors is not what was written: take another one; nothing was changed
      StoreUnavailable      a database of our own cannot be opened: mend its URL or the database
      RecoveryNeeded        an earlier transaction is not settled, so nothing was begun: `data-pipeline recover`
      OutcomeUnsettled      whether a change took effect is not known until recovery: `data-pipeline recover`
      StepFailed            a step did not make all it should; nothing of it was published
      PublishFailed         a step's outputs could not take their places; they wait in the folder that is named
      RestoreFailed         nothing was restored: everything is as before, except what the message names

Every message says what, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class PipelineError(Exception):
    """The root of all; a message for people, and `error_type` with `details` for programs."""

    error_type: ClassVar[str] = "failed"

    def details(self) -> dict[str, Any]:
        """Return what a program needs besides the message, by key."""
        return {}


class InvalidInput(PipelineError, ValueError):
    """A value from outside is wrong: `field` names it, `problems` lists every fault found in it."""

    error_type = "invalid_params"

    def __init__(self, field: str, *problems: str) -> None:
        super().__init__(f"{field}: {'; '.join(problems)}")
        self.field = field
        self.problems = problems

    def details(self) -> dict[str, Any]:
        return {"invalid_params": {self.field: list(self.problems)}}


class NotAllowed(PipelineError):
    """What is asked for is well formed, and this server may not do it."""

    error_type = "not_allowed"


class NotFound(PipelineError, LookupError):
    """There is no such `kind` (task, backup, file, step) of this name."""

    error_type = "resource_not_found"

    def __init__(self, kind: str, name: str, hint: str = "") -> None:
        super().__init__(f"There is no {kind} {name!a}." + (f" {hint}" if hint else ""))
        self.kind = kind
        self.name = name


class RunActive(PipelineError):
    """The task has a run that has not ended: `execution_id`."""

    error_type = "task_running"

    def __init__(self, task_id: str, execution_id: str) -> None:
        super().__init__(f"Task {task_id} has a run that has not ended: {execution_id}. Wait for it, or cancel it.")
        self.task_id = task_id
        self.execution_id = execution_id

    def details(self) -> dict[str, Any]:
        return {"task_id": self.task_id, "execution_id": self.execution_id}


class NotRunning(PipelineError):
    """The task has no run that has not ended."""

    error_type = "task_not_running"

    def __init__(self, task_id: str) -> None:
        super().__init__(f"Task {task_id} has no run that has not ended.")
        self.task_id = task_id


class TaskBusy(PipelineError):
    """Somebody holds the task's directory; `holder` is who, as text, None when nobody left a note."""

    error_type = "task_busy"

    def __init__(self, task_id: str, waited_seconds: float, holder: str | None) -> None:
        super().__init__(
            f"Task {task_id} is busy: its directory is held by {holder or 'another process'} "
            f"(waited {waited_seconds:.0f} s). Wait for it to end, or stop it."
        )
        self.task_id = task_id
        self.waited_seconds = waited_seconds
        self.holder = holder

    def details(self) -> dict[str, Any]:
        return {"task_id": self.task_id}


class DirectoryUnusable(PipelineError):
    """The task's directory cannot be made, locked or written."""

    error_type = "directory_error"


class DatabaseUnavailable(PipelineError):
    """The business database cannot be opened or asked; the message never holds a password."""

    error_type = "database_error"


class QueryRefused(PipelineError):
    """A text is not one query that only reads: `kind` is one word for counts, the message says what to mend."""

    error_type = "query_refused"

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"The query was not run: {reason}.")
        self.kind = kind
        self.reason = reason


class QueryFailed(PipelineError):
    """The database refused a query, or it took too long: `kind` is one word for counts, the message says why."""

    error_type = "query_failed"

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"The query failed: {reason}.")
        self.kind = kind
        self.reason = reason


class ModelFailed(PipelineError):
    """The language model gave no answer that can be used; the message never holds the key."""

    error_type = "model_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The language model gave no answer: {reason}.")
        self.reason = reason


class EmbeddingFailed(PipelineError):
    """The embeddings server gave no vectors that can be used; the message never holds the key."""

    error_type = "embedding_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The embeddings server gave no vectors: {reason}.")
        self.reason = reason


class EmbedderMismatch(PipelineError):
    """What is there was made by one embedder, and another one is configured: their vectors must not meet."""

    error_type = "embedder_mismatch"

    def __init__(self, what: str, made_by: str, configured: str) -> None:
        super().__init__(
            f"{what} was made by the embedder {made_by}; configured is {configured}. Vectors of two embedders cannot "
            "be compared: set DATA_PIPELINE_EMBEDDING_MODEL and its companions as they were, or name another "
            "DATA_PIPELINE_VECTOR_STORE_URL and run training_load again."
        )
        self.made_by = made_by
        self.configured = configured


class ItemsMissing(PipelineError):
    """Items that a load had staged are not in the vector store any more: `ids`. Nothing was committed."""

    error_type = "items_missing"

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(
            f"{len(ids)} items left the vector store while they were loaded, the first is {ids[0]}: somebody restored "
            "or replaced its content. Nothing of this load was committed; run training_load again."
        )
        self.ids = tuple(ids)


class BackupDamaged(PipelineError):
    """A backup of the vectors is not what was written: nothing was restored, everything is as before."""

    error_type = "backup_damaged"

    def __init__(self, backup: str, reason: str) -> None:
        super().__init__(f"The backup {backup} cannot be restored: {reason}. Nothing was changed; take another one.")
        self.backup = backup
        self.reason = reason


class StoreUnavailable(PipelineError):
    """A database of our own, of tasks or of vectors, cannot be opened."""

    error_type = "store_error"


class RecoveryNeeded(PipelineError):
    """An earlier transaction in this directory is not settled; nothing was begun."""

    error_type = "recovery_needed"


class OutcomeUnsettled(PipelineError):
    """A change was written, and whether it took effect is not known until recovery settles it.

    With `is_damaged` recovery has given up: the journal was set aside for an operator.
    """

    error_type = "outcome_unknown"

    def __init__(self, what: str, reason: str, *, is_damaged: bool = False) -> None:
        super().__init__(
            f"It is not known whether {what} took effect. {reason} docs/operating.md describes what to do."
            if is_damaged
            else f"It is not known yet whether {what} took effect; recovery will settle it. {reason} "
            "Then run: data-pipeline recover"
        )


class StepFailed(PipelineError):
    """A step did not make all it should: `failures` says why, by table or item. Nothing of it was published."""

    error_type = "step_failed"

    def __init__(self, step: str, failures: Mapping[str, str]) -> None:
        listed = "; ".join(f"{item}: {reason}" for item, reason in list(failures.items())[:5])
        more = f"; and {len(failures) - 5} more" if len(failures) > 5 else ""
        super().__init__(f"Step {step} failed: {listed}{more}")
        self.step = step
        self.failures = dict(failures)


class PublishFailed(PipelineError):
    """Files could not take their places: they wait in `work_path`, or, without one, were given up."""

    error_type = "publish_failed"

    def __init__(self, reason: str, work_path: str | None) -> None:
        super().__init__(
            f"Nothing was published ({reason})."
            if work_path is None
            else f"The outputs were made but not published ({reason}). They are in {work_path}."
        )
        self.reason = reason
        self.work_path = work_path


class DeletionFailed(PipelineError):
    """A deletion failed and was undone; the message names the files that are not as before, if any."""

    error_type = "deletion_failed"

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"Failed: {what}: {reason}. Correct the cause and try again.")


class BackupProtected(PipelineError):
    """A backup must not be deleted: `reason` says why. Nothing was changed."""

    error_type = "backup_protected"

    def __init__(self, backup: str, reason: str, *, can_force: bool) -> None:
        hint = "Use force (`--force`) to delete it all the same." if can_force else "Try again later."
        super().__init__(f"The backup {backup} was not deleted: {reason}. {hint}")
        self.backup = backup
        self.reason = reason


class RestoreFailed(PipelineError):
    """Nothing was restored: everything is as before, except what the message names."""

    error_type = "restore_failed"
