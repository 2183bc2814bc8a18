"""What only SQLite has: its catalogue and its text."""
