"""Restore a backup of the vector store. All of it is read and verified before anything changes.

The items are written into temporary tables while the SHA-256 of the file is computed. If counts and checksum match the
manifest, one transaction replaces the content of the store. After an error, the store is as before. No process can
delete the backup until the end.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from data_pipeline.errors import BackupDamaged
from data_pipeline.vectors.backup.catalogue import BackupPlace, find_settled, read_manifest_of
from data_pipeline.vectors.backup.in_use import opened_for_restore
from data_pipeline.vectors.backup.items import read_items
from data_pipeline.vectors.backup.record import Manifest, NotWhatWasWritten
from data_pipeline.vectors.store.contract import StoreContent, VectorStore, check_identity


@dataclass(frozen=True)
class Restored:
    """The result of a restore: the whole content of the store."""

    manifest: Manifest
    content: StoreContent
    seconds: float


def restore_backup(store: VectorStore, place: BackupPlace, timestamp: str) -> Restored:
    """Replace the content of the store by a backup.

    Raises NotFound, BackupDamaged with the reason, EmbedderMismatch, StoreUnavailable; then nothing is changed.
    """
    started = time.monotonic()
    label = f"{place.relative_path}, {timestamp}"
    try:
        manifest = read_manifest_of(place, timestamp)
        check_identity(f"The backup {label}", manifest.embedder.identity, store.embedder.identity)
        with _opened(place, timestamp, manifest) as file:
            content = store.replace_with(read_items(file, manifest))
    except NotWhatWasWritten as error:
        find_settled(place, timestamp)  # a backup that another process deletes is not damaged
        raise BackupDamaged(label, str(error)) from error
    return Restored(manifest, content, time.monotonic() - started)


@contextlib.contextmanager
def _opened(place: BackupPlace, timestamp: str, manifest: Manifest) -> Iterator[IO[bytes]]:
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(opened_for_restore(place, timestamp))
        except OSError as error:
            raise NotWhatWasWritten(f"{manifest.items_file} cannot be read ({error.strerror})") from error
        yield file
