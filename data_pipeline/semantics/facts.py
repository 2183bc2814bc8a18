"""What the generator knows of a database: tables and columns with their parts in questions, and how they refer.

Plain values; `observing.py` fills them. Values of personal columns are not in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from data_pipeline.database.driver import Dialect
from data_pipeline.semantics.names import is_thing, words_named
from data_pipeline.semantics.parts import Measure, Value
from data_pipeline.tasks.table_list import TableName

Role = Literal[
    "key",  # tells rows apart, means nothing by itself
    "reference",  # refers to another table
    "measure",  # a number that can be averaged
    "year",
    "flag",
    "moment",  # a date, with or without a time
    "category",  # few values that repeat
    "label",  # names a row
    "text",
    "code",  # digits that are no amount, and texts that tell rows apart
    "personal",
    "blank",  # no value in any row that was looked at
    "odd",  # bytes, JSON, arrays: nothing to compare
]

UNUSABLE: frozenset[Role] = frozenset({"personal", "blank", "odd"})


@dataclass(frozen=True)
class ColumnFacts:
    """A column. `values` are real ones, most frequent first, with how often each was seen.

    `ordered` are the values that were seen, sorted (numbers and moments only). `is_additive`: a sum of it makes sense.
    """

    table: TableName
    name: str
    role: Role
    is_number: bool = False
    has_time: bool = False
    is_unique: bool = False
    null_count: int = 0
    values: tuple[tuple[Value, int], ...] = ()
    ordered: tuple[Value, ...] = ()
    is_additive: bool = False
    comment: str | None = None

    @property
    def is_usable(self) -> bool:
        """Whether a question can be about it."""
        return self.role not in UNUSABLE

    @property
    def never_repeats(self) -> bool:
        """Whether each of the rows that were seen has a value of its own."""
        return bool(self.values) and self.values[0][1] == 1 and not self.null_count


@dataclass(frozen=True)
class TableFacts:
    """A table or view; `label` names its rows to people, `key` tells them apart, `row_count` may be an estimate.

    `terms` are numbers over its rows that a glossary defines.
    """

    name: TableName
    row_count: int
    columns: tuple[ColumnFacts, ...]
    key: tuple[str, ...] = ()
    label: str | None = None
    is_view: bool = False
    comment: str | None = None
    terms: tuple[Measure, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, ColumnFacts]:
        """Its columns."""
        return {column.name: column for column in self.columns}

    @property
    def shown(self) -> str | None:
        """What stands for a row in a result: its label, else its key where that is one column that may be shown."""
        if self.naming is not None:
            return self.naming.name
        if self.label is not None:
            return self.label
        return self.key[0] if len(self.key) == 1 and self.by_name[self.key[0]].is_usable else None

    @cached_property
    def naming(self) -> ColumnFacts | None:
        """What a row of `Sales by Category` is, its name does not tell: a column that never repeats, `product_name`."""
        if is_thing(self.name.name):
            return None
        known = [column for column in self.columns if column.role in ("label", "key", "reference", "code")]
        known.sort(key=lambda column: column.name != self.label)
        return next((column for column in known if column.never_repeats and words_named(column.name)), None)

    @cached_property
    def is_asked_for(self) -> bool:
        """Whether people ask which rows there are: that takes a word for one of them."""
        return self.shown is not None and (is_thing(self.name.name) or self.naming is not None)

    def told(self) -> list[ColumnFacts]:
        """The columns that people want to see: keys and references only tell rows apart, but in views they are data."""
        return [
            column for column in self.columns
            if column.is_usable and (self.is_view or column.role not in ("key", "reference"))
        ]  # fmt: skip

    def of_role(self, *roles: Role) -> list[ColumnFacts]:
        """Its columns of these roles."""
        return [column for column in self.columns if column.role in roles]


@dataclass(frozen=True)
class Link:
    """A foreign key, declared or inferred from names and values (then with a confidence below 1).

    `has_orphans`: some rows of the child refer to nothing.
    """

    id: str
    child: TableName
    child_columns: tuple[str, ...]
    parent: TableName
    parent_columns: tuple[str, ...]
    has_orphans: bool = False
    confidence: float = 1.0

    @property
    def is_inferred(self) -> bool:
        """Whether the database does not declare it."""
        return self.confidence < 1.0

    @property
    def is_to_itself(self) -> bool:
        """Whether it joins a table to itself."""
        return self.child == self.parent


@dataclass(frozen=True)
class Facts:
    """All tables and links of a task."""

    dialect: Dialect
    tables: tuple[TableFacts, ...]
    links: tuple[Link, ...] = ()
    default_schema: str | None = None
    _up: dict[TableName, list[Link]] = field(default_factory=dict, repr=False, compare=False)
    _down: dict[TableName, list[Link]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for link in self.links:
            self._up.setdefault(link.child, []).append(link)
            self._down.setdefault(link.parent, []).append(link)

    @cached_property
    def by_name(self) -> dict[TableName, TableFacts]:
        """Its tables."""
        return {table.name: table for table in self.tables}

    @cached_property
    def by_link(self) -> dict[str, Link]:
        """Its links."""
        return {link.id: link for link in self.links}

    def up(self, table: TableName) -> Sequence[Link]:
        """The links by which a table refers to others."""
        return self._up.get(table, ())

    def down(self, table: TableName) -> Sequence[Link]:
        """The links by which others refer to a table."""
        return self._down.get(table, ())

    def bridge_of(self, table: TableName) -> tuple[Link, Link] | None:
        """The two links of a table that joins two others, many to many: its key is these references."""
        key = set(self.by_name[table].key)
        links = [link for link in self.up(table) if set(link.child_columns) <= key]
        covered = {column for link in links for column in link.child_columns}
        if len(links) == 2 and covered == key and links[0].parent != links[1].parent:
            return links[0], links[1]
        return None

    def ends_of(self, table: TableName) -> tuple[Link, Link] | None:
        """As `bridge_of`, of a table that says nothing but what belongs together: its rows are known by their ends."""
        links = self.bridge_of(table)
        if links is None:
            return None
        referring = {column for link in links for column in link.child_columns}
        return links if all(column.name in referring for column in self.by_name[table].columns) else None

    def far_end(self, link: Link) -> TableName | None:
        """What a link's child stands for beside its parent, where the child only connects: for a playlist, tracks."""
        ends = self.ends_of(link.child)
        if ends is None:
            return None
        return next(other.parent for other in ends if other.id != link.id)
