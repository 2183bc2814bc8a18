"""Generate pairs from plans: families draw plans, `choose` orders them, a voice words them, the gates judge them.

The same seed and rows give the same pairs in the same order. No files, no runs.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from data_pipeline.database.driver import Dialect
from data_pipeline.semantics.facts import Facts
from data_pipeline.steps.qa.choose.gates import Gates, Rejected
from data_pipeline.steps.qa.choose.selection import (
    Candidate,
    Choice,
    Coverage,
    Covering,
    Feature,
    features_of,
    literals_of,
)
from data_pipeline.steps.qa.families import FAMILIES, Family
from data_pipeline.steps.qa.families.family import Draw
from data_pipeline.steps.qa.plans.plan import Plan
from data_pipeline.steps.qa.say.chinese import Chinese
from data_pipeline.steps.qa.say.english import English
from data_pipeline.steps.qa.say.nouns import Nouns
from data_pipeline.steps.qa.say.phrasing import Phrasings, Voice
from data_pipeline.steps.qa.sql.difficulty import difficulty_of
from data_pipeline.steps.qa.sql.forms import clauses_of, question_words, shape_of
from data_pipeline.steps.qa.sql.queries import query_of, sql_of
from data_pipeline.tasks.parameters import Difficulty, Language

DRAWS_AT_MOST: Final = 4
"""Maximum number of draws of the families, if the gates accept too few pairs."""

FIRST_ROUNDS: Final = 5
"""Number of first draws of a family from a table; a family with more pairs has twice as many."""

SHARE_WANTED: Final = {1: 0.5, 2: 0.5}
"""Which share of all words, and of all pairs of words, should be new; about that of questions by people (.24 and .59
in the development set of Spider). A way to ask that brings less for its length makes the whole poorer."""

WORTH: Final = {1: 8.0, 2: 1.0}
"""The weight of a new word; that of a new pair of words is 1."""

WAYS_TO_ASK: Final = 16
"""Number of phrasings of one plan that are compared."""

FEWEST_WAYS: Final = 3
WAYS_IN_ALL: Final = 3_000
"""From some hundred pairs on hardly a word is new, however it is asked: fewer phrasings are tried, at last three."""

MIX: Final[Mapping[Difficulty, float]] = {"easy": 0.2, "medium": 0.39, "hard": 0.2, "extra": 0.1, "beyond": 0.11}
VOICES: Final[Mapping[Language, type[Voice]]] = {"en": English, "zh": Chinese}


Provenance = Literal["template", "llm", "llm_paraphrase"]
"""The author of a pair: the generator, a language model, or the generator with a model's paraphrase."""

MODEL_FAMILY: Final = "llm"


@dataclass(frozen=True)
class GeneratedPair:
    """A pair that passed every gate, with its plan unless a language model wrote it."""

    question: str
    sql: str
    plan: Plan | None
    difficulty: Difficulty
    row_count: int
    features: frozenset[Feature]
    provenance: Provenance = "template"

    @property
    def family(self) -> str:
        """The kind of the question."""
        return MODEL_FAMILY if self.plan is None else self.plan.family

    @property
    def variant(self) -> str:
        """The kind within the family."""
        return "plain" if self.plan is None else self.plan.variant


class Generator:
    """Generates `wanted` pairs for one schema; `rejections` counts the candidates that the gates rejected."""

    def __init__(
        self,
        facts: Facts,
        nouns: Nouns,
        gates: Gates,
        *,
        seed: int,
        wanted: int,
        mix: Mapping[Difficulty, float] = MIX,
        families: Sequence[Family] = FAMILIES,
    ) -> None:
        self.coverage = Coverage()
        self.rejections: Counter[str] = Counter()
        self._facts = facts
        self._gates = gates
        self._voice = VOICES[nouns.language](nouns, seed)
        self._seed = seed
        self._wanted = wanted
        self._mix = mix
        self._families = families
        self._weights = {family.name: family.weight for family in families}
        self._done = 0
        self._choice: Choice | None = None
        self._seen: set[bytes] = set()
        self._shared: dict[Feature, Feature] = {}
        self._words: Counter[tuple[str, ...]] = Counter()
        self._sentences: Counter[str] = Counter()
        self._phrasings: dict[str, Phrasings] = {
            family.name: family.english if nouns.language == "en" else family.chinese for family in families
        }

    @property
    def family_names(self) -> list[str]:
        """The names of all families, also of those without a pair."""
        return [family.name for family in self._families]

    def covering(self) -> Iterator[GeneratedPair | None]:
        """Yield only pairs that cover a new part of the schema, or a clause. `pairs` continues after them."""
        yield from self._judging(self._first().that_reach())

    def pairs(self) -> Iterator[GeneratedPair | None]:
        """Yield the pairs, and None for each rejected candidate, so that a caller can stop in between.

        Raises DatabaseUnavailable.
        """
        yield from self._judging(self._first())
        self._choice = None  # it holds hundreds of plans for each table
        for draw in range(1, DRAWS_AT_MOST):
            candidates = list(self._candidates(draw)) if self.wanted_yet else []
            if not candidates:
                return
            yield from self._judging(self._choice_of(candidates))

    def take(self, question: str, covered: Covering) -> None:
        """Count a pair of another author that the gates accepted, so that one less is generated."""
        self._done += 1
        self._words.update(_word_pairs(question))
        self.coverage.add(covered)

    @property
    def wanted_yet(self) -> int:
        """The number of missing pairs."""
        return max(0, self._wanted - self._done)

    def _first(self) -> Choice:
        if self._choice is None:
            self._choice = self._choice_of(list(self._candidates(0)))
        return self._choice

    def _choice_of(self, candidates: list[Candidate]) -> Choice:
        views = frozenset(table.name for table in self._facts.tables if table.is_view)
        return Choice(candidates, self.coverage, self._mix, self._weights, views)

    def _judging(self, candidates: Iterable[Candidate]) -> Iterator[GeneratedPair | None]:
        for candidate in candidates:
            if not self.wanted_yet:
                return
            yield self._judged(candidate)

    def _candidates(self, draw: int) -> Iterator[Candidate]:
        for table in self._facts.tables:
            for family in self._families:
                rounds = FIRST_ROUNDS * (2 if family.weight > 1 else 1) * (2 if draw else 1)
                for plan in family.plans(table, self._facts, Draw(self._seed + draw, table, family.name, rounds)):
                    packed = plan.model_dump_json()
                    digest = hashlib.sha256(packed.encode()).digest()
                    if digest not in self._seen:
                        self._seen.add(digest)
                        yield self._candidate(plan, packed)

    def _candidate(self, plan: Plan, packed: str) -> Candidate:
        self._voice.begin(plan, 0)
        tree = query_of(plan, self._facts, self._voice.label)
        features = features_of(plan, self._facts, clauses_of(tree))
        return Candidate(
            packed,
            plan.family,
            plan.query.root.table,
            difficulty_of(tree),
            sys.intern(shape_of(tree)),
            frozenset(self._shared.setdefault(feature, feature) for feature in features),
            literals_of(plan),
        )

    def _judged(self, candidate: Candidate) -> GeneratedPair | None:
        plan = candidate.plan
        self._voice.begin(plan, 0)
        tree = query_of(plan, self._facts, self._voice.label)
        known = self._gates.accepted.why_known(tree)
        if known is not None:  # cheap, so before the phrasings are compared
            self.rejections[known] += 1
            return None
        question, sentence = self._question(plan)
        sql = sql_of(tree, self._dialect) + ";"
        verdict = self._gates.judge(
            question,
            sql,
            may_count_nothing=self._is_about_nothing(plan),
            most_per_group=plan.best.count if plan.best else None,
        )
        if isinstance(verdict, Rejected):
            self.rejections[verdict.reason] += 1
            return None
        self._gates.add(verdict)
        self._sentences[sentence] += 1
        self.take(question, candidate)
        return GeneratedPair(question, sql, plan, candidate.difficulty, verdict.row_count, candidate.features)

    def _question(self, plan: Plan) -> tuple[str, str]:
        """Return the phrasing that adds most, of a few in the least used sentences."""
        phrasings = self._phrasings[plan.family]
        sentences = self._voice.sentences(plan, phrasings)
        used = [self._sentences[sentence] for sentence in sentences]
        turns = [turn for turn in range(WAYS_TO_ASK * len(sentences)) if used[turn % len(sentences)] == min(used)]
        ways = min(WAYS_TO_ASK, max(FEWEST_WAYS, WAYS_IN_ALL // (self._done + 1)))
        asked = {turn: self._voice.question(plan, phrasings, turn) for turn in turns[:ways]}
        turn = max(asked, key=lambda one: (self._newness(asked[one]), -one))
        return asked[turn], sentences[turn % len(sentences)]

    def _newness(self, question: str) -> float:
        """Return how much a question adds to the words and pairs of words so far, less what its length requires."""
        return sum(
            (WORTH[len(part)] if not self._words[part] else 0.0) - WORTH[len(part)] * SHARE_WANTED[len(part)]
            for part in dict.fromkeys(_word_pairs(question))  # not a set, because the sum would depend on its order
        )

    @property
    def _dialect(self) -> Dialect:
        return self._facts.dialect

    def _is_about_nothing(self, plan: Plan) -> bool:
        return any(
            not self._facts.by_name[source.table].row_count
            for selection in plan.selections
            for source in selection.sources
        )


def _word_pairs(question: str) -> list[tuple[str, ...]]:
    words = question_words(question)
    return [*((word,) for word in words), *itertools.pairwise(words)]
