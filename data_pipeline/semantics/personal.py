"""Personal data and secrets: one verdict for a column, from names, comments, types, keys and sampled values.

    p = (1 - product of (1 - e)) * product of (1 - c)        e: evidence for, c: evidence against, each from 0 to 1

From `PERSONAL` on a column is personal; from `UNSURE` on nobody knows: its values are masked, and no question uses it.
The words are data: words/personal.toml. Pure: values in, verdict out. It opens nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from math import prod
from typing import Any, Final, Literal, get_args

from data_pipeline.semantics.names import singular
from data_pipeline.semantics.shapes import SHAPES, latin_name_share, surname_share
from data_pipeline.semantics.vocabulary import words_of_identifier

PersonalKind = Literal[
    "name", "email", "phone", "address", "account", "ip", "birth_date", "national_id", "plate", "card", "bank_account",
    "secret", "health", "location", "other",
]  # fmt: skip
Verdict = Literal["personal", "unsure", "none"]

PERSONAL: Final = 0.5
UNSURE: Final = 0.15

LOOKED_AT_VALUES: Final = 200

# Weights of evidence. Start: trials on public schemas (strong name .9, weak .1 or .6 among persons, check digit .9).
_STRONG: Final = 0.9
_STRONG_COMMENT: Final = 0.85
_WEAK: Final = 0.1
_WEAK_AMONG_PERSONS: Final = 0.6
_KNOWN_ELSEWHERE: Final = 0.7
_NAMES_OF_PERSONS: Final = 0.7

# Evidence against.
_KEY: Final = 0.9
_ABOUT_A_THING: Final = 0.9
_WRONG_TYPE: Final = 0.9
_FEW_VALUES: Final = 0.5

_FEW: Final = 12
_SHAPE_SHARE: Final = 0.6
_NAME_SHARE: Final = 0.3
_SURNAME_SHARE: Final = 0.8

_NUMBER_TYPE: Final = re.compile(r"int|numeric|decimal|number|real|double|float|money|serial", re.IGNORECASE)
_TIME_TYPE: Final = re.compile(r"date|time|year|interval", re.IGNORECASE)
_FLAG_TYPE: Final = re.compile(r"bool|bit\(1\)|tinyint\(1\)", re.IGNORECASE)
_OF_TEXT: Final[frozenset[PersonalKind]] = frozenset({"name", "email", "address", "ip", "plate", "health"})
_CJK: Final = re.compile(r"[㐀-鿿]")
_COMMENT_END: Final = re.compile(r"[（(\[【:：,，;；。0-9]|\s[-–—]\s|--")


@dataclass(frozen=True)
class Sign:
    """One piece of evidence: what was seen, and how much it counts, from 0 to 1."""

    text: str
    weight: float
    is_against: bool = False


@dataclass(frozen=True)
class Privacy:
    """The verdict on one column. `kind` is the likeliest kind, also where the verdict is "none" (then it explains why)."""

    kind: PersonalKind | None = None
    probability: float = 0.0
    signs: tuple[Sign, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """`personal`, `unsure` or `none`, by the probability."""
        if self.probability >= PERSONAL:
            return "personal"
        return "unsure" if self.probability >= UNSURE else "none"

    @property
    def is_masked(self) -> bool:
        """True if no value may leave the database: the column is personal, or may be."""
        return self.verdict != "none"

    @property
    def is_secret(self) -> bool:
        """True if the column must not even be projected: a password, hash, token or key."""
        return self.is_masked and self.kind == "secret"


@dataclass(frozen=True)
class ColumnSigns:
    """What the rule may look at. `values` are sampled, without nulls; `beside` are the names of the table's columns."""

    table: str
    column: str
    type_sql: str = ""
    comment: str | None = None
    table_comment: str | None = None
    values: Sequence[object] = field(default=(), repr=False)
    distinct_count: int | None = None
    row_count: int | None = None
    is_key: bool = False
    is_foreign_key: bool = False
    beside: Sequence[str] = ()
    share_known_as_personal: float = 0.0
    """Share of the values that a personal column elsewhere holds, too."""


def judge_privacy(signs: ColumnSigns) -> Privacy:
    """Return the verdict on a column."""
    if _FLAG_TYPE.search(signs.type_sql):
        return Privacy()
    texts = [str(value).strip() for value in signs.values[:LOOKED_AT_VALUES] if not isinstance(value, (bytes, bool))]
    among_persons = is_table_of_persons(signs.table, signs.table_comment, tuple(signs.beside))
    found: dict[PersonalKind, list[Sign]] = {}
    for kind, sign in _named(signs, among_persons=among_persons):
        found.setdefault(kind, []).append(sign)
    by_name = set(found)
    for kind, sign in _shaped(texts, by_name, signs):
        found.setdefault(kind, []).append(sign)
    if by_name & {"name", "account"} or among_persons:
        for sign in _like_names(texts, by_name, signs):
            found.setdefault("name", []).append(sign)
    if signs.share_known_as_personal:
        sign = Sign("values that a personal column elsewhere holds", _KNOWN_ELSEWHERE * signs.share_known_as_personal)
        found.setdefault(_likeliest(found) or "name", []).append(sign)
    verdicts = [_weighed(kind, pros, signs, texts) for kind, pros in found.items()]
    return max(verdicts, key=lambda verdict: verdict.probability, default=Privacy())


@lru_cache(maxsize=20_000)
def is_table_of_persons(table: str, comment: str | None, columns: tuple[str, ...]) -> bool:
    """True if a table's rows are persons, by its name, its comment, or two columns that only persons have."""
    words = _words(table)
    nouns = _lists()["persons"]["english"]
    affixes = {"information", "master", "detail", "profile", "record", "list", "table", "dimension", "base", "account", "datum", "data", "t", "tbl"}
    while len(words) > 1 and words[-1] in affixes:
        words = words[:-1]
    if words[-1] in nouns or " ".join(words[-2:]) in nouns:
        return True
    for text in (table, _head(comment)):
        stripped = re.sub(r"(信息|基本|基础|档案|资料|明细|主|管理|数据)*表?$", "", text)
        if _CJK.search(text) and stripped.endswith(tuple(_lists()["persons"]["chinese"])):
            return True
    own = {kind for column in columns for kind in _only_persons_have(column)}
    return len(own) >= 2


def _only_persons_have(column: str) -> set[str]:
    words = " ".join(_words(column))
    english = {"first name", "last name", "given name", "family name", "surname", "birth date", "birthdate", "birthday",
               "date of birth", "gender", "sex", "social security number", "marital status"}  # fmt: skip
    chinese = {"性别", "身份证", "出生", "姓名", "民族"}
    return {sign for sign in english if sign in words} | {sign for sign in chinese if sign in column}


def _named(signs: ColumnSigns, *, among_persons: bool) -> list[tuple[PersonalKind, Sign]]:
    """What the column's name and comment say."""
    return [
        *_named_in_english(signs.column, among_persons=among_persons),
        *_named_in_chinese(signs.column, "name", _STRONG, among_persons=among_persons),
        *_named_in_chinese(_head(signs.comment), "comment", _STRONG_COMMENT, among_persons=among_persons),
    ]


def _named_in_english(column: str, *, among_persons: bool) -> list[tuple[PersonalKind, Sign]]:
    words = _words(column)
    found: list[tuple[PersonalKind, Sign]] = []
    for kind in get_args(PersonalKind):
        phrase = _longest(words, _phrases("strong", kind))
        if phrase is not None and not _is_of_a_thing(words, *phrase, kind):
            found.append((kind, Sign(f"its name says {' '.join(words[slice(*phrase)])}", _STRONG)))
    if words[-1] == "name" and len(words) > 1 and words[-2] in _lists()["persons"]["english"]:
        found.append(("name", Sign(f"its name says {words[-2]} name", _STRONG)))
    for kind in get_args(PersonalKind):
        phrase = _longest(words, _phrases("weak", kind))
        if phrase is None or phrase[1] != len(words) or (phrase[0] and words[phrase[0] - 1] in _lists()["things"]["english"]):
            continue
        weight = _WEAK_AMONG_PERSONS if among_persons else _WEAK
        found.append((kind, Sign(f"its name says {' '.join(words[slice(*phrase)])}", weight)))
    return found


def _named_in_chinese(text: str, place: str, strong: float, *, among_persons: bool) -> list[tuple[PersonalKind, Sign]]:
    if not _CJK.search(text):
        return []
    lists, found = _lists(), []
    for kind in get_args(PersonalKind):
        phrase = max((one for one in lists["strong"]["chinese"].get(kind, ()) if one in text), key=len, default=None)
        if phrase is not None and not _is_of_a_thing_in_chinese(text, phrase):
            found.append((kind, Sign(f"its {place} says {phrase}", strong)))
    for kind in get_args(PersonalKind):
        phrase = next((one for one in lists["weak"]["chinese"].get(kind, ()) if text.endswith(one)), None)
        if phrase is None or text[: -len(phrase)].endswith(tuple(lists["things"]["chinese"])):
            continue
        of_a_person = text[: -len(phrase)].endswith(tuple(lists["persons"]["chinese"]))
        weight = strong if of_a_person and kind in ("name", "address") else _WEAK_AMONG_PERSONS if among_persons else _WEAK
        found.append((kind, Sign(f"its {place} says {phrase}", weight)))
    return found


def _is_of_a_thing(words: Sequence[str], start: int, end: int, kind: PersonalKind) -> bool:
    """True if the words around a phrase make it a fact about a thing: `phone_model`, `is_email_sent`, `mail_template`."""
    about = _lists()["about"]["english"]
    after = words[end:]
    neutral = _lists()["neutral"]["english"]
    if any(word in about for word in after) and not (kind == "secret" and "hash" in after):
        return True
    if any(word not in neutral for word in after):
        return True
    before = " ".join(words[:start])
    if any(re.search(rf"\b{word}\b", before) for word in _lists()["about"]["before"]):
        return True
    return kind in ("name", "address", "phone", "email") and bool(words[:start]) and words[start - 1] in _lists()["things"]["english"]


def _is_of_a_thing_in_chinese(text: str, phrase: str) -> bool:
    place = text.index(phrase)
    before, after = text[:place], text[place + len(phrase) :]
    about, things = _lists()["about"], _lists()["things"]["chinese"]
    return (
        after.endswith(tuple(about["chinese"]))
        or before.startswith(tuple(about["chinese_before"]))
        or (before.endswith(tuple(things)) and phrase in ("名称", "地址", "详细地址"))
    )


def _shaped(
    texts: Sequence[str], named: set[PersonalKind], signs: ColumnSigns
) -> list[tuple[PersonalKind, Sign]]:
    """What the values look like."""
    found: list[tuple[PersonalKind, Sign]] = []
    if not texts:
        return found
    for shape in SHAPES:
        share = sum(1 for text in texts if shape.fits(text)) / len(texts)
        if share < _SHAPE_SHARE:
            continue
        weight = shape.weight_named if shape.kind in named else shape.weight
        if weight:
            found.append((shape.kind, Sign(f"{share:.0%} of its values look like {shape.label}", weight)))
    return found


def _like_names(texts: Sequence[str], named: set[PersonalKind], signs: ColumnSigns) -> list[Sign]:
    """Values that are names of persons count beside a name that fits, and in a table of persons."""
    lists = _lists()["people_names"]
    found = []
    latin = latin_name_share(texts, lists["first_names"])
    chinese = surname_share(texts, lists["surnames"])
    if latin >= _NAME_SHARE:
        found.append(Sign(f"{latin:.0%} of its values have a first name", _NAMES_OF_PERSONS))
    if chinese >= _SURNAME_SHARE and "name" in named:
        found.append(Sign(f"{chinese:.0%} of its values begin with a surname", _NAMES_OF_PERSONS))
    return found


def _weighed(kind: PersonalKind, pros: Sequence[Sign], signs: ColumnSigns, texts: Sequence[str]) -> Privacy:
    by_values = any("values" in sign.text for sign in pros)
    cons = []
    if (signs.is_foreign_key or signs.is_key) and not by_values:
        cons.append(Sign("it is a key", _KEY, is_against=True))
    words = _words(signs.column)
    if words[-1] == "id" and not by_values and kind not in ("national_id", "account", "secret", "email"):
        cons.append(Sign("its name ends in id", _KEY, is_against=True))
    is_number = bool(_NUMBER_TYPE.search(signs.type_sql))
    is_wrong = (is_number and kind in _OF_TEXT) or (_TIME_TYPE.search(signs.type_sql) and kind != "birth_date")
    if is_wrong and not by_values:
        cons.append(Sign(f"its type is {signs.type_sql}", _WRONG_TYPE, is_against=True))
    many = signs.row_count if signs.row_count is not None else len(texts)
    distinct = signs.distinct_count if signs.distinct_count is not None else len(set(texts))
    if kind != "secret" and 0 < distinct <= _FEW and many >= 5 * distinct and not by_values:
        cons.append(Sign(f"only {distinct} values repeat", _FEW_VALUES, is_against=True))
    pro = 1 - prod(1 - sign.weight for sign in pros)
    return Privacy(kind, pro * prod(1 - sign.weight for sign in cons), (*pros, *cons))


def _likeliest(found: Mapping[PersonalKind, Sequence[Sign]]) -> PersonalKind | None:
    return max(found, key=lambda kind: max(sign.weight for sign in found[kind]), default=None)


def _longest(words: Sequence[str], phrases: Mapping[int, frozenset[tuple[str, ...]]]) -> tuple[int, int] | None:
    """Where the longest phrase stands, the last one of equals."""
    for length in sorted(phrases, reverse=True):
        for start in range(len(words) - length, -1, -1):
            if tuple(words[start : start + length]) in phrases[length]:
                return start, start + length
    return None


def _head(comment: str | None) -> str:
    """The name that a comment begins with: text up to the first bracket, colon, comma or digit."""
    return _COMMENT_END.split(comment.strip(), maxsplit=1)[0].strip() if comment else ""


@lru_cache(maxsize=100_000)
def _words(identifier: str) -> tuple[str, ...]:
    return tuple(singular((word,))[0] for word in words_of_identifier(identifier).expanded)


@cache
def _phrases(strength: str, kind: PersonalKind) -> Mapping[int, frozenset[tuple[str, ...]]]:
    by_length: dict[int, set[tuple[str, ...]]] = {}
    for phrase in _lists()[strength]["english"].get(kind, ()):
        words = tuple(phrase.split())
        by_length.setdefault(len(words), set()).add(words)
    return {length: frozenset(found) for length, found in by_length.items()}


@cache
def _lists() -> dict[str, Any]:
    lists = tomllib.loads(files(__package__).joinpath("words", "personal.toml").read_text(encoding="utf-8"))
    lists["people_names"]["first_names"] = frozenset(lists["people_names"]["first_names"].split())
    lists["persons"]["english"] = frozenset(lists["persons"]["english"])
    lists["things"]["english"] = frozenset(lists["things"]["english"])
    lists["about"]["english"] = frozenset(lists["about"]["english"])
    lists["neutral"]["english"] = frozenset(lists["neutral"]["english"])
    return lists
