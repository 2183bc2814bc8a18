"""Primary keys that the database does not declare, found in names and values. Opens no database.

The scores start from published methods (HoPF; Motl and Kordík) and were tuned on schemas whose declarations were
removed: decision 0057 and `benchmarks/bench_semantics.py keys`. `finding_keys` measures what these functions judge.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from data_pipeline.database.key_values import ColumnValues, SampledRows, TableValues
from data_pipeline.database.schema import Table
from data_pipeline.semantics.key_names import (
    SHARED_HEAD,
    SHARED_TAIL,
    SHORTENED,
    KeyName,
    SchemaNames,
    words,
)
from data_pipeline.tasks.table_list import TableName

Evidence = Literal["declared", "name", "values"]

ACCEPTED_CONFIDENCE: Final = 0.6
"""From which a verdict is shown and used in descriptions."""

QUESTION_CONFIDENCE: Final = 0.9
"""From which questions join by a verdict: at most one of fifty may be false."""

_KEY_STEPS: Final = ((0.0, 0.3), (1.2, ACCEPTED_CONFIDENCE), (2.6, QUESTION_CONFIDENCE), (6.0, 0.99))
_SET_STEPS: Final = ((-2.5, 0.3), (-0.5, ACCEPTED_CONFIDENCE), (1.0, QUESTION_CONFIDENCE), (3.0, 0.97))
"""Confidence by score: of single keys, of sets of columns; straight lines between."""

_LONG: Final = 40
_SET_COLUMNS: Final = 10
_SET_SIZE: Final = 5
_SETS_TRIED: Final = 40
_SETS_KEPT: Final = 3


@dataclass(frozen=True)
class KeyVerdict:
    """The columns that identify the rows of a table, with a confidence."""

    table: TableName
    columns: tuple[str, ...]
    confidence: float
    evidence: tuple[Evidence, ...]
    reason: str


@dataclass(frozen=True)
class KeyCandidate:
    """Columns that are unique in the sample and may be the primary key."""

    columns: tuple[str, ...]
    score: float
    confidence: float
    reason: str


@dataclass(frozen=True)
class Schema:
    """Tables that may have keys, with their names and values."""

    tables: Mapping[TableName, Table]
    names: SchemaNames
    values: Mapping[TableName, TableValues]

    def name(self, table: TableName, column: str) -> KeyName:
        """Return the parsed name of a column."""
        return self.names.columns[table][column]


def confidence_at(score: float, steps: Sequence[tuple[float, float]]) -> float:
    """Return the confidence of a score, on straight lines between steps."""
    if score <= steps[0][0]:
        return steps[0][1]
    for (low, below), (high, above) in itertools.pairwise(steps):
        if score <= high:
            return below + (above - below) * (score - low) / (high - low)
    return steps[-1][1]


def unique_sets(table: Table, names: SchemaNames, values: TableValues, rows: SampledRows) -> list[tuple[str, ...]]:
    """Return the likeliest sets of two to five columns that are unique together, best first.

    Call it while the rows are at hand. None is sought in a table that has a unique column with the name of its key.
    """
    if len(table.primary_key.columns) > 0 or not values.row_count:
        return []
    singles = [name for name, column in values.columns.items() if column.is_unique]
    if any(_is_own_key(table.name, names, name) for name in singles):
        return []
    parts = _set_parts(table, names, values)
    found: list[tuple[str, ...]] = [(name,) for name in singles]
    for size in range(2, _SET_SIZE + 1):
        for columns in _ranked_sets(table, parts, size)[:_SETS_TRIED]:
            if not any(set(smaller) <= set(columns) for smaller in found) and rows.is_unique(columns):
                found.append(columns)
    sets = found[len(singles) :]
    return sorted(sets, key=lambda columns: (-_set_score(table, columns, parts), columns))[:_SETS_KEPT]


def key_candidates(schema: Schema, table: Table) -> list[KeyCandidate]:
    """Return what may be the primary key of a table, best first. A declared key is none of them."""
    values = schema.values[table.name]
    if not values.row_count:
        return []
    singles = []
    for column in values.columns.values():
        if column.is_unique and not column.has_fractions:
            score, reason = _single_score(schema, table, column)
            singles.append(
                KeyCandidate((column.name,), score, confidence_at(score, _KEY_STEPS), f"unique in every row; {reason}")
            )
    sets = []
    parts = _set_parts(table, schema.names, values)
    for columns in values.unique_sets:
        score = _set_score(table, columns, parts)
        reason = f"unique together: {', '.join(columns)}"
        sets.append(KeyCandidate(columns, score, confidence_at(score, _SET_STEPS), reason))
    accepted = [one for one in (*singles, *sets) if one.confidence >= ACCEPTED_CONFIDENCE]
    names = schema.names
    accepted.sort(
        key=lambda one: (not _is_clear(names, table.name, one), -one.confidence, len(one.columns), one.columns)
    )
    bridge = _bridge(schema, table, sets)
    if bridge is not None and (not accepted or _is_foreign(names, table.name, accepted[0].columns[0])):
        return [bridge, *(one for one in accepted if one != bridge)]
    return accepted or _first_column(table, singles, schema)


def _is_clear(names: SchemaNames, table: TableName, candidate: KeyCandidate) -> bool:
    """Return True for a column that is surely the table's own key: no set of columns competes with it."""
    columns = candidate.columns
    is_sure = candidate.confidence >= QUESTION_CONFIDENCE and len(columns) == 1
    return is_sure and not _is_foreign(names, table, columns[0])


def _single_score(schema: Schema, table: Table, column: ColumnValues) -> tuple[float, str]:
    name = schema.name(table.name, column.name)
    own = schema.names.fit(name, table.name)
    score = {"id": 2.0, "no": 1.2, "code": 1.2}.get(name.ending or "", 0.0)
    reasons = ["the name ends like a key"] if score else []
    if name.ending is not None and not name.thing:
        score += 1.5
    if own and not name.is_measure:
        score += 1.5 * own
        reasons.append("the name is that of the table")
    place = next(place for place, one in enumerate(table.columns) if one.name == column.name)
    score += (1.0, 0.4)[place] if place < 2 else 0.0
    score += {"uuid": 0.7, "text": -0.4}.get(column.family, 0.0)
    if column.is_whole_number and _is_dense(column, schema.values[table.name].row_count):
        score += 0.7
    referring = _referring(schema, table, column, name)
    score += 0.5 * referring
    if referring > 0:
        reasons.append("other tables have a column of this name with the same values")
    if name.is_measure or name.is_date or column.family == "date":
        score -= 2.0
    if _is_foreign(schema.names, table.name, column.name):
        score -= 0.8
    if name.plain in words("names", "technical") and place:
        score -= 2.0
    if column.mean_length > _LONG:
        score -= 1.5
    return score, ", ".join(reasons) or "no other column is"


def _referring(schema: Schema, table: Table, column: ColumnValues, name: KeyName) -> int:
    """Return how many columns of the same name lie inside this one, less those that contain it: from -1 to 3."""
    if name.is_generic:
        return 0
    count = 0
    for other in schema.names.tables_with(name):
        if other == table.name:
            continue
        for there in schema.values[other].columns.values() if other in schema.values else ():
            if schema.name(other, there.name).plain == name.plain and there.family == column.family and there.non_null:
                count += 1 if _lies_inside(there, column) else -1 if _lies_inside(column, there) else 0
    return max(-1, min(3, count))


def _lies_inside(inner: ColumnValues, outer: ColumnValues) -> bool:
    if (
        inner.minimum is not None
        and outer.minimum is not None
        and inner.maximum is not None
        and outer.maximum is not None
    ):
        is_between = outer.minimum <= inner.minimum and inner.maximum <= outer.maximum
        return is_between and not (inner.is_unique and inner.distinct >= outer.distinct)
    return not inner.is_unique or inner.distinct < outer.distinct


def _is_dense(column: ColumnValues, row_count: int) -> bool:
    if column.minimum is None or column.maximum is None:
        return False
    return column.maximum - column.minimum < 1.05 * max(row_count, column.distinct) + 1


def _is_own_key(table: TableName, names: SchemaNames, column: str) -> bool:
    """Return True if a column is called after its own table, or after nothing: `id`, `order_id` in `orders`."""
    name = names.columns[table][column]
    is_own = not name.thing or (names.fit(name, table) >= SHORTENED and not _is_foreign(names, table, column))
    return name.ending == "id" and is_own and name.plain not in words("names", "technical")


def _is_foreign(names: SchemaNames, table: TableName, column: str) -> bool:
    """Return True if a name is that of another table's key rather than of an own one."""
    name = names.columns[table][column]
    if not name.thing or name.is_measure or name.is_date:
        return False
    own = names.fit(name, table)
    best = max((score for other, score in names.fitting_tables(table, name).items() if other != table), default=0.0)
    if best > own and (best >= SHARED_TAIL or (best >= SHORTENED and name.ending is not None)):
        return True
    if own >= SHORTENED or name.is_generic:
        return False
    return any(_is_first(names, other, name) for other in names.tables_with(name) if other != table)


def _is_first(names: SchemaNames, table: TableName, name: KeyName) -> bool:
    return next(iter(names.columns[table].values())).plain == name.plain


def _set_parts(table: Table, names: SchemaNames, values: TableValues) -> dict[str, float]:
    """Return what each column is worth as a part of a key, the most likely ones only."""
    parts: dict[str, float] = {}
    for column in values.columns.values():
        name = names.columns[table.name][column.name]
        if column.has_fractions or column.mean_length > _LONG or column.non_null == 0 or name.is_audit:
            continue
        own = names.fit(name, table.name)
        is_number = column.is_whole_number or name.ending is not None
        if _is_foreign(names, table.name, column.name):
            parts[column.name] = 1.8 if name.ending is not None or own == 0 else 1.5
        elif (name.is_line or (own >= SHARED_HEAD and not name.is_measure)) and is_number:
            parts[column.name] = 1.4
        elif name.is_measure:
            parts[column.name] = -1.0
        elif name.is_date or column.family == "date":
            parts[column.name] = 1.2
        elif name.ending is not None:
            parts[column.name] = 1.0
        elif {name.last, name.plain} & words("names", "variant"):
            parts[column.name] = 0.8
        else:
            parts[column.name] = 0.4
    order = {name: place for place, name in enumerate(values.columns)}
    likely = sorted(parts, key=lambda column: (0.15 * order[column] - parts[column], order[column]))[:_SET_COLUMNS]
    return {column: parts[column] for column in sorted(likely, key=order.__getitem__)}


def _ranked_sets(table: Table, parts: Mapping[str, float], size: int) -> list[tuple[str, ...]]:
    sets = itertools.combinations(parts, size)
    return sorted(sets, key=lambda columns: (-_set_score(table, columns, parts), columns))


def _set_score(table: Table, columns: Sequence[str], parts: Mapping[str, float]) -> float:
    """Two for each foreign key, less the size and the columns that are passed over; keys mostly come first."""
    places = [place for place, column in enumerate(table.columns) if column.name in columns]
    passed = min(3, places[-1] - len(columns) + 1)
    is_all = len(columns) == len(table.columns)
    score = sum(parts.get(column, 0.0) for column in columns) - len(columns) - 0.4 * passed
    return score + (0.6 if not passed else 0.0) + (1.0 if is_all else 0.0)


def _bridge(schema: Schema, table: Table, sets: Sequence[KeyCandidate]) -> KeyCandidate | None:
    """Return the foreign keys of a bridge table as its key, even if one of them happens to be unique."""
    names = schema.names
    foreign = [column.name for column in table.columns if _is_foreign(names, table.name, column.name)]
    if len(foreign) < 2 or [column.name for column in table.columns[: len(foreign)]] != foreign:
        return None
    for column in table.columns[len(foreign) :]:
        name = names.columns[table.name][column.name]
        values = schema.values[table.name].columns.get(column.name)
        is_attribute = (
            name.is_measure or name.is_date or name.is_audit or (values is not None and values.family == "date")
        )
        if not is_attribute:
            return None
    score = 1.8 * len(foreign) - len(foreign) + 0.6
    reason = "the table holds little but references to other tables"
    candidate = KeyCandidate(tuple(foreign), score, confidence_at(score, _SET_STEPS), reason)
    is_proved = any(set(one.columns) <= set(foreign) for one in sets)
    values_of = schema.values[table.name].columns
    if is_proved:
        return next((one for one in sets if set(one.columns) == set(foreign)), None)
    return (
        candidate
        if len(foreign) == 2 and any(values_of[one].is_unique for one in foreign if one in values_of)
        else None
    )


def _first_column(table: Table, singles: Sequence[KeyCandidate], schema: Schema) -> list[KeyCandidate]:
    """Return the first column of a table as its key if nothing else is: `isbn`, `faa`, `year` of a season."""
    first = table.columns[0].name
    for one in singles:
        values = schema.values[table.name].columns[first]
        is_moment = values.family == "date" or (
            schema.name(table.name, first).is_date and not values.is_whole_number
        )  # fmt: skip
        if one.columns == (first,) and not is_moment and values.mean_length <= _LONG and values.distinct > 1:
            return [replace(one, confidence=ACCEPTED_CONFIDENCE, reason="unique in every row; the first column")]
    return []
