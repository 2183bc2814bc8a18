"""Backups of the vector store: identical content comes back, a damaged one is refused, and nothing else is read."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from data_pipeline.config.vector_place import EmbeddingEndpoint, VectorPlace
from data_pipeline.errors import BackupDamaged, EmbedderMismatch, InvalidInput, NotFound, TaskBusy
from data_pipeline.tasks.parameters import RunOptions
from data_pipeline.tasks.sealed import seal, unsealed
from data_pipeline.tasks.workspace import open_workspace
from data_pipeline.vectors.backup.catalogue import BackupPlace, backups_in, place_named, place_of_task, places
from data_pipeline.vectors.backup.create import VectorBackup
from data_pipeline.vectors.backup.keeping import keep_backup
from data_pipeline.vectors.backup.restore import restore_backup
from data_pipeline.vectors.store.contract import VectorStore
from data_pipeline.vectors.store.opening import open_vector_store
from tests.support.postgres import fresh_database
from tests.support.server import API, data
from tests.support.service import execute, new_task, refused
from tests.support.shop import CLI, Shop
from tests.support.training import PAIRS, Training


@pytest.fixture(params=["sqlite", "postgresql"])
def training(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Training]:
    """A task that is loaded, in a store of each kind."""
    if request.param == "sqlite":
        yield loaded(Training(tmp_path, f"sqlite:///{tmp_path / 'vectors.sqlite'}"))
    else:
        with fresh_database() as url:
            yield loaded(Training(tmp_path, url))


@pytest.fixture
def local(tmp_path: Path) -> Training:
    return loaded(Training(tmp_path, f"sqlite:///{tmp_path / 'vectors.sqlite'}"))


def loaded(training: Training, **options: Any) -> Training:
    result = asyncio.run(training.executor(**options).execute_complete_workflow())
    assert result["success"], result["error"]
    return training


@pytest.fixture
def store(local: Training) -> Iterator[VectorStore]:
    store = open_vector_store(local.place)
    yield store
    store.close()


def root_of(training: Training) -> str:
    return str(training.task.parent)


def keep(training: Training, task_id: str | None = "task_1", number: int = 1) -> VectorBackup:
    store = open_vector_store(training.place)
    try:
        return keep_backup(store, root_of(training), task_id, backup_id=f"vectors_{number}")
    finally:
        store.close()


def restore(training: Training, timestamp: str, backup_path: str = "task_1/vector_bak") -> None:
    store = open_vector_store(training.place)
    try:
        restore_backup(store, place_named(root_of(training), backup_path), timestamp)
    finally:
        store.close()


def content_of(training: Training) -> list[Any]:
    return [(one.item, one.vector.tobytes(), list(one.holders)) for one in training.stored()]


@pytest.mark.parametrize("task_id", ["task_1", None])
def test_backup_then_truncation_then_restore_brings_identical_content_back(
    training: Training, task_id: str | None
) -> None:
    """Items, the bytes of their vectors, who holds them; from a task's folder, and from that of no task."""
    before = content_of(training)
    made = keep(training, task_id)
    loaded(training, pairs=PAIRS[:1], options=RunOptions(truncate_vector_tables=True))
    changed = content_of(training)
    restore(training, made.manifest.timestamp, "vector_bak" if task_id is None else "task_1/vector_bak")

    assert changed != before
    assert content_of(training) == before
    assert made.manifest.item_count == len(before) == 10
    assert made.manifest.items_by_kind == {"ddl": 2, "documentation": 4, "sql": 4}


def test_backup_of_one_kind_of_store_is_restored_into_the_other(tmp_path: Path) -> None:
    """The file says nothing of what was behind it."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = loaded(Training(tmp_path / "a", f"sqlite:///{tmp_path / 'a' / 'v.sqlite'}"))
    made = keep(first)
    with fresh_database() as url:
        first_content = content_of(first)
        first.place = VectorPlace(url)
        restore(first, made.manifest.timestamp)

        assert content_of(first) == first_content


def test_backup_made_by_a_run_is_listed_and_restored(local: Training) -> None:
    """As any other; a complete run does not move it away."""
    before = content_of(local)
    loaded(local, options=RunOptions(truncate_vector_tables=True), pairs=PAIRS[:2])
    loaded(local, pairs=PAIRS[:1])
    (place,) = places(root_of(local))
    (listed,) = backups_in(place)
    restore(local, listed.timestamp, place.relative_path)

    assert content_of(local) == before
    assert (place.type, place.relative_path, listed.problem) == ("task", "task_1/vector_bak", None)


def test_files_of_a_backup_are_their_owners_alone_and_two_in_a_second_have_their_own_names(local: Training) -> None:
    """Nothing is overwritten."""
    names = {file.name for number in range(3) for file in keep(local, number=number).files}
    folder = local.task / "vector_bak"

    assert {path.name for path in folder.iterdir()} == names
    assert len(names) == 6
    assert len(backups_in(place_of_task(root_of(local), "task_1"))) == 3


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def resealed(folder: Path, **changes: Any) -> None:
    """A manifest that says something else, sealed as if it had been written so."""
    (path,) = folder.glob("*_manifest.json")
    content = unsealed(path.read_bytes())
    assert content is not None
    path.write_bytes(seal({**content, **changes}))


def flip_a_bit(folder: Path) -> None:
    (path,) = folder.glob("*.jsonl")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"customers are there")] ^= 1
    path.write_bytes(bytes(raw))


def cut_the_tail(folder: Path) -> None:
    (path,) = folder.glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-200])


def drop_a_line(folder: Path) -> None:
    (path,) = folder.glob("*.jsonl")
    write_lines(path, lines_of(path)[:-1])


def repeat_a_line(folder: Path) -> None:
    (path,) = folder.glob("*.jsonl")
    write_lines(path, [*lines_of(path)[:1], *lines_of(path)])


def shorten_a_vector(folder: Path) -> None:
    (path,) = folder.glob("*.jsonl")
    lines = lines_of(path)
    lines[3]["vector"] = base64.b64encode(b"\0" * 8).decode()
    write_lines(path, lines)


def orphan_an_item(folder: Path) -> None:
    (path,) = folder.glob("*.jsonl")
    lines = lines_of(path)
    lines[0]["holders"] = []
    write_lines(path, lines)


def edit_the_manifest(folder: Path) -> None:
    (path,) = folder.glob("*_manifest.json")
    path.write_text(path.read_text().replace('"item_count": 10', '"item_count": 11'))


def remove_the_items(folder: Path) -> None:
    (path,) = folder.glob("*.jsonl")
    path.unlink()


def link_the_items(folder: Path) -> None:
    (path,) = folder.glob("*.jsonl")
    target = folder / "elsewhere"
    path.rename(target)
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip_a_bit, "its content does not match its id"),
        (cut_the_tail, "line 10 of .*: not an item"),
        (drop_a_line, "SHA-256"),
        (repeat_a_line, "line 2 of .* is a duplicate"),
        (shorten_a_vector, "line 4 of .*: its vector must have 1024 finite numbers"),
        (orphan_an_item, "line 1 of .*: it has no holders"),
        (edit_the_manifest, "its manifest was changed"),
        (remove_the_items, "cannot be read"),
        (link_the_items, "cannot be read"),
        (lambda folder: resealed(folder, format=9), "unknown format: expected 1, got 9"),
        (lambda folder: resealed(folder, extra=1), "written by another program"),
        (lambda folder: resealed(folder, item_count=11), "expected 11 items, got 10"),
        (lambda folder: resealed(folder, items_file="../../x"), "belongs to another backup"),
        (lambda folder: resealed(folder, sha256="0" * 64), "SHA-256"),
    ],
)
def test_damaged_backup_is_refused_with_the_reason_and_nothing_is_changed(
    local: Training, damage: Callable[[Path], None], reason: str
) -> None:
    """Whatever is wrong with it."""
    made = keep(local)
    loaded(local, pairs=PAIRS[:1])
    before = content_of(local)
    damage(local.task / "vector_bak")
    with pytest.raises(BackupDamaged, match=reason):
        restore(local, made.manifest.timestamp)

    assert content_of(local) == before


def test_backup_of_another_embedder_is_refused(local: Training, tmp_path: Path) -> None:
    """With what to do."""
    made = keep(local)
    local.place = VectorPlace(
        f"sqlite:///{tmp_path / 'other.sqlite'}", EmbeddingEndpoint("http://127.0.0.1:9/v1", "other", 8)
    )
    with pytest.raises(EmbedderMismatch, match="The backup task_1/vector_bak"):
        restore(local, made.manifest.timestamp)


def test_task_that_somebody_holds_gets_no_backup(local: Training) -> None:
    """Its directory is locked for the backup, as for everything that changes it."""
    with open_workspace(str(local.task), "task_1", label="x", timeout_seconds=0), pytest.raises(TaskBusy):
        keep(local)

    assert not (local.task / "vector_bak").exists()


def test_only_folders_of_backups_are_looked_at(local: Training, tmp_path: Path, store: VectorStore) -> None:
    """No other directory, no link, no name that leads elsewhere."""
    keep(local)
    (local.task.parent / "task_2").symlink_to(local.task)
    os.mkdir(local.task.parent / "task_3")
    (local.task.parent / "task_3" / "vector_bak").symlink_to(local.task / "vector_bak")
    for path in ("task_2/vector_bak", "task_3/vector_bak", "vector_bak", "task_9/vector_bak"):
        with pytest.raises(NotFound):
            place_named(root_of(local), path)
    for path in ("", "..", "../vector_bak", "/etc/vector_bak", "task_1", "task_1/../vector_bak", "a/b/vector_bak"):
        with pytest.raises(InvalidInput):
            place_named(root_of(local), path)
    with pytest.raises(NotFound):
        restore_backup(store, BackupPlace(str(local.task / "vector_bak"), "task_1"), "20200101_000000")

    assert [place.task_id for place in places(root_of(local))] == ["task_1"]


# ---- over HTTP and at the command line ------------------------------------------------------------------------------


def test_backup_list_and_restore_over_http(client: TestClient) -> None:
    """The fields of the older system; the content of the store comes back."""
    task_id = new_task(client)
    execute(client, task_id)
    kept = data(client.post(f"{API}/vector/backup", json={"task_id": task_id}))
    whole = data(client.post(f"{API}/vector/backup", json={}))
    other = new_task(client, "purchase")
    data(execute(client, other, truncate_vector_tables=True))  # type: ignore[arg-type]
    listed = data(client.get(f"{API}/vector/restore/list"))
    mine = data(client.get(f"{API}/vector/restore/list", params={"task_id": task_id}))
    only = data(client.get(f"{API}/vector/restore/list", params={"global_only": True}))
    body = {"backup_path": f"{task_id}/vector_bak", "timestamp": kept["backup_timestamp"]}
    done = data(client.post(f"{API}/vector/restore", json=body))
    found = data(client.post(f"{API}/training_data/search", json={"question": "customer", "limit": 100}))["results"]

    assert (kept["backup_performed"], kept["truncate_performed"], kept["errors"]) == (True, False, [])
    assert kept["tables_backed_up"]["vector_items"]["row_count"] == 8
    assert (kept["backup_directory"], whole["backup_directory"]) == (f"{task_id}/vector_bak", "vector_bak")
    assert listed["summary"] | {"scan_time": None} == {
        "total_locations": 3, "total_backup_sets": 3, "global_backups": 1, "task_backups": 2, "scan_time": None,
    }  # fmt: skip
    assert [location["type"] for location in listed["backup_locations"]] == ["global", "task", "task"]
    assert [location["task_id"] for location in mine["backup_locations"]] == [task_id]
    assert [location["type"] for location in only["backup_locations"]] == ["global"]
    assert done["restore_results"]["vector_items"]["rows_restored"] == 8
    assert {held["task_id"] for one in found for held in one["provenance"]} == {task_id}


def test_requests_that_cannot_be_meant_are_refused(client: TestClient) -> None:
    """One sentence, nothing changed: paths, timestamps, other stores, half of a backup."""
    task_id = new_task(client)
    execute(client, task_id)
    kept = data(client.post(f"{API}/vector/backup", json={"task_id": task_id}))
    right = {"backup_path": f"{task_id}/vector_bak", "timestamp": kept["backup_timestamp"]}
    restoring = f"{API}/vector/restore"
    for wrong in (
        {"backup_path": "/etc"},
        {"backup_path": f"{task_id}/../vector_bak"},
        {"timestamp": "x"},
        {"db_connection": "postgresql://elsewhere/x"},
        {"tables": ["langchain_pg_embedding"]},
    ):
        (name,) = wrong
        assert name in refused(client.post(restoring, json={**right, **wrong}), 400, "invalid_params")["invalid_params"]
    refused(client.post(restoring, json={**right, "timestamp": "20200101_000000"}), 404, "resource_not_found")
    refused(client.post(restoring, json={**right, "backup_path": "vector_bak"}), 404, "resource_not_found")
    refused(client.post(f"{API}/vector/backup", json={"task_id": "task_9"}), 404, "resource_not_found")
    refused(client.get(f"{API}/vector/restore/list", params={"task_id": "task_9"}), 404, "resource_not_found")
    old_names = ["langchain_pg_collection", "langchain_pg_embedding"]
    assert data(client.post(restoring, json={**right, "tables": old_names, "truncate_before_restore": True}))
    nothing = data(client.post(f"{API}/vector/backup", json={"backup_vector_tables": False}))
    assert (nothing["backup_performed"], nothing["tables_backed_up"]) == (False, {})


def test_damaged_backup_is_a_conflict(client: TestClient, folder: Path) -> None:
    """409 with the reason; the list says that it is damaged."""
    task_id = new_task(client)
    execute(client, task_id)
    kept = data(client.post(f"{API}/vector/backup", json={"task_id": task_id}))
    cut_the_tail(folder / "home" / "training_data" / task_id / "vector_bak")
    body = {"backup_path": f"{task_id}/vector_bak", "timestamp": kept["backup_timestamp"]}
    said = refused(client.post(f"{API}/vector/restore", json=body), 409, "backup_damaged")
    (location,) = data(client.get(f"{API}/vector/restore/list"))["backup_locations"]

    assert "Nothing was changed" in said["response"]
    assert "bytes, got" in location["backups"][0]["problem"]


def test_commands_back_up_list_and_restore(tmp_path: Path) -> None:
    """For people and for programs."""
    shop = Shop(tmp_path)
    assert "Vector store not found. Run a task" in shop.call(CLI, "vectors", "backup").stderr
    task = shop.new_task()
    made = shop.answer("vectors", "backup", "--task", task.name)
    assert "9 items in vector_bak/vectors_" in shop.call(CLI, "vectors", "backup").stdout
    listed = shop.answer("vectors", "list")
    lines = shop.call(CLI, "vectors", "list", "--task", task.name).stdout
    done = shop.answer("vectors", "restore", made["backup_path"], made["timestamp"])
    missing = shop.call(CLI, "vectors", "restore", made["backup_path"], "20200101_000000")

    assert [(one["backup_path"], one["item_count"], one["problem"]) for one in listed] == [
        ("vector_bak", 9, None), (f"{task.name}/vector_bak", 9, None),
    ]  # fmt: skip
    assert lines.split("\t")[:2] == [f"{task.name}/vector_bak", made["timestamp"]]
    assert done["items"] == {"ddl": 2, "documentation": 4, "sql": 3}
    assert (missing.returncode, "not found" in missing.stderr) == (1, True)
