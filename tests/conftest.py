"""In which order tests run: by chance, but for those that take longest."""

from __future__ import annotations

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that kill processes again and again come first: at the end, one of them would keep all others waiting."""
    items.sort(key=lambda item: not ("killed" in item.name and item.nodeid.startswith("tests/data_pipeline/")))
