"""Durable runs in the background, on DBOS; the only module that imports it.

The engine owns the queue, the limit of one run for each task, the records of durable calls, cancel and resume. The work
of a run is a function that the caller passes. Arguments and results are in its database in clear: ids, names of files
with their SHA-256, and the SQL of pairs, but no secret and no row.

Traps of DBOS 3.4, each with a test in tests/data_pipeline/test_engine.py:

- If two live processes share an executor id, one steals the other's runs. So ids are worker slots, held by a lock.
- Its application version is a hash of the code, so that every change would abandon pending work. So it is a number.
- It finds records by position, so that a call more or less in a pending run is an error. So they are found by name.
- It records a cancelled asyncio task as an error. So a suspended run ends by an exception that DBOS does not record.
- Its end stops the event loop before the threads that claim runs, and a run claimed meanwhile never begins. So the
  engine stops these threads first.
- Its serializer is pickle, which runs code of any user who can write the database. So the serializer is JSON.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Literal, TypeVar, cast

from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions, StepReservation
from dbos import error as dbos_error
from sqlalchemy.exc import SQLAlchemyError

from data_pipeline.runs.sqlite_clock import add_subsecond_clock
from data_pipeline.runs.worker_slots import WorkerSlots
from data_pipeline.steps.runner import IsUsable, StepRunner, Work
from data_pipeline.store.own_database import DatabaseRole, OwnDatabase
from data_pipeline.tasks.results import Json
from data_pipeline.tasks.workspace import Workspace

WORKFLOW_SCHEMA: Final = 1
"""Increase it if this version cannot continue the pending runs of an older one; these runs are then failed."""

QUEUE: Final = "runs"
APPLICATION: Final = "data_pipeline"
POLL_SECONDS: Final = 0.2
"""Interval for starting queued runs, and for noticing a cancel by another process."""

TAKEOVER_SECONDS: Final = 5.0
"""Interval for finding runs of dead workers."""

FORGET_SECONDS: Final = 3600.0
"""Interval for deleting the records of runs that ended more than `KEEP_SECONDS` ago."""

KEEP_SECONDS: Final = 86_400.0
FORGET_LIMIT: Final = 1000

ABANDON_SECONDS: Final = 5.0
"""Maximum time in which a stopped run must release its lock."""

CLAIM_SECONDS: Final = 10.0
"""Maximum time for a claim that has begun when the worker stops."""

LOGGER = logging.getLogger("data_pipeline.engine")

ENGINE_DATABASE: Final = DatabaseRole("database of the engine", "DATA_PIPELINE_DATABASE_URL")
POOL_SIZE: Final = 10

RunState = Literal["queued", "running", "completed", "failed", "cancelled"]

SERIALIZER: Final = DBOSPortableJSONSerializer()
_STATES: Final[Mapping[str, RunState]] = {
    "ENQUEUED": "queued",
    "DELAYED": "queued",
    "PENDING": "running",
    "SUCCESS": "completed",
    "ERROR": "failed",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "failed",
    "CANCELLED": "cancelled",
}
_UNFINISHED: Final = ["ENQUEUED", "DELAYED", "PENDING"]
_ENDED: Final = [status for status in _STATES if status not in _UNFINISHED]


@dataclass(frozen=True)
class RunOrder:
    """A request for a run; `step` is the only step, None for a complete run."""

    task_id: str
    run_id: str
    step: str | None = None


@dataclass(frozen=True)
class EngineRun:
    """A run in the engine; `schema` is that of the program that admitted it, `worker` the last worker that had it."""

    task_id: str
    run_id: str
    state: RunState
    schema: int
    worker: str | None


@dataclass
class RunControl:
    """The environment of a run: its order, the runner of its durable calls, and whether it must suspend."""

    order: RunOrder
    runner: DurableRunner
    is_suspended: Callable[[], bool]


Result = TypeVar("Result")
RunFunction = Callable[[RunControl], Awaitable[None]]


class _Suspended(BaseException):
    """Ends a run in this process and leaves it pending: DBOS records an Exception, but not a BaseException."""


class DurableRunner(StepRunner):
    """The `StepRunner` of one attempt of a run: a call that an earlier attempt recorded by name is not repeated.

    `recorded` are the results of those calls; `taken` is the number of positions that DBOS has used for them.
    """

    def __init__(self, recorded: Mapping[str, Json], taken: int, is_suspended: Callable[[], bool]) -> None:
        self._recorded = dict(recorded)
        self._is_suspended = is_suspended
        for _ in range(taken):
            DBOS.reserve_step()  # left unused: new calls come after the recorded ones

    async def _prepare(self, name: str, work: Work, is_usable: IsUsable) -> Work:
        if name in self._recorded and await is_usable(self._recorded[name]):
            return partial(_recorded, self._recorded[name])
        return partial(self._call_durably, name, work, DBOS.reserve_step())

    async def _call_durably(self, name: str, work: Work, reserved: StepReservation) -> Json:
        if self._is_suspended():
            raise asyncio.CancelledError
        self._recorded[name] = result = await reserved.run_async({"name": name}, _call, work)
        return result


async def _recorded(result: Json) -> Json:
    return result


def _is_no_cancel(record: logging.LogRecord) -> bool:
    """False for a cancelled run, which DBOS logs like a defect, with a traceback."""
    cancels = (dbos_error.DBOSWorkflowCancelledError, dbos_error.DBOSAwaitedWorkflowCancelledError)
    return record.exc_info is None or not isinstance(record.exc_info[1], cancels)


@dataclass
class _Running:
    task: asyncio.Task[None]
    loop: asyncio.AbstractEventLoop
    is_cancelled: bool = False


@dataclass
class _Worker:
    name: str
    slot: Workspace
    run: RunFunction
    dbos: DBOS
    running: dict[str, _Running] = field(default_factory=dict)
    is_suspended: bool = False
    ends: threading.Event = field(default_factory=threading.Event)
    watcher: threading.Thread | None = None

    def stop_claiming(self) -> None:
        """Claim no more runs; a run that is being claimed still begins."""
        for stop in self.dbos.background_thread_stop_events:
            stop.set()
        for thread in threading.enumerate():
            # A thread is listed before it has started, and cannot be joined until then.
            if thread.name.startswith("queue-worker-") and thread.is_alive():
                thread.join(CLAIM_SECONDS)

    def is_idle(self) -> bool:
        """True if no run is beginning, running, or being recorded as ended."""
        return not self.dbos._workflow_tasks  # noqa: SLF001 - `running` lacks those that begin or end


class Engine:
    """Admits, cancels and lists runs; after `start_worker` this process runs them too. Create it with `open`.

    Methods block and can be called from any thread. A process has one engine.
    """

    def __init__(self, database: OwnDatabase, slots: WorkerSlots) -> None:
        self._database = database
        self._slots = slots
        self._client = _client_on(database)
        self._worker: _Worker | None = None

    @classmethod
    def open(cls, url: str, slots: WorkerSlots) -> Engine:
        """Open the engine's database, SQLite or PostgreSQL; create or migrate it. Raises StoreUnavailable."""
        notes = logging.getLogger("dbos")
        notes.setLevel(logging.ERROR)  # below that, DBOS logs its own operation
        notes.addFilter(_is_no_cancel)  # adding it again changes nothing
        database = OwnDatabase.open(url, ENGINE_DATABASE, prepare=_add_clock, pool_size=POOL_SIZE)
        with database.closing_on_error():
            _migrate(database)
            return cls(database, slots)

    # ---- for requests -------------------------------------------------------------------------------------------

    def admit(self, order: RunOrder) -> str:
        """Queue a run, unless the task has an unfinished one; return the id of the run that the task has now."""
        options: EnqueueOptions = {
            "workflow_name": RUN_TASK,
            "queue_name": QUEUE,
            "workflow_id": _workflow_id(order.task_id, order.run_id),
            "workflow_id_reuse_policy": "reject",
            "deduplication_id": order.task_id,
            "duplication_policy": "return-existing",
            "app_version": str(WORKFLOW_SCHEMA),
        }
        handle: Any = self._client.enqueue(options, order.task_id, order.run_id, order.step)
        return _ids(handle.get_workflow_id())[1]

    def cancel(self, task_id: str, run_id: str) -> None:
        """Cancel a run. A queued run never begins; a running one stops within a second, in any process."""
        self._client.cancel_workflow(_workflow_id(task_id, run_id))
        if self._worker is not None:
            self._stop_cancelled([_workflow_id(task_id, run_id)])

    def run_of(self, task_id: str) -> EngineRun | None:
        """Return the unfinished run of a task; None if it has none."""
        runs = self._list(status=_UNFINISHED, workflow_id_prefix=f"{task_id}:")
        return next((run for run in runs if run.task_id == task_id), None)

    def unfinished(self) -> list[EngineRun]:
        """Return every unfinished run."""
        return self._list(status=_UNFINISHED)

    def was_cancelled(self, task_id: str, run_id: str) -> bool:
        """True if a run was cancelled."""
        return bool(self._list(workflow_ids=[_workflow_id(task_id, run_id)], status="CANCELLED"))

    def forget_ended(self, before: datetime) -> int:
        """Delete the records of runs that ended before a time; return their number. The store keeps their history."""
        ended = self._list(status=list(_ENDED), completed_before=before.isoformat(), limit=FORGET_LIMIT)
        if ended:
            self._client.delete_workflows([_workflow_id(run.task_id, run.run_id) for run in ended])
        return len(ended)

    # ---- for the worker -----------------------------------------------------------------------------------------

    def start_worker(self, run: RunFunction, *, runs_at_once: int) -> None:
        """Start to run queued runs, at most `runs_at_once`, and to continue those of dead workers.

        `run` is called for every order on a thread of the engine, and returns when the run has ended or failed.
        """
        assert self._worker is None, "a process has one worker"
        name, slot = self._slots.claim()
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_engine": self._database.engine,
            "application_version": str(WORKFLOW_SCHEMA),
            "executor_id": name,
            "serializer": SERIALIZER,
            "use_listen_notify": False,
            "log_level": "ERROR",
        }
        worker = self._worker = _Worker(name, slot, run, DBOS(config=config))

        async def run_task(task_id: str, run_id: str, step: str | None) -> None:
            await self._run_task(RunOrder(task_id, run_id, step))

        DBOS.workflow(name=RUN_TASK)(run_task)
        DBOS.listen_queues([QUEUE])
        DBOS.launch()
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=runs_at_once,
            polling_interval_sec=POLL_SECONDS,
            on_conflict="always_update",
        )
        worker.watcher = threading.Thread(target=self._watch, args=(worker,), name="engine-watcher", daemon=True)
        worker.watcher.start()
        LOGGER.info("Worker %s takes runs, %d at once", name, runs_at_once)

    @property
    def running_count(self) -> int:
        """The number of runs that this process is running, from memory."""
        return 0 if self._worker is None else len(self._worker.running)

    def older_runs(self) -> list[EngineRun]:
        """Return the unfinished runs of an older workflow schema that no live worker has; none can continue them."""
        return [run for run in self.unfinished() if run.schema < WORKFLOW_SCHEMA and not self._is_live(run.worker)]

    def stop(self, *, limit_seconds: float = 0.0) -> list[str]:
        """Stop the worker. Durable calls that have begun may end within the limit; then the runs are suspended.

        Suspended runs stay pending for the next start. Return the ids of runs that did not stop: exit the process then.
        """
        worker = self._worker
        stuck: list[str] = []
        if worker is not None:
            worker.stop_claiming()
            worker.is_suspended = True
            _wait_until(worker.is_idle, limit_seconds)
            for running in list(worker.running.values()):
                running.loop.call_soon_threadsafe(running.task.cancel)
            _wait_until(worker.is_idle, ABANDON_SECONDS)
            stuck = [_ids(workflow_id)[1] for workflow_id in worker.running]
            self._worker = None
            worker.ends.set()
            if worker.watcher is not None:
                worker.watcher.join()
            if not stuck:  # else keep the slot, or another worker would take over runs that are still at work
                DBOS.destroy(destroy_registry=True)
                worker.slot.directory.release()
        self._client.destroy()
        self._database.close()
        return stuck

    # ---- internals ----------------------------------------------------------------------------------------------

    async def _run_task(self, order: RunOrder) -> None:
        worker, workflow_id = self._worker, _workflow_id(order.task_id, order.run_id)
        if worker is None:
            raise _Suspended
        task = asyncio.ensure_future(self._attempt(order, worker))
        running = worker.running[workflow_id] = _Running(task, asyncio.get_running_loop())
        try:
            await task
        except (asyncio.CancelledError, dbos_error.DBOSWorkflowCancelledError):
            if worker.is_suspended and not running.is_cancelled:
                raise _Suspended from None
            raise dbos_error.DBOSWorkflowCancelledError(f"Run {order.run_id} was cancelled.") from None
        finally:
            del worker.running[workflow_id]

    async def _attempt(self, order: RunOrder, worker: _Worker) -> None:
        def is_suspended() -> bool:
            return worker.is_suspended

        if is_suspended():
            raise _Suspended
        steps = await asyncio.to_thread(self._steps, _workflow_id(order.task_id, order.run_id))
        recorded = {item["function_name"]: item["output"] for item in steps if item["output"] is not None}
        taken = max((item["function_id"] for item in steps), default=0)
        await worker.run(RunControl(order, DurableRunner(recorded, taken, is_suspended), is_suspended))

    def _watch(self, worker: _Worker) -> None:
        """Stop runs that another process cancelled, and take over runs of dead workers, until the worker ends."""
        taken_over = time.monotonic()
        forgot = -math.inf
        while not worker.ends.wait(POLL_SECONDS):
            try:
                if worker.running:
                    self._stop_cancelled(list(worker.running))
                if time.monotonic() - taken_over >= TAKEOVER_SECONDS:
                    taken_over = time.monotonic()
                    self._take_over(worker)
                if time.monotonic() - forgot >= FORGET_SECONDS:
                    forgot = time.monotonic()
                    self.forget_ended(datetime.now(UTC) - timedelta(seconds=KEEP_SECONDS))
            except SQLAlchemyError as error:
                LOGGER.warning("The engine's database does not answer: %s", type(error).__name__)

    def _stop_cancelled(self, workflow_ids: list[str]) -> None:
        worker = self._worker
        cancelled = self._list(workflow_ids=workflow_ids, status="CANCELLED")
        for run in cancelled:
            running = worker.running.get(_workflow_id(run.task_id, run.run_id)) if worker else None
            if running is not None and not running.is_cancelled:
                running.is_cancelled = True
                running.loop.call_soon_threadsafe(running.task.cancel)

    def _take_over(self, worker: _Worker) -> None:
        others = {run.worker for run in self._list(status="PENDING") if run.schema == WORKFLOW_SCHEMA}
        for name in sorted(filter(None, others - {worker.name})):
            slot = self._slots.try_claim(name)
            if slot is None:
                continue
            try:
                handles = DBOS._recover_pending_workflows([name])  # noqa: SLF001 - what DBOS itself does at its start
            finally:
                slot.directory.release()
            LOGGER.warning("Worker %s died; %d of its runs continue here", name, len(handles))

    def _is_live(self, worker: str | None) -> bool:
        if worker is None:
            return False
        slot = self._slots.try_claim(worker)
        if slot is not None:
            slot.directory.release()
        return slot is None

    def _steps(self, workflow_id: str) -> list[Any]:
        return cast("list[Any]", self._client.list_workflow_steps(workflow_id))

    def _list(self, **wanted: Any) -> list[EngineRun]:
        found = self._client.list_workflows(name=RUN_TASK, load_input=False, load_output=False, **wanted)
        return [
            EngineRun(
                *_ids(status.workflow_id), _STATES[status.status], int(status.app_version or 0), status.executor_id
            )
            for status in found
        ]


RUN_TASK: Final = "run_task"


async def _call(work: Callable[[], Awaitable[Result]]) -> Result:
    """Wrap a callable that returns a coroutine into a coroutine function, which DBOS requires."""
    return await work()


def _workflow_id(task_id: str, run_id: str) -> str:
    return f"{task_id}:{run_id}"


def _ids(workflow_id: str) -> tuple[str, str]:
    task_id, _, run_id = workflow_id.partition(":")
    return task_id, run_id


def _wait_until(is_done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_done() and time.monotonic() < deadline:
        time.sleep(0.02)


def _add_clock(connection: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        add_subsecond_clock(connection)


def _client_on(database: OwnDatabase) -> DBOSClient:
    return DBOSClient(
        system_database_engine=database.engine,
        serializer=SERIALIZER,
        application_name=APPLICATION,
        use_listen_notify=False,
    )


def _migrate(database: OwnDatabase) -> None:
    """Create DBOS's tables, or migrate them; on SQLite by a connection that has the clock that its statements need."""
    if not database.is_sqlite:
        DBOS.migrate(database.engine.url.render_as_string(hide_password=False))
        return
    client = _client_on(database)
    try:
        client._sys_db.run_migrations()  # noqa: SLF001 - `DBOS.migrate` opens a connection of its own
    finally:
        client.destroy()
