"""Personal data and secrets: one verdict for a column, from names, comments, types, keys and sampled values.

    p = (1 - product of (1 - e)) * product of (1 - c)        e: evidence for, c: evidence against, each from 0 to 1

From `PERSONAL` on a column is personal; from `UNSURE` on nobody knows: its values are masked, and no question uses it.
The words are data: words/personal.toml. Pure: values in, verdict out. It opens nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib.resources import files
from math import prod
from typing import Any, Final, Literal, get_args

from data_pipeline.semantics.names import singular
from data_pipeline.semantics.shapes import SHAPES, latin_name_share, surname_share
from data_pipeline.semantics.value_labels import labels_of_comment
from data_pipeline.semantics.vocabulary import without_affixes, words_of_identifier

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
_FREE_TEXT: Final = 0.2
_ANY_VALUE: Final = 0.3
_NAMED_INSIDE: Final = 0.6
_KNOWN_ELSEWHERE: Final = 0.7
_NAMES_OF_PERSONS: Final = 0.7

# Evidence against.
_KEY: Final = 0.9
_ABOUT_A_THING: Final = 0.9
_WRONG_TYPE: Final = 0.9
_FEW_VALUES: Final = 0.5
_OF_A_PLACE: Final = 0.9
_COMPANIES: Final = 0.9

_FEW: Final = 12
_SHAPE_SHARE: Final = 0.6
_NAME_SHARE: Final = 0.3
_SURNAME_SHARE: Final = 0.8

_NUMBER_TYPE: Final = re.compile(r"int|numeric|decimal|number|real|double|float|money|serial", re.IGNORECASE)
_TIME_TYPE: Final = re.compile(r"date|time|year|interval", re.IGNORECASE)
_FLAG_TYPE: Final = re.compile(r"bool|bit\(1\)|tinyint\(1\)", re.IGNORECASE)
_OF_TEXT: Final[frozenset[PersonalKind]] = frozenset({"name", "email", "address", "ip", "plate"})
_ALSO_OF_PLACES: Final[frozenset[PersonalKind]] = frozenset({"phone", "address", "ip", "national_id", "location", "account"})
"""What shops, suppliers and machines have, too."""

_CJK: Final = re.compile(r"[㐀-鿿]")
_CHINESE_AFFIX: Final = re.compile(r"(信息|基本|基础|档案|资料|明细|主|管理|数据)*表?$")
_AFFIXES: Final = frozenset(
    {"information", "master", "detail", "profile", "record", "list", "table", "dimension", "base", "datum", "data", "t",
     "tbl", "main", "basic"}
)  # fmt: skip
_FILE: Final = re.compile(r"\.[A-Za-z0-9]{2,4}$")
_CHANGES: Final = frozenset({"created", "updated", "modified", "changed", "create", "update", "modify", "change", "last"})
_DIGIT: Final = re.compile(r"\d")
_INSIDE: Final = re.compile(
    r"[^\s@]@[^\s@]+\.[^\s@]{2}|\+\d{1,3}[ ()./-]*\d(?:[ ()./-]*\d){5,12}|(?<!\d)1[3-9]\d{9}(?!\d)"
    r"|(?<!\d)[1-9]\d{5}(?:18|19|20)\d{9}[\dXx](?!\d)|(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)"
)
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
    signs = replace(signs, column=without_affixes(signs.column, tuple(signs.beside)))
    texts = [str(value).strip() for value in signs.values[:LOOKED_AT_VALUES] if not isinstance(value, (bytes, bool))]
    among_persons = is_table_of_persons(signs.table, signs.table_comment, tuple(signs.beside))
    among_homes = is_table_of_homes(signs.table, signs.table_comment)
    found: dict[PersonalKind, list[Sign]] = {}
    tells_of_things = is_table_of_things(signs.table, signs.table_comment) or not texts
    for kind, sign in _named(signs, among_persons=among_persons, among_homes=among_homes):
        if sign.weight in (_FREE_TEXT, _ANY_VALUE) and tells_of_things and sign.weight == _FREE_TEXT:
            continue
        if _FLAG_TYPE.search(signs.type_sql) and kind != "health":
            continue
        found.setdefault(kind, []).append(sign)
    by_name = {kind for kind, pros in found.items() if any(not sign.is_against for sign in pros)}
    for kind, sign in _shaped(texts, by_name, signs):
        found.setdefault(kind, []).append(sign)
    if by_name & {"name", "account"} or among_persons:
        for sign in _like_names(texts, by_name, signs):
            found.setdefault("name", []).append(sign)
    if signs.share_known_as_personal:
        sign = Sign("values that a personal column elsewhere holds", _KNOWN_ELSEWHERE * signs.share_known_as_personal)
        found.setdefault(_likeliest(found) or "name", []).append(sign)
    if not found and (inside := _named_inside(texts)):
        found.setdefault("other", []).append(inside)
    verdicts = [_weighed(kind, pros, signs, texts) for kind, pros in found.items()]
    return max(verdicts, key=lambda verdict: verdict.probability, default=Privacy())


@lru_cache(maxsize=20_000)
def is_table_of_persons(table: str, comment: str | None, columns: tuple[str, ...]) -> bool:
    """True if a table's rows are persons, by its name, its comment, or two columns that only persons have."""
    words = _without_affixes(_words(table))
    nouns = _lists()["persons"]["english"]
    if words[-1] in nouns or " ".join(words[-2:]) in nouns:
        return True
    for text in (table, _head(comment)):
        stripped = _CHINESE_AFFIX.sub("", text)
        if _CJK.search(text) and stripped.endswith(tuple(_lists()["persons"]["chinese"])):
            return True
    own = {kind for column in columns for kind in _only_persons_have(column)}
    return len(own) >= 2


@lru_cache(maxsize=20_000)
def is_table_of_things(table: str, comment: str | None) -> bool:
    """True if a table's rows are places, organisations or machines, by its name or its comment."""
    words = _without_affixes(_words(table))
    if words[-1] in _lists()["things"]["english"]:
        return True
    for text in (table, _head(comment)):
        stripped = _CHINESE_AFFIX.sub("", text)
        if _CJK.search(text) and stripped.endswith(tuple(_lists()["things"]["chinese"])):
            return True
    return False


@lru_cache(maxsize=20_000)
def is_table_of_homes(table: str, comment: str | None) -> bool:
    """True if a table's rows are homes or addresses of persons."""
    words = _without_affixes(_words(table))
    if words[-1] in _lists()["homes"]["english"]:
        return True
    heads = [_CHINESE_AFFIX.sub("", text) for text in (table, _head(comment))]
    return any(_CJK.search(head) and head.endswith(tuple(_lists()["homes"]["chinese"])) for head in heads)


def _says_person(words: Sequence[str], signs: ColumnSigns) -> bool:
    """True if the name says whose it is: `contact_phone` of a supplier is a person's."""
    text = signs.column + (signs.comment or "")
    return bool(set(words) & _lists()["persons"]["english"]) or any(noun in text for noun in _lists()["persons"]["chinese"])


def _without_affixes(words: tuple[str, ...]) -> tuple[str, ...]:
    while len(words) > 1 and words[-1] in _AFFIXES:
        words = words[:-1]
    return words


def _only_persons_have(column: str) -> set[str]:
    words = " ".join(_words(column))
    english = {"first name", "last name", "given name", "family name", "surname", "birth date", "birthdate", "birthday",
               "date of birth", "gender", "sex", "social security number", "marital status"}  # fmt: skip
    chinese = {"性别", "身份证", "出生", "姓名", "民族"}
    return {sign for sign in english if sign in words} | {sign for sign in chinese if sign in column}


def _named(signs: ColumnSigns, *, among_persons: bool, among_homes: bool) -> list[tuple[PersonalKind, Sign]]:
    """What the column's name and comment say."""
    of_homes = [
        (kind, Sign(sign.text, _WEAK_AMONG_PERSONS))
        for kind, sign in (
            *_named_in_english(_words(signs.column), "name", _STRONG, among_persons=True),
            *_named_in_chinese(_head(signs.comment) or signs.column, "name", _STRONG, among_persons=True),
        )
        if among_homes and kind in ("address", "location") and not sign.is_against
    ]
    return [
        *of_homes,
        *_named_in_english(_words(signs.column), "name", _STRONG, among_persons=among_persons),
        *_named_in_english(_comment_words(signs.comment), "comment", _STRONG_COMMENT, among_persons=among_persons),
        *_named_in_chinese(signs.column, "name", _STRONG, among_persons=among_persons),
        *_named_in_chinese(_head(signs.comment), "comment", _STRONG_COMMENT, among_persons=among_persons),
    ]


def _named_in_english(
    words: Sequence[str], place: str, strong: float, *, among_persons: bool
) -> list[tuple[PersonalKind, Sign]]:
    found: list[tuple[PersonalKind, Sign]] = []
    if not words:
        return found
    lists = _lists()
    for kind in get_args(PersonalKind):
        phrase = _longest(words, _phrases("strong", kind))
        if phrase is None:
            continue
        said = f"its {place} says {' '.join(words[slice(*phrase)])}"
        is_of_own = among_persons and phrase[0] > 0 and words[phrase[0] - 1] in lists["homes"]["own_places"]
        if _is_of_a_thing(words, *phrase, kind) and not is_of_own:
            found.append((kind, Sign(f"{said} of a thing", _ABOUT_A_THING, is_against=True)))
        else:
            found.append((kind, Sign(said, strong)))
    if words[-1] == "name" and len(words) > 1 and (words[-2] in lists["persons"]["english"] or words[-2] == "user"):
        found.append(("name", Sign(f"its {place} says {words[-2]} name", strong)))
    for kind in get_args(PersonalKind):
        phrase = _longest(words, _phrases("weak", kind))
        if phrase is None or phrase[1] != len(words) or (phrase[0] and words[phrase[0] - 1] in lists["things"]["english"]):
            continue
        is_login = kind == "account" and (words[-1] == "by" or words[-2:-1] and words[-2] in _CHANGES)
        weight = _WEAK_AMONG_PERSONS if (among_persons and kind != "secret") or is_login else _WEAK
        found.append((kind, Sign(f"its {place} says {' '.join(words[slice(*phrase)])}", weight)))
    if words[-1] == "name" and len(words) > 1 and words[-2] in lists["things"]["english"]:
        found.append(("name", Sign(f"its {place} says {words[-2]} name", _ABOUT_A_THING, is_against=True)))
    tails = {" ".join(words[start:]) for start in range(len(words))}
    if tails & set(lists["free_text"]["english"]):
        found.append(("other", Sign(f"its {place} says free text", _FREE_TEXT)))
    if tails & set(lists["free_text"]["values"]):
        found.append(("other", Sign(f"its {place} says that any value may stand in it", _ANY_VALUE)))
    return found


def _named_in_chinese(text: str, place: str, strong: float, *, among_persons: bool) -> list[tuple[PersonalKind, Sign]]:
    if not _CJK.search(text):
        return []
    lists = _lists()
    found: list[tuple[PersonalKind, Sign]] = []
    matched = {
        kind: max((one for one in lists["strong"]["chinese"].get(kind, ()) if one in text), key=len, default="")
        for kind in get_args(PersonalKind)
    }
    for kind, phrase in matched.items():
        if not phrase or any(phrase in other and phrase != other for other in matched.values()):
            continue  # 户名 stands in 用户名, which is another kind
        if _is_of_a_thing_in_chinese(text, phrase, kind):
            found.append((kind, Sign(f"its {place} says {phrase} of a thing", _ABOUT_A_THING, is_against=True)))
        else:
            found.append((kind, Sign(f"its {place} says {phrase}", strong)))
    is_named = {kind for kind, _ in found}
    strong_phrases = tuple(one for phrases in lists["strong"]["chinese"].values() for one in phrases if len(one) > 2)
    for kind in get_args(PersonalKind):
        if kind in is_named or (found and text.endswith((*strong_phrases, "IP地址"))):
            continue
        phrase = next((one for one in lists["weak"]["chinese"].get(kind, ()) if text.endswith(one)), None)
        if phrase is None:
            continue
        if text[: -len(phrase)].endswith(tuple(lists["things"]["chinese"])):
            found.append((kind, Sign(f"its {place} says {phrase} of a thing", _ABOUT_A_THING, is_against=True)))
            continue
        of_a_person = text[: -len(phrase)].endswith(tuple(lists["persons"]["chinese"]))
        is_sure = of_a_person and kind in ("name", "address")
        is_login = kind == "account" and phrase[-1] in "人者员"  # 创建人: who wrote the row, by login
        weight = strong if is_sure else _WEAK_AMONG_PERSONS if among_persons or is_login else _WEAK
        found.append((kind, Sign(f"its {place} says {phrase}", weight)))
    if text.endswith(tuple(lists["free_text"]["chinese"])):
        found.append(("other", Sign(f"its {place} says free text", _FREE_TEXT)))
    if text.endswith(tuple(lists["free_text"]["chinese_values"])):
        found.append(("other", Sign(f"its {place} says that any value may stand in it", _ANY_VALUE)))
    return found


def _is_of_a_thing(words: Sequence[str], start: int, end: int, kind: PersonalKind) -> bool:
    """True if the words around a phrase make it a fact about a thing: `phone_model`, `is_email_sent`, `mail_template`."""
    about = _lists()["about"]["english"]
    after = words[end:]
    neutral = _lists()["neutral"]["english"]
    if kind == "birth_date":
        return bool(set(after) - {"date", "epoch", "timestamp", "year", "month", "day", "number", "text", "time"} & about) and bool(
            set(after) & {"place", "country", "city", "count", "order"}
        )
    if kind == "health":
        return bool(set(after) & {"count", "number", "id", "expiry", "date", "cost", "fee", "amount", "department", "insurance", "center", "time"})
    if any(word in about for word in after):
        return True
    if any(word not in neutral and word.isascii() for word in after):
        return True
    before = " ".join(words[:start])
    if any(re.search(rf"\b{word}\b", before) for word in _lists()["about"]["before"]):
        return True
    return kind in _ALSO_OF_PLACES | {"email"} and start > 0 and words[start - 1] in _lists()["things"]["english"]


def _is_of_a_thing_in_chinese(text: str, phrase: str, kind: PersonalKind) -> bool:
    place = text.rindex(phrase)
    before, after = text[:place], text[place + len(phrase) :]
    about, things = _lists()["about"], _lists()["things"]["chinese"]
    if kind == "name" and after not in ("", "姓名", "名", "名字", "签名", "名称", "一", "二"):
        return True
    if kind == "health":
        return after.endswith(("次数", "费", "费用", "科", "室"))
    return (
        after.endswith(tuple(about["chinese"]))
        or before.startswith(tuple(about["chinese_before"]))
        or (before.endswith(tuple(things)) and kind in _ALSO_OF_PLACES | {"other"})
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


def _named_inside(texts: Sequence[str]) -> Sign | None:
    """Texts of several words in which an address of mail or a number of a person stands now and then."""
    long = [text for text in texts if len(text.split()) > 2 or len(text) > 20 or (len(text) > 12 and _CJK.search(text))]
    holding = sum(1 for text in long if _INSIDE.search(text))
    if len(long) < len(texts) / 4 or not holding or holding == len(texts):
        return None
    return Sign(f"{holding} of its texts hold an address or a number of a person", _NAMED_INSIDE)


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
    is_login = kind == "account" and (words[-1] in ("by", "user") or "者" in (signs.comment or signs.column))
    if kind in _ALSO_OF_PLACES and re.search(r"\b(our|own)\b", signs.comment or ""):
        cons.append(Sign("its comment says it is our own", _OF_A_PLACE, is_against=True))
    is_home = kind in ("address", "location") and is_table_of_homes(signs.table, signs.table_comment)
    if kind in _ALSO_OF_PLACES and not is_home and not is_login and not any("mobile" in sign.text for sign in pros) and is_table_of_things(signs.table, signs.table_comment) and not _says_person(words, signs):
        cons.append(Sign("its table is one of places or things", _OF_A_PLACE, is_against=True))
    if kind == "name" and texts and sum(1 for text in texts if _lists()["company"].fullmatch(text)) >= len(texts) / 2:
        cons.append(Sign("its values are names of companies", _COMPANIES, is_against=True))
    is_login_name = words[-1] == "by" or bool(re.search("[人者员]$", _head(signs.comment) or signs.column))
    if kind == "name" and texts and sum(1 for text in texts if _DIGIT.search(text)) >= _SHAPE_SHARE * len(texts):
        cons.append(Sign("its values have digits", _WRONG_TYPE, is_against=True))
    if kind == "name" and texts and sum(1 for text in texts if _FILE.search(text)) >= _SHAPE_SHARE * len(texts):
        cons.append(Sign("its values are names of files", _WRONG_TYPE, is_against=True))
    if kind == "account" and is_login_name and texts and all(text.isdigit() for text in texts):
        cons.append(Sign("its values are numbers", _KEY, is_against=True))
    many = signs.row_count if signs.row_count is not None else len(texts)
    distinct = signs.distinct_count or 0
    if kind not in ("secret", "health", "account") and 0 < distinct <= _FEW and many >= 5 * distinct and not by_values:
        cons.append(Sign(f"only {distinct} values repeat", _FEW_VALUES, is_against=True))
    cons += [sign for sign in pros if sign.is_against]
    pros = [sign for sign in pros if not sign.is_against]
    weak = [sign for sign in pros if sign.weight <= _WEAK]
    pros = [sign for sign in pros if sign.weight > _WEAK] + weak[:1]  # a name and its comment say the same thing once
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
    """The name that a comment begins with: text up to the first bracket, colon, comma or listed digit."""
    if not comment:
        return ""
    if labels_of_comment(comment):
        code = next(iter(labels_of_comment(comment)))
        comment = re.split(rf"\b{re.escape(code)}|{re.escape(code)}(?=[^\w])", comment, maxsplit=1)[0]
    plain = comment if len(_DIGIT.findall(comment)) > 1 else _DIGIT.sub("", comment)
    return _COMMENT_END.split(plain.strip(), maxsplit=1)[0].strip()


def _comment_words(comment: str | None) -> tuple[str, ...]:
    """The words of a short English comment."""
    head = re.split(r"\b(?:of|for) (?:the|a|an|this|our)\b", _head(comment))[0]
    words = head.replace("-", " ").split()
    return _words("_".join(words)) if head.isascii() and 1 <= len(words) <= 5 else ()


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
    lists["company"] = re.compile(lists["companies"]["pattern"])
    return lists
