"""Checks of everything that a server or a run depends on, each with a remedy. No file is changed.

If a task directory is a separate mount, only an attempt shows whether files can be moved between it and its journal.
So, while holding the task's lock, the check creates a probe file in it and deletes the file again.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple

from data_pipeline.config.report import DEFAULT, settings_in_use
from data_pipeline.config.settings import Settings
from data_pipeline.config.versions import judge_versions
from data_pipeline.database.connection import open_database
from data_pipeline.errors import (
    DatabaseUnavailable,
    DirectoryUnusable,
    EmbedderMismatch,
    InvalidInput,
    PipelineError,
    StoreUnavailable,
    TaskBusy,
)
from data_pipeline.runs.worker_slots import FOLDER as WORKERS
from data_pipeline.store import look_at_store
from data_pipeline.tasks.workspace import (
    KEPT_PREFIX,
    WEAKER_GUARANTEE,
    Inspection,
    check_not_link,
    inspect_tasks,
    printable,
    read_file,
    state_directory_of,
    try_to_move,
)
from data_pipeline.use_cases.task_json import formatted_size
from data_pipeline.vectors.backup_statistics import count_backups

LOW_SPACE_BYTES: Final = 1024**3
LOW_INODES: Final = 10_000
"""A run of 500 tables creates a few thousand files."""

NETWORK_FILE_SYSTEMS: Final = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "ceph", "glusterfs", "lustre", "afs")
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """The result of one check; `remedy` is the recommended action, empty if there is no problem."""

    name: str
    state: State
    message: str
    remedy: str = ""

    def summary(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return asdict(self)


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield the findings one by one, because opening databases may take seconds."""
    for judgement in judge_versions():
        yield Finding(*judgement)
    yield _settings(settings)
    yield _folder("home", settings.home_path)
    yield _folder("task directories", settings.training_data_path)
    yield from _disk(settings.training_data_path)
    yield from _private_files(settings)
    yield from _tasks(settings.training_data_path)
    yield from _links(settings.training_data_path)
    yield from _mount_points(settings.training_data_path)
    workers: dict[str, Inspection] = {}
    try:
        inspections = inspect_tasks(settings.training_data_path)
        slots = inspect_tasks(os.path.join(settings.training_data_path, WORKERS))
        workers = {name: inspection for name, inspection in slots.items() if inspection.condition == "busy"}
        yield from _journals(inspections)
        yield from _guarantee(inspections)
        yield from _kept(inspections.values())
    except (OSError, DirectoryUnusable) as error:
        yield Finding("journals", "problem", str(error), "Correct the permissions of the directory")
    yield from _backups(settings)
    yield from _store(settings, has_worker=bool(workers))
    yield _vector_store(settings)
    yield _workers(workers)
    yield from _databases(settings)


def _settings(settings: Settings) -> Finding:
    changed = [setting.name for setting in settings_in_use(settings) if setting.origin != DEFAULT]
    key = "an API key is set" if settings.api_key else "no API key, so the server listens on this machine only"
    return Finding("settings", "ok", f"{len(changed)} differ from their defaults (`data-pipeline config show`); {key}")


def _folder(name: str, path: str) -> Finding:
    shown = printable(path)
    if os.path.isdir(path):
        if os.access(path, os.R_OK | os.W_OK | os.X_OK):
            return Finding(name, "ok", shown)
        return Finding(name, "problem", f"{shown} is not readable and writable", f"chown or chmod {shown}")
    if os.path.lexists(path):
        return Finding(name, "problem", f"{shown} is not a directory", "Remove it or set another DATA_PIPELINE_HOME")
    above = _nearest_existing(path)
    if os.path.isdir(above) and os.access(above, os.W_OK | os.X_OK):
        return Finding(name, "ok", f"{shown} does not exist yet; the first run creates it")
    remedy = f"Correct the permissions of {printable(above)}"
    return Finding(name, "problem", f"{shown} cannot be created in {printable(above)}", remedy)


def _nearest_existing(path: str) -> str:
    """Return the path itself, or its nearest parent directory that exists."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _disk(path: str) -> Iterator[Finding]:
    there = _nearest_existing(path)
    free = shutil.disk_usage(there).free
    inodes = os.statvfs(there) if hasattr(os, "statvfs") else None
    text = f"{formatted_size(free)} free"
    if free < LOW_SPACE_BYTES:
        yield Finding(
            "disk space", "warning", text, "Free some space; a run fails if the disk is full, but loses no file"
        )
    elif inodes is not None and inodes.f_files and inodes.f_favail < LOW_INODES:
        yield Finding("disk space", "warning", f"{text}, but only {inodes.f_favail} free inodes", "Delete files")
    else:
        yield Finding("disk space", "ok", text)
    kind = _file_system(there)
    if kind is None:
        return
    if kind.startswith(NETWORK_FILE_SYSTEMS):
        remedy = "Set DATA_PIPELINE_TRAINING_DATA to a local disk; locks and syncs on network disks are not tested"
        yield Finding("file system", "warning", kind, remedy)
    else:
        yield Finding("file system", "ok", kind)


def _file_system(path: str) -> str | None:
    """Return the type of the file system that contains a path, None if the system does not report it."""
    mount = _mount_of(path, _mounts())
    return mount.kind if mount else None


class _Mount(NamedTuple):
    path: str
    kind: str


def _mounts() -> list[_Mount]:
    """Return all mounts in the order in which they were mounted; empty if the system does not list them."""
    try:
        lines = os.fsdecode(read_file("/proc/self/mountinfo")).splitlines()
    except OSError:
        return []
    fields = [line.split(" ") for line in lines]
    return [_Mount(_ESCAPED.sub(_unescape, line[4]), line[line.index("-") + 1]) for line in fields]


def _unescape(match: re.Match[str]) -> str:
    return chr(int(match[1], 8))


def _mount_of(path: str, mounts: list[_Mount]) -> _Mount | None:
    """Return the mount that contains a path, which need not exist. Of several on one directory, the last hides all."""
    real = os.path.realpath(path)
    holding = [mount for mount in mounts if real == mount.path or real.startswith(mount.path.rstrip("/") + "/")]
    return max(enumerate(holding), key=lambda item: (len(item[1].path), item[0]))[1] if holding else None


def _private_files(settings: Settings) -> Iterator[Finding]:
    for name in ("data_pipeline.sqlite", "engine.sqlite", "vectors.sqlite"):
        path = os.path.join(settings.home_path, name)
        if os.path.exists(path) and os.name != "nt" and stat.S_IMODE(os.stat(path).st_mode) & 0o077:
            shown = printable(path)
            yield Finding("permissions", "problem", f"{shown} may contain passwords, and other users can read it",
                          f"chmod 600 {shown}")  # fmt: skip


def _tasks(training_data: str) -> Iterator[Finding]:
    if not os.path.isdir(training_data):
        return
    entries = [entry for entry in os.scandir(training_data) if entry.is_dir(follow_symlinks=False)
               and not entry.name.startswith(".")]  # fmt: skip
    shut = [entry.name for entry in entries if not os.access(entry.path, os.R_OK | os.W_OK | os.X_OK)]
    if shut:
        shown = ", ".join(printable(name) for name in sorted(shut)[:5])
        yield Finding("permissions", "problem", f"{len(shut)} of {len(entries)} task directories are not readable and "
                      f"writable: {shown}", "chown or chmod them; runs of these tasks fail until then")  # fmt: skip
    else:
        yield Finding("tasks", "ok", f"{len(entries)} tasks, every directory is readable and writable")


def _mount_points(training_data: str) -> Iterator[Finding]:
    """Yield the task directories on another mount than their journals, because files cannot move between mounts."""
    if not os.path.isdir(training_data):
        return
    mounts = _mounts()
    if os.path.realpath(training_data) in {mount.path for mount in mounts}:
        yield Finding("mounts", "ok", f"{printable(training_data)} is a mount point; mount it before a server starts, "
                      "or runs write into the directory below the mount")  # fmt: skip
    paths = [entry.path for entry in os.scandir(training_data)
             if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")]  # fmt: skip
    for path in sorted(paths):
        if _is_apart(path, training_data, mounts):
            yield _try_mount(path)


def _is_apart(path: str, training_data: str, mounts: list[_Mount]) -> bool:
    """Return True if a task directory or its journals are on another mount than the folder of all task directories."""
    if not mounts:
        return os.path.ismount(path)
    home = _mount_of(training_data, mounts)
    return any(_mount_of(place, mounts) != home for place in (path, state_directory_of(path)))


def _try_mount(path: str) -> Finding:
    shown = printable(path)
    try:
        try_to_move(path, os.path.basename(path))
    except TaskBusy:
        return Finding("mounts", "ok", f"{shown} is a separate mount and in use, so it was not tested")
    except PipelineError as error:
        return Finding("mounts", "problem", f"{shown} is on another mount than its journal: {error}. Its backups and "
                       "publications fail", "Unmount it, or mount the whole folder of task directories")  # fmt: skip
    return Finding("mounts", "ok", f"{shown} is a separate mount; files can move between it and its journal")


def _links(training_data: str) -> Iterator[Finding]:
    """Yield the task directories that are symbolic links."""
    if not os.path.isdir(training_data):
        return
    for entry in os.scandir(training_data):
        try:
            if not entry.name.startswith("."):
                check_not_link(entry.path)
        except DirectoryUnusable as error:
            yield Finding("links", "problem", str(error), "Replace the link by the directory")


def _guarantee(inspections: dict[str, Inspection]) -> Iterator[Finding]:
    """Warn if a locked task directory is on a file system where a power loss may lose bytes."""
    weaker = [name for name, inspection in inspections.items() if inspection.goes_by_names]
    if weaker:
        yield Finding("guarantee", "warning", f"{WEAKER_GUARANTEE} ({len(weaker)} tasks, such as {weaker[0]})",
                      "Set DATA_PIPELINE_TRAINING_DATA to a local disk such as ext4, xfs or btrfs")  # fmt: skip


def _journals(inspections: dict[str, Inspection]) -> Iterator[Finding]:
    if not {inspection.condition for inspection in inspections.values()} & {"work", "damaged"}:
        held = [name for name, inspection in inspections.items() if inspection.condition == "busy"]
        yield Finding("journals", "ok", "nothing to recover" + (f"; in use: {', '.join(held[:5])}" if held else ""))
    for name, inspection in inspections.items():
        if inspection.condition == "work":
            yield Finding("journals", "warning", f"{printable(name)}: a killed run left an unfinished transaction",
                          "Run `data-pipeline recover`; the task's next run does the same")  # fmt: skip
        elif inspection.condition == "damaged":
            which = inspection.error or ", ".join(
                journal for journal in inspection.journals if not journal.endswith(".journal")
            )
            yield Finding("journals", "problem", f"{printable(name)}: {which}",
                          f"Inspect {inspection.state_directory} as docs/operating.md describes")  # fmt: skip


def _kept(inspections: Iterable[Inspection]) -> Iterator[Finding]:
    kept = [
        os.path.join(inspection.state_directory, name)
        for inspection in inspections
        if os.path.isdir(inspection.state_directory)
        for name in os.listdir(inspection.state_directory)
        if name.startswith(KEPT_PREFIX)
    ]
    if kept:
        yield Finding("kept folders", "warning", f"{len(kept)} folders contain files whose names a run needed, the "
                      f"first is {printable(min(kept))}", "Copy the files you need, delete the rest")  # fmt: skip


def _backups(settings: Settings) -> Iterator[Finding]:
    try:
        counted = count_backups(settings.training_data_path)
    except DirectoryUnusable as error:
        yield Finding("backups", "problem", str(error), "Correct the permissions of the directory")
        return
    for reason in counted.unreadable:
        yield Finding("backups", "problem", f"not counted: {reason}", "Correct the permissions of the directory")
    count, limit = counted.files.backup_count + counted.vectors.backup_count, settings.backup_warning_bytes
    text = f"{count} backups, {formatted_size(counted.size_bytes)}"
    if limit and counted.size_bytes > limit:
        yield Finding("backups", "warning", f"{text}, more than DATA_PIPELINE_BACKUP_WARNING_BYTES ({limit:,})",
                      "Delete some by rules with `data-pipeline backups prune`, or set DATA_PIPELINE_BACKUP_KEEP_LAST "
                      "to do so after each run; `backups stats` shows the largest")  # fmt: skip
    else:
        yield Finding("backups", "ok", text)


def _store(settings: Settings, *, has_worker: bool) -> Iterator[Finding]:
    try:
        state = look_at_store(settings.store_url)
    except StoreUnavailable as error:
        yield Finding("task store", "problem", str(error), "Correct DATA_PIPELINE_DATABASE_URL or start the database")
        return
    if state is None:
        yield Finding("task store", "ok", "does not exist yet; the first run creates it")
    elif state.revision != state.newest:
        yield Finding("task store", "warning", f"schema version {state.revision}, expected {state.newest}",
                      "Back it up; the next run or server start migrates it")  # fmt: skip
    else:
        yield Finding("task store", "ok", f"{state.task_count} tasks, schema version {state.revision}")
    if state is not None and state.unfinished_count and not has_worker:
        yield Finding("runs", "warning", f"{state.unfinished_count} unfinished runs, and no server is running",
                      "Run `data-pipeline serve` to continue them")  # fmt: skip


def _vector_store(settings: Settings) -> Finding:
    from data_pipeline.vectors.store.opening import look_at_vector_store

    try:
        look = look_at_vector_store(settings.vector_place)
    except StoreUnavailable as error:
        remedy = "Correct DATA_PIPELINE_VECTOR_STORE_URL or start the database"
        return Finding("vector store", "problem", str(error), remedy)
    except EmbedderMismatch as error:
        return Finding("vector store", "problem", str(error), "docs/settings.md describes how to change the embedder")
    if look is None:
        return Finding("vector store", "ok", "does not exist yet; the first load creates it")
    return Finding("vector store", "ok", f"{look.item_count} items, embedded by {look.made_by}")


def _workers(workers: dict[str, Inspection]) -> Finding:
    if not workers:
        return Finding("server", "ok", "no server uses these task directories")
    return Finding(
        "server", "ok", "; ".join(f"{name}: {inspection.held_by}" for name, inspection in sorted(workers.items()))
    )


def _databases(settings: Settings) -> Iterator[Finding]:
    for name, url in settings.databases.items():
        try:
            with open_database(url.get_secret_value()) as database:
                yield Finding(f"database {name}", "ok", f"{database.label} is readable")
        except (DatabaseUnavailable, InvalidInput) as error:
            setting = f"DATA_PIPELINE_DATABASES__{name.upper()}"
            yield Finding(f"database {name}", "problem", str(error), f"Correct {setting} or start the database")
