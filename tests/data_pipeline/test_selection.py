"""Which plans are asked, and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from data_pipeline.steps.qa_generation.plan import At, Plan, Selection, Source
from data_pipeline.steps.qa_generation.selection import REFUSED_IN_A_ROW, Candidate, Choice, Coverage
from data_pipeline.table_list import TableName

SALE = TableName(None, "sale")


def candidate(family: str, number: int, *, covers: str) -> Candidate:
    """A plan of a family that would cover one new thing."""
    source = Source(alias="sale", table=SALE)
    query = Selection(sources=(source,), outputs=(At(source="sale", column=f"c{number}"),))
    features = frozenset({("family", (family, covers)), ("table", SALE)})
    return Candidate(Plan(family=family, query=query), "easy", f"shape {family}", features)


def given(candidates: Collection[Candidate], taken: str) -> list[str]:
    """The families of what the choice gives, where the pairs of one family alone are taken."""
    coverage = Coverage()
    choice = Choice(candidates, coverage, {"easy": 1.0}, {"fine": 1, "hopeless": 1})
    families = []
    for one in choice:
        families.append(one.plan.family)
        if one.plan.family == taken:
            coverage.add(one)
    return families


def test_family_that_is_refused_again_and_again_waits_until_nothing_else_is_left() -> None:
    """All tables may share the values of a status: then no question about two of them is worth asking."""
    hopeless = [candidate("hopeless", number, covers="new") for number in range(200)]
    fine = [candidate("fine", number, covers="old") for number in range(50)]
    families = given([*hopeless, *fine], taken="fine")

    assert Counter(families) == {"hopeless": 200, "fine": 50}
    assert Counter(families[: REFUSED_IN_A_ROW + 50]) == {"hopeless": REFUSED_IN_A_ROW, "fine": 50}


def test_family_that_is_taken_now_and_then_does_not_wait() -> None:
    """Refusals count in a row."""
    kinds = [candidate("fine", number, covers=f"kind {number}") for number in range(100)]

    assert given(kinds, taken="fine") == ["fine"] * 100
