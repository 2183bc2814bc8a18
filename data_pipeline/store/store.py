"""Store tasks, executions, steps and events. Each method is one transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import count
from types import TracebackType
from typing import Any, Literal, Self

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from data_pipeline.errors import InvalidInput, NotFound
from data_pipeline.events import Event
from data_pipeline.store.connecting import open_store_database
from data_pipeline.store.own_database import OwnDatabase
from data_pipeline.store.rows import (
    Execution,
    ListedTask,
    Overview,
    RecordedEvent,
    StepState,
    Task,
    TaskQuery,
    summary_of_steps,
)
from data_pipeline.store.tables import EVENTS, EXECUTIONS, MODEL_ANSWERS, RUN_OPTIONS, STEPS, TASKS
from data_pipeline.tasks.statuses import RunStatus, StepStatus

OPTIONS_RETENTION_SECONDS = 86_400.0


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class Store:
    """Tasks and their history in one database, opened by `open`. Callable from any thread."""

    def __init__(self, database: OwnDatabase, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    @classmethod
    def open(cls, url: str, *, now: Callable[[], datetime] = utc_now) -> Self:
        """Open a store; create or migrate it if necessary. Raises StoreUnavailable."""
        return cls(open_store_database(url), now)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    # ---- tasks --------------------------------------------------------------------------------------------------

    def create_task(
        self,
        parameters: Mapping[str, Any],
        *,
        local_time: datetime,
        task_name: str | None = None,
        db_name: str | None = None,
        created_by: str = "guest",
        created_type: str = "api",
    ) -> Task:
        """Create a task. Its id is `task_YYYYMMDD_HHMMSS` in local time, with `_1`, `_2` ... if that exists."""
        now = self._now()
        stem = f"task_{local_time:%Y%m%d_%H%M%S}"
        for number in count():
            task_id = f"{stem}_{number}" if number else stem
            values = {
                "task_id": task_id,
                "task_name": task_name,
                "status": "pending",
                "parameters": dict(parameters),
                "created_at": now,
                "updated_at": now,
                "created_by": created_by,
                "created_type": created_type,
                "db_name": db_name,
            }
            try:
                with self._database.writing() as connection:
                    connection.execute(insert(TASKS).values(values))
            except IntegrityError:
                if not self._has_task(task_id):
                    raise
                continue
            return self.task(task_id)
        raise AssertionError("count() is infinite")

    def task(self, task_id: str) -> Task:
        """Return a task. Raises NotFound."""
        with self._database.reading() as connection:
            return _task(self._row(connection, select(TASKS).where(TASKS.c.task_id == task_id), "task", task_id))

    def overview(self, task_id: str, all_steps: Sequence[str]) -> Overview:
        """Return a task with its steps and its newest run, all read at the same moment. Raises NotFound."""
        newest = select(EXECUTIONS).where(EXECUTIONS.c.task_id == task_id).order_by(EXECUTIONS.c.sequence.desc())
        with self._database.reading() as connection:
            task = _task(self._row(connection, select(TASKS).where(TASKS.c.task_id == task_id), "task", task_id))
            executions = self._executions(connection, connection.execute(newest.limit(1)).all())
            steps = self._current_steps(connection, task_id, all_steps)
        return Overview(task, tuple(steps), executions[0] if executions else None)

    def tasks(
        self, wanted: TaskQuery | None = None, *, all_steps: Sequence[str] = (), limit: int = 50, offset: int = 0
    ) -> tuple[list[ListedTask], int]:
        """Return a page of tasks, and the total number of matching tasks."""
        wanted = wanted or TaskQuery()
        matching = select(TASKS).where(*_conditions(wanted))
        column = TASKS.c[wanted.sort_by]
        order = [column.desc().nulls_last(), TASKS.c.task_id.desc()]
        if not wanted.is_descending:
            order = [column.asc().nulls_last(), TASKS.c.task_id.asc()]
        with self._database.reading() as connection:
            total = connection.execute(select(func.count()).select_from(matching.subquery())).scalar_one()
            page = [_task(row) for row in connection.execute(matching.order_by(*order).limit(limit).offset(offset))]
            states = self._newest_states(connection, [task.task_id for task in page])
        return [
            ListedTask(task, summary_of_steps(states.get(task.task_id, []), len(all_steps))) for task in page
        ], total

    def change_task(self, task_id: str, *, parameters: Mapping[str, Any], **values: str | None) -> Task:
        """Replace the parameters of a task, and its name if `task_name` is given. Raises NotFound."""
        with self._database.writing() as connection:
            self._change_task(connection, task_id, parameters=dict(parameters), **values)
        return self.task(task_id)

    def delete_task(self, task_id: str) -> None:
        """Delete a task with its history. Raises NotFound."""
        runs = select(EXECUTIONS.c.execution_id).where(EXECUTIONS.c.task_id == task_id)
        with self._database.writing() as connection:
            connection.execute(delete(RUN_OPTIONS).where(RUN_OPTIONS.c.execution_id.in_(runs)))
            if not connection.execute(delete(TASKS).where(TASKS.c.task_id == task_id)).rowcount:
                raise NotFound("task", task_id)

    # ---- executions ---------------------------------------------------------------------------------------------

    def add_execution(
        self,
        task_id: str,
        execution_id: str,
        *,
        mode: Literal["complete", "step"],
        step_names: Sequence[str],
        status: Literal["queued", "in_progress"] = "queued",
    ) -> Execution:
        """Add a run of a task with its steps, all pending. An existing run is returned unchanged.

        The events of earlier runs of the task are deleted. Raises NotFound, and InvalidInput if a run of another task
        has the id.
        """
        with self._database.writing() as connection:
            # The lock of the task's row serializes two processes that add the same run on PostgreSQL.
            task = select(TASKS.c.task_id).where(TASKS.c.task_id == task_id).with_for_update()
            self._row(connection, task, "task", task_id)
            row = connection.execute(select(EXECUTIONS).where(EXECUTIONS.c.execution_id == execution_id)).first()
            if row is None:
                return self._insert_execution(connection, task_id, execution_id, mode, step_names, status)
            if row.task_id != task_id:
                raise InvalidInput("execution_id", f"{execution_id!a} already exists in another task")
            return self._executions(connection, [row])[0]

    def _insert_execution(
        self,
        connection: Connection,
        task_id: str,
        execution_id: str,
        mode: Literal["complete", "step"],
        step_names: Sequence[str],
        status: Literal["queued", "in_progress"],
    ) -> Execution:
        now = self._now()
        earlier = select(EXECUTIONS.c.execution_id).where(EXECUTIONS.c.task_id == task_id)
        connection.execute(delete(EVENTS).where(EVENTS.c.execution_id.in_(earlier)))
        self._change_task(connection, task_id, status=status)
        values = {
            "execution_id": execution_id,
            "task_id": task_id,
            "mode": mode,
            "status": status,
            "created_at": now,
        }
        connection.execute(insert(EXECUTIONS).values(values))
        if status == "queued":
            queued = asdict(Event("run", "queued", execution_id, mode))
            connection.execute(insert(EVENTS).values(execution_id=execution_id, occurred_at=now, **queued))
        steps = tuple(StepState(execution_id, name, position, "pending") for position, name in enumerate(step_names))
        connection.execute(insert(STEPS), [asdict(step) for step in steps])
        return Execution(execution_id, task_id, mode, status, now, None, None, None, None, None, steps)

    def unfinished_executions(self, task_id: str | None = None) -> list[Execution]:
        """Return the unfinished runs of one task or of all tasks, oldest first."""
        wanted = select(EXECUTIONS).where(EXECUTIONS.c.status.in_(("queued", "in_progress")))
        if task_id is not None:
            wanted = wanted.where(EXECUTIONS.c.task_id == task_id)
        with self._database.reading() as connection:
            return self._executions(connection, connection.execute(wanted.order_by(EXECUTIONS.c.sequence)).all())

    def fail_abandoned(self, task_id: str, *, except_for: str | None = None) -> int:
        """Mark all runs of a task in progress, except one, as failed; return their number. Call only under its lock."""
        now, error = self._now(), "Interrupted: the worker process died."
        with self._database.writing() as connection:
            abandoned = (EXECUTIONS.c.task_id == task_id) & (EXECUTIONS.c.status == "in_progress")
            if except_for is not None:
                abandoned &= EXECUTIONS.c.execution_id != except_for
            ids = connection.execute(select(EXECUTIONS.c.execution_id).where(abandoned)).scalars().all()
            ended = {"status": "failed", "completed_at": now, "error_message": error}
            connection.execute(update(EXECUTIONS).where(EXECUTIONS.c.execution_id.in_(ids)).values(ended))
            running = STEPS.c.execution_id.in_(ids) & (STEPS.c.status == "running")
            connection.execute(update(STEPS).where(running).values(ended))
            return len(ids)

    def start_execution(self, execution_id: str) -> None:
        """Mark a run as in progress, and clear the error of an earlier run from the task."""
        now = self._now()
        with self._database.writing() as connection:
            row = self._execution_row(connection, execution_id)
            started = row.started_at or now  # a resumed run keeps its first start
            self._change_execution(connection, execution_id, status="in_progress", started_at=started)
            self._change_task(
                connection, row.task_id, status="in_progress", started_at=started, completed_at=None, error_message=None
            )

    def record_backup(self, execution_id: str, backup: Mapping[str, Any]) -> None:
        """Store the report of a run's backup."""
        with self._database.writing() as connection:
            self._change_execution(connection, execution_id, backup=dict(backup))

    def start_step(self, execution_id: str, step_name: str) -> None:
        """Mark a step as running, also when a run is resumed."""
        with self._database.writing() as connection:
            self._change_step(
                connection, execution_id, step_name, status="running", started_at=self._now(), completed_at=None,
                error_message=None,
            )  # fmt: skip

    def finish_step(
        self,
        execution_id: str,
        step_name: str,
        *,
        status: StepStatus,
        error: str | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> None:
        """Mark a step as ended."""
        with self._database.writing() as connection:
            self._change_step(
                connection, execution_id, step_name, status=status, completed_at=self._now(), error_message=error,
                result=None if result is None else dict(result),
            )  # fmt: skip

    def end_execution(
        self,
        execution_id: str,
        *,
        status: Literal["completed", "failed", "cancelled"],
        all_steps: Sequence[str],
        error: str | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> None:
        """Mark a run and its running steps as ended, and derive the status of the task from the newest states of steps.

        A task is completed if the newest state of each step of `all_steps` is completed, else partial_completed.
        """
        now = self._now()
        with self._database.writing() as connection:
            row = self._execution_row(connection, execution_id)
            self._change_execution(
                connection, execution_id, status=status, completed_at=now, error_message=error,
                result=None if result is None else dict(result),
            )  # fmt: skip
            connection.execute(
                update(STEPS)
                .where(STEPS.c.execution_id == execution_id, STEPS.c.status == "running")
                .values(
                    status="cancelled" if status == "cancelled" else "failed", completed_at=now, error_message=error
                )
            )
            task_status: RunStatus = status
            if status == "completed":
                states = self._current_steps(connection, row.task_id, all_steps)
                is_whole = all(state.status == "completed" for state in states)
                task_status = "completed" if is_whole else "partial_completed"
            if self._is_newest(connection, row):  # else a later run determines the status of the task
                self._change_task(connection, row.task_id, status=task_status, completed_at=now, error_message=error)

    def end_unfinished(self, execution_id: str, *, status: Literal["failed", "cancelled"], error: str) -> bool:
        """Mark a run without a live worker as ended; return False if it has ended already, or is unknown."""
        now = self._now()
        with self._database.writing() as connection:
            is_unfinished = EXECUTIONS.c.status.in_(("queued", "in_progress")) & (
                EXECUTIONS.c.execution_id == execution_id
            )
            ended = {"status": status, "completed_at": now, "error_message": error}
            if not connection.execute(update(EXECUTIONS).where(is_unfinished).values(ended)).rowcount:
                return False
            row = self._execution_row(connection, execution_id)
            running = (STEPS.c.execution_id == execution_id) & (STEPS.c.status == "running")
            connection.execute(update(STEPS).where(running).values(ended))
            if self._is_newest(connection, row):
                self._change_task(connection, row.task_id, **ended)
            last = asdict(Event("run", status, execution_id, error))
            connection.execute(insert(EVENTS).values(execution_id=execution_id, occurred_at=now, **last))
            return True

    def execution(self, execution_id: str) -> Execution:
        """Return a run. Raises NotFound."""
        with self._database.reading() as connection:
            return self._executions(connection, [self._execution_row(connection, execution_id)])[0]

    def executions(self, task_id: str, *, limit: int = 50) -> list[Execution]:
        """Return the runs of a task, newest first."""
        wanted = select(EXECUTIONS).where(EXECUTIONS.c.task_id == task_id)
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(EXECUTIONS.c.sequence.desc()).limit(limit)).all()
            return self._executions(connection, rows)

    # ---- options of runs ----------------------------------------------------------------------------------------

    def keep_run_options(self, execution_id: str, options: Mapping[str, Any]) -> None:
        """Store the options of a run before it is admitted, because the engine's arguments are only ids.

        Old options of runs that were never admitted are deleted.
        """
        now = self._now()
        admitted = select(EXECUTIONS.c.execution_id)
        is_old = RUN_OPTIONS.c.created_at < now - timedelta(seconds=OPTIONS_RETENTION_SECONDS)
        with self._database.writing() as connection:
            connection.execute(delete(RUN_OPTIONS).where(is_old, RUN_OPTIONS.c.execution_id.not_in(admitted)))
            values = {"execution_id": execution_id, "options": dict(options), "created_at": now}
            connection.execute(insert(RUN_OPTIONS).values(values))

    def run_options(self, execution_id: str) -> dict[str, Any]:
        """Return the options of a run; an empty dictionary if there are none."""
        with self._database.reading() as connection:
            wanted = select(RUN_OPTIONS.c.options).where(RUN_OPTIONS.c.execution_id == execution_id)
            return connection.execute(wanted).scalar() or {}

    def delete_run_options(self, execution_id: str) -> None:
        """Delete the options of a run that was not admitted."""
        with self._database.writing() as connection:
            connection.execute(delete(RUN_OPTIONS).where(RUN_OPTIONS.c.execution_id == execution_id))

    # ---- answers of the language model --------------------------------------------------------------------------

    def model_answer(self, key: str) -> str | None:
        """Return a stored answer, None if there is none."""
        with self._database.reading() as connection:
            answer: str | None = connection.execute(
                select(MODEL_ANSWERS.c.answer).where(MODEL_ANSWERS.c.key == key)
            ).scalar()
        return answer

    def keep_model_answer(self, key: str, answer: str) -> None:
        """Store an answer. An existing one is not replaced."""
        with contextlib.suppress(IntegrityError), self._database.writing() as connection:
            connection.execute(insert(MODEL_ANSWERS).values(key=key, answer=answer, created_at=self._now()))

    # ---- events -------------------------------------------------------------------------------------------------

    def add_events(self, execution_id: str, events: Sequence[tuple[datetime, Event]]) -> None:
        """Store events of a run in this order. Events of an unknown run are ignored, because it may be deleted."""
        with self._database.writing() as connection:
            run = select(EXECUTIONS.c.execution_id).where(EXECUTIONS.c.execution_id == execution_id)
            if connection.execute(run).first() is not None:
                rows = [
                    {"execution_id": execution_id, "occurred_at": at, **asdict(happened)} for at, happened in events
                ]
                connection.execute(insert(EVENTS), rows)

    def events(self, execution_id: str, *, after: int = 0, limit: int = 1000) -> list[RecordedEvent]:
        """Return the events of a run with a greater sequence, in their order."""
        wanted = select(EVENTS).where(EVENTS.c.execution_id == execution_id, EVENTS.c.sequence > after)
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(EVENTS.c.sequence).limit(limit)).all()
        return [
            RecordedEvent(
                row.sequence,
                row.occurred_at,
                Event(row.phase, row.state, row.name, row.message, row.done, row.total),
            )
            for row in rows
        ]

    # ---- helpers -----------------------------------------------------------------------------------------------

    def _has_task(self, task_id: str) -> bool:
        with self._database.reading() as connection:
            return connection.execute(select(TASKS.c.task_id).where(TASKS.c.task_id == task_id)).first() is not None

    def _row(self, connection: Connection, wanted: Select[Any], kind: str, name: str) -> Row[Any]:
        row = connection.execute(wanted).first()
        if row is None:
            raise NotFound(kind, name)
        return row

    def _execution_row(self, connection: Connection, execution_id: str) -> Row[Any]:
        wanted = select(EXECUTIONS).where(EXECUTIONS.c.execution_id == execution_id)
        return self._row(connection, wanted, "execution", execution_id)

    def _is_newest(self, connection: Connection, row: Row[Any]) -> bool:
        newest = select(func.max(EXECUTIONS.c.sequence)).where(EXECUTIONS.c.task_id == row.task_id)
        return bool(connection.execute(newest).scalar_one() == row.sequence)

    def _change_task(self, connection: Connection, task_id: str, **values: Any) -> None:
        change = update(TASKS).where(TASKS.c.task_id == task_id).values(updated_at=self._now(), **values)
        if not connection.execute(change).rowcount:
            raise NotFound("task", task_id)

    def _change_execution(self, connection: Connection, execution_id: str, **values: Any) -> None:
        change = update(EXECUTIONS).where(EXECUTIONS.c.execution_id == execution_id).values(values)
        if not connection.execute(change).rowcount:
            raise NotFound("execution", execution_id)

    def _change_step(self, connection: Connection, execution_id: str, step_name: str, **values: Any) -> None:
        of_step = (STEPS.c.execution_id == execution_id) & (STEPS.c.step_name == step_name)
        if not connection.execute(update(STEPS).where(of_step).values(values)).rowcount:
            raise NotFound("step", f"{execution_id}/{step_name}")

    def _executions(self, connection: Connection, rows: Sequence[Row[Any]]) -> list[Execution]:
        ids = [row.execution_id for row in rows]
        steps: dict[str, list[StepState]] = {execution_id: [] for execution_id in ids}
        wanted = select(STEPS).where(STEPS.c.execution_id.in_(ids)).order_by(STEPS.c.position)
        for step in connection.execute(wanted):
            steps[step.execution_id].append(StepState(**step._mapping))
        return [_execution(row, steps[row.execution_id]) for row in rows]

    def _newest_states(self, connection: Connection, task_ids: Sequence[str]) -> dict[str, list[StepStatus]]:
        """Return the newest state of each step of these tasks."""
        both = STEPS.join(EXECUTIONS, EXECUTIONS.c.execution_id == STEPS.c.execution_id)
        wanted = (
            select(EXECUTIONS.c.task_id, STEPS.c.step_name, STEPS.c.status)
            .select_from(both)
            .where(EXECUTIONS.c.task_id.in_(task_ids))
            .order_by(EXECUTIONS.c.sequence)
        )
        newest: dict[str, dict[str, StepStatus]] = {}
        for task_id, step_name, status in connection.execute(wanted):
            newest.setdefault(task_id, {})[step_name] = status
        return {task_id: list(states.values()) for task_id, states in newest.items()}

    def _current_steps(self, connection: Connection, task_id: str, all_steps: Sequence[str]) -> list[StepState]:
        both = STEPS.join(EXECUTIONS, EXECUTIONS.c.execution_id == STEPS.c.execution_id)
        last = (
            select(STEPS.c.step_name, func.max(EXECUTIONS.c.sequence).label("sequence"))
            .select_from(both)
            .where(EXECUTIONS.c.task_id == task_id)
            .group_by(STEPS.c.step_name)
            .subquery()
        )
        wanted = (
            select(STEPS)
            .select_from(both)
            .join(last, (last.c.sequence == EXECUTIONS.c.sequence) & (last.c.step_name == STEPS.c.step_name))
        )
        newest = {row.step_name: StepState(**row._mapping) for row in connection.execute(wanted)}
        return [
            newest.get(name) or StepState(None, name, position, "pending") for position, name in enumerate(all_steps)
        ]


def _conditions(wanted: TaskQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.status is not None:
        conditions.append(TASKS.c.status == wanted.status)
    for text, column in ((wanted.task_name, TASKS.c.task_name), (wanted.db_name, TASKS.c.db_name),
                         (wanted.created_by, TASKS.c.created_by)):  # fmt: skip
        if text is not None:
            conditions.append(func.lower(column).contains(text.lower(), autoescape=True))
    times = ((wanted.created_from, wanted.created_to, TASKS.c.created_at),
             (wanted.started_from, wanted.started_to, TASKS.c.started_at),
             (wanted.completed_from, wanted.completed_to, TASKS.c.completed_at))  # fmt: skip
    for begin, end, column in times:
        if begin is not None:
            conditions.append(column >= begin)
        if end is not None:
            conditions.append(column <= end)
    return conditions


def _task(row: Row[Any]) -> Task:
    return Task(**row._mapping)


def _execution(row: Row[Any], steps: Sequence[StepState]) -> Execution:
    values = {name: value for name, value in row._mapping.items() if name != "sequence"}
    return Execution(**values, steps=tuple(steps))
