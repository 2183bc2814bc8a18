"""The words of personal data: those in names and comments, and the lists of words/personal.toml. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final, Literal

from data_pipeline.semantics.names import singular
from data_pipeline.semantics.value_labels import labels_of_comment
from data_pipeline.semantics.vocabulary import words_of_identifier

PersonalKind = Literal[
    "name", "email", "phone", "address", "account", "ip", "birth_date", "national_id", "plate", "card", "bank_account",
    "secret", "health", "location", "other",
]  # fmt: skip

COMMENT_WORDS: Final = 5
HEAD_CHARACTERS: Final = 200
"""The part of a comment in which its name is."""

CJK: Final = re.compile("[\u3400-\u9fff]")
_DIGIT: Final = re.compile(r"\d")
_COMMENT_END: Final = re.compile("[\uff08(\\[\u3010:\uff1a,\uff0c;\uff1b\u30020-9]|\\s[-\u2013\u2014]\\s|--")


@dataclass(frozen=True)
class Sign:
    """One piece of evidence: what was seen, and how much it counts, from 0 to 1."""

    text: str
    weight: float
    is_against: bool = False


def head(comment: str | None) -> str:
    """Return the name that a comment begins with: the text up to the first bracket, colon, comma or listed digit."""
    if not comment:
        return ""
    comment = comment[:HEAD_CHARACTERS]
    if labels_of_comment(comment):
        code = next(iter(labels_of_comment(comment)))
        comment = re.split(rf"\b{re.escape(code)}|{re.escape(code)}(?=[^\w])", comment, maxsplit=1)[0]
    plain = comment if len(_DIGIT.findall(comment)) > 1 else _DIGIT.sub("", comment)
    return _COMMENT_END.split(plain.strip(), maxsplit=1)[0].strip()


def comment_words(comment: str | None) -> tuple[str, ...]:
    """Return the words of a short English comment."""
    said = re.split(r"\b(?:of|for) (?:the|a|an|this|our)\b", head(comment))[0]
    words = said.replace("-", " ").split()
    return words_of("_".join(words))[:COMMENT_WORDS] if said.isascii() and 1 <= len(words) <= COMMENT_WORDS else ()


@lru_cache(maxsize=100_000)
def words_of(identifier: str) -> tuple[str, ...]:
    """Return the words of an identifier, abbreviations expanded, each in the singular."""
    return tuple(singular((word,))[0] for word in words_of_identifier(identifier).expanded)


@cache
def phrases(strength: str, kind: PersonalKind) -> Mapping[int, frozenset[tuple[str, ...]]]:
    """Return the English phrases of a kind, `strong` or `weak`, by their length in words."""
    by_length: dict[int, set[tuple[str, ...]]] = {}
    for phrase in word_lists()[strength]["english"].get(kind, ()):
        words = tuple(phrase.split())
        by_length.setdefault(len(words), set()).add(words)
    return {length: frozenset(found) for length, found in by_length.items()}


@cache
def word_lists() -> dict[str, Any]:
    """Return the words of words/personal.toml: `english` as sets, `chinese` as tuples of endings."""
    lists = tomllib.loads(files(__package__).joinpath("words", "personal.toml").read_text(encoding="utf-8"))
    for name in ("persons", "things", "homes", "about"):
        lists[name]["english"] = frozenset(lists[name]["english"])
        lists[name]["chinese"] = tuple(lists[name]["chinese"])
    lists["neutral"]["english"] = frozenset(lists["neutral"]["english"])
    lists["people_names"]["first_names"] = frozenset(lists["people_names"]["first_names"].split())
    lists["company"] = re.compile(lists["companies"]["pattern"])
    return lists
