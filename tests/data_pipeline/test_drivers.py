"""The protocol of database drivers: what every driver has, and where dialects are compared at all."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlglot import exp

from data_pipeline.database.driver import Dialect
from data_pipeline.database.drivers import DIALECTS, driver_of, grammar_of

PIPELINE = Path(__file__).parents[2] / "data_pipeline"

NAMES = {"sqlite", "postgresql", "postgres", "mysql", "mariadb", "duckdb"}

FLAG = re.compile(r"_?(is|has)_.*(sqlite|postgres|mysql|mariadb|duckdb)")
"""The name of a variable that holds such a comparison."""

BRANCHES = {
    "config/database_urls": 1,  # the table of supported URLs
    "config/settings": 2,  # the task store
    "runs/engine": 1,  # the engine's own database
    "store/own_database": 8,  # the application's own databases
    "vectors/store/opening": 3,  # the vector store
    "vectors/store/relational": 1,
    "vectors/store/tables": 2,
}
"""How often a module outside the driver folders decides by the name of a database system.

The application's own databases are SQLite or PostgreSQL, whatever systems business databases have. Lower a number when
a branch goes; a higher one needs a reason here.
"""


def branches_of(module: ast.Module) -> Iterator[ast.AST]:
    """Yield comparisons with names of dialects, tables and loops by dialect, and tests like `is_sqlite`."""
    parts: list[ast.AST]
    for node in ast.walk(module):
        match node:
            case ast.Compare():
                parts = [node.left, *node.comparators]
            case ast.Call(func=ast.Attribute(attr="startswith")) | ast.MatchValue():
                parts = [*ast.iter_child_nodes(node)]
            case ast.Dict():
                parts = [key for key in node.keys if key is not None]
            case ast.For() | ast.comprehension():
                parts = [node.iter]
            case ast.If() | ast.IfExp() | ast.While():
                names = {name.id for name in ast.walk(node.test) if isinstance(name, ast.Name)}
                names |= {name.attr for name in ast.walk(node.test) if isinstance(name, ast.Attribute)}
                if any(FLAG.match(name) for name in names):
                    yield node
                continue
            case _:
                continue
        if any(_names_a_dialect(part) for part in parts):
            yield node


def _names_a_dialect(node: ast.AST) -> bool:
    values = node.elts if isinstance(node, (ast.Tuple, ast.List, ast.Set)) else [node]
    return any(isinstance(value, ast.Constant) and str(value.value).split("+")[0] in NAMES for value in values)


def test_dialects_are_compared_only_where_the_table_says() -> None:
    """Everything else that differs is asked of a driver, so that a new driver only adds a folder."""
    counts: dict[str, int] = {}
    for path in PIPELINE.rglob("*.py"):
        name = path.relative_to(PIPELINE).with_suffix("").as_posix()
        if name.split("/")[:2] in (["database", dialect] for dialect in DIALECTS):
            continue
        found = list(branches_of(ast.parse(path.read_text(encoding="utf-8"))))
        if found:
            counts[name] = len(found)
    assert counts == BRANCHES
    assert sum(counts.values()) <= 25


def test_counting_finds_every_spelling_of_a_branch() -> None:
    """A comparison, a membership, the start of a URL, a case, a dictionary, a loop, a flag."""
    spellings = (
        'x = dialect == "sqlite"',
        'x = dialect in ("sqlite", "mysql")',
        'x = url.startswith("postgresql+psycopg")',
        'match dialect:\n    case "duckdb": pass',
        'x = {"sqlite": 1}[dialect]',
        'for dialect in ("postgres",): pass',
        "x = 1 if self._is_sqlite else 2",
    )
    for text in spellings:
        assert len(list(branches_of(ast.parse(text)))) == 1, text
    assert not list(branches_of(ast.parse('title = "sqlite"')))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_folder_of_a_dialect_has_its_driver(dialect: Dialect) -> None:
    """Under its own name, with the grammar that is found without it."""
    driver = driver_of(dialect)

    assert driver.grammar is grammar_of(dialect)
    assert driver.grammar.name == dialect


def test_every_driver_folder_is_a_dialect() -> None:
    """None is out of reach, and none is missing."""
    folders = {path.name for path in (PIPELINE / "database").iterdir() if (path / "driver.py").is_file()}

    assert folders == set(DIALECTS)


@pytest.mark.parametrize(
    ("dialect", "names", "written", "is_quoted", "finds"),
    [
        ("sqlite", ["Total"], "total", True, True),
        ("sqlite", ["Total"], "sum", False, False),
        ("postgresql", ["total"], "Total", False, True),
        ("postgresql", ["total"], "Total", True, False),
        ("postgresql", ["Total"], "Total", False, False),
        ("postgresql", ["Total"], "Total", True, True),
    ],
)
def test_names_are_found_as_the_database_finds_them(
    dialect: Dialect,
    names: list[str],
    written: str,
    is_quoted: bool,
    finds: bool,
) -> None:
    """SQLite ignores case; PostgreSQL folds names without quotes."""
    assert grammar_of(dialect).finds(names, written, is_quoted=is_quoted) is finds


@pytest.mark.parametrize(
    ("name", "expected"),
    [("total", (False, False)), ("Total", (False, True)), ("order", (True, True)), ("two words", (True, True))],
)
def test_names_are_quoted_only_where_they_need_it(name: str, expected: tuple[bool, bool]) -> None:
    """A capital letter needs quotes in PostgreSQL only."""
    assert (grammar_of("sqlite").needs_quotes(name), grammar_of("postgresql").needs_quotes(name)) == expected


@pytest.mark.parametrize("dialect", DIALECTS)
def test_forms_of_queries_are_new_trees_that_read_as_themselves(dialect: Dialect) -> None:
    """A tree that is used twice would move from its first place."""
    grammar = grammar_of(dialect)

    def trees() -> list[Any]:
        column = exp.column("at")
        forms = grammar.queries
        return [forms.year(column.copy()), forms.month(column.copy()), forms.year_literal(2024)]

    for tree, again in zip(trees(), trees(), strict=True):
        text = tree.sql(dialect=grammar.sqlglot)
        assert tree is not again
        assert exp.maybe_parse(text, dialect=grammar.sqlglot).sql(dialect=grammar.sqlglot) == text
