"""The step qa_generation: question-SQL pairs, both from one plan."""

from data_pipeline.steps.qa.step import QaGeneration

__all__ = ["QaGeneration"]
