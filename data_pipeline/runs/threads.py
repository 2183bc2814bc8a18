"""Blocking work of a run in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def in_thread(work: Callable[[], Result], *, undo: Callable[[Result], None] | None = None) -> Result:
    """Run blocking work in a thread. A cancelled caller waits for its end, as it must not continue without the lock.

    `undo` then takes back the result, because no one else will.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if undo is not None and task.exception() is None:
            undo(task.result())
        raise
