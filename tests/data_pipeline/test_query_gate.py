"""The gate: which texts are one query that only reads, and what running such a query can and cannot do."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError
from sqlglot import exp
from sqlglot.dialects import SQLite

from data_pipeline.database import query_gate
from data_pipeline.database.connection import BusinessDatabase, open_database
from data_pipeline.database.driver import Dialect
from data_pipeline.database.execution import Cancellation, QueryLimits, execute_query, explain_query, limited_connection
from data_pipeline.database.query_gate import check_query
from data_pipeline.database.sqlite.faults import SqliteFaults
from data_pipeline.database.sqlite.grammar import GRAMMAR
from data_pipeline.errors import QueryFailed, QueryRefused
from data_pipeline.tasks.table_list import TableName
from tests.support.postgres import fresh_database

TABLES = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, city TEXT, joined DATE);
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer (id), price NUMERIC, at DATE);
INSERT INTO customer VALUES (1, 'Ada', 'Bern', '2024-01-05'), (2, 'Ben', 'Rome', '2024-02-05');
INSERT INTO purchase VALUES (1, 1, 10, '2024-03-01'), (2, 1, 20, '2024-04-01'), (3, 2, 5, '2024-04-02');
"""

QUERIES = [
    "SELECT name FROM customer WHERE city LIKE 'B%' ORDER BY name",
    "SELECT c.city, COUNT(*) AS n FROM customer AS c JOIN purchase AS p ON p.customer_id = c.id GROUP BY c.city",
    "SELECT city FROM customer GROUP BY city HAVING COUNT(*) > 0 ORDER BY city DESC LIMIT 5",
    "WITH t AS (SELECT id AS c, SUM(price) AS p FROM purchase GROUP BY 1) SELECT c, RANK() OVER (ORDER BY p) FROM t",
    "SELECT name FROM customer WHERE NOT EXISTS(SELECT 1 FROM purchase WHERE customer_id = customer.id)",
    "SELECT id FROM customer UNION SELECT customer_id FROM purchase",
    "SELECT CASE WHEN price > 6 THEN 'dear' ELSE 'cheap' END AS kind, ROUND(AVG(price), 1) FROM purchase GROUP BY 1",
    "SELECT customer_id FROM purchase WHERE price > (SELECT AVG(price) FROM purchase) AND id IN (SELECT 2)",
    "SELECT SUM(price) OVER (ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM purchase",
]

REFUSED_EVERYWHERE = {
    "SELECT 1; SELECT 2": "statements",
    "SELECT 1 /* all is well */; -- here\nDELETE FROM customer": "statements",
    "SELECT '\ud800'": "syntax",
    "": "statements",
    ";": "statements",
    "-- nothing": "statements",
    "DELETE FROM customer": "not_a_query",
    "INSERT INTO customer SELECT * FROM customer": "not_a_query",
    "UPDATE customer SET name = 'x'": "not_a_query",
    "CREATE TABLE x AS SELECT * FROM customer": "not_a_query",
    "DROP TABLE customer": "not_a_query",
    "EXPLAIN SELECT 1": "not_a_query",
    "EXPLAIN ANALYZE DELETE FROM customer": "not_a_query",
    "BEGIN": "not_a_query",
    "COMMIT": "not_a_query",
    "VALUES (1)": "not_a_query",
    "WITH gone AS (DELETE FROM customer RETURNING *) SELECT * FROM gone": "not_allowed",
    "SELECT * FROM customer WHERE id = ?": "not_allowed",
    "SELECT (": "syntax",
    "SELECT 'a\0b'": "syntax",
    "SELECT random()": "function",
    "SELECT nonsense(1)": "function",
    "SELECT main.lower('x')": "function",
    "SELECT " + "(" * 3000 + "1" + ")" * 3000: "too_deep",
    "SELECT '" + "x" * 20_000 + "'": "too_long",
}
REFUSED: dict[Dialect, dict[str, str]] = {
    "sqlite": {
        "ATTACH 'other.sqlite' AS other": "not_a_query",
        "PRAGMA query_only = OFF": "not_a_query",
        "VACUUM INTO 'copy.sqlite'": "not_a_query",
        "SELECT * FROM pragma_table_info('customer')": "function",
        "SELECT * FROM pragma_database_list": "table",
        "SELECT sql FROM sqlite_master": "table",
        "SELECT load_extension('x')": "function",
        "SELECT readfile('/etc/passwd')": "function",
        "SELECT writefile('x', 'y')": "function",
        "SELECT zeroblob(1000000000)": "function",
        "SELECT * FROM json_each('[1]')": "function",
        "SELECT x'00'": "not_allowed",
    },
    "postgresql": {
        "ANALYZE SELECT pg_sleep(0.2)": "syntax",
        "COPY customer TO '/tmp/x'": "not_a_query",
        "COPY customer TO PROGRAM 'id'": "not_a_query",
        "CALL f()": "not_a_query",
        "DO $$ BEGIN END $$": "not_a_query",
        "SET default_transaction_read_only = off": "not_a_query",
        "SELECT * INTO stolen FROM customer": "not_allowed",
        "SELECT * FROM customer FOR UPDATE": "not_allowed",
        "SELECT pg_sleep(10)": "function",
        "SELECT pg_catalog.pg_sleep(10)": "function",
        'SELECT "pg_sleep"(10)': "function",
        "SELECT nextval('customer_id_seq')": "function",
        "SELECT set_config('default_transaction_read_only', 'off', false)": "function",
        "SELECT pg_read_file('/etc/passwd')": "function",
        "SELECT lo_import('/etc/passwd')": "function",
        "SELECT query_to_xml('DELETE FROM customer', true, true, '')": "function",
        "SELECT dblink('host=elsewhere', 'SELECT 1')": "function",
        "SELECT * FROM generate_series(1, 1000000000)": "function",
        "SELECT repeat('x', 1000000000)": "function",
        "SELECT lpad('x', 1000000000)": "function",
        "SELECT rpad('x', length('x'))": "function",
        "SELECT format('%1000000000s', 'x')": "function",
        "SELECT format('%*s', 1000000000, 'x')": "function",
        "SELECT format(name, 'x') FROM customer": "function",
        "SELECT replace(name, 'a', name) FROM customer": "function",
        "SELECT replace(replace('x', 'x', 'xxxx'), 'x', 'xxxx')": "function",
        "SELECT regexp_replace(regexp_replace('x', '', 'xx', 'g'), '', 'xx', 'g')": "function",
        "SELECT * FROM pg_shadow": "table",
        "SELECT * FROM pg_catalog.pg_authid": "table",
        "SELECT * FROM information_schema.tables": "table",
        "SELECT * FROM other.public.customer": "table",
        "SELECT E'\\x27; DELETE FROM customer'": "not_allowed",
        "SELECT $$text$$": "not_allowed",
        "SELECT $1": "not_allowed",
        "SELECT 'customer'::regclass": "not_allowed",
    },
}
CASES = [
    (dialect, text, kind)
    for dialect in ("sqlite", "postgresql")
    for text, kind in {**REFUSED_EVERYWHERE, **REFUSED[dialect]}.items()
]


@pytest.mark.parametrize(("dialect", "text", "kind"), CASES, ids=lambda value: str(value)[:50])
def test_what_is_not_one_query_that_only_reads_is_refused(dialect: Dialect, text: str, kind: str) -> None:
    """With a reason that says what to mend, and a word for the counts."""
    with pytest.raises(QueryRefused, match="The query was not run: ") as refused:
        check_query(text, dialect)

    assert refused.value.kind == kind, refused.value


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("sqlite", "SELECT UNICODE(name), MEDIAN(id) FROM customer"),
        ("postgresql", "SELECT JUSTIFY_DAYS(at - at), WIDTH_BUCKET(price, 0, 10, 5) FROM purchase"),
        ("postgresql", "SELECT REGR_SLOPE(price, id), REGR_COUNT(price, id) FROM purchase"),
        ("postgresql", "SELECT name FROM customer ORDER BY name OFFSET 1 ROWS FETCH FIRST 2 ROWS ONLY"),
        ("sqlite", "SELECT REPLACE(name, city, name), PRINTF('%5.2f', id), FORMAT('%s', name) FROM customer"),
        ("postgresql", "SELECT LPAD(name, 5, '0'), RPAD(name, 7), FORMAT('%s: %-5s', id, name) FROM customer"),
        ("postgresql", "SELECT REPLACE(REPLACE(name, '-', ''), ' ', '_'), TRANSLATE(name, 'a', 'b') FROM customer"),
        ("postgresql", "SELECT REGEXP_REPLACE(name, '[0-9]+', '#', 'g'), CONCAT_WS(', ', name, city) FROM customer"),
        ("postgresql", "SELECT (ARRAY_AGG(name))[1], (ARRAY_AGG(name))[1:2] FROM customer"),
    ],
)
def test_functions_and_limits_that_only_read_pass(dialect: Dialect, text: str) -> None:
    """Those that the parser has a class for, too."""
    assert check_query(text, dialect).sql


def test_functions_that_lengthen_texts_run_into_a_wall(tmp_path: Path) -> None:
    """What passes gives what it says; SQLite's own limit is the end of what is nested or wide."""
    nested = "name"
    for _ in range(30):
        nested = f"REPLACE({nested}, 'A', 'AAAA')"
    with databases(tmp_path) as opened:
        sqlite, postgresql = opened
        with pytest.raises(QueryFailed) as failed:
            run(sqlite, f"SELECT {nested} FROM customer")
        assert failed.value.kind == "too_large"
        with contextlib.suppress(QueryFailed):
            assert run(sqlite, "SELECT length(PRINTF('%999999999d', 1)) < 1048577") in (((1,),), ((None,),))
        assert run(sqlite, "SELECT PRINTF('%03d', id) FROM customer WHERE id = 1") == (("001",),)
        found = run(postgresql, "SELECT (ARRAY_AGG(name ORDER BY id))[2], LPAD(MAX(name), 5, '.') FROM customer")
        assert found == (("Ben", "..Ben"),)


def test_sqlite_has_no_fetch_first() -> None:
    """Written anew it would run, and the text that stays in the pair file would not: it is for the repair."""
    with pytest.raises(QueryRefused, match="LIMITOPTIONS"):
        check_query("SELECT name FROM customer FETCH FIRST 2 ROWS ONLY", "sqlite")


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("WITH c AS (SELECT email FROM c) SELECT email FROM c", ["c"]),
        ("WITH a AS (SELECT x FROM t), b AS (SELECT x FROM a) SELECT x FROM b", ["t"]),
        ("WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n", []),
        ("SELECT (WITH z AS (SELECT k FROM q) SELECT k FROM z) FROM z", ["z", "q"]),
        ('WITH C AS (SELECT x FROM t) SELECT x FROM "C"', ["C", "t"]),
        ("WITH a AS (SELECT x FROM t) SELECT x FROM s.a", ["s.a", "t"]),
    ],
)
def test_table_that_shares_its_name_with_a_with_is_still_read(text: str, tables: list[str]) -> None:
    """A name of a WITH hides a table only where the WITH can be seen: what is masked is found by the tables read."""
    assert [str(table) for table in check_query(text, "postgresql").tables] == tables


def test_comments_are_not_in_what_is_run_and_tables_are_named_once() -> None:
    """What a WITH gives is no table."""
    query = check_query(
        "WITH t AS (SELECT * FROM customer /* ; DROP */) SELECT * FROM t JOIN s.purchase ON true -- end\n;",
        "postgresql",
    )

    assert query.sql == "WITH t AS (SELECT * FROM customer) SELECT * FROM t JOIN s.purchase ON TRUE"
    assert query.tables == (TableName("s", "purchase"), TableName(None, "customer"))


@contextlib.contextmanager
def databases(tmp_path: Path) -> Iterator[list[BusinessDatabase]]:
    """The same tables on SQLite and on PostgreSQL."""
    path = tmp_path / "shop.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(TABLES)
    connection.close()
    with fresh_database() as url:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(TABLES)
        with open_database(f"sqlite:///{path}") as sqlite, open_database(url) as postgresql:
            yield [sqlite, postgresql]


def content(database: BusinessDatabase) -> list[str]:
    """Every row there is."""
    with database.connect() as connection:
        rows = [
            connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY id").fetchall()
            for table in ("customer", "purchase")
        ]
    return [str(row) for table in rows for row in table]


def run(database: BusinessDatabase, text: str, limits: QueryLimits | None = None) -> tuple[tuple[object, ...], ...]:
    """The rows of a query that the gate lets through."""
    dialect = database.dialect_name
    return execute_query(database, check_query(text, dialect), limits or QueryLimits()).rows


def test_queries_of_every_kind_pass_and_give_what_they_ask_for(tmp_path: Path) -> None:
    """The text that is run means what the text that was given means."""
    with databases(tmp_path) as opened:
        for database in opened:
            with database.connect() as connection:
                asis = connection.execution_options(no_parameters=True)
                expected = {text: asis.exec_driver_sql(text).fetchall() for text in QUERIES}
            for text in QUERIES:
                assert sorted(map(str, run(database, text))) == sorted(str(tuple(row)) for row in expected[text]), text
                explain_query(database, check_query(text, "sqlite"), QueryLimits())


def test_what_the_database_refuses_has_a_word_and_a_reason(tmp_path: Path) -> None:
    """Unknown tables and columns, ambiguous ones; explaining finds them without running."""
    faults = {
        "SELECT * FROM nowhere": "unknown_table",
        "SELECT shoe_size FROM customer": "unknown_column",
        "SELECT id FROM customer JOIN purchase ON true": "ambiguous_column",
        "SELECT 1 FROM customer ORDER BY 7": "failed",
    }
    with databases(tmp_path) as opened:
        for database in opened:
            for text, kind in faults.items():
                for act in (execute_query, explain_query):
                    with pytest.raises(QueryFailed) as failed:
                        act(database, check_query(text, "postgresql"), QueryLimits())
                    assert failed.value.kind == kind, failed.value
            assert len(run(database, "SELECT 1 FROM customer")) == 2  # the connection is as good as before


def test_reason_quotes_no_value_of_a_row(tmp_path: Path) -> None:
    """Both databases name what they could not convert; what stands in the query itself is no secret."""
    with databases(tmp_path) as opened:
        with pytest.raises(QueryFailed, match=r"'\*\*\*'"):
            run(opened[0], "SELECT JSON_EXTRACT('{}', name) FROM customer")
        database = opened[1]
        with pytest.raises(QueryFailed, match=r'integer: "\*\*\*"'):
            run(database, "SELECT id FROM customer WHERE CAST(name AS integer) = 1")
        with pytest.raises(QueryFailed, match=r'integer: "twelve"'):
            run(database, "SELECT id FROM customer WHERE id = CAST('twelve' AS integer)")


def test_reason_quotes_no_value_in_any_language_and_no_words_of_a_function(tmp_path: Path) -> None:
    """A server may speak another language, and a function of the database may say anything of a row."""
    with databases(tmp_path) as opened:
        database = opened[1]
        url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(
                "CREATE FUNCTION lower(text, text) RETURNS text LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'bad row %', $1; END $$;"
                "CREATE VIEW shouting AS SELECT lower(name, name) AS name FROM customer"
            )
        with pytest.raises(QueryFailed, match="a function of the database refused it"):
            run(database, "SELECT name FROM shouting")
    for said in ("ungültig: »Ada«", "non valide : « Ada »", "неверно: «Ada»", 'odd: "Ada\nLovelace"'):
        error = sqlite3.OperationalError(said)
        assert "Ada" not in SqliteFaults().fault(DBAPIError("SELECT 1", None, error)).reason


ENDLESS = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i > 0) SELECT COUNT(*) FROM n"


def test_query_that_takes_too_long_is_stopped_and_so_is_a_cancelled_one(tmp_path: Path) -> None:
    """The database itself stops: nothing goes on in the background."""
    with databases(tmp_path) as opened:
        for database in opened:
            began = time.monotonic()
            with pytest.raises(QueryFailed, match=r"longer than 0\.3 s") as failed:
                run(database, ENDLESS, QueryLimits(seconds=0.3))
            assert (failed.value.kind, time.monotonic() - began < 10) == ("timeout", True)

            cancellation = Cancellation()
            threading.Timer(0.3, cancellation.set).start()
            with pytest.raises(QueryFailed) as failed:
                run(database, ENDLESS, QueryLimits(seconds=60, cancellation=cancellation))
            assert failed.value.kind == "cancelled"
            with pytest.raises(QueryFailed, match="cancelled"):
                run(database, "SELECT 1", QueryLimits(cancellation=cancellation))


def test_rows_are_cut_at_the_limit_and_it_is_said(tmp_path: Path) -> None:
    """However many there are, no more than one above the limit is asked for."""
    many = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT i FROM n"
    with databases(tmp_path) as opened:
        for database in opened:
            found = execute_query(database, check_query(many, "sqlite"), QueryLimits(rows=10))
            assert (found.columns, len(found.rows), found.is_cut) == (("i",), 10, True)
            found = execute_query(database, check_query("SELECT id FROM customer", "sqlite"), QueryLimits(rows=2))
            assert (len(found.rows), found.is_cut) == (2, False)


def test_rows_that_take_too_many_bytes_are_not_fetched(tmp_path: Path) -> None:
    """A few hundred thousand bytes a row: no more than a few rows are ever here, and the fault has a word."""
    counted = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 60000) "
    wide = counted + "SELECT c.id, (SELECT {0}(n.i || c.name, '') FROM n) FROM customer c, purchase p, purchase q"
    with databases(tmp_path) as opened:
        for database, name in zip(opened, ("group_concat", "string_agg"), strict=True):
            dialect = database.dialect_name
            query = check_query(wide.format(name), dialect)
            with pytest.raises(QueryFailed, match=r"larger than 1 MB") as failed:
                execute_query(database, query, QueryLimits(result_bytes=1024 * 1024))
            assert failed.value.kind == "too_large"
            assert len(execute_query(database, query, QueryLimits()).rows) == 18


def test_value_that_its_database_cannot_hold_is_the_fault_of_the_query(tmp_path: Path) -> None:
    """It is no reason to try again, or to fail the step."""
    doubled = "x"
    for _ in range(6):
        doubled = f"replace({doubled}, 'x', '{'x' * 20}')"
    long = (f"SELECT length({doubled}) FROM (SELECT 'x' AS x)", "SELECT lpad('x', 2000000000)")
    with databases(tmp_path) as opened:
        for database, text in zip(opened, long, strict=True):
            with (
                pytest.raises(QueryFailed) as failed,
                limited_connection(database, QueryLimits()) as connection,
            ):
                connection.exec_driver_sql(text).fetchall()
            assert failed.value.kind == "too_large", failed.value


class Flipping(SQLite):  # type: ignore[misc]
    """A parser that writes another function than it read: at every reading the query is another one."""

    class Generator(SQLite.Generator):  # type: ignore[misc]
        """How it writes."""

        TRANSFORMS: ClassVar[dict[Any, Any]] = {
            **SQLite.Generator.TRANSFORMS,
            exp.Lower: lambda self, node: self.func("UPPER", node.this),
            exp.Upper: lambda self, node: self.func("LOWER", node.this),
        }


def test_query_that_reads_otherwise_once_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known that does: the parser has to be told to."""
    flipping = replace(GRAMMAR, gate=replace(GRAMMAR.gate, parser=Flipping))
    monkeypatch.setattr(query_gate, "grammar_of", lambda _: flipping)

    with pytest.raises(QueryRefused, match="read in two ways") as refused:
        check_query("SELECT lower(name) FROM customer", "sqlite")
    assert refused.value.kind == "ambiguous"


def around_itself(level: str) -> str:
    """A query with a query in it, twenty-four times; `{0}` is the inner one, `{1}` a number."""
    text = "SELECT 'x' AS x"
    for number in range(24):
        text = level.format(text, number)
    return text


NAMED = "".join(f", t{n} AS (SELECT x || x AS x FROM t{n - 1})" for n in range(1, 25))
BESIDE = "".join(f", LATERAL (SELECT t{n - 1}.x || t{n - 1}.x AS x) AS t{n}" for n in range(1, 25))
DOUBLING = {
    "nested": around_itself("SELECT x || x AS x FROM ({0}) AS t{1}"),
    "inside": around_itself("SELECT (SELECT x || x) AS x FROM ({0}) AS t{1}"),
    "bracketed": around_itself("SELECT a.x || a.x AS x FROM (({0}) AS a CROSS JOIN (SELECT 1 AS y) AS b)"),
    "joined": around_itself("SELECT b.x || b.x AS x FROM ((SELECT 1 AS y) AS a CROSS JOIN ({0}) AS b)"),
    "listed": around_itself("SELECT v.x || v.x AS x FROM (VALUES (({0}))) AS v(x)"),
    "named": f"WITH t0 AS (SELECT 'x' AS x){NAMED} SELECT length(x) FROM t24",
}


@pytest.mark.parametrize("text", DOUBLING.values(), ids=DOUBLING)
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_query_that_doubles_from_level_to_level_is_refused(text: str, dialect: Dialect) -> None:
    """A thousand characters, and the database writes out sixteen million: gigabytes, and no limit of time is asked."""
    with pytest.raises(QueryRefused, match="use fewer") as refused:
        check_query(text, dialect)
    assert refused.value.kind == "too_deep"


def test_lateral_queries_that_double_beside_one_another_are_refused() -> None:
    """Each sees the one before it. SQLite has none."""
    with pytest.raises(QueryRefused, match="use fewer"):
        check_query(f"SELECT t24.x FROM (SELECT 'x' AS x) AS t0{BESIDE}", "postgresql")


def test_query_of_many_levels_that_do_not_double_is_let_through() -> None:
    """Deep is not large: every level reads its columns once or twice, and hands them on."""
    levels = "".join(f", t{n} AS (SELECT a, b, c, a + b AS d FROM t{n - 1} WHERE c > {n})" for n in range(1, 12))
    text = f"WITH t0 AS (SELECT a, b, c, a + b AS d FROM t){levels} SELECT a, sum(d) FROM t11 GROUP BY a"

    assert check_query(text, "sqlite").sql
    assert check_query(text, "postgresql").sql


LONG = {
    "and": "SELECT a FROM t WHERE " + " AND ".join(f"a <> {number}" for number in range(900)),
    "or": "SELECT a FROM t WHERE " + " OR ".join(f"a = {number}" for number in range(900)),
    "union": " UNION ALL ".join(f"SELECT {number}" for number in range(700)),
    "in": f"SELECT a FROM t WHERE a IN ({', '.join(map(str, range(2500)))})",
    "outputs": f"SELECT {', '.join(f'a + {number}' for number in range(1500))} FROM t",
    "named": "WITH " + ", ".join(f"t{number} AS (SELECT {number} AS a)" for number in range(500)) + " SELECT a FROM t9",
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_query_that_is_long_and_not_deep_is_let_through(text: str, dialect: Dialect) -> None:
    """Nothing of it grows inside of the database."""
    assert check_query(text, dialect).sql


def test_table_that_is_none_of_the_databases_is_not_read(tmp_path: Path) -> None:
    """SQLite's modules can be read like tables; one that the database has a table of that name for is that table."""
    hidden = "SELECT * FROM dbstat WHERE 1 IN (WITH dbstat AS (SELECT 1 AS one) SELECT one FROM dbstat)"
    with databases(tmp_path) as opened:
        for text in ("SELECT * FROM dbstat", "SELECT count(*) FROM main.DBSTAT", "SELECT * FROM json_each", hidden):
            for act in (execute_query, explain_query):
                with pytest.raises(QueryFailed, match="no such table") as failed:
                    act(opened[0], check_query(text, "sqlite"), QueryLimits())
                assert failed.value.kind == "unknown_table"
    connection = sqlite3.connect(tmp_path / "own.sqlite")
    connection.executescript("CREATE TABLE json_each (a INT); INSERT INTO json_each VALUES (1)")
    connection.close()
    with open_database(f"sqlite:///{tmp_path / 'own.sqlite'}") as database:
        assert run(database, "SELECT a FROM json_each") == ((1,),)


def test_session_is_a_wall_of_its_own(tmp_path: Path) -> None:
    """Even a text that never saw the gate changes nothing."""
    with databases(tmp_path) as opened:
        for database in opened:
            before = content(database)
            passed = check_query("SELECT 1", "sqlite")
            for text in ("DELETE FROM purchase", "DROP TABLE purchase", "CREATE TABLE x (i int)"):
                with pytest.raises(QueryFailed):
                    execute_query(database, type(passed)(text, "sqlite", (), passed.expression), QueryLimits())
            assert content(database) == before


TOKENS = [
    ";", "--", "/*", "*/", "'", '"', "\\", "$$", "(", ")", ",", ".", "*", "DELETE FROM customer", "INTO x",
    "FOR UPDATE", "UNION", "WITH", "RETURNING *", "pg_sleep(9)", "ATTACH", "PRAGMA", "COPY", "::", "E'", "\x00",
    "\u2028", "服务", "1e9", "CASE", "END", "OVER", "[", "]", "`", "?", "$1", ":x", "%", "NULL", "LIMIT 1",
    "DROP TABLE customer",
]  # fmt: skip


WORDS = sorted({word for query in QUERIES for word in query.split(" ")})


@st.composite
def edited_queries(draw: st.DrawFn) -> str:
    """A good query with some words left out, doubled, exchanged for others, or with a foreign token beside them."""
    words = draw(st.sampled_from(QUERIES)).split(" ")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(words) - 1))
        foreign = draw(st.sampled_from(TOKENS))
        edit = draw(st.sampled_from(["out", "double", "other", "foreign", "into"]))
        words[at : at + 1] = {
            "out": [],
            "double": [words[at]] * 2,
            "other": [draw(st.sampled_from(WORDS))],
            "foreign": [words[at], foreign],
            "into": [words[at][:2] + foreign + words[at][2:]],
        }[edit]
        words = words or ["SELECT"]
    return " ".join(words)


def test_edited_queries_never_crash_the_gate_and_never_write(tmp_path: Path) -> None:
    """1 000 random edits on each database: refused, failed, or run; the rows are as before."""
    with databases(tmp_path) as opened:
        for database in opened:
            dialect = database.dialect_name
            before = content(database)
            counts = {"refused": 0, "failed": 0, "run": 0}

            @settings(max_examples=1_000, deadline=None, database=None)
            @given(edited_queries())
            def try_one(text: str) -> None:
                try:
                    execute_query(database, check_query(text, dialect), QueryLimits(seconds=2, rows=10))  # noqa: B023
                    counts["run"] += 1  # noqa: B023
                except QueryRefused:
                    counts["refused"] += 1  # noqa: B023
                except QueryFailed:
                    counts["failed"] += 1  # noqa: B023

            try_one()
            assert content(database) == before
            assert min(counts.values()) > 5, counts
