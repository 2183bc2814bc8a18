"""Open a vector store by its URL, or inspect one without creating it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import inspect, select

from data_pipeline.config.database_urls import label_of
from data_pipeline.config.vector_place import VectorPlace
from data_pipeline.store.own_database import DatabaseRole, OwnDatabase
from data_pipeline.vectors.embedding.choosing import choose_embedder
from data_pipeline.vectors.embedding.contract import EmbedderIdentity
from data_pipeline.vectors.store.contract import VectorStore
from data_pipeline.vectors.store.postgres import MAKING_LOCK, PostgresVectorStore, create_extension, send_vectors
from data_pipeline.vectors.store.relational import check_state, prepare_tables
from data_pipeline.vectors.store.sqlite import SqliteVectorStore, use_large_pages
from data_pipeline.vectors.store.tables import Tables

VECTOR_STORE = DatabaseRole("vector store", "DATA_PIPELINE_VECTOR_STORE_URL", label_of)


@dataclass(frozen=True)
class VectorStoreLook:
    """The embedder of a vector store, and the number of its items, with the staged ones."""

    made_by: EmbedderIdentity
    item_count: int


def open_vector_store(place: VectorPlace) -> VectorStore:
    """Open the vector store; create it if it is missing. Raises StoreUnavailable, EmbedderMismatch."""
    embedder = choose_embedder(place.endpoint)
    existing = OwnDatabase.open_existing(place.url, VECTOR_STORE)
    is_sqlite = existing is None or existing.is_sqlite
    if existing is not None and not is_sqlite:
        with existing.closing():
            create_extension(existing)  # before `send_vectors`, which needs the type of the extension
    database = OwnDatabase.open(place.url, VECTOR_STORE, prepare=use_large_pages if is_sqlite else send_vectors)
    with database.closing_on_error(), database.writing(lock_key=MAKING_LOCK) as connection:
        prepare_tables(connection, Tables(embedder.identity.dimension), embedder.identity, database.label)
    return (SqliteVectorStore if is_sqlite else PostgresVectorStore)(database, embedder)


def look_at_vector_store(place: VectorPlace) -> VectorStoreLook | None:
    """Inspect a store, None if it does not exist. Changes nothing. Raises StoreUnavailable, EmbedderMismatch."""
    identity = choose_embedder(place.endpoint).identity
    existing = OwnDatabase.open_existing(place.url, VECTOR_STORE)
    if existing is None:
        return None
    tables = Tables(identity.dimension)
    with existing.closing() as database, database.reading() as connection:
        if not inspect(connection).has_table(tables.state.name):
            return None
        row = connection.execute(select(tables.state)).first()
    return None if row is None else VectorStoreLook(check_state(row, identity, existing.label), row.item_count)
