"""The command line starts with few imports: a command pays for what it needs, and help, version, completion for less.

No test measures a time; `benchmarks/bench_startup.py` does.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from alembic.config import Config
from alembic.script import ScriptDirectory
from typer.testing import CliRunner

from data_pipeline import cli
from data_pipeline.commands.groups import LazyGroup, first_sentence
from data_pipeline.steps import STEPS
from data_pipeline.store.tables import NEWEST_VERSION
from data_pipeline.tasks.step_names import STEP_NAMES
from tests.support.shop import ROOT, Shop
from tests.support.warm import WarmPython

HEAVY = {
    "alembic", "asyncio", "dbos", "dotenv", "fastapi", "httpx2", "journal", "numpy", "portalocker",
    "prometheus_client", "psycopg", "pydantic", "pydantic_settings", "rich", "sqlalchemy", "sqlglot", "starlette",
    "tenacity", "uvicorn", "zipstream",
}  # fmt: skip
"""Libraries that the root of the command line does without: all that this project requires, but typer."""

NOT_FOR_HELP = {"alembic", "dbos", "fastapi", "journal", "numpy", "psycopg", "rich", "sqlalchemy", "sqlglot"}
NOT_FOR_A_LIST = {"alembic", "dbos", "fastapi", "journal", "numpy", "psycopg", "sqlglot"}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path, is_cold=True)


IMPORTS = """
import json, sys
from data_pipeline import cli

imported = {}
for words in json.loads(sys.argv[1]):
    code = cli._run(words)
    assert code == 0, (words, code)
    imported[" ".join(words)] = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps(imported), file=sys.stderr)
"""
"""A program that runs command lines one after another, and ends with a line on standard error: what was imported."""


def imported_by(shop: Shop, *command_lines: str, **environment: str) -> dict[str, set[str]]:
    """The packages that command lines, one after another in one process, have imported; each has to succeed."""
    words = json.dumps([line.split() for line in command_lines])
    done = shop.call([sys.executable, "-c", IMPORTS, words], **environment)
    assert done.returncode == 0, done.stderr
    return {line: set(names) for line, names in json.loads(done.stderr.splitlines()[-1]).items()}


def imported_to_complete(shop: Shop, words: str) -> set[str]:
    """The packages that a completion in bash imports."""
    program = "import atexit, json, sys; from data_pipeline.cli import main; atexit.register(lambda: print(json.dumps("
    program += "sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)); main()"
    asked = {"_DATA_PIPELINE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = shop.call([sys.executable, "-c", program], **asked)
    assert done.stdout.strip(), done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def root() -> LazyGroup:
    group = typer.main.get_command(cli.app)
    assert isinstance(group, LazyGroup)
    return group


def commands_below(name: str, command: Any) -> Iterator[str]:
    """A command and all below it, as they are typed."""
    yield name
    for below in getattr(command, "commands", {}):
        yield f"{name} {below}"


EVERY_COMMAND = [words for name in root().commands for words in commands_below(name, root().load(name))]


def test_version_and_help_import_no_library_but_the_one_that_parses(shop: Shop) -> None:
    """They answer at once, whatever the commands need."""
    for packages in imported_by(shop, "--version", "--help").values():
        assert packages & HEAVY == set()


def test_completion_of_commands_imports_no_library_but_those_that_parse(shop: Shop) -> None:
    """It runs each time that a person presses the tab key. Typer imports pydantic for an incomplete command line."""
    assert imported_to_complete(shop, "data-pipeline b") & HEAVY <= {"pydantic"}


def test_completion_of_steps_and_tasks_imports_nothing_that_works(shop: Shop) -> None:
    """The names of steps are known without them; the directories of the tasks are enough, without a store."""
    shop.new_task()

    assert imported_to_complete(shop, "data-pipeline run --step ") & NOT_FOR_HELP == set()
    assert imported_to_complete(shop, "data-pipeline tasks show ") & NOT_FOR_HELP == set()


def test_help_of_every_command_imports_nothing_that_works(shop: Shop) -> None:
    """It declares arguments, and models make some of them; what carries a command out is imported when it runs."""
    imported = imported_by(shop, *(f"{command} --help" for command in EVERY_COMMAND))
    assert len(imported) == len(EVERY_COMMAND)
    for command, packages in imported.items():
        assert packages & NOT_FOR_HELP == set(), command


def imported_in_functions() -> set[str]:
    """The modules of this project that its functions import when they need them."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "data_pipeline").rglob("*.py")]
    functions = [
        node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    found = [node for function in functions for node in ast.walk(function) if isinstance(node, ast.ImportFrom)]
    return {str(node.module) for node in found if str(node.module).startswith("data_pipeline")}


def test_module_that_a_command_imports_when_it_needs_it_may_be_the_first_of_all() -> None:
    """Commands of other tests find all modules imported; a new process has the order of its own command."""
    modules = imported_in_functions()
    assert len(modules) > 20
    with WarmPython("typer", *sorted(HEAVY - {"journal"})) as warm:
        for module in modules:
            done = warm.run(f"import sys; assert 'data_pipeline' not in sys.modules; import {module}")
            assert done.returncode == 0, done.stderr


def test_list_of_tasks_imports_the_store_and_nothing_of_runs(shop: Shop) -> None:
    """A store of the newest version needs no migration, and a file that is there need not be made."""
    shop.new_task()

    assert imported_by(shop, "tasks list --json")["tasks list --json"] & NOT_FOR_A_LIST == set()


def test_table_of_commands_has_the_first_sentence_of_each_help() -> None:
    """The stand-ins of the root read as the commands do."""
    group = root()

    assert {name: first_sentence(one) for name, one in group.commands.items()} == {
        name: first_sentence(group.load(name)) for name in group.commands
    }


def test_names_of_the_steps_are_those_of_the_steps() -> None:
    """In the order of a complete run."""
    assert tuple(step.name for step in STEPS) == STEP_NAMES


def test_newest_version_of_the_store_is_the_one_of_the_newest_migration() -> None:
    """Alembic, which is not asked when a store is opened, would say the same."""
    config = Config()
    config.set_main_option("script_location", "data_pipeline.store:migrations")

    assert ScriptDirectory.from_config(config).get_current_head() == NEWEST_VERSION


@pytest.mark.parametrize("columns", ["60", "80"])
def test_help_is_whole_in_a_narrow_terminal(columns: str) -> None:
    """No name of an option and no sentence about a command is cut short, and a switch shows no type."""
    for words in ("", *EVERY_COMMAND):
        command: Any = root()
        for word in words.split():
            command = command.load(word) if isinstance(command, LazyGroup) else command.commands[word]
        done = CliRunner().invoke(cli.app, [*words.split(), "--help"], terminal_width=int(columns))
        text = " ".join(done.stdout.split())
        assert done.exit_code == 0, words
        assert max(map(len, done.stdout.splitlines())) <= int(columns) or words, "the width was not heeded"
        assert "<bool>" not in text, words
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                assert option[:1] != "-" or option in text, (words, option)
        for below in getattr(command, "commands", {}).values():
            assert first_sentence(below) in text, (words, below.name)
