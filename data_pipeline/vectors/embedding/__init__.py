"""Vectors of texts, so that what means much the same is found by a product: an embedder of our own, or a server's."""
