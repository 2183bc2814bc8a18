"""The command line: puts the commands together, and prints every error with its exit code. Decides nothing."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, Final, NoReturn, cast

import typer
from sqlalchemy.exc import InterfaceError, OperationalError
from typer.rich_utils import rich_format_error

from data_pipeline import __version__
from data_pipeline.commands import backups, exporting, qa, running, searching, serving, tasks, upkeep, vectors
from data_pipeline.commands.exit_codes import RESERVED, ExitCode, code_of_error
from data_pipeline.commands.reporting import describe_defect, is_json_asked, print_error
from data_pipeline.commands.standard_streams import protect_standard_streams, settled
from data_pipeline.errors import PipelineError, StoreUnavailable

LOGGER = logging.getLogger("data_pipeline")
PROGRAM: Final = "data-pipeline"
EXIT_CODES: Final = (
    "Exit codes: " + ", ".join(f"{int(code)} {code.meaning}" for code in ExitCode if code not in RESERVED) + "."
)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they show values, and a value may be a secret
    help="Turn a relational database into text-to-SQL training data, again and again, and lose nothing.\n\n"
    f"New here? `data-pipeline demo` shows it all in a minute.\n\n{EXIT_CODES}",
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
    """Nothing is to be done before a command."""


app.command(epilog=serving.DEMO_EXAMPLES)(serving.demo)
app.command(epilog=running.RUN_EXAMPLES)(running.run)
app.command(epilog=serving.SERVE_EXAMPLES)(serving.serve)
app.command(epilog=searching.SEARCH_EXAMPLES)(searching.search)
app.command(epilog=exporting.EXPORT_EXAMPLES)(exporting.export)
app.add_typer(tasks.app, name="tasks")
app.add_typer(backups.app, name="backups")
app.add_typer(qa.app, name="qa")
app.add_typer(vectors.app, name="vectors")
app.command(epilog=upkeep.RECOVER_EXAMPLES)(upkeep.recover)
app.command(epilog=upkeep.DOCTOR_EXAMPLES)(upkeep.doctor)
app.add_typer(upkeep.config, name="config")


def main() -> NoReturn:
    """The entry point: every error is one sentence on standard error, and an exit code."""
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
        rich_format_error(cast("Any", error))
        return error.exit_code
    except typer.Abort:
        return report(ExitCode.BAD_INPUT, "Aborted; nothing was changed.", "aborted")
    except (OperationalError, InterfaceError) as error:  # their texts may hold values
        sentence = f"A database of this program does not answer ({type(error).__name__}). Try again, or run `doctor`."
        return report(ExitCode.BAD_INPUT, sentence, StoreUnavailable.error_type)
    except Exception as error:
        LOGGER.exception("The command ended by a defect of this program")  # into the log of a server
        if "--debug" in arguments:
            traceback.print_exception(error)
        return report(code_of_error(error), describe_defect(error, f"`{PROGRAM} --debug COMMAND`"), "internal_error")
    if code == ExitCode.INTERRUPTED and as_json:
        return report(ExitCode.INTERRUPTED, "Interrupted.", "interrupted")
    return code or ExitCode.DONE
