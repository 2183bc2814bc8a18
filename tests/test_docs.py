"""The documentation is true: links lead somewhere, every public name is described, examples run."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel

import journal.__main__
from data_pipeline import cli
from data_pipeline.commands.exit_codes import RESERVED, ExitCode
from data_pipeline.commands.groups import LazyGroup
from data_pipeline.commands.options import options_of
from data_pipeline.config.settings import PREFIX, Settings, load_settings
from data_pipeline.database.connection import open_database
from data_pipeline.database.execution import QueryLimits
from data_pipeline.database.finding import list_tables
from data_pipeline.database.reflection import read_tables
from data_pipeline.demo.database import build_database
from data_pipeline.semantics.facts import Facts, Role
from data_pipeline.semantics.glossary import Glossary
from data_pipeline.semantics.observing import observe
from data_pipeline.service.app import create_app, open_service
from data_pipeline.service.errors import ANSWERS
from data_pipeline.steps.pair_file import format_pairs
from data_pipeline.steps.qa.choose.gates import Gates
from data_pipeline.steps.qa.families import FAMILIES
from data_pipeline.steps.qa.families.family import rows_of, select
from data_pipeline.steps.qa.generator import VOICES, Generator
from data_pipeline.steps.qa.plans.plan import Plan
from data_pipeline.steps.qa.say.nouns import Nouns
from data_pipeline.steps.qa.step import facts_of
from data_pipeline.tasks.parameters import Language, RunOptions, TaskParameters
from tests.support.server import new_shop, running_server
from tests.support.shop import CLI, Shop
from tests.test_house import PARTS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")], key=str)


NAMES = {"TASK": r"task_\d{8}_\d{6}", "BACKUP": r"file_bak_\d{8}_\d{6}", "VECTORS": r"(?<=vectors_)\d{8}_\d{6}"}
"""What examples call what an earlier one answered."""


def anchors_of(page: Path) -> set[str]:
    """What a link may name after `#`: headings in lower case, signs dropped, spaces as hyphens."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    """A link that leads nowhere costs a reader's trust."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        is_there = "://" in link or (target.exists() and (not anchor or anchor in anchors_of(target)))
        dead += [] if is_there else [link]

    assert dead == []


def test_every_setting_is_documented_with_its_default() -> None:
    """Code and docs/settings.md say the same."""
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        row = next((line for line in text.splitlines() if line.startswith(f"| `{PREFIX}{name.upper()}")), None)
        assert row is not None, f"{name} is not documented"
        assert field.description
        if isinstance(field.default, (bool, int, float)):
            assert f"`{str(field.default).lower().removesuffix('.0')}`" in row
    documented = {
        line.split("`")[1].partition("__")[0] for line in text.splitlines() if line.startswith(f"| `{PREFIX}")
    }
    assert documented == {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}


def test_example_of_a_settings_file_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands."""
    (example,) = re.findall(
        r"```toml\n(.*?)```", (ROOT / "docs" / "settings.md").read_text(encoding="utf-8"), re.DOTALL
    )
    (tmp_path / "data_pipeline.toml").write_text(example)
    monkeypatch.chdir(tmp_path)
    settings = load_settings()

    assert (settings.home_path, settings.runs_at_once) == ("/srv/data_pipeline", 8)
    assert settings.has_database("sales")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_speaks_of_a_setting_that_there_is_not(page: Path) -> None:
    """Anywhere."""
    named = {name.partition("__")[0] for name in re.findall(r"DATA_PIPELINE_[A-Z_]+", page.read_text(encoding="utf-8"))}

    assert named <= {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}


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
        for name, pattern in NAMES.items():
            if found := re.search(pattern, said):
                names.setdefault(name, found[0])

    assert "restore it to undo this" in said


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
    assert json.loads(said[4])["data"]["backup"]["moved_count"] == 20
    assert json.loads(said[5])["data"]["total"] == 1


def blocks_of(page: Path) -> list[str]:
    """The lines of all shell examples of a page."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return "".join(blocks).splitlines()


def test_every_curl_line_of_the_api_guide_answers_as_it_says(tmp_path: Path) -> None:
    """In its order, against the real server; the number after # is the status."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    shop = new_shop(tmp_path / "shop")
    (shop.folder / "notes.md").write_text("notes")
    (shop.folder / ".curlrc").write_text('write-out = "\\n%{http_code}"\n')
    names: dict[str, str] = {}
    answered = 0
    with running_server(shop) as server:
        for line in blocks_of(ROOT / "docs" / "api.md"):
            if not line.startswith("curl"):
                continue
            api = f"{server.url}/api/v0/data_pipeline"
            done = subprocess.run(
                ["bash", "-c", line.rpartition("  # ")[0]],
                cwd=shop.folder,
                env={**os.environ, "API": api, "CURL_HOME": str(shop.folder), **names},
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stdout.splitlines()[-1]) == (0, line.rpartition("  # ")[2]), (
                line + done.stdout
            )
            for name, pattern in NAMES.items():
                if found := re.search(pattern, done.stdout):
                    names.setdefault(name, found[0])
            answered += 1

    assert answered > 30
    assert (shop.folder / "customer.ddl").read_text().startswith("-- ")


def test_api_guide_has_every_request_and_every_kind_of_error() -> None:
    """Each method of each path, by a curl line; each error type of the one table."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    asked = set()
    for line in blocks_of(ROOT / "docs" / "api.md"):
        if line.startswith("curl"):
            url = re.sub(r"\?.*", "", next(word.strip('"') for word in line.split() if "API" in word))
            path = re.sub(r"^\$\{API%/\*\}|^\$\{API%/api\*\}/|^\$API", "/", url).replace("//", "/")
            is_post = "--json" in line or "-F " in line
            method = line.partition("-X ")[2].split(" ")[0] or ("POST" if is_post else "GET")
            asked.add((method, re.sub(r"\$(TASK|BACKUP|VECTORS)|customer\.ddl", "{}", path)))
    description = json.loads(documented_api())
    for path, methods in description["paths"].items():
        short = re.sub(r"\{\w+\}", "{}", path.replace("/api/v0/data_pipeline", "").replace("/api/v0", ""))
        for method in methods:
            assert (method.upper(), short) in asked, f"{method.upper()} {path}"
    for error in ANSWERS:
        assert f"`{error.error_type}`" in page, error.error_type


def documented_api() -> str:
    """The description of the API, as the server gives it."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        with open_service(settings, "api") as service:
            return json.dumps(create_app(service).openapi())


def upload_pairs(shop: Shop, task_id: str) -> None:
    """Give a task pairs, and load them: no step makes them yet."""
    path = shop.home / "training_data" / task_id / "qs_shop_pair.json"
    path.write_text(format_pairs([("How many customers are there?", "SELECT count(*) FROM customer")]))
    for step in ("sql_validation", "training_load"):
        assert shop.call(CLI, "run", task_id, "--step", step).returncode == 0


def test_every_example_of_the_command_line_runs(tmp_path: Path) -> None:
    """In the order of docs/command-line.md, on a small shop; the demo and the server have tests of their own."""
    shop = new_shop(tmp_path / "shop")
    names: dict[str, str] = {}
    for line in blocks_of(ROOT / "docs" / "command-line.md"):
        if line in ("data-pipeline demo", "data-pipeline serve"):
            continue
        if line.startswith("data-pipeline export"):
            upload_pairs(shop, names["TASK"])
        command = line.replace("data-pipeline", f"{sys.executable} -m data_pipeline", 1)
        done = shop.call(["sh", "-c", command], **names)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        for name, pattern in NAMES.items():
            if found := re.search(pattern, done.stdout):
                names.setdefault(name, found[0])


def test_every_part_of_the_house_has_its_line_in_the_architecture() -> None:
    """The table of docs/architecture.md has the parts in the order of imports that is checked."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == [part for part in PARTS if part != "__main__"]


def test_index_of_decisions_has_every_decision() -> None:
    """With its number and its title."""
    index = (ROOT / "docs" / "decisions" / "index.md").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs" / "decisions").glob("0*.md")):
        number, _, title = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").partition(" ")
        assert f"| [{number}]({page.name}) | {title} |" in index


def test_transitions_of_the_journal_name_functions_that_there_are() -> None:
    """The table below the state diagram in docs/journal.md."""
    page = (ROOT / "docs" / "journal.md").read_text(encoding="utf-8")
    table = page.partition("| transition | function |")[2].partition("\n\n")[0]
    sources = "".join((ROOT / name).read_text(encoding="utf-8") for name in set(re.findall(r"journal/\w+\.py", table)))
    named = set(re.findall(r"`(?:[\w]+\.)?(\w+)`", re.sub(r"`journal/\w+\.py`", "", table)))
    assert len(named) > 15
    assert {name for name in named if f"def {name}(" not in sources} == set()


def test_examples_of_the_library_guide_run(tmp_path: Path) -> None:
    """One after the other, as they stand."""
    text = (ROOT / "docs" / "guides" / "journal-library.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<h1>old</h1>")
    (tmp_path / "inbox").mkdir()
    for number in range(3):
        (tmp_path / "inbox" / f"{number}.eml").write_text("letter")
    done = subprocess.run(
        [sys.executable, "-c", "".join(examples)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert "3 files are in archive_2025\n" in done.stdout
    assert {path.name: path.read_text() for path in (tmp_path / "site").iterdir()} == {
        "index.html": "<h1>new</h1>",
        "style.css": "h1 { color: teal }",
    }
    assert list((tmp_path / "inbox").iterdir()) == []


def test_every_type_of_error_is_in_the_troubleshooting_guide() -> None:
    """Those of the API's table, and those of the command line."""
    guide = (ROOT / "docs" / "guides" / "troubleshooting.md").read_text(encoding="utf-8")
    api = (ROOT / "docs" / "api.md").read_text(encoding="utf-8").partition("## Errors")[2]
    types = set(re.findall(r"`([a-z]+_[a-z_]+)`", api)) - {"error_type", "invalid_params"} | {"wrong_usage"}
    assert {name for name in types if f"`{name}`" not in guide} == set()


def levels_of_headings(text: str) -> list[str]:
    """Return the signs of each heading of a page, in order: `#`, `##` ..."""
    without_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [line.partition(" ")[0] for line in without_code.splitlines() if line.startswith("#")]


def code_without_comments(text: str) -> list[str]:
    """Return the lines of all code blocks of a page; comments may be translated."""
    lines = "\n".join(re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)).splitlines()
    return [re.sub(r"(^|   )#.*", "", line).rstrip() for line in lines]


def test_chinese_readme_has_every_section_and_every_example_of_the_english_one() -> None:
    """The same in another language: as many headings of each level, the same commands and code."""
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))

    def trees(text: str) -> int:
        return len(re.findall(r"\n\n    \S", text))

    assert levels_of_headings(chinese) == levels_of_headings(english)
    assert trees(chinese) == trees(english)
    assert code_without_comments(chinese) == code_without_comments(english)


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "zh").glob("*.md")), ids=lambda page: page.name)
def test_chinese_page_has_every_heading_and_every_example_of_its_english_page(page: Path) -> None:
    """Each page links to the other one below its title; levels of headings, commands and code are the same."""
    chinese = page.read_text(encoding="utf-8")
    link = re.match(r"# .+\n\n\[English\]\((\S+)\)\n", chinese)
    assert link is not None, "expected a link to the English page below the title"
    english_page = page.parent / link[1]
    english = english_page.read_text(encoding="utf-8")
    link_back = re.match(r"# .+\n\n\[简体中文\]\((\S+)\)\n", english)
    assert link_back is not None, "expected a link to the Chinese page below the title of the English one"

    assert (english_page.parent / link_back[1]).resolve() == page
    assert levels_of_headings(chinese) == levels_of_headings(english)
    assert code_without_comments(chinese) == code_without_comments(english)


def commands_of(group: Any, words: tuple[str, ...] = ("data-pipeline",)) -> Iterator[tuple[str, Any]]:
    """Every command of the command line, as it is typed."""
    for name in group.commands:
        command = group.load(name) if isinstance(group, LazyGroup) else group.commands[name]
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
    fields = {name for model in (TaskParameters, RunOptions) for name in model.model_fields}
    options = [
        option
        for parameter in COMMANDS[command].params
        for option in parameter.opts
        if option[:1] == "-" and parameter.name not in fields  # they have a table of their own
    ]

    assert command in sections
    assert [option for option in options if f"`{option}" not in sections[command]] == []
    assert command in sections[command].partition("```sh")[2], "no example"
    assert f"{command}" in (COMMANDS[command].epilog or ""), "no example in --help"


@pytest.mark.parametrize("model", [TaskParameters, RunOptions], ids=lambda model: model.__name__)
def test_parameters_are_documented_with_their_options_defaults_and_help(model: type[BaseModel]) -> None:
    """The two tables of docs/command-line.md are made of the models."""
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    words = {None: "the setting", True: "true", False: "false", "": "empty"}
    for option in options_of(model):
        default = model.model_fields[option.field].default
        flags = ", ".join(f"`{flag}`" for flag in (*option.flags, *option.off_flags))
        assert f"| `{option.field}` | {flags} | {words.get(default, default)} | {option.help} |" in page


def test_no_command_is_documented_that_there_is_not() -> None:
    """Nor an option that there is not."""
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    known = {
        option
        for command in COMMANDS.values()
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }

    assert set(re.findall(r"^### `(data-pipeline [a-z ]+)`", page, re.MULTILINE)) == set(COMMANDS)
    assert set(re.findall(r"`(--[a-z-]+)", page)) - known <= {
        "--help",
        "--debug",
        "--verbose",
        "--version",
        "--install-completion",
        "--show-completion",
    }


@pytest.mark.parametrize("mark", ["start", "install", "test"])
def test_marked_command_of_the_readme_is_one_line(mark: str) -> None:
    """What is written there is what decides whether a change lands."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"<!-- {mark} -->\n```sh\n(.*?)```", text, re.DOTALL)

    assert block.count("\n") == 1
    assert f"readme {mark}" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


# ---- families of questions -------------------------------------------------------------------------------------------

FAMILIES_PAGE = ROOT / "docs" / "families.md"


def families_described() -> dict[str, str]:
    """The section of each family in docs/families.md."""
    page = FAMILIES_PAGE.read_text(encoding="utf-8")
    return dict(re.findall(r"^#### `(\w+)`\n(.*?)(?=^##|\Z)", page, re.DOTALL | re.MULTILINE))


def test_every_family_has_its_section_with_an_example() -> None:
    """A question and its SQL; and no family is described that there is not."""
    sections = families_described()

    assert list(sections) == [family.name for family in FAMILIES]
    for name, section in sections.items():
        assert re.search(r"^> \S.*[.?]$", section, re.MULTILINE), f"{name}: no question"
        assert re.search(r"^```(sql)?\n(SELECT|WITH) ", section, re.MULTILINE), f"{name}: no SQL"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "demo.sqlite"
    build_database(str(path))
    return path


def test_every_example_of_a_family_gives_rows_on_the_demo(demo: Path) -> None:
    """But for those that say that they are of another database."""
    connection = sqlite3.connect(demo)
    for name, section in families_described().items():
        for sql in re.findall(r"```sql\n(.*?)```", section, re.DOTALL):
            assert connection.execute(sql).fetchall(), name
    connection.close()


def test_every_role_of_a_column_is_described() -> None:
    """What a column can be, in the order of the code."""
    page = FAMILIES_PAGE.read_text(encoding="utf-8")
    table = page.partition("| role |")[2].partition("\n\n")[0]

    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(get_args(Role))


def facts_of_demo(demo: Path) -> Facts:
    """What the generator knows of the demo's database."""
    limits = QueryLimits()
    with open_database(f"sqlite:///{demo}") as database:
        tables, _ = read_tables(database, list_tables(database))
        observed = [observe(database, table, limits, masks_personal_data=True) for table in tables]
        return facts_of(database.dialect_name, tables, observed, (), Glossary())


def test_every_place_of_a_sentence_is_described(demo: Path) -> None:
    """Of both languages; those that only one has are in italics."""
    facts = facts_of_demo(demo)
    table = facts.tables[0]
    plan = Plan(family="count", query=select(table, [rows_of(table)]))
    english, chinese = (set(VOICES[language](Nouns(facts, language), 7).places(plan)) for language in ("en", "zh"))
    described = FAMILIES_PAGE.read_text(encoding="utf-8").partition("| places |")[2]

    assert set(re.findall(r"`\{(\w+)\}`", described)) == english | chinese
    assert set(re.findall(r"\*`\{(\w+)\}`\*", described)) == english ^ chinese


@pytest.mark.parametrize("language", ["en", "zh"])
def test_family_of_the_guide_makes_pairs_that_pass_the_gates(demo: Path, language: Language) -> None:
    """As it stands on the page: one class, two tables of phrasings."""
    (example,) = re.findall(r"```python\n(.*?)```", FAMILIES_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    facts = facts_of_demo(demo)
    with open_database(f"sqlite:///{demo}") as database:
        gates = Gates(database, QueryLimits(), personal={}, default_schema=facts.default_schema)
        generator = Generator(
            facts, Nouns(facts, language), gates, seed=7, wanted=10, families=(*FAMILIES[:1], names["Extent"]())
        )
        pairs = [pair for pair in generator.pairs() if pair is not None and pair.sql.startswith("SELECT MIN(")]

    assert len(pairs) > 3
    assert all(", MAX(" in pair.sql for pair in pairs)
    assert len({pair.question for pair in pairs}) == len(pairs)


def test_table_of_exit_codes_is_that_of_the_code() -> None:
    """Every code with its meaning, once; reserved ones say so; the journal, the script and the pages agree."""
    page = (ROOT / "docs" / "runs.md").read_text(encoding="utf-8")
    section = page.partition("## States, results and exit codes")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in re.findall(r"^\| \d.*$", section, re.MULTILINE)]

    assert [(int(row[0]), row[1]) for row in rows] == [(int(code), code.meaning) for code in ExitCode]
    assert {int(row[0]) for row in rows if row[2].startswith("reserved")} == {int(code) for code in RESERVED}
    same = ("UNEXPECTED", "BUSY", "INTERRUPTED", "BAD_INPUT")
    assert [getattr(journal.__main__, name) for name in same] == [ExitCode[name] for name in same]
    assert (journal.__main__.CLEAN, journal.__main__.USAGE) == (ExitCode.DONE, ExitCode.WRONG_USAGE)
    assert (journal.__main__.DAMAGED, journal.__main__.WORK) == (ExitCode.FAILED, ExitCode.DONE_IN_PART)
    for code in set(ExitCode) - RESERVED:
        assert f"{int(code)} {code.meaning}" in cli.EXIT_CODES
        assert f"{int(code)} {code.meaning}" in (ROOT / "docs" / "command-line.md").read_text().replace("\n", " ")


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_codes_of_the_journal_are_those_of_its_module(page: str) -> None:
    """The table of the README has each of them."""
    text = (ROOT / page).read_text(encoding="utf-8")
    table = re.search(r"^\| (?:exit code|退出码).*?\n\n", text, re.DOTALL | re.MULTILINE)
    names = ("CLEAN", "BAD_INPUT", "USAGE", "DAMAGED", "WORK", "UNEXPECTED", "BUSY", "INTERRUPTED")

    assert table is not None
    assert list(map(int, re.findall(r"^\| (\d+)", table[0], re.MULTILINE))) == [
        getattr(journal.__main__, name) for name in names
    ]
