"""The vector store: what is nearest to a question."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request, Response

from data_pipeline.service.answers import REFUSALS, success
from data_pipeline.service.models import SearchRequest
from data_pipeline.service.routes.tasks import PREFIX, RunsDep
from data_pipeline.training_search import found_summary
from data_pipeline.vector_store.contract import Question

router = APIRouter(prefix=PREFIX, tags=["training data"], responses=REFUSALS)


@router.post("/training_data/search", summary="The training items nearest to a question")
def search(request: Request, body: SearchRequest, runs: RunsDep) -> Response:
    """Pairs, DDL and pages of all tasks, or of one: what a prompt for text-to-SQL needs. Best first."""
    started = time.perf_counter()
    if body.task_id is not None:
        runs.store.task(body.task_id)
    store = runs.vectors.get()
    question = Question(body.question, body.limit, body.kinds, body.task_id, body.database)
    found = [found_summary(one) for one in store.search(question)]
    return success(
        request,
        f"{len(found)} items.",
        {
            "results": found,
            "total": len(found),
            "embedder": str(store.embedder.identity),
            "query_time": round(time.perf_counter() - started, 6),
        },
    )
