"""A plan as a sentence."""
