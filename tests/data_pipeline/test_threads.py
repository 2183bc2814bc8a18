"""Work in threads: whoever is cancelled leaves nothing running behind."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from data_pipeline.steps.threads import in_step_thread, in_waiting_thread, stopped_by
from tests.support.waiting import PATIENCE_SECONDS


async def cancelled_when(event: threading.Event, calling: Any) -> None:
    """Cancel the caller once the event is set."""
    task = asyncio.ensure_future(calling)
    await asyncio.sleep(0)  # it calls
    assert await asyncio.to_thread(event.wait, PATIENCE_SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("in_thread", [in_step_thread, in_waiting_thread])
def test_cancelled_caller_waits_for_the_end_of_what_has_begun(in_thread: Callable[..., Any]) -> None:
    """What the work uses may be closed only then."""
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        time.sleep(0.2)
        ended.set()
        raise ValueError("nobody is told")

    asyncio.run(cancelled_when(begun, in_thread(work)))

    assert ended.is_set()


def test_work_that_has_not_begun_never_does() -> None:
    """There is one thread that computes, and it is busy until the second call has been cancelled."""
    calls: list[str] = []
    begun, release = threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        return release.wait(PATIENCE_SECONDS)

    async def both() -> None:
        first = asyncio.ensure_future(in_step_thread(work))
        await asyncio.sleep(0)
        await cancelled_when(begun, in_step_thread(calls.append, "called"))
        assert not first.done()
        release.set()
        assert await first

    asyncio.run(both())

    assert calls == []


def test_work_that_can_be_stopped_is() -> None:
    """The caller waits for its end, which is not that of its patience."""
    begun, stop, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert stop.wait(PATIENCE_SECONDS)
        ended.set()

    asyncio.run(cancelled_when(begun, stopped_by(stop.set, in_waiting_thread(work))))

    assert ended.is_set()
    assert asyncio.run(stopped_by(stop.set, in_waiting_thread(lambda: 7))) == 7
