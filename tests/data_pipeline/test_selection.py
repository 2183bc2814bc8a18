"""Which plans are asked, and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from data_pipeline.semantics.parts import At, Value
from data_pipeline.steps.qa.choose.selection import REFUSED_IN_A_ROW, Candidate, Choice, Coverage
from data_pipeline.steps.qa.plans.plan import Compared, Plan, Selection, Source
from data_pipeline.tasks.table_list import TableName

SALE = TableName(None, "sale")


def candidate(family: str, number: int, *, covers: str) -> Candidate:
    """A plan of a family that would cover one new thing."""
    source = Source(alias="sale", table=SALE)
    query = Selection(sources=(source,), outputs=(At(source="sale", column=f"c{number}"),))
    features = frozenset({("family", (family, covers)), ("table", SALE)})
    plan = Plan(family=family, query=query)
    return Candidate(plan.model_dump_json(), family, SALE, "easy", f"shape {family}", features)


def given(candidates: Collection[Candidate], taken: str) -> list[str]:
    """The families of what the choice gives, where the pairs of one family alone are taken."""
    coverage = Coverage()
    choice = Choice(candidates, coverage, {"easy": 1.0}, {"fine": 1, "hopeless": 1})
    families = []
    for one in choice:
        families.append(one.family)
        if one.family == taken:
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


def test_plan_of_a_candidate_is_the_one_that_was_packed() -> None:
    """Also where a table has a schema: its name comes back as a name."""
    source = Source(alias="sale", table=TableName("shop", "sale"))
    where = (Compared(at=At(source="sale", column="état"), operator="=", value=Value(kind="text", text='5"')),)
    plan = Plan(
        family="filter", query=Selection(sources=(source,), outputs=(At(source="sale", column="id"),), where=where)
    )
    found = Candidate(plan.model_dump_json(), "filter", SALE, "easy", "", frozenset()).plan

    assert (found, hash(found), type(found.query.root.table)) == (plan, hash(plan), TableName)
