"""Training items as files to train with."""
