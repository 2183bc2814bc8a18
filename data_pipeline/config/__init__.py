"""Settings with the origin of each value, and the addresses of databases, models and stores."""
