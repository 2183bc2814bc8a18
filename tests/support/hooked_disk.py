"""The real disk with a hook before its calls: to fail one, to fail from one on, or to die at one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection
from typing import Any, Final

from journal import LocalFilesystem

CHANGES: Final = frozenset({
    "make_directory", "remove_directory", "remove_tree", "link", "rename", "replace", "unlink", "create", "reserve",
    "fill", "copy", "write_at", "sync_file", "sync_directory",
})  # fmt: skip
READS: Final = frozenset({"open_directory", "open_subdirectory", "look", "scan", "scan_inodes", "read", "is_prefix"})

Hook = Callable[[int, str, tuple[Any, ...]], None]


class Died(BaseException):
    """The process is dead: nothing it does any more reaches the disk."""


class HookedDisk(LocalFilesystem):
    """Calls `hook(number, verb, arguments)` before each call of `verbs`; `calls` is how many there were."""

    def __init__(self, hook: Hook, verbs: Collection[str] = CHANGES) -> None:
        super().__init__()
        self.hook = hook
        self.verbs = verbs
        self.calls = 0

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or name not in super().__getattribute__("verbs"):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            self.hook(self.calls, name, arguments)
            return found(*arguments, **named)

        return call


def nothing(number: int, verb: str, arguments: tuple[Any, ...]) -> None:
    """Let every call pass, to count them."""


def failing_once(at: int, number: int = errno.EIO) -> Hook:
    """Fail the call of this number."""

    def hook(call: int, verb: str, arguments: tuple[Any, ...]) -> None:
        if call == at:
            raise OSError(number, os.strerror(number), *[item for item in arguments if isinstance(item, str)][:1])

    return hook


def failing_from(at: int, number: int = errno.EIO) -> Hook:
    """Fail this call and all later ones: the disk is dying."""

    def hook(call: int, verb: str, arguments: tuple[Any, ...]) -> None:
        if call >= at:
            raise OSError(number, os.strerror(number), *[item for item in arguments if isinstance(item, str)][:1])

    return hook


def dying_at(at: int) -> Hook:
    """Die at this call: it and all later ones change nothing."""

    def hook(call: int, verb: str, arguments: tuple[Any, ...]) -> None:
        if call >= at:
            raise Died

    return hook


def dying_at_verb(deadly: str) -> Hook:
    """Die at the first call of a verb."""
    is_dead = False

    def hook(call: int, verb: str, arguments: tuple[Any, ...]) -> None:
        nonlocal is_dead
        is_dead = is_dead or verb == deadly
        if is_dead:
            raise Died

    return hook


class UnsyncedCommit:
    """A hook that fails the sync of a commit record: of every journal whose label holds `label`.

    With `lasting` the disk stays so, and recovery cannot settle it until `is_broken` is False again.
    """

    def __init__(self, *, nth: int = 1, lasting: bool = False) -> None:
        self.nth = nth
        self.lasting = lasting
        self.is_broken = False
        self._appended = 0

    def __call__(self, call: int, verb: str, arguments: tuple[Any, ...]) -> None:
        name = next((item for item in arguments if isinstance(item, str)), "")
        if verb == "write_at" and name.endswith(".journal") and not self.is_broken:
            self._appended += 1
            self.is_broken = self._appended == self.nth
        elif verb == "sync_file" and name.endswith(".journal") and self.is_broken:
            self.is_broken = self.lasting
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
