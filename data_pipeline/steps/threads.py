"""The threads in which steps do their blocking work: few for all runs of a process, as they share one interpreter."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

THREADS = min(8, (os.cpu_count() or 1) + 1)
"""More would not work faster, but keep requests of the same process waiting for the interpreter."""

_POOL = ThreadPoolExecutor(THREADS, thread_name_prefix="step")


async def in_step_thread(
    work: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Call blocking work in one of the threads, when one is free."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, functools.partial(work, *arguments, **named))
