"""The file of question-SQL pairs: an array of objects with exactly `question` and `sql`. Opens no file.

    qs_<database>_<YYYYMMDD_HHMMSS>_pair.json            the pairs
    qs_<database>_<YYYYMMDD_HHMMSS>_pair.json.backup     the same before a validation changed it

A pair is identified by its content, never by its place, because people and programs add, remove and sort pairs.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from data_pipeline.errors import InvalidInput

SUFFIX: Final = "_pair.json"
BACKUP: Final = ".backup"
PAIR_LIMIT: Final = 100_000


@dataclass(frozen=True)
class Pair:
    """A question with the SQL that answers it; `id` follows from both, and differs between equal pairs."""

    id: str
    question: str
    sql: str


@dataclass(frozen=True)
class NotAPair:
    """An item of the file that is not a pair: its place, counted from 1, and the reason."""

    place: int
    reason: str


def parse_pairs(raw: bytes, name: str) -> tuple[list[Pair], list[NotAPair]]:
    """Return the pairs of a file, and the items that are not pairs. Raises InvalidInput if it is not an array."""
    try:
        items = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            name, f"it is no JSON in UTF-8 ({type(error).__name__}): mend it, or make it again"
        ) from None
    if not isinstance(items, list):
        raise InvalidInput(name, "it is no array of objects with `question` and `sql`")
    if len(items) > PAIR_LIMIT:
        raise InvalidInput(name, f"it holds {len(items)} pairs; {PAIR_LIMIT} are the most")
    pairs: list[Pair] = []
    others: list[NotAPair] = []
    seen: Counter[str] = Counter()
    for place, item in enumerate(items, start=1):
        reason = _why_not(item)
        if reason is not None:
            others.append(NotAPair(place, reason))
            continue
        question, sql = item["question"], item["sql"]
        own = pair_id(question, sql)
        seen[own] += 1
        pairs.append(Pair(own if seen[own] == 1 else f"{own}-{seen[own]}", question, sql))
    return pairs, others


def format_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the content of the file with these questions and their SQL."""
    items = [{"question": question, "sql": sql} for question, sql in pairs]
    return json.dumps(items, indent=2, ensure_ascii=False) + "\n"


def pair_id(question: str, sql: str) -> str:
    """Return the first 16 hexadecimal digits of a SHA-256 over both."""
    return hashlib.sha256(json.dumps([question, sql]).encode()).hexdigest()[:16]


def _why_not(item: Any) -> str | None:
    if not isinstance(item, dict):
        return f"it is a {type(item).__name__}, not an object"
    for key in ("question", "sql"):
        value = item.get(key)
        if not isinstance(value, str) or not value.strip():
            return f"{key!r} is missing, empty or no text"
        if not value.isprintable() and any(0xD800 <= ord(sign) <= 0xDFFF for sign in value):
            return f"{key!r} holds half a character"
    return None
