"""The step qa_generation: question-SQL pairs, both from one plan."""
