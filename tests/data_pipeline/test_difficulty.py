"""Difficulty: levels worked out by hand from Spider's published rule."""

from __future__ import annotations

from typing import get_args

import pytest

from data_pipeline.database.query_gate import check_query
from data_pipeline.steps.qa.sql.difficulty import difficulty_of
from data_pipeline.tasks.parameters import Difficulty

# The comments are component 1, component 2 and others; the tables are singer (id, name, age, country, boss),
# concert (id, singer_id, title, year, seats) and city (id, name, country).
LEVELS: dict[str, Difficulty] = {
    # one table
    "SELECT name FROM singer": "easy",  # 0 0 0
    "SELECT * FROM singer": "easy",  # 0 0 0
    "SELECT DISTINCT country FROM singer": "easy",  # 0 0 0: DISTINCT does not count
    "SELECT count(*) FROM singer": "easy",  # 0 0 0: one aggregate
    "SELECT count(DISTINCT country) FROM singer": "easy",  # 0 0 0
    "SELECT sum(year * seats) FROM concert": "easy",  # 0 0 0
    "SELECT year + seats FROM concert": "easy",  # 0 0 0: one output
    "SELECT name FROM singer WHERE age > 20": "easy",  # 1 0 0
    "SELECT name FROM singer WHERE age BETWEEN 20 AND 30": "easy",  # 1 0 0: one condition
    "SELECT name FROM singer WHERE country != 'France'": "easy",  # 1 0 0
    "SELECT name FROM singer WHERE country IN ('France')": "easy",  # 1 0 0
    "SELECT name FROM singer ORDER BY age": "easy",  # 1 0 0
    "SELECT name FROM singer ORDER BY age DESC": "easy",  # 1 0 0
    "SELECT name FROM singer LIMIT 3": "easy",  # 1 0 0
    "SELECT country FROM singer GROUP BY country": "easy",  # 1 0 0
    "SELECT country FROM singer GROUP BY country HAVING count(*) > 1": "easy",  # 1 0 0: HAVING does not count
    "SELECT country FROM singer GROUP BY country HAVING count(*) > 1 AND avg(age) > 20": "easy",  # 1 0 0: AND is 1
    "SELECT name FROM singer WHERE country NOT IN ('France')": "easy",  # 1 0 0: NOT is one aggregate
    "SELECT name, age FROM singer": "medium",  # 0 0 1: two outputs
    "SELECT max(age), min(age) FROM singer": "medium",  # 0 0 2: two aggregates, two outputs
    "SELECT (max(age) - min(age)) FROM singer": "easy",  # 0 0 0: no whole output
    "SELECT max(age), name FROM singer": "medium",  # 0 0 1
    "SELECT name FROM singer WHERE age > 20 AND age < 40": "medium",  # 1 0 1: two conditions
    "SELECT name, age FROM singer WHERE age > 20 AND age < 40": "medium",  # 1 0 2
    "SELECT max(age), min(age) FROM singer WHERE age > 20 AND age < 40": "hard",  # 1 0 3
    "SELECT name FROM singer WHERE name LIKE 'A%'": "medium",  # 2 0 0: WHERE and LIKE
    "SELECT name FROM singer WHERE name NOT LIKE 'A%'": "medium",  # 2 0 0: the NOT is one aggregate
    "SELECT count(*) FROM singer WHERE name NOT LIKE 'A%'": "medium",  # 2 0 1: count and NOT are two aggregates
    "SELECT count(*) FROM singer WHERE country NOT IN ('France')": "medium",  # 1 0 1: the same
    "SELECT name FROM singer WHERE age NOT BETWEEN 20 AND 30 AND country NOT IN ('France')": "medium",  # 1 0 2: two NOT
    "SELECT name FROM singer WHERE age > 20 OR age < 10": "medium",  # 2 0 1
    "SELECT name, age FROM singer WHERE age > 20 OR age < 10": "extra",  # 2 0 2: neither < 2 nor > 2
    "SELECT count(*), avg(age) FROM singer WHERE age > 20 OR age < 10": "hard",  # 2 0 3
    "SELECT name FROM singer WHERE age > 20 OR age < 10 OR country = 'France'": "hard",  # 3 0 1
    "SELECT name FROM singer WHERE name LIKE 'A%' OR name LIKE 'B%'": "extra",  # 4 0 1
    "SELECT name FROM singer ORDER BY age DESC LIMIT 1": "medium",  # 2 0 0
    "SELECT name, age FROM singer ORDER BY age DESC LIMIT 1": "medium",  # 2 0 1
    "SELECT name FROM singer WHERE age > 20 ORDER BY age LIMIT 1": "hard",  # 3 0 0
    "SELECT name FROM singer WHERE name LIKE 'A%' ORDER BY age LIMIT 1": "extra",  # 4 0 0
    "SELECT country, count(*) FROM singer GROUP BY country": "medium",  # 1 0 1
    "SELECT country, count(*) FROM singer GROUP BY country, age": "medium",  # 1 0 2: two columns
    "SELECT country, max(age), min(age) FROM singer GROUP BY country, age": "hard",  # 1 0 3
    "SELECT country FROM singer GROUP BY country ORDER BY count(*)": "medium",  # 2 0 0
    "SELECT country FROM singer GROUP BY country ORDER BY max(age) - min(age)": "medium",  # 2 0 1: two aggregates
    "SELECT country FROM singer GROUP BY country ORDER BY count(*) DESC LIMIT 1": "hard",  # 3 0 0
    "SELECT country, count(*) FROM singer GROUP BY country ORDER BY count(*) DESC LIMIT 1": "hard",  # 3 0 2
    # two aggregates, two outputs, two conditions
    # 3 0 3
    "SELECT country, count(*) FROM singer WHERE age > 2 AND age < 9 GROUP BY country ORDER BY avg(age)": "extra",
    "SELECT country FROM singer GROUP BY country HAVING count(*) > 1 OR avg(age) > 20": "medium",  # 2 0 0: OR
    # 1 0 1: AND is one
    "SELECT count(*) FROM singer GROUP BY country HAVING avg(age) > 20 AND max(age) < 90": "medium",
    # 1 0 1: two AND
    "SELECT age FROM singer GROUP BY age HAVING count(*) > 1 AND avg(id) > 2 AND max(id) < 9": "medium",
    # several tables
    "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id": "easy",  # 1 0 0
    "SELECT T1.name, T2.title FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id": "medium",  # 1 0 1
    # 2 0 0
    "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id WHERE T2.year = 2014": "medium",
    "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id JOIN city AS T3 ON T3.id = T2.id": (
        "medium"  # 2 0 0
    ),
    "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id AND T1.age = T2.year": "easy",  # 1 0 0
    # What OR adds after a comparison with a column is not read.
    "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id OR T1.age = T2.year": "easy",  # 1 0 0
    "SELECT name FROM singer WHERE age = boss OR age = 3": "easy",  # 1 0 0
    "SELECT name FROM singer WHERE age = boss OR age = 3 AND id = 4": "medium",  # 1 0 1: the AND is read
    "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.age = 3 OR T1.id = T2.singer_id": "medium",  # 2 0 0
    "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T2.title LIKE 'A%'": "medium",  # 2 0 0: LIKE in ON
    "SELECT T1.country FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id GROUP BY T1.country "
    "ORDER BY count(*) DESC LIMIT 1": "extra",  # 4 0 0
    "SELECT T1.country, count(*) FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id GROUP BY T1.country": (
        "medium"  # 2 0 1
    ),
    # queries in conditions
    "SELECT name FROM singer WHERE age > (SELECT avg(age) FROM singer)": "hard",  # 1 1 0
    "SELECT name FROM singer WHERE id NOT IN (SELECT singer_id FROM concert)": "hard",  # 1 1 0
    "SELECT count(*) FROM singer WHERE id NOT IN (SELECT singer_id FROM concert)": "extra",  # 1 1 1: count and NOT
    "SELECT name, age FROM singer WHERE age > (SELECT avg(age) FROM singer)": "extra",  # 1 1 1
    "SELECT name FROM singer WHERE age > (SELECT avg(age) FROM singer) ORDER BY age": "extra",  # 2 1 0
    "SELECT name FROM singer WHERE id IN (SELECT singer_id FROM concert WHERE year > 2 AND title LIKE 'A%' "
    "ORDER BY seats LIMIT 3)": "hard",  # 1 1 0: what is inside does not count
    "SELECT name FROM singer WHERE id IN (SELECT singer_id FROM concert WHERE id IN (SELECT id FROM city))": "hard",
    "SELECT name FROM singer WHERE age BETWEEN (SELECT min(age) FROM singer) AND (SELECT avg(age) FROM singer)": (
        "extra"  # 1 2 0
    ),
    # 1 2 1
    "SELECT name FROM singer WHERE age > (SELECT min(age) FROM singer) AND id IN (SELECT id FROM city)": "extra",
    "SELECT country FROM singer GROUP BY country HAVING count(*) > (SELECT count(*) FROM city)": "hard",  # 1 1 0
    # queries in FROM are tables
    "SELECT count(*) FROM (SELECT country FROM singer GROUP BY country HAVING count(*) > 1)": "easy",  # 0 0 0
    "SELECT count(*) FROM (SELECT id FROM singer WHERE age > 2 AND id < 9 ORDER BY id LIMIT 3)": "easy",  # 0 0 0
    "SELECT count(*) FROM (SELECT id FROM singer UNION SELECT id FROM city)": "easy",  # 0 0 0
    # two queries in one
    "SELECT name FROM singer UNION SELECT name FROM city": "hard",  # 0 1 0
    "SELECT name FROM singer WHERE age > 20 INTERSECT SELECT name FROM singer WHERE age < 40": "hard",  # 1 1 0
    "SELECT name FROM singer EXCEPT SELECT name FROM city WHERE country = 'x' OR name LIKE 'A%'": "hard",  # 0 1 0
    "SELECT name FROM singer UNION SELECT name FROM city ORDER BY name LIMIT 3": "hard",  # 0 1 0: of the last SELECT
    "SELECT name FROM singer UNION SELECT name FROM city UNION SELECT title FROM concert": "hard",  # 0 1 0: one half
    "SELECT name, age FROM singer UNION SELECT name, id FROM city": "extra",  # 0 1 1
    "SELECT name FROM singer WHERE age > 2 AND id > 2 UNION SELECT name FROM city": "extra",  # 1 1 1
    "SELECT name FROM singer WHERE id IN (SELECT id FROM city) EXCEPT SELECT name FROM city": "extra",  # 1 2 0
    "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id WHERE T2.year = 1 INTERSECT "
    "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id WHERE T2.year = 2": "extra",  # 2 1 0
}
"""What Spider's own parser can read."""

BY_THE_SAME_SENSE: dict[str, Difficulty] = {
    "SELECT 1": "easy",  # 0 0 0
    "SELECT name AS singer_name FROM singer": "easy",  # 0 0 0
    "SELECT count(*) AS n, avg(age) AS a FROM singer": "medium",  # 0 0 2
    "SELECT max(age) - min(age) FROM singer": "easy",  # 0 0 0
    "SELECT name FROM singer WHERE country IN ('France', 'Spain')": "easy",  # 1 0 0
    "SELECT name FROM singer WHERE age IS NULL": "easy",  # 1 0 0
    "SELECT count(*) FROM singer WHERE age IS NOT NULL": "easy",  # 1 0 0: its NOT is no NOT
    "SELECT name FROM singer WHERE (age > 20 OR age < 10) AND country = 'x'": "medium",  # 2 0 1
    "SELECT name FROM singer WHERE name LIKE 'A!%' ESCAPE '!'": "medium",  # 2 0 0
    "SELECT name FROM singer WHERE NOT EXISTS (SELECT 1 FROM concert WHERE singer_id = singer.id)": "hard",  # 1 1 0
    "SELECT name FROM singer WHERE (SELECT count(*) FROM concert WHERE singer_id = singer.id) > 2": "hard",  # 1 1 0
    "SELECT s.name FROM singer AS s LEFT JOIN concert AS c ON s.id = c.singer_id": "easy",  # 1 0 0
    "SELECT s.name FROM singer AS s, concert AS c WHERE s.id = c.singer_id": "medium",  # 2 0 0
    "SELECT s.name FROM singer AS s JOIN concert AS c USING (id)": "easy",  # 1 0 0
    "SELECT s.name FROM singer AS s JOIN (concert AS c JOIN city AS d ON c.id = d.id) ON s.id = c.singer_id": "medium",
    "SELECT s.name FROM singer AS s JOIN (SELECT id FROM city) AS c ON s.id = c.id": "easy",  # 1 0 0
    "SELECT name FROM singer ORDER BY age LIMIT 3 OFFSET 2": "medium",  # 2 0 0: OFFSET does not count
    "SELECT name, RANK() OVER (ORDER BY age) FROM singer": "beyond",
    "SELECT name FROM singer WHERE id IN (SELECT ROW_NUMBER() OVER (ORDER BY id) FROM city)": "beyond",
    "WITH old AS (SELECT * FROM singer WHERE age > 60) SELECT count(*) FROM old": "beyond",
    "SELECT name FROM singer WHERE id IN (WITH c AS (SELECT id FROM city) SELECT id FROM c)": "beyond",
}
"""What it cannot read."""


@pytest.mark.parametrize("sql", [*LEVELS, *BY_THE_SAME_SENSE])
def test_level_is_that_of_the_published_rule(sql: str) -> None:
    """Every clause, every bound of every level, every quirk."""
    expected = {**LEVELS, **BY_THE_SAME_SENSE}[sql]

    assert difficulty_of(check_query(sql, "sqlite").expression) == expected
    assert difficulty_of(check_query(sql, "postgresql").expression) == expected


def test_every_level_is_in_the_table() -> None:
    """And none but those that are published."""
    assert {*LEVELS.values(), *BY_THE_SAME_SENSE.values()} == set(get_args(Difficulty))
