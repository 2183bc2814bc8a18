"""The values that all modules of this package share: names, folders, identities, operations; opens no file."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel

Root = Literal["directory", "state"]
Type = Literal["file", "directory", "symlink", "fifo", "socket", "block", "character"]
Policy = Literal["continue", "rollback"]

NO_INODE: Final = 0
"""Announced where the file system has no inode numbers that identify a file; see journal.names_only."""

_NOT_NAMES: Final = frozenset({"", ".", ".."})


def printable(name: str) -> str:
    """Return a name as valid text for people: each byte that is not UTF-8 becomes an escape of four characters."""
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        raw = name.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


def is_name(name: str) -> bool:
    """True if `name` can be one directory entry, spelled as the system spells it: no slash, no NUL, not . or .. ."""
    return name not in _NOT_NAMES and "/" not in name and "\0" not in name and is_spelled_once(name)


def is_path(path: str) -> bool:
    """True if `path` can be a path below a root: names with slashes between them, or "" for the root itself."""
    return not path or (_NOT_NAMES.isdisjoint(path.split("/")) and "\0" not in path and is_spelled_once(path))


def is_spelled_once(text: str) -> bool:
    """True if text has the one spelling that the system gives its bytes: surrogates only for bytes outside UTF-8."""
    if text.isascii():
        return True
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") == text
    except UnicodeEncodeError:
        return False


class Holder(BaseModel, frozen=True):
    """The process that holds, or last held, a directory. For messages only: the lock decides.

    `pid` and `host` name the process, `since` is the time of its lock (UTC), `label` is what it gave `lock_directory`.
    """

    pid: int
    host: str
    since: datetime
    label: str

    def __str__(self) -> str:
        return f"{self.label!r} (process {self.pid} on {self.host}, since {self.since:%Y-%m-%d %H:%M:%S} UTC)"


class Folder(NamedTuple):
    """A folder that transactions work in, such as `Folder("directory", "archive/2025")`.

    `root` is "directory" (the locked directory) or "state" (its state directory). `path` is the path below that root,
    with slashes between its parts; "", the default, is the root itself.
    """

    root: Root
    path: str = ""

    def place(self, name: str) -> str:
        """Return the path of `name` in this folder, relative to the root."""
        return f"{self.path}/{name}" if self.path else name

    def __str__(self) -> str:
        return f"{self.root}:{self.path}"


DIRECTORY: Final[Folder] = Folder("directory")
"""The folder that is the locked directory itself."""

STATE: Final[Folder] = Folder("state")
"""The folder that is the state directory itself."""


class Identity(NamedTuple):
    """The identity of the file that was seen under a name.

    `inode` is 0 where numbers identify nothing. `size` (bytes) and `mtime_ns` (nanoseconds since 1970) are None where
    only a scan saw the file, because a scan does not read them.
    """

    inode: int
    type: Type
    size: int | None = None
    mtime_ns: int | None = None

    def is_same(self, other: Identity | Move) -> bool:
        """True if inode and type are equal; size and mtime may change while a file is moved."""
        return self.inode == other.inode and self.type == other.type


class Move(NamedTuple):
    """One file leaves `source` and appears in `destination`; size and mtime are set for staged files."""

    source: Folder
    source_name: str
    destination: Folder
    destination_name: str
    inode: int
    type: Type
    size: int | None = None
    mtime_ns: int | None = None
    copy_on_failure: bool = False

    @property
    def identity(self) -> Identity:
        """The announced identity."""
        return Identity(self.inode, self.type, self.size, self.mtime_ns)

    def is_same(self, other: Identity | Move) -> bool:
        """True if the announced file is the other one; see `Identity.is_same`."""
        return (self.inode, self.type) == (other.inode, other.type)


class Create(NamedTuple):
    """A file that the transaction writes itself into a directory it made; its content names the transaction.

    `if_kept` is the text to write instead when a recovery has to leave files in that directory.
    """

    destination: Folder
    destination_name: str
    if_kept: str | None = None


Operation = Move | Create
