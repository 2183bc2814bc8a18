"""Sentences from plans: what both languages share. `english.py` and `chinese.py` know the words."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final

from data_pipeline.semantics.facts import ColumnFacts, Link
from data_pipeline.semantics.names import split_words
from data_pipeline.semantics.parts import At, Function, Measure, Value
from data_pipeline.steps.qa.plans.plan import (
    Bucket,
    Change,
    Compared,
    Condition,
    Key,
    OneOf,
    Order,
    Output,
    Plan,
    Related,
    Running,
    Selection,
    Share,
    Simple,
    Source,
    Unit,
)
from data_pipeline.steps.qa.say.nouns import Nouns, source_of
from data_pipeline.tasks.table_list import TableName

_LABEL_WORDS: Final[Mapping[Function, str]] = {
    "count": "{} count", "count_distinct": "{} count", "sum": "total {}", "avg": "average {}", "min": "minimum {}",
    "max": "maximum {}",
}  # fmt: skip

Phrasings = Mapping[str, Sequence[str]]
"""By variant the sentences of a family in one language, with places that `Slots` fills."""


class Slots:
    """The places of a sentence: what stands between braces, made when it is asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], str]]) -> None:
        self._makers = makers

    def __getitem__(self, name: str) -> str:
        return self._makers[name]()


class Voice(ABC):
    """Says what plans ask, in one language; the same plan and turn always in the same words."""

    def __init__(self, nouns: Nouns, seed: int) -> None:
        self.nouns = nouns
        self.facts = nouns.facts
        self.chance = Random(0)
        self.subject: TableName | None = None
        self.known_as: dict[TableName, TableName] = {}
        self._seed = seed
        self._plan: Plan | None = None
        self._plan_text = ""
        self._slots = Slots({})

    def question(self, plan: Plan, phrasings: Phrasings, turn: int) -> str:
        """The question of a plan: the sentence whose turn it is, its places filled from the plan."""
        sentences = self.sentences(plan, phrasings)
        self.begin(plan, turn)
        title = self.nouns.title(plan.query.root.table)
        return self.finished(sentences[turn % len(sentences)].format_map(self._slots), title)

    def sentences(self, plan: Plan, phrasings: Phrasings) -> Sequence[str]:
        """The sentences in which a plan can be asked."""
        return phrasings[plan.variant]

    def begin(self, plan: Plan, turn: int) -> None:
        """Make what is left to chance follow from the plan alone."""
        self.subject = plan.query.root.table
        self.known_as = self._far_ends(plan)
        if plan is not self._plan:  # it is asked in many ways, one after the other
            self._plan, self._plan_text, self._slots = plan, plan.model_dump_json(), Slots(self.places(plan))
        text = f"{self._seed}:{turn}:{self._plan_text}"
        self.chance = Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))

    def _far_ends(self, plan: Plan) -> dict[TableName, TableName]:
        """By what rows are called that only connect, seen from one of their ends: a playlist has tracks."""
        found: dict[TableName, TableName] = {}
        for selection in plan.selections:
            links = [self.facts.by_link[source.link] for source in selection.sources if source.link is not None]
            links += [self.facts.by_link[one.link] for one in selection.where if isinstance(one, Related)]
            if not links:  # grouped by the reference itself
                groups = {key.column for key in selection.groups if isinstance(key, At)}
                links = [link for link in self.facts.up(selection.root.table) if groups >= set(link.child_columns)]
            end = self.facts.far_end(links[0]) if len(links) == 1 else None
            if end is not None:
                found[links[0].child] = end
        return found

    @abstractmethod
    def places(self, plan: Plan) -> Mapping[str, Callable[[], str]]:
        """What each place of a sentence becomes."""

    @abstractmethod
    def finished(self, sentence: str, title: str | None) -> str:
        """A sentence as it is written; it begins with the title of what has no name for one of its rows."""

    @abstractmethod
    def condition(self, condition: Condition, selection: Selection) -> str:
        """A condition, as it stands beside the noun."""

    @abstractmethod
    def measure(self, measure: Measure, selection: Selection) -> str:
        """An aggregate, as a noun."""

    @abstractmethod
    def role_of(self, at: At, selection: Selection) -> str:
        """What the source of a column is called; nothing for the first."""

    @abstractmethod
    def label(self, output: Output, selection: Selection) -> str | None:
        """How a column of the result is called; None where its own name will do."""

    # What both languages ask of a plan.

    def words(self, table: TableName) -> tuple[str, ...]:
        """The words for one row of a table, as this question sees it."""
        return self.nouns.thing(self.known_as.get(table, table), self.chance)

    def column_at(self, at: At, selection: Selection) -> ColumnFacts:
        """The facts of a column."""
        return self.facts.by_name[source_of(at, selection).table].by_name[at.column]

    def link_of(self, column: ColumnFacts) -> Link | None:
        """The link that a column is part of. None for other columns, and if the table it refers to is not listed."""
        if column.role != "reference":
            return None
        return next((link for link in self.facts.up(column.table) if column.name in link.child_columns), None)

    def first_measure(self, plan: Plan) -> Measure:
        """What is computed: in the outputs, else in HAVING, else in the order."""
        query = plan.query
        found: list[Output] = list(query.outputs)
        if query.having is not None:
            found.append(query.having.measure)
        found += [order.by for order in query.order]
        for output in found:
            match output:
                case Measure():
                    return output
                case Share() | Running() | Change():
                    return output.measure
        raise LookupError(f"the family {plan.family} speaks of a measure, and its plan has none")

    def first_key(self, plan: Plan) -> Key:
        """What is grouped by, or shown of each."""
        query = plan.query
        for key in (*query.outputs, *query.groups):
            if isinstance(key, (At, Bucket)):
                return key
        raise LookupError(f"the family {plan.family} speaks of a key, and its plan has none")

    def first_order(self, plan: Plan) -> Order:
        """What is sorted by."""
        return plan.best.order if plan.best is not None else plan.query.order[0]

    def is_label(self, at: At, selection: Selection) -> bool:
        """Whether a column stands for the whole row of its table."""
        table = self.facts.by_name[source_of(at, selection).table]
        return table.shown == at.column

    def plain_label(self, output: Output, selection: Selection) -> str | None:
        """How a column of the result is called in English words; None where its own name will do."""
        match output:
            case At():
                facts = self.column_at(output, selection)
                if not self.nouns.is_named_by_people(facts.table, facts.name):
                    return self.told_apart(output, selection, self.role_of(output, selection))
                return snake(self.nouns.column(facts, self.chance))
            case Bucket():
                return output.unit
            case Measure():
                return self._measure_label(output, selection)
            case Share():
                return "percentage"
            case Running():
                return "running_total"
            case Change():
                return "change_from_previous"

    def _measure_label(self, measure: Measure, selection: Selection) -> str:
        if measure.term is not None:
            return snake(measure.term)
        if measure.at is None:
            source = next((one for one in selection.sources if one.alias == measure.of), selection.root)
            return snake(f"{' '.join(self.words(source.table))} count")
        word = _LABEL_WORDS[measure.function]
        return snake(word.format(" ".join(split_words(measure.at.column))).replace("total total", "total"))

    def told_apart(self, at: At, selection: Selection, role: str) -> str | None:
        """Two columns of one name are told apart by what their tables are; None where there is one."""
        same = [one for one in selection.outputs if isinstance(one, At) and one.column == at.column]
        source = source_of(at, selection)
        if source.link is None or (len(same) < 2 and source.table != selection.root.table):
            return None
        return snake(" ".join((role, *split_words(at.column))))


def alone(source: Source, where: tuple[Simple, ...] = ()) -> Selection:
    """The rows of one source, as a selection to speak about: it has no outputs, and so is no query."""
    return Selection.model_construct(
        sources=(source,), outputs=(), where=where, is_either=False, groups=(), having=None, order=(), limit=None,
        is_distinct=False,
    )  # fmt: skip


def one_of_same(selection: Selection) -> OneOf | None:
    """Either of several values of one column: said like a list of them."""
    found = [one for one in selection.where if isinstance(one, Compared) and one.operator == "="]
    if not selection.is_either or len(found) != len(selection.where) or len({one.at for one in found}) > 1:
        return None
    return OneOf(at=found[0].at, values=tuple(one.value for one in found))


def first_at(selection: Selection) -> At:
    """The first column of the result; what its first number is of, where it has none."""
    for one in selection.outputs:
        if isinstance(one, At):
            return one
        if isinstance(one, Measure) and one.at is not None:
            return one.at
    raise LookupError("the question speaks of a column, and its result has none")


def compared_value(selection: Selection) -> Value:
    """The value that a selection looks for."""
    return next(condition.value for condition in selection.where if isinstance(condition, Compared))


def moment_of(plan: Plan) -> At:
    """The moment that a plan is about: what it sorts or groups by."""
    for part in (*(order.by for order in plan.query.order), *plan.query.outputs, *plan.query.groups):
        if isinstance(part, Bucket):
            return part.at
        if isinstance(part, (Running, Change)):
            return part.by.at
    by = plan.query.order[0].by
    assert isinstance(by, At)
    return by


def unit_of(plan: Plan) -> Unit:
    """By what a plan divides time."""
    return next((key.unit for key in plan.query.groups if isinstance(key, Bucket)), "year")


def snake(text: str) -> str:
    """Words as the name of a result's column."""
    return re.sub(r"\W+", "_", text.lower()).strip("_")
