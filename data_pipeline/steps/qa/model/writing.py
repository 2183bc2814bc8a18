"""The part of a language model in the pairs of a run, and its numbers in the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from data_pipeline.semantics.metadata_writing import Theme
from data_pipeline.steps.contract import RunParameters
from data_pipeline.steps.model_answers import used
from data_pipeline.steps.qa.choose.gates import Gates
from data_pipeline.steps.qa.generator import GeneratedPair, Generator
from data_pipeline.steps.qa.model.pairs import ModelPairs
from data_pipeline.steps.qa.model.paraphrases import Paraphrases
from data_pipeline.steps.qa.model.theme_prompts import ThemePrompts
from data_pipeline.steps.threads import Call
from data_pipeline.tasks.results import Json

if TYPE_CHECKING:
    from data_pipeline.language_model.client import LanguageModel

SHARE_OF_MODEL: Final = 3
"""One of so many pairs may be a model's; the others cover the schema and keep the mix."""


class ModelWriting:
    """A model's part in one run. If the model fails, the generator's pairs stay as they are."""

    def __init__(
        self,
        model: LanguageModel,
        parameters: RunParameters,
        prompts: ThemePrompts,
        gates: Gates,
        generator: Generator,
        call: Call,
        *,
        seed: int,
    ) -> None:
        self._model = model
        self._before = model.usage
        self._generator = generator
        self._pairs = ModelPairs(model, parameters, prompts, gates, generator, call)
        self._paraphrases = Paraphrases(model, parameters, prompts.facts.dialect, gates, call, seed=seed)

    async def pairs(self, themes: Sequence[Theme], wanted: int) -> list[GeneratedPair]:
        """Return pairs about these themes, a share of the wanted ones at most. Raises DatabaseUnavailable."""
        return await self._pairs.pairs(themes, min(wanted // SHARE_OF_MODEL, self._generator.wanted_yet))

    async def reworded(self, pairs: Sequence[GeneratedPair]) -> list[GeneratedPair]:
        """Return the same pairs, with some questions paraphrased."""
        return await self._paraphrases.reworded(pairs)

    def problems(self) -> dict[str, str]:
        """Return why the model gave no answer, by theme or by the first question of a batch."""
        return {**self._pairs.failed_themes, **self._paraphrases.failures}

    def summary(self) -> Json:
        """Return the fields of the step's result that are about the model."""
        return {
            "failed_themes": self._pairs.failed_themes,
            "language_model": used(self._before, self._model),
            "model_pairs": self._pairs.summary(),
            "paraphrases": self._paraphrases.summary(),
        }
