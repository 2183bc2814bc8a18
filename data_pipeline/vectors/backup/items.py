"""Read the items of a backup and verify them by its manifest. Only this module decides whether items are damaged."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import IO, Final

from data_pipeline.vectors.backup.record import Manifest, NotWhatWasWritten, read_line
from data_pipeline.vectors.store.contract import StoredItem

LINE_LIMIT_BYTES: Final = 64 * 1024 * 1024


def read_items(file: IO[bytes], manifest: Manifest) -> Iterator[StoredItem]:
    """Yield the items of a file. Raises NotWhatWasWritten if an item or, at the end, the file is damaged."""
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
            raise NotWhatWasWritten(f"line {number} of {manifest.items_file} is a duplicate, or out of order")
        last = stored.item.id
        kinds[stored.item.kind] += 1
        yield stored
    if size_bytes != manifest.size_bytes or digest.hexdigest() != manifest.sha256:
        raise NotWhatWasWritten(f"the SHA-256 of {manifest.items_file} differs from the manifest")
    if dict(kinds) != manifest.items_by_kind or number != manifest.item_count:
        raise NotWhatWasWritten(f"{manifest.items_file}: expected {manifest.item_count} items, got {number}")
