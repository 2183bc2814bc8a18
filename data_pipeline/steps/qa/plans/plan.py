"""A plan says what is asked; its query and its question are both made of it, so they say the same. Opens nothing.

Plan -> queries.py  -> syntax tree -> SQL
     -> phrasing    -> a question, in English or Chinese
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from data_pipeline.semantics.parts import At, Measure, Part, Value
from data_pipeline.tasks.table_list import TableName

Comparing = Literal["=", "<>", ">", ">=", "<", "<="]
Unit = Literal["year", "month"]


class Bucket(Part):
    """The year or the month of a moment."""

    kind: Literal["bucket"] = "bucket"
    at: At
    unit: Unit


Key = Annotated[At | Bucket, Field(discriminator="kind")]


class Share(Part):
    """How much of the whole a group's measure is, in percent."""

    kind: Literal["share"] = "share"
    measure: Measure


class Running(Part):
    """The sum of a measure over all buckets up to this one."""

    kind: Literal["running"] = "running"
    measure: Measure
    by: Bucket


class Change(Part):
    """By how much a measure differs from the bucket before."""

    kind: Literal["change"] = "change"
    measure: Measure
    by: Bucket


Output = Annotated[At | Bucket | Measure | Share | Running | Change, Field(discriminator="kind")]


class Compared(Part):
    """A column beside a value."""

    kind: Literal["compared"] = "compared"
    at: At
    operator: Comparing
    value: Value


class Between(Part):
    """A column between two values, both included."""

    kind: Literal["between"] = "between"
    at: At
    low: Value
    high: Value


class OneOf(Part):
    """A column that is one of a few values."""

    kind: Literal["one_of"] = "one_of"
    at: At
    values: tuple[Value, ...]


class Like(Part):
    """A text that begins with, ends with, or holds a piece, whatever its case where the database says so."""

    kind: Literal["like"] = "like"
    at: At
    place: Literal["start", "anywhere"]
    text: str


class Missing(Part):
    """A column that is null, or is not."""

    kind: Literal["missing"] = "missing"
    at: At
    is_missing: bool


class Flag(Part):
    """A column of yes and no; `value` is how its rows spell what is wanted."""

    kind: Literal["flag"] = "flag"
    at: At
    is_set: bool
    value: Value


class During(Part):
    """A moment in a year, or in a month of it."""

    kind: Literal["during"] = "during"
    at: At
    year: int
    month: int | None = None


class BesideAverage(Part):
    """A number above or below the average of its column over the whole table."""

    kind: Literal["beside_average"] = "beside_average"
    at: At
    is_above: bool


class AtExtreme(Part):
    """Rows with the greatest or least value of a column."""

    kind: Literal["at_extreme"] = "at_extreme"
    at: At
    is_greatest: bool


class Related(Part):
    """Rows that have, or lack, rows of another source that refer to them along a link; `where` narrows those."""

    kind: Literal["related"] = "related"
    source: str
    link: str
    has: bool
    spelling: Literal["exists", "in"] = "exists"
    where: tuple[Simple, ...] = ()


Simple = Annotated[
    Compared | Between | OneOf | Like | Missing | Flag | During | BesideAverage | AtExtreme,
    Field(discriminator="kind"),
]
Condition = Annotated[
    Compared | Between | OneOf | Like | Missing | Flag | During | BesideAverage | AtExtreme | Related,
    Field(discriminator="kind"),
]


class Source(Part):
    """A table in a query; all but the first are joined along a foreign key of the facts, up to the parent or down."""

    alias: str
    table: TableName
    link: str | None = None
    beside: str | None = None
    is_up: bool = True
    is_left: bool = False


class Having(Part):
    """A measure beside a number, or beside the average of that measure over all groups."""

    measure: Measure
    operator: Comparing
    value: Value | None = None


class Order(Part):
    """What rows are sorted by."""

    by: Output
    is_descending: bool = False


class Selection(Part):
    """One SELECT. `known` columns are not null in any row: a group without a name is no group to people."""

    sources: tuple[Source, ...]
    outputs: tuple[Output, ...]
    where: tuple[Condition, ...] = ()
    is_either: bool = False
    known: tuple[At, ...] = ()
    groups: tuple[Key, ...] = ()
    having: Having | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    is_distinct: bool = False

    @property
    def root(self) -> Source:
        """What the question is about."""
        return self.sources[0]


class Best(Part):
    """Of each partition only the rows whose rank by a column is at most `count`; the last key names the partition."""

    partition: tuple[Key, ...]
    order: Order
    count: int


class Plan(Part):
    """What one pair asks. `variant` chooses among a family's sets of phrasings."""

    family: str
    query: Selection
    variant: str = "plain"
    combined: Literal["union", "intersect", "except"] | None = None
    other: Selection | None = None
    best: Best | None = None

    @property
    def selections(self) -> tuple[Selection, ...]:
        """Its SELECTs, as the question names them."""
        return (self.query,) if self.other is None else (self.query, self.other)


Related.model_rebuild()
