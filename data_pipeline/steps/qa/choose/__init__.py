"""Which pairs are kept."""
