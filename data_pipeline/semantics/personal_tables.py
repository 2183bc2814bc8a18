"""What a table's rows are to privacy: persons, their homes, or places and things. By names and comments. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from data_pipeline.semantics.personal_words import CJK, head, word_lists, words_of

_CHINESE_AFFIX: Final = re.compile(r"(信息|基本|基础|档案|资料|明细|主|管理|数据)*表?$")
_AFFIXES: Final = frozenset(
    {"information", "master", "detail", "profile", "record", "list", "table", "dimension", "base", "datum", "data", "t",
     "tbl", "main", "basic"}
)  # fmt: skip
_ENGLISH_OF_PERSONS: Final = (
    "first name", "last name", "given name", "family name", "surname", "birth date", "birthdate", "birthday",
    "date of birth", "gender", "sex", "social security number", "marital status",
)  # fmt: skip
_CHINESE_OF_PERSONS: Final = ("性别", "身份证", "出生", "姓名", "民族")
"""Columns that only persons have; two of them make a table one of persons."""


@lru_cache(maxsize=20_000)
def is_table_of_persons(table: str, comment: str | None, columns: tuple[str, ...]) -> bool:
    """True if a table's rows are persons, by its name, its comment, or two columns that only persons have."""
    return _ends_in(table, comment, "persons") or sum(map(_only_persons_have, columns)) >= 2


@lru_cache(maxsize=20_000)
def is_table_of_things(table: str, comment: str | None) -> bool:
    """True if a table's rows are places, organisations or machines, by its name or its comment."""
    return _ends_in(table, comment, "things")


@lru_cache(maxsize=20_000)
def is_table_of_homes(table: str, comment: str | None) -> bool:
    """True if a table's rows are homes or addresses of persons."""
    return _ends_in(table, comment, "homes")


def _ends_in(table: str, comment: str | None, kind: str) -> bool:
    lists = word_lists()[kind]
    words = words_of(table)
    while len(words) > 1 and words[-1] in _AFFIXES:
        words = words[:-1]
    if words[-1] in lists["english"] or " ".join(words[-2:]) in lists["english"]:
        return True
    heads = [_CHINESE_AFFIX.sub("", text) for text in (table, head(comment)) if CJK.search(text)]
    return any(text.endswith(lists["chinese"]) for text in heads)


def _only_persons_have(column: str) -> bool:
    words = " ".join(words_of(column))
    return any(phrase in words for phrase in _ENGLISH_OF_PERSONS) or any(one in column for one in _CHINESE_OF_PERSONS)
