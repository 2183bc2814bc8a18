"""Settings, where each value comes from, and the addresses of databases, models and stores."""
