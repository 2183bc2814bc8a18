"""Create, list, verify, restore and delete backups of the vector store."""
