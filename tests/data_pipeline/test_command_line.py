"""The command line and the script, as processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from data_pipeline.store import Store
from data_pipeline.tasks.workspace import open_workspace
from tests.support.postgres import fresh_database
from tests.support.shop import CLI, DIES_AT, PATIENCE_SECONDS, ROOT, SCRIPT, Shop
from tests.support.tasks import backups_of, content_below

DATABASES = ROOT.parent / "shared" / "databases"


# ---- the specification's example ------------------------------------------------------------------------------------


def test_example_of_the_specification(shop: Shop) -> None:
    """Its trees before and after, its record, its conflict suffixes."""
    task = shop.new_task()
    for path in task.iterdir():
        if path.name != "table_list.txt":
            path.unlink()
    (task / "some_subdir").mkdir()
    before = {"old_file.ddl": "ddl", "old_data.json": "{}", "some_log.log": "log", "some_subdir/file.txt": "below"}
    for name, content in before.items():
        (task / name).write_text(content)
    table_list = (task / "table_list.txt").read_text()
    result = shop.answer("run", task.name)

    (backup,) = backups_of(task)
    assert re.fullmatch(r"file_bak_\d{8}_\d{6}", backup.name)
    assert sorted(os.listdir(backup)) == ["backup_info.json", "old_data.json", "old_file.ddl", "some_log.log"]
    assert (backup / "old_file.ddl").read_text() == "ddl"
    assert content_below(task / "some_subdir") == {"file.txt": "below"}
    assert (task / "table_list.txt").read_text() == table_list
    assert {"customer.ddl", "customer_detail.md", "purchase.ddl", "task_result.json"} <= set(os.listdir(task))
    record = json.loads((backup / "backup_info.json").read_text())
    assert list(record)[:5] == ["backup_time", "backup_directory", "moved_files", "failed_files", "task_id"]
    assert record["backup_directory"] == backup.name
    assert record["moved_files"] == ["old_data.json", "old_file.ddl", "some_log.log"]
    assert (record["failed_files"], record["task_id"]) == ([], task.name)
    assert record["backup_time"].replace("-", "").replace(":", "").replace("T", "_")[:15] == backup.name[9:]
    assert result["backup"]["statistics"]["files"] == 3


# ---- run ------------------------------------------------------------------------------------------------------------


def test_two_runs_then_restore_then_undo(shop: Shop) -> None:
    """The whole way of a user, with what they see."""
    task = shop.new_task()
    first = content_below(task)
    again = shop.call(CLI, "run", task.name)
    (backup,) = backups_of(task)
    second = {name: text for name, text in content_below(task).items() if "/" not in name}

    assert again.returncode == 0
    assert f"Backup: {len(first) - 1} files in {backup.name}" in again.stdout
    assert "table main.purchase completed" in again.stderr
    assert "(2 of 2)" in again.stderr
    listed = shop.call(CLI, "backups", "list", task.name).stdout.split("\t")
    assert (listed[0], listed[2]) == (backup.name, str(len(first) - 1))
    restored = shop.answer("backups", "restore", task.name, backup.name)
    assert {name: text for name, text in content_below(task).items() if "/" not in name} == first
    shop.answer("backups", "restore", task.name, restored["safety_backup"])
    assert {name: text for name, text in content_below(task).items() if "/" not in name} == second


def test_task_keeps_the_name_of_its_database_and_follows_it(shop: Shop) -> None:
    """A password that changes, or a file that moves, changes one setting and no task."""
    named = "DATA_PIPELINE_DATABASES__SALES"
    first = shop.call(
        CLI, "run", "--db-connection", "sales", "--table-list", "tables.txt", "--json",
        **{named: "sqlite:///shop.sqlite"},
    )  # fmt: skip
    task_id = json.loads(first.stdout)["task_id"]
    (shop.folder / "shop.sqlite").rename(shop.folder / "moved.sqlite")
    second = shop.call(CLI, "run", task_id, **{named: "sqlite:///moved.sqlite"})
    third = shop.call(CLI, "run", task_id)

    assert (second.returncode, third.returncode) == (0, 1), second.stderr
    assert "set DATA_PIPELINE_DATABASES__SALES" in third.stderr


def test_task_finds_the_file_of_a_relative_url_from_every_folder(shop: Shop) -> None:
    """The URL is kept as it was meant where the task was made."""
    task = shop.new_task()
    (shop.folder / "elsewhere").mkdir()
    done = shop.call(["sh", "-c", 'cd elsewhere; exec "$@"', "sh", *CLI], "run", task.name)

    assert done.returncode == 0, done.stderr


def test_step_run_makes_no_backup(shop: Shop) -> None:
    """单步执行不受影响."""
    task = shop.new_task()
    result = shop.answer("run", task.name, "--step", "ddl_generation")

    assert (result["execution_mode"], result["backup"], result["kept_files"]) == ("step", None, [])
    assert not backups_of(task)


def test_new_table_list_replaces_the_old_one_which_is_kept(shop: Shop) -> None:
    """And the run uses it."""
    task = shop.new_task()
    (shop.folder / "tables.txt").write_text("customer\n")
    result = shop.answer("run", task.name, "--table-list", "tables.txt")

    assert result["artifacts"]["ddl_generation"]["total_tables"] == 1
    assert (task / "table_list.txt").read_text() == "customer\n"
    kept = list((task.parent / ".journal" / task.name).glob("kept-*/table_list.txt"))
    assert [path.read_text() for path in kept] == ["customer\npurchase\n"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "task_20200101_000000"], "Task 'task_20200101_000000' not found"),
        (["run", "../../etc"], "task_id"),
        (["run"], "--db-connection"),
        (["run", "--db-connection", "sqlite:///shop.sqlite", "--table-list", "nowhere.txt"], "nowhere.txt"),
        (["run", "--db-connection", "sqlite:///nowhere.sqlite", "--table-list", "tables.txt"], "no SQLite file"),
        (["run", "--db-connection", "nonsense", "--table-list", "tables.txt"], "must be a URL"),
        (["run", "--db-connection", "sqlite:///shop.sqlite", "--table-list", "bad.txt"], "line 2"),
        (["run", "--db-connection", "sqlite:///shop.sqlite", "--table-list", "missing.txt"], "near: customer"),
        (
            ["run", "task_20200101_000000", "--db-connection", "sqlite:///shop.sqlite"],
            "--db-connection: only for a new task",
        ),
        (["run", "task_20200101_000000", "--language", "zh", "--task-name", "x"], "--task-name, --language: only"),
        (["backups", "list", "task_20200101_000000"], "Task 'task_20200101_000000' not found"),
        (["backups", "show", "..", "file_bak_20200101_000000"], "task_id"),
    ],
)
def test_bad_input_is_one_clear_sentence_and_changes_nothing(shop: Shop, arguments: list[str], says: str) -> None:
    """Exit code 1, no traceback, no task directory."""
    (shop.folder / "bad.txt").write_text("customer\ncustomer; drop\n")
    (shop.folder / "missing.txt").write_text("custome\n")
    done = shop.call(CLI, *arguments)

    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (shop.home / "training_data").exists()


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["run", "--nonsense"], ["run", "--language", "fr"], ["backups", "show", "task_1"]]
)
def test_wrong_usage_is_exit_code_2(shop: Shop, arguments: list[str]) -> None:
    """And names what is wrong."""
    done = shop.call(CLI, *arguments)

    assert done.returncode == 2
    assert "Usage" in done.stderr


@pytest.mark.parametrize("command", [[], ["run"], ["backups"], ["backups", "restore"], ["recover"]])
def test_help_explains_every_command(shop: Shop, command: list[str]) -> None:
    """It exits with 0 and says what the command is for."""
    done = shop.call(CLI, *command, "--help")

    assert done.returncode == 0
    assert "Usage" in done.stdout


@pytest.mark.parametrize("setting", ["DATA_PIPELINE_NONSENSE", "DATA_PIPELINE_LOCK_TIMEOUT_SECONDS"])
def test_bad_setting_is_named(shop: Shop, setting: str) -> None:
    """An unknown name, or a bad value."""
    done = shop.call(CLI, "recover", **{setting: "x"})

    assert done.returncode == 1
    assert setting in done.stderr


def test_failed_step_is_exit_code_3(shop: Shop) -> None:
    """The history says so too: a table that vanished after the check is named."""
    task = shop.new_task()
    connection = sqlite3.connect(shop.folder / "shop.sqlite")
    connection.execute("CREATE VIEW broken AS SELECT x FROM nowhere")
    connection.close()
    (task / "table_list.txt").write_text("customer, broken\n")
    done = shop.call(CLI, "run", task.name, "--json")

    assert done.returncode == 3
    assert "broken" in json.loads(done.stdout)["error"]


def test_history_tells_of_a_killed_run(shop: Shop) -> None:
    """It is failed, not in progress for ever; the next run is completed."""
    task = killed_in_its_backup(shop)
    shop.answer("run", task.name)
    with Store.open(f"sqlite:///{shop.home / 'data_pipeline.sqlite'}") as store:
        runs = [(run.status, run.error_message) for run in store.executions(task.name)]

    assert runs == [
        ("completed", None), ("failed", "Interrupted: the worker process died."), ("completed", None),
    ]  # fmt: skip


@pytest.mark.parametrize("where", ["file", "read-only"])
def test_unwritable_place_for_tasks_leaves_no_task_behind(shop: Shop, where: str) -> None:
    """One sentence, exit code 1, and the store knows of no task."""
    place = shop.folder / "place"
    if where == "file":
        place.write_text("")
    else:
        place.mkdir(mode=0o555)
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
    done = shop.call(
        CLI, "run", "--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt",
        DATA_PIPELINE_TRAINING_DATA=str(place / "below"),
    )  # fmt: skip

    assert done.returncode == 1
    assert "cannot be created" in done.stderr
    with Store.open(f"sqlite:///{shop.home / 'data_pipeline.sqlite'}") as store:
        assert store.tasks() == ([], 0)


def test_busy_task_is_exit_code_75_and_names_the_holder(shop: Shop) -> None:
    """For `run`, `restore` and the script."""
    task = shop.new_task()
    shop.answer("run", task.name)
    (backup,) = backups_of(task)
    with open_workspace(str(task), task.name, label="night shift", timeout_seconds=0):
        calls = [
            shop.call(CLI, "run", task.name, "--lock-timeout", "0.1"),
            shop.call(CLI, "backups", "restore", task.name, backup.name),
            shop.call(SCRIPT, *script_arguments(task), "--lock-timeout", "0.1"),
        ]

    assert [call.returncode for call in calls] == [75, 75, 75]
    with Store.open(f"sqlite:///{shop.home / 'data_pipeline.sqlite'}") as store:
        assert (store.task(task.name).status, len(store.executions(task.name))) == ("completed", 2)
    for call in calls:
        assert "night shift" in call.stderr


# ---- recover --------------------------------------------------------------------------------------------------------


def killed_in_its_backup(shop: Shop) -> Path:
    """A task whose second run died with half of its files moved."""
    task = shop.new_task()
    done = shop.call([sys.executable, "-c", DIES_AT], "30", "run", task.name)
    assert done.returncode == -signal.SIGKILL
    assert list((task.parent / ".journal" / task.name).glob("*.journal"))
    return task


def test_recover_puts_back_what_a_killed_run_moved(shop: Shop) -> None:
    """Once; the second time there is nothing to do."""
    task = killed_in_its_backup(shop)
    answer = shop.answer("recover")
    assert answer[task.name]["state"] == "recovered"
    assert answer[task.name]["journals"][0]["action"] == "rolled_back"
    assert (task / "customer.ddl").exists()
    assert not backups_of(task)

    assert shop.answer("recover")[task.name]["state"] == "clean"
    assert "1 task directories checked" in shop.call(CLI, "recover").stdout


def test_run_recovers_by_itself_and_says_so_in_its_log(shop: Shop) -> None:
    """Nobody has to know the command."""
    task = killed_in_its_backup(shop)
    shop.answer("run", task.name)

    assert "An interrupted transaction (backup of run" in (task / "data_pipeline.log").read_text()
    assert len(backups_of(task)) == 1


def test_recover_leaves_a_held_task_to_its_holder(shop: Shop) -> None:
    """Busy is no failure."""
    task = shop.new_task()
    with open_workspace(str(task), task.name, label="holder", timeout_seconds=0):
        assert shop.answer("recover")[task.name]["state"] == "busy"


def test_damaged_journal_is_set_aside_and_the_next_run_goes_on(shop: Shop) -> None:
    """A person must look: exit code 3, the place is named, and nothing is blocked."""
    task = killed_in_its_backup(shop)
    (journal,) = (task.parent / ".journal" / task.name).glob("*.journal")
    journal.write_bytes(b"x" + journal.read_bytes()[1:])
    done = shop.call(CLI, "recover")

    assert done.returncode == 3
    assert ".damaged" in done.stdout
    assert shop.call(CLI, "run", task.name).returncode == 0


# ---- the script -----------------------------------------------------------------------------------------------------


def script_arguments(directory: Path) -> list[str]:
    return [
        "--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt", "--business-context", "a shop",
        "--output-dir", str(directory),
    ]  # fmt: skip


def test_script_never_backs_up(shop: Shop) -> None:
    """脚本执行不受影响: a foreign file stays, its own are replaced, no task is made."""
    directory = shop.folder / "out"
    for _ in range(2):
        done = shop.call(SCRIPT, *script_arguments(directory), "--skip-training-load", "--json")
        assert done.returncode == 0, done.stderr
        (directory / "mine.txt").write_text("mine")

    assert not backups_of(directory)
    assert (directory / "mine.txt").read_text() == "mine"
    assert json.loads(done.stdout)["kept_files"] == []
    assert not (shop.home / "data_pipeline.sqlite").exists()


def test_script_keeps_what_was_edited(shop: Shop) -> None:
    """And says where."""
    directory = shop.folder / "out"
    shop.call(SCRIPT, *script_arguments(directory))
    (directory / "customer.ddl").write_text("edited")
    done = shop.call(SCRIPT, *script_arguments(directory))

    kept = re.findall(r"already existed and was not created by this task; moved to: (.*customer\.ddl)", done.stdout)
    assert [Path(path).read_text() for path in kept] == ["edited"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (["--db-connection", "sqlite:///nowhere.sqlite"], 1),
        (["--table-list", "nowhere.txt"], 1),
        (["--nonsense"], 1),
        (["--output-dir", "shop.sqlite/below"], 1),
    ],
)
def test_script_refuses_bad_input(shop: Shop, change: list[str], code: int) -> None:
    """Its exit codes are those of the older script."""
    done = shop.call(SCRIPT, *script_arguments(shop.folder / "out"), *change)

    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_script_writes_its_messages_where_asked(shop: Shop) -> None:
    """--verbose and --log-file."""
    done = shop.call(SCRIPT, *script_arguments(shop.folder / "out"), "-v", "--log-file", "run.log")

    assert "Step ddl_generation completed" in done.stderr
    assert "Step ddl_generation completed" in (shop.folder / "run.log").read_text()


# ---- surroundings ---------------------------------------------------------------------------------------------------


def test_everything_works_in_the_c_locale(shop: Shop) -> None:
    """Files are UTF-8 whatever the locale."""
    connection = sqlite3.connect(shop.folder / "shop.sqlite")
    connection.execute("CREATE TABLE 服务区 (编号 INT)")
    connection.close()
    (shop.folder / "tables.txt").write_text("服务区\n", encoding="gbk")
    done = shop.call(
        CLI, "run", "--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt", "--language", "zh",
        "--json", LC_ALL="C", PYTHONIOENCODING="utf-8",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    task = shop.home / "training_data" / json.loads(done.stdout)["task_id"]
    assert "create table" in (task / "服务区.ddl").read_text(encoding="utf-8")


def test_umask_of_077_shuts_others_out_and_nobody_else(shop: Shop) -> None:
    """The files are the owner's alone, and the next run reads them all."""
    words = ["sh", "-c", 'umask 077; exec "$@"', "sh", *CLI]
    done = shop.call(words, "run", "--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt", "--json")
    task = shop.home / "training_data" / json.loads(done.stdout)["task_id"]

    assert {path.stat().st_mode & 0o077 for path in [task, *task.iterdir()]} == {0}
    assert shop.call(words, "run", task.name).returncode == 0


def test_interrupted_run_is_exit_code_130_and_the_next_one_is_whole(shop: Shop) -> None:
    """Ctrl-C while waiting for the lock: cancelled at once."""
    task = shop.new_task()
    with open_workspace(str(task), task.name, label="holder", timeout_seconds=0):
        run = subprocess.Popen(
            [*CLI, "run", task.name],
            cwd=shop.folder,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
                **shop.environment,
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        assert run.stderr is not None
        assert "started" in run.stderr.readline()
        time.sleep(0.3)
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=PATIENCE_SECONDS)

    assert run.returncode == 130
    assert shop.call(CLI, "run", task.name).returncode == 0


def test_validation_says_what_became_of_the_pairs(shop: Shop) -> None:
    """In a line of its own, and in the exit code nothing: a broken pair is no failed run."""
    task = shop.new_task()
    (file,) = task.glob("qs_shop_*_pair.json")
    good, bad = {"question": "a", "sql": "SELECT 1"}, {"question": "b", "sql": "SELECT x FROM nowhere"}
    file.write_text(json.dumps([good, bad]))
    found = shop.call(CLI, "run", task.name, "--step", "sql_validation")

    assert found.returncode == 0, found.stderr
    assert "Pairs: 1 of 2 are valid, 0 of them repaired; 1 deleted from the file" in found.stdout
    assert json.loads(file.read_text()) == [good]


def test_postgresql_serves_as_task_store_and_as_business_database(shop: Shop) -> None:
    """By changing two URLs; neither's password is printed or written into a task file."""
    with fresh_database() as store, fresh_database() as business:
        with psycopg.connect(business, autocommit=True) as connection:
            connection.execute("CREATE TABLE customer (id serial PRIMARY KEY); CREATE TABLE purchase (id int)")
        secret = business.replace("postgres:@", "postgres:s3cret@")
        arguments = ["run", "--db-connection", secret, "--table-list", "tables.txt", "--json"]
        first = shop.call(CLI, *arguments, DATA_PIPELINE_DATABASE_URL=store)
        assert first.returncode == 0, first.stderr
        task = shop.home / "training_data" / json.loads(first.stdout)["task_id"]
        second = shop.call(CLI, "run", task.name, DATA_PIPELINE_DATABASE_URL=store)
        with Store.open(store) as opened:
            runs = opened.executions(task.name)
            kept = opened.task(task.name)

    assert second.returncode == 0, second.stderr
    assert "id serial not null" in (task / "customer.ddl").read_text()
    assert [(run.mode, run.status) for run in runs] == [("complete", "completed")] * 2
    assert runs[0].backup is not None
    assert runs[0].backup["directory"] == backups_of(task)[0].name
    assert (kept.status, kept.parameters["db_connection"]) == ("completed", secret)
    assert not (shop.home / "data_pipeline.sqlite").exists()
    assert "s3cret" not in first.stdout + first.stderr + second.stdout + second.stderr
    assert not [name for name, text in content_below(shop.home).items() if "s3cret" in text]


@pytest.mark.skipif(not DATABASES.is_dir(), reason="the real databases are not beside the project (../shared)")
def test_chinook_runs_twice_is_restored_and_the_restore_undone(shop: Shop) -> None:
    """Real input, by the documented commands."""
    url = f"sqlite:///{DATABASES / 'chinook' / 'chinook.sqlite'}"
    connection = sqlite3.connect(f"file:{DATABASES / 'chinook' / 'chinook.sqlite'}?mode=ro", uri=True)
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    (shop.folder / "tables.txt").write_text("\n".join(name for (name,) in rows))
    connection.close()
    first = shop.answer("run", "--db-connection", url, "--table-list", "tables.txt")
    second = shop.answer("run", first["task_id"])
    restored = shop.answer("backups", "restore", first["task_id"], second["backup"]["directory"])
    undone = shop.answer("backups", "restore", first["task_id"], restored["safety_backup"])

    assert first["artifacts"]["ddl_generation"]["processed_successfully"] == 11
    names = [[re.sub(r"\d{8}_\d{6}", "TIME", name) for name in one["restored"]] for one in (restored, undone)]
    assert sorted(names[0]) == sorted(names[1])
    assert len(shop.answer("backups", "list", first["task_id"])) == 3
