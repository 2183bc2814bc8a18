"""Blocking work of a run in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def in_thread(work: Callable[[], Result], *, undo: Callable[[Result], None] | None = None) -> Result:
    """Run blocking work in a thread. A cancelled caller waits for its end, because it must keep the lock until then.

    `undo` then reverts the result, which the caller will not get.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if undo is not None and task.exception() is None:
            undo(task.result())
        raise
