"""Migrations of the task store, run when it is opened."""
