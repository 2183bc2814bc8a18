"""A folder with a small business database, and the command line as processes in it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE_SECONDS as PATIENCE_SECONDS  # noqa: PLC0414 - for who uses a shop, too
from tests.support.warm import WarmProcess, inherited, warm_pipeline

ROOT = Path(__file__).parents[2]
CLI = [sys.executable, "-c", "from data_pipeline.cli import main; main()"]
SCRIPT = [sys.executable, "-m", "data_pipeline.schema_workflow"]

DIES_AT = """
import os, signal, sys
from journal import LocalFilesystem
from data_pipeline import cli
from data_pipeline.use_cases import disk as reached, foreground
from data_pipeline.tasks.workspace import Door

VERBS = {"make_directory", "remove_directory", "remove_tree", "link", "rename", "replace", "unlink",
         "create", "reserve", "fill", "copy", "write_at",
         "sync_file", "sync_directory"}
limit, calls = int(sys.argv.pop(1)), 0

class Dies(LocalFilesystem):
    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name not in VERBS:
            return found
        def call(*arguments, **named):
            global calls
            calls += 1
            if calls == limit:
                os.kill(os.getpid(), signal.SIGKILL)
            return found(*arguments, **named)
        return call

disk = Dies()
reached.door = foreground.door = lambda settings: Door(disk)
try:
    cli.main()
finally:
    print(calls, file=sys.stderr)
"""
"""`data-pipeline` that kills itself at the n-th change of the disk; n is the first argument."""


class Shop:
    """A folder with a business database, a table list, and a home of its own.

    Programs that are given as `python -c` run in forks of a process that has imported the pipeline. A cold shop starts
    Python for each program, which costs a second: for a test about imports, or about processes that differ.
    """

    is_cold = False

    def __init__(self, folder: Path, *, is_cold: bool = False) -> None:
        self.folder = folder
        self.is_cold = is_cold
        self.home = folder / "home"
        self.environment = {"DATA_PIPELINE_HOME": str(self.home), "PYTHONPATH": str(ROOT)}
        connection = sqlite3.connect(folder / "shop.sqlite")
        connection.executescript(
            "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT);"
            "CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INT REFERENCES customer (id));"
        )
        connection.close()
        (folder / "tables.txt").write_text("customer\npurchase\n")

    def call(self, words: list[str], *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the folder to its end."""
        environment = {**self.environment, **environment}
        if self._is_warm(words, environment):
            return warm_pipeline().run(words[2], *words[3:], *arguments, folder=self.folder, environment=environment)
        return subprocess.run(
            [*words, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            check=False,
            env={**inherited(), **environment},
        )

    def start(
        self, words: list[str], *arguments: str, output: Path, **environment: str
    ) -> WarmProcess | subprocess.Popen[bytes]:
        """Start a program in the folder; its output and errors are appended to a file."""
        environment = {**self.environment, **environment}
        if self._is_warm(words, environment):
            program, *others = words[2:]
            return warm_pipeline().start(
                program, *others, *arguments, folder=self.folder, environment=environment, output=output
            )
        with output.open("ab") as file:
            return subprocess.Popen(
                [*words, *arguments], cwd=self.folder, stdout=file, stderr=file, env={**inherited(), **environment}
            )

    def _is_warm(self, words: list[str], environment: Mapping[str, str]) -> bool:
        """True if a fork does what a new Python would do. What is set for the interpreter is read when it starts."""
        for_python = {name: value for name, value in environment.items() if name.startswith("PYTHON")}
        return not self.is_cold and for_python == {"PYTHONPATH": str(ROOT)} and words[:2] == [sys.executable, "-c"]

    def answer(self, *arguments: str) -> Any:
        """What `data-pipeline ... --json` says; it must succeed."""
        done = self.call(CLI, *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def copy_to(self, folder: Path) -> Shop:
        """The same shop in another folder, whose journals and locks know nothing of this one."""
        shutil.copytree(self.folder, folder, symlinks=True)
        copied = Shop.__new__(Shop)
        copied.folder, copied.home, copied.is_cold = folder, folder / "home", self.is_cold
        copied.environment = {**self.environment, "DATA_PIPELINE_HOME": str(copied.home)}
        return copied

    def new_task(self) -> Path:
        """A task that has run once."""
        answer = self.answer("run", "--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt")
        task_id: str = answer["task_id"]
        return self.home / "training_data" / task_id


def make_tables(path: Path, count: int) -> list[str]:
    """Many tables of ten columns in a SQLite file; their names."""
    names = [f"t{number:04}" for number in range(count)]
    columns = ", ".join(f"c{number} TEXT" for number in range(10))
    connection = sqlite3.connect(path)
    connection.executescript("".join(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, {columns});" for name in names))
    connection.close()
    return names
