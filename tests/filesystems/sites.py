"""The transactions that run on every file system, and the places where they are laid out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from journal import Filesystem, Outcome, lock_directory
from tests.power import rig

MANY = {f"file_{number:02}.sql": rig.old(f"file_{number:02}.sql", 100 + number * 40) for number in range(70)}
"""More files than the journal looks at one by one."""

SCENARIOS = {
    "backup": rig.SCENARIOS["backup"],
    "backup_of_70": rig.backup("backup_of_70", MANY),
    "publish": rig.SCENARIOS["publish"],
    "restore": rig.SCENARIOS["restore"],
}


@dataclass(frozen=True)
class Place:
    """A folder with the directory of a scenario, as `tests.power.rig` judges it."""

    root: str

    @property
    def directory(self) -> str:
        return f"{self.root}/{rig.DIRECTORY_NAME}"


def lay_out_places(scenario: rig.Scenario, path: Path, count: int) -> None:
    """Lay a scenario out in folders 0 to count - 1."""
    for number in range(count):
        (path / str(number)).mkdir()
        scenario.lay_out(Place(str(path / str(number))).directory)


def run(place: Place, scenario: rig.Scenario, filesystem: Filesystem) -> Outcome:
    """Lock the directory of a place and run the scenario in it."""
    with lock_directory(place.directory, label="run", timeout_seconds=5, filesystem=filesystem) as locked:
        return scenario.run(locked)
