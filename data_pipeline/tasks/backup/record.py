"""Encode and decode `backup_info.json`: the five keys of the specification, then more. Opens no file.

Records of older systems have only the five keys, and their `failed_files` may be plain strings. Until a backup is
committed, the journal reserves the place of the record: the file contains the id of the transaction, then blanks.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

_RESERVED: Final = re.compile(rb'\s*\{\s*"transaction"\s*:\s*"\d{8}T\d{12}-[0-9a-f]{8}"\s*\}\s*')


class FailedFile(BaseModel):
    """A file that could not be moved. It is still in its place. `copied`: the backup has a copy of it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    file: str
    error: str = ""
    errno: int | None = None
    attempts: int = 1
    copied: bool = False


class Statistics(BaseModel):
    """The number and bytes of the moved files, the duration of the moves, and the number of repeated attempts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    files: int
    bytes: int
    seconds: float
    retries: int


class BackupRecord(BaseModel):
    """The record of a backup. `backup_time` is local, `backup_time_utc` is the same instant.

    `restored` is the name of the backup whose restore moved the current files into this one. `note` is the reason why
    the directory of an undone backup still exists.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    backup_time: str
    backup_directory: str
    moved_files: tuple[str, ...]
    failed_files: tuple[FailedFile, ...] = ()
    task_id: str
    run_id: str | None = None
    statistics: Statistics | None = None
    backup_time_utc: str | None = None
    transaction: str | None = None
    restored: str | None = None
    note: str | None = None

    @field_validator("failed_files", mode="before")
    @classmethod
    def _plain_names_too(cls, value: Any) -> Any:
        if isinstance(value, list):
            return [{"file": item} if isinstance(item, str) else item for item in value]
        return value

    @property
    def instant(self) -> datetime | None:
        """The time of the backup; None if an older record has only the local time, which is ambiguous in autumn."""
        try:
            return datetime.fromisoformat(self.backup_time_utc or "").astimezone(UTC)
        except (ValueError, OverflowError):
            return None

    @property
    def is_of_commit(self) -> bool:
        """True if a transaction wrote this record at its end; recovery leaves another one in an undone backup."""
        return self.statistics is not None and self.note is None

    def encoded(self) -> bytes:
        """Return the bytes of the file: keys in the order of the fields, without absent ones; printable names."""
        content = self.model_dump(mode="json", exclude_none=True)
        return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"


FIXED_BYTES: Final = 2_000
"""More than a record takes without its file names: keys, times, identifiers of at most 64 bytes."""

FAILED_ENTRY_BYTES: Final = 600
"""More than a failed file takes besides its name: five keys with indentation, and an error of up to 400 bytes."""


def largest_size(names: Iterable[str]) -> int:
    """Return the size in bytes that the record of a backup of these files cannot exceed, even if all of them fail."""
    return FIXED_BYTES + sum(
        FAILED_ENTRY_BYTES + (len(name) if name.isascii() and name.isprintable() else 6 * len(os.fsencode(name)))
        for name in names
    )


def is_reserved(raw: bytes) -> bool:
    """Return whether these bytes only reserve the place of a record that is not written yet."""
    return _RESERVED.fullmatch(raw) is not None


def decode_record(raw: bytes, directory: str) -> BackupRecord | None:
    """Decode the record of the backup `directory`; return None if these bytes are not its record."""
    try:
        record = BackupRecord.model_validate_json(raw)
    except ValidationError:
        return None
    return record if record.backup_directory == directory else None
