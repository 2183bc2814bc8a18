"""A small library for tests of questions: every role of columns, every kind of link, on SQLite and PostgreSQL."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence

from data_pipeline.database.connection import BusinessDatabase
from data_pipeline.database.execution import QueryLimits
from data_pipeline.database.finding import list_tables
from data_pipeline.database.reflection import read_tables
from data_pipeline.semantics.facts import Facts
from data_pipeline.semantics.glossary import Glossary
from data_pipeline.semantics.observing import Observed, observe
from data_pipeline.semantics.telling import TellingValues
from data_pipeline.steps.qa.choose.gates import Gates
from data_pipeline.steps.qa.families import FAMILIES, Family
from data_pipeline.steps.qa.generator import GeneratedPair, Generator
from data_pipeline.steps.qa.say.nouns import Nouns
from data_pipeline.steps.qa.step import facts_of
from data_pipeline.tasks.parameters import Language

SCHEMA = """
CREATE TABLE branch (branch_id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL UNIQUE, city VARCHAR(20) NOT NULL,
  opened_on DATE NOT NULL);
CREATE TABLE publisher (publisher_id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL UNIQUE, country VARCHAR(20));
CREATE TABLE book (book_id INTEGER PRIMARY KEY, title VARCHAR(60) NOT NULL UNIQUE, genre VARCHAR(20) NOT NULL,
  pages INTEGER NOT NULL, price NUMERIC(8, 2) NOT NULL, published_on DATE, is_reference INTEGER NOT NULL,
  shelf VARCHAR(10), series VARCHAR(40) NOT NULL);
CREATE TABLE book_publisher (book_id INTEGER NOT NULL REFERENCES book (book_id),
  publisher_id INTEGER NOT NULL REFERENCES publisher (publisher_id), PRIMARY KEY (book_id, publisher_id));
CREATE TABLE reader (reader_id INTEGER PRIMARY KEY, full_name VARCHAR(60) NOT NULL, email VARCHAR(60) NOT NULL,
  level VARCHAR(10) NOT NULL, joined_on DATE NOT NULL, invited_by INTEGER REFERENCES reader (reader_id));
CREATE TABLE loan (loan_id INTEGER PRIMARY KEY, book_id INTEGER NOT NULL REFERENCES book (book_id),
  reader_id INTEGER NOT NULL REFERENCES reader (reader_id), branch_id INTEGER REFERENCES branch (branch_id),
  lent_on DATE NOT NULL, fee NUMERIC(8, 2) NOT NULL, days INTEGER NOT NULL);
CREATE TABLE reservation (reservation_id INTEGER PRIMARY KEY, book_id INTEGER NOT NULL REFERENCES book (book_id));
CREATE TABLE holiday (day DATE PRIMARY KEY);
CREATE VIEW long_book AS SELECT title, genre, pages FROM book WHERE pages > 300;
"""
GENRES = ("novel", "poetry", "history", "travel", "science")
CITIES = ("Bergen", "Lyon", "Porto", "Graz")
COUNTRIES = ("Norway", "France", "Portugal", "Austria", None)
WORDS = ("river", "stone", "garden", "winter", "letter", "island", "mirror", "bridge", "forest", "silence")


def statements() -> Iterator[tuple[str, Sequence[object]]]:
    """Rows of all tables but one, the same each time; places are `?`."""
    chance = random.Random(3)

    def day(first: int, last: int) -> str:
        return f"{chance.randint(first, last)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"

    for number in range(1, 9):
        branch = (number, f"Branch {WORDS[number]}", chance.choice(CITIES), day(1990, 2010))
        yield "INSERT INTO branch VALUES (?, ?, ?, ?)", branch
    for number in range(1, 31):
        name = f"{chance.choice(WORDS).title()} {chance.choice('ABCDEFGH')}. {number}"
        yield "INSERT INTO publisher VALUES (?, ?, ?)", (number, name, chance.choice(COUNTRIES))
    for number in range(1, 121):
        title = f"The {chance.choice(WORDS)} and the {chance.choice(WORDS)}, part {number}"
        price = round(5 + chance.random() * 60, 2)
        published = None if number % 10 == 0 else day(1995, 2020)
        shelf = None if number % 7 == 0 else f"S{number % 12}"
        book = (number, title, chance.choice(GENRES), chance.randint(80, 900), price, published, int(number % 3 == 0))
        series = f"{chance.choice(WORDS)} and {chance.choice(WORDS)}"
        yield "INSERT INTO book VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*book, shelf, series)
        for publisher in chance.sample(range(1, 28), chance.choice((1, 1, 2, 3))):
            yield "INSERT INTO book_publisher VALUES (?, ?)", (number, publisher)
    for number in range(1, 61):
        invited = None if number < 10 else chance.randint(1, number - 1)
        level = chance.choice(("basic", "gold"))
        reader = (number, f"Jana Novakova{number}", f"reader{number}@mail.example", level, day(2015, 2022), invited)
        yield "INSERT INTO reader VALUES (?, ?, ?, ?, ?, ?)", reader
    for number in range(1, 701):
        place = None if number % 9 == 0 else chance.randint(1, 7)
        fee = round(chance.random() * 20, 2)
        loan = (
            number,
            chance.randint(1, 100),
            chance.randint(1, 55),
            place,
            day(2019, 2023),
            fee,
            chance.randint(1, 60),
        )
        yield "INSERT INTO loan VALUES (?, ?, ?, ?, ?, ?, ?)", loan
    for number in range(12):
        yield "INSERT INTO holiday VALUES (?)", (f"2024-{number + 1:02}-01",)


def look(database: BusinessDatabase, listed: Collection[str] | None = None) -> tuple[Facts, list[Observed]]:
    """What the generator knows of every table of a database, or of those that a task lists."""
    names = [name for name in list_tables(database) if listed is None or name.name in listed]
    tables, _ = read_tables(database, names)
    observed = [observe(database, table, QueryLimits(), masks_personal_data=True) for table in tables]
    return facts_of(database.dialect_name, tables, observed, (), Glossary()), observed


def gates_of(database: BusinessDatabase, facts: Facts, observed: Sequence[Observed]) -> Gates:
    """Gates that know what is personal."""
    personal = {
        table.name: frozenset(column.name.lower() for column in table.columns if column.role == "personal")
        for table in facts.tables
    }
    return Gates(
        database,
        QueryLimits(),
        personal=personal,
        told=TellingValues(frozenset().union(*(one.told for one in observed))),
        hidden=frozenset().union(*(one.hidden for one in observed)),
        default_schema=facts.default_schema,
    )


def generate(
    database: BusinessDatabase,
    *,
    wanted: int = 100,
    seed: int = 7,
    language: Language = "en",
    families: Sequence[Family] = FAMILIES,
    listed: Collection[str] | None = None,
) -> tuple[list[GeneratedPair], Generator, Facts]:
    """Pairs about all tables of a database, or about those that a task lists."""
    facts, observed = look(database, listed)
    gates = gates_of(database, facts, observed)
    generator = Generator(facts, Nouns(facts, language), gates, seed=seed, wanted=wanted, families=families)
    return [pair for pair in generator.pairs() if pair is not None], generator, facts
