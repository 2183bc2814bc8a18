"""Ids of runs and of other work in task directories."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


def new_work_id(kind: str, now: datetime | None = None) -> str:
    """Return an id such as `run_20250121_094400_3f0a1c`, sorted by local time within its kind.

    `kind` is `run`, `restore`, `upload` ... It is also the beginning of the name of the work folder.
    """
    return f"{kind}_{now or datetime.now(UTC).astimezone():%Y%m%d_%H%M%S}_{secrets.token_hex(3)}"
