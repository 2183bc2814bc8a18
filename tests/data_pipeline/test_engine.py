"""The contract with the engine, on SQLite and on PostgreSQL, with a test for each of its traps."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL

from data_pipeline.errors import InvalidInput, StoreUnavailable
from data_pipeline.runs import engine as engine_module
from data_pipeline.runs.engine import Engine, RunControl, RunOrder
from data_pipeline.runs.sqlite_clock import add_subsecond_clock
from data_pipeline.runs.worker_slots import WorkerSlots
from data_pipeline.steps import Json
from tests.support.engine import durable_calls
from tests.support.postgres import fresh_database
from tests.support.waiting import PATIENCE_SECONDS
from tests.support.waiting import wait_until as until

ROOT = Path(__file__).parents[2]
STOPS = int(os.environ.get("ENGINE_STOPS", "5"))
ORDER = RunOrder("task_1", "run_1")
Run = Callable[[RunControl], Awaitable[None]]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield f"sqlite:///{tmp_path / 'home' / 'engine.sqlite'}"
        else:
            yield stack.enter_context(fresh_database())


@pytest.fixture
def slots(tmp_path: Path) -> WorkerSlots:
    return WorkerSlots(str(tmp_path / "training_data"))


@pytest.fixture
def opened(url: str, slots: WorkerSlots, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Engine]]:
    """Open engines on one database, and stop them at the end."""
    monkeypatch.setattr(engine_module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(engine_module, "TAKEOVER_SECONDS", 0.2)
    engines: list[Engine] = []

    def open_one() -> Engine:
        engines.append(Engine.open(url, slots))
        return engines[-1]

    yield open_one
    for engine in engines:
        engine.stop()


@pytest.fixture
def engine(opened: Callable[[], Engine]) -> Engine:
    return opened()


class Calls:
    """Count durable calls; `slow` is a call that waits until `release`."""

    def __init__(self, *names: str, slow: str | None = None) -> None:
        self.names = names
        self.slow = slow
        self.begun: list[str] = []
        self.results: list[Json] = []
        self.is_released = False
        self.ended: list[str] = []

    async def call(self, name: str) -> Json:
        self.begun.append(name)
        if name == self.slow:
            while not self.is_released:  # set by another thread  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return {"name": name}

    async def run(self, control: RunControl) -> None:
        try:
            works = [(name, functools.partial(self.call, name)) for name in self.names]
            self.results = await control.runner.run_all(works, concurrency=1)
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise
        self.ended.append("completed")


# ---- admission ------------------------------------------------------------------------------------------------------


def test_of_many_admissions_of_one_task_exactly_one_wins(opened: Callable[[], Engine]) -> None:
    """With two engines, as in two servers; the refused ones get the id of the admitted run."""
    engines = [opened(), opened()]

    def admit(number: int) -> str:
        return engines[number % 2].admit(RunOrder("task_1", f"run_{number}"))

    with ThreadPoolExecutor(20) as pool:
        winners = list(pool.map(admit, range(40)))
    assert len(set(winners)) == 1
    assert [run.run_id for run in engines[0].unfinished()] == [winners[0]]
    assert engines[1].admit(RunOrder("task_2", "run_x")) == "run_x"


def test_task_is_free_again_when_its_run_has_ended_well_or_not(engine: Engine) -> None:
    """The claim on the task ends with the run."""
    ended = []

    async def run(control: RunControl) -> None:
        ended.append(control.order.run_id)
        if control.order.run_id == "run_1":
            raise ValueError("broken")

    engine.start_worker(run, runs_at_once=1)
    for run_id in ("run_1", "run_2"):
        assert engine.admit(RunOrder("task_1", run_id)) == run_id
        until(lambda: engine.run_of("task_1") is None)
    assert ended == ["run_1", "run_2"]


def test_ids_that_look_alike_are_different_tasks(engine: Engine) -> None:
    """An underscore in LIKE matches any letter."""
    engine.admit(RunOrder("taskX1", "run_1"))
    engine.admit(RunOrder("task_1_1", "run_2"))

    assert engine.run_of("task_1") is None


def test_no_more_runs_than_allowed_at_once(engine: Engine) -> None:
    """Further runs wait in the queue."""
    calls = Calls("a", slow="a")
    engine.start_worker(calls.run, runs_at_once=2)
    for number in range(4):
        engine.admit(RunOrder(f"task_{number}", f"run_{number}"))
    until(lambda: len(calls.begun) == 2)
    time.sleep(0.3)
    assert engine.running_count == len(calls.begun) == 2
    calls.is_released = True
    until(lambda: not engine.unfinished())
    assert calls.ended == ["completed"] * 4


# ---- durable calls --------------------------------------------------------------------------------------------------


def test_suspended_run_continues_where_it_was_and_repeats_nothing(opened: Callable[[], Engine]) -> None:
    """A stopped server leaves its runs pending; recorded calls are not executed again."""
    first, engine = Calls("a", "b", "c", slow="b"), opened()
    engine.start_worker(first.run, runs_at_once=1)
    engine.admit(ORDER)
    until(lambda: first.begun == ["a", "b"])
    first_stop = time.monotonic()
    assert engine.stop(limit_seconds=0.1) == []
    assert time.monotonic() - first_stop < PATIENCE_SECONDS / 2
    assert first.ended == ["CancelledError"]

    second, again = Calls("a", "b", "c"), opened()
    assert again.run_of("task_1") is not None
    again.start_worker(second.run, runs_at_once=1)
    until(lambda: second.ended)
    assert (second.begun, [result["name"] for result in second.results]) == (["b", "c"], ["a", "b", "c"])
    assert durable_calls(again, "task_1", "run_1") == ["a", "b", "c"]


def test_call_under_way_may_end_when_the_server_stops_and_the_next_one_does_not_begin(
    opened: Callable[[], Engine],
) -> None:
    """The time limit applies to the current call, not to the whole run."""
    calls, engine = Calls("a", "b", slow="a"), opened()
    engine.start_worker(calls.run, runs_at_once=1)
    engine.admit(ORDER)
    until(lambda: calls.begun)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(engine.stop, limit_seconds=PATIENCE_SECONDS)
        time.sleep(0.1)
        calls.is_released = True
        assert stopping.result() == []
    assert (calls.begun, durable_calls(opened(), "task_1", "run_1")) == (["a"], ["a"])


def test_worker_that_stops_at_any_moment_loses_no_run_and_fails_none(opened: Callable[[], Engine]) -> None:
    """It stops while runs are claimed, begun, executed and ended; the next start continues each of them."""
    done: list[str] = []

    async def call() -> Json:
        return {}

    async def run(control: RunControl) -> None:
        await control.runner.run("call", call)
        done.append(control.order.run_id)

    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    moments = random.Random(seed)
    orders = [RunOrder(f"task_{number}", f"run_{number}") for number in range(60)]
    first = opened()
    for order in orders:
        first.admit(order)
    engine = first
    for _ in range(STOPS):
        engine.start_worker(run, runs_at_once=3)
        time.sleep(moments.uniform(0, 0.15))
        assert engine.stop() == []
        engine = opened()
    engine.start_worker(run, runs_at_once=20)
    until(lambda: not engine.unfinished())
    assert set(done) == {order.run_id for order in orders}
    assert len(engine._list(status="SUCCESS")) == len(orders)


def test_calls_are_found_by_name_when_their_order_or_number_changes(opened: Callable[[], Engine]) -> None:
    """An additional table, or a step that is skipped because it was published, causes no error and shifts no result."""
    first, engine = Calls("a", "b", "c", slow="c"), opened()
    engine.start_worker(first.run, runs_at_once=1)
    engine.admit(ORDER)
    until(lambda: "c" in first.begun)
    engine.stop()

    second, again = Calls("new", "c", "b"), opened()
    again.start_worker(second.run, runs_at_once=1)
    until(lambda: second.ended)
    assert (second.ended, second.begun) == (["completed"], ["new", "c"])
    assert [result["name"] for result in second.results] == ["new", "c", "b"]


def test_recorded_result_that_is_no_longer_usable_is_computed_again(opened: Callable[[], Engine]) -> None:
    """The power failed after the record was written, but before the file was durable."""
    first, engine = Calls("a", "b", "c", slow="c"), opened()
    engine.start_worker(first.run, runs_at_once=1)
    engine.admit(ORDER)
    until(lambda: "c" in first.begun)
    engine.stop()
    begun: list[str] = []
    finished: list[str] = []

    async def run(control: RunControl) -> None:
        async def call(name: str) -> Json:
            begun.append(name)
            return {"name": name}

        async def is_usable(result: Json) -> bool:
            return bool(result["name"] != "a")

        for name in ("a", "b"):
            result = await control.runner.run(
                name,
                functools.partial(call, name),
                is_usable=is_usable,
                finished=lambda recorded: finished.append(recorded["name"]),
            )
            assert result == {"name": name}

    again = opened()
    again.start_worker(run, runs_at_once=1)
    until(lambda: not again.unfinished())
    assert (begun, finished) == (["a"], ["a", "b"])


def test_failed_call_stops_its_siblings_and_its_own_error_comes_out(engine: Engine) -> None:
    """Under `gather` they would continue after the end of the run."""
    seen: list[str] = []

    async def run(control: RunControl) -> None:
        async def fails() -> Json:
            await asyncio.sleep(0.05)
            raise InvalidInput("table", "broken")

        async def sleeps() -> Json:
            try:
                await asyncio.sleep(PATIENCE_SECONDS)
            except asyncio.CancelledError:
                seen.append("stopped")
                raise
            return {}

        try:
            await control.runner.run_all([("fails", fails), ("sleeps", sleeps)], concurrency=2)
        except InvalidInput as error:
            seen.append(str(error))

    engine.start_worker(run, runs_at_once=1)
    engine.admit(ORDER)
    until(lambda: not engine.unfinished())
    assert seen == ["stopped", "table: broken"]


# ---- cancel ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_here", [True, False], ids=["by its own process", "by another process"])
def test_cancelled_run_stops_and_its_task_is_free(opened: Callable[[], Engine], is_here: bool) -> None:
    """The request may reach the process of the run, or another process."""
    calls, engine = Calls("a", slow="a"), opened()
    engine.start_worker(calls.run, runs_at_once=1)
    engine.admit(ORDER)
    until(lambda: calls.begun)
    (engine if is_here else opened()).cancel("task_1", "run_1")
    until(lambda: calls.ended and not engine.running_count)

    assert calls.ended == ["CancelledError"]
    assert (engine.run_of("task_1"), engine.was_cancelled("task_1", "run_1")) == (None, True)
    assert engine.admit(RunOrder("task_1", "run_2")) == "run_2"


def test_queued_run_that_is_cancelled_never_begins(engine: Engine) -> None:
    """The next worker does not begin it either."""
    engine.admit(ORDER)
    engine.cancel("task_1", "run_1")
    calls = Calls("a")
    engine.start_worker(calls.run, runs_at_once=1)
    engine.admit(RunOrder("task_1", "run_2"))
    until(lambda: calls.ended)
    time.sleep(0.1)
    assert calls.begun == ["a"]


# ---- workers that die, workers that live ----------------------------------------------------------------------------

WORKER = """
import asyncio, sys
from data_pipeline.runs import engine as engine_module
from data_pipeline.runs.engine import Engine
from data_pipeline.runs.worker_slots import WorkerSlots

engine_module.POLL_SECONDS, engine_module.TAKEOVER_SECONDS = 0.02, 0.2
url, training_data = sys.argv[1:]
engine = Engine.open(url, WorkerSlots(training_data))

async def call(name):
    print("began", name, flush=True)
    if name == "b":
        await asyncio.sleep(600)
    return {"name": name}

async def run(control):
    for name in "abc":
        await control.runner.run(name, lambda: call(name))

engine.start_worker(run, runs_at_once=1)
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_worker(url: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a worker in a separate process, whose runs stop in their second call."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, url, str(tmp_path / "training_data")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    yield process
    process.kill()
    process.wait(timeout=PATIENCE_SECONDS)
    process.stdout.close()
    assert process.stdin is not None
    process.stdin.close()


def test_run_of_a_live_worker_is_left_alone_and_taken_over_when_it_dies(
    opened: Callable[[], Engine], other_worker: subprocess.Popen[str]
) -> None:
    """With a shared id one worker would steal the other's run; without a takeover a dead worker's run would wait."""
    assert other_worker.stdout is not None
    engine, calls = opened(), Calls("a", "b", "c")
    engine.admit(ORDER)
    assert [other_worker.stdout.readline() for _ in "ab"] == ["began a\n", "began b\n"]
    engine.start_worker(calls.run, runs_at_once=1)
    time.sleep(1.0)
    assert calls.begun == []
    other_worker.send_signal(signal.SIGKILL)
    until(lambda: calls.ended)
    assert (calls.ended, calls.begun) == (["completed"], ["b", "c"])


def test_restarted_worker_gets_the_slot_of_the_dead_one_and_its_runs(
    opened: Callable[[], Engine], other_worker: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets them at once, without waiting for the periodic check."""
    monkeypatch.setattr(engine_module, "TAKEOVER_SECONDS", 600)
    assert other_worker.stdout is not None
    engine, calls = opened(), Calls("a", "b", "c")
    engine.admit(ORDER)
    assert [other_worker.stdout.readline() for _ in "ab"] == ["began a\n", "began b\n"]
    other_worker.kill()
    other_worker.wait(timeout=PATIENCE_SECONDS)
    engine.start_worker(calls.run, runs_at_once=1)
    until(lambda: calls.ended)
    assert calls.begun == ["b", "c"]


def test_slots_are_claimed_once_and_free_when_released(slots: WorkerSlots) -> None:
    """The lowest free slot is claimed; a name that leads to another directory is refused."""
    (first, held), (second, other) = slots.claim(), slots.claim()
    assert (first, second, slots.try_claim(first)) == ("slot_0", "slot_1", None)
    held.directory.release()
    third, again = slots.claim()
    assert third == "slot_0"
    for workspace in (other, again):
        workspace.directory.release()
    for name in ("", "slot_", "slot_../../x", "slot_1/../0", "other"):
        with pytest.raises(InvalidInput):
            slots.try_claim(name)


def test_runs_of_an_older_workflow_schema_are_named_and_left_to_live_workers(
    opened: Callable[[], Engine], monkeypatch: pytest.MonkeyPatch, slots: WorkerSlots
) -> None:
    """A newer program must neither continue nor ignore them."""
    opened().admit(ORDER)
    monkeypatch.setattr(engine_module, "WORKFLOW_SCHEMA", 2)
    engine, calls = opened(), Calls("a")
    engine.start_worker(calls.run, runs_at_once=1)
    assert [(run.run_id, run.schema) for run in engine.older_runs()] == [("run_1", 1)]
    engine.admit(RunOrder("task_2", "run_2"))
    until(lambda: calls.ended)
    assert calls.begun == ["a"]
    assert engine.run_of("task_1") is not None


# ---- what lies in its database --------------------------------------------------------------------------------------


def test_database_holds_json_and_ids_only(engine: Engine, url: str) -> None:
    """Pickle would run the code of any user who can write the database."""
    calls = Calls("a")
    engine.start_worker(calls.run, runs_at_once=1)
    engine.admit(ORDER)
    until(lambda: not engine.unfinished())
    schema = "" if url.startswith("sqlite") else "dbos."
    sql = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with sql.connect() as connection:
        kinds = connection.execute(text(f"SELECT serialization FROM {schema}operation_outputs")).scalars().all()
        outputs = connection.execute(text(f"SELECT output FROM {schema}operation_outputs")).scalars().all()
    sql.dispose()
    assert (kinds, outputs) == (["portable_json"], ['{"name":"a"}'])


def test_records_of_runs_that_ended_long_ago_are_removed(engine: Engine) -> None:
    """Otherwise the database would grow without limit; unfinished runs are kept."""
    calls = Calls("a")
    engine.start_worker(calls.run, runs_at_once=1)
    engine.admit(ORDER)
    until(lambda: not engine.unfinished())
    assert engine.forget_ended(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert durable_calls(engine, "task_1", "run_1") == ["a"]
    assert engine.forget_ended(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert durable_calls(engine, "task_1", "run_1") == []


def test_sqlite_file_is_private_whatever_its_path(tmp_path: Path, slots: WorkerSlots) -> None:
    """Also if its name has characters that have a meaning in a URL."""
    path = tmp_path / "odd #1 ?x=y%20" / "engine.sqlite"
    engine = Engine.open(URL.create("sqlite", database=str(path)).render_as_string(), slots)
    assert engine.admit(ORDER) == "run_1"
    engine.stop()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("default", ["(unixepoch('subsec') * 1000)", "(strftime('%s','now') * 1000)"])
def test_rows_get_their_times_whichever_python_created_the_tables(
    tmp_path: Path, slots: WorkerSlots, monkeypatch: pytest.MonkeyPatch, default: str
) -> None:
    """Python 3.12 writes a clock of SQLite 3.42 into the defaults; runs continue on an older SQLite or Python."""
    from dbos import _migration, _sys_db_sqlite

    (other,) = {"(unixepoch('subsec') * 1000)", "(strftime('%s','now') * 1000)"} - {default}
    migrations = [one.replace(other, default) for one in _migration.sqlite_migrations]
    assert any(default in one for one in migrations)
    monkeypatch.setattr(_sys_db_sqlite, "sqlite_migrations", migrations)
    path = tmp_path / "engine.sqlite"
    began = time.time() * 1000
    ended: list[str] = []

    async def run(control: RunControl) -> None:
        ended.append(control.order.run_id)

    engine = Engine.open(f"sqlite:///{path}", slots)
    try:
        engine.start_worker(run, runs_at_once=1)
        engine.admit(ORDER)
        until(lambda: ended and not engine.unfinished())
    finally:
        engine.stop()
    with sqlite3.connect(path) as connection:
        (schema,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'application_versions'").fetchone()
        ((created, kind),) = connection.execute("SELECT created_at, typeof(created_at) FROM application_versions")
    connection.close()

    assert default in schema
    assert (kind, began - 1000 <= created <= time.time() * 1000) == ("integer", True)


def test_clock_of_an_old_sqlite_gives_milliseconds_and_refuses_other_uses(tmp_path: Path) -> None:
    """It returns the same as in SQLite 3.42, also as a column's default in a schema that is not trusted."""
    with contextlib.closing(sqlite3.connect(tmp_path / "clock.sqlite")) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        is_old = add_subsecond_clock(connection)
        connection.execute("CREATE TABLE moments (at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000), n INTEGER)")
        connection.execute("INSERT INTO moments (n) VALUES (1)")
        ((at, kind),) = connection.execute("SELECT at, typeof(at) FROM moments").fetchall()

        assert is_old == (sqlite3.sqlite_version_info < (3, 42))
        assert (kind, abs(at - time.time() * 1000) < 10_000) == ("integer", True)
        if is_old:
            with pytest.raises(sqlite3.OperationalError):
                connection.execute("SELECT unixepoch('2026-01-01')").fetchone()


def test_database_that_cannot_be_opened_is_one_sentence_without_the_password(
    tmp_path: Path, slots: WorkerSlots
) -> None:
    """The driver's own message may contain the password."""
    for bad in ("postgresql://user:s3cret@127.0.0.1:1/x", f"sqlite:///{tmp_path}"):
        with pytest.raises(StoreUnavailable) as caught:
            Engine.open(bad, slots)
        assert "s3cret" not in str(caught.value)
        assert "Correct DATA_PIPELINE_DATABASE_URL" in str(caught.value)
