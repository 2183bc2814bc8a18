"""The command line: `python -m journal status|recover|verify DIRECTORY`.

The exit codes are those of the whole project (docs/runs.md): 0 clean or recovered, 1 bad input, 2 wrong usage,
3 damaged: a person must look, 4 something is half done, 70 unexpected error, 75 busy, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
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

CLEAN, BAD_INPUT, USAGE, DAMAGED, WORK, UNEXPECTED, BUSY, INTERRUPTED = 0, 1, 2, 3, 4, 70, 75, 130
SEVERITY = (CLEAN, WORK, BUSY, DAMAGED)
CODES: Final[dict[Condition, int]] = {"clean": CLEAN, "work": WORK, "damaged": DAMAGED, "busy": BUSY}
WORDS: Final = {code: word for word, code in CODES.items()}

EXAMPLES = """\
examples:
  python -m journal status training_data/task_1      who holds it, which journal is hot, what recover would do
  python -m journal recover training_data/task_1     finish or undo what a dead process left
  python -m journal recover --all training_data      the same for every directory below
  python -m journal verify training_data/task_1      every journal, line by line

exit codes: 0 clean or recovered, 1 bad input, 2 wrong usage, 3 damaged: a person must look,
4 something is half done, 70 unexpected error, 75 busy, 130 interrupted
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
    return _answer(target, DAMAGED if left else WORK if report.leftovers else CLEAN, report=report)


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


class _WrongUsage(Exception):
    """The arguments could not be parsed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an old encoding must not hide what there is to say
    given = sys.argv[1:] if arguments is None else arguments
    try:
        text, code = _run(given)
    except SystemExit:  # of --help, which is printed
        text, code = "", CLEAN
    except _WrongUsage as error:
        text, code = _refusal(given, USAGE, "wrong_usage", str(error))
    except StateUnusable as error:
        text, code = _refusal(given, DAMAGED, "directory_error", str(error))
    except JournalError as error:
        text, code = _refusal(given, BAD_INPUT, "invalid_params", str(error))
    except OSError as error:
        text, code = _refusal(given, DAMAGED, "directory_error", str(error))
    except KeyboardInterrupt:
        text, code = _refusal(given, INTERRUPTED, "interrupted", "interrupted")
    except Exception as error:  # noqa: BLE001 - the boundary of the program; no message, it may hold anything
        text, code = _refusal(given, UNEXPECTED, "internal_error", f"unexpected error: {type(error).__name__}")
    return _printed(text, code)


def _run(arguments: Sequence[str]) -> tuple[str, int]:
    """What a command prints, and its exit code."""
    options = _parser().parse_args(arguments)
    filesystem = LocalFilesystem()
    answers = [_ask(options.command, filesystem, target) for target in _targets(filesystem, options)]
    if options.json:
        text = json.dumps([answer.model_dump(mode="json") for answer in answers], indent=2)
    else:
        text = "\n".join(line for answer in answers for line in _lines(answer))
    return text, max((answer.exit_code for answer in answers), default=CLEAN, key=SEVERITY.index)


def _refusal(arguments: Sequence[str], code: int, error_type: str, sentence: str) -> tuple[str, int]:
    """A sentence on standard error; the object that programs get instead of answers, and the exit code."""
    print(f"journal: {sentence}", file=sys.stderr)
    if "--json" not in arguments:
        return "", code
    data = {"response": sentence, "error_type": error_type, "timestamp": datetime.now(UTC).isoformat()}
    return json.dumps({"code": code, "success": False, "message": error_type, "data": data}, indent=2), code


def _printed(text: str, code: int) -> int:
    """Print, and return the exit code; a reader that went away wanted no more, a full disk is one sentence."""
    try:
        print(text, end="\n" if text else "", flush=True)
    except OSError as error:
        with contextlib.suppress(OSError):  # or the interpreter tries again, and complains
            sys.stdout.close()
        if not isinstance(error, BrokenPipeError):
            print(f"journal: standard output is incomplete: {error.strerror}", file=sys.stderr)
            return code or BAD_INPUT
    return code


def _ask(command: Command, filesystem: Filesystem, target: Target) -> Answer:
    try:
        return command(filesystem, target)
    except (OSError, StateUnusable) as error:
        return _answer(target, DAMAGED, error=str(error))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise _WrongUsage(message)


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
    is_recovered = answer.exit_code == CLEAN and answer.report is not None and not answer.report.is_clean
    yield f"{answer.directory}: {'recovered' if is_recovered else WORDS[answer.exit_code]}"
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
