"""Transactions on every kind of file system: what is reported as moved is moved, and a kill loses nothing."""

from __future__ import annotations

import signal

import pytest

from journal import JournalError, StateUnusable
from tests.crash.campaign import SEED, sample
from tests.filesystems.children import call_in_child, run_and_die
from tests.filesystems.conftest import Mount
from tests.filesystems.judging import check_refusal
from tests.filesystems.mounts import Kind
from tests.filesystems.sites import SCENARIOS, Place, lay_out_places, run
from tests.power.rig import (
    AFTER,
    BEFORE,
    BEFORE_BUT_EMPTY,
    Broken,
    CountingFilesystem,
    Scenario,
    check_that_nothing_is_lost,
    recover_and_judge,
    state_of,
)

pytestmark = pytest.mark.filesystems

KILLS = {"backup": 4, "backup_of_70": 4, "publish": 4, "restore": 4}
"""At how many calls of a scenario a process is killed; one half of them is recovered after a remount."""


@pytest.fixture(params=list(SCENARIOS))
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return SCENARIOS[request.param]


def test_committed_transaction_has_moved_every_file_or_was_refused_before_it_began(
    mount: Mount, kind: Kind, scenario: Scenario
) -> None:
    """I4, I5: old name gone, new name there with the same bytes, each content once, no probe; twice, with a remount."""
    system = mount(kind, lambda path: lay_out_places(scenario, path, 2))
    for number in range(2):
        place = Place(str(system.root / str(number)))
        try:
            outcome = run(place, scenario, CountingFilesystem())
        except StateUnusable as error:
            check_refusal(str(error))
            assert state_of(place, scenario) == BEFORE
        else:
            assert not outcome.failures
            assert state_of(place, scenario) == AFTER
            assert not outcome.leftovers
        if number == 0 and kind.survives_unmount:
            system.remount()
            assert state_of(place, scenario) in (BEFORE, AFTER)


def test_killed_process_leaves_the_state_before_or_after_also_for_a_recovery_after_a_remount(
    mount: Mount, kind: Kind, scenario: Scenario
) -> None:
    """I3, I4: SIGKILL at sampled calls; no byte is lost at once, and recovery gives the old state or the new one."""
    kills = KILLS[scenario.name]
    system = mount(kind, lambda path: lay_out_places(scenario, path, kills + 1))
    counting = CountingFilesystem()
    try:
        run(Place(str(system.root / str(kills))), scenario, counting)
    except StateUnusable as error:
        pytest.skip(f"{kind.name} is refused: {error}")
    except JournalError:
        pass  # the test above is about it; here, too, some of its calls were made
    points = sample(range(len(counting.calls)), kills, kind.name, scenario.name)[:kills]
    places = [Place(str(system.root / str(number))) for number in range(len(points))]
    problems = []
    for point, place in zip(points, places, strict=True):
        died = call_in_child(run_and_die, place, scenario.name, point)
        if died.exit_code != -signal.SIGKILL:
            problems.append(f"call {point}: the child ended with {died.exit_code} instead of being killed")
    for number, (point, place) in enumerate(zip(points, places, strict=True)):
        if kind.survives_unmount and number == len(points) // 2:
            system.remount()
        is_remounted = kind.survives_unmount and number >= len(points) // 2
        try:
            check_that_nothing_is_lost(place, scenario)
            state = recover_and_judge(place, scenario)
            check_state(state)
        except (JournalError, OSError, Broken) as error:
            after = ", after a remount" if is_remounted else ""
            problems.append(f"call {point} ({counting.calls[point]}){after}: {type(error).__name__}: {error}")
    if problems:
        pytest.fail(
            "\n".join((f"{len(problems)} of {len(points)} points, CRASH_SEED={SEED}:", *problems)), pytrace=False
        )


def check_state(state: str) -> None:
    """Allow the two states, and the empty directory of a process that died before it could announce it."""
    if state not in (BEFORE, BEFORE_BUT_EMPTY, AFTER):
        raise Broken(state)
