"""The meaning of a database: the roles and names of its columns, its relationships, its words."""
