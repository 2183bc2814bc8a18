"""The driver of PostgreSQL."""
