"""The step ddl_generation: a DDL file and a page for each table."""
