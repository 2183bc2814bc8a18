"""The vector store in PostgreSQL with pgvector: exact while it is small, by an HNSW index where it is large."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types import TypeInfo
from sqlalchemy import Connection, Engine, Float, bindparam, event, exists, func, select, text

from data_pipeline.errors import StoreUnavailable
from data_pipeline.vector_store.contract import Load, Loaded, Question
from data_pipeline.vector_store.relational import RelationalVectorStore
from data_pipeline.vector_store.tables import SentVector, VectorColumn

if TYPE_CHECKING:
    from data_pipeline.embedding.contract import Vector

INDEX_FROM: Final = 20_000
"""From how many items on there is an index: below, reading every vector takes some milliseconds and misses nothing."""

INDEX_DIMENSIONS: Final = 2_000
"""pgvector indexes no longer vectors; these are always read."""

SEARCHED: Final = 200
"""How many candidates the index looks at before the best are taken (hnsw.ef_search)."""

OLDEST: Final = (0, 8)
"""The first version of pgvector whose index goes on looking where a filter lets too few through."""

MAKING_LOCK: Final = int.from_bytes(hashlib.sha256(b"data_pipeline.vector_store").digest()[:7])
"""The key of PostgreSQL's advisory lock under which one process makes the extension and the tables; others wait."""

_INDEX: Final = "CREATE INDEX IF NOT EXISTS vector_items_nearest ON vector_items USING hnsw (vector vector_ip_ops)"


class PostgresVectorStore(RelationalVectorStore):
    """A `VectorStore`; made by `open_vector_store`."""

    def commit(self, load: Load) -> Loaded:
        loaded = super().commit(load)
        self._has_grown()
        return loaded

    def _has_grown(self) -> None:
        if self._embedder.identity.dimension > INDEX_DIMENSIONS:
            return
        with self._answering(), self._engine.begin() as connection:
            count = connection.execute(select(self._tables.state.c.item_count)).scalar_one()
            is_there = connection.execute(select(func.to_regclass("vector_items_nearest"))).scalar() is not None
            if count >= INDEX_FROM and not is_there:
                connection.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
                connection.execute(text(_INDEX))

    def _nearest(self, connection: Connection, question: Question, vector: Vector | None) -> list[tuple[int, float]]:
        if vector is None:
            vector = self._embedder.embed_question(question.text, self._corpus(connection))
        items, holdings = self._tables.items, self._tables.holdings
        connection.execute(text(f"SET LOCAL hnsw.ef_search = {SEARCHED}"))
        connection.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
        asked = bindparam("question", vector, VectorColumn(self._embedder.identity.dimension))
        distance = items.c.vector.op("<#>", return_type=Float())(asked)
        is_held = exists().where(holdings.c.item_number == items.c.number)
        if question.task_id is not None:
            is_held = is_held.where(holdings.c.task_id == question.task_id)
        wanted = select(items.c.number, distance.label("distance")).where(is_held)
        if question.kinds is not None:
            wanted = wanted.where(items.c.kind.in_(question.kinds))
        if question.database is not None:
            wanted = wanted.where(items.c.database_name == question.database)
        rows = connection.execute(wanted.order_by(distance).limit(question.limit))
        return [(row.number, -float(row.distance)) for row in rows]


def make_extension(url: str, label: str) -> None:
    """See that the database has pgvector, making it where that is allowed. Raises StoreUnavailable."""
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            wanted = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
            row = connection.execute(wanted).fetchone()
            if row is None:  # two who make it at once: the second waits, and finds it
                connection.execute("SELECT pg_advisory_lock(%s)", (MAKING_LOCK,))
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
                row = connection.execute(wanted).fetchone()
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise StoreUnavailable(
            f"The vector store {label} cannot be opened: {reason}. It needs the extension pgvector; where it is "
            "installed, whoever runs the database makes it with: CREATE EXTENSION vector"
        ) from None  # the driver's error may hold the password
    assert row is not None
    version = tuple(int(part) for part in row[0].split(".")[:2])
    if version < OLDEST:
        raise StoreUnavailable(
            f"The vector store {label} has pgvector {row[0]}; {'.'.join(map(str, OLDEST))} is the first that will do: "
            "ALTER EXTENSION vector UPDATE"
        )


def send_vectors(engine: Engine) -> None:
    """Teach the engine's connections to send vectors as they are, and not as text."""

    def register(connection: Any, _: Any) -> None:
        found = TypeInfo.fetch(connection, "vector")
        connection.rollback()
        assert found is not None, "made before the engine"

        class VectorDumper(Dumper):
            format = Format.BINARY
            oid = found.oid

            def dump(self, value: SentVector) -> bytes:
                return bytes(value)

        connection.adapters.register_dumper(SentVector, VectorDumper)

    event.listen(engine, "connect", register)
