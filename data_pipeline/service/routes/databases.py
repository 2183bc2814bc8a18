"""Business databases: their tables, and the description of one table by the step ddl_generation."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from data_pipeline.database.connection import BusinessDatabase, database_name, open_database
from data_pipeline.database.finding import list_tables, resolve_tables
from data_pipeline.database.reflection import read_prelude, read_table, read_tables
from data_pipeline.database.schema import Table
from data_pipeline.errors import InvalidInput, NotFound, QueryFailed
from data_pipeline.semantics.profile import TableProfile, known_values, profile_table, secrets_of
from data_pipeline.service.answers import REFUSALS, success
from data_pipeline.service.models import DdlRequest, TablesRequest
from data_pipeline.service.routes.tasks import RunsDep, database_of
from data_pipeline.steps.ddl.ddl import ddl_of, prelude_of, surroundings_of
from data_pipeline.steps.ddl.detail import detail_of
from data_pipeline.steps.ddl.step import PROFILE_LIMITS
from data_pipeline.tasks.table_list import parse_table_name

TABLES_SEARCHED: Final = 50
"""Maximum number of tables that one request searches for personal values; a run searches all listed tables."""

SEARCH_SECONDS: Final = 2.0

router = APIRouter(prefix="/api/v0/database", tags=["databases"], responses=REFUSALS)


@router.post("/tables", summary="List tables of a business database")
def tables(request: Request, body: TablesRequest, runs: RunsDep) -> Response:
    """List the tables and views of the named schemas; `*` and `%` in the pattern match any characters."""
    _, url = database_of(runs.settings, body.db_connection)
    schemas = [name.strip() for name in body.schema_.split(",") if name.strip()]
    with open_database(url) as database:
        names = [str(name) for name in list_tables(database, schemas)]
    if body.table_name_pattern:
        pattern = body.table_name_pattern.replace("[", "[[]").replace("%", "*").lower()
        names = [name for name in names if fnmatchcase(name.rpartition(".")[2].lower(), pattern)]
    return success(
        request,
        f"{len(names)} tables.",
        {
            "tables": names,
            "total": len(names),
            "schemas": schemas,
            "db_connection_info": {"database": database_name(url)},
        },
    )


@router.post("/table/ddl", summary="Get a table as DDL, as a page, or both")
def table_ddl(request: Request, body: DdlRequest, runs: RunsDep) -> Response:
    """Return the files that the step ddl_generation would write for a table, from the current database."""
    started = datetime.now(UTC)
    _, url = database_of(runs.settings, body.db_connection)
    try:
        wanted = parse_table_name(body.table)
    except InvalidInput:
        raise NotFound("table", body.table[:200]) from None
    with open_database(url) as database:
        names, missing = resolve_tables(database, [wanted])
        if missing:
            raise NotFound("table", body.table)
        table = read_table(database, names[0])
        profile = _profile(database, table) if body.type != "ddl" else None
        shared = read_prelude(database, [table])
        dialect = database.dialect_name
    prelude = prelude_of(shared, body.language) if shared else ""
    around = surroundings_of([table])[table.name]
    return success(
        request,
        f"The table {table.name}.",
        {
            "ddl": prelude + ddl_of(table, around, dialect, body.language) if body.type != "md" else None,
            "md": detail_of(table, around, body.language, profile=profile) if body.type != "ddl" else None,
            "table_info": {
                "table_name": table.name.name,
                "schema_name": table.name.schema,
                "full_name": str(table.name),
                "kind": table.kind,
                "comment": table.comment,
                "field_count": len(table.columns),
            },
            "fields": _fields(table),
            "generation_info": {
                "database": database_name(url),
                "type": body.type,
                "duration": (datetime.now(UTC) - started).total_seconds(),
            },
        },
    )


def _profile(database: BusinessDatabase, table: Table) -> TableProfile:
    """Return the profile without personal values of related tables: first those that the table refers to."""
    named = [*table.sources, *(key.target for key in table.foreign_keys)]
    names = dict.fromkeys([table.name, *named, *list_tables(database)])
    tables, _ = read_tables(database, list(names)[:TABLES_SEARCHED])
    secrets = []
    for searched in tables:
        with contextlib.suppress(QueryFailed):  # the search of this table took too long
            secrets.append(secrets_of(database, searched, replace(PROFILE_LIMITS, seconds=SEARCH_SECONDS)))
    return profile_table(database, table, PROFILE_LIMITS, known=known_values(secrets))


def _fields(table: Table) -> list[dict[str, Any]]:
    keys = set(table.primary_key.columns)
    foreign = {column for key in table.foreign_keys for column in key.columns}
    return [
        {
            "name": column.name,
            "type": column.type_sql,
            "nullable": column.is_nullable,
            "default": column.default_sql,
            "comment": column.comment,
            "is_primary_key": column.name in keys,
            "is_foreign_key": column.name in foreign,
        }
        for column in table.columns
    ]
