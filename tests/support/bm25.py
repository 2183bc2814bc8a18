"""BM25 as textbooks have it, over words, and over signs and pairs of signs of Chinese: the embedder's rival.

It gets the same prepared texts as the embedder, so that only the ranking differs.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data_pipeline.vectors.embedding.hashed_words import prepared

K1 = 1.2
B = 0.75
CHINESE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


def terms_of(text: str) -> Counter[str]:
    """The terms of a text, with how often each is there."""
    found: Counter[str] = Counter()
    for word in prepared(text).split():
        if CHINESE.fullmatch(word):
            found.update(word)
            found.update(word[start : start + 2] for start in range(len(word) - 1))
        else:
            found[word] += 1
    return found


def bm25(documents: Sequence[str], questions: Sequence[str]) -> NDArray[np.float64]:
    """The score of every document for every question."""
    held = [terms_of(document) for document in documents]
    lengths = [sum(terms.values()) for terms in held]
    average = sum(lengths) / len(lengths)
    places: dict[str, list[tuple[int, int]]] = {}
    for number, terms in enumerate(held):
        for term, count in terms.items():
            places.setdefault(term, []).append((number, count))
    scores = np.zeros((len(questions), len(documents)))
    for row, question in enumerate(questions):
        for term in terms_of(question):
            having = places.get(term, [])
            rarity = math.log(1 + (len(held) - len(having) + 0.5) / (len(having) + 0.5))
            for number, count in having:
                scores[row, number] += (
                    rarity * count * (K1 + 1) / (count + K1 * (1 - B + B * lengths[number] / average))
                )
    return scores


def recall(scores: NDArray[np.floating], right: Sequence[int]) -> tuple[float, float, float]:
    """R@1, R@5 and MRR, where the right answer to each row is the column that is named; a tie counts against it."""
    ranks = np.array([int((row >= row[column]).sum()) for row, column in zip(scores, right, strict=True)])
    return float((ranks == 1).mean()), float((ranks <= 5).mean()), float((1 / ranks).mean())
