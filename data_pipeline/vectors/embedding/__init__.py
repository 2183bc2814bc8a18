"""Embed texts, so that similar texts have similar vectors: by the built-in embedder, or by a server."""
