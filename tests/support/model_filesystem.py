"""A file system in memory that knows what would survive a power loss.

It keeps the volatile state, as the kernel shows it, and the log of all name changes since the start, with what was
synced when. `power_losses` then gives every durable state that a kind of file system may be left with:

    M1  one global prefix of the log; any sync forces everything before it (ext4, xfs)
    M2  a global prefix that no sync forces, but a synced directory is ahead of it (btrfs)
    M3  each directory keeps a prefix of its own log, at least up to its last sync
    M4  each name keeps a prefix of its own log, at least up to its directory's last sync

File content is apart from all of them: what was not synced may be kept, lost or torn.
Inode numbers are reused as soon as they are free, as ext4 does.

A file that is put under a name in `immovable` can be neither linked nor renamed, as immutable files. Without
`has_links` the disk knows no hard links, as exfat.
Calls that change something are counted; `on_call` sees each before it happens and may raise, to die or to fail,
or do what a stranger would do. `on_look` sees each look and scan likewise, so that a stranger can act between any two
calls. After `Died` every further call dies too: a dead process runs no `finally`.
"""

from __future__ import annotations

import errno
import io
import itertools
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import NamedTuple

from journal.filesystem import Directory
from journal.values import Identity, Type

MODELS = ("M1", "M2", "M3", "M4")


class Died(BaseException):
    """The process was killed, or the plug pulled."""


@dataclass
class Node:
    """An inode: entries for a directory, content for a file, `synced` what of the content is durable."""

    type: Type
    content: bytes = b""
    synced: bytes | None = None
    mtime_ns: int = 0
    entries: dict[str, int] = field(default_factory=dict)
    is_immovable: bool = False
    is_dropped: bool = False
    """A failed sync marked the pages clean: the next sync succeeds and does nothing."""


class OpenDirectory(Directory):
    """An open directory; the disk goes by `number`, as the kernel by a descriptor, whatever `inode` shows."""

    __slots__ = ("number",)

    def __init__(self, path: str, number: int) -> None:
        super().__init__(path, number)
        self.number = number


class Change(NamedTuple):
    """One entry of the log: a name of a directory now stands for an inode, or for nothing."""

    directory: int
    name: str
    inode: int | None


Hook = Callable[[int, str, str], None]
"""Called with the number of the call, its verb and the name it is about."""

LookHook = Callable[[int, str], None]
"""Called with the number of the look and what it is at."""


class ModelFilesystem:
    """The door to this disk; see journal.filesystem.Filesystem for the verbs."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {2: Node("directory")}
        self.on_call: Hook | None = None
        self.on_look: LookHook | None = None
        self.calls = 0
        self.looks = 0
        self.syncs = 0
        self.area = "one"
        self.immovable: frozenset[str] = frozenset()
        self.has_links = True
        self._is_dead = False
        self._clock = 0
        self._base: dict[int, dict[str, int]] = {2: {}}
        self._log: list[tuple[Change, ...]] = []  # a rename is one entry of two changes
        self._forced = 0  # length of the log at the last sync of anything
        self._synced_at: dict[int, int] = {}  # directory -> length of the log at its last sync

    # ---- for tests: build, look, break ------------------------------------------------------------------------

    def put(self, path: str, content: bytes | None = None) -> int:
        """Make a directory (no content) or write a file, as anybody may; returns its inode."""
        parent, name = self._parent(path)
        if content is None:
            return self._make(parent, name, Node("directory"))
        existing = self.nodes[parent].entries.get(name)
        if existing is None:
            node = Node("file", content, mtime_ns=self._now(), is_immovable=name in self.immovable)
            return self._make(parent, name, node)
        node = self.nodes[existing]
        node.content, node.mtime_ns = content, self._now()
        return existing

    def save_over(self, path: str, content: bytes) -> None:
        """Replace a file as editors do: write a new one, rename it over the old."""
        parent, name = self._parent(path)
        inode = self._make(parent, name + "~", Node("file", content, mtime_ns=self._now()))
        self._change(Change(parent, name + "~", None), Change(parent, name, inode))

    def remove(self, path: str) -> None:
        """Remove a file, as anybody may."""
        parent, name = self._parent(path)
        self._change(Change(parent, name, None))

    def sync_all(self) -> None:
        """Make everything durable; the log starts afresh."""
        self._base = {number: dict(node.entries) for number, node in self.nodes.items() if node.type == "directory"}
        self._log, self._synced_at, self._forced = [], {}, 0
        for node in self.nodes.values():
            node.synced, node.is_dropped = node.content, False

    def tree(self, path: str = "/") -> dict[str, bytes | None]:
        """Every path below `path` with its content, None for directories."""
        top = self._resolve(path)
        found: dict[str, bytes | None] = {}
        pending = [(top, "")]
        while pending:
            directory, prefix = pending.pop()
            for name, number in self.nodes[directory].entries.items():
                node = self.nodes[number]
                found[prefix + name] = None if node.type == "directory" else node.content
                if node.type == "directory":
                    pending.append((number, prefix + name + "/"))
        return found

    def revive(self) -> None:
        """A new process on the state that a killed one left."""
        self._is_dead, self.on_call, self.on_look, self.calls, self.looks = False, None, None, 0, 0

    def clone(self) -> ModelFilesystem:
        """An independent copy, alive."""
        other = ModelFilesystem()
        other.nodes = deepcopy(self.nodes)
        other._base = self._base
        other._log = list(self._log)
        other._forced, other._synced_at = self._forced, dict(self._synced_at)
        other._clock = self._clock
        other.immovable, other.has_links = self.immovable, self.has_links
        return other

    def power_losses(self, model: str) -> Iterator[ModelFilesystem]:
        """Every state that the disk may be in when the power comes back, each once."""
        seen = set()
        for entries in self._surviving_entries(model):
            for keep in ("all", "half", "none"):
                survivor = self._survivor(entries, keep)
                key = survivor.key()
                if key not in seen:
                    seen.add(key)
                    yield survivor

    def key(self) -> tuple[object, ...]:
        """What distinguishes two disks that were just synced."""
        return tuple(sorted((n, v.type, v.content, tuple(sorted(v.entries.items()))) for n, v in self.nodes.items()))

    def _surviving_entries(self, model: str) -> Iterator[dict[int, dict[str, int]]]:
        end = len(self._log)
        if model in ("M1", "M2"):
            for cut in range(self._forced if model == "M1" else 0, end + 1):
                ahead = self._synced_at if model == "M2" else {}
                yield self._replay(
                    {(number, ""): max(cut, ahead.get(number, 0)) for number in self.nodes}, per_name=False
                )
            return

        changes_of: dict[tuple[int, str], list[int]] = {}
        for at, group in enumerate(self._log):
            for change in group:
                owner = (change.directory, change.name if model == "M4" else "")
                changes_of.setdefault(owner, []).append(at + 1)
        choices = []
        for (directory, _), ends in changes_of.items():
            durable = self._synced_at.get(directory, 0)
            choices.append(sorted({durable, *(at for at in ends if at > durable)}))
        for cuts in itertools.product(*choices):
            yield self._replay(dict(zip(changes_of, cuts, strict=True)), per_name=model == "M4")

    def _replay(self, cuts: dict[tuple[int, str], int], *, per_name: bool) -> dict[int, dict[str, int]]:
        """The entries of every directory when each keeps its changes up to its cut."""
        entries = {number: dict(names) for number, names in self._base.items()}
        for at, group in enumerate(self._log):
            for change in group:
                if at < cuts[change.directory, change.name if per_name else ""]:
                    names = entries.setdefault(change.directory, {})
                    names.pop(change.name, None)
                    if change.inode is not None:
                        names[change.name] = change.inode
        return entries

    def _survivor(self, entries: dict[int, dict[str, int]], keep: str) -> ModelFilesystem:
        other = ModelFilesystem()
        other.nodes = {}
        pending = [2]
        while pending:
            number = pending.pop()
            node = self.nodes[number]
            if number in other.nodes:
                continue
            if node.type == "directory":
                names = entries.get(number, {})
                other.nodes[number] = Node("directory", entries=dict(names))
                pending.extend(names.values())
            else:
                content = self._surviving_content(node, keep)
                other.nodes[number] = Node(node.type, content, mtime_ns=node.mtime_ns, is_immovable=node.is_immovable)
        other._clock = self._clock + 1
        other.immovable, other.has_links = self.immovable, self.has_links
        other.sync_all()
        return other

    def _surviving_content(self, node: Node, keep: str) -> bytes:
        synced = node.synced or b""
        if keep == "all" or node.content == synced:
            return node.content
        if keep == "none":
            return synced
        pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(synced, node.content, strict=False))
        same = sum(1 for _ in pairs)  # what did not change cannot tear
        return node.content[: same + (len(node.content) - same) // 2]

    # ---- the verbs --------------------------------------------------------------------------------------------

    def open_directory(self, path: str) -> Directory:
        self._read()
        number = self._resolve(path)
        if self.nodes[number].type != "directory":
            raise _error(errno.ENOTDIR, path)
        return OpenDirectory(path, number)

    def open_subdirectory(self, parent: Directory, name: str) -> Directory:
        self._read()
        return self.open_directory(os.path.join(parent.path, name))

    def close(self, directory: Directory) -> None:
        self._read()

    def mount(self, directory: Directory) -> str:
        self._read()
        return self.area

    def look(self, directory: Directory, name: str) -> Identity | None:
        self._before_look(f"look {name}")
        number = self._of(directory).entries.get(name)
        if number is None:
            return None
        node = self.nodes[number]
        return Identity(number, node.type, len(node.content), node.mtime_ns)

    def scan(self, directory: Directory) -> Iterator[tuple[str, Identity]]:
        self._before_look("scan")
        for name, number in list(self._of(directory).entries.items()):
            yield name, Identity(number, self.nodes[number].type)

    def scan_inodes(self, directory: Directory) -> Iterator[tuple[str, int]]:
        for name, identity in self.scan(directory):
            yield name, identity.inode

    def read(self, directory: Directory, name: str) -> bytes:
        self._read()
        return self._file(directory, name).content

    def read_lines(self, directory: Directory, name: str) -> Generator[bytes, None, None]:
        yield from io.BytesIO(self.read(directory, name))

    def is_prefix(self, directory: Directory, name: str, whole: Directory, whole_name: str) -> bool:
        return self.read(whole, whole_name).startswith(self.read(directory, name))

    def make_directory(self, parent: Directory, name: str, *, is_private: bool) -> None:
        self._call("make_directory", name)
        self._refuse_taken(parent, name)
        self._make(_number(parent), name, Node("directory"))

    def remove_directory(self, parent: Directory, name: str) -> None:
        self._call("remove_directory", name)
        if self._node(parent, name).entries:
            raise _error(errno.ENOTEMPTY, name)
        self._change(Change(_number(parent), name, None))

    def remove_tree(self, parent: Directory, name: str) -> None:
        found = self.look(parent, name)
        if found is None:
            return
        if found.type == "directory":
            inside = self.open_subdirectory(parent, name)
            for inner, _ in list(self.scan(inside)):
                self.remove_tree(inside, inner)
            self.remove_directory(parent, name)
        else:
            self.unlink(parent, name)

    def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        self._call("link", name)
        if not self.has_links:
            raise _error(errno.ENOTSUP, name)
        node = self._node(source, name)
        if node.type == "directory" or node.is_immovable:
            raise _error(errno.EPERM, name)
        self._refuse_taken(target, new_name)
        self._change(Change(_number(target), new_name, self._of(source).entries[name]))

    def rename(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        self._call("rename", name)
        if self._node(source, name).is_immovable:
            raise _error(errno.EPERM, name)
        self._refuse_taken(target, new_name)
        number = self._of(source).entries[name]
        self._change(Change(_number(source), name, None), Change(_number(target), new_name, number))

    def replace(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        self._call("replace", name)
        if self._node(source, name).is_immovable:
            raise _error(errno.EPERM, name)
        number = self._of(source).entries[name]
        if self._of(target).entries.get(new_name) != number:  # between two links to one file nothing happens
            self._change(Change(_number(source), name, None), Change(_number(target), new_name, number))

    def unlink(self, directory: Directory, name: str) -> bool:
        self._call("unlink", name)
        if name not in self._of(directory).entries:
            return False
        self._change(Change(_number(directory), name, None))
        return True

    def create(self, directory: Directory, name: str, chunks: Iterable[bytes]) -> None:
        self._call("create", name)
        self._refuse_taken(directory, name)
        number = self._make(_number(directory), name, Node("file", mtime_ns=self._now()))
        self._write(self.nodes[number], 0, b"".join(chunks), name)

    def reserve(self, directory: Directory, name: str, content: bytes, size_bytes: int) -> None:
        self.create(directory, name, [content])

    def fill(self, directory: Directory, name: str, content: bytes) -> None:
        self._call("fill", name)
        node = self._file(directory, name)
        self._write(node, 0, content, name)
        node.content = node.content[: len(content)]

    def copy(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        node = self._file(source, name)
        self.create(target, new_name, [node.content])
        self._file(target, new_name).mtime_ns = node.mtime_ns

    def write_at(self, directory: Directory, name: str, offset_bytes: int, content: bytes, *, truncate: bool) -> None:
        self._call("write_at", name)
        node = self._file(directory, name)
        if truncate:
            node.content = node.content[:offset_bytes]
        self._write(node, offset_bytes, content, name)

    def sync_file(self, directory: Directory, name: str) -> None:
        node = self._file(directory, name)
        try:
            self._call("sync_file", name)
        except OSError:
            node.is_dropped = True
            raise
        self.syncs += 1
        self._forced = len(self._log)
        if not node.is_dropped:
            node.synced = node.content

    def sync_directory(self, directory: Directory) -> None:
        self._call("sync_directory", os.path.basename(directory.path))
        self._of(directory)
        self.syncs += 1
        self._forced = self._synced_at[_number(directory)] = len(self._log)

    # ---- inside -----------------------------------------------------------------------------------------------

    def _read(self) -> None:
        if self._is_dead:
            raise Died

    def _before_look(self, what: str) -> None:
        self._read()
        self.looks += 1
        if self.on_look is not None:
            self.on_look(self.looks - 1, what)

    def _call(self, verb: str, name: str) -> None:
        self._read()
        number, self.calls = self.calls, self.calls + 1
        if self.on_call is None:
            return
        try:
            self.on_call(number, verb, name)
        except Died:
            self._is_dead = True
            raise

    def _write(self, node: Node, offset: int, content: bytes, name: str) -> None:
        """In two halves, so that a process can die in between."""
        half = len(content) // 2
        node.is_dropped = False
        node.content = node.content[:offset] + content[:half] + node.content[offset + half :]
        node.mtime_ns = self._now()
        self._call("write", name)
        node.content = node.content[:offset] + content + node.content[offset + len(content) :]

    def _change(self, *changes: Change) -> None:
        for change in changes:
            entries = self.nodes[change.directory].entries
            entries.pop(change.name, None)
            if change.inode is not None:
                entries[change.name] = change.inode
        self._log.append(changes)

    def _make(self, parent: int, name: str, node: Node) -> int:
        number = self._free_number()
        self.nodes[number] = node
        self._change(Change(parent, name, number))
        return number

    def _free_number(self) -> int:
        """The lowest number that nothing stands for, now or in any state that may come back."""
        named = {number for node in self.nodes.values() for number in node.entries.values()}
        named |= {number for names in self._base.values() for number in names.values()}
        named |= {change.inode for group in self._log for change in group if change.inode is not None}
        return next(number for number in itertools.count(3) if number not in named)

    def _now(self) -> int:
        self._clock += 1
        return self._clock

    def _parent(self, path: str) -> tuple[int, str]:
        directory, name = os.path.split(path)
        return self._resolve(directory), name

    def _resolve(self, path: str) -> int:
        number = 2
        for part in path.split("/"):
            if part:
                entries = self.nodes[number].entries
                if part not in entries:
                    raise _error(errno.ENOENT, path)
                number = entries[part]
        return number

    def _of(self, directory: Directory) -> Node:
        return self.nodes[_number(directory)]

    def _node(self, directory: Directory, name: str) -> Node:
        entries = self._of(directory).entries
        if name not in entries:
            raise _error(errno.ENOENT, name)
        return self.nodes[entries[name]]

    def _file(self, directory: Directory, name: str) -> Node:
        self._read()
        return self._node(directory, name)

    def _refuse_taken(self, directory: Directory, name: str) -> None:
        if name in self._of(directory).entries:
            raise _error(errno.EEXIST, name)


def _number(directory: Directory) -> int:
    assert isinstance(directory, OpenDirectory)
    return directory.number


def _error(number: int, name: str) -> OSError:
    return OSError(number, os.strerror(number), name)
