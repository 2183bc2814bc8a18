"""`data-pipeline search`."""

from __future__ import annotations

from typing import Annotated

import typer

from data_pipeline.commands.arguments import AsJson, complete_task, load_settings
from data_pipeline.commands.output import print_json, print_lines
from data_pipeline.errors import InvalidInput, NotFound
from data_pipeline.vectors.store.contract import KINDS, Question

app = typer.Typer()

SEARCH_EXAMPLES = """\b
Examples:
  data-pipeline search "How many orders per month?"
  data-pipeline search "orders" --kind sql --kind ddl --limit 10
  data-pipeline search "每个月的订单数量" --task task_20250121_094400 --json
"""


@app.command(epilog=SEARCH_EXAMPLES)
def search(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="Question in plain words.")],
    limit: Annotated[int, typer.Option(help="Maximum number of items, best first.", min=1, max=100)] = 5,
    kind: Annotated[
        list[str] | None, typer.Option(help=f"Only items of this kind ({', '.join(KINDS)}); repeatable.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="Only items of this task.", autocompletion=complete_task)
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="Only items of this database, by its name in the results.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search the training items of all tasks for a question: pairs, DDL, pages."""
    from data_pipeline.tasks import task_directory
    from data_pipeline.vectors.search import found_summary
    from data_pipeline.vectors.store.opening import look_at_vector_store, open_vector_store

    if not question.strip():
        raise InvalidInput("question", "must not be empty")
    kinds = [name for name in KINDS if name in kind] if kind else None
    if kind and set(kind) - set(KINDS):
        raise InvalidInput("--kind", f"expected one of {', '.join(KINDS)}, got {min(set(kind) - set(KINDS))[:40]!a}")
    if task is not None:
        task_directory.check_task_id(task)
    place = load_settings().vector_place
    if look_at_vector_store(place) is None:
        raise NotFound("vector store", "", "Run a task, or its step training_load, to create it.")
    store = open_vector_store(place)
    try:
        items = [found_summary(match) for match in store.search(Question(question, limit, kinds, task, database))]
    finally:
        store.close()
    if as_json:
        print_json(items)
        return
    lines: list[str] = []
    for number, item in enumerate(items, start=1):
        places = ", ".join(f"{held['task_id']}/{held['file']}" for held in item["provenance"][:3])
        lines.append(f"{number}. {item['score']:.3f}  {item['kind']} of {item['database']}  ({places})")
        text = f"{item['question']}\n{item['sql']}" if item["kind"] == "sql" else item["content"]
        lines += [f"   {line}" for line in text.splitlines()]
    print_lines(lines or ["No items found."])
