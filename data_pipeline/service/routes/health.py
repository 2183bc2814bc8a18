"""Health and metrics of the server, available even if disk and databases are not."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

router = APIRouter(tags=["server"])


@router.get("/health", summary="Check server health")
async def health(request: Request) -> dict[str, Any]:
    """Return the server's state from memory, without the envelope and without a key."""
    return request.app.state.health()  # type: ignore[no-any-return]


@router.get(
    "/metrics",
    summary="Get metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "the exposition format of Prometheus"}},
)
def metrics(request: Request) -> Response:
    """Return the metrics of this process, without the envelope."""
    return Response(generate_latest(request.app.state.runs.metrics.registry), media_type=CONTENT_TYPE_LATEST)
