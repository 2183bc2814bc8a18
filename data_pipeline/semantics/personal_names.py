"""What the name and the comment of a column say about persons, in English and Chinese. Pure.

A phrase that names personal data counts wherever it stands, a weak one at the end of a name and mostly in a table of
persons; words around a phrase can make it a fact about a thing: `phone_model`, `is_email_sent`, 密码有效期.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, get_args

from data_pipeline.semantics.personal_words import (
    CJK,
    PersonalKind,
    Sign,
    comment_words,
    head,
    phrases,
    word_lists,
    words_of,
)

# Weights of evidence. Start: trials on public schemas (strong name .9, weak .1 or .6 among persons).
STRONG: Final = 0.9
STRONG_COMMENT: Final = 0.85
WEAK: Final = 0.1
WEAK_AMONG_PERSONS: Final = 0.6
FREE_TEXT: Final = 0.2
ANY_VALUE: Final = 0.3
ABOUT_A_THING: Final = 0.9
UNKNOWN_WORDS: Final = 0.5
"""Against a phrase that words follow of which nothing is known."""

WEAK_OF_PLACE: Final = 0.3
"""Of an address or a position of what is neither a person nor a thing: an order's, a visit's."""

ALSO_OF_PLACES: Final[frozenset[PersonalKind]] = frozenset(
    {"phone", "address", "ip", "national_id", "location", "account"}
)
"""What shops, suppliers and machines have, too."""

_OF_PLACES: Final[frozenset[PersonalKind]] = frozenset({"address", "location"})
_NAME_GOES_ON: Final = ("姓名", "名", "签名", "一", "二", "全拼", "拼音", "简拼", "英文")
_OF_A_NAME: Final = ("号", "编号", "代码", "编码", "ID", "id", "电话", "关系", "部门", "单位", "意见", "数", "人数")
_NOT_BIRTH: Final = frozenset({"place", "country", "city", "count", "order"})
_CHANGES: Final = frozenset(
    {"created", "updated", "modified", "changed", "create", "update", "modify", "change", "last"}
)
_NOT_HEALTH: Final = frozenset(
    {"count", "number", "id", "expiry", "date", "cost", "fee", "amount", "department", "insurance", "center", "time"}
)


def signs_of_names(
    column: str, comment: str | None, *, among_persons: bool, among_homes: bool
) -> list[tuple[PersonalKind, Sign]]:
    """Return what a column's name and comment say, for and against each kind."""
    of_homes = [
        (kind, Sign(sign.text, WEAK_AMONG_PERSONS))
        for kind, sign in (
            *_named_in_english(words_of(column), "name", STRONG, among_persons=True),
            *_named_in_chinese(head(comment) or column, "name", STRONG, among_persons=True),
        )
        if among_homes and kind in ("address", "location") and not sign.is_against
    ]
    return [
        *of_homes,
        *_named_in_english(words_of(column), "name", STRONG, among_persons=among_persons),
        *_named_in_english(comment_words(comment), "comment", STRONG_COMMENT, among_persons=among_persons),
        *_named_in_chinese(column, "name", STRONG, among_persons=among_persons),
        *_named_in_chinese(head(comment), "comment", STRONG_COMMENT, among_persons=among_persons),
    ]


def _named_in_english(
    words: Sequence[str], place: str, strong: float, *, among_persons: bool
) -> list[tuple[PersonalKind, Sign]]:
    found: list[tuple[PersonalKind, Sign]] = []
    if not words:
        return found
    lists = word_lists()
    for kind in get_args(PersonalKind):
        phrase = _longest(words, phrases("strong", kind))
        if phrase is None:
            continue
        said = f"its {place} says {' '.join(words[slice(*phrase)])}"
        is_of_own = among_persons and phrase[0] > 0 and words[phrase[0] - 1] in lists["homes"]["own_places"]
        against = 0.0 if is_of_own else _of_a_thing(words, *phrase, kind)
        if against < ABOUT_A_THING:
            found.append((kind, Sign(said, strong)))
        if against:
            found.append((kind, Sign(f"{said} of a thing", against, is_against=True)))
    has_person = bool(set(words[:-1]) & lists["persons"]["english"])
    if has_person and words[-1] in ("first", "last", "initial"):
        found.append(("name", Sign(f"its {place} says {words[-1]} name of a person", strong)))
    if words[-1] == "name" and len(words) > 1 and (words[-2] in lists["persons"]["english"] or words[-2] == "user"):
        found.append(("name", Sign(f"its {place} says {words[-2]} name", strong)))
    for kind in get_args(PersonalKind):
        phrase = _longest(words, phrases("weak", kind))
        if (
            phrase is None
            or phrase[1] != len(words)
            or (phrase[0] and words[phrase[0] - 1] in lists["things"]["english"])
        ):
            continue
        is_login = kind == "account" and (words[-1] == "by" or (words[-2:-1] and words[-2] in _CHANGES))
        is_of_person = (among_persons or has_person) and kind != "secret"
        weight = WEAK_AMONG_PERSONS if is_of_person or is_login else WEAK_OF_PLACE if kind in _OF_PLACES else WEAK
        found.append((kind, Sign(f"its {place} says {' '.join(words[slice(*phrase)])}", weight)))
    if words[-1] == "name" and len(words) > 1 and words[-2] in lists["things"]["english"] - {"display"}:
        found.append(("name", Sign(f"its {place} says {words[-2]} name", ABOUT_A_THING, is_against=True)))
    tails = {" ".join(words[start:]) for start in range(len(words))}
    if tails & set(lists["free_text"]["english"]):
        found.append(("other", Sign(f"its {place} says free text", FREE_TEXT)))
    if tails & set(lists["free_text"]["values"]):
        found.append(("other", Sign(f"its {place} says that any value may stand in it", ANY_VALUE)))
    return found


def _named_in_chinese(text: str, place: str, strong: float, *, among_persons: bool) -> list[tuple[PersonalKind, Sign]]:
    if not CJK.search(text):
        return []
    lists = word_lists()
    found: list[tuple[PersonalKind, Sign]] = []
    matched = {
        kind: max((one for one in lists["strong"]["chinese"].get(kind, ()) if one in text), key=len, default="")
        for kind in get_args(PersonalKind)
    }
    for kind, phrase in matched.items():
        if not phrase or any(phrase in other and phrase != other for other in matched.values()):
            continue  # 户名 stands in 用户名, which is another kind
        against = _of_a_thing_in_chinese(text, phrase, kind)
        if against < ABOUT_A_THING:
            found.append((kind, Sign(f"its {place} says {phrase}", strong)))
        if against:
            found.append((kind, Sign(f"its {place} says {phrase} of a thing", against, is_against=True)))
    is_named = {kind for kind, _ in found}
    strong_phrases = tuple(one for phrases in lists["strong"]["chinese"].values() for one in phrases if len(one) > 2)
    for kind in get_args(PersonalKind):
        if kind in is_named or (found and text.endswith((*strong_phrases, "IP地址"))):
            continue
        phrase = next((one for one in lists["weak"]["chinese"].get(kind, ()) if text.endswith(one)), None)
        if phrase is None:
            continue
        if text[: -len(phrase)].endswith(tuple(lists["things"]["chinese"])):
            found.append((kind, Sign(f"its {place} says {phrase} of a thing", ABOUT_A_THING, is_against=True)))
            continue
        of_a_person = text[: -len(phrase)].endswith(tuple(lists["persons"]["chinese"]))
        is_sure = of_a_person and kind in ("name", "address")
        is_login = kind == "account" and phrase[-1] in "人者员"  # 创建人: who wrote the row, by login
        is_of_person = among_persons or (of_a_person and kind in _OF_PLACES) or is_login
        weight = WEAK_AMONG_PERSONS if is_of_person else WEAK_OF_PLACE if kind in _OF_PLACES else WEAK
        weight = strong if is_sure else weight
        found.append((kind, Sign(f"its {place} says {phrase}", weight)))
    if text.endswith(tuple(lists["free_text"]["chinese"])):
        found.append(("other", Sign(f"its {place} says free text", FREE_TEXT)))
    if text.endswith(tuple(lists["free_text"]["chinese_values"])):
        found.append(("other", Sign(f"its {place} says that any value may stand in it", ANY_VALUE)))
    return found


def _of_a_thing(words: Sequence[str], start: int, end: int, kind: PersonalKind) -> float:
    """How sure the words around a phrase make it a fact about a thing: `phone_model`, `is_email_sent`."""
    lists, after = word_lists(), set(words[end:])
    if kind == "birth_date":
        return ABOUT_A_THING if after & _NOT_BIRTH else 0.0
    if kind == "health":
        return ABOUT_A_THING if after & _NOT_HEALTH else 0.0
    before = " ".join(words[:start])
    is_of_place = kind in ALSO_OF_PLACES | {"email"} and start > 0 and words[start - 1] in lists["things"]["english"]
    is_asked = any(re.search(rf"\b{word}\b", before) for word in lists["about"]["before"])
    if after & lists["about"]["english"] or is_asked or is_of_place:
        return ABOUT_A_THING
    is_unknown = any(word.isascii() and word not in lists["neutral"]["english"] for word in after)
    return UNKNOWN_WORDS if is_unknown else 0.0


def _of_a_thing_in_chinese(text: str, phrase: str, kind: PersonalKind) -> float:
    place = text.rindex(phrase)
    before, after = text[:place], text[place + len(phrase) :]
    about, things = word_lists()["about"], word_lists()["things"]["chinese"]
    if kind == "health":
        return ABOUT_A_THING if after.endswith(("次数", "费", "费用", "科", "室")) and after else 0.0
    is_about = bool(after) and after.endswith((*about["chinese"], *(_OF_A_NAME if kind == "name" else ())))
    is_of_place = kind in ALSO_OF_PLACES | {"other"} and before.endswith(things)
    if is_about or before.startswith(tuple(about["chinese_before"])) or is_of_place:
        return ABOUT_A_THING
    return UNKNOWN_WORDS if kind == "name" and after and not after.startswith(_NAME_GOES_ON) else 0.0


def _longest(words: Sequence[str], phrases: Mapping[int, frozenset[tuple[str, ...]]]) -> tuple[int, int] | None:
    """Where the longest phrase stands, the last one of equals."""
    for length in sorted(phrases, reverse=True):
        for start in range(len(words) - length, -1, -1):
            if tuple(words[start : start + length]) in phrases[length]:
                return start, start + length
    return None
