"""The names of all files in a task directory. Opens no file.

training_data/<task id>/table_list.txt            the list of the user: never moved by a backup
                        <table>.ddl ...           published by the steps
                        data_pipeline.log task_config.json task_result.json <step>_result.json
                        file_bak_YYYYMMDD_HHMMSS[_n]/   the files of an earlier run, with backup_info.json
                        backup_manifests/file_bak_..._note.json, ..._sha256.json   written about a backup later
                        vector_bak/vectors_YYYYMMDD_HHMMSS.jsonl, ..._manifest.json   a backup of the vector store
              vector_bak/         backups of the vector store that belong to no task
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Container
from datetime import datetime
from itertools import count
from typing import Final

from data_pipeline.errors import InvalidInput

TABLE_LIST: Final = "table_list.txt"
LOG: Final = "data_pipeline.log"
TASK_CONFIG: Final = "task_config.json"
TASK_RESULT: Final = "task_result.json"
BACKUP_PREFIX: Final = "file_bak_"
VECTOR_BACKUPS: Final = "vector_bak"
BACKUP_MANIFESTS: Final = "backup_manifests"
"""The folder for notes and checksums of backups. A backup itself never changes."""
_NOTE: Final = "_note.json"
_CHECKSUMS: Final = "_sha256.json"

JOURNAL: Final = ".journal"
"""The folder of the journal, which is in a task directory only if that is a mount point. Not a file of the task."""

_TASK_ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_BACKUP_NAME: Final = re.compile(r"file_bak_(\d{8}_\d{6})(?:_(\d{1,9}))?")
_VECTOR_TIMESTAMP: Final = re.compile(r"\d{8}_\d{6}")
_VECTOR_FILE: Final = re.compile(r"vectors_(\d{8}_\d{6})(?:_manifest\.json|\.jsonl)")
_RECORD_NAME: Final = re.compile(r"backup_info(?:_\d{1,9})?\.json")
_DEVICES: Final = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})
"""Names of devices in each directory of Windows."""


def is_device_name(name: str) -> bool:
    """Return whether this is the name of a device in Windows, with any suffix."""
    return name.partition(".")[0].rstrip().lower() in _DEVICES


def is_task_id(name: str) -> bool:
    """True if a task can have this id: it can name a directory anywhere."""
    return _TASK_ID.fullmatch(name) is not None and not is_device_name(name)


def is_task_directory(path: str) -> bool:
    """True if a task directory is at `path`; a symbolic link is not one."""
    return os.path.isdir(path) and not os.path.islink(path)


def check_task_id(task_id: str) -> str:
    """Return the id if it is valid. Raises InvalidInput."""
    if not is_task_id(task_id):
        raise InvalidInput("task_id", f"{task_id[:80]!a} must be 1 to 64 ASCII letters, digits and underscores")
    return task_id


def check_file_name(name: str) -> str:
    """Return the name if it is valid for a visible file of the directory on all systems. Raises InvalidInput."""
    is_plain = name.isprintable() and not set(name) & set('/\\:*?"<>|') and name == name.strip(" .")
    if not is_plain or not name or len(name.encode()) > 200 or is_device_name(name):
        raise InvalidInput("file name", f"{name[:80]!a} must be a plain file name of at most 200 bytes")
    return name


def path_of(training_data: str, task_id: str) -> str:
    """Return the directory of a task. Raises InvalidInput for an invalid id, which could lead elsewhere."""
    return os.path.join(training_data, check_task_id(task_id))


def step_result(step: str) -> str:
    """Return the name of the file with the result of a step."""
    return f"{step}_result.json"


def backup_name(local_time: datetime) -> str:
    """Return the name of a backup created at this local time. The journal adds a suffix if the name exists."""
    return f"{BACKUP_PREFIX}{local_time:%Y%m%d_%H%M%S}"


def is_backup_name(name: str) -> bool:
    """Return whether a directory of this name is a backup."""
    return _BACKUP_NAME.fullmatch(name) is not None


def time_in_name(name: str) -> tuple[datetime | None, int]:
    """Return the local time and the suffix in a backup's name; None for the time if the digits are not a date."""
    match = _BACKUP_NAME.fullmatch(name)
    return (None, 0) if match is None else (time_in_digits(match[1]), int(match[2] or 0))


def time_in_digits(digits: str) -> datetime | None:
    """Parse a local time such as 20250121_094400; return None if the digits are not a date."""
    try:
        return datetime.strptime(digits, "%Y%m%d_%H%M%S")  # noqa: DTZ007 - the local time in the name
    except ValueError:
        return None


def backup_note_name(backup: str) -> str:
    """Return the name of the file that holds a backup's note."""
    return f"{backup}{_NOTE}"


def backup_checksums_name(backup: str) -> str:
    """Return the name of the file that holds a backup's checksums."""
    return f"{backup}{_CHECKSUMS}"


def backup_of_manifest(name: str) -> str | None:
    """Return the name of the backup that a file in `backup_manifests` is about; None for any other name."""
    backups = (name.removesuffix(suffix) for suffix in (_NOTE, _CHECKSUMS) if name.endswith(suffix))
    return next(filter(is_backup_name, backups), None)


def vector_items_name(timestamp: str) -> str:
    """Return the name of the file with the items of a vector backup."""
    return f"vectors_{timestamp}.jsonl"


def vector_manifest_name(timestamp: str) -> str:
    """Return the name of the manifest of a vector backup, without which it cannot be restored."""
    return f"vectors_{timestamp}_manifest.json"


def vector_timestamp_in(name: str) -> str | None:
    """Return the timestamp in the name of a file of a vector backup; None for any other name."""
    match = _VECTOR_FILE.fullmatch(name)
    return match[1] if match else None


def check_vector_timestamp(timestamp: str) -> str:
    """Return the timestamp of a vector backup if it is valid. Raises InvalidInput."""
    if not _VECTOR_TIMESTAMP.fullmatch(timestamp):
        raise InvalidInput("timestamp", f"{timestamp[:40]!a} must be a timestamp such as 20250121_094400")
    return timestamp


def training_load_log(local_time: datetime) -> str:
    """Return the name of the log of a load that ended at this local time."""
    return f"training_load_{local_time:%Y%m%d_%H%M%S}.log"


def record_name(taken: Container[str]) -> str:
    """Return the name of a backup's record, with a number if a file of the task has the name backup_info.json."""
    names = (f"backup_info_{number}.json" if number else "backup_info.json" for number in count())
    return next(name for name in names if name not in taken)


def can_be_record(name: str) -> bool:
    """Return whether a backup's record may have this name."""
    return _RECORD_NAME.fullmatch(name) is not None
