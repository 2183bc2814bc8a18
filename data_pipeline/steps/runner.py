"""The plain runner of steps: calls what it is given, remembers nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from data_pipeline.steps.contract import Finished, IsUsable, Json, Work, always_usable, ignored


class PlainRunner:
    """A `StepRunner` without durability, for the command line, the script and tests."""

    async def run(
        self, name: str, work: Work, *, is_usable: IsUsable = always_usable, finished: Finished = ignored
    ) -> Json:
        return (await self.run_all([(name, work)], concurrency=1, is_usable=is_usable, finished=finished))[0]

    async def run_all(
        self,
        works: Sequence[tuple[str, Work]],
        *,
        concurrency: int,
        is_usable: IsUsable = always_usable,  # noqa: ARG002 - nothing is recorded that could be used again
        finished: Finished = ignored,
    ) -> list[Json]:
        slots = asyncio.Semaphore(concurrency)

        async def in_turn(work: Work) -> Json:
            async with slots:
                result = await work()
            finished(result)
            return result

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(in_turn(work)) for _, work in works]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the first stopped the rest
        return [task.result() for task in tasks]
