"""Foreign keys that the database does not declare: which column refers to which key. Opens no database.

Names make candidates, at most a few a column; their values are looked up in the whole parent; then one parent is chosen
for each column over the whole schema. How scores and thresholds were found is in decision 0057.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from data_pipeline.database.key_values import ColumnValues, Family
from data_pipeline.database.schema import Table
from data_pipeline.semantics.key_names import SAME, SHARED_TAIL, SHORTENED, KeyName, stem, words
from data_pipeline.semantics.keys import ACCEPTED_CONFIDENCE, QUESTION_CONFIDENCE, Evidence, Schema, confidence_at
from data_pipeline.tasks.table_list import TableName

_STEPS: Final = ((0.0, 0.1), (2.4, ACCEPTED_CONFIDENCE), (3.8, QUESTION_CONFIDENCE), (6.5, 0.99))
"""Confidence by score, on straight lines between."""

_LONG: Final = 40
_KEYS_A_TABLE: Final = 5
CANDIDATES_A_COLUMN: Final = 6
PARENTS_BY_VALUES: Final = 12
"""Maximum number of keys that a column is compared with: those that its name fits, or none but its values may."""

_LEAD: Final = 0.3
_FEWEST: Final = 0.8
"""The share of values that the parent must have: rows may have been deleted, but not every fifth one."""

_MISSING: Final = frozenset({0, -1, "", "0", "-1"})
"""Values that mean "none" where the parent does not have them."""

SURPRISE: Final = 3.0
"""Decades of chance that speak for a reference whose name says nothing."""


@dataclass(frozen=True)
class ReferenceVerdict:
    """Columns that refer to a key. `contained_share` of the values that were looked up are in it.

    Values such as 0 and -1 that the key does not have mean "none": they lower the share, but not the confidence.
    """

    child: TableName
    child_columns: tuple[str, ...]
    parent: TableName
    parent_columns: tuple[str, ...]
    confidence: float
    evidence: tuple[Evidence, ...]
    reason: str
    contained_share: float = 1.0


@dataclass(frozen=True)
class ParentKey:
    """A key of one column that others may refer to, over its whole table."""

    table: TableName
    column: str
    name: KeyName
    family: Family
    is_primary: bool
    row_count: int
    minimum: int | None = None
    maximum: int | None = None

    @property
    def sparsity(self) -> float:
        """Return how many times more numbers than rows the key could have: 1 for a serial number."""
        if self.maximum is None or self.row_count == 0:
            return 1.0
        return max(1.0, self.maximum / self.row_count)


@dataclass(frozen=True)
class ReferenceCandidate:
    """A column that may refer to a key, before its values are looked up. `base` is what its name is worth."""

    child: TableName
    column: str
    parent: ParentKey
    base: float
    fit: float
    by: Literal["name", "own", "people", "values"]
    is_same_name: bool = False


@dataclass
class ParentKeys:
    """The keys that columns may refer to, by table and by the names that can mean them."""

    schema: Schema
    keys: Sequence[ParentKey]
    by_table: dict[TableName, list[ParentKey]] = field(default_factory=dict)
    by_text: dict[str, list[ParentKey]] = field(default_factory=dict)
    by_plain: dict[str, list[ParentKey]] = field(default_factory=dict)
    people: list[ParentKey] = field(default_factory=list)
    by_family: dict[Family, list[ParentKey]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in self.keys:
            self.by_table.setdefault(key.table, []).append(key)
            self.by_plain.setdefault(key.name.plain, []).append(key)
            if key.name.text and not key.name.is_generic:
                self.by_text.setdefault(key.name.text, []).append(key)
            if key.is_primary:
                self.by_family.setdefault(key.family, []).append(key)
                noun = self.schema.names.tables[key.table][-1]
                if noun in words("roles", "staff") or noun in words("roles", "people"):
                    self.people.append(key)


def alternate_keys(schema: Schema, table: Table, primary: Sequence[str]) -> list[str]:
    """Return unique columns beside the primary key that others may refer to: codes and names, not quantities."""
    found = []
    for column in schema.values[table.name].columns.values():
        name = schema.name(table.name, column.name)
        is_plain = not (name.is_measure or name.is_date or column.has_fractions) and column.mean_length <= _LONG
        if (
            column.is_unique
            and (column.name,) != tuple(primary)
            and is_plain
            and column.family in ("number", "text", "uuid")
        ):
            found.append(column.name)
    found.sort(key=lambda column: schema.name(table.name, column).ending is None)
    return found[:_KEYS_A_TABLE]


def reference_candidates(parents: ParentKeys, table: Table, primary: Sequence[str]) -> list[ReferenceCandidate]:
    """Return the keys that the names of a table's columns fit: a few a column, best first.

    A column with a declared foreign key has none; neither has a polymorphic one, nor a quantity or a moment.
    """
    schema = parents.schema
    declared = {column for key in table.foreign_keys for column in key.columns}
    found: list[ReferenceCandidate] = []
    for column in schema.values[table.name].columns.values():
        if column.name in declared or not column.non_null or column.has_fractions:
            continue
        if is_polymorphic(schema, table, column.name):
            continue
        best: dict[tuple[TableName, str], ReferenceCandidate] = {}
        for candidate in _by_names(parents, table, column, tuple(primary)):
            place = (candidate.parent.table, candidate.parent.column)
            if place == (table.name, column.name) or not _are_comparable(column, candidate.parent):
                continue
            if place not in best or candidate.base > best[place].base:
                best[place] = candidate
        found += sorted(best.values(), key=lambda one: (-one.base, one.parent.table, one.parent.column))[
            :CANDIDATES_A_COLUMN
        ]
    return found


def value_candidates(
    parents: ParentKeys, table: Table, primary: Sequence[str], settled: Iterable[str]
) -> list[ReferenceCandidate]:
    """Return keys that a column's values alone may prove, for columns whose names fit none.

    Serial numbers and short codes include each other and prove nothing: only sparse numbers, UUIDs and texts do.
    """
    schema = parents.schema
    left_out = {*settled, *(column for key in table.foreign_keys for column in key.columns)}
    found: list[ReferenceCandidate] = []
    for column in schema.values[table.name].columns.values():
        name = schema.name(table.name, column.name)
        if column.name in left_out or (column.name,) == tuple(primary) or not column.non_null:
            continue
        if name.is_measure or name.is_date or column.has_fractions or is_polymorphic(schema, table, column.name):
            continue
        if column.family == "text" and name.ending is None and name.last in words("names", "generic"):
            continue  # names of different things are often the same
        base = 1.7 if column.family == "text" and name.ending is None else 2.4
        likely = []
        for key in parents.by_family.get(column.family, ()):
            if key.table != table.name and _may_be_inside(column, key) and _proves(column, key):
                likely.append(key)
        likely.sort(key=lambda key: (_excess(column, key), key.table, key.column))
        found += [
            ReferenceCandidate(table.name, column.name, key, base, 0.0, "values") for key in likely[:PARENTS_BY_VALUES]
        ]
    return found


def is_polymorphic(schema: Schema, table: Table, column: str) -> bool:
    """Return True if a second column names the table that a value refers to: `object_type` beside `object_id`."""
    name = schema.name(table.name, column)
    if not name.thing:
        return False
    vague = words("polymorphic", "heads")
    is_vague = name.thing[-1] in vague or name.thing[-1].endswith(("able", "abl"))
    kinds = {name.text + kind for kind in words("polymorphic", "kinds")} | (
        {"content" + stem("type")} if is_vague else set()
    )
    for other in table.columns:
        beside = schema.name(table.name, other.name)
        if other.name == column or beside.text not in kinds:
            continue
        if is_vague and max(schema.names.fitting_tables(table.name, name).values(), default=0.0) < SAME:
            return True
        if _names_tables(schema, table.name, other.name):
            return True
    return False


def _names_tables(schema: Schema, table: TableName, column: str) -> bool:
    """Return True if at least two values of a column are the names of tables."""
    values = schema.values[table].columns.get(column)
    called = {"".join(name) for name in schema.names.tables.values()}
    texts = {str(value).rpartition("\\")[2].rpartition(".")[2].lower() for value in (values.values if values else ())}
    return sum(text in called or text.rstrip("s") in called for text in texts) >= 2


def _by_names(
    parents: ParentKeys, table: Table, column: ColumnValues, primary: tuple[str, ...]
) -> Iterator[ReferenceCandidate]:
    schema = parents.schema
    name = schema.name(table.name, column.name)
    fits = schema.names.fitting_tables(table.name, name)
    is_own_key = primary == (column.name,)
    keys: dict[ParentKey, float] = {
        key: score for other, score in fits.items() for key in parents.by_table.get(other, ())
    }
    for start in range(len(name.thing)):
        for key in parents.by_text.get("".join(name.thing[start:]), ()):
            keys.setdefault(key, 0.0)
    if not name.is_generic or name.is_date:
        for key in parents.by_plain.get(name.plain, ()):
            keys.setdefault(key, 0.0)
    for key, score in keys.items():
        base = _name_score(schema, name, key, score)
        if base <= 0 or (name.is_date and not _is_calendar(schema, key)):
            continue
        if is_own_key and schema.names.is_dependent(key.table):
            continue
        if key.table == table.name and (is_own_key or not key.is_primary or score < SHARED_TAIL):
            continue
        if name.is_measure:
            base -= 1.5
        if schema.names.is_dependent(key.table):
            base -= 0.8
        if is_own_key:
            is_same_thing = name.plain == key.name.plain or (score >= SHARED_TAIL and name.ending == key.name.ending)
            own = 0.0 if schema.names.is_dependent(table.name) else schema.names.fit(name, table.name)
            is_named_after_own = 0 < own >= score
            base -= 0.9 if is_same_thing and not is_named_after_own else 2.5 if is_named_after_own else 1.8
        is_same_name = name.plain == key.name.plain and not name.is_generic
        yield ReferenceCandidate(table.name, column.name, key, base, score, "name", is_same_name)
    if not is_own_key and max(fits.values(), default=0.0) < SHARED_TAIL:
        yield from _by_roles(parents, table, column, name)


def _name_score(schema: Schema, name: KeyName, key: ParentKey, score: float) -> float:
    """Return what a name is worth: 2 for the same name, 1.5 for the same last words, up to 1.8 for the table's name."""
    own = schema.names.fit(key.name, key.table)
    is_called_after_table = not key.name.thing or own >= SHORTENED or (own > 0 and score > 0)
    base = 1.8 * score
    if name.plain == key.name.plain and name.is_date:
        return base + 2.0  # the year of a season
    if name.plain == key.name.plain and not name.is_generic:
        return base + (2.0 if name.ending is not None or score else 1.5)
    is_tail = bool(key.name.text) and not key.name.is_generic and name.text.endswith(key.name.text)
    if name.ending is not None and name.ending == key.name.ending and (is_tail or (is_called_after_table and score)):
        return base + 1.5
    if is_tail and name.ending == key.name.ending:
        return base + 1.3
    if name.ending is not None and name.ending == key.name.ending and key.is_primary and score >= SHARED_TAIL:
        return base + 1.2  # the key of that table, whatever it is called
    if not score:
        return 0.0
    if name.ending is None:  # `country` for country.code
        return base + (0.6 if score >= SHARED_TAIL else -0.6)
    return base - 0.6 if key.name.ending is not None else base


def _is_calendar(schema: Schema, key: ParentKey) -> bool:
    return key.is_primary and bool(words("names", "calendar") & set(schema.names.tables[key.table]))


def _by_roles(parents: ParentKeys, table: Table, column: ColumnValues, name: KeyName) -> Iterator[ReferenceCandidate]:
    """Yield keys of the same table for a parent, and keys of tables of persons for their roles."""
    whole = name.text or name.plain
    own = [key for key in parents.by_table.get(table.name, ()) if key.is_primary]
    if whole in words("roles", "own") or name.plain in words("roles", "own"):
        for key in own:
            yield ReferenceCandidate(table.name, column.name, key, 2.5, SHARED_TAIL, "own")
    if not _is_person(name):
        return
    likely = [key for key in parents.people if _are_comparable(column, key)]
    is_led = bool(name.thing) and name.thing[-1] in ("manager", "supervisor", "boss", "leader", "advisor", "mentor")
    mine = [key for key in likely if key.table == table.name]
    if mine and is_led:
        yield ReferenceCandidate(table.name, column.name, mine[0], 2.2, SHARED_TAIL, "own")
    elif len(likely) == 1 or name.ending is not None or (name.thing and name.last != name.thing[-1]):
        staff = [key for key in likely if _noun(parents.schema, key) in words("roles", "staff")]
        chosen = likely if len(likely) == 1 else staff
        for key in chosen:
            yield ReferenceCandidate(
                table.name, column.name, key, 2.0 if len(chosen) == 1 else 1.4, SHARED_TAIL, "people"
            )


def _noun(schema: Schema, key: ParentKey) -> str:
    """Return the noun of a key's table."""
    return schema.names.tables[key.table][-1]


def _is_person(name: KeyName) -> bool:
    if not name.thing:
        return False
    if name.thing[-1] in words("roles", "deeds") or name.text in words("roles", "deeds"):
        return True
    if name.last == "by" or name.thing[-1] == "by":
        return bool(set(name.thing[:-1]) & words("roles", "by"))
    return name.thing[-1] in words("roles", "people") | words("roles", "staff") and name.ending is not None


def _are_comparable(column: ColumnValues, key: ParentKey) -> bool:
    return column.family == key.family or "any" in (column.family, key.family)


def _may_be_inside(column: ColumnValues, key: ParentKey) -> bool:
    if column.minimum is None or column.maximum is None or key.minimum is None or key.maximum is None:
        return column.family != "number" and column.distinct <= max(key.row_count, 1)
    return key.minimum <= column.minimum and column.maximum <= key.maximum and column.distinct <= key.row_count


def _proves(column: ColumnValues, key: ParentKey) -> bool:
    """Return True if values of this kind can prove a reference at all."""
    count = min(column.distinct, len(column.values))
    if column.family == "number":
        return column.is_whole_number and count * math.log10(key.sparsity) >= SURPRISE
    if column.family == "uuid":
        return count >= 2
    return column.mean_length >= 3 and count >= 5 and key.row_count >= 20


def _excess(column: ColumnValues, key: ParentKey) -> float:
    """Return the share of a key's range that a column does not fill: the likeliest parent has the least."""
    if column.minimum is None or column.maximum is None or key.minimum is None or key.maximum is None:
        return float(key.row_count - column.distinct)
    return float((column.minimum - key.minimum) + (key.maximum - column.maximum)) / max(1, key.maximum - key.minimum)


@dataclass(frozen=True)
class ScoredReference:
    """A candidate whose values were looked up."""

    candidate: ReferenceCandidate
    contained_share: float
    share_with_missing: float
    looked_up: int
    surprise: float
    score: float

    @property
    def child(self) -> tuple[TableName, str]:
        """The column that refers."""
        return self.candidate.child, self.candidate.column

    @property
    def parent(self) -> tuple[TableName, str]:
        """The key that it refers to."""
        return self.candidate.parent.table, self.candidate.parent.column


def scored_reference(candidate: ReferenceCandidate, column: ColumnValues, found: set[Any]) -> ScoredReference | None:
    """Return a candidate with its score, by the values that the whole parent has; None if nothing speaks for it."""
    key = candidate.parent
    values = [value for value in column.values if value in found or value not in _MISSING]
    if not values:
        return None
    share = sum(value in found for value in values) / len(values)
    if share < _FEWEST:
        return None
    count = len(values)
    surprise = _surprise(column, key, count)
    coverage = min(1.0, column.distinct / max(1, key.row_count))
    contained = share**4 if share >= 0.95 else share**4 - 4 * (1 - share)
    is_proved_alternate = candidate.is_same_name and surprise >= 2 * SURPRISE
    score = contained + min(0.6, surprise / 10) + 0.3 * coverage
    score += 0.4 if key.is_primary else 0.0 if is_proved_alternate else -0.9
    if candidate.by == "values":
        if share < 1 or surprise < SURPRISE or not key.is_primary:
            return None
        score = candidate.base + min(1.6, (surprise - SURPRISE) / 10) + 0.3 * coverage
    elif candidate.by in ("own", "people") and share < 0.98:
        return None
    else:
        score += candidate.base
        if count == 1:
            score -= 0.7
    share_with_missing = share * count / len(column.values)
    return ScoredReference(candidate, share, share_with_missing, count, surprise, score)


def _surprise(column: ColumnValues, key: ParentKey, count: int) -> float:
    """Return how many decades of chance speak against an accident; 0 for serial numbers and short codes."""
    if column.is_whole_number or column.family == "number":
        return count * math.log10(key.sparsity)
    if column.family == "text" and column.mean_length < 3:
        return 0.0
    return float(count)


def choose_references(schema: Schema, scored: Iterable[ScoredReference]) -> list[ReferenceVerdict]:
    """Choose at most one parent for each column, over the whole schema.

    Two parents that nothing sets apart make a verdict unsure. Chains are followed to the root of their domain. Of two
    keys that refer to each other the weaker link is dropped, and so is a link that would close a cycle.
    """
    by_child: dict[tuple[TableName, str], list[ScoredReference]] = {}
    for one in scored:
        by_child.setdefault(one.child, []).append(one)
    best: dict[tuple[TableName, str], ScoredReference] = {}
    for child, all_scored in by_child.items():
        all_scored.sort(key=lambda one: (-one.score, -one.candidate.fit, one.parent))
        best[child] = all_scored[0]
    chosen = {}
    for child, all_scored in by_child.items():
        first = all_scored[0]
        rivals = [
            one for one in all_scored[1:] if one.parent[0] != first.parent[0] and not _are_chained(best, first, one)
        ]
        if rivals and first.score - rivals[0].score < _LEAD:
            if first.candidate.by == "values":
                continue
            first = replace(first, score=first.score - 1.2)
        if confidence_at(first.score, _STEPS) >= ACCEPTED_CONFIDENCE:
            chosen[child] = first
    _follow_chains(schema, chosen, by_child)
    _drop_cycles(chosen)
    return [_verdict(one) for one in sorted(chosen.values(), key=lambda one: (one.child, one.parent))]


def _are_chained(
    best: Mapping[tuple[TableName, str], ScoredReference], first: ScoredReference, second: ScoredReference
) -> bool:
    """Return True if one of two parents refers to the other: they are one domain."""
    ups = [(first.parent, second.parent), (second.parent, first.parent)]
    return any(below in best and best[below].parent == above for below, above in ups)


def _follow_chains(
    schema: Schema,
    chosen: dict[tuple[TableName, str], ScoredReference],
    by_child: Mapping[tuple[TableName, str], Sequence[ScoredReference]],
) -> None:
    for child, one in list(chosen.items()):
        name = schema.name(*child)
        nearer, seen = one, {child}
        while nearer.parent in chosen and nearer.parent not in seen:
            seen.add(nearer.parent)
            root = chosen[nearer.parent].parent
            is_nearer_named = schema.names.fit(name, root[0]) < schema.names.fit(name, nearer.parent[0])
            if root == child or (is_nearer_named and not schema.names.is_dependent(nearer.parent[0])):
                break
            there = next((other for other in by_child[child] if other.parent == root), None)
            if there is None or there.contained_share < nearer.contained_share:
                break
            nearer = replace(there, score=max(there.score, nearer.score))
        chosen[child] = nearer


def _drop_cycles(chosen: dict[tuple[TableName, str], ScoredReference]) -> None:
    """Keep the strongest links that close no cycle of keys; a column that refers to its own table is not one."""
    kept: dict[tuple[TableName, str], tuple[TableName, str]] = {}
    for child, one in sorted(chosen.items(), key=lambda item: (-item[1].score, item[0])):
        above: tuple[TableName, str] | None = one.parent
        while above is not None and above != child:
            above = kept.get(above)
        if above == child:
            del chosen[child]
        else:
            kept[child] = one.parent


def _verdict(one: ScoredReference) -> ReferenceVerdict:
    candidate, key = one.candidate, one.candidate.parent
    reasons = {
        "name": f"the name {candidate.column} fits {key.table.name}.{key.column}",
        "own": f"the name {candidate.column} means another row of the same table",
        "people": f"{candidate.column} is a person, as the rows of {key.table.name} are",
        "values": f"the name fits no table, but by chance {key.table.name}.{key.column} would lack most values",
    }
    values = f"{one.contained_share:.0%} of {one.looked_up} sampled values are in the key"
    if one.surprise < 1:
        values += ", as those of any serial number or short code"
    evidence: tuple[Evidence, ...] = ("name", "values") if one.surprise >= 1 else ("name",)
    return ReferenceVerdict(
        candidate.child,
        (candidate.column,),
        key.table,
        (key.column,),
        confidence_at(one.score, _STEPS),
        ("values",) if candidate.by == "values" else evidence,
        f"{reasons[candidate.by]}; {values}",
        one.share_with_missing,
    )
