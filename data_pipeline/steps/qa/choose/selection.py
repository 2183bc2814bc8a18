"""Select plans: first those that cover something new, then those missing from the wanted mix. Pure.

Covering is greedy: the plan that adds most tables, foreign keys, clauses, families and columns comes first. A plan's
gain only falls while others are taken, so that an old gain is an upper bound, and few gains are computed twice.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from data_pipeline.semantics.facts import Facts
from data_pipeline.semantics.parts import At, Measure
from data_pipeline.steps.qa.plans.plan import (
    Between,
    Bucket,
    Change,
    Compared,
    Condition,
    During,
    Like,
    OneOf,
    Output,
    Plan,
    Related,
    Running,
    Selection,
    Share,
)
from data_pipeline.tasks.parameters import Difficulty
from data_pipeline.tasks.table_list import TableName

WEIGHTS: Final[Mapping[str, int]] = {"table": 8, "link": 6, "family": 4, "column": 3, "clause": 2}
"""The gain of covering something for the first time, by its kind."""

ASKED_BESIDE_VIEWS: Final = 10
"""Number of questions about a table for each question about a view, once everything is covered."""

LOOKED_AT: Final = 60
"""Number of candidates of one family and table of which the one with the newest words is taken."""

REFUSED_IN_A_ROW: Final = 30
"""Number of consecutive rejections after which a family and table wait until nothing else is left."""

Feature = tuple[str, object]


class Covering(Protocol):
    """The coverage of one pair of any author."""

    @property
    def family(self) -> str: ...

    @property
    def table(self) -> TableName: ...

    @property
    def difficulty(self) -> Difficulty: ...

    @property
    def shape(self) -> str: ...

    @property
    def features(self) -> frozenset[Feature]: ...

    @property
    def literals(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate plan with its coverage.

    A schema has hundreds for each table and few are used, so the plan waits as text, which is much smaller.
    """

    packed: str
    family: str
    table: TableName
    difficulty: Difficulty
    shape: str
    features: frozenset[Feature]
    literals: frozenset[str] = frozenset()

    @property
    def plan(self) -> Plan:
        """The plan, parsed at each access."""
        return Plan.model_validate_json(self.packed)


@dataclass
class Coverage:
    """The coverage of all accepted pairs, with counts."""

    features: Counter[Feature] = field(default_factory=Counter)
    difficulties: Counter[Difficulty] = field(default_factory=Counter)
    families: Counter[str] = field(default_factory=Counter)
    tables: Counter[TableName] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    literals: set[str] = field(default_factory=set)

    def add(self, pair: Covering) -> None:
        """Add a pair."""
        self.features.update(pair.features)
        self.difficulties[pair.difficulty] += 1
        self.families[pair.family] += 1
        self.tables[pair.table] += 1
        self.shapes[pair.shape] += 1
        self.literals |= pair.literals

    def gain(self, candidate: Candidate) -> int:
        """Return the gain of a candidate."""
        return sum(WEIGHTS[feature[0]] for feature in candidate.features if not self.features[feature])

    def of(self, kind: str) -> set[object]:
        """Return everything of one kind that is covered."""
        return {feature[1] for feature, count in self.features.items() if feature[0] == kind and count}


class Choice:
    """Yields candidates one by one; the caller adds each accepted one to the coverage."""

    def __init__(
        self,
        candidates: Iterable[Candidate],
        coverage: Coverage,
        mix: Mapping[Difficulty, float],
        weights: Mapping[str, int],
        views: frozenset[TableName] = frozenset(),
    ) -> None:
        self._coverage = coverage
        self._mix = mix
        self._weights = weights
        self._views = views
        self._covering = [(-coverage.gain(one), -len(one.literals), place, one) for place, one in enumerate(candidates)]
        heapq.heapify(self._covering)
        self._waiting: dict[Difficulty, dict[str, dict[TableName, deque[Candidate]]]] = {}
        self._refused: Counter[str] = Counter()
        self._texts: dict[TableName, str] = {}

    def __iter__(self) -> Iterator[Candidate]:
        yield from self._watched(self._that_cover())
        yield from self._watched(self._that_balance())

    def that_reach(self) -> Iterator[Candidate]:
        """Yield only candidates that cover a new part of the schema, or a clause; the others stay for later."""
        waiting: list[tuple[int, int, int, Candidate]] = []
        for candidate in self._that_cover():
            if any(kind != "family" and not self._coverage.features[kind, of] for kind, of in candidate.features):
                yield from self._watched([candidate])
            else:
                waiting.append((-self._coverage.gain(candidate), -len(candidate.literals), len(waiting), candidate))
        self._covering = waiting
        heapq.heapify(self._covering)

    def _watched(self, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
        """Yield candidates, and count the consecutive rejections of a family."""
        for candidate in candidates:
            taken = self._coverage.families[candidate.family]
            yield candidate
            is_refused = self._coverage.families[candidate.family] == taken
            self._refused[candidate.family] = self._refused[candidate.family] + 1 if is_refused else 0

    def _that_cover(self) -> Iterator[Candidate]:
        while self._covering:
            gain, literals, place, candidate = heapq.heappop(self._covering)
            now = self._coverage.gain(candidate)
            if now == 0 or self._is_refused(candidate.family):
                self._put(candidate)
            elif now < -gain:
                heapq.heappush(self._covering, (-now, literals, place, candidate))
            else:
                yield candidate

    def _is_refused(self, family: str) -> bool:
        return self._refused[family] >= REFUSED_IN_A_ROW

    def _put(self, candidate: Candidate) -> None:
        by_family = self._waiting.setdefault(candidate.difficulty, {})
        by_table = by_family.setdefault(candidate.family, defaultdict(deque))
        waiting = by_table[candidate.table]
        if candidate.table not in self._texts:
            self._texts[candidate.table] = str(candidate.table)
        if self._coverage.shapes[candidate.shape]:
            waiting.append(candidate)
        else:
            waiting.appendleft(candidate)

    def _that_balance(self) -> Iterator[Candidate]:
        coverage = self._coverage
        while self._waiting:
            total = sum(coverage.difficulties.values()) + 1
            difficulty = max(
                self._waiting, key=lambda one: (self._mix.get(one, 0.0) * total - coverage.difficulties[one], one)
            )
            by_family = self._waiting[difficulty]
            family = min(
                by_family, key=lambda one: (self._is_refused(one), coverage.families[one] / self._weights[one], one)
            )
            by_table = by_family[family]
            table = min(by_table, key=lambda one: (self._told_of(one), self._texts[one]))
            candidate = self._freshest(by_table[table])
            if not by_table[table]:
                del by_table[table]
            if not by_table:
                del by_family[family]
            if not by_family:
                del self._waiting[difficulty]
            yield candidate

    def _told_of(self, table: TableName) -> int:
        """Return the load of a table by its pairs; a view needs fewer, because its tables have the same rows."""
        return self._coverage.tables[table] * (ASKED_BESIDE_VIEWS if table in self._views else 1)

    def _freshest(self, waiting: deque[Candidate]) -> Candidate:
        """Return the candidate with most features and literals that no pair has yet, of the next few."""
        near = [waiting.popleft() for _ in range(min(LOOKED_AT, len(waiting)))]
        best = max(near, key=lambda one: (len(one.literals - self._coverage.literals), -near.index(one)))
        near.remove(best)
        waiting.extendleft(reversed(near))
        return best


def literals_of(plan: Plan) -> frozenset[str]:
    """Return the words of the values of a plan."""
    found: set[str] = set()
    for selection in plan.selections:
        for condition in selection.where:
            inner = condition.where if isinstance(condition, Related) else (condition,)
            for one in inner:
                match one:
                    case Compared():
                        found.add(one.value.text)
                    case Between():
                        found.update((one.low.text, one.high.text))
                    case During():
                        found.add(f"{one.year} {one.month or ''}")
                    case OneOf():
                        found.update(value.text for value in one.values)
                    case Like():
                        found.add(one.text)
    return frozenset(word for text in found for word in text.casefold().split())


def features_of(plan: Plan, facts: Facts, clauses: Iterable[str]) -> frozenset[Feature]:
    """Return the coverage of a plan: its tables, columns, links, clauses and its family."""
    found: set[Feature] = {("family", (plan.family, plan.variant))}
    found.update(("clause", clause) for clause in clauses)
    for selection in plan.selections:
        tables = {source.alias: source.table for source in selection.sources}
        links = [source.link for source in selection.sources if source.link is not None]
        for condition in selection.where:
            if isinstance(condition, Related):
                link = facts.by_link[condition.link]
                tables[condition.source] = link.child
                links.append(link.id)
        found.update(("table", table) for table in tables.values())
        for name in links:
            found.add(("link", name))
            known = facts.by_link[name]
            found.update(("column", (known.child, column)) for column in known.child_columns)
            found.update(("column", (known.parent, column)) for column in known.parent_columns)
        for at in _places(selection, plan):
            found.add(("column", (tables[at.source], at.column)))
            # A foreign key column in the output or in GROUP BY covers its foreign key too.
            found.update(
                ("link", link.id) for link in facts.up(tables[at.source])
                if link.child_columns == (at.column,) and at in selection.groups
            )  # fmt: skip
    return frozenset(found)


def _places(selection: Selection, plan: Plan) -> Iterator[At]:
    for output in (*selection.outputs, *selection.groups, *(order.by for order in selection.order)):
        yield from _in_output(output)
    if plan.best is not None and selection is plan.query:
        for key in plan.best.partition:
            yield from _in_output(key)
        yield from _in_output(plan.best.order.by)
    if selection.having is not None:
        yield from _in_output(selection.having.measure)
    for condition in selection.where:
        yield from _in_condition(condition)


def _in_output(output: Output) -> Iterator[At]:
    match output:
        case At():
            yield output
        case Bucket():
            yield output.at
        case Measure():
            if output.at is not None:
                yield output.at
        case Share():
            yield from _in_output(output.measure)
        case Running() | Change():
            yield from _in_output(output.measure)
            yield output.by.at


def _in_condition(condition: Condition) -> Iterator[At]:
    if isinstance(condition, Related):
        for inner in condition.where:
            yield from _in_condition(inner)
    else:
        yield condition.at
