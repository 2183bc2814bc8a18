"""Embedders: the same text, the same vector; other words are found; a server that misbehaves is told."""

from __future__ import annotations

import contextlib
import hashlib
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.config.vector_place import EmbeddingEndpoint
from data_pipeline.errors import EmbeddingFailed
from data_pipeline.vectors.embedding.choosing import choose_embedder
from data_pipeline.vectors.embedding.contract import Corpus, Passage
from data_pipeline.vectors.embedding.hashed_words import DIMENSION, HashedWords
from data_pipeline.vectors.embedding.server import EmbeddingServer
from tests.support.bm25 import bm25, recall
from tests.support.model_server import Reply, model_server
from tests.support.paraphrases import Paraphrase, paraphrases

EMBEDDER = HashedWords()
NOTHING = Corpus(0, np.zeros(DIMENSION, np.int64))


def scores_of(plans: list[Paraphrase]) -> Any:
    """Every question of the plans against everything that is stored."""
    stored = EMBEDDER.embed([Passage(plan.stored, plan.sql) for plan in plans])
    corpus = Corpus(len(plans), np.count_nonzero(stored, axis=0))
    return np.stack([EMBEDDER.embed_question(plan.asked, corpus) for plan in plans]) @ stored.T


@pytest.mark.parametrize("language", ["en", "zh"])
def test_questions_in_other_words_find_their_pair(language: str) -> None:
    """The half that nothing was tuned on: nine of ten among the first five, and better than BM25."""
    plans = paraphrases(language)
    held_out = [number for number, plan in enumerate(plans) if plan.is_held_out]
    documents = [f"{plan.stored} {plan.sql}" for plan in plans]
    ours = recall(scores_of(plans)[held_out], held_out)
    rival = recall(bm25(documents, [plan.asked for plan in plans])[held_out], held_out)

    assert len(plans) >= 200
    assert len(held_out) >= 100
    assert ours[1] >= 0.90, ours
    assert ours[0] > rival[0], (ours, rival)
    assert ours[2] > rival[2], (ours, rival)
    assert ours[1] >= rival[1], (ours, rival)


def test_vectors_of_a_version_never_change() -> None:
    """What is stored must be what a newer program computes; else its version has to grow."""
    vectors = EMBEDDER.embed(
        [Passage("How many orders per month?", "SELECT 1"), Passage("每个月的订单数量"), Passage("")]
    )

    assert EMBEDDER.identity.version == 1
    assert hashlib.sha256(np.round(vectors, 4).tobytes()).hexdigest() == (
        "36853f3c371c0b86db1387dd19ddb405404ccefcb121610d41801859813d3994"
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=8))
def test_vector_depends_on_its_own_text_alone(texts: list[str]) -> None:
    """Whatever stands beside it in a batch; it has length one, or nothing in it; half a character is no error."""
    together = EMBEDDER.embed([Passage(text) for text in texts])
    for text, vector in zip(texts, together, strict=True):
        (alone,) = EMBEDDER.embed([Passage(text)])
        assert alone.tobytes() == vector.tobytes()
        assert np.isclose(np.linalg.norm(vector), 1.0, atol=1e-5) or not vector.any()
        question = EMBEDDER.embed_question(text, NOTHING)
        assert float(question @ vector) <= 1.00001


def test_case_width_and_words_that_only_ask_do_not_matter() -> None:
    """The same to a person, the same vector."""
    same = ["Show me the MONTHLY rent, please", "monthly rent", "What is the \uff4donthly rent?"]
    vectors = EMBEDDER.embed([Passage(text) for text in same])

    assert vectors[0].tobytes() == vectors[1].tobytes() == vectors[2].tobytes()
    assert EMBEDDER.embed([Passage("what is the")]).any(), "where nothing else is said, that is what counts"


def test_question_whose_words_every_item_has_still_finds_something() -> None:
    """Rare words count; where there are none, all do."""
    (stored,) = EMBEDDER.embed([Passage("orders")])
    question = EMBEDDER.embed_question("orders", Corpus(1, (stored != 0).astype(np.int64)))

    assert float(question @ stored) == pytest.approx(1.0, abs=1e-5)


def test_no_endpoint_means_our_own_embedder() -> None:
    """And an endpoint means its server; nobody is asked for that."""
    endpoint = EmbeddingEndpoint("http://127.0.0.1:9/v1", "m", 3)

    assert choose_embedder(None).identity.name == "hashed-words"
    assert str(choose_embedder(endpoint).identity) == "m, version 1, 3 dimensions"


# ---- a server -------------------------------------------------------------------------------------------------------


def vector_for(text: str) -> list[float]:
    """Three numbers that follow from a text."""
    return [float(len(text)), float(text.count("a")), 1.0]


def answering(body: dict[str, Any]) -> Reply:
    return [vector_for(text) for text in body["input"]]


def server_at(url: str, **options: Any) -> EmbeddingServer:
    endpoint = EmbeddingEndpoint(url, "small", 3, **{"api_key": "sesame", **options})
    return EmbeddingServer(endpoint, wait_seconds=0.01)


def test_server_is_asked_in_batches_and_answers_are_put_in_order() -> None:
    """By their index, whatever the order they come in; each has length one."""
    with model_server(answering) as server, contextlib.closing(server_at(server.url, texts_at_once=2)) as embedder:
        vectors = embedder.embed([Passage("banana"), Passage("b", "SELECT a"), Passage("")])
        question = embedder.embed_question("banana", NOTHING)

    assert [request["input"] for request in server.requests] == [["banana", "b\nSELECT a"], [" "], ["banana"]]
    assert server.keys[0] == "Bearer sesame"
    assert np.allclose(vectors[0], np.array([6, 3, 1]) / np.sqrt(46))
    assert np.allclose(question, vectors[0])
    assert vectors.dtype == np.float32


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (401, "DATA_PIPELINE_EMBEDDING_API_KEY"),
        (404, "DATA_PIPELINE_EMBEDDING_MODEL"),
        (400, "the server answered 400"),
        (500, "the server answered 500"),
        ([[1.0, 2.0]], "expected vectors of 3 dimensions, got 2: see DATA_PIPELINE_EMBEDDING_DIMENSIONS"),
        ([], "expected 1 vectors, got 0"),
    ],
)
def test_what_a_server_cannot_do_is_told_without_the_key(reply: Reply, problem: str) -> None:
    """One sentence with what to mend."""
    with (
        model_server(lambda _: reply) as server,
        contextlib.closing(server_at(server.url)) as embedder,
        pytest.raises(EmbeddingFailed) as caught,
    ):
        embedder.embed([Passage("secret question")])

    assert problem in str(caught.value)
    assert "sesame" not in str(caught.value)
    assert "secret question" not in str(caught.value)


def test_busy_server_is_asked_again() -> None:
    """Twice 429 and once 503 are no failure."""
    replies: list[Reply] = [429, 429, 503]
    with (
        model_server(lambda body: replies.pop(0) if replies else answering(body)) as server,
        contextlib.closing(server_at(server.url)) as embedder,
    ):
        vectors = embedder.embed([Passage("x")])

    assert vectors.shape == (1, 3)
    assert len(server.requests) == 4


def test_server_that_is_not_there_is_told() -> None:
    """Soon: nobody waits for minutes."""
    started = time.monotonic()
    with (
        contextlib.closing(server_at("http://127.0.0.1:9/v1")) as embedder,
        pytest.raises(EmbeddingFailed, match="not reachable"),
    ):
        embedder.embed([Passage("x")])

    assert time.monotonic() - started < 10
