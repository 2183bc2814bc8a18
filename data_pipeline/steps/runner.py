"""The plain runner of steps: calls what it is given, remembers nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from data_pipeline.steps.contract import Json, Work


class PlainRunner:
    """A `StepRunner` without durability, for the command line, the script and tests."""

    async def run(self, name: str, work: Work) -> Json:  # noqa: ARG002 - nothing is recorded under it
        return await work()

    async def run_all(self, works: Sequence[tuple[str, Work]], *, concurrency: int) -> list[Json]:
        slots = asyncio.Semaphore(concurrency)

        async def in_turn(work: Work) -> Json:
            async with slots:
                return await work()

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(in_turn(work)) for _, work in works]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the first stopped the rest
        return [task.result() for task in tasks]
