"""A task with everything that a load takes: pages and DDL of a shop by the real step, pairs by one that writes them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_pipeline.api.simple_workflow import SimpleWorkflowExecutor
from data_pipeline.config.vector_place import VectorPlace
from data_pipeline.steps import RunParameters, Step
from data_pipeline.steps.ddl.step import DdlGeneration
from data_pipeline.steps.pair_file import format_pairs, pair_id
from data_pipeline.steps.training.step import TrainingLoad
from data_pipeline.steps.validation.step import SqlValidation
from data_pipeline.tasks.parameters import RunOptions
from data_pipeline.vectors.store.contract import StoredItem
from data_pipeline.vectors.store.opening import open_vector_store
from tests.support.tasks import WritingStep, executor, make_task

PAIR_FILE = "qs_shop_20260121_094400_pair.json"
META_FILE = "qs_shop_20260121_094400_pair.meta.jsonl"
SCHEMA = """
CREATE TABLE customer (customer_id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE purchase (purchase_id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer (customer_id),
    total NUMERIC(10, 2));
INSERT INTO customer VALUES (1, 'Ann', 'Oslo'), (2, 'Bo', 'Bergen');
INSERT INTO purchase VALUES (1, 1, 10), (2, 1, 20), (3, 2, 5);
"""
PAIRS = (
    ("How many customers are there?", "SELECT count(*) FROM customer;"),
    (
        "Total of all purchases by city",
        "SELECT city, sum(total) FROM purchase JOIN customer USING (customer_id) GROUP BY city;",
    ),
    ("有多少个客户？", "SELECT count(customer_id) FROM customer;"),
    ("Which purchase is the largest?", "SELECT purchase_id FROM purchase ORDER BY total DESC LIMIT 1;"),
)


def make_shop(path: Path) -> str:
    """A business database; its URL."""
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    connection.close()
    return f"sqlite:///{path}"


def pairs_step(pairs: Sequence[tuple[str, str]] = PAIRS, **files: str) -> WritingStep:
    """qa_generation, as far as files go."""
    meta = [
        {"id": pair_id(question, sql), "family": "count", "difficulty": "easy", "tables": ["main.customer"],
         "columns": ["main.customer.name"], "provenance": "template", "rows": 1}
        for question, sql in pairs
    ]  # fmt: skip
    written = {
        PAIR_FILE: format_pairs(pairs),
        META_FILE: "".join(json.dumps(line) + "\n" for line in meta),
        "metadata.txt": "-- metadata\n",
        "metadata_detail.md": "# Metadata\n\n## customers\nwho buys\n\n## purchases\nwhat is bought\n",
        "db_query_decision_prompt.txt": "customers, purchases\n",
        **files,
    }
    return WritingStep(written, name="qa_generation")


class Training:
    """One task, its database and a vector store."""

    def __init__(self, folder: Path, vectors_url: str) -> None:
        self.place = VectorPlace(vectors_url)
        self.database_url = make_shop(folder / "shop.sqlite")
        self.task = make_task(folder / "training_data" / "task_1", table_list="customer\npurchase\n")

    def executor(
        self,
        *,
        pairs: Sequence[tuple[str, str]] = PAIRS,
        steps: Sequence[Step] | None = None,
        options: RunOptions | None = None,
        parameters: dict[str, Any] | None = None,
        task: Path | None = None,
        **more: Any,
    ) -> SimpleWorkflowExecutor:
        """What runs the task."""
        chosen = RunParameters(
            db_connection=self.database_url,
            source="shop",
            vectors=self.place,
            options=options or RunOptions(),
            **(parameters or {}),
        )
        steps = steps or (DdlGeneration(), pairs_step(pairs), SqlValidation(), TrainingLoad())
        return executor(task or self.task, *steps, parameters=chosen, **more)

    def stored(self) -> list[StoredItem]:
        """All that the store holds."""
        store = open_vector_store(self.place)
        try:
            return list(store.dump())
        finally:
            store.close()

    def contents(self) -> set[str]:
        """What the stored items say."""
        return {one.item.content for one in self.stored()}
