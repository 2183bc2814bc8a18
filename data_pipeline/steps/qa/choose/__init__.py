"""The choice of the pairs."""
