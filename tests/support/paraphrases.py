"""Questions about the demo's database in several phrasings, in English and Chinese: the same plan in other words.

One phrasing of a plan is stored with its SQL, another one asks, so the right answer is known. Plans are near to each
other on purpose: they share tables, measures and values. `is_held_out` halves them: one half to tune on, one to report.

`paraphrases.json` has the words. Ways of saying the same thing are separated by `/`, in English and in Chinese:

- `measures`: table, SQL, ways of saying it; `groups`: by table, the SQL to group by and ways of saying it; `frames`:
  sentences around a measure `{m}` and a group `{g}`;
- `values`: by kind, the SQL of a value and ways of saying it; `intents`: a kind of question with the kinds of values in
  its slots, its SQL and its phrasings, where `{0}` is the value of the first slot.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SEED: Final = 20250121
WORDS: Final[dict[str, Any]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Paraphrase:
    """A plan: the stored question with its SQL, and the same question in other words."""

    stored: str
    sql: str
    asked: str
    is_held_out: bool


def paraphrases(language: str) -> list[Paraphrase]:
    """Return plans that differ in their measure and their groups, in `en` or `zh`; the same with every call."""
    return list(_measured(language))


def siblings(language: str) -> list[Paraphrase]:
    """Return the hard plans, which differ in one value; its word may have nothing in common with the stored one."""
    return list(_of_intents(language))


def _of_intents(language: str) -> Iterator[Paraphrase]:
    place = 1 if language == "en" else 2
    for intent in WORDS["intents"]:
        phrasings = intent[language]
        for values in itertools.product(*(WORDS["values"][kind] for kind in intent["slots"])):
            sql = intent["sql"].format(*(value[0] for value in values))
            chosen = random.Random(f"{SEED} {language} {sql}")
            stored, asked = chosen.sample(range(len(phrasings)), 2)
            ways = [value[place].split("/") for value in values]
            # Where a value can be said in two ways, the question says it in the other one half of the time.
            first = [of_value[0] for of_value in ways]
            other = [chosen.choice(of_value) for of_value in ways]
            yield _paraphrase(phrasings[stored].format(*first), sql, phrasings[asked].format(*other))


def _measured(language: str) -> Iterator[Paraphrase]:
    place = 0 if language == "en" else 1
    for table, measure, *measure_ways in WORDS["measures"]:
        for group, *group_ways in WORDS["groups"][table]:
            sql = f"SELECT {group}, {measure} FROM {table} GROUP BY {group}"
            chosen = random.Random(f"{SEED} {language} {sql}")
            frames = chosen.sample(WORDS["frames"][language], 2)
            measures = chosen.choices(measure_ways[place].split("/"), k=2)
            groups = chosen.choices(group_ways[place].split("/"), k=2)
            stored, asked = (frame.format(m=m, g=g) for frame, m, g in zip(frames, measures, groups, strict=True))
            yield _paraphrase(stored, sql, asked)


def _paraphrase(stored: str, sql: str, asked: str) -> Paraphrase:
    return Paraphrase(stored, sql, asked, is_held_out=hashlib.sha256(sql.encode()).digest()[0] % 2 == 1)
