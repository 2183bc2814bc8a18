"""`doctor`, `config show`, shell completion: what a person asks when something is not as it should be."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import data_pipeline
import journal
from data_pipeline.commands import doctor
from data_pipeline.config.settings import load_settings
from data_pipeline.store import Store, look_at_store
from data_pipeline.tasks.workspace import open_workspace
from tests.support.postgres import fresh_database
from tests.support.server import running_server
from tests.support.shop import CLI, DIES_AT, Shop
from tests.support.tasks import content_below


def findings(shop: Shop, *, code: int = 0, **environment: str) -> dict[str, dict[str, Any]]:
    """What the doctor says, by name; of several of one name the last."""
    done = shop.call(CLI, "doctor", "--json", **environment)
    assert done.returncode == code, done.stdout + done.stderr
    return {finding["name"]: finding for finding in json.loads(done.stdout)}


def hot_journal(shop: Shop, task: Path) -> Path:
    """The journal of a run that was killed in its backup."""
    shop.call([sys.executable, "-c", DIES_AT], "30", "run", task.name)
    (journal,) = (task.parent / ".journal" / task.name).glob("*.journal")
    return journal


# ---- doctor ---------------------------------------------------------------------------------------------------------


def test_doctor_finds_nothing_in_an_empty_folder_and_makes_nothing(shop: Shop) -> None:
    """Before the first run all is well, and stays as it is."""
    found = findings(shop)

    assert {finding["state"] for finding in found.values()} == {"ok"}
    assert "does not exist yet" in found["home"]["message"]
    assert not shop.home.exists()
    assert "No problems found." in shop.call(CLI, "doctor").stdout


def test_doctor_looks_at_the_vector_store(shop: Shop) -> None:
    """How many items, whose vectors; another embedder is a problem, and so is a file that is no store."""
    before = findings(shop)["vector store"]
    shop.new_task()
    after = findings(shop)["vector store"]
    other = {"BASE_URL": "http://127.0.0.1:9/v1", "MODEL": "m", "DIMENSIONS": "3"}
    settings = {f"DATA_PIPELINE_EMBEDDING_{name}": value for name, value in other.items()}
    mixed = findings(shop, code=1, **settings)["vector store"]
    (shop.home / "vectors.sqlite").write_text("no database, and long enough to be looked at" * 30)
    broken = findings(shop, code=1)["vector store"]

    assert "does not exist yet" in before["message"]
    assert after["message"] == "9 items, embedded by hashed-words, version 1, 1024 dimensions"
    assert (mixed["state"], "configured is m" in mixed["message"]) == ("problem", True)
    assert (broken["state"], "not a database" in broken["message"]) == ("problem", True)


def test_doctor_after_a_run_changes_no_byte(shop: Shop) -> None:
    """Looking is reading: no lock, no migration, no recovery."""
    task = shop.new_task()
    journal = hot_journal(shop, task)
    before = content_below(task), journal.read_bytes()
    found = findings(shop)

    assert (found["journals"]["state"], found["tasks"]["message"][:1]) == ("warning", "1")
    assert "data-pipeline recover" in found["journals"]["remedy"]
    assert (found["runs"]["state"], found["task store"]["state"]) == ("warning", "ok")
    assert (content_below(task), journal.read_bytes()) == before
    said = shop.call(CLI, "doctor").stdout
    assert "0 problems, 2 warnings." in said
    assert "-> Run `data-pipeline recover`" in said


def test_doctor_names_a_damaged_journal_and_where_it_lies(shop: Shop) -> None:
    """A person must look: exit code 1."""
    journal = hot_journal(shop, shop.new_task())
    journal.write_bytes(b"x" + journal.read_bytes()[1:])
    for _ in range(2):  # as found, and after it was set aside
        found = findings(shop, code=1)["journals"]
        assert (found["state"], str(journal.parent) in found["remedy"]) == ("problem", True)
        shop.call(CLI, "recover")


def test_doctor_names_a_task_directory_that_is_a_link(shop: Shop) -> None:
    """Every run of it is refused."""
    task = shop.new_task()
    (task.parent / "task_2").symlink_to(task)
    found = findings(shop, code=1)["links"]

    assert (found["state"], "task_2 is a symbolic link" in found["message"]) == ("problem", True)


MOUNTED = """
mount --bind "$1" "$1" && shift && exec "$@"
"""


def test_doctor_tries_what_works_in_a_task_directory_that_is_a_mount(shop: Shop) -> None:
    """It says what a publication would meet, and changes no file: a real mount, in a namespace of its own."""
    task = shop.new_task()
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNTED, "sh", str(task), *CLI]
    if shutil.which("unshare") is None or shop.call(words, "--version").returncode:
        pytest.skip("this user may not mount")
    before = content_below(task)
    done = shop.call(words, "doctor", "--json")
    found = {finding["name"]: finding for finding in json.loads(done.stdout)}["mounts"]
    published = shop.call(words, "run", task.name, "--step", "ddl_generation")

    assert str(task) in found["message"]
    assert found["state"] == ("ok" if published.returncode == 0 else "problem"), published.stderr
    assert done.returncode == (0 if found["state"] == "ok" else 1)
    assert content_below(task).keys() >= before.keys()


def test_doctor_says_that_the_folder_of_all_tasks_is_a_mount(shop: Shop) -> None:
    """That works; an unmounted one would be an empty folder."""
    task = shop.new_task()
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNTED, "sh", str(task.parent), *CLI]
    if shutil.which("unshare") is None or shop.call(words, "--version").returncode:
        pytest.skip("this user may not mount")
    found = {finding["name"]: finding for finding in json.loads(shop.call(words, "doctor", "--json").stdout)}["mounts"]

    assert (found["state"], "mount it before a server starts" in found["message"]) == ("ok", True)
    assert shop.call(words, "run", task.name).returncode == 0


def test_recover_removes_what_a_killed_restore_left(shop: Shop) -> None:
    """A whole copy of the backup, in no way of use."""
    task = shop.new_task()
    backup = shop.answer("run", task.name)["backup"]["directory"]
    state = task.parent / ".journal" / task.name
    dies = shop.call([sys.executable, "-c", DIES_AT], "8", "backups", "restore", task.name, backup)
    assert dies.returncode == -signal.SIGKILL
    assert [name for name in os.listdir(state) if name.startswith("temporary-")]
    assert shop.call(CLI, "recover").returncode == 0

    assert not [name for name in os.listdir(state) if name.startswith(("temporary-", "work-"))]


def test_doctor_names_a_setting_that_is_wrong(shop: Shop) -> None:
    """It is what a person calls when nothing starts any more."""
    found = findings(shop, code=1, DATA_PIPELINE_RUNS_AT_ONCE="many")

    assert "DATA_PIPELINE_RUNS_AT_ONCE" in found["settings"]["message"]


def test_doctor_opens_every_named_database(shop: Shop) -> None:
    """And shows no password."""
    found = findings(
        shop,
        code=1,
        DATA_PIPELINE_DATABASES__SHOP="sqlite:///shop.sqlite",
        DATA_PIPELINE_DATABASES__GONE="sqlite:///gone.sqlite",
        DATA_PIPELINE_DATABASES__FAR="postgresql://u:s3cret@127.0.0.1:1/x",
    )

    states = {name: found[f"database {name}"]["state"] for name in ("shop", "gone", "far")}
    assert states == {"shop": "ok", "gone": "problem", "far": "problem"}
    assert "DATA_PIPELINE_DATABASES__GONE" in found["database gone"]["remedy"]
    assert "s3cret" not in json.dumps(found)


def test_doctor_sees_who_may_read_the_store(shop: Shop) -> None:
    """It may hold passwords."""
    shop.new_task()
    (shop.home / "data_pipeline.sqlite").chmod(0o644)
    found = findings(shop, code=1)["permissions"]

    assert found["remedy"] == f"chmod 600 {shop.home / 'data_pipeline.sqlite'}"


def test_doctor_names_kept_files_and_a_home_that_is_none(shop: Shop) -> None:
    """Files that a run put aside wait for a person."""
    task = shop.new_task()
    (task / "customer.ddl").write_text("edited")
    shop.answer("run", task.name, "--step", "ddl_generation")
    assert "kept-" in findings(shop)["kept folders"]["message"]

    (shop.folder / "file").write_text("")
    found = findings(shop, code=1, DATA_PIPELINE_HOME=str(shop.folder / "file"))
    assert (found["home"]["state"], found["task directories"]["state"]) == ("problem", "problem")


def test_doctor_tells_of_a_server_at_work_and_of_a_store_that_is_none(shop: Shop) -> None:
    """A live server explains why runs have not ended."""
    shop.new_task()
    with running_server(shop):
        assert "slot_0" in findings(shop)["server"]["message"]
    assert findings(shop)["server"]["message"] == "no server uses these task directories"
    (shop.home / "data_pipeline.sqlite").write_bytes(b"no database at all, whatever it is called")
    found = findings(shop, code=1)["task store"]
    assert (found["state"], "cannot be used" in found["message"]) == ("problem", True)


def test_doctor_says_when_the_store_is_of_another_version(shop: Shop) -> None:
    """And leaves the migration to the next run."""
    shop.new_task()
    connection = sqlite3.connect(shop.home / "data_pipeline.sqlite")
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    found = findings(shop)["task store"]

    assert (found["state"], "version 0001" in found["message"]) == ("warning", True)


def test_low_disk_and_network_disk_are_warnings(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine that runs tests does not have."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "LOW_SPACE_BYTES", 1 << 80)
    monkeypatch.setattr(doctor, "_file_system", lambda path: "nfs4")
    found = {finding.name: finding for finding in doctor.examine(load_settings())}
    assert (found["disk space"].state, found["file system"].state) == ("warning", "warning")

    monkeypatch.setattr(doctor, "LOW_SPACE_BYTES", 0)
    monkeypatch.setattr(doctor, "LOW_INODES", 1 << 80)
    found = {finding.name: finding for finding in doctor.examine(load_settings())}
    files = os.statvfs(tmp_path)
    assert found["disk space"].state == ("warning" if files.f_files else "ok")


def test_unreadable_task_directory_is_named(shop: Shop) -> None:
    """Its runs would fail."""
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    task = shop.new_task()
    mode = stat.S_IMODE(task.stat().st_mode)
    task.chmod(0)
    try:
        assert task.name in findings(shop, code=1)["permissions"]["message"]
    finally:
        task.chmod(mode)


def test_look_at_a_store_makes_none_on_either_database(tmp_path: Path) -> None:
    """None before, its version and counts after; what has not ended is counted."""
    with fresh_database() as postgres:
        for url in (f"sqlite:///{tmp_path / 'store.sqlite'}", postgres):
            assert look_at_store(url) is None
            assert look_at_store(url) is None
            with Store.open(url) as store:
                task = store.create_task({"db_connection": "x"}, local_time=datetime.now(UTC))
                store.add_execution(task.task_id, "run_1", mode="complete", step_names=["a"], status="queued")
            state = look_at_store(url)
            assert state is not None
            assert (state.revision, state.task_count, state.unfinished_count) == (state.newest, 1, 1)


# ---- config ---------------------------------------------------------------------------------------------------------


def test_config_shows_every_setting_with_its_origin_and_no_secret(shop: Shop) -> None:
    """Environment, .env, data_pipeline.toml, default: who set it is what a person looks for."""
    (shop.folder / "data_pipeline.toml").write_text(
        'runs_at_once = 2\n[databases]\nsales = "postgresql://u:s3cret@h/d?password=s3cret"\n'
    )
    (shop.folder / ".env").write_text("DATA_PIPELINE_RETRY_ATTEMPTS=3\n")
    shown = shop.call(
        CLI, "config", "show", "--json", DATA_PIPELINE_API_KEY="s3cret", DATA_PIPELINE_DATABASES__SHOP="sqlite:///a"
    )
    found = {one["name"]: (one["value"], one["origin"]) for one in json.loads(shown.stdout)}

    assert found["DATA_PIPELINE_HOME"] == (str(shop.home), "environment")
    assert found["DATA_PIPELINE_RUNS_AT_ONCE"] == ("2", "data_pipeline.toml")
    assert found["DATA_PIPELINE_RETRY_ATTEMPTS"] == ("3", ".env")
    assert found["DATA_PIPELINE_LOCK_TIMEOUT_SECONDS"] == ("60", "default")
    assert found["DATA_PIPELINE_API_KEY"] == ("***", "environment")
    assert found["DATA_PIPELINE_DATABASES__SALES"] == ("postgresql://u:***@h/d", "data_pipeline.toml")
    assert found["DATA_PIPELINE_DATABASES__SHOP"] == ("sqlite:///a", "environment")
    assert found["DATA_PIPELINE_DATABASE_URL"][0] == f"sqlite:///{shop.home}/data_pipeline.sqlite"
    assert found["DATA_PIPELINE_BACKUP_ENABLED"] == ("true", "default")
    plain = shop.call(CLI, "config", "show")
    assert f"DATA_PIPELINE_HOME\t{shop.home}\tenvironment" in plain.stdout.splitlines()
    assert "s3cret" not in shown.stdout + plain.stdout


def test_version_is_that_of_the_package(shop: Shop) -> None:
    """Both packages state it, too."""
    assert data_pipeline.__version__ == journal.__version__ == version("journaled-data-pipeline")
    assert shop.call(CLI, "--version").stdout == f"data-pipeline {version('journaled-data-pipeline')}\n"


# ---- completion -----------------------------------------------------------------------------------------------------


def completions(shop: Shop, words: str) -> str:
    """What bash would offer after these words."""
    return shop.call(
        CLI, _DATA_PIPELINE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1)
    ).stdout


def test_shell_completes_commands_tasks_backups_and_steps(shop: Shop) -> None:
    """From the folder's own settings; where there is nothing it offers nothing."""
    assert completions(shop, "data-pipeline tasks show ").strip() == ""
    task = shop.new_task()
    backup = shop.answer("run", task.name)["backup"]["directory"]

    assert "backups" in completions(shop, "data-pipeline b")
    assert completions(shop, "data-pipeline tasks show task").strip() == task.name
    assert completions(shop, f"data-pipeline backups restore {task.name} ").strip() == backup
    steps = ["ddl_generation", "qa_generation", "sql_validation", "training_load"]
    assert completions(shop, "data-pipeline run --step ").split() == steps
    assert (
        subprocess.run(["bash", "-c", f"{shop.call(CLI, '--show-completion', 'bash').stdout}"], check=False).returncode
        == 0
    )


def test_somebody_who_holds_a_task_is_named_by_the_doctor(shop: Shop) -> None:
    """Not a fault."""
    task = shop.new_task()
    with open_workspace(str(task), task.name, label="night shift", timeout_seconds=0):
        assert task.name in findings(shop)["journals"]["message"]
