"""The demo: a business database, a real server, and a tour of the program."""
