"""Composition of the server: recovery before the first request, then store, engine, worker and routes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal

from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from data_pipeline.config.settings import Settings
from data_pipeline.errors import PipelineError, TaskBusy
from data_pipeline.runs.checksum_recorder import ChecksumRecorder
from data_pipeline.runs.engine import Engine
from data_pipeline.runs.event_recorder import EventRecorder
from data_pipeline.runs.metrics import Metrics
from data_pipeline.runs.worker_slots import WorkerSlots
from data_pipeline.service.description import describe
from data_pipeline.service.errors import add_error_answers
from data_pipeline.service.request_log import RequestLines
from data_pipeline.service.routes import (
    backups,
    databases,
    executions,
    files,
    health,
    logs,
    task_lists,
    tasks,
    training_data,
)
from data_pipeline.service.routes import vectors as vector_routes
from data_pipeline.service.security import Gate
from data_pipeline.store import Store
from data_pipeline.tasks.workspace import RecoveryReport, make_directories, recover_tasks, recovery_notes
from data_pipeline.use_cases.disk import door
from data_pipeline.use_cases.runs import Runs
from data_pipeline.vectors.backup_statistics import count_backups
from data_pipeline.vectors.search import SharedVectorStore

LOGGER = logging.getLogger("data_pipeline.service")
RECONCILE_SECONDS: Final = 30.0
REQUEST_THREADS: Final = 40
"""The same number as FastAPI has for blocking routes."""

Role = Literal["all", "api", "worker"]


@dataclass
class Service:
    """The objects that the routes use, opened by `open_service`."""

    settings: Settings
    role: Role
    runs: Runs
    recovery: dict[str, int]
    started: float

    def health(self) -> dict[str, Any]:
        """Return the server's state from memory, without any I/O."""
        return {
            "status": "ok",
            "role": self.role,
            "uptime_seconds": round(time.monotonic() - self.started, 1),
            "runs_active": self.runs.engine.running_count,
            "recovery": self.recovery,
        }


@contextlib.contextmanager
def open_service(settings: Settings, role: Role = "all") -> Iterator[Service]:
    """Recover the task directories, open store and engine, and execute runs unless the role is `api`.

    On exit, running work has `shutdown_seconds` to end. If a run does not stop in that time, the process exits with
    code 0 and the run continues at the next start. Raises StoreUnavailable, TaskBusy, OSError.
    """
    started = time.monotonic()
    make_directories(settings.training_data_path)
    recovery = _recover(settings.training_data_path)
    slots = WorkerSlots(settings.training_data_path)
    with contextlib.ExitStack() as stack:
        with slots.opening():
            store = stack.enter_context(Store.open(settings.store_url))
            engine = Engine.open(settings.engine_url, slots)
        recorder = EventRecorder(store)
        vectors = SharedVectorStore(settings.vector_place)
        stack.callback(vectors.close)
        stuck: list[str] = []
        try:
            metrics = Metrics()
            metrics.recovered(recovery)
            metrics.watch_active(lambda: engine.running_count)
            metrics.watch_backups(lambda: count_backups(settings.training_data_path))
            checksums = _start_checksums(settings, role, metrics)
            if checksums is not None:
                stack.callback(checksums.close)  # after the runs have ended, because they add to its queue
            runs = Runs(settings, store, engine, recorder, metrics, vectors, checksums)
            for note in runs.reconcile():
                LOGGER.warning("%s", note)
            if role != "api":
                engine.start_worker(runs.work, runs_at_once=settings.runs_at_once)
            yield Service(settings, role, runs, recovery, started)
        finally:
            stuck = engine.stop(limit_seconds=settings.shutdown_seconds)
            recorder.close()
    if stuck:
        LOGGER.warning("Runs did not stop in time and will continue at the next start: %s", ", ".join(stuck))
        logging.shutdown()
        os._exit(0)  # their threads would keep the process alive, and every part of the program survives a kill


def _start_checksums(settings: Settings, role: Role, metrics: Metrics) -> ChecksumRecorder | None:
    """Start recording checksums in the background if the settings ask for it and this process executes runs."""
    if not settings.backup_checksums or role == "api":
        return None
    return ChecksumRecorder(settings.training_data_path, door=door(settings), count=metrics.checksums)


def create_app(service: Service, *, is_stopping: Callable[[], bool] = lambda: False) -> FastAPI:
    """Return the server as an ASGI application; `is_stopping` ends responses that would otherwise wait."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(REQUEST_THREADS, "request"))
        reconciling = asyncio.ensure_future(_reconcile_for_ever(service.runs))
        yield
        reconciling.cancel()

    settings = service.settings
    app = FastAPI(
        title="Data Pipeline API",
        summary="Turn a relational database into text-to-SQL training data, repeatedly, without losing earlier files.",
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts from another host
        redoc_url=None,
    )
    app.state.runs = service.runs
    app.state.health = service.health
    app.state.is_stopping = is_stopping
    app.state.hidden_prefix = os.path.join(settings.training_data_path, "")
    app.include_router(health.router)
    if service.role != "worker":
        for routes in (task_lists, tasks, executions, backups, files, logs, databases, training_data, vector_routes):
            app.include_router(routes.router)
    add_error_answers(app)
    describe(app)
    app.add_middleware(Gate, api_key=settings.api_key.get_secret_value() if settings.api_key else None)
    app.add_middleware(RequestLines, metrics=service.runs.metrics)
    return app


def _recover(training_data: str) -> dict[str, int]:
    """Complete or roll back the changes of killed processes, log each of them and return the counts."""
    counts = {"directories": 0, "recovered": 0, "busy": 0, "failed": 0}
    for task_id, result in sorted(recover_tasks(training_data).items()):
        counts["directories"] += 1
        if isinstance(result, RecoveryReport):
            notes = recovery_notes(result)
            counts["recovered"] += bool(notes)
            for note in notes:
                LOGGER.warning("Task %s: %s", task_id, note)
        else:
            counts["busy" if isinstance(result, TaskBusy) else "failed"] += 1
            LOGGER.warning("Task %s: %s", task_id, result)
    return counts


async def _reconcile_for_ever(runs: Runs) -> None:
    while True:
        await asyncio.sleep(RECONCILE_SECONDS)
        try:
            for note in await asyncio.to_thread(runs.reconcile):
                LOGGER.warning("%s", note)
        except (SQLAlchemyError, PipelineError) as error:
            LOGGER.warning("Failed to reconcile the store with the engine (%s); retrying", type(error).__name__)
