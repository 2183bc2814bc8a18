"""Where vectors are kept, and who makes them. Opens nothing."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class EmbeddingEndpoint:
    """A server of OpenAI's protocol that makes vectors of `dimension` numbers, and within which limits it is asked."""

    base_url: str
    model: str
    dimension: int
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 60.0
    texts_at_once: int = 64


@dataclass(frozen=True)
class VectorPlace:
    """The vector store's URL, which may hold a password, and the endpoint; None for the embedder of our own."""

    url: str = field(repr=False)
    endpoint: EmbeddingEndpoint | None = None
