"""Record the checksums of backups after their runs, in a separate thread, so that no run waits for them.

A backup is read without the lock of its task; the lock is held only to write the manifest. If another run holds the
task, the manifest waits in memory and the recorder continues with other backups. The next start continues the work of
a dead or stopped server: the newest backup of each task, if a run made it and it has no manifest.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from data_pipeline.errors import NotFound, PipelineError, TaskBusy
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.backup.catalogue import find_backup
from data_pipeline.tasks.backup.checksums import write_checksums
from data_pipeline.tasks.backup.manifests import ChecksumManifest
from data_pipeline.tasks.backup.verify import compute_missing_checksums
from data_pipeline.tasks.workspace import Door, task_directories

LOGGER = logging.getLogger("data_pipeline.checksums")

WAITING_LIMIT: Final = 200
"""Maximum number of waiting backups; one that waits for a busy task holds its manifest in memory."""

RETRY_SECONDS: Final = 1.0
LONGEST_RETRY_SECONDS: Final = 60.0

Outcome = Literal["recorded", "failed"]


class _Closing(Exception):
    """The recorder is closing; the backup that is being read waits for the next start."""


@dataclass(eq=False)
class _Job:
    """A backup that waits at least until `due`; its manifest is set once it is computed."""

    task_id: str
    backup: str
    due: float = 0.0
    attempts: int = 0
    manifest: ChecksumManifest | None = None

    def __str__(self) -> str:
        return f"Task {self.task_id}: the checksums of {self.backup}"

    @property
    def remedy(self) -> str:
        """Return the command that records these checksums."""
        return f"data-pipeline backups verify {self.task_id} {self.backup} --record-checksums"


class ChecksumRecorder:
    """Queue of backups, filled from any thread; `close` stops at the next chunk and leaves the rest to the next start.

    `count` gets the outcome of each manifest.
    """

    def __init__(
        self,
        training_data: str,
        *,
        door: Door | None = None,
        count: Callable[[Outcome], None] = lambda _: None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._training_data = training_data
        self._door = door
        self._count = count
        self._retry_seconds = retry_seconds
        self._jobs: list[_Job] = []
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="checksum-recorder", daemon=True)
        self._thread.start()

    def add(self, task_id: str, backup: str) -> None:
        """Queue a backup and return immediately. If the queue is full, log the backup and skip it."""
        job = _Job(task_id, backup)
        with self._changed:
            if any((known.task_id, known.backup) == (task_id, backup) for known in self._jobs):
                return
            has_room = len(self._jobs) < WAITING_LIMIT
            if has_room:
                self._jobs.append(job)
                self._changed.notify()
        if not has_room:
            self._count("failed")
            LOGGER.warning("%s are not recorded: %d backups wait already. Run: %s", job, WAITING_LIMIT, job.remedy)

    def close(self) -> None:
        """Stop the thread, after a manifest that is being written."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()
        for job in self._jobs:
            LOGGER.info(
                "%s are not recorded yet. The next start records them; to record them now, run: %s", job, job.remedy
            )

    def _work(self) -> None:
        missed = self._find_missed()
        while (job := self._take(waits=False) or next(missed, None) or self._take(waits=True)) is not None:
            try:
                self._record(job)
            except _Closing:
                self._put_back(job)
            except Exception:
                # Whatever the error is, the other backups get their checksums.
                self._count("failed")
                LOGGER.exception("%s are not recorded because of a defect of this program. Run: %s", job, job.remedy)

    def _take(self, *, waits: bool) -> _Job | None:
        """Take the first job that is due; None if there is none. If it waits, it returns None only at the close."""
        with self._changed:
            while not self._is_closing:
                now = time.monotonic()
                job = next((job for job in self._jobs if job.due <= now), None)
                if job is not None:
                    self._jobs.remove(job)
                    return job
                if not waits:
                    return None
                self._changed.wait(min((job.due - now for job in self._jobs), default=None))
        return None

    def _put_back(self, job: _Job) -> None:
        with self._changed:
            self._jobs.append(job)

    def _record(self, job: _Job) -> None:
        path = task_directory.path_of(self._training_data, job.task_id)
        try:
            if job.manifest is None:
                job.manifest = compute_missing_checksums(path, job.backup, on_bytes=self._check_open)
            if job.manifest is None:
                return  # a person deleted or recorded it meanwhile
            work_id = f"checksums_{secrets.token_hex(8)}"
            write_checksums(path, job.task_id, job.manifest, work_id=work_id, door=self._door)
        except TaskBusy as busy:
            job.due = time.monotonic() + min(self._retry_seconds * 2**job.attempts, LONGEST_RETRY_SECONDS)
            job.attempts = min(job.attempts + 1, 30)  # a power of two that is still a number of seconds
            self._put_back(job)
            LOGGER.debug("%s wait: %s", job, busy)
        except PipelineError as error:
            if isinstance(error, NotFound) or not os.path.isdir(os.path.join(path, job.backup)):
                LOGGER.info("%s are not needed any more: it was deleted", job)
                return
            self._count("failed")
            # Without a traceback: the message is for people.
            LOGGER.error("%s are not recorded: %s Then run: %s", job, error, job.remedy)  # noqa: TRY400
        else:
            self._count("recorded")
            LOGGER.info("%s are recorded: %d files", job, len(job.manifest.files))

    def _check_open(self, _: int) -> None:
        if self._is_closing:
            raise _Closing

    def _find_missed(self) -> Iterator[_Job]:
        """Yield the newest backup of each task, if a run made it and it has no manifest."""
        try:
            tasks = task_directories(self._training_data)
        except PipelineError as error:
            LOGGER.warning("Backups without checksums are not searched: %s", error)
            return
        for task_id in tasks:
            if self._is_closing:
                return
            path = os.path.join(self._training_data, task_id)
            try:
                backup = _newest_without_checksums(path)
                record = find_backup(path, backup).record if backup is not None else None
                # A backup that is being made has no record yet; its own run queues it.
                if backup is not None and record is not None and record.run_id is not None and record.is_of_commit:
                    yield _Job(task_id, backup)
            except (PipelineError, OSError) as error:
                LOGGER.debug("Task %s: its backups are not inspected: %s", task_id, error)


def _newest_without_checksums(path: str) -> str | None:
    """Return the name of a task's newest backup, by its name alone, if it has no manifest."""
    names = filter(task_directory.is_backup_name, os.listdir(path))
    # The digits of the time have one length, a suffix has any: `_10` comes after `_9`.
    newest = max(names, key=lambda name: (name[: len("file_bak_YYYYMMDD_HHMMSS")], len(name), name), default=None)
    if newest is None:
        return None
    manifest = os.path.join(path, task_directory.BACKUP_MANIFESTS, task_directory.backup_checksums_name(newest))
    return None if os.path.exists(manifest) else newest
