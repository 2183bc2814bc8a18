"""The names of a table's files: valid on every platform, distinct, and the same in every run. Pure.

public.t, main.t, t -> t        s.t -> s_t        an invalid name, or one of two tables -> name_hash
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from data_pipeline.tasks.table_list import TableName
from data_pipeline.tasks.task_directory import is_device_name

STEM_LIMIT_BYTES: Final = 200
"""The rest of 255 bytes after the longest suffix and a hash."""

_FORBIDDEN: Final = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|]')
PRELUDE: Final = "prelude.ddl"
"""The file of objects that PostgreSQL's tables share; it loads first."""

_TAKEN: Final = frozenset({"metadata", "prelude"})
"""Stems of other files of the steps: metadata_detail.md, prelude.ddl."""


def file_stems(tables: Iterable[TableName]) -> dict[TableName, str]:
    """Return the common part of the names of each table's files."""
    plain = {table: _plain(table) for table in tables}
    uses = Counter(stem.lower() for stem in plain.values())
    return {
        table: stem if uses[stem.lower()] == 1 and _can_stand(stem, table) else f"{_cut(stem)}_{_hash(table)}"
        for table, stem in plain.items()
    }


def _joined(table: TableName) -> str:
    return table.name if table.schema in (None, "public", "main") else f"{table.schema}_{table.name}"


def _plain(table: TableName) -> str:
    return _FORBIDDEN.sub("_", _joined(table)).strip(". ") or "table"


def _can_stand(stem: str, table: TableName) -> bool:
    is_itself = stem == _joined(table)
    return (
        is_itself and len(stem.encode()) <= STEM_LIMIT_BYTES and stem.lower() not in _TAKEN and not is_device_name(stem)
    )


def _cut(stem: str) -> str:
    return stem.encode()[:STEM_LIMIT_BYTES].decode(errors="ignore")


def _hash(table: TableName) -> str:
    return hashlib.sha256(str(table).encode()).hexdigest()[:8]
