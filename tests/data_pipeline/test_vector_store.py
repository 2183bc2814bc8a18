"""What every vector store promises: the same suite over SQLite and over PostgreSQL with pgvector."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.config.vector_place import EmbeddingEndpoint, VectorPlace
from data_pipeline.errors import EmbedderMismatch, InvalidInput, ItemsMissing, StoreUnavailable
from data_pipeline.vectors.embedding.contract import Passage
from data_pipeline.vectors.store import postgres
from data_pipeline.vectors.store.contract import (
    Holding,
    Item,
    Load,
    Loaded,
    Question,
    StoredItem,
    VectorStore,
    normalised,
    pair_content,
)
from data_pipeline.vectors.store.opening import look_at_vector_store, open_vector_store
from tests.support.paraphrases import paraphrases
from tests.support.postgres import fresh_database

PAIRS = [Item("sql", "shop", pair_content(plan.stored, plan.sql)) for plan in paraphrases("en")[:60]]
PAGES = [Item("documentation", "shop", f"## t{number}\na page about table {number}") for number in range(5)]
OTHER = Item("ddl", "sales", "create table region (id integer primary key);")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a store may be made."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'vectors.sqlite'}"
    else:
        with fresh_database() as database:
            yield database


@pytest.fixture
def store(url: str) -> Iterator[VectorStore]:
    with opened(url) as store:
        yield store


@contextlib.contextmanager
def opened(url: str) -> Iterator[VectorStore]:
    store = open_vector_store(VectorPlace(url))
    try:
        yield store
    finally:
        store.close()


def load(store: VectorStore, task_id: str, *items: Item, run_id: str = "r1", **options: Any) -> Loaded:
    """Load a task as its step does."""
    by_id = {item.id: item for item in items}
    fresh = [by_id[one] for one in store.claim(task_id, list(by_id))]
    store.stage(task_id, fresh, store.embedder.embed([item.passage for item in fresh]))
    return store.commit(Load(task_id, run_id, [Holding(one, "a.file", {"n": 1}) for one in by_id], **options))


def everything(store: VectorStore) -> list[tuple[str, bytes, Any]]:
    """All that is held: ids, the bytes of the vectors, holders."""
    return [(one.item.id, one.vector.tobytes(), list(one.holders)) for one in store.dump()]


def test_loading_again_changes_nothing(store: VectorStore) -> None:
    """Ids, bytes of vectors, counts: all as before, and nothing there twice."""
    first = load(store, "task_1", *PAIRS, *PAGES)
    before = everything(store)
    second = load(store, "task_1", *PAIRS, *PAGES, run_id="r2")

    assert (first, second) == (Loaded(65, 0, 0), Loaded(0, 0, 0))
    assert everything(store) == before
    assert len({one for one, _, _ in before}) == len(before) == 65
    assert dict(store.content().items) == {"documentation": 5, "sql": 60}


def test_edit_changes_exactly_the_edited_items(store: VectorStore) -> None:
    """One item leaves, one comes; the vectors of all others keep their bytes."""
    load(store, "task_1", *PAGES)
    before = everything(store)
    edited = Item("documentation", "shop", "## t0\na page about customers")
    loaded = load(store, "task_1", edited, *PAGES[1:])
    after = everything(store)

    assert loaded == Loaded(1, 1, 1)
    known = {one for one, _, _ in before}
    assert [one for one, _, _ in after if one not in known] == [edited.id]
    assert len(after) == 5
    assert [one for one in before if one not in after] == [one for one in before if one[0] == PAGES[0].id]


def test_item_goes_with_the_last_task_that_held_it(store: VectorStore) -> None:
    """Two tasks hold it: it has two holders, and one vector."""
    load(store, "task_1", PAGES[0], PAGES[1])
    load(store, "task_2", PAGES[0])
    (shared,) = [one for one in store.dump() if one.item == PAGES[0]]
    first = load(store, "task_1", PAGES[1])
    second = load(store, "task_2")

    assert [task for task, _ in shared.holders] == ["task_1", "task_2"]
    assert (first, second) == (Loaded(0, 1, 0), Loaded(0, 1, 1))
    assert [one.item for one in store.dump()] == [PAGES[1]]


def test_what_is_staged_is_seen_by_nobody_and_swept_by_nobody(store: VectorStore) -> None:
    """Another task's commit does not take it away; its own makes it visible."""
    load(store, "task_2", PAGES[4])
    store.stage("task_1", PAGES[:2], store.embedder.embed([page.passage for page in PAGES[:2]]))
    load(store, "task_2", PAGES[3])

    assert [one.item for one in store.dump()] == [PAGES[3]]
    assert [found.item for found in store.search(Question("page about table", limit=9))] == [PAGES[3]]
    assert store.claim("task_1", [page.id for page in PAGES[:3]]) == [PAGES[2].id]
    assert store.commit(Load("task_1", "r1", [Holding(page.id, "f") for page in PAGES[:2]])) == Loaded(2, 0, 0)
    assert store.content().total == 3


def test_claimed_item_stays_when_its_holder_drops_it(store: VectorStore) -> None:
    """Between the look and the commit another task may let it go."""
    load(store, "task_1", PAGES[0])
    assert store.claim("task_2", [PAGES[0].id]) == []
    load(store, "task_1")

    assert store.commit(Load("task_2", "r1", [Holding(PAGES[0].id, "f")])) == Loaded(1, 0, 0)


def test_commit_of_what_is_not_there_changes_nothing(store: VectorStore) -> None:
    """By name: loaded is what was expected, or nothing is."""
    load(store, "task_1", PAGES[0])
    before = everything(store)
    with pytest.raises(ItemsMissing) as caught:
        store.commit(Load("task_1", "r2", [Holding(PAGES[1].id, "f"), Holding(PAGES[0].id, "f")]))

    assert caught.value.ids == (PAGES[1].id,)
    assert everything(store) == before


def test_load_that_replaces_all_does_so_once(store: VectorStore) -> None:
    """A run killed after its commit commits again: what another task loaded meanwhile stays."""
    load(store, "task_2", *PAGES[1:])
    load(store, "task_1", PAGES[0], run_id="r1", replaces_all=True)
    only = [one.item for one in store.dump()]
    load(store, "task_2", PAGES[4])
    load(store, "task_1", PAGES[0], run_id="r1", replaces_all=True)

    assert only == [PAGES[0]]
    assert {one.item for one in store.dump()} == {PAGES[0], PAGES[4]}
    assert load(store, "task_1", PAGES[0], run_id="r2", replaces_all=True) == Loaded(0, 0, 1)


def test_search_finds_the_nearest_and_says_who_holds_it(store: VectorStore) -> None:
    """Best first, scores at most one, with the file it stands in."""
    load(store, "task_1", *PAIRS, *PAGES, OTHER)
    plan = paraphrases("en")[7]
    found = store.search(Question(plan.stored, limit=4))

    assert found[0].item == PAIRS[7]
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert 0.8 < found[0].score <= 1.00001
    assert found[0].holders == [("task_1", Holding(PAIRS[7].id, "a.file", {"n": 1}))]


def test_search_is_limited_by_kind_task_and_database(store: VectorStore) -> None:
    """Alone and together; where nothing is left, nothing is found."""
    load(store, "task_1", *PAIRS, *PAGES)
    load(store, "task_2", OTHER, PAGES[0])

    def found(**limits: Any) -> set[Item]:
        return {one.item for one in store.search(Question("table", limit=200, **limits))}

    assert found() == {*PAIRS, *PAGES, OTHER}
    assert found(kinds=["ddl", "documentation"]) == {*PAGES, OTHER}
    assert found(task_id="task_2") == {OTHER, PAGES[0]}
    assert found(database="sales") == {OTHER}
    assert found(database="shop", task_id="task_2", kinds=["documentation"]) == {PAGES[0]}
    assert found(database="nowhere") == found(task_id="task_9") == set()
    assert store.search(Question("", limit=3))


def test_search_of_an_empty_store_finds_nothing(store: VectorStore) -> None:
    """And is no error."""
    assert store.search(Question("anything")) == []
    assert list(store.dump()) == []


def test_both_stores_rank_alike(tmp_path: Path) -> None:
    """The same items, the same scores, whatever is behind them."""
    found = []
    with fresh_database() as database:
        for url in (f"sqlite:///{tmp_path / 'v.sqlite'}", database):
            with opened(url) as store:
                load(store, "task_1", *PAIRS, *PAGES)
                results = store.search(Question("which shops have the highest rent?", limit=10))
                found.append([(one.item.id, round(one.score, 5)) for one in results])

    assert found[0] == found[1]


def test_other_process_sees_what_was_loaded(url: str) -> None:
    """Vectors in memory are read again when the store has changed."""
    with opened(url) as first, opened(url) as second:
        load(first, "task_1", PAGES[0])
        assert [one.item for one in second.search(Question("page"))] == [PAGES[0]]
        load(first, "task_1", PAGES[1])

        assert [one.item for one in second.search(Question("page"))] == [PAGES[1]]


def test_restored_content_is_identical(store: VectorStore) -> None:
    """Everything that was there takes the place of everything that is; half a dump changes nothing."""
    load(store, "task_1", *PAIRS, *PAGES)
    load(store, "task_2", PAGES[0], OTHER)
    before, kept = everything(store), list(store.dump())
    load(store, "task_3", Item("ddl", "x", "create table x ();"), replaces_all=True)
    changed = everything(store)

    def torn() -> Iterator[StoredItem]:
        yield from kept[:10]
        raise InvalidInput("backup", "torn")

    with pytest.raises(InvalidInput, match="torn"):
        store.replace_with(torn())
    assert everything(store) == changed
    content = store.replace_with(iter(kept))

    assert everything(store) == before
    assert (content.total, content.task_count) == (66, 2)
    assert store.search(Question(paraphrases("en")[3].stored, limit=1))[0].item == PAIRS[3]
    assert load(store, "task_1", *PAIRS, *PAGES) == Loaded(0, 0, 0)


def test_counts_of_dimensions_are_those_of_the_vectors(store: VectorStore) -> None:
    """However items came and went: loaded, dropped, restored."""
    load(store, "task_1", *PAIRS, *PAGES)
    load(store, "task_1", *PAIRS[:20], OTHER)
    kept = list(store.dump())
    load(store, "task_1", *PAGES)
    store.replace_with(iter(kept))
    load(store, "task_2", PAGES[0])
    vectors = np.stack([one.vector for one in store.dump()])
    with store._reading() as connection:  # type: ignore[attr-defined]
        corpus = store._corpus(connection)  # type: ignore[attr-defined]

    assert corpus.size == len(vectors)
    assert (corpus.frequencies == np.count_nonzero(vectors, axis=0)).all()


def test_many_loads_at_once_lose_nothing(url: str) -> None:
    """Writers take turns; each task ends with what it loaded."""
    failed: list[BaseException] = []
    with opened(url) as store:

        def work(number: int) -> None:
            try:
                for turn in range(4):
                    load(store, f"task_{number}", *PAIRS[number * 5 : number * 5 + 10], run_id=f"r{turn}")
            except BaseException as error:  # noqa: BLE001 - a thread's error must reach the test
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failed == []
        for number in range(6):
            wanted = {item.id for item in PAIRS[number * 5 : number * 5 + 10]}
            assert {holding.item_id for holding in store.holdings(f"task_{number}")} == wanted
        assert store.content().total == 35


def test_vectors_of_another_embedder_are_refused(url: str) -> None:
    """With what to do; what is there stays as it is."""
    endpoint = EmbeddingEndpoint("http://127.0.0.1:9/v1", "other", 1024)
    with opened(url) as store:
        load(store, "task_1", *PAGES)
        before = everything(store)
    for refused in (open_vector_store, look_at_vector_store):
        with pytest.raises(EmbedderMismatch, match="hashed-words, version 1, 1024 dimensions; configured is other"):
            refused(VectorPlace(url, endpoint))
    with opened(url) as store:
        assert everything(store) == before


def test_look_makes_nothing(url: str, tmp_path: Path) -> None:
    """It says what there is."""
    assert look_at_vector_store(VectorPlace(url)) is None
    assert list(tmp_path.iterdir()) == []
    with opened(url) as store:
        load(store, "task_1", *PAGES)
    look = look_at_vector_store(VectorPlace(url))

    assert look is not None
    assert look.item_count == 5


def change(url: str, statement: str) -> None:
    """As somebody would who has the file or the server in hand."""
    path = url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path) if path != url else psycopg.connect(url)) as connection:
        connection.execute(statement)
        connection.commit()


def test_store_of_a_newer_program_is_refused(url: str) -> None:
    """It is not touched."""
    with opened(url):
        change(url, "UPDATE vector_store SET schema_version = 99")
    for refused in (open_vector_store, look_at_vector_store):
        with pytest.raises(StoreUnavailable, match="newer version"):
            refused(VectorPlace(url))


def test_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Also what SQLite writes beside it."""
    with opened(f"sqlite:///{tmp_path / 'vectors.sqlite'}") as store:
        load(store, "task_1", *PAGES)
        modes = {path.name: stat.S_IMODE(os.stat(path).st_mode) for path in tmp_path.iterdir()}

    assert modes["vectors.sqlite"] == 0o600
    assert set(modes.values()) == {0o600}


def test_database_that_is_not_there_is_told_without_its_password() -> None:
    """One sentence."""
    for opens in (open_vector_store, look_at_vector_store):
        with pytest.raises(StoreUnavailable) as caught:
            opens(VectorPlace("postgresql://me:sesame@127.0.0.1:1/x"))
        assert "sesame" not in str(caught.value)
    with pytest.raises(StoreUnavailable, match="not supported"):
        open_vector_store(VectorPlace("mysql://x/y"))
    with pytest.raises(StoreUnavailable, match="cannot be created"):
        open_vector_store(VectorPlace("sqlite:////proc/nothing/v.sqlite"))


def test_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    """And stays what it is."""
    (tmp_path / "v.sqlite").write_text("some text that is no database, and long enough to be looked at as one" * 30)
    before = (tmp_path / "v.sqlite").read_bytes()
    for opens in (open_vector_store, look_at_vector_store):
        with pytest.raises(StoreUnavailable, match="not a database"):
            opens(VectorPlace(f"sqlite:///{tmp_path / 'v.sqlite'}"))

    assert (tmp_path / "v.sqlite").read_bytes() == before


def indexes(url: str) -> dict[str, str]:
    """The definitions of the indexes that find the nearest."""
    with psycopg.connect(url) as session:
        rows = session.execute("SELECT indexname, indexdef FROM pg_indexes WHERE indexdef LIKE '%hnsw%'")
        return dict(rows.fetchall())


def results(store: VectorStore, **limits: Any) -> list[tuple[str, float]]:
    return [(one.item.id, round(one.score, 5)) for one in store.search(Question("rent by company", limit=5, **limits))]


def test_large_store_in_postgresql_has_an_index_that_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a size on, with the scores of whole vectors; searches with a filter go on until they have enough."""
    with fresh_database() as url, opened(url) as store:
        load(store, "task_1", *PAIRS, *PAGES, OTHER)
        exact, of_kind = results(store), results(store, kinds=["documentation"])
        before = indexes(url)
        monkeypatch.setattr(postgres, "IN_MEMORY_BYTES", 50 * 4096)
        load(store, "task_2", PAGES[0])

        assert before == {}
        assert ["halfvec" in definition for definition in indexes(url).values()] == [True]
        assert results(store) == exact
        assert results(store, kinds=["documentation"]) == of_kind
        assert len(of_kind) == 5
        assert results(store, task_id="task_2") == [one for one in of_kind if one[0] == PAGES[0].id]
        assert results(store, database="nowhere") == []
        assert [one[0] for one in results(store, database="sales")] == [OTHER.id]


def test_search_right_after_a_large_load_is_planned_for_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics are there with the index; without them the planner read every vector until autovacuum had come."""
    monkeypatch.setattr(postgres, "IN_MEMORY_BYTES", 50 * 4096)
    with fresh_database() as url, opened(url) as store:
        load(store, "task_1", *PAIRS)
        with psycopg.connect(url) as session:
            rows = session.execute("SELECT DISTINCT tablename FROM pg_stats WHERE tablename LIKE 'vector_%'")
            known = {name for (name,) in rows}

    assert {"vector_items", "vector_holdings"} <= known


def test_vectors_in_postgresql_are_compressed() -> None:
    """Most of their numbers are zero."""
    with fresh_database() as url, opened(url) as store, psycopg.connect(url) as session:
        load(store, "task_1", *PAIRS)
        (largest,) = session.execute("SELECT max(pg_column_size(vector)) FROM vector_items").fetchone() or (0,)

    assert 0 < largest < 2_000


def test_index_of_an_older_store_is_searched_until_a_load_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of whole vectors goes: where the store is small for good, else when there is the new one."""
    old = "CREATE INDEX vector_items_nearest ON vector_items USING hnsw (vector vector_ip_ops)"
    with fresh_database() as url, opened(url) as store, psycopg.connect(url, autocommit=True) as session:
        load(store, "task_1", *PAIRS, *PAGES)
        exact = results(store)
        session.execute(old)
        small = results(store)
        load(store, "task_1", *PAIRS, *PAGES)
        without = indexes(url)
        session.execute(old)
        monkeypatch.setattr(postgres, "IN_MEMORY_BYTES", 50 * 4096)
        large = results(store)
        load(store, "task_1", *PAIRS, *PAGES)

        assert without == {}
        assert list(indexes(url)) == ["vector_items_nearest_half"]
        assert small == large == results(store) == exact


def test_database_that_fails_under_a_search_is_told(url: str) -> None:
    """Whoever asked it, SQLAlchemy or the driver itself."""
    with opened(url) as store:
        load(store, "task_1", *PAGES)
        change(url, "ALTER TABLE vector_items RENAME COLUMN vector TO lost")
        with pytest.raises(StoreUnavailable, match="vector"):
            store.search(Question("page"))


@given(
    st.text(st.characters(exclude_characters="\r", codec="utf-8")),
    st.sampled_from(["ddl", "documentation"]),
    st.text(max_size=5),
)
def test_id_follows_from_what_an_item_says(content: str, kind: Any, database: str) -> None:
    """Ends of lines and spaces at them say nothing; everything else does."""
    item = Item(kind, database, content)
    spaced = Item(kind, database, "\r\n" + content.replace("\n", "  \r\n") + " \n")

    assert normalised(normalised(content)) == normalised(content)
    assert item.id == spaced.id
    assert item.id != Item("sql", database, content).id
    assert item.id != Item(kind, database + "x", content).id
    assert item.id != Item(kind, database, content + "x").id


def test_passage_of_a_pair_is_its_question_and_its_sql() -> None:
    """Of everything else the text."""
    assert Item("sql", "d", pair_content("有多少？", "SELECT 1")).passage == Passage("有多少？", "SELECT 1")
    assert Item("ddl", "d", "create").passage == Passage("create")
