"""Scratch folders for mounts, and a home of the pipeline to copy."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.filesystems.mounts import KINDS, Kind, Mounted, Step, mounted, nothing, unmount_all
from tests.power.rig import Unavailable
from tests.support.shop import Shop

Mount = Callable[..., Mounted]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder that other users can reach, without mounts when it goes."""
    path = Path(tempfile.mkdtemp(prefix="filesystems-"))
    path.chmod(0o755)
    yield path
    unmount_all(path)
    shutil.rmtree(path)


@pytest.fixture
def mount(scratch: Path) -> Iterator[Mount]:
    """Mount a kind with laid-out files; skip the test where this machine cannot."""
    with ExitStack() as stack:

        def enter(kind: Kind, lay_out: Step = nothing) -> Mounted:
            try:
                return stack.enter_context(mounted(kind, scratch / kind.name, lay_out))
            except Unavailable as error:
                pytest.skip(str(error))

        yield enter


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(scope="session")
def shop_with_a_run(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop whose only task has run once; not to be changed."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.new_task()
    return shop
