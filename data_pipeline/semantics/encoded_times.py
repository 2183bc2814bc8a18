"""Recognize the encoding of a column's moments: dates by type, in text and as numbers. Pure.

A number is a moment if at least `PARSED_SHARE` of the values lie in a plausible range: an epoch by its digits (10 s,
13 ms, 16 us), a day as YYYYMMDD, a month as YYYYMM. A year or a time of the day also needs a word in the name.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from data_pipeline.semantics.column_case import Case, RoleVerdict, TimeEncoding, share, word_lists

PARSED_SHARE: Final = 0.99
MIXED_SHARE: Final = 0.9
YEARS_AHEAD: Final = 10

_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001  values of a database have no zone here
_SURE_SINCE_SECONDS: Final = (dt.datetime(2000, 1, 1) - _EPOCH).total_seconds()  # noqa: DTZ001
_SAID_SINCE_SECONDS: Final = 1e8
"""1973, where the name says time: nine digits, as few numbers of rows have."""

_SCALES: Final[tuple[tuple[TimeEncoding, int], ...]] = (("epoch_s", 1), ("epoch_ms", 10**3), ("epoch_us", 10**6))
_DAY: Final = r"(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
_CLOCK_WORDS: Final = frozenset(
    {"dep", "arr", "time", "start", "end", "open", "close", "departure", "arrival", "opening", "closing"}
)
_DURATION_WORDS: Final = frozenset({"minute", "second", "lead", "response", "duration", "day"})

_FORMS: Final = tuple(
    (form, re.compile(pattern))
    for form, pattern in (
        ("YYYY-MM-DD", r"\d{4}-\d{1,2}-\d{1,2}"),
        (
            "YYYY-MM-DD HH:MM:SS",
            r"\d{4}-\d{1,2}-\d{1,2}[ T]\d{1,2}:\d{2}(:\d{2}(\.\d{1,9})?)?( ?(Z|UTC|[+-]\d{2}:?\d{0,2}))?",
        ),
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
        ("YYYY-MM", r"(19|20)\d{2}-(0[1-9]|1[0-2])"),
        ("HH:MM", r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?( ?[AP]M)?"),
        ("Dow, DD Mon YYYY", r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? .*\d{4}.*"),
    )
)


def as_time(case: Case) -> RoleVerdict | None:
    """Return the verdict that a column holds moments, with their encoding; None if it does not."""
    return _by_type(case) or _by_named_form(case) or _by_text(case) or _by_number(case)


def _by_type(case: Case) -> RoleVerdict | None:
    if not case.is_time_type and not all(isinstance(value, (dt.date, dt.time)) for value in case.seen.values):
        return None
    has_time = any(isinstance(one, dt.datetime) for one in case.seen.values) or "time" in case.seen.type_sql.lower()
    return RoleVerdict("time", 1.0, "type", "its type is one of time", "timestamp" if has_time else "date")


def _by_named_form(case: Case) -> RoleVerdict | None:
    """Return the verdict on a column whose name describes its digits: `INCEP_YM`, `EXP_YYMM`."""
    column = case.seen.column
    is_month = re.search(r"(^|_)ym$|yyyymm$", column.lower()) or column.endswith("YM")
    if is_month and case.share(r"(19|20)\d\d(0[1-9]|1[0-2])") == 1:
        return RoleVerdict("time", 0.95, "name", "its values are months as YYYYMM", "yyyymm")
    if re.search(r"yymm|mmyy", column.lower()) and case.share(r"\d{4,8}") == 1:
        return RoleVerdict("time", 0.8, "name", "its name says how its dates are written", "text", column[-4:].upper())
    return None


def _by_text(case: Case) -> RoleVerdict | None:
    if not all(isinstance(value, str) for value in case.seen.values) or all(text.isdigit() for text in case.texts):
        return None
    for form, pattern in _FORMS:
        if case.share(pattern.pattern) >= PARSED_SHARE:
            return RoleVerdict("time", 0.95, "values", f"its values are dates of the form {form}", "text", form)
    if share(case.texts, lambda text: any(pattern.fullmatch(text) for _, pattern in _FORMS)) >= MIXED_SHARE:
        return RoleVerdict("time", 0.8, "values", "its values are dates of several forms", "text", "mixed")
    return None


def _by_number(case: Case) -> RoleVerdict | None:
    if not all(re.fullmatch(r"\d{1,18}(\.0*)?", text) for text in case.texts):
        return None
    numbers = [int(float(text)) for text in case.texts]
    filled = [number for number in numbers if number]  # 0 stands for "none"
    name = case.name
    says_time = name.has("time") or name.is_in("audit") or name.words[-1].endswith("ed")
    if not filled or (name.ends("code") and not says_time):
        return None
    return (
        _epoch(case, filled, says_time=says_time)
        or _calendar(case, filled, says_time=says_time)
        or _clock(case, numbers)
    )


def _epoch(case: Case, numbers: list[int], *, says_time: bool) -> RoleVerdict | None:
    since = _SAID_SINCE_SECONDS if says_time else _SURE_SINCE_SECONDS
    until = (case.now.replace(year=case.now.year + YEARS_AHEAD) - _EPOCH).total_seconds()
    for encoding, scale in _SCALES:
        fits = sum(1 for number in numbers if since * scale <= number <= until * scale)
        is_sure = says_time or (scale > 1 and not case.name.is_bare_key)
        if fits >= PARSED_SHARE * len(numbers) and is_sure:
            return RoleVerdict("time", 0.95, "values", f"its numbers count from 1970 ({encoding})", encoding)
    return None


def _calendar(case: Case, numbers: list[int], *, says_time: bool) -> RoleVerdict | None:
    texts = [str(number) for number in numbers]

    def fits(pattern: str) -> bool:
        return share(texts, lambda text: re.fullmatch(pattern, text) is not None) >= PARSED_SHARE

    century = r"(19\d\d|20\d\d)" if says_time else r"(19[5-9]\d|20\d\d)"
    if fits(century + _DAY):
        return RoleVerdict("time", 0.95, "values", "its numbers are days as YYYYMMDD", "yyyymmdd")
    if says_time and fits(century + _DAY + r"([01]\d|2[0-3])[0-5]\d([0-5]\d)?"):
        reason = "its numbers are moments as YYYYMMDDHHMMSS"
        return RoleVerdict("time", 0.95, "values", reason, "text", "YYYYMMDDHHMMSS")
    if says_time and fits(r"(19[5-9]\d|20\d\d)(0[1-9]|1[0-2])"):
        return RoleVerdict("time", 0.9, "values", "its numbers are months as YYYYMM", "yyyymm")
    is_year = case.name.words[-1] in word_lists()["time"]["year"] or case.name.chinese.endswith(("年", "年份", "年度"))
    if is_year and all(1500 <= number <= case.now.year + 2 * YEARS_AHEAD for number in numbers):
        return RoleVerdict("time", 0.9, "name", "its numbers are years", "year")
    return None


def _clock(case: Case, numbers: list[int]) -> RoleVerdict | None:
    words = set(case.name.words)
    if case.name.words[-1] == "hour" and words & _CLOCK_WORDS and max(numbers) < 25:
        return RoleVerdict("time", 0.8, "name", "its numbers are hours of the day", "hhmm")
    says_clock = bool(words & _CLOCK_WORDS) or any(sign in case.name.chinese for sign in ("时间", "时刻"))
    are_clocks = all(number < 2400 and number % 100 < 60 for number in numbers)
    if says_clock and not words & _DURATION_WORDS and are_clocks and max(numbers) > 59 and len(set(numbers)) > 1:
        return RoleVerdict("time", 0.8, "values", "its numbers are times of the day as HHMM", "hhmm")
    return None
