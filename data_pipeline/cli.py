"""The command line: puts the commands together, and makes an exit code of every error. Decides nothing.

0 done   1 bad input or surroundings, nothing changed   2 wrong usage   3 the run failed   75 busy   130 interrupted
"""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console

from data_pipeline.commands import backups, exporting, qa, running, searching, serving, tasks, upkeep, vectors
from data_pipeline.commands.arguments import BAD_INPUT, BUSY
from data_pipeline.errors import PipelineError, RunActive, TaskBusy

EXIT_CODES: Final = (
    "Exit codes: 0 done, 1 bad input or surroundings (nothing changed), 2 wrong usage, 3 the run failed, "
    "75 the task is busy, 130 interrupted."
)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # they show values, and a value may be a secret
    help="Turn a relational database into text-to-SQL training data, again and again, and lose nothing.\n\n"
    f"New here? `data-pipeline demo` shows it all in a minute.\n\n{EXIT_CODES}",
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"data-pipeline {version('journaled-data-pipeline')}")
        raise typer.Exit


@app.callback()
def start(
    is_asked: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
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
    """The entry point: every error that people can mend is one sentence on standard error, and an exit code."""
    logging.getLogger("data_pipeline").addHandler(logging.NullHandler())
    try:
        app(prog_name="data-pipeline")
    except (TaskBusy, RunActive) as error:
        _complain(error, BUSY)
    except PipelineError as error:
        _complain(error, BAD_INPUT)
    sys.exit(0)


def _complain(error: PipelineError, code: int) -> NoReturn:
    Console(stderr=True).print(f"data-pipeline: {error}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)
