"""Judge a directory and a message without trusting the package: names and bytes alone count."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

PROBE = ".journal-probe"
STATE = ".journal"


def files_below(path: Path) -> dict[str, bytes]:
    """Read every regular file below a directory, the state directory left out."""
    found = {}
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name != STATE]
        for name in names:
            file = Path(folder, name)
            if file.is_file() and not file.is_symlink():
                found[str(file.relative_to(path))] = file.read_bytes()
    return found


def check_exactly_once(path: Path, contents: Mapping[str, bytes]) -> None:
    """Every content stands under exactly one name, and the journal left no probe."""
    found = files_below(path)
    wrong = {}
    for name, content in contents.items():
        places = sorted(place for place, other in found.items() if other == content)
        if len(places) != 1:
            wrong[name] = places
    assert not wrong, f"not under exactly one name: {wrong}"
    check_no_probe(path)


def check_no_probe(path: Path) -> None:
    """No file of the journal's own is among the user's files or in a backup."""
    probes = [name for name in files_below(path) if os.path.basename(name) == PROBE]
    assert not probes, f"left behind: {probes}"


def check_moved(directory: Path, backup: Path, contents: Mapping[str, bytes]) -> None:
    """Moved means seen: the bytes are in the backup, and what has the old name now is another file."""
    for name, content in contents.items():
        assert (backup / name).read_bytes() == content, f"{name}: other bytes in the backup"
        if (directory / name).exists():
            assert not (directory / name).samefile(backup / name), f"{name}: one file under both names"


def check_refusal(message: str, words: Collection[str] = ("file system",)) -> None:
    """A refusal is for people: it names the fault in words and gives no advice that the caller cannot follow."""
    assert PROBE not in message, message
    assert " -> " not in message, message
    assert "--state-directory" not in message, message
    assert not re.search(r"\[Errno \d+\] [\w ]+: \d+", message), f"a descriptor is not a name: {message}"
    assert any(word in message.lower() for word in words), f"none of {sorted(words)} in: {message}"
