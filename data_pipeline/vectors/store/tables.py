"""The tables of a vector store, in SQLite and in PostgreSQL.

vector_store       one row: the version of these tables, whose vectors they hold, how much
vector_items       every item with its vector; `number` is its short name within this database
vector_holdings    which task holds which item, and where it stands there
vector_staged      which load is about to hold which item: these are not swept
vector_loads       the run that loaded a task last
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
"""The version of these tables; a store of a newer one is refused."""

NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")


class VectorColumn(UserDefinedType["Vector"]):
    """A vector of float32: in SQLite its bytes, little endian, in PostgreSQL the type of pgvector."""

    cache_ok = True

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def get_col_spec(self, **_: Any) -> str:
        """Its name in PostgreSQL; SQLite takes it for a name without a meaning, and keeps the bytes."""
        return f"vector({self.dimension})"

    def bind_processor(self, dialect: Any) -> Callable[[Any], Any]:
        """How it is sent."""
        return as_bytes if dialect.name == "sqlite" else as_sent

    def result_processor(self, dialect: Any, coltype: Any) -> Callable[[Any], Any]:  # noqa: ARG002
        """How it is read."""
        return from_bytes if dialect.name == "sqlite" else from_received

    def column_expression(self, column: Any) -> Any:
        """How it is asked for: PostgreSQL would spell every number as text."""
        return _Raw(column)


class HalfVector(UserDefinedType["Vector"]):
    """A vector of two bytes a number, which only PostgreSQL has, in its index."""

    cache_ok = True

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def get_col_spec(self, **_: Any) -> str:
        """Its name."""
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
    """A vector as pgvector's binary format has it, so that the driver knows what it is."""

    __slots__ = ()


def as_bytes(vector: Vector) -> bytes:
    """The numbers, little endian."""
    return np.ascontiguousarray(vector, "<f4").tobytes()


def from_bytes(raw: bytes) -> Vector:
    """The same numbers again."""
    return np.frombuffer(raw, "<f4")


def as_sent(vector: Vector) -> SentVector:
    """Two bytes for how many, two that are not used, the numbers, big endian."""
    return SentVector(struct.pack(">HH", len(vector), 0) + np.ascontiguousarray(vector, ">f4").tobytes())


def from_received(raw: bytes) -> Vector:
    """The same numbers again."""
    return np.frombuffer(raw, ">f4", offset=4).astype("<f4")


def counts_as_bytes(counts: Counts) -> bytes:
    """Counts for each dimension, as they are kept."""
    return counts.astype("<i8").tobytes()


def counts_from_bytes(raw: bytes) -> Counts:
    """The same counts again, to be changed."""
    return np.frombuffer(raw, "<i8").astype(np.int64)


def _compress(table: Table) -> None:
    """Have PostgreSQL compress vectors, which it leaves whole: in most of ours, five numbers of six are zero."""
    smaller = DDL(f"ALTER TABLE {table.name} ALTER COLUMN vector SET STORAGE EXTENDED")  # type: ignore[no-untyped-call]
    event.listen(table, "after_create", smaller.execute_if(dialect="postgresql"))


class Tables:
    """The tables for vectors of one length."""

    def __init__(self, dimension: int) -> None:
        self.metadata = MetaData()
        self.state = Table(
            "vector_store",
            self.metadata,
            Column("schema_version", Integer, primary_key=True, autoincrement=False),
            Column("embedder_name", Text, nullable=False),
            Column("embedder_version", Integer, nullable=False),
            Column("dimension", Integer, nullable=False),
            Column("generation", BigInteger, nullable=False),  # grows with every change that a search can see
            Column("item_count", BigInteger, nullable=False),  # staged ones, too
            Column("frequencies", LargeBinary, nullable=False),  # by dimension, how many items have something there
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
        # What is restored waits here, where only its own connection sees it, and the end of that removes it.
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
