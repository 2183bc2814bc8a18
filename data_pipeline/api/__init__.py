"""The entry that a service, a command line and a test share."""
