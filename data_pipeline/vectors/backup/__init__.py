"""Backups of the vector store: make one, list them, bring one back."""
