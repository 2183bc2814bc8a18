"""The vector store: training items of all tasks, their vectors, their backups, and the search for a question."""
