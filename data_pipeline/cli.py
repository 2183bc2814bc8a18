"""The command line: combines the commands and prints every error with its exit code."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, Final, NoReturn, cast

import typer

from data_pipeline import __version__
from data_pipeline.commands.exit_codes import RESERVED, ExitCode, code_of_error
from data_pipeline.commands.groups import LazyCommand, LazyGroup
from data_pipeline.commands.reporting import describe_defect, is_json_asked, print_error
from data_pipeline.commands.standard_streams import protect_standard_streams, settled
from data_pipeline.errors import PipelineError, StoreUnavailable

LOGGER = logging.getLogger("data_pipeline")
PROGRAM: Final = "data-pipeline"
EXIT_CODES: Final = (
    "Exit codes: " + ", ".join(f"{int(code)} {code.meaning}" for code in ExitCode if code not in RESERVED) + "."
)


class Commands(LazyGroup):
    """The commands, in the order of the help."""

    table = (
        LazyCommand(
            "demo",
            "serving",
            "Show the program in a minute: a database, a real server, runs, a backup, a kill -9, a restore.",
        ),
        LazyCommand(
            "run", "running", "Run a task in this process: back up the files of earlier runs, then run every step."
        ),
        LazyCommand(
            "serve",
            "serving",
            "Serve the Data Pipeline API. On SIGTERM, running work may end; the rest continues at the next start.",
        ),
        LazyCommand("search", "searching", "Search the training items of all tasks for a question: pairs, DDL, pages."),
        LazyCommand(
            "export",
            "exporting",
            "Export a task's pairs from the vector store to standard output. Equal items give equal bytes.",
        ),
        LazyCommand(
            "recover", "upkeep", "Complete or roll back the changes of killed runs, in every task that is not locked."
        ),
        LazyCommand(
            "doctor",
            "upkeep",
            "Check settings, folders, disk, mounts, journals, store and databases; print a remedy for each problem.",
        ),
        LazyCommand("tasks", "tasks", "Tasks: create, list, show, edit, delete; their files and logs."),
        LazyCommand("backups", "backups", "Backups of earlier runs: list, show, download, verify, restore, delete."),
        LazyCommand("qa", "qa", "Reports on question-SQL pairs."),
        LazyCommand("vectors", "vectors", "Backups of the vector store: create, list, restore, verify, delete."),
        LazyCommand("config", "upkeep", "Settings of this folder."),
    )


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they print the values of variables, and a value may be a secret
    help="Turn a relational database into text-to-SQL training data, repeatedly and without losing earlier files.\n\n"
    f"New here? Run `data-pipeline demo` for a one-minute tour.\n\n{EXIT_CODES}",
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"data-pipeline {__version__}")
        raise typer.Exit


@app.callback()
def start(
    is_asked: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an unexpected error.")] = False,
) -> None:
    """Accept the global options; no work is necessary before a command."""


def main() -> NoReturn:
    """Run the command line and exit. Every error is printed as one sentence on standard error."""
    protect_standard_streams()
    LOGGER.addHandler(logging.NullHandler())
    sys.exit(settled(PROGRAM, _run(sys.argv[1:])))


def _run(arguments: Sequence[str]) -> int:
    """Run a command; return its exit code."""
    as_json = is_json_asked(arguments)

    def report(code: ExitCode, sentence: str, error_type: str, **details: Any) -> int:
        print_error(PROGRAM, code, sentence, error_type, as_json=as_json, **details)
        return code

    try:
        code: int | None = app(arguments, prog_name=PROGRAM, standalone_mode=False)
    except PipelineError as error:
        return report(code_of_error(error), str(error), error.error_type, **error.details())
    except typer.TyperException as error:
        if as_json:
            return report(ExitCode.WRONG_USAGE, error.format_message(), "wrong_usage")
        from typer.rich_utils import rich_format_error

        rich_format_error(cast("Any", error))
        return error.exit_code
    except typer.Abort:
        return report(ExitCode.BAD_INPUT, "Aborted; nothing was changed.", "aborted")
    except Exception as error:
        if _is_silent_database(error):  # the text of the error may contain values
            kind = type(error).__name__
            sentence = f"The program's own database does not answer ({kind}). Try again, or run `data-pipeline doctor`."
            return report(ExitCode.BAD_INPUT, sentence, StoreUnavailable.error_type)
        LOGGER.exception("The command failed because of a defect of this program")  # into the log of a server
        if "--debug" in arguments:
            traceback.print_exception(error)
        return report(code_of_error(error), describe_defect(error, f"`{PROGRAM} --debug COMMAND`"), "internal_error")
    if code == ExitCode.INTERRUPTED and as_json:
        return report(ExitCode.INTERRUPTED, "Interrupted.", "interrupted")
    return code or ExitCode.DONE


def _is_silent_database(error: Exception) -> bool:
    """Return True if the program's own database does not answer. Only SQLAlchemy, if imported, raises that error."""
    library = sys.modules.get("sqlalchemy.exc")
    return library is not None and isinstance(error, (library.OperationalError, library.InterfaceError))
