"""Bring a backup of the vector store back: all of it is read and verified before anything changes.

The lines go into the store's waiting place while the SHA-256 of the file is taken. Only when counts and checksum are
those of the manifest, everything takes its place in one transaction. Whatever is wrong, the store is as before.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

from data_pipeline.errors import BackupDamaged
from data_pipeline.vector_backup.catalogue import BackupPlace, read_manifest_of
from data_pipeline.vector_backup.record import Manifest, NotWhatWasWritten, read_line
from data_pipeline.vector_store.contract import StoreContent, StoredItem, VectorStore, check_identity
from data_pipeline.workspace import open_regular_file

LINE_LIMIT_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class Restored:
    """What a restore brought back: the store holds this, and nothing else."""

    manifest: Manifest
    content: StoreContent
    seconds: float


def restore_backup(store: VectorStore, place: BackupPlace, timestamp: str) -> Restored:
    """Put a backup in the place of everything that the store holds.

    Raises NotFound, BackupDamaged with the reason, EmbedderMismatch, StoreUnavailable; then nothing is changed.
    """
    started = time.monotonic()
    label = f"{place.relative_path}, {timestamp}"
    try:
        manifest = read_manifest_of(place, timestamp)
        check_identity(f"The backup {label}", manifest.embedder.identity, store.embedder.identity)
        with _opened(place, manifest) as file:
            content = store.replace_with(_verified(file, manifest))
    except NotWhatWasWritten as error:
        raise BackupDamaged(label, str(error)) from error
    return Restored(manifest, content, time.monotonic() - started)


def _opened(place: BackupPlace, manifest: Manifest) -> IO[bytes]:
    try:
        return open_regular_file(os.path.join(place.path, manifest.items_file))
    except OSError as error:
        raise NotWhatWasWritten(f"{manifest.items_file} cannot be read ({error.strerror})") from error


def _verified(file: IO[bytes], manifest: Manifest) -> Iterator[StoredItem]:
    """The items of a file; its end raises NotWhatWasWritten where the whole is not what the manifest says."""
    digest, size_bytes, last = hashlib.sha256(), 0, ""
    kinds: Counter[str] = Counter()
    number = 0
    while line := file.readline(LINE_LIMIT_BYTES):
        number += 1
        digest.update(line)
        size_bytes += len(line)
        try:
            stored = read_line(line, manifest.embedder.dimension)
        except NotWhatWasWritten as error:
            raise NotWhatWasWritten(f"line {number} of {manifest.items_file}: {error}") from error
        if stored.item.id <= last:
            raise NotWhatWasWritten(f"line {number} of {manifest.items_file} is there twice, or out of order")
        last = stored.item.id
        kinds[stored.item.kind] += 1
        yield stored
    if size_bytes != manifest.size_bytes or digest.hexdigest() != manifest.sha256:
        raise NotWhatWasWritten(f"the SHA-256 of {manifest.items_file} is not that of its manifest")
    if dict(kinds) != manifest.items_by_kind or number != manifest.item_count:
        raise NotWhatWasWritten(f"{manifest.items_file} holds {number} items, and not {manifest.item_count}")
