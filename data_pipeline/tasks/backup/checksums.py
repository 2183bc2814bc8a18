"""Compute the SHA-256 of the files of a backup, and record them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from data_pipeline.errors import DirectoryUnusable, NotFound
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.backup.catalogue import BackedUpFile, Backup, find_backup
from data_pipeline.tasks.backup.manifests import ChecksumManifest, FileChecksum, maker_of
from data_pipeline.tasks.workspace import Door, open_regular_file, open_workspace, printable

CHUNK_BYTES: Final = 1024 * 1024

OnBytes = Callable[[int], None]
"""A callback for the number of bytes of each chunk that was read; an exception that it raises ends the reading."""


def checksum_of(folder: str, name: str, on_bytes: OnBytes = lambda _: None) -> FileChecksum:
    """Read a regular file of a backup and return its checksum. Raises OSError, also if it changes while it is read."""
    digest, size_bytes = hashlib.sha256(), 0
    with open_regular_file(os.path.join(folder, name)) as file:
        before = os.fstat(file.fileno())
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size_bytes += len(chunk)
            on_bytes(len(chunk))
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size_bytes != after.st_size:
        raise OSError("it changed while it was read")
    return FileChecksum.of(name, size_bytes, digest.hexdigest())


def regular_files(backup: Backup) -> list[BackedUpFile]:
    """Return the files of a backup whose content can be checked, its record included."""
    files = [file for file in backup.files if file.kind == "file"]
    return files if backup.record_file is None else [*files, backup.record_file]


def compute_checksums(
    path: str, name: str, *, on_bytes: OnBytes = lambda _: None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> ChecksumManifest:
    """Read all files of a backup of the task directory at `path`. Needs no lock, as a backup never changes.

    Raises NotFound, and DirectoryUnusable if a file cannot be read, because the checksums would be incomplete.
    """
    backup = find_backup(path, name)
    files = []
    for file in regular_files(backup):
        try:
            files.append(checksum_of(backup.path, file.name, on_bytes))
        except OSError as error:
            raise DirectoryUnusable(
                f"{name}: {printable(file.name)} cannot be read ({error.strerror or error}). No checksums were "
                "recorded; correct the permissions or repair the disk."
            ) from error
    return ChecksumManifest(backup=name, maker=maker_of(backup.record), recorded_at=now(), files=tuple(files))


def record_checksums(
    path: str,
    task_id: str,
    name: str,
    *,
    work_id: str,
    timeout_seconds: float = 0.0,
    door: Door | None = None,
    on_bytes: OnBytes = lambda _: None,
) -> ChecksumManifest:
    """Compute the checksums of a backup and write them beside it; the lock is held for the writing only.

    Raises as `compute_checksums` and `write_checksums`.
    """
    manifest = compute_checksums(path, name, on_bytes=on_bytes)
    write_checksums(path, task_id, manifest, work_id=work_id, timeout_seconds=timeout_seconds, door=door)
    return manifest


def write_checksums(
    path: str,
    task_id: str,
    manifest: ChecksumManifest,
    *,
    work_id: str,
    timeout_seconds: float = 0.0,
    door: Door | None = None,
) -> None:
    """Write the checksums of a backup beside it, under the lock.

    Raises NotFound, also if the backup was deleted since they were computed, TaskBusy, DirectoryUnusable,
    PublishFailed, RecoveryNeeded, OutcomeUnsettled.
    """
    name = manifest.backup
    label = f"checksums of {name}"
    with open_workspace(path, task_id, label=label, timeout_seconds=timeout_seconds, door=door) as workspace:
        if maker_of(find_backup(path, name).record) != manifest.maker:
            raise NotFound("backup", name, "Another backup has its name now.")
        checksums_name = task_directory.backup_checksums_name(name)
        folder = task_directory.BACKUP_MANIFESTS
        workspace.put_into(folder, checksums_name, manifest.encode(), label=label, work_id=work_id)
