"""JSON files that show whether anybody has changed them: `seal` is the SHA-256 of all the rest.

What a run wrote and nobody touched may be replaced by the next run; a person's edit is kept. Opens no file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

SEAL: Final = "seal"


def seal(content: Mapping[str, Any]) -> bytes:
    """The bytes of a JSON object with its seal as the last key."""
    return _dump({**content, SEAL: _digest(content)})


def unsealed(raw: bytes) -> dict[str, Any] | None:
    """The object without its seal; None if it was changed by as much as a byte, or never was one of ours."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    found = content.pop(SEAL, None)
    return content if found == _digest(content) and raw == seal(content) else None


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_dump(content)).hexdigest()


def _dump(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"
