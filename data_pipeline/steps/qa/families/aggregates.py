"""Numbers over many rows of one table: averages and sums, counts by group, groups that stand out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from data_pipeline.semantics.facts import Facts, TableFacts
from data_pipeline.semantics.parts import Function, Measure, Value
from data_pipeline.steps.qa.families.family import Draw, Family, at, keys_of, rows_of, select
from data_pipeline.steps.qa.plans.plan import Having, Order, Plan, Share


class Aggregate(Family):
    """One number of all rows, or of those that meet a condition."""

    name = "aggregate"
    english = {
        "plain": (
            "Over the whole set of {all}, what is {measure}?",
            "What is {measure} of all {all}?", "Determine {measure} over all {all}.", "What is {measure} across the {all}?",
            "Tell me {measure} of the {all}.", "I would like to know {measure} of all {all}.",
            "Taking all {all} together, what is {measure}?", "Work out {measure} across all {all}.", "Calculate {measure} for the {all}.",
        ),
        "filtered": (
            "What is {measure} of {things}?", "Determine {measure} of the {things}.", "For {things}, what is {measure}?",
            "Find {measure} among {things}.", "Tell me {measure} of the {things}.", "Considering only {things}, what is {measure}?",
            "I'm curious about {measure} of {things}.", "Could you work out {measure} for {things}?",
        ),
        "moment": (
            "What is {measure} of all {all}?", "Tell me {measure} among the {all}.", "{show} {measure} of the {all}.",
        ),
        "several": (
            "What are {measures} of all {all}?", "{show} {measures} of the {all}.", "Tell me {measures} over all {all}.",
        ),
    }  # fmt: skip
    chinese = {
        "plain": (
            "所有{all}的{measure}是多少？",
            "计算{all}的{measure}。",
            "全部{all}的{measure}是多少？",
            "请给出{all}的{measure}。",
        ),
        "filtered": ("{things}的{measure}是多少？", "计算{things}的{measure}。", "查询{things}的{measure}。"),
        "moment": ("{all}中{measure}是什么时候？", "所有{all}里{measure}是哪天？"),
        "several": ("{all}的{measures}分别是多少？", "计算所有{all}的{measures}。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        source = table.name.name
        named = [column.name for column in table.of_role("label")]  # nobody asks for a number of the rows of one name
        for term in table.terms:
            yield Plan(family=self.name, query=select(table, [term]))
            for _ in range(draw.rounds):
                condition = draw.condition(table)
                if condition is not None:
                    query = select(table, [term], where=[condition])
                    yield Plan(family=self.name, variant="filtered", query=query)
        for column in table.of_role("measure"):
            yield Plan(family=self.name, query=select(table, [draw.measure(column, source)]))
            for _ in range(draw.rounds):
                condition = draw.condition(table, avoid=[column.name, *named])
                if condition is not None:
                    query = select(table, [draw.measure(column, source)], where=[condition])
                    yield Plan(family=self.name, variant="filtered", query=query)
            place = at(table, column.name)
            functions: tuple[Function, ...] = draw.chance.choice((("min", "max"), ("min", "avg", "max")))
            several = [Measure(function=function, at=place) for function in functions]
            yield Plan(family=self.name, variant="several", query=select(table, several))
        for column in table.of_role("moment"):
            function: Function = draw.chance.choice(("min", "max"))
            measure = Measure(function=function, at=at(table, column.name))
            yield Plan(family=self.name, variant="moment", query=select(table, [measure]))


class GroupCount(Family):
    """How many rows each group has."""

    name = "group_count"
    english = {
        "plain": (
            "How many {all} are there for each {key}?", "Count the {all} per {key}.", "What is the number of {all} for every {key}?",
            "{show} how many {all} each {key} has.", "Break the number of {all} down by {key}.",
            "How are the {all} spread across the {keys}?", "How do the {all} divide up among the {keys}?", "Give the {key} breakdown of the {all}.",
            "Group the {all} by {key} and count them.", "Tally the {all} by {key}.", "Summarize the number of {all} by {key}.",
        ),
        "filtered": (
            "For each {key}, how many {all} {do}?", "For every {key}, count the {things}.",
            "Per {key}, what is the number of {things}?",
        ),
        "two": (
            "How many {all} are there for each combination of {each}?", "Count the {all} by {each}.",
            "Break the number of {all} down by {each}.",
        ),
        "ordered": (
            "How many {all} are there for each {key}, from most to fewest?",
            "Rank the {keys} by their number of {all}, the largest first.",
            "Count the {all} per {key}, in descending order of the count.",
        ),
    }  # fmt: skip
    chinese = {
        "plain": ("每个{key}有多少{all}？", "按{key}统计{all}的数量。", "各{key}的{all}数量分别是多少？"),
        "filtered": ("每个{key}有多少{things}？", "按{key}统计{things}的数量。"),
        "two": ("按{each}统计{all}的数量。", "各{each}组合下分别有多少{all}？"),
        "ordered": ("按{key}统计{all}的数量，从多到少排列。", "各{key}有多少{all}？请按数量降序排列。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        keys = keys_of(table)
        measure = rows_of(table)
        for key, column in keys:
            yield Plan(family=self.name, query=select(table, [key, measure], groups=[key]))
            condition = draw.condition(table, avoid=[column.name])
            if condition is not None:
                query = select(table, [key, measure], where=[condition], groups=[key])
                yield Plan(family=self.name, variant="filtered", query=query)
            order = [Order(by=measure, is_descending=True), Order(by=key)]
            query = select(table, [key, measure], groups=[key], order=order)
            yield Plan(family=self.name, variant="ordered", query=query)
        if len(keys) > 1:
            for _ in range(draw.rounds):
                two = [key for key, _ in draw.some(keys, 2)]
                yield Plan(family=self.name, variant="two", query=select(table, [*two, measure], groups=two))


class GroupAggregate(Family):
    """A number of each group."""

    name = "group_aggregate"
    english = {
        "plain": (
            "What is {measure} of {all} for each {key}?", "{show} {measure} of the {all} per {key}.",
            "For every {key}, what is {measure} of its {all}?", "Compute {measure} of the {all} by {key}.", "{show} {measure} of {all}, split by {key}.",
            "{show} {measure} of the {all}, separately for every {key}.",
            "Compare the {keys} by {measure} of their {all}.", "How does {measure} of {all} vary by {key}?",
        ),
        "filtered": (
            "For {things}, what is {measure} for each {key}?", "{show} {measure} of {things}, grouped by {key}.",
            "What is {measure} per {key} among the {things}?",
        ),
        "ordered": (
            "{show} {measure} of {all} per {key}, in descending order.", "Rank the {keys} by {measure} of their {all}, in descending order.",
        ),
    }  # fmt: skip
    chinese = {
        "plain": (
            "每个{key}的{all}的{measure}是多少？",
            "按{key}计算{all}的{measure}。",
            "各{key}下{all}的{measure}分别是多少？",
        ),
        "filtered": ("对于{things}，每个{key}的{measure}是多少？", "按{key}计算{things}的{measure}。"),
        "ordered": ("按{key}计算{all}的{measure}，从高到低排列。", "各{key}的{all}的{measure}是多少？请降序排列。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        keys = keys_of(table)
        for measure in draw.measures(table, 4):
            measured = measure.at.column if measure.at is not None else ""
            for key, grouped in draw.some(keys, 1 + draw.rounds):
                yield Plan(family=self.name, query=select(table, [key, measure], groups=[key]))
                condition = draw.condition(table, avoid=[grouped.name, measured])
                if condition is not None:
                    query = select(table, [key, measure], where=[condition], groups=[key])
                    yield Plan(family=self.name, variant="filtered", query=query)
                order = [Order(by=measure, is_descending=True), Order(by=key)]
                query = select(table, [key, measure], groups=[key], order=order)
                yield Plan(family=self.name, variant="ordered", query=query)


class GroupHaving(Family):
    """Groups that have many rows, or a high number."""

    name = "having"
    english = {
        "plain": (
            "Which {keys} have {having}?", "{show} the {keys} that have {having}.", "Find every {key} with {having}.",
            "For which {keys} are there {having}?",
        ),
        "measured": (
            "Which {keys} have {having} over their {all}?", "{show} the {keys} whose {all} have {having}.",
        ),
        "counted": (
            "Name the {keys} with {having} and state the exact count.",
            "Which {keys} have {having}, and how many exactly?", "{show} each {key} that has {having}, with the count.",
        ),
    }  # fmt: skip
    chinese = {
        "plain": ("哪些{key}{having}？", "{show}{having}的{key}。"),
        "measured": ("哪些{key}的{all}{having}？", "{show}{all}{having}的{key}。"),
        "counted": ("哪些{key}{having}？分别有多少？", "{show}{having}的{key}及其数量。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for key, column in keys_of(table):
            number = draw.threshold(column, table.row_count)
            if number is not None:
                having = Having(measure=rows_of(table), operator=">", value=Value(kind="number", text=str(number)))
                query = select(table, [key], groups=[key]).model_copy(update={"having": having})
                yield Plan(family=self.name, query=query)
                query = select(table, [key, rows_of(table)], groups=[key]).model_copy(update={"having": having})
                yield Plan(family=self.name, variant="counted", query=query)
            for measured in draw.some([one for one in table.of_role("measure") if len(one.ordered) > 4], 2):
                value = draw.rounded(measured.ordered, len(measured.ordered) // 2)
                measure = Measure(function="avg", at=at(table, measured.name))
                having = Having(measure=measure, operator=draw.chance.choice((">", "<")), value=value)
                query = select(table, [key], groups=[key]).model_copy(update={"having": having})
                yield Plan(family=self.name, variant="measured", query=query)


class Repeated(Family):
    """Values that more than one row has."""

    name = "repeated"
    english = {
        "plain": (
            "Are any {columns} duplicated among the {all}? Which ones?",
            "Which {columns} occur for more than one {thing}?", "{show} every {column} that more than one {thing} has.",
            "Are there {columns} shared by several {all}? List them.", "Find the {columns} that are used more than once among the {all}.",
        ),
    }  # fmt: skip
    chinese = {
        "plain": (
            "哪些{column}对应不止一个{thing}？",
            "{show}在{all}中出现多于一次的{column}。",
            "{all}中有哪些重复的{column}？",
        ),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for column in table.of_role("label", "text", "code"):
            if column.is_unique or column.null_count or not any(count > 1 for _, count in column.values):
                continue
            key = at(table, column.name)
            having = Having(measure=rows_of(table), operator=">", value=Value(kind="number", text="1"))
            query = select(table, [key], groups=[key]).model_copy(update={"having": having})
            yield Plan(family=self.name, query=query)


class ShareOfTotal(Family):
    """How much of the whole each group is."""

    name = "share"
    english = {
        "plain": (
            "What proportion of the {all} falls to each {key}, as a percentage?",
            "What percentage of all {all} does each {key} account for?", "{show} the share of {all} per {key}, in percent.",
            "How are the {all} distributed over the {keys}, in percent?",
            "For each {key}, what is its percentage of the total number of {all}?",
        ),
        "summed": (
            "What percentage of {measure} of all {all} does each {key} contribute?",
            "{show} each {key} with its share of {measure} of all {all}, in percent.",
        ),
    }  # fmt: skip
    chinese = {
        "plain": ("每个{key}的{all}占总数的百分之多少？", "各{key}的{all}数量占比是多少（百分比）？"),
        "summed": (
            "每个{key}的{measure}占全部{all}的百分之多少？",
            "各{key}的{measure}占所有{all}的百分比是多少？",
        ),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for key, grouped in keys_of(table):
            if grouped.is_number:
                continue
            share = Share(measure=rows_of(table))
            yield Plan(family=self.name, query=select(table, [key, share], groups=[key]))
            for column in draw.some([one for one in table.of_role("measure") if one.is_additive], 1):
                share = Share(measure=Measure(function="sum", at=at(table, column.name)))
                yield Plan(family=self.name, variant="summed", query=select(table, [key, share], groups=[key]))


AGGREGATES: Final = (Aggregate(), GroupCount(), GroupAggregate(), GroupHaving(), Repeated(), ShareOfTotal())
