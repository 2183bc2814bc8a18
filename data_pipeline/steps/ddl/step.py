"""The step ddl_generation: for every listed table a `.ddl` file that loads, and a page that describes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypeVar

from data_pipeline.database.connection import BusinessDatabase, open_database
from data_pipeline.database.execution import Cancellation, QueryLimits
from data_pipeline.database.finding import resolve_tables
from data_pipeline.database.reflection import read_prelude, read_tables
from data_pipeline.database.schema import SharedObject, Table, in_loading_order
from data_pipeline.errors import InvalidInput, ModelFailed, QueryFailed, StepFailed
from data_pipeline.events import Event
from data_pipeline.semantics.profile import TableProfile, TableSecrets, known_values, profile_table, secrets_of
from data_pipeline.semantics.telling import TellingValues
from data_pipeline.semantics.wording import Suggestion
from data_pipeline.steps.contract import RunParameters, StepContext, StepOutput
from data_pipeline.steps.ddl.ddl import ddl_of, prelude_of, surroundings_of
from data_pipeline.steps.ddl.detail import detail_of
from data_pipeline.steps.ddl.file_names import PRELUDE, file_stems
from data_pipeline.steps.model_answers import suggest_comments, used
from data_pipeline.steps.threads import in_step_thread, in_waiting_thread, stopped_by
from data_pipeline.tasks.results import DdlResult, Json, Part
from data_pipeline.tasks.staging import StagedFile
from data_pipeline.tasks.table_list import TableName

TABLES_AT_ONCE: Final = 4
MAPPING: Final = "filename_mapping.txt"
PROFILE_LIMITS: Final = QueryLimits(seconds=30.0, value_bytes=10 * 1024 * 1024)

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Schema:
    """The tables in loading order, the objects that they share, and the reasons why others are missing."""

    tables: Sequence[Table]
    shared: Sequence[SharedObject]
    failures: dict[str, str]


class _WrittenTable(Part):
    """The recorded result of the durable call for one table."""

    table: str
    files: tuple[StagedFile, ...]
    not_profiled: str | None
    not_suggested: str | None


class DdlGeneration:
    """One durable call for each table. The step fails if a table fails, unless the task continues after errors."""

    name = "ddl_generation"

    def why_skipped(self, parameters: RunParameters, steps_before: Sequence[str]) -> str | None:  # noqa: ARG002
        return None

    async def check(self, parameters: RunParameters, tables: Sequence[TableName]) -> None:
        def look() -> None:
            with open_database(parameters.db_connection) as database:
                found, missing = resolve_tables(database, tables)
                if missing and (not found or not parameters.continue_on_error):
                    raise InvalidInput(
                        f"tables of {database.label}", *(f"{name}: {why}" for name, why in list(missing.items())[:20])
                    )

        await in_waiting_thread(look)

    async def run(self, context: StepContext) -> StepOutput:
        started = datetime.now(UTC)
        before = context.model.usage if context.model is not None else None
        with await in_waiting_thread(open_database, context.parameters.db_connection) as database:
            in_thread = in_waiting_thread if database.driver.waits else in_step_thread
            # All tables are needed for relations in both directions and for the loading order.
            schema = await in_thread(_read, database, context.tables)
            written = await self._write(context, database, schema)
        failures = schema.failures
        if failures and (not written or not context.parameters.continue_on_error):
            raise StepFailed(self.name, failures)
        files = [file for table in written for file in table.files]
        if schema.shared:
            files.insert(0, context.staging.write(PRELUDE, prelude_of(schema.shared, context.parameters.language)))
        files.append(context.staging.write(MAPPING, _mapping(written, has_prelude=bool(schema.shared))))
        return StepOutput(
            tuple(files),
            DdlResult(
                total_tables=len(written) + len(failures),
                processed_successfully=len(written),
                failed=len(failures),
                files_generated=len(files),
                not_profiled={table.table: table.not_profiled for table in written if table.not_profiled},
                not_suggested={table.table: table.not_suggested for table in written if table.not_suggested},
                language_model=used(before, context.model),
                duration=round((datetime.now(UTC) - started).total_seconds(), 3),
            ),
            failures,
        )

    async def _write(self, context: StepContext, database: BusinessDatabase, schema: _Schema) -> list[_WrittenTable]:
        stems = file_stems(table.name for table in schema.tables)
        surroundings = surroundings_of(schema.tables)
        total, done = len(schema.tables) + len(schema.failures), 0
        language = context.parameters.language
        for name, reason in schema.failures.items():
            done += 1
            context.emit(Event("table", "failed", name, reason, done=done, total=total))
            context.log.warning("%s: %s", name, reason)

        secrets = _Secrets(context, database, schema.tables)

        async def write(table: Table) -> Json:
            stem, around = stems[table.name], surroundings[table.name]
            profile, not_profiled = await _profile(context, database, table, secrets)
            suggestion, not_suggested = await _suggestion(context, table, profile)

            def stage() -> Json:
                ddl = ddl_of(table, around, database.dialect_name, language, suggestion)
                page = detail_of(table, around, language, suggestion=suggestion, profile=profile)
                files = context.staging.write(f"{stem}.ddl", ddl), context.staging.write(f"{stem}_detail.md", page)
                written = _WrittenTable(
                    table=str(table.name), files=files, not_profiled=not_profiled, not_suggested=not_suggested
                )
                return written.as_json()

            return await in_step_thread(stage)

        async def is_staged(result: Json) -> bool:
            files = _WrittenTable.model_validate(result).files
            return await in_step_thread(lambda: all(map(context.staging.has, files)))

        def finished(result: Json) -> None:
            nonlocal done
            done += 1
            context.emit(
                Event("table", "completed", _WrittenTable.model_validate(result).table, done=done, total=total)
            )

        works = [(f"{self.name}:{table.name}", lambda table=table: write(table)) for table in schema.tables]
        results = await context.runner.run_all(
            works, concurrency=TABLES_AT_ONCE, is_usable=is_staged, finished=finished
        )
        return [_WrittenTable.model_validate(result) for result in results]


def _read(database: BusinessDatabase, names: Sequence[TableName]) -> _Schema:
    found, failures = resolve_tables(database, names)
    tables, unread = read_tables(database, found)
    ordered = in_loading_order(tables)
    return _Schema(ordered, read_prelude(database, ordered), failures | unread)


class _Secrets:
    """The values that identify people in any listed table; read for the first page, and kept only in memory."""

    def __init__(self, context: StepContext, database: BusinessDatabase, tables: Sequence[Table]) -> None:
        self._context = context
        self._database = database
        self._tables = tables
        self._known: TellingValues | None = None
        self._gathering = asyncio.Lock()

    async def known(self) -> TellingValues:
        """Return the values of all tables, also of those whose files are written already."""
        async with self._gathering:
            if self._known is None:
                self._known = known_values(await self._of_all())
        return self._known

    async def _of_all(self) -> list[TableSecrets]:
        slots = asyncio.Semaphore(TABLES_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._of_one(table, slots)) for table in self._tables]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the first error cancelled the others
        return [task.result() for task in tasks]

    async def _of_one(self, table: Table, slots: asyncio.Semaphore) -> TableSecrets:
        async with slots:
            try:
                return await _looked(secrets_of, self._database, table)
            except QueryFailed as error:
                self._context.log.warning("%s was not searched for personal values: %s", table.name, error)
                return TableSecrets()


async def _profile(
    context: StepContext, database: BusinessDatabase, table: Table, secrets: _Secrets
) -> tuple[TableProfile | None, str | None]:
    """Return the profile of a table, or the reason why it has none: a slow table still gets its files."""
    if not context.parameters.profile_tables:
        return None, None
    masks = context.parameters.mask_personal_data
    known = await secrets.known() if masks else None
    try:
        return await _looked(profile_table, database, table, masks_personal_data=masks, known=known), None
    except QueryFailed as error:
        context.log.warning("%s was not profiled: %s", table.name, error)
        return None, str(error)


async def _looked(look: Callable[..., Result], database: BusinessDatabase, table: Table, **options: object) -> Result:
    """Read rows in a thread within the limits of a profile; a cancelled caller stops the queries."""
    in_thread = in_waiting_thread if database.driver.waits else in_step_thread
    limits = replace(PROFILE_LIMITS, cancellation=Cancellation())
    return await stopped_by(limits.cancellation.set, in_thread(look, database, table, limits, **options))


async def _suggestion(
    context: StepContext, table: Table, profile: TableProfile | None
) -> tuple[Suggestion, str | None]:
    """Return the model's comments, or the reason why there are none: the table gets its files anyway."""
    if context.model is None or not context.parameters.enable_llm_comments:
        return Suggestion(), None
    try:
        return await suggest_comments(context.model, context.parameters, table, profile), None
    except ModelFailed as error:
        context.log.warning("%s: %s", table.name, error)
        return Suggestion(), str(error)


def _mapping(tables: Sequence[_WrittenTable], *, has_prelude: bool) -> str:
    lines = ["# Files of each table, in the order in which the .ddl files load", "# table -> file, file"]
    if has_prelude:
        lines.append(f"(shared by all) -> {PRELUDE}")
    lines += [f"{table.table} -> {', '.join(file.name for file in table.files)}" for table in tables]
    return "\n".join(lines) + "\n"
