"""The families of questions. To add one: a class with `plans`, and its two tables of phrasings; list it in FAMILIES.

`docs/families.md` shows how, with an example.
"""

from __future__ import annotations

from typing import Final

from data_pipeline.steps.qa.families.aggregates import AGGREGATES
from data_pipeline.steps.qa.families.family import Family
from data_pipeline.steps.qa.families.moments import MOMENTS
from data_pipeline.steps.qa.families.ranking import RANKING
from data_pipeline.steps.qa.families.related import RELATED
from data_pipeline.steps.qa.families.sets import SETS
from data_pipeline.steps.qa.families.single import SINGLE

__all__ = ["FAMILIES", "Family"]

FAMILIES: Final[tuple[Family, ...]] = (*SINGLE, *AGGREGATES, *RANKING, *MOMENTS, *RELATED, *SETS)
