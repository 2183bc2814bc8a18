"""The step qa_generation: question-SQL pairs, both from one plan."""

from data_pipeline.steps.qa_generation.step import QaGeneration

__all__ = ["QaGeneration"]
