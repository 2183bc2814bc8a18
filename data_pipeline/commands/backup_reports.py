"""Options, confirmation, reports and exit codes that the commands for backups of files and of vectors share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data_pipeline.commands.exit_codes import code_of_deletion, code_of_verification
from data_pipeline.commands.options import with_options
from data_pipeline.commands.output import local_time, print_json, print_lines, print_table
from data_pipeline.config.retention import RetentionPolicy
from data_pipeline.errors import InvalidInput, PipelineError

if TYPE_CHECKING:
    from data_pipeline.tasks.backup.pruning import PruneReport
    from data_pipeline.tasks.backup.verification import VerifyReport

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted, and why.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]

with_rules = with_options(RetentionPolicy, "rules")
"""Decorator that replaces the parameter `rules` of a command by an option for each rule of a policy."""


def chosen_policy(rules: Mapping[str, object], default: RetentionPolicy, command: str) -> RetentionPolicy:
    """Return the policy of a command. Raises InvalidInput for a wrong rule, and if no rule is given or set."""
    from data_pipeline.tasks.backup.pruning import policy_of

    policy = policy_of(rules, default)
    if policy.is_empty:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in RetentionPolicy.model_fields)
        raise InvalidInput(command, f"no rule given or configured: expected at least one of {options}")
    return policy


def confirm_deletion(planned: PruneReport, command: str, *, yes: bool, as_json: bool) -> None:
    """Ask for confirmation unless `yes` is set. Raises InvalidInput if standard input is not a terminal."""
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise InvalidInput(command, "not a terminal: pass --yes to confirm; --dry-run shows what would be deleted")
    print_pruned(planned, as_json=False)
    typer.confirm(f"Delete {len(planned.deleted)} backups?", abort=True)


def print_pruned(report: PruneReport, *, as_json: bool) -> None:
    """Print each backup with its verdict and the reasons."""
    if as_json:
        print_json(report.summary())
        return
    words = {"keep": "keep", "delete": "would delete" if report.is_dry_run else "deleted"}
    rows = [
        (backup.backup, words.get(backup.action, backup.action), local_time(backup.made_at), str(backup.file_count),
         f"{backup.size_bytes:,}", backup.error or ", ".join(backup.reasons))
        for backup in report.backups
    ]  # fmt: skip
    print_table(("backup", "action", "made", "files", "bytes", "reason"), rows)
    summary = report.summary()
    verb = "would be deleted" if report.is_dry_run else "deleted"
    print_lines([f"{summary['deleted_count']} backups {verb}, {summary['deleted_bytes']:,} bytes."])


def end_deletion(report: PruneReport, *, as_json: bool) -> None:
    """Print the report of a deletion and exit with its code."""
    print_pruned(report, as_json=as_json)
    code = code_of_deletion({backup.action for backup in report.backups})
    if code:
        raise typer.Exit(code)


def verify_each(
    list_names: Callable[[], Iterable[str]], verify: Callable[[str], VerifyReport], *, goes_on: bool
) -> Iterator[VerifyReport]:
    """Verify the backups of a place. With `goes_on`, an error becomes a report and the next backup is verified."""
    from data_pipeline.tasks.backup.verification import report_failure

    try:
        names = list_names()
    except PipelineError as error:
        if not goes_on:
            raise
        yield report_failure("", error)
        return
    for name in names:
        try:
            yield verify(name)
        except PipelineError as error:
            if not goes_on:
                raise
            yield report_failure(name, error)


def end_verification(reports: Iterable[tuple[str, VerifyReport]], key: str, *, as_json: bool) -> None:
    """Print each report with the place of its backup (`key` in JSON) and exit with the code for all of them."""
    results: list[dict[str, Any]] = []
    for place, report in reports:
        results.append({key: place, **report.summary()})
        if not as_json:
            print_lines(_verified_lines(place, report))
    if as_json:
        print_json(results)
    elif not results:
        print_lines(["There are no backups to verify."])
    code = code_of_verification({result["state"] for result in results})
    if code:
        raise typer.Exit(code)


def _verified_lines(place: str, report: VerifyReport) -> list[str]:
    by = "checksums" if report.checksums_recorded_at else "its record" if report.has_record else "nothing"
    lines = [f"{place}/{report.backup}: {report.state} ({report.file_count} files, compared with {by})"]
    return lines + [
        f"  {problem.kind}: {problem.file or report.backup}: {problem.message}" for problem in report.problems
    ]
