"""The URL of the vector store, and the endpoint of the embedder. Opens nothing."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class EmbeddingEndpoint:
    """An OpenAI-compatible server that returns vectors with `dimension` numbers, and the limits of a request."""

    base_url: str
    model: str
    dimension: int
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 60.0
    texts_at_once: int = 64


@dataclass(frozen=True)
class VectorPlace:
    """The URL of the vector store, which may have a password, and the endpoint; None for the built-in embedder."""

    url: str = field(repr=False)
    endpoint: EmbeddingEndpoint | None = None
