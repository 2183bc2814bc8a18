"""The transactions of the application's own databases, on SQLite and on PostgreSQL."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from data_pipeline.errors import StoreUnavailable
from data_pipeline.store.own_database import DatabaseRole, OwnDatabase
from tests.support.postgres import fresh_database

ROLE = DatabaseRole("store of a test", "SOME_SETTING")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnDatabase]:
    with contextlib.ExitStack() as stack:
        is_sqlite = request.param == "sqlite"
        url = f"sqlite:///{tmp_path / 'own.sqlite'}" if is_sqlite else stack.enter_context(fresh_database())
        with OwnDatabase.open(url, ROLE).closing() as opened:
            with opened.writing() as connection:
                connection.execute(text("CREATE TABLE numbers (number INTEGER)"))
            yield opened


def add(connection: Connection, number: int) -> None:
    connection.execute(text("INSERT INTO numbers VALUES (:number)"), {"number": number})


def numbers_in(connection: Connection) -> list[int]:
    return list(connection.execute(text("SELECT number FROM numbers ORDER BY number")).scalars())


def test_reader_waits_for_no_writer_and_sees_one_moment(database: OwnDatabase) -> None:
    """What is committed meanwhile is not seen, not even by a later statement."""
    with database.reading() as reader:
        assert numbers_in(reader) == []
        with database.writing() as writer:
            add(writer, 1)
            assert numbers_in(reader) == []
        assert numbers_in(reader) == []
    with database.reading() as reader:
        assert numbers_in(reader) == [1]


def test_failed_transaction_undoes_changes_of_rows_and_of_tables(database: OwnDatabase) -> None:
    """A migration that fails leaves nothing behind."""
    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        add(connection, 1)
        connection.execute(text("CREATE TABLE other (number INTEGER)"))
        raise ZeroDivisionError
    with database.reading() as connection:
        assert numbers_in(connection) == []
        assert not inspect(connection).has_table("other")


@pytest.mark.parametrize("is_explicit", [True, False])
def test_writers_that_read_first_wait_for_each_other(tmp_path: Path, *, is_explicit: bool) -> None:
    """Also those of a library that begins its transactions itself: none fails because SQLite is locked."""
    with OwnDatabase.open(f"sqlite:///{tmp_path / 'own.sqlite'}", ROLE).closing() as database:
        with database.writing() as connection:
            connection.execute(text("CREATE TABLE numbers (number INTEGER)"))
        begin = database.writing if is_explicit else database.engine.begin
        together = threading.Barrier(4)
        failures: list[SQLAlchemyError] = []

        def add_many(first: int) -> None:
            together.wait()
            try:
                for number in range(first, first + 25):
                    with begin() as connection:
                        numbers_in(connection)
                        add(connection, number)
            except SQLAlchemyError as error:
                failures.append(error)

        threads = [threading.Thread(target=add_many, args=(100 * number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with database.reading() as connection:
            assert (failures, len(numbers_in(connection))) == ([], 100)


def test_error_of_the_database_is_one_sentence_with_the_setting(database: OwnDatabase) -> None:
    """SQLAlchemy's own text has the statement and its values."""
    with pytest.raises(StoreUnavailable) as caught, database.translating_errors(), database.reading() as connection:
        connection.execute(text("SELECT :secret FROM missing"), {"secret": "sesame"})

    assert str(caught.value).startswith(f"The store of a test {database.label} cannot be used: ")
    assert "Correct SOME_SETTING" in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_missing_file_is_not_created_to_read_it(tmp_path: Path) -> None:
    """Nor its folder."""
    assert OwnDatabase.open_existing(f"sqlite:///{tmp_path / 'home' / 'own.sqlite'}", ROLE) is None
    assert list(tmp_path.iterdir()) == []
