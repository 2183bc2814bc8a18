"""Compare a backup of the vector store with its manifest, as a restore does. Changes nothing, needs no lock."""

from __future__ import annotations

from collections.abc import Iterator

from data_pipeline.tasks import task_directory
from data_pipeline.tasks.backup.verification import Problem, State, VerifyReport
from data_pipeline.tasks.workspace import open_regular_file, printable
from data_pipeline.vectors.backup.catalogue import BackupPlace, ListedBackup, find_settled, names_in
from data_pipeline.vectors.backup.items import read_items
from data_pipeline.vectors.backup.record import Manifest, NotWhatWasWritten


def verify(place: BackupPlace, timestamp: str) -> VerifyReport:
    """Verify a backup. Every difference is a problem of the report; a good one can be restored.

    A backup without a manifest is unverifiable. Raises NotFound, also if the backup is deleted meanwhile, and
    DirectoryUnusable.
    """
    backup = find_settled(place, timestamp)
    problems = tuple(_compare(place, backup))
    if problems:
        find_settled(place, timestamp)  # a backup that another process deletes is not damaged
    state: State = "damaged" if problems else "good" if backup.manifest is not None else "unverifiable"
    return VerifyReport(
        backup=timestamp,
        state=state,
        problems=problems,
        file_count=backup.file_count,
        size_bytes=backup.items_size_bytes,
        has_record=backup.manifest is not None,
        checksums_recorded_at=backup.made_at,
    )


def _compare(place: BackupPlace, backup: ListedBackup) -> Iterator[Problem]:
    items_name = task_directory.vector_items_name(backup.timestamp)
    listed = (items_name, task_directory.vector_manifest_name(backup.timestamp))
    for name in sorted(names_in(place)):
        if name.startswith(f"vectors_{backup.timestamp}") and name not in listed:
            yield Problem("extra", printable(name), "the record does not list it")
    if backup.manifest is None:
        if backup.has_manifest:
            yield Problem("record", None, f"the record is broken: {backup.problem}")
    elif not backup.has_items:
        yield Problem("missing", items_name, "it is missing, although the record lists it")
    else:
        yield from _compare_items(place, backup.manifest, backup.items_size_bytes)


def _compare_items(place: BackupPlace, manifest: Manifest, size_bytes: int) -> Iterator[Problem]:
    name = manifest.items_file
    if size_bytes != manifest.size_bytes:
        yield Problem("size", name, f"expected {manifest.size_bytes:,} bytes, got {size_bytes:,}")
        return
    try:
        with open_regular_file(place.items_path(manifest.timestamp)) as file:
            for _ in read_items(file, manifest):
                pass
    except OSError as error:
        yield Problem("unreadable", name, str(error.strerror or error))
    except NotWhatWasWritten as error:
        yield Problem("changed", name, str(error))
