"""Ask a language model, on an OpenAI-compatible server, for answers with a given JSON Schema.

Answers are stored by the hash of everything that they depend on, so that a resumed run, or another run on the same
tables, does not pay again. An answer is text from outside: the caller must check it like any other input.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from string import Template
from typing import Any, Final, Protocol, TypeVar

import httpx2 as httpx
from pydantic import BaseModel, ValidationError
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from data_pipeline.config.model_endpoint import ModelEndpoint
from data_pipeline.errors import ModelFailed
from data_pipeline.language_model.protocol import EndpointError, is_transient, options_of, post_async, wait_as_asked

LOGGER: Final = logging.getLogger("data_pipeline.language_model")

ATTEMPTS: Final = 4
"""Maximum number of attempts of a call, while the server is busy or not reachable."""

WAIT_LIMIT_SECONDS: Final = 30.0
_WAIT: Final = wait_as_asked(
    wait_exponential(multiplier=0.5, max=WAIT_LIMIT_SECONDS) + wait_random(0.0, 0.5), WAIT_LIMIT_SECONDS
)

Message = dict[str, str]

AnswerShape = TypeVar("AnswerShape", bound=BaseModel)


@dataclass(frozen=True)
class ModelUsage:
    """The usage of a run: paid calls, stored answers that were used instead, tokens as counted by the server."""

    calls: int = 0
    kept_answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def tokens(self) -> int:
        """The number of all tokens."""
        return self.prompt_tokens + self.completion_tokens


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(BaseModel):
    """The used fields of a server's answer."""

    choices: list[_Choice]
    usage: _Usage | None = None


class Answers(Protocol):
    """The storage of answers. Callable from any thread."""

    def model_answer(self, key: str) -> str | None:
        """Return a stored answer, None if there is none."""

    def keep_model_answer(self, key: str, answer: str) -> None:
        """Store an answer."""


class NoAnswers:
    """Stores nothing."""

    def model_answer(self, key: str) -> str | None:  # noqa: ARG002
        return None

    def keep_model_answer(self, key: str, answer: str) -> None:
        pass


class LanguageModel:
    """A language model during one run, in one event loop. Call `close` at the end."""

    def __init__(self, endpoint: ModelEndpoint, answers: Answers | None = None) -> None:
        self.endpoint = endpoint
        self.usage = ModelUsage()
        self._answers = answers or NoAnswers()
        self._slots = asyncio.Semaphore(endpoint.calls_at_once)
        self._refusal: str | None = None  # the reason why each further call would fail, too
        self._client: httpx.AsyncClient | None = None

    async def ask(self, prompt: str, shape: type[AnswerShape], values: Mapping[str, str]) -> AnswerShape:
        """Fill in a prompt of `prompts/`, and return the answer as an instance of `shape`. Raises ModelFailed."""
        template = files("data_pipeline.language_model").joinpath("prompts", f"{prompt}.txt").read_text("utf-8")
        text = Template(template).substitute(values)
        schema = json.dumps(shape.model_json_schema(), sort_keys=True)
        key = hashlib.sha256(
            json.dumps([self.endpoint.base_url, self.endpoint.model, text, schema]).encode()
        ).hexdigest()
        kept = await asyncio.to_thread(self._answers.model_answer, key)
        if kept is not None:
            self.usage = replace(self.usage, kept_answers=self.usage.kept_answers + 1)
            return shape.model_validate_json(kept)
        async with self._slots:
            answer = await self._answer(text, shape, schema)
        await asyncio.to_thread(self._answers.keep_model_answer, key, answer.model_dump_json())
        return answer

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _answer(self, text: str, shape: type[AnswerShape], schema: str) -> AnswerShape:
        task = f"Answer with one JSON object of this JSON Schema, and nothing else:\n{schema}"
        messages: list[Message] = [
            {"role": "system", "content": task},
            {"role": "user", "content": text},
        ]
        problem = ""
        for _ in range(2):
            content = await self._complete(messages, shape)
            try:
                return shape.model_validate_json(_without_fence(content))
            except ValidationError as error:
                problem = "; ".join(f"{_place(fault['loc'])}: {fault['msg']}" for fault in error.errors()[:3])
                messages += [
                    {"role": "assistant", "content": content},
                    {"role": "user", "content": f"That is not what the schema asks for ({problem}). Answer again."},
                ]
        raise ModelFailed(f"its answer does not match the JSON Schema ({problem})")

    async def _complete(self, messages: list[Message], shape: type[BaseModel]) -> str:
        if self._refusal is not None:
            raise ModelFailed(self._refusal)
        if self.usage.tokens >= self.endpoint.tokens_per_run:
            raise ModelFailed(f"the run has used {self.usage.tokens} tokens: see DATA_PIPELINE_LLM_TOKENS_PER_RUN")
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(is_transient), stop=stop_after_attempt(ATTEMPTS), wait=_WAIT, reraise=True
            ):
                with attempt:
                    completion = await self._call(messages, shape)
        except EndpointError as error:
            reason = error.reason("DATA_PIPELINE_LLM")
            if error.kind == "refused":  # maybe only this request
                reason += ", and may not support the response format: see DATA_PIPELINE_LLM_RESPONSE_FORMAT"
            else:
                self._refusal = reason
            LOGGER.warning("The language model %s: %s", self.endpoint.model, reason)
            raise ModelFailed(reason) from None
        self._count(completion)
        content = completion.choices[0].message.content if completion.choices else None
        if not content:
            raise ModelFailed("its answer is empty")
        return content

    async def _call(self, messages: list[Message], shape: type[BaseModel]) -> _Completion:
        if self._client is None:
            endpoint = self.endpoint
            self._client = httpx.AsyncClient(
                **options_of(endpoint.base_url, endpoint.api_key, endpoint.timeout_seconds)
            )
        options: dict[str, Any] = {}
        match self.endpoint.response_format:
            case "json_schema":
                wanted = {"name": shape.__name__, "schema": shape.model_json_schema(), "strict": True}
                options["response_format"] = {"type": "json_schema", "json_schema": wanted}
            case "json_object":
                options["response_format"] = {"type": "json_object"}
        body = {"model": self.endpoint.model, "messages": messages, "temperature": 0, **options}
        answer = await post_async(self._client, "chat/completions", body)
        try:
            return _Completion.model_validate_json(answer)
        except ValidationError:
            reason = "the answer of the server is not OpenAI-compatible: see DATA_PIPELINE_LLM_BASE_URL"
            raise ModelFailed(reason) from None

    def _count(self, completion: _Completion) -> None:
        used = completion.usage or _Usage()
        self.usage = replace(
            self.usage,
            calls=self.usage.calls + 1,
            prompt_tokens=self.usage.prompt_tokens + (used.prompt_tokens or 0),
            completion_tokens=self.usage.completion_tokens + (used.completion_tokens or 0),
        )


def _place(place: tuple[str | int, ...]) -> str:
    return ".".join(map(str, place)) or "the answer"


def _without_fence(content: str) -> str:
    """Return the JSON of an answer without a code fence around it."""
    text = content.strip()
    if text.startswith("```"):
        text = text.partition("\n")[2].rpartition("```")[0]
    return text
