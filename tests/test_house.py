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
    "copying",
    "filesystem",
    "names_only",
    "lock",
    "parking",
    "moves",
    "folders",
    "recovery",
    "transaction",
    "directory",
    "inspection",
    "__init__",
    "__main__",
)
"""Each module imports only from those before it."""

PIPELINE = ROOT / "data_pipeline"
LAYERS = (
    {"errors", "versions"},
    {"exit_codes"},
    {"reporting", "standard_streams"},
    {"database_urls"},
    {
        "table_list",
        "log_reading",
        "model_endpoint",
        "progress",
        "retention",
        "sealed",
        "task_directory",
        "text_matching",
        "vector_place",
    },
    {"settings", "language_model", "embedding"},
    {"workspace"},
    {"own_database", "sqlite_clock"},
    {"database", "store", "vector_store", "task_files", "task_log", "worker_slots", "pruning", "verification"},
    {"backup", "vector_backup", "task_json", "settings_report"},
    {"steps"},
    {"api", "engine"},
    {
        "foreground",
        "terminal",
        "event_recorder",
        "checksum_recorder",
        "training_export",
        "training_search",
        "backup_search",
        "backup_statistics",
    },
    {"service", "doctor", "demo"},
    {"commands", "schema_workflow"},
    {"cli"},
    {"__main__"},
)
"""A part of `data_pipeline` imports from its own folder and from layers before its own; nothing sideways."""

PIPELINE_PURE = {
    "embedding/contract",
    "embedding/hashed_words",
    "model_endpoint",
    "table_list",
    "log_reading",
    "progress",
    "pruning",
    "retention",
    "sealed",
    "verification",
    "database_urls",
    "task_directory",
    "text_matching",
    "training_export",
    "vector_place",
    "vector_store/contract",
    "database/personal_data",
    "database/schema",
    "database/sqlite_text",
    "steps/file_names",
    "steps/qa_generation/difficulty",
    "steps/qa_generation/forms",
    "steps/qa_generation/glossary",
    "steps/qa_generation/metadata_writing",
    "steps/qa_generation/model_questions",
    "steps/qa_generation/query_reading",
    "steps/qa_generation/theme_prompts",
    "steps/ddl_writing",
    "steps/training_items",
    "steps/wording",
    "vector_backup/record",
}
OPENS = {
    "workspace": "rb",
    "settings": "rb",
    "schema_workflow": "rb",
    "task_log": "a",
    "demo/server": "ab",
    "commands/output": "xb",
}
"""Who may open files, and how: logs, and new files of a person, are all that is written outside the door."""

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
    """Every os or shutil call that changes something, and every open, stands in filesystem.py.

    The content of copies is written by copying.py, into files that the door opened: it opens none.
    """
    if module.stem == "filesystem":
        return
    if module.stem == "copying":
        assert "open" not in {node.id for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Name)}
        return
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                assert not (called.value.id in ("os", "shutil") and called.attr in CHANGING), ast.unparse(node)
            assert not (isinstance(called, ast.Name) and called.id == "open"), ast.unparse(node)


PIPELINE_MODULES = sorted(PIPELINE.rglob("*.py"))


def part_of(module: str) -> str:
    """The file or folder below data_pipeline that a module belongs to."""
    return module.removeprefix("data_pipeline.").split(".")[0]


def pipeline_imports(module: Path) -> set[str]:
    """Every module that a file imports, in full."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "data_pipeline":
            found |= {f"data_pipeline.{alias.name}" for alias in node.names if alias.name != "__version__"}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def named(module: Path) -> str:
    return module.relative_to(PIPELINE).with_suffix("").as_posix()


@pytest.mark.parametrize("module", PIPELINE_MODULES, ids=named)
def test_pipeline_imports_go_one_way(module: Path) -> None:
    """Request, executor, backup, steps: nobody knows who calls it."""
    layer_of = {part: number for number, layer in enumerate(LAYERS) for part in layer}
    here = named(module).split("/")[0]
    if here == "__init__":
        assert not [name for name in pipeline_imports(module) if name.startswith("data_pipeline")]
        return
    for name in pipeline_imports(module):
        if name.startswith("data_pipeline.") and part_of(name) != here:
            assert layer_of[part_of(name)] < layer_of[here], f"{here} may not import {name}"


@pytest.mark.parametrize("module", PIPELINE_MODULES, ids=named)
def test_only_workspace_and_backup_know_the_journal(module: Path) -> None:
    """And only store and migrations know alembic, the engine dbos, the service fastapi, the command line typer."""
    name, imported = named(module), pipeline_imports(module)
    roots = {item.split(".")[0] for item in imported}
    assert "journal" not in roots or name == "workspace" or name.startswith("backup/")
    assert "alembic" not in roots or name.startswith("store/")
    assert "typer" not in roots or name == "cli" or name.startswith("commands/")
    assert "dbos" not in roots or name == "engine"
    assert roots.isdisjoint({"fastapi", "starlette", "uvicorn"}) or name.startswith("service/")


@pytest.mark.parametrize("name", sorted(PIPELINE_PURE))
def test_pure_parts_of_the_pipeline_import_nothing_that_acts(name: str) -> None:
    """Names, rules and texts: values in, values out."""
    acting = {"os", "time", "random", "logging", "shutil", "pathlib", "sqlite3", "asyncio"}

    assert pipeline_imports(PIPELINE / f"{name}.py") & acting == set()


@pytest.mark.parametrize("module", PIPELINE_MODULES, ids=named)
def test_the_pipeline_changes_the_disk_only_through_the_journal(module: Path) -> None:
    """No os or shutil call that changes something; files are opened for reading, but for the log."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            is_opener = named(module) in ("task_log", "workspace") and called.attr == "open"
            assert is_opener or not (called.value.id in ("os", "shutil") and called.attr in CHANGING), ast.unparse(node)
            assert called.attr not in ("write_text", "write_bytes"), ast.unparse(node)
        if isinstance(called, ast.Name) and called.id == "open":
            mode = node.args[1]
            assert isinstance(mode, ast.Constant)
            assert mode.value == OPENS.get(named(module)), ast.unparse(node)
