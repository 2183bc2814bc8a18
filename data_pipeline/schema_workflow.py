"""The script `python -m data_pipeline.schema_workflow`: run the steps in a directory, without a backup."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from rich.console import Console

from data_pipeline.api.simple_workflow import SimpleWorkflowExecutor
from data_pipeline.commands.exit_codes import ExitCode, code_of_error, code_of_run
from data_pipeline.commands.options import add_options, validated
from data_pipeline.commands.reporting import describe_defect, is_json_asked, print_error, print_json
from data_pipeline.commands.standard_streams import protect_standard_streams, settled
from data_pipeline.commands.terminal import watching
from data_pipeline.config.database_urls import source_of
from data_pipeline.config.settings import load_settings
from data_pipeline.errors import InvalidInput, PipelineError
from data_pipeline.steps import RunParameters
from data_pipeline.tasks.parameters import RunOptions, TaskParameters
from data_pipeline.tasks.results import RunResult
from data_pipeline.tasks.table_list import decode_table_list, parse_table_list
from data_pipeline.tasks.workspace import printable
from data_pipeline.use_cases.disk import door
from data_pipeline.use_cases.foreground import language_model, wishes

LOGGER = logging.getLogger("data_pipeline")
PROGRAM: Final = "schema_workflow"

OLDER_CODES: Final = {ExitCode.WRONG_USAGE: 1, ExitCode.FAILED: 2}
"""The exit codes that differ from `ExitCode`, because callers of the older script depend on them."""

EXAMPLE: Final = """\
example:
  python -m data_pipeline.schema_workflow --db-connection postgresql://reader@db.example/shop \\
      --table-list tables.txt --business-context "An online shop" --skip-training-load

exit codes: 0 done, 1 bad input or wrong usage, 2 a step failed, 4 done in part, 70 unexpected error,
75 the directory is busy, 130 interrupted
"""


class _WrongUsage(Exception):
    """The arguments could not be parsed."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise _WrongUsage(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m data_pipeline.schema_workflow",
        description="Create text-to-SQL training data from a database in any directory. Unchanged files of earlier "
        "runs are replaced; other files of the same names are moved aside and listed.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--db-connection", required=True, metavar="URL", help="URL of the database, or the name of a configured one")
    add("--table-list", required=True, metavar="FILE", help="a file with table names")
    about = TaskParameters.model_fields["business_context"].description
    add("--business-context", required=True, metavar="TEXT", help=about)
    add("--output-dir", metavar="DIR", help="default: manual_<time> among the task directories")
    add_options(parser, TaskParameters, leave_out={"business_context"})
    add_options(parser, RunOptions)
    add("--lock-timeout", type=float, metavar="SECONDS", help="seconds to wait for a busy directory")
    add("--json", action="store_true", help="print the result as JSON")
    add("--log-file", metavar="FILE", help="append the run's messages to this file too")
    add("-v", "--verbose", action="store_true", help="print the run's messages")
    return parser


def _run(options: argparse.Namespace) -> RunResult:
    settings = load_settings()
    now = datetime.now(UTC).astimezone()
    directory = options.output_dir or os.path.join(settings.training_data_path, f"manual_{now:%Y%m%d_%H%M%S}")
    try:
        with open(options.table_list, "rb") as file:
            tables = parse_table_list(decode_table_list(file.read()))
    except OSError as error:
        raise InvalidInput("--table-list", f"{printable(options.table_list)}: {error.strerror}") from error
    url = settings.database_named(options.db_connection)
    given = {name: value for name, value in vars(options).items() if value is not None}
    parameters = RunParameters(
        **{**wishes(settings), **validated(TaskParameters, given).model_dump(exclude_none=True)},
        db_connection=url,
        options=validated(RunOptions, given),
        source=options.db_connection.lower() if settings.has_database(options.db_connection) else source_of(url),
        vectors=settings.vector_place,
    )
    timeout = settings.lock_timeout_seconds if options.lock_timeout is None else options.lock_timeout
    with watching(Console(stderr=True), is_quiet=options.json) as emit:
        executor = SimpleWorkflowExecutor(
            os.path.basename(os.path.abspath(directory)),
            directory=directory,
            parameters=parameters,
            tables=tables,
            model=language_model(settings),
            emit=emit,
            backup_enabled=False,
            vector_retention=settings.vector_retention,
            lock_timeout_seconds=timeout,
            door=door(settings),
        )
        return asyncio.run(executor.execute())


def _log_where_asked(options: argparse.Namespace) -> None:
    LOGGER.addHandler(logging.NullHandler())
    handlers: list[logging.Handler] = []
    if options.verbose:
        handlers.append(logging.StreamHandler())
    if options.log_file:
        try:
            handlers.append(logging.FileHandler(options.log_file, encoding="utf-8", errors="backslashreplace"))
        except OSError as error:
            raise InvalidInput("--log-file", f"{printable(options.log_file)}: {error.strerror}") from error
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s [%(levelname)s] %(message)s"))
        LOGGER.addHandler(handler)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; return the exit code."""
    protect_standard_streams()
    given = sys.argv[1:] if arguments is None else arguments
    code = _outcome(given, as_json=is_json_asked(given))
    return settled(PROGRAM, OLDER_CODES.get(code, code))


def _outcome(arguments: Sequence[str], *, as_json: bool) -> ExitCode:
    def report(code: ExitCode, sentence: str, error_type: str, **details: Any) -> ExitCode:
        number = OLDER_CODES.get(code, code)
        print_error(PROGRAM, code, sentence, error_type, as_json=as_json, number=number, **details)
        return code

    try:
        options = _parser().parse_args(arguments)
        _log_where_asked(options)
        result = _run(options)
    except _WrongUsage as error:
        return report(ExitCode.WRONG_USAGE, str(error), "wrong_usage")
    except PipelineError as error:
        return report(code_of_error(error), str(error), error.error_type, **error.details())
    except KeyboardInterrupt as error:
        return report(code_of_error(error), "Interrupted.", "interrupted")
    except Exception as error:
        LOGGER.exception("The script failed because of a defect of this program")  # with --verbose or --log-file
        return report(code_of_error(error), describe_defect(error, "`--verbose`"), "internal_error")
    _print_result(result, as_json=as_json)
    return code_of_run(result)


def _print_result(result: RunResult, *, as_json: bool) -> None:
    if as_json:
        print_json(result.as_json())
        return
    print("completed" if result.success else f"failed: {result.error}")
    for kept in result.kept_files:
        print(f"already existed and was not created by this task; moved to: {kept}")


if __name__ == "__main__":
    sys.exit(main())
