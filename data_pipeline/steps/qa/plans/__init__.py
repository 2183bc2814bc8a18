"""What can be asked about the tables: typed plans."""
