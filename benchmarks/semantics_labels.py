"""Columns that people labelled, and how far the rules of `semantics/` agree with them."""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_pipeline.semantics.column_case import ColumnSeen, RoleVerdict
from data_pipeline.semantics.column_roles import judge_role
from data_pipeline.semantics.personal import ColumnSigns, Privacy, judge_privacy
from data_pipeline.semantics.value_labels import labels_of_comment

LABELS = Path(__file__).parent / "labels"
NOW = dt.datetime(2026, 1, 1)  # noqa: DTZ001  the values of the labels are older


@dataclass(frozen=True)
class Labelled:
    """One column with its labels and both verdicts."""

    schema: str
    table: str
    column: str
    is_chinese: bool
    role: str
    personal: str
    verdict: RoleVerdict
    privacy: Privacy
    comment: str
    values: str

    @property
    def agrees(self) -> bool:
        """True if the role is the labelled one; names of persons are label or text alike, logins a code, too."""
        alike = {"label", "text"} if self.personal in ("name", "account") else set()
        alike |= {"code"} if self.personal == "account" else set()
        return self.role == self.verdict.role or {self.role, self.verdict.role} <= alike


def labelled_columns(part: str) -> Iterator[Labelled]:
    """All columns of a part of the labels, judged."""
    for path in sorted((LABELS / part).glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        yield from _judged(path.stem, rows)


def _judged(schema: str, rows: list[dict[str, str]]) -> Iterator[Labelled]:
    tables: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        tables.setdefault(row["table"], []).append(row)
    names = Counter(name for columns in tables.values() for name in {row["column"].lower() for row in columns})
    for table, columns in tables.items():
        beside = [row["column"] for row in columns]
        for row in columns:
            values, nulls = _values(row)
            row_count = int(row["rows"] or 0)
            distinct = len({str(value) for value in values})
            repeats = distinct * 2 <= len(values)  # a sample of a dozen that repeats one value tells little
            # Undeclared keys are found from all rows, which a list of samples lacks: `bench_semantics keys`.
            is_fk = row["key"].startswith("fk:") or row["role"] == "foreign_key"
            is_key = row["key"] == "pk" or row["role"] == "key"
            comment = row["comment"] or None
            privacy = judge_privacy(
                ColumnSigns(
                    table,
                    row["column"],
                    row["type"],
                    comment,
                    None,
                    values,
                    distinct if repeats else None,
                    row_count,
                    is_key,
                    is_fk,
                    beside,
                )
            )
            verdict = judge_role(
                ColumnSeen(
                    table,
                    row["column"],
                    row["type"],
                    comment,
                    values,
                    nulls,
                    row_count,
                    distinct if repeats else None,
                    is_key,
                    row["key"] == "unique" or (distinct == len(values) > 3 and not nulls),
                    is_fk,
                    labels_of_comment(comment, values),
                    privacy.kind if privacy.is_masked else None,
                    names[row["column"].lower()],
                    len(tables),
                    beside,
                ),
                NOW,
            )
            is_chinese = any("\u4e00" <= sign <= "\u9fff" for sign in row["column"] + row["comment"])
            yield Labelled(
                schema,
                table,
                row["column"],
                is_chinese,
                row["role"],
                row["personal"],
                verdict,
                privacy,
                row["comment"],
                row["values"],
            )


def _values(row: dict[str, str]) -> tuple[list[Any], int]:
    texts = [text.strip() for text in row["values"].split(" | ")] if row["values"].strip() else []
    values = [text for text in texts if text.upper() != "NULL"]
    kind = row["type"].lower()
    convert: Any = str
    if kind.startswith(("bool",)):
        convert = lambda text: text.lower() in ("t", "true", "1")  # noqa: E731
    elif any(
        word in kind for word in ("int", "serial", "numeric", "decimal", "number", "real", "double", "float", "money")
    ):
        convert = lambda text: float(text) if "." in text or "e" in text.lower() else int(text)  # noqa: E731
    try:
        return [convert(value) for value in values], len(texts) - len(values)
    except ValueError:
        return list(values), len(texts) - len(values)


def figures_of(columns: Sequence[Labelled]) -> dict[str, float]:
    """Return the counts and shares of one group of columns."""
    personal = [column for column in columns if column.personal]
    others = [column for column in columns if not column.personal]
    arithmetic = [
        column
        for column in columns
        if column.verdict.role.startswith("measure")
        and column.role in ("key", "foreign_key", "code", "flag", "audit", "time")
    ]
    return {
        "columns": len(columns),
        "personal": len(personal),
        "recall": round(sum(column.privacy.is_masked for column in personal) / max(len(personal), 1), 4),
        "false_alarms": round(sum(column.privacy.is_masked for column in others) / max(len(others), 1), 4),
        "unsure": sum(column.privacy.verdict == "unsure" for column in columns),
        "roles": round(sum(column.agrees for column in columns) / max(len(columns), 1), 4),
        "keys_as_measures": len(arithmetic),
    }


def print_columns(*, is_json: bool, has_errors: bool) -> None:
    """Print how far the rules agree with the labels, for each part and language."""
    report = {}
    for part in ("seen", "unseen"):
        columns = list(labelled_columns(part))
        for language, is_chinese in (("English", False), ("Chinese", True)):
            report[f"{part}, {language}"] = figures_of([one for one in columns if one.is_chinese == is_chinese])
        report[part] = figures_of(columns)
        if has_errors and part == "seen":
            for one in columns:
                if not one.agrees or bool(one.personal) != one.privacy.is_masked:
                    place = f"{one.schema}: {one.table}.{one.column}"
                    print(f"{place}: {one.role} -> {one.verdict.role}, {one.personal or '-'} -> {one.privacy.verdict}")
    if is_json:
        print(json.dumps(report, indent=2))
        return
    for name, figures in report.items():
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))
