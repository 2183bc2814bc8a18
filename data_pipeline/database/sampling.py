"""Queries of a table's rows: how many there are, a sample from all over the table, counts of its columns."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection
from sqlalchemy.sql.compiler import IdentifierPreparer

from data_pipeline.database.connection import BusinessDatabase
from data_pipeline.database.driver import TableSql
from data_pipeline.database.schema import Table
from data_pipeline.tasks.table_list import TableName

SAMPLE_ROWS: Final = 10_000


class TableSource:
    """The rows of one table, as SQL; every identifier is quoted by the dialect."""

    def __init__(self, database: BusinessDatabase, connection: Connection, table: Table) -> None:
        self._reader = database.driver.reader
        self._connection = connection
        self._table = table
        self._quote = IdentifierPreparer.quote_identifier.__get__(connection.dialect.identifier_preparer)
        columns = ", ".join(self._quote(column.name) for column in table.columns)
        self._sql = TableSql(table, self._place(table.name), columns)

    def size(self) -> tuple[int, bool]:
        """Return the number of rows, and True if it is an estimate: counting stops above the sample's size."""
        few = f"SELECT count(*) FROM (SELECT 1 FROM {self._sql.place} LIMIT {SAMPLE_ROWS + 1}) AS few"
        count = int(self._connection.exec_driver_sql(few).scalar_one())
        if count <= SAMPLE_ROWS:
            return count, False
        if self._table.kind == "view":
            return count, True
        return max(count, self._reader.estimated_rows(self._connection, self._sql)), True

    def all_rows(self) -> str:
        """Return a query of all rows."""
        return f"SELECT {self._sql.columns} FROM {self._sql.place}"

    def in_order(self) -> str:
        """Return an order by the key, or by all columns as text, so that the same rows are first at each call."""
        key = self._table.primary_key.columns
        by = [self._quote(name) for name in key] or [
            self._reader.text_of(self._quote(column.name)) for column in self._table.columns
        ]
        return f" ORDER BY {', '.join(by)}"

    def sampled(self, row_count: int) -> str:
        """Return a query of about as many rows as a sample has: from all over the table, or the first ones."""
        first = f"SELECT * FROM (SELECT {self._sql.columns} FROM {self._sql.place} LIMIT {SAMPLE_ROWS}) AS sampled"
        if self._table.kind == "view":
            return first
        return self._reader.sample(self._connection, self._sql, rows=SAMPLE_ROWS, row_count=row_count) or first

    def aggregates(self, rows: str) -> str:
        """Return a query of the number of rows; of each column: not null, different values, least, greatest."""
        wanted = ["count(*)"]
        for column in self._table.columns:
            name = self._quote(column.name)
            is_plain = self._reader.is_comparable(column)
            compared = name if is_plain else self._reader.text_of(name)
            ends = (f"min({name})", f"max({name})") if is_plain else ("NULL", "NULL")
            wanted += [f"count({name})", f"count(DISTINCT {compared})", *ends]
        return f"SELECT {', '.join(wanted)} FROM ({rows}) AS looked_at"

    def distinct_values(self, rows: str, column: str, limit: int) -> str:
        """Return a query of the different values of a column, in order."""
        name = self._quote(column)
        return (
            f"SELECT {name} FROM ({rows}) AS looked_at WHERE {name} IS NOT NULL GROUP BY {name} ORDER BY {name}"
            f" LIMIT {limit}"
        )

    def _place(self, name: TableName) -> str:
        quoted = self._quote(name.name)
        return quoted if name.schema is None else f"{self._quote(name.schema)}.{quoted}"
