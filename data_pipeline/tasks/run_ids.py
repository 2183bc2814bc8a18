"""Ids of runs, and of everything else that works in a task directory."""

from __future__ import annotations

import secrets
from datetime import datetime


def new_run_id(now: datetime) -> str:
    """Return an id for a run, sorted by time."""
    return f"run_{now:%Y%m%d_%H%M%S}_{secrets.token_hex(3)}"
