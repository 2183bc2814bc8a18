"""The command line: `python -m journal status|recover|verify DIRECTORY`.

The exit codes are those of the whole project (docs/runs.md): 0 clean or recovered, 1 bad input, 2 wrong usage,
3 damaged: an operator must look, 4 something is half done, 70 unexpected error, 75 busy, 130 interrupted.
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

from pydantic import BaseModel

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
)
from journal.filesystem import Filesystem, LocalFilesystem, opened
from journal.inspection import Condition, inspect_directory
from journal.records import decode_journal, explain
from journal.reports import RecoveryReport
from journal.state_files import list_journals
from journal.values import Holder, printable

CLEAN, BAD_INPUT, USAGE, DAMAGED, WORK, UNEXPECTED, BUSY, INTERRUPTED = 0, 1, 2, 3, 4, 70, 75, 130
SEVERITY = (CLEAN, WORK, BUSY, DAMAGED)
CODES: Final[dict[Condition, int]] = {"clean": CLEAN, "work": WORK, "damaged": DAMAGED, "busy": BUSY}
WORDS: Final = {code: word for word, code in CODES.items()}

EXAMPLES = """\
examples:
  python -m journal status training_data/task_1      show its holder, its hot journal and the effect of recover
  python -m journal recover training_data/task_1     finish or undo the changes of a dead process
  python -m journal recover --all training_data      the same for every directory below
  python -m journal verify training_data/task_1      check every journal, line by line

exit codes: 0 clean or recovered, 1 bad input, 2 wrong usage, 3 damaged: an operator must look,
4 something is half done, 70 unexpected error, 75 busy, 130 interrupted
"""


class LineFault(BaseModel):
    """A bad line of a journal, counted from 1, and its fault."""

    line: int
    fault: str


class JournalFile(BaseModel):
    """A journal file; `lines` and `faults` only after `verify`."""

    name: str
    lines: int | None = None
    faults: tuple[LineFault, ...] = ()


class Answer(BaseModel, frozen=True):
    """The result of one command for one directory; `--json` prints a list of these."""

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
    """Return the holder of the directory, its journals and the effect of a recovery; change nothing."""
    inspection = inspect_directory(target.path, state_directory=target.state_path, filesystem=filesystem)
    return _answer(
        target,
        CODES[inspection.condition],
        held_by=inspection.held_by,
        is_locked=inspection.condition == "busy",
        journals=tuple(JournalFile(name=name) for name in inspection.journals),
        report=inspection.report,
        error=inspection.error,
    )


def recover(filesystem: Filesystem, target: Target) -> Answer:
    """Finish or undo the changes of a dead owner."""
    if not _has_state(filesystem, target):
        return _answer(target, CLEAN)
    try:
        with lock_directory(
            target.path, label="recover", timeout_seconds=0, state_directory=target.state_path, filesystem=filesystem
        ) as directory:
            report = directory.recovered
            is_damaged = any(journal.is_set_aside for journal in list_journals(filesystem, directory._state))
    except DirectoryBusy as error:
        return _answer(target, BUSY, held_by=error.holder, is_locked=True, error=str(error))
    except (RollbackIncomplete, OutcomeUnknown) as error:
        return _answer(target, WORK, error=str(error))
    except JournalError as error:
        return _answer(target, DAMAGED, error=str(error))
    return _answer(target, DAMAGED if is_damaged else WORK if report.leftovers else CLEAN, report=report)


def verify(filesystem: Filesystem, target: Target) -> Answer:
    """Read every journal, those set aside too, line by line; change nothing."""
    if not _has_state(filesystem, target):
        return _answer(target, CLEAN)
    with opened(filesystem, target.state_path) as state:
        files = []
        journals = list_journals(filesystem, state)
        is_damaged = any(journal.is_set_aside for journal in journals)
        for journal in journals:
            content = filesystem.read(state, journal.name)
            lines = explain(content, journal.name)
            faults = tuple(LineFault(line=number, fault=fault) for number, fault in lines if fault is not None)
            files.append(JournalFile(name=journal.name, lines=len(lines), faults=faults))
            if journal.suffix == names.JOURNAL:  # an unfinished journal, or a torn tail, is the trace of a crash
                is_damaged |= not _is_readable(content, journal.name)
        code = DAMAGED if is_damaged else WORK if journals else CLEAN
        return _answer(target, code, journals=tuple(files))


def _is_readable(content: bytes, name: str) -> bool:
    try:
        decode_journal(io.BytesIO(content), name)
    except NeedsAttention:
        return False
    return True


class _WrongUsage(Exception):
    """The arguments could not be parsed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an old encoding must not hide the output
    words = sys.argv[1:] if arguments is None else arguments
    try:
        text, code = _run(words)
    except SystemExit:  # of --help, which is printed
        text, code = "", CLEAN
    except _WrongUsage as error:
        text, code = _refuse(words, USAGE, "wrong_usage", str(error))
    except StateUnusable as error:
        text, code = _refuse(words, DAMAGED, "directory_error", str(error))
    except JournalError as error:
        text, code = _refuse(words, BAD_INPUT, "invalid_params", str(error))
    except OSError as error:
        text, code = _refuse(words, DAMAGED, "directory_error", str(error))
    except KeyboardInterrupt:
        text, code = _refuse(words, INTERRUPTED, "interrupted", "interrupted")
    except Exception as error:  # noqa: BLE001 - the boundary of the program; no message, because it may contain anything
        text, code = _refuse(words, UNEXPECTED, "internal_error", f"unexpected error: {type(error).__name__}")
    return _print(text, code)


def _run(arguments: Sequence[str]) -> tuple[str, int]:
    """Run a command; return its output and its exit code."""
    options = _make_parser().parse_args(arguments)
    filesystem = LocalFilesystem()
    answers = [_call(options.command, filesystem, target) for target in _find_targets(filesystem, options)]
    if options.json:
        text = json.dumps([answer.model_dump(mode="json") for answer in answers], indent=2)
    else:
        text = "\n".join(line for answer in answers for line in _format(answer))
    return text, max((answer.exit_code for answer in answers), default=CLEAN, key=SEVERITY.index)


def _refuse(arguments: Sequence[str], code: int, error_type: str, sentence: str) -> tuple[str, int]:
    """Print the error on standard error; return the JSON object for programs, if they want one, and the exit code."""
    print(f"journal: {sentence}", file=sys.stderr)
    if "--json" not in arguments:
        return "", code
    data = {"response": sentence, "error_type": error_type, "timestamp": datetime.now(UTC).isoformat()}
    return json.dumps({"code": code, "success": False, "message": error_type, "data": data}, indent=2), code


def _print(text: str, code: int) -> int:
    """Print, and return the exit code. A closed pipe is no error; a full disk is reported in one sentence."""
    try:
        print(text, end="\n" if text else "", flush=True)
    except OSError as error:
        with contextlib.suppress(OSError):  # else the interpreter tries again at its exit, and prints a traceback
            sys.stdout.close()
        if not isinstance(error, BrokenPipeError):
            print(f"journal: standard output is incomplete: {error.strerror}", file=sys.stderr)
            return code or BAD_INPUT
    return code


def _call(command: Command, filesystem: Filesystem, target: Target) -> Answer:
    try:
        return command(filesystem, target)
    except (OSError, StateUnusable) as error:
        return _answer(target, DAMAGED, error=str(error))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise _WrongUsage(message)


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m journal",
        description="Inspect, recover and verify the journals of directories whose files are moved by transactions.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    purposes: list[tuple[Command, str]] = [
        (status, "show the holder of the directory, its hot journal and the effect of recover"),
        (recover, "finish or undo the changes of a dead process"),
        (verify, "check every journal line by line"),
    ]
    for command, purpose in purposes:
        sub = commands.add_parser(
            command.__name__,
            help=purpose,
            description=purpose.capitalize() + ".",
            epilog=EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=command)
        sub.add_argument("directory", metavar="DIRECTORY", help="the directory; with --all the parent of many")
        sub.add_argument(
            "--state-directory", metavar="DIR", help="its state directory (default: .journal/<name> beside it)"
        )
        sub.add_argument("--all", action="store_true", help="every directory below DIRECTORY that was ever locked")
        sub.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _find_targets(filesystem: Filesystem, options: argparse.Namespace) -> Iterator[Target]:
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


def _has_state(filesystem: Filesystem, target: Target) -> bool:
    try:
        filesystem.close(filesystem.open_directory(target.state_path))
    except FileNotFoundError:
        return False
    return True


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


def _format(answer: Answer) -> Iterator[str]:
    is_recovered = answer.exit_code == CLEAN and answer.report is not None and not answer.report.is_clean
    yield f"{answer.directory}: {'recovered' if is_recovered else WORDS[answer.exit_code]}"
    if answer.is_locked:
        yield f"  held by {answer.held_by or 'another process'}"
    for journal in answer.journals:
        counts = "" if journal.lines is None else f", {journal.lines} lines, {len(journal.faults)} of them damaged"
        yield f"  journal {journal.name}{counts}"
        for fault in journal.faults:
            yield f"    line {fault.line}: {fault.fault}"
    if answer.error is not None:
        yield f"  {answer.error}"
    if answer.report is not None:
        yield from _format_report(answer.report)


def _format_report(report: RecoveryReport) -> Iterator[str]:
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
