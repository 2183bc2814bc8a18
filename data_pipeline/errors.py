"""The errors of the application, grouped by the next action of the caller.

    PipelineError           the base class, never raised itself
      InvalidInput          a value of the request is wrong: correct it; nothing was changed
      NotAllowed            a valid request that this server does not permit: contact its operator
      NotFound              unknown task, backup, file or step: check the list
      RunActive             the task has a queued or running run: wait for it, or cancel it
      NotRunning            the task has no run to cancel: nothing to do
      TaskBusy              another process holds the task's directory: wait for it, or stop it
      DirectoryUnusable     the task's directory cannot be created, locked or written: correct permissions or disk
      DatabaseUnavailable   the business database cannot be opened or queried: correct the URL, or repair the database
      QueryRefused          a text is not a single read-only query: correct the query; it was not run
      QueryFailed           the database rejected a query, or it timed out: correct the query
      ModelFailed           no usable answer from the language model: correct its settings, or continue without it
      EmbeddingFailed       no usable vectors from the embeddings server: correct its settings, or remove them
      EmbedderMismatch      another embedder computed the vectors of the store: configure that one, or another store
      ItemsMissing          items were staged for the vector store and are missing now: run training_load again
      BackupDamaged         a backup of the vector store differs from its manifest: restore another; nothing was changed
      StoreUnavailable      a database of the application cannot be used: correct its URL, or repair the database
      RecoveryNeeded        an earlier transaction is unfinished, so nothing was begun: run `data-pipeline recover`
      OutcomeUnsettled      unknown until recovery whether a change took effect: run `data-pipeline recover`
      StepFailed            some outputs of a step are missing; none of them were published
      PublishFailed         the outputs of a step could not be published; they are in the folder that is named
      DeletionFailed        a deletion was undone: correct the cause, and try again
      BackupProtected       a backup must not be deleted: the message has the reason
      RestoreFailed         nothing was restored: everything is as before, except for the files that the message names

Every message has four parts: what happened, to which thing, why, and what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class PipelineError(Exception):
    """The base class: a message for people, and `error_type` with `details` for programs."""

    error_type: ClassVar[str] = "failed"

    def details(self) -> dict[str, Any]:
        """Return the details for programs, by key."""
        return {}


class InvalidInput(PipelineError, ValueError):
    """A value of the request is wrong: `field` is its name, `problems` are all faults of it."""

    error_type = "invalid_params"

    def __init__(self, field: str, *problems: str) -> None:
        super().__init__(f"{field}: {'; '.join(problems)}")
        self.field = field
        self.problems = problems

    def details(self) -> dict[str, Any]:
        return {"invalid_params": {self.field: list(self.problems)}}


class NotAllowed(PipelineError):
    """The request is valid, and this server does not permit it."""

    error_type = "not_allowed"


class NotFound(PipelineError, LookupError):
    """A thing of this `kind` (task, backup, file, step) and name does not exist."""

    error_type = "resource_not_found"

    def __init__(self, kind: str, name: str, hint: str = "") -> None:
        thing = f"{kind[:1].upper()}{kind[1:]}" + (f" {name!a}" if name else "")
        super().__init__(f"{thing} not found." + (f" {hint}" if hint else ""))
        self.kind = kind
        self.name = name


class RunActive(PipelineError):
    """The task has an unfinished run: `execution_id`."""

    error_type = "task_running"

    def __init__(self, task_id: str, execution_id: str) -> None:
        super().__init__(f"Task {task_id} has an unfinished run: {execution_id}. Wait for it, or cancel it.")
        self.task_id = task_id
        self.execution_id = execution_id

    def details(self) -> dict[str, Any]:
        return {"task_id": self.task_id, "execution_id": self.execution_id}


class NotRunning(PipelineError):
    """All runs of the task have ended."""

    error_type = "task_not_running"

    def __init__(self, task_id: str) -> None:
        super().__init__(f"Task {task_id} has no unfinished run: nothing to cancel.")
        self.task_id = task_id


class TaskBusy(PipelineError):
    """Another process holds the task's directory. `holder` describes it, None if it is unknown."""

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
    """The business database cannot be opened or queried. The message never has a password."""

    error_type = "database_error"


class QueryRefused(PipelineError):
    """A text is not a single read-only query. `kind` is one word for counts, the message has the reason."""

    error_type = "query_refused"

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"The query was not run: {reason}.")
        self.kind = kind
        self.reason = reason


class QueryFailed(PipelineError):
    """The database rejected a query, or it timed out. `kind` is one word for counts, the message has the reason."""

    error_type = "query_failed"

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"The query failed: {reason}.")
        self.kind = kind
        self.reason = reason


class ModelFailed(PipelineError):
    """The language model did not return a usable answer. The message never has the API key."""

    error_type = "model_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"No usable answer from the language model: {reason}.")
        self.reason = reason


class EmbeddingFailed(PipelineError):
    """The embeddings server did not return usable vectors. The message never has the API key."""

    error_type = "embedding_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"No usable vectors from the embeddings server: {reason}.")
        self.reason = reason


class EmbedderMismatch(PipelineError):
    """Existing vectors are of another embedder than the configured one, so they cannot be compared."""

    error_type = "embedder_mismatch"

    def __init__(self, what: str, made_by: str, configured: str) -> None:
        super().__init__(
            f"{what} was created by the embedder {made_by}; configured is {configured}. Vectors of two embedders "
            "cannot be compared: restore the old DATA_PIPELINE_EMBEDDING_... settings, or set another "
            "DATA_PIPELINE_VECTOR_STORE_URL and run training_load again."
        )
        self.made_by = made_by
        self.configured = configured


class ItemsMissing(PipelineError):
    """Items that a load had staged are missing in the vector store: `ids`. Nothing was committed."""

    error_type = "items_missing"

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(
            f"{len(ids)} items were removed from the vector store during their load, the first is {ids[0]}: the store "
            "was restored or replaced. The load was not committed; run training_load again."
        )
        self.ids = tuple(ids)


class BackupDamaged(PipelineError):
    """A backup of the vector store differs from its manifest. Nothing was restored, everything is as before."""

    error_type = "backup_damaged"

    def __init__(self, backup: str, reason: str) -> None:
        super().__init__(
            f"The backup {backup} cannot be restored: {reason}. Nothing was changed. Restore another backup."
        )
        self.backup = backup
        self.reason = reason


class StoreUnavailable(PipelineError):
    """A database of the application cannot be opened or used."""

    error_type = "store_error"


class RecoveryNeeded(PipelineError):
    """An earlier transaction in this directory is unfinished. Nothing was begun."""

    error_type = "recovery_needed"


class OutcomeUnsettled(PipelineError):
    """It is unknown until recovery whether a change took effect.

    With `is_damaged`, recovery is not possible: the journal was set aside for an operator.
    """

    error_type = "outcome_unknown"

    def __init__(self, what: str, reason: str, *, is_damaged: bool = False) -> None:
        super().__init__(
            f"It is unknown whether {what} took effect. {reason} See docs/operating.md."
            if is_damaged
            else f"It is unknown until recovery whether {what} took effect. {reason} Then run: data-pipeline recover"
        )


class StepFailed(PipelineError):
    """Some outputs of a step are missing: `failures` has the reasons, by table or item. None were published."""

    error_type = "step_failed"

    def __init__(self, step: str, failures: Mapping[str, str]) -> None:
        listed = "; ".join(f"{item}: {reason}" for item, reason in list(failures.items())[:5])
        more = f"; and {len(failures) - 5} more" if len(failures) > 5 else ""
        super().__init__(f"Step {step} failed: {listed}{more}")
        self.step = step
        self.failures = dict(failures)


class PublishFailed(PipelineError):
    """Files could not be published: they are in `work_path`, or were deleted if that is None."""

    error_type = "publish_failed"

    def __init__(self, reason: str, work_path: str | None) -> None:
        super().__init__(
            f"Nothing was published ({reason})."
            if work_path is None
            else f"The outputs were not published ({reason}). They are in {work_path}."
        )
        self.reason = reason
        self.work_path = work_path


class DeletionFailed(PipelineError):
    """A deletion failed and was undone. The message names the files that are not as before, if any."""

    error_type = "deletion_failed"

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"Failed: {what}: {reason}. Correct the cause and try again.")


class BackupProtected(PipelineError):
    """A backup must not be deleted, for this `reason`. Nothing was changed."""

    error_type = "backup_protected"

    def __init__(self, backup: str, reason: str, *, can_force: bool) -> None:
        hint = "Use force (`--force`) to delete it anyway." if can_force else "Try again later."
        super().__init__(f"The backup {backup} was not deleted: {reason}. {hint}")
        self.backup = backup
        self.reason = reason


class RestoreFailed(PipelineError):
    """Nothing was restored: everything is as before, except for the files that the message names."""

    error_type = "restore_failed"
