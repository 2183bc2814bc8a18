"""Power fails at every call; unsynced changes are lost in every way that four kinds of disk allow."""

from __future__ import annotations

import pytest

from tests.crash.campaign import (
    all_power_losses,
    count_recovery_calls,
    die_at,
    files_before,
    list_calls,
    recover,
    run_into,
    run_until,
    sample,
)
from tests.support.model_filesystem import MODELS, ModelFilesystem
from tests.support.scenarios import SCENARIOS, Scenario, verdict

CASES = [
    pytest.param(scenario, model, id=f"{scenario.name}-{model}")
    for scenario in SCENARIOS
    for model in (MODELS[:1] if scenario.moves_directories else MODELS)
]
"""I4's exception: a directory can only be renamed, so it relies on the atomic rename that ext4 and xfs (M1) give."""


def check(scenario: Scenario, disk: ModelFilesystem) -> None:
    """Recover and judge."""
    recover(disk)
    assert verdict(scenario, files_before(scenario), disk) in ("before", "after")


@pytest.mark.parametrize(("scenario", "model"), CASES)
def test_power_failure_at_any_call_loses_nothing(scenario: Scenario, model: str) -> None:
    """I4: at every instant, and after any loss of unsynced changes, every file has a durable name."""
    for call in range(len(list_calls(scenario)) + 1):
        for survivor in all_power_losses(run_until(scenario, call), [model]):
            check(scenario, survivor)


@pytest.mark.parametrize(("scenario", "model"), CASES)
def test_second_power_failure_during_recovery_loses_nothing(scenario: Scenario, model: str) -> None:
    """I3, I4: power loss, recovery, power loss at any of its calls, recovery."""
    first = [
        survivor
        for call in range(len(list_calls(scenario)) + 1)
        for survivor in all_power_losses(run_until(scenario, call), [model])
    ]
    judged = set()
    for survivor in sample(first, 25, scenario.name, model):
        for second in range(count_recovery_calls(survivor) + 1):
            cut = run_into(survivor.clone(), die_at(second), recover)
            for twice in sample(list(all_power_losses(cut, [model])), 6, scenario.name, model, second):
                if (key := twice.key()) not in judged:
                    judged.add(key)
                    check(scenario, twice)


@pytest.mark.parametrize(("scenario", "model"), CASES)
def test_power_failure_during_the_recovery_of_a_killed_process_loses_nothing(scenario: Scenario, model: str) -> None:
    """I3, I8: the recovery of a killed process acts on changes that may not be durable; then power fails."""
    judged = set()
    for call in sample(range(len(list_calls(scenario)) + 1), 12, scenario.name, model):
        dead = run_until(scenario, call)
        for second in sample(range(count_recovery_calls(dead) + 1), 8, scenario.name, model, call):
            cut = run_into(dead.clone(), die_at(second), recover)
            for survivor in sample(list(all_power_losses(cut, [model])), 12, scenario.name, model, call, second):
                if (key := survivor.key()) not in judged:
                    judged.add(key)
                    check(scenario, survivor)
