"""Run backups at the limit of open files and compare each report with the disk: `python -m ... FOLDER`.

In a process of its own, because the limit holds for the whole process. Before the n-th call of the disk the limit is
lowered to the open descriptors, so the kernel itself refuses the next one: for that one call, or from then on.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from journal import JournalError, Outcome, OutcomeUnknown, RollbackIncomplete, lock_directory
from journal.filesystem import Directory
from tests.support.backup import back_up, make_files
from tests.support.hooked_disk import CHANGES, READS, HookedDisk

VERBS = CHANGES | READS | {"read_lines", "mount"}
HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
ROOMY = min(HARD, 256) if HARD != resource.RLIM_INFINITY else 256
FILES = {"few": ("a",), "some": ("a", "b", "immovable")}


def lowest_free() -> int:
    """Return the number of the next descriptor; as the limit, it refuses that descriptor."""
    fd = os.open(os.devnull, os.O_RDONLY)
    os.close(fd)
    return fd


class Limited(HookedDisk):
    """The real disk, on which nothing can be opened at the call `at`, or from there on; `b` cannot be linked."""

    def __init__(self, at: int, *, lasting: bool) -> None:
        super().__init__(self._limit, VERBS)
        self._at = at
        self._lasting = lasting

    def link(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        if name == "immovable":
            raise PermissionError(1, "Operation not permitted", name)
        super().link(source, name, target, new_name)

    def rename(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        if name == "immovable":
            raise PermissionError(1, "Operation not permitted", name)
        super().rename(source, name, target, new_name)

    def _limit(self, call: int, verb: str, arguments: tuple[Any, ...]) -> None:
        if call == self._at:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free(), HARD))
        elif call > self._at and not self._lasting:
            resource.setrlimit(resource.RLIMIT_NOFILE, (ROOMY, HARD))


def files_below(folder: Path) -> dict[str, str]:
    """Return the files of a task by path, without records."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "backup_info.json")
    return {str(path.relative_to(folder)): path.read_text() for path in found}


def promised(outcome: Outcome, task: Path) -> dict[str, str]:
    """Return the files that the outcome promises; each file's content is its old name."""
    expected: dict[str, str] = {}
    for result in outcome.results():
        name = result.source
        if name is None:
            assert (task / result.destination).read_text().count(outcome.transaction) == 1, "no record"
        elif result.failure is None:
            expected[result.destination] = name
        else:
            expected[name] = name
            if result.failure.copied:
                expected[result.destination] = name
    return expected


def one_run(task: Path, names: tuple[str, ...], at: int, *, lasting: bool) -> tuple[str, int]:
    """Back up at the limit; return the reported result and the number of calls. A false report is an AssertionError."""
    make_files(task, *names)
    before = {name: name for name in names}
    disk = Limited(at, lasting=lasting)
    outcome = None
    try:
        with lock_directory(task, label="limited", filesystem=disk, sleep=lambda _: None) as directory:
            outcome = back_up(directory)
        report = "backed up" if not outcome.failures else "backed up, but for some"
    except (OutcomeUnknown, RollbackIncomplete):
        report = "unknown"
    except JournalError as error:
        report = f"failed: {type(error).__name__}"
    except OSError:  # of the caller's own scan, before anything was asked for
        report = "failed: OSError"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (ROOMY, HARD))
    now = files_below(task)
    if outcome is not None:
        expected = promised(outcome, task)
        assert now == expected, f"reported as done: {expected}, there: {now}"
    elif report.startswith("failed"):
        assert now == before, f"reported as failed, changed: {now}"
        assert not list(task.glob("bak*")), "reported as failed, a directory stays"
    assert Counter(before.values()) <= Counter(now.values()), f"lost: {now}"
    lock_directory(task, label="next").release()
    after = files_below(task)
    if report == "unknown":
        assert after == before or not set(after) & (set(before) - {"immovable"}), f"half: {after}"
    else:
        assert after == now, f"the next owner changed what was reported: {after}"
    left = set(os.listdir(task.parent / ".journal" / task.name)) - {"lock", "ready", "holder", ".journal-probe"}
    assert not left, f"left: {left}"
    return report, disk.calls


def runs(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield every run: the call at which the limit was reached, and the reported result."""
    for kind, names in FILES.items():
        for lasting in (False, True):
            at = 1
            while True:
                report, calls = one_run(folder / f"{kind}-{lasting}-{at}", names, at, lasting=lasting)
                yield f"{kind}, {'from' if lasting else 'at'} call {at}", report
                if calls < at:
                    break
                at += 1


def main(folder: str) -> int:
    """Print the number of each reported result, and each false report; return 1 if there was one."""
    reports: Counter[str] = Counter()
    resource.setrlimit(resource.RLIMIT_NOFILE, (ROOMY, HARD))
    for _, report in runs(Path(folder)):
        reports[report] += 1
    print(json.dumps(reports))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
