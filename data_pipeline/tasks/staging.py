"""Files that are written where no reader sees them, and published later by one transaction of the task directory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol


class StagedFile(NamedTuple):
    """A file that is written and not yet published: its final name, its SHA-256 in hex, its size."""

    name: str
    sha256: str
    size_bytes: int


class Staging(Protocol):
    """The place of staged files: `workspace.WorkFolder`, or memory in tests. Callable from any thread."""

    def write(self, name: str, content: str | bytes) -> StagedFile:
        """Write a file (text as UTF-8); replace the one that an earlier attempt left. Raises DirectoryUnusable."""

    def write_chunks(self, name: str, chunks: Iterable[bytes]) -> StagedFile:
        """Write a file that need not fit into memory. If the iteration raises, no file is left."""

    def has(self, file: StagedFile) -> bool:
        """Return whether this very file is here: a power failure may have followed the record of it."""
