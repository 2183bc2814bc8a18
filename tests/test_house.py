"""The house: which module may import which, and which may touch the disk. Every check is a loop over a table."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
JOURNAL, PIPELINE = ROOT / "journal", ROOT / "data_pipeline"

JOURNAL_ORDER = (
    "names", "values", "errors", "records", "playback", "reports", "outcome", "declaration", "retry", "copying",
    "filesystem", "names_only", "lock", "parking", "moves", "folders", "state_files", "judging", "recovery", "commit",
    "transaction", "directory", "inspection", "__init__", "__main__",
)  # fmt: skip
"""Each module of `journal` imports only from those before it."""

PARTS = (
    "errors", "events", "config", "tasks", "store", "language_model", "vectors", "database", "semantics", "steps",
    "dataset", "runs", "api", "use_cases", "service", "demo", "commands", "schema_workflow", "cli", "__main__",
)  # fmt: skip
"""Each folder and file at the top of `data_pipeline` imports only from itself and from those before it."""

FENCES = {
    "journal": ("tasks/workspace", "tasks/backup/"),
    "alembic": ("store/",),
    "dbos": ("runs/engine",),
    "typer": ("cli", "commands/"),
    "fastapi": ("service/",),
    "starlette": ("service/",),
    "uvicorn": ("service/",),
    "zipstream": ("tasks/backup/archive",),
    "prometheus_client": ("runs/metrics", "service/"),
}
"""The only modules that import a library."""

PURE = {
    "journal/declaration", "journal/names", "journal/outcome", "journal/playback", "journal/records", "journal/reports",
    "journal/values",
    "data_pipeline/config/database_urls", "data_pipeline/config/model_endpoint", "data_pipeline/config/numbers",
    "data_pipeline/config/retention",
    "data_pipeline/config/vector_place", "data_pipeline/database/driver", "data_pipeline/database/faults",
    "data_pipeline/semantics/telling", "data_pipeline/database/postgresql/grammar",
    "data_pipeline/database/query_expansion", "data_pipeline/database/query_spelling",
    "data_pipeline/database/schema", "data_pipeline/database/sqlite/grammar",
    "data_pipeline/database/sqlite/text", "data_pipeline/dataset/export", "data_pipeline/events",
    "data_pipeline/semantics/composite_references", "data_pipeline/semantics/facts", "data_pipeline/semantics/glossary",
    "data_pipeline/semantics/key_names", "data_pipeline/semantics/keys", "data_pipeline/semantics/metadata_writing",
    "data_pipeline/semantics/names", "data_pipeline/semantics/parts", "data_pipeline/semantics/roles",
    "data_pipeline/semantics/references", "data_pipeline/semantics/wording",
    "data_pipeline/steps/ddl/ddl", "data_pipeline/steps/ddl/file_names",
    "data_pipeline/steps/qa/model/query_reading", "data_pipeline/steps/qa/model/questions",
    "data_pipeline/steps/qa/model/theme_prompts", "data_pipeline/steps/qa/plans/plan",
    "data_pipeline/steps/qa/sql/difficulty", "data_pipeline/steps/qa/sql/forms",
    "data_pipeline/steps/training/items", "data_pipeline/tasks/backup/pruning",
    "data_pipeline/tasks/backup/text_matching", "data_pipeline/tasks/backup/verification",
    "data_pipeline/tasks/backup/report", "data_pipeline/tasks/results",
    "data_pipeline/tasks/log_reading", "data_pipeline/tasks/sealed", "data_pipeline/tasks/parameters",
    "data_pipeline/tasks/staging", "data_pipeline/tasks/table_list",
    "data_pipeline/tasks/task_directory", "data_pipeline/vectors/backup/record",
    "data_pipeline/vectors/embedding/contract", "data_pipeline/vectors/embedding/hashed_words",
    "data_pipeline/vectors/store/contract",
}  # fmt: skip
"""Decisions, apart from hands: values in, values out."""

ACTING = {
    "os", "time", "random", "logging", "shutil", "pathlib", "sqlite3", "asyncio", "portalocker", "tenacity",
}  # fmt: skip

OPENED = {
    "data_pipeline/tasks/workspace": "rb",
    "data_pipeline/config/settings": "rb",
    "data_pipeline/schema_workflow": "rb",
    "data_pipeline/tasks/log": "a",
    "data_pipeline/demo/server": "ab",
    "data_pipeline/commands/output": "xb",
}
"""The modules outside the journal that open files, and how: they write only logs, and new files of a person."""

OPENS_DESCRIPTORS = {"data_pipeline/tasks/workspace", "data_pipeline/tasks/log"}

CHANGING = {
    "chmod", "chown", "link", "mkdir", "makedirs", "open", "remove", "rename", "replace", "rmdir", "symlink",
    "truncate", "unlink", "utime", "write", "copyfileobj", "rmtree", "move",
}  # fmt: skip


def modules_of(package: Path) -> dict[str, ast.Module]:
    """The syntax trees of a package by the names of their files, as `data_pipeline/tasks/workspace`."""
    paths = sorted(package.rglob("*.py"))
    return {path.relative_to(ROOT).with_suffix("").as_posix(): _parsed(path) for path in paths}


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(module: ast.Module, *, at_run_time: bool = False) -> set[str]:
    """The full names of all modules that a module imports; at run time those without imports for annotations."""
    annotations = {
        node
        for block in ast.walk(module)
        if at_run_time and isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
    }
    names = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node not in annotations and node.module is not None:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_imports(package: str, name: str, module: ast.Module, *, at_run_time: bool = False) -> Iterator[list[str]]:
    """The imports from a module's own package as paths, `["tasks", "workspace", "Door"]`."""
    for imported in imports_of(module, at_run_time=at_run_time):
        path = imported.split(".")
        if path[0] == package and path[1:] and not path[1].startswith("__version"):
            yield path[1:]


def test_modules_of_the_journal_import_one_way() -> None:
    """No cycle, not even of imports for annotations, and nothing of tasks."""
    modules = modules_of(JOURNAL)
    assert {name.removeprefix("journal/") for name in modules} == set(JOURNAL_ORDER)
    for name, module in modules.items():
        allowed = set(JOURNAL_ORDER[: JOURNAL_ORDER.index(name.removeprefix("journal/"))])
        assert "data_pipeline" not in {path.split(".")[0] for path in imports_of(module)}, name
        if name != "journal/__main__":
            imported = {path[0] for path in own_imports("journal", name, module)}
            assert imported <= allowed, (name, imported - allowed)


def test_parts_of_the_pipeline_import_one_way() -> None:
    """A request, the executor, a backup, the steps: none of them knows its caller."""
    modules = modules_of(PIPELINE)
    assert {name.split("/")[1] for name in modules} == {*PARTS, "__init__"}
    for name, module in modules.items():
        here = name.split("/")[1]
        imported = {path[0] for path in own_imports("data_pipeline", name, module)} - {here}
        allowed = () if here == "__init__" else PARTS[: PARTS.index(here)]
        assert imported <= set(allowed), (name, imported - set(allowed))


def test_no_folder_of_the_pipeline_has_a_cycle_of_imports() -> None:
    """Within each folder, its files and folders can be put into an order, too."""
    modules = modules_of(PIPELINE)
    for folder in {name.rpartition("/")[0] for name in modules}:
        below = folder.split("/")[1:]
        graph: dict[str, set[str]] = {}
        for name, module in modules.items():
            path = name.split("/")[1:]
            if path[: len(below)] != below or path[len(below)] == "__init__":
                continue
            here = path[len(below)]
            imported = {
                other[len(below)]
                for other in own_imports("data_pipeline", name, module)
                if other[: len(below)] == below and len(other) > len(below)
            }
            graph.setdefault(here, set()).update(imported - {here})
        TopologicalSorter(graph).prepare()  # raises CycleError


def test_only_few_modules_know_a_library() -> None:
    """What a library can do is used in one place, so that another could replace it."""
    for name, module in modules_of(PIPELINE).items():
        for library in {path.split(".")[0] for path in imports_of(module)} & set(FENCES):
            assert name.removeprefix("data_pipeline/").startswith(FENCES[library]), (name, library)


def test_pure_modules_import_nothing_that_acts() -> None:
    """Decisions are apart from hands."""
    modules = modules_of(JOURNAL) | modules_of(PIPELINE)
    for name in PURE:
        imported = {path.split(".")[0] for path in imports_of(modules[name]) if not path.startswith("os.path")}
        assert imported & ACTING == set(), (name, imported & ACTING)


@pytest.mark.parametrize("package", [JOURNAL, PIPELINE], ids=lambda package: package.name)
def test_the_disk_is_changed_only_through_the_door_of_the_journal(package: Path) -> None:
    """Every call of os or shutil that changes something is in `journal/filesystem.py`.

    Files are opened elsewhere for reading, or as `OPENED` says. `journal/copying.py` writes the content of copies into
    files that the door opened.
    """
    for name, module in modules_of(package).items():
        if name in ("journal/filesystem", "journal/copying"):
            continue
        for call in (node for node in ast.walk(module) if isinstance(node, ast.Call)):
            match call.func:
                case ast.Attribute(value=ast.Name(id="os" | "shutil"), attr=called):
                    is_opener = name in OPENS_DESCRIPTORS and called == "open"
                    assert is_opener or called not in CHANGING, (name, ast.unparse(call))
                case ast.Attribute(attr="write_text" | "write_bytes"):
                    pytest.fail(f"{name}: {ast.unparse(call)}")
                case ast.Name(id="open"):
                    mode = call.args[1]
                    assert isinstance(mode, ast.Constant), (name, ast.unparse(call))
                    assert mode.value == OPENED.get(name), (name, ast.unparse(call))


def test_copies_are_written_into_files_that_the_door_opened() -> None:
    """`journal/copying.py` opens nothing itself."""
    called = {node.id for node in ast.walk(_parsed(JOURNAL / "copying.py")) if isinstance(node, ast.Name)}
    assert "open" not in called
