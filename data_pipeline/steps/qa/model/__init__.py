"""The pairs and paraphrases of a language model."""
