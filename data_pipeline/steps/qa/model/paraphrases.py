"""Paraphrases of the generator's questions by a language model; the SQL stays.

A paraphrase is accepted only if it keeps every value and number, adds none, is in the task's language, identifies no
person and is not a duplicate; `questions.py` and the gates decide. Otherwise the generator's question stays.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict

from data_pipeline.database.driver import Dialect
from data_pipeline.database.query_gate import check_query
from data_pipeline.errors import ModelFailed
from data_pipeline.semantics.wording import one_line
from data_pipeline.steps.contract import RunParameters
from data_pipeline.steps.model_answers import LANGUAGES
from data_pipeline.steps.pair_file import pair_id
from data_pipeline.steps.qa.choose.gates import Gates
from data_pipeline.steps.qa.generator import GeneratedPair
from data_pipeline.steps.qa.model.questions import why_no_rewording
from data_pipeline.steps.threads import Call
from data_pipeline.tasks.results import ParaphraseCounts

if TYPE_CHECKING:
    from data_pipeline.language_model.client import LanguageModel

PARAPHRASE_SHARE: Final = 0.3
QUESTIONS_AT_ONCE: Final = 10


class RewordedQuestion(BaseModel):
    """A paraphrase of the question with this number."""

    model_config = ConfigDict(extra="forbid")

    number: int
    question: str


class RewordedQuestions(BaseModel):
    """Paraphrases."""

    model_config = ConfigDict(extra="forbid")

    questions: list[RewordedQuestion]


class Paraphrases:
    """Requests the paraphrases of one run; afterwards `failures` has reasons by the first question of a batch."""

    def __init__(
        self, model: LanguageModel, parameters: RunParameters, dialect: Dialect, gates: Gates, call: Call, *, seed: int
    ) -> None:
        self.failures: dict[str, str] = {}
        self.rejections: Counter[str] = Counter()
        self._model = model
        self._parameters = parameters
        self._dialect = dialect
        self._gates = gates
        self._call = call
        self._seed = seed
        self._asked = self._taken = 0

    async def reworded(self, pairs: Sequence[GeneratedPair]) -> list[GeneratedPair]:
        """Return the same pairs in the same order, with some of the generator's questions paraphrased."""
        chosen = self._chosen(pairs)
        self._asked = len(chosen)
        batches = [chosen[start : start + QUESTIONS_AT_ONCE] for start in range(0, len(chosen), QUESTIONS_AT_ONCE)]
        found = list(pairs)
        answers = await asyncio.gather(*(self._ask([pairs[place] for place in batch]) for batch in batches))
        for batch, wordings in zip(batches, answers, strict=True):
            judged = await self._call(self._judged, [pairs[place] for place in batch], wordings)
            for place, pair in zip(batch, judged, strict=True):
                found[place] = pair
        return found

    def summary(self) -> ParaphraseCounts:
        """Return the counts for the step's result."""
        return ParaphraseCounts(
            asked_for=self._asked,
            taken=self._taken,
            rejections=dict(sorted(self.rejections.items())),
            failed_batches=self.failures,
        )

    def _chosen(self, pairs: Sequence[GeneratedPair]) -> list[int]:
        """Return the places of the pairs to paraphrase, by seed and content, so that one pair more changes few."""
        share = self._parameters.llm_paraphrase_share
        own = [place for place, pair in enumerate(pairs) if pair.provenance == "template"]
        count = round(len(own) * (PARAPHRASE_SHARE if share is None else share))

        def chance(place: int) -> str:
            said = f"{self._seed}:{pair_id(pairs[place].question, pairs[place].sql)}"
            return hashlib.sha256(said.encode()).hexdigest()

        return sorted(sorted(own, key=chance)[:count])

    async def _ask(self, batch: Sequence[GeneratedPair]) -> dict[int, str]:
        """Return paraphrases by the place of the pair in its batch."""
        texts = [f"{number}. {one.question}\n   Query: {one.sql}" for number, one in enumerate(batch, start=1)]
        values = {
            "language": LANGUAGES[self._parameters.language],
            "business_context": self._parameters.business_context or "unknown",
            "questions": "\n".join(texts),
        }
        try:
            answer = await self._model.ask("reword_questions", RewordedQuestions, values)
        except ModelFailed as error:
            self.failures[batch[0].question] = error.reason
            return {}
        return {one.number - 1: one.question for one in answer.questions}

    def _judged(self, batch: Sequence[GeneratedPair], wordings: dict[int, str]) -> list[GeneratedPair]:
        found = []
        for place, pair in enumerate(batch):
            new = one_line(wordings[place]) if place in wordings else None
            problem = self._why_not(pair, new) if new is not None else None
            if new is None or problem is not None:
                self.rejections.update([problem] if problem is not None else [])
                found.append(pair)
            else:
                self._taken += 1
                found.append(replace(pair, question=new, provenance="llm_paraphrase"))
        return found

    def _why_not(self, pair: GeneratedPair, new: str) -> str | None:
        """Return the reason to reject a paraphrase as one word; None if it is accepted and recorded."""
        if new.casefold() == pair.question.casefold():
            return "same"
        if self._gates.tells_person(new):
            return "personal_data"
        tree = check_query(pair.sql, self._dialect).expression
        problem = why_no_rewording(pair.question, new, tree, self._parameters.language)
        if problem is None and not self._gates.accepted.reword(pair.question, new):
            return "duplicate"
        return problem
