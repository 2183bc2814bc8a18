"""Encode and decode the files that are written about a backup later: a note, and checksums. Opens no file.

A backup never changes, so both are separate files in `backup_manifests/`, sealed, and bound to their backup by the
transaction that created it, so that a later backup of the same name does not inherit them.
"""

from __future__ import annotations

import base64
import os
import re
from datetime import datetime
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data_pipeline.errors import InvalidInput
from data_pipeline.tasks.backup.record import BackupRecord
from data_pipeline.tasks.sealed import seal, unsealed
from journal import printable

FORMAT: Final = 1
NOTE_LIMIT_CHARACTERS: Final = 2_000
NOTE_PATTERN: Final = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"
"""The pattern of a valid note, for the description of the API. Control characters could change a terminal."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def maker_of(record: BackupRecord | None) -> str:
    """Return the identity of a backup among those of its name: its transaction, or the time in older records."""
    return "" if record is None else record.transaction or record.backup_time


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    backup: str
    maker: str

    def encode(self) -> bytes:
        """Return the bytes of its file."""
        return seal(self.model_dump(mode="json", exclude_none=True))

    @classmethod
    def decode(cls, raw: bytes, backup: str, record: BackupRecord | None) -> Self | None:
        """Return the manifest; None if the file was changed, or belongs to another backup."""
        content = unsealed(raw)
        try:
            manifest = cls.model_validate(content) if content is not None else None
        except ValidationError:
            return None
        if manifest is None or manifest.format != FORMAT or manifest.backup != backup:
            return None
        return manifest if manifest.maker == maker_of(record) else None


class BackupNote(_Manifest):
    """A note about a backup."""

    note: str
    noted_at: datetime


class FileChecksum(BaseModel):
    """A regular file of a backup: its size in bytes, its SHA-256 in hex, `raw_name` if its name is not UTF-8."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    raw_name: Annotated[str, Field(description="the bytes in base64")] | None = None
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, name: str, size_bytes: int, sha256: str) -> Self:
        """Return the entry of a file with this name of the system."""
        shown = printable(name)
        raw_name = None if shown == name else base64.b64encode(os.fsencode(name)).decode()
        return cls(name=shown, raw_name=raw_name, size_bytes=size_bytes, sha256=sha256)

    @property
    def system_name(self) -> str:
        """The name of the system."""
        return self.name if self.raw_name is None else os.fsdecode(base64.b64decode(self.raw_name))


class ChecksumManifest(_Manifest):
    """The checksums of all regular files of a backup, its record included."""

    recorded_at: datetime
    files: tuple[FileChecksum, ...]


def check_note(note: str) -> str:
    """Return the note without surrounding blanks. Raises InvalidInput if it is empty, too long or not text."""
    stripped = note.strip()
    problems: list[str] = []
    if not stripped:
        problems.append("must not be empty")
    if len(stripped) > NOTE_LIMIT_CHARACTERS:
        problems.append(f"must have at most {NOTE_LIMIT_CHARACTERS:,} characters")
    if _CONTROL.search(note):
        problems.append("must not contain control characters")
    if problems:
        raise InvalidInput("note", *problems)
    return stripped
