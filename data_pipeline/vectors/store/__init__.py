"""The vector store: training items of all tasks, found by a question. One protocol, SQLite or PostgreSQL behind it."""
