"""The house: which module may know which, and who may touch the disk."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "journal").glob("*.py"))

ORDER = (
    "names",
    "errors",
    "records",
    "playback",
    "retry",
    "filesystem",
    "lock",
    "moves",
    "folders",
    "recovery",
    "transaction",
    "directory",
    "__init__",
    "__main__",
)
"""Each module imports only from those before it."""

PURE = {"names", "records", "playback"}
CHANGING = {
    "chmod", "chown", "link", "mkdir", "makedirs", "open", "remove", "rename", "replace", "rmdir", "symlink",
    "truncate", "unlink", "utime", "write", "copyfileobj", "rmtree", "move",
}  # fmt: skip


def imports_of(module: Path) -> set[str]:
    """What a module imports when it runs; imports for annotations alone do not count."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "journal":
            found |= {f"journal.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_every_module_has_its_place_in_the_order() -> None:
    """A new module must say what it may know."""
    assert {module.stem for module in MODULES} == set(ORDER)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_imports_go_one_way(module: Path) -> None:
    """No cycle, no shortcut upwards, nothing of tasks in the journal."""
    known = ORDER[: ORDER.index(module.stem)]
    for name in imports_of(module):
        assert not name.startswith("data_pipeline")
        if name.startswith("journal."):
            assert name.removeprefix("journal.") in known, f"{module.stem} may not import {name}"


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_import_nothing_that_acts(name: str) -> None:
    """Decisions are apart from hands: values in, values out."""
    acting = {"os", "time", "random", "logging", "shutil", "pathlib", "portalocker", "tenacity"}

    assert imports_of(ROOT / "journal" / f"{name}.py") & acting == set()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_only_the_door_changes_the_disk(module: Path) -> None:
    """Every os or shutil call that changes something, and every open, stands in filesystem.py."""
    if module.stem == "filesystem":
        return
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                assert not (called.value.id in ("os", "shutil") and called.attr in CHANGING), ast.unparse(node)
            assert not (isinstance(called, ast.Name) and called.id == "open"), ast.unparse(node)
