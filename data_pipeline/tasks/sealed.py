"""Seal JSON files, so that changes are detected: `seal` is the SHA-256 of all other keys.

A run may replace an unchanged file of an earlier run, but must keep a file that a user has edited. Opens no file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

SEAL: Final = "seal"


def seal(content: Mapping[str, Any]) -> bytes:
    """Return the bytes of a JSON object with its seal as the last key."""
    return _dump({**content, SEAL: _digest(content)})


def unsealed(raw: bytes) -> dict[str, Any] | None:
    """Return the object without its seal; None if a byte was changed, or if it was not written by `seal`."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    digest = content.pop(SEAL, None)
    return content if digest == _digest(content) and raw == seal(content) else None


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_dump(content)).hexdigest()


def _dump(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"
