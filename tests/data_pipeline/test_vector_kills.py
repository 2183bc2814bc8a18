"""kill -9 of the real process, while it loads and while it restores: the old content or the new one, nothing twice."""

from __future__ import annotations

import os
import pickle
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.config.vector_place import VectorPlace
from data_pipeline.vectors.store.contract import VectorStore
from data_pipeline.vectors.store.opening import open_vector_store
from tests.crash.campaign import SEED
from tests.support.postgres import fresh_database
from tests.support.warm import warm_pipeline

KILLS = int(os.environ.get("VECTOR_KILLS", "20"))
ITEMS = 1_500

LOADS = """
import sys
from data_pipeline.config.vector_place import VectorPlace
from data_pipeline.vectors.store.contract import Holding, Item, Load
from data_pipeline.vectors.store.opening import open_vector_store
url, edition, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = open_vector_store(VectorPlace(url))
items = [Item("documentation", "shop", f"page {n} of {'all' if n % 3 else edition}") for n in range(count)]
print("ready", flush=True)
for start in range(0, count, 100):
    part = {item.id: item for item in items[start : start + 100]}
    fresh = [part[one] for one in store.claim("task_1", list(part))]
    if fresh:
        store.stage("task_1", fresh, store.embedder.embed([item.passage for item in fresh]))
store.commit(Load("task_1", f"run_{edition}", [Holding(item.id, "a_detail.md") for item in items]))
"""
"""Loads an edition of a task: a third of its items differ from any other edition's."""

RESTORES = """
import pickle, sys
from data_pipeline.config.vector_place import VectorPlace
from data_pipeline.vectors.store.opening import open_vector_store
store = open_vector_store(VectorPlace(sys.argv[1]))
with open(sys.argv[2], "rb") as file:
    items = pickle.load(file)
print("ready", flush=True)
store.replace_with(iter(items))
"""
"""Puts a dump in the place of everything."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a store may be made."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'vectors.sqlite'}"
    else:
        with fresh_database() as database:
            yield database


def completed(program: str, *arguments: str) -> float:
    """Run it to its end; the seconds that it took."""
    began = time.monotonic()
    done = warm_pipeline().run(program, *arguments)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - began


def killed(program: str, *arguments: str, after_seconds: float) -> None:
    """Kill it so many seconds after it has come as far as its work."""
    warm_pipeline().run(program, *arguments, kill_after_seconds=after_seconds, waits_for_line=True)


def content_of(store: VectorStore) -> list[tuple[str, bytes, Any]]:
    return [(one.item.content, one.vector.tobytes(), list(one.holders)) for one in store.dump()]


def look(url: str) -> list[tuple[str, bytes, Any]]:
    """What a store holds, opened anew; nothing is there twice, and its counts are right."""
    store = open_vector_store(VectorPlace(url))
    try:
        found = content_of(store)
        assert len({content for content, _, _ in found}) == len(found)
        assert store.content().total == len(found)
        return found
    finally:
        store.close()


def test_load_killed_at_random_times_leaves_the_old_content_or_the_new(url: str) -> None:
    """Every item of it; and the next load ends where it should, from whatever was left."""
    seconds = completed(LOADS, url, "first", str(ITEMS))
    now = look(url)
    chosen = random.Random(SEED)
    outcomes = []
    for number in range(KILLS):
        before = now
        edition = f"edition {number}"
        killed(LOADS, url, edition, str(ITEMS), after_seconds=chosen.uniform(0, 1.2 * seconds))
        now = look(url)
        is_old = now == before
        new = {f"page {n} of {'all' if n % 3 else edition}" for n in range(ITEMS)}
        assert is_old or {content for content, _, _ in now} == new, f"kill {number}, CRASH_SEED={SEED}"
        outcomes.append(is_old)
    completed(LOADS, url, "last", str(ITEMS))

    assert {content for content, _, _ in look(url)} == {
        f"page {n} of {'all' if n % 3 else 'last'}" for n in range(ITEMS)
    }
    assert any(outcomes), "no kill came in time"


def test_restore_killed_at_random_times_leaves_the_old_content_or_the_new(url: str, tmp_path: Path) -> None:
    """Never an empty store, never a part; and the next restore succeeds."""
    dumps = []
    for edition in ("one", "two"):
        completed(LOADS, url, edition, str(ITEMS))
        store = open_vector_store(VectorPlace(url))
        path = tmp_path / f"{edition}.pickle"
        path.write_bytes(pickle.dumps(list(store.dump())))
        dumps.append((path, content_of(store)))
        store.close()
    seconds = completed(RESTORES, url, str(dumps[0][0]))
    now = dumps[0][1]
    chosen = random.Random(f"{SEED} restore")
    outcomes = []
    for number in range(KILLS):
        before = now
        path, restored = dumps[1] if before == dumps[0][1] else dumps[0]
        killed(RESTORES, url, str(path), after_seconds=chosen.uniform(0, 1.2 * seconds))
        now = look(url)
        assert now in (before, restored), f"kill {number}, CRASH_SEED={SEED}"
        outcomes.append(now == before)
    completed(RESTORES, url, str(dumps[1][0]))

    assert look(url) == dumps[1][1]
    assert any(outcomes), "no kill came in time"
