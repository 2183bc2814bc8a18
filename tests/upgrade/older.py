"""The version of an earlier commit, installed into an environment of its own, and what it does there.

The environment holds that version alone; everything else that it needs comes from the environment of the tests, as far
as that still meets its requirements, so that a fresh clone needs no network for it. What no longer does is installed.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
from pathlib import Path
from typing import Any, Self

import pytest
from packaging.requirements import Requirement

from tests.support.shop import Shop
from tests.support.warm import WarmPython

COMMIT = "632e4b3794ce9f82cbd2c3a5a775500201c7e699"
ROOT = Path(__file__).parents[2]

COMMAND_LINE = """
import json, os, signal, sys, threading
from data_pipeline import cli, foreground
from data_pipeline.commands import backups
from data_pipeline.service import runs
from data_pipeline.service.routes import backups as backup_routes
from data_pipeline.workspace import Door
from journal import LocalFilesystem

VERBS = {"make_directory", "remove_directory", "remove_tree", "link", "rename", "unlink", "create", "copy", "write_at",
         "sync_file", "sync_directory"}
death, record = int(sys.argv.pop(1)), sys.argv.pop(1)
calls, counting = [], threading.Lock()

class Disk(LocalFilesystem):
    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name not in VERBS:
            return found
        def call(*arguments, **named):
            with counting:
                calls.append([name, *(word for word in arguments if isinstance(word, str))])
                if len(calls) == death:
                    os.kill(os.getpid(), signal.SIGKILL)
            return found(*arguments, **named)
        return call

disk = Disk()
for module in (foreground, backups, runs, backup_routes):
    module.door = lambda settings: Door(disk)
try:
    cli.main()
finally:
    if record:
        with open(record, "w") as file:
            json.dump(calls, file)
"""
"""Its `data-pipeline`: the process dies just before its n-th changing call of the disk (0: it does not), and writes the
calls into a file, unless the name is empty. These are names of that commit's modules: no later change concerns them."""


def install(folder: Path) -> Path:
    """Make the environment in a folder; its interpreter. Skips the test where the commit cannot be had."""
    source = folder / "source"
    check_out(source)
    environment = folder / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    needed = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    unmet = [line for line in needed["dependencies"] if not is_met(line)]
    if unmet:
        command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *unmet]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(
                f"the earlier version needs {', '.join(unmet)}, which cannot be installed: {done.stderr[-300:]}"
            )
    paths = {"base": str(environment), "platbase": str(environment)}
    packages = Path(sysconfig.get_path("purelib", "venv", paths))
    for name in ("journal", "data_pipeline"):
        shutil.copytree(source / name, packages / name)
    described = packages / f"journaled_data_pipeline-{needed['version']}.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {needed['name']}\nVersion: {needed['version']}\n"
    )
    ours = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (packages / "of_the_tests.pth").write_text("".join(f"{path}\n" for path in ours))
    return python


def check_out(folder: Path) -> None:
    """The files of the commit. Skips the test where there is no git, no history, or not as much of it."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("needs git, to take an earlier version from this repository's history")
    archive = [git, "-C", str(ROOT), "archive", COMMIT, "journal", "data_pipeline", "pyproject.toml"]
    done = subprocess.run(archive, capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        pytest.skip(
            f"commit {COMMIT[:7]} is not in this repository's history (an archive or a shallow clone?): {reason}"
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
        files.extractall(folder, filter="data")


def is_met(line: str) -> bool:
    """Whether the environment of the tests has what a line of `dependencies` asks for."""
    requirement = Requirement(line)
    try:
        return requirement.specifier.contains(importlib.metadata.version(requirement.name))
    except importlib.metadata.PackageNotFoundError:
        return False


class OlderVersion:
    """The installed version at work in the folder of a shop, each command in a process that can be killed."""

    MODULES = ("data_pipeline.cli", "data_pipeline.service.runs", "data_pipeline.vector_store.opening")

    def __init__(self, python: Path) -> None:
        self._warm = WarmPython(*self.MODULES, python=str(python), flags=["-I"])
        self.server_words = [str(python), "-I", "-c", COMMAND_LINE]
        """Then the number of the call to die at, and an empty name."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._warm.close()

    def modules_are_in(self, folder: Path) -> bool:
        """Whether it is its own code that runs, not the present one."""
        program = "import journal, data_pipeline.cli as cli; print(journal.__file__, cli.__file__, sep='\\n')"
        return all(Path(path).is_relative_to(folder) for path in self._warm.run(program).stdout.splitlines())

    def answer(self, shop: Shop, *arguments: str) -> Any:
        """What `data-pipeline ... --json` says; it must succeed."""
        done = self._run(shop, 0, "", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def calls(self, shop: Shop, *arguments: str) -> list[list[str]]:
        """Run a command to its end; the changing calls of the disk that it made, each with the names it got."""
        record = shop.folder / "calls.json"
        done = self._run(shop, 0, str(record), *arguments)
        assert done.returncode == 0, done.stderr
        found: list[list[str]] = json.loads(record.read_text())
        return found

    def dies(self, shop: Shop, call: int, *arguments: str) -> None:
        """Kill a command with -9 just before its changing call of that number, counted from 1."""
        assert self._run(shop, call, "", *arguments).returncode == -signal.SIGKILL

    def _run(self, shop: Shop, call: int, record: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = shop.environment
        return self._warm.run(COMMAND_LINE, str(call), record, *arguments, folder=shop.folder, environment=environment)
