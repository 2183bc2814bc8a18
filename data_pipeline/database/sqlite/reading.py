"""Rows and plans of SQLite."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from data_pipeline.database.driver import TableSql
from data_pipeline.database.schema import Column, Table

PLACES: Final = 20
"""The number of places in a table from which a sample is taken."""

_MODULES: Final = "data_pipeline.modules"
"""The key of the names of modules in the information that SQLAlchemy keeps of a connection."""


class SqliteReader:
    """Tables are sought by their row numbers; without them there is no estimate and no sample."""

    def is_comparable(self, column: Column) -> bool:  # noqa: ARG002 - SQLite compares all values
        return True

    def text_of(self, sql: str) -> str:
        return f"CAST({sql} AS TEXT)"

    def estimated_rows(self, connection: Connection, source: TableSql) -> int:
        if not _has_rowid(source.table):
            return 0
        least, most = _ends(connection, source)
        return most - least + 1

    def sample(self, connection: Connection, source: TableSql, *, rows: int, row_count: int) -> str | None:  # noqa: ARG002
        if not _has_rowid(source.table):
            return None
        least, most = _ends(connection, source)
        starts = sorted({least + (most - least) * place // PLACES for place in range(PLACES)})
        # Each part has an end, so that no row is taken twice if row numbers are dense in one place only.
        parts = [
            f"SELECT * FROM (SELECT {source.columns} FROM {source.place} WHERE rowid >= {start} AND rowid < {end}"
            f" LIMIT {rows // PLACES})"
            for start, end in zip(starts, [*starts[1:], most + 1], strict=True)
        ]
        return f"SELECT * FROM ({' UNION ALL '.join(parts)}) AS sampled"

    def explain(self, connection: Connection, sql: str) -> None:
        connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").fetchall()

    def compile(self, connection: Connection, text: str) -> None:
        """Compile a text that `is_read_alike` found to begin with SELECT or WITH.

        So it is only compiled after EXPLAIN; a PRAGMA would act. The database module refuses several statements.
        """
        connection.exec_driver_sql(f"EXPLAIN {text}").close()

    def readable_modules(self, connection: Connection) -> frozenset[str]:
        """Return the modules of virtual tables: some can be read by their bare names, as `dbstat`."""
        modules: frozenset[str] | None = connection.info.get(_MODULES)
        if modules is None:
            tables = "SELECT lower(name) FROM sqlite_master"
            statement = f"SELECT lower(name) FROM pragma_module_list WHERE lower(name) NOT IN ({tables})"
            modules = connection.info[_MODULES] = frozenset(connection.exec_driver_sql(statement).scalars())
        return modules


def _ends(connection: Connection, source: TableSql) -> tuple[int, int]:
    least, most = connection.exec_driver_sql(f"SELECT min(rowid), max(rowid) FROM {source.place}").one()
    return int(least), int(most)


def _has_rowid(table: Table) -> bool:
    return "ROWID" not in table.options and not any(column.name.lower() == "rowid" for column in table.columns)
