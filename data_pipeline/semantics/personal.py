"""Personal data and secrets: one verdict for a column, from names, comments, types, keys and sampled values.

    p = (1 - product of (1 - e)) * product of (1 - c)        e: evidence for, c: evidence against, each from 0 to 1

From `PERSONAL` on a column is personal; from `UNSURE` on it may be: its values are masked, and no question uses it.
The words are data: words/personal.toml. Pure: values in, verdict out. It opens nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Final, Literal

from data_pipeline.semantics.personal_names import (
    ALSO_OF_PLACES,
    FREE_TEXT,
    WEAK,
    WEAK_OF_PLACE,
    signs_of_names,
)
from data_pipeline.semantics.personal_tables import is_table_of_homes, is_table_of_persons, is_table_of_things
from data_pipeline.semantics.personal_words import CJK, PersonalKind, Sign, head, word_lists, words_of
from data_pipeline.semantics.shapes import SHAPES, holds_personal_number, latin_name_share, surname_share
from data_pipeline.semantics.vocabulary import without_affixes

Verdict = Literal["personal", "unsure", "none"]

PERSONAL: Final = 0.5
UNSURE: Final = 0.15

LOOKED_AT_VALUES: Final = 200
LOOKED_AT_CHARACTERS: Final = 500

# Weights of evidence. Start: trials on public schemas; tuned on the seen part of benchmarks/labels.
_DECLARED: Final = 0.99
_NAMED_INSIDE: Final = 0.6
_KNOWN_ELSEWHERE: Final = 0.7
_NAMES_OF_PERSONS: Final = 0.7
_KEY: Final = 0.9
_WRONG_TYPE: Final = 0.9
_FEW_VALUES: Final = 0.5
_OF_A_PLACE: Final = 0.9
_COMPANIES: Final = 0.9

_FEW: Final = 12
_FEW_REPEATS: Final = 5
_SHAPE_SHARE: Final = 0.6
_NAME_SHARE: Final = 0.3
_SURNAME_SHARE: Final = 0.6
_COMPANY_SHARE: Final = 0.5

_NUMBER_TYPE: Final = re.compile(r"int|numeric|decimal|number|real|double|float|money|serial", re.IGNORECASE)
_TIME_TYPE: Final = re.compile(r"date|time|year|interval", re.IGNORECASE)
_FLAG_TYPE: Final = re.compile(r"bool|bit\(1\)|tinyint\(1\)", re.IGNORECASE)
_OF_TEXT: Final[frozenset[PersonalKind]] = frozenset({"name", "email", "address", "ip", "plate"})
_OF_FEW_VALUES: Final[frozenset[PersonalKind]] = frozenset({"secret", "health", "account"})
_OF_NUMBERS: Final[frozenset[PersonalKind]] = frozenset({"national_id", "account", "secret", "email"})
"""Kinds whose name may end in `id`."""

_SHOWN_BY_FORM: Final[frozenset[PersonalKind]] = frozenset(
    {"email", "national_id", "card", "bank_account", "secret", "plate"}
)
"""Kinds whose form proves them, whatever the name says."""

_NUMBERS_OF_PERSONS: Final = ("number", "code", "reference", "identifier", "ref", "serial")
_CHINESE_NUMBERS: Final = ("号", "编号", "代码", "编码", "序列号")
_NUMBER_OF_A_PERSON: Final = 0.3
_UNIQUE_SHARE: Final = 0.9
_ROWS_NEEDED: Final = 5

_FILE: Final = re.compile(r".*\.[A-Za-z0-9]{2,4}")
_SMALL_NUMBER: Final = re.compile(r"\d{1,8}|\d{16,20}")
"""Numbers of rows: serial ones, and those of a generator of identifiers."""

_MANY_DIGITS: Final = re.compile(r"(?=.*\d)([^\d]{0,2}\d)+[^\d]{0,2}")
"""A code: no three letters without a digit between them. `Jana Novak7` is a name."""


@dataclass(frozen=True)
class Privacy:
    """The verdict on one column. `kind` is the likeliest one, also where the verdict is "none"."""

    kind: PersonalKind = "other"
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
    """The facts that the rule may use. `values` are sampled, without nulls; `beside` are the table's column names."""

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
    case = _Case(replace(signs, column=without_affixes(signs.column, tuple(signs.beside))))
    found: dict[PersonalKind, list[Sign]] = {}
    if re.search(r"\bpersonal\b", signs.comment or "", re.IGNORECASE):
        found["other"] = [Sign("its comment says personal", _DECLARED)]
    for kind, sign in case.signs_of_names():
        found.setdefault(kind, []).append(sign)
    named = {kind for kind, own in found.items() if not all(sign.is_against for sign in own)}
    for kind, sign in case.signs_of_values(named):
        found.setdefault(kind, []).append(sign)
    if signs.share_known_as_personal:
        weight = _KNOWN_ELSEWHERE * signs.share_known_as_personal
        found.setdefault(_likeliest(found), []).append(Sign("values that a personal column elsewhere holds", weight))
    if not found:
        found = {"other": list(case.signs_inside())}
    verdicts = [case.weighed(kind, own) for kind, own in found.items()]
    return max(verdicts, key=lambda verdict: verdict.probability)


class _Case:
    """One column before the rule."""

    def __init__(self, signs: ColumnSigns) -> None:
        self._signs = signs
        sampled = signs.values[:LOOKED_AT_VALUES]
        self._texts = [
            str(value)[:LOOKED_AT_CHARACTERS].strip() for value in sampled if not isinstance(value, (bytes, bool))
        ]
        self._words = words_of(signs.column)
        self._among_persons = is_table_of_persons(signs.table, signs.table_comment, tuple(signs.beside))
        self._among_things = is_table_of_things(signs.table, signs.table_comment)
        self._among_homes = is_table_of_homes(signs.table, signs.table_comment)

    def signs_of_names(self) -> Iterator[tuple[PersonalKind, Sign]]:
        """Yield the signs of name and comment; free text of things, or without any value, is not a sign."""
        signs = self._signs
        is_flag = _FLAG_TYPE.search(signs.type_sql) is not None
        for kind, sign in signs_of_names(
            signs.column, signs.comment, among_persons=self._among_persons, among_homes=self._among_homes
        ):
            is_idle = sign.weight in (FREE_TEXT, WEAK_OF_PLACE) and (self._among_things or not self._texts)
            if not is_idle and (kind == "health" or not is_flag):
                yield kind, sign

    def signs_of_values(self, named: set[PersonalKind]) -> Iterator[tuple[PersonalKind, Sign]]:
        """Yield the signs of the values, which have more weight beside a name of the same kind."""
        for shape in SHAPES:
            share = self._share(shape.fits)
            weight = shape.weight_named if shape.kind in named else shape.weight
            if share >= _SHAPE_SHARE and weight:
                yield shape.kind, Sign(f"{share:.0%} of its values look like {shape.label}", weight)
        if not named and self._numbers_persons():
            yield "other", Sign("its values are numbers that name persons to the outside", _NUMBER_OF_A_PERSON)
        lists = word_lists()["people_names"]
        latin = latin_name_share(self._texts, lists["first_names"])
        if latin >= _NAME_SHARE and (named & {"name", "account"} or self._among_persons):
            yield "name", Sign(f"{latin:.0%} of its values have a first name", _NAMES_OF_PERSONS)
        chinese = surname_share(self._texts, lists["surnames"])
        if chinese >= _SURNAME_SHARE and "name" in named:
            yield "name", Sign(f"{chinese:.0%} of its values begin with a surname", _NAMES_OF_PERSONS)

    def signs_inside(self) -> Iterator[Sign]:
        """Texts of several words in which an address of mail or a number of a person stands now and then."""
        long = [
            text for text in self._texts
            if len(text.split()) > 2 or len(text) > 20 or (len(text) > 12 and CJK.search(text))
        ]  # fmt: skip
        holding = sum(1 for text in long if holds_personal_number(text))
        if len(long) >= len(self._texts) / 4 and 0 < holding < len(self._texts):
            yield Sign(f"{holding} of its texts hold an address or a number of a person", _NAMED_INSIDE)

    def weighed(self, kind: PersonalKind, signs: Sequence[Sign]) -> Privacy:
        """Return the verdict on one kind, from all signs for it and against it."""
        pros = [sign for sign in signs if not sign.is_against and sign.weight > WEAK]
        pros += [sign for sign in signs if not sign.is_against and sign.weight <= WEAK][:1]  # name and comment: once
        is_shown = kind in _SHOWN_BY_FORM and any("values" in sign.text and sign.weight >= 0.9 for sign in pros)
        cons = [] if is_shown else [sign for sign in signs if sign.is_against]
        cons += [Sign(text, weight, is_against=True) for text, weight in self._against(kind, pros)]
        probability = (1 - prod(1 - sign.weight for sign in pros)) * prod(1 - sign.weight for sign in cons)
        return Privacy(kind, probability, (*pros, *cons))

    def _against(self, kind: PersonalKind, pros: Sequence[Sign]) -> Iterator[tuple[str, float]]:
        yield from self._against_by_values(kind)
        yield from self._against_by_place(kind, pros)
        if any("values" in sign.text for sign in pros):
            return  # what values say is stronger than what follows
        signs = self._signs
        if signs.is_foreign_key or signs.is_key:
            yield "it is a key", _KEY
        if self._words[-1] == "id" and kind not in _OF_NUMBERS:
            yield "its name ends in id", _KEY
        is_number = _NUMBER_TYPE.search(signs.type_sql) is not None and kind in _OF_TEXT
        if is_number or (_TIME_TYPE.search(signs.type_sql) and kind != "birth_date"):
            yield f"its type is {signs.type_sql}", _WRONG_TYPE
        distinct, rows = signs.distinct_count or 0, signs.row_count or len(self._texts)
        if kind not in _OF_FEW_VALUES and 0 < distinct <= _FEW and rows >= _FEW_REPEATS * distinct:
            yield f"only {distinct} values repeat", _FEW_VALUES

    def _against_by_values(self, kind: PersonalKind) -> Iterator[tuple[str, float]]:
        if kind == "name":
            if self._share(word_lists()["company"].fullmatch) >= _COMPANY_SHARE:
                yield "its values are names of companies", _COMPANIES
            if self._share(_MANY_DIGITS.fullmatch) >= _SHAPE_SHARE:
                yield "its values are codes", _WRONG_TYPE
            if self._share(_FILE.fullmatch) >= _SHAPE_SHARE:
                yield "its values are names of files", _WRONG_TYPE
        says_who = self._words[-1] in ("by", "uid", "user") or re.search(
            "[人者员]$", head(self._signs.comment) or self._signs.column
        )
        if kind == "account" and says_who and self._share(_SMALL_NUMBER.fullmatch) == 1:
            yield "its values are numbers", _KEY

    def _against_by_place(self, kind: PersonalKind, pros: Sequence[Sign]) -> Iterator[tuple[str, float]]:
        """Yield the signs of a place or a thing: a shop has a telephone, too.

        But the contact of a shop is a person, and so is the owner of a mobile number.
        """
        signs = self._signs
        if kind not in ALSO_OF_PLACES:
            return
        if re.search(r"\b(our|own)\b", signs.comment or ""):
            yield "its comment says it is our own", _OF_A_PLACE
        is_home = kind in ("address", "location") and self._among_homes
        is_login = kind == "account" and (self._words[-1] in ("by", "user") or "者" in (signs.comment or signs.column))
        is_mobile = any("mobile" in sign.text for sign in pros)
        if self._among_things and not (is_home or is_login or is_mobile or self._says_person()):
            yield "its table is one of places or things", _OF_A_PLACE

    def _numbers_persons(self) -> bool:
        """Return True for numbers beside the key that identify persons: members, patients, members of staff."""
        signs = self._signs
        name = head(signs.comment) if CJK.search(signs.comment or "") else signs.column
        says_number = self._words[-1] in _NUMBERS_OF_PERSONS or name.endswith(_CHINESE_NUMBERS)
        is_unique = (signs.distinct_count or len(set(self._texts))) >= _UNIQUE_SHARE * len(self._texts) >= _ROWS_NEEDED
        return self._among_persons and says_number and is_unique and not (signs.is_key or signs.is_foreign_key)

    def _says_person(self) -> bool:
        text = self._signs.column + (self._signs.comment or "")
        persons = word_lists()["persons"]
        return bool(set(self._words) & persons["english"]) or any(noun in text for noun in persons["chinese"])

    def _share(self, fits: Callable[[str], object]) -> float:
        return sum(1 for text in self._texts if fits(text)) / len(self._texts) if self._texts else 0.0


def _likeliest(found: Mapping[PersonalKind, Sequence[Sign]]) -> PersonalKind:
    return max(found, key=lambda kind: max(sign.weight for sign in found[kind]), default="name")
