"""Several tables: along foreign keys up to parents and down to children, over bridges, and to themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from data_pipeline.semantics.facts import Facts, Link, TableFacts
from data_pipeline.semantics.parts import At, Measure, Value
from data_pipeline.steps.qa.families.family import Draw, Family, at, down_source, is_sayable, rows_of, select, up_source
from data_pipeline.steps.qa.plans.plan import (
    Best,
    Compared,
    Having,
    Key,
    Missing,
    Order,
    Plan,
    Related,
    Selection,
    Simple,
    Source,
)

CHILDREN_AT_MOST: Final = 8
"""Of how many children of one table a family asks: every key is asked about from the child's side, too."""

SPELLINGS: Final[tuple[Literal["exists", "in"], ...]] = ("exists", "in")


@dataclass(frozen=True)
class Parent:
    """What stands for a parent in a result: `joins` to reach it, `key` to show, `groups` to tell parents apart."""

    joins: tuple[Source, ...]
    key: At
    groups: tuple[Key, ...]
    facts: TableFacts


def parent_of(table: TableFacts, facts: Facts, links: Sequence[Link]) -> Parent | None:
    """The parent at the end of a chain of links that begins at a table; None where nothing can stand for it."""
    end = facts.by_name[links[-1].parent]
    if end.label is None and len(links) == 1 and len(links[0].child_columns) == 1:
        column = links[0].child_columns[0]
        if not table.by_name[column].is_usable:
            return None
        key = at(table, column)
        return Parent((), key, (key,), end)
    shown = end.shown
    if shown is None or any(not facts.by_name[link.child].by_name[column].is_usable
                            for link in links for column in link.child_columns):  # fmt: skip
        return None
    joins: list[Source] = []
    taken = [table.name.name]
    beside = table.name.name
    for link in links:
        joins.append(up_source(link, taken, beside=beside))
        beside = joins[-1].alias
        taken.append(beside)
    key = At(source=beside, column=shown)
    is_alone = end.by_name[shown].is_unique or not end.key
    groups = (key,) if is_alone else (*(At(source=beside, column=one) for one in end.key), key)
    return Parent(tuple(joins), key, tuple(dict.fromkeys(groups)), end)


def chains_of(table: TableFacts, facts: Facts) -> list[tuple[Link, ...]]:
    """Ways up from a table: every parent, and every parent of a parent, unless the table only connects."""
    found: list[tuple[Link, ...]] = []
    for link in facts.up(table.name):
        found.append((link,))
        if not link.is_to_itself and facts.ends_of(table.name) is None:
            found += [
                (link, second) for second in facts.up(link.parent)
                if second.parent not in (table.name, link.parent)
            ]  # fmt: skip
    return found


class WithParent(Family):
    """Rows with what they refer to."""

    name = "join_list"
    english = {
        "plain": (
            "List each {thing} with its {joined}: {outputs}.", "{show} the {outputs} of every {thing}.",
            "What are the {outputs} of each {thing}?",
        ),
        "left": (
            "{show} the {outputs} of every {thing}, also of those without a {joined}.",
            "For each {thing}, show the {outputs}, even if there is no {joined}.",
        ),
        "filtered": (
            "{show} the {outputs} of {things}.", "What are the {outputs} of the {things}?", "For {things}, show the {outputs}.",
        ),
    }  # fmt: skip
    chinese = {
        "plain": ("{show}每个{thing}的{outputs}。", "每个{thing}的{outputs}分别是什么？"),
        "left": ("{show}每个{thing}的{outputs}，没有{joined}的也要列出。",),
        "filtered": ("{show}{things}的{outputs}。", "查询{things}的{outputs}。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        if facts.ends_of(table.name) is not None:
            return  # nobody asks for them one by one
        for link in facts.up(table.name):
            parent = parent_of(table, facts, (link,))
            if parent is None or not parent.joins:
                continue
            for variant in ("left" if link.has_orphans else "plain", *["filtered"] * draw.rounds):
                joins = parent.joins
                condition = None
                if link.has_orphans:
                    joins = (joins[0].model_copy(update={"is_left": True}),)
                if variant == "filtered":
                    condition = draw.condition(table)
                    if condition is None:
                        continue
                avoid = [condition.at.column] if isinstance(condition, (Compared, Missing)) else []
                outputs = [*draw.shown(table, 2, avoid=avoid), parent.key]
                query = select(table, outputs, joins=joins, where=[condition])
                yield Plan(family=self.name, variant=variant, query=query)


class ByParent(Family):
    """Rows whose parent, or its parent, is as asked."""

    name = "join_filter"
    weight = 5
    english = {
        "which": (
            "Which {all} {do}?",
            "{show} the {things}.",
            "{show} all {things}.",
            "What are the {things}?",
            "Which of the {all} {do}?",
            "Find out which {all} {do}.",
        ),
        "columns": (
            "{show} the {outputs} of {things}.",
            "What are the {outputs} of the {things}?",
            "For all {things}, give the {outputs}.",
        ),
        "count": (
            "Count the {things}.",
            "What is the number of {things}?",
            "How many {all} {do}?",
            "How many of the {all} {do}?",
        ),
    }
    chinese = {
        "which": ("哪些{all}{do}？", "{show}{things}。", "有哪些{things}？"),
        "columns": ("{show}{things}的{outputs}。", "查询{things}的{outputs}。"),
        "count": ("有多少{all}{do}？", "请统计有多少{all}{do}。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        if facts.ends_of(table.name) is not None:
            return  # `Bridge` asks for what they connect
        for links in chains_of(table, facts):
            parent = parent_of(table, facts, links)
            if parent is None or not parent.joins:
                continue
            for _ in range(draw.rounds):
                condition = self._condition(parent, draw)
                if condition is None:
                    continue
                own = draw.condition(table) if draw.chance.random() < 0.35 else None
                where = [condition, own]
                choice = draw.chance.random()
                if choice < 0.4:
                    query = select(table, [rows_of(table)], joins=parent.joins, where=where)
                    yield Plan(family=self.name, variant="count", query=query)
                elif table.is_asked_for and choice < 0.7:
                    query = select(table, [at(table, str(table.shown))], joins=parent.joins, where=where)
                    yield Plan(family=self.name, variant="which", query=query)
                else:
                    outputs = draw.shown(table, 3)
                    if len(outputs) > 1:
                        query = select(table, outputs, joins=parent.joins, where=where)
                        yield Plan(family=self.name, variant="columns", query=query)

    def _condition(self, parent: Parent, draw: Draw) -> Simple | None:
        source = parent.joins[-1].alias
        label = parent.facts.by_name[parent.key.column]
        values = [value for value, _ in label.values if is_sayable(value)]
        if values and label.role == "label" and draw.chance.random() < 0.6:
            return Compared(at=parent.key, operator="=", value=draw.chance.choice(values))
        return draw.condition(parent.facts, source, avoid=parent.facts.key)


class PerParent(Family):
    """How many rows, or how much, for each parent or for each kind of parent."""

    name = "join_group"
    english = {
        "count": (
            "Per {key}, how many {all} can be found?",
            "How many {all} are there for each {key}?", "Count the {all} per {key}.", "{show} the number of {all} for every {key}.",
            "For each {key}, how many {all} are there?",
        ),
        "measured": (
            "What is {measure} of {all} for each {key}?", "{show} {measure} of the {all} per {key}.",
            "For every {key}, compute {measure} of its {all}.",
        ),
        "filtered": (
            "For each {key}, how many {all} {do}?", "For every {key}, count the {things}.",
        ),
        "ordered": (
            "{show} {measure} of {all} per {key}, in descending order.", "Rank the {keys} by {measure} of their {all}, in descending order.",
        ),
    }  # fmt: skip
    chinese = {
        "count": ("每个{key}有多少{all}？", "按{key}统计{all}的数量。"),
        "measured": ("每个{key}的{all}的{measure}是多少？", "按{key}计算{all}的{measure}。"),
        "filtered": ("每个{key}有多少{all}{do}？", "按{key}统计{things}的数量。"),
        "ordered": ("按{key}计算{all}的{measure}，从高到低排列。",),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for links in chains_of(table, facts):
            parent = parent_of(table, facts, links)
            if parent is None:
                continue
            yield from self._of(table, parent, parent.key, parent.groups, draw)
            near = parent.facts.of_role("category", "year") if parent.joins and len(links) == 1 else []
            for column in draw.some(near, 1):
                if len(column.values) > 1:
                    key = At(source=parent.joins[-1].alias, column=column.name)
                    yield from self._of(table, parent, key, (key,), draw)

    def _of(self, table: TableFacts, parent: Parent, key: At, groups: tuple[Key, ...], draw: Draw) -> Iterator[Plan]:
        counted = rows_of(table)
        query = select(table, [key, counted], joins=parent.joins, groups=groups)
        yield Plan(family=self.name, variant="count", query=query)
        condition = draw.condition(table)
        if condition is not None:
            query = select(table, [key, counted], joins=parent.joins, groups=groups, where=[condition])
            yield Plan(family=self.name, variant="filtered", query=query)
        for measure in draw.measures(table, draw.rounds):
            query = select(table, [key, measure], joins=parent.joins, groups=groups)
            yield Plan(family=self.name, variant="measured", query=query)
            order = [Order(by=measure, is_descending=True), Order(by=key)]
            query = select(table, [key, measure], joins=parent.joins, groups=groups, order=order)
            yield Plan(family=self.name, variant="ordered", query=query)


class TopParents(Family):
    """The parents with most rows, or with the highest number."""

    name = "join_top"
    english = {
        "one": (
            "Which {key} has the {best} {counted}?", "{show} the {key} with the {best} {counted}.", "Name the {key} that has the {best} {counted}.",
        ),
        "many": (
            "Which {n} {keys} have the {best} {counted}?", "{show} the {n} {keys} with the {best} {counted}.",
            "What are the top {n} {keys} by number of {counted}?",
        ),
        "one few": (
            "Of the {keys} with any {counted}, which has the {best}?", "Among the {keys} that have {counted}, which has the {best}?",
        ),
        "measured": (
            "Which {key} has the {best} {number} of {all}?", "For which {key} is {measure} of the {all} {best}?",
        ),
        "measured many": (
            "{show} the {n} {keys} with the {best} {number} of {all}.",
            "For which {n} {keys} is {measure} of the {all} {best}?",
        ),
    }  # fmt: skip
    chinese = {
        "one": ("哪个{key}的{counted}{best}？", "{show}{counted}{best}的{key}。"),
        "many": ("{counted}{best}的{n}个{key}是哪些？", "{show}{counted}{best}的前{n}个{key}。"),
        "one few": ("在有{all}的{key}中，哪个的{counted}{best}？",),
        "measured": ("哪个{key}的{all}的{measure}{best}？", "{show}{all}的{measure}{best}的{key}。"),
        "measured many": ("{show}{all}的{measure}{best}的{n}个{key}。", "{all}的{measure}{best}的前{n}个{key}是哪些？"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for links in chains_of(table, facts):
            parent = parent_of(table, facts, links)
            if parent is None or parent.facts.row_count < 3:
                continue
            for _ in range(draw.rounds):
                count = draw.chance.choice((1, 1, 3, 5))
                falls = count > 1 or draw.chance.random() < 0.75
                yield Plan(
                    family=self.name,
                    variant="many" if count > 1 else "one" if falls else "one few",
                    query=self._query(table, parent, rows_of(table), count, falls=falls),
                )
                for measure in draw.measures(table, 1, are_compared=True):
                    count = draw.chance.choice((1, 3, 5))
                    yield Plan(
                        family=self.name,
                        variant="measured" if count == 1 else "measured many",
                        query=self._query(table, parent, measure, count, falls=draw.chance.random() < 0.75),
                    )

    def _query(self, table: TableFacts, parent: Parent, measure: Measure, count: int, *, falls: bool) -> Selection:
        return select(
            table,
            [parent.key],
            joins=parent.joins,
            groups=parent.groups,
            order=[Order(by=measure, is_descending=falls)],
            limit=count,
        )


class HavingParents(Family):
    """Parents with many rows, or with more than others."""

    name = "join_having"
    english = {
        "plain": ("Which {keys} have {having}?", "{show} the {keys} that have {having}.", "Find every {key} with {having}."),
        "average": (
            "Among the {keys} with any {all}, which have an above-average number of them, and how many?",
            "Which {keys} have more {all} than average, and how many? Leave out {keys} without any.",
        ),
    }  # fmt: skip
    chinese = {
        "plain": ("哪些{key}{having}？", "{show}{having}的{key}。", "有哪些{key}{having}？"),
        "average": ("在有{all}的{key}中，哪些的{all}数量高于平均水平？分别是多少？",),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for links in chains_of(table, facts):
            parent = parent_of(table, facts, links)
            if parent is None or parent.facts.row_count < 3:
                continue
            mean = max(1, table.row_count // max(1, parent.facts.row_count))
            number = max(1, draw.chance.choice((mean, mean * 2, mean * 3 // 2)))
            having = Having(measure=rows_of(table), operator=">", value=Value(kind="number", text=str(number)))
            query = select(table, [parent.key], joins=parent.joins, groups=parent.groups)
            yield Plan(family=self.name, query=query.model_copy(update={"having": having}))
            having = Having(measure=rows_of(table), operator=">")
            query = select(table, [parent.key, rows_of(table)], joins=parent.joins, groups=parent.groups)
            yield Plan(family=self.name, variant="average", query=query.model_copy(update={"having": having}))


class BestPerParent(Family):
    """The first rows of each parent."""

    name = "join_best"
    english = {
        "one": (
            "Per {partition}, pick the {thing} with the {best} {order}.",
            "For each {partition}, which {thing} has the {best} {order}?", "Within every {partition}, find the {thing} with the {best} {order}.",
            "{show} the {thing} with the {best} {order} for each {partition}.",
        ),
        "many": ("For each {partition}, show the {n} {all} with the {best} {order}.",
                 "Which {n} {all} have the {best} {order} for each {partition}?"),
    }  # fmt: skip
    chinese = {
        "one": ("每个{partition}中{order}{best}的{thing}是哪个？", "{show}每个{partition}里{order}{best}的{thing}。"),
        "many": ("每个{partition}中{order}{best}的前{n}个{thing}是哪些？",),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        if table.shown is None:
            return
        columns = [one for one in table.of_role("measure", "moment") if len(one.ordered) > 4]
        for links in chains_of(table, facts):
            parent = parent_of(table, facts, links)
            if parent is None or not parent.joins:
                continue
            for column in draw.some(columns, draw.rounds):
                count = draw.chance.choice((1, 1, 2, 3))
                falls = count > 1 or draw.chance.random() < 0.7
                order = Order(by=at(table, column.name), is_descending=falls)
                query = select(table, [parent.key, at(table, str(table.shown))], joins=parent.joins)
                best = Best(partition=parent.groups, order=order, count=count)
                yield Plan(family=self.name, variant="one" if count == 1 else "many", query=query, best=best)


class WithChildren(Family):
    """How many rows refer to each row; those without any count, too."""

    name = "children_count"
    english = {
        "plain": (
            "How many {joined_all} does each {thing} have? List {all} without any, too.",
            "How many {joined_all} does each {thing} have, including those with none?",
            "{show} every {thing} with its number of {joined_all}, and zero where there are none.",
            "How many {joined_all} are there per {thing}? Include those with none.",
        ),
    }  # fmt: skip
    chinese = {
        "plain": ("每个{thing}有多少{joined}？没有的也要列出。", "{show}每个{thing}及其{joined}数量，没有则为零。")
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        if table.shown is None or table.label is None:
            return
        for link in draw.some(facts.down(table.name), CHILDREN_AT_MOST):
            if link.is_to_itself or not _is_plain(link, facts):
                continue
            child = down_source(link, [table.name.name], is_left=True)
            counted = Measure(function="count", of=child.alias)
            shown = at(table, str(table.shown))
            is_alone = table.by_name[table.shown].is_unique
            groups = [shown] if is_alone or not table.key else [*(at(table, one) for one in table.key), shown]
            query = select(table, [shown, counted], joins=[child], groups=list(dict.fromkeys(groups)))
            yield Plan(family=self.name, query=query)


class Childless(Family):
    """Rows that nothing refers to."""

    name = "anti_join"
    english = {
        "which": (
            "Which {all} {do}?",
            "{show} the {things}.",
            "{show} all {things}.",
            "Are there {things}? List them.",
        ),
        "count": ("How many {all} {do}?", "Count the {things}."),
    }
    chinese = {
        "which": ("哪些{all}{do}？", "查一下哪些{all}{do}。"),
        "count": ("有多少{all}{do}？", "请统计有多少{all}{do}。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for link in draw.some(facts.down(table.name), CHILDREN_AT_MOST):
            related = Related(
                source=_inner(link), link=link.id, has=False, spelling=draw.chance.choice(SPELLINGS)
            )  # fmt: skip
            if table.is_asked_for:
                query = select(table, [at(table, str(table.shown))], where=[related])
                yield Plan(family=self.name, variant="which", query=query)
            yield Plan(family=self.name, variant="count", query=select(table, [rows_of(table)], where=[related]))
            for _ in range(draw.rounds):
                child = facts.by_name[link.child]
                if link.is_to_itself:
                    continue
                condition = draw.condition(child, _inner(link), avoid=link.child_columns)
                if condition is not None and table.shown is not None:
                    narrowed = related.model_copy(update={"where": (condition,)})
                    query = select(table, [at(table, str(table.shown))], where=[narrowed])
                    yield Plan(family=self.name, variant="which", query=query)


class WithSomeChild(Family):
    """Rows that something refers to, as asked."""

    name = "exists"
    weight = 4
    english = {
        "which": (
            "Which {all} {do}?",
            "{show} the {things}.",
            "{show} all {things}.",
            "What are the {things}?",
        ),
        "count": ("How many {all} {do}?", "Count the {things}.", "What is the number of {things}?"),
        "columns": ("{show} the {outputs} of {things}.", "What are the {outputs} of the {things}?"),
    }
    chinese = {
        "which": ("哪些{all}{do}？", "查一下哪些{all}{do}。"),
        "count": ("有多少{all}{do}？", "请统计有多少{all}{do}。"),
        "columns": ("哪些{all}{do}？{show}它们的{outputs}。", "哪些{all}{do}？它们的{outputs}{asks}？"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for link in draw.some(facts.down(table.name), CHILDREN_AT_MOST):
            child = facts.by_name[link.child]
            for _ in range(draw.rounds):
                condition = draw.condition(child, _inner(link), avoid=link.child_columns)
                where = () if condition is None else (condition,)
                spelling = draw.chance.choice(SPELLINGS)
                related = Related(source=_inner(link), link=link.id, has=True, spelling=spelling, where=where)
                choice = draw.chance.random()
                if choice < 0.35:
                    yield Plan(
                        family=self.name, variant="count", query=select(table, [rows_of(table)], where=[related])
                    )
                elif table.is_asked_for and choice < 0.75:
                    query = select(table, [at(table, str(table.shown))], where=[related])
                    yield Plan(family=self.name, variant="which", query=query)
                else:
                    outputs = draw.shown(table, 3)
                    if len(outputs) > 1:
                        yield Plan(family=self.name, variant="columns", query=select(table, outputs, where=[related]))


class Star(Family):
    """Rows beside two of their parents."""

    name = "star"
    english = {
        "list": ("{show} the {outputs} of every {thing}.", "What are the {outputs} of each {thing}?",
                 "For each {thing}, show the {outputs}."),
        "group": ("How many {all} are there for each combination of {each}?", "Count the {all} by {each}."),
        "measured": ("What is {measure} of {all} for each combination of {each}?", "{show} {measure} of the {all} by {each}."),
    }  # fmt: skip
    chinese = {
        "list": ("{show}每个{thing}的{outputs}。",),
        "group": ("按{each}统计{all}的数量。",),
        "measured": ("按{each}计算{all}的{measure}。",),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        links = [link for link in facts.up(table.name) if not link.is_to_itself]
        for _ in range(draw.rounds):
            pair = draw.some(links, 2)
            if len(pair) < 2:
                return
            first, second = (parent_of(table, facts, (link,)) for link in pair)
            if (
                first is None
                or second is None
                or not first.joins
                or not second.joins
                or pair[0].parent == pair[1].parent
            ):
                continue
            joins = (*first.joins, *second.joins)
            outer = [
                join.model_copy(update={"is_left": link.has_orphans}) for join, link in zip(joins, pair, strict=True)
            ]
            query = select(table, [*draw.shown(table, 2), first.key, second.key], joins=outer)
            yield Plan(family=self.name, variant="list", query=query)
            groups = (*first.groups, *second.groups)
            query = select(table, [first.key, second.key, rows_of(table)], joins=joins, groups=groups)
            yield Plan(family=self.name, variant="group", query=query)
            for column in draw.some(table.of_role("measure"), 1):
                measure = draw.measure(column, table.name.name)
                query = select(table, [first.key, second.key, measure], joins=joins, groups=groups)
                yield Plan(family=self.name, variant="measured", query=query)


class Bridge(Family):
    """Many to many: rows by what they are connected with over a table between."""

    name = "bridge"
    weight = 4
    english = {
        "which": (
            "Which {all} have the {end} {value}?", "{show} all {all} with the {end} {value}.", "Find the {all} that include the {end} {value}.",
        ),
        "count": (
            "How many {ends} does each {thing} have?", "Count the {ends} of each {thing}.", "{show} every {thing} with its number of {ends}.",
        ),
        "top": ("Which {thing} has the most {ends}?", "{show} the {thing} with the most {ends}."),
    }  # fmt: skip
    chinese = {
        "which": ("哪些{all}包含{end}{value}？", "{show}含有{end}{value}的{all}。"),
        "count": ("每个{thing}有多少{end}？", "统计每个{thing}的{end}数量。"),
        "top": ("哪个{thing}的{end}最多？",),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        if table.label is None:
            return
        for first, second in self._bridges(table, facts):
            near, far = (first, second) if first.parent == table.name else (second, first)
            end = facts.by_name[far.parent]
            if end.label is None:
                continue
            middle = down_source(near, [table.name.name])
            last = up_source(far, [table.name.name, middle.alias], beside=middle.alias)
            label = end.by_name[end.label]
            values = [value for value, _ in label.values if is_sayable(value)]
            for value in draw.some(values, draw.rounds):
                where = [Compared(at=At(source=last.alias, column=end.label), operator="=", value=value)]
                query = select(table, [at(table, table.label)], joins=[middle, last], where=where)
                # Two rows of the end may have one name.
                query = query.model_copy(update={"is_distinct": not label.is_unique})
                yield Plan(family=self.name, variant="which", query=query)
            counted = Measure(function="count", of=last.alias)
            shown = at(table, table.label)
            groups = (*(at(table, one) for one in table.key), shown)
            query = select(table, [shown, counted], joins=[middle, last], groups=tuple(dict.fromkeys(groups)))
            yield Plan(family=self.name, variant="count", query=query)
            top = query.model_copy(
                update={"outputs": (shown,), "order": (Order(by=counted, is_descending=True),), "limit": 1}
            )
            yield Plan(family=self.name, variant="top", query=top)

    def _bridges(self, table: TableFacts, facts: Facts) -> list[tuple[Link, Link]]:
        found = (facts.bridge_of(link.child) for link in facts.down(table.name))
        return [ends for ends in found if ends is not None][:CHILDREN_AT_MOST]


class SelfJoin(Family):
    """Rows beside those of the same table that they refer to."""

    name = "self_join"
    english = {
        "list": ("{show} the {outputs} of every {thing} that has a {joined}.", "For each {thing} with a {joined}, show the {outputs}."),
        "count": ("How many {all} does each {joined} have?", "For every {joined}, count the {all}."),
        "none": ("Which {all} {do}?", "{show} the {things}."),
    }  # fmt: skip
    chinese = {
        "list": ("{show}每个有{joined}的{thing}的{outputs}。",),
        "count": ("每个{joined}有多少{all}？",),
        "none": ("哪些{all}{do}？", "{show}{things}。"),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        shown = table.shown
        for link in facts.up(table.name):
            if not link.is_to_itself or shown is None or len(link.child_columns) != 1:
                continue
            if not table.by_name[link.child_columns[0]].is_usable:
                continue
            parent = up_source(link, [table.name.name])
            for column in [shown, *(one.name for one in draw.some(table.of_role("category", "text", "label"), 1))]:
                outputs = [at(table, shown), At(source=parent.alias, column=column)]
                query = select(table, outputs, joins=[parent])
                yield Plan(family=self.name, variant="list", query=query)
            key = At(source=parent.alias, column=shown)
            groups = dict.fromkeys([*(At(source=parent.alias, column=one) for one in table.key), key])
            query = select(table, [key, rows_of(table)], joins=[parent], groups=list(groups))
            yield Plan(family=self.name, variant="count", query=query)


class Linked(Family):
    """How many rows refer to anything at all: for keys that may be empty, and for tables without rows."""

    name = "linked_count"
    english = {"plain": ("How many {all} have a {joined}?", "Count the {all} that have a {joined}.")}
    chinese = {"plain": ("有多少{all}有对应的{joined}？", "统计有{joined}的{all}数量。")}

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        for link in facts.up(table.name):
            if link.has_orphans or not table.row_count or not facts.by_name[link.parent].row_count:
                parent = up_source(link, [table.name.name])
                yield Plan(family=self.name, query=select(table, [rows_of(table)], joins=[parent]))


def _is_plain(link: Link, facts: Facts) -> bool:
    """Whether the columns of a link may be in a query."""
    return all(facts.by_name[link.child].by_name[column].role != "personal" for column in link.child_columns)


def _inner(link: Link) -> str:
    """The name of the child inside of a condition about a row: not that of the row's own table."""
    return f"other_{link.child.name}" if link.is_to_itself else link.child.name


RELATED: Final = (
    WithParent(), ByParent(), PerParent(), TopParents(), HavingParents(), BestPerParent(), WithChildren(), Childless(),
    WithSomeChild(), Star(), Bridge(), SelfJoin(), Linked(),
)  # fmt: skip
