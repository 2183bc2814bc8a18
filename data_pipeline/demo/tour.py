"""The tour of the demo: its chapters and their output."""

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
# Settings for `data-pipeline` in this folder.
home = "."

[databases]
service_areas = "sqlite:///service_areas.sqlite"
"""


Watching = Callable[[Console], AbstractContextManager[Emit]]
"""A context manager that shows the events of a run on a console."""


def take_tour(console: Console, folder: str | None, watching: Watching) -> dict[str, Any]:
    """Run the tour in a new folder, print it and return a summary for programs.

    Raises InvalidInput if the folder already exists, DemoFailed if a request fails or a file changed unexpectedly.
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
        raise InvalidInput("--folder", f"{printable(path)} already exists: name a new folder")
    try:
        make_directories(path)
    except OSError as error:
        raise InvalidInput("--folder", f"{printable(path)} cannot be created ({error.strerror})") from error
    return path


class _Tour:
    def __init__(self, console: Console, folder: str, watching: Watching) -> None:
        self.folder = folder
        self._console = console
        self._watching = watching
        self._chapter = 0
        self._task_path = ""

    def take(self, server: DemoServer) -> dict[str, Any]:
        self._print(f"All files of the demo are in {printable(self.folder)}", style="bold")
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
        self._begin("A business database: fictional motorway service areas")
        began = time.monotonic()
        rows = build_database(os.path.join(self.folder, DATABASE))
        create_private_file(os.path.join(self.folder, "data_pipeline.toml"), SETTINGS.encode())
        count = f"{len(TABLES)} tables and views, {sum(rows.values()):,} rows"
        self._print(f"{DATABASE}: {count}, {time.monotonic() - began:.1f} s")
        return rows

    def _make_task(self, server: DemoServer) -> str:
        self._begin("A real server, and a task over HTTP")
        server.start()
        self._print(f"data-pipeline serve: {server.url}, process {server.process_id}, log in server.log")
        self._print(f"All paths below begin with {API}", style="dim")
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
        self._begin("A note is added and the task runs again, without overwriting any file")
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
        self._proof(len(same), len(first), "files of the first run are unchanged, in the backup or in place (SHA-256)")
        return name

    def _kill_and_go_on(self, server: DemoServer, task_id: str) -> None:
        self._begin("The task runs a third time, and the server is killed with -9 during the backup")
        before = _all_contents(self._task_path)
        status, answer = server.request("POST", f"/tasks/{task_id}/execute", json={"execution_mode": "complete"})
        self._request("POST", f"/tasks/{task_id}/execute", "", status, answer["execution_id"])
        newest = self._wait_for_backup({name for name in os.listdir(self._task_path) if is_backup_name(name)})
        server.kill()
        self._print(f"kill -9 {server.process_id}: the process is gone; {self._count_files(newest)}", style="red")
        server.start()
        has_recovered = server.health()["recovery"]["recovered"]
        outcome = "rolled back the unfinished backup" if has_recovered else "found no unfinished backup"
        self._print(f"The server is started again at {server.url}. It {outcome} and continues the run")
        status, answer = _wait_until_ended(server, task_id)
        run = answer["execution"]
        self._request("GET", f"/tasks/{task_id}", "", status, f"{run['status']}, backup {run['backup']['directory']}")
        lost = before - _all_contents(self._task_path)
        self._proof(len(before) - len(lost), len(before), "earlier file contents still exist")

    def _restore(self, server: DemoServer, task_id: str, backup: str, first: dict[str, str]) -> int:
        self._begin("The first run is restored")
        path = f"/tasks/{task_id}/backups/{backup}/restore"
        status, plan = server.request("POST", path, json={"dry_run": True})
        self._request("POST", path, '{"dry_run": true}', status, f"would restore {len(plan['restored'])} files")
        status, done = server.request("POST", path)
        self._request("POST", path, "", status, f"restored; to undo it, restore {done['safety_backup']}")
        now = _checksums(self._task_path)
        same = [file for file, checksum in first.items() if now.get(file) == checksum]
        self._proof(len(same), len(first), "files of the first run are restored")
        return len(done["restored"])

    def _what_next(self, task_id: str) -> None:
        self._begin("What to try next")
        program = _program()
        commands = (
            (f"{program} tasks list", "list the tasks and their states; see also show, files, logs"),
            (f"{program} run {task_id}", "run the task without a server"),
            (f"{program} qa report {task_id}", "report on its questions and their SQL"),
            (f"{program} backups list {task_id}", "list the files of earlier runs; see also show, restore"),
            (f"{program} doctor", "check for problems and print remedies"),
            (f"{program} serve", "serve the API on 127.0.0.1:8084; docs/api.md has curl examples"),
        )
        self._print(f"  cd {printable(self.folder)}", style="cyan")
        for command, meaning in commands:
            self._console.print(Text.assemble((f"  {command}", "cyan"), (f"   # {meaning}", "dim")), soft_wrap=True)
        self._print("Done. To remove every trace of the demo, delete the folder.")

    def _wait_for_backup(self, earlier_backups: set[str]) -> str | None:
        """Return the name of the next backup as soon as it has a third of the files.

        Polls without a pause, because all moves together take two milliseconds.
        """
        files = len(os.listdir(self._task_path))
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for name in set(os.listdir(self._task_path)) - earlier_backups:
                if is_backup_name(name) and len(os.listdir(os.path.join(self._task_path, name))) * 3 >= files:
                    return name
        return None

    def _count_files(self, newest: str | None) -> str:
        in_place = sum(os.path.isfile(os.path.join(self._task_path, name)) for name in os.listdir(self._task_path))
        if newest is None:
            return f"the directory has {in_place} files, and there is no new backup"
        moved = len(os.listdir(os.path.join(self._task_path, newest)))
        return f"the directory has {in_place} files, {newest} has {moved}"

    # ---- requests -----------------------------------------------------------------------------------------------

    def _execute(self, server: DemoServer, task_id: str) -> None:
        status, answer = server.request("POST", f"/tasks/{task_id}/execute", json={"execution_mode": "complete"})
        shown = '{"execution_mode": "complete"}'
        self._request("POST", f"/tasks/{task_id}/execute", shown, status, answer["execution_id"])
        self._print(f"GET /tasks/{task_id}/events", style="dim")
        with self._watching(self._console) as emit:
            _emit_all(server.events(task_id), emit)
        _wait_until_ended(server, task_id)

    # ---- output -------------------------------------------------------------------------------------------------

    def _begin(self, title: str) -> None:
        self._chapter += 1
        self._console.print()
        self._console.print(Text(f"{self._chapter}. {title}", style="bold cyan"))

    def _print(self, text: str, *, style: str = "") -> None:
        self._console.print(Text(text, style=style), soft_wrap=True)

    def _request(self, method: str, path: str, body: str, status: int, answer: str) -> None:
        request = f"{method} {path} {body}".rstrip()
        self._console.print(Text.assemble((request, "dim"), (f" -> {status} ", "green"), answer), soft_wrap=True)

    def _proof(self, count: int, total: int, claim: str) -> None:
        style = "bold green" if count == total else "bold red"
        self._print(f"{count} of {total} {claim}", style=style)
        if count != total:
            raise DemoFailed(f"Only {count} of {total} {claim}. Please report it, with {printable(self.folder)}.")

    def _tree(self) -> None:
        self._print(os.path.basename(self._task_path) + "/")
        for line in _tree_lines(self._task_path):
            self._print(line)

    def _record(self, path: str) -> None:
        record = json.loads(read_file(path))
        self._print(f"{os.path.basename(path)}:")
        for key in ("backup_time", "backup_directory", "moved_files", "failed_files", "task_id", "statistics"):
            value = record[key]
            shown = f"{value[:3]}"[:-1] + f", … {len(value) - 3} more]" if key == "moved_files" else str(value)
            self._print(f"  {key}: {shown}")


def _program() -> str:
    """Return the command that starts this program from a shell, as short as possible."""
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
    """Return the SHA-256 of every file at the top of a directory."""
    with os.scandir(path) as entries:
        return {entry.name: _sha256(entry.path) for entry in entries if entry.is_file()}


def _all_contents(path: str) -> set[str]:
    """Return the SHA-256 of every file below a directory."""
    contents = set()
    for folder, _, names in os.walk(path):
        contents |= {_sha256(os.path.join(folder, name)) for name in names}
    return contents


def _sha256(path: str) -> str:
    return hashlib.sha256(read_file(path)).hexdigest()


def _tree_lines(path: str, indent: str = "") -> list[str]:
    """Return a directory as a tree: its first files, the number of its other files, and its backups."""
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
