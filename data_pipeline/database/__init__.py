"""The business database: opened read-only, and described."""
