"""The threads in which steps do their blocking work: few for all runs of a process, as they share one interpreter.

Threads that compute do not make Python faster, but each keeps requests of the same process waiting for the interpreter:
measured in benchmarks/README.md. So there is one that computes, and some for work that mostly waits for a server.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_COMPUTING: Final = ThreadPoolExecutor(1, thread_name_prefix="step")
_WAITING: Final = ThreadPoolExecutor(4, thread_name_prefix="step-waiting")


async def in_step_thread(
    work: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Call work that computes, or that reads and writes files, when the thread for it is free."""
    return await asyncio.get_running_loop().run_in_executor(_COMPUTING, functools.partial(work, *arguments, **named))


async def in_waiting_thread(
    work: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Call work that mostly waits for somebody else, when one of the threads for it is free."""
    return await asyncio.get_running_loop().run_in_executor(_WAITING, functools.partial(work, *arguments, **named))
