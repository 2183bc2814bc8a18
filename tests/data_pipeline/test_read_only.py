"""Nothing that is done through a business database changes it, or the sessions of its other clients."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
from sqlalchemy.exc import SQLAlchemyError

from data_pipeline.database.connection import BusinessDatabase, open_database
from data_pipeline.database.execution import (
    Cancellation,
    QueryLimits,
    compile_query,
    execute_query,
    explain_query,
    limited_connection,
)
from data_pipeline.database.query_gate import Query, check_query
from data_pipeline.errors import QueryFailed
from tests.support.pooler import transaction_pooler
from tests.support.postgres import postgres_url  # noqa: F401 - a fixture
from tests.support.shop import CLI, Shop

TABLES = """
CREATE TABLE author (id int PRIMARY KEY, country text NOT NULL, born int, seen int NOT NULL DEFAULT 0);
INSERT INTO author SELECT n, 'country ' || n % 6, 1900 + n % 80 FROM generate_series(1, 90) AS n;
CREATE TABLE book (id int PRIMARY KEY, author_id int REFERENCES author (id), pages numeric);
INSERT INTO book SELECT n, 1 + n % 90, 100 + n % 37 FROM generate_series(1, 150) AS n;
CREATE VIEW long_book AS SELECT * FROM book WHERE pages > 120;
"""
SETTINGS = ("default_transaction_read_only", "statement_timeout", "search_path", "cursor_tuple_fraction")
KEPT_BY_SESSIONS = (
    "SELECT (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors WHERE name <> ''),"
    " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),"
    " (SELECT count(*) FROM pg_class WHERE relpersistence = 't')"
)


@pytest.fixture
def business(postgres_url: str) -> str:  # noqa: F811 - the fixture
    """A PostgreSQL database with two tables and a view."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(TABLES)
    return postgres_url


def session_of(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """Everything that a transaction may leave in a session."""
    settings = {name: connection.execute(f"SHOW {name}").fetchone() for name in SETTINGS}
    return {**settings, "kept": connection.execute(KEPT_BY_SESSIONS).fetchone()}


class OtherClient:
    """An application that goes on writing while a run reads."""

    def __init__(self, url: str) -> None:
        self.writes = 0
        self.session: dict[str, Any] = {}
        self._connection = psycopg.connect(url, autocommit=True, prepare_threshold=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def write(self) -> None:
        """Write a row, in the session that the pooler gives; it must be the one it always was."""
        session = session_of(self._connection)
        self.session = self.session or session
        assert session == self.session
        assert session["default_transaction_read_only"] == ("off",)
        assert session["statement_timeout"] == ("0",)
        assert self._connection.execute("UPDATE author SET seen = seen + 1 WHERE id = 1").rowcount == 1
        self.writes += 1

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Write again and again in another thread, at least twice. Raises what that met."""
        is_over, has_begun = threading.Event(), threading.Event()
        met: list[BaseException] = []

        def work() -> None:
            try:
                while not is_over.is_set():
                    self.write()
                    has_begun.set()
                    is_over.wait(0.02)  # a pause between two writes
                self.write()
            except BaseException as error:  # noqa: BLE001 - raised by the caller's thread
                met.append(error)
                has_begun.set()

        thread = threading.Thread(target=work)
        thread.start()
        has_begun.wait()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
        if met:
            raise met[0]


def test_complete_run_through_a_transaction_pooler_leaves_other_clients_as_they_were(
    business: str, tmp_path: Path
) -> None:
    """All clients share one session of the server: before, during and after the run an application can write."""
    shop = Shop(tmp_path)
    (tmp_path / "tables.txt").write_text("author\nbook\nlong_book\n")
    with transaction_pooler(business) as pooled, OtherClient(pooled) as other:
        other.write()
        with other.at_work():
            done = shop.call(CLI, "run", "--db-connection", pooled, "--table-list", "tables.txt", "--json")
        other.write()
        listed = shop.call(CLI, "doctor", DATA_PIPELINE_DATABASES__SHOP=pooled)
        other.write()

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["artifacts"]
    assert result["ddl_generation"]["processed_successfully"] == 3
    assert result["ddl_generation"]["not_profiled"] == {}
    assert result["qa_generation"]["total_questions"] > 10
    assert result["qa_generation"]["execution_success"] == 1
    assert "is readable" in listed.stdout
    assert other.writes >= 5


def test_failed_slow_and_cancelled_queries_through_a_pooler_leave_the_session_as_it_was(business: str) -> None:
    """A limit of time is that of one transaction, and a cancellation reaches one statement."""
    endless = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i > 0) SELECT COUNT(*) FROM n"
    with (
        transaction_pooler(business) as pooled,
        OtherClient(pooled) as other,
        open_database(pooled, statement_timeout_seconds=20) as database,
    ):
        other.write()
        for sql, kind in (("SELECT nothing FROM author", "unknown_column"), (endless, "timeout")):
            with pytest.raises(QueryFailed) as failed:
                execute_query(database, check_query(sql, "postgresql"), QueryLimits(seconds=0.3))
            assert failed.value.kind == kind
            other.write()
        cancellation = Cancellation()
        threading.Timer(0.3, cancellation.set).start()
        with pytest.raises(QueryFailed, match="cancelled"):
            execute_query(database, check_query(endless, "postgresql"), QueryLimits(60, cancellation=cancellation))
        other.write()
        for _ in range(12):  # more often than the driver would wait before it prepares a statement
            assert execute_query(database, check_query("SELECT id FROM author", "postgresql"), QueryLimits()).rows
        other.write()


def test_session_of_a_direct_connection_is_left_as_it_was(business: str) -> None:
    """Without a pooler, too: what holds is that of the transaction."""
    with psycopg.connect(business) as fresh:
        expected = session_of(fresh)
    with open_database(business, statement_timeout_seconds=7) as database:
        for _ in range(12):
            query = check_query("SELECT count(*) FROM author", "postgresql")
            execute_query(database, query, QueryLimits(seconds=3))
            compile_query(database, query.sql, QueryLimits(seconds=3))
            explain_query(database, query, QueryLimits(seconds=3))
        with database.connect() as connection:
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "7s"
            assert connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"
        with limited_connection(database, QueryLimits(seconds=3)) as connection:
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "3s"
        pooled = database.engine.raw_connection()
        raw = pooled.driver_connection
        assert isinstance(raw, psycopg.Connection)
        assert session_of(raw) == expected
        pooled.close()


OPENS_THE_WALL = "CREATE FUNCTION open_wall() RETURNS text LANGUAGE sql AS $$ {} $$"
WITH_A_DELETION = (
    "WITH opened AS MATERIALIZED (SELECT open_wall() AS o), gone AS (DELETE FROM book RETURNING (SELECT o FROM opened))"
)
ATTEMPTS = {
    "plain": ["DROP TABLE book CASCADE"],
    "ended first": ["COMMIT; DROP TABLE book CASCADE"],
    "rolled back first": ["ROLLBACK; DROP TABLE book CASCADE; BEGIN"],
    "behind a query": ["SELECT 1; COMMIT; DROP TABLE book CASCADE"],
    "a query of its own": ["COMMIT", "DROP TABLE book CASCADE"],
    "made writable": ["SET TRANSACTION READ WRITE", "DROP TABLE book CASCADE"],
    "made writable by its name": ["SET LOCAL transaction_read_only = off", "DROP TABLE book CASCADE"],
    "made writable for the session": ["SET transaction_read_only = off", "DROP TABLE book CASCADE"],
    "defaults": ["SET default_transaction_read_only = off", "COMMIT", "DROP TABLE book CASCADE"],
    "in a part of the transaction": ["SAVEPOINT s", "SET TRANSACTION READ WRITE", "DROP TABLE book CASCADE"],
    "by a function of the server": ["SELECT set_config('transaction_read_only', 'off', true)", "DELETE FROM book"],
    "by a function of the database": ["SELECT open_wall()", "DELETE FROM book"],
    "within one query": [f"{WITH_A_DELETION} SELECT count(*) FROM opened, gone"],
    "by a block": ["DO $$ BEGIN COMMIT; DELETE FROM book; END $$"],
    "by a copy": ["COPY book FROM '/dev/null'; COMMIT; DELETE FROM book"],
}


@pytest.mark.parametrize("texts", ATTEMPTS.values(), ids=ATTEMPTS)
def test_no_statement_gets_through_the_wall_of_postgresql(business: str, texts: list[str]) -> None:
    """Even texts that never saw the gate: the transaction stays read-only, and none of them ends it unseen."""
    with psycopg.connect(business, autocommit=True) as connection:
        connection.execute(OPENS_THE_WALL.format("SELECT set_config('transaction_read_only', 'off', true)"))
    with open_database(business) as database:
        with pytest.raises(SQLAlchemyError), database.connect() as opened:
            for text in texts:
                opened.execution_options(no_parameters=True).exec_driver_sql(text)
        for act in (execute_query, explain_query, compiled):
            with contextlib.suppress(QueryFailed):  # it may be one harmless statement
                for text in texts:
                    act(database, unchecked(text, database), QueryLimits())
    with psycopg.connect(business) as connection:
        assert connection.execute("SELECT count(*) FROM book").fetchone() == (150,)


def unchecked(text: str, database: BusinessDatabase) -> Query:
    """A query that never saw the gate."""
    dialect = database.dialect_name
    return Query(text, dialect, (), check_query("SELECT 1", "sqlite").expression)


def compiled(database: BusinessDatabase, query: Query, limits: QueryLimits) -> None:
    """What compiling does with its text."""
    compile_query(database, query.sql, limits)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[BusinessDatabase]:
    """A SQLite file with a table."""
    connection = sqlite3.connect(tmp_path / "books.sqlite")
    connection.executescript("CREATE TABLE book (id INTEGER PRIMARY KEY); INSERT INTO book VALUES (1)")
    connection.close()
    with open_database(f"sqlite:///{tmp_path / 'books.sqlite'}") as database:
        yield database


@pytest.mark.parametrize("name", ["new.sqlite", "file:new.sqlite?mode=rwc", ":memory:", ""])
def test_no_other_file_is_attached_to_a_sqlite_file(file: BusinessDatabase, tmp_path: Path, name: str) -> None:
    """An attached file would be opened for writing: read-only is a property of one file."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SQLAlchemyError, match="too many attached"), file.connect() as connection:
        target = name.replace("new.sqlite", str(tmp_path / "new.sqlite"))
        connection.exec_driver_sql(f"ATTACH '{target}' AS other")

    assert sorted(tmp_path.iterdir()) == before


def test_what_one_caller_sets_in_sqlite_does_not_reach_the_next(file: BusinessDatabase) -> None:
    """The pool hands the same connection on; its wall and its limits are new each time."""
    read: dict[str, Callable[[Any], Any]] = {
        "wall": lambda connection: connection.exec_driver_sql("PRAGMA query_only").scalar(),
        "length": lambda connection: connection.connection.driver_connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH),
        "itself": lambda connection: id(connection.connection.driver_connection),
    }
    with file.connect() as connection:
        first = {name: look(connection) for name, look in read.items()}
        connection.exec_driver_sql("PRAGMA query_only = OFF")
    with limited_connection(file, QueryLimits(value_bytes=1000)) as connection:
        assert read["length"](connection) == 1000
    with file.connect() as connection:
        second = {name: look(connection) for name, look in read.items()}

    assert first["wall"] == 1
    assert second == first
