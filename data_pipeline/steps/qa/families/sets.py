"""Two sets of values together: those of either, of both, of one and not the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from data_pipeline.semantics.facts import ColumnFacts, Facts, TableFacts
from data_pipeline.steps.qa.families.family import Draw, Family, at, select
from data_pipeline.steps.qa.plans.plan import Plan

Combined = Literal["union", "intersect", "except"]
COMBINED: Final[tuple[Combined, ...]] = ("intersect", "except", "union")


OTHERS_AT_MOST: Final = 12
"""Of so many other tables is asked what one has in common with them."""


class BothConditions(Family):
    """Groups that have rows of one kind and of another, or not."""

    name = "set_within"
    english = {
        "intersect": (
            "Which {keys} occur both among {things} and among {other_things}?",
        ),
        "except": (
            "Which {keys} occur among {things} but not among {other_things}?",
            "{show} the {keys} of {things} that no {other_things} have.",
        ),
        "union": ("Which {keys} occur among {things} or {other_things}?",),
        "owners intersect": (
            "Which {keys} have both {things} and {other_things}?", "{show} the {keys} that have {things} as well as {other_things}.",
        ),
        "owners except": (
            "Which {keys} have {things} but no {other_things}?", "{show} the {keys} with {things} and without any {other_things}.",
        ),
        "owners union": ("Which {keys} have {things} or {other_things}?",),
    }  # fmt: skip
    chinese = {
        "intersect": ("哪些{key}既出现在{things}中，也出现在{other_things}中？",),
        "except": ("哪些{key}出现在{things}中，但不出现在{other_things}中？",),
        "union": ("哪些{key}出现在{things}或者{other_things}中？",),
        "owners intersect": ("哪些{key}既有{things}，又有{other_things}？",),
        "owners except": ("哪些{key}有{things}，但没有{other_things}？",),
        "owners union": ("哪些{key}有{things}或者{other_things}？",),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        keys = [one for one in table.of_role("category", "reference")
                if _repeats(one) and not (one.role == "reference" and _has_label(one, facts))]  # fmt: skip
        others = table.of_role("category", "moment", "measure") if table.is_asked_for else []
        for column in draw.some(keys, 2 + draw.rounds):
            asked = draw.one([one for one in others if one.name != column.name])
            apart = draw.apart(asked, table.name.name) if asked is not None else None
            if apart is None:
                continue
            first, second = apart
            for combined in COMBINED:
                query = select(table, [at(table, column.name)], where=[first])
                other = select(table, [at(table, column.name)], where=[second])
                known = (at(table, column.name),) if column.null_count else ()
                yield Plan(
                    family=self.name,
                    variant=f"owners {combined}" if column.role == "reference" else combined,
                    query=query.model_copy(update={"known": known}),
                    combined=combined,
                    other=other.model_copy(update={"known": known}),
                )


class TwoTables(Family):
    """Values that two tables share, or do not."""

    name = "set_across"
    english = {
        "intersect": (
            "Which {columns} of {all} are also {other_columns} of {other_all}?",
            "Which values overlap between the {columns} of {all} and the {other_columns} of {other_all}?",
            "{show} the values that occur both as {column} of {all} and as {other_column} of {other_all}.",
        ),
        "except": (
            "Which {columns} of {all} are not {other_columns} of any {other_thing}?",
            "Which {columns} of {all} never appear as {other_column} of any {other_thing}?",
            "{show} the {columns} of {all} that are no {other_column} of any {other_thing}.",
        ),
        "union": (
            "Merge the {columns} of {all} with the {other_columns} of {other_all} into one list without repetition.",
            "{show} all {columns} of {all} together with the {other_columns} of {other_all}, each once.",
            "What are the different values over the {columns} of {all} and the {other_columns} of {other_all}?",
        ),
    }  # fmt: skip
    chinese = {
        "intersect": ("哪些{column}既是{all}的{column}，也是{other_all}的{other_column}？",),
        "except": ("哪些{all}的{column}不是任何{other_all}的{other_column}？",),
        "union": ("{show}{all}的{column}和{other_all}的{other_column}的并集（去重）。",),
    }

    def plans(self, table: TableFacts, facts: Facts, draw: Draw) -> Iterator[Plan]:
        columns = table.of_role("category", "label", "text")
        others = draw.some([other for other in facts.tables if other.name != table.name], OTHERS_AT_MOST)
        for other in others:
            for column in columns:
                for theirs in other.of_role("category", "label", "text"):
                    if _alike(column, theirs):
                        yield from self._combined(table, column, other, theirs, draw)

    def _combined(
        self, table: TableFacts, column: ColumnFacts, other: TableFacts, theirs: ColumnFacts, draw: Draw
    ) -> Iterator[Plan]:
        for combined in draw.some(COMBINED, 2):
            known = (at(table, column.name),) if column.null_count else ()
            known_there = (at(other, theirs.name),) if theirs.null_count else ()
            query = select(table, [at(table, column.name)]).model_copy(update={"known": known})
            there = select(other, [at(other, theirs.name)]).model_copy(update={"known": known_there})
            yield Plan(family=self.name, variant=combined, query=query, combined=combined, other=there)


def _has_label(column: ColumnFacts, facts: Facts) -> bool:
    """Whether what a column refers to has a name: then people ask by that."""
    return any(
        facts.by_name[link.parent].label is not None
        for link in facts.up(column.table)
        if column.name in link.child_columns
    )


def _repeats(column: ColumnFacts) -> bool:
    return sum(count > 1 for _, count in column.values) > 1


def _alike(column: ColumnFacts, other: ColumnFacts) -> bool:
    """Whether two columns hold values of one kind: some of what was seen is the same."""
    own, theirs = ({value.text for value, _ in one.values} for one in (column, other))
    return len(own & theirs) >= max(2, min(len(own), len(theirs)) // 4)


SETS: Final = (BothConditions(), TwoTables())
