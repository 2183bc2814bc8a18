"""The endpoint of a language model, with limits and prices. Opens nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ResponseFormat = Literal["json_schema", "json_object", "text"]


@dataclass(frozen=True)
class ModelEndpoint:
    """A model, its server and the limits of a run. `response_format` is one that the server supports."""

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 60.0
    calls_at_once: int = 4
    tokens_per_run: int = 1_000_000
    response_format: ResponseFormat = "json_schema"
    price_per_million_prompt_tokens: float | None = None
    price_per_million_completion_tokens: float | None = None

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return the cost of these tokens in the currency of the prices, None if the prices are unknown."""
        if self.price_per_million_prompt_tokens is None or self.price_per_million_completion_tokens is None:
            return None
        return (
            prompt_tokens * self.price_per_million_prompt_tokens
            + completion_tokens * self.price_per_million_completion_tokens
        ) / 1_000_000
