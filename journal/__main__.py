"""The command line: `python -m journal status|recover|verify DIRECTORY`.

Exit codes: 0 clean, 1 there is work to do or was done, 2 damaged: a person must look, 3 busy, 64 wrong usage.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, NoReturn

from pydantic import BaseModel, ConfigDict

from journal import names
from journal.directory import list_states, lock_directory, real_path_of, state_directory_of
from journal.errors import (
    DirectoryBusy,
    DirectoryMissing,
    JournalError,
    NeedsAttention,
    OutcomeUnknown,
    RollbackIncomplete,
    StateUnusable,
    printable,
)
from journal.filesystem import Directory, Filesystem, LocalFilesystem
from journal.inspection import Condition, inspect_directory
from journal.lock import Holder
from journal.records import decode_journal, explain
from journal.recovery import FoundJournal, RecoveryReport, find_journals

CLEAN, WORK, DAMAGED, BUSY, USAGE = 0, 1, 2, 3, 64
SEVERITY = (CLEAN, WORK, BUSY, DAMAGED)
CODES: Final[dict[Condition, int]] = {"clean": CLEAN, "work": WORK, "damaged": DAMAGED, "busy": BUSY}
WORDS: Final = {code: word for word, code in CODES.items()}

EXAMPLES = """\
examples:
  python -m journal status training_data/task_1      who holds it, which journal is hot, what recover would do
  python -m journal recover training_data/task_1     finish or undo what a dead process left
  python -m journal recover --all training_data      the same for every directory below
  python -m journal verify training_data/task_1      every journal, line by line

exit codes: 0 clean, 1 work to do or done, 2 damaged: a person must look, 3 busy, 64 wrong usage
"""


class LineFault(BaseModel):
    """A line of a journal, counted from 1, and what is wrong with it."""

    line: int
    fault: str


class JournalFile(BaseModel):
    """A journal file as found; `faults` only after `verify`."""

    name: str
    lines: int | None = None
    faults: tuple[LineFault, ...] = ()


class Answer(BaseModel):
    """What one command says of one directory; `--json` prints a list of these."""

    model_config = ConfigDict(frozen=True)

    directory: str
    state_directory: str
    exit_code: int
    held_by: Holder | None = None
    is_locked: bool = False
    journals: tuple[JournalFile, ...] = ()
    report: RecoveryReport | None = None
    error: str | None = None


class Target(NamedTuple):
    """A directory with its state directory."""

    path: str
    state_path: str


Command = Callable[[Filesystem, Target], Answer]


def status(filesystem: Filesystem, target: Target) -> Answer:
    """Say who holds the directory, which journals there are and what recovery would do; changes nothing."""
    found = inspect_directory(target.path, state_directory=target.state_path, filesystem=filesystem)
    return _answer(
        target,
        CODES[found.condition],
        held_by=found.held_by,
        is_locked=found.condition == "busy",
        journals=tuple(JournalFile(name=name) for name in found.journals),
        report=found.report,
        error=found.error,
    )


def recover(filesystem: Filesystem, target: Target) -> Answer:
    """Finish or undo what a dead owner left."""
    with _State(filesystem, target) as state:
        if state is None:
            return _answer(target, CLEAN)
    try:
        with lock_directory(
            target.path, label="recover", timeout_seconds=0, state_directory=target.state_path, filesystem=filesystem
        ) as directory:
            report = directory.recovered
            left = _set_aside(find_journals(filesystem, directory._state))
    except DirectoryBusy as error:
        return _answer(target, BUSY, held_by=error.holder, is_locked=True, error=str(error))
    except (RollbackIncomplete, OutcomeUnknown) as error:
        return _answer(target, WORK, error=str(error))
    except JournalError as error:
        return _answer(target, DAMAGED, error=str(error))
    code = DAMAGED if left else CLEAN if report.is_clean else WORK
    return _answer(target, code, report=report)


def verify(filesystem: Filesystem, target: Target) -> Answer:
    """Read every journal, those set aside too, line by line; changes nothing."""
    with _State(filesystem, target) as state:
        if state is None:
            return _answer(target, CLEAN)
        journals = []
        found = find_journals(filesystem, state)
        damaged = _set_aside(found)
        for journal in found:
            content = filesystem.read(state, journal.name)
            lines = explain(content, journal.name)
            faults = tuple(LineFault(line=number, fault=fault) for number, fault in lines if fault is not None)
            journals.append(JournalFile(name=journal.name, lines=len(lines), faults=faults))
            if journal.suffix == names.JOURNAL:  # an unfinished one, or a torn tail, is how a crash looks
                damaged |= not _is_readable(content, journal.name)
        code = DAMAGED if damaged else WORK if journals else CLEAN
        return _answer(target, code, journals=tuple(journals))


def _set_aside(found: Sequence[FoundJournal]) -> bool:
    """Whether a person still has to look at a journal."""
    return any(journal.suffix in (names.DAMAGED, names.CONFLICT) for journal in found)


def _is_readable(content: bytes, name: str) -> bool:
    try:
        decode_journal(io.BytesIO(content), name)
    except NeedsAttention:
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    filesystem = LocalFilesystem()
    try:
        answers = [_ask(options.command, filesystem, target) for target in _targets(filesystem, options)]
    except StateUnusable as error:
        print(f"journal: {error}", file=sys.stderr)
        return DAMAGED
    except JournalError as error:
        print(f"journal: {error}", file=sys.stderr)
        return USAGE
    if options.json:
        print(json.dumps([answer.model_dump(mode="json") for answer in answers], indent=2))
    else:
        for answer in answers:
            print("\n".join(_lines(answer)))
    return max((answer.exit_code for answer in answers), default=CLEAN, key=SEVERITY.index)


def _ask(command: Command, filesystem: Filesystem, target: Target) -> Answer:
    try:
        return command(filesystem, target)
    except (OSError, StateUnusable) as error:
        return _answer(target, DAMAGED, error=str(error))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m journal",
        description="Look at, recover and verify the journals of directories whose files are moved by transactions.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    described: list[tuple[Command, str]] = [
        (status, "who holds the directory, which journal is hot, what recover would do"),
        (recover, "finish or undo what a dead process left"),
        (verify, "read every journal line by line"),
    ]
    for command, purpose in described:
        sub = commands.add_parser(
            command.__name__,
            help=purpose,
            description=purpose.capitalize() + ".",
            epilog=EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=command)
        sub.add_argument("directory", metavar="DIRECTORY", help="the directory; with --all the one above many")
        sub.add_argument("--state-directory", metavar="DIR", help="default: .journal/<name> beside the directory")
        sub.add_argument("--all", action="store_true", help="every directory below DIRECTORY that has a journal")
        sub.add_argument("--json", action="store_true", help="print JSON for programs")
    return parser


def _targets(filesystem: Filesystem, options: argparse.Namespace) -> Iterator[Target]:
    path = real_path_of(options.directory)
    if not options.all:
        state = os.path.realpath(options.state_directory) if options.state_directory else state_directory_of(path)
        if not (os.path.isdir(path) or os.path.isdir(state)):
            raise DirectoryMissing(path)
        yield Target(path, state)
        return
    if not os.path.isdir(path):
        raise DirectoryMissing(path)
    for name in list_states(filesystem, path):
        yield Target(os.path.join(path, name), os.path.join(path, names.STATE_ROOT, name))


class _State:
    """The open state directory of a target, None when it has none; makes nothing."""

    def __init__(self, filesystem: Filesystem, target: Target) -> None:
        self._filesystem = filesystem
        self._target = target
        self._open: Directory | None = None

    def __enter__(self) -> Directory | None:
        try:
            self._open = self._filesystem.open_directory(self._target.state_path)
        except FileNotFoundError:
            self._open = None
        return self._open

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._filesystem.close(self._open)


def _answer(
    target: Target,
    exit_code: int,
    *,
    held_by: Holder | None = None,
    is_locked: bool = False,
    journals: tuple[JournalFile, ...] = (),
    report: RecoveryReport | None = None,
    error: str | None = None,
) -> Answer:
    return Answer(
        directory=printable(target.path),
        state_directory=printable(target.state_path),
        exit_code=exit_code,
        held_by=held_by,
        is_locked=is_locked,
        journals=journals,
        report=report,
        error=error,
    )


def _lines(answer: Answer) -> Iterator[str]:
    yield f"{answer.directory}: {WORDS[answer.exit_code]}"
    if answer.is_locked:
        yield f"  held by {answer.held_by or 'another process'}"
    for journal in answer.journals:
        counted = "" if journal.lines is None else f", {journal.lines} lines, {len(journal.faults)} of them damaged"
        yield f"  journal {journal.name}{counted}"
        for fault in journal.faults:
            yield f"    line {fault.line}: {fault.fault}"
    if answer.error is not None:
        yield f"  {answer.error}"
    if answer.report is not None:
        yield from _report_lines(answer.report)


def _report_lines(report: RecoveryReport) -> Iterator[str]:
    for journal in report.journals:
        yield f"  {journal.label or 'transaction'} of {journal.since or journal.transaction}: {journal.action}"
        if journal.moved_back or journal.dropped:
            yield f"    {journal.moved_back} moved back, {journal.dropped} second names dropped"
        for line in (*journal.conflicts, *journal.notes):
            yield f"    {line}"
        if journal.set_aside is not None:
            yield f"    the journal is kept as {journal.set_aside}"
    for name in report.swept:
        yield f"  swept {name}"
    for leftover in report.leftovers:
        yield f"  could not be removed: {leftover}"


if __name__ == "__main__":
    sys.exit(main())
