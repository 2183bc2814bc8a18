"""The transaction that most tests run on a real disk: a backup of a directory's files."""

from __future__ import annotations

import os

from journal import LockedDirectory, Outcome
from tests.support.scenarios import record


def make_files(path: str | os.PathLike[str], *names: str) -> None:
    """Write files whose content is their name."""
    os.makedirs(path, exist_ok=True)
    for name in names:
        with open(os.path.join(path, name), "wb") as file:
            file.write(os.fsencode(name))


def back_up(directory: LockedDirectory, name: str = "bak") -> Outcome:
    """Move every file of the directory into a new backup directory, with a record."""
    transaction = directory.transaction("backup", on_error="continue")
    backup = transaction.make_directory(name, next_free=True)
    for entry, identity in directory.scan():
        if identity.type != "directory":
            transaction.move(entry, backup, copy_on_failure=True, seen=identity)
    transaction.create(backup, "backup_info.json", record)
    return transaction.commit()


def names_in(path: str | os.PathLike[str]) -> list[str]:
    """The entries of a directory, sorted."""
    return sorted(os.listdir(path))


def content_of(path: str | os.PathLike[str]) -> bytes:
    """A file's bytes."""
    with open(path, "rb") as file:
        return file.read()
