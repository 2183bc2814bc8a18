"""Split the files of a task into training items. Pure.

<table>.ddl, prelude.ddl             one item for each file
<table>_detail.md, metadata_detail   one item for each section with its heading
qs_..._pair.json                     one item for each pair, with its line of ..._pair.meta.jsonl
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from data_pipeline.steps.pair_file import SUFFIX, Pair, pair_id
from data_pipeline.vectors.store.contract import Holding, Item, Kind, normalised, pair_content

META_SUFFIX: Final = "_pair.meta.jsonl"
METADATA_PAGE: Final = "metadata_detail.md"

_HEADING: Final = re.compile(r"#{1,6}\s")
_FENCE: Final = re.compile(r"\s*(```|~~~)")
_DETAILS: Final = ("family", "difficulty", "tables", "columns", "provenance", "rows")


@dataclass
class TrainingItems:
    """The items of a task by id, the number of equal ones, and the reasons for those that are left out."""

    by_id: dict[str, tuple[Item, Holding]] = field(default_factory=dict)
    equal_count: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    by_file: dict[str, int] = field(default_factory=dict)

    def add(self, kind: Kind, database: str, content: str, file: str, details: Mapping[str, Any] | None = None) -> None:
        """Add an item; one with the same content as an earlier one is only counted."""
        item = Item(kind, database, content)
        if item.id in self.by_id:
            self.equal_count += 1
            return
        self.by_id[item.id] = (item, Holding(item.id, file, details or {}))
        self.by_file[file] = self.by_file.get(file, 0) + 1

    def counts(self) -> dict[str, int]:
        """Return the number of items of each kind."""
        found = {"ddl": 0, "documentation": 0, "sql": 0}
        for item, _ in self.by_id.values():
            found[item.kind] += 1
        return found


def kind_of(name: str) -> Kind | None:
    """Return the kind of a published file; None if it is not training data."""
    if name.endswith(".ddl"):
        return "ddl"
    if name.endswith("_detail.md"):
        return "documentation"
    return "sql" if name.endswith(SUFFIX) else None


def meta_name(pair_file: str) -> str:
    """Return the name of the meta file of a pair file."""
    return pair_file.removesuffix(SUFFIX) + META_SUFFIX


def sections(text: str) -> list[str]:
    """Return the sections of a page with their headings; a heading without text is part of the next section."""
    found: list[list[str]] = [[]]
    is_fenced = False
    for line in normalised(text).split("\n"):
        if _FENCE.match(line):
            is_fenced = not is_fenced
        has_body = any(earlier and not _HEADING.match(earlier) for earlier in found[-1])
        if _HEADING.match(line) and not is_fenced and has_body:
            found.append([])
        found[-1].append(line)
    return [section for lines in found if (section := "\n".join(lines).strip())]


def read_meta(raw: bytes) -> dict[str, dict[str, Any]]:
    """Return the details of pairs in a meta file by id; skip other lines."""
    found: dict[str, dict[str, Any]] = {}
    for line in raw.decode("utf-8-sig", errors="replace").splitlines():
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict) and isinstance(content.get("id"), str):
            found[content["id"]] = {key: content[key] for key in _DETAILS if key in content}
    return found


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of the newest validation by id: why pairs are refused, and from which pair a repaired one came."""

    refused: Mapping[str, str] = field(default_factory=dict)
    repaired_from: Mapping[str, str] = field(default_factory=dict)
    judged: frozenset[str] = frozenset()

    def is_judged(self, pair: Pair) -> bool:
        """True if exactly this pair passed the gates."""
        return pair.id in self.judged or pair.id in self.repaired_from


def read_report(raw: bytes) -> Verdicts:
    """Return the verdicts of a validation's report; none if it is not a report."""
    try:
        results = json.loads(raw)["detailed_results"]
        rows = [(row["id"], row["question"], row["status"], row.get("final_sql"), row.get("error"))
                for row in results]  # fmt: skip
    except (ValueError, KeyError, TypeError, RecursionError):
        return Verdicts()
    refused, repaired, judged = {}, {}, set()
    for own, question, status, final_sql, error in rows:
        if status == "valid":
            judged.add(own)
        elif status == "repaired" and final_sql:
            refused[own] = "it was repaired, and the repair is not in the file"
            repaired[pair_id(question, final_sql)] = own
        else:
            refused[own] = str(error or "it is invalid")
    return Verdicts(refused, repaired, frozenset(judged))


def add_pairs(
    items: TrainingItems,
    database: str,
    file: str,
    pairs: Sequence[Pair],
    meta: Mapping[str, Mapping[str, Any]],
    verdicts: Verdicts,
) -> int:
    """Add the pairs that may be loaded; return the number of those that no validation has judged."""
    unjudged = 0
    for pair in pairs:
        own = pair.id.partition("-")[0]  # equal pairs are one item
        if pair.id in verdicts.refused:
            items.left_out[f"{file}, pair {pair.id}"] = verdicts.refused[pair.id]
            continue
        unjudged += not verdicts.is_judged(pair)
        details = meta.get(own) or meta.get(verdicts.repaired_from.get(own, ""), {})
        items.add("sql", database, pair_content(pair.question, pair.sql), file, details)
    return unjudged


def short(content: str) -> str:
    """Return the beginning of an item, for a log."""
    line = " ".join(content.split())
    return line if len(line) <= 100 else f"{line[:97]}..."


def lines_of(title: str, rows: Iterable[tuple[str, str]], limit: int) -> Iterator[str]:
    """Return a part of the log: a title with the number of lines, then at most `shown` lines."""
    listed = list(rows)
    yield f"{title}: {len(listed)}"
    for name, text in listed[:limit]:
        yield f"  {name}  {text}"
    if len(listed) > limit:
        yield f"  ... and {len(listed) - limit} more"
