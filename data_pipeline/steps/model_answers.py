"""The requests of steps to a language model, and the checks of its answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, Field

from data_pipeline.database.driver import Dialect
from data_pipeline.database.drivers import grammar_of
from data_pipeline.database.schema import Table
from data_pipeline.semantics.profile import TableProfile
from data_pipeline.semantics.wording import Suggestion, listed_value, one_line, words_of
from data_pipeline.steps.contract import RunParameters
from data_pipeline.tasks.results import ModelCost

if TYPE_CHECKING:
    from data_pipeline.language_model.client import LanguageModel, ModelUsage

COLUMNS_AT_ONCE: Final = 60
"""Maximum number of columns in one prompt; wider tables need several prompts."""

TABLES_IN_PROMPT: Final = 10
COMMENT_CHARACTERS: Final = 200
EXAMPLES: Final = 3

LANGUAGES: Final = {"en": "English", "zh": "Chinese (简体中文)"}


class ColumnComment(BaseModel):
    """The meaning of a column."""

    model_config = ConfigDict(extra="forbid")

    name: str
    comment: str


class TableComments(BaseModel):
    """The meaning of a table and its columns."""

    model_config = ConfigDict(extra="forbid")

    table: str
    columns: list[ColumnComment]


class RepairedQuery(BaseModel):
    """The replacement of a query that fails."""

    model_config = ConfigDict(extra="forbid")

    sql: str = Field(max_length=20_000)


async def suggest_comments(
    model: LanguageModel, parameters: RunParameters, table: Table, profile: TableProfile | None
) -> Suggestion:
    """Return comments for a table and its columns that have none. Raises ModelFailed."""
    silent = [column.name for column in table.columns if not column.comment]
    own: str | None = None
    columns: dict[str, str] = {}
    parts = [silent[start : start + COLUMNS_AT_ONCE] for start in range(0, len(silent), COLUMNS_AT_ONCE)]
    for part in parts or ([[]] if table.comment is None else []):
        answer = await model.ask(
            "describe_table",
            TableComments,
            {
                "language": LANGUAGES[parameters.language],
                "business_context": parameters.business_context or "unknown",
                "table": described(table, profile, part),
                "columns": ", ".join(part) or "none",
            },
        )
        own = own or _taken(answer.table)
        asked = set(part)
        columns |= {one.name: text for one in answer.columns if one.name in asked and (text := _taken(one.comment))}
    return Suggestion(own, columns)


async def repaired_query(
    model: LanguageModel, dialect: Dialect, question: str, sql: str, error: str, tables: Sequence[Table]
) -> str:
    """Return the model's replacement of a query that fails. Raises ModelFailed."""
    near = relevant_tables(f"{question} {sql}", tables)
    answer = await model.ask(
        "repair_query",
        RepairedQuery,
        {
            "dialect": grammar_of(dialect).title,
            "question": question,
            "sql": sql,
            "error": error,
            "tables": "\n\n".join(described(table) for table in near),
        },
    )
    return answer.sql.strip()


def used(before: ModelUsage | None, model: LanguageModel | None) -> ModelCost | None:
    """Return the requests of a step since `before`, for its result; None without a model."""
    if model is None or before is None:
        return None
    counts = {name: value - getattr(before, name) for name, value in asdict(model.usage).items()}
    cost = model.endpoint.cost(counts["prompt_tokens"], counts["completion_tokens"])
    return ModelCost(**counts, cost=None if cost is None else round(cost, 6))


def described(table: Table, profile: TableProfile | None = None, only: Sequence[str] | None = None) -> str:
    """Return a table in a few lines, with all columns or only these, and without masked values."""
    examples = (
        {column.name: column.samples[:EXAMPLES] for column in profile.columns if not column.is_masked}
        if profile
        else {}
    )
    lines = [f"{table.kind} {table.name}" + (f" -- {one_line(table.comment)}" if table.comment else "")]
    for column in table.columns:
        if only and column.name not in only:
            continue
        shown = examples.get(column.name, ())
        line = f"  {column.name} {column.type_sql}"
        line += f" -- {one_line(column.comment)}" if column.comment else ""
        line += f" (examples: {', '.join(one_line(listed_value(value)) for value in shown)})" if shown else ""
        lines.append(line)
    lines += [
        f"  {', '.join(key.columns)} refers to {key.target} ({', '.join(key.target_columns)})"
        for key in table.foreign_keys
    ]
    return "\n".join(lines)


def relevant_tables(text: str, tables: Sequence[Table]) -> list[Table]:
    """Return the tables whose names and columns share most words with a text, `TABLES_IN_PROMPT` at most."""
    words = set(words_of(text).split()) | set(re.findall(r"\w+", text.lower()))

    def score(table: Table) -> tuple[int, int]:
        own = set(words_of(table.name.name).split()) | {table.name.name.lower()}
        columns = {word for column in table.columns for word in (*words_of(column.name).split(), column.name.lower())}
        return 3 * len(own & words) + len(columns & words), -len(table.columns)

    return sorted(tables, key=score, reverse=True)[:TABLES_IN_PROMPT]


def _taken(comment: str) -> str | None:
    text = one_line(comment)
    return text[:COMMENT_CHARACTERS] if text else None
