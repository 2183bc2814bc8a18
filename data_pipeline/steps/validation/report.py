"""The findings of sql_validation as numbers, as a page for people, and as JSON for programs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from data_pipeline.steps.pair_file import NotAPair
from data_pipeline.tasks.results import PairFileChanges, RepairCounts, ValidationNumbers


@dataclass(frozen=True)
class PairOutcome:
    """One pair after all gates: `valid` as it was, `repaired` into `final_sql`, or `invalid` with the first `error`.

    `fault` is one word for counts. `is_empty`: the query returned no row. `repair` is the change by `repaired_by`;
    `repair_error` is why a repair failed.
    """

    id: str
    question: str
    sql: str
    status: Literal["valid", "repaired", "invalid"]
    execution_time: float
    is_empty: bool = False
    fault: str | None = None
    error: str | None = None
    retry_count: int = 0
    final_sql: str | None = None
    repaired_by: Literal["rules", "model"] | None = None
    repair: str | None = None
    repair_error: str | None = None


def statistics_of(
    outcomes: Sequence[PairOutcome], others: Sequence[NotAPair], *, is_modified: bool
) -> ValidationNumbers:
    """Return the numbers of a validation."""
    status = Counter(outcome.status for outcome in outcomes)
    total = len(outcomes) + len(others)
    valid = status["valid"] + status["repaired"]
    tried = [outcome for outcome in outcomes if outcome.status == "repaired" or outcome.repair_error is not None]
    faults = Counter(outcome.fault for outcome in outcomes if outcome.fault is not None)
    seconds = sum(outcome.execution_time for outcome in outcomes)
    return ValidationNumbers(
        original_sql_count=total,
        valid_sql_count=valid,
        invalid_sql_count=total - valid,
        success_rate=round(valid / total, 4) if total else 1.0,
        empty_result_count=sum(outcome.is_empty for outcome in outcomes),
        faults=dict(sorted({**faults, **({"not_a_pair": len(others)} if others else {})}.items())),
        repair_stats=RepairCounts(
            attempted=len(tried), successful=status["repaired"], failed=len(tried) - status["repaired"]
        ),
        file_modification_stats=PairFileChanges(
            modified=status["repaired"] if is_modified else 0, deleted=total - valid if is_modified else 0
        ),
        average_execution_time=round(seconds / len(outcomes), 6) if outcomes else 0.0,
        total_retries=sum(outcome.retry_count for outcome in outcomes),
    )


def report_of(
    outcomes: Sequence[PairOutcome], others: Sequence[NotAPair], about: Mapping[str, Any], numbers: ValidationNumbers
) -> dict[str, Any]:
    """Return the whole report, with every pair by id."""
    return {
        "metadata": dict(about),
        "summary": numbers.as_json(),
        "detailed_results": [
            {"index": place, "valid": outcome.status != "invalid", **asdict(outcome)}
            for place, outcome in enumerate(outcomes)
        ],
        "not_pairs": [asdict(other) for other in others],
    }


def summary_log(
    outcomes: Sequence[PairOutcome],
    others: Sequence[NotAPair],
    about: Mapping[str, Any],
    numbers: ValidationNumbers,
    at: datetime,
) -> str:
    """Return the page: the numbers, the invalid pairs with reasons, the repaired pairs with changes."""
    rule = "=" * 60
    repair, changes = numbers.repair_stats, numbers.file_modification_stats
    lines = [
        "SQL validation",
        rule,
        f"Time:       {at.isoformat(timespec='seconds')}",
        f"Input file: {about['input_file']}",
        f"Database:   {about['database']}",
        f"Duration:   {about['duration']:.2f} s",
        "",
        "Result",
        f"  pairs:          {numbers.original_sql_count}",
        f"  valid:          {numbers.valid_sql_count} ({100 * numbers.success_rate:.1f} %)",
        f"  invalid:        {numbers.invalid_sql_count}",
        f"  without a row:  {numbers.empty_result_count}",
        f"  a query takes:  {numbers.average_execution_time:.4f} s",
        f"  retries:        {numbers.total_retries}",
        "",
        f"Repairs:      {repair.attempted} tried, {repair.successful} successful, {repair.failed} failed",
        f"Pair file:    {changes.modified} changed, {changes.deleted} removed",
    ]
    if numbers.faults:
        lines += ["", "Faults", *(f"  {fault}: {count}" for fault, count in numbers.faults.items())]
    lines += _listed("Invalid", [outcome for outcome in outcomes if outcome.status == "invalid"])
    lines += _listed("Repaired", [outcome for outcome in outcomes if outcome.status == "repaired"])
    lines += _listed("Valid, but without a row", [one for one in outcomes if one.is_empty and one.status == "valid"])
    if others:
        lines += ["", rule, f"No pairs ({len(others)})"]
        lines += [f"  item {other.place}: {other.reason}" for other in others]
    return "\n".join(lines) + "\n"


def _listed(title: str, outcomes: Sequence[PairOutcome]) -> list[str]:
    if not outcomes:
        return []
    lines = ["", "=" * 60, f"{title} ({len(outcomes)})"]
    for outcome in outcomes:
        lines += ["", f"[{outcome.id}] {' '.join(outcome.question.split())}"]
        lines += [f"  fault:  {outcome.fault}: {outcome.error}"] if outcome.error else []
        lines += [f"  repair: {outcome.repair_error}"] if outcome.repair_error else []
        lines += [f"  repair: by {outcome.repaired_by}: {outcome.repair}"] if outcome.repaired_by else []
        lines += [f"  SQL:    {line}" for line in outcome.sql.splitlines()]
        lines += [f"  now:    {line}" for line in (outcome.final_sql or "").splitlines()]
    return lines
