"""The common part of both vector stores: everything but the search for the nearest, in SQL of both databases.

Writers lock the one row of `vector_store` first, so they are serialized. Readers do not wait. The row also has the
frequency of each dimension, which changes in the same transaction as the items.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from sqlalchemy import Connection, Row, Select, bindparam, delete, exists, func, insert, literal, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from data_pipeline.errors import ItemsMissing, StoreUnavailable
from data_pipeline.store.own_database import OwnDatabase, read_transaction, write_transaction
from data_pipeline.vectors.embedding.contract import Corpus, Embedder, EmbedderIdentity
from data_pipeline.vectors.store.contract import (
    Found,
    Holding,
    Item,
    Load,
    Loaded,
    Question,
    StoreContent,
    StoredItem,
    check_identity,
)
from data_pipeline.vectors.store.matrix import CachedMatrix, HeldVector, Matrix, matrix_of
from data_pipeline.vectors.store.tables import SCHEMA, Tables, counts_as_bytes, counts_from_bytes

if TYPE_CHECKING:
    from data_pipeline.vectors.embedding.contract import Counts, Vector

IDS_AT_ONCE: Final = 500
ROWS_AT_ONCE: Final = 500

_NO_CORPUS: Final = Corpus(0, np.zeros(0, np.int64))

_MOVE_IN: Final = """
INSERT INTO vector_items (id, kind, database_name, content, vector)
SELECT id, kind, database_name, content, vector FROM incoming_items ORDER BY id
"""

_Element = TypeVar("_Element")


@dataclass
class _State:
    """The row of the store while a transaction has locked it."""

    generation: int
    item_count: int
    frequencies: Counts

    def count(self, vectors: Vector, sign: int) -> None:
        self.item_count += sign * len(vectors)
        self.frequencies += sign * np.count_nonzero(vectors, axis=0)


class RelationalVectorStore:
    """A `VectorStore` without the search for the nearest, on a database with its tables."""

    def __init__(self, database: OwnDatabase, embedder: Embedder) -> None:
        self._database = database
        self._embedder = embedder
        self._tables = Tables(embedder.identity.dimension)
        items, holdings = self._tables.items, self._tables.holdings
        # Built once, because that takes as long as a search in a small store.
        self._by_numbers = (
            select(items.c.number, items.c.id, items.c.kind, items.c.database_name, items.c.content)
            .add_columns(holdings.c.task_id, holdings.c.file, holdings.c.details)
            .join(holdings, holdings.c.item_number == items.c.number)
            .where(items.c.number.in_(bindparam("numbers", expanding=True)))
            .order_by(items.c.number, holdings.c.task_id)
        )
        self._cached = CachedMatrix()

    @property
    def embedder(self) -> Embedder:
        return self._embedder

    @property
    def label(self) -> str:
        return self._database.label

    def close(self) -> None:
        self._database.close()
        self._embedder.close()

    # ---- loading ------------------------------------------------------------------------------------------------

    def missing(self, ids: Sequence[str]) -> list[str]:
        with self._reading() as connection:
            numbers = self._numbers(connection, ids)
        return [item_id for item_id in ids if item_id not in numbers]

    def stage(self, task_id: str, items: Sequence[Item], vectors: Vector) -> None:
        by_id = {item.id: (item, vector) for item, vector in zip(items, vectors, strict=True)}
        with self._writing() as (connection, state):
            numbers = self._numbers(connection, list(by_id))
            new = [pair for item_id, pair in by_id.items() if item_id not in numbers]
            if new:
                connection.execute(insert(self._tables.items), [_item_row(item, vector) for item, vector in new])
                state.count(np.stack([vector for _, vector in new]), +1)
            self._mark_staged(connection, task_id, list(by_id))

    def claim(self, task_id: str, ids: Sequence[str]) -> list[str]:
        holdings = self._tables.holdings
        with self._writing() as (connection, _):
            numbers = self._numbers(connection, ids)
            held: set[int] = set()
            for part in _parts(numbers.values(), IDS_AT_ONCE):
                of_task = holdings.c.item_number.in_(part) & (holdings.c.task_id == task_id)
                held.update(connection.execute(select(holdings.c.item_number).where(of_task)).scalars())
            self._mark_staged(connection, task_id, [id_ for id_, number in numbers.items() if number not in held])
        return [item_id for item_id in ids if item_id not in numbers]

    def commit(self, load: Load) -> Loaded:
        holdings = self._tables.holdings
        wanted = {holding.item_id: holding for holding in load.holdings}
        with self._writing() as (connection, state):
            numbers = self._numbers(connection, list(wanted))
            missing = sorted(wanted.keys() - numbers.keys())
            if missing:
                raise ItemsMissing(missing)
            of_task = select(holdings).where(holdings.c.task_id == load.task_id)
            before = {row.item_number: row for row in connection.execute(of_task)}
            after = {numbers[item_id]: holding for item_id, holding in wanted.items()}
            added = after.keys() - before.keys()
            dropped = before.keys() - after.keys()
            changed = {
                number
                for number in after.keys() & before.keys()
                if (before[number].file, before[number].details) != (after[number].file, dict(after[number].details))
            }
            self._delete(connection, holdings, sorted(dropped | changed), load.task_id)
            self._hold(connection, load.task_id, {number: after[number] for number in sorted(added | changed)})
            others = self._drop_others(connection, load) if load.replaces_all else 0
            connection.execute(delete(self._tables.staged).where(self._tables.staged.c.task_id == load.task_id))
            removed = self._sweep(connection, state)
            self._record(connection, load)
            state.generation += bool(added or dropped or changed or others or removed)
        return Loaded(len(added), len(dropped), removed)

    def _hold(self, connection: Connection, task_id: str, holdings: dict[int, Holding]) -> None:
        rows = [
            {"item_number": number, "task_id": task_id, "file": holding.file, "details": dict(holding.details)}
            for number, holding in holdings.items()
        ]
        for part in _parts(rows, ROWS_AT_ONCE):
            connection.execute(insert(self._tables.holdings), part)

    def _drop_others(self, connection: Connection, load: Load) -> int:
        """Drop the items of all other tasks, unless this run did so before it was killed; return their number."""
        loads, holdings = self._tables.loads, self._tables.holdings
        last = connection.execute(select(loads.c.run_id).where(loads.c.task_id == load.task_id)).scalar()
        if last == load.run_id:
            return 0
        return connection.execute(delete(holdings).where(holdings.c.task_id != load.task_id)).rowcount

    def _sweep(self, connection: Connection, state: _State) -> int:
        """Delete the items that no task holds and no load has staged; return their number."""
        items, holdings, staged = self._tables.items, self._tables.holdings, self._tables.staged
        is_unused = (
            ~exists().where(holdings.c.item_number == items.c.number)
            & ~exists().where(staged.c.item_number == items.c.number)
        )  # fmt: skip
        numbers = connection.execute(select(items.c.number).where(is_unused)).scalars().all()
        for part in _parts(numbers, IDS_AT_ONCE):
            vectors = connection.execute(select(items.c.vector).where(items.c.number.in_(part))).scalars().all()
            state.count(np.stack(vectors), -1)
            connection.execute(delete(items).where(items.c.number.in_(part)))
        return len(numbers)

    def _record(self, connection: Connection, load: Load) -> None:
        loads = self._tables.loads
        connection.execute(delete(loads).where(loads.c.task_id == load.task_id))
        connection.execute(insert(loads).values(task_id=load.task_id, run_id=load.run_id))

    def _mark_staged(self, connection: Connection, task_id: str, ids: Sequence[str]) -> None:
        items, dialect = self._tables.items, sqlite if connection.dialect.name == "sqlite" else postgresql
        for part in _parts(ids, IDS_AT_ONCE):
            these = select(items.c.number, literal(task_id)).where(items.c.id.in_(part))
            staged = dialect.insert(self._tables.staged).from_select(["item_number", "task_id"], these)
            connection.execute(staged.on_conflict_do_nothing())

    def _delete(self, connection: Connection, table: Any, numbers: Sequence[int], task_id: str) -> None:
        for part in _parts(numbers, IDS_AT_ONCE):
            connection.execute(delete(table).where(table.c.item_number.in_(part), table.c.task_id == task_id))

    def _numbers(self, connection: Connection, ids: Sequence[str]) -> dict[str, int]:
        items = self._tables.items
        numbers: dict[str, int] = {}
        for part in _parts(ids, IDS_AT_ONCE):
            rows = connection.execute(select(items.c.id, items.c.number).where(items.c.id.in_(part)))
            numbers.update((row.id, row.number) for row in rows)
        return numbers

    # ---- reading ------------------------------------------------------------------------------------------------

    def content(self) -> StoreContent:
        items, holdings = self._tables.items, self._tables.holdings
        by_kind = select(items.c.kind, func.count()).where(self._is_held()).group_by(items.c.kind)
        with self._reading() as connection:
            counts = {str(row[0]): int(row[1]) for row in connection.execute(by_kind.order_by(items.c.kind))}
            tasks = connection.execute(select(func.count(holdings.c.task_id.distinct()))).scalar_one()
        return StoreContent(counts, tasks)

    def holdings(self, task_id: str) -> list[Holding]:
        with self._reading() as connection:
            rows = connection.execute(self._of_task(task_id))
            return [Holding(row.id, row.file, row.details) for row in rows]

    def held_by(self, task_id: str) -> list[tuple[Item, Holding]]:
        items = self._tables.items
        wanted = self._of_task(task_id).add_columns(items.c.kind, items.c.database_name, items.c.content)
        with self._reading() as connection:
            return [(_item(row), Holding(row.id, row.file, row.details)) for row in connection.execute(wanted)]

    def _of_task(self, task_id: str) -> Select[Any]:
        items, holdings = self._tables.items, self._tables.holdings
        return (
            select(items.c.id, holdings.c.file, holdings.c.details)
            .join(holdings, holdings.c.item_number == items.c.number)
            .where(holdings.c.task_id == task_id)
            .order_by(items.c.id)
        )

    def search(self, question: Question) -> list[Found]:
        # A server is not asked within a transaction. It does not need the corpus.
        vector = self._embedder.embed_question(question.text, _NO_CORPUS) if self._embedder.waits else None
        with self._reading() as connection:
            nearest = self._nearest(connection, question, vector)
            return self._found(connection, dict(nearest))

    @abstractmethod
    def _nearest(self, connection: Connection, question: Question, vector: Vector | None) -> list[tuple[int, float]]:
        """Return the numbers of the nearest items that tasks hold, with their scores.

        Without a vector, the question is embedded with the corpus as the transaction of this connection sees it.
        """

    def _in_memory(
        self, connection: Connection, generation: int, question: Question, vector: Vector | None
    ) -> list[tuple[int, float]]:
        """Search all vectors in memory; read them if the cached ones are of another generation."""
        matrix = self._cached.at(generation, lambda: self._read(connection, generation))
        if vector is None:
            vector = self._embedder.embed_question(question.text, matrix.corpus)
        holdings = self._tables.holdings
        of_task = np.zeros(0, np.int64)
        if question.task_id is not None:
            numbers = select(holdings.c.item_number).where(holdings.c.task_id == question.task_id)
            of_task = np.fromiter(connection.execute(numbers).scalars(), np.int64)
        return matrix.nearest(vector, question, of_task)

    def _read(self, connection: Connection, generation: int) -> Matrix:
        held = select(func.count()).select_from(self._tables.items).where(self._is_held())
        count = connection.execute(held).scalar_one()
        dimension = self._embedder.identity.dimension
        return matrix_of(generation, self._corpus(connection), count, dimension, self._held(connection))

    @abstractmethod
    def _held(self, connection: Connection) -> Iterator[HeldVector]:
        """Yield every vector that tasks hold, read by the driver directly: 100,000 rows take half the time."""

    def _corpus(self, connection: Connection) -> Corpus:
        row = connection.execute(select(self._tables.state)).one()
        return Corpus(row.item_count, counts_from_bytes(row.frequencies))

    def _found(self, connection: Connection, scores: dict[int, float]) -> list[Found]:
        """Return the items of these numbers with their scores, best first."""
        found: dict[int, tuple[str, Found]] = {}
        for number, id_, kind, database, content, *holding in self._rows(connection, list(scores)):
            _, one = found.setdefault(number, (id_, Found(Item(kind, database, content), scores[number], [])))
            task_id, file, details = holding
            one.holders.append((task_id, Holding(id_, file, details)))
        return [one for _, one in sorted(found.values(), key=lambda pair: (-pair[1].score, pair[0]))]

    def _rows(self, connection: Connection, numbers: list[int]) -> Iterable[Sequence[Any]]:
        """Yield number, id, kind, database and content of these items, with task, file and details of each holding."""
        return connection.execute(self._by_numbers, {"numbers": numbers})

    def _is_held(self) -> Any:
        return exists().where(self._tables.holdings.c.item_number == self._tables.items.c.number)

    def _holders(self, connection: Connection, numbers: Sequence[int]) -> dict[int, list[tuple[str, Holding]]]:
        items, holdings = self._tables.items, self._tables.holdings
        wanted = (
            select(items.c.id, holdings)
            .join(items, holdings.c.item_number == items.c.number)
            .where(holdings.c.item_number.in_(numbers))
            .order_by(holdings.c.item_number, holdings.c.task_id)
        )
        found: dict[int, list[tuple[str, Holding]]] = {number: [] for number in numbers}
        for row in connection.execute(wanted):
            found[row.item_number].append((row.task_id, Holding(row.id, row.file, row.details)))
        return found

    # ---- backups ------------------------------------------------------------------------------------------------

    def dump(self) -> Iterator[StoredItem]:
        items = self._tables.items
        wanted = select(items).where(self._is_held()).order_by(items.c.id)
        with self._reading() as connection:
            streamed = connection.execute(wanted.execution_options(yield_per=ROWS_AT_ONCE))
            for rows in streamed.partitions():
                holders = self._holders(connection, [row.number for row in rows])
                for row in rows:
                    yield StoredItem(_item(row), row.vector, holders[row.number])

    def replace_with(self, items: Iterable[StoredItem]) -> StoreContent:
        tables = self._tables
        with self._database.translating_errors(), self._database.engine.connect() as connection:
            try:
                with read_transaction(connection):  # the items are in temporary tables until all of them are there
                    tables.incoming.drop_all(connection)
                    tables.incoming.create_all(connection)
                    for part in _parts(items, ROWS_AT_ONCE):
                        self._take_in(connection, part)
                with write_transaction(connection):
                    self._swap(connection)
            finally:
                with read_transaction(connection):
                    tables.incoming.drop_all(connection)
        self._has_grown()
        return self.content()

    def _take_in(self, connection: Connection, stored: Sequence[StoredItem]) -> None:
        rows = [_item_row(entry.item, entry.vector) for entry in stored]
        connection.execute(insert(self._tables.incoming_items), rows)
        held = [
            {"item_id": row["id"], "task_id": task_id, "file": holding.file, "details": dict(holding.details)}
            for row, entry in zip(rows, stored, strict=True)
            for task_id, holding in entry.holders
        ]
        connection.execute(insert(self._tables.incoming_holdings), held)

    def _swap(self, connection: Connection) -> None:
        """Replace the old content by the new one, in the transaction of the connection."""
        tables = self._tables
        state = self._locked_state(connection)
        for table in (tables.holdings, tables.staged, tables.loads, tables.items):
            connection.execute(delete(table))
        held, items = tables.incoming_holdings, tables.items
        # Plain SQL copies the bytes. The type of the column would convert them to a vector and back.
        connection.execute(text(_MOVE_IN))
        holders = select(items.c.number, held.c.task_id, held.c.file, held.c.details).join(
            items, items.c.id == held.c.item_id
        )
        connection.execute(insert(tables.holdings).from_select(["item_number", "task_id", "file", "details"], holders))
        state.item_count = 0
        state.frequencies[:] = 0
        streamed = connection.execute(select(items.c.vector).execution_options(yield_per=ROWS_AT_ONCE))
        for vectors in streamed.scalars().partitions():
            state.count(np.stack(vectors), +1)
        state.generation += 1
        self._write_state(connection, state)

    # ---- helpers -----------------------------------------------------------------------------------------------

    def _has_grown(self) -> None:
        """Adapt the database to the number of its items. Called after each commit."""

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Open a connection whose statements all see the store as it is at one moment."""
        with self._database.translating_errors(), self._database.reading() as connection:
            yield connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[tuple[Connection, _State]]:
        """Open a transaction that locks the row of the store, and writes it at the end."""
        with self._database.translating_errors(), self._database.writing() as connection:
            state = self._locked_state(connection)
            yield connection, state
            self._write_state(connection, state)

    def _locked_state(self, connection: Connection) -> _State:
        row = connection.execute(select(self._tables.state).with_for_update()).one()
        return _State(row.generation, row.item_count, counts_from_bytes(row.frequencies))

    def _write_state(self, connection: Connection, state: _State) -> None:
        frequencies = counts_as_bytes(state.frequencies)
        values = {"generation": state.generation, "item_count": state.item_count, "frequencies": frequencies}
        connection.execute(update(self._tables.state).values(values))


def prepare_tables(connection: Connection, tables: Tables, embedder: EmbedderIdentity, label: str) -> None:
    """Create the tables, or check the existing ones. Raises EmbedderMismatch, StoreUnavailable."""
    tables.metadata.create_all(connection)
    row = connection.execute(select(tables.state)).first()
    if row is None:
        connection.execute(
            insert(tables.state).values(
                schema_version=SCHEMA,
                embedder_name=embedder.name,
                embedder_version=embedder.version,
                dimension=embedder.dimension,
                generation=1,
                item_count=0,
                frequencies=counts_as_bytes(np.zeros(embedder.dimension, np.int64)),
            )
        )
        return
    check_state(row, embedder, label)


def check_state(row: Row[Any], configured: EmbedderIdentity, label: str) -> EmbedderIdentity:
    """Check that this program can use a store with this row; return the embedder of its vectors.

    Raises EmbedderMismatch, StoreUnavailable.
    """
    if row.schema_version > SCHEMA:
        raise StoreUnavailable(
            f"The vector store {label} was created by a newer version of this program. Use that one."
        )
    identity = EmbedderIdentity(row.embedder_name, row.embedder_version, row.dimension)
    check_identity(f"The vector store {label}", identity, configured)
    return identity


def _parts(elements: Iterable[_Element], size: int) -> Iterator[list[_Element]]:
    remaining = iter(elements)
    while part := list(islice(remaining, size)):
        yield part


def _item_row(item: Item, vector: Vector) -> dict[str, Any]:
    return {
        "id": item.id,
        "kind": item.kind,
        "database_name": item.database,
        "content": item.content,
        "vector": vector,
    }


def _item(row: Row[Any]) -> Item:
    return Item(row.kind, row.database_name, row.content)
