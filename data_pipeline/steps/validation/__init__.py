"""The step sql_validation: check each pair against the database, and repair what fails."""
