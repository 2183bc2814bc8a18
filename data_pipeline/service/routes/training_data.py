"""Training items: search them for a question, and export those of a task."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from data_pipeline.dataset.export import ExportFormat, export
from data_pipeline.service.answers import REFUSALS, success
from data_pipeline.service.models import SearchRequest
from data_pipeline.service.routes.tasks import PREFIX, RunsDep, TaskId
from data_pipeline.vectors.search import found_summary
from data_pipeline.vectors.store.contract import Question

router = APIRouter(prefix=PREFIX, tags=["training data"], responses=REFUSALS)


@router.get(
    "/tasks/{task_id}/export",
    summary="Export a task's pairs",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "The file, as an attachment."}},
)
def exported(
    task_id: TaskId,
    runs: RunsDep,
    format: Annotated[ExportFormat, Query(description="Format; `spider` is a zip.")] = "chat-jsonl",  # noqa: A002 - its name
) -> Response:
    """Export the task's items of the vector store, without the envelope. Equal items give equal bytes."""
    runs.store.task(task_id)
    exported_file = export(task_id, runs.vectors.get().held_by(task_id), format)
    return Response(
        exported_file.content,
        media_type="application/octet-stream",
        headers={
            "Content-Disposition": f'attachment; filename="{exported_file.file_name}"',
            "X-Content-Type-Options": "nosniff",
        },
    )


@router.post("/training_data/search", summary="Search training items for a question")
def search(request: Request, body: SearchRequest, runs: RunsDep) -> Response:
    """Find the pairs, DDL and pages nearest to a question, best first. Use them as context in a text-to-SQL prompt."""
    started = time.perf_counter()
    if body.task_id is not None:
        runs.store.task(body.task_id)
    store = runs.vectors.get()
    question = Question(body.question, body.limit, body.kinds, body.task_id, body.database)
    results = [found_summary(match) for match in store.search(question)]
    return success(
        request,
        f"{len(results)} items.",
        {
            "results": results,
            "total": len(results),
            "embedder": str(store.embedder.identity),
            "query_time": round(time.perf_counter() - started, 6),
        },
    )
