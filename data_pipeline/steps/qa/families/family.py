"""What a family of questions is, and the draws that families make: columns, conditions and literals of a table."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import ClassVar, Final, TypeVar

from data_pipeline.semantics.facts import ColumnFacts, Facts, Link, TableFacts
from data_pipeline.semantics.names import is_thing
from data_pipeline.semantics.parts import At, Function, Measure, Value
from data_pipeline.semantics.roles import yes_of_values
from data_pipeline.steps.qa.plans.plan import (
    BesideAverage,
    Between,
    Bucket,
    Compared,
    Comparing,
    Condition,
    During,
    Flag,
    Key,
    Like,
    Missing,
    OneOf,
    Order,
    Output,
    Plan,
    Selection,
    Simple,
    Source,
    Unit,
)
from data_pipeline.steps.qa.say.phrasing import Phrasings

Item = TypeVar("Item")
_LITERAL_CHARACTERS: Final = 40
MOST_EITHER: Final = 3
MANY_VALUES: Final = 8
"""From so many different numbers on, ranges of them are asked for."""

KEPT_DIGITS: Final = 2
_WORD: Final = re.compile(r"[^\W\d_]{4,}")


class Family(ABC):
    """One kind of question, for one table at a time.

    `english` and `chinese` hold sentences for every variant of its plans; `docs/families.md` lists the places that a
    sentence may have. Plans may be wrong about the rows (nothing found, ties): the gates see that.
    """

    name: ClassVar[str]
    weight: ClassVar[int] = 1
    """How many times as often as others it is asked, once everything is covered."""

    english: ClassVar[Phrasings]
    chinese: ClassVar[Phrasings]

    @abstractmethod
    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        """Plans about a table; other ones for another draw."""


class Draw:
    """Chances for one table: the same seed and table give the same ones, whatever else is in the schema."""

    def __init__(self, seed: int, table: TableFacts, family: str, rounds: int) -> None:
        text = f"{seed}:{table.name}:{family}"
        self.chance = Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
        self.rounds = rounds

    def some(self, items: Iterable[Item], most: int) -> list[Item]:
        """At most so many of them, in any order."""
        found = list(items)
        return self.chance.sample(found, min(most, len(found)))

    def one(self, items: Sequence[Item]) -> Item | None:
        """One of them, if there is one."""
        return self.chance.choice(items) if items else None

    # Columns.

    def shown(self, table: TableFacts, most: int = 3, avoid: Iterable[str] = ()) -> tuple[At, ...]:
        """Columns for people: what names a row first, then others; none that only tells rows apart.

        A question that must begin with where the rows are is long enough with two.
        """
        avoided = set(avoid)
        most = most if is_thing(table.name.name) else min(most, 2)
        first = [table.shown] if table.shown is not None and table.shown not in avoided else []
        others = [column.name for column in table.told() if column.name not in (*first, *avoided)]
        names = first + self.some(others, self.chance.randint(0 if first else 1, max(1, most - len(first))))
        return tuple(at(table, name) for name in names)

    # Conditions.

    def condition(self, table: TableFacts, source: str | None = None, avoid: Iterable[str] = ()) -> Simple | None:
        """A condition on one of its columns."""
        avoided = set(avoid)
        columns = [column for column in table.columns if column.is_usable and column.name not in avoided]
        named = [column for column in columns if column.role in ("label", "category", "text")]  # asked for most
        for column in dict.fromkeys(self.some([*columns, *named], len(columns) + len(named))):
            condition = self.condition_on(column, source or table.name.name)
            if condition is not None:
                return condition
        return None

    def condition_on(self, column: ColumnFacts, source: str) -> Simple | None:
        """A condition on this column, of one of the kinds that its role allows."""
        kinds = self._kinds(column, At(source=source, column=column.name))
        return self.one(kinds)

    def _kinds(self, column: ColumnFacts, place: At) -> list[Simple]:
        found: list[Simple] = []
        if column.null_count and (column.values or column.role == "reference"):
            found += [Missing(at=place, is_missing=True), Missing(at=place, is_missing=False)]
        literals = [value for value, _ in column.values if is_sayable(value)]
        match column.role:
            case "label" | "code" | "text":
                if literals and column.role != "text":
                    found += [Compared(at=place, operator="=", value=self.chance.choice(literals)) for _ in range(2)]
                    found += self._either(literals, place)
                found += self._pieces(literals, place) if not column.is_number else []
            case "category":
                if len(literals) > 1:
                    found.append(Compared(at=place, operator="=", value=self.chance.choice(literals)))
                    found.append(Compared(at=place, operator="<>", value=self.chance.choice(literals)))
                found += self._either(literals, place)
            case "measure":
                found += self._amounts(column, place)
            case "year":
                found += [
                    Compared(at=place, operator=self.chance.choice(("=", ">", "<")), value=self.chance.choice(literals))
                ] if literals else []  # fmt: skip
            case "flag":
                found += self._flags(column, place)
            case "moment":
                found += self._moments(column, place)
        return found

    def _either(self, literals: Sequence[Value], place: At) -> list[Simple]:
        if len(literals) <= MOST_EITHER:
            return []
        return [OneOf(at=place, values=tuple(self.chance.sample(literals, self.chance.randint(2, MOST_EITHER))))]

    def _pieces(self, literals: Sequence[Value], place: At) -> list[Simple]:
        found: list[Simple] = []
        words = [parts for value in literals if (parts := _WORD.findall(value.text))]
        if words:
            found.append(Like(at=place, place="anywhere", text=self.chance.choice(self.chance.choice(words))))
            first = self.chance.choice(words)[0]
            found.append(Like(at=place, place="start", text=first[:1] if self.chance.random() < 0.3 else first))
        return found

    def _amounts(self, column: ColumnFacts, place: At) -> list[Simple]:
        ordered = column.ordered
        if len(ordered) < 3:
            return []
        low, high = sorted(self.chance.sample(range(1, len(ordered) - 1), 2)) if len(ordered) > 3 else (1, 1)
        operators: tuple[Comparing, ...] = (">", "<", ">=", "<=")
        found: list[Simple] = [
            Compared(at=place, operator=self.chance.choice(operators), value=self.rounded(ordered, low)),
            BesideAverage(at=place, is_above=self.chance.random() < 0.6),
        ]
        if high > low and len(ordered) > MANY_VALUES:
            between = self.rounded(ordered, low), self.rounded(ordered, high)
            if float(between[0].text) < float(between[1].text):
                found.append(Between(at=place, low=between[0], high=between[1]))
        return found

    def rounded(self, ordered: Sequence[Value], place: int) -> Value:
        """A value near a place in the order: the one with fewest digits of its neighbours; from 100 on two digits stay.

        Nobody asks for sizes above 9616640 bytes, nor for rents below 1922.79.
        """
        near = ordered[max(1, place - 2) : place + 3]
        best = min(near, key=lambda value: (len(value.text.strip("0.-")), value.text))
        whole = best.text.lstrip("-").partition(".")[0]
        if len(whole) <= KEPT_DIGITS:
            return best
        unit = 10 ** (len(whole) - KEPT_DIGITS)
        return Value(kind="number", text=str(round(float(best.text) / unit) * unit))

    def _flags(self, column: ColumnFacts, place: At) -> list[Simple]:
        spelled = yes_of_values([value for value, _ in column.values])
        if spelled is None:
            return []
        yes, no = spelled
        return [Flag(at=place, is_set=True, value=yes), Flag(at=place, is_set=False, value=no)]

    def _moments(self, column: ColumnFacts, place: At) -> list[Simple]:
        days = sorted({value.text[:10] for value in column.ordered})
        years = sorted({int(day[:4]) for day in days})
        found: list[Simple] = []
        if len(years) > 1:
            found.append(During(at=place, year=self.chance.choice(years)))
        if len(days) > 3:
            inner = days[1:-1]
            day = self.chance.choice(inner)
            month = dt.date.fromisoformat(self.chance.choice(days))
            found += [
                During(at=place, year=month.year, month=month.month),
                Compared(at=place, operator=">=", value=Value(kind="date", text=day)),
                Compared(at=place, operator="<", value=Value(kind="date", text=day)),
            ]
            if not column.has_time:
                first, last = sorted(self.chance.sample(inner, 2))
                found.append(Between(at=place, low=Value(kind="date", text=first), high=Value(kind="date", text=last)))
        return found

    def apart(self, column: ColumnFacts, source: str) -> tuple[Simple, Simple] | None:
        """Two conditions on one column that no row meets both: two values, two years, low and high."""
        place = At(source=source, column=column.name)
        literals = [value for value, _ in column.values if is_sayable(value)]
        match column.role:
            case "category" if len(literals) > 2:
                one, other = self.chance.sample(literals, 2)
                return Compared(at=place, operator="=", value=one), Compared(at=place, operator="=", value=other)
            case "moment":
                years = sorted({int(value.text[:4]) for value in column.ordered})
                if len(years) > 1:
                    first, second = self.chance.sample(years, 2)
                    return During(at=place, year=first), During(at=place, year=second)
            case "measure" if len(column.ordered) > MANY_VALUES:
                last = len(column.ordered) - 1
                low, high = self.rounded(column.ordered, last // 5), self.rounded(column.ordered, last - last // 5)
                return Compared(at=place, operator="<", value=low), Compared(at=place, operator=">", value=high)
        return None

    # Measures and keys.

    def measure(self, column: ColumnFacts, source: str) -> Measure:
        """An aggregate that makes sense for a column of numbers."""
        functions: list[Function] = ["avg", "max", "min"]
        if column.is_additive:
            functions += ["sum", "sum"]
        return Measure(function=self.chance.choice(functions), at=At(source=source, column=column.name))

    def measures(self, table: TableFacts, most: int, *, are_compared: bool = False) -> list[Measure]:
        """A few numbers over its rows: what a glossary defines, aggregates of columns; totals and means to compare."""
        of_column = self.mean_or_sum if are_compared else self.measure
        drawn = [of_column(column, table.name.name) for column in self.some(table.of_role("measure"), most)]
        return [*table.terms, *drawn]

    def mean_or_sum(self, column: ColumnFacts, source: str) -> Measure:
        """A total or an average: what groups are compared by."""
        function: Function = "sum" if column.is_additive and self.chance.random() < 0.6 else "avg"
        return Measure(function=function, at=At(source=source, column=column.name))

    def threshold(self, column: ColumnFacts, row_count: int) -> int | None:
        """A number of rows that about a third of the groups have more of."""
        counts = sorted((count for _, count in column.values), reverse=True)
        seen = sum(counts)
        if len(counts) < 3 or not seen:
            return None
        scale = max(1.0, row_count / seen) if column.null_count == 0 else 1.0
        return max(1, int(counts[max(1, len(counts) // 3)] * scale))


def at(table: TableFacts, column: str, source: str | None = None) -> At:
    """A column of a table that stands under its own name."""
    return At(source=source or table.name.name, column=column)


def root_of(table: TableFacts) -> Source:
    """A table as the first source of a query."""
    return Source(alias=table.name.name, table=table.name)


def rows_of(table: TableFacts) -> Measure:
    """How many rows there are."""
    return Measure(function="count", of=table.name.name)


def keys_of(table: TableFacts) -> list[tuple[Key, ColumnFacts]]:
    """What its rows can be grouped by: categories and years; nobody asks `per is_active`."""
    return [(at(table, column.name), column) for column in table.of_role("category", "year")
            if len(column.values) > 1]  # fmt: skip


def buckets_of(table: TableFacts, unit: Unit) -> list[Bucket]:
    """Its moments by year or month, where there are at least two."""
    length = 4 if unit == "year" else 7
    return [
        Bucket(at=at(table, column.name), unit=unit)
        for column in table.of_role("moment")
        if len({value.text[:length] for value in column.ordered}) > 1
    ]


def up_source(link: Link, taken: Iterable[str], *, is_left: bool = False, beside: str | None = None) -> Source:
    """The parent of a link beside its child."""
    alias = alias_of(link.parent.name, taken, role=link.child_columns[0])
    return Source(alias=alias, table=link.parent, link=link.id, beside=beside, is_up=True, is_left=is_left)


def down_source(link: Link, taken: Iterable[str], *, is_left: bool = False) -> Source:
    """The child of a link beside its parent."""
    alias = alias_of(link.child.name, taken, role="other")
    return Source(alias=alias, table=link.child, link=link.id, is_up=False, is_left=is_left)


def alias_of(name: str, taken: Iterable[str], *, role: str = "other") -> str:
    """A name for a source: the table's own, unless another source has it, in whatever case."""
    used = {other.lower() for other in taken}
    if name.lower() not in used:
        return name
    words = [word for word in re.split(r"[\W_]+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", role).lower()) if word]
    base = "_".join(words[:-1] if len(words) > 1 and words[-1] in ("id", "key", "code") else words) or "other"
    candidates = (base, *(f"{base}_{number}" for number in range(2, 10)))
    return next(candidate for candidate in candidates if candidate not in used)


def is_sayable(value: Value) -> bool:
    """Whether a literal reads well in a sentence: short, printable, with nothing that ends a line or a quote."""
    text = value.text
    return (
        0 < len(text) <= _LITERAL_CHARACTERS
        and text.isprintable()
        and text == text.strip()
        and not set(text) & set('"{}%_\\`')
    )


def select(
    table: TableFacts,
    outputs: Sequence[Output],
    *,
    where: Sequence[Condition | None] = (),
    joins: Sequence[Source] = (),
    groups: Sequence[Key] = (),
    order: Sequence[Order] = (),
    limit: int | None = None,
    is_distinct: bool = False,
    is_either: bool = False,
    known: Sequence[Key] = (),
) -> Selection:
    """A SELECT about a table; what it groups by, or shows once each, is not null."""
    named = [*known, *groups, *(outputs if is_distinct else ())]
    places = dict.fromkeys(key.at if isinstance(key, Bucket) else key for key in named if isinstance(key, (At, Bucket)))
    nulls = {table.name.name: {column.name for column in table.columns if column.null_count}}
    asked = {condition.at for condition in where if isinstance(condition, (Compared, OneOf, Missing, Flag, During))}
    return Selection(
        sources=(root_of(table), *joins),
        outputs=tuple(outputs),
        where=tuple(condition for condition in where if condition is not None),
        known=tuple(
            place
            for place in places
            if place.column in nulls.get(place.source, ()) and (place not in asked or is_either)
        ),
        groups=tuple(groups),
        order=tuple(order),
        limit=limit,
        is_distinct=is_distinct,
        is_either=is_either,
    )


def spread(values: Iterable[tuple[Value, int]]) -> bool:
    """Whether groups differ in size, so that one of them is the greatest."""
    return len(Counter(count for _, count in values)) > 1
