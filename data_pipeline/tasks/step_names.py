"""The names of the steps, without the steps, which take a second to import."""

from __future__ import annotations

from typing import Final

STEP_NAMES: Final = ("ddl_generation", "qa_generation", "sql_validation", "training_load")
"""All steps in the order of a complete run. A test compares them with `data_pipeline.steps.STEPS`."""
