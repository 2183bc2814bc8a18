"""Pairs that a language model writes, theme by theme; they must pass the same gates as pairs from plans.

    each theme -> a prompt with only its tables -> gates -> one prompt with all failures and reasons -> gates

The text of a model is untrusted. It is accepted only if every name in it is resolved (query_reading.py) and the gates
accept it, and then its SQL is written from its syntax tree. Prompts depend only on schema, rows, glossary and
parameters, so that a resumed or repeated run finds the recorded answers and pays nothing twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict
from sqlglot import exp

from data_pipeline.database.drivers import grammar_of
from data_pipeline.database.query_gate import check_query
from data_pipeline.errors import ModelFailed, QueryRefused
from data_pipeline.semantics.metadata_writing import Theme
from data_pipeline.semantics.wording import one_line
from data_pipeline.steps.contract import RunParameters
from data_pipeline.steps.model_answers import LANGUAGES
from data_pipeline.steps.qa.choose.gates import Gates, Rejected
from data_pipeline.steps.qa.choose.selection import Feature
from data_pipeline.steps.qa.generator import MODEL_FAMILY, GeneratedPair, Generator
from data_pipeline.steps.qa.model.query_reading import NotReadable, QueryReader
from data_pipeline.steps.qa.model.questions import why_no_question
from data_pipeline.steps.qa.model.theme_prompts import ThemePrompts
from data_pipeline.steps.qa.sql.difficulty import difficulty_of
from data_pipeline.steps.qa.sql.forms import shape_of
from data_pipeline.steps.qa.sql.queries import sql_of
from data_pipeline.steps.threads import Call
from data_pipeline.tasks.parameters import Difficulty
from data_pipeline.tasks.results import ModelPairCounts
from data_pipeline.tasks.table_list import TableName

if TYPE_CHECKING:
    from data_pipeline.language_model.client import LanguageModel

PAIRS_PER_THEME: Final = 10
SQL_CHARACTERS: Final = 5_000
_FINAL: Final = frozenset({"duplicate", "near_duplicate", "not_needed"})
"""Reasons that no repair removes."""

_TOLD: Final = {
    "personal_data": "it uses a column or a value about people, or all columns of a table that has such columns",
    "language": "the question is not in the language that was asked for",
    "unreadable": "the question is not one line of text",
}


class WrittenPair(BaseModel):
    """A question and the query that answers it."""

    model_config = ConfigDict(extra="forbid")

    question: str
    sql: str


class WrittenPairs(BaseModel):
    """Pairs about one theme."""

    model_config = ConfigDict(extra="forbid")

    pairs: list[WrittenPair]


class MendedPair(BaseModel):
    """The replacement of the pair with this number."""

    model_config = ConfigDict(extra="forbid")

    number: int
    question: str
    sql: str


class MendedPairs(BaseModel):
    """The replacements of rejected pairs."""

    model_config = ConfigDict(extra="forbid")

    pairs: list[MendedPair]


@dataclass(frozen=True)
class _Covered:
    """The coverage of a model's pair."""

    table: TableName
    difficulty: Difficulty
    shape: str
    features: frozenset[Feature]
    literals: frozenset[str]
    family: str = MODEL_FAMILY


@dataclass(frozen=True)
class _Refused:
    """A rejected pair with the reason."""

    pair: WrittenPair
    reason: Rejected


class ModelPairs:
    """Requests the pairs of one run; afterwards `failed_themes` has the reasons of themes without an answer."""

    def __init__(
        self,
        model: LanguageModel,
        parameters: RunParameters,
        prompts: ThemePrompts,
        gates: Gates,
        generator: Generator,
        call: Call,
    ) -> None:
        self.failed_themes: dict[str, str] = {}
        self.rejections: Counter[str] = Counter()
        self._model = model
        self._parameters = parameters
        self._prompts = prompts
        self._gates = gates
        self._generator = generator
        self._call = call
        self._reader = QueryReader(prompts.facts)
        self._room = 0
        self._counts: Counter[str] = Counter()

    async def pairs(self, themes: Sequence[Theme], room: int) -> list[GeneratedPair]:
        """Return at most `room` pairs in the order of the themes. Raises DatabaseUnavailable, but never ModelFailed."""
        self._room = room
        asked = [theme for theme in themes if self._prompts.has_rows(theme)]
        per_theme = self._parameters.llm_pairs_per_theme
        most = PAIRS_PER_THEME if per_theme is None else per_theme
        count = min(most, ceil(room / len(asked))) if asked else 0
        if count <= 0:
            return []
        self._counts["asked_for"] = count * len(asked)
        taken: list[GeneratedPair] = []
        refused: list[tuple[Theme, list[_Refused]]] = []
        for theme, answer in zip(asked, await asyncio.gather(*(self._ask(one, count) for one in asked)), strict=True):
            if answer is not None:
                self._counts["answered"] += len(answer)
                accepted, failed = await self._call(self._judged, answer)
                taken += accepted
                refused.append((theme, [one for one in failed if one.reason.reason not in _FINAL]))
        waiting = [(theme, failed) for theme, failed in refused if failed and self._room]
        for answer in await asyncio.gather(*(self._mend(theme, failed) for theme, failed in waiting)):
            accepted, _ = await self._call(self._judged, answer)
            self._counts["repaired"] += len(accepted)
            taken += accepted
        self._counts["taken"] = len(taken)
        return taken

    def summary(self) -> ModelPairCounts:
        """Return the counts for the step's result; a pair is rejected each time that it fails."""
        return ModelPairCounts(**self._counts, rejections=dict(sorted(self.rejections.items())))

    # Asking.

    async def _ask(self, theme: Theme, count: int) -> list[WrittenPair] | None:
        values = {
            **self._about(),
            "business_context": self._parameters.business_context or "unknown",
            "theme": f"{one_line(theme.name)} ({one_line(theme.description)})",
            "tables": self._prompts.described(theme),
            "terms": self._prompts.terms(theme),
            "count": str(count),
        }
        try:
            answer = await self._model.ask("write_pairs", WrittenPairs, values)
        except ModelFailed as error:
            self.failed_themes[theme.name] = error.reason
            return None
        return answer.pairs[:count]

    async def _mend(self, theme: Theme, refused: Sequence[_Refused]) -> list[WrittenPair]:
        """Request one replacement for each of these pairs, once."""
        texts = [
            f"{number}. Question: {one_line(one.pair.question)}\nQuery: {one.pair.sql[:SQL_CHARACTERS]}\n"
            f"It cannot be used, because: {one.reason.detail or _TOLD.get(one.reason.reason, one.reason.reason)}"
            for number, one in enumerate(refused, start=1)
        ]
        values = {**self._about(), "pairs": "\n\n".join(texts), "tables": self._prompts.described(theme)}
        try:
            answer = await self._model.ask("repair_pairs", MendedPairs, values)
        except ModelFailed as error:
            self.failed_themes[theme.name] = f"nothing was repaired: {error.reason}"
            return []
        by_number = {one.number: WrittenPair(question=one.question, sql=one.sql) for one in answer.pairs}
        return [by_number[number] for number in range(1, len(refused) + 1) if number in by_number]

    def _about(self) -> dict[str, str]:
        title = grammar_of(self._prompts.facts.dialect).title
        return {"dialect": title, "language": LANGUAGES[self._parameters.language]}

    # Judging.

    def _judged(self, pairs: Sequence[WrittenPair]) -> tuple[list[GeneratedPair], list[_Refused]]:
        taken: list[GeneratedPair] = []
        refused: list[_Refused] = []
        for pair in pairs:
            found = self._judge(pair) if self._room else Rejected("not_needed")
            if isinstance(found, Rejected):
                self.rejections[found.reason] += 1
                refused.append(_Refused(pair, found))
            else:
                taken.append(found)
                self._room -= 1
        return taken, refused

    def _judge(self, pair: WrittenPair) -> GeneratedPair | Rejected:
        """Judge a pair; record and count it if it is accepted."""
        question = one_line(pair.question)
        problem = why_no_question(question, self._parameters.language)
        if problem is not None:
            return Rejected(problem)
        if self._gates.tells_person(question):
            return Rejected("personal_data")
        if len(pair.sql) > SQL_CHARACTERS:
            return Rejected("too_long", f"the query is longer than {SQL_CHARACTERS} characters")
        try:
            query = check_query(pair.sql, self._prompts.facts.dialect)
            parts = self._reader.parts(query)
            sql = sql_of(query.expression.copy(), query.dialect) + ";"
            verdict = self._gates.judge(question, sql)
            if isinstance(verdict, Rejected):
                return verdict
            tree = verdict.query.expression
            literals = frozenset(
                word for literal in tree.find_all(exp.Literal) for word in literal.name.casefold().split()
            )
            covered = _Covered(parts.tables[0], difficulty_of(tree), shape_of(tree), parts.features, literals)
        except QueryRefused as error:
            return Rejected(error.kind, error.reason)
        except NotReadable as error:
            return Rejected("names", str(error))
        except RecursionError:
            return Rejected("too_deep", "it is nested too deeply")
        self._gates.add(verdict)
        self._generator.take(question, covered)
        return GeneratedPair(question, sql, None, covered.difficulty, verdict.row_count, covered.features, "llm")
