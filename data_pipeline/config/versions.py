"""Judge the versions of Python, SQLite and the libraries, for `doctor`."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Final, Literal, NamedTuple

from psycopg import pq

PROJECT: Final = "journaled-data-pipeline"
OLDEST_SQLITE: Final = (3, 35)
"""The first version with RETURNING, which the engine's statements use."""

OLDEST_LIBPQ: Final = 100_000
"""The oldest libpq that psycopg supports. A task on SQLite needs none."""

_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)(\[[^]]*\])?\s*([^;]*)(;.*)?")


class Judgement(NamedTuple):
    """The verdict on one version. `remedy` is the advice if it is not supported."""

    name: str
    state: Literal["ok", "warning", "problem"]
    message: str
    remedy: str = ""


def judge_versions() -> Iterator[Judgement]:
    """Judge every version that matters."""
    try:
        about = metadata.metadata(PROJECT)
    except metadata.PackageNotFoundError:
        yield Judgement(
            "versions", "warning", f"{PROJECT} is not installed, so the supported ranges are unknown", "pip install it"
        )
        return
    tested = [
        classifier.rpartition(" ")[2]
        for classifier in about.get_all("Classifier") or ()
        if re.search(r":: Python :: \d+\.\d+$", classifier)
    ]
    yield judge_python(sys.version.split()[0], about["Requires-Python"] or "", tested)
    yield judge_sqlite(sqlite3.sqlite_version, sqlite3.threadsafety)
    yield judge_libraries(metadata.requires(PROJECT) or ())
    yield judge_libpq(pq.version())


def judge_python(version: str, wanted: str, tested: Sequence[str]) -> Judgement:
    """Judge the interpreter. One that is newer than all tested versions is a warning."""
    if not is_within(version, wanted):
        return Judgement(
            "Python", "problem", f"{version} is out of the range {wanted}", "Install with a supported Python"
        )
    if tested and numbers_of(version)[:2] > max(map(numbers_of, tested)):
        newest = max(tested, key=numbers_of)
        return Judgement("Python", "warning", f"{version} is newer than {newest}, the newest tested version",
                         f"Use Python {newest}")  # fmt: skip
    return Judgement("Python", "ok", version)


def judge_sqlite(version: str, threadsafety: int) -> Judgement:
    """Judge the SQLite library that Python is linked with."""
    oldest = ".".join(map(str, OLDEST_SQLITE))
    if numbers_of(version) < OLDEST_SQLITE:
        return Judgement(
            "SQLite", "problem", f"{version} is older than {oldest}", "Use a Python that is linked with a newer SQLite"
        )
    if threadsafety == 0:
        return Judgement(
            "SQLite", "problem", f"{version} was built without threads", "Use a Python that is linked with another one"
        )
    note = "" if numbers_of(version) >= (3, 42) else "; the server adds the missing clock function"
    return Judgement("SQLite", "ok", version + note)


def judge_libraries(requirements: Sequence[str]) -> Judgement:
    """Judge each library that is required without an extra by its declared range."""
    faults: list[str] = []
    wanted: list[str] = []
    count = 0
    for requirement in requirements:
        found = _REQUIREMENT.fullmatch(requirement)
        if found is None or "extra ==" in (found[4] or ""):
            continue
        name, specifier = found[1], found[3].strip()
        count += 1
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            faults.append(f"{name} is missing")
        else:
            if is_within(version, specifier):
                continue
            faults.append(f"{name} {version} is out of the range {specifier}")
        wanted.append(f"'{name}{found[2] or ''}{specifier}'")
    if faults:
        return Judgement("libraries", "problem", "; ".join(faults), f"pip install {' '.join(wanted)}")
    return Judgement("libraries", "ok", f"{count} of {count} are within their ranges")


def judge_libpq(version: int) -> Judgement:
    """Judge the client library of PostgreSQL by its own number: 170004 is 17.4."""
    shown = f"libpq {version // 10_000}.{version % 10_000}"
    if version < OLDEST_LIBPQ:
        return Judgement(
            "PostgreSQL client",
            "warning",
            f"{shown} is older than 10",
            "pip install 'psycopg[binary]', which brings one",
        )
    return Judgement("PostgreSQL client", "ok", shown)


def is_within(version: str, specifier: str) -> bool:
    """Return whether a version is in a range of `>=`, `>`, `<=`, `<`, `==` and `!=`, as this project declares them."""
    numbers = numbers_of(version)
    for part in filter(None, (part.strip() for part in specifier.split(","))):
        operator = re.match(r"[<>=!]+", part)
        if operator is None:
            raise ValueError(f"invalid range of versions: {part!r}")
        limit = numbers_of(part[operator.end() :])
        width = max(len(numbers), len(limit))
        left, right = (padded + (0,) * (width - len(padded)) for padded in (numbers, limit))
        holds = {
            ">=": left >= right, ">": left > right, "<=": left <= right, "<": left < right,
            "==": left == right, "!=": left != right,
        }  # fmt: skip
        if not holds[operator[0]]:
            return False
    return True


def numbers_of(version: str) -> tuple[int, ...]:
    """Return the numbers at the beginning of a version, without a suffix as in `3.14.0rc1`."""
    found = re.match(r"\s*(\d+(?:\.\d+)*)", version)
    return tuple(map(int, found[1].split("."))) if found else ()
