"""The step qa_generation: read the schema and sample rows, generate pairs, and describe the subject of the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from data_pipeline.database.connection import BusinessDatabase, database_name, open_database
from data_pipeline.database.driver import Dialect
from data_pipeline.database.drivers import grammar_of
from data_pipeline.database.execution import Cancellation, QueryLimits
from data_pipeline.database.finding import resolve_tables
from data_pipeline.database.reflection import read_tables
from data_pipeline.database.schema import Table
from data_pipeline.errors import QueryFailed, StepFailed
from data_pipeline.events import Event
from data_pipeline.semantics.facts import Facts, Link, TableFacts
from data_pipeline.semantics.finding_keys import FoundKeys, find_keys
from data_pipeline.semantics.glossary import Glossary, parse_glossary
from data_pipeline.semantics.keys import QUESTION_CONFIDENCE
from data_pipeline.semantics.metadata_writing import (
    About,
    Theme,
    decision_prompt,
    metadata_detail,
    metadata_sql,
    themes_of,
)
from data_pipeline.semantics.observing import Observed, declared_links, link_id, observe, with_links
from data_pipeline.semantics.parts import Measure
from data_pipeline.semantics.profile import known_values, secrets_of
from data_pipeline.semantics.references import ReferenceVerdict
from data_pipeline.semantics.telling import TellingValues
from data_pipeline.steps.contract import RunParameters, StepContext, StepOutput
from data_pipeline.steps.pair_file import SUFFIX, format_pairs, pair_id
from data_pipeline.steps.qa.choose.gates import Gates
from data_pipeline.steps.qa.generator import MIX, GeneratedPair, Generator
from data_pipeline.steps.qa.metrics import metrics_of
from data_pipeline.steps.qa.model.theme_prompts import ThemePrompts
from data_pipeline.steps.qa.model.writing import ModelWriting
from data_pipeline.steps.qa.say.nouns import Nouns
from data_pipeline.steps.threads import Arguments, Call, Result, in_step_thread, in_waiting_thread, stopped_by
from data_pipeline.tasks.results import InferredJoin as JoinFound
from data_pipeline.tasks.results import Json, PairsResult, Part
from data_pipeline.tasks.staging import StagedFile
from data_pipeline.tasks.table_list import TableName

META_SUFFIX: Final = "_pair.meta.jsonl"
GLOSSARY: Final = "glossary.csv"
PAIRS_PER_TABLE: Final = 20
PAIRS_AT_MOST: Final = 5_000
SEED: Final = 7
SLICE: Final = 20
"""Number of candidates between two checks for a cancel, and between two events."""

QUERY_LIMITS: Final = QueryLimits(seconds=10.0)
LOOK_LIMITS: Final = QueryLimits(seconds=30.0)


@dataclass(frozen=True)
class _Schema:
    """The schema with its sample rows, glossary and themes."""

    tables: Sequence[Table]
    observed: Sequence[Observed]
    inferred: Sequence[ReferenceVerdict]
    facts: Facts
    glossary: Glossary
    raw_glossary: bytes | None
    problems: Mapping[str, str]
    themes: Sequence[Theme]


class _Generated(Part):
    """The recorded result of the durable call."""

    files: tuple[StagedFile, ...]
    result: PairsResult


class QaGeneration:
    """One durable call for all pairs; if it did not end, the same seed generates the same pairs again."""

    name = "qa_generation"

    def why_skipped(self, parameters: RunParameters, steps_before: Sequence[str]) -> str | None:  # noqa: ARG002
        if not parameters.profile_tables:
            return "the task reads no rows (profile_tables), and questions need values of rows"
        return None

    async def check(self, parameters: RunParameters, tables: Sequence[TableName]) -> None:  # noqa: ARG002
        with await in_waiting_thread(open_database, parameters.db_connection):
            pass

    async def run(self, context: StepContext) -> StepOutput:
        started = datetime.now(UTC).astimezone()
        with await in_waiting_thread(open_database, context.parameters.db_connection) as database:
            recorded = await context.runner.run(
                self.name,
                lambda: _make(context, database, started),
                is_usable=lambda result: _are_staged(context, result),
            )
        generated = _Generated.model_validate(recorded)
        duration = round((datetime.now(UTC) - started).total_seconds(), 3)
        return StepOutput(generated.files, generated.result.model_copy(update={"duration": duration}))


async def _are_staged(context: StepContext, result: Json) -> bool:
    files = _Generated.model_validate(result).files
    return await in_step_thread(lambda: all(map(context.staging.has, files)))


async def _make(context: StepContext, database: BusinessDatabase, started: datetime) -> Json:
    """Generate all pairs in slices; between them the thread is free for other runs and for a cancel."""
    in_thread = in_waiting_thread if database.driver.waits else in_step_thread
    schema = await _look(context, database, in_thread)
    for place, problem in schema.problems.items():
        context.log.warning("%s: %s", place, problem)
    limits = replace(QUERY_LIMITS, cancellation=Cancellation())
    gates = _gates(database, schema, limits)
    generator = _generator(context.parameters, schema, gates)
    wanted = wanted_pairs(context.parameters, len(schema.facts.tables))
    pairs: list[GeneratedPair] = []

    async def call(
        work: Callable[Arguments, Result], /, *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        return await stopped_by(limits.cancellation.set, in_thread(work, *arguments, **named))

    async def take(making: Iterator[GeneratedPair | None]) -> None:
        while True:
            part = await call(_slice_of, making)
            pairs.extend(pair for pair in part if pair is not None)
            context.emit(Event("pairs", "advanced", "qa_generation", done=len(pairs), total=wanted))
            if len(part) < SLICE:
                return

    writing = _writing(context, schema, gates, generator, call)
    if writing is not None:  # pairs that cover the schema come before those of a model
        await take(generator.covering())
        pairs += await writing.pairs(schema.themes, wanted)
    await take(generator.pairs())
    if not pairs:
        raise StepFailed("qa_generation", {"pairs": "no question passed the gates: do the listed tables have rows?"})
    if writing is not None:
        pairs = await writing.reworded(pairs)
        for place, problem in writing.problems().items():
            context.log.warning("%s: the language model gave no answer: %s", place, problem)
    of_model = {} if writing is None else writing.summary()
    return await in_step_thread(_write, context, schema, generator, pairs, of_model, started)


def _writing(
    context: StepContext, schema: _Schema, gates: Gates, generator: Generator, call: Call
) -> ModelWriting | None:
    """Return the part of a language model in the run; None if it has none."""
    if context.model is None or not context.parameters.enable_llm_pairs:
        return None
    prompts = ThemePrompts(schema.tables, schema.facts, schema.glossary)
    seed = _seed(context.parameters)
    return ModelWriting(context.model, context.parameters, prompts, gates, generator, call, seed=seed)


def wanted_pairs(parameters: RunParameters, table_count: int) -> int:
    """Return the number of requested pairs of a task."""
    per_table = PAIRS_PER_TABLE if parameters.pairs_per_table is None else parameters.pairs_per_table
    at_most = PAIRS_AT_MOST if parameters.max_pairs is None else parameters.max_pairs
    return min(at_most, per_table * table_count)


def _slice_of(making: Iterator[GeneratedPair | None]) -> list[GeneratedPair | None]:
    part = []
    for pair in making:
        part.append(pair)
        if len(part) == SLICE:
            break
    return part


async def _look(context: StepContext, database: BusinessDatabase, in_thread: Any) -> _Schema:
    """Read the tables, then the sample rows of one table after the other."""
    found, missing = await in_thread(resolve_tables, database, context.tables)
    tables, unread = await in_thread(read_tables, database, found)
    problems = {**missing, **unread}
    if problems and not context.parameters.continue_on_error:
        raise StepFailed("qa_generation", problems)
    raw = await in_waiting_thread(context.files.read_given, GLOSSARY)
    glossary = parse_glossary(raw, GLOSSARY) if raw is not None else Glossary()
    problems |= {f"{GLOSSARY}, {target}": "no listed table has it" for target in glossary.unmatched(tables)}
    limits = replace(LOOK_LIMITS, cancellation=Cancellation())
    keys = FoundKeys()
    if context.parameters.infer_joins:
        keys = await stopped_by(limits.cancellation.set, in_thread(find_keys, database, tables, limits))
    observed: list[Observed] = []
    masks = context.parameters.mask_personal_data
    # The pages of ddl_generation search all tables for these values, so the same columns are personal here.
    known = await _known_values(context, database, tables, limits, in_thread) if masks else None
    for table in keys.with_primary_keys(tables):
        looking = in_thread(observe, database, table, limits, masks_personal_data=masks, known=known)
        one = await stopped_by(limits.cancellation.set, looking)
        observed.append(one)
        if one.problem is not None:
            problems[str(table.name)] = one.problem
        context.emit(Event("table", "completed", str(table.name), done=len(observed), total=len(tables)))
    facts = facts_of(database.dialect_name, tables, observed, keys.inferred, glossary)
    joined = [(one.child, one.parent) for one in keys.inferred]
    themes = await in_step_thread(themes_of, tables, context.parameters.language, joined=joined)
    return _Schema(tables, observed, keys.inferred, facts, glossary, raw, problems, themes)


async def _known_values(
    context: StepContext, database: BusinessDatabase, tables: Sequence[Table], limits: QueryLimits, in_thread: Any
) -> TellingValues:
    """Return the values of all tables that identify people; a table that takes too long is left out, and logged."""
    secrets = []
    for table in tables:
        try:
            secrets.append(await stopped_by(limits.cancellation.set, in_thread(secrets_of, database, table, limits)))
        except QueryFailed as error:
            context.log.warning("%s was not searched for personal values: %s", table.name, error)
    return await in_step_thread(known_values, secrets)


def facts_of(
    dialect: Dialect,
    tables: Sequence[Table],
    observed: Sequence[Observed],
    inferred: Sequence[ReferenceVerdict],
    glossary: Glossary,
) -> Facts:
    """Return the facts for the generator from tables, sample rows, the surest inferred keys and the glossary."""
    by_name = {one.table.name: one.table for one in observed}
    links = declared_links(tables, by_name)
    for one in inferred:
        if one.confidence < QUESTION_CONFIDENCE:
            continue
        columns = by_name[one.child].by_name
        links.append(
            Link(
                link_id(one.child, one.child_columns, one.parent),
                one.child,
                one.child_columns,
                one.parent,
                one.parent_columns,
                has_orphans=one.contained_share < 1 or any(columns[name].null_count for name in one.child_columns),
                confidence=min(one.confidence, 0.99),
            )
        )
    unsure = {
        (verdict.child, column)
        for verdict in inferred
        if verdict.confidence < QUESTION_CONFIDENCE
        for column in verdict.child_columns
    }
    marked = with_links([one.table for one in observed], links, unsure)
    return Facts(
        dialect,
        tuple(replace(table, terms=_terms_of(table, glossary)) for table in marked),
        tuple(links),
        grammar_of(dialect).default_schema,
    )


def _terms_of(table: TableFacts, glossary: Glossary) -> tuple[Measure, ...]:
    """Return the measures that a glossary defines over a table, unless they use a column that must not be shown."""
    usable = {column.name.lower() for column in table.columns if column.is_usable}
    return tuple(
        Measure(function="sum", of=table.name.name, term=term.term.text, expression=term.expression_sql)
        for term in glossary.measures
        if _is(term.table, table.name) and {column.lower() for column in term.columns} <= usable
    )


def _is(named: TableName, table: TableName) -> bool:
    schemas = (None, table.schema) if table.schema not in ("main", "public") else (None, "main", "public")
    return named.name.lower() == table.name.lower() and named.schema in schemas


class _GlossaryTerms:
    """The terms of a glossary in the form that `Nouns` needs."""

    def __init__(self, glossary: Glossary) -> None:
        self._glossary = glossary

    def of_table(self, table: TableName) -> Sequence[str]:
        term = self._glossary.of_table(table)
        return (term.text, *term.synonyms) if term is not None else ()

    def of_column(self, table: TableName, column: str) -> Sequence[str]:
        term = self._glossary.of_column(table, column)
        return (term.text, *term.synonyms) if term is not None else ()


def _gates(database: BusinessDatabase, schema: _Schema, limits: QueryLimits) -> Gates:
    return Gates(
        database,
        limits,
        personal={
            table.name: frozenset(column.name.lower() for column in table.columns if column.role == "personal")
            for table in schema.facts.tables
        },
        told=TellingValues(frozenset().union(*(one.told for one in schema.observed))),
        hidden=frozenset().union(*(one.hidden for one in schema.observed)),
        default_schema=schema.facts.default_schema,
    )


def _generator(parameters: RunParameters, schema: _Schema, gates: Gates) -> Generator:
    nouns = Nouns(schema.facts, parameters.language, _GlossaryTerms(schema.glossary))
    return Generator(
        schema.facts,
        nouns,
        gates,
        seed=_seed(parameters),
        wanted=wanted_pairs(parameters, len(schema.facts.tables)),
        mix=parameters.difficulty_mix if parameters.difficulty_mix and any(parameters.difficulty_mix.values()) else MIX,
    )


def _seed(parameters: RunParameters) -> int:
    return SEED if parameters.seed is None else parameters.seed


def _write(
    context: StepContext,
    schema: _Schema,
    generator: Generator,
    pairs: Sequence[GeneratedPair],
    of_model: Json,
    started: datetime,
) -> Json:
    name = database_name(context.parameters.db_connection)
    stem = f"qs_{_plain(name)}_{started:%Y%m%d_%H%M%S}"
    language = context.parameters.language
    about = About(name, context.parameters.business_context, language, started)
    themes = schema.themes
    row_counts = {table.name: table.row_count for table in schema.facts.tables}
    write = context.staging.write
    files = [
        write(f"{stem}{SUFFIX}", format_pairs((pair.question, pair.sql) for pair in pairs)),
        write(f"{stem}{META_SUFFIX}", "".join(_meta_line(pair, schema.facts) for pair in pairs)),
        write("metadata.txt", metadata_sql(themes, about)),
        write("metadata_detail.md", metadata_detail(themes, about, schema.tables, row_counts)),
        write("db_query_decision_prompt.txt", decision_prompt(themes, about)),
    ]
    if schema.raw_glossary is not None:  # the backup moved it away, and the next run needs it
        files.append(write(GLOSSARY, schema.raw_glossary))
    result = PairsResult(
        output_file=f"{stem}{SUFFIX}",
        total_questions=len(pairs),
        requested=wanted_pairs(context.parameters, len(schema.facts.tables)),
        total_themes=len(themes),
        successful_themes=len(themes) - len(of_model.get("failed_themes", ())),
        **of_model,
        seed=_seed(context.parameters),
        language=language,
        **metrics_of(pairs, generator, schema.facts),
        inferred_joins=tuple(map(_join_of, schema.inferred)),
        problems=dict(schema.problems),
    )
    return _Generated(files=tuple(files), result=result).as_json()


def _join_of(one: ReferenceVerdict) -> JoinFound:
    return JoinFound(
        source=_place(one.child, one.child_columns),
        target=_place(one.parent, one.parent_columns),
        confidence=round(one.confidence, 3),
    )


def _place(table: TableName, columns: Sequence[str]) -> str:
    """`orders.customer_id`; of a key of several columns `section.(course_id, year)`."""
    return f"{table}.{columns[0]}" if len(columns) == 1 else f"{table}.({', '.join(columns)})"


def _meta_line(pair: GeneratedPair, facts: Facts) -> str:
    features = pair.features
    inferred = [facts.by_link[str(name)] for kind, name in features if kind == "link"]
    line = {
        "id": pair_id(pair.question, pair.sql),
        "family": pair.family,
        "variant": pair.variant,
        "difficulty": pair.difficulty,
        "tables": sorted(str(name) for kind, name in features if kind == "table"),
        "columns": sorted(f"{name[0]}.{name[1]}" for kind, name in features if kind == "column"),  # type: ignore[index]
        "inferred_joins": sorted(link.id for link in inferred if link.is_inferred),
        "provenance": pair.provenance,
        "rows": pair.row_count,
    }
    return json.dumps(line, ensure_ascii=False) + "\n"


def _plain(name: str) -> str:
    """Return a database's name in a form that is valid in file names."""
    return "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in name)[:80] or "database"
