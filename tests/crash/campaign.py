"""Break a transaction at its n-th changing call, in every way, and recover.

`CRASH_SEED` chooses the sample (default: a new one each run, printed in the test's header);
`CRASH_SAMPLES=all` runs everything.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from journal import JournalError
from tests.support.model_filesystem import Died, Hook, ModelFilesystem
from tests.support.scenarios import Scenario, files_of, lock

Item = TypeVar("Item")

SEED = os.environ.get("CRASH_SEED") or str(random.SystemRandom().randrange(1_000_000))


def sample(items: Sequence[Item], count: int, *salt: object) -> list[Item]:
    """Return at most `count` of the items, chosen by the seed; all of them in a full campaign."""
    wanted = os.environ.get("CRASH_SAMPLES", "")
    if wanted == "all" or len(items) <= count:
        return list(items)
    return random.Random(f"{SEED}:{salt}").sample(list(items), count)


def die_at(call: int) -> Hook:
    """Die just before the call of that number."""

    def hook(number: int, verb: str, name: str) -> None:
        if number == call:
            raise Died

    return hook


def fail_at(call: int, error: int) -> Hook:
    """Let the call of that number fail with an errno."""

    def hook(number: int, verb: str, name: str) -> None:
        if number == call:
            raise OSError(error, os.strerror(error), name)

    return hook


def list_calls(scenario: Scenario) -> list[str]:
    """Return the changing calls of an undisturbed run, such as `link f0`."""
    calls: list[str] = []
    disk = scenario.disk()
    disk.on_call = lambda number, verb, name: calls.append(f"{verb} {name}")
    scenario.run(disk)
    return calls


def at_moment(disk: ModelFilesystem, moment: int, act: Callable[[ModelFilesystem], None]) -> None:
    """Let `act` happen just before the call of that number, looks counted too: between any two calls there is one."""
    passed = itertools.count()

    def before_each(*_: object) -> None:
        if next(passed) == moment:
            act(disk)

    disk.on_call = disk.on_look = before_each


def count_moments(scenario: Scenario) -> int:
    """Return the number of moments of an undisturbed run."""
    disk = scenario.disk()
    scenario.run(disk)
    return disk.calls + disk.looks


def run_until(scenario: Scenario, call: int) -> ModelFilesystem:
    """Return the disk of a process that died just before that call."""
    return run_into(scenario.disk(), die_at(call), scenario.run)


def run_into(disk: ModelFilesystem, hook: Hook, act: Callable[[ModelFilesystem], None]) -> ModelFilesystem:
    """Run `act` until `hook` ends it; return the disk as the dead process left it, ready for the next one."""
    disk.on_call = hook
    try:
        act(disk)
    except (Died, JournalError):
        pass  # only the disk matters here
    disk.revive()
    return disk


def recover(disk: ModelFilesystem) -> None:
    """Recover, as the next owner of the lock does first."""
    lock(disk).release()


def count_recovery_calls(disk: ModelFilesystem) -> int:
    """Return the number of changing calls that a recovery of this disk makes."""
    trial = disk.clone()
    recover(trial)
    return trial.calls


def all_power_losses(disk: ModelFilesystem, models: Sequence[str]) -> Iterator[ModelFilesystem]:
    """Yield every durable state of the disk under the models, each once."""
    seen = set()
    for model in models:
        for survivor in disk.power_losses(model):
            key = survivor.key()
            if key not in seen:
                seen.add(key)
                yield survivor


def files_before(scenario: Scenario) -> dict[str, bytes]:
    """Return the files before the run."""
    return files_of(scenario.disk())
