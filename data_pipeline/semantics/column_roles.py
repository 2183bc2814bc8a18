"""The role of a column: what it can do in a question. The first rule that matches decides.

Names, comments, types, keys and values together; a number of which nothing is known is never summed. The words are
data: words/roles.toml. Pure: values in, verdict out.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Final

from data_pipeline.semantics.column_case import Case, ColumnName, ColumnSeen, Role, RoleVerdict, share, word_lists
from data_pipeline.semantics.encoded_times import as_time

CONSTANT_ROWS: Final = 20
JSON_VALUES: Final = 100
CATEGORY_VALUES: Final = 20
CATEGORY_PART: Final = 20
"""A text column with at most `CATEGORY_VALUES` values, or one value per `CATEGORY_PART` rows, is a category."""

CODE_CATEGORY_VALUES: Final = 60
LONG_TEXT: Final = 60
LABEL_CHARACTERS: Final = 40
ORDINAL_VALUES: Final = 11
AUDIT_TABLES: Final = 3
AUDIT_SHARE: Final = 0.3
TENANT_SHARE: Final = 0.5

_JSON_TYPE: Final = re.compile(r"json|hstore|xml", re.IGNORECASE)
_BINARY_TYPE: Final = re.compile(r"blob|bytea|binary|image", re.IGNORECASE)
_GEO_TYPE: Final = re.compile(r"geometry|geography|^point|polygon|line|circle|^box|path$|lseg", re.IGNORECASE)
_URL: Final = (
    r"(?i)(https?|ftp|s3|oss|file|gs)://\S+|/?([\w.@%~+-]+/)+[\w.@%~+-]*\.?\w*|(\\\\|[a-z]:\\).+"
    r"|[\w-]+\.(jpe?g|png|gif|svg|pdf|docx?|xlsx?|mp[34]|zip|csv|txt)"
)
_PLACE: Final = r"(POINT|POLYGON|LINESTRING).*|-?\d{1,3}\.\d+, ?-?\d{1,3}\.\d+"
_AMOUNT: Final = r"(?=.*\d)-?[$¥€£]?([1-9]\d{0,2}(,\d{3})+|\d+)?(\.\d+)?%?"
_NUMBER_OR_DIGEST: Final = r"\+?[\d ()./-]{7,20}|[0-9a-fA-F]{16,}|[0-9a-fA-F-]{36}|([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}"
_LIST: Final = r"[\w:./-]+(,[\w:./-]+)+,?"
_STEP: Final = r"\d{1,2}|[一二三四五六七八九十]+(年级|星|级|等)?|\d+[-~]\d+\+?|\d+\+|[<>]=?\d+"
_YES_NO: Final = tuple(
    frozenset(pair)
    for pair in (
        ("0", "1"), ("y", "n"), ("yes", "no"), ("true", "false"), ("t", "f"), ("是", "否"), ("on", "off"), ("有", "无"),
        ("-1", "0"),
    )
)  # fmt: skip


def judge_role(seen: ColumnSeen, now: dt.datetime) -> RoleVerdict:
    """Return the role of a column. `now` bounds the dates that are plausible."""
    case = Case(seen, now)
    return next(verdict for rule in _RULES if (verdict := rule(case)) is not None)


def _foreign_key(case: Case) -> RoleVerdict | None:
    if case.seen.is_foreign_key and not case.name.is_in("tenant"):
        return RoleVerdict("foreign_key", 1.0, "declared", "it refers to another table")
    return None


def _by_type(case: Case) -> RoleVerdict | None:
    kind = case.seen.type_sql
    roles: tuple[tuple[Role, bool], ...] = (
        ("json", _JSON_TYPE.search(kind) is not None),
        ("array", kind.endswith("]") or kind.lower().startswith("array")),
        ("binary", _BINARY_TYPE.search(kind) is not None),
        ("geo", _GEO_TYPE.search(kind) is not None),
    )
    return next((RoleVerdict(role, 1.0, "type", f"its type is {kind}") for role, fits in roles if fits), None)


def _blank(case: Case) -> RoleVerdict | None:
    if case.seen.values:
        return None
    has_rows = bool(case.seen.null_count or case.seen.row_count)
    return RoleVerdict("blank", 1.0, "values", "no row has a value" if has_rows else "the table has no rows")


def _key(case: Case) -> RoleVerdict | None:
    are_dates = case.is_time_type or any(isinstance(value, (dt.date, float)) for value in case.seen.values)
    return RoleVerdict("key", 1.0, "declared", "it is the primary key") if case.seen.is_key and not are_dates else None


def _bookkeeping(case: Case) -> RoleVerdict | None:
    """Audit, soft delete, tenant and version columns: by name, and by being in many tables or beside another one."""
    seen, name = case.seen, case.name
    if name.is_in("soft_delete") and case.distinct <= 3:
        return RoleVerdict("soft_delete", 0.95, "name", "its name says that rows are marked as deleted")
    if name.is_in("tenant"):
        lists = word_lists()["tenant"]["sure"]
        is_sure = " ".join(name.words) in lists or name.chinese in lists
        if is_sure or seen.tables_with_name >= max(2, TENANT_SHARE * seen.table_count):
            return RoleVerdict("tenant", 0.9, "name", "its name says which tenant a row belongs to")
    if name.is_in("version") and case.are_whole:
        return RoleVerdict("version", 0.8, "name", "its name says it counts changes of the row")
    if name.is_in("audit"):
        is_common = seen.tables_with_name >= min(AUDIT_TABLES, max(2, AUDIT_SHARE * seen.table_count))
        if is_common or any(column != seen.column and _is_audit(column) for column in seen.beside):
            time = as_time(case)
            verdict = RoleVerdict("audit", 0.9, "name", "its name says who made or changed the row, or when")
            return verdict if time is None else replace(verdict, encoding=time.encoding, time_format=time.time_format)
    return None


@lru_cache(maxsize=20_000)
def _is_audit(column: str) -> bool:
    return ColumnName.of(column).is_in("audit")


def _constant(case: Case) -> RoleVerdict | None:
    is_constant = case.distinct == 1 and case.rows >= CONSTANT_ROWS and not case.seen.null_count
    if is_constant and not case.seen.labels:
        return RoleVerdict("constant", 0.9, "values", f"all {case.rows} rows have one value")
    return None


def _binary(case: Case) -> RoleVerdict | None:
    are_bytes = all(isinstance(value, (bytes, memoryview)) for value in case.seen.values)
    return RoleVerdict("binary", 1.0, "values", "its values are bytes") if are_bytes else None


def _structured(case: Case) -> RoleVerdict | None:
    name = case.name
    if share([str(value).strip() for value in case.seen.values[:JSON_VALUES]], _is_json) >= 0.9:
        return RoleVerdict("json", 0.95, "values", "its values are JSON")
    if case.share(r"\{[^{}]*\}|\[[^\[\]]*\]") >= 0.9:
        return RoleVerdict("array", 0.8, "values", "its values are lists in braces")
    is_path = case.share(r".*://.*|[/\\].*") >= 0.8
    if case.share(_URL) >= 0.8 and (name.has("url") or is_path):
        return RoleVerdict("url", 0.95, "values", "its values are addresses of pages or files")
    if name.ends("geo") or case.share(_PLACE) >= 0.9:
        return RoleVerdict("geo", 0.9, "name", "its name or its values are places on the earth")
    return None


def _is_json(text: str) -> bool:
    if text[:1] not in ("{", "["):
        return False
    try:
        return isinstance(json.loads(text), (dict, list))
    except ValueError:
        return text.endswith(("\u2026", "..."))  # cut by whoever sampled it


def _two_values(case: Case) -> RoleVerdict | None:
    labels = [label.lower() for label in case.seen.labels.values()]
    deleted = word_lists()["deleted_labels"]
    if len(labels) == 2 and any(label in deleted["english"] or label in deleted["chinese"] for label in labels):
        return RoleVerdict("soft_delete", 0.85, "comment", "its comment lists a value for deleted rows")
    if len(labels) == 2 and frozenset(labels) in _YES_NO:
        return RoleVerdict("flag", 0.95, "comment", "its comment lists yes and no")
    found = {text.lower() for text in case.texts}
    if case.distinct > 2 or not any(found <= pair for pair in _YES_NO):
        return None
    name = case.name
    asks = name.has("flag") or "是否" in name.chinese
    is_other = name.has("additive") or name.ends("ordinal") or name.ends("category")
    if asks or (len(found) == 2 and not is_other):
        return RoleVerdict("flag", 0.95, "values", "it has two values that say yes and no")
    return None


def _of_persons(case: Case) -> RoleVerdict | None:
    """Personal columns: some are read, some are numbers of the outside world."""
    kind = case.seen.personal
    if kind == "address" and case.mean_length <= 10:
        return RoleVerdict("code", 0.8, "values", "it holds postal codes or numbers of rooms")
    if kind == "secret" and case.share(r"[\d#*-]{1,10}") == 1:
        return RoleVerdict("code", 0.8, "values", "it holds short codes that are secret")
    if kind in ("email", "secret", "address"):
        return RoleVerdict("text", 0.9, "values", f"it holds personal data ({kind})")
    if kind in ("phone", "national_id", "plate", "card", "bank_account", "ip", "account"):
        return RoleVerdict("code", 0.9, "values", f"it holds personal data ({kind})")
    if kind == "name":
        is_named = case.distinct > len(case.texts) / 2
        return RoleVerdict("label" if is_named else "text", 0.9, "values", "it holds names of persons")
    return None


def _sort_order(case: Case) -> RoleVerdict | None:
    if case.name.ends("sort_order") and case.are_numbers and case.are_whole:
        return RoleVerdict("sort_order", 0.9, "name", "its name says it orders rows")
    return None


def _labelled(case: Case) -> RoleVerdict | None:
    if not case.seen.labels:
        return None
    role: Role = "ordinal" if case.name.ends("ordinal") else "category"
    return RoleVerdict(role, 0.95, "comment", "its values are listed with their meanings")


def _amounts_in_text(case: Case) -> RoleVerdict | None:
    """`1,250.00`, `$3.50`, `12%`: numbers, though they are stored as texts."""
    if case.are_numbers or case.share(_AMOUNT) < 0.99 or all(text.isdigit() for text in case.texts):
        return None
    values = [float(re.sub(r"[,$¥€£%]", "", text)) for text in case.texts]
    return _number(Case(replace(case.seen, values=values), case.now))


def _number(case: Case) -> RoleVerdict | None:
    if not case.are_numbers:
        return None
    return next(verdict for rule in _NUMBER_RULES if (verdict := rule(case)) is not None)


def _bare_key(case: Case) -> RoleVerdict | None:
    if not case.name.is_bare_key:
        return None
    if case.are_numbers and case.seen.is_unique:
        return RoleVerdict("key", 0.8, "name", "its name ends in id and its values are unique")
    return RoleVerdict("code", 0.7, "name", "its name ends in id")


def _semi_additive(case: Case) -> RoleVerdict | None:
    if case.name.ends("semi_additive"):
        return RoleVerdict("measure_semi_additive", 0.9, "name", "its name says how much there is at a moment")
    return None


def _rating(case: Case) -> RoleVerdict | None:
    is_small = case.are_whole and all(0 <= float(value) <= 20 for value in case.seen.values)
    if case.name.ends("ordinal") and is_small and case.distinct <= ORDINAL_VALUES:
        return RoleVerdict("ordinal", 0.9, "values", "it rates on a small scale")
    return None


def _number_as_code(case: Case) -> RoleVerdict | None:
    name = case.name
    if not case.are_whole:
        return None
    if name.ends("code") and case.repeats(CATEGORY_VALUES) and not name.has("additive"):
        return RoleVerdict("category", 0.8, "values", f"it has {case.distinct} codes that repeat")
    if name.ends("code") and "number of" not in " ".join(name.words):
        return RoleVerdict("code", 0.9, "name", "its name says it is a number of the outside world")
    if name.ends("category") and case.distinct <= CODE_CATEGORY_VALUES:
        return RoleVerdict("category", 0.85, "name", "its name says it is a kind of something")
    lengths = {len(text) for text in case.texts}
    is_quantity = name.says_amount or name.has("non_additive")
    if case.seen.is_unique and not is_quantity and len(lengths) == 1 and min(lengths) >= 5:
        return RoleVerdict("code", 0.7, "values", "all its values are unique and have the same length")
    return None


def _measure(case: Case) -> RoleVerdict | None:
    name = case.name
    if name.has("received"):
        return RoleVerdict("measure_additive", 0.9, "name", "its name says an amount that was paid")
    if name.has("never_summed"):
        return RoleVerdict("measure_non_additive", 0.9, "name", "its name says a limit, a rate or a mean")
    if name.ends("non_additive") or (name.has("non_additive") and not name.ends("additive")):
        return RoleVerdict("measure_non_additive", 0.9, "name", "its name says a rate, a price or a property")
    if name.says_amount:
        return RoleVerdict("measure_additive", 0.85, "name", "its name says an amount of a row")
    if case.are_whole and name.is_plural:
        return RoleVerdict("measure_additive", 0.7, "name", "its name says how many there are")
    return None


def _number_as_category(case: Case) -> RoleVerdict | None:
    few = case.distinct <= CATEGORY_VALUES and case.distinct * 2 <= case.rows and case.distinct < len(case.texts)
    if case.are_whole and few:
        return RoleVerdict("category", 0.6, "values", f"it has {case.distinct} values that repeat")
    return None


def _unknown_number(case: Case) -> RoleVerdict | None:  # noqa: ARG001  the last rule takes all
    return RoleVerdict("measure_non_additive", 0.5, "values", "a number of which nothing is known is never summed")


def _text_key(case: Case) -> RoleVerdict | None:
    return RoleVerdict("key", 1.0, "declared", "it is the primary key") if case.seen.is_key else None


def _free_text(case: Case) -> RoleVerdict | None:
    if case.share(r"[0-9a-fA-F]{64,}") == 1:
        return None  # a digest is long, too
    if case.mean_length > LONG_TEXT:
        return RoleVerdict("text", 0.9, "values", f"its values are {case.mean_length:.0f} characters long at the mean")
    if case.name.ends("text") and (not case.name.ends("category") or case.distinct > 0.6 * len(case.texts)):
        return RoleVerdict("text", 0.85, "name", "its name says it is free text")
    return None


def _ordered_words(case: Case) -> RoleVerdict | None:
    ordered = word_lists()["ordinal"]["values"]
    steps = share(case.texts, lambda text: text.lower() in ordered or re.fullmatch(_STEP, text) is not None)
    if case.name.ends("ordinal") and 1 < case.distinct <= ORDINAL_VALUES and steps >= 0.8:
        return RoleVerdict("ordinal", 0.85, "values", "its words are in an order")
    return None


def _digest(case: Case) -> RoleVerdict | None:
    if case.share(_NUMBER_OR_DIGEST) >= 0.99:
        return RoleVerdict("code", 0.8, "values", "its values are numbers and digests of one form")
    return None


def _label(case: Case) -> RoleVerdict | None:
    is_various = case.seen.is_unique or case.distinct >= 0.5 * min(case.rows, len(case.texts))
    if _says_label(case) and is_various:
        return RoleVerdict("label", 0.9, "name", "its name says it names a row")
    return None


def _says_label(case: Case) -> bool:
    return case.name.ends("label") and not case.name.ends("category")


def _list(case: Case) -> RoleVerdict | None:
    if case.share(_LIST) >= 0.4 and case.share(r"[\w:./,-]*") == 1:
        return RoleVerdict("array", 0.8, "values", "its values are lists with commas")
    return None


def _text_as_code(case: Case) -> RoleVerdict | None:
    name = case.name
    is_kind = name.ends("category") and case.distinct * 2 <= case.rows
    if name.ends("code") and not case.repeats(CATEGORY_VALUES) and not is_kind:
        return RoleVerdict("code", 0.9, "name", "its name says it is a code of the outside world")
    forms = {re.sub(r"[A-Za-z]", "A", re.sub(r"\d", "9", text)) for text in case.texts}
    if len(forms) == 1 and "9" in min(forms) and len(case.texts) > 2 and case.distinct > CATEGORY_VALUES / 2:
        return RoleVerdict("code", 0.8, "values", "all its values have one form")
    return None


def _text_as_category(case: Case) -> RoleVerdict | None:
    says_kind = case.name.ends("category")
    if says_kind and 1 < case.distinct <= 0.8 * len(case.texts):
        return RoleVerdict("category", 0.8, "name", f"its name says a kind, and it has {case.distinct} values")
    repeats = case.distinct < len(case.texts) or says_kind
    if case.distinct <= max(CATEGORY_VALUES, case.rows / CATEGORY_PART) and repeats:
        return RoleVerdict("category", 0.8, "values", f"it has {case.distinct} values that repeat")
    return None


def _by_uniqueness(case: Case) -> RoleVerdict | None:
    if _says_label(case):
        return RoleVerdict("label", 0.7, "name", "its name says it names a row")
    if not case.seen.is_unique or case.mean_length > LABEL_CHARACTERS:
        return None
    if share(case.texts, lambda text: re.search(r"\d", text) is not None and " " not in text) > 0.5:
        return RoleVerdict("code", 0.6, "values", "its values are unique, and most have digits")
    return RoleVerdict("label", 0.6, "values", "its values are short and unique")


def _any_text(case: Case) -> RoleVerdict | None:
    has_digits = case.share(r"(?=.*\d)(?!.*([a-z]{3}|[\u4e00-\u9fff])).*")
    if case.mean_length <= 25 and has_digits >= 0.8:
        return RoleVerdict("code", 0.6, "values", "nearly all its values are digits and capitals")
    return RoleVerdict("text", 0.6, "values", "its values are texts")


_Rule = Callable[[Case], RoleVerdict | None]
_NUMBER_RULES: Final[tuple[_Rule, ...]] = (
    _bare_key, _semi_additive, _rating, _number_as_code, _measure, _number_as_category, _unknown_number,
)  # fmt: skip
_RULES: Final[tuple[_Rule, ...]] = (
    _foreign_key, _by_type, _blank, _key, _bookkeeping, _constant, _binary, as_time, _structured, _two_values,
    _of_persons, _sort_order, _labelled, _amounts_in_text, _number, _text_key, _free_text, _ordered_words, _digest,
    _bare_key, _label, _list, _text_as_code, _text_as_category, _by_uniqueness, _any_text,
)  # fmt: skip
