"""Disks for the power tests, and how much of the campaign is run.

POWER_POINTS: at how many calls of each run the plug is pulled (a number, or `all`); POWER_SEED: which ones.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from random import Random

import pytest

from tests.power.rig import KINDS, SCENARIOS, Disk, Kind, Laid, Scenario, Unavailable, make_disk, prepare

DEFAULT_POINTS = 6
MEMORY = "/dev/shm"
ROOM_BYTES = 4 << 30
ANY_SEED = str(Random().randrange(1 << 32))


class Workshop:
    """The disks of one test process, each made when it is first asked for."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._empty: dict[str, Disk | Unavailable] = {}
        self._laid: dict[tuple[str, str], Laid] = {}

    def empty(self, kind: Kind) -> Disk:
        """An empty disk, not to be changed; skips the test where there can be none."""
        if kind.name not in self._empty:
            try:
                self._empty[kind.name] = make_disk(kind, os.path.join(self._path, kind.name))
            except Unavailable as error:
                self._empty[kind.name] = error
        made = self._empty[kind.name]
        if isinstance(made, Unavailable):
            pytest.skip(str(made))
        return made

    def laid(self, kind: Kind, scenario: Scenario) -> Laid:
        """A disk on which a scenario can begin, not to be changed."""
        key = kind.name, scenario.name
        if key not in self._laid:
            self._laid[key] = prepare(self.empty(kind), scenario, os.path.join(self._path, "-".join(key)))
        return self._laid[key]


class Campaign:
    """Which calls of a run are tried, by a seed that a failing test tells, and what came of it."""

    def __init__(self, seed: str, test: str, points: str, record: Callable[[str, object], None]) -> None:
        self.random = Random(f"{seed} {test}")
        self._seed = seed
        self._points = points
        self._record = record
        self._tried = 0
        self._problems: list[str] = []

    def choose(
        self, count: int, always: Iterable[int] = (), *, share: float = 1, limit: int | None = None
    ) -> list[int]:
        """Some of the numbers below `count`, those that are always tried among them; all, where all are asked for.

        `share` of the usual number are taken; `limit` bounds what `all` means.
        """
        limit = count if limit is None else min(limit, count)
        wanted = limit if self._points == "all" else min(limit, max(1, round(int(self._points) * share)))
        return sorted({*self.random.sample(range(count), wanted), *always})

    def add(self, where: object, problem: str) -> None:
        """Count a point, and remember what is wrong there, if anything is."""
        self._tried += 1
        if problem:
            self._problems.append(f"{where}: {problem}")

    def end(self) -> None:
        """Fail with every problem, and with the seed that repeats them."""
        print(f"{self._tried} points, POWER_SEED={self._seed}")
        self._record("power_points", self._tried)
        self._record("power_seed", self._seed)
        if self._problems:
            lines = "\n".join(self._problems)
            pytest.fail(
                f"{len(self._problems)} of {self._tried} points, POWER_SEED={self._seed}:\n{lines}", pytrace=False
            )


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """In memory where there is room: a flush of an image need not wait for the disk of this machine."""
    is_roomy = os.path.isdir(MEMORY) and shutil.disk_usage(MEMORY).free >= ROOM_BYTES
    path = tempfile.mkdtemp(prefix="power-", dir=MEMORY if is_roomy else str(tmp_path_factory.getbasetemp()))
    yield Workshop(path)
    shutil.rmtree(path)


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def btrfs() -> Kind:
    return KINDS["btrfs"]


@pytest.fixture
def ext4() -> Kind:
    return KINDS["ext4"]


@pytest.fixture(params=list(SCENARIOS))
def laid(request: pytest.FixtureRequest, workshop: Workshop, kind: Kind) -> Laid:
    """Every scenario on every kind of file system."""
    return workshop.laid(kind, SCENARIOS[request.param])


@pytest.fixture
def campaign(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Campaign:
    seed = os.environ.get("POWER_SEED") or str(request.config.getoption("randomly_seed", default=None) or ANY_SEED)
    points = os.environ.get("POWER_POINTS") or str(DEFAULT_POINTS)
    return Campaign(seed, request.node.name, points, record_property)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How much was tried, and the seed that tries the same again."""
    properties = [
        found
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for found in report.user_properties
    ]
    points = sum(int(value) for name, value in properties if name == "power_points")
    seeds = sorted({str(value) for name, value in properties if name == "power_seed"})
    if points:
        terminalreporter.write_line(f"power: {points} points tried, POWER_SEED={' '.join(seeds)}")
