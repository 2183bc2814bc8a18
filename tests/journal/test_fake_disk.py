"""Permission failures as a user meets them, on a fake disk under another user id (flock does nothing there)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from pyfakefs.fake_filesystem_unittest import Patcher
from pyfakefs.helpers import reset_ids, set_uid

from journal import LocalFilesystem, TransactionFailed, lock_directory
from journal.filesystem import rename_by_placeholder
from tests.support.backup import back_up, make_files, names_in
from tests.support.scenarios import NoLock

TASK = "/data/task"


@pytest.fixture
def disk() -> Iterator[LocalFilesystem]:
    """Return a fake disk that is used by paths, because the platform's rename would reach the real disk."""
    with Patcher():
        os.makedirs("/data")
        make_files(TASK, "a", "b")
        yield LocalFilesystem(by_descriptor=False, exclusive_rename=rename_by_placeholder)
        reset_ids()


def test_backup_on_a_fake_disk_moves_every_file(disk: LocalFilesystem) -> None:
    """The door works by paths as well as by descriptors."""
    with lock_directory(TASK, label="test", filesystem=disk, lock_factory=NoLock) as directory:
        outcome = back_up(directory)

    assert outcome.failures == []
    assert names_in(f"{TASK}/bak") == ["a", "b", "backup_info.json"]


def test_directory_without_write_permission_leaves_everything_in_place(disk: LocalFilesystem) -> None:
    """No backup directory can be created: this is reported, and nothing is changed."""
    lock_directory(TASK, label="first", filesystem=disk, lock_factory=NoLock).release()
    os.chmod(TASK, 0o555)
    for path in ("/data/.journal", "/data/.journal/task"):
        os.chmod(path, 0o777)
    set_uid(1000)
    with (
        lock_directory(TASK, label="test", filesystem=disk, lock_factory=NoLock) as directory,
        pytest.raises(TransactionFailed, match="Permission"),
    ):
        back_up(directory)

    reset_ids()
    assert names_in(TASK) == ["a", "b"]


def test_copy_that_does_not_fit_is_refused_and_leaves_nothing() -> None:
    """The free space of a disk of 40 MiB, of which 2 MiB stay reserved."""
    with Patcher() as patched:
        assert patched.fs is not None
        patched.fs.set_disk_usage(40 << 20)
        disk = LocalFilesystem(by_descriptor=False, exclusive_rename=rename_by_placeholder)
        os.mkdir("/data")
        with open("/data/file", "wb") as file:
            file.write(b"x" * (19 << 20))
        here = disk.open_directory("/data")
        disk.copy(here, "file", here, "fits")
        with pytest.raises(OSError, match=r"19.0 MiB needed, 2.0 MiB free, of which 2.0 MiB stay reserved"):
            disk.copy(here, "file", here, "copy")

        assert names_in("/data") == ["file", "fits"]
