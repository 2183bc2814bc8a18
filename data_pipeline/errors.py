"""The errors of the pipeline, divided by what the caller does next.

    PipelineError           the base class; never raised itself
      InvalidInput          a value from outside is invalid; nothing was changed: correct the value
      NotAllowed            this server does not permit a valid value: ask its operator
      NotFound              a task, backup, file or step does not exist: list the existing ones
      RunActive             the task has a queued or running run: wait for it, or cancel it
      NotRunning            the task has no run to cancel: nothing to do
      TaskBusy              another process holds the task's directory: wait, or stop that process
      DirectoryUnusable     the task's directory cannot be created, locked or written: correct permissions, disk, mounts
      DatabaseUnavailable   the business database cannot be opened or queried: correct the URL or the database
      QueryRefused          a text is not one read-only query; it was not run: correct the query
      QueryFailed           the database rejected a query, or it timed out: correct the query
      ModelFailed           the language model gave no usable response: correct its settings, or run without it
      EmbeddingFailed       the embeddings server gave no usable vectors: correct its settings, or run without it
      EmbedderMismatch      the vector store was created with another embedder: use that one, or another store
      ItemsMissing          staged items disappeared from the vector store: run training_load again
      BackupDamaged         a backup of the vectors is damaged; nothing was changed: use another one
      StoreUnavailable      the application's own database cannot be opened: correct its URL or the database
      RecoveryNeeded        an earlier transaction is unfinished, so none was begun: run `data-pipeline recover`
      OutcomeUnsettled      the outcome of a change is unknown until recovery: run `data-pipeline recover`
      StepFailed            a step could not create all of its outputs; none of them was published
      PublishFailed         the outputs of a step could not be published; they are in the folder that the message names
      RestoreFailed         nothing was restored: everything is as before, except what the message names

Every message names the event, the thing and the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class PipelineError(Exception):
    """The base class: a message for users, and `error_type` with `details` for programs."""

    error_type: ClassVar[str] = "failed"

    def details(self) -> dict[str, Any]:
        """Return the values that a program needs besides the message, by key."""
        return {}


class InvalidInput(PipelineError, ValueError):
    """A value from outside is invalid: `field` names it, `problems` lists all its faults."""

    error_type = "invalid_params"

    def __init__(self, field: str, *problems: str) -> None:
        super().__init__(f"{field}: {'; '.join(problems)}")
        self.field = field
        self.problems = problems

    def details(self) -> dict[str, Any]:
        return {"invalid_params": {self.field: list(self.problems)}}


class NotAllowed(PipelineError):
    """The request is well formed, but this server does not permit it."""

    error_type = "not_allowed"


class NotFound(PipelineError, LookupError):
    """The `kind` of thing (task, backup, file, step) with this name does not exist."""

    error_type = "resource_not_found"

    def __init__(self, kind: str, name: str, hint: str = "") -> None:
        named = f"{kind[:1].upper()}{kind[1:]}" + (f" {name!a}" if name else "")
        super().__init__(f"{named} not found." + (f" {hint}" if hint else ""))
        self.kind = kind
        self.name = name


class RunActive(PipelineError):
    """The task has an unfinished run, `execution_id`."""

    error_type = "task_running"

    def __init__(self, task_id: str, execution_id: str) -> None:
        super().__init__(f"Task {task_id} has an unfinished run: {execution_id}. Wait for it, or cancel it.")
        self.task_id = task_id
        self.execution_id = execution_id

    def details(self) -> dict[str, Any]:
        return {"task_id": self.task_id, "execution_id": self.execution_id}


class NotRunning(PipelineError):
    """The task has no unfinished run."""

    error_type = "task_not_running"

    def __init__(self, task_id: str) -> None:
        super().__init__(f"Task {task_id} has no unfinished run.")
        self.task_id = task_id


class TaskBusy(PipelineError):
    """Another process holds the task's directory; `holder` describes it, or is None if it left no note."""

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
    """The task's directory cannot be created, locked or written."""

    error_type = "directory_error"


class DatabaseUnavailable(PipelineError):
    """The business database cannot be opened or queried; the message never contains a password."""

    error_type = "database_error"


class QueryRefused(PipelineError):
    """A text is not one read-only query: `kind` is one word for counts, the message says what to correct."""

    error_type = "query_refused"

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"The query was not run: {reason}.")
        self.kind = kind
        self.reason = reason


class QueryFailed(PipelineError):
    """The database rejected a query, or it timed out: `kind` is one word for counts, the message has the reason."""

    error_type = "query_failed"

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"The query failed: {reason}.")
        self.kind = kind
        self.reason = reason


class ModelFailed(PipelineError):
    """The language model gave no usable response; the message never contains the key."""

    error_type = "model_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The language model gave no usable response: {reason}.")
        self.reason = reason


class EmbeddingFailed(PipelineError):
    """The embeddings server gave no usable vectors; the message never contains the key."""

    error_type = "embedding_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The embeddings server gave no usable vectors: {reason}.")
        self.reason = reason


class EmbedderMismatch(PipelineError):
    """The stored vectors come from another embedder than the configured one, so they cannot be compared."""

    error_type = "embedder_mismatch"

    def __init__(self, what: str, made_by: str, configured: str) -> None:
        super().__init__(
            f"{what} was created with the embedder {made_by}, but {configured} is configured, and vectors of two "
            "embedders cannot be compared. Restore the previous DATA_PIPELINE_EMBEDDING_* settings, or set another "
            "DATA_PIPELINE_VECTOR_STORE_URL and run training_load again."
        )
        self.made_by = made_by
        self.configured = configured


class ItemsMissing(PipelineError):
    """Staged items (`ids`) disappeared from the vector store during a load. Nothing was committed."""

    error_type = "items_missing"

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(
            f"{len(ids)} items disappeared from the vector store during the load, the first is {ids[0]}: another "
            "process restored or replaced its content. Nothing of this load was committed. Run training_load again."
        )
        self.ids = tuple(ids)


class BackupDamaged(PipelineError):
    """A backup of the vectors differs from its manifest. Nothing was restored, everything is as before."""

    error_type = "backup_damaged"

    def __init__(self, backup: str, reason: str) -> None:
        super().__init__(f"The backup {backup} cannot be restored: {reason}. Nothing was changed. Use another backup.")
        self.backup = backup
        self.reason = reason


class StoreUnavailable(PipelineError):
    """The task store or the vector store cannot be opened."""

    error_type = "store_error"


class RecoveryNeeded(PipelineError):
    """An earlier transaction in this directory is unfinished; no new one was begun."""

    error_type = "recovery_needed"


class OutcomeUnsettled(PipelineError):
    """A change was written, but its outcome is unknown until recovery completes it or rolls it back.

    With `is_damaged`, recovery is not possible, and the journal was kept for an operator.
    """

    error_type = "outcome_unknown"

    def __init__(self, what: str, reason: str, *, is_damaged: bool = False) -> None:
        super().__init__(
            f"The outcome of {what} is unknown. {reason} docs/operating.md describes what to do."
            if is_damaged
            else f"The outcome of {what} is unknown until recovery. {reason} Then run: data-pipeline recover"
        )


class StepFailed(PipelineError):
    """A step could not create all of its outputs: `failures` has the reasons by table or item. None was published."""

    error_type = "step_failed"

    def __init__(self, step: str, failures: Mapping[str, str]) -> None:
        listed = "; ".join(f"{item}: {reason}" for item, reason in list(failures.items())[:5])
        more = f"; and {len(failures) - 5} more" if len(failures) > 5 else ""
        super().__init__(f"Step {step} failed: {listed}{more}")
        self.step = step
        self.failures = dict(failures)


class PublishFailed(PipelineError):
    """Files could not be published: they are in `work_path`, or, without one, were discarded."""

    error_type = "publish_failed"

    def __init__(self, reason: str, work_path: str | None) -> None:
        super().__init__(
            f"Nothing was published ({reason})."
            if work_path is None
            else f"The outputs were created but not published ({reason}). They are in {work_path}."
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
