"""Rows and groups that come first or last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from data_pipeline.semantics.facts import ColumnFacts, Facts, TableFacts
from data_pipeline.steps.qa.families.family import Draw, Family, at, keys_of, rows_of, select, spread
from data_pipeline.steps.qa.plans.plan import AtExtreme, BesideAverage, Best, Key, Order, Plan

TOPS: Final = (1, 3, 5, 10)


class TopRows(Family):
    """The first rows by a number or a moment."""

    name = "top"
    english = {
        "one": (
            "Which {thing} stands out with the {best} {order}?",
            "Which {thing} has the {best} {order}?", "{show} the {thing} with the {best} {order}.",
            "What is the {thing} with the {best} {order}?", "Find the {thing} that has the {best} {order}.",
        ),
        "many": (
            "Which {n} {all} have the {best} {order}?", "{show} the {n} {all} with the {best} {order}.",
            "What are the {n} {all} with the {best} {order}?", "{show} the {n} {all} that have the {best} {order}.",
        ),
        "one filtered": (
            "Among the {things}, which one has the {best} {order}?", "Of all {things}, which has the {best} {order}?",
        ),
        "many filtered": (
            "Among the {things}, which {n} have the {best} {order}?", "Of all {things}, show the {n} with the {best} {order}.",
        ),
    }  # fmt: skip
    chinese = {
        "one": ("哪个{thing}的{order}{best}？", "{show}{order}{best}的{thing}。"),
        "many": ("{order}{best}的{n}个{thing}是哪些？", "{show}{order}{best}的前{n}个{thing}。"),
        "one filtered": ("在{things}中，{order}{best}的是哪一个？", "{things}中{order}{best}的是哪个？"),
        "many filtered": ("在{things}中，{order}{best}的{n}个是哪些？", "{show}{things}中{order}{best}的前{n}个。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        if not table.is_asked_for or table.row_count < 3:
            return
        columns = [one for one in table.of_role("measure", "moment") if len(one.ordered) > 2]
        for column in columns:
            for _ in range(draw.rounds):
                yield from self._plan(table, column, draw)

    def _plan(self, table: TableFacts, column: ColumnFacts, draw: Draw) -> Iterator[Plan]:
        order = Order(by=at(table, column.name), is_descending=draw.chance.random() < 0.7)
        count = draw.chance.choice(TOPS)
        condition = draw.condition(table, avoid=[column.name]) if draw.chance.random() < 0.4 else None
        variant = f"{'one' if count == 1 else 'many'}{' filtered' if condition else ''}"
        query = select(table, [at(table, str(table.shown))], where=[condition], order=[order], limit=count)
        yield Plan(family=self.name, variant=variant, query=query)


class TopRowsWithValue(Family):
    """The first rows by a number, with that number and others."""

    name = "top_columns"
    english = {
        "many": (
            "{show} the {outputs} of the {n} {all} with the {best} {order}.",
            "What are the {outputs} of the {n} {all} that have the {best} {order}?",
            "For the {n} {all} with the {best} {order}, show the {outputs}.",
        ),
        "one": (
            "{show} the {outputs} of the {thing} with the {best} {order}.",
            "What are the {outputs} of the {thing} that has the {best} {order}?",
        ),
    }  # fmt: skip
    chinese = {
        "many": (
            "{show}{order}{best}的{n}个{thing}的{outputs}。",
            "{order}{best}的前{n}个{thing}的{outputs}分别是什么？",
        ),
        "one": ("{order}{best}的{thing}的{outputs}是什么？", "{show}{order}{best}的{thing}的{outputs}。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        if table.row_count < 3:
            return
        for column in [one for one in table.of_role("measure", "moment") if len(one.ordered) > 2]:
            outputs = draw.shown(table, 3, avoid=[column.name])
            if not outputs:
                continue
            shown = [*outputs, at(table, column.name)]
            order = Order(by=at(table, column.name), is_descending=draw.chance.random() < 0.7)
            count = draw.chance.choice(TOPS)
            query = select(table, shown, order=[order], limit=count)
            yield Plan(family=self.name, variant="one" if count == 1 else "many", query=query)


class Extreme(Family):
    """All rows that share the greatest or least value."""

    name = "extreme"
    english = {
        "plain": (
            "Which {all} {do}?", "{show} all {things}.", "{show} the {things}.", "What are the {things}?",
        ),
    }  # fmt: skip
    chinese = {"plain": ("哪些{all}{do}？", "{show}所有{things}。")}

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        if not table.is_asked_for:
            return
        for column in [one for one in table.of_role("measure", "moment", "year") if len(one.ordered) > 2]:
            condition = AtExtreme(at=at(table, column.name), is_greatest=draw.chance.random() < 0.6)
            yield Plan(family=self.name, query=select(table, [at(table, str(table.shown))], where=[condition]))


class AboveAverage(Family):
    """Rows above or below the average of all."""

    name = "above_average"
    english = {
        "plain": ("Which {all} {do}?", "{show} the {things}.", "{show} all {things}."),
        "count": ("How many {all} {do}?", "Count the {things}."),
    }
    chinese = {
        "plain": ("哪些{all}{do}？", "{show}{things}。"),
        "count": ("有多少{things}？", "统计{things}的数量。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for column in [one for one in table.of_role("measure") if len(one.ordered) > 2]:
            condition = BesideAverage(at=at(table, column.name), is_above=draw.chance.random() < 0.6)
            if table.is_asked_for:
                yield Plan(family=self.name, query=select(table, [at(table, str(table.shown))], where=[condition]))
            condition = BesideAverage(at=at(table, column.name), is_above=draw.chance.random() < 0.6)
            yield Plan(family=self.name, variant="count", query=select(table, [rows_of(table)], where=[condition]))


class TopGroups(Family):
    """The groups with most rows, or with the highest number."""

    name = "top_group"
    english = {
        "one": (
            "Which {key} has the {best} {counted}?", "{show} the {key} with the {best} {counted}.",
            "What is the {key} that has the {best} {counted}?", "Name the {key} with the {best} {counted}.",
        ),
        "many": (
            "Which {n} {keys} have the {best} {counted}?", "{show} the {n} {keys} with the {best} {counted}.",
            "What are the {n} {keys} with the {best} {counted}?",
        ),
        "measured": (
            "Which {key} has the {best} {number} of {all}?", "For which {key} is {measure} of {all} {best}?",
        ),
    }  # fmt: skip
    chinese = {
        "one": ("哪个{key}的{counted}{best}？", "{show}{counted}{best}的{key}。"),
        "many": ("{counted}{best}的{n}个{key}是哪些？", "{show}{counted}{best}的前{n}个{key}。"),
        "measured": ("哪个{key}的{all}的{measure}{best}？", "{show}{all}的{measure}{best}的{key}。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for key, column in keys_of(table):
            if spread(column.values):
                for _ in range(draw.rounds):
                    yield self._of_rows(table, key, column, draw)
            for measured in draw.some([one for one in table.of_role("measure") if len(one.ordered) > 2], 2):
                measure = draw.mean_or_sum(measured, table.name.name)
                order = Order(by=measure, is_descending=draw.chance.random() < 0.7)
                query = select(table, [key], groups=[key], order=[order], limit=1)
                yield Plan(family=self.name, variant="measured", query=query)

    def _of_rows(self, table: TableFacts, key: Key, column: ColumnFacts, draw: Draw) -> Plan:
        count = draw.chance.choice([count for count in TOPS[:3] if count < len(column.values)] or [1])
        order = Order(by=rows_of(table), is_descending=count > 1 or draw.chance.random() < 0.75)
        query = select(table, [key], groups=[key], order=[order], limit=count)
        return Plan(family=self.name, variant="one" if count == 1 else "many", query=query)


class BestPerGroup(Family):
    """The first rows of each group."""

    name = "best_per_group"
    english = {
        "one": (
            "Per {partition}, pick the {thing} with the {best} {order}.",
            "For each {partition}, which {thing} has the {best} {order}?", "{show} the {thing} with the {best} {order} for every {partition}.",
            "Within each {partition}, find the {thing} that has the {best} {order}.",
        ),
        "many": (
            "For each {partition}, which {n} {all} have the {best} {order}?",
            "{show} the {n} {all} with the {best} {order} for every {partition}.",
        ),
    }  # fmt: skip
    chinese = {
        "one": ("每个{partition}中{order}{best}的{thing}是哪个？", "{show}每个{partition}里{order}{best}的{thing}。"),
        "many": (
            "每个{partition}中{order}{best}的前{n}个{thing}是哪些？",
            "{show}每个{partition}里{order}{best}的{n}个{thing}。",
        ),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        if not table.is_asked_for:
            return
        columns = [one for one in table.of_role("measure", "moment") if len(one.ordered) > 4]
        for key, _ in keys_of(table):
            for sorted_by in draw.some(columns, 1 + draw.rounds):
                count = draw.chance.choice((1, 1, 2, 3))
                is_descending = count > 1 or draw.chance.random() < 0.7
                best = Best(
                    partition=(key,),
                    order=Order(by=at(table, sorted_by.name), is_descending=is_descending),
                    count=count,
                )
                query = select(table, [key, at(table, str(table.shown))], known=[key])
                yield Plan(family=self.name, variant="one" if count == 1 else "many", query=query, best=best)


RANKING: Final = (TopRows(), TopRowsWithValue(), Extreme(), AboveAverage(), TopGroups(), BestPerGroup())
