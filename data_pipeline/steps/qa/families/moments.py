"""Questions about time: years and months, what is new and old, how numbers develop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from data_pipeline.semantics.facts import Facts, TableFacts
from data_pipeline.semantics.parts import Measure
from data_pipeline.steps.qa.families.family import Draw, Family, at, buckets_of, rows_of, select
from data_pipeline.steps.qa.plans.plan import Bucket, Change, Order, Output, Plan, Running, Selection, Unit

UNITS: Final[tuple[Unit, ...]] = ("year", "month")


class PerPeriod(Family):
    """How many rows, or how much, in each year or month."""

    name = "trend"
    english = {
        "plain": (
            "How many {happened_each}?",
            "I'd like to see how many {happened_each}.", "Do you know how many {happened_each}?",
            "{show} the number of {all} for every {unit}, based on the {moment}, in order of time.",
        ),
        "measured": (
            "How did {measure} of {all} develop from {unit} to {unit}, by {moment}?",
            "What is {measure} of the {all} for each {unit}, by {moment}?",
            "{show} {measure} of the {all} for every {unit}, going by the {moment}, earliest first.",
        ),
        "filtered": (
            "How many {things_happened_each}?", "Tell me how many {things_happened_each}.",
        ),
    }  # fmt: skip
    chinese = {
        "plain": ("按{period}统计{all}的数量（以{moment}为准）。", "按{moment}统计，{unit}各有多少{all}？"),
        "measured": (
            "按{period}统计{all}的{measure}（以{moment}为准）。",
            "按{moment}统计，{unit}{all}的{measure}各是多少？",
        ),
        "filtered": (
            "按{period}统计{things}的数量（以{moment}为准）。",
            "按{moment}统计，{unit}各有多少{things}？",
        ),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for unit in UNITS:
            for bucket in buckets_of(table, unit):
                order = [Order(by=bucket)]
                query = select(table, [bucket, rows_of(table)], groups=[bucket], order=order)
                yield Plan(family=self.name, query=query)
                for measure in draw.measures(table, draw.rounds, are_compared=True):
                    query = select(table, [bucket, measure], groups=[bucket], order=order)
                    yield Plan(family=self.name, variant="measured", query=query)
                condition = draw.condition(table, avoid=[bucket.at.column])
                if condition is not None:
                    query = select(
                        table, [bucket, rows_of(table)], where=[condition], groups=[bucket], order=order
                    )  # fmt: skip
                    yield Plan(family=self.name, variant="filtered", query=query)


class BestPeriod(Family):
    """The year or month with most rows, or with the highest number."""

    name = "best_period"
    english = {
        "plain": (
            "In which {unit} {most_happened}?", "Which {unit} has the {best} {all} by {moment}?",
            "Looking at the {moment}, which {unit} has the {best} {all}?",
        ),
        "measured": (
            "In which {unit} is {measure} of the {all} {best}, going by the {moment}?",
            "By {moment}, in which {unit} is {measure} of {all} {best}?",
        ),
    }  # fmt: skip
    chinese = {
        "plain": ("按{moment}看，哪个{period}的{all}数量{best}？", "以{moment}为准，{all}数量{best}的{period}是哪个？"),
        "measured": (
            "按{moment}看，哪个{period}的{all}的{measure}{best}？",
            "{all}的{measure}{best}的是哪个{period}（以{moment}为准）？",
        ),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for unit in UNITS:
            for bucket in buckets_of(table, unit):
                order = [Order(by=rows_of(table), is_descending=draw.chance.random() < 0.8)]
                yield Plan(family=self.name, query=select(table, [bucket], groups=[bucket], order=order, limit=1))
                for column in draw.some(table.of_role("measure"), draw.rounds):
                    order = [
                        Order(by=draw.mean_or_sum(column, table.name.name), is_descending=draw.chance.random() < 0.7)
                    ]
                    query = select(table, [bucket], groups=[bucket], order=order, limit=1)
                    yield Plan(family=self.name, variant="measured", query=query)


class Latest(Family):
    """The newest or the oldest rows."""

    name = "latest"
    english = {
        "one": (
            "Which {thing} has the {best} {order}?", "{show} the {outputs} of the {newest} {thing}, by {order}.",
        ),
        "many": (
            "{show} the {outputs} of the {n} {newest} {all}, by {order}.",
            "What are the {outputs} of the {n} {newest} {all}, going by the {order}?",
        ),
    }  # fmt: skip
    chinese = {
        "one": ("{show}{order}{best}的{thing}的{outputs}。", "{order}{best}的{thing}的{outputs}{asks}？"),
        "many": (
            "{show}{order}{best}的{n}个{thing}的{outputs}。",
            "{order}{best}的{n}个{thing}的{outputs}分别{asks}？",
        ),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        if not table.is_asked_for:
            return
        for column in [one for one in table.of_role("moment") if len(one.ordered) > 2]:
            order = [Order(by=at(table, column.name), is_descending=draw.chance.random() < 0.6)]
            query = select(table, [at(table, str(table.shown))], order=order, limit=1)
            yield Plan(family=self.name, variant="one", query=query)
            outputs = draw.shown(table, 3, avoid=[column.name])
            count = draw.chance.choice((3, 5, 10))
            query = select(table, [*outputs, at(table, column.name)], order=order, limit=count)
            yield Plan(family=self.name, variant="many", query=query)


class RunningTotal(Family):
    """What has come together up to each year or month."""

    name = "running_total"
    english = {
        "plain": (
            "How many {had_happened}?", "{show} {running} by {unit}, going by the {moment}.",
            "How did the cumulative number of {all} grow from {unit} to {unit}, by {moment}?",
            "Tell me how many {had_happened}.",
        ),
        "measured": (
            "{show} {running} of {all} by {unit}, going by the {moment}.",
            "What is {running} of the {all} at the end of each {unit}, by {moment}?",
        ),
    }  # fmt: skip
    chinese = {
        "plain": (
            "按{period}计算{all}的累计数量（以{moment}为准）。",
            "截至{period_end}，累计有多少{all}（以{moment}为准）？",
        ),
        "measured": (
            "按{period}计算{all}的{running}（以{moment}为准）。",
            "截至{period_end}，{all}的{running}是多少（以{moment}为准）？",
        ),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for unit in UNITS:
            for bucket in buckets_of(table, unit):
                query = _per(table, bucket, [bucket, Running(measure=rows_of(table), by=bucket)])
                yield Plan(family=self.name, query=query)
                for column in draw.some([one for one in table.of_role("measure") if one.is_additive], draw.rounds):
                    measure = Measure(function="sum", at=at(table, column.name))
                    query = _per(table, bucket, [bucket, Running(measure=measure, by=bucket)])
                    yield Plan(family=self.name, variant="measured", query=query)


class ChangePerPeriod(Family):
    """How a number differs from that of the year or month before."""

    name = "change"
    english = {
        "plain": (
            "How many {happened_each}, and by how much does that differ from the previous {unit} on record?",
            "{show} the number of {all} for each {unit}, by {moment}, and its change from the previous {unit} on record.",
            "{show} the number of {all} by {unit}, going by the {moment}, and the change from the previous {unit} on record.",
        ),
        "measured": (
            "What is {measure} of {all} for each {unit}, by {moment}, and how much did it change from the previous {unit} on record?",
            "{show} {measure} of {all} for each {unit}, by {moment}, and its change from the previous {unit} on record.",
        ),
    }  # fmt: skip
    chinese = {
        "plain": (
            "按{period}统计{all}的数量，以及与{period_before}相比的变化（以{moment}为准）。",
            "按{moment}统计，{unit}各有多少{all}，与{period_before}相比变化多少？",
        ),
        "measured": ("按{period}统计{all}的{measure}，以及与{period_before}相比的变化（以{moment}为准）。",),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for unit in UNITS:
            for bucket in buckets_of(table, unit):
                counted = rows_of(table)
                yield Plan(
                    family=self.name,
                    query=_per(table, bucket, [bucket, counted, Change(measure=counted, by=bucket)]),
                )
                for column in draw.some([one for one in table.of_role("measure") if one.is_additive], 1):
                    measure = Measure(function="sum", at=at(table, column.name))
                    query = _per(table, bucket, [bucket, measure, Change(measure=measure, by=bucket)])
                    yield Plan(family=self.name, variant="measured", query=query)


def _per(table: TableFacts, bucket: Bucket, outputs: Sequence[Output]) -> Selection:
    return select(table, outputs, groups=[bucket], order=[Order(by=bucket)])


MOMENTS: Final = (PerPeriod(), BestPeriod(), Latest(), RunningTotal(), ChangePerPeriod())
