"""The walk of the demo: what it does, in which order, and what it shows."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from data_pipeline.demo.database import TABLES, build_database
from data_pipeline.demo.server import API, DemoFailed, DemoServer
from data_pipeline.errors import InvalidInput
from data_pipeline.events import Emit, Event
from data_pipeline.tasks.task_directory import TABLE_LIST, is_backup_name
from data_pipeline.tasks.workspace import create_private_file, make_directories, printable, read_file

FOLDER: Final = "data_pipeline_demo"
DATABASE: Final = "service_areas.sqlite"
NOTE: Final = "notes.md"
SHOWN_FILES: Final = 5

SETTINGS: Final = """\
# The settings of this folder: `data-pipeline` reads them when it runs here.
home = "."

[databases]
service_areas = "sqlite:///service_areas.sqlite"
"""


Watching = Callable[[Console], AbstractContextManager[Emit]]
"""Shows the events of a run on a console while a block runs."""


def take_tour(console: Console, folder: str | None, watching: Watching) -> dict[str, Any]:
    """Do all of it in a new folder and show it; what was done, for programs.

    Raises InvalidInput where the folder is there already, DemoFailed where a request failed or a file is not as before.
    """
    began = time.monotonic()
    tour = _Tour(console, _new_folder(folder), watching)
    with DemoServer(tour.folder) as server:
        summary = tour.take(server)
    return {**summary, "seconds": round(time.monotonic() - began, 1)}


def _new_folder(chosen: str | None) -> str:
    name = chosen or FOLDER
    number = 2
    while chosen is None and os.path.lexists(name):
        name = f"{FOLDER}_{number}"
        number += 1
    path = os.path.abspath(name)
    if os.path.lexists(path):
        raise InvalidInput("--folder", f"{printable(path)} is there already: choose a new one")
    try:
        make_directories(path)
    except OSError as error:
        raise InvalidInput("--folder", f"{printable(path)} cannot be made ({error.strerror})") from error
    return path


class _Tour:
    def __init__(self, console: Console, folder: str, watching: Watching) -> None:
        self.folder = folder
        self._console = console
        self._watching = watching
        self._chapter = 0
        self._task_path = ""

    def take(self, server: DemoServer) -> dict[str, Any]:
        self._say(f"Everything happens in {printable(self.folder)}", style="bold")
        rows = self._make_database()
        task_id = self._make_task(server)
        first = self._run_first(server, task_id)
        moved = self._run_again(server, task_id, first)
        self._kill_and_go_on(server, task_id)
        restored = self._restore(server, task_id, moved, first)
        server.stop()
        self._what_next(task_id)
        return {
            "folder": self.folder,
            "task_id": task_id,
            "tables": len(TABLES),
            "rows": sum(rows.values()),
            "backup": moved,
            "files_restored": restored,
        }

    def _make_database(self) -> dict[str, int]:
        self._begin("A business database: a chain of motorway service areas, made up")
        began = time.monotonic()
        rows = build_database(os.path.join(self.folder, DATABASE))
        create_private_file(os.path.join(self.folder, "data_pipeline.toml"), SETTINGS.encode())
        count = f"{len(TABLES)} tables and views, {sum(rows.values()):,} rows"
        self._say(f"{DATABASE}: {count}, {time.monotonic() - began:.1f} s")
        return rows

    def _make_task(self, server: DemoServer) -> str:
        self._begin("A real server, and a task over HTTP")
        server.start()
        self._say(f"data-pipeline serve: {server.url}, process {server.process_id}, log in server.log")
        self._say(f"All paths below begin with {API}", style="dim")
        body = {"db_connection": "service_areas", "business_context": "motorway service areas", "task_name": "demo"}
        status, answer = server.request("POST", "/tasks", json=body)
        task_id: str = answer["task_id"]
        self._request("POST", "/tasks", json.dumps(body), status, task_id)
        content = "\n".join(TABLES) + "\n"
        status, answer = server.request(
            "POST", f"/tasks/{task_id}/upload-table-list", files={"file": (TABLE_LIST, content, "text/plain")}
        )
        self._request("POST", f"/tasks/{task_id}/upload-table-list", f"file={TABLE_LIST}", status, answer["filename"])
        self._task_path = os.path.join(self.folder, "training_data", task_id)
        return task_id

    def _run_first(self, server: DemoServer, task_id: str) -> dict[str, str]:
        self._begin("The first run")
        self._execute(server, task_id)
        self._tree()
        return _checksums(self._task_path)

    def _run_again(self, server: DemoServer, task_id: str, first: dict[str, str]) -> str:
        self._begin("Somebody adds a note, and the task runs again: nothing is overwritten")
        status, _ = server.request(
            "POST", f"/tasks/{task_id}/files", files={"file": (NOTE, "Ask Dana about fuel cards.\n", "text/markdown")}
        )
        self._request("POST", f"/tasks/{task_id}/files", f"file={NOTE}", status, NOTE)
        self._execute(server, task_id)
        self._tree()
        _, listed = server.request("GET", f"/tasks/{task_id}/backups")
        name: str = listed["backups"][0]["name"]
        self._record(os.path.join(self._task_path, name, "backup_info.json"))
        kept = {TABLE_LIST: first[TABLE_LIST]} | _checksums(os.path.join(self._task_path, name))
        same = [file for file, checksum in first.items() if kept.get(file) == checksum]
        self._proof(len(same), len(first), "files are as the first run left them, in the backup or in place (SHA-256)")
        return name

    def _kill_and_go_on(self, server: DemoServer, task_id: str) -> None:
        self._begin("It runs a third time, and the server is killed with -9 in the middle")
        before = _all_contents(self._task_path)
        status, answer = server.request("POST", f"/tasks/{task_id}/execute", json={"execution_mode": "complete"})
        self._request("POST", f"/tasks/{task_id}/execute", "", status, answer["execution_id"])
        newest = self._wait_for_backup(known={name for name in os.listdir(self._task_path) if is_backup_name(name)})
        server.kill()
        self._say(f"kill -9 {server.process_id}: the process is gone; {self._what_is_there(newest)}", style="red")
        server.start()
        found = (
            "put back what was half moved" if server.health()["recovery"]["recovered"] else "found nothing half moved"
        )
        self._say(f"The server is started again at {server.url}: it {found}, and goes on with the run")
        status, answer = _wait_until_ended(server, task_id)
        run = answer["execution"]
        self._request("GET", f"/tasks/{task_id}", "", status, f"{run['status']}, backup {run['backup']['directory']}")
        lost = before - _all_contents(self._task_path)
        self._proof(len(before) - len(lost), len(before), "contents that were there before are still there")

    def _restore(self, server: DemoServer, task_id: str, backup: str, first: dict[str, str]) -> int:
        self._begin("The first run comes back")
        path = f"/tasks/{task_id}/backups/{backup}/restore"
        status, plan = server.request("POST", path, json={"dry_run": True})
        self._request("POST", path, '{"dry_run": true}', status, f"would restore {len(plan['restored'])} files")
        status, done = server.request("POST", path)
        self._request("POST", path, "", status, f"restored; undo it by restoring {done['safety_backup']}")
        now = _checksums(self._task_path)
        same = [file for file, checksum in first.items() if now.get(file) == checksum]
        self._proof(len(same), len(first), "files are again those of the first run")
        return len(done["restored"])

    def _what_next(self, task_id: str) -> None:
        self._begin("What to try next")
        program = _program()
        commands = (
            (f"{program} tasks list", "tasks and their states; then show, files, logs"),
            (f"{program} run {task_id}", "a run without a server"),
            (f"{program} qa report {task_id}", "what its questions are like"),
            (f"{program} backups list {task_id}", "what earlier runs made; then show, restore"),
            (f"{program} doctor", "is all well, and if not, what to do"),
            (f"{program} serve", "the API on 127.0.0.1:8084; docs/api.md has it by curl"),
        )
        self._say(f"  cd {printable(self.folder)}", style="cyan")
        for command, meaning in commands:
            self._console.print(Text.assemble((f"  {command}", "cyan"), (f"   # {meaning}", "dim")), soft_wrap=True)
        self._say("Done. Remove the folder, and nothing is left of it.")

    def _wait_for_backup(self, *, known: set[str]) -> str | None:
        """The name of the next backup, once a third of the files is in it; all the moves take two milliseconds."""
        files = len(os.listdir(self._task_path))
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for name in set(os.listdir(self._task_path)) - known:
                if is_backup_name(name) and len(os.listdir(os.path.join(self._task_path, name))) * 3 >= files:
                    return name
        return None

    def _what_is_there(self, newest: str | None) -> str:
        in_place = sum(os.path.isfile(os.path.join(self._task_path, name)) for name in os.listdir(self._task_path))
        if newest is None:
            return f"{in_place} names are in the directory, and there is no new backup"
        moved = len(os.listdir(os.path.join(self._task_path, newest)))
        return f"{in_place} names are in the directory, {moved} in {newest}"

    # ---- requests -----------------------------------------------------------------------------------------------

    def _execute(self, server: DemoServer, task_id: str) -> None:
        status, answer = server.request("POST", f"/tasks/{task_id}/execute", json={"execution_mode": "complete"})
        shown = '{"execution_mode": "complete"}'
        self._request("POST", f"/tasks/{task_id}/execute", shown, status, answer["execution_id"])
        self._say(f"GET /tasks/{task_id}/events", style="dim")
        with self._watching(self._console) as emit:
            _emit_all(server.events(task_id), emit)
        _wait_until_ended(server, task_id)

    # ---- what is shown ------------------------------------------------------------------------------------------

    def _begin(self, title: str) -> None:
        self._chapter += 1
        self._console.print()
        self._console.print(Text(f"{self._chapter}. {title}", style="bold cyan"))

    def _say(self, text: str, *, style: str = "") -> None:
        self._console.print(Text(text, style=style), soft_wrap=True)

    def _request(self, method: str, path: str, body: str, status: int, answer: str) -> None:
        asked = f"{method} {path} {body}".rstrip()
        self._console.print(Text.assemble((asked, "dim"), (f" -> {status} ", "green"), answer), soft_wrap=True)

    def _proof(self, count: int, total: int, claim: str) -> None:
        style = "bold green" if count == total else "bold red"
        self._say(f"{count} of {total} {claim}", style=style)
        if count != total:
            raise DemoFailed(f"Only {count} of {total} {claim}. Please report it, with {printable(self.folder)}.")

    def _tree(self) -> None:
        self._say(os.path.basename(self._task_path) + "/")
        for line in _tree_lines(self._task_path):
            self._say(line)

    def _record(self, path: str) -> None:
        record = json.loads(read_file(path))
        self._say(f"{os.path.basename(path)}:")
        for key in ("backup_time", "backup_directory", "moved_files", "failed_files", "task_id", "statistics"):
            value = record[key]
            shown = f"{value[:3]}"[:-1] + f", … {len(value) - 3} more]" if key == "moved_files" else str(value)
            self._say(f"  {key}: {shown}")


def _program() -> str:
    """How a person calls `data-pipeline` here: by its name where that is on the path."""
    script = os.path.join(os.path.dirname(sys.executable), "data-pipeline")
    if shutil.which("data-pipeline"):
        return "data-pipeline"
    return printable(script) if os.path.exists(script) else f"{printable(sys.executable)} -m data_pipeline"


def _emit_all(events: Iterable[Event], emit: Callable[[Event], None]) -> None:
    for event in events:
        emit(event)


def _wait_until_ended(server: DemoServer, task_id: str) -> tuple[int, dict[str, Any]]:
    while True:
        status, answer = server.request("GET", f"/tasks/{task_id}")
        if answer["execution"]["status"] in ("completed", "failed", "cancelled"):
            return status, answer
        time.sleep(0.05)


def _checksums(path: str) -> dict[str, str]:
    """The SHA-256 of every file at the top of a directory."""
    with os.scandir(path) as entries:
        return {entry.name: _sha256(entry.path) for entry in entries if entry.is_file()}


def _all_contents(path: str) -> set[str]:
    """The SHA-256 of every file below a directory."""
    found = set()
    for folder, _, names in os.walk(path):
        found |= {_sha256(os.path.join(folder, name)) for name in names}
    return found


def _sha256(path: str) -> str:
    return hashlib.sha256(read_file(path)).hexdigest()


def _tree_lines(path: str, indent: str = "") -> list[str]:
    """A directory as a tree: its first files, how many more, and its backups."""
    names = sorted(os.listdir(path), key=lambda name: (is_backup_name(name), name != TABLE_LIST, name))
    backups = [name for name in names if is_backup_name(name)]
    files = [name for name in names if not is_backup_name(name)]
    more = len(files) - SHOWN_FILES
    entries = [*files[:SHOWN_FILES], *([f"… {more} more files"] if more > 0 else []), *(f"{name}/" for name in backups)]
    lines = []
    for number, entry in enumerate(entries, start=1):
        is_last = number == len(entries)
        lines.append(f"{indent}{'└── ' if is_last else '├── '}{entry}")
        if entry.endswith("/"):
            lines += _tree_lines(os.path.join(path, entry), indent + ("    " if is_last else "│   "))
    return lines
