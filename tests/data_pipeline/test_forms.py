"""Forms: which queries and questions count as the same, as nearly the same, and as new."""

from __future__ import annotations

import pytest
import sqlglot
from hypothesis import example, given
from hypothesis import strategies as st
from sqlglot import exp

from data_pipeline.database.driver import Dialect
from data_pipeline.database.query_gate import check_query
from data_pipeline.steps.qa.sql.forms import (
    LIKENESS,
    Duplicates,
    clauses_of,
    distinct_share,
    normal_form,
    normal_question,
    question_words,
    shape_of,
    skeleton_of,
)


def parsed(sql: str, dialect: Dialect = "postgresql") -> exp.Expr:
    """As the gate reads it."""
    return check_query(sql, dialect).expression


SAME = [
    ("SELECT Name FROM Customer", "select name from customer"),
    ("SELECT name FROM customer", 'SELECT "name" FROM "customer"'),
    ("SELECT c.name FROM customer AS c", "SELECT name FROM customer"),
    ("SELECT c.name FROM customer c WHERE c.city = 'x'", "SELECT d.name FROM customer AS d WHERE (d.city) = 'x'"),
    ("SELECT customer.name FROM customer", "SELECT name FROM customer"),
    ("SELECT c.* FROM customer AS c", "SELECT * FROM customer"),
    ("SELECT name FROM c WHERE a = 1 AND b = 2", "SELECT name FROM c WHERE (b = 2) AND a = 1"),
    ("SELECT 1 FROM c WHERE a = 1 AND (b = 2 AND d = 3)", "SELECT 1 FROM c WHERE (d = 3 AND a = 1) AND b = 2"),
    ("SELECT 1 FROM c WHERE a = 1 OR b = 2 OR d = 3", "SELECT 1 FROM c WHERE d = 3 OR (b = 2 OR a = 1)"),
    ("SELECT 1 FROM c WHERE a = b", "SELECT 1 FROM c WHERE b = a"),
    ("SELECT 1 FROM c WHERE a <> 3", "SELECT 1 FROM c WHERE 3 != a"),
    ("SELECT 1 FROM c WHERE a > b", "SELECT 1 FROM c WHERE b < a"),
    ("SELECT 1 FROM c WHERE a >= 3", "SELECT 1 FROM c WHERE 3 <= a"),
    ("SELECT 1 FROM c WHERE a IN (1, 2)", "SELECT 1 FROM c WHERE a IN (2, 1)"),
    ("SELECT COUNT(*) FROM a JOIN b ON a.x = b.y", "select count(*) from a as p inner join b q on q.y = p.x"),
    ("SELECT a.x FROM a LEFT JOIN b ON a.x = b.y", "SELECT s.x FROM a AS s left outer join b AS t ON s.x = t.y"),
    ("SELECT p.n, q.n FROM e p JOIN e q ON p.m = q.i", "SELECT u.n, v.n FROM e AS u JOIN e AS v ON u.m = v.i"),
    ("SELECT name FROM c ORDER BY name ASC", "SELECT name FROM c ORDER BY name"),
    ("SELECT d.n FROM (SELECT c.n FROM c) AS d", "SELECT n FROM (SELECT n FROM c) AS e"),
    (
        "SELECT n FROM c WHERE EXISTS (SELECT 1 FROM o WHERE o.c = c.j) AND EXISTS (SELECT 1 FROM p WHERE p.c = c.j)",
        "SELECT x.n FROM c x WHERE EXISTS (SELECT 1 FROM p WHERE x.j = p.c) AND EXISTS (SELECT 1 FROM o WHERE x.j = c)",
    ),
    ("SELECT n FROM c WHERE i IN (SELECT o.k FROM o)", "SELECT n FROM c WHERE i IN (SELECT k FROM o AS p)"),
    ("SELECT a.x FROM a CROSS JOIN LATERAL (SELECT a.y) AS s", "SELECT u.x FROM a u CROSS JOIN LATERAL (SELECT u.y) t"),
    ("SELECT EXTRACT(year FROM d) FROM c", "SELECT extract(YEAR from d) FROM c"),
    ("WITH t AS (SELECT c.n FROM c) SELECT n FROM t", "WITH t AS (SELECT d.n FROM c AS d) SELECT u.n FROM t AS u"),
]

DIFFERENT = [
    ("SELECT name FROM customer", 'SELECT "Name" FROM customer'),
    ("SELECT name FROM customer", "SELECT name FROM customers"),
    ("SELECT name FROM customer", "SELECT DISTINCT name FROM customer"),
    ("SELECT name FROM customer", "SELECT name FROM s.customer"),
    ("SELECT 1 FROM c WHERE a < b", "SELECT 1 FROM c WHERE b < a"),
    ("SELECT 1 FROM c WHERE a - b = 0", "SELECT 1 FROM c WHERE b - a = 0"),
    ("SELECT 1 FROM c WHERE a = 1 AND b = 2 OR d = 3", "SELECT 1 FROM c WHERE a = 1 AND (b = 2 OR d = 3)"),
    ("SELECT 1 FROM c WHERE NOT (a = 1 AND b = 2)", "SELECT 1 FROM c WHERE NOT a = 1 AND b = 2"),
    ("SELECT 1 FROM c WHERE a = 'x'", "SELECT 1 FROM c WHERE a = 'X'"),
    ("SELECT 1 FROM c WHERE a = '1'", "SELECT 1 FROM c WHERE a = 1"),
    ("SELECT 1 FROM c WHERE a = TRUE", "SELECT 1 FROM c WHERE a = FALSE"),
    ("SELECT 1 FROM c WHERE a IS NULL", "SELECT 1 FROM c WHERE a IS NOT NULL"),
    ("SELECT 1 FROM c WHERE a = '), eq(b, '", "SELECT 1 FROM c WHERE a = ')' AND b = ''"),
    ("SELECT a.x FROM a JOIN b ON a.x = b.y", "SELECT b.x FROM a JOIN b ON a.x = b.y"),
    ("SELECT a.x FROM a JOIN b ON a.x = b.y", "SELECT a.x FROM a LEFT JOIN b ON a.x = b.y"),
    ("SELECT p.n FROM e p JOIN e q ON p.m = q.i", "SELECT q.n FROM e p JOIN e q ON p.m = q.i"),
    # The output, and the column of the same name.
    ("SELECT LOWER(c.n) AS n FROM c ORDER BY c.n", "SELECT LOWER(n) AS n FROM c ORDER BY n"),
    ("SELECT LOWER(c.n) FROM c ORDER BY c.lower", "SELECT LOWER(n) FROM c ORDER BY lower"),
    # The column of the inner table, and the one of the outer table.
    (
        "SELECT n FROM c WHERE EXISTS (SELECT 1 FROM o WHERE c.i = 1)",
        "SELECT n FROM c WHERE EXISTS (SELECT 1 FROM o AS c WHERE c.i = 1)",
    ),
    (
        "SELECT n FROM o AS c WHERE EXISTS (SELECT COUNT(c) FROM p AS c)",
        "SELECT n FROM o AS c WHERE EXISTS (SELECT COUNT(c) FROM p AS d)",
    ),
    ("SELECT COUNT(c.*) FROM c", "SELECT COUNT(*) FROM c"),
    ("SELECT n FROM c UNION SELECT n FROM d", "SELECT n FROM c UNION ALL SELECT n FROM d"),
    ("SELECT n FROM c EXCEPT SELECT n FROM d", "SELECT n FROM d EXCEPT SELECT n FROM c"),
    ("SELECT n FROM c ORDER BY n", "SELECT n FROM c ORDER BY n DESC"),
    ("SELECT n FROM c ORDER BY n", "SELECT n FROM c ORDER BY n NULLS FIRST"),
    ("SELECT n FROM c LIMIT 2", "SELECT n FROM c LIMIT 3"),
    ('SELECT n FROM c WHERE a COLLATE "C" = b', 'SELECT n FROM c WHERE b = a COLLATE "C"'),
    ("SELECT SUM(n) OVER (ORDER BY i) FROM c", "SELECT SUM(n) OVER (PARTITION BY i) FROM c"),
    ("SELECT d.x FROM c AS d (x, y)", "SELECT d.x FROM c AS d (y, x)"),
    ("SELECT 1 FROM c WHERE DATE_TRUNC('month', d) = e", "SELECT 1 FROM c WHERE DATE_TRUNC('year', d) = e"),
    ("SELECT 1 FROM c WHERE a ~ 'x'", "SELECT 1 FROM c WHERE a ~* 'x'"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_queries_that_say_the_same_have_one_normal_form(one: str, other: str) -> None:
    """However they are written; and so one skeleton and one shape."""
    assert normal_form(parsed(one)) == normal_form(parsed(other))
    assert skeleton_of(parsed(one)) == skeleton_of(parsed(other))
    assert shape_of(parsed(one)) == shape_of(parsed(other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_queries_that_can_differ_have_two_normal_forms(one: str, other: str) -> None:
    """A form that says less than the query would lose questions."""
    assert normal_form(parsed(one)) != normal_form(parsed(other))


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_case_of_an_alias_in_quotes_is_kept_where_it_can_matter(dialect: Dialect) -> None:
    """To SQLite "C" and c are one name, to PostgreSQL two: such a query keeps its aliases."""
    inner = "SELECT n FROM t AS {outer} WHERE EXISTS (SELECT 1 FROM u AS {inner} WHERE {used}.x = 1)"
    one = parsed(inner.format(outer='"C"', inner="c", used='"C"'), dialect)
    other = parsed(inner.format(outer='"C"', inner="d", used='"C"'), dialect)

    assert normal_form(one) != normal_form(other)


def test_skeleton_hides_values_and_keeps_what_says_what_is_asked() -> None:
    """Texts, numbers of any sign, lists of any length; not the place of an output, nor the part of a date."""

    def skeleton(sql: str) -> str:
        return skeleton_of(parsed(sql, "sqlite"))

    assert skeleton("SELECT a FROM t WHERE b = 'x' LIMIT 3") == skeleton("SELECT a FROM t WHERE b = 'yz' LIMIT 50")
    assert skeleton("SELECT a FROM t WHERE b > -5") == skeleton("SELECT a FROM t WHERE b > 1.5")
    assert skeleton("SELECT a FROM t WHERE b IN (1)") == skeleton("SELECT a FROM t WHERE b IN (1, 2, 'x')")
    assert skeleton("SELECT a FROM t WHERE b = 1 AND c = 9") == skeleton("SELECT a FROM t WHERE c = 0 AND b = 5")
    assert skeleton("SELECT a, b FROM t ORDER BY 1") != skeleton("SELECT a, b FROM t ORDER BY 2")
    assert skeleton("SELECT a FROM t GROUP BY 1") != skeleton("SELECT a FROM t GROUP BY 2")
    assert skeleton("SELECT STRFTIME('%Y', a) FROM t") != skeleton("SELECT STRFTIME('%m', a) FROM t")
    assert skeleton("SELECT a FROM t WHERE b = 1") != skeleton("SELECT a FROM t WHERE c = 1")


def test_shape_hides_names_as_well() -> None:
    """Tables, columns, aliases and outputs; not functions, nor which clauses there are."""
    one = "SELECT c.city, COUNT(*) AS n FROM customer AS c JOIN sale AS s ON s.customer = c.id GROUP BY c.city"
    other = "SELECT genre, COUNT(*) FROM track INNER JOIN album ON album.id = track.album GROUP BY genre"

    assert shape_of(parsed(one)) == shape_of(parsed(other))
    assert shape_of(parsed(one)) != shape_of(parsed(one.replace("COUNT(*)", "MAX(s.price)")))
    assert shape_of(parsed("SELECT a FROM t WHERE b = 1")) != shape_of(parsed("SELECT a FROM t WHERE b < 1"))


def test_query_nested_too_deeply_is_its_own_form() -> None:
    """A sum of thousands of terms still has a form of its own, and a long AND is no depth at all."""
    deep = sqlglot.parse_one("SELECT " + " + ".join(["1"] * 3_000))
    terms = [f"a = {number}" for number in range(800)]

    assert normal_form(deep) != normal_form(sqlglot.parse_one("SELECT " + " + ".join(["1"] * 2_999)))
    assert normal_form(parsed("SELECT 1 FROM t WHERE " + " AND ".join(terms))) == normal_form(
        parsed("SELECT 1 FROM t WHERE " + " AND ".join(reversed(terms)))
    )


@st.composite
def conditions(draw: st.DrawFn, depth: int = 3) -> tuple[str, str]:
    """A condition, written in two ways that say the same."""
    if depth == 0 or draw(st.booleans()):
        column, value = draw(st.sampled_from("abc")), draw(st.integers(0, 3))
        sign, turned = draw(st.sampled_from([("=", "="), ("<>", "!="), ("<", ">"), (">=", "<=")]))
        return f"t.{column} {sign} {value}", f"({value} {turned} {column.upper()})"
    parts = draw(st.lists(conditions(depth - 1), min_size=2, max_size=3))
    word = draw(st.sampled_from([" AND ", " or "]))
    order = draw(st.permutations(range(len(parts))))
    return f"({word.join(one for one, _ in parts)})", f"({word.upper().join(parts[place][1] for place in order)})"


@given(conditions())
def test_a_condition_written_in_another_order_has_the_same_form(written: tuple[str, str]) -> None:
    """AND, OR and comparisons, nested, in any order, with any parentheses."""
    one, other = (parsed(f"SELECT a FROM t WHERE {text}", "sqlite") for text in written)

    assert normal_form(one) == normal_form(other)
    assert skeleton_of(one) == skeleton_of(other)


@given(conditions(), conditions())
def test_conditions_with_one_form_hold_for_the_same_rows(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Whatever two queries share a form: no row tells them apart."""
    first, second = (parsed(f"SELECT a FROM t WHERE {text[0]}", "sqlite") for text in (one, other))
    if normal_form(first) == normal_form(second):
        for row in ((a, b, c) for a in range(4) for b in range(4) for c in range(4)):
            assert _holds(one[0], row) == _holds(other[0], row)


def _holds(condition: str, row: tuple[int, int, int]) -> bool:
    text = condition.replace(" = ", " == ").replace("<>", "!=").replace("AND", "and").replace("t.", "")
    return bool(eval(text, {"__builtins__": {}}, dict(zip("abc", row, strict=True))))


CLAUSES_FOUND = {
    "SELECT a FROM t": "",
    "SELECT DISTINCT a FROM t WHERE a LIKE 'x%'": "distinct, where, like",
    "SELECT COUNT(DISTINCT a), SUM(b), AVG(b), MIN(b), MAX(b) FROM t": "count, count distinct, sum, avg, min, max",
    "SELECT a FROM t GROUP BY a HAVING COUNT(*) > 1 ORDER BY 1 LIMIT 2 OFFSET 1": (
        "group by, having, count, order by, limit, offset"
    ),
    "SELECT a FROM t LEFT JOIN u USING (i) JOIN v USING (i)": "join, left join",
    "SELECT a FROM t, u": "join",
    "SELECT a FROM t WHERE a IN (SELECT b FROM u) OR NOT a BETWEEN 1 AND 2": "where, in, subquery, or, not, between",
    "SELECT a FROM t WHERE a IN (1, 2) AND b IS NULL": "where, in, is null",
    "SELECT a FROM t WHERE b IS NOT NULL": "where, is null, not",
    "SELECT a FROM t WHERE NOT EXISTS (SELECT 1 FROM u)": "where, not, exists, subquery",
    "SELECT a FROM (SELECT a FROM t) AS d": "subquery",
    "SELECT a FROM t UNION SELECT a FROM u": "union",
    "(SELECT a FROM t) INTERSECT (SELECT a FROM u)": "intersect",
    "SELECT a FROM t EXCEPT SELECT a FROM u WHERE a > (SELECT MAX(b) FROM v)": "except, where, subquery, max",
    "WITH w AS (SELECT a FROM t) SELECT a FROM w": "with",
    "SELECT RANK() OVER (ORDER BY a) FROM t": "window",
    "SELECT COUNT(*) FILTER (WHERE a > 1) FROM t": "count",
    "SELECT CASE WHEN a > 1 THEN 2 END, a + 1, CAST(a AS TEXT), COALESCE(a, 1) FROM t": (
        "case, arithmetic, cast, coalesce"
    ),
    "SELECT EXTRACT(YEAR FROM d) FROM t": "date part",
    "SELECT DATE_TRUNC('month', d) FROM t": "date part",
}


@pytest.mark.parametrize("sql", CLAUSES_FOUND)
def test_clauses_of_a_query_are_found(sql: str) -> None:
    """All of them, once, and no others; what stands in a window or an aggregate is no clause of the query."""
    found = clauses_of(parsed(sql))

    assert found == set(filter(None, CLAUSES_FOUND[sql].split(", ")))


def test_clauses_of_dates_are_found_in_sqlite() -> None:
    """There a part of a date is a format."""
    assert "date part" in clauses_of(parsed("SELECT STRFTIME('%Y', d) FROM t", "sqlite"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How many customers are there?", "how  many customers are there"),
        ("\uff28\uff4f\uff57\u3000\uff4d\uff41\uff4e\uff59\uff1f", "How many"),
        ("每个城市有多少客户\uff1f", "每个城市有多少客户"),
        ("“Total” of order_line, please!", "total of order line please"),
        ("zero\u200bwidth", "zerowidth"),
        ("Straße", "STRASSE"),
    ],
)
def test_questions_that_differ_in_marks_only_are_one(one: str, other: str) -> None:
    """Case, width, punctuation, spaces and what is not seen."""
    assert normal_question(one) == normal_question(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("price < 5", "price > 5"),
        ("above 1.5", "above 15"),
        ("below -5 degrees", "below 5 degrees"),
        ("more than 5 %", "more than 5"),
    ],
)
def test_questions_that_differ_in_what_they_measure_are_two(one: str, other: str) -> None:
    """A sign that compares or measures is no punctuation."""
    assert normal_question(one) != normal_question(other)


@given(st.text())
@example("e\u200d\u0301")
@example("\u0345\u0301")
def test_normal_question_is_normal_already(text: str) -> None:
    """Done twice, nothing changes."""
    assert normal_question(normal_question(text)) == normal_question(text)


def test_every_chinese_character_is_a_word() -> None:
    """Words of other scripts are what stands between spaces."""
    assert question_words("2023年每个City的 total?") == ["2023", "年", "每", "个", "city", "的", "total"]


def test_distinct_share_counts_runs_within_questions() -> None:
    """Never across the end of one."""
    assert distinct_share(["a b c", "a b d"], 1) == 4 / 6
    assert distinct_share(["a b c", "a b d"], 2) == 3 / 4
    assert distinct_share(["a b", "c d"], 3) == 0.0
    assert distinct_share([], 1) == 0.0


LONG = "list the names of all the customers who live in the city of Bern"


def test_pairs_are_held_against_those_that_were_accepted() -> None:
    """Same query, same question, same skeleton, nearly the same words, and what is new."""
    known = Duplicates()
    assert known.why_duplicate(LONG, parsed("SELECT name FROM customer WHERE city = 'Bern'")) is None
    known.add(LONG, parsed("SELECT name FROM customer WHERE city = 'Bern'"))

    other = parsed("SELECT id FROM customer")
    assert known.why_duplicate("Else?", parsed("select c.name from customer c where 'Bern' = c.city")) == "duplicate"
    assert known.why_duplicate(LONG.upper() + "?", other) == "duplicate"
    assert known.why_duplicate("Who?", parsed("SELECT name FROM customer WHERE city = 'Rome'")) == "near_duplicate"
    assert known.why_duplicate(LONG.replace("Bern", "Rome"), other) == "near_duplicate"
    assert known.why_duplicate(LONG.replace("customers", "suppliers"), other) is None
    assert known.why_duplicate("Which ids are there?", other) is None


def test_reworded_question_takes_the_place_of_the_old_one() -> None:
    """Unless another pair asks so, or nearly; then everything stays as it was."""
    known = Duplicates()
    known.add(LONG, parsed("SELECT name FROM customer"))
    known.add("Which ids are there?", parsed("SELECT id FROM customer"))
    other = parsed("SELECT fax FROM customer")

    assert known.reword("Which ids are there?", LONG.replace("Bern", "Rome")) is False
    assert known.why_duplicate("Which ids are there?", other) == "duplicate"
    assert known.reword(LONG, LONG.replace("Bern", "Rome")) is True
    assert known.why_duplicate(LONG.replace("Bern", "Rome"), other) == "duplicate"
    assert known.reword(LONG.replace("Bern", "Rome"), "Who is there?") is True
    assert known.why_duplicate(LONG, other) is None
    assert known.why_duplicate("Who lives here?", parsed("SELECT name FROM customer")) == "duplicate"


@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=9).map(" ".join), max_size=12))
def test_likeness_is_exact(questions: list[str]) -> None:
    """The index finds what a comparison with every accepted question would find, and nothing else."""
    known, accepted = Duplicates(), list[str]()
    for number, question in enumerate(questions):
        expression = parsed(f"SELECT c{number} FROM t")
        expected = None
        if question in accepted:
            expected = "duplicate"
        elif any(_jaccard(question, other) >= LIKENESS for other in accepted):
            expected = "near_duplicate"
        assert known.why_duplicate(question, expression) == expected
        known.add(question, expression)
        accepted.append(question)


def _jaccard(one: str, other: str) -> float:
    sets = []
    for text in (one, other):
        words = text.split()
        sets.append({tuple(words[start : start + 3]) for start in range(max(1, len(words) - 2))})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])
