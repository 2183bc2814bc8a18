"""The threads for the blocking work of steps: few for all runs of a process, because they share one interpreter.

More computing threads do not make Python faster, but each delays the requests of the same process (measured in
benchmarks/README.md). So one thread computes, and a few are for work that mostly waits for a server.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, Protocol, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_COMPUTING: Final = ThreadPoolExecutor(1, thread_name_prefix="step")
_WAITING: Final = ThreadPoolExecutor(4, thread_name_prefix="step-waiting")


class Call(Protocol):
    """Calls blocking work in a thread, and stops it if the run is cancelled."""

    def __call__(
        self, work: Callable[Arguments, Result], /, *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Awaitable[Result]: ...


async def in_step_thread(
    work: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Call work that computes, or reads and writes files, once its thread is free."""
    return await _called(_COMPUTING, functools.partial(work, *arguments, **named))


async def in_waiting_thread(
    work: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Call work that mostly waits for a server, once one of its threads is free."""
    return await _called(_WAITING, functools.partial(work, *arguments, **named))


async def stopped_by(stop: Callable[[], None], calling: Awaitable[Result]) -> Result:
    """Await a call of one of the functions above; if the caller is cancelled, first call `stop`."""
    task = asyncio.ensure_future(calling)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.to_thread(stop)
        task.cancel()
        await asyncio.wait([task])
        raise


async def _called(pool: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    """Call work in a pool. A cancelled caller waits for work that has begun: it may close its database."""
    call = pool.submit(work)
    ended = asyncio.wrap_future(call)
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        if not call.cancel():
            await asyncio.wait([ended])
            ended.exception()  # retrieve an error that no caller waits for any more
        raise
