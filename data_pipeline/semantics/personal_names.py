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

ALSO_OF_PLACES: Final[frozenset[PersonalKind]] = frozenset(
    {"phone", "address", "ip", "national_id", "location", "account"}
)
"""What shops, suppliers and machines have, too."""

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
        if _is_of_a_thing(words, *phrase, kind) and not is_of_own:
            found.append((kind, Sign(f"{said} of a thing", ABOUT_A_THING, is_against=True)))
        else:
            found.append((kind, Sign(said, strong)))
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
        weight = WEAK_AMONG_PERSONS if (among_persons and kind != "secret") or is_login else WEAK
        found.append((kind, Sign(f"its {place} says {' '.join(words[slice(*phrase)])}", weight)))
    if words[-1] == "name" and len(words) > 1 and words[-2] in lists["things"]["english"]:
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
        if _is_of_a_thing_in_chinese(text, phrase, kind):
            found.append((kind, Sign(f"its {place} says {phrase} of a thing", ABOUT_A_THING, is_against=True)))
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
            found.append((kind, Sign(f"its {place} says {phrase} of a thing", ABOUT_A_THING, is_against=True)))
            continue
        of_a_person = text[: -len(phrase)].endswith(tuple(lists["persons"]["chinese"]))
        is_sure = of_a_person and kind in ("name", "address")
        is_login = kind == "account" and phrase[-1] in "人者员"  # 创建人: who wrote the row, by login
        weight = strong if is_sure else WEAK_AMONG_PERSONS if among_persons or is_login else WEAK
        found.append((kind, Sign(f"its {place} says {phrase}", weight)))
    if text.endswith(tuple(lists["free_text"]["chinese"])):
        found.append(("other", Sign(f"its {place} says free text", FREE_TEXT)))
    if text.endswith(tuple(lists["free_text"]["chinese_values"])):
        found.append(("other", Sign(f"its {place} says that any value may stand in it", ANY_VALUE)))
    return found


def _is_of_a_thing(words: Sequence[str], start: int, end: int, kind: PersonalKind) -> bool:
    """True if the words around a phrase make it a fact about a thing: `phone_model`, `is_email_sent`."""
    about = word_lists()["about"]["english"]
    after = words[end:]
    neutral = word_lists()["neutral"]["english"]
    if kind == "birth_date":
        return bool(
            set(after) - {"date", "epoch", "timestamp", "year", "month", "day", "number", "text", "time"} & about
        ) and bool(set(after) & {"place", "country", "city", "count", "order"})
    if kind == "health":
        return bool(set(after) & _NOT_HEALTH)
    if any(word in about for word in after):
        return True
    if any(word not in neutral and word.isascii() for word in after):
        return True
    before = " ".join(words[:start])
    if any(re.search(rf"\b{word}\b", before) for word in word_lists()["about"]["before"]):
        return True
    return kind in ALSO_OF_PLACES | {"email"} and start > 0 and words[start - 1] in word_lists()["things"]["english"]


def _is_of_a_thing_in_chinese(text: str, phrase: str, kind: PersonalKind) -> bool:
    place = text.rindex(phrase)
    before, after = text[:place], text[place + len(phrase) :]
    about, things = word_lists()["about"], word_lists()["things"]["chinese"]
    if kind == "name" and after not in ("", "姓名", "名", "名字", "签名", "名称", "一", "二"):
        return True
    if kind == "health":
        return after.endswith(("次数", "费", "费用", "科", "室"))
    return (
        after.endswith(tuple(about["chinese"]))
        or before.startswith(tuple(about["chinese_before"]))
        or (before.endswith(tuple(things)) and kind in ALSO_OF_PLACES | {"other"})
    )


def _longest(words: Sequence[str], phrases: Mapping[int, frozenset[tuple[str, ...]]]) -> tuple[int, int] | None:
    """Where the longest phrase stands, the last one of equals."""
    for length in sorted(phrases, reverse=True):
        for start in range(len(words) - length, -1, -1):
            if tuple(words[start : start + length]) in phrases[length]:
                return start, start + length
    return None
