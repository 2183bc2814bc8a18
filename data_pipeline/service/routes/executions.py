"""Runs of a task: execute, watch, cancel."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Body, Header, Request, Response
from fastapi.responses import StreamingResponse

from data_pipeline.errors import NotFound
from data_pipeline.service.answers import REFUSALS, success
from data_pipeline.service.models import CompleteRun, ExecuteRequest, StepRun
from data_pipeline.service.routes.tasks import PREFIX, RunsDep, TaskId
from data_pipeline.service.task_answers import AdmittedRunAnswer, EndedRunAnswer
from data_pipeline.store import Execution, RecordedEvent
from data_pipeline.tasks.parameters import RunOptions
from data_pipeline.use_cases.runs import Runs
from data_pipeline.use_cases.task_json import run_summary

WAIT_LIMIT_SECONDS: Final = 300
POLL_SECONDS: Final = 0.2
LAST_EVENT_SECONDS: Final = 2.0
"""Seconds for which the last events of an ended run may still arrive, because events are written in batches."""

KEEPALIVE_SECONDS: Final = 15.0
ENDED: Final = ("completed", "failed", "cancelled")

router = APIRouter(prefix=PREFIX, tags=["executions"], responses=REFUSALS)


@router.post(
    "/tasks/{task_id}/execute",
    status_code=HTTPStatus.ACCEPTED,
    summary="Run a task",
    responses={
        200: {
            "model": EndedRunAnswer,
            "description": "the run has ended while the request waited",
        },
        202: {"model": AdmittedRunAnswer},
    },
)
async def execute(
    request: Request,
    task_id: TaskId,
    runs: RunsDep,
    body: Annotated[ExecuteRequest | None, Body()] = None,
    prefer: Annotated[str | None, Header()] = None,
) -> Response:
    """Queue a run and respond with 202, or with `Prefer: wait=SECONDS`, with the result when the run has ended."""
    order = body or CompleteRun()
    step = order.step_name if isinstance(order, StepRun) else None
    execution = await asyncio.to_thread(
        runs.admit, task_id, step, RunOptions(**order.model_dump(include=set(RunOptions.model_fields)))
    )
    wait_seconds = _wait_seconds(prefer)
    headers = {"Location": f"{PREFIX}/tasks/{task_id}"}
    if wait_seconds:
        execution = await _ended(request, runs, execution, wait_seconds)
        headers["Preference-Applied"] = f"wait={wait_seconds}"
    answer = {
        "task_id": task_id,
        "execution_id": execution.execution_id,
        "execution_mode": execution.mode,
        "step_name": step,
    }
    if execution.has_ended:
        more = {**run_summary(execution), "result": execution.result}
        return success(request, f"The run is {execution.status}.", {**answer, **more}, headers=headers)
    return success(
        request,
        "The run is queued. Get the task, or stream its events.",
        {**answer, "status": execution.status, "message": "The run is queued."},
        status=HTTPStatus.ACCEPTED,
        headers={**headers, "Retry-After": "1"},
    )


@router.post("/tasks/{task_id}/cancel", status_code=HTTPStatus.ACCEPTED, summary="Cancel the run of a task")
def cancel(request: Request, task_id: TaskId, runs: RunsDep) -> Response:
    """Cancel the run. A queued run never begins; a running one stops within a second, and its published files stay."""
    execution = runs.cancel(task_id)
    return success(
        request,
        "The run is cancelled, or will stop within a second.",
        {"task_id": task_id, "execution_id": execution.execution_id, "status": execution.status},
        status=HTTPStatus.ACCEPTED,
        headers={"Location": f"{PREFIX}/tasks/{task_id}", "Retry-After": "1"},
    )


@router.get(
    "/tasks/{task_id}/events",
    summary="Stream events of the newest run",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events until the run ends."}},
)
async def events(
    request: Request, task_id: TaskId, runs: RunsDep, last_event_id: Annotated[str | None, Header()] = None
) -> StreamingResponse:
    """Stream every event from the beginning, or after `Last-Event-ID`: queue, backup, steps, tables, end."""
    await asyncio.to_thread(runs.store.task, task_id)
    executions = await asyncio.to_thread(runs.store.executions, task_id, limit=1)
    if not executions:
        raise NotFound("execution of task", task_id, "Execute the task first.")
    after = int(last_event_id) if last_event_id and re.fullmatch(r"\d{1,18}", last_event_id) else 0
    return StreamingResponse(
        _stream(request, runs, executions[0].execution_id, after),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(request: Request, runs: Runs, execution_id: str, after: int) -> AsyncIterator[str]:
    yield "retry: 1000\n\n"
    quiet_since = time.monotonic()
    while not request.app.state.is_stopping():
        has_ended, found = await asyncio.to_thread(_look, runs, execution_id, after)
        for recorded in found:
            if request.app.state.is_stopping():
                return
            after = recorded.sequence
            yield _frame(execution_id, recorded)
            if recorded.event.phase == "run" and recorded.event.state in ENDED:
                return
        if found:
            quiet_since = time.monotonic()
            continue
        if has_ended and time.monotonic() - quiet_since >= LAST_EVENT_SECONDS:
            return  # runs of the command line record no events
        if not has_ended and time.monotonic() - quiet_since >= KEEPALIVE_SECONDS:
            quiet_since = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(POLL_SECONDS)


def _look(runs: Runs, execution_id: str, after: int) -> tuple[bool, list[RecordedEvent]]:
    """Return True if a run has ended, and its new events, read in this order so that the last events are not missed."""
    has_ended = runs.store.execution(execution_id).has_ended
    return has_ended, runs.store.events(execution_id, after=after)


def _frame(execution_id: str, recorded: RecordedEvent) -> str:
    event = recorded.event
    content = {
        "execution_id": execution_id,
        "time": recorded.occurred_at.isoformat(),
        "phase": event.phase,
        "state": event.state,
        "name": event.name,
        "message": event.message,
        "done": event.done,
        "total": event.total,
    }
    return f"id: {recorded.sequence}\nevent: {event.phase}\ndata: {json.dumps(content, ensure_ascii=False)}\n\n"


def _wait_seconds(prefer: str | None) -> int:
    """Return the seconds that a client is willing to wait (RFC 7240), 0 for a header that cannot be parsed."""
    match = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?", prefer or "", re.IGNORECASE)
    return min(int(match[1]), WAIT_LIMIT_SECONDS) if match else 0


async def _ended(request: Request, runs: Runs, execution: Execution, wait_seconds: int) -> Execution:
    deadline = time.monotonic() + wait_seconds
    while not execution.has_ended and time.monotonic() < deadline and not request.app.state.is_stopping():
        await asyncio.sleep(POLL_SECONDS)
        execution = await asyncio.to_thread(runs.store.execution, execution.execution_id)
    return execution
