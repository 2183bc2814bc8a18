"""Find values that identify people inside other texts: in columns beside them, in other tables, in pairs and pages.

`personal.py` judges a column by its own name and values. This module compares columns with values that are known to be
personal already. Pure: values in, verdict out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from data_pipeline.semantics.personal import Privacy
from data_pipeline.semantics.personal_words import PersonalKind, Sign

TELLING_KINDS: Final[frozenset[PersonalKind]] = frozenset(
    {"name", "email", "phone", "national_id", "card", "bank_account", "account", "plate"}
)
"""Kinds whose values identify a person in any text. Many people share a birthday or a street."""

NEIGHBOUR_SHARE: Final = 0.1
"""The share of its rows in which a column must repeat a personal value of the same row."""

TELLING_CHARACTERS: Final = 4
"""The minimum length of a value to be found inside another text, because every text contains an `Al`."""

ELSEWHERE_SHARE: Final = 0.3
"""The share of its rows in which a column must repeat personal values of any table. Some towns have names of people."""

LOOKED_AT_CHARACTERS: Final = 2_000
"""The part of a long text that is searched. Far less of it is ever shown."""

NUMBER_DIGITS: Final = 7
"""The minimum number of digits of a number that identifies a person."""


def personal_by_neighbours(values: Sequence[object], neighbours: Sequence[tuple[object, ...]]) -> Privacy | None:
    """Return a verdict if a column repeats, row by row, the values of personal columns: notes, paths, signatures.

    `neighbours` are the values of these columns, one tuple per row. A few rows are chance, because a company may have
    the name of its owner.
    """
    repeating = sum(_repeats(value, beside) for value, beside in zip(values, neighbours, strict=True))
    filled = sum(isinstance(value, str) and bool(value.strip()) for value in values)
    if repeating < 2 or repeating < filled * NEIGHBOUR_SHARE:
        return None
    return Privacy("name", 1.0, (Sign("it repeats values of a personal column in the same rows", 1.0),))


def personal_elsewhere(values: Sequence[object], known: TellingValues) -> Privacy | None:
    """Return a verdict if a column repeats personal values of any table: a view's labels, guests, remarks."""
    texts = [text for text in map(as_text, values) if text is not None and text.strip()]
    telling = [text for text in texts if known.are_in(text)]
    has_several = len(set(telling)) >= 2 and len(telling) >= len(texts) * ELSEWHERE_SHARE
    is_one_name = bool(telling) and len(telling) == len(texts) and len(set(texts)) == 1 and _is_full_name(texts[0])
    if not has_several and not is_one_name:
        return None
    return Privacy("name", 1.0, (Sign("it repeats values of a personal column of another table", 1.0),))


def _is_full_name(text: str) -> bool:
    """True for two words, or for characters without blanks: `Wednesday` is also a day."""
    return len(text.split()) > 1 or not text.isascii() or not text.isalpha()


def as_text(value: object) -> str | None:
    """Return a value as text if it can contain a name or number: a text, a list, a long whole number; else None."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, dict)):
        return str(value)
    is_number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    return str(value) if is_number and len(str(value)) >= NUMBER_DIGITS else None


class TellingValues:
    """Values that identify people, prepared for a search in many texts.

    A value with letters is found if it is the whole text; one of at least `TELLING_CHARACTERS` also inside a text.
    `whole` are found only as the whole text. The time of a search depends on the length of the text, not on the number
    of values.
    """

    def __init__(self, values: Iterable[str], whole: Iterable[str] = ()) -> None:
        folded = {value.casefold().strip() for value in values}
        plain = {value for value in folded if value.isascii() and len(value) >= TELLING_CHARACTERS}
        self._words = {value for value in plain if value.isalnum()}
        self._whole = {value for value in folded if len(value) >= 2 and any(sign.isalpha() for sign in value)}
        self._whole |= {value.casefold().strip() for value in whole} - {""}
        # By how they begin; Chinese has no spaces, and names of two characters.
        self._pieces: dict[str, dict[int, set[str]]] = {}
        for piece in [*(plain - self._words), *(value for value in folded if not value.isascii() and len(value) >= 2)]:
            start = piece[: TELLING_CHARACTERS if piece.isascii() else 2]
            self._pieces.setdefault(start, {}).setdefault(len(piece), set()).add(piece)

    def are_in(self, text: str) -> bool:
        """True if a text contains one of the values, in any case, in its first `LOOKED_AT_CHARACTERS`."""
        folded = text[:LOOKED_AT_CHARACTERS].casefold()
        if folded.strip() in self._whole or not self._words.isdisjoint(re.findall(r"[^\W_]+", folded)):
            return True
        return any(
            folded[place : place + length] in pieces
            for place in (range(len(folded)) if self._pieces else ())
            for size in (2, TELLING_CHARACTERS)
            for length, pieces in self._pieces.get(folded[place : place + size], {}).items()
        )


def _repeats(value: object, beside: Iterable[object]) -> bool:
    if not isinstance(value, str):
        return False
    folded = value.casefold()
    words = set(re.findall(r"[^\W_]+", folded))
    for other in beside:
        sought = other.casefold().strip() if isinstance(other, str) else ""
        if not sought.isascii():  # Chinese has no spaces, and names of two characters
            if len(sought) >= 2 and sought in folded:
                return True
        elif len(sought) >= TELLING_CHARACTERS and (sought in words or (not sought.isalnum() and sought in folded)):
            return True
    return False
