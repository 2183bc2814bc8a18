"""Which embedder a vector store has: the configured server's, or our own."""

from __future__ import annotations

from data_pipeline.config.vector_place import EmbeddingEndpoint
from data_pipeline.vectors.embedding.contract import Embedder
from data_pipeline.vectors.embedding.hashed_words import HashedWords


def choose_embedder(endpoint: EmbeddingEndpoint | None) -> Embedder:
    """The embedder for an endpoint, or the one that needs none; asks nobody."""
    if endpoint is None:
        return HashedWords()
    from data_pipeline.vectors.embedding.server import EmbeddingServer  # noqa: PLC0415 - slow to import, for those who have one

    return EmbeddingServer(endpoint)
