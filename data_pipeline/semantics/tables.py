"""What a table is, what names its rows, when they happened: from its columns' roles, its name and its rows. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import Any, Final

from data_pipeline.semantics.model import ColumnMeaning, TableKind, Verdict
from data_pipeline.semantics.names import plural, singular
from data_pipeline.semantics.vocabulary import words_of_identifier, written

UNIQUE_SHARE: Final = 0.98
LOOKUP_ROWS: Final = 200
LOOKUP_COLUMNS: Final = 5

_LABEL_CANDIDATES: Final = frozenset({"label", "text", "category", "code"})
_NAME_WORDS: Final = ("name", "title", "label", "caption", "subject", "headline", "description")
_NAME_SIGNS: Final = ("名称", "名", "标题", "题目", "主题", "品名")
_BOOKKEEPING: Final = frozenset({"audit", "soft_delete", "tenant", "version", "sort_order", "constant", "blank"})
_MEASURES: Final = frozenset({"measure_additive", "measure_semi_additive", "measure_non_additive"})
_CJK: Final = re.compile(r"[㐀-鿿]")


def kind_of(
    name: str,
    columns: Sequence[ColumnMeaning],
    *,
    is_view: bool,
    row_count: int,
    parents: Sequence[Sequence[str]],
    key: Sequence[str],
    is_referenced: bool,
    other_tables: Mapping[str, frozenset[str]],
) -> tuple[TableKind, Verdict]:
    """Return what a table's rows are. `parents` are the column groups that refer to other tables.

    `other_tables` are the names of the other tables with their column names, to know a copy of one.
    """
    words = set(words_of_identifier(name).spelled)
    if is_view:
        return "view", Verdict(confidence=1.0, evidence="declared", reason="it is a view")
    if original := _copied_from(name, columns, other_tables):
        return "backup copy", Verdict(confidence=0.9, evidence="name", reason=f"it has the columns of {original}")
    if not row_count:
        return "empty", Verdict(confidence=1.0, evidence="values", reason="it has no rows")
    own = [column for column in columns if column.role not in _BOOKKEEPING]
    referring = {column for group in parents for column in group}
    if len(parents) >= 2 and all(column.name in referring or column.name in key for column in own):
        return "bridge", Verdict(confidence=0.95, evidence="declared", reason="it only connects other tables")
    if _is_eav(own):
        is_settings = not parents
        reason = "its rows are names with values"
        return ("settings" if is_settings else "eav"), Verdict(confidence=0.85, evidence="name", reason=reason)
    lists = _lists()
    if words & set(lists["log"]["english"]) or name.endswith(tuple(lists["log"]["chinese"])):
        return "log", Verdict(confidence=0.8, evidence="name", reason="its name says it is a log")
    if words & set(lists["settings"]["english"]) or name.endswith(tuple(lists["settings"]["chinese"])):
        return "settings", Verdict(confidence=0.8, evidence="name", reason="its name says it holds settings")
    roles = [column.role for column in own]
    has_time, has_measure = "time" in roles, bool(_MEASURES & set(roles))
    if has_time and parents and "measure_semi_additive" in roles and "measure_additive" not in roles:
        return "snapshot", Verdict(confidence=0.6, evidence="values", reason="it holds states at moments")
    if parents and (has_time or "measure_additive" in roles) and not (is_referenced and "label" in roles):
        return "event", Verdict(
            confidence=0.8, evidence="values", reason="its rows refer to others and have a time or an amount"
        )
    if has_time and has_measure and "label" not in roles:
        return "event", Verdict(
            confidence=0.6, evidence="values", reason="its rows have a time and numbers and no name"
        )
    has_persons = any(column.is_masked for column in own)
    if (
        row_count <= LOOKUP_ROWS
        and not has_persons
        and len(own) <= LOOKUP_COLUMNS
        and not parents
        and ("label" in roles or is_referenced)
    ):
        return "lookup", Verdict(confidence=0.7, evidence="values", reason="it is small and others refer to it")
    return "entity", Verdict(confidence=0.7, evidence="values", reason="its rows are things with properties")


def label_of(columns: Sequence[ColumnMeaning], rows: Sequence[Sequence[Any]], noun: str) -> tuple[str, ...]:
    """Return the columns by which a person names a row: one that is nearly unique, or two that are so together.

    Score: 2 for a name's word, 1 more if it names the table's own noun, the share of different values, 0.5 if never
    null, 0.3 if short. Personal columns may name rows; secrets never do.
    """
    if not rows:
        return ()
    scored = []
    for number, column in enumerate(columns):
        if column.role not in _LABEL_CANDIDATES or (column.personal is not None and column.personal.is_secret):
            continue
        values = [row[number] for row in rows]
        filled = [value for value in values if value not in (None, "")]
        if not filled:
            continue
        share = _unique_share(values)
        length = sum(len(str(value)) for value in filled) / len(filled)
        is_named = column.role == "label" or _says_name(column)
        of_noun = bool(noun) and noun.rsplit(maxsplit=1)[-1] in column.phrase.split()
        score = (
            2 * is_named
            - 0.6 * column.is_masked
            + of_noun * is_named
            + share
            + 0.5 * (len(filled) == len(values))
            + 0.3 * (length <= 40)
        )
        scored.append((score, -number, column, share))
    scored.sort(key=lambda one: one[:2], reverse=True)
    named = [one for one in scored if one[0] >= 2]
    if names := _names_of_a_person(columns):
        return names
    for _, _, column, share in named:
        if share >= UNIQUE_SHARE:
            return (column.name,)
    places = {column.name: number for number, column in enumerate(columns)}
    for first, second in combinations([column.name for _, _, column, _ in named[:5]], 2):
        pairs = [(row[places[first]], row[places[second]]) for row in rows]
        if _unique_share(pairs) >= UNIQUE_SHARE:
            return tuple(sorted((first, second), key=places.__getitem__))
    return ()


def business_time_of(columns: Sequence[ColumnMeaning], noun: str) -> str | None:
    """Return the column that says when a row happened; an audit column only where no other time is filled."""
    times = [column for column in columns if column.role == "time" and column.encoding not in ("time", "hhmm", "year")]
    candidates = [column for column in times if column.null_share <= 0.5 and not _is_of_a_person(column)]
    if not candidates:
        audits = [column for column in columns if column.role == "audit" and column.encoding is not None]
        created = [
            column for column in audits if re.search(r"creat|insert|add|创建|录入", f"{column.phrase} {column.name}")
        ]
        return created[0].name if created else None

    def rank(column: ColumnMeaning) -> tuple[float, ...]:
        words = column.phrase.split()
        of_noun = bool(noun) and noun.rsplit(maxsplit=1)[-1] in words
        is_end = bool({"end", "due", "expiry", "return", "shipped", "delivered", "closed", "required"} & set(words))
        return (-of_noun, is_end, column.null_share)

    return min(candidates, key=rank).name


def noun_of(table: str, comment: str | None, language: str) -> tuple[str, str, bool]:
    """Return a table's noun in the singular and the plural, and whether a reader knows its words."""
    if language == "zh" or (_CJK.search(table) and not table.isascii()):
        for text in (comment or "", table):
            head = re.split(r"[（(，,。：:]", text.strip(), maxsplit=1)[0]
            if _CJK.search(head):
                bare = _without_chinese_affix(head)
                return bare, bare, True
    words = words_of_identifier(table)
    kept = list(words.expanded)
    affixes = set(_lists()["affixes"]["english"])
    while len(kept) > 1 and kept[0] in affixes:
        kept = kept[1:]
    while len(kept) > 1 and kept[-1] in affixes - {"detail", "record", "history", "entity", "list"}:
        kept = kept[:-1]
    return written(singular(kept)), written(plural(kept)), words.is_readable


def _without_chinese_affix(name: str) -> str:
    for affix in sorted(_lists()["affixes"]["chinese"], key=len, reverse=True):
        if name.endswith(affix) and len(name) > len(affix) + 1:
            return name[: -len(affix)]
    return name


def _copied_from(name: str, columns: Sequence[ColumnMeaning], others: Mapping[str, frozenset[str]]) -> str | None:
    """The table whose columns this one repeats, where its name says that it is a copy: `orders_bak_2020`."""
    pieces = re.split(r"[_\W\d]+", name.lower())
    lists = _lists()["backup"]
    has_date = re.search(r"(19|20)\d{4,6}$", name) is not None
    if not set(pieces) & set(lists["english"]) and not name.endswith(tuple(lists["chinese"])) and not has_date:
        return None
    own = frozenset(column.name for column in columns)
    for other, names in others.items():
        is_part = name.lower() != other.lower() and (other.lower() in name.lower() or name.lower() in other.lower())
        if is_part and len(own & names) >= 0.8 * max(len(own), 1) and len(other) < len(name):
            return other
    return None


def _is_eav(columns: Sequence[ColumnMeaning]) -> bool:
    lists = _lists()["eav"]
    phrases = [column.phrase for column in columns if column.role not in ("key", "foreign_key")]
    names = [phrase for phrase in phrases if phrase in lists["names"] or phrase.endswith(" key")]
    values = [phrase for phrase in phrases if phrase in lists["values"] or phrase.endswith(" value")]
    return bool(names) and bool(values) and len(phrases) <= 5


def _names_of_a_person(columns: Sequence[ColumnMeaning]) -> tuple[str, ...]:
    """First and last name, where a table has both."""
    phrases = {column.phrase: column.name for column in columns}
    for first, last in (("first name", "last name"), ("given name", "family name"), ("forename", "surname")):
        if first in phrases and last in phrases:
            return phrases[first], phrases[last]
    return ()


def _says_name(column: ColumnMeaning) -> bool:
    words = column.phrase.split()
    return bool(words) and (
        words[-1] in _NAME_WORDS or column.name.endswith(_NAME_SIGNS) or column.phrase.endswith(_NAME_SIGNS)
    )


def _is_of_a_person(column: ColumnMeaning) -> bool:
    return column.personal is not None and column.personal.kind == "birth_date"


def _unique_share(values: Sequence[Any]) -> float:
    filled = [str(value) for value in values if value is not None]
    return len(set(filled)) / len(filled) if filled else 0.0


@cache
def _lists() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("words", "tables.toml").read_text(encoding="utf-8"))
