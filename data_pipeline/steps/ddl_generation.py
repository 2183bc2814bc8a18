"""The step ddl_generation: for every listed table a `.ddl` that loads and a page that describes it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from data_pipeline.database.connection import BusinessDatabase, open_database
from data_pipeline.database.schema import Table, in_loading_order, read_table, resolve_tables
from data_pipeline.errors import InvalidInput, PipelineError, StepFailed
from data_pipeline.progress import Event
from data_pipeline.steps.contract import Json, RunParameters, StepContext, StepOutput
from data_pipeline.steps.ddl_writing import ddl_of, detail_of, surroundings_of
from data_pipeline.steps.file_names import file_stems
from data_pipeline.steps.threads import in_step_thread, in_waiting_thread
from data_pipeline.table_list import TableName
from data_pipeline.workspace import StagedFile

TABLES_AT_ONCE: Final = 4
MAPPING: Final = "filename_mapping.txt"


class DdlGeneration:
    """One durable call a table; the step fails by name when a table does, unless the task goes on past errors."""

    name = "ddl_generation"

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
        with await in_waiting_thread(open_database, context.parameters.db_connection) as database:
            names, failures = await in_waiting_thread(resolve_tables, database, context.tables)
            tables, unread = await self._read(database, names)
            failures |= unread
            results = await self._write(context, database.dialect_name, tables, len(names) + len(failures))
        failures |= {result["table"]: result["error"] for result in results if "error" in result}
        done = [result for result in results if "error" not in result]
        if failures and (not done or not context.parameters.continue_on_error):
            raise StepFailed(self.name, failures)
        files = [StagedFile(*file) for result in done for file in result["files"]]
        files.append(context.staging.write(MAPPING, _mapping(done)))
        return StepOutput(
            tuple(files),
            {
                "total_tables": len(done) + len(failures),
                "processed_successfully": len(done),
                "failed": len(failures),
                "files_generated": len(files),
                "duration": round((datetime.now(UTC) - started).total_seconds(), 3),
            },
            failures,
        )

    async def _read(self, database: BusinessDatabase, names: Sequence[TableName]) -> tuple[list[Table], dict[str, str]]:
        """Every table, as far as it can be read: relations in both directions and the loading order need them all."""
        slots = asyncio.Semaphore(TABLES_AT_ONCE)
        failures: dict[str, str] = {}
        in_thread = in_waiting_thread if database.dialect_name == "postgresql" else in_step_thread

        async def read(name: TableName) -> Table | None:
            async with slots:
                try:
                    return await in_thread(read_table, database, name)
                except PipelineError as error:
                    failures[str(name)] = str(error)
                    return None

        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(read(name)) for name in names]
        found = [task.result() for task in reading]
        return in_loading_order(table for table in found if table is not None), failures

    async def _write(self, context: StepContext, dialect_name: str, tables: Sequence[Table], total: int) -> list[Json]:
        stems = file_stems(table.name for table in tables)
        surroundings = surroundings_of(tables)
        done = 0

        async def write(table: Table) -> Json:
            stem, around, language = stems[table.name], surroundings[table.name], context.parameters.language

            def stage() -> Json:
                files = [
                    context.staging.write(f"{stem}.ddl", ddl_of(table, around, dialect_name, language)),
                    context.staging.write(f"{stem}_detail.md", detail_of(table, around, language)),
                ]
                return {"table": str(table.name), "files": [list(file) for file in files]}

            return await in_step_thread(stage)

        async def is_staged(result: Json) -> bool:
            files = [StagedFile(*file) for file in result["files"]]
            return await in_step_thread(lambda: all(map(context.staging.has, files)))

        def finished(result: Json) -> None:
            nonlocal done
            done += 1
            context.emit(Event("table", "completed", result["table"], done=done, total=total))

        works = [(f"{self.name}:{table.name}", lambda table=table: write(table)) for table in tables]
        return await context.runner.run_all(works, concurrency=TABLES_AT_ONCE, is_usable=is_staged, finished=finished)


def _mapping(results: Sequence[Json]) -> str:
    lines = ["# Files of each table, in the order in which the .ddl files load", "# table -> file, file"]
    for result in results:
        lines.append(f"{result['table']} -> {', '.join(file[0] for file in result['files'])}")
    return "\n".join(lines) + "\n"
