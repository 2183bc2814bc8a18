"""How questions read: what rows, columns and conditions are called."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data_pipeline.database.connection import BusinessDatabase, open_database
from data_pipeline.semantics.facts import Facts, TableFacts
from data_pipeline.semantics.parts import At, Measure, Value
from data_pipeline.steps.qa.families import FAMILIES
from data_pipeline.steps.qa.families.family import Draw, at, rows_of, select, up_source
from data_pipeline.steps.qa.generator import VOICES, GeneratedPair, Generator
from data_pipeline.steps.qa.plans.plan import (
    BesideAverage,
    Compared,
    During,
    Flag,
    Having,
    Missing,
    Plan,
    Related,
    Selection,
    Simple,
)
from data_pipeline.steps.qa.say.nouns import Nouns
from data_pipeline.tasks.parameters import Language
from tests.support.library import SCHEMA, generate, look, statements

VIEWS = """
CREATE VIEW "Loans by Branch" AS
SELECT loan_id, branch.name AS branch_name, lent_on, fee FROM loan JOIN branch ON loan.branch_id = branch.branch_id;
CREATE TABLE hall (hall_id INTEGER PRIMARY KEY, has_stage INTEGER NOT NULL);
CREATE TABLE concert (concert_id INTEGER PRIMARY KEY, hall_id INTEGER NOT NULL REFERENCES hall (hall_id));
INSERT INTO hall VALUES (1, 0), (2, 1), (3, 1);
INSERT INTO concert VALUES (1, 1), (2, 2), (3, 2), (4, 3);
CREATE VIEW "Fees by Day" AS SELECT branch.city AS branch_city, fee FROM loan JOIN branch USING (branch_id);
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BusinessDatabase]:
    path = Path(tmp_path_factory.mktemp("wording")) / "library.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA + VIEWS)
    for text, values in statements():
        connection.execute(text, values)
    connection.commit()
    connection.close()
    with open_database(f"sqlite:///{path}") as opened:
        yield opened


@pytest.fixture(scope="module")
def facts(database: BusinessDatabase) -> Facts:
    return look(database)[0]


@pytest.fixture(scope="module")
def generated(database: BusinessDatabase) -> tuple[list[GeneratedPair], Generator, Facts]:
    """English pairs of all families, which tests only read."""
    return generate(database, wanted=300)


def said(
    facts: Facts, query: Selection, family: str = "count_filter", variant: str = "plain", language: Language = "en"
) -> set[str]:
    """All ways in which a plan is asked."""
    kind = next(one for one in FAMILIES if one.name == family)
    voice = VOICES[language](Nouns(facts, language), 7)
    plan = Plan(family=family, variant=variant, query=query)
    phrasings = kind.english if language == "en" else kind.chinese
    return {voice.question(plan, phrasings, turn) for turn in range(80)}


def table_of(facts: Facts, name: str) -> TableFacts:
    return next(table for table in facts.tables if table.name.name == name)


def loans_where(facts: Facts, column: str, condition: Callable[[At], Simple]) -> Selection:
    """Loans whose book is as asked."""
    loan = table_of(facts, "loan")
    link = next(one for one in facts.up(loan.name) if one.parent.name == "book")
    source = up_source(link, ["loan"])
    return select(loan, [rows_of(loan)], joins=[source], where=[condition(At(source=source.alias, column=column))])


TRAVEL = Value(kind="text", text="travel")


def test_rows_of_a_view_are_called_by_the_column_that_never_repeats(
    generated: tuple[list[GeneratedPair], Generator, Facts],
) -> None:
    """Its name is no noun for one of them; the question begins with it."""
    told = [pair.question for pair in generated[0] if '"Loans by Branch"' in pair.sql]

    assert len(told) > 5
    assert all('"Loans by Branch"' in question for question in told), told
    assert any(re.search(r"\bloans?\b", question) for question in told)
    assert not any(re.search(r"\brows?\b|(?<!on )\brecords?\b|loans by branches", question) for question in told), told


def test_rows_that_nothing_names_are_records(
    database: BusinessDatabase, generated: tuple[list[GeneratedPair], Generator, Facts]
) -> None:
    """In both languages."""
    for word, pairs in (("record", generated[0]), ("记录", generate(database, wanted=200, language="zh")[0])):
        told = [pair.question for pair in pairs if '"Fees by Day"' in pair.sql]

        assert any(word in question for question in told), told


def test_table_that_only_connects_is_called_by_its_other_end(facts: Facts) -> None:
    """Nobody asks which books have book publishers."""
    book = table_of(facts, "book")
    link = next(one for one in facts.down(book.name) if one.child.name == "book_publisher")
    has = Related(source="book_publisher", link=link.id, has=True, spelling="exists")
    told = said(facts, select(book, [rows_of(book)], where=[has]))

    assert all(re.search(r"\b(publishers|publisher)\b", question) for question in told)
    assert not any("book publisher" in question or "link" in question for question in told)


def test_table_that_only_connects_has_a_word_of_its_own(facts: Facts) -> None:
    """Where it is counted alone."""
    connecting = table_of(facts, "book_publisher")
    told = said(facts, select(connecting, [rows_of(connecting)]), "count")

    assert all("links between books and publishers" in question for question in told), told


@pytest.mark.parametrize(
    ("column", "condition", "expected"),
    [
        ("price", lambda at: BesideAverage(at=at, is_above=True), "whose book's price is above average"),
        ("genre", lambda at: Compared(at=at, operator="=", value=TRAVEL), 'with a book whose genre is "travel"'),
        ("published_on", lambda at: During(at=at, year=2003), "whose book was published in 2003"),
        ("published_on", lambda at: Missing(at=at, is_missing=True), "whose book has not yet been published"),
    ],
    ids=["measure", "category", "moment", "missing"],
)  # fmt: skip
def test_condition_on_a_parent_says_whose_it_is(
    facts: Facts, column: str, condition: Callable[[At], Simple], expected: str
) -> None:
    """And speaks of the parent as of one thing."""
    told = said(facts, loans_where(facts, column, condition))

    assert any(f"loans {expected}" in question for question in told), told


def test_conditions_on_parents_come_last(facts: Facts) -> None:
    """What stood after `with a book in ...` would be said of the book."""
    query = loans_where(facts, "genre", lambda at: Compared(at=at, operator="=", value=TRAVEL))
    loan = table_of(facts, "loan")
    own = BesideAverage(at=at(loan, "fee"), is_above=True)
    told = said(facts, query.model_copy(update={"where": (*query.where, own)}))

    assert all(question.index("fee") < question.index("travel") for question in told), told


def test_either_of_two_values_is_said_once(facts: Facts) -> None:
    """Not: in Lyon or in Porto."""
    branch = table_of(facts, "branch")
    cities = [Compared(at=at(branch, "city"), operator="=", value=Value(kind="text", text=city))
              for city in ("Lyon", "Porto")]  # fmt: skip
    told = said(facts, select(branch, [rows_of(branch)], where=cities, is_either=True))

    assert all("Lyon or Porto" in question for question in told), told


def test_article_follows_the_sound(facts: Facts) -> None:
    """An average, a total."""
    book = table_of(facts, "book")
    measure = Measure(function="avg", at=at(book, "price"))
    having = Having(measure=measure, operator=">", value=Value(kind="number", text="30"))
    query = select(book, [at(book, "genre")], groups=[at(book, "genre")]).model_copy(update={"having": having})

    assert all("an average price above 30" in question for question in said(facts, query, "having", "measured"))


def test_key_of_a_table_is_its_id(facts: Facts) -> None:
    """Nobody says: the loan with the loan ID 3."""
    loan = table_of(facts, "loan")
    condition = Compared(at=at(loan, "loan_id"), operator="=", value=Value(kind="number", text="3"))
    told = said(facts, select(loan, [at(loan, "fee")], where=[condition]), "lookup", "one")

    assert not any("loan ID" in question for question in told), told
    assert any("the loan with ID 3" in question for question in told), told


def test_views_are_asked_about_less_than_tables(generated: tuple[list[GeneratedPair], Generator, Facts]) -> None:
    """What they hold is in their tables."""
    _, generator, facts = generated
    asked = generator.coverage.tables
    views = [asked[table.name] for table in facts.tables if table.is_view]

    assert max(views) < asked[table_of(facts, "loan").name] / 2


def test_sentences_take_turns(generated: tuple[list[GeneratedPair], Generator, Facts]) -> None:
    """However short one is: no sentence of a kind of question is used again before all others were."""
    counted = [pair.question for pair in generated[0] if pair.family == "count_filter"]
    begun = [re.split(r" (the|many|me|total|number)\b", question)[0] for question in counted]

    assert len(counted) >= 10
    assert max(begun.count(one) for one in begun) <= len(counted) / 2


def test_both_voices_say_every_variant_of_a_view(facts: Facts) -> None:
    """Also where every sentence of a variant begins with what a title forbids."""
    view = table_of(facts, "Loans by Branch")
    plan = Plan(family="top", variant="one filtered", query=select(
        view, [at(view, "loan_id")],
        where=[Compared(at=at(view, "fee"), operator=">", value=Value(kind="number", text="3"))],
    ))  # fmt: skip
    top = next(one for one in FAMILIES if one.name == "top")
    for language, voice in VOICES.items():
        phrasings = top.english if language == "en" else top.chinese
        assert voice(Nouns(facts, language), 7).sentences(plan, phrasings)


def test_rows_without_something_are_not_asked_about_as_whether(facts: Facts) -> None:
    """In Chinese `to have some without` reads like `to have or not`."""
    book = table_of(facts, "book")
    link = next(one for one in facts.down(book.name) if one.child.name == "loan")
    lacks = Missing(at=At(source="loan", column="branch_id"), is_missing=True)
    has = Related(source="loan", link=link.id, has=True, spelling="exists", where=(lacks,))
    told = said(facts, select(book, [rows_of(book)], where=[has]), language="zh")

    assert any("至少有一个没有" in question for question in told), told
    assert not any("有没有" in question or "有有" in question for question in told), told


def test_changes_are_those_from_the_last_period_that_had_any(facts: Facts) -> None:
    """A month without a row is in no result: the one before it in time is not the one before it in the result."""
    change = next(one for one in FAMILIES if one.name == "change")
    loan = table_of(facts, "loan")
    plans = list(change.plans(loan, facts, Draw(7, loan, "change", 2)))
    voice = VOICES["en"](Nouns(facts, "en"), 7)
    told = {voice.question(plan, change.english, turn) for plan in plans for turn in range(9)}

    assert told
    assert all(re.search(r"previous (year|month) on record[?.]", question) for question in told), told


def test_what_happens_is_counted_by_when_it_happens(facts: Facts) -> None:
    """Not: how has the number of readers evolved, which is how many there are."""
    trend = next(one for one in FAMILIES if one.name == "trend")
    reader = table_of(facts, "reader")
    plan = next(one for one in trend.plans(reader, facts, Draw(7, reader, "trend", 2)) if one.variant == "plain")
    voice = VOICES["en"](Nouns(facts, "en"), 7)
    told = {voice.question(plan, trend.english, turn) for turn in range(9)}

    assert any(re.search(r"how many readers joined each (year|month)", question, re.IGNORECASE) for question in told)


def test_who_has_fewest_is_asked_of_those_that_have_some(facts: Facts) -> None:
    """The query joins them: who has none is in no row of it."""
    top = next(one for one in FAMILIES if one.name == "join_top")
    few = {*top.english["one few"], *top.chinese["one few"]}

    assert all(re.search(r"with any|that have|有\{all\}", sentence) for sentence in few)
    loan = table_of(facts, "loan")
    alone = [plan for plan in top.plans(loan, facts, Draw(7, loan, "join_top", 6)) if plan.variant == "one"]
    assert alone
    assert all(plan.query.order[0].is_descending for plan in alone)


def test_what_a_parent_has_is_said_of_the_parent(facts: Facts) -> None:
    """In Chinese, too: a concert has no stage, its hall has."""
    concert = table_of(facts, "concert")
    (link,) = facts.up(concert.name)
    source = up_source(link, ["concert"])
    flag = Flag(at=At(source=source.alias, column="has_stage"), is_set=True, value=Value(kind="number", text="1"))
    told = said(facts, select(concert, [rows_of(concert)], joins=[source], where=[flag]), language="zh")

    assert all("hall 有 stage" in question for question in told), told
