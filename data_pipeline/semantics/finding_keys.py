"""Find primary keys, foreign keys and relationships of a database: measure with `key_values`, judge with `keys`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from data_pipeline.database.connection import BusinessDatabase
from data_pipeline.database.execution import QueryLimits
from data_pipeline.database.key_values import (
    KeyExtent,
    TableValues,
    has_unique_index,
    inheriting_tables,
    look_up,
    measure_key,
    sample_table,
    sample_tuples,
    values_a_column,
)
from data_pipeline.database.schema import Key, Table
from data_pipeline.errors import QueryFailed
from data_pipeline.semantics.composite_references import choose_composites, composite_candidates, composite_verdict
from data_pipeline.semantics.key_names import SchemaNames
from data_pipeline.semantics.keys import QUESTION_CONFIDENCE, KeyVerdict, Schema, key_candidates, unique_sets
from data_pipeline.semantics.references import (
    ParentKey,
    ParentKeys,
    ReferenceCandidate,
    ReferenceVerdict,
    ScoredReference,
    alternate_keys,
    choose_references,
    reference_candidates,
    scored_reference,
    value_candidates,
)
from data_pipeline.tasks.table_list import TableName

KEYS_MEASURED: Final = 3
"""Maximum number of candidates for the primary key of a large table that are measured."""


@dataclass(frozen=True)
class FoundKeys:
    """Keys and references of a database, declared and found; `problems` are tables that could not be measured."""

    primary: Mapping[TableName, KeyVerdict] = field(default_factory=dict)
    references: Sequence[ReferenceVerdict] = ()
    problems: Mapping[TableName, str] = field(default_factory=dict)

    @property
    def inferred(self) -> list[ReferenceVerdict]:
        """The references that the database does not declare."""
        return [one for one in self.references if "declared" not in one.evidence]

    def with_primary_keys(self, tables: Sequence[Table]) -> list[Table]:
        """Return the tables with the primary keys that were found, where they are sure enough for questions."""
        found = []
        for table in tables:
            verdict = self.primary.get(table.name)
            if verdict is not None and verdict.confidence >= QUESTION_CONFIDENCE and not table.primary_key.columns:
                table = replace(table, primary_key=Key(None, verdict.columns))  # noqa: PLW2901
            found.append(table)
        return found


def find_keys(database: BusinessDatabase, tables: Sequence[Table], limits: QueryLimits) -> FoundKeys:
    """Return the keys and references of these tables, declared and found.

    Nothing is found in views, in empty tables, in partitions and in tables that inherit from another one. `limits`
    bound each query; a table whose rows cannot be read in time is a problem, and not an error.
    Raises QueryFailed if it is cancelled, DatabaseUnavailable.
    """
    inheriting = inheriting_tables(database)
    judged = {table.name: table for table in tables if table.kind == "table" and table.name not in inheriting}
    names = SchemaNames(list(judged.values()))
    finding = _Finding(database, limits, judged, names)
    finding.sample()
    primary = finding.primary_keys()
    references = finding.references(primary)
    declared = [
        ReferenceVerdict(
            table.name, key.columns, key.target, key.target_columns, 1.0, ("declared",), "declared by the database"
        )
        for table in tables
        for key in table.foreign_keys
    ]
    return FoundKeys(primary, [*declared, *references], finding.problems)


class _Finding:
    """One search: tables are sampled one after the other, and only what is kept of them stays in memory."""

    def __init__(
        self, database: BusinessDatabase, limits: QueryLimits, tables: Mapping[TableName, Table], names: SchemaNames
    ) -> None:
        self._database = database
        self._limits = limits
        self._tables = tables
        self._values: dict[TableName, TableValues] = {}
        self._extents: dict[tuple[TableName, tuple[str, ...]], KeyExtent | None] = {}
        self._schema = Schema(tables, names, self._values)
        self.problems: dict[TableName, str] = {}

    def sample(self) -> None:
        kept = values_a_column(sum(len(table.columns) for table in self._tables.values()))
        for table in self._tables.values():
            sets = partial(unique_sets, table, self._schema.names)
            try:
                found = sample_table(self._database, table, self._limits, kept=kept, unique_sets=sets)
            except QueryFailed as error:
                if error.kind == "cancelled":
                    raise
                self.problems[table.name] = error.reason
                continue
            self._values[table.name] = found

    def primary_keys(self) -> dict[TableName, KeyVerdict]:
        primary = {}
        for table in self._tables.values():
            if table.primary_key.columns:
                columns = table.primary_key.columns
                primary[table.name] = KeyVerdict(table.name, columns, 1.0, ("declared",), "declared by the database")
                continue
            if table.name not in self._values:
                continue
            for candidate in key_candidates(self._schema, table)[:KEYS_MEASURED]:
                extent = self._extent(table, candidate.columns)
                if extent is not None and extent.is_unique:
                    primary[table.name] = KeyVerdict(
                        table.name, candidate.columns, candidate.confidence, ("name", "values"), candidate.reason
                    )
                    break
        return primary

    def references(self, primary: Mapping[TableName, KeyVerdict]) -> list[ReferenceVerdict]:
        parents = ParentKeys(self._schema, list(self._parent_keys(primary)))
        sampled = [table for table in self._tables.values() if table.name in self._values]
        keys = {table.name: primary[table.name].columns if table.name in primary else () for table in sampled}
        candidates = [one for table in sampled for one in reference_candidates(parents, table, keys[table.name])]
        scored = self._scored(candidates)
        chosen = choose_references(self._schema, scored)
        settled: dict[TableName, set[str]] = {}
        for one in chosen:
            settled.setdefault(one.child, set()).update(one.child_columns)
        more = [
            one
            for table in sampled
            for one in value_candidates(parents, table, keys[table.name], settled.get(table.name, ()))
        ]
        if more:
            chosen = choose_references(self._schema, [*scored, *self._scored(more)])
        return [*chosen, *self._composite(keys, chosen)]

    def _parent_keys(self, primary: Mapping[TableName, KeyVerdict]) -> Iterable[ParentKey]:
        for table in self._tables.values():
            values = self._values.get(table.name)
            if values is None or not values.row_count:
                continue
            own = primary[table.name].columns if table.name in primary else ()
            declared = [key.columns[0] for key in table.unique_keys if len(key.columns) == 1]
            singles = [own[0]] if len(own) == 1 else []
            others = alternate_keys(self._schema, table, own)
            if not values.is_whole:  # counting each one of a large table would take too long
                others = [column for column in others if has_unique_index(table, (column,))]
            for column in dict.fromkeys((*singles, *declared, *others)):
                extent = self._extent(table, (column,)) if column in values.columns else None
                if extent is None or not extent.is_unique:
                    continue
                yield ParentKey(
                    table.name,
                    column,
                    self._schema.name(table.name, column),
                    values.columns[column].family,
                    (column,) == tuple(own),
                    extent.row_count,
                    extent.minimum,
                    extent.maximum,
                )

    def _extent(self, table: Table, columns: tuple[str, ...]) -> KeyExtent | None:
        """Measure a key once; all rows of a small table have been seen already."""
        place = (table.name, columns)
        if place not in self._extents:
            values = self._values[table.name]
            if values.is_whole:
                one = values.columns[columns[0]]
                is_unique = columns in values.unique_sets or len(columns) > 1 or one.is_unique
                self._extents[place] = KeyExtent(is_unique, values.row_count, one.minimum, one.maximum)
            else:
                self._extents[place] = measure_key(self._database, table, columns, self._limits)
        return self._extents[place]

    def _scored(self, candidates: Sequence[ReferenceCandidate]) -> list[ScoredReference]:
        """Look up the values of all children of a key at once."""
        by_parent: dict[tuple[TableName, str], list[ReferenceCandidate]] = {}
        for one in candidates:
            by_parent.setdefault((one.parent.table, one.parent.column), []).append(one)
        scored = []
        for (parent, column), children in by_parent.items():
            wanted: dict[Any, None] = {}
            for one in children:
                wanted.update(dict.fromkeys(self._values[one.child].columns[one.column].values))
            found = look_up(self._database, parent, (column,), list(wanted), self._limits)
            if found is None:
                continue  # a key that cannot be searched in time proves nothing
            for one in children:
                result = scored_reference(one, self._values[one.child].columns[one.column], found)
                scored += [result] if result is not None else []
        return scored

    def _composite(
        self, keys: Mapping[TableName, Sequence[str]], chosen: Sequence[ReferenceVerdict]
    ) -> list[ReferenceVerdict]:
        verdicts = []
        kept = values_a_column(len(self._tables))
        for one in composite_candidates(self._schema, keys, chosen):
            tuples = sample_tuples(self._database, self._tables[one.child], one.columns, self._limits, kept=kept)
            there = look_up(self._database, one.parent, one.parent_columns, tuples, self._limits) if tuples else None
            verdict = composite_verdict(self._schema, one, tuples, there)
            verdicts += [verdict] if verdict is not None else []
        return choose_composites(self._schema, verdicts)
