"""What the database means: the roles and names of its columns, its relationships, its words."""
