"""Backups of a task directory: make one, list and show them, bring one back."""
