"""`data-pipeline qa report`: a report on a task's question-SQL pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from data_pipeline.commands.arguments import AsJson, TaskId, directory_of, load_settings, open_existing_store
from data_pipeline.commands.groups import Group
from data_pipeline.commands.output import (
    new_console,
    print_bars,
    print_counts,
    print_fields,
    print_json,
    print_section,
    print_table,
)
from data_pipeline.errors import PipelineError

if TYPE_CHECKING:
    from data_pipeline.config.settings import Settings
    from data_pipeline.steps.qa.report import QaReport, Sample
    from data_pipeline.tasks.results import Json

CELL_CHARACTERS: Final = 40

app = typer.Typer(name="qa", cls=Group, no_args_is_help=True, help="Reports on question-SQL pairs.")

REPORT_EXAMPLES = """\b
Examples:
  data-pipeline qa report task_20250121_094400
  data-pipeline qa report task_20250121_094400 --samples 20 --seed 3
  data-pipeline qa report task_20250121_094400 --no-rows --json
"""


@app.command(epilog=REPORT_EXAMPLES)
def report(
    task: TaskId,
    samples: Annotated[int, typer.Option(help="Number of sample pairs.", min=0, max=1_000)] = 5,
    seed: Annotated[int, typer.Option(help="Random seed of the sample; another seed gives other pairs.", min=0)] = 0,
    no_rows: Annotated[
        bool, typer.Option("--no-rows", help="Do not query the business database for rows of the sample pairs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Report on a task's question-SQL pairs: coverage, difficulty, rejections, and samples."""
    from data_pipeline.steps.qa.report import read_report, with_samples

    settings = load_settings()
    found = with_samples(read_report(directory_of(settings, task), task), samples, seed)
    problem = None
    if found.samples and not no_rows:
        found, problem = _with_rows(settings, found)
    if as_json:
        print_json({**found.summary(), "rows_problem": problem})
    else:
        _print(found, problem)


def _with_rows(settings: Settings, found: QaReport) -> tuple[QaReport, str | None]:
    """Add rows to the samples of a report; on an error, return the report without rows and the reason."""
    from data_pipeline.database.connection import open_database
    from data_pipeline.steps.qa.report import with_rows
    from data_pipeline.use_cases.foreground import run_parameters

    try:
        with open_existing_store(settings) as store:
            url = run_parameters(settings, store.task(found.task_id)).db_connection
        with open_database(url) as database:
            return with_rows(found, database), None
    except PipelineError as error:
        return found, str(error)


def _print(found: QaReport, problem: str | None) -> None:
    print_fields(_totals(found))
    print_section("table", "Tables", ("table", "pairs", "columns", "without a pair", "not usable", ""),
                  [_table_row(table) for table in found.tables()])  # fmt: skip
    print_counts("family", "Families", found.families())
    print_bars("difficulty", "Difficulty", found.difficulties())
    numbers = found.numbers
    print_counts("rejected", "Rejected by the gates", found.rejections())
    joins = [(join.source, join.target, f"{join.confidence:.2f}") for join in numbers.inferred_joins]
    print_section("join", "Inferred joins", ("from", "to", "confidence"), joins)
    print_section("problem", "Problems", ("where", "what"), numbers.problems.items())
    for sample in found.samples:
        _print_sample(sample)
    print_section("no rows", "No rows of samples", ("reason",), [(problem,)] if problem is not None else [])


def _totals(found: QaReport) -> list[tuple[str, str]]:
    numbers, coverage = found.numbers, found.numbers.coverage
    fields = [("task", found.task_id), ("file", found.pair_file or "-")]
    fields.append(("pairs", _pairs(found)))
    if numbers.seed is not None:
        fields.append(("parameters", f"seed {numbers.seed}, language {numbers.language or '-'}"))
    parts = {"tables": coverage.tables, "columns": coverage.columns, "foreign keys": coverage.foreign_keys}
    for name, part in parts.items():
        if part is not None:
            fields.append((name, f"{part.covered} of {part.total} ({100 * part.share:.0f} %)"))
    if coverage.clauses:
        fields.append(("clauses", f"{len(coverage.clauses)}: {', '.join(coverage.clauses)}"))
    if numbers.sql_shapes is not None:
        fields.append(("SQL shapes", str(numbers.sql_shapes)))
    if distinct := found.distinct():
        fields.append(("distinct", ", ".join(f"{n}: {share:.2f}" for n, share in distinct.items())))
    worded = found.provenances()
    if set(worded) - {"template"}:
        fields.append(("worded by", ", ".join(f"{name}: {count}" for name, count in worded.items())))
    if coverage.tables_without_a_pair:
        fields.append(("no pairs for", ", ".join(coverage.tables_without_a_pair)))
    return [*fields, *(("note", note) for note in found.notes)]


def _pairs(found: QaReport) -> str:
    numbers = found.numbers
    if numbers.total_questions is None:
        return f"{len(found.pairs)} in the file"
    generated = f"{numbers.total_questions} of {'?' if numbers.requested is None else numbers.requested} requested"
    if len(found.pairs) == numbers.total_questions and not found.not_as_made:
        return generated
    return f"{generated}; now {len(found.pairs)}, {found.not_as_made} of them changed or added since"


def _table_row(table: Json) -> tuple[str, ...]:
    by_role: dict[str, list[str]] = {}
    for column, role in table["not_usable"].items():
        by_role.setdefault(role, []).append(column)
    marks = [] if table["has_rows"] else ["no rows"]
    if table["columns"] == 1:
        marks.append("one column")
    return (
        table["table"],
        str(table["pairs"]),
        f"{table['covered']}/{table['usable']}",
        ", ".join(table["without_a_pair"]) or "-",
        "; ".join(f"{role}: {', '.join(columns)}" for role, columns in by_role.items()) or "-",
        ", ".join(marks) or "-",
    )


def _print_sample(sample: Sample) -> None:
    from rich.text import Text

    from data_pipeline.semantics.wording import one_line

    pair = sample.pair
    difficulty, family = (sample.made_of.difficulty, sample.made_of.family) if sample.made_of else ("-", "-")
    rows = [tuple(map(_cell, row)) for row in sample.rows or ()]
    console = new_console()
    if not console.is_terminal:
        lines = [f"question\t{pair.id}\t{difficulty}\t{family}\t{one_line(pair.question)}"]
        lines.append(f"sql\t{pair.id}\t{one_line(pair.sql)}")
        lines += ["\t".join(("row", pair.id, *row)) for row in rows]
        lines += [f"not run\t{pair.id}\t{sample.problem}"] if sample.problem else []
        print("\n".join(lines))
        return
    console.print(Text.assemble("\n", (one_line(pair.question), "bold"), (f"  {difficulty}, {family}", "dim")))
    console.print(Text(one_line(pair.sql), style="cyan"))
    if sample.problem:
        console.print(Text(sample.problem, style="yellow"))
    elif sample.rows is not None:
        print_table([_cell(column) for column in sample.columns], _with_more(rows, is_cut=sample.is_cut))


def _with_more(rows: Sequence[tuple[str, ...]], *, is_cut: bool) -> list[tuple[str, ...]]:
    return [*rows, ("…", *[""] * (len(rows[0]) - 1))] if is_cut else list(rows)


def _cell(value: Any) -> str:
    """Format a value on one line, shortened to CELL_CHARACTERS; bytes are shown as their number."""
    from data_pipeline.semantics.wording import one_line

    if value is None:
        return "NULL"
    text = f"({len(value)} bytes)" if isinstance(value, (bytes, memoryview)) else one_line(str(value))
    return text if len(text) <= CELL_CHARACTERS else f"{text[: CELL_CHARACTERS - 1]}…"
