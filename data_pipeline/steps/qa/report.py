"""Report on a task's question-SQL pairs, from the files of the step and from the files as they are now.

    qa_generation_result.json    the numbers at the generation, if its seal is intact
    qs_…_pair.json               the pairs as they are now
    qs_…_pair.meta.jsonl         the origin of each pair, as long as neither the pair nor its line has changed

Files are read without the task's lock, because a report changes nothing and must not wait.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from data_pipeline.database.connection import BusinessDatabase
from data_pipeline.database.execution import QueryLimits, execute_query
from data_pipeline.database.query_gate import check_query
from data_pipeline.errors import DirectoryUnusable, InvalidInput, NotFound, QueryFailed, QueryRefused
from data_pipeline.steps.pair_file import SUFFIX, Pair, parse_pairs
from data_pipeline.steps.qa.sql.forms import distinct_share
from data_pipeline.steps.qa.step import META_SUFFIX
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.results import Json, PairsResult, StepResult
from data_pipeline.tasks.sealed import unsealed
from data_pipeline.tasks.workspace import printable, read_file

STEP: Final = "qa_generation"
VALIDATION: Final = "sql_validation"
SAMPLE_LIMITS: Final = QueryLimits(seconds=10.0, rows=3)
"""The limits of each query of a sample."""


class MadeOf(BaseModel):
    """A line of the meta file: the origin of a pair, as far as the report has it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    family: str
    difficulty: str
    provenance: str = "template"


@dataclass(frozen=True)
class Sample:
    """A sample pair. `rows` are the first rows of its query; None if it was not run, with the reason in `problem`."""

    pair: Pair
    made_of: MadeOf | None
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] | None = None
    is_cut: bool = False
    problem: str | None = None

    def summary(self) -> Json:
        """Return the JSON for programs."""
        return {
            "id": self.pair.id,
            "question": self.pair.question,
            "sql": self.pair.sql,
            "family": self.made_of.family if self.made_of else None,
            "difficulty": self.made_of.difficulty if self.made_of else None,
            "columns": list(self.columns),
            "rows": None if self.rows is None else [list(map(_for_json, row)) for row in self.rows],
            "has_more_rows": self.is_cut,
            "problem": self.problem,
        }


@dataclass(frozen=True)
class QaReport:
    """A task's pairs. `result` is the step's, None if its file was changed; `notes` are other changes.

    `made_of` are the origins of the unchanged pairs by id. `is_vouched_for`: the meta file is the one that the step
    published, so these pairs passed the gates.
    """

    task_id: str
    result: PairsResult | None
    pair_file: str | None
    pairs: Sequence[Pair] = ()
    made_of: Mapping[str, MadeOf] = field(default_factory=dict)
    is_vouched_for: bool = False
    gone: int = 0
    notes: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()

    @property
    def numbers(self) -> PairsResult:
        """The result of the step; without numbers if its file was changed."""
        return self.result or PairsResult()

    @property
    def not_as_made(self) -> int:
        """The number of pairs that were added or changed after the step."""
        return sum(pair.id not in self.made_of for pair in self.pairs)

    def families(self) -> dict[str, int]:
        """Return the number of pairs of each family now, most first, and families without a pair at the end."""
        return _ranked(Counter(one.family for one in self.made_of.values()), self.numbers.families)

    def difficulties(self) -> dict[str, int]:
        """Return the number of pairs of each difficulty now, in the order of difficulty."""
        counted = Counter(one.difficulty for one in self.made_of.values()) or Counter(self.numbers.difficulty)
        order = ("easy", "medium", "hard", "extra", "beyond")
        known = [name for name in order if name in counted]
        return {name: counted[name] for name in (*known, *sorted(set(counted) - set(order)))}

    def provenances(self) -> dict[str, int]:
        """Return the number of pairs by author of the question: templates, or a model."""
        return _ranked(Counter(one.provenance for one in self.made_of.values()), {})

    def rejections(self) -> dict[str, int]:
        """Return the number of candidates that each gate rejected, most first."""
        return _ranked(Counter(self.numbers.rejections), {})

    def distinct(self) -> dict[str, float]:
        """Return distinct-1, -2 and -3 of the questions as they are now."""
        questions = [pair.question for pair in self.pairs]
        return {str(n): round(distinct_share(questions, n), 4) for n in (1, 2, 3)} if questions else {}

    def tables(self) -> list[Json]:
        """Return for each database table the number of its pairs, and its columns without a pair."""
        numbers = self.numbers
        columns = numbers.coverage.columns_without_a_pair
        found = []
        for name, counts in numbers.coverage.columns_by_table.items():
            not_usable = numbers.not_usable.get(name, {})
            without_a_pair = [column.removeprefix(f"{name}.") for column in columns if column.startswith(f"{name}.")]
            found.append(
                {
                    "table": name,
                    "pairs": numbers.pairs_by_table.get(name, 0),
                    "columns": counts.total + len(not_usable),
                    "usable": counts.total,
                    "covered": counts.covered,
                    "without_a_pair": without_a_pair,
                    "not_usable": not_usable,
                    "has_rows": name not in numbers.tables_without_rows,
                }
            )
        return found

    def summary(self) -> Json:
        """Return the JSON of the report for programs."""
        numbers = self.numbers
        return {
            "task_id": self.task_id,
            "pair_file": self.pair_file,
            "result_is_unchanged": self.result is not None,
            "notes": list(self.notes),
            "requested": numbers.requested,
            "made": numbers.total_questions,
            "pairs": len(self.pairs),
            "as_made": len(self.made_of),
            "changed_or_added": self.not_as_made,
            "gone": self.gone,
            "sql_shapes": numbers.sql_shapes,
            "distinct": self.distinct(),
            "seed": numbers.seed,
            "language": numbers.language,
            "coverage": numbers.coverage.model_dump(mode="json", exclude={"columns_by_table"}, exclude_unset=True),
            "tables": self.tables(),
            "families": self.families(),
            "difficulty": self.difficulties(),
            "provenance": self.provenances(),
            "rejections": self.rejections(),
            "inferred_joins": [join.as_json() for join in numbers.inferred_joins],
            "problems": numbers.problems,
            "samples": [sample.summary() for sample in self.samples],
        }


def read_report(path: str, task_id: str) -> QaReport:
    """Read the report from the files of the task directory at `path`.

    Raises DirectoryUnusable, and NotFound if the step never ran.
    """
    raw = _read(path, task_directory.step_result(STEP))
    if raw is None:
        raise NotFound(
            "result of qa_generation",
            task_id,
            f"The step has not run since the last backup: data-pipeline run {task_id}",
        )
    notes = []
    result = PairsResult.read(unsealed(raw))
    if result is None:
        notes.append(f"{task_directory.step_result(STEP)} was changed after the run, so its numbers are omitted")
    published = {file.name: file.sha256 for file in result.files} if result is not None else {}
    name = _pair_file_name(path, published)
    if name is None:
        return QaReport(task_id, result, None, notes=(*notes, "the pair file is missing"))
    content = _read(path, name)
    pairs, problem = _pairs(content, name)
    notes += [problem] if problem else []
    meta_name = name.removesuffix(SUFFIX) + META_SUFFIX
    meta = _read(path, meta_name)
    lines, bad_lines = _meta(meta or b"")
    if meta is None:
        notes.append(f"{meta_name} is missing, so the origin of the pairs is unknown")
    elif bad_lines:
        notes.append(f"{meta_name}: {bad_lines} lines cannot be read")
    here = {pair.id for pair in pairs}
    report = QaReport(
        task_id,
        result,
        name,
        pairs,
        {one.id: one for one in lines if one.id in here},
        is_vouched_for=meta is not None and _sha256(meta) == published.get(meta_name),
        gone=len({one.id for one in lines} - here),
    )
    if meta is not None and published and not report.is_vouched_for:
        notes.append(f"{meta_name} was changed after the run")
    if content is not None and published and _sha256(content) != published[name]:
        notes.append(_how_changed(path, name, content, report))
    return replace(report, notes=tuple(notes))


def with_samples(report: QaReport, count: int, seed: int) -> QaReport:
    """Return the report with a number of sample pairs in the order of the file; another seed gives other samples."""
    chosen = sorted(Random(seed).sample(range(len(report.pairs)), min(count, len(report.pairs))))  # noqa: S311
    pairs = [report.pairs[place] for place in chosen]
    return replace(report, samples=tuple(Sample(pair, report.made_of.get(pair.id)) for pair in pairs))


def with_rows(report: QaReport, database: BusinessDatabase) -> QaReport:
    """Return the report with the first rows of the samples' queries, run read-only and within limits.

    Only queries that passed the gates are run, because a later query could show what the gates keep back. Raises
    DatabaseUnavailable.
    """
    return replace(report, samples=tuple(_run(sample, report, database) for sample in report.samples))


def _run(sample: Sample, report: QaReport, database: BusinessDatabase) -> Sample:
    if not report.is_vouched_for or sample.made_of is None:
        return replace(sample, problem="not run: it is not as the step made it, so nobody knows what it shows")
    try:
        found = execute_query(database, check_query(sample.pair.sql, database.dialect_name), SAMPLE_LIMITS)
    except (QueryRefused, QueryFailed) as error:
        return replace(sample, problem=str(error))
    return replace(sample, columns=found.columns, rows=found.rows, is_cut=found.is_cut)


def _pair_file_name(path: str, published: Mapping[str, str]) -> str | None:
    """Return the pair file of the result, else the newest one with a meta file, by the time in its name."""
    own = [name for name in published if name.endswith(SUFFIX)]
    if own:
        return own[0]
    try:
        names = set(os.listdir(path))
    except OSError as error:
        raise DirectoryUnusable(f"{printable(path)} cannot be read ({error.strerror}).") from error
    made = [name for name in names if name.endswith(SUFFIX) and name.removesuffix(SUFFIX) + META_SUFFIX in names]
    return max(made, default=None)


def _pairs(content: bytes | None, name: str) -> tuple[list[Pair], str | None]:
    """Return the pairs of the file, and the problem with it."""
    if content is None:
        return [], f"{name} is missing, so there are no pairs"
    try:
        pairs, others = parse_pairs(content, name)
    except InvalidInput as error:
        return [], str(error)
    return pairs, f"{name}: {len(others)} items are not pairs" if others else None


def _meta(content: bytes) -> tuple[list[MadeOf], int]:
    """Return the lines of a meta file, and the number of invalid lines."""
    lines, bad_lines = [], 0
    for line in content.splitlines():
        try:
            lines.append(MadeOf.model_validate_json(line))
        except ValidationError:
            bad_lines += 1
    return lines, bad_lines


def _how_changed(path: str, name: str, content: bytes, report: QaReport) -> str:
    """Return the author of the change of the pair file, and the numbers of changes."""
    raw = _read(path, task_directory.step_result(VALIDATION))
    validated = StepResult.read(unsealed(raw)) if raw is not None else None
    published = {(file.name, file.sha256) for file in validated.files} if validated is not None else set()
    author = VALIDATION if (name, _sha256(content)) in published else "a person or another program"
    if not report.not_as_made and not report.gone:
        return f"{name}: {author} rewrote it with the same pairs"
    changed, removed = report.not_as_made, report.gone
    return f"{name}: {author} changed or added {changed} pairs and removed {removed} after the step made it"


def _read(path: str, name: str) -> bytes | None:
    """Return a file of the task; None if it is missing. Raises DirectoryUnusable."""
    try:
        return read_file(os.path.join(path, name))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DirectoryUnusable(f"{printable(path)}: {name} cannot be read ({error.strerror}).") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _ranked(counted: Counter[str], known: Mapping[str, int]) -> dict[str, int]:
    """Return counts in descending order, with 0 for known names without a count."""
    every = {**dict.fromkeys(known, 0), **counted} if counted else dict(known)
    return dict(sorted(every.items(), key=lambda item: (-item[1], item[0])))


def _for_json(value: Any) -> Any:
    """Return a value of a row for JSON."""
    if isinstance(value, (bytes, memoryview)):
        return f"({len(value)} bytes)"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
