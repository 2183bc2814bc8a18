"""Check a model's question before it is published. Pure."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from data_pipeline.tasks.parameters import Language

QUESTION_CHARACTERS: Final = 500

_CJK: Final = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LATIN: Final = re.compile(r"[A-Za-z\u00c0-\u024f]")
_NUMBER: Final = re.compile(r"\d(?:[\d.,:/-]*\d)?")
_WORDS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_MONTHS: Final = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
                  "november", "december")  # fmt: skip


def why_no_question(question: str, language: Language) -> str | None:
    """Return the fault of a question as one word; None if it has none."""
    if not 0 < len(question) <= QUESTION_CHARACTERS or not question.isprintable():
        return "unreadable"
    signs, letters = len(_CJK.findall(question)), len(_LATIN.findall(question))
    # Names and values are the same in every language.
    is_in_language = signs > 0 if language == "zh" else letters > signs
    return None if is_in_language else "language"


def why_no_rewording(old: str, new: str, sql: exp.Expr, language: Language) -> str | None:
    """Return the fault of a paraphrase as one word; None if its words show none."""
    problem = why_no_question(new, language)
    if problem is not None:
        return problem
    if language == "en" and not set(_CJK.findall(new)) <= set(_CJK.findall(old)):
        return "language"
    if any(text not in new for text in _values_in(old, sql)):
        return "value_lost"
    if not numbers_of(old) <= numbers_of(new) or not _months_of(old) <= _months_of(new):
        return "number_lost"
    if not _digits_of(new) <= numbers_of(old):
        return "number_added"
    return None


def numbers_of(question: str) -> frozenset[str]:
    """Return the numbers of a question as digits, also small ones in words."""
    words = {str(number) for number, word in enumerate(_WORDS) if re.search(rf"\b{word}\b", question, re.IGNORECASE)}
    return _digits_of(question) | words


def _digits_of(question: str) -> frozenset[str]:
    return frozenset(_NUMBER.findall(question))


def _months_of(question: str) -> frozenset[str]:
    return frozenset(month for month in _MONTHS if re.search(rf"\b{month}\b", question, re.IGNORECASE))


def _values_in(question: str, sql: exp.Expr) -> list[str]:
    """Return the literals of the query that the question contains, as the question writes them."""
    found = []
    for literal in sql.find_all(exp.Literal):
        value = literal.name.strip("%")
        place = question.lower().find(value.lower()) if literal.is_string and value else -1
        if place >= 0:
            found.append(question[place : place + len(value)])
    return found
