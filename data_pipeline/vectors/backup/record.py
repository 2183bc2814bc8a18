r"""Encode and decode the files of a backup of the vector store. Opens no file.

vectors_20250121_094400.jsonl           one item per line, in the order of the ids:
{"id": "<sha-256>", "kind": "sql", "database": "shop", "content": "...", "vector": "<base64, float32>",
"holders": [{"task_id": "task_1", "file": "qs_pair.json", "details": {}}]}
vectors_20250121_094400_manifest.json   counts, the SHA-256 of the other file, the embedder; sealed
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from data_pipeline.tasks.sealed import seal, unsealed
from data_pipeline.vectors.embedding.contract import EmbedderIdentity
from data_pipeline.vectors.store.contract import Holding, Item, Kind, StoredItem

if TYPE_CHECKING:
    from data_pipeline.vectors.embedding.contract import Vector

FORMAT: Final = 1


class NotWhatWasWritten(ValueError):
    """A manifest or a line differs from what this module writes."""


class ManifestMissing(NotWhatWasWritten):
    """The items of a backup exist, but not its manifest."""


class MadeBy(BaseModel):
    """The embedder of the vectors in a backup."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int
    dimension: int

    @property
    def identity(self) -> EmbedderIdentity:
        """The same as a value of the store."""
        return EmbedderIdentity(self.name, self.version, self.dimension)


class Manifest(BaseModel):
    """The manifest of a backup. `created_at` has a time zone, `timestamp` is the same in local time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    timestamp: str
    created_at: str
    task_id: str | None
    items_file: str
    sha256: str
    size_bytes: int
    item_count: int
    items_by_kind: dict[str, int]
    task_count: int
    embedder: MadeBy

    @property
    def instant(self) -> datetime | None:
        """The time of the backup; None if `created_at` is not a time with a zone."""
        try:
            time = datetime.fromisoformat(self.created_at)
        except ValueError:
            return None
        return time if time.tzinfo is not None else None

    def sealed(self) -> bytes:
        """Return the bytes of the file."""
        return seal(self.model_dump())


def read_manifest(raw: bytes) -> Manifest:
    """Decode a manifest. Raises NotWhatWasWritten."""
    content = unsealed(raw)
    if content is None:
        raise NotWhatWasWritten("its manifest was changed, or is not a manifest")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError:
        raise NotWhatWasWritten("its manifest was written by another program") from None
    if manifest.format != FORMAT:
        raise NotWhatWasWritten(f"unknown format: expected {FORMAT}, got {manifest.format}")
    return manifest


class _Holder(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    task_id: str
    file: str
    details: dict[str, Any]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    kind: Kind
    database: str
    content: str
    vector: str
    holders: list[_Holder]


def line_of(stored: StoredItem) -> bytes:
    """Encode an item as a line."""
    holders = [
        {"task_id": task_id, "file": holding.file, "details": dict(holding.details)}
        for task_id, holding in stored.holders
    ]
    item = stored.item
    line: Mapping[str, Any] = {
        "id": item.id,
        "kind": item.kind,
        "database": item.database,
        "content": item.content,
        "vector": base64.b64encode(np.ascontiguousarray(stored.vector, "<f4").tobytes()).decode(),
        "holders": holders,
    }
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def read_line(raw: bytes, dimension: int) -> StoredItem:
    """Decode the item in a line. Raises NotWhatWasWritten."""
    try:
        line = _Line.model_validate_json(raw)
        vector: Vector = np.frombuffer(base64.b64decode(line.vector, validate=True), "<f4")
    except (ValidationError, binascii.Error, ValueError):
        raise NotWhatWasWritten("not an item") from None
    item = Item(line.kind, line.database, line.content)
    if item.id != line.id:
        raise NotWhatWasWritten("its content does not match its id")
    if len(vector) != dimension or not np.isfinite(vector).all():
        raise NotWhatWasWritten(f"its vector must have {dimension} finite numbers")
    if not line.holders:
        raise NotWhatWasWritten("it has no holders")
    holders = [(holder.task_id, Holding(item.id, holder.file, holder.details)) for holder in line.holders]
    return StoredItem(item, vector, holders)
