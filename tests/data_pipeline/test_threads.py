"""Work in threads: whoever is cancelled leaves nothing running behind."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from data_pipeline.steps.threads import in_step_thread, in_waiting_thread, stopped_by


async def cancelled_after(seconds: float, calling: Any) -> None:
    task = asyncio.ensure_future(calling)
    await asyncio.sleep(seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("in_thread", [in_step_thread, in_waiting_thread])
def test_cancelled_caller_waits_for_the_end_of_what_has_begun(in_thread: Callable[..., Any]) -> None:
    """What the work uses may be closed only then."""
    ended = threading.Event()

    def work() -> None:
        time.sleep(0.2)
        ended.set()
        raise ValueError("nobody is told")

    asyncio.run(cancelled_after(0.05, in_thread(work)))

    assert ended.is_set()


def test_work_that_has_not_begun_never_does() -> None:
    """There is one thread that computes; the second call waits for it."""
    calls: list[str] = []

    async def both() -> None:
        first = asyncio.ensure_future(in_step_thread(time.sleep, 0.3))
        await asyncio.sleep(0.05)
        started = time.monotonic()
        await cancelled_after(0.05, in_step_thread(calls.append, "called"))
        assert time.monotonic() - started < 0.2
        await first

    asyncio.run(both())

    assert calls == []


def test_work_that_can_be_stopped_is() -> None:
    """At once, and the caller waits for that."""
    stop, ended = threading.Event(), threading.Event()

    def work() -> None:
        assert stop.wait(30)
        ended.set()

    started = time.monotonic()
    asyncio.run(cancelled_after(0.05, stopped_by(stop.set, in_waiting_thread(work))))

    assert ended.is_set()
    assert time.monotonic() - started < 10
    assert asyncio.run(stopped_by(stop.set, in_waiting_thread(lambda: 7))) == 7
