"""The only client of language models."""
