"""The role of a column: what it can do in a question. First rule that matches decides.

Names, comments, types, keys and values together; a number of which nothing is known is never summed. The words are
data: words/roles.toml. Pure: values in, verdict out.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final, Literal

from data_pipeline.semantics.names import singular
from data_pipeline.semantics.personal import PersonalKind
from data_pipeline.semantics.vocabulary import without_affixes, words_of_identifier

Role = Literal[
    "key", "foreign_key", "label", "category", "flag", "ordinal", "measure_additive", "measure_semi_additive",
    "measure_non_additive", "time", "code", "audit", "soft_delete", "tenant", "version", "sort_order", "constant", "blank",
    "text", "url", "json", "array", "geo", "binary",
]  # fmt: skip

TimeEncoding = Literal["date", "timestamp", "time", "epoch_s", "epoch_ms", "epoch_us", "yyyymmdd", "yyyymm", "year", "hhmm", "text"]

CONSTANT_ROWS: Final = 20
PARSED_SHARE: Final = 0.99
EARLIEST: Final = dt.datetime(1950, 1, 1)  # noqa: DTZ001  values of a database without a zone
YEARS_AHEAD: Final = 10
CATEGORY_VALUES: Final = 20
CATEGORY_PART: Final = 20
"""A text with at most this many values, or one in so many rows, is a category."""

LONG_TEXT: Final = 60
UNIQUE_SHARE: Final = 0.98
ORDINAL_VALUES: Final = 11
AUDIT_TABLES: Final = 3
AUDIT_SHARE: Final = 0.3
TENANT_SHARE: Final = 0.5

_NUMBER_TYPE: Final = re.compile(r"int|numeric|decimal|number|real|double|float|money|serial", re.IGNORECASE)
_INTEGER_TYPE: Final = re.compile(r"int|serial|number\(\d+\)|decimal\(\d+(,\s*0)?\)|numeric\(\d+(,\s*0)?\)", re.IGNORECASE)
_FRACTION_TYPE: Final = re.compile(r"real|double|float|money|(decimal|numeric|number)\(\d+,\s*[1-9]", re.IGNORECASE)
_BOOL_TYPE: Final = re.compile(r"^(bool(ean)?|bit|bit\(1\)|tinyint\(1\))$", re.IGNORECASE)
_TIME_TYPE: Final = re.compile(r"^(date|time|timestamp|datetime|smalldatetime|timestamptz|timetz|interval)\b", re.IGNORECASE)
_JSON_TYPE: Final = re.compile(r"json|hstore|xml", re.IGNORECASE)
_BINARY_TYPE: Final = re.compile(r"blob|bytea|binary|image", re.IGNORECASE)
_GEO_TYPE: Final = re.compile(r"geometry|geography|^point|polygon|line|circle|^box|path$|lseg", re.IGNORECASE)
_URL: Final = re.compile(r"(https?|ftp|s3|oss|file|gs)://\S+|/?([\w.@%~+-]+/)+[\w.@%~+-]*\.?\w*|[\w-]+\.(jpe?g|png|gif|svg|pdf|docx?|xlsx?|mp[34]|zip|csv|txt)", re.IGNORECASE)
_CJK: Final = re.compile(r"[㐀-鿿]")
_COMMENT_END: Final = re.compile(r"[（(\[【:：,，;；。0-9]|\s[-–—]\s|--")
_YES_NO: Final[tuple[frozenset[str], ...]] = tuple(
    frozenset(pair)
    for pair in (("0", "1"), ("y", "n"), ("yes", "no"), ("true", "false"), ("t", "f"), ("是", "否"), ("on", "off"), ("有", "无"), ("-1", "0"))
)
_TEXT_TIMES: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (form, re.compile(pattern))
    for form, pattern in (
        ("YYYY-MM-DD", r"\d{4}-\d{1,2}-\d{1,2}"),
        ("YYYY-MM-DD HH:MM:SS", r"\d{4}-\d{1,2}-\d{1,2}[ T]\d{1,2}:\d{2}(:\d{2}(\.\d{1,9})?)?( ?(Z|UTC|[+-]\d{2}:?\d{0,2}))?"),
        ("YYYY/MM/DD", r"\d{4}/\d{1,2}/\d{1,2}( \d{1,2}:\d{2}(:\d{2})?)?"),
        ("YYYY.MM.DD", r"\d{4}\.\d{1,2}\.\d{1,2}"),
        ("DD/MM/YYYY", r"\d{1,2}/\d{1,2}/\d{4}( \d{1,2}:\d{2}(:\d{2})?( ?[AP]M)?)?"),
        ("DD.MM.YYYY", r"\d{1,2}\.\d{1,2}\.\d{4}( \d{1,2}:\d{2}(:\d{2})?)?"),
        ("DD-MM-YYYY", r"\d{1,2}-\d{1,2}-\d{4}"),
        ("MM/DD/YY", r"\d{1,2}/\d{1,2}/\d{2}( \d{1,2}:\d{2}(:\d{2})?)?"),
        ("DD-Mon-YYYY", r"\d{1,2}[- ][A-Z][a-z]{2,8}[- ,]+\d{2,4}( \d{1,2}:\d{2}(:\d{2})?)?"),
        ("DD-MON-YY", r"\d{1,2}-[A-Z]{3}-\d{2,4}"),
        ("Mon DD, YYYY", r"[A-Z][a-z]{2,8}\.? \d{1,2},? \d{4}( \d{1,2}:\d{2}(:\d{2})?( ?[AP]M)?)?"),
        ("YYYY年MM月DD日", r"\d{4}年\d{1,2}月(\d{1,2}日)?( ?\d{1,2}[:时]\d{2}分?)?"),
        ("YYYYMMDD", r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"),
        ("YYYYMMDDHHMMSS", r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([01]\d|2[0-3])[0-5]\d([0-5]\d)?"),
        ("YYYY-MM", r"(19|20)\d{2}-(0[1-9]|1[0-2])"),
        ("HH:MM", r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?( ?[AP]M)?"),
        ("Dow, DD Mon YYYY", r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? .*\d{4}.*"),
    )
)


@dataclass(frozen=True)
class ColumnSeen:
    """What the rule looks at. `values` are sampled, without nulls; the counts are of the rows that were looked at.

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


def judge_role(seen: ColumnSeen, now: dt.datetime) -> RoleVerdict:
    """Return the role of a column. `now` bounds the dates that are plausible."""
    name = _Name.of(seen)
    if seen.is_foreign_key and not name.is_in("tenant"):
        return RoleVerdict("foreign_key", 1.0, "declared", "it refers to another table")
    if by_type := _by_type(seen):
        return by_type
    values = list(seen.values)
    if not values and not seen.null_count and not seen.row_count:
        return RoleVerdict("blank", 1.0, "values", "the table has no rows")
    if not values:
        return RoleVerdict("blank", 1.0, "values", "no row has a value")
    if seen.is_key and not _is_time_by_type(seen) and _is_key_like(name, values):
        return RoleVerdict("key", 1.0, "declared", "it is the primary key")
    distinct = seen.distinct_count if seen.distinct_count is not None else len({str(value) for value in values})
    rows = seen.row_count or len(values) + seen.null_count
    if by_name := _bookkeeping(seen, name, values, distinct):
        return by_name
    if distinct == 1 and rows >= CONSTANT_ROWS and not seen.null_count and not seen.labels:
        return RoleVerdict("constant", 0.9, "values", f"all {rows} rows have one value")
    if all(isinstance(value, (bytes, memoryview)) for value in values):
        return RoleVerdict("binary", 1.0, "values", "its values are bytes")
    if time := _as_time(seen, name, values, now):
        return time
    texts = [str(value).strip() for value in values]
    if structured := _structured(name, texts):
        return structured
    if len(seen.labels) == 2 and any(
        label.lower() in _lists()["deleted_labels"]["all"] for label in seen.labels.values()
    ):
        return RoleVerdict("soft_delete", 0.85, "comment", "its comment lists a value for deleted rows")
    if _is_flag(name, texts, distinct) or _are_yes_and_no(seen.labels):
        return RoleVerdict("flag", 0.95, "values", "it has two values that say yes and no")
    if by_person := _of_persons(seen, texts, distinct):
        return by_person
    if name.ends("sort_order") and _are_whole(values):
        return RoleVerdict("sort_order", 0.9, "name", "its name says it orders rows")
    if seen.labels:
        is_ordered = name.ends("ordinal")
        return RoleVerdict("ordinal" if is_ordered else "category", 0.95, "comment", "its comment lists its values")
    if _are_numbers(values):
        return _number(seen, name, values, texts, distinct, rows)
    return _text(seen, name, texts, distinct, rows)


@dataclass(frozen=True)
class _Name:
    """The words of a column: English ones, and Chinese ones of its name or of the head of its comment."""

    words: tuple[str, ...]
    chinese: str
    is_plural: bool = False

    @classmethod
    def of(cls, seen: ColumnSeen) -> _Name:
        expanded = words_of_identifier(without_affixes(seen.column, tuple(seen.beside))).expanded
        words = tuple(singular((word,))[0] for word in expanded)
        is_plural = words[-1] != expanded[-1] and len(words[-1]) > 2
        comment = _COMMENT_END.split((seen.comment or "").strip(), maxsplit=1)[0].strip()
        chinese = seen.column if _CJK.search(seen.column) else comment if _CJK.search(comment) else ""
        return cls(words, chinese, is_plural)

    def is_in(self, rule: str) -> bool:
        """True if the whole name is one of the rule's."""
        lists = _lists()[rule]
        return " ".join(self.words) in lists["english"] or self.chinese in lists["chinese"]

    def ends(self, rule: str) -> bool:
        """True if the name ends in one of the rule's words."""
        lists = _lists()[rule]
        tails = {" ".join(self.words[start:]) for start in range(len(self.words))}
        return bool(tails & lists["english"]) or (bool(self.chinese) and self.chinese.endswith(tuple(lists["chinese"])))

    def has(self, rule: str) -> bool:
        """True if one of the rule's words stands anywhere in the name."""
        lists = _lists()[rule]
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
        return bool(self.words) and self.words[-1] in ("id", "uuid", "guid", "oid", "pk")


def _by_type(seen: ColumnSeen) -> RoleVerdict | None:
    kind = seen.type_sql
    if _JSON_TYPE.search(kind):
        return RoleVerdict("json", 1.0, "type", f"its type is {kind}")
    if kind.endswith("]") or kind.lower().startswith("array"):
        return RoleVerdict("array", 1.0, "type", f"its type is {kind}")
    if _BINARY_TYPE.search(kind):
        return RoleVerdict("binary", 1.0, "type", f"its type is {kind}")
    if _GEO_TYPE.search(kind):
        return RoleVerdict("geo", 1.0, "type", f"its type is {kind}")
    return None


def _is_time_by_type(seen: ColumnSeen) -> bool:
    return _TIME_TYPE.search(seen.type_sql) is not None


def _is_key_like(name: _Name, values: Sequence[Any]) -> bool:
    del name
    return not any(isinstance(value, (dt.date, float)) for value in values)


def _bookkeeping(seen: ColumnSeen, name: _Name, values: Sequence[Any], distinct: int) -> RoleVerdict | None:
    """Audit, soft delete, tenant and version columns: by name, and by being in many tables."""
    is_common = seen.tables_with_name >= AUDIT_TABLES or seen.tables_with_name >= max(2, AUDIT_SHARE * seen.table_count)
    is_common = is_common or any(column != seen.column and _is_audit(column) for column in seen.beside)
    if name.is_in("soft_delete") and distinct <= 3:
        return RoleVerdict("soft_delete", 0.95, "name", "its name says that rows are marked as deleted")
    if name.is_in("tenant"):
        is_sure = " ".join(name.words) in _lists()["tenant"]["sure"] or name.chinese in _lists()["tenant"]["sure"]
        if is_sure or seen.tables_with_name >= max(2, TENANT_SHARE * seen.table_count):
            return RoleVerdict("tenant", 0.9, "name", "its name says which tenant a row belongs to")
    if name.is_in("version") and _are_whole(values):
        return RoleVerdict("version", 0.8, "name", "its name says it counts changes of the row")
    if name.is_in("audit") and is_common:
        return RoleVerdict("audit", 0.9, "name", f"{seen.tables_with_name} tables have it")
    return None


@lru_cache(maxsize=20_000)
def _is_audit(column: str) -> bool:
    return _Name.of(ColumnSeen("", column)).is_in("audit")


def _of_persons(seen: ColumnSeen, texts: Sequence[str], distinct: int) -> RoleVerdict | None:
    """Personal columns: some are read, some are numbers of the outside world."""
    if not texts or seen.personal is None:
        return None
    if seen.personal == "address" and sum(map(len, texts)) <= 10 * len(texts):
        return RoleVerdict("code", 0.8, "values", "it holds postal codes or numbers of rooms")
    if seen.personal == "secret" and all(re.fullmatch(r"[\d#*-]{1,10}", text) for text in texts):
        return RoleVerdict("code", 0.8, "values", "it holds short codes that are secret")
    if seen.personal in ("email", "secret", "address"):
        return RoleVerdict("text", 0.9, "values", f"it holds personal data ({seen.personal})")
    if seen.personal in ("phone", "national_id", "plate", "card", "bank_account", "ip", "account"):
        return RoleVerdict("code", 0.9, "values", f"it holds personal data ({seen.personal})")
    if seen.personal == "name":
        is_named = distinct > len(texts) / 2
        return RoleVerdict("label" if is_named else "text", 0.9, "values", "it holds names of persons")
    return None


def _are_yes_and_no(labels: Mapping[str, str]) -> bool:
    return len(labels) == 2 and frozenset(label.lower() for label in labels.values()) in _YES_NO


def _as_time(seen: ColumnSeen, name: _Name, values: Sequence[Any], now: dt.datetime) -> RoleVerdict | None:
    """Dates by type, in text, and as numbers."""
    if _is_time_by_type(seen) or all(isinstance(value, (dt.date, dt.time)) for value in values):
        has_time = any(isinstance(value, dt.datetime) for value in values) or "time" in seen.type_sql.lower()
        return RoleVerdict("time", 1.0, "type", "its type is one of time", "timestamp" if has_time else "date")
    texts = [str(value).strip() for value in values]
    is_month = re.search(r"(^|_)ym$|yyyymm", seen.column.lower()) or seen.column.endswith("YM")
    if is_month and all(re.fullmatch(r"(19|20)\d\d(0[1-9]|1[0-2])", text) for text in texts):
        return RoleVerdict("time", 0.95, "name", "its values are months as YYYYMM", "yyyymm")
    if re.search(r"yymm|mmyy|yymmdd", seen.column.lower()) and all(re.fullmatch(r"\d{4,8}", text) for text in texts):
        return RoleVerdict("time", 0.8, "name", "its name says how its dates are written", "text", seen.column[-4:].upper())
    if all(isinstance(value, str) for value in values) and not all(text.isdigit() for text in texts):
        for form, pattern in _TEXT_TIMES:
            if _share(texts, lambda text, p=pattern: p.fullmatch(text) is not None) >= PARSED_SHARE:
                return RoleVerdict("time", 0.95, "values", f"its values are dates of the form {form}", "text", form)
        mixed = _share(texts, lambda text: any(pattern.fullmatch(text) for _, pattern in _TEXT_TIMES))
        return RoleVerdict("time", 0.8, "values", "its values are dates of several forms", "text", "mixed") if mixed >= 0.9 else None
    if not all(re.fullmatch(r"\d+(\.0*)?", text) for text in texts):
        return None
    numbers = [int(float(text)) for text in texts]
    return _encoded(name, texts, numbers, now)


def _encoded(name: _Name, texts: Sequence[str], numbers: Sequence[int], now: dt.datetime) -> RoleVerdict | None:
    """Numbers that are moments: epochs by their digits, calendar days, months, years, times of the day."""
    says_time = name.has("time") or name.is_in("audit") or name.words[-1].endswith("ed")
    is_code = name.ends("code") and not says_time
    limit = now.replace(year=now.year + YEARS_AHEAD)
    filled = [number for number in numbers if number]
    if not filled:
        return None
    for encoding, scale in (("epoch_s", 1), ("epoch_ms", 1_000), ("epoch_us", 1_000_000)):
        lowest = dt.timedelta(seconds=1e8) if says_time else dt.datetime(2000, 1, 1) - dt.datetime(1970, 1, 1)  # noqa: DTZ001
        highest = (limit - dt.datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001
        fits = _share(filled, lambda number, s=scale, lo=lowest.total_seconds(), hi=highest: lo * s <= number <= hi * s)
        if fits >= PARSED_SHARE and (says_time or (scale > 1 and not name.is_bare_key)) and not is_code:
            return RoleVerdict("time", 0.95, "values", f"its numbers are seconds since 1970 ({encoding})", encoding)  # type: ignore[arg-type]
    if not is_code or says_time:
        day = re.compile(rf"({'19' if says_time else '19[5-9]'}\d{'' if not says_time else '{1,2}'}|20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
        if _share([str(number) for number in filled], lambda text: day.fullmatch(text) is not None) >= PARSED_SHARE:
            return RoleVerdict("time", 0.95, "values", "its numbers are days as YYYYMMDD", "yyyymmdd")
        if says_time and all(len(str(number)) in (12, 14) and day.match(str(number)) for number in filled):
            return RoleVerdict("time", 0.95, "values", "its numbers are moments as YYYYMMDDHHMMSS", "text", "YYYYMMDDHHMMSS")
        month = re.compile(r"(19[5-9]\d|20\d\d)(0[1-9]|1[0-2])")
        if says_time and _share([str(number) for number in filled], lambda text: month.fullmatch(text) is not None) >= PARSED_SHARE:
            return RoleVerdict("time", 0.9, "values", "its numbers are months as YYYYMM", "yyyymm")
        is_year = bool(set(name.words[-1:]) & _lists()["time"]["year_set"]) or name.chinese.endswith(("年", "年份", "年度", "届"))
        if is_year and all(1500 <= number <= now.year + 2 * YEARS_AHEAD for number in filled):
            return RoleVerdict("time", 0.9, "name", "its numbers are years", "year")
        if name.words[-1] == "hour" and set(name.words) & {"start", "end", "open", "close", "begin"} and max(numbers) < 25:
            return RoleVerdict("time", 0.8, "name", "its numbers are hours of the day", "hhmm")
        clock = bool(set(name.words) & {"dep", "arr", "time", "start", "end", "open", "close", "departure", "arrival", "opening", "closing"}) or "时间" in name.chinese or "时刻" in name.chinese
        if clock and all(number < 2400 and number % 100 < 60 for number in numbers) and max(numbers) > 59 and len(set(numbers)) > 1 and not set(name.words) & {"minute", "second", "lead", "response", "duration", "day"}:
            return RoleVerdict("time", 0.8, "values", "its numbers are times of the day as HHMM", "hhmm")
    return None


def _structured(name: _Name, texts: Sequence[str]) -> RoleVerdict | None:
    if _share(texts, _is_json) >= 0.9:
        return RoleVerdict("json", 0.95, "values", "its values are JSON")
    if _share(texts, lambda text: re.fullmatch(r"\{[^{}]*\}|\[[^\[\]]*\]", text) is not None) >= 0.9:
        return RoleVerdict("array", 0.8, "values", "its values are lists in braces")
    if _share(texts, lambda text: _URL.fullmatch(text) is not None) >= 0.8 and (
        name.has("url") or _share(texts, lambda text: "://" in text or text.startswith("/")) >= 0.8
    ):
        return RoleVerdict("url", 0.95, "values", "its values are addresses of pages or files")
    if name.ends("geo") or _share(texts, lambda text: re.fullmatch(r"(POINT|POLYGON|LINESTRING).*|-?\d{1,3}\.\d+, ?-?\d{1,3}\.\d+", text) is not None) >= 0.9:
        return RoleVerdict("geo", 0.9, "name", "its name or its values are places on the earth")
    return None


def _is_json(text: str) -> bool:
    if not text[:1] in ("{", "["):
        return False
    try:
        return isinstance(json.loads(text), (dict, list))
    except ValueError:
        return text.endswith(("…", "..."))


def _is_flag(name: _Name, texts: Sequence[str], distinct: int) -> bool:
    found = {text.lower() for text in texts}
    if distinct > 2 or len(found) > 2:
        return False
    if any(found <= pair for pair in _YES_NO):
        is_said = name.has("flag") or "是否" in name.chinese
        return is_said or (len(found) == 2 and not name.has("additive") and not name.ends("ordinal") and not name.ends("category"))
    return False


def _number(
    seen: ColumnSeen, name: _Name, values: Sequence[Any], texts: Sequence[str], distinct: int, rows: int
) -> RoleVerdict:
    whole = _are_whole(values) and not _FRACTION_TYPE.search(seen.type_sql)
    if name.words[-1:] and name.is_bare_key:
        if seen.is_unique or seen.is_key:
            return RoleVerdict("key", 0.8, "name", "its name ends in id and its values are unique")
        return RoleVerdict("code", 0.7, "name", "its name ends in id")
    if name.ends("semi_additive"):
        return RoleVerdict("measure_semi_additive", 0.9, "name", "its name says how much there is at a moment")
    if whole and name.ends("ordinal") and len(set(values)) <= ORDINAL_VALUES and all(0 <= value <= 20 for value in map(float, texts)):
        return RoleVerdict("ordinal", 0.9, "values", "it rates on a small scale")
    is_fixed = whole and len({len(text) for text in texts}) == 1 and len(texts[0]) >= 5
    is_quantity = name.says_amount or name.has("non_additive")
    repeats = whole and distinct <= CATEGORY_VALUES and distinct * 2 <= len(values)
    if name.ends("code") and repeats and not name.has("additive"):
        return RoleVerdict("category", 0.8, "values", f"it has {distinct} codes that repeat")
    if name.ends("code") and whole and not _says_number_of(name):
        return RoleVerdict("code", 0.9, "name", "its name says it is a number of the outside world")
    if name.ends("category") and whole and distinct <= 60:
        return RoleVerdict("category", 0.85, "name", "its name says it is a kind of something")
    if whole and seen.is_unique and not is_quantity and name.ends("code"):
        return RoleVerdict("code", 0.8, "values", "its values are unique")
    if is_fixed and not is_quantity and seen.is_unique:
        return RoleVerdict("code", 0.7, "values", "all its values have the same length")
    if name.has("received"):
        return RoleVerdict("measure_additive", 0.9, "name", "its name says an amount that was paid")
    if name.has("never_summed"):
        return RoleVerdict("measure_non_additive", 0.9, "name", "its name says a limit, a rate or a mean")
    if name.ends("non_additive") or (name.has("non_additive") and not name.ends("additive")):
        return RoleVerdict("measure_non_additive", 0.9, "name", "its name says a rate, a price or a property of one thing")
    if name.says_amount:
        return RoleVerdict("measure_additive", 0.85, "name", "its name says an amount of a row")
    if whole and name.is_plural:
        return RoleVerdict("measure_additive", 0.7, "name", "its name says how many there are")
    if whole and not is_quantity and distinct <= CATEGORY_VALUES and distinct * 2 <= rows and distinct < len(values):
        return RoleVerdict("category", 0.6, "values", f"it has {distinct} values that repeat")
    if whole and seen.is_unique and len(values) > 1 and {len(text) for text in texts} == {max(5, len(texts[0]))}:
        return RoleVerdict("code", 0.6, "values", "its whole numbers never repeat")
    return RoleVerdict("measure_non_additive", 0.5, "values", "a number of which nothing is known is never summed")


def _says_number_of(name: _Name) -> bool:
    return "number of" in " ".join(name.words) or (name.words[-1:] == ("number",) and False)


def _text(seen: ColumnSeen, name: _Name, texts: Sequence[str], distinct: int, rows: int) -> RoleVerdict:
    length = sum(map(len, texts)) / len(texts)
    if _share(texts, lambda text: re.search(r"\d", text) is not None and re.fullmatch(r"-?[$¥€£]?([1-9]\d{0,2}(,\d{3})+|\d+)?(\.\d+)?%?", text) is not None) >= PARSED_SHARE and not all(
        text.isdigit() for text in texts
    ):
        numbers = [float(re.sub(r"[,$¥€£%]", "", text)) for text in texts]
        return _number(seen, name, numbers, [str(number) for number in numbers], distinct, rows)
    if seen.is_key:
        return RoleVerdict("key", 1.0, "declared", "it is the primary key")
    if length > LONG_TEXT:
        return RoleVerdict("text", 0.9, "values", f"its values are {length:.0f} characters long at the mean")
    if name.ends("text") and (not name.ends("category") or distinct > 0.6 * len(texts)):
        return RoleVerdict("text", 0.85, "name", "its name says it is free text")
    if name.ends("ordinal") and 1 < distinct <= ORDINAL_VALUES and _are_ordered_words(texts):
        return RoleVerdict("ordinal", 0.85, "values", "its words are in an order")
    is_label = name.ends("label") and not name.ends("category")
    if _share(texts, lambda text: re.fullmatch(r"\+?[\d ()./-]{7,20}|[0-9a-fA-F]{16,}|[0-9a-fA-F-]{36}", text) is not None) >= PARSED_SHARE:
        return RoleVerdict("code", 0.8, "values", "its values are numbers and digests of one form")
    if name.is_bare_key:
        return RoleVerdict("code", 0.7, "name", "its name ends in id")
    if is_label and (seen.is_unique or distinct >= 0.5 * min(rows, len(texts)) or seen.personal == "name"):
        return RoleVerdict("label", 0.9, "name", "its name says it names a row")
    if _share(texts, lambda text: re.fullmatch(r"[\w:./-]+(,[\w:./-]+)+,?", text) is not None) >= 0.4 and all(
        re.fullmatch(r"[\w:./,-]*", text) for text in texts
    ):
        return RoleVerdict("array", 0.8, "values", "its values are lists with commas")
    repeats = distinct <= CATEGORY_VALUES and distinct * 2 <= len(texts)
    if name.ends("code") and not repeats and not (name.ends("category") and distinct * 2 <= rows):
        return RoleVerdict("code", 0.9, "name", "its name says it is a code of the outside world")
    fixed = len({re.sub(r"[A-Za-z]", "A", re.sub(r"\d", "9", text)) for text in texts}) == 1
    if fixed and len(texts) > 2 and re.search(r"\d", texts[0]) and distinct > CATEGORY_VALUES / 2:
        return RoleVerdict("code", 0.8, "values", "all its values have one form")
    if name.ends("category") and 1 < distinct <= 0.8 * len(texts):
        return RoleVerdict("category", 0.8, "name", f"its name says a kind of something, and it has {distinct} values")
    if distinct <= max(CATEGORY_VALUES, rows / CATEGORY_PART) and (distinct < len(texts) or name.ends("category")):
        return RoleVerdict("category", 0.8, "values", f"it has {distinct} values that repeat")
    if is_label:
        return RoleVerdict("label", 0.7, "name", "its name says it names a row")
    if seen.is_unique and length <= 40 and _share(texts, lambda text: re.search(r"\d", text) is not None and " " not in text) > 0.5:
        return RoleVerdict("code", 0.6, "values", "its values are unique, and most have digits")
    if seen.is_unique and length <= 40:
        return RoleVerdict("label", 0.6, "values", "its values are short and unique")
    if length <= 25 and _share(texts, lambda text: re.search(r"\d", text) is not None and not re.search(r"[a-z]{3}|[一-鿿]", text)) >= 0.8:
        return RoleVerdict("code", 0.6, "values", "nearly all its values are digits and capitals")
    return RoleVerdict("text", 0.6, "values", "its values are texts")


def _are_ordered_words(texts: Sequence[str]) -> bool:
    ordered = {"low", "medium", "high", "critical", "urgent", "normal", "minor", "major", "bronze", "silver", "gold", "platinum", "diamond",
               "a", "b", "c", "d", "e", "f", "s", "m", "l", "xl", "xs", "xxl", "easy", "hard", "高", "中", "低", "紧急", "普通", "一般", "重要", "a+", "a-", "b+", "b-", "c+", "p0", "p1", "p2", "p3", "p4", "very low", "very high", "i", "ii", "iii", "iv", "优", "良", "及", "及格", "common", "uncommon", "rare", "epic", "legendary", "captain", "first officer", "purser", "attendant", "不及格", "差", "好", "初级", "中级", "高级", "教授", "副教授", "讲师", "助教", "高中", "大专", "本科", "硕士", "博士", "研究生", "中专", "初中", "小学", "优秀", "良好", "中等", "合格", "不合格", "主任医师", "副主任医师", "主治医师", "住院医师", "中", "大", "小", "五星", "四星", "三星", "特急", "加急", "正高级", "副高级", "普通会员", "银卡", "金卡", "钻石", "白金", "青铜", "白银", "黄金", "excellent", "good", "fair", "poor", "basic", "standard", "premium", "junior", "mid", "senior", "lead", "beginner", "intermediate", "advanced", "info", "warning", "error", "debug", "moderate", "severe", "mild", "freshman", "sophomore", "一级", "二级", "三级", "特级", "甲", "乙", "丙"}  # fmt: skip
    return _share([text.lower() for text in texts], lambda text: text in ordered or re.fullmatch(r"\d{1,2}|[一二三四五六七八九十]+(年级|星|级|等)?|\d+[-–~]\d+\+?|\d+\+|[<>≥≤]\d+", text) is not None) >= 0.8


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) for value in values)


def _are_whole(values: Sequence[Any]) -> bool:
    return _are_numbers(values) and all(float(value).is_integer() for value in values)


def _share(values: Sequence[Any], holds: Any) -> float:
    return sum(1 for value in values if holds(value)) / len(values) if values else 0.0


@cache
def _lists() -> Mapping[str, dict[str, Any]]:
    tables = tomllib.loads(files(__package__).joinpath("words", "roles.toml").read_text(encoding="utf-8"))
    for lists in tables.values():
        lists["english"] = frozenset(lists["english"])
    tables["deleted_labels"]["all"] = tables["deleted_labels"]["english"] | frozenset(tables["deleted_labels"]["chinese"])
    tables["time"]["year_set"] = frozenset(tables["time"]["year"])
    return tables
