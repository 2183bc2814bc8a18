"""Delete a task: its directory with all backups and, on request, its history and its training items."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from data_pipeline.config.settings import Settings
from data_pipeline.errors import NotFound
from data_pipeline.runs.engine import Engine
from data_pipeline.runs.worker_slots import WorkerSlots
from data_pipeline.store import Store
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.workspace import check_not_link, open_workspace
from data_pipeline.use_cases.disk import door
from data_pipeline.use_cases.idle import check_idle
from data_pipeline.vectors.search import SharedVectorStore


@dataclass(frozen=True)
class Deleted:
    """The files that were deleted with a task's directory."""

    file_count: int
    size_bytes: int
    had_directory: bool


@dataclass(frozen=True)
class TaskDeletion:
    """Deletes tasks. A task with a queued run is not deleted, so the engine is needed too."""

    settings: Settings
    store: Store
    engine: Engine
    vectors: SharedVectorStore

    def delete(self, task_id: str, *, with_history: bool) -> Deleted:
        """Delete a task's directory in one piece and, on request, its history and its training items.

        Raises NotFound, RunActive, TaskBusy, RecoveryNeeded, OutcomeUnsettled, and DirectoryUnusable, also for a
        directory that is a symbolic link.
        """
        self.store.task(task_id)
        check_idle(self.engine, self.store, task_id)
        path = task_directory.path_of(self.settings.training_data_path, task_id)
        check_not_link(path)
        file_count = size_bytes = 0
        had_directory = os.path.isdir(path)
        if not had_directory and not with_history:
            raise NotFound("directory of task", task_id)
        if had_directory:
            with open_workspace(
                path, task_id, label="deletion", timeout_seconds=0, door=door(self.settings)
            ) as workspace:
                file_count, size_bytes = workspace.remove()
        if with_history:
            self.vectors.drop(task_id)
            self.store.delete_task(task_id)
        return Deleted(file_count, size_bytes, had_directory)


@contextlib.contextmanager
def task_deletion(settings: Settings) -> Iterator[TaskDeletion]:
    """Open the databases that a deletion needs, without a server or a worker. Raises StoreUnavailable."""
    slots = WorkerSlots(settings.training_data_path)
    with contextlib.ExitStack() as stack:
        with slots.opening():
            store = stack.enter_context(Store.open(settings.store_url))
            engine = Engine.open(settings.engine_url, slots)
        stack.callback(engine.stop)
        vectors = SharedVectorStore(settings.vector_place)
        stack.callback(vectors.close)
        yield TaskDeletion(settings, store, engine, vectors)
