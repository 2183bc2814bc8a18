"""The process dies at every changing call, and again at every call of the recovery."""

from __future__ import annotations

import pytest

from tests.crash.campaign import count_recovery_calls, die_at, files_before, list_calls, recover, run_into, run_until
from tests.support.scenarios import SCENARIOS, Scenario, files_of, verdict

POINTS = [
    pytest.param(scenario, call, id=f"{scenario.name}-{call}")
    for scenario in SCENARIOS
    for call in range(len(list_calls(scenario)) + 1)
]


@pytest.mark.parametrize(("scenario", "call"), POINTS)
def test_killed_at_any_call_the_next_owner_finds_the_state_before_or_after(scenario: Scenario, call: int) -> None:
    """I4, I9: at whatever call a process dies, recovery gives the old state or the new one, and leaves no trace."""
    disk = run_until(scenario, call)
    recover(disk)

    assert verdict(scenario, files_before(scenario), disk) in ("before", "after")


@pytest.mark.parametrize(("scenario", "call"), POINTS)
def test_killed_again_at_any_call_of_the_recovery_nothing_changes_the_end(scenario: Scenario, call: int) -> None:
    """I3: a recovery that is interrupted anywhere and run again ends in the state in which it would have ended."""
    dead = run_until(scenario, call)
    uncut = dead.clone()
    recover(uncut)

    for second in range(count_recovery_calls(dead) + 1):
        disk = run_into(dead.clone(), die_at(second), recover)
        recover(disk)

        assert files_of(uncut) == files_of(disk), f"cut again at call {second}"
        assert verdict(scenario, files_before(scenario), disk) in ("before", "after")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_once_committed_a_transaction_is_never_undone(scenario: Scenario) -> None:
    """Up to the commit record the end is `before`, from then on `after`: there is one commit point and no way back."""
    ends = []
    for call in range(len(list_calls(scenario)) + 1):
        disk = run_until(scenario, call)
        recover(disk)
        ends.append(verdict(scenario, files_before(scenario), disk))

    assert ends == sorted(ends, reverse=True)
    assert {"before", "after"} == set(ends)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_transaction_after_a_recovered_one_succeeds(scenario: Scenario) -> None:
    """The next run takes effect as a whole, wherever the last one died."""
    for call in range(len(list_calls(scenario)) + 1):
        disk = run_until(scenario, call)
        recover(disk)
        if verdict(scenario, files_before(scenario), disk) == "after":
            continue
        for name in [name for name in disk.tree("/t/.journal") if name == "D/work-1"]:
            disk.remove(f"/t/.journal/{name}")
        for name in disk.tree("/t/D").keys() - scenario.disk().tree("/t/D").keys():
            disk.remove(f"/t/D/{name}")  # an empty directory of a process that died before it could announce it
        scenario.run(disk)

        assert verdict(scenario, files_before(scenario), disk) == "after"
