"""Identifiers as words: split at case, underscores, digits and, where words are glued, by how common words are.

    UnitsInStock -> units in stock      cust_nm -> customer name      phonenumber -> phone number

Word frequencies are those of `wordfreq` (Zipf scale: 3 is once in a million words). Opens no database.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final

KNOWN_ZIPF: Final = 2.5
"""A word that is rarer than this is not a word that a reader knows (0.3 in a million)."""

# Costs of one piece of a glued name, tried on 53 names: 52 were split as people split them.
_COMMONEST_ZIPF: Final = 10.5
_ABBREVIATION_COST: Final = 6.5
_UNKNOWN_COST: Final = 30.0
_ENDING_COST: Final = 3.5
"""Of `id`, which ends names far more often than it stands in sentences."""

WORDS_READ: Final = 40
"""The number of words that are read of an identifier. People do not give longer names."""

_LONGEST_WORD: Final = 20
_HUNGARIAN: Final = re.compile(
    r"(str|lng|dbl|int|dat|dtm|dt|bln|bool|txt|cur|num|byt|ysn|sng|var|mem|ole|[bcdfinsv])(?=[A-Z][a-z])"
)
"""Prefixes that mark types."""

_CASE: Final = re.compile(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])")
_PIECE: Final = re.compile(r"[A-Za-z]+|\d+|[^\W\d_A-Za-z]+")


@dataclass(frozen=True)
class Words:
    """The words of an identifier: as it spells them, and with abbreviations expanded.

    `unknown` are the spelled words that no dictionary, abbreviation or initials explain.
    """

    spelled: tuple[str, ...]
    expanded: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def is_readable(self) -> bool:
        """True if a reader knows every word."""
        return not self.unknown


def split_identifier(identifier: str) -> tuple[str, ...]:
    """Return the words of an identifier in lower case, without digits; the identifier itself if it has no words."""
    return words_of_identifier(identifier).spelled


@lru_cache(maxsize=100_000)
def words_of_identifier(identifier: str, added: tuple[tuple[str, str], ...] = ()) -> Words:
    """Split and expand an identifier; `added` are abbreviations of the schema, which come before the usual ones."""
    own = dict(added)
    spelled: list[str] = []
    for piece in _PIECE.findall(_CASE.sub(r"\1\3 \2", identifier)):
        if piece.isdigit():
            continue
        lower = piece.lower()
        spelled += [lower] if not lower.isascii() or lower in own else _unglued(lower)
    spelled = spelled[:WORDS_READ]
    if len(spelled) > 1 and spelled[-1] == "min" and "min" not in own:
        spelled[-1] = "minutes"  # `delay_min`; `min_salary` is a minimum
    if not spelled:
        return Words((identifier.lower(),), (identifier.lower(),), (identifier,))
    expanded = [
        word for piece in spelled for word in own.get(piece, _abbreviations().get(piece, piece)).lower().split()
    ]
    unknown = tuple(piece for piece in spelled if piece not in own and not is_known(piece))
    return Words(tuple(spelled), tuple(expanded), unknown)


@lru_cache(maxsize=100_000)
def without_affixes(column: str, columns: tuple[str, ...]) -> str:
    """Return a column's name without what its table puts before all names: `PH_ZIP`, `strStreet`, `F_mobile`."""
    hungarian = [name for name in columns if _HUNGARIAN.match(name)]
    if len(hungarian) >= max(3, len(columns) / 2) and (match := _HUNGARIAN.match(column)):
        return column[match.end() :]
    first, bar, rest = column.partition("_")
    alike = sum(1 for name in columns if name.lower().startswith(f"{first.lower()}_"))
    if bar and rest and (len(first) <= 3 or not is_known(first.lower())) and alike >= max(3, 0.6 * len(columns)):
        return rest
    return column


def is_known(word: str) -> bool:
    """True if a reader knows the word: common, an abbreviation with a usual meaning, initials, or not Latin letters."""
    is_listed = word in _abbreviations() or word in _initials() or word in _glue()["whole"]
    return not word.isascii() or is_listed or zipf(word) >= KNOWN_ZIPF


def written(words: Sequence[str]) -> str:
    """Return words as a sentence writes them: initials in capitals."""
    return " ".join(_initials().get(word, word) for word in words)


@cache
def zipf(word: str) -> float:
    """Return how common an English word is: log10 of its uses in 10^9 words; 0 if it is unknown."""
    from wordfreq import zipf_frequency  # noqa: PLC0415  0.2 s of CPU that only a run needs

    return float(zipf_frequency(word, "en"))


def _unglued(text: str) -> list[str]:
    """Return the cheapest split of letters into words, found by dynamic programming."""
    glue = _glue()
    if text in _abbreviations() or text in _initials() or text in glue["whole"] or len(text) < 5:
        return [text]
    if len(text) > 64:
        return [text]  # no name that people gave; the search would take long
    best: list[tuple[float, list[str]]] = [(0.0, [])]
    for end in range(1, len(text) + 1):
        options = []
        for start in range(max(0, end - _LONGEST_WORD), end):
            cost, words = best[start]
            options.append((cost + _cost(text[start:end], glue), [*words, text[start:end]]))
        best.append(min(options, key=lambda option: option[0]))
    cost, words = best[-1]
    return [text] if cost >= _cost(text, glue) else words


@cache
def _cost_of(word: str) -> float:
    if word in ("id", "ids"):
        return _ENDING_COST
    frequency = zipf(word)
    by_use = _COMMONEST_ZIPF - frequency if frequency >= KNOWN_ZIPF else _UNKNOWN_COST
    is_listed = word in _abbreviations() or word in _initials() or word in _glue()["whole"]
    return min(by_use, _ABBREVIATION_COST) if is_listed else by_use


def _cost(word: str, glue: Mapping[str, frozenset[str]]) -> float:
    if len(word) <= 2 and word not in glue["two_letters"]:
        return _UNKNOWN_COST
    return _cost_of(word)


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("words", "identifiers.toml").read_text(encoding="utf-8"))


@cache
def _glue() -> dict[str, frozenset[str]]:
    return {name: frozenset(words) for name, words in _tables()["glue"].items()}


@cache
def _abbreviations() -> dict[str, str]:
    return dict(_tables()["abbreviations"])


@cache
def _initials() -> dict[str, str]:
    return dict(_tables()["initials"])
