"""training_load on both stores: what is published is loaded, all of it or none, and nothing twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.config.vector_place import EmbeddingEndpoint, VectorPlace
from data_pipeline.errors import EmbedderMismatch, InvalidInput
from data_pipeline.events import Event
from data_pipeline.steps import RunParameters
from data_pipeline.steps.ddl.step import DdlGeneration
from data_pipeline.steps.pair_file import format_pairs
from data_pipeline.steps.training.items import kind_of, read_meta, read_report, sections
from data_pipeline.steps.training.step import TrainingLoad
from data_pipeline.steps.validation.step import SqlValidation
from data_pipeline.tasks.parameters import RunOptions
from data_pipeline.vectors.store.contract import Load
from tests.support.model_server import model_server
from tests.support.postgres import fresh_database
from tests.support.tasks import make_task
from tests.support.training import META_FILE, PAIR_FILE, PAIRS, Training, pairs_step


@pytest.fixture(params=["sqlite", "postgresql"])
def training(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Training]:
    """A task over a vector store of each kind."""
    if request.param == "sqlite":
        yield Training(tmp_path, f"sqlite:///{tmp_path / 'vectors.sqlite'}")
    else:
        with fresh_database() as url:
            yield Training(tmp_path, url)


@pytest.fixture
def local(tmp_path: Path) -> Training:
    """A task over a SQLite store, for what does not depend on the store."""
    return Training(tmp_path, f"sqlite:///{tmp_path / 'vectors.sqlite'}")


def complete(training: Training, **options: Any) -> dict[str, Any]:
    result = asyncio.run(training.executor(**options).execute_complete_workflow())
    assert result["success"], result["error"]
    artifact: dict[str, Any] = result["artifacts"]["training_load"]
    return artifact


def again(training: Training, **options: Any) -> dict[str, Any]:
    """The step alone."""
    result = asyncio.run(training.executor(**options).execute_single_step("training_load"))
    assert result["success"], result["error"]
    artifact: dict[str, Any] = result["artifacts"]["training_load"]
    return artifact


def failed(training: Training, **options: Any) -> str:
    result = asyncio.run(training.executor(**options).execute_single_step("training_load"))
    assert not result["success"]
    return str(result["error"])


def edit_pairs(training: Training, pairs: list[dict[str, str]]) -> None:
    (training.task / PAIR_FILE).write_text(json.dumps(pairs, ensure_ascii=False))


def test_complete_run_loads_every_published_item(training: Training) -> None:
    """DDL, sections of pages and of the metadata, pairs with what is known of them; exactly those."""
    events: list[Event] = []
    result = complete(training, emit=events.append)
    stored = training.stored()
    kinds = [one.item.kind for one in stored]
    (pair,) = [one for one in stored if PAIRS[0][0] in one.item.content]

    assert (kinds.count("ddl"), kinds.count("documentation"), kinds.count("sql")) == (2, 4, 4)
    assert result["data_type_counts"] == {"ddl": 2, "documentation": 4, "sql": 4}
    assert (result["total_records"], result["added"], result["unchanged"]) == (10, 10, 0)
    assert result["load_successful"] is True
    assert result["pairs_not_validated"] == 0
    assert {one.item.database for one in stored} == {"shop"}
    ((task_id, holding),) = pair.holders
    assert (task_id, holding.file, holding.details["difficulty"]) == ("task_1", PAIR_FILE, "easy")
    assert Event("items", "advanced", "training_load", done=10, total=10) in events
    log = next(training.task.glob("training_load_*.log")).read_text()
    assert "Items:        10, all of them loaded" in log
    assert PAIR_FILE in log


def test_reload_of_an_unchanged_task_changes_nothing(training: Training) -> None:
    """Row counts, ids, bytes of vectors: by the step alone, and by another complete run."""
    complete(training)
    before = [(one.item.id, one.vector.tobytes(), list(one.holders)) for one in training.stored()]
    alone = again(training)
    whole = complete(training)
    after = [(one.item.id, one.vector.tobytes(), list(one.holders)) for one in training.stored()]

    assert after == before
    assert (alone["added"], alone["dropped"], alone["unchanged"]) == (0, 0, 10)
    assert (whole["added"], whole["dropped"], whole["unchanged"]) == (0, 0, 10)


def test_reload_after_an_edit_changes_exactly_the_edited_items(training: Training) -> None:
    """A person edits one pair and one page, and removes a pair: those change, and the edits are named."""
    complete(training)
    before = {one.item.id: one.vector.tobytes() for one in training.stored()}
    pairs = json.loads((training.task / PAIR_FILE).read_text())
    edit_pairs(training, [{**pairs[0], "question": "Number of customers?"}, *pairs[1:3]])
    page = training.task / "customer_detail.md"
    page.write_text(page.read_text().replace("customer", "buyer"))
    result = again(training)
    after = {one.item.id: one.vector.tobytes() for one in training.stored()}

    assert (result["added"], result["dropped"], result["removed_from_store"]) == (2, 3, 3)
    assert len(after.keys() - before.keys()) == 2
    assert len(before.keys() - after.keys()) == 3
    assert all(after[one] == before[one] for one in before.keys() & after.keys())
    assert sorted(result["edited_files"]) == ["customer_detail.md", PAIR_FILE]
    assert result["pairs_not_validated"] == 1


def test_items_of_two_tasks_are_shared_and_stay_until_both_drop_them(training: Training) -> None:
    """The same table in two tasks is one item."""
    complete(training)
    other = make_task(training.task.parent / "task_2", table_list="customer\n")
    complete(training, task=other, pairs=PAIRS[:1])
    shared = [one for one in training.stored() if len(one.holders) == 2]
    complete(training, pairs=PAIRS[2:])

    assert {one.item.kind for one in shared} >= {"ddl", "sql"}
    assert any(PAIRS[0][0] in content for content in training.contents())
    assert not any(PAIRS[1][0] in content for content in training.contents())


def test_truncating_run_backs_up_and_leaves_only_its_own_items(training: Training) -> None:
    """In one transaction; the backup holds everything that was there before."""
    other = make_task(training.task.parent / "task_2", table_list="customer\npurchase\n")
    complete(training, task=other)
    result = complete(training, pairs=PAIRS[:1], options=RunOptions(truncate_vector_tables=True))
    lines = (training.task / "vector_bak" / result["vector_backup"]["files"][0]).read_text().splitlines()

    assert result["truncated"]
    assert result["vector_backup"]["item_count"] == len(lines) == 10
    assert {task for one in training.stored() for task, _ in one.holders} == {"task_1"}
    assert sum(one.item.kind == "sql" for one in training.stored()) == 1


def test_backup_alone_changes_nothing_in_the_store(local: Training) -> None:
    """And a second one does not overwrite the first."""
    complete(local)
    before = local.contents()
    first = again(local, options=RunOptions(backup_vector_tables=True))
    second = again(local, options=RunOptions(backup_vector_tables=True))

    assert local.contents() == before
    assert first["vector_backup"]["files"] != second["vector_backup"]["files"]
    assert len(list((local.task / "vector_bak").iterdir())) == 4


def test_pairs_that_validation_refused_are_not_loaded_though_they_stand_in_the_file(local: Training) -> None:
    """Where the file may not be modified, the report says which."""
    broken = ("Broken?", "SELECT nothing FROM nowhere;")
    repaired = ("Repaired?", "SELECT nmae FROM customer;")
    result = complete(local, pairs=[*PAIRS, broken, repaired], parameters={"modify_original_file": False})

    assert result["data_type_counts"]["sql"] == 4
    assert len(result["left_out"]) == 2
    assert not any("Broken?" in content or "Repaired?" in content for content in local.contents())


def test_repaired_pair_keeps_what_was_known_of_it(local: Training) -> None:
    """Its SQL is another one, so is its id; family and difficulty are found all the same."""
    complete(local, pairs=[("Names?", "SELECT nmae FROM customer ORDER BY 1")])
    (pair,) = [one for one in local.stored() if one.item.kind == "sql"]

    assert "SELECT name FROM customer" in pair.item.content
    assert pair.holders[0][1].details["family"] == "count"


def test_equal_pairs_and_items_that_are_none_are_counted(local: Training) -> None:
    """Nothing is there twice; loaded is what was expected."""
    complete(local, steps=(DdlGeneration(), pairs_step(), TrainingLoad()))
    pairs: list[Any] = json.loads(format_pairs([PAIRS[0], PAIRS[0]]))
    (local.task / PAIR_FILE).write_text(json.dumps([*pairs, 17, {"question": "q"}]))
    result = again(local, steps=(DdlGeneration(), pairs_step(), TrainingLoad()))

    assert (result["data_type_counts"]["sql"], result["equal_to_others"]) == (1, 1)
    assert sorted(result["left_out"]) == [f"{PAIR_FILE}, item 3", f"{PAIR_FILE}, item 4"]


def test_published_file_that_is_gone_fails_by_name_and_changes_nothing(local: Training) -> None:
    """The step says which, and what to do."""
    complete(local)
    before = local.contents()
    (local.task / "purchase.ddl").unlink()
    (local.task / "customer_detail.md").write_bytes(b"\xff\xfe")
    error = failed(local)

    assert "purchase.ddl: it was published and is missing: run ddl_generation again" in error
    assert "customer_detail.md: it is not UTF-8" in error
    assert local.contents() == before


def test_what_lies_about_is_not_loaded(local: Training) -> None:
    """D10: only what the newest results name; old files, uploads and backups are none of it."""
    (local.task / "old.ddl").write_text("create table old (id int);")
    (local.task / "notes_detail.md").write_text("## notes\nsome")
    (local.task / "qs_old_pair.json").write_text(format_pairs([("old?", "SELECT 1")]))
    complete(local)
    (local.task / "later.ddl").write_text("create table later (id int);")
    again(local)

    assert not any("old" in content or "later" in content for content in local.contents())


def test_step_alone_before_any_other_says_what_to_run(local: Training) -> None:
    """One sentence; no store is made."""
    assert "run ddl_generation first" in failed(local)
    assert not Path(local.place.url.removeprefix("sqlite:///")).exists()


def test_uploaded_pairs_are_loaded_once_they_are_validated(local: Training) -> None:
    """Where nothing generates pairs, the validation names the file."""
    asyncio.run(local.executor(steps=(DdlGeneration(),)).execute_complete_workflow())
    (local.task / "qs_mine_pair.json").write_text(format_pairs(PAIRS[:2]))
    steps = (DdlGeneration(), SqlValidation(), TrainingLoad())
    without = again(local, steps=steps)
    asyncio.run(local.executor(steps=steps).execute_single_step("sql_validation"))
    with_them = again(local, steps=steps)

    assert (without["data_type_counts"]["sql"], with_them["data_type_counts"]["sql"]) == (0, 2)
    assert with_them["pairs_not_validated"] == 0


@pytest.mark.parametrize(
    ("parameters", "options", "reason"),
    [
        ({"enable_training_data_load": False}, RunOptions(), "enable_training_data_load"),
        ({}, RunOptions(skip_training=True), "skip_training"),
    ],
)
def test_complete_run_leaves_it_out_on_request(
    local: Training, parameters: dict[str, Any], options: RunOptions, reason: str
) -> None:
    """By the task, or by the request for this run; no store is made."""
    result = complete(local, parameters=parameters, options=options)

    assert (result["status"], reason in result["reason"]) == ("skipped", True)
    assert not Path(local.place.url.removeprefix("sqlite:///")).exists()


def test_what_cannot_work_is_told_before_anything_is_changed(local: Training) -> None:
    """Another embedder's store, a store that is none: the files of the earlier run are not moved away."""
    complete(local)
    names = sorted(path.name for path in local.task.iterdir())
    endpoint = EmbeddingEndpoint("http://127.0.0.1:9/v1", "other", 8)
    local.place = VectorPlace(local.place.url, endpoint)
    with pytest.raises(EmbedderMismatch, match="set another DATA_PIPELINE_VECTOR_STORE_URL"):
        asyncio.run(local.executor().execute_complete_workflow())

    assert sorted(path.name for path in local.task.iterdir()) == names
    with pytest.raises(InvalidInput, match="DATA_PIPELINE_VECTOR_STORE_URL"):
        asyncio.run(TrainingLoad().check(RunParameters(db_connection=local.database_url), ()))


def test_load_by_an_embeddings_server_that_fails_half_way_changes_nothing(local: Training) -> None:
    """What was staged before is used by the next try: nobody pays twice."""
    asked: list[int] = []

    def reply(body: dict[str, Any]) -> Any:
        asked.append(len(body["input"]))
        return 400 if len(asked) == 2 else [[1.0, float(len(text))] for text in body["input"]]

    with model_server(reply) as server:
        local.place = VectorPlace(local.place.url, EmbeddingEndpoint(server.url, "small", 2, "sesame", texts_at_once=4))
        run = local.executor(steps=(DdlGeneration(), pairs_step(), SqlValidation(), TrainingLoad()))
        result = asyncio.run(run.execute_complete_workflow())
        seen = local.contents()
        second = again(local)
    written = "".join(path.read_text(errors="replace") for path in local.task.rglob("*") if path.is_file())

    assert "the server answered 400" in result["error"]
    assert seen == set()
    assert second["total_records"] == 10
    assert second["embedder"] == "small, version 1, 2 dimensions"
    assert "sesame" not in written


def test_item_that_vanishes_while_it_is_loaded_fails_the_step_by_name(
    local: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody restores a backup in the middle: nothing of the load is committed."""
    complete(local)
    (local.task / "customer.ddl").write_text("create table customer (id int);")
    from data_pipeline.vectors.store import sqlite

    commit = sqlite.SqliteVectorStore.commit

    def after_a_restore(store: Any, load: Load) -> Any:
        store.replace_with(iter([]))
        return commit(store, load)

    monkeypatch.setattr(sqlite.SqliteVectorStore, "commit", after_a_restore)
    error = failed(local)

    assert "10 items were removed from the vector store during their load" in error
    assert local.contents() == set()


def test_load_that_does_not_hold_what_it_should_fails_by_name(local: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaded is expected, or the step says what is missing."""
    from data_pipeline.vectors.store import sqlite

    commit = sqlite.SqliteVectorStore.commit

    def forgetful(store: Any, load: Load) -> Any:
        return commit(store, Load(load.task_id, load.run_id, load.holdings[1:]))

    monkeypatch.setattr(sqlite.SqliteVectorStore, "commit", forgetful)
    result = asyncio.run(local.executor().execute_complete_workflow())

    assert not result["success"]
    assert "Step training_load failed" in result["error"]
    assert "create table customer" in result["error"]


def test_two_tasks_that_load_at_once_both_succeed(training: Training) -> None:
    """They share the store, and most of their items."""
    others = [make_task(training.task.parent / f"task_{n}", table_list="customer\npurchase\n") for n in range(2, 6)]

    async def all_at_once() -> list[dict[str, Any]]:
        runs = [training.executor(task=task) for task in (training.task, *others)]
        return await asyncio.gather(*(run.execute_complete_workflow() for run in runs))

    results = asyncio.run(all_at_once())

    assert [result["error"] for result in results] == [None] * 5
    assert {len(one.holders) for one in training.stored()} == {5}


# ---- items, without a store -----------------------------------------------------------------------------------------


def test_page_is_cut_at_its_headings() -> None:
    """A heading without a text of its own goes to the next; what is in a fence is no heading."""
    page = "intro\n\n# Title\n\n## A\ntext a\n```\n# no heading\n```\n## B\r\ntext b  \n\n### C\n"

    assert sections(page) == ["intro", "# Title\n\n## A\ntext a\n```\n# no heading\n```", "## B\ntext b", "### C"]
    assert sections("") == []


def test_names_say_what_a_file_holds() -> None:
    """And whatever else was published is no training data."""
    assert kind_of("prelude.ddl") == "ddl"
    assert kind_of("customer_detail.md") == "documentation"
    assert kind_of(PAIR_FILE) == "sql"
    assert [kind_of(name) for name in ("filename_mapping.txt", f"{PAIR_FILE}.backup", META_FILE)] == [None] * 3


def test_odd_reports_and_meta_files_say_nothing() -> None:
    """They may have been edited by anybody."""
    assert read_meta(b'{"id": "a", "family": "count", "x": 1}\nnonsense\n[1]\n{"id": 3}\n\xff') == {
        "a": {"family": "count"}
    }
    for raw in (b"", b"[]", b"{}", b'{"detailed_results": [1]}', b'{"detailed_results": [{"id": 1}]}'):
        assert read_report(raw).refused == {}
