"""Composes the server: store, engine and worker around the routes, and recovery before the first request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from data_pipeline.engine import Engine
from data_pipeline.errors import PipelineError, TaskBusy
from data_pipeline.event_recorder import EventRecorder
from data_pipeline.service.errors import add_error_answers
from data_pipeline.service.request_log import RequestLines
from data_pipeline.service.routes import backups, executions, health, tasks
from data_pipeline.service.runs import Runs
from data_pipeline.service.security import Gate
from data_pipeline.settings import Settings
from data_pipeline.store import Store
from data_pipeline.worker_slots import WorkerSlots
from data_pipeline.workspace import RecoveryReport, make_directories, recover_tasks, recovery_notes

LOGGER = logging.getLogger("data_pipeline.service")
RECONCILE_SECONDS: Final = 30.0

Role = Literal["all", "api", "worker"]


def create_app(settings: Settings, *, role: Role = "all", is_stopping: Callable[[], bool] = lambda: False) -> FastAPI:
    """The server as an ASGI application; what it opens it opens when it starts. `is_stopping` ends what would wait."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        parts = await asyncio.to_thread(_open, settings, role)
        app.state.runs = parts.runs
        app.state.health = parts.health
        reconciling = asyncio.ensure_future(_reconcile_for_ever(parts.runs))
        try:
            yield
        finally:
            reconciling.cancel()
            await asyncio.to_thread(_close, parts)

    app = FastAPI(
        title="Data Pipeline API",
        summary="A relational database becomes text-to-SQL training data, again and again, and nothing is lost.",
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
    )
    app.state.is_stopping = is_stopping
    app.state.hidden_prefix = os.path.join(settings.training_data_path, "")
    app.state.health = lambda: {"status": "starting"}
    app.include_router(health.router)
    if role != "worker":
        for routes in (tasks, executions, backups):
            app.include_router(routes.router)
    add_error_answers(app)
    app.add_middleware(Gate, api_key=settings.api_key.get_secret_value() if settings.api_key else None)
    app.add_middleware(RequestLines)
    return app


@dataclass
class _Parts:
    settings: Settings
    role: Role
    runs: Runs
    recovery: dict[str, Any]
    started: float

    def health(self) -> dict[str, Any]:
        return {
            "status": "ok",
            "role": self.role,
            "uptime_seconds": round(time.monotonic() - self.started, 1),
            "runs_active": self.runs.engine.running_count,
            "recovery": self.recovery,
        }


def _open(settings: Settings, role: Role) -> _Parts:
    started = time.monotonic()
    make_directories(settings.training_data_path)
    recovery = _recover(settings.training_data_path)
    store = Store.open(settings.store_url)
    engine = Engine.open(settings.engine_url, WorkerSlots(settings.training_data_path))
    runs = Runs(settings, store, engine, EventRecorder(store))
    for note in runs.reconcile():
        LOGGER.warning("%s", note)
    if role != "api":
        engine.start_worker(runs.work, runs_at_once=settings.runs_at_once)
    return _Parts(settings, role, runs, recovery, started)


def _close(parts: _Parts) -> None:
    stuck = parts.runs.engine.stop(limit_seconds=parts.settings.shutdown_seconds)
    parts.runs.recorder.close()
    parts.runs.store.close()
    if stuck:
        LOGGER.warning("Did not stop in time, will go on at the next start: %s", ", ".join(stuck))
        logging.shutdown()
        os._exit(0)  # their threads would keep the process alive; a kill is what everything here survives


def _recover(training_data: str) -> dict[str, Any]:
    """Finish or undo what killed processes left, and say so."""
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
            LOGGER.warning("The store cannot be compared with the engine: %s", type(error).__name__)
