"""The vector store in PostgreSQL with pgvector: searched exactly in memory if small, else by an HNSW index."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types import TypeInfo
from sqlalchemy import Connection, Float, bindparam, cast, exists, func, select, text
from sqlalchemy.exc import DBAPIError

from data_pipeline.errors import StoreUnavailable
from data_pipeline.store.own_database import OwnDatabase
from data_pipeline.vectors.store.contract import Load, Loaded, Question
from data_pipeline.vectors.store.matrix import HeldVector
from data_pipeline.vectors.store.relational import RelationalVectorStore
from data_pipeline.vectors.store.tables import HalfVector, SentVector, VectorColumn, from_received

if TYPE_CHECKING:
    from data_pipeline.vectors.embedding.contract import Embedder, Vector

IN_MEMORY_BYTES: Final = 512 * 1024**2
"""The largest size of vectors that are searched in memory: 131,072 of 1,024 dimensions. Above it, by an index."""

INDEX_DIMENSIONS: Final = 4_000
"""The maximum dimensions that pgvector can index in two bytes per number. Above it, all vectors are read."""

SEARCHED: Final = 1_000
"""The number of candidates of an index scan (hnsw.ef_search). This is its maximum."""

RANKED_AGAIN: Final = 4
"""The factor of candidates to rank by exact scores, because the index has only two bytes per number."""

OLDEST: Final = (0, 8)
"""The first version of pgvector that continues an index scan if a filter rejects too many candidates."""

MAKING_LOCK: Final = int.from_bytes(hashlib.sha256(b"data_pipeline.vector_store").digest()[:7])
"""The key of PostgreSQL's advisory lock for creating the extension and the tables."""

_VERSION: Final = text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")

_OLD_INDEX: Final = "vector_items_nearest"
"""The index of older versions, on whole vectors and three times as large. The next load replaces it."""

_INDEX: Final = "vector_items_nearest_half"


class PostgresVectorStore(RelationalVectorStore):
    """A `VectorStore`, opened by `open_vector_store`."""

    def __init__(self, database: OwnDatabase, embedder: Embedder) -> None:
        super().__init__(database, embedder)
        self._dimension = embedder.identity.dimension
        state, items = self._tables.state, self._tables.items
        self._moment = select(state.c.generation, state.c.item_count)
        self._half = cast(items.c.vector, HalfVector(self._dimension))

    def commit(self, load: Load) -> Loaded:
        loaded = super().commit(load)
        self._has_grown()
        return loaded

    def _has_grown(self) -> None:
        with self._database.translating_errors(), self._database.writing() as connection:
            count = connection.execute(self._moment).one().item_count
            if self._is_large(count) and self._dimension <= INDEX_DIMENSIONS and not _has(connection, _INDEX):
                self._make_index(connection)
            has_old_one = _has(connection, _OLD_INDEX)
        if has_old_one:
            with self._database.translating_errors(), self._database.engine.connect() as connection:
                # Waits for searches that use it, and does not block others. It cannot be in a transaction.
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {_OLD_INDEX}"))

    def _is_large(self, count: int) -> bool:
        return count * self._dimension * 4 > IN_MEMORY_BYTES

    def _make_index(self, connection: Connection) -> None:
        items, holdings = self._tables.items, self._tables.holdings
        connection.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
        nearest = f"((vector::halfvec({self._dimension})) halfvec_ip_ops)"
        connection.execute(text(f"CREATE INDEX IF NOT EXISTS {_INDEX} ON {items.name} USING hnsw {nearest}"))
        # Until autovacuum runs, a minute later, searches would be planned for a small table, and read all of it.
        connection.execute(text(f"ANALYZE {items.name} (number, kind, database_name), {holdings.name}"))

    def _nearest(self, connection: Connection, question: Question, vector: Vector | None) -> list[tuple[int, float]]:
        generation, count = connection.execute(self._moment).one()
        if not self._is_large(count):
            return self._in_memory(connection, generation, question, vector)
        self._cached.clear()
        if vector is None:
            vector = self._embedder.embed_question(question.text, self._corpus(connection))
        return self._by_index(connection, question, vector)

    def _held(self, connection: Connection) -> Iterator[HeldVector]:
        items = self._tables.items
        held = select(items.c.number, items.c.kind, items.c.database_name, items.c.vector).where(self._is_held())
        driver: Any = connection.connection.driver_connection
        with (
            driver.cursor() as cursor,
            cursor.copy(f"COPY ({held.compile(connection)}) TO STDOUT (FORMAT BINARY)") as rows,
        ):
            rows.set_types(["int8", "text", "text", "bytea"])
            for number, kind, database, raw in rows.rows():
                yield number, kind, database, from_received(raw)

    def _by_index(self, connection: Connection, question: Question, vector: Vector) -> list[tuple[int, float]]:
        """Return the best candidates of the index by the exact scores of their whole vectors."""
        items, holdings = self._tables.items, self._tables.holdings
        connection.execute(text(f"SET LOCAL hnsw.ef_search = {SEARCHED}"))
        connection.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
        question_vector = bindparam("question", vector, VectorColumn(self._dimension))
        distance = items.c.vector.op("<#>", return_type=Float())(question_vector)
        approximate = self._half.op("<#>", return_type=Float())(cast(question_vector, HalfVector(self._dimension)))
        is_held = exists().where(holdings.c.item_number == items.c.number)
        if question.task_id is not None:
            is_held = is_held.where(holdings.c.task_id == question.task_id)
        wanted = select(items.c.number, distance.label("distance")).where(is_held)
        if question.kinds is not None:
            wanted = wanted.where(items.c.kind.in_(question.kinds))
        if question.database is not None:
            wanted = wanted.where(items.c.database_name == question.database)
        near = (
            wanted.order_by(approximate if _has(connection, _INDEX) else distance)
            .limit(RANKED_AGAIN * question.limit)
            .subquery()
        )
        rows = connection.execute(select(near).order_by(near.c.distance).limit(question.limit))
        return [(row.number, -float(row.distance)) for row in rows]


def _has(connection: Connection, name: str) -> bool:
    return connection.execute(select(func.to_regclass(name))).scalar() is not None


def create_extension(database: OwnDatabase) -> None:
    """Create the extension pgvector if it is missing. Raises StoreUnavailable."""
    with database.reading() as connection:
        version = connection.execute(_VERSION).scalar()
    if version is None:
        try:
            with database.writing(lock_key=MAKING_LOCK) as connection:
                connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
                version = connection.execute(_VERSION).scalar_one()
        except DBAPIError as error:
            reason = str(error.orig).strip().splitlines()[0]
            raise StoreUnavailable(
                f"The vector store {database.label} cannot be used: pgvector cannot be created ({reason}). "
                "Install pgvector, and have the owner of the database run: CREATE EXTENSION vector"
            ) from None  # the error of SQLAlchemy may have the password
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise StoreUnavailable(
            f"The vector store {database.label} has pgvector {version}, and {'.'.join(map(str, OLDEST))} is the oldest "
            "supported version. Have the owner of the database run: ALTER EXTENSION vector UPDATE"
        )


def send_vectors(connection: Any) -> None:
    """Have a connection send vectors in the binary format of pgvector, not as text."""
    vector_type = TypeInfo.fetch(connection, "vector")
    connection.rollback()
    assert vector_type is not None, "the extension is created before the first connection"

    class VectorDumper(Dumper):
        format = Format.BINARY
        oid = vector_type.oid

        def dump(self, value: SentVector) -> bytes:
            return bytes(value)

    connection.adapters.register_dumper(SentVector, VectorDumper)
