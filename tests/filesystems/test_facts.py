"""What every file system of the rig must give, and the page that lists what each one gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.filesystems.facts import CALLS, IDENTITY, measure
from tests.filesystems.mounts import KINDS, Kind
from tests.power.rig import Unavailable

PAGE = Path(__file__).parents[2] / "docs" / "file-systems.md"
NEEDED = ("kept by a rename", "rename replaces", "O_EXCL", "flock", "directory fsync")
"""What is left to build on where there are neither hard links nor inode numbers that can be compared."""


@pytest.mark.filesystems
def test_file_system_has_what_moves_by_rename_need(scratch: Path, kind: Kind) -> None:
    """A rename that replaces, a name that is created once, a lock, a sync of a directory."""
    facts = {name: fact for name, fact in (IDENTITY | CALLS).items() if name in NEEDED}
    try:
        answers = measure(kind, scratch / kind.name, facts)
    except Unavailable as error:
        pytest.skip(str(error))

    assert answers == dict.fromkeys(facts, "yes")


def test_page_has_a_row_for_every_file_system_and_a_column_for_every_fact() -> None:
    """Those that the machine of the measurement cannot mount are named below the tables."""
    text = PAGE.read_text(encoding="utf-8")
    header, *rows = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)
    named = {row.split(" | ")[0] for row in rows} | set(re.findall(r"`([a-z0-9-]+)`", text))

    assert KINDS.keys() <= named
    assert header.split(" | ")[1:] == list(IDENTITY)
    assert [f"file system | {' | '.join(CALLS)}"] == [row for row in rows if row.startswith("file system |")]
