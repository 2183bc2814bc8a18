"""Write all items of a vector store into two staged files, which the caller publishes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from data_pipeline.tasks import task_directory
from data_pipeline.tasks.staging import StagedFile, Staging
from data_pipeline.vectors.backup.record import FORMAT, MadeBy, Manifest, line_of
from data_pipeline.vectors.store.contract import VectorStore


@dataclass(frozen=True)
class VectorBackup:
    """A staged backup: its manifest, and its files."""

    manifest: Manifest
    files: tuple[StagedFile, StagedFile]


def write_backup(
    store: VectorStore,
    staging: Staging,
    *,
    now: datetime,
    task_id: str | None,
    taken: Collection[str],
    progress: Callable[[int], None] = lambda _: None,
) -> VectorBackup:
    """Write a backup of a store as it is at one moment. `now` is local and aware, `taken` are existing names.

    `progress` is called with the number of written items. Raises StoreUnavailable, DirectoryUnusable.
    """
    stamps = set(map(task_directory.vector_timestamp_in, taken))
    while f"{now:%Y%m%d_%H%M%S}" in stamps:
        now += timedelta(seconds=1)
    timestamp = f"{now:%Y%m%d_%H%M%S}"
    kinds: Counter[str] = Counter()
    tasks: set[str] = set()

    def lines() -> Iterator[bytes]:
        for number, stored in enumerate(store.dump(), start=1):
            kinds[stored.item.kind] += 1
            tasks.update(task for task, _ in stored.holders)
            yield line_of(stored)
            if number % 500 == 0:
                progress(number)

    items = staging.write_chunks(task_directory.vector_items_name(timestamp), lines())
    identity = store.embedder.identity
    manifest = Manifest(
        format=FORMAT,
        timestamp=timestamp,
        created_at=now.isoformat(timespec="seconds"),
        task_id=task_id,
        items_file=items.name,
        sha256=items.sha256,
        size_bytes=items.size_bytes,
        item_count=kinds.total(),
        items_by_kind=dict(sorted(kinds.items())),
        task_count=len(tasks),
        embedder=MadeBy(name=identity.name, version=identity.version, dimension=identity.dimension),
    )
    return VectorBackup(
        manifest, (items, staging.write(task_directory.vector_manifest_name(timestamp), manifest.sealed()))
    )
