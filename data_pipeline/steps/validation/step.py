"""The step sql_validation: check every pair again, repair it, or move it from the pair file to the report."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from data_pipeline.database.connection import BusinessDatabase, open_database
from data_pipeline.database.drivers import grammar_of
from data_pipeline.database.execution import Cancellation, QueryLimits, compile_query, execute_query
from data_pipeline.database.finding import resolve_tables
from data_pipeline.database.query_gate import Query, check_query
from data_pipeline.database.query_spelling import is_as_written, is_same_query
from data_pipeline.database.reflection import read_tables
from data_pipeline.database.schema import Table
from data_pipeline.errors import DatabaseUnavailable, InvalidInput, ModelFailed, QueryFailed, QueryRefused
from data_pipeline.events import Event
from data_pipeline.steps.contract import RunParameters, StepContext, StepOutput
from data_pipeline.steps.model_answers import repaired_query, used
from data_pipeline.steps.pair_file import BACKUP, SUFFIX, NotAPair, Pair, format_pairs, parse_pairs
from data_pipeline.steps.threads import in_step_thread, in_waiting_thread, stopped_by
from data_pipeline.steps.validation.repair import ROUNDS, repairs_of
from data_pipeline.steps.validation.report import PairOutcome, report_of, statistics_of, summary_log
from data_pipeline.tasks.results import Json, ModelCost, StepResult, ValidationResult
from data_pipeline.tasks.table_list import TableName

if TYPE_CHECKING:
    from data_pipeline.language_model.client import LanguageModel

MADE_BY: Final = "qa_generation"
"""The step whose pairs are validated."""

BATCH: Final = 20
BATCHES_AT_ONCE: Final = 4
LIMITS: Final = QueryLimits(seconds=30.0, rows=1_000)
ATTEMPTS: Final = 3
"""Maximum number of attempts at a query if the database does not answer."""

RETRY_SECONDS: Final = 0.5
_REPORT: Final = re.compile(r"sql_validation_\d{8}_\d{6}(?:_\d+)?_(?:summary\.log|report\.json)")


@dataclass(frozen=True)
class _Verdict:
    """The verdict on one text; `written` is the text that ran in its place, if any, and `error` the reason."""

    seconds: float
    is_empty: bool = False
    fault: str | None = None
    error: str | None = None
    retries: int = 0
    written: str | None = None


@dataclass(frozen=True)
class _PairFile:
    """The pair file to validate."""

    name: str
    raw: bytes
    pairs: Sequence[Pair]
    others: Sequence[NotAPair]


class SqlValidation:
    """One durable call for each batch. A failing pair does not fail the step; a database without an answer does."""

    name = "sql_validation"

    def why_skipped(self, parameters: RunParameters, steps_before: Sequence[str]) -> str | None:
        if not parameters.enable_sql_validation:
            return "disabled by the task (enable_sql_validation)"
        if MADE_BY not in steps_before:
            return f"{MADE_BY} is not a step of this run, so there are no pairs to validate"
        if not parameters.profile_tables:
            return f"{MADE_BY} is skipped, so there are no pairs to validate"
        return None

    async def check(self, parameters: RunParameters, tables: Sequence[TableName]) -> None:  # noqa: ARG002
        with await in_waiting_thread(open_database, parameters.db_connection):
            pass

    async def run(self, context: StepContext) -> StepOutput:
        started = datetime.now(UTC).astimezone()
        before = context.model.usage if context.model is not None else None
        file = await in_waiting_thread(_pair_file, context)
        with await in_waiting_thread(open_database, context.parameters.db_connection) as database:
            outcomes = await self._validate(context, database, file.pairs)
            label = database.label
        usage = used(before, context.model)
        return await in_step_thread(_output, context, file, outcomes, started, label, usage)

    async def _validate(
        self, context: StepContext, database: BusinessDatabase, pairs: Sequence[Pair]
    ) -> list[PairOutcome]:
        judge = _Judge(context, database)
        done = 0

        async def batch(part: Sequence[Pair]) -> Json:
            return {"outcomes": [asdict(outcome) for outcome in await judge.outcomes_of(part)]}

        def finished(result: Json) -> None:
            nonlocal done
            done += len(result["outcomes"])
            context.emit(Event("pairs", "advanced", self.name, done=done, total=len(pairs)))

        parts = [pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH)]
        # Named by content, so that a resumed run that finds another file does not use old results.
        works = [(f"{self.name}:{_digest(part)}", lambda part=part: batch(part)) for part in parts]
        results = await context.runner.run_all(works, concurrency=BATCHES_AT_ONCE, finished=finished)
        return [PairOutcome(**outcome) for result in results for outcome in result["outcomes"]]


class _Judge:
    """Checks queries and tries repairs."""

    def __init__(self, context: StepContext, database: BusinessDatabase) -> None:
        self._context = context
        self._database = database
        self._dialect = database.dialect_name
        self._limits = replace(LIMITS, cancellation=Cancellation())
        self._known: list[Table] | None = None
        self._reading = asyncio.Lock()

    async def outcomes_of(self, pairs: Sequence[Pair]) -> list[PairOutcome]:
        verdicts = await self._judge([pair.sql for pair in pairs])
        return [await self._outcome(pair, verdict) for pair, verdict in zip(pairs, verdicts, strict=True)]

    async def _outcome(self, pair: Pair, first: _Verdict) -> PairOutcome:
        plain = PairOutcome(
            pair.id,
            pair.question,
            pair.sql,
            "valid" if first.fault is None else "invalid",
            first.seconds,
            first.is_empty,
            first.fault,
            first.error,
            first.retries,
        )
        if first.written is not None:
            foreign = replace(plain, fault="dialect", error=first.error)
            what = f"written in the dialect of {grammar_of(self._dialect).title}"
            return _repaired(foreign, first.written, first, by="rules", what=what)
        if first.fault is None:
            return plain
        repaired = plain if first.fault in ("timeout", "too_large") else await self._repaired_by_rules(plain)
        model = self._context.model
        if repaired.status == "repaired" or model is None or not self._context.parameters.enable_llm_repair:
            return repaired
        return await self._repaired_by_model(model, repaired)

    async def _repaired_by_rules(self, broken: PairOutcome) -> PairOutcome:
        """Repair one fault after the other; a text with another fault is progress."""
        sql, fault, done = broken.sql, broken.fault, list[str]()
        tables = await self._tables()
        was_tried = False
        for _ in range(ROUNDS):
            ahead = None
            for repair in await in_step_thread(repairs_of, sql, fault or "", self._dialect, tables):
                was_tried = True
                (verdict,) = await self._judge([repair.sql])
                if verdict.fault is None:
                    return _repaired(broken, repair.sql, verdict, by="rules", what="; ".join([*done, repair.done]))
                if ahead is None and verdict.error != broken.error:
                    ahead = (repair, verdict.fault)
            if ahead is None:
                break
            sql, fault = ahead[0].sql, ahead[1]
            done.append(ahead[0].done)
        return replace(broken, repair_error="no rule repairs it") if was_tried else broken

    async def _repaired_by_model(self, model: LanguageModel, broken: PairOutcome) -> PairOutcome:
        """One round: question, query, error and the nearest tables; the answer passes the same gates."""
        tables = await self._tables()
        try:
            sql = await repaired_query(model, self._dialect, broken.question, broken.sql, broken.error or "", tables)
        except ModelFailed as error:
            return replace(broken, repair_error=error.reason)
        (verdict,) = await self._judge([sql])
        if verdict.fault is not None:
            return replace(broken, repair_error=f"the repair of the model fails too: {verdict.error}")
        return _repaired(broken, sql, verdict, by="model", what="written anew")

    async def _judge(self, sqls: Sequence[str]) -> list[_Verdict]:
        """Return the verdicts in the order of the texts: first parse all in the computing thread, then run them."""
        checked = await in_step_thread(lambda: [self._check(sql) for sql in sqls])
        running = in_waiting_thread(
            lambda: [
                one if isinstance(one, _Verdict) else self._execute(sql, one)
                for sql, one in zip(sqls, checked, strict=True)
            ]
        )
        return await stopped_by(self._limits.cancellation.set, running)

    def _check(self, sql: str) -> Query | _Verdict:
        try:
            return check_query(sql, self._dialect)
        except QueryRefused as error:
            return _Verdict(0.0, fault=error.kind, error=error.reason)

    def _execute(self, sql: str, query: Query) -> _Verdict:
        for attempt in Retrying(
            retry=retry_if_exception_type(DatabaseUnavailable),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_fixed(RETRY_SECONDS),
            reraise=True,
        ):
            with attempt:
                retries = attempt.retry_state.attempt_number - 1
                try:
                    found = execute_query(self._database, query, self._limits)
                except QueryFailed as error:
                    return _Verdict(0.0, fault=error.kind, error=error.reason, retries=retries)
                why_not = self._why_not_as_it_is(sql, query)
        verdict = _Verdict(round(found.seconds, 6), is_empty=not found.rows, retries=retries)
        return verdict if why_not is None else replace(verdict, error=why_not, written=query.sql + ";")

    def _why_not_as_it_is(self, sql: str, query: Query) -> str | None:
        """Return why a text must be replaced by the one that ran; None if the database accepts it too."""
        if is_as_written(sql, query):
            return None
        if not is_same_query(sql, query):
            return "the database may read it differently from the query that ran"
        try:
            compile_query(self._database, sql, self._limits)
        except QueryFailed as error:
            if error.kind in ("cancelled", "timeout"):
                raise
            return error.reason
        return None

    async def _tables(self) -> list[Table]:
        """Return the listed tables, which are read when the first query fails."""
        async with self._reading:
            if self._known is None:
                self._known = await in_waiting_thread(self._read)
        return self._known

    def _read(self) -> list[Table]:
        found, _ = resolve_tables(self._database, self._context.tables)
        return read_tables(self._database, found)[0]


def _repaired(
    broken: PairOutcome, sql: str, verdict: _Verdict, *, by: Literal["rules", "model"], what: str
) -> PairOutcome:
    return replace(
        broken,
        status="repaired",
        execution_time=verdict.seconds,
        is_empty=verdict.is_empty,
        final_sql=verdict.written or sql,
        repaired_by=by,
        repair=what,
        repair_error=None,
    )


def _pair_file(context: StepContext) -> _PairFile:
    """Return the pair file that qa_generation published, as it is now; else the only pair file."""
    generated = context.files.result_of(MADE_BY, StepResult)
    named = [file.name for file in generated.files if file.name.endswith(SUFFIX)] if generated is not None else []
    candidates = named or [name for name in context.files.names() if name.endswith(SUFFIX)]
    if len(candidates) != 1:
        found = f"there are {len(candidates)}: {', '.join(candidates[:5])}" if candidates else "there is none"
        raise InvalidInput("pair file", f"{found}. Run {MADE_BY}, or upload one file called qs_<name>{SUFFIX}")
    raw = context.files.read(candidates[0])
    if raw is None:
        raise InvalidInput("pair file", f"{candidates[0]} is missing: run {MADE_BY} again, or upload it")
    pairs, others = parse_pairs(raw, candidates[0])
    return _PairFile(candidates[0], raw, pairs, others)


def _output(
    context: StepContext,
    file: _PairFile,
    outcomes: Sequence[PairOutcome],
    started: datetime,
    label: str,
    usage: ModelCost | None,
) -> StepOutput:
    now = datetime.now(UTC).astimezone()
    staying = [
        (outcome.question, outcome.final_sql or outcome.sql) for outcome in outcomes if outcome.status != "invalid"
    ]
    is_changed = len(staying) < len(outcomes) + len(file.others) or any(one.final_sql for one in outcomes)
    is_modified = is_changed and context.parameters.modify_original_file
    duration = round((now - started).total_seconds(), 3)
    numbers = statistics_of(outcomes, file.others, is_modified=is_modified)
    about = {
        "task_id": context.task_id,
        "run_id": context.run_id,
        "input_file": file.name,
        "database": label,
        "validated_at": now.isoformat(),
        "duration": duration,
    }
    names = context.files.names()
    name = _free_name(f"sql_validation_{now:%Y%m%d_%H%M%S}", {other[: other.rfind("_")] for other in names})
    report = report_of(outcomes, file.others, about, numbers)
    staged = [
        context.staging.write(f"{name}_summary.log", summary_log(outcomes, file.others, about, numbers, now)),
        context.staging.write(f"{name}_report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n"),
    ]
    reports = {other for other in names if _REPORT.fullmatch(other)}  # with the removed pairs, until the next backup
    backups = {other for other in names if other.startswith(f"{file.name}{BACKUP}")}
    replaces = {}
    if is_modified:
        staged.append(context.staging.write(file.name, format_pairs(staying)))
        replaces[file.name] = hashlib.sha256(file.raw).hexdigest()
        if not any(context.files.read(backup) == file.raw for backup in backups):
            staged.append(context.staging.write(_free_name(f"{file.name}{BACKUP}", names), file.raw))
    result = ValidationResult(input_file=file.name, **dict(numbers), language_model=usage, duration=duration)
    return StepOutput(tuple(staged), result, replaces=replaces, keeps=frozenset({file.name, *backups, *reports}))


def _free_name(name: str, taken: Collection[str]) -> str:
    """Return the first free name of name, name_2, name_3 ..., so that earlier files stay."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _digest(pairs: Sequence[Pair]) -> str:
    return hashlib.sha256("\n".join(pair.id for pair in pairs).encode()).hexdigest()[:16]
