"""Compare a backup with its record and with its checksums. Changes nothing, needs no lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from data_pipeline.errors import DirectoryUnusable
from data_pipeline.tasks.backup.catalogue import Backup, find_backup, read_checksums
from data_pipeline.tasks.backup.checksums import (
    OnBytes,
    checksum_of,
    compute_checksums,
    record_checksums,
    regular_files,
)
from data_pipeline.tasks.backup.manifests import ChecksumManifest, FileChecksum
from data_pipeline.tasks.backup.record import BackupRecord
from data_pipeline.tasks.backup.verification import Problem, State, VerifyReport
from data_pipeline.tasks.workspace import Door, printable


def verify(path: str, name: str, *, on_bytes: OnBytes = lambda _: None) -> VerifyReport:
    """Verify a backup of the task directory at `path`. Every difference is a problem of the report.

    Without checksums, names and the total size are compared; with checksums, every byte. Raises NotFound,
    DirectoryUnusable if the backup's directory cannot be read.
    """
    backup = find_backup(path, name)
    manifest = read_checksums(path, name, backup.record)
    by_record = list(_compare_with_record(backup))
    known = {(problem.kind, problem.file) for problem in by_record}
    by_checksums = _compare_with_checksums(backup, manifest, on_bytes)
    problems = [*by_record, *(problem for problem in by_checksums if (problem.kind, problem.file) not in known)]
    is_comparable = backup.record is not None or manifest is not None
    state: State = "damaged" if problems else "good" if is_comparable else "unverifiable"
    return VerifyReport(
        backup=name,
        state=state,
        problems=tuple(problems),
        file_count=len(backup.files),
        size_bytes=backup.size_bytes,
        has_record=backup.record is not None,
        checksums_recorded_at=manifest.recorded_at if manifest else None,
    )


def verify_and_record(
    path: str,
    task_id: str,
    name: str,
    *,
    work_id: str,
    door: Door | None = None,
    on_bytes: OnBytes = lambda _: None,
) -> VerifyReport:
    """Verify a backup; if it is good and has no checksums, record them. Raises as `record_checksums`."""
    report = verify(path, name, on_bytes=on_bytes)
    if report.state != "good" or report.checksums_recorded_at is not None:
        return report
    manifest = record_checksums(path, task_id, name, work_id=work_id, door=door, on_bytes=on_bytes)
    return replace(report, checksums_recorded_at=manifest.recorded_at)


def compute_missing_checksums(path: str, name: str, *, on_bytes: OnBytes = lambda _: None) -> ChecksumManifest | None:
    """Compute the checksums of a good backup; return None if they are recorded already.

    Raises NotFound, and DirectoryUnusable if a file cannot be read, or if the backup differs from its record, because
    with the checksums of a damaged backup the damage would not be found any more.
    """
    if read_checksums(path, name, find_backup(path, name).record) is not None:
        return None
    report = verify(path, name)
    if report.state != "good":
        reasons = [f"{problem.file or name}: {problem.message}" for problem in report.problems]
        raise DirectoryUnusable(f"{name} is {report.state}: {'; '.join(reasons[:3]) or 'it has no record'}.")
    return compute_checksums(path, name, on_bytes=on_bytes)


def _compare_with_record(backup: Backup) -> Iterator[Problem]:
    record = backup.record
    if record is None:
        if backup.record_state in ("broken", "unreadable"):
            reason = backup.record_error or f"none of {', '.join(map(printable, backup.doubtful))} is its record"
            yield Problem("record", None, f"the record is {backup.record_state}: {reason}")
        return
    copied = [failed.file for failed in record.failed_files if failed.copied]
    # By their printable names, as the record has no others: two files may share one.
    expected = Counter([*record.moved_files, *copied])
    found = Counter(printable(file.name) for file in backup.files)
    for name in sorted((expected - found).elements()):
        yield Problem("missing", name, "it is missing, although the record lists it")
    for name in sorted((found - expected).elements()):
        yield Problem("extra", name, "the record does not list it")
    if found == expected:
        yield from _compare_sizes(backup, record, copied)


def _compare_sizes(backup: Backup, record: BackupRecord, copied: Sequence[str]) -> Iterator[Problem]:
    """Compare the total size of the moved files: the record has no sizes of single files."""
    if record.statistics is None:
        return
    size_bytes = sum(file.size_bytes for file in backup.files if printable(file.name) not in copied)
    if size_bytes != record.statistics.bytes:
        expected = f"{record.statistics.bytes:,} bytes"
        yield Problem("size", None, f"expected {expected} in all files, got {size_bytes:,}")


def _compare_with_checksums(backup: Backup, manifest: ChecksumManifest | None, on_bytes: OnBytes) -> Iterator[Problem]:
    if manifest is None:
        return
    expected = {file.system_name: file for file in manifest.files}
    for file in regular_files(backup):
        recorded = expected.pop(file.name, None)
        if recorded is None:
            yield Problem("extra", printable(file.name), "it has no recorded checksum")
            continue
        try:
            current = checksum_of(backup.path, file.name, on_bytes)
        except OSError as error:
            yield Problem("unreadable", printable(file.name), str(error.strerror or error))
            continue
        if current != recorded:
            yield Problem("changed", printable(file.name), _describe_change(recorded, current))
    for name in expected:
        yield Problem("missing", printable(name), "it is missing, although its checksum is recorded")


def _describe_change(recorded: FileChecksum, current: FileChecksum) -> str:
    if recorded.size_bytes != current.size_bytes:
        return f"it has {current.size_bytes:,} bytes instead of {recorded.size_bytes:,}"
    return f"its SHA-256 is {current.sha256} instead of {recorded.sha256}"
