"""What a database means, as plain values: the one semantic model that pages, questions, masking and exports ask.

Every verdict carries how sure it is (0 to 1), what it follows from, and a reason in words. Opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from data_pipeline.database.driver import Dialect
from data_pipeline.semantics.column_case import Role, TimeEncoding
from data_pipeline.semantics.personal_words import PersonalKind
from data_pipeline.tasks.table_list import TableName

Evidence = Literal["declared", "name", "comment", "type", "values", "override", "language model"]
TableKind = Literal[
    "entity", "event", "bridge", "lookup", "snapshot", "log", "settings", "eav", "view", "backup copy", "empty"
]  # fmt: skip


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Verdict(_Value):
    """Why something is taken to be so."""

    confidence: float = Field(ge=0, le=1)
    evidence: Evidence
    reason: str


class PersonalVerdict(_Value):
    """What a column says about people. `unsure` columns are masked as personal ones are, and never asked about."""

    kind: PersonalKind
    verdict: Literal["personal", "unsure"]
    because: Verdict

    @property
    def is_secret(self) -> bool:
        """True if the column must not even be projected."""
        return self.kind == "secret"


class ColumnMeaning(_Value):
    """One column. `labels` are what its codes mean; `unit` is how its numbers are counted (`km`, `CNY`)."""

    name: str
    type_sql: str
    role: Role
    because: Verdict
    phrase: str
    is_readable: bool = True
    description: str | None = None
    personal: PersonalVerdict | None = None
    labels: Mapping[str, str] = Field(default_factory=dict)
    unit: str | None = None
    encoding: TimeEncoding | None = None
    time_format: str | None = None
    null_share: float = 0.0
    distinct_count: int | None = None
    is_ignored: bool = False

    @property
    def is_masked(self) -> bool:
        """True if no value may leave the database."""
        return self.personal is not None


class KeyMeaning(_Value):
    """The columns that tell rows apart, declared or found."""

    columns: tuple[str, ...]
    because: Verdict

    @property
    def is_declared(self) -> bool:
        """True if the database declares it."""
        return self.because.evidence == "declared"


class TableMeaning(_Value):
    """One table or view. `label` are the columns by which a person names a row; none if only the key does."""

    name: TableName
    kind: TableKind
    because: Verdict
    noun: str
    plural: str
    is_readable: bool = True
    description: str | None = None
    row_count: int = 0
    primary_key: KeyMeaning | None = None
    label: tuple[str, ...] = ()
    business_time: str | None = None
    soft_delete: str | None = None
    tenant: str | None = None
    is_ignored: bool = False
    columns: tuple[ColumnMeaning, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, ColumnMeaning]:
        """Its columns by their names."""
        return {column.name: column for column in self.columns}


class Relationship(_Value):
    """Columns of a child that refer to columns of a parent. `role` is what the parent is to the child (`manager`)."""

    child: TableName
    child_columns: tuple[str, ...]
    parent: TableName
    parent_columns: tuple[str, ...]
    because: Verdict
    role: str | None = None
    is_optional: bool = False
    orphan_share: float = 0.0

    @property
    def is_declared(self) -> bool:
        """True if the database declares it."""
        return self.because.evidence == "declared"


class SemanticModel(_Value):
    """All tables and relationships of a task's list; the same database and overrides give the same model."""

    database: str
    dialect: Dialect
    language: str
    tables: tuple[TableMeaning, ...]
    relationships: tuple[Relationship, ...] = ()
    problems: tuple[str, ...] = ()
    """What a person should look at: unknown names in overrides, names that look like abbreviations."""

    @cached_property
    def by_name(self) -> dict[TableName, TableMeaning]:
        """Its tables by their names."""
        return {table.name: table for table in self.tables}
