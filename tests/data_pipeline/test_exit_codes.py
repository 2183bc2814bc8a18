"""How commands end: exit codes, errors for people and for programs, standard streams that take no text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from data_pipeline.commands.exit_codes import ExitCode, code_of_all, code_of_error, code_of_run
from data_pipeline.errors import InvalidInput, PipelineError, PublishFailed, RunActive, StepFailed, TaskBusy
from data_pipeline.runs.report import RunReport
from data_pipeline.tasks.backup.report import BackupReport
from data_pipeline.tasks.results import DdlResult, SkippedResult
from data_pipeline.tasks.workspace import open_workspace
from tests.support.shop import CLI, PATIENCE_SECONDS, SCRIPT, Shop

SECRET = "s3cret"

DEFECT = f"""
from data_pipeline.tasks import workspace
from data_pipeline import cli, schema_workflow
import sys

def broken(*_):
    raise ZeroDivisionError("{SECRET}")

workspace.recover_tasks = broken
schema_workflow._run = broken
if sys.argv[1] == "script":
    sys.exit(schema_workflow.main(sys.argv[2:]))
cli.main()
"""
"""Both command lines with a defect in them."""

IMMOVABLE = """
from data_pipeline import cli
from data_pipeline.use_cases import foreground
from data_pipeline.tasks.workspace import Door
from journal import LocalFilesystem

class Disk(LocalFilesystem):
    def link(self, source, name, target, new_name):
        self.refuse(name)
        super().link(source, name, target, new_name)

    def rename(self, source, name, target, new_name):
        self.refuse(name)
        super().rename(source, name, target, new_name)

    def refuse(self, name):
        if name == "notes.md":
            raise OSError(1, "Operation not permitted", name)

foreground.door = lambda settings: Door(Disk())
cli.main()
"""
"""The command line on a disk where one file cannot be moved."""

SCRIPT_ARGUMENTS = ("--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt", "--business-context", "x")


def refusal(done: subprocess.CompletedProcess[str], code: int, error_type: str) -> dict[str, Any]:
    """The data of an error for programs; people get the same sentence, and no more."""
    assert done.returncode == code, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["code"], answer["success"]) == (code, False)
    data: dict[str, Any] = answer["data"]
    assert data["error_type"] == error_type
    assert done.stderr.splitlines()[-1].partition(": ")[2] == data["response"]
    return data


# ---- the judge ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("x", "y"), 1),
        (PipelineError("x"), 1),
        (StepFailed("x", {}), 3),
        (PublishFailed("x", "y"), 3),
        (ZeroDivisionError(), 70),
        (TaskBusy("x", 0.0, None), 75),
        (RunActive("x", "y"), 75),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_kind_of_error_has_its_code(error: BaseException, code: int) -> None:
    """By what the caller does next."""
    assert code_of_error(error) == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, 0),
        ({"error": "no such table"}, 3),
        ({"warnings": ["task_result.json was not written"]}, 4),
        ({"backup": {"error": None, "failed_files": []}}, 0),
        ({"backup": {"error": "no space", "failed_files": []}}, 4),
        ({"backup": {"error": None, "failed_files": [{"file": "a"}]}}, 4),
        ({"artifacts": {"ddl_generation": DdlResult(status="partial")}}, 4),
        ({"artifacts": {"training_load": SkippedResult(reason="not wanted")}}, 0),
        ({"kept": ["customer.ddl"]}, 0),
    ],
)
def test_completed_run_of_which_something_is_missing_is_done_in_part(change: dict[str, Any], code: int) -> None:
    """A step that is left out on purpose is not missing, nor a file of a person that was kept."""
    now = datetime.now(UTC)
    if "backup" in change:
        backup = {"state": "backed_up", "started_at": now, "ended_at": now, **change["backup"]}
        change = {"backup": BackupReport.model_validate(backup)}
    report = RunReport("task_1", "run_1", "complete", now, **change)

    assert code_of_run(report.result(now)) == code


def test_same_thing_done_to_several_is_done_in_part_where_some_failed() -> None:
    """And has the code of the failure where all failed."""
    assert code_of_all([]) == ExitCode.DONE
    assert code_of_all([ExitCode.DONE, ExitCode.BUSY]) == ExitCode.DONE_IN_PART
    assert code_of_all([ExitCode.BUSY, ExitCode.BAD_INPUT]) == ExitCode.BUSY


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_run_that_looks_at_no_row_says_what_it_left_out(shop: Shop) -> None:
    """Exit code 0: the task wants it so."""
    done = shop.call(
        CLI, "run", "--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt", "--no-profile"
    )

    assert done.returncode == 0, done.stderr
    assert "qa_generation was skipped: the task reads no rows" in done.stdout
    assert "sql_validation was skipped: " in done.stdout
    assert "Training items: " in done.stdout


def test_run_that_could_not_back_up_a_file_is_done_in_part(shop: Shop) -> None:
    """The run is completed, as the specification has it; the exit code tells, and the output says what is missing."""
    task = shop.new_task()
    (task / "notes.md").write_text("mine")
    done = shop.call([sys.executable, "-c", IMMOVABLE], "run", task.name)

    assert done.returncode == 4, done.stdout + done.stderr
    assert ": completed" in done.stdout
    assert "could not be moved: notes.md (" in done.stdout
    assert (task / "notes.md").read_text() == "mine"
    assert json.loads((task / "task_result.json").read_text())["success"] is True


# ---- errors for programs --------------------------------------------------------------------------------------------


def test_expected_error_is_an_object_for_programs(shop: Shop) -> None:
    """In the shape of the API, with what the API has besides."""
    missing = refusal(shop.call(CLI, "tasks", "show", "nope", "--json"), 1, "resource_not_found")
    invalid = refusal(shop.call(CLI, "run", "--json"), 1, "invalid_params")

    assert missing["response"].startswith("Task store ")
    assert list(invalid["invalid_params"]) == ["run"]


def test_busy_task_is_an_object_for_programs(shop: Shop) -> None:
    """Of the command line and of the script."""
    task = shop.new_task()
    with open_workspace(str(task), task.name, label="night shift", timeout_seconds=0):
        run = shop.call(CLI, "run", task.name, "--lock-timeout", "0", "--json")
        script = shop.call(SCRIPT, *SCRIPT_ARGUMENTS, "--output-dir", str(task), "--lock-timeout", "0", "--json")

    assert refusal(run, 75, "task_busy")["task_id"] == task.name
    assert refusal(script, 75, "task_busy")["task_id"] == task.name


@pytest.mark.parametrize(
    ("words", "code"), [([*CLI, "run", "--nonsense"], 2), ([*CLI, "nonsense"], 2), ([*SCRIPT, "--nonsense"], 1)]
)
def test_wrong_usage_is_an_object_for_programs(shop: Shop, words: list[str], code: int) -> None:
    """Also where the arguments could not be parsed; the script has the older script's code."""
    refusal(shop.call(words, "--json"), code, "wrong_usage")


@pytest.mark.parametrize("words", [["recover"], ["script", *SCRIPT_ARGUMENTS]])
def test_unexpected_error_is_exit_code_70_and_one_sentence(shop: Shop, words: list[str]) -> None:
    """Which names the place, and nothing that the exception says."""
    program = [sys.executable, "-c", DEFECT]
    plain = shop.call(program, *words)
    answer = refusal(shop.call(program, *words, "--json"), 70, "internal_error")

    assert (plain.returncode, plain.stdout, len(plain.stderr.splitlines())) == (70, "", 1)
    assert "ZeroDivisionError in <string>, line 7" in answer["response"]
    assert SECRET not in plain.stderr + json.dumps(answer)


def test_traceback_of_an_unexpected_error_is_there_for_who_asks(shop: Shop) -> None:
    """`--debug` of the command line, `--verbose` of the script."""
    program = [sys.executable, "-c", DEFECT]

    assert "Traceback" in shop.call(program, "--debug", "recover").stderr
    assert "Traceback" not in shop.call(program, "recover").stderr


# ---- standard streams -----------------------------------------------------------------------------------------------


def piped(shop: Shop, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `data-pipeline` is the command line; its exit code is that of the first command."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DATA_PIPELINE_")}
    command = f'data-pipeline() {{ "{sys.executable}" -m data_pipeline "$@"; }}; {line}; exit ${{PIPESTATUS[0]}}'
    return subprocess.run(
        ["bash", "-c", command],
        cwd=shop.folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
        env={**inherited, **shop.environment, **environment},
    )


COMMANDS = ["tasks list --json", "tasks list", "config show", "--help", "--version", "qa report $TASK", "export $TASK"]


def test_output_that_cannot_be_taken_is_one_sentence_or_nothing(shop: Shop) -> None:
    """A full disk, a closed descriptor, a reader that goes away: no traceback, of no kind of printing."""
    task = shop.new_task().name
    ends = [("> /dev/full", 1, "No space left on device"), (">&-", 1, "Bad file descriptor"), ("| true", 0, "")]
    for number, command in enumerate(COMMANDS):
        target, code, said = ends[number % len(ends)]
        done = piped(shop, f"data-pipeline {command} {target}", TASK=task)

        assert (done.returncode, said in done.stderr) == (code, True), f"{command} {target}: {done.stderr}"
        assert len(done.stderr.splitlines()) == (said != ""), f"{command} {target}: {done.stderr}"


@pytest.mark.parametrize("target", ["> /dev/full", ">&-", "| true", "2>&-", "2> /dev/full", "2>&1 >/dev/null | true"])
def test_run_is_done_whoever_reads_along(shop: Shop, target: str) -> None:
    """What it does matters, not what it prints: the task has run, and the exit code is its own."""
    line = f"data-pipeline run --db-connection sqlite:///shop.sqlite --table-list tables.txt {target}"
    done = piped(shop, line)
    (task,) = shop.home.glob("training_data/task_*")

    assert done.returncode == (1 if target in ("> /dev/full", ">&-") else 0), done.stderr
    assert json.loads((task / "task_result.json").read_text())["success"] is True


def test_text_that_the_encoding_cannot_express_is_escaped(shop: Shop) -> None:
    """For people as it comes; for programs as JSON has it."""
    named = ("--task-name", "é 订单 😀")
    create = ("--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt")
    task = json.loads(shop.call(CLI, "tasks", "create", *create, *named, "--json").stdout)["task_id"]
    shown = shop.call(CLI, "tasks", "show", task, PYTHONIOENCODING="ascii")
    listed = shop.call(CLI, "tasks", "list", "--json", PYTHONIOENCODING="ascii")

    assert (shown.returncode, listed.returncode) == (0, 0), shown.stderr + listed.stderr
    assert "\\xe9 \\u8ba2\\u5355 \\U0001f600" in shown.stdout
    assert listed.stdout.isascii()
    assert json.loads(listed.stdout)[0]["task_name"] == named[1]
