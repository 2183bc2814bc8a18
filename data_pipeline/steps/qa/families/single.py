"""Rows of one table: how many, which, with what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from data_pipeline.semantics.facts import ColumnFacts, Facts, TableFacts
from data_pipeline.semantics.parts import Measure
from data_pipeline.steps.qa.families.family import Draw, Family, at, is_sayable, rows_of, select
from data_pipeline.steps.qa.plans.plan import Compared, Condition, Missing, OneOf, Order, Plan


class CountAll(Family):
    """How many rows there are."""

    name = "count"
    english = {
        "plain": (
            "I'd like a tally of the {all}.",
            "How many {all} are there?", "What is the total number of {all}?", "Count the {all}.",
            "How many {all} do we have in total?", "How many {all} does the database hold?", "Altogether, how many {all} exist?",
            "How big is the list of {all}?", "How many {all} are on file?", "How many {all} have we got?",        ),
    }  # fmt: skip
    chinese = {
        "plain": (
            "一共有多少个{all}？",
            "{all}总共有多少条记录？",
            "统计{all}的总数。",
            "数据库中有多少{all}？",
            "{all}的总数是多少？",
        ),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        yield Plan(family=self.name, query=select(table, [rows_of(table)]))


class CountFiltered(Family):
    """How many rows meet a condition."""

    name = "count_filter"
    weight = 4
    english = {
        "plain": (
            "Count the {things}.", "What is the number of {things}?", "Tell me how many {all} {do}.",
            "I want the count of {things}.",
            "Give the total number of {things}.", "What's the count of {things}?", "How many {all} {do}?",
            "How many of the {all} {do}?", "Do you know how many {all} {do}?",
        ),
    }  # fmt: skip
    chinese = {
        "plain": (
            "有多少个{things}？",
            "统计{things}的数量。",
            "{things}一共有多少？",
            "查询{things}的个数。",
            "请计算{things}的总数。",
        ),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for column in table.columns:
            if column.is_usable:
                condition = draw.condition_on(column, table.name.name)
                if condition is not None and not _finds_one(condition, column):
                    yield Plan(family=self.name, query=select(table, [rows_of(table)], where=[condition]))
        for _ in range(draw.rounds):
            first = draw.condition(table)
            second = draw.condition(table, avoid=[first.at.column]) if first is not None else None
            if second is not None:
                yield Plan(family=self.name, query=select(table, [rows_of(table)], where=[first, second]))


def _finds_one(condition: Condition, column: ColumnFacts) -> bool:
    """Whether a condition names the rows that it finds: these are looked up, not counted."""
    is_naming = isinstance(condition, OneOf) or (isinstance(condition, Compared) and condition.operator == "=")
    return is_naming and (column.is_unique or column.never_repeats)


class Projection(Family):
    """Some columns of all rows."""

    name = "projection"
    english = {
        "plain": (
            "{show} the {outputs} of all {all}.", "{show} the {outputs} of every {thing}.",
            "What are the {outputs} of each {thing}?", "{show} all {all} with their {outputs}.",
            "For every {thing}, {outputs} please.", "Give an overview of the {all}: {outputs}.", "{show} the complete list of {all} with {outputs}.",
            "Write down the {outputs} of all {all}.",
        ),
        "one": (
            "{show} the {columns} of all {all}.", "{show} the {outputs} of every {thing}.",
            "What is the {outputs} of each {thing}?",
        ),
        "sorted": (
            "Arrange the {all} by {order} and show their {outputs}.",
            "{show} the {outputs} of all {all}, sorted by {order}.", "{show} all {all} with their {outputs}, ordered by {order}.",
            "What are the {outputs} of all {all}, in order of {order}?",
        ),
        "falling": (
            "{show} the {outputs} of all {all}, sorted by {order} in descending order.",
            "{show} all {all} with their {outputs}, from the {best} {order} down.",
            "What are the {outputs} of all {all}, with the {best} {order} first?",
        ),
    }  # fmt: skip
    chinese = {
        "plain": (
            "{show}所有{all}的{outputs}。",
            "每个{thing}的{outputs}分别是什么？",
            "{show}全部{all}及其{outputs}。",
        ),
        "one": ("{show}所有{all}的{outputs}。", "每个{thing}的{outputs}是什么？"),
        "sorted": ("{show}所有{all}的{outputs}，按{order}升序排列。", "列出{all}的{outputs}，按{order}升序排序。"),
        "falling": ("{show}所有{all}的{outputs}，按{order}降序排列。", "列出{all}的{outputs}，按{order}降序排序。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        usable = table.told()
        waiting = draw.some(usable, len(usable))
        size = 3 if len(waiting) > 2 else max(1, len(waiting))
        for start in range(0, len(waiting), size):
            part = [at(table, column.name) for column in waiting[start : start + size]]
            if table.shown is not None and all(one.column != table.shown for one in part):
                part.insert(0, at(table, table.shown))
            variant = "one" if len(part) == 1 else "plain"
            yield Plan(family=self.name, variant=variant, query=select(table, part))
        for column in draw.some(table.of_role("measure", "moment", "year", "label"), draw.rounds):
            outputs = draw.shown(table, 3, avoid=[column.name])
            if outputs:
                falls = column.role != "label" and draw.chance.random() < 0.6
                order = Order(by=at(table, column.name), is_descending=falls)
                yield Plan(
                    family=self.name,
                    variant="falling" if falls else "sorted",
                    query=select(table, [*outputs, at(table, column.name)], order=[order]),
                )


class DistinctValues(Family):
    """Which different values a column has."""

    name = "distinct"
    english = {
        "plain": (
            "Enumerate the distinct {columns} of the {all}.",
            "What unique {columns} do the {all} have?", "What are the different {columns} of {all}?", "{show} the distinct {columns} of all {all}.",
            "Which {columns} occur among the {all}?", "{show} every {column} that {all} have, each once.",
            "What {columns} are there among the {all}?", "{show} the {columns} of the {all} without repetition.", "Which {columns} come up among the {all}?",
        ),
        "filtered": (
            "What are the different {columns} of {things}?", "{show} the distinct {columns} of {things}.",
            "Which {columns} occur among {things}?",
        ),
    }  # fmt: skip
    chinese = {
        "plain": (
            "{all}有哪些不同的{column}？",
            "{show}{all}中所有不重复的{column}。",
            "{all}的{column}都有哪些取值？",
        ),
        "filtered": ("{things}有哪些不同的{column}？", "{show}{things}的不重复{column}。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        columns = [column for column in table.of_role("category", "year", "text", "label", "code")
                   if len(column.values) > 1 and any(count > 1 for _, count in column.values)]  # fmt: skip
        for column in columns:
            yield Plan(family=self.name, query=select(table, [at(table, column.name)], is_distinct=True))
        for column in draw.some(columns, draw.rounds):
            condition = draw.condition(table, avoid=[column.name])
            if condition is not None:
                query = select(table, [at(table, column.name)], where=[condition], is_distinct=True)
                yield Plan(family=self.name, variant="filtered", query=query)


class Filtered(Family):
    """Which rows meet a condition, or two."""

    name = "filter"
    weight = 5
    english = {
        "which": (
            "Which {all} {do}?", "{show} the {things}.", "Which of the {all} {do}?", "{show} all {things}.",
            "I wonder which {all} {do}.", "I'm after {things}.", "Can you tell me which {all} {do}?", "Do any {all} {do}? If so, which?",
            "What are the {things}?", "Are there any {things}? List them.", "Name the {things}.",
            "I'm looking for {things}.", "Identify all {things}.", "Pick out the {things}.",
             "Point out {things}.",
        ),
        "columns": (
            "{show} the {outputs} of {things}.", "What are the {outputs} of the {things}?",
            "{show} {outputs} for all {things}.", "For {things}, show the {outputs}.",
            "I'm interested in the {outputs} of {things}.", "Let me know the {outputs} of all {things}.",
            "Looking only at {things}, what are the {outputs}?", "Details on {things}, please: {outputs}.",
        ),
        "one": (
            "{show} the {columns} of {things}.", "What are the {columns} of the {things}?",
            "{show} the {outputs} for all {things}.", "{show} the {columns} of all {things}.",
        ),
    }  # fmt: skip
    chinese = {
        "which": ("哪些{all}{do}？", "{show}{things}。", "{show}所有{things}。", "有哪些{things}？"),
        "columns": ("{show}{things}的{outputs}。", "{things}的{outputs}分别是什么？", "查询{things}的{outputs}。"),
        "one": ("{show}{things}的{outputs}。", "{things}的{outputs}{asks}？", "查询{things}的{outputs}。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        usable = [column for column in table.columns if column.is_usable]
        for column in draw.some(usable, len(usable)):
            condition = draw.condition_on(column, table.name.name)
            if condition is None:
                continue
            yield from self._plan(table, draw, [condition])
        for _ in range(2 * draw.rounds):
            first = draw.condition(table)
            if first is None:
                return
            second = draw.condition(table, avoid=[first.at.column])
            if second is not None:
                yield from self._plan(table, draw, [first, second])
        for column in draw.some(usable, draw.rounds):
            either = draw.apart(column, table.name.name)
            if either is not None:
                yield from self._plan(table, draw, list(either), is_either=True)

    def _plan(
        self, table: TableFacts, draw: Draw, where: list[Condition], *, is_either: bool = False
    ) -> Iterator[Plan]:
        # What a condition says is not asked again.
        avoid = {condition.at.column for condition in where if isinstance(condition, (OneOf, Missing)) or (
                 isinstance(condition, Compared) and condition.operator == "=")}  # fmt: skip
        if table.is_asked_for and table.shown not in avoid and draw.chance.random() < 0.5:
            query = select(table, [at(table, str(table.shown))], where=where, is_either=is_either)
            yield Plan(family=self.name, variant="which", query=query)
            return
        outputs = draw.shown(table, 3, avoid=avoid)
        if outputs:
            variant = "one" if len(outputs) == 1 else "columns"
            yield Plan(
                family=self.name, variant=variant, query=select(table, outputs, where=where, is_either=is_either)
            )


class Lookup(Family):
    """What one row says: found by what names it."""

    name = "lookup"
    weight = 5
    english = {
        "columns": (
            "Remind me of the {outputs} of the {thing} {with}.", "For the {thing} {with}, look up the {outputs}.",
            "What are the {outputs} of the {thing} {with}?", "{show} the {outputs} of the {thing} {with}.",
        ),
        "one": (
            "Remind me of the {outputs} of the {thing} {with}.", "Quick question: what is the {outputs} of the {thing} {with}?",
            "Any idea what the {outputs} of the {thing} {with} is?", "Do you happen to know the {outputs} of the {thing} {with}?",
            "I forgot the {outputs} of the {thing} {with}. What is it?", "For the {thing} {with}, what is the {outputs}?",
            "What is the {outputs} of the {thing} {with}?", "{show} the {outputs} of the {thing} {with}.",
            "Tell me the {outputs} of the {thing} {with}.",
        ),
    }  # fmt: skip
    chinese = {
        "columns": ("{things}的{outputs}分别{asks}？", "{show}{things}的{outputs}。"),
        "one": ("{things}的{outputs}{asks}？", "{show}{things}的{outputs}。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        unique = [column for column in table.columns if column.role in ("label", "key", "code")
                  and (column.is_unique or column is table.naming)]  # fmt: skip
        for column in unique:
            # People know names, and ids only where there is no name.
            rounds = 3 * draw.rounds if column.role == "label" else draw.rounds
            for value, count in draw.some([one for one in column.values if is_sayable(one[0])], rounds):
                others = [other.name for other in table.columns
                          if other.is_usable and other.role not in ("key", "reference") and other.name != column.name]  # fmt: skip
                outputs = [at(table, name) for name in draw.some(others, draw.chance.choice((1, 1, 2)))]
                if outputs and count == 1:
                    condition = Compared(at=at(table, column.name), operator="=", value=value)
                    variant = "one" if len(outputs) == 1 else "columns"
                    yield Plan(family=self.name, variant=variant, query=select(table, outputs, where=[condition]))


class CountDistinct(Family):
    """How many different values a column has."""

    name = "count_distinct"
    english = {
        "plain": (
            "How many different {counted} do the {all} have?", "How many distinct {counted} are there among {all}?",
            "Count the different {counted} of the {all}.", "What is the number of distinct {counted} across all {all}?",
        ),
        "owners": (
            "How many different {counted} have {all}?", "How many {counted} have any {all} at all?",
            "Count the {counted} that have at least one {thing}.",
        ),
        "owners filtered": (
            "How many different {counted} have {things}?", "Count the different {counted} that have {things}.",
        ),
        "filtered": (
            "How many different {counted} do {things} have?", "How many distinct {counted} are there among {things}?",
        ),
    }  # fmt: skip
    chinese = {
        "plain": (
            "{all}一共有多少种不同的{column}？",
            "统计{all}中不同{column}的数量。",
            "{all}的{column}去重后有多少个？",
        ),
        "owners": ("有{all}的{owners}一共有多少个？", "统计有{all}的{owners}的数量（去重）。"),
        "owners filtered": ("有{things}的{owners}一共有多少个？", "统计有{things}的{owners}的数量（去重）。"),
        "filtered": ("{things}有多少种不同的{column}？", "统计{things}中不同{column}的数量。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        if facts.ends_of(table.name) is not None:
            return  # nobody asks what only connects for what it has
        columns = [column for column in table.of_role("category", "text", "label", "code", "year", "reference")
                   if len(column.values) > 1 and any(count > 1 for _, count in column.values)]  # fmt: skip
        for column in columns:
            measure = Measure(function="count_distinct", at=at(table, column.name))
            is_owner = column.role == "reference" and any(
                column.name in link.child_columns and not link.is_to_itself for link in facts.up(table.name)
            )
            variant = "owners" if is_owner else "plain"
            yield Plan(family=self.name, variant=variant, query=select(table, [measure]))
            condition = draw.condition(table, avoid=[column.name])
            if condition is not None and draw.chance.random() < 0.5:
                variant = "owners filtered" if is_owner else "filtered"
                yield Plan(family=self.name, variant=variant, query=select(table, [measure], where=[condition]))


SINGLE: Final = (CountAll(), CountFiltered(), Projection(), DistinctValues(), Filtered(), Lookup(), CountDistinct())
