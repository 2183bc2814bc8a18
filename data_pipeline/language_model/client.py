"""The only way to a language model: a server that speaks OpenAI's protocol, asked for answers of a known shape.

An answer is kept by everything it depends on, so that a run that is resumed, or repeated on the same tables, pays once.
What a model says is text from outside: whoever asks checks it like any other.
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

import openai
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel, ValidationError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from data_pipeline.config.model_endpoint import ModelEndpoint
from data_pipeline.errors import ModelFailed

LOGGER: Final = logging.getLogger("data_pipeline.language_model")

ATTEMPTS: Final = 4
"""How often a call is tried while the server is busy or cannot be reached."""

WAIT_LIMIT_SECONDS: Final = 30.0

AnswerShape = TypeVar("AnswerShape", bound=BaseModel)


@dataclass(frozen=True)
class ModelUsage:
    """What a run asked for: calls that were paid, answers that were kept from before, tokens as the server counts."""

    calls: int = 0
    kept_answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.prompt_tokens + self.completion_tokens


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(BaseModel):
    """What is read of a server's answer: the client itself checks nothing of it."""

    choices: list[_Choice]
    usage: _Usage | None = None


class Answers(Protocol):
    """Where answers are kept. Callable from any thread."""

    def model_answer(self, key: str) -> str | None:
        """A kept answer, None where there is none."""

    def keep_model_answer(self, key: str, answer: str) -> None:
        """Keep an answer."""


class NoAnswers:
    """Keeps nothing."""

    def model_answer(self, key: str) -> str | None:  # noqa: ARG002
        return None

    def keep_model_answer(self, key: str, answer: str) -> None:
        pass


class LanguageModel:
    """A model during one run; `close` gives its connections back. Used by one event loop."""

    def __init__(self, endpoint: ModelEndpoint, answers: Answers | None = None) -> None:
        self.endpoint = endpoint
        self.usage = ModelUsage()
        self._answers = answers or NoAnswers()
        self._slots = asyncio.Semaphore(endpoint.calls_at_once)
        self._refusal: str | None = None  # why no further call is worth its wait
        self._client: openai.AsyncOpenAI | None = None

    async def ask(self, prompt: str, shape: type[AnswerShape], values: Mapping[str, str]) -> AnswerShape:
        """An answer of this shape to a prompt of `prompts/`, its places filled in. Raises ModelFailed."""
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
        """Give the connections back."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _answer(self, text: str, shape: type[AnswerShape], schema: str) -> AnswerShape:
        task = f"Answer with one JSON object of this JSON Schema, and nothing else:\n{schema}"
        messages: list[ChatCompletionMessageParam] = [
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
        raise ModelFailed(f"its answer is not what was asked for ({problem})")

    async def _complete(self, messages: list[ChatCompletionMessageParam], shape: type[BaseModel]) -> str:
        if self._refusal is not None:
            raise ModelFailed(self._refusal)
        if self.usage.tokens >= self.endpoint.tokens_per_run:
            raise ModelFailed(
                f"this run has used {self.usage.tokens} tokens: its limit is DATA_PIPELINE_LLM_TOKENS_PER_RUN"
            )
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(_is_transient), stop=stop_after_attempt(ATTEMPTS), wait=_wait, reraise=True
            ):
                with attempt:
                    completion = await self._call(messages, shape)
        except openai.OpenAIError as error:
            reason = _reason(error)
            if not isinstance(error, openai.BadRequestError):
                self._refusal = reason
            LOGGER.warning("The language model %s: %s", self.endpoint.model, reason)
            raise ModelFailed(reason) from None
        self._count(completion)
        content = completion.choices[0].message.content if completion.choices else None
        if not content:
            raise ModelFailed("its answer is empty")
        return content

    async def _call(self, messages: list[ChatCompletionMessageParam], shape: type[BaseModel]) -> _Completion:
        if self._client is None:
            self._client = openai.AsyncOpenAI(
                base_url=self.endpoint.base_url,
                api_key=self.endpoint.api_key or "none",
                timeout=self.endpoint.timeout_seconds,
                max_retries=0,
            )
        options: dict[str, Any] = {}
        match self.endpoint.response_format:
            case "json_schema":
                wanted = {"name": shape.__name__, "schema": shape.model_json_schema(), "strict": True}
                options["response_format"] = {"type": "json_schema", "json_schema": wanted}
            case "json_object":
                options["response_format"] = {"type": "json_object"}
        answer = await self._client.chat.completions.with_raw_response.create(
            model=self.endpoint.model, messages=messages, temperature=0, **options
        )
        try:
            return _Completion.model_validate_json(answer.content)
        except ValidationError:
            reason = "what its server says is not of OpenAI's protocol: see DATA_PIPELINE_LLM_BASE_URL"
            raise ModelFailed(reason) from None

    def _count(self, completion: _Completion) -> None:
        used = completion.usage or _Usage()
        self.usage = replace(
            self.usage,
            calls=self.usage.calls + 1,
            prompt_tokens=self.usage.prompt_tokens + (used.prompt_tokens or 0),
            completion_tokens=self.usage.completion_tokens + (used.completion_tokens or 0),
        )


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, openai.APIConnectionError | openai.RateLimitError | openai.InternalServerError)


def _wait(state: RetryCallState) -> float:
    """As long as the server asks for, else longer each time."""
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, openai.APIStatusError):
        asked = error.response.headers.get("retry-after", "")
        if asked.replace(".", "", 1).isdigit():
            return min(float(asked), WAIT_LIMIT_SECONDS)
    return float(wait_exponential_jitter(initial=0.5, max=WAIT_LIMIT_SECONDS, jitter=0.5)(state))


def _reason(error: openai.OpenAIError) -> str:
    """What to tell people: never the key, nor what was sent."""
    match error:
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return "its server refuses the key: see DATA_PIPELINE_LLM_API_KEY"
        case openai.NotFoundError():
            return "its server does not know it: see DATA_PIPELINE_LLM_MODEL and DATA_PIPELINE_LLM_BASE_URL"
        case openai.APITimeoutError():
            return "it did not answer in time: see DATA_PIPELINE_LLM_TIMEOUT_SECONDS"
        case openai.APIConnectionError():
            return "its server cannot be reached: see DATA_PIPELINE_LLM_BASE_URL"
        case openai.BadRequestError():
            return (
                "its server refuses the request (400): it may not know this response format, "
                "see DATA_PIPELINE_LLM_RESPONSE_FORMAT"
            )
        case openai.APIStatusError():
            return f"its server answered {error.status_code}"
    return type(error).__name__


def _place(place: tuple[str | int, ...]) -> str:
    return ".".join(map(str, place)) or "the answer"


def _without_fence(content: str) -> str:
    """The JSON of an answer that has a code fence around it."""
    text = content.strip()
    if text.startswith("```"):
        text = text.partition("\n")[2].rpartition("```")[0]
    return text
