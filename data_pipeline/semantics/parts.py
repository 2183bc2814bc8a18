"""The parts that facts about a database and plans of questions share: a literal, a column, an aggregate."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Function = Literal["count", "count_distinct", "sum", "avg", "min", "max"]


class Part(BaseModel):
    """A frozen part of a plan."""

    model_config = ConfigDict(frozen=True)


class Value(Part):
    """A literal, as the database has it in a row."""

    kind: Literal["text", "number", "boolean", "date", "timestamp"]
    text: str


class At(Part):
    """A column of one source."""

    kind: Literal["column"] = "column"
    source: str
    column: str


class Measure(Part):
    """An aggregate; `count` without a column counts rows, `of` then names the source whose rows are meant.

    `expression` is an aggregate that a glossary defines: its term and its SQL over the columns of one source.
    """

    kind: Literal["measure"] = "measure"
    function: Function
    at: At | None = None
    of: str | None = None
    term: str | None = None
    expression: str | None = None
