"""The calls of a step's functions: at most a number at once, and the first error stops the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from data_pipeline.tasks.results import Json

Work = Callable[[], Awaitable[Json]]
IsUsable = Callable[[Json], Awaitable[bool]]
Finished = Callable[[Json], None]


async def always_usable(result: Json) -> bool:  # noqa: ARG001
    """Use any recorded result."""
    return True


def ignored(result: Json) -> None:
    """Do nothing with a result."""


class StepRunner:
    """Calls functions and records nothing, for the command line, the script and tests.

    The durable runner of the engine records each result, which is JSON, under the name of its call; names are unique
    within a run. A resumed run gets the recorded results that are still usable, and calls the other functions.
    """

    async def run(
        self, name: str, work: Work, *, is_usable: IsUsable = always_usable, finished: Finished = ignored
    ) -> Json:
        """Call one function."""
        return (await self.run_all([(name, work)], concurrency=1, is_usable=is_usable, finished=finished))[0]

    async def run_all(
        self,
        works: Sequence[tuple[str, Work]],
        *,
        concurrency: int,
        is_usable: IsUsable = always_usable,
        finished: Finished = ignored,
    ) -> list[Json]:
        """Call functions by name, at most `concurrency` at once, and return their results in the order of `works`.

        `is_usable` decides whether a recorded result can be used again; `finished` gets every result, recorded or new.
        The first error cancels the other calls and is raised.
        """
        slots = asyncio.Semaphore(concurrency)

        async def in_turn(work: Work) -> Json:
            async with slots:
                result = await work()
            finished(result)
            return result

        calls = [await self._prepare(name, work, is_usable) for name, work in works]
        try:
            async with asyncio.TaskGroup() as group:  # gather would leave the siblings of a failed call running
                tasks = [group.create_task(in_turn(call)) for call in calls]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _prepare(self, name: str, work: Work, is_usable: IsUsable) -> Work:  # noqa: ARG002
        """Return the function to call when there is a free slot, in the order of the calls."""
        return work
