"""What only PostgreSQL has: its catalogue and its shared objects."""
