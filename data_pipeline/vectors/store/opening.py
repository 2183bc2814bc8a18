"""Open a vector store by its URL, or look at one without making it."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from urllib.parse import quote

from sqlalchemy import create_engine, event, inspect, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from data_pipeline.config.database_urls import label_of, parse_url
from data_pipeline.config.vector_place import VectorPlace
from data_pipeline.errors import EmbedderMismatch, InvalidInput, StoreUnavailable
from data_pipeline.store.own_database import make_engine
from data_pipeline.vectors.embedding.choosing import choose_embedder
from data_pipeline.vectors.embedding.contract import EmbedderIdentity
from data_pipeline.vectors.store.contract import VectorStore, check_identity
from data_pipeline.vectors.store.postgres import MAKING_LOCK, PostgresVectorStore, make_extension, send_vectors
from data_pipeline.vectors.store.relational import identity_in, prepare_tables, unavailable
from data_pipeline.vectors.store.sqlite import SqliteVectorStore, use_large_pages
from data_pipeline.vectors.store.tables import SCHEMA, Tables


@dataclass(frozen=True)
class VectorStoreLook:
    """A vector store as it lies there: whose vectors, how many items (staged ones, too)."""

    made_by: EmbedderIdentity
    item_count: int


def open_vector_store(place: VectorPlace) -> VectorStore:
    """The store, made where there is none. Raises StoreUnavailable, EmbedderMismatch."""
    embedder = choose_embedder(place.endpoint)
    label = label_of(place.url)
    url = _parsed(place.url)
    is_sqlite = url.get_backend_name() == "sqlite"
    if not is_sqlite:
        make_extension(_for_driver(url), label)
    try:
        engine = make_engine(url)
    except OSError as error:
        raise StoreUnavailable(f"The vector store {label} cannot be made: {error}.") from error
    if is_sqlite:
        event.listen(engine, "connect", use_large_pages, insert=True)  # before the file is of WAL
    else:
        send_vectors(engine)
    try:
        with engine.begin() as connection:
            if not is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MAKING_LOCK})
            prepare_tables(connection, Tables(embedder.identity.dimension), embedder.identity, label)
    except SQLAlchemyError as error:
        engine.dispose()
        raise unavailable(label, error) from None  # the driver's error may hold the password
    except (EmbedderMismatch, StoreUnavailable):
        engine.dispose()
        raise
    return (SqliteVectorStore if is_sqlite else PostgresVectorStore)(engine, embedder, label)


def look_at_vector_store(place: VectorPlace) -> VectorStoreLook | None:
    """How a store is, None where there is none yet; makes nothing. Raises StoreUnavailable, EmbedderMismatch."""
    identity = choose_embedder(place.endpoint).identity
    label = label_of(place.url)
    url = _parsed(place.url)
    if url.get_backend_name() == "sqlite":
        path = os.path.abspath(str(url.database))
        if not os.path.exists(path):
            return None
        uri = f"file:{quote(path)}?mode=ro"
        engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(uri, uri=True), poolclass=NullPool)
    else:
        engine = make_engine(url)
    tables = Tables(identity.dimension)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table(tables.state.name):
                return None
            row = connection.execute(select(tables.state)).first()
    except SQLAlchemyError as error:
        raise unavailable(label, error) from None  # the driver's error may hold the password
    finally:
        engine.dispose()
    if row is None:
        return None
    if row.schema_version > SCHEMA:
        raise StoreUnavailable(f"The vector store {label} was made by a newer version of this program. Use that one.")
    look = VectorStoreLook(identity_in(row), row.item_count)
    check_identity(f"The vector store {label}", look.made_by, identity)
    return look


def _parsed(url: str) -> URL:
    try:
        return parse_url(url)
    except InvalidInput as error:
        raise StoreUnavailable(f"DATA_PIPELINE_VECTOR_STORE_URL: {'; '.join(error.problems)}.") from None


def _for_driver(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
