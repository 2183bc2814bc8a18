"""The demo: a business database of its own, a real server, and a walk through what it does."""
