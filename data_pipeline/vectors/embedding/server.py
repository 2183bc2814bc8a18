"""Request vectors from an OpenAI-compatible server. Imported only if one is configured."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import httpx2 as httpx
import numpy as np
from pydantic import BaseModel, ValidationError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from data_pipeline.config.vector_place import EmbeddingEndpoint
from data_pipeline.errors import EmbeddingFailed
from data_pipeline.language_model.protocol import EndpointError, is_transient, options_of, post, wait_as_asked
from data_pipeline.vectors.embedding.contract import Corpus, EmbedderIdentity, Passage

if TYPE_CHECKING:
    from data_pipeline.vectors.embedding.contract import Vector

LOGGER: Final = logging.getLogger("data_pipeline.embedding")

VERSION: Final = 1
"""The version of the texts of passages. The version of the server's model is part of the model's name."""

ATTEMPTS: Final = 4
WAIT_LIMIT_SECONDS: Final = 20.0
CHARACTER_LIMIT: Final = 8_000
"""Maximum number of characters of one text, because servers reject longer ones."""


class _Embedding(BaseModel):
    index: int
    embedding: list[float]


class _Embeddings(BaseModel):
    """The used fields of a server's answer."""

    data: list[_Embedding]


class EmbeddingServer:
    """An embedder that requests vectors from a server in batches, and scales them to length one."""

    waits = True

    def __init__(self, endpoint: EmbeddingEndpoint, *, wait_seconds: float = 0.5) -> None:
        self.identity = EmbedderIdentity(endpoint.model, VERSION, endpoint.dimension)
        self._endpoint = endpoint
        self._wait_seconds = wait_seconds
        self._making = threading.Lock()
        self._made: httpx.Client | None = None

    def embed(self, passages: Sequence[Passage]) -> Vector:
        texts = [f"{passage.text}\n{passage.sql}".strip()[:CHARACTER_LIMIT] or " " for passage in passages]
        size = self._endpoint.texts_at_once
        parts = [self._vectors(texts[start : start + size]) for start in range(0, len(texts), size)]
        return np.concatenate(parts) if parts else np.zeros((0, self.identity.dimension), np.float32)

    def embed_question(self, question: str, corpus: Corpus) -> Vector:  # noqa: ARG002 - the model has its own weights
        vector: Vector = self._vectors([question[:CHARACTER_LIMIT]])[0]
        return vector

    def close(self) -> None:
        with self._making:
            if self._made is not None:
                self._made.close()
                self._made = None

    def _vectors(self, texts: list[str]) -> Vector:
        try:
            for attempt in Retrying(
                retry=retry_if_exception(is_transient),
                stop=stop_after_attempt(ATTEMPTS),
                wait=wait_as_asked(
                    wait_exponential(multiplier=self._wait_seconds, max=WAIT_LIMIT_SECONDS) + wait_random(0.0, 0.1),
                    WAIT_LIMIT_SECONDS,
                ),
                reraise=True,
            ):
                with attempt:
                    body = {"model": self._endpoint.model, "input": texts, "encoding_format": "float"}
                    answer = _Embeddings.model_validate_json(post(self._client(), "embeddings", body))
        except ValidationError:
            reason = "the answer of the server is not OpenAI-compatible: see DATA_PIPELINE_EMBEDDING_BASE_URL"
            LOGGER.warning("The embeddings server (%s): %s", self._endpoint.model, reason)
            raise EmbeddingFailed(reason) from None
        except EndpointError as error:
            reason = error.reason("DATA_PIPELINE_EMBEDDING")
            LOGGER.warning("The embeddings server (%s): %s", self._endpoint.model, reason)
            raise EmbeddingFailed(reason) from None  # the error may contain the texts
        rows = [item.embedding for item in sorted(answer.data, key=lambda item: item.index)]
        wanted = self.identity.dimension
        if len(rows) != len(texts):
            raise EmbeddingFailed(f"expected {len(texts)} vectors, got {len(rows)}")
        if any(len(row) != wanted for row in rows):
            raise EmbeddingFailed(
                f"expected vectors of {wanted} dimensions, got {len(rows[0])}: see DATA_PIPELINE_EMBEDDING_DIMENSIONS"
            )
        vectors = np.asarray(rows, np.float32)
        if not np.isfinite(vectors).all():
            raise EmbeddingFailed("its vectors contain NaN or infinity")
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        units: Vector = (vectors / np.where(lengths == 0.0, 1.0, lengths)).astype(np.float32)
        return units

    def _client(self) -> httpx.Client:
        with self._making:
            if self._made is None:
                endpoint = self._endpoint
                self._made = httpx.Client(**options_of(endpoint.base_url, endpoint.api_key, endpoint.timeout_seconds))
            return self._made
