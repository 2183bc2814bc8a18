"""Names of keys: the thing that a column names, how its name ends, and how well it fits a table. Opens no database.

    customer_id -> customer, id      custid -> customer, id      会员编号 -> 会员, no      c_custkey -> customer, id

The words are in `words/keys.toml`.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

from data_pipeline.database.schema import Table
from data_pipeline.semantics.names import split_words as split_identifier
from data_pipeline.tasks.table_list import TableName

SAME: Final = 1.0
INNER_LEFT_OUT: Final = 0.9
SHARED_TAIL: Final = 0.85
SHARED_HEAD: Final = 0.8
SHORTENED: Final = 0.75
ONE_LETTER: Final = 0.6
SKELETON: Final = 0.55
"""Scores of the thing that a column names, by how its words fit those of a table."""

_COMMON_SHARE: Final = 0.8
"""An affix of this share of the names of a schema, or of the columns of a table, says nothing of any."""


@dataclass(frozen=True)
class KeyName:
    """The name of a column: words of the thing that it names (empty for a bare `id`), and how it ends."""

    thing: tuple[str, ...]
    ending: str | None
    last: str
    """The last word as spelled, `date` in `ship_date`."""

    plain: str
    """The whole name without case and separators."""

    @property
    def text(self) -> str:
        """The thing as one text."""
        return "".join(self.thing)

    @property
    def is_generic(self) -> bool:
        """True if many tables have a column of this name that means something else in each."""
        return not self.thing or self.plain in words("names", "generic") or self.text in words("names", "generic")

    @property
    def is_measure(self) -> bool:
        """True if the name is that of a quantity: `unit_price`, `number_of_hosts`."""
        if self.thing[:1] and self.thing[0] in words("names", "count_before") and len(self.thing) > 1:
            return True
        return self.ending is None and (self.last in words("names", "measure") or _ends_in(self.plain, "measure"))

    @property
    def is_date(self) -> bool:
        """True if the name is that of a moment."""
        return self.ending is None and (self.last in words("names", "date") or _ends_in(self.plain, "date"))

    @property
    def is_audit(self) -> bool:
        """True if the name is that of the time or the author of a change."""
        return bool(self.thing) and self.thing[0] in words("names", "audit")

    @property
    def is_line(self) -> bool:
        """True if the name is that of a number within another row: `line_no`, `event_seq`, 序号."""
        parts = words("names", "line")
        return self.last in parts or (bool(self.thing) and self.thing[-1] in parts) or self.plain in parts


class SchemaNames:
    """The names of all tables and columns of a schema, parsed once, without the affixes that all of them share."""

    def __init__(self, tables: Sequence[Table]) -> None:
        spelled = [table.name.name for table in tables]
        self._before = _common_first(tuple(map(_lower_words, spelled)))
        self._glued_before = _common_letters(spelled)
        self.tables: dict[TableName, tuple[str, ...]] = {
            table.name: self._table_words(table.name.name) for table in tables
        }
        self.columns: dict[TableName, dict[str, KeyName]] = {table.name: self._columns(table) for table in tables}
        self._dependent = {table.name for table in tables if _is_dependent(table.name.name)}
        self._index = _TableIndex(self.tables)
        self._by_plain: dict[str, list[TableName]] = {}
        for table in tables:
            for name in self.columns[table.name].values():
                self._by_plain.setdefault(name.plain, []).append(table.name)

    def fitting_tables(self, table: TableName, name: KeyName) -> dict[TableName, float]:
        """Return the tables that the thing of a column fits, each with how well (up to 1)."""
        if not name.thing:
            return {}
        fits = dict(self._index.fits(name.thing))
        inside = (*self.tables[table], *name.thing)  # `type` in `order` names the table `order_type`
        for other in self._index.called("".join(inside)):
            fits[other] = SAME
        return fits

    def tables_with(self, name: KeyName) -> Sequence[TableName]:
        """Return the tables that have a column of the same name."""
        return self._by_plain.get(name.plain, ())

    def is_dependent(self, table: TableName) -> bool:
        """Return True if a table is called an addition to another one: `user_profile`, `orders_bak`."""
        return table in self._dependent

    def fit(self, name: KeyName, table: TableName) -> float:
        """Return how well the thing of a column fits a table."""
        return fit(name.thing, self.tables[table]) if name.thing else 0.0

    def _table_words(self, name: str) -> tuple[str, ...]:
        lowered = name.lower()
        for affix in (self._glued_before, *words_in_order("affixes", "glued_before")):
            if affix and lowered.startswith(affix) and len(lowered) > len(affix) + 1 and name[len(affix)] != "_":
                name = name[len(affix) :]
                break
        parts = list(_lower_words(name))
        while len(parts) > 1 and (parts[0] in words("affixes", "before") or parts[0] == self._before):
            parts = parts[1:]
        while len(parts) > 1 and parts[-1] in words("affixes", "after"):
            parts = parts[:-1]
        return tuple(stem(word) for part in parts for word in _expanded(_without_zh_suffix(part)))

    def _columns(self, table: Table) -> dict[str, KeyName]:
        split = {column.name: _lower_words(column.name) for column in table.columns}
        first = _common_first(tuple(split.values())) if len(split) >= 3 else None
        is_short = first is not None and len(first) <= 3 and first not in _endings()
        parsed = {}
        for column, parts in split.items():
            kept = parts[1:] if is_short and len(parts) > 1 and parts[0] == first else parts
            parsed[column] = parse_key_name(kept)
        return parsed


@dataclass
class _TableIndex:
    """Tables by the texts that can mean them, so that a column is not compared with every table."""

    tables: Mapping[TableName, tuple[str, ...]]
    _by_text: dict[str, list[TableName]] = field(default_factory=dict)
    _by_part: dict[str, list[TableName]] = field(default_factory=dict)
    _fits: dict[tuple[str, ...], dict[TableName, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for table, parts in self.tables.items():
            text = "".join(parts)
            self._by_text.setdefault(text, []).append(table)
            keys = {"".join(parts[start:]) for start in range(len(parts))} | {parts[0], text[:1]}
            keys |= {"".join(parts[:end]) for end in range(1, len(parts))}
            keys |= {word[:3] for word in parts}
            if not text.isascii():
                keys |= {text[start:] for start in range(len(text) - 1)} | {text[:end] for end in range(2, len(text))}
            for key in keys:
                self._by_part.setdefault(key, []).append(table)

    def called(self, text: str) -> Sequence[TableName]:
        """Return the tables of this name."""
        return self._by_text.get(text, ())

    def fits(self, thing: tuple[str, ...]) -> dict[TableName, float]:
        """Return the tables that words fit, each with how well."""
        if thing not in self._fits:
            text = "".join(thing)
            keys = {"".join(thing[start:]) for start in range(len(thing))} | {text[:1], thing[-1][:3], thing[0][:3]}
            if not text.isascii():
                keys |= {text[start:] for start in range(len(text) - 1)}
            candidates = dict.fromkeys(table for key in keys for table in self._by_part.get(key, ()))
            scored = {table: fit(thing, self.tables[table]) for table in candidates}
            self._fits[thing] = {table: score for table, score in scored.items() if score > 0}
        return self._fits[thing]


def _is_dependent(name: str) -> bool:
    parts = [_without_zh_suffix(part) for part in _lower_words(name) if not part.isdigit()]
    if not parts:
        return False
    dependent = words("names", "dependent")
    if not parts[-1].isascii():
        return any(parts[-1].endswith(word) and parts[-1] != word for word in dependent if not word.isascii())
    return len(parts) > 1 and stem(parts[-1]) in dependent


def parse_key_name(parts: Sequence[str]) -> KeyName:
    """Take the words of a column's name apart: the thing and the ending."""
    plain = "".join(parts)
    kept = list(parts)
    while len(kept) > 1 and kept[-1].isdigit():  # concept_id_1, address2
        kept.pop()
    last, parts = kept[-1], tuple(kept)
    endings = _endings()
    ending = endings.get(last)
    if ending is not None:
        kept = kept[:-1]
        if kept and endings.get(kept[-1]) == "id" and len(kept) > 1:  # `id_no`
            kept = kept[:-1]
    elif len(parts) > 1 and parts[0] in ("id", "fk", "pk", "cod", "code", "key"):  # id_customer
        ending, kept = endings[parts[0]], kept[1:]
    else:
        rest, ending = _without_glued_ending(last)
        kept = [*kept[:-1], *([rest] if rest else [])] if ending is not None else kept
    thing = tuple(stem(word) for part in kept for word in _expanded(part))
    return KeyName(thing, ending, stem(last), plain)


def fit(thing: Sequence[str], table: Sequence[str]) -> float:
    """Return how well words that a column names fit the words of a table, from 0 to 1."""
    text, own = "".join(thing), "".join(table)
    if text == own:
        return SAME
    if text.isascii() and own.isascii():
        if len(table) < len(thing) and list(thing[-len(table) :]) == list(table):
            return SHARED_TAIL
        if len(thing) < len(table):
            if list(table[-len(thing) :]) == list(thing):
                return SHARED_TAIL
            if list(table[: len(thing)]) == list(thing):
                return SHARED_HEAD
            if len(thing) > 1 and thing[-1] == table[-1] and _is_part(thing, table):
                return INNER_LEFT_OUT
    elif min(len(text), len(own)) >= 2:
        if text.endswith(own) or own.endswith(text):
            return SHARED_TAIL
        if own.startswith(text):
            return SHARED_HEAD
    return _shortened_fit(thing, table)


def _shortened_fit(thing: Sequence[str], table: Sequence[str]) -> float:
    """Return how well a word fits as a short form: `emp` employee, `oi` order item, `a` author, `dpt` department."""
    *before, word = thing
    own = "".join(table)
    loss = 0.1 if before else 0.0
    if len(word) == 1:
        return ONE_LETTER if not before and own.startswith(word) else 0.0
    if len(table) > 1 and word == "".join(part[0] for part in table):
        return SHORTENED - loss
    for target in (table[-1], own) if len(table) > 1 else (own,):
        if 3 <= len(word) < len(target) and target.startswith((word, _with_y(word))):
            return SHORTENED - loss
    if len(table) > 1 and len(word) >= 3 and table[0].startswith(word):
        return SKELETON - loss
    if 2 <= len(word) <= 5 and len(word) < len(own) and _is_skeleton(word, own):
        return SKELETON - loss
    return 0.0


def _with_y(word: str) -> str:
    """Return a stem as it begins longer words: `qualifi` of `qualifying`."""
    return word[:-1] + "y" if word.endswith("i") else word


def _is_part(thing: Sequence[str], table: Sequence[str]) -> bool:
    """Return True if a table has all words of a thing in order: `student_course` of `student_enrolment_course`."""
    rest = iter(table)
    return all(word in rest for word in thing)


def _is_skeleton(word: str, own: str) -> bool:
    """Return True if a short word keeps the first letter and only consonants of a longer one: `dpt`, `cntry`."""
    if word[0] != own[0] or any(letter in "aeiou" for letter in word[1:]):
        return False
    letters = iter(own[1:])
    return all(letter in letters for letter in word[1:])


@cache
def words(table: str, name: str) -> frozenset[str]:
    """Return a list of words of `words/keys.toml`, as written and as stems."""
    listed = words_in_order(table, name)
    return frozenset(listed) | frozenset(map(stem, listed))


@cache
def words_in_order(table: str, name: str) -> tuple[str, ...]:
    """Return a list of words of `words/keys.toml` as it is written there."""
    return tuple(_tables()[table][name])


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("words", "keys.toml").read_text(encoding="utf-8"))


@cache
def _endings() -> dict[str, str]:
    return {word: ending for ending, all_words in _tables()["endings"].items() for word in all_words}


@cache
def _ends_in(plain: str, name: str) -> bool:
    """Return True if a name that no separator splits ends in a word of a list: `totamt`, `crtdt`, 订单金额."""
    endings = words("glued", name) if plain.isascii() else words("names", name)
    return plain.endswith(tuple(endings)) and plain not in words("glued", "whole")


def _without_glued_ending(word: str) -> tuple[str, str | None]:
    """Return a word without the ending of a key that is glued to it, and what that ending means."""
    if not word.isascii():
        for ending in sorted(_endings(), key=len, reverse=True):
            if not ending.isascii() and word.endswith(ending):
                return word[: -len(ending)], _endings()[ending]
        return word, None
    if word in words("glued", "whole") and word not in words("glued", "short"):
        return word, None
    for ending in words_in_order("glued", "endings"):
        if word.endswith(ending) and len(word) > len(ending):
            return word[: -len(ending)], _endings()[ending]
    return word, None


def _expanded(word: str) -> tuple[str, ...]:
    return (str(_tables()["short"].get(word, word)),)


def _without_zh_suffix(word: str) -> str:
    for suffix in words_in_order("affixes", "after_zh"):
        if word.endswith(suffix) and len(word) > len(suffix) + 1:
            return word.removesuffix(suffix)
    return word


@cache
def stem(word: str) -> str:
    """Return one text for the singular and the plural of a word: `categories` and `category` -> `categori`."""
    if not word.isascii():
        return word
    word = _tables()["irregular"].get(word, word)
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word.endswith("y") else word


@cache
def _lower_words(identifier: str) -> tuple[str, ...]:
    """Return the words of an identifier; letters of different scripts and numbers are separate words."""
    parts: list[str] = []
    for piece in re.findall(r"[^\W\d]+|\d+", identifier.replace("_", " ")):
        words_of_piece = (piece,) if piece.isdigit() else split_identifier(piece)
        for word in words_of_piece:
            parts += re.findall(r"[\x00-\x7f]+|[^\x00-\x7f]+", word)
    return tuple(parts) or (identifier.lower(),)


def _common_first(names: Iterable[Sequence[str]]) -> str | None:
    """Return a first word that nearly all names share and that is the whole of none."""
    all_names = list(names)
    firsts = Counter(name[0] for name in all_names if len(name) > 1)
    if len(all_names) < 3 or not firsts:
        return None
    word, count = firsts.most_common(1)[0]
    is_a_name = any(len(name) == 1 and name[0] == word for name in all_names)
    return word if count >= _COMMON_SHARE * len(all_names) and not is_a_name else None


def _common_letters(names: Sequence[str]) -> str | None:
    """Return letters that nearly all names begin with although no separator follows: `sb` of sbcustomer, sbticker."""
    plain = [name.lower() for name in names if name.isalpha() and name.isascii()]
    if len(plain) < 4 or len(plain) < _COMMON_SHARE * len(names):
        return None
    for length in (5, 4, 3, 2):
        letters, count = Counter(name[:length] for name in plain).most_common(1)[0]
        if count >= max(4, _COMMON_SHARE * len(plain)) and all(len(name) > length for name in plain):
            return letters
    return None
