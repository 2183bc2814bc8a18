"""The vector store: training items of all tasks with their vectors, the search for a question, and backups."""
