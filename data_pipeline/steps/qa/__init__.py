"""The step qa_generation: question-SQL pairs, each from one plan."""

from data_pipeline.steps.qa.step import QaGeneration

__all__ = ["QaGeneration"]
