"""Create, list, verify, search, download, restore and delete backups of a task directory."""
