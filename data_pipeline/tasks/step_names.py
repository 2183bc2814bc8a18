"""The names of the steps, for those who only name them: the steps themselves take a second to import."""

from __future__ import annotations

from typing import Final

STEP_NAMES: Final = ("ddl_generation", "qa_generation", "sql_validation", "training_load")
"""Every step in the order of a complete run; a test compares them with `data_pipeline.steps.STEPS`."""
