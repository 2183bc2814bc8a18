"""Documentation, help, API descriptions, messages and docstrings avoid the words of retired_words.toml."""

from __future__ import annotations

import ast
import json
import re
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from data_pipeline import cli
from data_pipeline.commands.groups import LazyGroup
from data_pipeline.config.settings import Settings
from data_pipeline.service.app import create_app, open_service

ROOT = Path(__file__).parents[1]
CONFIGURATION: dict[str, Any] = tomllib.loads((ROOT / "tests" / "retired_words.toml").read_text(encoding="utf-8"))
NOT_YET: list[str] = CONFIGURATION["not_yet"]
KINDS = ("docs", "docstring", "function", "message", "help", "openapi")
SOURCES = sorted(
    path.relative_to(ROOT).as_posix() for top in ("journal", "data_pipeline") for path in (ROOT / top).rglob("*.py")
)
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
    if "zh" not in path.parts and not path.name.endswith(".zh-CN.md") and path.name != "CODE_OF_CONDUCT.md"
)

MESSAGE_CALLS = frozenset(
    {"debug", "info", "warning", "error", "exception", "critical", "log"}  # of a logger
    | {"print", "echo", "secho", "confirm", "print_lines", "print_error", "Finding", "success", "failure", "_print"}
)
"""Functions whose text arguments a user or an operator reads."""


class Retired(NamedTuple):
    """An entry of the data file."""

    name: str
    pattern: re.Pattern[str]
    kinds: frozenset[str]
    instead: str
    wrong: list[str]
    right: list[str]


class Text(NamedTuple):
    """A text that a user or a developer reads."""

    place: str
    kind: str
    content: str


RETIRED = [
    Retired(
        entry["name"],
        re.compile(entry["pattern"], re.IGNORECASE),
        frozenset(entry.get("kinds", KINDS)),
        f"{entry['why']} Instead: {entry['instead']}",
        entry["wrong"],
        entry["right"],
    )
    for entry in CONFIGURATION["retired"]
]
EXCEPTIONS: list[dict[str, str]] = CONFIGURATION.get("exception", [])


def is_clean_yet(path: str) -> bool:
    """Return True if the texts of a file are checked."""
    return not any(path == entry or path.startswith(f"{entry}/") for entry in NOT_YET)


def exceptions_for(entry: Retired, text: Text, match: re.Match[str]) -> list[dict[str, str]]:
    """Return the exceptions of the data file that allow this match."""
    around = text.content[max(match.start() - 60, 0) : match.end() + 60]
    return [
        exception
        for exception in EXCEPTIONS
        if exception["retired"] == entry.name
        and text.place.startswith(exception["place"])
        and exception["text"] in around
    ]


def matches_in(text: Text) -> Iterator[tuple[Retired, re.Match[str]]]:
    """Yield the retired words and shapes of a text, including the allowed ones."""
    kinds = {text.kind, "docstring"} if text.kind == "function" else {text.kind}
    for entry in RETIRED:
        if kinds & entry.kinds:
            for match in entry.pattern.finditer(text.content):
                yield entry, match


def findings_in(texts: Iterable[Text]) -> list[str]:
    """Return a sentence for each retired word or shape that is not allowed."""
    return [
        f"{text.place}: {text.kind} has {match[0].strip()!r} ({entry.name}): {entry.instead}"
        for text in texts
        for entry, match in matches_in(text)
        if not exceptions_for(entry, text, match)
    ]


# ---- extraction -----------------------------------------------------------------------------------------------------


def without_code(text: str) -> str:
    """Replace code in backticks by an X, because code is not English."""
    return re.sub(r"`+[^`]+`+", "X", text)


def blank_lines(match: re.Match[str]) -> str:
    """Return as many line breaks as a match has, so that line numbers stay the same."""
    return "\n" * match[0].count("\n")


def paragraphs_of(page: str) -> Iterator[Text]:
    """Yield the paragraphs, list items, cells and headings of a page, without code."""
    lines = (ROOT / page).read_text(encoding="utf-8")
    lines = re.sub(r"^ *```.*?^ *```|<!--.*?-->", blank_lines, lines, flags=re.DOTALL | re.MULTILINE)
    block: list[str] = []
    for number, line in enumerate([*lines.splitlines(), ""], start=1):
        begins = not line.strip() or re.match(r"\s*([-*|#]|\d+\.) ?", line) is not None
        if begins and block:
            yield from (Text(f"{page}:{number - len(block)}", "docs", cell) for cell in cells_of(" ".join(block)))
            block = []
        if line.strip() and not line.startswith("    "):  # an indented block is output of a program
            block.append(re.sub(r"^\s*([-*#]+|\d+\.) ", "", line).strip())


def cells_of(block: str) -> list[str]:
    """Return the cells of a row of a table, or the block itself."""
    text = re.sub(r"\]\([^)]*\)", "]", without_code(block)).replace("*", "").replace("[", "").replace("]", "")
    return [cell.strip() for cell in text.strip("|").split("|")] if text.startswith("|") else [text]


@cache
def tree_of(path: str) -> ast.Module:
    """Parse a source file."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def docstrings_of(path: str) -> Iterator[Text]:
    """Yield the docstrings of modules, classes, functions and names, without code."""
    for node in ast.walk(tree_of(path)):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                value = statement.value.value
                if isinstance(value, str):
                    text = " ".join(without_code(value).split())
                    yield Text(f"{path}:{statement.lineno}", kind_of_docstring(node), text)


def kind_of_docstring(node: ast.AST) -> str:
    """Return `function`, or `docstring` for modules, classes, names, and properties, which are nouns."""
    is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return "function" if is_function and not is_property(node) else "docstring"


def is_property(node: ast.AST) -> bool:
    """Return True if a function is decorated as a property."""
    decorators = getattr(node, "decorator_list", ())
    return any(ast.unparse(decorator).endswith("property") for decorator in decorators)


def literal_of(node: ast.AST) -> str | None:
    """Return the text of a string literal; the values of an f-string become X."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)  # type: ignore[misc]
    return None


def messages_of(path: str) -> Iterator[Text]:
    """Yield the texts of raised errors, log lines and output, without code."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            is_message = name in MESSAGE_CALLS or name == "__init__"
        else:
            is_message = isinstance(node, ast.Raise)
        for part in literals_below(node) if is_message else ():
            literal = literal_of(part)
            if literal is not None and " " in literal.strip():
                text = " ".join(without_code(literal).split())
                yield Text(f"{path}:{getattr(part, 'lineno', 0)}", "message", text)


def literals_below(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the string literals below a node; an f-string counts as a whole."""
    for child in ast.iter_child_nodes(node):
        if literal_of(child) is not None:
            yield child
        else:
            yield from literals_below(child)


def commands_of(group: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield every command and group of the command line with its name."""
    yield " ".join(words), group
    for name in getattr(group, "commands", {}):
        command = group.load(name) if isinstance(group, LazyGroup) else group.commands[name]
        yield from commands_of(command, (*words, name))


def help_texts() -> Iterator[Text]:
    """Yield the help of every command and option of both command lines."""
    for place, command in commands_of(typer.main.get_command(cli.app), ("data-pipeline",)):
        yield Text(place, "help", " ".join(without_code(command.help or "").split()))
        for parameter in command.params:
            text = getattr(parameter, "help", None) or ""
            yield Text(f"{place} {parameter.name}", "help", " ".join(without_code(text).split()))


@cache
def openapi_texts() -> tuple[Text, ...]:
    """Return every summary and description of the API."""
    with tempfile.TemporaryDirectory() as folder, open_service(Settings(home=Path(folder)), "api") as service:
        description = json.loads(json.dumps(create_app(service).openapi()))
    return tuple(described_below(description, "openapi"))


def described_below(value: Any, place: str) -> Iterator[Text]:
    """Yield the summaries and descriptions below a value of an OpenAPI description."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("summary", "description") and isinstance(item, str):
                yield Text(place, "openapi", " ".join(without_code(item).split()))
            elif key not in ("example", "examples"):
                yield from described_below(item, f"{place}/{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from described_below(item, f"{place}/{number}")


# ---- the texts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [page for page in PAGES if is_clean_yet(page)])
def test_page_has_no_retired_word(page: str) -> None:
    """Prose, headings, lists and tables; code and output of programs are not checked."""
    assert findings_in(paragraphs_of(page)) == []


def test_docstrings_and_messages_have_no_retired_word() -> None:
    """Of every module of `journal` and `data_pipeline`, except those in `not_yet`."""
    findings = []
    for path in filter(is_clean_yet, SOURCES):
        findings += findings_in(docstrings_of(path)) + findings_in(messages_of(path))

    assert findings == []


def test_help_has_no_retired_word() -> None:
    """Of every command, group, argument and option."""
    assert findings_in(help_texts()) == []


def test_description_of_the_api_has_no_retired_word() -> None:
    """Every summary and description, also those of models."""
    assert findings_in(openapi_texts()) == []


# ---- the checks themselves ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", RETIRED, ids=lambda entry: entry.name)
def test_planted_example_is_flagged_and_its_correction_is_not(entry: Retired) -> None:
    """Each entry flags its own wrong examples in every kind of text, and no right one."""
    assert entry.wrong
    assert entry.right
    for kind in entry.kinds:
        assert kind in KINDS
        for content in entry.wrong:
            text = Text("planted", kind, content)
            assert any(f"({entry.name})" in finding for finding in findings_in(iter([text]))), content
        for content in entry.right:
            matches = [found for found, _ in matches_in(Text("planted", kind, content)) if found is entry]
            assert matches == [], content


def test_every_kind_of_text_is_extracted() -> None:
    """A check of no text would always pass."""
    assert len(list(help_texts())) > 100
    assert len(openapi_texts()) > 100
    assert len([text for path in SOURCES for text in docstrings_of(path)]) > 1_000
    assert len([text for path in SOURCES for text in messages_of(path)]) > 300
    assert len([text for page in PAGES for text in paragraphs_of(page)]) > 1_000


def test_planted_sources_are_flagged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A docstring, a raise, a log line, an f-string, output, a paragraph, a cell; neither code nor identifiers."""
    (tmp_path / "planted.py").write_text(
        '"""Whether it works."""\n'
        'raise ValueError(f"{path}: mend it")\n'
        'LOGGER.warning("somebody holds %s", path)\n'
        'print("nobody was told")\n'
        'mend = {"somebody": "looked at"}  # neither a message nor a docstring\n'
        'NAME = 1\n"""Nobody reads `somebody`."""\n'
    )
    (tmp_path / "planted.md").write_text(
        "# Heading\n\nA paragraph that\nsomebody wrote.\n\n| a | mend it |\n\n    mend\n\n```sh\nmend\n```\n\n"
        "`mend` is code.\n"
    )
    monkeypatch.setattr("tests.test_english.ROOT", tmp_path)
    texts = [*docstrings_of("planted.py"), *messages_of("planted.py"), *paragraphs_of("planted.md")]
    tree_of.cache_clear()
    found = [(entry.name, text.kind) for text in texts for entry, _ in matches_in(text)]

    assert sorted(found) == [
        ("mend", "docs"),
        ("mend", "message"),
        ("question as a first sentence", "docstring"),
        ("somebody", "docs"),
        ("somebody", "docstring"),
        ("somebody", "message"),
        ("somebody", "message"),
        ("tell", "message"),
    ]


def test_exception_allows_its_text_only_at_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same word elsewhere is still flagged."""
    allowed = {"retired": "mend", "place": "docs/a.md", "text": "to mend a net", "reason": "a planted one"}
    monkeypatch.setattr("tests.test_english.EXCEPTIONS", [allowed])
    contents = {"docs/a.md:1": "How to mend a net.", "docs/a.md:2": "Mend it.", "docs/b.md:1": "How to mend a net."}
    findings = findings_in(Text(place, "docs", content) for place, content in contents.items())

    assert [finding.partition(": ")[0] for finding in findings] == ["docs/a.md:2", "docs/b.md:1"]


def test_every_exception_and_every_unchecked_path_is_needed() -> None:
    """An exception without a match is deleted, and so is a path that does not exist."""
    assert [path for path in NOT_YET if not (ROOT / path).exists()] == []
    texts = [text for page in filter(is_clean_yet, PAGES) for text in paragraphs_of(page)]
    for path in filter(is_clean_yet, SOURCES):
        texts += [*docstrings_of(path), *messages_of(path)]
    texts += [*help_texts(), *openapi_texts()]
    used = [
        exception
        for text in texts
        for entry, match in matches_in(text)
        for exception in exceptions_for(entry, text, match)
    ]

    assert [exception for exception in EXCEPTIONS if exception not in used or not exception["reason"]] == []
