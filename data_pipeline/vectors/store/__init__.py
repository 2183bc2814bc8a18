"""The storage of training items with vectors, in SQLite or PostgreSQL, behind one protocol."""
