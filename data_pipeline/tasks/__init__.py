"""A task on disk: the names in its directory, its table list, its files, its log, and its backups."""
