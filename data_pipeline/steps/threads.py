"""The threads in which steps do their blocking work: few for all runs of a process, as they share one interpreter.

Threads that compute do not make Python faster, but each keeps requests of the same process waiting for the interpreter:
measured in benchmarks/README.md. So there is one that computes, and some for work that mostly waits for a server.
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
    """Has blocking work done elsewhere, and stopped where the run is."""

    def __call__(
        self, work: Callable[Arguments, Result], /, *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Awaitable[Result]: ...


async def in_step_thread(
    work: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Call work that computes, or that reads and writes files, when the thread for it is free."""
    return await _called(_COMPUTING, functools.partial(work, *arguments, **named))


async def in_waiting_thread(
    work: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Call work that mostly waits for somebody else, when one of the threads for it is free."""
    return await _called(_WAITING, functools.partial(work, *arguments, **named))


async def stopped_by(stop: Callable[[], None], calling: Awaitable[Result]) -> Result:
    """Await a call of the above; a caller that is cancelled first tells its work to `stop`."""
    task = asyncio.ensure_future(calling)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.to_thread(stop)
        task.cancel()
        await asyncio.wait([task])
        raise


async def _called(pool: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    """A cancelled caller waits for the end of what has begun: it may close what the work is using."""
    call = pool.submit(work)
    ended = asyncio.wrap_future(call)
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        if not call.cancel():
            await asyncio.wait([ended])
            ended.exception()  # whatever it was, nobody waits for it any more
        raise
