"""The task store, on SQLite and on PostgreSQL: the same tests over both."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from data_pipeline.errors import InvalidInput, NotFound, StoreUnavailable
from data_pipeline.events import Event
from data_pipeline.store import Store, TaskQuery
from data_pipeline.store.tables import METADATA
from tests.support.postgres import fresh_database
from tests.support.waiting import PATIENCE_SECONDS

LOCAL = datetime(2025, 1, 21, 9, 44, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
STEPS = ["ddl_generation", "qa_generation"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield f"sqlite:///{tmp_path / 'home' / 'store.sqlite'}"
        else:
            yield stack.enter_context(fresh_database())


class Clock:
    """A clock that goes on by a second each time it is asked."""

    def __init__(self) -> None:
        self.now = datetime(2025, 1, 21, 1, 44, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url, now=Clock()) as opened:
        yield opened


def new_task(store: Store) -> str:
    return store.create_task({"db_connection": "postgresql://user:s3cret@db/x"}, local_time=LOCAL).task_id


def run(store: Store, task_id: str, execution_id: str, *steps: str, fails: str | None = None) -> None:
    """A whole run of these steps; one of them may fail, and ends it."""
    store.add_execution(task_id, execution_id, mode="complete" if len(steps) > 1 else "step", step_names=steps)
    store.start_execution(execution_id)
    for step in steps:
        store.start_step(execution_id, step)
        if step == fails:
            store.finish_step(execution_id, step, status="failed", error="broken")
            store.end_execution(execution_id, status="failed", error="broken", all_steps=STEPS)
            return
        store.finish_step(execution_id, step, status="completed", result={"files": 1})
    store.end_execution(execution_id, status="completed", all_steps=STEPS, result={"success": True})


# ---- tasks ----------------------------------------------------------------------------------------------------------


def test_created_task_comes_back_whole(store: Store) -> None:
    """Times in UTC, parameters as they were given, and no secret in what is printed."""
    made = store.create_task({"db_connection": "s3cret"}, local_time=LOCAL, task_name="名称", db_name="shop")
    found = store.task(made.task_id)

    assert found == made
    assert (found.task_id, found.status, found.task_name) == ("task_20250121_094400", "pending", "名称")
    assert found.created_at == datetime(2025, 1, 21, 1, 44, 1, tzinfo=UTC)
    assert found.parameters == {"db_connection": "s3cret"}
    assert "s3cret" not in repr(found)


def test_ids_of_one_second_get_suffixes(store: Store) -> None:
    """D8: two creates in a second never collide."""
    assert [new_task(store) for _ in range(3)] == [
        "task_20250121_094400", "task_20250121_094400_1", "task_20250121_094400_2",
    ]  # fmt: skip


CREATE = """
import sys
from datetime import datetime
from data_pipeline.store import Store
with Store.open(sys.argv[1]) as store:
    for _ in range(5):
        print(store.create_task({}, local_time=datetime(2025, 1, 21, 9, 44)).task_id)
"""


def test_processes_that_open_a_new_store_at_once_get_different_ids(url: str) -> None:
    """One of them migrates, the others wait; twenty creates in one second, twenty ids."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CREATE, url],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(4)
    ]
    ids = [line for process in processes for line in process.communicate(timeout=PATIENCE_SECONDS)[0].split()]

    assert [process.returncode for process in processes] == [0] * 4
    assert len(set(ids)) == len(ids) == 20


def test_tasks_are_listed_newest_first_with_the_real_total(store: Store) -> None:
    """D2, D3: every state is a filter, the total is the total."""
    ids = [new_task(store) for _ in range(5)]
    run(store, ids[1], "e1", *STEPS)
    page, total = store.tasks(limit=2, offset=1)

    assert ([listed.task.task_id for listed in page], total) == ([ids[3], ids[2]], 5)
    assert [listed.task.task_id for listed in store.tasks(TaskQuery(status="completed"))[0]] == [ids[1]]
    assert store.tasks(TaskQuery(status="partial_completed")) == ([], 0)


def test_tasks_are_found_by_name_database_and_time_and_sorted(store: Store) -> None:
    """Parts of names, whatever their case; signs that mean something to LIKE are only themselves."""
    times = []
    for name, database in (("Alpha 100%", "shop"), ("alpha_2", "Shop_2"), (None, "other")):
        made = store.create_task({}, local_time=LOCAL, task_name=name, db_name=database)
        times.append(made.created_at)

    def names(wanted: TaskQuery) -> list[str | None]:
        return [listed.task.task_name for listed in store.tasks(wanted)[0]]

    assert names(TaskQuery(task_name="ALPHA", sort_by="task_name", is_descending=False)) == ["Alpha 100%", "alpha_2"]
    assert names(TaskQuery(task_name="%")) == ["Alpha 100%"]
    assert names(TaskQuery(task_name="_")) == ["alpha_2"]
    assert names(TaskQuery(db_name="shop", sort_by="created_at")) == ["alpha_2", "Alpha 100%"]
    assert names(TaskQuery(created_from=times[1], created_to=times[1])) == ["alpha_2"]
    assert names(TaskQuery(started_from=times[0])) == names(TaskQuery(completed_to=times[2])) == []
    assert names(TaskQuery(created_by="nobody")) == []
    assert len(names(TaskQuery(created_by="guest", sort_by="started_at"))) == 3


def test_steps_of_a_listed_task_are_one_word(store: Store) -> None:
    """The newest state of each counts."""
    new_task(store)
    partly, whole, broken = (new_task(store) for _ in range(3))
    run(store, partly, "e1", STEPS[0])
    run(store, whole, "e2", *STEPS, fails=STEPS[0])
    run(store, whole, "e3", *STEPS)
    run(store, broken, "e4", *STEPS, fails=STEPS[1])
    words = [listed.steps for listed in store.tasks(all_steps=STEPS)[0]]
    assert words == ["failed", "all_completed", "partial_completed", "pending"]


def test_deleted_task_takes_its_history_along(store: Store) -> None:
    """And nobody else's."""
    one, other = new_task(store), new_task(store)
    run(store, one, "e1", *STEPS)
    run(store, other, "e2", *STEPS)
    store.delete_task(one)

    for lost in (lambda: store.task(one), lambda: store.execution("e1"), lambda: store.delete_task(one)):
        with pytest.raises(NotFound):
            lost()
    assert store.execution("e2").task_id == other


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_history_keeps_every_run_with_its_steps_and_backup(store: Store) -> None:
    """Newest first; a re-run overwrites nothing."""
    task_id = new_task(store)
    run(store, task_id, "e1", *STEPS, fails="qa_generation")
    store.record_backup("e1", {"moved_count": 3})
    run(store, task_id, "e2", *STEPS)
    second, first = store.executions(task_id)

    assert (first.execution_id, first.status, first.error_message) == ("e1", "failed", "broken")
    assert first.backup == {"moved_count": 3}
    assert [(step.step_name, step.status) for step in first.steps] == [
        ("ddl_generation", "completed"), ("qa_generation", "failed"),
    ]  # fmt: skip
    assert (second.status, second.result) == ("completed", {"success": True})
    assert second.started_at is not None
    assert second.completed_at is not None
    assert second.created_at < second.started_at < second.completed_at


def test_success_clears_what_an_earlier_failure_left(store: Store) -> None:
    """D3: no error message and no end of the failed run survives."""
    task_id = new_task(store)
    run(store, task_id, "e1", *STEPS, fails="ddl_generation")
    assert (store.task(task_id).status, store.task(task_id).error_message) == ("failed", "broken")
    store.add_execution(task_id, "e2", mode="complete", step_names=STEPS)
    assert store.task(task_id).status == "queued"
    store.start_execution("e2")

    task = store.task(task_id)
    assert (task.status, task.error_message, task.completed_at) == ("in_progress", None, None)


def test_task_is_partly_completed_until_every_step_is(store: Store) -> None:
    """Step runs add up."""
    task_id = new_task(store)
    states = []
    for number, step in enumerate(STEPS):
        run(store, task_id, f"e{number}", step)
        states.append(store.task(task_id).status)

    assert states == ["partial_completed", "completed"]


def test_complete_run_resets_every_step(store: Store) -> None:
    """What an earlier run completed says nothing about this one."""
    task_id = new_task(store)
    run(store, task_id, "e1", *STEPS)
    store.add_execution(task_id, "e2", mode="complete", step_names=STEPS)

    assert [(step.status, step.execution_id) for step in store.overview(task_id, STEPS).steps] == [
        ("pending", "e2"), ("pending", "e2"),
    ]  # fmt: skip
    assert [step.status for step in store.overview(new_task(store), STEPS).steps] == ["pending", "pending"]


@pytest.mark.parametrize(("status", "step_status"), [("failed", "failed"), ("cancelled", "cancelled")])
def test_run_that_ends_takes_its_running_step_along(store: Store, status: str, step_status: str) -> None:
    """D7: no step is running for ever."""
    task_id = new_task(store)
    store.add_execution(task_id, "e1", mode="complete", step_names=STEPS)
    store.start_execution("e1")
    store.start_step("e1", "ddl_generation")
    store.end_execution("e1", status=status, error="why", all_steps=STEPS)  # type: ignore[arg-type]

    assert [step.status for step in store.execution("e1").steps] == [step_status, "pending"]
    assert store.task(task_id).status == status


def test_abandoned_run_is_ended_and_others_are_left_alone(store: Store) -> None:
    """D7: a killed process leaves no run in progress for ever."""
    one, other = new_task(store), new_task(store)
    for task_id, execution_id in ((one, "e1"), (other, "e2")):
        store.add_execution(task_id, execution_id, mode="complete", step_names=STEPS)
        store.start_execution(execution_id)
        store.start_step(execution_id, "ddl_generation")
    store.add_execution(one, "queued", mode="complete", step_names=STEPS)
    assert [store.fail_abandoned(one, except_for=run_id) for run_id in ("e1", None, None)] == [0, 1, 0]

    abandoned = store.execution("e1")
    assert (abandoned.status, [step.status for step in abandoned.steps]) == ("failed", ["failed", "pending"])
    assert "the worker process died" in str(abandoned.error_message)
    assert (store.execution("e2").status, store.execution("queued").status) == ("in_progress", "queued")


def test_overview_is_of_one_moment_whatever_happens_while_it_is_read(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task said in_progress beside a run that had completed: found by killing the server at random."""
    task_id = new_task(store)
    store.add_execution(task_id, "e1", mode="complete", step_names=STEPS)
    store.start_execution("e1")
    read_executions = Store._executions

    def ends_meanwhile(reader: Store, *arguments: Any) -> Any:
        monkeypatch.setattr(Store, "_executions", read_executions)
        with Store.open(url) as other:
            other.end_execution("e1", status="completed", all_steps=STEPS)
        return read_executions(reader, *arguments)

    monkeypatch.setattr(Store, "_executions", ends_meanwhile)
    seen = store.overview(task_id, STEPS)
    assert seen.execution is not None
    assert (seen.task.status, seen.execution.status) == ("in_progress", "in_progress")
    now = store.overview(task_id, STEPS)
    assert (now.task.status, now.execution and now.execution.status) == ("partial_completed", "completed")


def test_run_added_twice_is_there_once_and_stays_as_it_is(store: Store) -> None:
    """The request and the worker both add it, in any order."""
    task_id = new_task(store)
    run(store, task_id, "e1", *STEPS)
    again = store.add_execution(task_id, "e1", mode="complete", step_names=STEPS)

    assert (again.status, store.task(task_id).status, len(store.executions(task_id))) == ("completed", "completed", 1)


def test_run_that_ends_late_says_nothing_about_the_task_of_a_newer_one(store: Store) -> None:
    """A cancelled run may still be stopping while the next one is queued."""
    task_id = new_task(store)
    for execution_id in ("e1", "e2"):
        store.add_execution(task_id, execution_id, mode="complete", step_names=STEPS)
    store.end_execution("e1", status="cancelled", all_steps=STEPS)

    assert (store.execution("e1").status, store.task(task_id).status) == ("cancelled", "queued")
    assert [run.execution_id for run in store.unfinished_executions()] == ["e2"]


def test_events_come_in_order_and_those_of_earlier_runs_are_forgotten(store: Store) -> None:
    """A reader goes on after the last one it saw."""
    task_id = new_task(store)
    store.add_execution(task_id, "e1", mode="complete", step_names=STEPS)
    tables = [(LOCAL, Event("table", "completed", f"t{number}", done=number, total=3)) for number in range(1, 4)]
    store.add_events("e1", tables)
    first, *rest = store.events("e1")

    assert (first.event.state, [found.event.name for found in rest]) == ("queued", ["t1", "t2", "t3"])
    assert [found.event.done for found in store.events("e1", after=rest[0].sequence)] == [2, 3]
    store.add_execution(task_id, "e2", mode="complete", step_names=STEPS)
    assert store.events("e1") == []
    assert min(found.sequence for found in store.events("e2")) > rest[-1].sequence
    store.add_events("unknown", tables)


def test_resumed_run_keeps_the_time_it_first_began(store: Store) -> None:
    """A worker that died and came back did not start a new run."""
    task_id = new_task(store)
    store.add_execution(task_id, "e1", mode="complete", step_names=STEPS)
    store.start_execution("e1")
    began = store.execution("e1").started_at
    store.start_execution("e1")

    assert store.execution("e1").started_at == began


def test_what_is_unknown_or_taken_is_refused_and_changes_nothing(store: Store) -> None:
    """Every id is checked where it is used."""
    task_id = new_task(store)
    run(store, task_id, "e1", *STEPS)
    unknown: list[Callable[[], object]] = [
        lambda: store.add_execution("task_x", "e9", mode="step", step_names=STEPS),
        lambda: store.start_execution("e9"),
        lambda: store.record_backup("e9", {}),
        lambda: store.start_step("e1", "nonsense"),
        lambda: store.end_execution("e9", status="failed", all_steps=STEPS),
    ]
    for call in unknown:
        with pytest.raises(NotFound):
            call()
    with pytest.raises(InvalidInput, match="already exists"):
        store.add_execution(new_task(store), "e1", mode="complete", step_names=STEPS)

    assert (store.task(task_id).status, len(store.executions(task_id))) == ("completed", 1)


# ---- the database ---------------------------------------------------------------------------------------------------


def test_migrations_make_exactly_the_tables_of_the_code(url: str) -> None:
    """Nothing forgotten, nothing left over."""
    Store.open(url).close()
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), METADATA)
    engine.dispose()

    assert differences == []


def test_store_is_opened_again_with_all_that_is_in_it(url: str) -> None:
    """Migrating twice changes nothing."""
    with Store.open(url) as store:
        task_id = new_task(store)
    with Store.open(url) as store:
        assert store.task(task_id).task_id == task_id


def test_store_of_a_newer_version_is_refused(url: str) -> None:
    """And not touched."""
    Store.open(url).close()
    change = "UPDATE alembic_version SET version_num = '9999'"
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute(change)
        connection.close()
    else:
        with psycopg.connect(url) as session:
            session.execute(change)

    with pytest.raises(StoreUnavailable, match="newer version"):
        Store.open(url)


def test_sqlite_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    """It holds secrets; its companions take its mode."""
    with Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        new_task(store)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    assert modes["store.sqlite"] == 0o600
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize(
    "bad",
    ["s3cret", "mysql://u:s3cret@h/x", "sqlite://", "postgresql://u:s3cret@127.0.0.1:1/x", "sqlite:////dev/null/x"],
)
def test_store_that_cannot_be_opened_is_one_sentence_without_a_secret(bad: str) -> None:
    """What, and which setting to mend."""
    with pytest.raises(StoreUnavailable) as refused:
        Store.open(bad)

    assert "s3cret" not in str(refused.value)


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """And left as it is."""
    (tmp_path / "notes.txt").write_text("my notes, which are no database at all " * 30)
    with pytest.raises(StoreUnavailable, match="file is not a database"):
        Store.open(f"sqlite:///{tmp_path / 'notes.txt'}")

    assert (tmp_path / "notes.txt").read_text().startswith("my notes")
