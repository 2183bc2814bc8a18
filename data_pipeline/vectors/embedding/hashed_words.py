"""The built-in embedder: words and pieces of words, hashed into the dimensions of a vector. Needs no server.

    text -> lower case, NFKC, without words that only ask ("show me the", 请列出)
    words         "monthly", "rent"                     weight 1
    pieces        " mon", "onth", "rent "  3, 4, 5      weight 1
    Chinese       每 月 租 金                            weight 1
    pairs of it   每月 月租 租金                          weight 0.4

The value of a dimension is log(1 + the sum of the weights that were hashed to it), and the vector is scaled to length
one. The SQL of a pair is added with 0.3 of the weight. So a stored vector depends only on its own text. Frequent words
of the corpus have less weight in the *question*: each of its dimensions is multiplied by
(log((n + 1) / (f + 0.5)))^0.7 for f of n items.

All constants were tuned on one half of tests/support/paraphrases.py; benchmarks/README.md has the figures of the other
half. If you change a constant, increase VERSION, because vectors of two versions cannot be compared.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from data_pipeline.vectors.embedding.contract import Corpus, EmbedderIdentity, Passage

if TYPE_CHECKING:
    from data_pipeline.vectors.embedding.contract import Vector

VERSION: Final = 1
DIMENSION: Final = 1024

WORD_WEIGHT: Final = 1.0
PIECE_WEIGHT: Final = 1.0
PIECE_LENGTHS: Final = (3, 4, 5)
SIGN_WEIGHT: Final = 1.0
SIGN_PAIR_WEIGHT: Final = 0.4
SQL_WEIGHT: Final = 0.3
RARITY_POWER: Final = 0.7

TEXT_LIMIT: Final = 100_000
"""Maximum number of characters of a text that are used. A page of a thousand columns has as many."""

_ROWS_AT_ONCE: Final = 256

_ASKING: Final = frozenset({
    "a", "an", "the", "of", "to", "in", "is", "are", "was", "were", "be", "do", "does", "did", "me", "i", "we", "us",
    "my", "our", "would", "like", "want", "know", "tell", "show", "give", "list", "find", "please", "what", "which",
    "who", "that", "this", "it", "and", "or", "for", "by", "per", "with", "from", "at", "on", "as", "there", "can",
    "could", "you", "need", "see", "each", "every",
})  # fmt: skip
_ASKING_IN_CHINESE: Final = re.compile(
    "请问|请|帮我|我想知道|我想|想知道|知道|告诉我|列出|列举|查询|查找|查一下|统计|计算|显示|展示|给出|给我|看一下|情况|"
    "是多少|有多少|多少|是什么|什么|有哪些|哪些|一共|的|了|是|各个|各|每个|每|按照|按|吗|呢|在|和|与"
)
_NO_WORD: Final = re.compile(r"[\W_]+")
_CHINESE: Final = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_BETWEEN_SCRIPTS: Final = re.compile(rf"(?<=[{_CHINESE}])(?=[^\s{_CHINESE}])|(?<=[^\s{_CHINESE}])(?=[{_CHINESE}])")
_HAS_CHINESE: Final = re.compile(rf"[{_CHINESE}]")

_SPACE: Final = 32
_FACTOR: Final = 0x100000001B3
_MIX: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1
_SALTS: Final = {"word": 1, "sign": 2, "pair": 3}

_Places = tuple[NDArray[np.int64], NDArray[np.uint64]]
_Signs = NDArray[np.uint64]
_Marks = NDArray[np.bool_]


class HashedWords:
    """The built-in embedder, which needs only numpy."""

    identity = EmbedderIdentity("hashed-words", VERSION, DIMENSION)
    waits = False

    def embed(self, passages: Sequence[Passage]) -> Vector:
        parts = [_passages(passages[start : start + _ROWS_AT_ONCE]) for start in range(0, len(passages), _ROWS_AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, DIMENSION), np.float32)

    def embed_question(self, question: str, corpus: Corpus) -> Vector:
        (vector,) = _unit(_hashed([question]))
        (said,) = np.nonzero(vector)
        rarity = np.log((corpus.size + 1) / (corpus.frequencies[said] + 0.5)).clip(0.0) ** RARITY_POWER
        # If every item has every dimension of the question, no dimension has more weight than another one.
        weighted = np.zeros(DIMENSION, np.float32)
        weighted[said] = vector[said] * rarity
        found: Vector = _unit((weighted if weighted.any() else vector)[np.newaxis])[0]
        return found

    def close(self) -> None:
        pass


def _passages(passages: Sequence[Passage]) -> Vector:
    vectors = _unit(_hashed([passage.text for passage in passages]))
    with_sql = [number for number, passage in enumerate(passages) if passage.sql]
    if with_sql:
        vectors[with_sql] += SQL_WEIGHT * _unit(_hashed([passages[number].sql for number in with_sql]))
        vectors = _unit(vectors)
    return vectors


def _unit(vectors: Vector) -> Vector:
    """Scale the rows to length one. Rows of zeros stay as they are."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    lengths[lengths == 0.0] = 1.0
    units: Vector = (vectors / lengths[:, np.newaxis]).astype(np.float32)
    return units


def prepared(text: str) -> str:
    """Normalize a text for hashing: words between single spaces, without words that only ask."""
    small = unicodedata.normalize("NFKC", text[:TEXT_LIMIT]).lower()
    plain = _NO_WORD.sub(" ", small).strip()
    said = plain
    if _HAS_CHINESE.search(said):
        said = _BETWEEN_SCRIPTS.sub(" ", _ASKING_IN_CHINESE.sub(" ", said))
    words = [word for word in said.split() if word not in _ASKING]
    return " ".join(words or _BETWEEN_SCRIPTS.sub(" ", plain).split())


def _hashed(texts: Sequence[str]) -> Vector:
    """Return a row for each text: log(1 + the sum of the weights of each dimension).

    All texts are processed as one array of code points. The two spaces between texts keep pieces within a text, because
    a piece has spaces only at its ends.
    """
    said = [f" {prepared(text)} " for text in texts]
    signs = np.frombuffer("".join(said).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    rows = np.repeat(np.arange(len(said)), [len(text) for text in said])
    is_space = signs == _SPACE
    is_chinese = (
        ((signs >= 0x3400) & (signs <= 0x9FFF))
        | ((signs >= 0x3040) & (signs <= 0x30FF))
        | ((signs >= 0xAC00) & (signs <= 0xD7AF))
    )
    fallen: dict[float, list[NDArray[np.int64]]] = {}  # by weight, because each count reads every dimension

    def add(places: NDArray[np.int64], hashes: NDArray[np.uint64], weight: float, salt: int) -> None:
        if not len(places):
            return
        mixed = hashes * np.uint64(_FACTOR) + np.uint64(salt * _MIX & _MASK)
        mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(_MIX)
        dimensions = (mixed >> np.uint64(40)).astype(np.int64) % DIMENSION
        fallen.setdefault(weight, []).append(rows[places] * DIMENSION + dimensions)

    places, hashes = _words(signs, is_space, is_chinese)
    add(places, hashes, WORD_WEIGHT, _SALTS["word"])
    for length in PIECE_LENGTHS:
        places, hashes = _pieces(signs, is_space, is_chinese, length)
        add(places, hashes, PIECE_WEIGHT, 16 + length)
    (places,) = np.nonzero(is_chinese)
    add(places, signs[places], SIGN_WEIGHT, _SALTS["sign"])
    (places,) = np.nonzero(is_chinese[:-1] & is_chinese[1:])
    add(places, signs[places] * np.uint64(_FACTOR) + signs[places + 1], SIGN_PAIR_WEIGHT, _SALTS["pair"])
    weights = np.zeros(len(said) * DIMENSION)
    for weight, parts in fallen.items():
        weights += weight * np.bincount(np.concatenate(parts), minlength=len(weights))
    return np.log1p(weights).astype(np.float32).reshape(len(said), DIMENSION)


def _words(
    signs: _Signs,
    is_space: _Marks,
    is_chinese: _Marks,
) -> _Places:
    """Return the places of words that are not Chinese, with their hashes."""
    is_inside = ~(is_space | is_chinese)
    begins = is_inside.copy()
    begins[1:] &= ~is_inside[:-1]
    (starts,) = np.nonzero(begins)
    if not len(starts):
        return starts, signs[starts]
    since = _since(starts, len(signs))
    powers = _powers(int(since.max()) + 1)
    terms = np.where(is_inside, signs * powers[since], np.uint64(0))
    return starts, np.add.reduceat(terms, starts)


def _since(starts: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the distance of each place to the last start before it, or to the beginning if there is none."""
    newest = np.zeros(count, np.int64)
    newest[starts] = starts
    return np.arange(count) - np.maximum.accumulate(newest)


def _powers(count: int) -> NDArray[np.uint64]:
    powers = np.empty(count, np.uint64)
    power = 1
    for number in range(count):
        powers[number] = power
        power = power * _FACTOR & _MASK
    return powers


def _pieces(
    signs: _Signs,
    is_space: _Marks,
    is_chinese: _Marks,
    length: int,
) -> _Places:
    """Return the places of pieces of words, with their hashes. The spaces around a word are part of its pieces."""
    count = len(signs) - length + 1
    if count <= 0:
        return np.zeros(0, np.int64), np.zeros(0, np.uint64)
    fits = np.ones(count, np.bool_)
    hashes = np.zeros(count, np.uint64)
    for offset in range(length):
        part = slice(offset, offset + count)
        fits &= ~is_chinese[part]
        if 0 < offset < length - 1:
            fits &= ~is_space[part]
        hashes = hashes * np.uint64(_FACTOR) + signs[part]
    (places,) = np.nonzero(fits)
    return places, hashes[places]
