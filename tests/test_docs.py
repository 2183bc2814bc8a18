"""The documentation is true: links lead somewhere, every public name is described, examples run."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import journal
from data_pipeline import cli
from tests.support.server import new_shop, running_server

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")], key=str)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    """A link that leads nowhere costs a reader's trust."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    dead = [link for link in links if "://" not in link and not (page.parent / link).exists()]

    assert dead == []


def test_every_public_name_is_described_in_the_contract() -> None:
    """`journal.__all__` is the promise; docs/journal.md explains each name of it."""
    page = (ROOT / "docs" / "journal.md").read_text(encoding="utf-8")
    described = set(re.findall(r"`([A-Za-z_]+)[`(.]", page))

    assert set(journal.__all__) - described == set()


def test_every_invariant_is_stated_once_and_cited_by_a_test() -> None:
    """I1 to I10 stand in the contract; each is upheld by a test whose docstring names it."""
    page = (ROOT / "docs" / "journal.md").read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for number in range(1, 11):
        assert len(re.findall(rf"^(?:[-|] *)?\**I{number}\b", page, re.MULTILINE)) == 1, f"I{number} is not stated once"
        assert re.search(rf"\bI{number}\b", tests), f"I{number} is cited by no test"


def test_python_example_of_the_readme_runs(tmp_path: Path) -> None:
    """Thirty seconds, copied as they stand."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    task = tmp_path / "training_data" / "task_1"
    task.mkdir(parents=True)
    for name in ("table_list.txt", "orders.ddl", "orders_detail.md"):
        (task / name).write_text(name, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "2 files moved to file_bak_20250121_094400\n"
    assert {path.name for path in task.iterdir()} == {"table_list.txt", "file_bak_20250121_094400"}


def test_quick_start_of_the_readme_runs(tmp_path: Path) -> None:
    """Line by line, on a small shop; what a line prints names the task and the backup of the next."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- quick start -->\n```sh\n(.*?)```", text, re.DOTALL)
    connection = sqlite3.connect(tmp_path / "shop.sqlite")
    connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    connection.close()
    (tmp_path / "tables.txt").write_text("orders\n", encoding="utf-8")
    names: dict[str, str] = {}
    said = ""
    for line in block.splitlines():
        command = line.replace("data-pipeline", f"{sys.executable} -c 'from data_pipeline.cli import main; main()'", 1)
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **names},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said = done.stdout
        for name, pattern in {"TASK": r"task_\d{8}_\d{6}", "BACKUP": r"file_bak_\d{8}_\d{6}"}.items():
            if found := re.search(pattern, said):
                names.setdefault(name, found[0])

    assert "restore that to undo this" in said


def test_curl_lines_of_the_readme_run(tmp_path: Path) -> None:
    """Against the real server, on a free port: two runs, the second with a backup of the first."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- curl -->\n```sh\n(.*?)```", text, re.DOTALL)
    shop = new_shop(tmp_path / "shop")
    said: list[str] = []
    task = ""
    with running_server(shop) as server:
        for line in block.splitlines():
            done = subprocess.run(
                ["sh", "-c", line.replace("http://127.0.0.1:8084", server.url)],
                cwd=shop.folder,
                env={**os.environ, "TASK": task},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            said.append(done.stdout)
            found = re.search(r"task_\d{8}_\d{6}", done.stdout)
            task = task or (found[0] if found else "")
    assert [json.loads(answer)["success"] for number, answer in enumerate(said) if number != 3] == [True] * 5
    assert said[3].splitlines()[-3] == "event: run"
    assert json.loads(said[4])["data"]["backup"]["moved_count"] == 9
    assert json.loads(said[5])["data"]["total"] == 1


def test_chinese_readme_has_every_section_and_every_example_of_the_english_one() -> None:
    """The same in another language: as many headings of each level, the same commands and code."""
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))

    def shape(text: str) -> list[str]:
        without_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        return [line.partition(" ")[0] for line in without_code.splitlines() if line.startswith("#")]

    def code(text: str) -> list[str]:
        lines = "\n".join(re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)).splitlines()
        return [line.partition("   #")[0].rstrip() for line in lines]

    assert shape(chinese) == shape(english)
    assert code(chinese) == code(english)


def commands_of(group: Any, words: tuple[str, ...] = ("data-pipeline",)) -> Iterator[tuple[str, Any]]:
    """Every command of the command line, as it is typed."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


COMMANDS = dict(commands_of(typer.main.get_command(cli.app)))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_documented_with_an_example(command: str) -> None:
    """Each has a section in docs/command-line.md with all its options, and examples in its --help."""
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### `(data-pipeline [a-z ]+)`\n(.*?)(?=^##|\Z)", page, re.DOTALL | re.MULTILINE))
    options = [option for parameter in COMMANDS[command].params for option in parameter.opts if option[:1] == "-"]

    assert command in sections
    assert [option for option in options if f"`{option}" not in sections[command]] == []
    assert command in sections[command].partition("```sh")[2], "no example"
    assert f"{command}" in (COMMANDS[command].epilog or ""), "no example in --help"


def test_no_command_is_documented_that_there_is_not() -> None:
    """Nor an option that there is not."""
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    known = {option for command in COMMANDS.values() for parameter in command.params for option in parameter.opts}

    assert set(re.findall(r"^### `(data-pipeline [a-z ]+)`", page, re.MULTILINE)) == set(COMMANDS)
    assert set(re.findall(r"`(--[a-z-]+)", page)) - known <= {"--help", "--install-completion", "--show-completion"}


@pytest.mark.parametrize("mark", ["install", "test"])
def test_marked_command_of_the_readme_is_one_line(mark: str) -> None:
    """What is written there is what decides whether a change lands."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"<!-- {mark} -->\n```sh\n(.*?)```", text, re.DOTALL)

    assert block.count("\n") == 1
    assert f"readme {mark}" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
