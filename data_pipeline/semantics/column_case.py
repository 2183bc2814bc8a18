"""One column as the rules for roles see it: its words, its sampled values as texts, its counts. Pure."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Final, Literal

from data_pipeline.semantics.names import singular
from data_pipeline.semantics.personal_words import CJK, PersonalKind, head
from data_pipeline.semantics.vocabulary import without_affixes, words_of_identifier

Role = Literal[
    "key", "foreign_key", "label", "category", "flag", "ordinal", "measure_additive", "measure_semi_additive",
    "measure_non_additive", "time", "code", "audit", "soft_delete", "tenant", "version", "sort_order", "constant",
    "blank", "text", "url", "json", "array", "geo", "binary",
]  # fmt: skip
TimeEncoding = Literal[
    "date", "timestamp", "time", "epoch_s", "epoch_ms", "epoch_us", "yyyymmdd", "yyyymm", "year", "hhmm", "text"
]

_FRACTION_TYPE: Final = re.compile(r"real|double|float|money|(decimal|numeric|number)\(\d+,\s*[1-9]", re.IGNORECASE)
_TIME_TYPE: Final = re.compile(
    r"^(date|time|timestamp|datetime|smalldatetime|timestamptz|timetz|interval)\b", re.IGNORECASE
)
TEXT_CHARACTERS: Final = 500
_BARE_KEYS: Final = ("id", "uuid", "guid", "oid", "pk", "fk", "parent")


@dataclass(frozen=True)
class ColumnSeen:
    """The facts that the rules use. `values` are sampled, without nulls; the counts are of the sampled rows.

    `tables_with_name` is the number of tables of the schema, out of `table_count`, that have a column of this name.
    """

    table: str
    column: str
    type_sql: str = ""
    comment: str | None = None
    values: Sequence[Any] = field(default=(), repr=False)
    null_count: int = 0
    row_count: int | None = None
    distinct_count: int | None = None
    is_key: bool = False
    is_unique: bool = False
    is_foreign_key: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    personal: PersonalKind | None = None
    tables_with_name: int = 1
    table_count: int = 1
    beside: Sequence[str] = ()


@dataclass(frozen=True)
class RoleVerdict:
    """The role, how sure it is (0 to 1), what it follows from, and for time how it is encoded."""

    role: Role
    confidence: float
    evidence: Literal["declared", "name", "comment", "type", "values"]
    reason: str
    encoding: TimeEncoding | None = None
    time_format: str | None = None


@dataclass(frozen=True)
class ColumnName:
    """The words of a column: English ones in the singular, and Chinese ones of its name or the head of its comment."""

    words: tuple[str, ...]
    chinese: str
    is_plural: bool = False

    @classmethod
    def of(cls, column: str, comment: str | None = None, beside: Sequence[str] = ()) -> ColumnName:
        """Split a column's name into words, without a prefix that all columns of the table share."""
        expanded = words_of_identifier(without_affixes(column, tuple(beside))).expanded
        words = tuple(singular((word,))[0] for word in expanded)
        said = head(comment)
        chinese = column if CJK.search(column) else said if CJK.search(said) else ""
        return cls(words, chinese, is_plural=words[-1] != expanded[-1] and len(words[-1]) > 2)

    def is_in(self, rule: str) -> bool:
        """True if the whole name is one of the rule's."""
        lists = word_lists()[rule]
        return " ".join(self.words) in lists["english"] or self.chinese in lists["chinese"]

    def ends(self, rule: str) -> bool:
        """True if the name ends in one of the rule's words."""
        lists = word_lists()[rule]
        tails = {" ".join(self.words[start:]) for start in range(len(self.words))}
        return bool(tails & lists["english"]) or self.chinese.endswith(lists["chinese"])

    def has(self, rule: str) -> bool:
        """True if one of the rule's words stands anywhere in the name."""
        lists = word_lists()[rule]
        runs = {" ".join(self.words[i:j]) for i in range(len(self.words)) for j in range(i + 1, len(self.words) + 1)}
        return bool(runs & lists["english"]) or any(word in self.chinese for word in lists["chinese"])

    @property
    def says_amount(self) -> bool:
        """True if the name ends in an amount, or begins as one: `total_visits`, `quantity_ordered`."""
        begins = set(self.words[:1]) & {"total", "number", "sum", "amount", "quantity", "count", "gross", "net"}
        inside = set(self.words) & {"amount", "quantity", "count", "revenue", "cost"}
        return bool(begins or inside) or self.ends("additive")

    @property
    def is_bare_key(self) -> bool:
        """True if the name ends in `id` or another word for a number of a row."""
        return self.words[-1] in _BARE_KEYS


@dataclass(frozen=True)
class Case:
    """One column before the rules. `now` bounds the dates that are plausible."""

    seen: ColumnSeen
    now: dt.datetime

    @cached_property
    def name(self) -> ColumnName:
        """Its words."""
        return ColumnName.of(self.seen.column, self.seen.comment, self.seen.beside)

    @cached_property
    def texts(self) -> list[str]:
        """Its sampled values as texts; of a long text its beginning, which is enough and is matched at once."""
        return [str(value)[:TEXT_CHARACTERS].strip() for value in self.seen.values]

    @cached_property
    def distinct(self) -> int:
        """The number of different values."""
        return self.seen.distinct_count if self.seen.distinct_count is not None else len(set(self.texts))

    @cached_property
    def rows(self) -> int:
        """The number of rows of the table."""
        return self.seen.row_count or len(self.seen.values) + self.seen.null_count

    @cached_property
    def mean_length(self) -> float:
        """The mean length of its values as texts, in characters."""
        return sum(map(len, self.texts)) / len(self.texts)

    @cached_property
    def are_numbers(self) -> bool:
        """True if all values are numbers."""
        return all(isinstance(one, (int, float, Decimal)) and not isinstance(one, bool) for one in self.seen.values)

    @cached_property
    def are_whole(self) -> bool:
        """True if all values are whole numbers, and the type has no place for fractions."""
        is_fraction = _FRACTION_TYPE.search(self.seen.type_sql) is not None
        return self.are_numbers and not is_fraction and all(float(value).is_integer() for value in self.seen.values)

    @property
    def is_time_type(self) -> bool:
        """True if the type is one of time."""
        return _TIME_TYPE.search(self.seen.type_sql) is not None

    def share(self, pattern: str) -> float:
        """Return the share of the values that match a pattern as a whole."""
        return share(self.texts, lambda text: re.fullmatch(pattern, text) is not None)

    def repeats(self, limit: int) -> bool:
        """True if it has at most `limit` values, each seen twice at the mean."""
        return self.distinct <= limit and self.distinct * 2 <= len(self.texts)


def share(values: Sequence[Any], holds: Callable[[Any], bool]) -> float:
    """Return the share of the values for which something holds; 0 where there are none."""
    return sum(1 for value in values if holds(value)) / len(values) if values else 0.0


@cache
def word_lists() -> Mapping[str, Mapping[str, Any]]:
    """Return the words of words/roles.toml by rule: `english` as a set, `chinese` as a tuple of endings."""
    tables = tomllib.loads(files(__package__).joinpath("words", "roles.toml").read_text(encoding="utf-8"))
    return {
        rule: {
            name: tuple(words) if name == "chinese" else frozenset(words) for name, words in lists.items()
        }
        for rule, lists in tables.items()
    }  # fmt: skip
