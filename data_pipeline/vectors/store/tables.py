"""The tables of a vector store, in SQLite and in PostgreSQL.

vector_store       one row: the version of these tables, the embedder, counts
vector_items       every item with its vector; `number` is its key within this database
vector_holdings    the items of each task, with the file of each
vector_staged      the items that a load is going to commit: they are not deleted
vector_loads       the last run that loaded each task
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sqlalchemy import (
    DDL,
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    event,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import UserDefinedType

if TYPE_CHECKING:
    from data_pipeline.vectors.embedding.contract import Counts, Vector

SCHEMA: Final = 1
"""The version of these tables. A store with a newer version is refused."""

NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")


class VectorColumn(UserDefinedType["Vector"]):
    """A vector of float32: bytes, little endian, in SQLite; the type of pgvector in PostgreSQL."""

    cache_ok = True

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def get_col_spec(self, **_: Any) -> str:
        """Return the name of the type in PostgreSQL. In SQLite, any name of a type can hold bytes."""
        return f"vector({self.dimension})"

    def bind_processor(self, dialect: Any) -> Callable[[Any], Any]:
        """Return the conversion of a parameter."""
        return as_bytes if dialect.name == "sqlite" else as_sent

    def result_processor(self, dialect: Any, coltype: Any) -> Callable[[Any], Any]:  # noqa: ARG002
        """Return the conversion of a result."""
        return from_bytes if dialect.name == "sqlite" else from_received

    def column_expression(self, column: Any) -> Any:
        """Select the bytes, because PostgreSQL would return each number as text."""
        return _Raw(column)


class HalfVector(UserDefinedType["Vector"]):
    """A vector with two bytes per number, for the index in PostgreSQL."""

    cache_ok = True

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def get_col_spec(self, **_: Any) -> str:
        """Return the name of the type."""
        return f"halfvec({self.dimension})"


class _Raw(FunctionElement[Any]):
    """The bytes of a vector."""

    inherit_cache = True
    name = "raw_vector"

    def __init__(self, column: Any) -> None:
        self.type = column.type
        super().__init__(column)


@compiles(_Raw)
def _plain(element: Any, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(_Raw, "postgresql")
def _as_bytea(element: Any, compiler: Any, **options: Any) -> str:
    return f"vector_send({compiler.process(element.clauses, **options)})"


class SentVector(bytes):
    """A vector in the binary format of pgvector. The driver recognizes it by this class."""

    __slots__ = ()


def as_bytes(vector: Vector) -> bytes:
    """Return the bytes of a vector, little endian."""
    return np.ascontiguousarray(vector, "<f4").tobytes()


def from_bytes(raw: bytes) -> Vector:
    """The same numbers again."""
    return np.frombuffer(raw, "<f4")


def as_sent(vector: Vector) -> SentVector:
    """Return the format of pgvector: two bytes for the dimension, two unused bytes, the numbers, big endian."""
    return SentVector(struct.pack(">HH", len(vector), 0) + np.ascontiguousarray(vector, ">f4").tobytes())


def from_received(raw: bytes) -> Vector:
    """The same numbers again."""
    return np.frombuffer(raw, ">f4", offset=4).astype("<f4")


def counts_as_bytes(counts: Counts) -> bytes:
    """Return the bytes of the counts of each dimension."""
    return counts.astype("<i8").tobytes()


def counts_from_bytes(raw: bytes) -> Counts:
    """Return the counts as an array that can be changed."""
    return np.frombuffer(raw, "<i8").astype(np.int64)


def _compress(table: Table) -> None:
    """Have PostgreSQL compress vectors, because most numbers in those of the built-in embedder are zero."""
    smaller = DDL(f"ALTER TABLE {table.name} ALTER COLUMN vector SET STORAGE EXTENDED")  # type: ignore[no-untyped-call]
    event.listen(table, "after_create", smaller.execute_if(dialect="postgresql"))


class Tables:
    """The tables for vectors with `dimension` numbers."""

    def __init__(self, dimension: int) -> None:
        self.metadata = MetaData()
        self.state = Table(
            "vector_store",
            self.metadata,
            Column("schema_version", Integer, primary_key=True, autoincrement=False),
            Column("embedder_name", Text, nullable=False),
            Column("embedder_version", Integer, nullable=False),
            Column("dimension", Integer, nullable=False),
            Column("generation", BigInteger, nullable=False),  # increases with every change that a search can see
            Column("item_count", BigInteger, nullable=False),  # with staged ones
            Column("frequencies", LargeBinary, nullable=False),  # items with a value other than zero
        )
        self.items = Table(
            "vector_items",
            self.metadata,
            Column("number", NUMBER, Identity(), primary_key=True),
            Column("id", String(64), nullable=False, unique=True),
            Column("kind", String(20), nullable=False),
            Column("database_name", Text, nullable=False),
            Column("content", Text, nullable=False),
            Column("vector", VectorColumn(dimension), nullable=False),
        )
        self.holdings = Table(
            "vector_holdings",
            self.metadata,
            Column("item_number", NUMBER, ForeignKey(self.items.c.number), primary_key=True),
            Column("task_id", String(64), primary_key=True),
            Column("file", Text, nullable=False),
            Column("details", JSON, nullable=False),
            Index("vector_holdings_by_task", "task_id"),
        )
        self.staged = Table(
            "vector_staged",
            self.metadata,
            Column("item_number", NUMBER, ForeignKey(self.items.c.number), primary_key=True),
            Column("task_id", String(64), primary_key=True),
        )
        self.loads = Table(
            "vector_loads",
            self.metadata,
            Column("task_id", String(64), primary_key=True),
            Column("run_id", String(100), nullable=False),
        )
        # The items of a restore until it is complete, in temporary tables that only its connection sees.
        self.incoming = MetaData()
        self.incoming_items = Table(
            "incoming_items",
            self.incoming,
            Column("id", String(64), primary_key=True),
            Column("kind", String(20), nullable=False),
            Column("database_name", Text, nullable=False),
            Column("content", Text, nullable=False),
            Column("vector", VectorColumn(dimension), nullable=False),
            prefixes=["TEMPORARY"],
        )
        self.incoming_holdings = Table(
            "incoming_holdings",
            self.incoming,
            Column("item_id", String(64), primary_key=True),
            Column("task_id", String(64), primary_key=True),
            Column("file", Text, nullable=False),
            Column("details", JSON, nullable=False),
            prefixes=["TEMPORARY"],
        )
        _compress(self.items)
        _compress(self.incoming_items)
