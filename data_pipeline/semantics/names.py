"""Identifiers as English words: split, spelled out, singular and plural. Opens nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

_SPELLED: Final = {
    "qty": "quantity", "amt": "amount", "desc": "description", "descr": "description", "dept": "department",
    "num": "number", "nbr": "number", "no": "number", "addr": "address", "tel": "telephone", "lang": "language",
    "pct": "percentage", "avg": "average", "max": "maximum", "min": "minimum", "cnt": "count", "img": "image",
    "dt": "date", "ts": "time", "cust": "customer", "emp": "employee", "prod": "product", "mgr": "manager",
    "acct": "account", "yr": "year", "mon": "month", "msg": "message", "pwd": "password", "src": "source",
    "lat": "latitude", "lon": "longitude", "lng": "longitude", "org": "organization", "km": "km", "id": "ID",
    "ids": "IDs", "url": "URL", "isbn": "ISBN", "vat": "VAT", "ip": "IP", "sku": "SKU", "gdp": "GDP", "usd": "USD",
    "abbr": "abbreviation", "us": "US", "uk": "UK", "eu": "EU",
    "eur": "EUR", "cny": "CNY", "kg": "kg", "uuid": "UUID", "sqm": "square metres",
}  # fmt: skip
_PREFIXES: Final = frozenset({"tbl", "tb", "dim", "fact", "fct", "vw", "stg", "ods", "dwd", "dws", "ads"})
_IRREGULAR: Final = {
    "person": "people", "child": "children", "man": "men", "woman": "women", "foot": "feet", "tooth": "teeth",
    "mouse": "mice", "goose": "geese", "half": "halves", "life": "lives", "leaf": "leaves", "shelf": "shelves",
    "wife": "wives", "knife": "knives", "loaf": "loaves", "thief": "thieves", "wolf": "wolves", "index": "indexes",
    "matrix": "matrices", "vertex": "vertices", "criterion": "criteria", "phenomenon": "phenomena",
    "analysis": "analyses", "basis": "bases", "crisis": "crises", "datum": "data", "medium": "media", "quiz": "quizzes",
    "hero": "heroes", "potato": "potatoes", "tomato": "tomatoes", "curriculum": "curricula", "alumnus": "alumni",
}  # fmt: skip
_SINGULARS: Final = {many: one for one, many in _IRREGULAR.items()}
_SAME: Final = frozenset(
    {"series", "species", "news", "staff", "equipment", "information", "data", "media", "sheep", "fish", "aircraft",
     "metadata", "software", "hardware", "furniture", "luggage", "content", "inventory", "feedback", "traffic", "stock",
     "history", "freight", "income", "cash", "mileage", "weather", "music", "research", "revenue", "payroll",
     "demographics"}
)  # fmt: skip


@lru_cache(maxsize=100_000)
def split_words(identifier: str) -> tuple[str, ...]:
    """The words of an identifier in lower case: `UnitsInStock`, `units_in_stock` -> units, in, stock."""
    split = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3 \2", identifier)
    words = tuple(word.lower() for word in re.split(r"[\W_]+", split) if word)
    return words or (identifier.lower(),)


def spelled(words: Iterable[str]) -> str:
    """Words as people write them: abbreviations written out, initials in capitals."""
    return " ".join(_SPELLED.get(word, word) for word in words)


def common_prefix(tables: Sequence[str]) -> str | None:
    """A first word that nearly all tables share and that says nothing of any: `bss_company`, `bss_branch` -> bss."""
    firsts = Counter(split_words(name)[0] for name in tables if len(split_words(name)) > 1)
    if len(tables) < 3 or not firsts:
        return None
    word, count = firsts.most_common(1)[0]
    return word if count >= 0.8 * len(tables) and word not in {split_words(name)[0] for name in tables if len(
        split_words(name)) == 1} else None  # fmt: skip


_NO_THINGS: Final = frozenset(
    {"by", "of", "for", "to", "from", "with", "and", "or", "above", "below", "in", "on", "at", "per", "list", "qry",
     "query", "view", "summary", "totals", "subtotals", "report", "statistics", "stats", "revenue"}
)  # fmt: skip


def is_thing(table: str) -> bool:
    """Whether a table's name is a noun for one of its rows, as that of `Sales by Category` is not."""
    words = split_words(table)
    return not set(words) & _NO_THINGS and not words[-1].isdigit()


_AFTER: Final = frozenset({"extended", "archived", "archive", "deleted"})
"""What stands after a table's name and before the noun: `Order Details Extended` are extended order details."""

_NAME_ENDS: Final = frozenset({"id", "key", "code", "no", "number", "uuid", "name", "title", "label"})


def words_named(column: str) -> tuple[str, ...]:
    """What a column names: `product_name` a product, `order_id` an order; nothing where it does not say so."""
    words = split_words(column)
    return words[:-1] if words[-1] in _NAME_ENDS else ()


def table_words(name: str, prefix: str | None) -> tuple[str, ...]:
    """The words of a table's name without what is put before all names."""
    words = split_words(name)
    while len(words) > 1 and (words[0] in _PREFIXES or words[0] == prefix):
        words = words[1:]
    if len(words) > 1 and words[-1] in _AFTER:
        words = (words[-1], *words[:-1])
    return words


def singular(words: Sequence[str]) -> tuple[str, ...]:
    """One of them: the last word in the singular."""
    *first, last = words
    return (*first, _one(last))


def plural(words: Sequence[str]) -> tuple[str, ...]:
    """Several of them: the last word in the plural."""
    *first, last = singular(words)
    return (*first, _many(last))


def _one(word: str) -> str:
    if word in _SAME or word in _IRREGULAR or len(word) < 4:
        return word
    if word in _SINGULARS:
        return _SINGULARS[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")) and word not in ("axes", "caches"):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _many(word: str) -> str:
    if word in _SAME:
        return word
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("y") and len(word) > 1 and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    return word + "s"
