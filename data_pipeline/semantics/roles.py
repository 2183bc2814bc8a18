"""Which part a column can play in a question: what is summed, grouped by, named, filtered. Opens nothing.

By type, name and values together: a postal code is made of digits and is no amount, a year is no measure, a price is
averaged and not summed.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from data_pipeline.database.schema import Column
from data_pipeline.semantics.facts import Role
from data_pipeline.semantics.names import split_words
from data_pipeline.semantics.parts import Value

CATEGORY_LIMIT: Final = 60
"""How many values a category has at most, and how often each is there at least, at the mean."""

REPEATS: Final = 2
TEXT_CHARACTERS: Final = 60
"""Values that are longer at the mean are read, not grouped by or compared."""

LABEL_SHARE: Final = 0.7
"""How many rows a name must tell apart: a job title names nobody."""

_LABELS: Final = ("name", "title", "label", "caption", "subject", "headline", "topic")
_CODES: Final = frozenset(
    {"no", "number", "num", "nbr", "code", "zip", "postal", "postcode", "phone", "fax", "version", "latitude", "lat",
     "longitude", "lon", "lng", "serial", "sku", "barcode", "isbn", "plate", "ref", "reference", "extension", "hash",
     "uuid", "guid", "rank", "ranking", "position", "sequence", "seq", "sort", "order", "index", "idx", "port",
     "month", "day", "week", "weekday", "hour", "quarter", "level", "grade", "status", "type", "kind", "state",
     "category", "class", "flag", "mode", "via", "kilometre", "kilometer"}
)  # fmt: skip
_ADDITIVE: Final = frozenset(
    {"amount", "amt", "total", "subtotal", "sum", "quantity", "qty", "count", "cnt", "sales", "revenue", "income",
     "cost", "costs", "expense", "expenses", "fee", "fees", "freight", "tax", "budget", "payment", "profit", "loss",
     "milliseconds", "seconds", "minutes", "hours", "bytes", "duration", "distance", "mileage", "volume", "units",
     "stock", "goals", "votes", "visitors", "visits", "views", "clicks", "downloads", "passengers", "vehicles",
     "population", "attendance", "balance", "turnover", "spaces", "seats", "pieces", "items", "orders", "inventory",
     "salary", "bonus", "wage", "rent", "donation", "deposit", "withdrawal", "weight", "emissions", "enrollment"}
)  # fmt: skip
_PRICED: Final = frozenset(
    {"price", "rate", "ratio", "percentage", "percent", "pct", "share", "average", "avg", "mean", "median", "minimum",
     "maximum", "age", "score", "rating", "temperature", "speed", "discount", "per", "unit", "limit", "threshold",
     "level", "factor", "index", "margin", "height", "width"}
)  # fmt: skip
_IDS: Final = frozenset({"id", "ids", "uuid", "guid", "oid", "pk"})
_DATE: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_TIMESTAMP: Final = re.compile(_DATE.pattern + r"[ T]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?")
_YES: Final = {"1": "0", "Y": "N", "y": "n", "yes": "no", "Yes": "No", "true": "false", "t": "f", "T": "F", "是": "否"}


@dataclass(frozen=True)
class Seen:
    """What was seen of a column: values of many rows without nulls, and how many nulls there were."""

    values: Sequence[Any]
    null_count: int


def role_of(column: Column, seen: Seen, *, is_key: bool, is_unique: bool, is_reference: bool) -> Role:
    """The part of a column that holds nothing personal."""
    if not seen.values:
        return "blank"
    if any(not isinstance(value, (str, int, float, Decimal, bool, dt.date)) for value in seen.values):
        return "odd"
    if is_reference:
        return "reference"
    words = split_words(column.name)
    is_many = len(seen.values) > 1
    distinct = len(set(seen.values))
    if words[-1] in _IDS or (is_key and words[-1] != "year" and not _is_label(words) and not is_moment(seen.values)):
        return "key"
    if yes_of(column, seen.values) is not None:
        return "flag"
    if is_moment(seen.values):
        return "moment"
    if is_number(seen.values):
        return _of_number(words, seen.values, is_unique=is_unique)
    if sum(len(str(value)) for value in seen.values) > TEXT_CHARACTERS * len(seen.values):
        return "text"
    if _is_label(words) and distinct >= LABEL_SHARE * (len(seen.values) + seen.null_count):
        return "label"
    if is_many and distinct <= CATEGORY_LIMIT and distinct * REPEATS <= len(seen.values):
        return "category"
    return "code" if words[-1] in _CODES else "label" if is_unique and is_many else "text"


def _of_number(words: Sequence[str], values: Sequence[Any], *, is_unique: bool) -> Role:
    is_whole = all(float(value).is_integer() for value in values)
    if words[-1] == "year" and is_whole and all(1000 <= value <= 2999 for value in values):
        return "year"
    if words[-1] in _CODES and not set(words) & _ADDITIVE:
        distinct = len(set(values))
        return "category" if distinct <= 20 and distinct * REPEATS <= len(values) and distinct > 1 else "code"
    if is_whole and is_unique and not set(words) & (_ADDITIVE | _PRICED):
        return "code"
    return "measure"


def is_moment(values: Sequence[Any]) -> bool:
    """Whether all values are dates, with or without a time; SQLite has them as text."""
    return all(
        isinstance(value, dt.date)
        or (isinstance(value, str) and (_DATE.fullmatch(value) or _TIMESTAMP.fullmatch(value)) is not None)
        for value in values
    )


def has_time(values: Sequence[Any]) -> bool:
    """Whether moments are more than dates: text that carries a time, or a timestamp."""
    return any(
        isinstance(value, dt.datetime) or (isinstance(value, str) and not _DATE.fullmatch(value)) for value in values
    )


def is_number(values: Sequence[Any]) -> bool:
    """Whether all values are numbers."""
    return all(isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) for value in values)


def yes_of(column: Column, values: Sequence[Any]) -> tuple[Value, Value] | None:
    """How a column of two values spells yes and no; None where it is none."""
    distinct = set(values)
    if all(isinstance(value, bool) for value in distinct):
        return Value(kind="boolean", text="true"), Value(kind="boolean", text="false")
    if len(distinct) != 2 and "bool" not in column.type_sql.lower():
        return None
    if distinct <= {0, 1} and all(isinstance(value, int) for value in distinct):
        return Value(kind="number", text="1"), Value(kind="number", text="0")
    for yes, no in _YES.items():
        if distinct == {yes, no}:
            return Value(kind="text", text=yes), Value(kind="text", text=no)
    return None


def yes_of_values(values: Sequence[Value]) -> tuple[Value, Value] | None:
    """How the values of a flag spell yes and no."""
    if not values:
        return None
    kind, texts = values[0].kind, {value.text for value in values}
    for yes, no in _YES.items():
        if texts <= {yes, no}:
            return Value(kind=kind, text=yes), Value(kind=kind, text=no)
    return None


def value_of(raw: Any) -> Value:
    """A value of a row as a literal. Moments in text are told by their form."""
    if isinstance(raw, bool):
        return Value(kind="boolean", text="true" if raw else "false")
    if isinstance(raw, (int, float, Decimal)):
        return Value(kind="number", text=_plain(raw))
    if isinstance(raw, dt.datetime):
        return Value(kind="timestamp", text=raw.isoformat(" "))
    if isinstance(raw, dt.date):
        return Value(kind="date", text=raw.isoformat())
    text = str(raw)
    if _DATE.fullmatch(text):
        return Value(kind="date", text=text)
    return Value(kind="timestamp" if _TIMESTAMP.fullmatch(text) else "text", text=text)


def frequent(values: Sequence[Any], most: int) -> tuple[tuple[Value, int], ...]:
    """The most frequent values with how often they were seen; equal ones in the order of their text."""
    counted = Counter(values)
    ranked = sorted(counted.items(), key=lambda item: (-item[1], str(item[0])))
    return tuple((value_of(raw), count) for raw, count in ranked[:most])


def _is_label(words: Sequence[str]) -> bool:
    return words[-1] in _LABELS or words[-1].endswith(_LABELS[:2]) or words[-1] in ("名称", "标题", "名")


def _plain(number: float | Decimal) -> str:
    """A number without an exponent and without idle zeros."""
    if isinstance(number, int):
        return str(number)
    text = format(Decimal(repr(number)) if isinstance(number, float) else number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
