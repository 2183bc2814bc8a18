"""JSON output of commands, and their errors: a sentence for users, an object for programs."""

from __future__ import annotations

import itertools
import json
import os
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from data_pipeline.commands.exit_codes import ExitCode


def print_json(answer: Any) -> None:
    """Print a result as JSON; times are strings with their time zone."""
    text = json.dumps(answer, indent=2, ensure_ascii=False, default=_as_text)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:  # JSON escapes keep the text; those of the stream would break it
        text = json.dumps(answer, indent=2, default=_as_text)
    print(text)


def print_error(
    program: str,
    code: ExitCode,
    sentence: str,
    error_type: str,
    *,
    as_json: bool,
    number: int | None = None,
    **more: Any,
) -> None:
    """Print a sentence on standard error and, with --json, the error object of docs/command-line.md on standard output.

    `number` is the exit code if the program uses a different number for this outcome.
    """
    print(f"{program}: {sentence}", file=sys.stderr)
    if as_json:
        data = {"response": sentence, "error_type": error_type, **more, "timestamp": datetime.now(UTC).isoformat()}
        shown = int(code) if number is None else number
        print_json({"code": shown, "success": False, "message": code.meaning, "data": data})


def is_json_asked(arguments: Sequence[str]) -> bool:
    """Return True if a command line contains --json, even if it cannot be parsed."""
    return "--json" in itertools.takewhile(lambda argument: argument != "--", arguments)


def describe_defect(error: Exception, traceback_hint: str) -> str:
    """Describe the place of a defect, without the exception's text, which may contain a secret or a row."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return (
        f"unexpected error: {type(error).__name__}{reason} in {os.path.basename(place.filename)}, line {place.lineno}. "
        f"It is a defect of this program or of the machine: {traceback_hint} prints the traceback to report."
    )


def _as_text(value: object) -> str:
    assert isinstance(value, datetime), type(value)
    return value.isoformat()
