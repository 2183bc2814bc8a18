"""Is the server there: answers at once, whatever disk and databases do."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

router = APIRouter(tags=["server"])


@router.get("/health", summary="Whether the server is up, and what it recovered at its start")
async def health(request: Request) -> dict[str, Any]:
    """Looks at nothing but memory. Outside the envelope; answers without a key."""
    return request.app.state.health()  # type: ignore[no-any-return]
