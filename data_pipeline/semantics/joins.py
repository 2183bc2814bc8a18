"""Joins that nobody declared: which columns refer to which keys, by their names, their types and their values.

    orders.customer_id -> customers.id   1.0      orders.billing_customer_id -> customer.customer_id   0.8
    item.parent_id     -> item.id        0.7      orders.cust_id             -> customer.id            0.4

Names make candidates, at most a few a column; then one query a candidate looks whether its values are in the key. What
comes of it is marked as inferred wherever it is shown.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.sql.compiler import IdentifierPreparer

from data_pipeline.database.connection import BusinessDatabase
from data_pipeline.database.execution import QueryLimits, limited_connection
from data_pipeline.database.schema import Column, Table
from data_pipeline.errors import QueryFailed
from data_pipeline.semantics.wording import words_of
from data_pipeline.tasks.table_list import TableName

ACCEPTED_CONFIDENCE: Final = 0.6
"""From which a join is used."""

CANDIDATES_A_COLUMN: Final = 3
SHARED_LIMIT: Final = 8
"""A name that fits more tables than this tells none of them."""

LOOKED_AT_ROWS: Final = 10_000
LOOKED_UP_VALUES: Final = 200
"""How many rows of a child are read, and how many different values of them are looked up."""

_SAME: Final = 1.0
_WITHOUT_TABLE: Final = 0.8
_WITH_ROLE: Final = 0.8
_OF_OWN: Final = 0.75
_PARENT: Final = 0.7
_WITHOUT_PREFIX: Final = 0.7
_WITHOUT_ENDING: Final = 0.6
_PERSON: Final = 0.55
_SHORT: Final = 0.4
_ELSEWHERE: Final = 0.05
"""What a parent of another schema loses."""

_ENDINGS: Final = {
    **dict.fromkeys(("id", "ids", "key", "fk", "pk", "ref", "uuid", "guid", "sk", "标识"), "id"),
    **dict.fromkeys(("no", "nr", "num", "number", "编号", "号"), "no"),
    **dict.fromkeys(("code", "cd", "编码", "代码"), "code"),
}
"""Words that end the name of a key, by what they say."""

_GLUED: Final = re.compile(r"(.{2,}?)(id|code|编号|编码|代码|标识)")
"""An ending that no capital and no underscore parts from the rest."""

_PARENTS: Final = frozenset({"parent", "reportto", "replyto", "replyingto", "superior", "predecessor", "boss"})
_ROLES: Final = frozenset(
    {"rep", "representativ", "manager", "supervisor", "boss", "owner", "author", "creator", "agent", "assigne",
     "approver", "reviewer", "seller", "salesperson", "operator", "by"}
)  # fmt: skip
_PEOPLE: Final = frozenset({"employe", "staff", "user", "person"})
"""Stems, as `_stem` makes them."""

_IRREGULAR: Final = {"people": "person", "children": "child"}

_TYPES: Final = (
    (re.compile(r"(unsigned )?(big|small|tiny|medium)?(int|integer|serial)\d?( unsigned)?", re.IGNORECASE), "number"),
    (re.compile(r"(numeric|decimal|number)(\(\d+(, ?0)?\))?", re.IGNORECASE), "number"),
    (re.compile(r"(n?(var)?char2?|character( varying)?|n?text|bpchar|citext)(\(.*\))?", re.IGNORECASE), "text"),
    (re.compile(r"uuid|uniqueidentifier", re.IGNORECASE), "uuid"),
    (re.compile(r""), "any"),
)


@dataclass(frozen=True)
class JoinCandidate:
    """A column whose name says that it refers to a key; `name_score` is how clearly, from 0 to 1."""

    child: TableName
    child_column: str
    parent: TableName
    parent_column: str
    name_score: float


@dataclass(frozen=True)
class InferredJoin:
    """A candidate whose values bear it out: `contained_share` of those looked up are in the key."""

    candidate: JoinCandidate
    contained_share: float
    confidence: float


def join_candidates(tables: Sequence[Table]) -> list[JoinCandidate]:
    """What columns without a foreign key can refer to: at most a few keys a column, the best first.

    A key is a primary or unique key of one column, of a type that can be compared. Views have none, and refer to
    nothing. `id`, `code` and such alone say nothing.
    """
    known = _Known.of(tables)
    found = []
    for table in known.tables:
        declared = {column for key in table.foreign_keys for column in key.columns}
        for column in table.columns:
            if column.name not in declared and _type(column):
                found += _fitting(table, column, known)
    return found


def confidence_of(name_score: float, contained_share: float, distinct_values: int) -> float:
    """How sure a join is, from 0 to 1: share^4 * (name + (1 - name) / 2 * n / (n + 10)), n the values looked up.

    Values that are not in the key speak against a join, more than in proportion: a key that holds 95 of 100 leaves 0.81
    of the confidence, as rows may have been deleted, and one that holds 80 leaves 0.41. Values that are in it speak for
    a join, but never as much as a name: numbers from 1 are in every key of numbers. So they take away half of the
    doubt at most, and ten of them a quarter. Without any value the name alone decides.
    """
    support = distinct_values / (distinct_values + 10)
    return float(contained_share**4 * (name_score + (1 - name_score) / 2 * support))


def infer_joins(database: BusinessDatabase, tables: Sequence[Table], limits: QueryLimits) -> list[InferredJoin]:
    """The joins of these tables that names and values bear out, the best one a column.

    A candidate whose query fails or takes too long is left out. Raises QueryFailed where it is cancelled,
    DatabaseUnavailable.
    """
    best: dict[tuple[TableName, str], InferredJoin] = {}
    for candidate in join_candidates(tables):
        try:
            with limited_connection(database, limits) as connection:
                distinct, contained = connection.exec_driver_sql(_containment(connection, candidate)).one()
        except QueryFailed as error:
            if error.kind == "cancelled":
                raise
            continue
        share = contained / distinct if distinct else 1.0
        confidence = confidence_of(candidate.name_score, share, distinct)
        place = (candidate.child, candidate.child_column)
        if confidence >= ACCEPTED_CONFIDENCE and (place not in best or confidence > best[place].confidence):
            best[place] = InferredJoin(candidate, share, confidence)
    return list(best.values())


def _containment(connection: Connection, candidate: JoinCandidate) -> str:
    """How many different values there are, and how many of them the key has."""
    quote = IdentifierPreparer.quote_identifier.__get__(connection.dialect.identifier_preparer)

    def placed(table: TableName) -> str:
        return ".".join(quote(part) for part in table if part is not None)

    child, parent = quote(candidate.child_column), quote(candidate.parent_column)
    rows = f"SELECT {child} AS value FROM {placed(candidate.child)} LIMIT {LOOKED_AT_ROWS}"
    values = f"SELECT DISTINCT value FROM ({rows}) AS looked_at WHERE value IS NOT NULL LIMIT {LOOKED_UP_VALUES}"
    return (
        f"SELECT count(*), count(parent.{parent}) FROM ({values}) AS child"
        f" LEFT JOIN {placed(candidate.parent)} AS parent ON parent.{parent} = child.value"
    )


@dataclass(frozen=True)
class _Name:
    """A name as stems of its words; of a key its ending apart, by what it says."""

    stem: tuple[str, ...]
    ending: str | None

    @property
    def text(self) -> str:
        return "".join(self.stem)

    def ending_alike(self, keys: Iterable[_KeyColumn]) -> list[_KeyColumn]:
        """Keys that are called after their table, or after nothing, and end in the same way."""
        ending = self.ending or "id"
        return [key for key in keys if key.name.ending == ending and key.name.text in {"", *_tails(key.own)}]


@dataclass(frozen=True)
class _KeyColumn:
    """What can be referred to: a key of one column."""

    table: Table
    column: Column
    is_primary: bool
    name: _Name
    own: tuple[str, ...]
    """The words of its table."""


@dataclass
class _Known:
    """Keys of all tables, by the words that can mean them."""

    tables: list[Table]
    by_table: dict[str, list[_KeyColumn]] = field(default_factory=lambda: defaultdict(list))
    by_tail: dict[str, list[_KeyColumn]] = field(default_factory=lambda: defaultdict(list))
    by_start: dict[str, list[_KeyColumn]] = field(default_factory=lambda: defaultdict(list))
    by_name: dict[tuple[str, str], list[_KeyColumn]] = field(default_factory=lambda: defaultdict(list))
    people: list[_KeyColumn] = field(default_factory=list)
    of_table: dict[TableName, list[_KeyColumn]] = field(default_factory=lambda: defaultdict(list))
    names: dict[str, _Name] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: Sequence[Table]) -> _Known:
        known = cls([table for table in tables if table.kind == "table"])
        for table in known.tables:
            own = _words(table.name.name)
            for key in _keys(table, own):
                known.of_table[table.name].append(key)
                known.by_table["".join(own)].append(key)
                for tail in _tails(own)[1:]:
                    known.by_tail[tail].append(key)
                if len(own) == 1:
                    for length in range(3, len(own[0])):
                        known.by_start[own[0][:length]].append(key)
                if key.name.stem and key.name.ending is not None:
                    known.by_name[key.name.text, key.name.ending].append(key)
                if own[-1] in _PEOPLE:
                    known.people.append(key)
        return known

    def name(self, column: str) -> _Name:
        """The name of a column, taken apart once."""
        if column not in self.names:
            self.names[column] = _name(column)
        return self.names[column]


def _fitting(table: Table, column: Column, known: _Known) -> list[JoinCandidate]:
    """The keys that a column can mean, the best first."""
    name = known.name(column.name)
    if table.primary_key.columns == (column.name,) and name.text in ("", *_tails(_words(table.name.name))):
        return []  # it numbers its own table
    best: dict[tuple[TableName, str], float] = {}
    for score, key in _scored(table, name, known):
        place = (key.table.name, key.column.name)
        is_itself = key.table.name == table.name and key.column.name == column.name
        if not is_itself and _are_comparable(column, key.column):
            score -= _ELSEWHERE if key.table.name.schema != table.name.schema else 0.0  # noqa: PLW2901
            best[place] = max(score, best.get(place, 0.0))
    ranked = sorted(best.items(), key=lambda item: (-item[1], str(item[0])))[:CANDIDATES_A_COLUMN]
    return [JoinCandidate(table.name, column.name, parent, key, score) for (parent, key), score in ranked]


def _scored(table: Table, name: _Name, known: _Known) -> Iterator[tuple[float, _KeyColumn]]:
    """Keys that a name can mean, with how clearly it does."""
    if not name.stem:
        return
    for key in name.ending_alike(known.by_table.get(name.text, ())):
        yield (_SAME if name.ending else _WITHOUT_ENDING), key
    yield from _by_role(table, name, known)
    if name.ending is None:
        return
    for key in _few(known.by_name.get((name.text, name.ending), ())):
        if key.is_primary:
            yield _WITHOUT_TABLE, key
    for tail in _tails(name.stem)[1:]:
        for key in name.ending_alike(_few(known.by_table.get(tail, ()))):
            yield _WITH_ROLE, key
    for key in name.ending_alike(known.by_table.get("".join(_words(table.name.name)) + name.text, ())):
        yield _OF_OWN, key
    shortened = name.ending_alike(_few(known.by_tail.get(name.text, ())))
    for key in shortened:
        yield _WITHOUT_PREFIX / len({one.table.name for one in shortened}), key
    if len(name.stem) == 1:
        for key in name.ending_alike(_few(known.by_start.get(name.text, ()))):
            yield _SHORT, key


def _by_role(table: Table, name: _Name, known: _Known) -> Iterator[tuple[float, _KeyColumn]]:
    """Keys of the same table that a parent has, and keys of people for what people do."""
    is_parent, is_role = name.text in _PARENTS, name.stem[-1] in _ROLES
    is_deed = name.stem[-1] == "by"
    for key in known.of_table.get(table.name, ()) if is_parent or is_role else ():
        if key.is_primary and (is_parent or (key.own[-1] in _PEOPLE and not is_deed)):
            yield _PARENT, key
    for key in _few(known.people) if is_role and (name.ending or is_deed) else ():
        if key.is_primary:
            yield _PERSON, key


def _few(keys: Sequence[_KeyColumn]) -> Sequence[_KeyColumn]:
    return keys if len(keys) <= SHARED_LIMIT else ()


def _keys(table: Table, own: tuple[str, ...]) -> Iterator[_KeyColumn]:
    columns = {column.name: column for column in table.columns}
    for key in dict.fromkeys(key.columns for key in (table.primary_key, *table.unique_keys)):
        if len(key) == 1 and key[0] in columns:
            is_primary = key == table.primary_key.columns
            yield _KeyColumn(table, columns[key[0]], is_primary, _name(key[0]), own)


def _name(identifier: str) -> _Name:
    words = words_of(identifier).split() or [identifier]
    ending = _ENDINGS.get(words[-1])
    glued = _GLUED.fullmatch(words[-1])
    if ending is not None:
        words = words[:-1]
    elif glued is not None:
        words[-1], ending = glued[1], _ENDINGS[glued[2]]
    return _Name(tuple(map(_stem, words)), ending)


def _words(identifier: str) -> tuple[str, ...]:
    return tuple(map(_stem, words_of(identifier).split() or [identifier]))


def _tails(words: Sequence[str]) -> list[str]:
    """`sales order line` -> `salesorderline`, `orderline`, `line`."""
    return ["".join(words[start:]) for start in range(len(words))]


def _stem(word: str) -> str:
    """One text for the singular and the plural of a word: `categories` and `category` -> `categori`."""
    word = _IRREGULAR.get(word, word)
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word.endswith("y") else word


def _type(column: Column) -> str | None:
    """What a column can be compared with; None where nothing refers with such a type."""
    return next((family for pattern, family in _TYPES if pattern.fullmatch(column.type_sql.strip())), None)


def _are_comparable(one: Column, other: Column) -> bool:
    families = {_type(one), _type(other)}
    return None not in families and (len(families) == 1 or "any" in families)
