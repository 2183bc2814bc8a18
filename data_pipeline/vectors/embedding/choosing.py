"""Choose the embedder of a vector store: the configured server, or the built-in one."""

from __future__ import annotations

from data_pipeline.config.vector_place import EmbeddingEndpoint
from data_pipeline.vectors.embedding.contract import Embedder
from data_pipeline.vectors.embedding.hashed_words import HashedWords


def choose_embedder(endpoint: EmbeddingEndpoint | None) -> Embedder:
    """Return the embedder of an endpoint, or the built-in one without an endpoint. Sends no request."""
    if endpoint is None:
        return HashedWords()
    from data_pipeline.vectors.embedding.server import EmbeddingServer  # noqa: PLC0415 - slow to import

    return EmbeddingServer(endpoint)
