"""Wait for what another thread or process does: as long as it takes, and with an end for what never happens."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 300
"""Long after a busy machine would have done it: a test that waits so long has failed."""


def wait_until(
    condition: Callable[[], object],
    context: Callable[[], object] = lambda: "it never came true",
    patience_seconds: float = PATIENCE_SECONDS,
) -> None:
    """Ask again and again until the condition holds; `context` describes the state for a failure."""
    deadline = time.monotonic() + patience_seconds
    while not condition():
        assert time.monotonic() < deadline, context()
        time.sleep(0.01)
