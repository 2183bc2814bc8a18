"""Foreign keys of several columns that the database does not declare. Opens no database."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from data_pipeline.semantics.keys import ACCEPTED_CONFIDENCE, Schema
from data_pipeline.semantics.references import SURPRISE, ReferenceVerdict
from data_pipeline.tasks.table_list import TableName

_MUTUAL_CONFIDENCE: Final = 0.8
"""Of two tables with the same combinations it is not sure which one is the parent."""


@dataclass(frozen=True)
class CompositeCandidate:
    """Columns that may refer to a key of several columns."""

    child: TableName
    columns: tuple[str, ...]
    parent: TableName
    parent_columns: tuple[str, ...]


def composite_candidates(
    schema: Schema, keys: Mapping[TableName, Sequence[str]], references: Sequence[ReferenceVerdict]
) -> list[CompositeCandidate]:
    """Return groups of columns that may refer to a key of several columns: same names, or same parents."""
    targets = {
        (one.child, one.child_columns[0]): (one.parent, one.parent_columns)
        for one in references
        if len(one.child_columns) == 1
    }
    at_target: dict[tuple[TableName, tuple[str, ...]], list[tuple[TableName, str]]] = {}
    for place, target in targets.items():
        at_target.setdefault(target, []).append(place)
    found = []
    for parent, key in keys.items():
        if len(key) < 2 or parent not in schema.values:
            continue
        options: dict[TableName, dict[str, list[str]]] = {}
        for part in key:
            for child, column in _alike(schema, parent, part, targets, at_target):
                options.setdefault(child, {}).setdefault(part, []).append(column)
        for child, by_part in options.items():
            if child == parent or len(by_part) < len(key):
                continue
            columns = tuple(by_part[part][0] for part in key)
            declared = {tuple(sorted(one.columns)) for one in schema.tables[child].foreign_keys}
            is_clear = len(set(columns)) == len(key) and all(len(by_part[part]) == 1 for part in key)
            if is_clear and tuple(sorted(columns)) not in declared:
                found.append(CompositeCandidate(child, columns, parent, tuple(key)))
    return found


def _alike(
    schema: Schema,
    parent: TableName,
    part: str,
    targets: Mapping[tuple[TableName, str], tuple[TableName, tuple[str, ...]]],
    at_target: Mapping[tuple[TableName, tuple[str, ...]], Sequence[tuple[TableName, str]]],
) -> list[tuple[TableName, str]]:
    """Return the columns of other tables that mean the same as a part of a key."""
    name = schema.name(parent, part)
    own = targets.get((parent, part))
    found: dict[tuple[TableName, str], None] = {}
    for child in schema.names.tables_with(name):
        for column in schema.names.columns[child]:
            if schema.name(child, column).plain == name.plain and child in schema.values:
                found[child, column] = None
    for place in at_target.get(own, ()) if own is not None else ():
        same_table = [one for one in found if one[0] == place[0]]
        if place[0] in schema.values and not same_table:
            found[place] = None
    return [place for place in found if place[0] != parent]


def composite_verdict(
    schema: Schema, candidate: CompositeCandidate, tuples: Sequence[tuple[Any, ...]], found: set[Any] | None
) -> ReferenceVerdict | None:
    """Return a verdict if the tuples are in the key, and not merely because the key has nearly all combinations."""
    if not tuples or not found:
        return None
    share = sum(value in found for value in tuples) / len(tuples)
    parent = schema.values[candidate.parent]
    combinations = math.prod(max(1, parent.columns[column].distinct) for column in candidate.parent_columns)
    odds = min(1.0, parent.row_count / max(1, combinations))
    surprise = len(tuples) * -math.log10(odds) if odds > 0 else 0.0
    if share < 0.98 or surprise < SURPRISE or len(set(tuples)) < 2:
        return None
    confidence = min(0.97, ACCEPTED_CONFIDENCE + 0.3 * min(1.0, surprise / 10) + 0.05 * (share == 1))
    return ReferenceVerdict(
        candidate.child,
        candidate.columns,
        candidate.parent,
        candidate.parent_columns,
        confidence,
        ("name", "values"),
        f"{share:.0%} of {len(tuples)} sampled combinations are in the key of {candidate.parent.name}, "
        "which has few of all that are possible",
        share,
    )


def choose_composites(schema: Schema, verdicts: Sequence[ReferenceVerdict]) -> list[ReferenceVerdict]:
    """Choose one parent for each group of columns; of two tables that refer to each other the larger is the parent."""
    rows = {name: values.row_count for name, values in schema.values.items()}
    ranked = sorted(
        verdicts, key=lambda one: (-one.confidence, -rows[one.parent], one.child, one.child_columns, one.parent)
    )
    pairs = {(one.child, one.parent) for one in verdicts}
    chosen: dict[tuple[TableName, tuple[str, ...]], ReferenceVerdict] = {}
    for one in ranked:
        is_mutual = (one.parent, one.child) in pairs
        if is_mutual and any((there.child, there.parent) == (one.parent, one.child) for there in chosen.values()):
            continue
        sure = min(one.confidence, _MUTUAL_CONFIDENCE) if is_mutual else one.confidence
        chosen.setdefault((one.child, tuple(sorted(one.child_columns))), replace(one, confidence=sure))
    return list(chosen.values())
